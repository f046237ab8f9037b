//! `holdfast snapshot` and `holdfast rollback`.

use super::{
    Failure,
    arguments::{Output, SnapshotCommand, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    print,
};
use http::Method;
use serde_json::{Value, json};

/// All that there are, in the order of the API.
const FEEDS: &str = "/snapshots";

pub(super) fn run(client: &Client, output: Output, command: SnapshotCommand) -> Result<(), Failure> {
    match command {
        SnapshotCommand::List { feed: None, .. } => list(client, output),
        SnapshotCommand::List { feed: Some(feed), limit } => generations(client, output, &feed, limit),
        SnapshotCommand::Show { feed, generation } => show(client, output, &feed, generation),
        SnapshotCommand::Diff { feed, from, to } => diff(client, output, &feed, from, to),
        SnapshotCommand::Verify { feed } => verify(client, output, feed),
        SnapshotCommand::Audit { repair } => audit(client, output, repair),
        SnapshotCommand::Release { feed, dry_run: true, .. } => held(client, output, &feed),
        SnapshotCommand::Release { feed, removed, reason, dry_run: false } => release(client, output, &feed, removed, &reason),
    }
}

fn path(feed: &str, rest: &str) -> String {
    format!("{FEEDS}/{}{rest}", encode(feed))
}

fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let answer = client.get(FEEDS, vec![])?;
    let headings = ["snapshot", "epoch", "generation", "rows", "bytes", "signed", "key", "digest", "agents"];
    print::list(output, &answer.body, &headings, |body| {
        let newest = |feed: &Value, field: &str| print::cell(&feed["newest"][field]);
        let row = |feed: &Value| {
            let digest: String = newest(feed, "digest").chars().take(16).collect();
            let columns = ["epoch", "generation", "rows", "bytes", "signed_at", "key"].map(|field| newest(feed, field));
            let [epoch, generation, rows, bytes, signed_at, key] = columns;
            vec![print::cell(&feed["feed"]), epoch, generation, rows, bytes, signed_at, key, digest, agents(feed)]
        };
        print::items(body).iter().map(row).collect()
    })?;
    let held = print::items(&answer.body).iter().filter(|feed| output == Output::Table && !feed["held"].is_null());
    print::out(held.map(held_line).collect::<String>().as_bytes())
}

/// What is held, and how to answer for exactly that.
fn held_line(feed: &Value) -> String {
    let (name, held) = (print::cell(&feed["feed"]), &feed["held"]);
    let (detail, removed) = (print::cell(&held["detail"]), print::cell(&held["removed"]));
    format!("{name} is held: {detail} To let it out: holdfast snapshot release {name} --removed {removed} --reason \"...\"\n")
}

/// `north 17, south 12 (lags)`
fn agents(feed: &Value) -> String {
    let one = |agent: &Value| {
        let lags = if agent["lags"] == true { " (lags)" } else { "" };
        format!("{} {}{lags}", print::cell(&agent["agent"]), print::cell(&agent["applied"]))
    };
    feed["agents"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}

fn generations(client: &Client, output: Output, feed: &str, limit: u32) -> Result<(), Failure> {
    let answer = client.get(&path(feed, "/generations"), vec![("limit", limit.to_string())])?;
    let columns = ["epoch", "generation", "form", "rows", "bytes", "signed_at", "key"];
    print::columns(output, &answer.body, &columns)
}

fn show(client: &Client, output: Output, feed: &str, generation: Option<u64>) -> Result<(), Failure> {
    let rest = generation.map(|number| format!("/generations/{number}")).unwrap_or_default();
    let answer = client.get(&path(feed, &rest), vec![])?;
    print::result(output, &answer.body, |body| {
        let fields = ["feed", "epoch", "generation", "parent", "form", "rows", "bytes", "digest", "signed_at", "key", "wrong"];
        let mut rows: Vec<Vec<String>> = fields.iter().map(|field| vec![(*field).to_owned(), print::cell(&body[*field])]).collect();
        let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        rows.extend(list("tables").iter().map(|table| vec![print::cell(&table["table"]), format!("{} ({} bytes)", table["rows"], table["bytes"])]));
        rows.extend(list("change_sets").iter().map(|set| vec!["change".to_owned(), change_set(set)]));
        let released = &body["released"];
        if !released.is_null() {
            let cell = |field: &str| print::cell(&released[field]);
            rows.push(vec!["released".into(), format!("by {} at {}: {} ({})", cell("actor"), cell("at"), cell("reason"), cell("detail"))]);
        }
        rows.retain(|row| !row[1].is_empty());
        print::table(&["field", "value"], &rows)
    })
}

fn change_set(set: &Value) -> String {
    let reason = set["reason"].as_str().filter(|reason| !reason.is_empty()).map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} by {} ({}){reason}", print::cell(&set["at"]), print::cell(&set["actor"]), print::cell(&set["via"]))
}

