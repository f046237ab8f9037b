//! `/checks`: what is wrong with the database and what follows from it; run the checks, waive a finding, have one cured.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::{OfWrites, Paging},
    request::{Json as Body, Parameters, open_cursor, read, seal_cursor, wrong_parameter},
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        self, Action, Edit,
        checks::{self, CATALOGUE, FindingFilter, FindingRow, Run, Severity, Told, WaiverEdit},
    },
};
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, NaiveDate, Utc};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIMIT_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(run))
        .routes(routes!(waive))
        .routes(routes!(count))
        .routes(routes!(fix))
        .routes(routes!(mailboxes))
}

/// A finding as programs see it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = checks::Finding)]
struct Finding {
    code: String,
    #[schema(value_type = String)]
    name: &'static str,
    severity: Severity,
    object: String,
    detail: String,
    owner: Option<String>,
    since: DateTime<Utc>,
    waived: Option<String>,
    until: Option<NaiveDate>,
}

/// Findings, and when they were looked for.
#[derive(Serialize, utoipa::ToSchema)]
struct Findings {
    items: Vec<Finding>,
    next: Option<String>,
    at: Option<DateTime<Utc>>,
}

#[utoipa::path(
    get,
    path = "/checks",
    operation_id = "listFindings",
    summary = "What is wrong, as it was found last.",
    params(
        Paging,
        ("code" = Option<String>, Query, description = "Checks whose code begins so: HF-2."),
        ("severity" = Option<String>, Query, description = "One of: error, warning, note."),
        ("object" = Option<String>, Query, description = "Of this object."),
        ("waived" = Option<bool>, Query, description = "Those as well that are waived."),
    ),
    responses((status = 200, body = Findings)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Findings>, Problem> {
    visitor.sees_all("all findings")?;
    let filter = filter_of(&uri)?;
    let limit = filter.limit as usize;
    let (mut rows, at) = checks::list(&app.pool, &FindingFilter { limit: filter.limit + 1, ..filter }).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| seal_cursor(&format!("{} {}", row.code, row.object)));
    Ok(Json(Findings { items: rows.into_iter().map(shown).collect(), next, at }))
}

fn filter_of(uri: &Uri) -> Result<FindingFilter, Problem> {
    let parameters = Parameters::of(uri, &["code", "severity", "object", "waived", "limit", "cursor"])?;
    let wrong = |text: &str| wrong_parameter("severity", format!("\"{text}\" is neither error, warning nor note"));
    let severity = parameters.text("severity").map(|text| serde_json::from_value(text.into()).map_err(|_| wrong(text))).transpose()?;
    let foreign = || wrong_parameter("cursor", "this is no cursor of this list".into());
    let place = |text: &str| {
        let key = open_cursor(text)?;
        key.split_once(' ').map(|(code, object)| (code.to_owned(), object.to_owned())).ok_or_else(foreign)
    };
    Ok(FindingFilter {
        code: parameters.text("code").map(str::to_owned),
        severity,
        object: parameters.text("object").map(str::to_owned),
        waived: parameters.flag("waived")?,
        after: parameters.text("cursor").map(place).transpose()?,
        limit: i64::from(parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT)),
    })
}

fn shown(row: FindingRow) -> Finding {
    let name = CATALOGUE.iter().find(|check| check.code == row.code).map_or("", |check| check.name);
    let FindingRow { code, object, severity, detail, owner, since, waived, until } = row;
    Finding { code, name, severity, object, detail, owner, since, waived, until }
}

