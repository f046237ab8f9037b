//! `holdfast import`: files to the master in one request, all or nothing, and what it made of them.

use super::{
    Failure,
    arguments::{Import, Output},
    client::{Client, Question},
    print,
};
use http::Method;
use serde_json::{Map, Value, json};
use std::{path::PathBuf, time::Instant};

pub(super) fn run(client: &Client, output: Output, wish: Import) -> Result<(), Failure> {
    let start = Instant::now();
    let mut files = Vec::new();
    for path in &wish.files {
        files.push(read(path)?);
    }
    let columns: Map<String, Value> = wish.map.into_iter().map(|(ours, theirs)| (ours, theirs.into())).collect();
    let body = json!({ "files": files, "campus": wish.campus, "domain": wish.domain, "columns": columns });
    let mut query = vec![("dry_run", wish.dry_run.to_string())];
    query.extend(wish.reason.map(|reason| ("reason", reason)));
    print::tell(&format!("sending {} file(s); the master reads them and stores all or nothing ...", files.len()));
    let answer = client.ask(Method::POST, Question { path: "/import", query, body: Some(&body), ..Question::default() })?;
    print::tell(&format!("answered after {:.1} s", start.elapsed().as_secs_f64()));
    print::result(output, &answer.body, |body| report(body, wish.rows))
}

fn read(path: &PathBuf) -> Result<Value, Failure> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Failure::Usage(format!("{name} cannot be read: {error}")))?;
    print::tell(&format!("read {name} ({} bytes)", bytes.len()));
    // Comments of old files are often Latin-1; what matters in them is ASCII.
    let text = String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect());
    let name = path.file_name().map_or(name, |name| name.to_string_lossy().into_owned());
    Ok(json!({ "name": name, "text": text }))
}

fn report(body: &Value, rows: bool) -> String {
    let mut text = String::new();
    for row in body["rows"].as_array().into_iter().flatten().filter(|_| rows) {
        text.push_str(&format!("{}: {} {}\n", place(&row["place"]), print::cell(&row["state"]), print::cell(&row["object"])));
    }
    for finding in body["findings"].as_array().into_iter().flatten() {
        let places: Vec<String> = finding["places"].as_array().into_iter().flatten().map(place).collect();
        let at = if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) };
        text.push_str(&format!("{}: {}{at}\n", print::cell(&finding["severity"]), print::cell(&finding["message"])));
    }
    let counts = body["counts"].as_object().into_iter().flatten().filter(|(_, count)| **count != 0);
    let counts: Vec<String> = counts.map(|(what, count)| format!("{} {count}", what.replace('_', " "))).collect();
    let verb = if body["dry_run"] == true { "would import" } else { "imported" };
    text.push_str(&format!("{verb}: {}\n", if counts.is_empty() { "nothing new".into() } else { counts.join(", ") }));
    text
}

fn place(place: &Value) -> String {
    format!("{}:{}", print::cell(&place["file"]), print::cell(&place["line"]))
}
