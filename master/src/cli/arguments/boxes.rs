//! What can be typed about the boxes and what is published to them.

use super::Why;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SnapshotCommand {
    /// Every snapshot, its newest generation, and how far each agent is; of one, its generations.
    List {
        /// Only the generations of this one: zone, bootptab, auth-people, auth-access.
        feed: Option<String>,
        /// At most so many generations.
        #[arg(long, default_value = "20")]
        limit: u32,
    },
    /// What is in a generation: its manifest, and who changed what.
    Show {
        /// The snapshot.
        feed: String,
        /// The generation; the newest where it is not given.
        generation: Option<u64>,
    },
    /// What differs between two generations, in words.
    Diff {
        /// The snapshot.
        feed: String,
        /// The generation to begin with.
        from: u64,
        /// The generation to end with.
        to: u64,
    },
    /// Verify the kept history again: signatures, parents, payloads, and the digest from every row.
    Verify {
        /// The snapshot; all of them where it is not given.
        feed: Option<String>,
    },
    /// Compose everything anew from the database and compare it with what is published.
    Audit {
        /// Have what differs published as it should be.
        #[arg(long)]
        repair: bool,
    },
    /// Answer for a generation that removes much, so that it is published.
    Release {
        /// The snapshot.
        feed: String,
        /// How many rows go, as `holdfast snapshot list` tells it: you answer for those, and for no others.
        #[arg(long)]
        removed: u32,
        /// Why all that may go; it stands in the history.
        #[arg(long)]
        reason: String,
        /// Tell what is held, and let nothing out.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum NodeCommand {
    /// List boxes, and say what stands against publishing.
    List,
    /// Show a box: its certificate, its build, and how far it has each feed.
    Show {
        /// Its name.
        name: String,
    },
    /// Make a one-time token for a new box.
    Enrol {
        /// Its name, a short word.
        name: String,
        /// `agent` or `portal`.
        #[arg(long, default_value = "agent", value_parser = ["agent", "portal"])]
        role: String,
        /// The campus that it serves.
        #[arg(long)]
        campus: Option<String>,
        /// It takes the place of the box of this name, which is thrown out the moment that the new one comes.
        #[arg(long)]
        replace: bool,
    },
    /// Throw a box out, and tell what is left to be done.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        why: Why,
    },
}
