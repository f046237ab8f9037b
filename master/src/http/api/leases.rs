//! `/leases`, `/leases/history` and `/leases/{ip}/release`: what agents lend.

use super::{
    hosts::Page,
    networks::seen_subnet,
    parameters::OfWrites,
    request::{Parameters, open_cursor, seal_cursor, wrong_parameter},
    space::write,
    write::Written,
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, LeaseObject, SpaceEdit},
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use holdfast_proto::words::{Mac, Subnet};
use http::Uri;
use std::{fmt::Display, net::IpAddr, str::FromStr};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(leases)).routes(routes!(history))
}

/// What changes one.
pub(super) fn writes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(release))
}

#[utoipa::path(
    get,
    path = "/leases",
    operation_id = "listLeases",
    summary = "Who has, or had last, each address that was lent.",
    params(
        ("subnet" = Option<String>, Query, description = "Of this subnet."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended."),
    ),
    responses((status = 200, body = Page<LeaseObject>)),
)]
async fn leases(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<LeaseObject>>, Problem> {
    let parameters = Parameters::of(&uri, &["subnet", "cursor"])?;
    let subnet: Option<Subnet> = word(&parameters, "subnet")?;
    match &subnet {
        Some(subnet) => seen_subnet(&app, &visitor, subnet).await?,
        None => visitor.sees_all("all leases")?,
    }
    let after = parameters.text("cursor").map(open_cursor).transpose()?.and_then(|key| key.parse().ok());
    let (items, next) = inventory::leases(&app.pool, subnet, after).await?;
    Ok(Json(Page { items, next: next.map(|ip| seal_cursor(&ip.to_string())) }))
}

/// For those who see everything, as who had which address is.
#[utoipa::path(
    get,
    path = "/leases/history",
    operation_id = "leaseHistory",
    summary = "Who had an address on loan, or which addresses a machine had: the last first.",
    params(
        ("ip" = Option<String>, Query, description = "Of this address."),
        ("mac" = Option<String>, Query, description = "Of the machine with this hardware address."),
    ),
    responses((status = 200, body = Page<LeaseObject>)),
)]
async fn history(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<LeaseObject>>, Problem> {
    visitor.sees_all("who had which address")?;
    let parameters = Parameters::of(&uri, &["ip", "mac"])?;
    let (ip, mac) = (word::<IpAddr>(&parameters, "ip")?, word::<Mac>(&parameters, "mac")?);
    if ip.is_none() && mac.is_none() {
        return Err(wrong_parameter("ip", "say of which address (ip=) or of which machine (mac=)".to_owned()));
    }
    Ok(Json(Page { items: inventory::lease_history(&app.pool, ip, mac).await?, next: None }))
}

/// Its agent is told with the next generation, and keeps the order on its disk: the lease is renewed no more, and the address is lent
/// to nobody until the machine can no longer believe that it has it.
#[utoipa::path(
    post,
    path = "/leases/{ip}/release",
    operation_id = "releaseLease",
    summary = "Have the agent that lent an address end the lease.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn release(State(app): State<App>, visitor: Visitor, Path(ip): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let ip: IpAddr = ip.parse().map_err(|_| Problem::not_found(format!("\"{ip}\" is no IP address")))?;
    write(&app, &visitor, &uri, SpaceEdit::EndLease(ip)).await
}

pub(super) fn word<T: FromStr<Err: Display>>(parameters: &Parameters, name: &str) -> Result<Option<T>, Problem> {
    parameters.text(name).map(|text| text.parse().map_err(|wrong: T::Err| wrong_parameter(name, format!("\"{text}\": {wrong}")))).transpose()
}