fn diff(client: &Client, output: Output, feed: &str, from: u64, to: u64) -> Result<(), Failure> {
    let answer = client.get(&path(feed, "/diff"), vec![("from", from.to_string()), ("to", to.to_string())])?;
    print::result(output, &answer.body, |body| {
        let more = if body["truncated"] == true { "... and more\n" } else { "" };
        missing(body) + &lines(&body["lines"]) + more
    })
}

/// The sentences on generations that are not kept.
fn missing(body: &Value) -> String {
    body["missing"].as_array().into_iter().flatten().map(|line| format!("{}\n", print::cell(line))).collect()
}

fn lines(lines: &Value) -> String {
    lines.as_array().into_iter().flatten().map(|line| format!("{} {}\n", print::cell(&line["sign"]), print::cell(&line["text"]))).collect()
}

fn verify(client: &Client, output: Output, feed: Option<String>) -> Result<(), Failure> {
    let feeds = match feed {
        Some(feed) => vec![feed],
        None => print::items(&client.get(FEEDS, vec![])?.body).iter().map(|feed| print::cell(&feed["feed"])).collect(),
    };
    let mut reports = Vec::new();
    for feed in &feeds {
        print::tell(&format!("verifying {feed}"));
        reports.push(client.ask(Method::POST, Question { path: &path(feed, "/verify"), ..Question::default() })?.body);
    }
    let is_whole = reports.iter().all(|report| report["wrong"].is_null());
    print::result(output, &json!({ "items": reports }), |body| {
        let row = |report: &Value| {
            let columns = ["feed", "from", "to", "generations", "rows"].map(|field| print::cell(&report[field]));
            let verdict = report["wrong"].as_str().unwrap_or("holds together").to_owned();
            columns.into_iter().chain([verdict]).collect()
        };
        print::table(&["snapshot", "from", "to", "generations", "rows", "verdict"], &print::items(body).iter().map(row).collect::<Vec<_>>())
            + &print::items(body).iter().map(missing).collect::<String>()
    })?;
    if is_whole { Ok(()) } else { Err(Failure::Failed("the kept history does not hold together".into())) }
}

fn audit(client: &Client, output: Output, repair: bool) -> Result<(), Failure> {
    let question = Question { path: "/snapshots/audit", query: vec![("repair", repair.to_string())], ..Question::default() };
    let answer = client.ask(Method::POST, question)?;
    let is_fine = |feed: &Value| feed["differences"] == 0 && feed["digest_is_right"] == true;
    let feeds = answer.body["feeds"].as_array().cloned().unwrap_or_default();
    print::result(output, &answer.body, |body| {
        let row = |feed: &Value| {
            let columns = ["feed", "generation", "rows", "left_out", "differences"].map(|field| print::cell(&feed[field]));
            columns.into_iter().chain([if is_fine(feed) { "right" } else { "WRONG" }.to_owned()]).collect()
        };
        let table = print::table(&["snapshot", "generation", "rows", "left out", "differences", "verdict"], &feeds.iter().map(row).collect::<Vec<_>>());
        let listed: Vec<String> = feeds.iter().flat_map(|feed| feed["listed"].as_array().cloned().unwrap_or_default()).map(|line| print::cell(&line)).collect();
        let repair = body["repair"].as_str().map(|change_set| format!("repaired by change set {change_set}\n")).unwrap_or_default();
        table + &listed.into_iter().map(|line| line + "\n").collect::<String>() + &repair
    })?;
    if feeds.iter().all(is_fine) || repair { Ok(()) } else { Err(Failure::Failed("what is published is not what the database holds".into())) }
}

