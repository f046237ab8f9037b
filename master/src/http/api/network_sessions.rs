//! `/network-sessions` and `/network-sessions/totals`: what NASs said of sessions. Who is logged in here stands in `/sessions`.

use super::{
    changes::time,
    hosts::Page,
    request::{Parameters, open_cursor, seal_cursor, wrong_parameter},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::network_sessions::{NetworkSession, PAGE_LIMIT, SessionPlace, SessionQuery, SessionTotal, network_sessions, session_totals},
};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use http::Uri;
use std::{fmt::Display, str::FromStr};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(totals))
}

/// For those who see everything, as who had which address is.
#[utoipa::path(
    get,
    path = "/network-sessions",
    operation_id = "listNetworkSessions",
    summary = "Who was on the network, where, and for how long, as NASs say: the last first.",
    params(
        ("user" = Option<String>, Query, description = "Of this user, in capitals or not."),
        ("nas" = Option<String>, Query, description = "At this NAS, by name or address."),
        ("mac" = Option<String>, Query, description = "From this hardware address."),
        ("ip" = Option<String>, Query, description = "With this address."),
        ("at" = Option<DateTime<Utc>>, Query, description = "At this time."),
        ("open" = Option<bool>, Query, description = "Only those that have not ended."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended."),
    ),
    responses((status = 200, body = Page<NetworkSession>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<NetworkSession>>, Problem> {
    visitor.sees_all("who was on the network")?;
    let parameters = Parameters::of(&uri, &["user", "nas", "mac", "ip", "at", "open", "cursor"])?;
    let query = SessionQuery {
        user: parameters.text("user").map(str::to_owned),
        nas: parameters.text("nas").map(str::to_owned),
        mac: word(&parameters, "mac")?,
        ip: word(&parameters, "ip")?,
        at: time(&parameters, "at")?,
        open: parameters.flag("open")?,
    };
    let below = parameters.text("cursor").map(open_place).transpose()?;
    let (items, next) = network_sessions(&app.pool, &query, below, PAGE_LIMIT).await?;
    Ok(Json(Page { items, next: next.map(seal_place) }))
}

/// Of sessions that began in the time asked for.
#[utoipa::path(
    get,
    path = "/network-sessions/totals",
    operation_id = "totalNetworkSessions",
    summary = "How many sessions, for how long, and how much, by user or by NAS: who has most first, at most a thousand.",
    params(
        ("by" = String, Query, description = "`user` or `nas`."),
        ("since" = Option<DateTime<Utc>>, Query, description = "Begun at this time or later."),
        ("until" = Option<DateTime<Utc>>, Query, description = "Begun before this time."),
    ),
    responses((status = 200, body = Page<SessionTotal>)),
)]
async fn totals(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<SessionTotal>>, Problem> {
    visitor.sees_all("who was on the network")?;
    let parameters = Parameters::of(&uri, &["by", "since", "until"])?;
    let by_nas = match parameters.text("by") {
        Some("user") => false,
        Some("nas") => true,
        _ => return Err(wrong_parameter("by", "say by=user or by=nas".to_owned())),
    };
    let since = time(&parameters, "since")?.unwrap_or(DateTime::UNIX_EPOCH);
    let until = time(&parameters, "until")?.unwrap_or_else(Utc::now);
    Ok(Json(Page { items: session_totals(&app.pool, by_nas, (since, until)).await?, next: None }))
}

/// The key of a cursor: the place in the list.
pub fn seal_place((at, id): SessionPlace) -> String {
    seal_cursor(&format!("{} {id}", at.timestamp_micros()))
}

/// And back.
pub fn open_place(cursor: &str) -> Result<SessionPlace, Problem> {
    let key = open_cursor(cursor)?;
    let place = key.split_once(' ').and_then(|(at, id)| Some((DateTime::from_timestamp_micros(at.parse().ok()?)?, id.parse().ok()?)));
    place.ok_or_else(|| wrong_parameter("cursor", "this is no cursor of this list".to_owned()))
}

fn word<T: FromStr<Err: Display>>(parameters: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    parameters.text(name).map(|text| text.parse().map_err(|wrong: T::Err| wrong_parameter(name, format!("\"{text}\": {wrong}")))).transpose()
}
