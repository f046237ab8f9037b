//! `holdfast privacy`: what is kept about people, and taking one's data out.

use super::{
    Failure,
    arguments::Output,
    client::{Client, Question, encode},
    organisation::list,
    print,
};
use clap::Subcommand;
use http::Method;

#[derive(Debug, Subcommand)]
pub(super) enum PrivacyCommand {
    /// Where personal data is kept, and for how long.
    Fields,
    /// Print all that is known of a person, as JSON.
    Export {
        /// Their handle or login.
        person: String,
    },
    /// Take a contact away with everything that refers to it; the history keeps its images.
    Erase {
        /// Their handle.
        person: String,
        /// Why.
        #[arg(long)]
        reason: String,
        /// Tell what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(client: &Client, output: Output, command: PrivacyCommand) -> Result<(), Failure> {
    match command {
        PrivacyCommand::Fields => list(client, output, "/privacy/fields", &["table", "column", "about", "kept"]),
        PrivacyCommand::Export { person } => {
            let answer = client.get(&format!("/privacy/people/{}", encode(&person)), vec![])?;
            print::result(Output::Json, &answer.body, |_| String::new())
        }
        PrivacyCommand::Erase { person, reason, dry_run } => {
            let path = format!("/privacy/people/{}", encode(&person));
            let question = Question { path: &path, query: vec![("reason", reason), ("dry_run", dry_run.to_string())], ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
    }
}
