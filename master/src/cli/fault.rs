//! `holdfast fault`: what is wrong with the network, told to operations with whom to call.

use super::{
    Failure,
    arguments::Output,
    client::{Client, Question, encode},
    print,
    space::all,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

const COLUMNS: [&str; 9] = ["number", "at", "kind", "severity", "ip", "mac", "port", "reported_by", "text"];

#[derive(Debug, Subcommand)]
pub(super) enum FaultCommand {
    /// Tell of a fault, and print whom to call.
    Report(Report),
    /// Faults that were told, the newest first.
    List {
        /// Only of this kind.
        #[arg(long, value_parser = ["fault", "incident"])]
        kind: Option<String>,
    },
    /// Print the sentences that faults are told with, or change one.
    Template {
        /// Which one is changed.
        #[arg(value_parser = ["fault", "incident"], requires = "text")]
        kind: Option<String>,
        /// What it becomes; with gaps such as {host}, {ip}, {place}, {person}, {phone}.
        text: Option<String>,
    },
}

/// What is wrong, and with what.
#[derive(Debug, Args)]
pub(super) struct Report {
    /// What is wrong.
    text: String,
    /// With which address.
    #[arg(long)]
    ip: Option<String>,
    /// With which hardware address.
    #[arg(long)]
    mac: Option<String>,
    /// With which port, such as "sw-cc-3 Gi1/0/7".
    #[arg(long)]
    port: Option<String>,
    /// How bad it is.
    #[arg(long, default_value = "error", value_parser = ["info", "warning", "error", "critical"])]
    severity: String,
    /// Somebody is under attack, or takes part in one.
    #[arg(long)]
    incident: bool,
}

pub(super) fn run(client: &Client, output: Output, command: FaultCommand) -> Result<(), Failure> {
    match command {
        FaultCommand::Report(report) => tell(client, output, report),
        FaultCommand::List { kind } => all(client, output, "/faults", kind.map(|kind| ("kind", kind)).into_iter().collect(), &COLUMNS),
        FaultCommand::Template { kind: Some(kind), text: Some(text) } => {
            let (path, body) = (format!("/fault-templates/{}", encode(&kind)), json!({ "text": text }));
            let body = client.ask(Method::PUT, Question { path: &path, body: Some(&body), ..Question::default() })?.body;
            print::result(output, &body, |_| "done\n".to_owned())
        }
        FaultCommand::Template { .. } => print::columns(output, &client.get("/fault-templates", vec![])?.body, &["kind", "text"]),
    }
}

fn tell(client: &Client, output: Output, report: Report) -> Result<(), Failure> {
    let Report { text, ip, mac, port, severity, incident } = report;
    let kind = if incident { "incident" } else { "fault" };
    let mut body = Map::from_iter([("text".to_owned(), Value::from(text)), ("severity".to_owned(), severity.into()), ("kind".to_owned(), kind.into())]);
    let of = [("ip", ip), ("mac", mac), ("port", port)];
    body.extend(of.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))));
    let answer = client.ask(Method::POST, Question { path: "/faults", body: Some(&json!(body)), ..Question::default() })?;
    print::result(output, &answer.body, told)
}

/// The sentence, and whom to call in order.
fn told(fault: &Value) -> String {
    let mut text = format!("{}\n", print::cell(&fault["message"]));
    for step in fault["escalation"].as_array().into_iter().flatten() {
        let ways: Vec<&str> = [&step["phone"], &step["mail"]].into_iter().filter_map(Value::as_str).collect();
        let object = print::cell(&step["object"]);
        let of = if object.is_empty() { print::cell(&step["level"]) } else { object };
        text.push_str(&format!("  call {} ({of}): {}\n", print::cell(&step["name"]), ways.join(", ")));
    }
    if fault["repeated"] == true {
        text.push_str("it was told a moment ago already: it is counted there, and told to nobody again\n");
    }
    text
}
