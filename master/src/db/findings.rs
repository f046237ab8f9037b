//! What the checks found and what was waived, as it is kept.

use super::DbError;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_as};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[schema(as = checks::Severity)]
pub enum Severity {
    /// Somebody is answered wrongly, or not at all.
    Error,
    /// It works, and somebody will be sorry for it.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// The check's stable code.
    pub code: String,
    /// What it is about, as people call it.
    pub object: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub detail: String,
    /// The handle of who is responsible for the object.
    pub owner: Option<String>,
    /// Since when it is known.
    pub since: DateTime<Utc>,
    /// Why it was waived, where it is.
    pub waived: Option<String>,
    /// Until when it is.
    pub until: Option<NaiveDate>,
}

/// Something that is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    /// The check's stable code.
    pub code: &'static str,
    /// What it is about.
    pub object: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub detail: String,
    /// The handle of who is responsible.
    pub owner: Option<String>,
}

/// Which findings to list.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// Only of codes that begin so: `HF-3`.
    pub code: Option<String>,
    /// Only these.
    pub severity: Option<Severity>,
    /// Only what is about this.
    pub object: Option<String>,
    /// Those as well that are waived.
    pub waived: bool,
    /// Only after this code and object.
    pub after: Option<(String, String)>,
    /// How many at most.
    pub limit: i64,
}

/// Findings by code and object.
pub async fn list(db: &mut PgConnection, filter: &FindingFilter) -> Result<Vec<FindingRow>, DbError> {
    let (code, object) = filter.after.clone().unzip();
    let sql = query_as!(
        FindingRow,
        r#"select f.code, f.object, f.severity as "severity: Severity", f.detail, f.owner, f.since, w.reason as "waived?", w.until as "until?"
           from checks.finding f left join checks.waiver w on (w.code, w.object) = (f.code, f.object) and w.until >= current_date
           where ($1::text is null or f.code like $1 || '%') and ($2::text is null or f.severity = $2) and ($3::text is null or f.object = $3)
             and ($4 or w.id is null) and ($5::text is null or (f.code, f.object) > ($5, $6)) order by f.code, f.object limit $7"#,
        filter.code,
        filter.severity as _,
        filter.object,
        filter.waived,
        code,
        object,
        filter.limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// How many findings there are that nobody waived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
#[schema(as = checks::Counts)]
pub struct Counts {
    /// Of errors.
    pub errors: i64,
    /// Of warnings.
    pub warnings: i64,
    /// Of notes.
    pub notes: i64,
    /// Waived ones, of any kind.
    pub waived: i64,
}

/// Makes what is kept be these findings: what was known keeps its age, what is not found any more goes.
pub async fn replace(db: &mut PgConnection, found: &[NewFinding]) -> Result<(), DbError> {
    let codes: Vec<String> = found.iter().map(|one| one.code.to_owned()).collect();
    let objects: Vec<String> = found.iter().map(|one| one.object.clone()).collect();
    let severities: Vec<String> = found.iter().map(|one| one.severity.as_str().to_owned()).collect();
    let details: Vec<String> = found.iter().map(|one| one.detail.clone()).collect();
    let owners: Vec<Option<String>> = found.iter().map(|one| one.owner.clone()).collect();
    query!(
        r#"delete from checks.finding f where not exists (select from unnest($1::text[], $2::text[]) as t (code, object) where (t.code, t.object) = (f.code, f.object))"#,
        &codes,
        &objects
    )
    .execute(&mut *db)
    .await?;
    query!(
        r#"insert into checks.finding (code, object, severity, detail, owner)
           select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
           on conflict (code, object) do update set severity = excluded.severity, detail = excluded.detail, owner = excluded.owner"#,
        &codes,
        &objects,
        &severities,
        &details,
        &owners as _
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many there are now.
pub async fn count(db: &mut PgConnection) -> Result<Counts, DbError> {
    let sql = query_as!(
        Counts,
        r#"select count(*) filter (where w.id is null and f.severity = 'error') as "errors!", count(*) filter (where w.id is null and f.severity = 'warning') as "warnings!",
             count(*) filter (where w.id is null and f.severity = 'note') as "notes!", count(w.id) as "waived!"
           from checks.finding f left join checks.waiver w on (w.code, w.object) = (f.code, f.object) and w.until >= current_date"#
    );
    Ok(sql.fetch_one(db).await?)
}

/// Notes that the checks were run.
pub async fn note_run(db: &mut PgConnection, took_ms: i64, counts: Counts) -> Result<(), DbError> {
    query!(
        r#"insert into checks.run (took_ms, errors, warnings, notes, waived) values ($1, $2, $3, $4, $5)"#,
        took_ms,
        counts.errors,
        counts.warnings,
        counts.notes,
        counts.waived
    )
    .execute(db)
    .await?;
    Ok(())
}

/// When the checks were last run.
pub async fn last_run(db: &mut PgConnection) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(query!(r#"select at from checks.run order by id desc limit 1"#).fetch_optional(db).await?.map(|row| row.at))
}

/// Keeps a waiver, new or with another reason and end.
pub async fn put_waiver(db: &mut PgConnection, code: &str, object: &str, reason: &str, until: NaiveDate) -> Result<(), DbError> {
    query!(
        r#"insert into checks.waiver (code, object, reason, until) values ($1, $2, $3, $4)
           on conflict (code, object) do update set reason = excluded.reason, until = excluded.until"#,
        code,
        object,
        reason,
        until
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a waiver back; false where there was none.
pub async fn delete_waiver(db: &mut PgConnection, code: &str, object: &str) -> Result<bool, DbError> {
    Ok(query!(r#"delete from checks.waiver where code = $1 and object = $2"#, code, object).execute(db).await?.rows_affected() > 0)
}
