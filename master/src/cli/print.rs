//! Results for people: tables, effects, propagation, and problems with the place of each error.

use super::{Failure, arguments::Output};
use serde_json::Value;
use std::io::Write;

/// Prints what is no list: JSON or YAML, its fields as CSV, or what `text` makes of it.
pub(super) fn result(output: Output, body: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
    let text = match output {
        Output::Table => text(body),
        Output::Csv => csv(&["field", "value"], &fields(body))?,
        Output::Json | Output::Yaml => document(output, body)?,
    };
    out(text.as_bytes())
}

/// Prints a list: `rows` makes what stands under the headings, as a table or as CSV.
pub(super) fn list(output: Output, body: &Value, headings: &[&str], rows: impl FnOnce(&Value) -> Vec<Vec<String>>) -> Result<(), Failure> {
    let text = match output {
        Output::Table => table(headings, &rows(body)),
        Output::Csv => csv(headings, &rows(body))?,
        Output::Json | Output::Yaml => document(output, body)?,
    };
    out(text.as_bytes())
}

/// Prints a list whose columns are fields of its items.
pub(super) fn columns(output: Output, body: &Value, columns: &[&str]) -> Result<(), Failure> {
    let row = |item: &Value| columns.iter().map(|column| cell(&item[*column])).collect();
    list(output, body, columns, |body| items(body).iter().map(row).collect())
}

/// The API's own answer.
fn document(output: Output, body: &Value) -> Result<String, Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::Failed(format!("the result cannot be written: {error}"));
    match output {
        Output::Yaml => serde_saphyr::to_string(body).map_err(|error| broken(&error)),
        _ => serde_json::to_string_pretty(body).map(|text| text + "\n").map_err(|error| broken(&error)),
    }
}

fn csv(headings: &[&str], rows: &[Vec<String>]) -> Result<String, Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::Failed(format!("the result cannot be written: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(headings).map_err(|error| broken(&error))?;
    for row in rows {
        writer.write_record(row).map_err(|error| broken(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| broken(&error))?;
    String::from_utf8(bytes).map_err(|error| broken(&error))
}

fn fields(body: &Value) -> Vec<Vec<String>> {
    body.as_object().into_iter().flatten().map(|(field, value)| vec![field.clone(), cell(value)]).collect()
}

/// stdout for what comes in pieces. A reader that went away (`| head`) has all it wants.
#[derive(Debug, Default)]
pub(super) struct Out {
    is_closed: bool,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        match std::io::stdout().write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(bytes.len())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.is_closed { Ok(()) } else { std::io::stdout().flush() }
    }
}

/// Writes a result.
pub(super) fn out(bytes: &[u8]) -> Result<(), Failure> {
    // A reader that went away (`| head`) has all it wants.
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(format!("the result cannot be written: {error}"))),
        _ => Ok(()),
    }
}

