//! `/trace`: what becomes of a question on its way from a client to whoever knows the answer.

use super::request::{Parameters, wrong_parameter};
use crate::{
    http::{
        App, Problem,
        forwarding::{Asked, Tier},
        session::Visitor,
    },
    inventory,
};
use axum::{Json, extract::State};
use holdfast_proto::words::HostName;
use http::Uri;
use serde::Serialize;
use std::net::IpAddr;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(trace))
}

/// A question and its way.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = names::Trace)]
struct Trace {
    /// The name.
    name: String,
    /// The type.
    #[serde(rename = "type")]
    rtype: String,
    /// Whose question it would be.
    #[schema(value_type = String)]
    from: IpAddr,
    /// Step by step.
    tiers: Vec<Tier>,
}

/// For those who see everything: what is in a cache tells what others asked for. The client's own resolver is asked for what it has and
/// asks nobody; where it has nothing, the master asks as it would for it.
#[utoipa::path(
    get,
    path = "/trace",
    operation_id = "traceName",
    summary = "What becomes of a question: who has the answer, who is asked for it, and how long each takes.",
    params(
        ("name" = String, Query, description = "The name that is asked for."),
        ("type" = Option<String>, Query, description = "The type; A without it."),
        ("from" = String, Query, description = "Whose question it would be: a host's name or an address."),
    ),
    responses((status = 200, body = Trace)),
)]
async fn trace(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Trace>, Problem> {
    visitor.sees_all("what resolvers have in their caches")?;
    let parameters = Parameters::of(&uri, &["name", "type", "from"])?;
    let given = |name: &str| parameters.text(name).map(str::to_owned).ok_or_else(|| wrong_parameter(name, format!("{name} is missing")));
    let (name, from, rtype) = (given("name")?, given("from")?, parameters.text("type").unwrap_or("A").to_ascii_uppercase());
    let forwarder = app.forwarder.as_ref();
    let forwarder = forwarder.ok_or_else(|| Problem::not_found("this master does not forward: its configuration has no [forwarder] with an address"))?;
    let from = address_of(&app, &visitor, &from).await?;
    let asked = Asked { name: name.clone(), rtype: rtype.clone(), from };
    let tiers = (forwarder.trace)(asked).await.map_err(|wrong| wrong_parameter("name", wrong))?;
    Ok(Json(Trace { name, rtype, from, tiers }))
}

/// An address as it is, or the first one of a host; IPv4 before IPv6, as subnets belong to campuses by it.
async fn address_of(app: &App, visitor: &Visitor, from: &str) -> Result<IpAddr, Problem> {
    if let Ok(address) = from.parse() {
        return Ok(address);
    }
    let name: HostName = from.parse().map_err(|wrong| wrong_parameter("from", format!("\"{from}\" is neither an address nor the name of a host: {wrong}")))?;
    let host = inventory::host_by_name(&app.pool, &visitor.sight()?, &name).await?;
    let host = host.ok_or_else(|| Problem::not_found(format!("there is no host named {name}")))?;
    let addresses = || host.draft.interfaces.iter().flat_map(|interface| interface.addresses.iter().copied());
    let first = addresses().find(IpAddr::is_ipv4).or_else(|| addresses().next());
    first.ok_or_else(|| wrong_parameter("from", format!("{name} has no address")))
}
