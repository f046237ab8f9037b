//! `/import`: whole files at once, all or nothing. Everything that is wrong comes back with file and line.

use super::{
    IMPORT_LIMIT_BYTES,
    parameters::OfWrites,
    request::{Json as Body, read},
    write::Wish,
};
use crate::{
    http::{App, FieldError, Problem, Served, session::Visitor},
    inventory::import::{ImportError, Options, Report, Upload, import},
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(take_in))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = import::Wanted)]
struct Wanted {
    files: Vec<Upload>,
    /// The campus of subnets that the files do not place.
    #[serde(default)]
    campus: Option<String>,
    /// The domain of bare names that the files do not complete.
    #[serde(default)]
    domain: Option<String>,
    /// What tables of others call our columns: `{"name": "Hostname"}`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// As the query parameter of the same name.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Imported {
    dry_run: bool,
    #[serde(flatten)]
    report: Report,
    propagation: Vec<Served>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
}

#[utoipa::path(
    post,
    path = "/import",
    operation_id = "importFiles",
    summary = "Take in whole files, all or nothing.",
    request_body = Wanted,
    params(OfWrites),
    responses((status = 201, body = Imported), (status = 200, body = Imported)),
)]
async fn take_in(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<IMPORT_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let wanted: Wanted = read(body, &["files"])?;
    let dry_run = wish.dry_run || wanted.dry_run;
    let options = Options { dry_run, campus: wanted.campus, domain: wanted.domain, mapping: wanted.columns.into_iter().collect() };
    let keys = app.data_keys();
    let mut report = import(&app.pool, &visitor.actor("import"), &wish.reason, wanted.files, options, keys.first()).await?;
    app.committed.notify_one();
    if !report.errors.is_empty() {
        let errors = std::mem::take(&mut report.errors).into_iter().map(located).collect();
        return Err(Problem { findings: report.findings.into(), ..Problem::refused(errors) });
    }
    let (propagation, held) = match report.change_set {
        Some(change_set) => super::write::propagation(&app, change_set, wish.wait).await,
        None => (vec![], None),
    };
    let status = if report.change_set.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Imported { dry_run, report, propagation, held })).into_response())
}

fn located(error: ImportError) -> FieldError {
    let line = Some(u64::from(error.place.line)).filter(|line| *line > 0);
    FieldError { file: Some(error.place.file.to_string()), line, ..FieldError::new("", "import", error.message) }
}
