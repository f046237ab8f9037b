//! `holdfast changes`, `revert`, `change-set` and `audit`: who changed what, taking it back, changing many things at once, and
//! whether the history is what it was.

use super::{
    Failure,
    arguments::{AuditCommand, ChangeSetCommand, ChangesCommand, ChangesWish, Output, Wish},
    client::{Client, Question},
    host::wish_query,
    print,
};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// How often is asked how far a verification is.
const LOOK_EVERY: Duration = Duration::from_millis(300);
const COLUMNS: [&str; 5] = ["at", "actor", "via", "change_set", "reason"];

pub(super) fn run(client: &Client, output: Output, command: Option<ChangesCommand>, wish: ChangesWish) -> Result<(), Failure> {
    match command {
        Some(ChangesCommand::Show { id }) => show(client, output, &id),
        None => list(client, output, wish),
    }
}

fn list(client: &Client, output: Output, wish: ChangesWish) -> Result<(), Failure> {
    let ChangesWish { actor, since, until, kind, text, via, limit } = wish;
    let limit = limit.map(|limit| limit.to_string());
    let given = [("actor", actor), ("since", since), ("until", until), ("kind", kind), ("text", text), ("via", via), ("limit", limit)];
    let answer = client.get("/changes", given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())?;
    print::columns(output, &answer.body, &COLUMNS)
}

fn show(client: &Client, output: Output, id: &str) -> Result<(), Failure> {
    let mut body = client.get(&format!("/changes/{id}"), vec![])?.body;
    body["changes"] = client.get(&format!("/changes/{id}/rows"), vec![("limit", "1000".to_owned())])?.body["items"].take();
    print::result(output, &body, |body| {
        let approved = body["approved_by"].as_str().map(|by| format!(", approved by {by}")).unwrap_or_default();
        let head = format!(
            "{} by {} ({}){approved}: {}\n",
            print::cell(&body["at"]),
            print::cell(&body["actor"]),
            print::cell(&body["via"]),
            print::cell(&body["reason"])
        );
        head + &body["changes"].as_array().into_iter().flatten().map(change).collect::<String>() + &print::propagation(body)
    })
}

/// `host www.uni.example changed`, then each field: old -> new.
fn change(row: &Value) -> String {
    let head = format!("{} {} {}\n", print::cell(&row["kind"]), print::cell(&row["object"]), print::cell(&row["what"]));
    let field = |field: &Value| format!("  {}: {} -> {}\n", print::cell(&field["field"]), shown(&field["before"]), shown(&field["after"]));
    head + &row["fields"].as_array().into_iter().flatten().map(field).collect::<String>()
}

fn shown(value: &Value) -> String {
    if value.is_null() { "nothing".to_owned() } else { print::cell(value) }
}

pub(super) fn revert(client: &Client, output: Output, ids: &[String], wish: &Wish) -> Result<(), Failure> {
    let body = json!({ "change_sets": ids });
    let answer = client.ask(Method::POST, Question { path: "/change-sets/revert", query: wish_query(wish), body: Some(&body), ..Question::default() })?;
    print::result(output, &answer.body, print::written)
}

pub(super) fn change_set(client: &Client, output: Output, command: ChangeSetCommand) -> Result<(), Failure> {
    let at = |id: &str, what: &str| format!("/change-sets/{id}{what}");
    match command {
        ChangeSetCommand::New { reason } => ask(client, output, "/change-sets", &json!({ "reason": reason.unwrap_or_default() }), draft),
        ChangeSetCommand::List { state } => {
            let answer = client.get("/change-sets", state.map(|state| ("state", state)).into_iter().collect())?;
            print::columns(output, &answer.body, &["id", "state", "author", "approved_by", "updated_at", "reason"])
        }
        ChangeSetCommand::Show { id } => print::result(output, &client.get(&at(&id, ""), vec![])?.body, draft),
        ChangeSetCommand::Add { id, method, path, body, if_match } => {
            let body = body.map(|text| serde_json::from_str::<Value>(&text)).transpose();
            let body = body.map_err(|wrong| Failure::Usage(format!("the body is no JSON: {wrong}")))?;
            let mut edit = json!({ "method": method.to_uppercase(), "path": path });
            edit.as_object_mut().into_iter().for_each(|edit| {
                edit.extend(body.clone().map(|body| ("body".to_owned(), body)));
                edit.extend(if_match.clone().map(|etag| ("if_match".to_owned(), etag.into())));
            });
            ask(client, output, &at(&id, "/edits"), &json!({ "edits": [edit] }), draft)
        }
        ChangeSetCommand::Remove { id, number } => {
            let path = at(&id, &format!("/edits/{number}"));
            let answer = client.ask(Method::DELETE, Question { path: &path, ..Question::default() })?;
            print::result(output, &answer.body, draft)
        }
        ChangeSetCommand::Preview { id } => post(client, output, &at(&id, "/preview"), vec![], None, previewed),
        ChangeSetCommand::Propose { id } => post(client, output, &at(&id, "/propose"), vec![], None, draft),
        ChangeSetCommand::Approve { id } => {
            let read = client.get(&at(&id, ""), vec![])?;
            print::tell(&draft(&read.body));
            post(client, output, &at(&id, "/approve"), vec![], read.etag.as_deref(), draft)
        }
        ChangeSetCommand::Apply { id, dry_run: true, .. } => post(client, output, &at(&id, "/preview"), vec![], None, previewed),
        ChangeSetCommand::Apply { id, break_glass, wait, dry_run: false } => {
            let mut query: Vec<(&str, String)> = break_glass.map(|why| ("break_glass", why)).into_iter().collect();
            query.extend(wait.into_iter().flat_map(|time| [("wait", "all".to_owned()), ("timeout", time)]));
            post(client, output, &at(&id, "/apply"), query, None, print::written)
        }
        ChangeSetCommand::Withdraw { id } => {
            let answer = client.ask(Method::DELETE, Question { path: &at(&id, ""), ..Question::default() })?;
            print::result(output, &answer.body, draft)
        }
    }
}

