//! `holdfast discovery`: machines that turned up, and how they become hosts.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    network::{add, list},
    print,
    space::all,
};
use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

const COLUMNS: [&str; 9] = ["at", "mac", "subnet", "ip", "state", "host", "source", "port", "detail"];

#[derive(Debug, Subcommand)]
pub(super) enum DiscoveryCommand {
    /// Machines that turned up, and what became of them, the last first.
    List {
        /// Only of this subnet.
        #[arg(long)]
        subnet: Option<String>,
        /// Only in this state.
        #[arg(long, value_parser = ["waiting", "made", "known", "reported", "refused"])]
        state: Option<String>,
    },
    /// Tell of a machine that was seen.
    Report {
        /// Its hardware address.
        mac: String,
        /// The address that it was seen with.
        #[arg(long, required_unless_present = "subnet")]
        ip: Option<String>,
        /// Its subnet, where no address is known.
        #[arg(long)]
        subnet: Option<String>,
        /// The port that it was seen at.
        #[arg(long)]
        port: Option<String>,
        /// Where that is known from.
        #[arg(long)]
        source: Option<String>,
    },
    /// How machines become hosts, by subnet.
    Rules,
    /// Say how machines that turn up in a subnet are called, and how many in an hour become hosts. That any do is said with
    /// `holdfast subnet set NETWORK --unknown-machines auto`.
    Rule {
        /// The subnet.
        subnet: String,
        /// What they are called: dev-{mac} under the subnet's domain, or a full name; {mac} is the hardware address, {tail} its end.
        #[arg(long)]
        name: Option<String>,
        /// How many in an hour, at most.
        #[arg(long)]
        per_hour: Option<u16>,
        /// There is no rule any more.
        #[arg(long, conflicts_with_all = ["name", "per_hour"])]
        remove: bool,
        #[command(flatten)]
        wish: Wish,
    },
}

pub(super) fn run(client: &Client, output: Output, command: DiscoveryCommand) -> Result<(), Failure> {
    match command {
        DiscoveryCommand::List { subnet, state } => {
            let query = [("subnet", subnet), ("state", state)].into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            all(client, output, "/discoveries", query, &COLUMNS)
        }
        DiscoveryCommand::Report { mac, ip, subnet, port, source } => {
            let fields = [("mac", Some(mac)), ("ip", ip), ("subnet", subnet), ("port", port), ("source", source)];
            let body: Map<String, Value> = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))).collect();
            let body = client.ask(Method::POST, Question { path: "/discoveries", body: Some(&json!(body)), ..Question::default() })?.body;
            print::result(output, &body, noted)
        }
        DiscoveryCommand::Rules => list(client, output, "/discovery-rules", &["subnet", "name", "per_hour"]),
        DiscoveryCommand::Rule { subnet, remove: true, wish, .. } => {
            let path = format!("/discovery-rules/{}", encode(&subnet));
            let body = client.ask(Method::DELETE, Question { path: &path, query: wish_query(&wish), ..Question::default() })?.body;
            print::result(output, &body, print::written)
        }
        DiscoveryCommand::Rule { subnet, name, per_hour, wish, .. } => {
            let mut body = Map::from_iter([("subnet".to_owned(), Value::from(subnet))]);
            body.extend(name.map(|name| ("name".to_owned(), name.into())));
            body.extend(per_hour.map(|number| ("per_hour".to_owned(), number.into())));
            add(client, output, "/discovery-rules", &json!(body), &wish)
        }
    }
}

fn noted(body: &Value) -> String {
    let (mac, subnet, policy) = (print::cell(&body["mac"]), print::cell(&body["subnet"]), print::cell(&body["policy"]));
    match (body["state"].as_str(), policy.as_str()) {
        (Some("known"), _) => format!("{mac} is a host in {subnet} already\n"),
        (_, "auto") => format!("{mac} is about to become a host in {subnet}\n"),
        _ => format!("{mac} is told to whoever answers for {subnet}: strangers are not registered there by themselves ({policy})\n"),
    }
}
