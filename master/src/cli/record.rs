//! `holdfast record`: what a zone holds beside the names of hosts.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    network::add,
    print, space,
};
use clap::Subcommand;
use http::Method;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum RecordCommand {
    /// List records; those of hosts are seen with `holdfast host list`.
    List {
        /// Only of this zone.
        #[arg(long)]
        zone: Option<String>,
        /// Only at this name.
        #[arg(long)]
        name: Option<String>,
        /// Only of this type, such as MX.
        #[arg(long = "type", value_name = "TYPE")]
        rtype: Option<String>,
    },
    /// Add a record.
    Add {
        /// The full name that has it.
        name: String,
        /// Its type, such as MX.
        #[arg(value_name = "TYPE")]
        rtype: String,
        /// Its data as in a zone file, with full names: "10 mail.uni.example".
        data: String,
        /// Its TTL in seconds; the zone's where it is not given.
        #[arg(long)]
        ttl: Option<u32>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a record.
    Del {
        /// The full name that has it.
        name: String,
        /// Its type.
        #[arg(value_name = "TYPE")]
        rtype: String,
        /// Its data.
        data: String,
        #[command(flatten)]
        wish: Wish,
    },
}

pub(super) fn run(client: &Client, output: Output, command: RecordCommand) -> Result<(), Failure> {
    match command {
        RecordCommand::List { zone, name, rtype } => {
            let given = [("zone", zone), ("name", name), ("type", rtype)];
            let query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            space::all(client, output, "/records", query, &["name", "type", "ttl", "data", "host"])
        }
        RecordCommand::Add { name, rtype, data, ttl, wish } => {
            add(client, output, "/records", &json!({ "name": name, "type": rtype, "ttl": ttl, "data": data }), &wish)
        }
        RecordCommand::Del { name, rtype, data, wish } => {
            let path = format!("/records/{}/{}/{}", encode(&name), encode(&rtype), encode(&data));
            let question = Question { path: &path, query: wish_query(&wish), ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
    }
}
