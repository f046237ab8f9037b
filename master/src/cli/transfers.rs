//! `holdfast zone show`, `allow`, `copy-of` ... and `holdfast tsig-key`: zones between servers.

use super::{
    Failure,
    arguments::{Output, Why, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    network::list,
    people::why_query,
    print,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

/// What of a zone has to do with other servers.
#[derive(Debug, Subcommand)]
pub(super) enum TransferCommand {
    /// Show a zone: who may have it, whose copy it is and, of a copy, which state and until when.
    Show {
        /// Its apex.
        apex: String,
    },
    /// Let somebody have the whole zone (AXFR, IXFR).
    Allow {
        /// Its apex.
        apex: String,
        #[command(flatten)]
        who: Secondary,
        #[command(flatten)]
        wish: Wish,
    },
    /// Let somebody have the zone no more: everybody whom all that is given fits.
    Disallow {
        /// Its apex.
        apex: String,
        #[command(flatten)]
        who: Secondary,
        #[command(flatten)]
        wish: Wish,
    },
    /// Make the zone a copy of another server's, from the first transfer on; without a primary it is our own again.
    CopyOf {
        /// Its apex.
        apex: String,
        #[command(flatten)]
        copy: CopyFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// List copies of other servers' zones.
    Copies,
    /// Ask the primaries of a copy now.
    Refresh {
        /// Its apex.
        apex: String,
        /// Accept that a held transfer takes many records away.
        #[arg(long)]
        accept_loss: bool,
        /// Why, for the history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List transfers that were refused, the newest first.
    Refused,
}

/// A server that may have a zone.
#[derive(Debug, Args)]
pub(super) struct Secondary {
    /// The addresses it comes from, as address or prefix.
    #[arg(long, value_name = "PREFIX")]
    to: Option<String>,
    /// The TSIG key it signs with.
    #[arg(long)]
    key: Option<String>,
    /// Where it is told of changes, as address or address:port.
    #[arg(long, value_name = "ADDRESS")]
    notify: Option<String>,
}

/// Whose copy a zone is.
#[derive(Debug, Args)]
pub(super) struct CopyFields {
    /// A server to copy from, as address or address:port; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    primary: Vec<String>,
    /// The TSIG key that all of them sign with.
    #[arg(long)]
    primary_key: Option<String>,
}

/// Keys that servers sign transfers with.
#[derive(Debug, Subcommand)]
pub(super) enum TsigKeyCommand {
    /// List keys, and the zones that name them.
    List,
    /// Keep a key, and print its secret, once.
    Add {
        /// What both servers call it, such as dept-cs.key.
        name: String,
        /// Its secret in Base64, where the other server made it.
        #[arg(long)]
        secret: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Forget a key that no zone names.
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        why: Why,
    },
}

impl CopyFields {
    /// As the API has them.
    pub(super) fn primaries(&self) -> Result<Value, Failure> {
        let one = |text: &String| {
            let (address, port) = split(text)?;
            let mut primary = json!({ "address": address, "port": port });
            if let Some(key) = &self.primary_key {
                primary["key"] = key.as_str().into();
            }
            Ok(primary)
        };
        self.primary.iter().map(one).collect::<Result<Vec<_>, Failure>>().map(Value::from)
    }
}

impl Secondary {
    fn rule(&self) -> Result<Value, Failure> {
        let mut rule = json!({});
        if let Some(to) = &self.to {
            let wrong = || Failure::Usage(format!("\"{to}\" is no address or prefix such as 192.0.2.7 or 192.0.2.0/24"));
            let address = to.split('/').next().and_then(|address| address.parse::<std::net::IpAddr>().ok()).ok_or_else(wrong)?;
            let whole = if address.is_ipv4() { 32 } else { 128 };
            rule["prefix"] = if to.contains('/') { to.clone() } else { format!("{address}/{whole}") }.into();
        }
        if let Some(key) = &self.key {
            rule["key"] = key.as_str().into();
        }
        if let Some(notify) = &self.notify {
            let (address, port) = split(notify)?;
            rule["notify"] = std::net::SocketAddr::new(address, port).to_string().into();
        }
        Ok(rule)
    }
}

/// `address`, `address:port`, `[address]:port`.
fn split(text: &str) -> Result<(std::net::IpAddr, u16), Failure> {
    let plain = text.parse::<std::net::IpAddr>().map(|address| (address, 53));
    let with_port = || text.parse::<std::net::SocketAddr>().map(|socket| (socket.ip(), socket.port()));
    plain.or_else(|_| with_port()).map_err(|_| Failure::Usage(format!("\"{text}\" is no address such as 192.0.2.7, 192.0.2.7:5353 or [2001:db8::7]:53")))
}

pub(super) fn zone(client: &Client, output: Output, command: TransferCommand) -> Result<(), Failure> {
    let copies = ["apex", "serial", "records", "checked_at", "transferred_at", "next_at", "expires_at", "is_expired", "last_error"];
    match command {
        TransferCommand::Show { apex } => show(client, output, &apex),
        TransferCommand::Allow { apex, who, wish } => change_rules(client, output, &apex, &wish, |rules| {
            let rule = who.rule()?;
            rules.retain(|known| *known != rule);
            rules.push(rule);
            Ok(())
        }),
        TransferCommand::Disallow { apex, who, wish } => change_rules(client, output, &apex, &wish, |rules| {
            let rule = who.rule()?;
            let fields = rule.as_object().cloned().unwrap_or_default();
            let before = rules.len();
            rules.retain(|known| !fields.iter().all(|(field, value)| known[field] == *value));
            if rules.len() == before {
                Err(Failure::Failed(format!("nobody may have {apex} whom all of this fits: see `holdfast zone show {apex}`")))
            } else {
                Ok(())
            }
        }),
        TransferCommand::CopyOf { apex, copy, wish } => {
            let body = json!({ "primaries": copy.primaries()? });
            super::organisation::change(client, output, Method::PATCH, &format!("/zones/{}", encode(&apex)), Some(&body), &wish)
        }
        TransferCommand::Copies => list(client, output, "/zone-copies", &copies),
        TransferCommand::Refresh { apex, accept_loss, reason } => {
            let query = vec![("accept", accept_loss.to_string()), ("reason", reason.unwrap_or_default())];
            let path = format!("/zone-copies/{}/refresh", encode(&apex));
            let body = client.ask(Method::POST, Question { path: &path, query, ..Question::default() })?.body;
            print::result(output, &body, |_| format!("the primaries of {apex} are asked now: see `holdfast zone show {apex}`\n"))
        }
        TransferCommand::Refused => list(client, output, "/refused-transfers", &["at", "client", "zone", "asked", "key", "why"]),
    }
}

/// Changes who may have a zone, in the version that is read first.
fn change_rules(client: &Client, output: Output, apex: &str, wish: &Wish, edit: impl FnOnce(&mut Vec<Value>) -> Result<(), Failure>) -> Result<(), Failure> {
    let path = format!("/zones/{}", encode(apex));
    let known = client.get(&path, vec![])?;
    let mut rules = known.body["transfers"].as_array().cloned().unwrap_or_default();
    edit(&mut rules)?;
    let body = json!({ "transfers": rules });
    let question = Question { path: &path, query: wish_query(wish), if_match: known.etag.as_deref(), body: Some(&body) };
    print::result(output, &client.ask(Method::PATCH, question)?.body, print::written)
}

fn show(client: &Client, output: Output, apex: &str) -> Result<(), Failure> {
    let mut zone = client.get(&format!("/zones/{}", encode(apex)), vec![])?.body;
    let copies = client.get("/zone-copies", vec![("apex", apex.to_owned())])?.body;
    if let Some(copy) = print::items(&copies).first() {
        zone["copy"] = copy.clone();
    }
    print::result(output, &zone, |zone| {
        let mut rows = Vec::new();
        for field in ["apex", "primary_ns", "mailbox", "name_servers", "refresh", "retry", "expire", "minimum", "ttl", "department", "published"] {
            rows.push(vec![field.to_owned(), print::cell(&zone[field])]);
        }
        for primary in zone["primaries"].as_array().into_iter().flatten() {
            rows.push(vec!["primary".to_owned(), who(primary, &["address", "port", "key"])]);
        }
        for transfer in zone["transfers"].as_array().into_iter().flatten() {
            rows.push(vec!["transfer".to_owned(), who(transfer, &["prefix", "key", "notify"])]);
        }
        for (field, value) in zone["copy"].as_object().into_iter().flatten().filter(|(field, _)| *field != "apex") {
            rows.push(vec![format!("copy {}", field.replace('_', " ")), print::cell(value)]);
        }
        rows.retain(|row| !row[1].is_empty());
        print::table(&["field", "value"], &rows)
    })
}

fn who(rule: &Value, fields: &[&str]) -> String {
    let said = fields.iter().filter(|field| !rule[**field].is_null());
    said.map(|field| format!("{field} {}", print::cell(&rule[*field]))).collect::<Vec<_>>().join(", ")
}

pub(super) fn keys(client: &Client, output: Output, command: TsigKeyCommand) -> Result<(), Failure> {
    match command {
        TsigKeyCommand::List => list(client, output, "/tsig-keys", &["name", "zones", "created_by", "created_at"]),
        TsigKeyCommand::Add { name, secret, why } => {
            let mut body = json!({ "name": name });
            if let Some(secret) = secret {
                body["secret"] = secret.into();
            }
            let answer = client.ask(Method::POST, Question { path: "/tsig-keys", query: why_query(why), body: Some(&body), ..Question::default() })?;
            print::result(output, &answer.body, |made| match made["secret"].as_str() {
                Some(secret) => format!("{secret}\n"),
                None => done(made),
            })
        }
        TsigKeyCommand::Del { name, why } => {
            let path = format!("/tsig-keys/{}", encode(&name));
            let body = client.ask(Method::DELETE, Question { path: &path, query: why_query(why), ..Question::default() })?.body;
            print::result(output, &body, done)
        }
    }
}

fn done(body: &Value) -> String {
    if body["dry_run"] == true { "nothing is changed; this could be done\n".to_owned() } else { "done\n".to_owned() }
}
