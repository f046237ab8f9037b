//! Addresses that are not IP: AppleTalk, IPX, DECnet, telephone extensions. Their families are data, made by an admin; they
//! are shown with their hosts and stay out of DNS.

use super::{Problem, Refusal};
use crate::db::families::{self, FamilyRow};
use crate::db::hosts::HostRow;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A family as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FamilyDraft {
    /// Its name, a short word: `appletalk`.
    pub name: String,
    /// The regular expression that a whole value matches.
    #[serde(default = "FamilyDraft::anything")]
    pub pattern: String,
    /// Whether only one host may have a value.
    #[serde(default = "FamilyDraft::yes")]
    pub unique: bool,
    /// Of a family that can count: the first number.
    #[serde(default)]
    pub first: Option<u32>,
    /// And the last.
    #[serde(default)]
    pub last: Option<u32>,
    /// The value around a number, which stands for `{}`: `65280.{}`.
    #[serde(default = "FamilyDraft::number_alone")]
    pub template: String,
}

impl FamilyDraft {
    fn anything() -> String {
        ".+".to_owned()
    }
    fn yes() -> bool {
        true
    }
    fn number_alone() -> String {
        "{}".to_owned()
    }
}

/// An address of a host in such a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherAddressDraft {
    /// The family.
    pub family: String,
    /// The value; none where the next free one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// All families, by name.
pub async fn all(pool: &PgPool) -> Result<Vec<FamilyDraft>, crate::db::DbError> {
    let rows = families::all(&mut *pool.acquire().await?).await?;
    let bound = |number: Option<i64>| number.and_then(|number| number.try_into().ok());
    let draft = |row: FamilyRow| FamilyDraft {
        name: row.name,
        pattern: row.pattern,
        unique: row.is_unique,
        first: bound(row.first),
        last: bound(row.last),
        template: row.template,
    };
    Ok(rows.into_iter().map(draft).collect())
}

pub(super) async fn add(db: &mut PgConnection, draft: &FamilyDraft) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    if families::all(db).await?.iter().any(|other| other.name == draft.name) {
        problems.push(Problem::new("duplicate-name", "/name", format!("there is a family {} already", draft.name)));
    }
    if draft.first.is_some() != draft.last.is_some() || draft.first > draft.last {
        problems.push(Problem::new("bad-range", "/last", "give the first and the last number, in order, or neither"));
    }
    if !draft.template.contains("{}") {
        problems.push(Problem::new("bad-template", "/template", "the template has no {}, where the number would stand"));
    }
    super::places::refuse(problems)?;
    let row = FamilyRow {
        id: 0,
        name: draft.name.clone(),
        pattern: draft.pattern.clone(),
        is_unique: draft.unique,
        first: draft.first.map(i64::from),
        last: draft.last.map(i64::from),
        template: draft.template.clone(),
    };
    families::insert(db, &row).await.map_err(|error| match error.code().as_deref() {
        // invalid_regular_expression
        Some("2201B") => Problem::new("bad-pattern", "/pattern", format!("\"{}\" is no regular expression", draft.pattern)).into(),
        _ => error.into(),
    })
}

pub(super) async fn delete(db: &mut PgConnection, name: &str) -> Result<(), Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-family", "", format!("there is no family {name}")));
    if families::delete(db, name).await? { Ok(()) } else { Err(missing()) }
}

/// Makes a host's other addresses those of its draft; `at` is the pointer to the draft.
pub(super) async fn set(db: &mut PgConnection, host: Uuid, drafts: &[OtherAddressDraft], at: &str) -> Result<(), Refusal> {
    let current = families::of_hosts(db, &[host]).await?;
    let is_kept = |family: &str, value: &str| drafts.iter().any(|draft| draft.family == family && draft.value.as_deref() == Some(value));
    for gone in current.iter().filter(|row| !is_kept(&row.family, &row.value)) {
        families::take(db, host, &gone.family, &gone.value).await?;
    }
    if drafts.is_empty() {
        return Ok(());
    }
    let known = families::all(db).await?;
    let mut problems = Vec::new();
    for (n, draft) in drafts.iter().enumerate() {
        let has_it = draft.value.as_ref().is_some_and(|value| current.iter().any(|row| row.family == draft.family && row.value == *value));
        if !has_it && let Err((field, kind, detail)) = give(db, host, draft, &known).await? {
            problems.push(Problem::new(kind, format!("{at}/other_addresses/{n}/{field}"), detail));
        }
    }
    super::places::refuse(problems)
}

type Wrong = (&'static str, &'static str, String);

async fn give(db: &mut PgConnection, host: Uuid, draft: &OtherAddressDraft, known: &[FamilyRow]) -> Result<Result<(), Wrong>, Refusal> {
    let Some(family) = known.iter().find(|family| family.name == draft.family) else {
        return Ok(Err(("family", "no-such-family", format!("there is no family {}: `holdfast family add` makes one", draft.family))));
    };
    let value = match &draft.value {
        Some(value) => value.clone(),
        None if family.first.is_none() => return Ok(Err(("value", "missing", format!("{} cannot count: give a value", family.name)))),
        None => match families::next(db, family.id).await? {
            Some(value) => value,
            None => return Ok(Err(("value", "no-free-address", format!("{} has no free value any more", family.name)))),
        },
    };
    if !families::matches(db, family.id, &value).await? {
        return Ok(Err(("value", "bad-value", format!("{value} is no value of {}: it has to match {}", family.name, family.pattern))));
    }
    if family.is_unique
        && let Some((_, name)) = families::owner(db, family.id, &value).await?.filter(|(owner, _)| *owner != host)
    {
        return Ok(Err(("value", "duplicate-address", format!("{value} belongs to {name}"))));
    }
    families::put(db, host, family, &value).await?;
    Ok(Ok(()))
}

/// What a host that goes leaves behind.
pub(super) async fn take_all(db: &mut PgConnection, host: &HostRow) -> Result<(), Refusal> {
    Ok(families::take_all(db, host.id).await?)
}
