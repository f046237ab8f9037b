//! `holdfast lease`: what agents lend.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    print,
    space::all,
};
use clap::Subcommand;
use http::Method;

const COLUMNS: [&str; 8] = ["ip", "mac", "host_name", "name", "agent", "state", "since", "until"];

#[derive(Debug, Subcommand)]
pub(super) enum LeaseCommand {
    /// Who has, or had last, each address that was lent.
    List {
        /// Only those of this subnet.
        #[arg(long)]
        subnet: Option<String>,
    },
    /// Have the agent that lent an address end the lease. It is renewed no more; nobody else gets the address before the machine can no
    /// longer believe that it has it.
    Release {
        /// The address.
        ip: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Who had an address on loan, or which addresses a machine had: the last first.
    #[command(group(clap::ArgGroup::new("of").required(true).args(["ip", "mac"])))]
    History {
        /// Of this address.
        #[arg(long)]
        ip: Option<String>,
        /// Of the machine with this hardware address.
        #[arg(long)]
        mac: Option<String>,
    },
}

pub(super) fn lease(client: &Client, output: Output, command: LeaseCommand) -> Result<(), Failure> {
    match command {
        LeaseCommand::List { subnet } => {
            let query = subnet.map(|subnet| ("subnet", subnet)).into_iter().collect();
            all(client, output, "/leases", query, &COLUMNS)
        }
        LeaseCommand::Release { ip, wish } => {
            let path = format!("/leases/{}/release", encode(&ip));
            let answer = client.ask(Method::POST, Question { path: &path, query: wish_query(&wish), ..Question::default() })?;
            print::result(output, &answer.body, print::written)
        }
        LeaseCommand::History { ip, mac } => {
            let query = [("ip", ip), ("mac", mac)].into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
            all(client, output, "/leases/history", query, &COLUMNS)
        }
    }
}
