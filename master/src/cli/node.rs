//! `holdfast node`: our own boxes.

use super::{
    Failure,
    arguments::{NodeCommand, Output},
    client::{Client, Question, encode},
    people::why_query,
    print,
};
use http::Method;
use serde_json::{Value, json};

const COLUMNS: [&str; 8] = ["name", "role", "campus", "state", "connected", "build", "certificate_end", "fingerprint"];
const FEED_COLUMNS: [&str; 6] = ["feed", "wanted", "applied", "durable", "age_s", "digest"];

pub(super) fn run(client: &Client, output: Output, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::List => {
            let answer = client.get("/nodes", vec![])?;
            if let Some(why) = answer.body["publishing_halted"].as_str() {
                print::tell(why);
            }
            print::columns(output, &answer.body, &COLUMNS)
        }
        NodeCommand::Show { name } => {
            let mut node = client.get(&format!("/nodes/{}", encode(&name)), vec![])?.body;
            let responsible = client.get("/responsibilities", vec![("kind", "node".to_owned()), ("object", name)])?.body;
            node["responsible"] = print::items(&responsible).to_vec().into();
            print::result(output, &node, shown)
        }
        NodeCommand::Enrol { name, role, campus, replace } => {
            let path = format!("/nodes/{}/token", encode(&name));
            let body = json!({ "role": role, "campus": campus, "replace": replace });
            let answer = client.ask(Method::POST, Question { path: &path, body: Some(&body), ..Question::default() })?;
            print::result(output, &answer.body, |body| print::cell(&body["token"]) + "\n")
        }
        NodeCommand::Revoke { name, why } => {
            let path = format!("/nodes/{}/revoke", encode(&name));
            let query = why_query(why);
            let answer = client.ask(Method::POST, Question { path: &path, query, ..Question::default() })?;
            print::result(output, &answer.body, work_list)
        }
    }
}

fn rows(columns: &[&str], items: &[Value]) -> String {
    let row = |item: &Value| columns.iter().map(|column| print::cell(&item[*column])).collect();
    print::table(columns, &items.iter().map(row).collect::<Vec<_>>())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn shown(node: &Value) -> String {
    let mut text = String::new();
    for field in ["name", "role", "campus", "state", "connected", "connected_at", "build", "enrolled_at", "revoked_at", "certificate_end", "fingerprint"] {
        text.push_str(&format!("{field:<16} {}\n", print::cell(&node[field])));
    }
    for one in list(&node["responsible"]) {
        text.push_str(&format!("{:<16} {}\n", print::cell(&one["role"]), print::cell(&one["contact"])));
    }
    if let Some(error) = node["last_error"].as_str() {
        text.push_str(&format!("{:<16} {error} ({})\n", "last_error", print::cell(&node["last_error_at"])));
    }
    if !list(&node["feeds"]).is_empty() {
        text.push_str(&rows(&FEED_COLUMNS, list(&node["feeds"])));
    }
    text
}

/// What was done, and what is left for people: the part that matters comes last, where it stays on the screen.
fn work_list(done: &Value) -> String {
    let head = if done["dry_run"] == true { "would be thrown out, and is not:" } else { "is thrown out:" };
    let mut text = format!("{} {head} it may nothing any more\n", print::cell(&done["node"]));
    for changed in list(&done["changed"]) {
        text.push_str(&format!("  changed: {}\n", print::cell(changed)));
    }
    match done["rotated_in"].as_i64() {
        Some(generation) => text.push_str(&format!("  the access feed has its new data key since generation {generation}\n")),
        None if done["dry_run"] == true => {}
        None => text.push_str("  the change of the data key is under way\n"),
    }
    text.push_str("it also had:\n");
    for exposed in list(&done["exposed"]) {
        text.push_str(&format!("  {}\n", print::cell(exposed)));
    }
    text.push_str("it knew the secrets of these NASs; change each on the NAS and here:\n");
    text.push_str(&rows(&["name", "prefix"], list(&done["nas_secrets"])));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_list_names_every_secret() {
        let done = json!({ "node": "south", "changed": ["its certificate is refused"], "rotated_in": 7, "exposed": ["a map"],
            "nas_secrets": [{ "name": "term-1", "prefix": "10.1.4.250/32" }] });
        let text = work_list(&done);
        for word in ["south is thrown out", "generation 7", "a map", "term-1  10.1.4.250/32"] {
            assert!(text.contains(word), "{word} is not in:\n{text}");
        }
    }
}
