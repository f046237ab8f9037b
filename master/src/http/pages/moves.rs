//! Moving a host to another subnet, now or at a time that is planned for.

use super::{
    Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    hosts::find,
    page,
};
use crate::{
    http::{App, FieldError, Problem, api::read_draft, session::Visitor},
    inventory::{self, Edit, Host, MoveDraft, SpaceEdit},
};
use axum::{
    Form,
    extract::{Path, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

async fn ask(app: &App, visitor: &Visitor, host: &Host) -> Result<Ask, Refused> {
    let subnets = inventory::subnets(&app.pool, &visitor.sight()?).await?.into_iter().map(|subnet| subnet.draft.network.to_string()).collect();
    let mut fields = vec![
        Field::new("subnet", "New subnet", "It gets an address there, and its names follow", Look::Choice(subnets)),
        Field::new("address", "Address", "Empty: the next free one", Look::Mono),
        Field::new("location", "Location", "Empty: the old one, with the new campus in place of the old one", Look::Text),
        Field::new(
            "planned_at",
            "When",
            "Empty: now. A time such as 2027-01-31T06:00:00Z: TTLs go down first, so that nobody is led to the old address",
            Look::Mono,
        ),
    ];
    if host.draft.interfaces.len() > 1 {
        fields.push(Field { value: "0".into(), ..Field::new("interface", "Interface", "Which of them moves, counted from 0", Look::Number) });
    }
    let name = &host.draft.name;
    let form = Ask::new(app, visitor, "hosts", format!("Move {name}")).await?;
    Ok(Ask { action: format!("/hosts/{name}/move"), back: format!("/hosts/{name}"), verb: "Move it", fields, ..form })
}

pub(super) async fn form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    page(ask(&app, &visitor, &host).await?)
}

pub(super) async fn step(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    let ask = ask(&app, &visitor, &host).await?.filled(&pairs);
    let edit = edit(&ask, &host, given(&pairs, "planned_at").trim());
    ask.step(&app, &visitor, &pairs, edit, None).await
}

fn edit(ask: &Ask, host: &Host, planned_at: &str) -> Result<Edit, Problem> {
    let mut draft = ask.draft(json!({}));
    if let Some(fields) = draft.as_object_mut() {
        fields.remove("planned_at");
        fields.retain(|_, value| value != "");
    }
    let to: MoveDraft = read_draft(draft, &["subnet"])?;
    let name = host.draft.name.clone();
    if planned_at.is_empty() {
        return Ok(Edit::Space(SpaceEdit::Move { name, to }));
    }
    let wrong = |_| Problem::refused(vec![FieldError::new("/planned_at", "value", "this is no time such as 2027-01-31T06:00:00Z")]);
    let at: DateTime<Utc> = planned_at.parse().map_err(wrong)?;
    Ok(Edit::Space(SpaceEdit::PlanMove { id: Uuid::now_v7(), name, to, at }))
}
