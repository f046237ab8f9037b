//! `holdfast router`, `topology`, `dept-server`: what stands behind which port, and servers that departments run themselves.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    network::{add, list},
    print,
};
use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};
use std::fmt::Write;

const TOPOLOGY: [&str; 8] = ["router", "port", "subnet", "campus", "department", "hosts", "guests", "servers"];

#[derive(Debug, Subcommand)]
pub(super) enum RouterCommand {
    /// List routers.
    List,
    /// Add a router.
    Add {
        /// Its name.
        name: String,
        /// Where it stands.
        #[arg(long)]
        campus: String,
        /// What it is, in words.
        #[arg(long)]
        title: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Say what stands behind a port of a router: these subnets and no others.
    Port {
        /// The router.
        router: String,
        /// What it calls the port.
        port: String,
        /// The subnets.
        subnets: Vec<String>,
        /// The port is gone.
        #[arg(long, conflicts_with = "subnets")]
        remove: bool,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a router with its ports.
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TopologyCommand {
    /// Every subnet by router and port, with whose it is; those at no port last.
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// List departments' servers.
    List,
    /// Register a server in a subnet that its department shares with nobody.
    Add {
        /// Its name, a short word.
        name: String,
        /// Whose it is.
        #[arg(long)]
        department: String,
        /// A part of the system, or alone.
        #[arg(long, value_parser = ["member", "independent"])]
        kind: String,
        /// Its address.
        #[arg(long)]
        address: String,
        /// The TSIG key that it signs with.
        #[arg(long)]
        key: Option<String>,
        /// Anything else.
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
    /// What it is given, what it took last, and what its routers are to be told.
    Show {
        /// Its name.
        name: String,
    },
    /// It is no server any more.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// What stands in the way of a department's own server, and a plan.
    Advise {
        /// The department.
        department: String,
    },
}

pub(super) fn router(client: &Client, output: Output, command: RouterCommand) -> Result<(), Failure> {
    match command {
        RouterCommand::List => list(client, output, "/routers", &["name", "campus", "title", "version"]),
        RouterCommand::Add { name, campus, title, wish } => {
            let body = given([("name", Some(name)), ("campus", Some(campus)), ("title", title)]);
            add(client, output, "/routers", &body, &wish)
        }
        RouterCommand::Port { router, port, subnets, remove, wish } => set_port(client, output, &router, &port, (!remove).then_some(subnets), &wish),
        RouterCommand::Del { name, wish } => delete(client, output, &format!("/routers/{}", encode(&name)), &wish),
    }
}

/// Reads the router, puts the port into its list, and writes it if nobody else did meanwhile.
fn set_port(client: &Client, output: Output, router: &str, port: &str, subnets: Option<Vec<String>>, wish: &Wish) -> Result<(), Failure> {
    let path = format!("/routers/{}", encode(router));
    let found = client.get(&path, vec![])?;
    let mut ports: Vec<Value> = found.body["ports"].as_array().cloned().unwrap_or_default();
    ports.retain(|one| one["name"] != port);
    ports.extend(subnets.map(|subnets| json!({ "name": port, "subnets": subnets })));
    let question = Question { path: &path, query: wish_query(wish), if_match: found.etag.as_deref(), body: Some(&json!({ "ports": ports })) };
    print::result(output, &client.ask(Method::PATCH, question)?.body, print::written)
}

pub(super) fn topology(client: &Client, output: Output, command: TopologyCommand) -> Result<(), Failure> {
    let TopologyCommand::Show = command;
    print::columns(output, &client.get("/topology", vec![])?.body, &TOPOLOGY)
}

pub(super) fn server(client: &Client, output: Output, command: ServerCommand) -> Result<(), Failure> {
    match command {
        ServerCommand::List => list(client, output, "/department-servers", &["name", "department", "kind", "address", "key", "note"]),
        ServerCommand::Add { name, department, kind, address, key, note, wish } => {
            let (name, department, kind, address) = (Some(name), Some(department), Some(kind), Some(address));
            let fields = [("name", name), ("department", department), ("kind", kind), ("address", address), ("key", key), ("note", note)];
            add(client, output, "/department-servers", &given(fields), &wish)
        }
        ServerCommand::Show { name } => {
            let path = format!("/department-servers/{}/standing", encode(&name));
            print::result(output, &client.get(&path, vec![])?.body, standing)
        }
        ServerCommand::Remove { name, wish } => delete(client, output, &format!("/department-servers/{}", encode(&name)), &wish),
        ServerCommand::Advise { department } => {
            let path = format!("/departments/{}/server-advice", encode(&department));
            print::result(output, &client.get(&path, vec![])?.body, advice)
        }
    }
}

fn given<const N: usize>(fields: [(&str, Option<String>); N]) -> Value {
    let given = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), Value::from(value?))));
    Value::Object(Map::from_iter(given))
}

fn delete(client: &Client, output: Output, path: &str, wish: &Wish) -> Result<(), Failure> {
    let question = Question { path, query: wish_query(wish), if_match: Some("*"), ..Question::default() };
    print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
}

fn list_of<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    body[name].as_array().into_iter().flatten()
}

fn standing(body: &Value) -> String {
    let server = &body["server"];
    let mut text = format!(
        "{}: {} server of {} at {}\n",
        print::cell(&server["name"]),
        print::cell(&server["kind"]),
        print::cell(&server["department"]),
        print::cell(&server["address"])
    );
    // A String takes whatever is written to it.
    for one in list_of(body, "shared") {
        let _ = writeln!(text, "in the way: {}", print::cell(&one["detail"]));
    }
    for zone in list_of(body, "zones") {
        let (name, note) = (print::cell(&zone["zone"]), print::cell(&zone["note"]));
        let _ = match (zone["allowed"] == true, note.as_str()) {
            (true, "") => writeln!(text, "feed: zone {name}"),
            (true, note) => writeln!(text, "zone {name}: {note}"),
            (false, note) => writeln!(text, "no feed: zone {name}; to give it: {note}"),
        };
    }
    let mut pulls = list_of(body, "pulls").peekable();
    if pulls.peek().is_none() && server["kind"] == "member" {
        text.push_str("it has taken nothing yet\n");
    }
    for pull in pulls {
        let _ = writeln!(text, "last pull: zone {} at {} ({})", print::cell(&pull["zone"]), print::cell(&pull["at"]), print::cell(&pull["asked"]));
    }
    for relay in list_of(body, "relays") {
        let _ = write!(text, "relays for {}:\n{}", print::cell(&relay["subnet"]), print::cell(&relay["snippet"]));
    }
    text
}

fn advice(body: &Value) -> String {
    let department = print::cell(&body["department"]);
    let mut text = if body["fits"] == true {
        format!("nothing stands in the way of a server of {department}'s own\n")
    } else {
        format!("what stands in the way of a server of {department}'s own:\n")
    };
    for obstacle in list_of(body, "obstacles") {
        let _ = writeln!(text, "  {}", print::cell(obstacle));
    }
    if let Some(network) = body["network"].as_str() {
        let _ = writeln!(text, "free: {network}, for {} hosts that have to move", print::cell(&body["hosts"]));
    }
    text.push_str("what to do:\n");
    for (number, step) in list_of(body, "steps").enumerate() {
        let _ = writeln!(text, "  {}. {}", number + 1, print::cell(step));
    }
    text
}
