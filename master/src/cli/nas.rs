//! `holdfast nas`: who may ask RADIUS, and how.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    network::{add, list},
    organisation::change,
    print,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use std::{net::IpAddr, path::PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum NasCommand {
    /// List NASs.
    List,
    /// All that is known of a NAS, but for its secret.
    Show {
        /// Its name.
        name: String,
    },
    /// Add a NAS. Without --secret-file a secret is made, and printed once.
    Add {
        /// Its name.
        name: String,
        /// The source addresses it may use: one, or a network.
        prefix: String,
        #[command(flatten)]
        fields: Box<Fields>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Change what is named of a NAS.
    Set {
        /// Its name.
        name: String,
        /// The source addresses it may use: one, or a network.
        #[arg(long)]
        prefix: Option<String>,
        #[command(flatten)]
        fields: Box<Fields>,
        /// Make another secret and print it once; the one before it is taken as well.
        #[arg(long, conflicts_with_all = ["secret_file", "clear_former_secret"])]
        new_secret: bool,
        /// The NAS has its new secret: the one before it is taken no more.
        #[arg(long, conflicts_with = "secret_file")]
        clear_former_secret: bool,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a NAS: from then on its requests are not answered.
    #[command(visible_alias = "remove")]
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Print ready configuration: the agents of its campus first, those that stand in for them second.
    Config {
        /// Its name.
        name: String,
        /// For which machine; for what its kind says without it.
        #[arg(long, value_parser = ["cisco-ios", "aruba", "hostapd", "freeradius", "generic"])]
        r#for: Option<String>,
        /// With the shared secret in it. That you read it stands in the history.
        #[arg(long)]
        show_secret: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Fields {
    /// What it is, such as "Cisco Catalyst 9300".
    #[arg(long)]
    kind: Option<String>,
    /// Who looks after it.
    #[arg(long)]
    contact: Option<String>,
    /// Its campus; "" for none.
    #[arg(long)]
    campus: Option<String>,
    /// What else people should know.
    #[arg(long)]
    note: Option<String>,
    /// Whether requests without Message-Authenticator are dropped: `no` is for a NAS that cannot do better, and is open to BlastRADIUS.
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    message_authenticator: Option<String>,
    /// Whether CHAP and MS-CHAPv2 outside of tunnels are taken from it: `yes` is for a NAS that can do nothing better.
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    chap: Option<String>,
    /// Whether it may ask of machines by their hardware addresses: hosts are let in, each into its VLAN.
    #[arg(long, value_name = "YES|NO", value_parser = ["yes", "no"])]
    mac_authentication: Option<String>,
    /// Where machines go that no host is; 0 for none: then they stay out.
    #[arg(long, value_name = "VLAN")]
    guest_vlan: Option<u16>,
    /// The secret, from a file; - for standard input.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Fields {
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let Self { kind, contact, campus, note, message_authenticator, chap, mac_authentication, guest_vlan, secret_file } = self;
        let given = [("kind", kind), ("contact", contact), ("campus", campus), ("note", note), ("secret", secret_file.map(read_secret).transpose()?)];
        let mut body: Map<String, Value> = given.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?.into()))).collect();
        let flags = [("require_message_authenticator", message_authenticator), ("may_chap", chap), ("mac_authentication", mac_authentication)];
        body.extend(flags.into_iter().filter_map(|(field, wished)| Some((field.to_owned(), (wished? == "yes").into()))));
        body.extend(guest_vlan.map(|vlan| ("guest_vlan".to_owned(), vlan.into())));
        Ok(body)
    }
}

fn read_secret(file: PathBuf) -> Result<String, Failure> {
    let read = if file.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(&file) };
    let text = read.map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// An address alone is a network of one.
fn network(prefix: String) -> String {
    match prefix.parse() {
        Ok(IpAddr::V4(address)) => format!("{address}/32"),
        Ok(IpAddr::V6(address)) => format!("{address}/128"),
        Err(_) => prefix,
    }
}

/// 122 random bits, in letters that every NAS takes.
fn made_secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

pub(super) fn nas(client: &Client, output: Output, command: NasCommand) -> Result<(), Failure> {
    match command {
        NasCommand::List => list(
            client,
            output,
            "/nas",
            &["name", "prefix", "campus", "kind", "contact", "require_message_authenticator", "has_former_secret", "may_chap", "mac_authentication"],
        ),
        NasCommand::Show { name } => {
            let answer = client.get(&format!("/nas/{}", encode(&name)), vec![])?;
            print::result(output, &answer.body, |nas| {
                let fields = [
                    "name",
                    "prefix",
                    "campus",
                    "kind",
                    "contact",
                    "note",
                    "require_message_authenticator",
                    "has_former_secret",
                    "may_chap",
                    "mac_authentication",
                    "guest_vlan",
                ];
                let rows = fields.iter().map(|field| vec![(*field).to_owned(), print::cell(&nas[*field])]);
                print::table(&["field", "value"], &rows.filter(|row| !row[1].is_empty()).collect::<Vec<_>>())
            })
        }
        NasCommand::Add { name, prefix, fields, wish } => {
            let mut body = fields.body()?;
            let made = (!body.contains_key("secret")).then(made_secret);
            body.extend(made.iter().map(|secret| ("secret".to_owned(), secret.clone().into())));
            body.extend([("name".to_owned(), json!(name)), ("prefix".to_owned(), json!(network(prefix)))]);
            // No campus is what is meant by none.
            body.retain(|field, value| (field != "campus" || *value != "") && (field != "guest_vlan" || *value != 0));
            add(client, output, "/nas", &body.into(), &wish)?;
            tell_secret(made, &wish);
            Ok(())
        }
        NasCommand::Set { name, prefix, fields, new_secret, clear_former_secret, wish } => {
            let mut body = fields.body()?;
            let made = new_secret.then(made_secret);
            body.extend(made.iter().map(|secret| ("secret".to_owned(), secret.clone().into())));
            body.extend(prefix.map(|prefix| ("prefix".to_owned(), network(prefix).into())));
            if clear_former_secret {
                body.insert("clear_former_secret".to_owned(), true.into());
            }
            change(client, output, Method::PATCH, &format!("/nas/{}", encode(&name)), Some(&body.into()), &wish)?;
            tell_secret(made, &wish);
            Ok(())
        }
        NasCommand::Del { name, wish } => {
            let question = Question { path: &format!("/nas/{}", encode(&name)), query: wish_query(&wish), ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
        NasCommand::Config { name, r#for: kind, show_secret } => config(client, output, &name, kind, show_secret),
    }
}

/// Once, where it was made and is in use.
fn tell_secret(made: Option<String>, wish: &Wish) {
    if let Some(secret) = made.filter(|_| !wish.dry_run) {
        print::tell(&format!("its secret, told once: {secret}"));
    }
}

fn config(client: &Client, output: Output, name: &str, kind: Option<String>, show_secret: bool) -> Result<(), Failure> {
    let given = [("kind", kind), ("secret", show_secret.then(|| "true".to_owned()))];
    let query = given.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    let answer = client.get(&format!("/nas/{}/configuration", encode(name)), query)?;
    print::result(output, &answer.body, |told| told["text"].as_str().unwrap_or_default().to_owned())
}
