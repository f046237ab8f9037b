//! `/faults`: what others find wrong with the network, told to operations with whom it concerns and whom to call. `/fault-templates`: the
//! sentences that it is told with.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::Paging,
    request::{Json as Body, Parameters, open_cursor, read, seal_cursor, wrong_parameter},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        self,
        faults::{self, AgentState, CampusState, Fault, FaultDraft, FaultRow, Kind, Template},
    },
    nodes::{Standing, standing},
};
use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use holdfast_proto::words::NodeId;
use http::{StatusCode, Uri};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

const LIMIT_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, report)).routes(routes!(templates)).routes(routes!(set_template))
}

/// For whoever may tell of faults: the role `network-management` can do this and little else.
#[utoipa::path(
    post,
    path = "/faults",
    operation_id = "reportFault",
    summary = "Tell of a fault or an incident: of an address, a hardware address or a port. It is told to operations, with whom to call.",
    request_body = FaultDraft,
    responses((status = 201, body = Fault)),
)]
async fn report(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    Parameters::of(&uri, &[])?;
    let draft: FaultDraft = read(body, &["text"])?;
    let fault = faults::report(&app.pool, &visitor.actor("api"), draft, campuses(&app).await?).await?;
    Ok((StatusCode::CREATED, Json(fault)).into_response())
}

/// How the campuses are: who holds a line, and who does not.
async fn campuses(app: &App) -> Result<Vec<CampusState>, Problem> {
    let Some(boxes) = &app.boxes else { return Ok(vec![]) };
    let (rows, lines) = (standing(&app.pool).await?, (boxes.lines)());
    let agent = |row: &Standing| {
        let node = NodeId(*row.id.as_bytes());
        let connected = lines.contains(&node);
        AgentState { agent: row.name.clone(), connected, gone_since: if connected { None } else { (boxes.gone_since)(node) } }
    };
    let of_campus = |name: String| {
        let agents: Vec<AgentState> = rows.iter().filter(|row| row.campus.as_ref() == Some(&name)).map(agent).collect();
        let state = match &agents[..] {
            [] => "no agent",
            some if some.iter().any(|agent| agent.connected) => "live",
            _ => "cut off",
        };
        CampusState { campus: name, state, agents }
    };
    Ok(inventory::campuses(&app.pool).await?.into_iter().map(|campus| of_campus(campus.name)).collect())
}

#[utoipa::path(
    get,
    path = "/faults",
    operation_id = "listFaults",
    summary = "Faults and incidents that were told, the newest first.",
    params(Paging, ("kind" = Option<String>, Query, description = "One of: fault, incident.")),
    responses((status = 200, body = Page<FaultRow>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<FaultRow>>, Problem> {
    visitor.sees_all("faults")?;
    let parameters = Parameters::of(&uri, &["kind", "limit", "cursor"])?;
    let kind = parameters.text("kind");
    if let Some(other) = kind.filter(|kind| !["fault", "incident"].contains(kind)) {
        return Err(wrong_parameter("kind", format!("\"{other}\" is neither fault nor incident")));
    }
    let below = |text: &str| open_cursor(text)?.parse::<i64>().map_err(|_| wrong_parameter("cursor", "this is no cursor of this list".into()));
    let limit = parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT);
    let items = faults::list(&app.pool, kind, parameters.text("cursor").map(below).transpose()?, limit).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|last| seal_cursor(&last.number.to_string()));
    Ok(Json(Page { items, next }))
}

#[utoipa::path(
    get,
    path = "/fault-templates",
    operation_id = "listFaultTemplates",
    summary = "The sentences that faults and incidents are told with.",
    responses((status = 200, body = Page<Template>)),
)]
async fn templates(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Template>>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: faults::templates(&app.pool).await?, next: None }))
}

/// A sentence with gaps: `{severity}`, `{text}`, `{what}`, `{host}`, `{ip}`, `{mac}`, `{port}`, `{place}`, `{department}`, `{campus}`,
/// `{campus_state}`, `{person}`, `{phone}`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = faults::TemplateDraft)]
struct TemplateDraft {
    text: String,
}

#[utoipa::path(
    put,
    path = "/fault-templates/{kind}",
    operation_id = "setFaultTemplate",
    summary = "Change the sentence that faults or incidents are told with.",
    request_body = TemplateDraft,
    responses((status = 200, body = Template)),
)]
async fn set_template(
    State(app): State<App>,
    visitor: Visitor,
    Path(kind): Path<String>,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Json<Template>, Problem> {
    Parameters::of(&uri, &[])?;
    let known: Kind =
        serde_json::from_value(kind.as_str().into()).map_err(|_| Problem::not_found(format!("there is no template \"{kind}\": fault or incident")))?;
    let TemplateDraft { text } = read(body, &["text"])?;
    faults::set_template(&app.pool, &visitor.actor("api"), known, &text).await?;
    Ok(Json(Template { kind, text }))
}
