//! The second person: areas where nobody changes anything alone.
//!
//! That somebody is asked for is decided by the database at the commit, so no way of writing can forget it. Here are the rules
//! themselves, which are edits like all others, and what to do for whoever meets one.

use super::{Problem, Refusal};
use crate::db::DbError;
use crate::db::approvals::{self, RuleRow};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;
use uuid::Uuid;

/// A kind of area, as grants have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AreaKind {
    /// Everything.
    Global,
    /// What lies on a campus.
    Campus,
    /// What is a department's.
    Department,
    /// A zone and all below.
    Zone,
    /// Names like this one; an asterisk stands for anything.
    Name,
    /// Addresses of a network: `10.1.4.0/22`.
    Subnet,
    /// Addresses from one to another: `10.1.4.10-10.1.4.99`.
    Range,
}

impl AreaKind {
    /// As it is kept and written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Campus => "campus",
            Self::Department => "department",
            Self::Zone => "zone",
            Self::Name => "name",
            Self::Subnet => "subnet",
            Self::Range => "range",
        }
    }
}

/// A rule as an administrator writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRuleDraft {
    /// What kind of area.
    pub area_kind: AreaKind,
    /// Which one; empty for `global`.
    #[serde(default)]
    pub area_value: String,
    /// A change of fewer rows than this needs nobody else.
    #[serde(default = "one")]
    pub least_rows: i32,
    /// Why it is there.
    #[serde(default)]
    pub comment: String,
}

fn one() -> i32 {
    1
}

/// A rule as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ApprovalRule {
    /// Its number.
    pub id: i64,
    /// `campus north`.
    pub area: String,
    /// A change of fewer rows than this needs nobody else.
    pub least_rows: i32,
    /// Why it is there.
    pub comment: String,
}

/// All rules.
pub async fn approval_rules(pool: &PgPool) -> Result<Vec<ApprovalRule>, DbError> {
    let rule = |row: RuleRow| ApprovalRule { id: row.id, area: area(&row.area_kind, &row.area_value), least_rows: row.least_rows, comment: row.comment };
    Ok(approvals::all(&mut *pool.acquire().await?).await?.into_iter().map(rule).collect())
}

/// The areas that an open change set touches and that ask for a second person.
pub(super) async fn areas_touched(db: &mut PgConnection, change_set: Uuid) -> Result<Vec<String>, DbError> {
    Ok(approvals::touched(db, change_set).await?.iter().map(|row| area(&row.area_kind, &row.area_value)).collect())
}

fn area(kind: &str, value: &str) -> String {
    format!("{kind} {value}").trim_end().to_owned()
}

/// What to do where a second person is asked for.
pub(super) fn sentence(areas: &str) -> String {
    format!(
        "changes in {areas} need a second person: put the edit into a change set (POST /api/v1/change-sets, or holdfast change-set new), \
         propose it, and have somebody else approve it"
    )
}

/// Adds a rule.
pub(super) async fn add(db: &mut PgConnection, draft: &ApprovalRuleDraft) -> Result<(), Refusal> {
    super::places::refuse(check(draft))?;
    approvals::insert(db, draft.area_kind.text(), &draft.area_value, draft.least_rows, &draft.comment).await?;
    Ok(())
}

/// Deletes a rule.
pub(super) async fn delete(db: &mut PgConnection, id: i64) -> Result<(), Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-rule", "", format!("there is no approval rule {id}")));
    if approvals::delete(db, id).await? { Ok(()) } else { Err(missing()) }
}

fn check(draft: &ApprovalRuleDraft) -> Vec<Problem> {
    let value = draft.area_value.as_str();
    let wrong = match draft.area_kind {
        AreaKind::Global => (!value.is_empty()).then(|| "everything has no value: leave it empty".to_owned()),
        AreaKind::Subnet => value.parse::<ipnet::IpNet>().err().map(|_| format!("\"{value}\" is no network such as 10.1.4.0/22")),
        AreaKind::Range => (!is_range(value)).then(|| format!("\"{value}\" is no range such as 10.1.4.10-10.1.4.99")),
        _ => (value.is_empty() || value.ends_with('.') || value.to_lowercase() != value)
            .then(|| format!("\"{value}\" is no {} in lower case without a final dot", draft.area_kind.text())),
    };
    let mut problems: Vec<Problem> = wrong.into_iter().map(|detail| Problem::new("bad-area", "/area_value", detail)).collect();
    if draft.least_rows < 1 {
        problems.push(Problem::new("bad-number", "/least_rows", "a rule begins at one row or more"));
    }
    problems
}

fn is_range(value: &str) -> bool {
    let ends = value.split_once('-').and_then(|(first, last)| Some((first.parse::<IpAddr>().ok()?, last.parse::<IpAddr>().ok()?)));
    ends.is_some_and(|(first, last)| first.is_ipv4() == last.is_ipv4() && first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(area_kind: AreaKind, area_value: &str) -> usize {
        check(&ApprovalRuleDraft { area_kind, area_value: area_value.to_owned(), least_rows: 1, comment: String::new() }).len()
    }

    #[test]
    fn areas_are_written_as_grants_write_them() {
        assert_eq!(kinds(AreaKind::Global, "") + kinds(AreaKind::Campus, "north") + kinds(AreaKind::Name, "*.cs.uni.example"), 0);
        assert_eq!(kinds(AreaKind::Subnet, "10.1.4.0/22") + kinds(AreaKind::Range, "10.1.4.1-10.1.4.9") + kinds(AreaKind::Range, "::1-::9"), 0);
        let wrong = [
            (AreaKind::Global, "x"),
            (AreaKind::Zone, "Uni.example"),
            (AreaKind::Zone, ""),
            (AreaKind::Subnet, "10.1.4.0"),
            (AreaKind::Range, "10.1.4.9-10.1.4.1"),
        ];
        for (kind, value) in wrong {
            assert_eq!(kinds(kind, value), 1, "{kind:?} {value}");
        }
    }
}
