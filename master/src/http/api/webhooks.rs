//! `/webhooks`: events that are sent to others. An administrator's business: they tell things to the outside.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::{DryRun, Paging, Tried},
    request::{Json as Body, Parameters, open_cursor, read, seal_cursor, wrong_parameter},
};
use crate::{
    feed::{Delivery, KINDS, NewHook, Webhook, Webhooks},
    http::{App, FieldError, Problem, secrets::random_bytes, session::Visitor},
    inventory::approval::AreaKind,
    inventory::{Action, authorise},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use holdfast_proto::words::Secret;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIMIT_DEFAULT: u32 = 100;
/// The longest address, in bytes.
const URL_LIMIT_BYTES: usize = 2000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove)).routes(routes!(deliveries)).routes(routes!(send))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = webhooks::Draft)]
struct Draft {
    name: String,
    url: String,
    #[serde(default = "everything")]
    kinds: Vec<String>,
    #[serde(default = "everywhere")]
    area_kind: AreaKind,
    #[serde(default)]
    area_value: String,
}

fn everything() -> Vec<String> {
    KINDS.map(str::to_owned).to_vec()
}

fn everywhere() -> AreaKind {
    AreaKind::Global
}

impl Draft {
    fn check(&self) -> Result<(), Problem> {
        let name = self.name.as_bytes();
        let is_name = (1..=63).contains(&name.len())
            && name[0].is_ascii_alphanumeric()
            && name.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(byte));
        let has_host = self.url.parse::<Uri>().is_ok_and(|url| url.host().is_some() && matches!(url.scheme_str(), Some("https" | "http")));
        let unknown = self.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str()));
        let kinds = if self.kinds.is_empty() {
            Some("name at least one kind of event".to_owned())
        } else {
            unknown.map(|kind| format!("there are no events called \"{kind}\""))
        };
        let area = ((self.area_kind == AreaKind::Global) != self.area_value.is_empty()).then(|| "say which area it is; global has no value".to_owned());
        let wrong = [
            ("/name", (!is_name).then(|| "a webhook's name has 1 to 63 small letters, digits, dots, hyphens and underscores".to_owned())),
            ("/url", (!has_host || self.url.len() > URL_LIMIT_BYTES).then(|| "this is no address such as https://chat.uni.example/hooks/7".to_owned())),
            ("/kinds", kinds),
            ("/area_value", area),
        ];
        let errors: Vec<FieldError> = wrong.into_iter().filter_map(|(pointer, detail)| Some(FieldError::new(pointer, "value", detail?))).collect();
        if errors.is_empty() { Ok(()) } else { Err(Problem::refused(errors)) }
    }
}

#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "listWebhooks",
    summary = "Webhooks: events that are sent to others.",
    responses((status = 200, body = Page<Webhook>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Webhook>>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: hooks(&app, &visitor)?.all().await?, next: None }))
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = webhooks::Made)]
struct Made {
    id: Uuid,
    name: String,
    /// Told once: the key of the HMAC, in hexadecimal.
    secret: String,
}

#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "addWebhook",
    summary = "Have events sent somewhere; the key that signs them is told once.",
    request_body = Draft,
    params(DryRun),
    responses((status = 201, body = Made), (status = 200, body = Tried)),
)]
async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let dry_run = Parameters::of(&uri, &["dry_run"])?.flag("dry_run")?;
    let hooks = hooks(&app, &visitor)?;
    let draft: Draft = read(body, &["name", "url"])?;
    draft.check()?;
    if dry_run {
        return Ok(Json(Tried { dry_run: true }).into_response());
    }
    let secret = Secret::new(random_bytes().to_vec());
    let area = (draft.area_kind.text(), draft.area_value.as_str());
    let new = NewHook { name: &draft.name, url: &draft.url, secret: &secret, kinds: &draft.kinds, area, created_by: &visitor.name };
    let taken = || Problem::conflict(format!("there is a webhook {} already", draft.name), vec![FieldError::new("/name", "taken", "take another name")]);
    let id = hooks.add(&new).await?.ok_or_else(taken)?;
    tracing::info!(event = "webhook_added", principal = visitor.name, webhook = draft.name, "a webhook was made");
    Ok((StatusCode::CREATED, Json(Made { id, secret: hex::encode(secret.expose()), name: draft.name })).into_response())
}

