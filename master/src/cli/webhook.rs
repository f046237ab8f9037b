//! `holdfast webhook`: events that are sent to others as they happen.

use super::{
    Failure,
    arguments::{Output, Why},
    client::{Client, Question, encode},
    network::list,
    people::why_query,
    print,
};
use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List webhooks, with how many deliveries wait and how many were given up.
    List,
    /// Have events sent somewhere, and print the key that signs them, once.
    Add {
        /// What it is called.
        name: String,
        /// Where it is sent, such as https://chat.uni.example/hooks/7.
        url: String,
        /// A kind of event; may be given several times. All, where it is not given.
        #[arg(long)]
        kind: Vec<String>,
        /// Only change sets of this area, such as zone:cs.uni.example.
        #[arg(long, value_name = "KIND:VALUE")]
        area: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Send nothing there any more.
    Del {
        /// Its name or id.
        webhook: String,
        #[command(flatten)]
        why: Why,
    },
    /// List what was sent, the newest first.
    Deliveries {
        /// Its name or id.
        webhook: String,
        /// Only in this state.
        #[arg(long, value_parser = ["waiting", "delivered", "dead"])]
        state: Option<String>,
        /// At most so many.
        #[arg(long, default_value = "100")]
        limit: u32,
    },
    /// Send one once more, also what was given up.
    Send {
        /// The webhook's name or id.
        webhook: String,
        /// The number of the delivery.
        delivery: u64,
    },
}

pub(super) fn run(client: &Client, output: Output, command: WebhookCommand) -> Result<(), Failure> {
    match command {
        WebhookCommand::List => list(client, output, "/webhooks", &["name", "id", "url", "kinds", "area", "waiting", "dead"]),
        WebhookCommand::Add { name, url, kind, area, why } => add(client, output, name, url, kind, area, why),
        WebhookCommand::Del { webhook, why } => {
            let path = format!("/webhooks/{}", encode(&id_of(client, &webhook)?));
            let body = client.ask(Method::DELETE, Question { path: &path, query: dry_run(why), ..Question::default() })?.body;
            print::result(output, &body, done)
        }
        WebhookCommand::Deliveries { webhook, state, limit } => {
            let path = format!("/webhooks/{}/deliveries", encode(&id_of(client, &webhook)?));
            let query = [("limit", limit.to_string())].into_iter().chain(state.map(|state| ("state", state))).collect();
            print::columns(output, &client.get(&path, query)?.body, &["id", "kind", "state", "attempts", "made_at", "next_at", "ended_at", "last_error"])
        }
        WebhookCommand::Send { webhook, delivery } => {
            let path = format!("/webhooks/{}/deliveries/{delivery}/send", encode(&id_of(client, &webhook)?));
            let body = client.ask(Method::POST, Question { path: &path, ..Question::default() })?.body;
            print::result(output, &body, done)
        }
    }
}

fn add(client: &Client, output: Output, name: String, url: String, kinds: Vec<String>, area: Option<String>, why: Why) -> Result<(), Failure> {
    let mut body = Map::from_iter([("name".to_owned(), Value::from(name)), ("url".to_owned(), url.into())]);
    if !kinds.is_empty() {
        body.insert("kinds".into(), kinds.into());
    }
    if let Some(area) = area {
        let wrong = || Failure::Usage(format!("\"{area}\" is no area such as zone:cs.uni.example"));
        let (kind, value) = area.split_once(':').ok_or_else(wrong)?;
        body.extend([("area_kind".to_owned(), kind.into()), ("area_value".to_owned(), value.into())]);
    }
    let body = json!(body);
    let answer = client.ask(Method::POST, Question { path: "/webhooks", query: dry_run(why), body: Some(&body), ..Question::default() })?;
    print::result(output, &answer.body, |made| match made["secret"].as_str() {
        Some(secret) => format!("{secret}\n"),
        None => done(made),
    })
}

/// A webhook is no edit of the database: its maker stands in the list, and there is no place for a reason.
fn dry_run(why: Why) -> Vec<(&'static str, String)> {
    why_query(why).into_iter().filter(|(name, _)| *name == "dry_run").collect()
}

fn done(body: &Value) -> String {
    if body["dry_run"] == true { "nothing is changed; this could be done\n".to_owned() } else { "done\n".to_owned() }
}

fn id_of(client: &Client, webhook: &str) -> Result<String, Failure> {
    let body = client.get("/webhooks", vec![])?.body;
    let found = print::items(&body).iter().find(|one| one["name"] == webhook || one["id"] == webhook);
    found.map(|one| print::cell(&one["id"])).ok_or_else(|| Failure::Failed(format!("there is no webhook {webhook}: see `holdfast webhook list`")))
}