/// `POST /checks/run`; with `drift=true` what is published is composed anew and compared as well, which takes longer.
#[utoipa::path(
    post,
    path = "/checks/run",
    operation_id = "runChecks",
    summary = "Look for what is wrong.",
    params(("drift" = Option<bool>, Query, description = "Compare what is published with the database, too.")),
    responses((status = 200, body = Run)),
)]
async fn run(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Run>, Problem> {
    let parameters = Parameters::of(&uri, &["drift"])?;
    let actor = visitor.actor("api");
    inventory::authorise(&actor, Action::Read, "all findings")?;
    let drift = if parameters.flag("drift")? { Some(drift(&app, &actor.name).await) } else { None };
    Ok(Json(checks::run(&app.pool, drift).await?))
}

/// What the audit of the snapshots finds; that it could not be made is a finding as well.
async fn drift(app: &App, actor: &str) -> Vec<Told> {
    let audit = match app.snapshots.audit(actor, false).await {
        Ok(audit) => audit,
        Err(error) => return vec![Told { object: "snapshots".to_owned(), detail: format!("it could not be compared: {error}") }],
    };
    let wrong = audit.feeds.into_iter().filter(|feed| feed.differences > 0 || !feed.digest_is_right);
    wrong.map(|feed| Told { detail: format!("{} rows differ, first: {}", feed.differences, feed.listed.join("; ")), object: feed.feed }).collect()
}

/// Which finding is meant.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Meant {
    code: String,
    object: String,
}

#[utoipa::path(
    post,
    path = "/checks/waive",
    operation_id = "waiveFinding",
    summary = "Let a finding not count until the end of a day.",
    request_body = Waiver,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn waive(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let Waiver { code, object, reason, until } = read(body, &["code", "object", "reason", "until"])?;
    write(&app, &visitor, &uri, WaiverEdit::Waive { code, object, reason, until }).await
}

#[utoipa::path(
    post,
    path = "/checks/count",
    operation_id = "countFinding",
    summary = "Let a waived finding count again.",
    request_body = Meant,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn count(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let Meant { code, object } = read(body, &["code", "object"])?;
    write(&app, &visitor, &uri, WaiverEdit::Count { code, object }).await
}

async fn write(app: &App, visitor: &Visitor, uri: &Uri, edit: WaiverEdit) -> Result<Response, Problem> {
    let wish = Wish::of(uri)?;
    let outcome = make(app, visitor, &wish, Edit::Waiver(edit), None).await?;
    Ok(answer(app, &wish, outcome, None::<Value>, StatusCode::OK).await)
}

/// What was done to cure a finding.
#[derive(Serialize, utoipa::ToSchema)]
struct Fixed {
    dry_run: bool,
    change_set: Option<Uuid>,
    edits: Vec<String>,
}

#[utoipa::path(
    post,
    path = "/checks/fix",
    operation_id = "fixFinding",
    summary = "Have a finding cured, where its cure is beyond doubt.",
    request_body = Meant,
    params(OfWrites),
    responses((status = 200, body = Fixed)),
)]
async fn fix(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Json<Fixed>, Problem> {
    let wish = Wish::of(&uri)?;
    let Meant { code, object } = read(body, &["code", "object"])?;
    let fixed = checks::fix(&app.pool, &visitor.actor("api"), &wish.reason, &code, &object, wish.dry_run).await?;
    app.committed.notify_one();
    Ok(Json(Fixed { dry_run: wish.dry_run, change_set: fixed.change_set, edits: fixed.edits }))
}

#[utoipa::path(
    get,
    path = "/checks/mailboxes",
    operation_id = "missingMailboxes",
    summary = "The mailboxes that RFC 2142 asks for and nobody is known to read.",
    responses((status = 200, body = Page<String>)),
)]
async fn mailboxes(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Value>, Problem> {
    visitor.sees_all("all findings")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(serde_json::json!({ "items": checks::missing_mailboxes(&app.pool).await?, "next": null })))
}

/// That a finding does not count until the end of a day.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Waiver {
    code: String,
    object: String,
    reason: String,
    until: NaiveDate,
}

#[cfg(test)]
mod tests {
    use super::filter_of;

    #[test]
    fn filters_are_read_and_wrong_ones_named() {
        let read = |text: &str| filter_of(&format!("/checks?{text}").parse().unwrap());
        let filter = read("code=HF-3&severity=error&waived=true&limit=5").unwrap();
        assert_eq!((filter.code.as_deref(), filter.waived, filter.limit), (Some("HF-3"), true, 5));
        for (wrong, pointer) in [("severity=bad", "?severity"), ("cursor=1", "?cursor"), ("waived=1", "?waived"), ("area=x", "?area")] {
            assert_eq!(read(wrong).unwrap_err().errors[0].pointer, pointer, "{wrong}");
        }
    }
}
