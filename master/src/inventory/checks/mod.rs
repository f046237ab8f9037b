//! Consistency checks: what no constraint of the database can make impossible, looked for over all rows at once.
//!
//! Every check has a stable code, a severity and a sentence. They read one snapshot and change nothing, so they hold nobody
//! up and would run on a replica; what they found is kept with its age. What somebody waived, with a reason and an end, does
//! not count until that day. What a fault's cure is beyond doubt is told as edits, and made when asked for.
//!
//! What the database refuses is not looked for: overlapping subnets, addresses twice or outside, an alias beside other data.

mod catalogue;
mod fix;
mod mail;
mod names;

pub use crate::db::findings::{Counts, FindingFilter, FindingRow, Severity};
pub use catalogue::{CATALOGUE, Check};
pub use fix::{Fixed, fix, has_cure};

use super::{Problem, Refusal};
use crate::db::findings::{self, NewFinding};
use crate::db::{DbError, checks};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use std::time::{Duration, Instant};

/// One wish to waive something, or to take that back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WaiverEdit {
    /// It does not count until the end of a day.
    Waive {
        /// The check's code.
        code: String,
        /// What it is about.
        object: String,
        /// Why.
        reason: String,
        /// The last day.
        until: NaiveDate,
    },
    /// It counts again.
    Count {
        /// The check's code.
        code: String,
        /// What it is about.
        object: String,
    },
}

/// What came of running the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = checks::Run)]
pub struct Run {
    /// How much was found.
    #[serde(flatten)]
    pub counts: Counts,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
}

/// A fault that something else than the database tells of: the audit of what is published.
#[derive(Debug)]
pub struct Told {
    /// What it is about.
    pub object: String,
    /// What is wrong.
    pub detail: String,
}

/// Runs all checks in one snapshot of the database and keeps what they find. `drift` is what the audit of the
/// snapshots found; where none was made, what is known of it stays.
pub async fn run(pool: &PgPool, drift: Option<Vec<Told>>) -> Result<Run, DbError> {
    let begun = Instant::now();
    let mut found = all_cases(pool).await?;
    match drift {
        Some(told) => found.extend(told.into_iter().map(|told| catalogue::DRIFT.finding(told.object, told.detail, None))),
        None => found.extend(known_drift(pool).await?),
    }
    found.sort_by(|one, other| (one.code, &one.object).cmp(&(other.code, &other.object)));
    found.dedup_by(|later, earlier| (later.code, &later.object) == (earlier.code, &earlier.object));
    let mut tx = pool.begin().await?;
    findings::replace(&mut tx, &found).await?;
    let (counts, took_ms) = (findings::count(&mut tx).await?, begun.elapsed().as_millis() as i64);
    findings::note_run(&mut tx, took_ms, counts).await?;
    tx.commit().await?;
    metrics::gauge!("holdfast_check_findings", "severity" => "error").set(counts.errors as f64);
    metrics::gauge!("holdfast_check_findings", "severity" => "warning").set(counts.warnings as f64);
    Ok(Run { counts, took_ms })
}

async fn known_drift(pool: &PgPool) -> Result<Vec<NewFinding>, DbError> {
    let filter = FindingFilter { code: Some(catalogue::DRIFT.code.to_owned()), waived: true, limit: checks::CASES_LIMIT, ..FindingFilter::default() };
    let known = findings::list(&mut *pool.acquire().await?, &filter).await?;
    Ok(known.into_iter().map(|row| catalogue::DRIFT.finding(row.object, row.detail, row.owner)).collect())
}

/// Every night at an hour, UTC. Never ends.
pub async fn every_night(pool: PgPool, hour: u8) {
    loop {
        tokio::time::sleep(until(hour, Utc::now())).await;
        match run(&pool, None).await {
            Ok(run) => {
                tracing::info!(event = "checks_run", errors = run.counts.errors, warnings = run.counts.warnings, took_ms = run.took_ms, "the checks were run")
            }
            Err(error) => tracing::error!(event = "checks_failed", %error, "the nightly checks could not be run"),
        }
    }
}

/// How long it is until an hour of the day, UTC: always more than nothing.
fn until(hour: u8, now: DateTime<Utc>) -> Duration {
    const DAY_SECS: i64 = 86_400;
    let left = (i64::from(hour % 24) * 3600 - now.timestamp()).rem_euclid(DAY_SECS);
    Duration::from_secs(if left == 0 { DAY_SECS } else { left } as u64)
}

async fn all_cases(pool: &PgPool) -> Result<Vec<NewFinding>, DbError> {
    let mut tx = pool.begin_with("begin isolation level repeatable read read only").await?;
    let mut found = catalogue::plain(&mut tx).await?;
    found.extend(names::find(&mut tx).await?);
    found.extend(mail::find(&mut tx).await?);
    tx.rollback().await?;
    Ok(found)
}

/// What was found when the checks were last run, by code and object; and when that was.
pub async fn list(pool: &PgPool, filter: &FindingFilter) -> Result<(Vec<FindingRow>, Option<DateTime<Utc>>), DbError> {
    let mut db = pool.acquire().await?;
    Ok((findings::list(&mut db, filter).await?, findings::last_run(&mut db).await?))
}

/// The mailboxes that RFC 2142 asks for and that nobody is known to read: `abuse@uni.example`.
pub async fn missing_mailboxes(pool: &PgPool) -> Result<Vec<String>, DbError> {
    mail::missing_mailboxes(&mut *pool.acquire().await?).await
}

/// Makes the edit.
pub(super) async fn make(db: &mut PgConnection, edit: WaiverEdit) -> Result<(), Refusal> {
    match edit {
        WaiverEdit::Waive { code, object, reason, until } => waive(db, &code, &object, &reason, until).await,
        WaiverEdit::Count { code, object } => {
            let missing = || Refusal::Missing(Problem::new("no-such-waiver", "", format!("{code} of {object} is not waived")));
            if findings::delete_waiver(db, &code, &object).await? { Ok(()) } else { Err(missing()) }
        }
    }
}

async fn waive(db: &mut PgConnection, code: &str, object: &str, reason: &str, until: NaiveDate) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    if !CATALOGUE.iter().any(|check| check.code == code) {
        problems.push(Problem::new("no-such-check", "/code", format!("there is no check {code}")));
    }
    if reason.trim().is_empty() {
        problems.push(Problem::new("missing", "/reason", "say why it is waived: whoever comes after you has to know"));
    }
    if until < Utc::now().date_naive() {
        problems.push(Problem::new("time-out-of-range", "/until", format!("{until} is over: a waiver ends on a day to come")));
    }
    super::places::refuse(problems)?;
    Ok(findings::put_waiver(db, code, object, reason, until).await?)
}

/// What of a check's cases is kept as findings.
fn findings_of(check: &Check, cases: Vec<checks::Case>) -> Vec<NewFinding> {
    cases.into_iter().map(|case| check.finding(case.object, check.sentence(&case.what), case.owner)).collect()
}