#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    operation_id = "deleteWebhook",
    summary = "Send nothing there any more.",
    params(DryRun),
    responses((status = 204), (status = 200, body = Tried)),
)]
async fn remove(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let dry_run = Parameters::of(&uri, &["dry_run"])?.flag("dry_run")?;
    let hooks = hooks(&app, &visitor)?;
    if dry_run {
        let known = hooks.all().await?.into_iter().any(|hook| hook.id.to_string() == id);
        return if known { Ok(Json(Tried { dry_run: true }).into_response()) } else { Err(unknown(&id)) };
    }
    if !hooks.delete(parse(&id)?).await? {
        return Err(unknown(&id));
    }
    tracing::info!(event = "webhook_deleted", principal = visitor.name, webhook = id, "a webhook was deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries",
    operation_id = "listDeliveries",
    summary = "What was sent, the newest first.",
    params(Paging, ("state" = Option<String>, Query, description = "One of: waiting, delivered, dead.")),
    responses((status = 200, body = Page<Delivery>)),
)]
async fn deliveries(State(app): State<App>, visitor: Visitor, Path(id): Path<String>, uri: Uri) -> Result<Json<Page<Delivery>>, Problem> {
    let parameters = Parameters::of(&uri, &["state", "limit", "cursor"])?;
    let state = parameters.text("state");
    if let Some(other) = state.filter(|state| !["waiting", "delivered", "dead"].contains(state)) {
        return Err(wrong_parameter("state", format!("\"{other}\" is neither waiting nor delivered nor dead")));
    }
    let below = |text: &str| open_cursor(text)?.parse().map_err(|_| wrong_parameter("cursor", "this is no cursor of this list".into()));
    let limit = parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT);
    let page = hooks(&app, &visitor)?.deliveries(parse(&id)?, state, parameters.text("cursor").map(below).transpose()?, limit).await?;
    Ok(Json(Page { items: page.0, next: page.1.map(|id| seal_cursor(&id.to_string())) }))
}

/// `POST /webhooks/{id}/deliveries/{delivery}/send`: once more, also what was given up.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/deliveries/{delivery}/send",
    operation_id = "sendDelivery",
    summary = "Send a delivery once more, also what was given up.",
    responses((status = 202)),
)]
async fn send(State(app): State<App>, visitor: Visitor, Path((id, delivery)): Path<(String, String)>, uri: Uri) -> Result<StatusCode, Problem> {
    Parameters::of(&uri, &[])?;
    let number = delivery.parse().map_err(|_| Problem::not_found(format!("there is no delivery {delivery}")))?;
    let is_there = hooks(&app, &visitor)?.send_again(parse(&id)?, number).await?;
    if is_there { Ok(StatusCode::ACCEPTED) } else { Err(Problem::not_found(format!("there is no delivery {delivery} of this webhook"))) }
}

fn hooks(app: &App, visitor: &Visitor) -> Result<Webhooks, Problem> {
    authorise(&visitor.actor("api"), Action::Boxes, "what is told to the outside")?;
    Ok(Webhooks(app.pool.clone()))
}

fn parse(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no webhook {id}"))
}

#[cfg(test)]
mod tests {
    use super::Draft;
    use serde_json::json;

    #[test]
    fn all_that_is_wrong_with_a_webhook_is_told_at_once() {
        let read = |value| serde_json::from_value::<Draft>(value).unwrap();
        read(json!({ "name": "chat", "url": "https://chat.uni.example/7", "area_kind": "zone", "area_value": "uni.example" })).check().unwrap();
        let wrong = read(json!({ "name": "Chat!", "url": "chat", "kinds": ["weather"], "area_kind": "zone" })).check().unwrap_err();
        let pointers: Vec<&str> = wrong.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/url", "/kinds", "/area_value"]);
    }
}
