//! `holdfast host move`, and the moves that are planned.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    network::list,
    print,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

/// Where a host moves to.
#[derive(Debug, Args)]
pub(super) struct MoveFields {
    /// Its full name.
    pub name: String,
    /// The new subnet.
    #[arg(long)]
    pub subnet: String,
    /// The new address; the next free one where it is not given.
    #[arg(long)]
    pub address: Option<String>,
    /// Which of its interfaces, counted from 0.
    #[arg(long, default_value = "0")]
    pub interface: usize,
    /// Where it will stand.
    #[arg(long)]
    pub location: Option<String>,
    /// Not now but then, such as 2026-11-30T06:00:00Z: TTLs are lowered before.
    #[arg(long, value_name = "TIME")]
    pub planned: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum MoveCommand {
    /// List planned moves, and those of the last 30 days.
    List,
    /// Cancel a planned move; the host's TTL is as before.
    Cancel {
        /// Its id.
        id: String,
        #[command(flatten)]
        wish: Wish,
    },
}

pub(super) fn move_host(client: &Client, output: Output, fields: &MoveFields, wish: &Wish) -> Result<(), Failure> {
    let MoveFields { name, subnet, address, interface, location, planned } = fields;
    let body = json!({ "subnet": subnet, "address": address, "interface": interface, "location": location, "planned_at": planned });
    let path = format!("/hosts/{}/move", encode(name));
    let answer = client.ask(Method::POST, Question { path: &path, query: wish_query(wish), body: Some(&body), ..Question::default() })?;
    print::result(output, &answer.body, |body| print::written(body) + &settled(&body["object"]))
}

/// What a plan is worth, where it is one.
fn settled(plan: &Value) -> String {
    let (Some(at), Some(settled)) = (plan["at"].as_str(), plan["settled_at"].as_str()) else { return String::new() };
    format!("it moves at {at}; answers with the old TTL have run out at {settled}\n")
}

pub(super) fn run(client: &Client, output: Output, command: MoveCommand) -> Result<(), Failure> {
    match command {
        MoveCommand::List => list(client, output, "/moves", &["id", "host", "subnet", "address", "at", "settled_at", "state", "why"]),
        MoveCommand::Cancel { id, wish } => {
            let path = format!("/moves/{}", encode(&id));
            let question = Question { path: &path, query: wish_query(&wish), ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
    }
}
