//! `/records`: what a zone holds beside the names of hosts: MX, TXT, SRV, NS at a cut, addresses of others. A record has no version: it
//! is found by its name, type and data, and changed by deleting it and adding another.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    networks::find_zone,
    parameters::{OfWrites, Paging},
    request::{Json as Body, Parameters, open_cursor, read, seal_cursor, wrong_parameter},
    write::{Outcome, Wish, Written, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        Edit, Refusal,
        records::{RecordObject, RecordQuery, WrittenRecord, record_draft, records},
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use holdfast_proto::words::DomainName;
use http::{StatusCode, Uri};
use utoipa_axum::{router::OpenApiRouter, routes};

const LIMIT_DEFAULT: u32 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// Of one zone for whoever sees it; of all zones for who sees everything.
#[utoipa::path(
    get,
    path = "/records",
    operation_id = "listRecords",
    summary = "Records that no host implies.",
    params(
        Paging,
        ("zone" = Option<String>, Query, description = "Of this zone."),
        ("name" = Option<String>, Query, description = "At this name."),
        ("type" = Option<String>, Query, description = "Of this type, such as MX."),
        ("data" = Option<String>, Query, description = "With this data, however it is spelled; together with a type."),
    ),
    responses((status = 200, body = Page<RecordObject>)),
)]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<RecordObject>>, Problem> {
    let parameters = Parameters::of(&uri, &["zone", "name", "type", "data", "limit", "cursor"])?;
    let name = |field: &'static str| {
        let parse = |text: &str| text.parse::<DomainName>().map_err(|wrong| wrong_parameter(field, wrong.to_string()));
        parameters.text(field).map(parse).transpose()
    };
    let query = RecordQuery {
        zone: name("zone")?,
        name: name("name")?,
        rtype: parameters.text("type").map(str::to_owned),
        data: parameters.text("data").map(str::to_owned),
        after: parameters.text("cursor").map(position).transpose()?,
        limit: parameters.number("limit", 1..=1000)?.unwrap_or(LIMIT_DEFAULT),
    };
    match &query.zone {
        Some(zone) => find_zone(&app, &visitor, zone).await?.map(drop).ok_or_else(|| Problem::not_found(format!("there is no zone {zone}")))?,
        None => visitor.sees_all("all records")?,
    }
    let (items, next) = records(&app.pool, &query).await?;
    Ok(Json(Page { items, next: next.map(|(name, id)| seal_cursor(&format!("{name} {id}"))) }))
}

fn position(text: &str) -> Result<(String, i64), Problem> {
    let key = open_cursor(text)?;
    let parts = key.split_once(' ').and_then(|(name, id)| Some((name.to_owned(), id.parse().ok()?)));
    parts.ok_or_else(|| wrong_parameter("cursor", "this is no cursor of this list".into()))
}

#[utoipa::path(
    post,
    path = "/records",
    operation_id = "addRecord",
    summary = "Add a record.",
    request_body = WrittenRecord,
    params(OfWrites),
    responses((status = 201, body = Written<WrittenRecord>)),
)]
async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let written: WrittenRecord = read(body, &["name", "type", "data"])?;
    let draft = record_draft(&written).map_err(Refusal::from)?;
    let outcome = make(&app, &visitor, &wish, Edit::RecordAdd(draft), None).await?;
    let made = Some(written).filter(|_| matches!(outcome, Outcome::Did(_)));
    Ok(answer(&app, &wish, outcome, made, StatusCode::CREATED).await)
}

/// `DELETE /records/uni.example/MX/10%20mail.uni.example.`: the whole record is its name.
#[utoipa::path(
    delete,
    path = "/records/{name}/{type}/{*data}",
    operation_id = "deleteRecord",
    summary = "Delete a record.",
    params(OfWrites),
    responses((status = 200, body = Written<WrittenRecord>)),
)]
async fn remove(State(app): State<App>, visitor: Visitor, Path((name, rtype, data)): Path<(String, String, String)>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let missing = |detail: String| Problem::not_found(format!("there is no such record: {detail}"));
    let name = name.parse().map_err(|wrong| missing(format!("{wrong}")))?;
    let draft = record_draft(&WrittenRecord { name, rtype, ttl: None, data }).map_err(|wrong| missing(wrong.detail))?;
    let outcome = make(&app, &visitor, &wish, Edit::RecordDelete(draft), None).await?;
    Ok(answer(&app, &wish, outcome, None::<WrittenRecord>, StatusCode::OK).await)
}