fn ask(client: &Client, output: Output, path: &str, body: &Value, table: fn(&Value) -> String) -> Result<(), Failure> {
    print::result(output, &client.ask(Method::POST, Question { path, body: Some(body), ..Question::default() })?.body, table)
}

fn post(client: &Client, output: Output, path: &str, query: Vec<(&str, String)>, if_match: Option<&str>, table: fn(&Value) -> String) -> Result<(), Failure> {
    print::result(output, &client.ask(Method::POST, Question { path, query, if_match, ..Question::default() })?.body, table)
}

fn draft(draft: &Value) -> String {
    let approved = draft["approved_by"].as_str().map(|by| format!(", approved by {by}")).unwrap_or_default();
    let applied = draft["change_set"].as_str().map(|id| format!(", change set {id}")).unwrap_or_default();
    let head = format!(
        "{} {} by {}{approved}{applied}: {}\n",
        print::cell(&draft["id"]),
        print::cell(&draft["state"]),
        print::cell(&draft["author"]),
        print::cell(&draft["reason"])
    );
    let edit = |edit: &Value| {
        let parts = [&edit["number"], &edit["method"], &edit["path"], &edit["body"]].map(print::cell);
        format!("  {}\n", parts.join(" ").trim_end())
    };
    head + &draft["edits"].as_array().into_iter().flatten().map(edit).collect::<String>()
}

fn previewed(body: &Value) -> String {
    let agents = print::cell(&body["agents"]);
    let agents = if agents.is_empty() { String::new() } else { format!("agents: {agents}\n") };
    let areas = body["needs_approval"].as_array().into_iter().flatten();
    let areas: String = areas.map(|area| format!("needs a second person: {}\n", print::cell(area))).collect();
    print::effects(&body["effects"]) + &agents + &areas
}

pub(super) fn audit(client: &Client, output: Output, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List { limit } => {
            let answer = client.get("/audit", vec![("limit", limit.to_string())])?;
            print::columns(output, &answer.body, &["ordinal", "at", "actor", "via", "change_set", "reason"])
        }
        AuditCommand::Verify => verify(client, output),
    }
}

fn verify(client: &Client, output: Output) -> Result<(), Failure> {
    let mut body = client.ask(Method::POST, Question { path: "/audit/verify", ..Question::default() })?.body;
    while body["running"] == true {
        std::thread::sleep(LOOK_EVERY);
        body = client.get("/audit/verify", vec![])?.body;
    }
    print::result(output, &body, |body| format!("{} of {} change sets and {} signed heads fit\n", body["checked"], body["total"], body["heads"]))?;
    if let Some(failed) = body["failed"].as_str() {
        return Err(Failure::Failed(format!("the audit could not be verified: {failed}")));
    }
    let fault = &body["fault"];
    if fault.is_null() {
        return Ok(());
    }
    let place = [("link ", &fault["ordinal"]), ("change set ", &fault["change_set"])].into_iter().filter(|(_, value)| !value.is_null());
    let place: Vec<String> = place.map(|(what, value)| format!("{what}{}", print::cell(value))).collect();
    Err(Failure::Failed(format!("the audit does not fit at {}: {}", place.join(", "), print::cell(&fault["detail"]))))
}

#[cfg(test)]
mod tests {
    use super::{change, draft};
    use serde_json::json;

    #[test]
    fn a_change_is_told_field_by_field() {
        let row = json!({ "kind": "host", "object": "www.uni.example", "what": "changed", "fields": [{ "field": "os", "before": null, "after": "BSD" }] });
        assert_eq!(change(&row), "host www.uni.example changed\n  os: nothing -> BSD\n");
    }

    #[test]
    fn a_draft_is_told_with_its_edits() {
        let told = draft(&json!({ "id": "d", "state": "proposed", "author": "ada", "reason": "move", "approved_by": null, "change_set": null,
            "edits": [{ "number": 1, "method": "DELETE", "path": "/hosts/a" }] }));
        assert_eq!(told, "d proposed by ada: move\n  1 DELETE /hosts/a\n");
    }
}
