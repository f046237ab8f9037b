//! Rebuilding a generation that is kept, verifying every step as an agent would.

use super::Opener;
use crate::db::publish::GenerationRow;
use crate::db::{DbError, generations};
use holdfast_proto::snapshot::{ApplyError, Feed, ManifestError, OpenError, Opened, Sealed, State};
use holdfast_proto::words::{Epoch, Generation};
use sqlx::PgConnection;

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

/// Goes on from a state to a later generation, calling `each` with every delta on the way.
pub(super) async fn forward(
    connection: &mut PgConnection,
    open: &Opener,
    mut state: State,
    to: (Epoch, Generation),
    mut each: impl FnMut(&GenerationRow),
) -> Result<State, PastError> {
    let feed = state.view().feed();
    while (state.view().epoch(), state.view().generation()) < to {
        let here = (state.view().epoch(), state.view().generation());
        let rows = generations::between(connection, feed, here, to, PAGE).await?;
        if rows.is_empty() {
            return Err(PastError::Missing(format!("generation {} of {feed} is not kept", to.1)));
        }
        for row in &rows {
            state = state.advance(&opened(open, row)?, &row.payload)?;
            each(row);
        }
    }
    Ok(state)
}
