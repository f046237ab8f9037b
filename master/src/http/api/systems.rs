//! What other systems take from us in their own format: `/prometheus-sd`, hosts to be watched; `/acl`, sources that may come in.

use super::request::{Parameters, wrong_parameter};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{
        acl::{self, Format, Place},
        watched::{self, TargetGroup},
    },
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use holdfast_proto::words::Subnet;
use http::{Uri, header};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Where Prometheus's node exporter listens.
const PORT_DEFAULT: u32 = 9100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(prometheus)).routes(routes!(sources))
}

/// As `http_sd_configs` of Prometheus asks for it: a list of groups, and no envelope.
#[utoipa::path(
    get,
    path = "/prometheus-sd",
    operation_id = "prometheusTargets",
    summary = "Hosts to be watched, as service discovery of Prometheus (http_sd), with campus, department and room as labels.",
    params(
        ("port" = Option<u32>, Query, minimum = 1, maximum = 65535, description = "Where they are asked; 9100 where nothing is said."),
        ("campus" = Option<String>, Query, description = "Of this campus."),
        ("department" = Option<String>, Query, description = "Of this department."),
        ("class" = Option<String>, Query, description = "Of this device class."),
    ),
    responses((status = 200, body = Vec<TargetGroup>)),
)]
async fn prometheus(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Vec<TargetGroup>>, Problem> {
    visitor.sees_all("all hosts")?;
    let parameters = Parameters::of(&uri, &["port", "campus", "department", "class"])?;
    let port = parameters.number("port", 1..=65535)?.unwrap_or(PORT_DEFAULT);
    let of = watched::Of { campus: parameters.text("campus"), department: parameters.text("department"), class: parameters.text("class") };
    Ok(Json(watched::targets(&app.pool, &of, port).await?))
}

#[utoipa::path(
    get,
    path = "/acl",
    operation_id = "acl",
    summary = "Which sources may come in from a subnet or by a router's port, as lines for the box that asks them (BCP 38).",
    params(
        ("subnet" = Option<String>, Query, description = "From this subnet."),
        ("router" = Option<String>, Query, description = "By a port of this router."),
        ("port" = Option<String>, Query, description = "By this port."),
        ("format" = String, Query, description = "One of: nft, cisco, prefix-list."),
    ),
    responses((status = 200, body = String, content_type = "text/plain")),
)]
async fn sources(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Response, Problem> {
    visitor.sees_all("what may come in")?;
    let parameters = Parameters::of(&uri, &["subnet", "router", "port", "format"])?;
    let given = parameters.text("format").unwrap_or_default();
    let format: Format =
        serde_json::from_value(given.into()).map_err(|_| wrong_parameter("format", format!("\"{given}\" is neither nft nor cisco nor prefix-list")))?;
    let place = match (parameters.text("subnet"), parameters.text("router"), parameters.text("port")) {
        (Some(subnet), None, None) => {
            let wrong = |_| wrong_parameter("subnet", format!("\"{subnet}\" is no subnet such as 10.1.4.0/22"));
            Place::Subnet(subnet.parse::<Subnet>().map_err(wrong)?)
        }
        (None, Some(router), Some(port)) => Place::Port(router.to_owned(), port.to_owned()),
        _ => return Err(wrong_parameter("subnet", "say either subnet, or router and port".to_owned())),
    };
    let text = acl::acl(&app.pool, &place, format).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
