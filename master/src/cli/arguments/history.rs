//! What can be typed about what was done: changes, change sets, the audit and what boxes saw.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ChangesCommand {
    /// All that a change set changed, field by field.
    Show {
        /// The change set.
        id: String,
    },
}

/// Which change sets to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct ChangesWish {
    /// Only those made or written by this one.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only those made then or later, such as 2026-11-21T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those made before.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only those that changed such an object: host, subnet, zone, record...
    #[arg(long)]
    pub kind: Option<String>,
    /// Only those with this in the reason, or with an object of this name.
    #[arg(long)]
    pub text: Option<String>,
    /// Only those that came this way: web, api, import, break-glass.
    #[arg(long)]
    pub via: Option<String>,
    /// At most so many.
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ChangeSetCommand {
    /// Begin a change set.
    New {
        /// Why, for the history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List change sets that are, or were, being written.
    List {
        /// Only in this state: draft, proposed, approved, applied, withdrawn.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show a change set with its edits.
    Show {
        /// The change set.
        id: String,
    },
    /// Add an edit, as the API would be asked for it.
    Add {
        /// The change set.
        id: String,
        /// POST, PUT, PATCH or DELETE.
        method: String,
        /// Below /api/v1, such as /hosts/www.uni.example.
        path: String,
        /// JSON.
        body: Option<String>,
        /// The ETag of the version that was read.
        #[arg(long)]
        if_match: Option<String>,
    },
    /// Take an edit out.
    Remove {
        /// The change set.
        id: String,
        /// The edit's number.
        number: u32,
    },
    /// Tell all that would be answered differently.
    Preview {
        /// The change set.
        id: String,
    },
    /// Ask for a second person.
    Propose {
        /// The change set.
        id: String,
    },
    /// Approve what somebody else wrote.
    Approve {
        /// The change set.
        id: String,
    },
    /// Apply it: everything, or nothing.
    Apply {
        /// The change set.
        id: String,
        /// Do without the second person, for this reason; administrators in an emergency. It stands in the history.
        #[arg(long, value_name = "WHY")]
        break_glass: Option<String>,
        /// Tell what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Wait until every agent serves it, at most so long.
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s", require_equals = true)]
        wait: Option<String>,
    },
    /// Give it up.
    Withdraw {
        /// The change set.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// The chain, the newest link first.
    List {
        /// At most so many.
        #[arg(long, default_value = "100")]
        limit: u32,
    },
    /// Recompute the whole chain; exit code 1 where something does not fit.
    Verify,
}

/// Which reports to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct EventWish {
    /// Only of this box.
    #[arg(long)]
    pub node: Option<String>,
    /// Only with this name, such as disk_failed.
    #[arg(long)]
    pub event: Option<String>,
    /// Only who did what, or was refused.
    #[arg(long)]
    pub audit: bool,
    /// Only what was seen then or later, such as 2026-11-21T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many.
    #[arg(long)]
    pub limit: Option<usize>,
}
