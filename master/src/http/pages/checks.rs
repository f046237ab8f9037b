//! What is wrong, with a cure where there is one beyond doubt, and a waiver where somebody answers for it.

use super::{
    Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    follow, page,
};
use crate::{
    http::{App, Problem, api::read_draft, session::Visitor},
    inventory::{
        self, Action, Edit,
        checks::{self, CATALOGUE, FindingFilter, FindingRow, Severity, WaiverEdit},
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde_json::json;

/// Findings on the page; of more, the first are put right first.
const SHOWN: i64 = 500;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// Those as well that are waived.
    waived: Option<String>,
    #[serde(default)]
    code: String,
    change: Option<uuid::Uuid>,
}

#[derive(Template)]
#[template(path = "checks.html")]
struct ChecksPage {
    frame: Frame,
    findings: Vec<FindingRow>,
    at: Option<DateTime<Utc>>,
    waived: bool,
    code: String,
    follow: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(asked): Query<Asked>) -> Result<Response, Refused> {
    visitor.sees_all("all findings")?;
    let (waived, code) = (asked.waived.is_some(), asked.code.trim().to_owned());
    let filter = FindingFilter { code: Some(code.clone()).filter(|code| !code.is_empty()), waived, limit: SHOWN, ..FindingFilter::default() };
    let (mut findings, at) = checks::list(&app.pool, &filter).await?;
    findings.sort_by_key(|finding| rank(finding.severity));
    page(ChecksPage { frame: Frame::of(&app, &visitor, "checks").await?, findings, at, waived, code, follow: follow(&app, asked.change).await? })
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        Severity::Note => 2,
    }
}

fn class(severity: &Severity) -> &'static str {
    match severity {
        Severity::Error => "bad",
        Severity::Warning => "",
        Severity::Note => "off",
    }
}

fn word(severity: &Severity) -> &'static str {
    severity.as_str()
}

/// What the check is called.
fn name(code: &str) -> &'static str {
    CATALOGUE.iter().find(|check| check.code == code).map_or("", |check| check.name)
}

pub(super) async fn run(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    inventory::authorise(&visitor.actor("web"), Action::Read, "all findings")?;
    checks::run(&app.pool, None).await?;
    Ok(Redirect::to("/checks").into_response())
}

/// Which finding is meant.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Meant {
    code: String,
    object: String,
}

impl Meant {
    fn of(pairs: &Pairs) -> Self {
        Self { code: given(pairs, "code").to_owned(), object: given(pairs, "object").to_owned() }
    }
}

async fn ask(app: &App, visitor: &Visitor, meant: &Meant, title: &str, action: &str) -> Result<Ask, Refused> {
    visitor.sees_all("all findings")?;
    let about = format!("{} {}: {}", meant.code, name(&meant.code), meant.object);
    let carried = vec![("code", meant.code.clone()), ("object", meant.object.clone())];
    let ask = Ask::new(app, visitor, "checks", title).await?;
    Ok(Ask { about, carried, action: action.to_owned(), ..ask })
}

async fn waive_ask(app: &App, visitor: &Visitor, meant: &Meant) -> Result<Ask, Refused> {
    let until = Field {
        value: (Utc::now().date_naive() + chrono::Days::new(90)).to_string(),
        ..Field::new("until", "Until the end of", "A day, such as 2027-01-31", Look::Mono)
    };
    let fields = vec![Field::new("why", "Why it does not count", "Whoever looks later reads this", Look::Text), until];
    Ok(Ask { fields, verb: "Let it not count", ..ask(app, visitor, meant, "Waive a finding", "/checks/waive").await? })
}

pub(super) async fn waive_form(State(app): State<App>, Person(visitor): Person, Query(meant): Query<Meant>) -> Result<Response, Refused> {
    page(waive_ask(&app, &visitor, &meant).await?)
}

pub(super) async fn waive_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Waiver {
        why: String,
        until: NaiveDate,
    }
    let meant = Meant::of(&pairs);
    let ask = waive_ask(&app, &visitor, &meant).await?.filled(&pairs);
    let edit = read_draft::<Waiver>(ask.draft(json!({})), &["why", "until"]).map(|waiver| {
        let Meant { code, object } = meant;
        Edit::Waiver(WaiverEdit::Waive { code, object, reason: waiver.why, until: waiver.until })
    });
    ask.step(&app, &visitor, &pairs, edit, None).await
}

pub(super) async fn fix_form(State(app): State<App>, Person(visitor): Person, Query(meant): Query<Meant>) -> Result<Response, Refused> {
    let ask = Ask { verb: "Put it right", ..ask(&app, &visitor, &meant, "Put it right", "/checks/fix").await? };
    let tried = checks::fix(&app.pool, &visitor.actor("web"), "", &meant.code, &meant.object, true).await;
    match tried.map_err(Problem::from) {
        Ok(fixed) => ask.with_words(fixed.edits),
        Err(problem) => ask.refused(problem),
    }
}

pub(super) async fn fix_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let meant = Meant::of(&pairs);
    let ask = ask(&app, &visitor, &meant, "Put it right", "/checks/fix").await?.filled(&pairs);
    let made = checks::fix(&app.pool, &visitor.actor("web"), &ask.reason, &meant.code, &meant.object, false).await;
    app.committed.notify_one();
    match made.map_err(Problem::from) {
        Ok(fixed) => {
            let change = fixed.change_set.map(|change| format!("?change={change}")).unwrap_or_default();
            Ok(Redirect::to(&format!("/checks{change}")).into_response())
        }
        Err(problem) => ask.refused(problem),
    }
}
