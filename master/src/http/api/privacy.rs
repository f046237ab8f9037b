//! `/privacy`: where personal data is kept, all that is known of one person, and erasing a person.

use super::{
    hosts::Page,
    request::Parameters,
    write::{Wish, answer, make},
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
    Json, Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use http::{StatusCode, Uri};
use serde_json::Value;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/privacy/fields", get(fields)).route("/privacy/people/{person}", get(export).delete(erase))
}

async fn fields(_: Visitor, uri: Uri) -> Result<Json<Page<&'static Field>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: FIELDS.iter().collect(), next: None }))
}

/// Only for who may also erase: it gathers what nobody else needs together.
async fn export(State(app): State<App>, visitor: Visitor, Path(person): Path<String>, uri: Uri) -> Result<Json<Export>, Problem> {
    Parameters::of(&uri, &[])?;
    inventory::authorise(&visitor.actor("api"), Action::WriteInstitution, "people")?;
    Ok(Json(privacy::export(&app.pool, &person).await?))
}

/// A reason is needed: somebody will ask for it.
async fn erase(State(app): State<App>, visitor: Visitor, Path(handle): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    if wish.reason.trim().is_empty() {
        return Err(super::request::wrong_parameter("reason", "say why the person is erased".into()));
    }
    let outcome = make(&app, &visitor, &wish, Edit::Organisation(OrganisationEdit::Erase { handle }), None).await?;
    Ok(answer(&app, &wish, outcome, None::<Value>, StatusCode::OK).await)
}
