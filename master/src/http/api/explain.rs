//! `/explain/{object}`: what is known of a name, an address or a hardware address. `/addresses/{ip}/holders`: who had an address.

use super::{
    parameters::At,
    {changes::time, request::Parameters},
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        Action, authorise,
        explain::{self, Explained},
        whohad::{WhoHad, who_had},
    },
};
use axum::{
    Json,
    extract::{Path, State},
};
use http::Uri;
use std::net::IpAddr;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(told)).routes(routes!(holders))
}

#[utoipa::path(
    get,
    path = "/explain/{object}",
    operation_id = "explain",
    summary = "What is known of a name, an address or a hardware address, in sentences.",
    responses((status = 200, body = Explained)),
)]
async fn told(State(app): State<App>, visitor: Visitor, Path(object): Path<String>, uri: Uri) -> Result<Json<Explained>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(explain::explain(&app.pool, &visitor.sight()?, object.trim()).await?))
}

/// Ever, or with `at=` then. For those who see everything, since whose a host was then is not kept by it.
#[utoipa::path(
    get,
    path = "/addresses/{ip}/holders",
    operation_id = "whoHad",
    summary = "Which hosts had an address, and when.",
    params(At),
    responses((status = 200, body = WhoHad)),
)]
async fn holders(State(app): State<App>, visitor: Visitor, Path(ip): Path<String>, uri: Uri) -> Result<Json<WhoHad>, Problem> {
    let parameters = Parameters::of(&uri, &["at"])?;
    authorise(&visitor.actor("api"), Action::Read, "who had which address")?;
    let ip: IpAddr = ip.parse().map_err(|_| Problem::not_found(format!("\"{ip}\" is no IP address")))?;
    Ok(Json(who_had(&app.pool, ip, time(&parameters, "at")?).await?))
}
