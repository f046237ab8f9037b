//! `holdfast session`: who is, and was, on the network, as NASs say; and who is logged in at the master.

use super::{
    Failure,
    arguments::Output,
    client::Client,
    people::{self, LoginCommand},
    print,
    space::all,
};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Who is, and was, on the network, as NASs say: the last first.
    List(Which),
    /// How many sessions, for how long, and how much: who has most first.
    Report {
        /// Of each user, or at each NAS.
        #[arg(long, value_enum)]
        by: By,
        /// Only those that began at this time or later.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only those that began before this time.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    #[command(flatten)]
    Login(LoginCommand),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of this user.
    #[arg(long)]
    user: Option<String>,
    /// At this NAS, by name or address.
    #[arg(long)]
    nas: Option<String>,
    /// From this hardware address.
    #[arg(long)]
    mac: Option<String>,
    /// With this address.
    #[arg(long)]
    ip: Option<String>,
    /// At this time, such as 2026-11-21T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Only those that have not ended.
    #[arg(long)]
    open: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum By {
    User,
    Nas,
}

pub(super) fn session(client: &Client, output: Output, command: SessionCommand) -> Result<(), Failure> {
    match command {
        SessionCommand::List(Which { user, nas, mac, ip, at, open }) => {
            let given = [("user", user), ("nas", nas), ("mac", mac), ("ip", ip), ("at", at), ("open", open.then(|| "true".to_owned()))];
            let query = given.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
            let columns = ["user", "nas", "nas_port", "ip", "mac", "state", "since", "until", "input_octets", "output_octets", "cause"];
            all(client, output, "/network-sessions", query, &columns)
        }
        SessionCommand::Report { by, since, until } => {
            let by = match by {
                By::User => "user",
                By::Nas => "nas",
            };
            let given = [("by", Some(by.to_owned())), ("since", since), ("until", until)];
            let query = given.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
            let answer = client.get("/network-sessions/totals", query)?;
            print::columns(output, &answer.body, &["name", "sessions", "open", "seconds", "input_octets", "output_octets"])
        }
        SessionCommand::Login(command) => people::login(client, output, command),
    }
}
