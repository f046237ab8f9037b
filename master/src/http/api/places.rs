//! Changing subnets and zones: `PUT` and `PATCH` of what is there, in the version that was read.

use super::{
    BODY_LIMIT_BYTES,
    networks::{find_subnet, find_zone},
    request::{Json as Body, check_if_match, merge_patch, read},
    write::{Wish, answer, make},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{Edit, SubnetDraft, ZoneDraft},
};
use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::patch,
};
use holdfast_proto::words::{DomainName, Subnet};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/subnets/{address}/{length}", patch(subnet).put(subnet)).route("/zones/{apex}", patch(zone).put(zone))
}

async fn subnet(
    State(app): State<App>,
    visitor: Visitor,
    Path((address, length)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let called = format!("{address}/{length}");
    let network: Subnet = called.parse().map_err(|wrong| Problem::not_found(format!("there is no such subnet: {wrong}")))?;
    let found = find_subnet(&app, &visitor, &network).await?.ok_or_else(|| Problem::not_found(format!("there is no subnet {called}")))?;
    check_if_match(&headers, &format!("\"{}\"", found.version.0))?;
    let draft: SubnetDraft = read(wanted(&method, &found.draft, body)?, &["network", "campus"])?;
    let new = draft.network;
    let outcome = make(&app, &visitor, &wish, Edit::SubnetSet { network, draft }, Some(found.version)).await?;
    let object = find_subnet(&app, &visitor, &new).await?;
    Ok(answer(&app, &wish, outcome, object, StatusCode::OK).await)
}

async fn zone(
    State(app): State<App>,
    visitor: Visitor,
    Path(apex): Path<String>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let name: DomainName = apex.parse().map_err(|wrong| Problem::not_found(format!("there is no such zone: {wrong}")))?;
    let found = find_zone(&app, &visitor, &name).await?.ok_or_else(|| Problem::not_found(format!("there is no zone {apex}")))?;
    check_if_match(&headers, &format!("\"{}\"", found.version.0))?;
    let draft: ZoneDraft = read(wanted(&method, &found.draft, body)?, &["apex", "primary_ns", "mailbox"])?;
    let outcome = make(&app, &visitor, &wish, Edit::ZoneSet { apex: name.clone(), draft }, Some(found.version)).await?;
    let object = find_zone(&app, &visitor, &name).await?;
    Ok(answer(&app, &wish, outcome, object, StatusCode::OK).await)
}

/// A PUT is the whole draft; a PATCH goes over what is there (RFC 7396).
fn wanted(method: &Method, draft: &impl Serialize, body: Value) -> Result<Value, Problem> {
    if method == Method::PUT {
        return Ok(body);
    }
    let mut merged = serde_json::to_value(draft).map_err(Problem::internal)?;
    merge_patch(&mut merged, body);
    Ok(merged)
}