/// What somebody would answer for; nothing is let out.
fn held(client: &Client, output: Output, feed: &str) -> Result<(), Failure> {
    let body = client.get(FEEDS, vec![])?.body;
    let of_it = print::items(&body).iter().find(|one| one["feed"] == feed && !one["held"].is_null());
    let none = || Failure::Failed(format!("nothing of {feed} is held"));
    print::result(output, of_it.ok_or_else(none)?, held_line)
}

fn release(client: &Client, output: Output, feed: &str, removed: u32, reason: &str) -> Result<(), Failure> {
    let query = vec![("removed", removed.to_string()), ("reason", reason.to_owned())];
    let question = Question { path: &path(feed, "/release"), query, ..Question::default() };
    let answer = client.ask(Method::POST, question)?;
    print::result(output, &answer.body, |body| format!("{} is let out\n", print::cell(&body["feed"])))
}

pub(super) fn rollback(client: &Client, output: Output, feed: &str, to: u64, wish: &Wish) -> Result<(), Failure> {
    let mut query = wish_query(wish);
    query.push(("to", to.to_string()));
    let answer = client.ask(Method::POST, Question { path: &path(feed, "/rollback"), query, ..Question::default() })?;
    print::result(output, &answer.body, rolled_back)
}

fn rolled_back(body: &Value) -> String {
    let verb = if body["dry_run"] == true { "would be undone" } else { "is undone" };
    let sets = body["undone"].as_array().into_iter().flatten();
    let mut text: String = sets.map(|set| format!("{verb}: {}\n", change_set(set))).collect();
    text.push_str(&print::effects(&body["effects"]));
    text.push_str(&print::propagation(body));
    let outcome = &body["outcome"];
    if outcome["differs"].as_array().is_some_and(Vec::is_empty) {
        text.push_str(&format!("generation {} has the rows of generation {}\n", outcome["generation"], outcome["to"]));
    } else if !outcome.is_null() {
        text.push_str(&format!("generation {} differs from generation {}:\n{}", outcome["generation"], outcome["to"], lines(&outcome["differs"])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{held_line, rolled_back};
    use serde_json::json;

    #[test]
    fn what_is_held_is_told_with_the_number_to_answer_for() {
        let feed = json!({ "feed": "zone", "held": { "detail": "zone uni.example would lose 100 of its 300 names.", "removed": 100 } });
        assert!(held_line(&feed).ends_with("names. To let it out: holdfast snapshot release zone --removed 100 --reason \"...\"\n"));
    }

    #[test]
    fn a_rollback_tells_what_it_undid_and_where_it_led() {
        let set = json!({ "at": "2026-11-21T14:02:07Z", "actor": "ada", "via": "api", "reason": "moved" });
        let effects = json!({ "records": [], "boot": [], "others": ["subnet 10.1.4.0/22 changes"] });
        let mut body = json!({ "dry_run": false, "undone": [set], "effects": effects, "outcome": { "to": 3, "generation": 7, "differs": [] } });
        let head = "is undone: 2026-11-21T14:02:07Z by ada (api): moved\n  * subnet 10.1.4.0/22 changes\n";
        assert_eq!(rolled_back(&body), format!("{head}generation 7 has the rows of generation 3\n"));
        body["outcome"]["differs"] = json!([{ "sign": "-", "text": "a.example. A 10.0.0.1" }]);
        assert_eq!(rolled_back(&body), format!("{head}generation 7 differs from generation 3:\n- a.example. A 10.0.0.1\n"));
    }
}
