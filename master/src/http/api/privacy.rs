//! `/privacy`: where personal data is kept, all that is known of one person, and erasing a person.

use super::{
    hosts::Page,
    parameters::OfWrites,
    request::Parameters,
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        self, Action, Edit,
        organisation::OrganisationEdit,
        privacy::{self, Export, FIELDS, Field},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use http::{StatusCode, Uri};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(fields)).routes(routes!(export, erase))
}

#[utoipa::path(
    get,
    path = "/privacy/fields",
    operation_id = "listPersonalFields",
    summary = "Where personal data is kept, and for how long.",
    responses((status = 200, body = Page<Field>)),
)]
async fn fields(_: Visitor, uri: Uri) -> Result<Json<Page<&'static Field>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: FIELDS.iter().collect(), next: None }))
}

/// Only for who may also erase: it gathers what nobody else needs together.
#[utoipa::path(
    get,
    path = "/privacy/people/{person}",
    operation_id = "exportPerson",
    summary = "All that is known of a person.",
    responses((status = 200, body = Export)),
)]
async fn export(State(app): State<App>, visitor: Visitor, Path(person): Path<String>, uri: Uri) -> Result<Json<Export>, Problem> {
    Parameters::of(&uri, &[])?;
    inventory::authorise(&visitor.actor("api"), Action::WriteInstitution, "people")?;
    Ok(Json(privacy::export(&app.pool, &person).await?))
}

/// A reason is needed: somebody will ask for it.
#[utoipa::path(
    delete,
    path = "/privacy/people/{person}",
    operation_id = "erasePerson",
    summary = "Take a contact away with everything that refers to it; needs a reason.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn erase(State(app): State<App>, visitor: Visitor, Path(handle): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    if wish.reason.trim().is_empty() {
        return Err(super::request::wrong_parameter("reason", "say why the person is erased".into()));
    }
    let outcome = make(&app, &visitor, &wish, Edit::Organisation(OrganisationEdit::Erase { handle }), None).await?;
    Ok(answer(&app, &wish, outcome, None::<Value>, StatusCode::OK).await)
}
