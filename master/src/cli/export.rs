//! `holdfast export`: what other boxes take from us in their own format.

use super::{Failure, client::Client, print};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Which sources may come in from a subnet or by a router's port, as lines for the box that asks them (BCP 38).
    #[command(group(clap::ArgGroup::new("place").required(true).args(["subnet", "router"])))]
    Acl {
        /// From this subnet.
        #[arg(long)]
        subnet: Option<String>,
        /// By a port of this router.
        #[arg(long, requires = "port")]
        router: Option<String>,
        /// By this port.
        #[arg(long, requires = "router")]
        port: Option<String>,
        /// In whose words.
        #[arg(long, value_parser = ["nft", "cisco", "prefix-list"])]
        format: String,
    },
}

pub(super) fn run(client: &Client, command: ExportCommand) -> Result<(), Failure> {
    let ExportCommand::Acl { subnet, router, port, format } = command;
    let given = [("subnet", subnet), ("router", router), ("port", port)].into_iter().filter_map(|(name, value)| Some((name, value?)));
    print::out(client.text("/acl", given.chain([("format", format)]).collect())?.as_bytes())
}
