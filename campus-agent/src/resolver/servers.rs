//! How those are that the resolver asks, for people: in a file beside it, and as a report when nobody is there any more.

use crate::reports::Spool;
use holdfast_names::engine::Notice;
use std::path::Path;

/// Where it stands how they are, in the runtime directory.
const SERVERS_FILE: &str = "resolver.servers";

/// Writes down what changed, for [`read_servers`] and for the master.
pub(super) fn tell(run_dir: &Path, spool: &Spool, notice: Notice<'_>) {
    match notice {
        Notice::Servers(now) => {
            let (path, aside) = (run_dir.join(SERVERS_FILE), run_dir.join(format!("{SERVERS_FILE}.new")));
            // A file that cannot be written costs some lines of a status, and no answer.
            let _ = std::fs::write(&aside, now).and_then(|()| std::fs::rename(&aside, &path));
        }
        Notice::CutOff { after_s } => spool.raise(
            "resolver_cut_off",
            format!("nobody can be asked for names of others, {after_s} s after the start: what is known of them is told on, past its time if need be"),
        ),
        Notice::Reconnected => spool.raise("resolver_reconnected", "somebody can be asked for names of others again".to_owned()),
    }
}

/// How the servers are that the resolver of this box asks, as it last wrote it down; empty where it does not run.
pub fn read_servers(run_dir: &Path) -> String {
    std::fs::read_to_string(run_dir.join(SERVERS_FILE)).unwrap_or_default()
}
