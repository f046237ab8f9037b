//! `holdfast machine`: machines that asked for an address and that nobody registered.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question},
    host::{given, wish_query},
    print,
    space::all,
};
use clap::Subcommand;
use http::Method;
use serde_json::json;

const COLUMNS: [&str; 9] = ["mac", "vendor", "subnet", "agent", "relay", "port", "first_seen", "last_seen", "lent"];

#[derive(Debug, Subcommand)]
pub(super) enum MachineCommand {
    /// Who asked and is not registered, the last seen first.
    List {
        /// Only those of this subnet.
        #[arg(long)]
        subnet: Option<String>,
    },
    /// Register one where it asked, with the next free address there.
    Register {
        /// Its hardware address.
        mac: String,
        /// What it shall be called.
        #[arg(long)]
        name: String,
        /// Where, if it asked on several subnets, or on none yet.
        #[arg(long)]
        subnet: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
}

pub(super) fn run(client: &Client, output: Output, command: MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::List { subnet } => {
            let query = subnet.map(|subnet| ("subnet", subnet)).into_iter().collect();
            all(client, output, "/unknown-machines", query, &COLUMNS)
        }
        MachineCommand::Register { mac, name, subnet, wish } => {
            let subnet = match subnet {
                Some(subnet) => subnet,
                None => where_seen(client, &mac)?,
            };
            let interface = json!({ "mac": mac, "addresses": [{ "next": { "subnet": subnet } }] });
            let body = json!({ "name": name, "interfaces": [interface] });
            let answer = client.ask(Method::POST, Question { path: "/hosts", query: wish_query(&wish), body: Some(&body), ..Question::default() })?;
            print::result(output, &answer.body, |body| print::written(body) + &given(&body["object"]))
        }
    }
}

/// The one subnet that a machine asked on.
fn where_seen(client: &Client, mac: &str) -> Result<String, Failure> {
    let body = client.get("/unknown-machines", vec![("mac", mac.to_owned())])?.body;
    let subnets: Vec<String> = print::items(&body).iter().map(|machine| print::cell(&machine["subnet"])).collect();
    match &subnets[..] {
        [subnet] => Ok(subnet.clone()),
        [] => Err(Failure::Usage(format!(
            "no agent has told of {mac}, or it is registered already: say where with --subnet, or look at `holdfast explain {mac}`"
        ))),
        several => Err(Failure::Usage(format!("{mac} asked on {}: say which with --subnet", several.join(" and ")))),
    }
}
