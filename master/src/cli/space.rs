//! `holdfast ip`, `holdfast pool`, `holdfast container`, `holdfast family`, `holdfast report`: what is free, and who waits.

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
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum IpCommand {
    /// Tell the next free addresses of a subnet. Nothing is kept: `holdfast host add NAME --next SUBNET` takes one.
    Next {
        /// The subnet, such as 10.1.4.0/24.
        subnet: String,
        /// How many.
        #[arg(long, default_value = "1")]
        count: u32,
    },
    /// Addresses that were given back and are not safe to have yet, and what holds each.
    Quarantine {
        #[command(subcommand)]
        command: Option<QuarantineCommand>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// Give an address free at once, and answer for it.
    Release {
        /// The address.
        ip: String,
        /// Why it may be given to somebody else now.
        #[arg(long)]
        reason: String,
        /// Tell what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PoolCommand {
    /// List pools.
    List {
        /// Only those of this subnet.
        #[arg(long)]
        subnet: Option<String>,
    },
    /// Add a pool.
    Add {
        /// Its first address.
        first: String,
        /// Its last address.
        last: String,
        /// What its addresses are for: hosts with addresses of their own, leases, nobody.
        #[arg(long, value_parser = ["static", "dynamic", "reserved"])]
        kind: String,
        /// A name to take addresses by.
        #[arg(long)]
        name: Option<String>,
        /// Why nobody may have them, where they are reserved.
        #[arg(long, default_value = "")]
        why: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Which agent lends which addresses of the dynamic pools, and what is given up and not free yet.
    Shares {
        /// Only those of this subnet.
        #[arg(long)]
        subnet: Option<String>,
    },
    /// Delete a pool: its addresses are free for hosts again, those of a dynamic pool when the last lease has run out.
    Delete {
        /// Its name, or its range such as 10.1.4.100-10.1.4.120.
        pool: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ContainerCommand {
    /// List containers.
    List,
    /// Add a container.
    Add {
        /// The network.
        network: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        purpose: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a container; its subnets stay.
    Delete {
        /// The network.
        network: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Add a subnet in the first gap that is large enough.
    NextSubnet {
        /// The container.
        network: String,
        /// The length of the new prefix, such as 26.
        #[arg(long)]
        length: u8,
        /// The campus of the new subnet.
        #[arg(long)]
        campus: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FamilyCommand {
    /// List families.
    List,
    /// Add a family.
    Add {
        /// Its name, such as appletalk.
        name: String,
        /// The regular expression that a whole value matches.
        #[arg(long, default_value = ".+")]
        pattern: String,
        /// Several hosts may have the same value.
        #[arg(long)]
        shared: bool,
        /// The first number, where the family can count.
        #[arg(long, requires = "last")]
        first: Option<u32>,
        /// The last number.
        #[arg(long, requires = "first")]
        last: Option<u32>,
        /// The value around a number, which stands for {}.
        #[arg(long, default_value = "{}")]
        template: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a family that nobody uses.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// Hosts whose addresses were not seen in use for long.
    Unused {
        /// For so many days.
        #[arg(long, default_value = "90")]
        days: u32,
    },
}

pub(super) fn ip(client: &Client, output: Output, command: IpCommand) -> Result<(), Failure> {
    match command {
        IpCommand::Next { subnet, count } => {
            let (path, body) = (format!("/subnets/{subnet}/next"), json!({ "count": count }));
            let question = Question { path: &path, query: vec![("dry_run", "true".to_owned())], body: Some(&body), ..Question::default() };
            let answer = client.ask(Method::POST, question)?;
            let addresses = |body: &Value| body["addresses"].as_array().cloned().unwrap_or_default();
            match output {
                // Alone on its line, to be read by a shell.
                Output::Table => print::out(addresses(&answer.body).iter().map(|address| print::cell(address) + "\n").collect::<String>().as_bytes()),
                _ => print::list(output, &answer.body, &["address"], |body| addresses(body).iter().map(|address| vec![print::cell(address)]).collect()),
            }
        }
        IpCommand::Quarantine { command: None } => {
            all(client, output, "/quarantine", vec![], &["ip", "subnet", "host", "mac", "freed_at", "until", "waiting_for"])
        }
        IpCommand::Quarantine { command: Some(QuarantineCommand::Release { ip, reason, dry_run }) } => {
            let path = format!("/quarantine/{}/release", encode(&ip));
            let query = vec![("reason", reason), ("dry_run", dry_run.to_string())];
            let answer = client.ask(Method::POST, Question { path: &path, query, ..Question::default() })?;
            print::result(output, &answer.body, print::written)
        }
    }
}

pub(super) fn pool(client: &Client, output: Output, command: PoolCommand) -> Result<(), Failure> {
    match command {
        PoolCommand::List { subnet } => {
            let query = subnet.map(|subnet| ("subnet", subnet)).into_iter().collect();
            all(client, output, "/pools", query, &["subnet", "first", "last", "kind", "name", "reason"])
        }
        PoolCommand::Add { first, last, kind, name, why, wish } => {
            let body = json!({ "first": first, "last": last, "kind": kind, "name": name, "reason": why });
            add(client, output, "/pools", &body, &wish)
        }
        PoolCommand::Shares { subnet } => {
            let query = subnet.map(|subnet| ("subnet", subnet)).into_iter().collect();
            all(client, output, "/shares", query, &["first", "last", "agent", "state", "until"])
        }
        PoolCommand::Delete { pool, wish } => delete(client, output, &format!("/pools/{}", encode(&pool)), &wish),
    }
}

pub(super) fn container(client: &Client, output: Output, command: ContainerCommand) -> Result<(), Failure> {
    match command {
        ContainerCommand::List => list(client, output, "/containers", &["network", "purpose", "subnets"]),
        ContainerCommand::Add { network, purpose, wish } => add(client, output, "/containers", &json!({ "network": network, "purpose": purpose }), &wish),
        ContainerCommand::Delete { network, wish } => delete(client, output, &format!("/containers/{network}"), &wish),
        ContainerCommand::NextSubnet { network, length, campus, wish } => {
            let (path, body) = (format!("/containers/{network}/next-subnet"), json!({ "length": length, "campus": campus }));
            add(client, output, &path, &body, &wish)
        }
    }
}

pub(super) fn family(client: &Client, output: Output, command: FamilyCommand) -> Result<(), Failure> {
    match command {
        FamilyCommand::List => list(client, output, "/families", &["name", "pattern", "unique", "first", "last", "template"]),
        FamilyCommand::Add { name, pattern, shared, first, last, template, wish } => {
            let body = json!({ "name": name, "pattern": pattern, "unique": !shared, "first": first, "last": last, "template": template });
            add(client, output, "/families", &body, &wish)
        }
        FamilyCommand::Delete { name, wish } => delete(client, output, &format!("/families/{}", encode(&name)), &wish),
    }
}

pub(super) fn report(client: &Client, output: Output, command: ReportCommand) -> Result<(), Failure> {
    let ReportCommand::Unused { days } = command;
    all(client, output, "/reports/unused", vec![("days", days.to_string())], &["name", "addresses", "contact", "created_at", "last_seen", "source"])
}

fn delete(client: &Client, output: Output, path: &str, wish: &Wish) -> Result<(), Failure> {
    let question = Question { path, query: wish_query(wish), ..Question::default() };
    print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
}

/// A list with all its pages.
pub(super) fn all(client: &Client, output: Output, path: &str, query: Vec<(&str, String)>, columns: &[&str]) -> Result<(), Failure> {
    let (mut found, mut cursor): (Vec<Value>, Option<String>) = (vec![], None);
    loop {
        let page = client.get(path, query.iter().cloned().chain(cursor.take().map(|cursor| ("cursor", cursor))).collect())?.body;
        found.extend_from_slice(print::items(&page));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    print::columns(output, &json!({ "items": found, "next": null }), columns)
}
