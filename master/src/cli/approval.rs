//! `holdfast approval`: where nobody changes anything alone. Approving itself is `holdfast change-set approve`.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question},
    host::wish_query,
    network::{add, list},
    people::AreaWish,
    print,
};
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum ApprovalCommand {
    /// List the areas in which a second person is asked for.
    List,
    /// Ask for a second person in an area.
    Add {
        #[command(flatten)]
        area: AreaWish,
        /// A change of fewer rows than this needs nobody else.
        #[arg(long, default_value = "1")]
        least_rows: i32,
        /// Why the rule is there.
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Ask for nobody else there any more.
    Del {
        /// Its number, as `approval list` prints it.
        id: i64,
        #[command(flatten)]
        wish: Wish,
    },
    /// List change sets that wait for a second person.
    Waiting,
}

pub(super) fn run(client: &Client, output: Output, command: ApprovalCommand) -> Result<(), Failure> {
    match command {
        ApprovalCommand::List => list(client, output, "/approval-rules", &["id", "area", "least_rows", "comment"]),
        ApprovalCommand::Add { area, least_rows, comment, wish } => add(client, output, "/approval-rules", &rule(&area, least_rows, &comment)?, &wish),
        ApprovalCommand::Del { id, wish } => {
            let question = Question { path: &format!("/approval-rules/{id}"), query: wish_query(&wish), ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
        ApprovalCommand::Waiting => {
            let body = client.get("/change-sets", vec![("state", "proposed".to_owned())])?.body;
            print::columns(output, &body, &["id", "author", "updated_at", "reason"])
        }
    }
}

fn rule(area: &AreaWish, least_rows: i32, comment: &str) -> Result<Value, Failure> {
    let area = area.json()?;
    let value = match area["first"].as_str() {
        Some(first) => format!("{first}-{}", print::cell(&area["last"])),
        None => ["name", "pattern", "network"].iter().find_map(|field| area[*field].as_str()).unwrap_or_default().to_lowercase(),
    };
    Ok(json!({ "area_kind": area["kind"], "area_value": value, "least_rows": least_rows, "comment": comment }))
}
