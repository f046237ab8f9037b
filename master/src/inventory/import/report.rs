//! What an import tells the person who asked for it.

use super::place::{ImportError, Place};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use uuid::Uuid;

/// So many findings of one kind are listed; the last says how many more there were.
pub const FINDINGS_LIMIT_PER_CODE: usize = 200;

/// What an import did, or would do, or why it did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = import::Report)]
pub struct Report {
    /// How many objects were made.
    pub counts: Counts,
    /// What a person should look at; it did not stop the import.
    pub findings: Vec<Finding>,
    /// What stopped the import: nothing was stored.
    pub errors: Vec<ImportError>,
    /// What becomes of the lines, at most [`ROWS_LIMIT`] of them; those with errors stand there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
    /// The change set; `None` after errors, a dry run, or when there was nothing to do.
    pub change_set: Option<Uuid>,
}

/// So many rows of a report are listed.
pub const ROWS_LIMIT: usize = 1_000;

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = import::Row)]
pub struct Row {
    /// The line.
    pub place: Place,
    /// What becomes of it.
    pub state: RowState,
    /// The object, as people call it: `host pc1.uni.example`.
    pub object: String,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = import::RowState)]
pub enum RowState {
    /// It makes an object.
    New,
    /// It changes one.
    Changed,
    /// It says what is known.
    Same,
}

/// How many objects an import makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = import::Counts)]
pub struct Counts {
    /// New hosts.
    pub hosts: usize,
    /// Hosts that were there and learnt something.
    pub hosts_changed: usize,
    /// Hosts that are as the files say.
    pub hosts_same: usize,
    /// Records that no host implies.
    pub records: usize,
    /// Zones.
    pub zones: usize,
    /// Campuses.
    pub campuses: usize,
    /// Subnets.
    pub subnets: usize,
    /// Subnets that become as a table says.
    pub subnets_changed: usize,
    /// Pools of addresses to lend.
    pub pools: usize,
    /// Networks that only hold others.
    pub containers: usize,
    /// Departments.
    pub departments: usize,
    /// Contacts.
    pub contacts: usize,
    /// Contacts that become as a table says.
    pub contacts_changed: usize,
    /// Bootptab templates.
    pub templates: usize,
    /// RADIUS clients.
    pub nas: usize,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = import::Severity)]
pub enum Severity {
    /// Good to know.
    Info,
    /// The files or the database disagree, or something was left out: look at it.
    Warning,
}

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = import::Finding)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The stable name of this kind of finding: `address-mismatch`.
    pub code: String,
    /// What was found and what was done about it.
    pub message: String,
    /// The lines that it is about; the file is `database` for what was there before.
    pub places: Vec<Place>,
}

/// Findings as they are collected.
///
/// By severity, warnings first, and kind: those that are listed, and how many more there were.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<(Reverse<Severity>, String), (Vec<Finding>, usize)>);

impl Findings {
    pub(super) fn info(&mut self, code: &str, message: impl Into<String>, places: impl IntoIterator<Item = Place>) {
        self.push(Severity::Info, code, message.into(), places);
    }

    pub(super) fn warn(&mut self, code: &str, message: impl Into<String>, places: impl IntoIterator<Item = Place>) {
        self.push(Severity::Warning, code, message.into(), places);
    }

    fn push(&mut self, severity: Severity, code: &str, message: String, places: impl IntoIterator<Item = Place>) {
        let (listed, more) = self.0.entry((Reverse(severity), code.to_owned())).or_default();
        if listed.len() < FINDINGS_LIMIT_PER_CODE {
            listed.push(Finding { severity, code: code.to_owned(), message, places: places.into_iter().collect() });
        } else {
            *more += 1;
        }
    }

    /// Counts warnings that nobody kept.
    pub(super) fn warn_more(&mut self, code: &str, more: usize) {
        if more > 0 {
            self.0.entry((Reverse(Severity::Warning), code.to_owned())).or_default().1 += more;
        }
    }

    /// Warnings first, then by kind; each kind up to its limit.
    pub(super) fn into_vec(self) -> Vec<Finding> {
        let mut out: Vec<Finding> = Vec::new();
        for ((Reverse(severity), code), (listed, more)) in self.0 {
            out.extend(listed);
            if more > 0 {
                out.push(Finding { severity, code, message: format!("{more} more of this kind are not listed"), places: vec![] });
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_first_and_each_kind_has_its_limit() {
        let mut findings = Findings::default();
        findings.info("a", "said", []);
        for number in 0..FINDINGS_LIMIT_PER_CODE + 3 {
            findings.warn("b", number.to_string(), []);
        }
        findings.warn_more("b", 4);
        let told: Vec<String> = findings.into_vec().into_iter().map(|finding| finding.message).collect();
        assert_eq!((told.len(), told[0].as_str()), (FINDINGS_LIMIT_PER_CODE + 2, "0"));
        assert_eq!(told[FINDINGS_LIMIT_PER_CODE..], ["7 more of this kind are not listed", "said"]);
    }
}