/// Says something to the person at the keyboard.
pub(super) fn tell(text: &str) {
    // A closed stderr is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Columns under headings, as wide as their content.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).chain([headings[column].len()]).max();
    let widths: Vec<usize> = (0..headings.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let headings: Vec<String> = headings.iter().map(|heading| heading.to_uppercase()).collect();
    std::iter::once(line(&headings)).chain(rows.iter().map(|row| line(row))).collect()
}

/// Rows of a list answer.
pub(super) fn items(body: &Value) -> &[Value] {
    body["items"].as_array().map_or(&[], Vec::as_slice)
}

/// A value in one cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// What a write did, or would do.
pub(super) fn written(body: &Value) -> String {
    let mut text = if body["dry_run"] == true { "nothing is changed; this would be answered differently:\n".to_owned() } else { "done\n".to_owned() };
    text.push_str(&effects(&body["effects"]));
    text.push_str(&propagation(body));
    text
}

/// Who serves it, and why nobody will for now.
pub(super) fn propagation(body: &Value) -> String {
    let held = body["held"].as_str().map(|held| format!("{held}\n"));
    let agents = body["propagation"].as_array().into_iter().flatten().map(served);
    agents.chain(held).collect()
}

/// What is answered differently.
pub(super) fn effects(effects: &Value) -> String {
    let mut text = String::new();
    let list = |name: &str| effects[name].as_array().cloned().unwrap_or_default();
    for record in list("records") {
        let (before, after) = (texts(&record["before"]), texts(&record["after"]));
        let what = format!("{} {}", cell(&record["name"]), cell(&record["rtype"]));
        text.extend(before.iter().filter(|line| !after.contains(line)).map(|line| format!("  - {what} {line}\n")));
        text.extend(after.iter().filter(|line| !before.contains(line)).map(|line| format!("  + {what} {line}\n")));
    }
    for entry in list("boot") {
        let what = format!("boot {} in {}", cell(&entry["mac"]), cell(&entry["subnet"]));
        text.extend(entry["before"].as_str().map(|line| format!("  - {what}: {line}\n")));
        text.extend(entry["after"].as_str().map(|line| format!("  + {what}: {line}\n")));
    }
    if let Some(count) = effects["hosts"]["count"].as_i64().filter(|count| *count > 0) {
        let first = texts(&effects["hosts"]["first"]);
        let more = if count > first.len() as i64 { ", ..." } else { "" };
        text.push_str(&format!("  {count} hosts are told something else at boot: {}{more}\n", first.join(", ")));
    }
    text.extend(list("others").iter().map(|other| format!("  * {}\n", cell(other))));
    text
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(cell).collect()
}

fn served(one: &Value) -> String {
    let agent = cell(&one["agent"]);
    match (one["since"].as_str(), one["connected"] == true) {
        (Some(since), _) => format!("{agent} serves it since {since}\n"),
        (None, true) => format!("{agent} does not serve it yet\n"),
        (None, false) => format!("{agent} is cut off and gets it when it is back\n"),
    }
}

/// A problem of the API: its sentence, then each error with its place.
pub(super) fn problem(problem: &Value) -> String {
    let title = problem["title"].as_str().unwrap_or("the master refused without saying why");
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text = title.to_owned();
    if errors.is_empty() {
        text.push_str(&problem["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default());
    }
    for error in errors {
        text.push_str(&format!("\n  {}{}", place(error), cell(&error["detail"])));
    }
    text
}

/// `bootptab:17: ` for files, `/mac: ` for bodies.
fn place(error: &Value) -> String {
    match (error["file"].as_str(), error["line"].as_u64(), error["pointer"].as_str()) {
        (Some(file), Some(line), _) => format!("{file}:{line}: "),
        (Some(file), None, _) => format!("{file}: "),
        (None, _, Some(pointer)) if !pointer.is_empty() => format!("{pointer}: "),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Output, csv, document, problem, table, written};
    use serde_json::{Value, json};

    #[test]
    fn what_a_spreadsheet_or_yaml_would_misread_is_quoted() {
        let rows = [vec!["www.uni.example".to_owned(), "a, \"b\"\nc".to_owned()]];
        assert_eq!(csv(&["name", "comment"], &rows).unwrap(), "name,comment\nwww.uni.example,\"a, \"\"b\"\"\nc\"\n");
        let body = json!({ "items": [{ "a": "no", "b": "1.0", "c": "0x10", "d": null, "e": "a: b # c", "f": "two\nlines", "g": [], "h": "", "i": 7, "j": "02:00:00:00:00:01", "k": "1e3" }] });
        let yaml = document(Output::Yaml, &body).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), body, "{yaml}");
    }

    #[test]
    fn columns_are_as_wide_as_their_content() {
        let rows = [vec!["www.uni.example".to_owned(), "10.1.4.7".to_owned()], vec!["a".to_owned(), String::new()]];
        assert_eq!(table(&["name", "addresses"], &rows), "NAME             ADDRESSES\nwww.uni.example  10.1.4.7\na\n");
    }

    #[test]
    fn every_error_is_told_with_its_place() {
        let refused = json!({ "title": "The values are refused", "detail": "x", "errors": [
            { "pointer": "/mac", "detail": "is wrong" }, { "pointer": "", "file": "bootptab", "line": 17, "detail": "no ip" }] });
        assert_eq!(problem(&refused), "The values are refused\n  /mac: is wrong\n  bootptab:17: no ip");
        assert_eq!(problem(&json!({ "title": "No such thing", "detail": "there is no host x" })), "No such thing: there is no host x");
    }

    #[test]
    fn effects_and_agents_are_told() {
        let body = json!({ "dry_run": false, "effects": { "records": [{ "name": "a.example.", "rtype": "A", "before": ["10.0.0.1"], "after": ["10.0.0.2"] }],
            "boot": [], "others": [] }, "propagation": [{ "agent": "north", "connected": true, "since": "2026-11-21T14:02:07Z" }] });
        assert_eq!(written(&body), "done\n  - a.example. A 10.0.0.1\n  + a.example. A 10.0.0.2\nnorth serves it since 2026-11-21T14:02:07Z\n");
    }
}
