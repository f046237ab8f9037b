//! Why an edit was not made: every problem at once, each with a stable name, a place in the draft and a sentence.

use crate::db::DbError;
use serde::Serialize;

/// One thing that is wrong with an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable name of this kind of problem, the end of its URN: `duplicate-address`.
    pub kind: &'static str,
    /// Where in the draft, as a JSON pointer (RFC 6901): `/interfaces/0/addresses/0`; empty for the whole.
    pub pointer: String,
    /// What is wrong and what to do, naming the other object.
    pub detail: String,
}

impl Problem {
    pub(super) fn new(kind: &'static str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, pointer: pointer.into(), detail: detail.into() }
    }
}

/// Why an edit was not made. Nothing of it is left in the database.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The draft does not fit: all problems that could be found.
    #[error("{}", sentences(.0))]
    Invalid(Vec<Problem>),
    /// The object to change is not there.
    #[error("{}", .0.detail)]
    Missing(Problem),
    /// This person may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The object moved on since it was read.
    #[error("it was changed by someone else since you read it (now at version {}): read it again and repeat the edit", now.0)]
    Stale {
        /// The version it has now.
        now: super::Version,
    },
    /// The database failed; nothing is known to be wrong with the edit.
    #[error(transparent)]
    Database(#[from] DbError),
}

fn sentences(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.detail.as_str()).collect::<Vec<_>>().join("; ")
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}
