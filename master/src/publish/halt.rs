//! Why this master must not publish: an agent holds something newer that was signed by us, or the same number with other
//! contents. Then the database went back (a backup was put in), or two masters published. Whatever would be published now
//! would be a second truth under numbers that are taken, so nothing is, until the agent's generation is taken back
//! (`adopt`) or the root begins a new epoch. Or, without any harm: another master leads.

use super::latest::Latest;
use crate::db::nodes::{self, HaltRow};
use crate::db::publish::LeaderRow;
use crate::keys::Keys;
use chrono::SecondsFormat;
use holdfast_proto::snapshot::{Feed, Sealed};
use holdfast_proto::words::{Epoch, Generation};
use sqlx::PgConnection;
use std::fmt;

/// What stands against publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// An agent holds what this master does not know.
    Ahead {
        /// Which feed.
        feed: Feed,
        /// The agent that tells.
        agent: String,
        /// What it holds.
        held: (Epoch, Generation),
        /// What this master has.
        ours: (Epoch, Generation),
    },
    /// Another master publishes. What this one has is from before that, until it takes over.
    Elsewhere(LeaderRow),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { feed, agent, held, ours } => write!(
                f,
                "{agent} holds {feed} {}.{}, signed by this institution, and this master has {}.{}: its database went back, or another master published. \
                 Nothing is published until that is taken back (`holdfast-master adopt-from-agent`) or the root begins a new epoch \
                 (`holdfast-master root draft --new-epoch`)",
                held.0, held.1, ours.0, ours.1
            ),
            Self::Elsewhere(LeaderRow { session, since, host }) => {
                let host = host.as_deref().unwrap_or("the database's own machine");
                write!(
                    f,
                    "another master leads since {} (session {session} of the database, from {host}): this one publishes nothing, and shows what was \
                     published before, until the other one goes",
                    since.to_rfc3339_opts(SecondsFormat::Secs, true)
                )
            }
        }
    }
}

/// Reads what stands against publishing; forgets what belongs to epochs that have ended.
pub(super) async fn read(db: &mut PgConnection, keys: &Keys, latest: &Latest) -> anyhow::Result<Option<Halt>> {
    let epoch = keys.trust.draft().epoch;
    if nodes::lift_halts(db, epoch).await? > 0 {
        tracing::info!(event = "publisher_resumed", %epoch, "the root began a new epoch: this master publishes again");
    }
    Ok(nodes::halts(db).await?.iter().find_map(|row| halt(row, keys, latest)))
}

fn halt(row: &HaltRow, keys: &Keys, latest: &Latest) -> Option<Halt> {
    let feed = row.feed()?;
    let state = latest.state(feed);
    let ours = (state.view().epoch(), state.view().generation());
    // Only what verifies counts: a box cannot stop its master by saying so.
    let opened = keys.open_history(&Sealed::from_bytes(&row.sealed).ok()?).ok()?;
    let says_what_it_shows = (opened.manifest().feed, opened.manifest().epoch, opened.manifest().generation) == (feed, row.at().0, row.at().1);
    let is_unknown = match &row.published {
        Some(published) => *published != row.sealed,
        None => row.at() > ours,
    };
    // The portal has its own history, and brings its own back.
    (says_what_it_shows && is_unknown && feed != Feed::PEOPLE).then(|| Halt::Ahead { feed, agent: row.agent.clone(), held: row.at(), ours })
}
