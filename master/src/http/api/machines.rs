//! `/unknown-machines`: who asked for an address and is not registered.

use super::{
    hosts::Page,
    leases::word,
    networks::seen_subnet,
    request::{Parameters, open_cursor, seal_cursor},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, UnknownMachine},
};
use axum::{Json, extract::State};
use holdfast_proto::words::{Mac, Subnet};
use http::Uri;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(unknown_machines))
}

#[utoipa::path(
    get,
    path = "/unknown-machines",
    operation_id = "listUnknownMachines",
    summary = "Machines that asked for an address and that nobody has registered where they asked, the last seen first.",
    params(
        ("mac" = Option<String>, Query, description = "Of this hardware address."),
        ("subnet" = Option<String>, Query, description = "Of this subnet."),
        ("cursor" = Option<String>, Query, description = "Where the page before ended."),
    ),
    responses((status = 200, body = Page<UnknownMachine>)),
)]
async fn unknown_machines(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<UnknownMachine>>, Problem> {
    let parameters = Parameters::of(&uri, &["mac", "subnet", "cursor"])?;
    let (mac, subnet) = (word::<Mac>(&parameters, "mac")?, word::<Subnet>(&parameters, "subnet")?);
    match &subnet {
        Some(subnet) => seen_subnet(&app, &visitor, subnet).await?,
        None => visitor.sees_all("all unknown machines")?,
    }
    let skip = parameters.text("cursor").map(open_cursor).transpose()?.and_then(|key| key.parse().ok()).unwrap_or(0).max(0);
    let (items, next) = inventory::unknown_machines(&app.pool, mac, subnet, skip).await?;
    Ok(Json(Page { items, next: next.map(|skip| seal_cursor(&skip.to_string())) }))
}
