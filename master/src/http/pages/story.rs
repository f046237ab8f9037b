//! The history of a host as people read it: who, when, why, and what became of which value.

use crate::inventory::HistoryEntry;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// Columns that say nothing to a person.
const SILENT: [&str; 13] =
    ["id", "version", "created_at", "updated_at", "host", "interface", "zone", "node", "node_kind", "kind", "subnet", "network", "ordinal"];

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
    steps.iter_mut().for_each(forget_what_stayed);
    steps
}

/// A row that was taken away and put back tells of values that did not change.
fn forget_what_stayed(step: &mut Step) {
    let gone = std::mem::take(&mut step.gone);
    for line in gone {
        match step.new.iter().position(|new| *new == line) {
            Some(same) => drop(step.new.remove(same)),
            None => step.gone.push(line),
        }
    }
}

/// Columns of the host, its interfaces and its addresses speak for themselves; of others the table says what the value belongs to.
fn named(table: &str, line: &str) -> String {
    let table = table.rsplit('.').next().unwrap_or(table);
    let line = line.replacen("ip: ", "address: ", usize::from(table == "address"));
    if matches!(table, "host" | "iface" | "address") { line } else { format!("{table} {line}") }
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

#[cfg(test)]
mod tests {
    use super::tell;
    use crate::inventory::HistoryEntry;
    use chrono::Utc;
    use serde_json::{Value, json};
    use uuid::Uuid;

    fn row(table: &str, before: Option<Value>, after: Option<Value>) -> HistoryEntry {
        let (actor, via, reason) = ("admin".into(), "web".into(), "moved".into());
        HistoryEntry { change_set: Uuid::nil(), actor, via, reason, at: Utc::now(), table: table.into(), before, after }
    }

    #[test]
    fn only_what_changed_is_told() {
        let interface = json!({ "id": "a", "mac": "08:00:20:db:b6:7f", "ordinal": 0 });
        let steps = tell(vec![
            row("ipam.host", Some(json!({ "version": 1, "location": "room 12", "os": "" })), Some(json!({ "version": 2, "location": "room 13", "os": "" }))),
            row("ipam.iface", Some(interface.clone()), None),
            row("ipam.iface", None, Some(interface)),
            row("ipam.address", None, Some(json!({ "ip": "10.1.4.8" }))),
        ]);
        assert_eq!(steps.len(), 1);
        assert_eq!(steps[0].gone, ["location: room 12"]);
        assert_eq!(steps[0].new, ["location: room 13", "address: 10.1.4.8"]);
    }
}
