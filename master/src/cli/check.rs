//! `holdfast check`: what is wrong, said with an exit code; waivers and cures.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question},
    host::wish_query,
    print,
};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

/// How many findings a request asks for.
const PAGE_LENGTH: usize = 500;

/// Which findings.
#[derive(Debug, Args)]
pub(super) struct CheckWish {
    /// Only of this area.
    #[arg(long, value_enum)]
    pub area: Option<Area>,
    /// Those as well that are waived.
    #[arg(long)]
    pub waived: bool,
    /// Compare what is published with the database, too, which takes longer.
    #[arg(long)]
    pub drift: bool,
    /// Only tell what was found the last time.
    #[arg(long)]
    pub known: bool,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Area {
    /// Subnets and addresses.
    Addresses,
    /// Zones and records.
    Names,
    /// Mail.
    Mail,
    /// Contacts and responsibility.
    Organisation,
    /// Booting.
    Boot,
    /// Agents and what they serve.
    Services,
}

impl Area {
    fn code(self) -> &'static str {
        match self {
            Self::Addresses => "HF-1",
            Self::Names => "HF-2",
            Self::Mail => "HF-3",
            Self::Organisation => "HF-4",
            Self::Boot => "HF-5",
            Self::Services => "HF-6",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum CheckCommand {
    /// The mailboxes that RFC 2142 asks for and nobody is known to read.
    Mailboxes,
    /// Let a finding not count until the end of a day.
    Waive {
        /// The check's code, such as HF-203.
        code: String,
        /// What the finding is about.
        object: String,
        /// The last day, such as 2027-03-31.
        #[arg(long)]
        until: String,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Check that it could be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Let a waived finding count again.
    Count {
        /// The check's code.
        code: String,
        /// What the finding is about.
        object: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Have a finding cured, where its cure is beyond doubt.
    Fix {
        /// The check's code.
        code: String,
        /// What the finding is about.
        object: String,
        #[command(flatten)]
        wish: Wish,
    },
}

pub(super) fn run(client: &Client, output: Output, wish: &CheckWish, command: Option<CheckCommand>) -> Result<(), Failure> {
    match command {
        None => check(client, output, wish),
        Some(CheckCommand::Mailboxes) => mailboxes(client, output),
        Some(CheckCommand::Waive { code, object, until, reason, dry_run }) => {
            let body = json!({ "code": code, "object": object, "reason": reason, "until": until });
            let query = vec![("reason", reason), ("dry_run", dry_run.to_string())];
            let answer = client.ask(Method::POST, Question { path: "/checks/waive", query, body: Some(&body), ..Question::default() })?;
            print::result(output, &answer.body, print::written)
        }
        Some(CheckCommand::Count { code, object, wish }) => {
            let body = json!({ "code": code, "object": object });
            let question = Question { path: "/checks/count", query: wish_query(&wish), body: Some(&body), ..Question::default() };
            print::result(output, &client.ask(Method::POST, question)?.body, print::written)
        }
        Some(CheckCommand::Fix { code, object, wish }) => {
            let body = json!({ "code": code, "object": object });
            let question = Question { path: "/checks/fix", query: wish_query(&wish), body: Some(&body), ..Question::default() };
            print::result(output, &client.ask(Method::POST, question)?.body, fixed)
        }
    }
}

fn fixed(body: &Value) -> String {
    let head = if body["dry_run"] == true { "nothing is changed; this would be done:\n" } else { "done\n" };
    body["edits"].as_array().into_iter().flatten().fold(head.to_owned(), |text, edit| text + &format!("  {}\n", print::cell(edit)))
}

/// Fails where anything is wrong that nobody waived; notes are not wrong.
fn check(client: &Client, output: Output, wish: &CheckWish) -> Result<(), Failure> {
    if !wish.known {
        let query = wish.drift.then(|| ("drift", "true".to_owned())).into_iter().collect();
        client.ask(Method::POST, Question { path: "/checks/run", query, ..Question::default() })?;
    }
    let found = all(client, wish)?;
    let columns = ["code", "severity", "object", "owner", "detail"];
    print::list(output, &json!({ "items": found }), &columns, |body| {
        let row = |finding: &Value| {
            let waived = finding["waived"].as_str().map(|reason| format!(" (waived: {reason})")).unwrap_or_default();
            let mut cells: Vec<String> = columns.iter().map(|column| print::cell(&finding[*column])).collect();
            cells[4].push_str(&waived);
            cells
        };
        print::items(body).iter().map(row).collect()
    })?;
    let count = |severity: &str| found.iter().filter(|finding| finding["severity"] == severity && finding["waived"].is_null()).count();
    match (count("error"), count("warning")) {
        (0, 0) => Ok(()),
        (errors, warnings) => Err(Failure::Failed(format!("{errors} errors and {warnings} warnings"))),
    }
}

fn all(client: &Client, wish: &CheckWish) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE_LENGTH.to_string()), ("waived", wish.waived.to_string())];
        query.extend(wish.area.map(|area| ("code", area.code().to_owned())));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.get("/checks", query)?.body;
        found.extend_from_slice(print::items(&page));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(found),
        }
    }
}

fn mailboxes(client: &Client, output: Output) -> Result<(), Failure> {
    let body = client.get("/checks/mailboxes", vec![])?.body;
    let missing = print::items(&body).len();
    print::list(output, &body, &["mailbox"], |body| print::items(body).iter().map(|address| vec![print::cell(address)]).collect())?;
    if missing == 0 { Ok(()) } else { Err(Failure::Failed(format!("nobody is known to read {missing} mailboxes: say who does by `holdfast mailbox set`"))) }
}
