//! `/explain/{object}`: what is known of a name, an address or a hardware address. `/addresses/{ip}/holders`: who had an address.

use super::{changes::time, request::Parameters};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        Action, authorise,
        explain::{self, Explained},
        whohad::{WhoHad, who_had},
    },
};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use http::Uri;
use std::net::IpAddr;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/explain/{object}", get(told)).route("/addresses/{ip}/holders", get(holders))
}

async fn told(State(app): State<App>, visitor: Visitor, Path(object): Path<String>, uri: Uri) -> Result<Json<Explained>, Problem> {
    Parameters::of(&uri, &[])?;
    Ok(Json(explain::explain(&app.pool, &visitor.sight()?, object.trim()).await?))
}

/// Ever, or with `at=` then. For those who see everything, since whose a host was then is not kept by it.
async fn holders(State(app): State<App>, visitor: Visitor, Path(ip): Path<String>, uri: Uri) -> Result<Json<WhoHad>, Problem> {
    let parameters = Parameters::of(&uri, &["at"])?;
    authorise(&visitor.actor("api"), Action::Read, "who had which address")?;
    let ip: IpAddr = ip.parse().map_err(|_| Problem::not_found(format!("\"{ip}\" is no IP address")))?;
    Ok(Json(who_had(&app.pool, ip, time(&parameters, "at")?).await?))
}
