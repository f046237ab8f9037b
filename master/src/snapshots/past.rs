//! Rebuilding a generation that is kept, verifying every step as an agent would.

use super::Opener;
use crate::db::publish::GenerationRow;
use crate::db::{DbError, adoption, generations};
use holdfast_proto::snapshot::{ApplyError, Feed, ManifestError, OpenError, Opened, PayloadForm, Sealed, State};
use holdfast_proto::words::{Epoch, Generation};
use sqlx::PgConnection;
use std::cmp::Ordering;
use std::fmt;

/// How many deltas are read at a time.
pub(super) const PAGE: i64 = 256;

/// Why a generation cannot be rebuilt or read.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// There is no such generation, or it is older than what is kept.
    #[error("{0}")]
    Missing(String),
    /// What is kept does not hold together.
    #[error("the kept history is damaged: {0}")]
    Wrong(String),
}

impl From<sqlx::Error> for PastError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

macro_rules! is_damage {
    ($($error:ty),*) => { $(impl From<$error> for PastError {
        fn from(error: $error) -> Self {
            Self::Wrong(error.to_string())
        }
    })* };
}
is_damage!(ApplyError, ManifestError, OpenError);

/// Opens what was kept of a generation.
pub(super) fn opened(open: &Opener, row: &GenerationRow) -> Result<Opened, PastError> {
    Ok(open(&Sealed::from_bytes(&row.sealed)?)?)
}

/// The state of a feed at one generation.
pub(super) async fn state_at(connection: &mut PgConnection, open: &Opener, feed: Feed, at: (Epoch, Generation)) -> Result<State, PastError> {
    let state = match generations::checkpoint(connection, feed, at).await? {
        Some(row) => State::restore(&opened(open, &row)?, &row.payload)?,
        None => State::empty(feed),
    };
    forward(connection, open, state, at, |_| {}).await
}

/// One step through the history.
pub(super) enum Step<'a> {
    /// A generation with its delta, and its number.
    Delta(&'a GenerationRow, Generation),
    /// From one generation to a later one, and what lay between is missing.
    Gap(Missing),
}

/// Generations that are not kept, because the master was put back from a backup and took a later one from an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    /// The last generation before.
    pub before: Generation,
    /// The one that was adopted.
    pub adopted: Generation,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, adopted } = self;
        let (first, last) = (before.next(), adopted.0.saturating_sub(1));
        match last.cmp(&first.0) {
            Ordering::Less => write!(f, "what led to generation {adopted}")?,
            Ordering::Equal => write!(f, "generation {first}")?,
            Ordering::Greater => write!(f, "what lay between, generations {first} to {last},")?,
        }
        write!(f, " is missing: the master was put back from a backup, and took generation {adopted} from an agent")
    }
}

/// Goes on from a state to a later generation, calling `each` with every step on the way.
pub(super) async fn forward(
    connection: &mut PgConnection,
    open: &Opener,
    mut state: State,
    to: (Epoch, Generation),
    mut each: impl FnMut(Step<'_>),
) -> Result<State, PastError> {
    let feed = state.view().feed();
    while at(&state) < to {
        let rows = generations::between(connection, feed, at(&state), to, PAGE).await?;
        let next = rows.first().map(|row| opened(open, row)).transpose()?;
        // Where no delta starts from here, what the next one starts from was adopted: no checkpoint but such a one lies before it.
        let start = next.as_ref().map_or(to, |next| (next.manifest().epoch, next.manifest().parent));
        if next.as_ref().is_none_or(|next| starts_elsewhere(&state, next))
            && let Some((further, missing)) = over_gap(connection, open, &state, start).await?
        {
            each(Step::Gap(missing));
            state = further;
            continue;
        }
        if next.is_none() {
            return Err(PastError::Missing(format!("generation {} of {feed} is not kept", to.1)));
        }
        for (number, row) in rows.iter().enumerate() {
            let next = opened(open, row)?;
            if number > 0 && starts_elsewhere(&state, &next) {
                break;
            }
            state = state.advance(&next, &row.payload)?;
            each(Step::Delta(row, next.manifest().generation));
        }
    }
    Ok(state)
}

/// Where a generation is and what it is called.
pub(super) fn at(state: &State) -> (Epoch, Generation) {
    (state.view().epoch(), state.view().generation())
}

fn starts_elsewhere(state: &State, next: &Opened) -> bool {
    let manifest = next.manifest();
    manifest.form == PayloadForm::Delta && manifest.parent != state.view().generation()
}

/// The next checkpoint up to `to` that no delta leads to, and what is missing before it.
async fn over_gap(connection: &mut PgConnection, open: &Opener, state: &State, to: (Epoch, Generation)) -> Result<Option<(State, Missing)>, PastError> {
    let (feed, before) = (state.view().feed(), state.view().generation());
    let Some(next) = adoption::next_checkpoint(connection, feed, at(state)).await?.filter(|next| *next <= to) else { return Ok(None) };
    let Some(row) = generations::checkpoint(connection, feed, next).await? else { return Ok(None) };
    let state = State::restore(&opened(open, &row)?, &row.payload)?;
    Ok(Some((state, Missing { before, adopted: next.1 })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_in_a_sentence() {
        let told = |before, adopted| Missing { before: Generation(before), adopted: Generation(adopted) }.to_string();
        let why = |adopted| format!("is missing: the master was put back from a backup, and took generation {adopted} from an agent");
        assert_eq!(told(4, 9), format!("what lay between, generations 5 to 8, {}", why(9)));
        assert_eq!(told(4, 6), format!("generation 5 {}", why(6)));
        assert_eq!(told(4, 5), format!("what led to generation 5 {}", why(5)));
    }
}
