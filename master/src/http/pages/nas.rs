//! Who may ask RADIUS, and what to paste there.

use super::{Frame, Person, Refused, page};
use crate::{
    http::{App, Problem},
    inventory::{self, NasObject, nas::nas_configuration},
    reports::{Event, EventQuery, events},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

/// Refused log-ins on the page.
const REFUSED_SHOWN: u32 = 50;
/// How the reports of the RADIUS service that tell of somebody who was refused are named.
const REFUSED_EVENT: &str = "radius_refused";

#[derive(Template)]
#[template(path = "nas_list.html")]
struct NasListPage {
    frame: Frame,
    all: Vec<NasObject>,
    refused: Vec<Event>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    visitor.sees_all("all NASs")?;
    let query = EventQuery { event: Some(REFUSED_EVENT.to_owned()), limit: REFUSED_SHOWN, ..EventQuery::default() };
    let (refused, _) = events(&app.pool, &query).await?;
    page(NasListPage { frame: Frame::of(&app, &visitor, "nas").await?, all: inventory::nas(&app.pool).await?, refused })
}

#[derive(Template)]
#[template(path = "nas.html")]
struct NasPage {
    frame: Frame,
    nas: NasObject,
    configuration: Result<String, String>,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    visitor.sees_all("all NASs")?;
    let nas = inventory::nas(&app.pool).await?.into_iter().find(|nas| nas.name == name);
    let nas = nas.ok_or_else(|| Problem::not_found(format!("there is no NAS {name}")))?;
    let configuration = nas_configuration(&app.pool, &name, None).await.map(|told| told.text).map_err(|refusal| Problem::from(refusal).detail);
    page(NasPage { frame: Frame::of(&app, &visitor, "nas").await?, nas, configuration })
}
