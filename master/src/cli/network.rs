//! `holdfast subnet`, `holdfast zone`, `holdfast campus`.

use super::{
    Failure,
    arguments::{CampusCommand, Output, SubnetCommand, Wish, ZoneCommand},
    boot,
    client::{Client, Question, encode},
    export,
    host::wish_query,
    organisation::change,
    print, transfers,
};
use http::Method;
use serde_json::{Map, Value, json};

pub(super) fn subnet(client: &Client, output: Output, command: SubnetCommand) -> Result<(), Failure> {
    match command {
        SubnetCommand::List => list(client, output, "/subnets", &["network", "campus", "gateway", "domain", "total", "used", "free"]),
        SubnetCommand::Show { network } => show_subnet(client, output, &network),
        SubnetCommand::Map { network } => list(client, output, &format!("/subnets/{network}/map"), &["first", "last", "kind"]),
        SubnetCommand::Del { network, wish } => {
            let path = format!("/subnets/{}", network.split('/').map(encode).collect::<Vec<_>>().join("/"));
            change(client, output, Method::DELETE, &path, None, &wish)
        }
        SubnetCommand::Set { network, fields, wish } => boot::set_subnet(client, output, &network, fields, &wish),
        SubnetCommand::Add { network, campus, gateway, domain, dns_server, wish } => {
            let body = json!({ "network": network, "campus": campus, "gateway": gateway, "domain": domain, "dns_servers": dns_server });
            add(client, output, "/subnets", &body, &wish)
        }
    }
}

fn show_subnet(client: &Client, output: Output, network: &str) -> Result<(), Failure> {
    let answer = client.get(&format!("/subnets/{network}"), vec![])?;
    print::result(output, &answer.body, |subnet| {
        let fields = [
            "network",
            "campus",
            "gateway",
            "domain",
            "dns_servers",
            "vlan",
            "classes",
            "preference",
            "quarantine_secs",
            "unknown_machines",
            "cover_after_secs",
            "pool_lease_secs",
            "lease_zone",
        ];
        let numbers = ["total", "used", "free", "quarantined", "excluded"];
        let rows = fields.iter().chain(&numbers).map(|field| vec![(*field).to_owned(), print::cell(&subnet[*field])]);
        print::table(&["field", "value"], &rows.filter(|row| !row[1].is_empty()).collect::<Vec<_>>())
    })
}

pub(super) fn zone(client: &Client, output: Output, command: ZoneCommand) -> Result<(), Failure> {
    match command {
        ZoneCommand::Add { apex, primary_ns, mailbox, name_server, department, copy, wish } => {
            let servers = if name_server.is_empty() { vec![primary_ns.clone()] } else { name_server };
            let mut body = json!({ "apex": apex, "primary_ns": primary_ns, "mailbox": mailbox, "name_servers": servers, "department": department });
            body["primaries"] = copy.primaries()?;
            add(client, output, "/zones", &body, &wish)
        }
        ZoneCommand::Del { apex, wish } => change(client, output, Method::DELETE, &format!("/zones/{}", encode(&apex)), None, &wish),
        ZoneCommand::Set { apex, fields, wish } => boot::set_zone(client, output, &apex, fields, &wish),
        ZoneCommand::Transfers(command) => transfers::zone(client, output, command),
        ZoneCommand::Export { apex } => export::zone(client, &apex),
        ZoneCommand::List => list(client, output, "/zones", &["apex", "primary_ns", "ttl", "published"]),
    }
}

pub(super) fn campus(client: &Client, output: Output, command: CampusCommand) -> Result<(), Failure> {
    match command {
        CampusCommand::List => list(client, output, "/campuses", &["name", "service_address", "backup"]),
        CampusCommand::Set { name, rename, service_address, backup, wish } => {
            let given = [("name", rename), ("service_address", service_address), ("backup", backup)];
            let body: Map<String, Value> = given.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?.into()))).collect();
            change(client, output, Method::PATCH, &format!("/campuses/{}", encode(&name)), Some(&body.into()), &wish)
        }
        CampusCommand::Add { name, service_address, backup, wish } => {
            add(client, output, "/campuses", &json!({ "name": name, "service_address": service_address, "backup": backup }), &wish)
        }
    }
}

pub(super) fn list(client: &Client, output: Output, path: &str, columns: &[&str]) -> Result<(), Failure> {
    let answer = client.get(path, vec![])?;
    print::columns(output, &answer.body, columns)
}

pub(super) fn add(client: &Client, output: Output, path: &str, body: &Value, wish: &Wish) -> Result<(), Failure> {
    let answer = client.ask(Method::POST, Question { path, query: wish_query(wish), body: Some(body), ..Question::default() })?;
    print::result(output, &answer.body, print::written)
}
