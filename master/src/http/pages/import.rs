//! Taking files in: tried first, with everything that is new, odd or wrong; then all of it, or nothing.

use super::{Frame, Person, Refused, ask::given, page};
use crate::{
    http::{App, Problem},
    inventory::import::{Options, Report, Severity, Upload, import},
};
use askama::Template;
use axum::{
    Form, Router,
    extract::State,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};

/// What a page takes. What is larger goes by `holdfast import`.
const LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// Errors that are listed.
const ERRORS_SHOWN: usize = 500;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/import", get(form).post(step)).layer(axum::extract::DefaultBodyLimit::max(LIMIT_BYTES))
}

#[derive(Template)]
#[template(path = "import.html")]
struct ImportPage {
    frame: Frame,
    name: String,
    text: String,
    campus: String,
    reason: String,
    /// What came of trying it.
    tried: Option<Report>,
}

impl ImportPage {
    fn may_apply(&self) -> bool {
        self.tried.as_ref().is_some_and(|report| report.errors.is_empty())
    }

    fn errors(&self) -> Vec<(String, String)> {
        let errors = self.tried.iter().flat_map(|report| &report.errors).take(ERRORS_SHOWN);
        errors.map(|error| (format!("{}:{}", error.place.file, error.place.line), error.message.clone())).collect()
    }

    /// Word and number of what is new or changed.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        let Some(report) = &self.tried else { return vec![] };
        let counts = report.counts;
        let all = [
            ("new hosts", counts.hosts),
            ("hosts that learn something", counts.hosts_changed),
            ("records", counts.records),
            ("zones", counts.zones),
            ("hosts that are so already", counts.hosts_same),
            ("campuses", counts.campuses),
            ("departments", counts.departments),
            ("contacts", counts.contacts),
            ("contacts that change", counts.contacts_changed),
            ("subnets", counts.subnets),
            ("subnets that change", counts.subnets_changed),
            ("containers", counts.containers),
            ("pools", counts.pools),
            ("templates", counts.templates),
            ("NASs", counts.nas),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

fn is_warning(severity: &Severity) -> bool {
    *severity == Severity::Warning
}

pub(super) async fn form(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    let (name, text, campus, reason) = Default::default();
    page(ImportPage { frame: Frame::of(&app, &visitor, "import").await?, name, text, campus, reason, tried: None })
}

pub(super) async fn step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Vec<(String, String)>>) -> Result<Response, Refused> {
    let [name, text, campus, reason] = ["name", "text", "campus", "reason"].map(|field| given(&pairs, field).trim_matches(['\r', ' ']).to_owned());
    let dry_run = given(&pairs, "step") != "import";
    if name.is_empty() || text.trim().is_empty() {
        let detail = "give the file's name, which tells its format (db.uni.example, bootptab, dhcpd.conf, kea-dhcp4.conf, hosts.csv, clients.conf, ethers), and its text";
        return Err(Problem::malformed(detail, vec![]).into());
    }
    let files = vec![Upload { name: name.clone(), text: text.replace("\r\n", "\n") }];
    let options = Options { dry_run, campus: Some(campus.clone()).filter(|campus| !campus.is_empty()), ..Options::default() };
    let keys = app.data_keys();
    let report = import(&app.pool, &visitor.actor("import"), &reason, files, options, keys.first()).await?;
    app.committed.notify_one();
    if let Some(change_set) = report.change_set {
        return Ok(Redirect::to(&format!("/changes/{change_set}")).into_response());
    }
    page(ImportPage { frame: Frame::of(&app, &visitor, "import").await?, name, text, campus, reason, tried: Some(report) })
}
