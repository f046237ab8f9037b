//! The history of a host as people read it: who, when, why, and what became of which value.

use crate::inventory::HistoryEntry;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// Columns that say nothing to a person.
const SILENT: [&str; 9] = ["id", "version", "created_at", "updated_at", "host", "interface", "zone", "node", "subnet"];

/// One change set.
pub(super) struct Step {
    pub change_set: Uuid,
    pub actor: String,
    pub via: String,
    pub reason: String,
    pub at: DateTime<Utc>,
    /// Values that were there and are no more.
    pub gone: Vec<String>,
    /// Values that are new.
    pub new: Vec<String>,
}

/// Joins the rows of each change set, newest first.
pub(super) fn tell(entries: Vec<HistoryEntry>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for entry in entries {
        if steps.last().is_none_or(|step| step.change_set != entry.change_set) {
            let HistoryEntry { change_set, actor, via, reason, at, .. } = entry.clone();
            steps.push(Step { change_set, actor, via, reason, at, gone: vec![], new: vec![] });
        }
        let Some(step) = steps.last_mut() else { continue };
        let (before, after) = (lines(entry.before.as_ref()), lines(entry.after.as_ref()));
        step.gone.extend(before.iter().filter(|line| !after.contains(line)).map(|line| named(&entry.table, line)));
        step.new.extend(after.iter().filter(|line| !before.contains(line)).map(|line| named(&entry.table, line)));
    }
    steps
}

/// `host.name` is the name of the host; of other tables the table says what the value belongs to.
fn named(table: &str, line: &str) -> String {
    let table = table.rsplit('.').next().unwrap_or(table);
    if table == "host" { line.to_owned() } else { format!("{table} {line}") }
}

fn lines(row: Option<&Value>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(Value::Object(columns)) = row {
        for (name, value) in columns.iter().filter(|(name, _)| !SILENT.contains(&name.as_str()) && !name.ends_with("_id")) {
            collect(name, value, &mut lines);
        }
    }
    lines
}

fn collect(name: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => lines.push(format!("{name}: {text}")),
        Value::Array(list) if list.iter().any(Value::is_object) => list.iter().for_each(|one| collect(name, one, lines)),
        Value::Array(list) if list.is_empty() => {}
        Value::Object(fields) => fields.iter().filter(|(name, _)| !SILENT.contains(&name.as_str())).for_each(|(name, value)| collect(name, value, lines)),
        other => lines.push(format!("{name}: {other}")),
    }
}
