//! Who changed what, when and why: change sets as a time line, and the history of any object, in people's words.
//!
//! The audit keeps whole rows with our own numbers in them. Here a row becomes an object with a name, and a change of it the
//! fields that differ, each as it was and as it is. What is secret is said to have changed, and never shown.

use super::Sight;
use super::read::host_id;
use super::{Problem, Refusal};
use crate::db::timeline::{self, Names, RowRow, SetFilter, SetRow, Wanted};
use crate::db::{DbError, changes};
use chrono::{DateTime, Utc};
use holdfast_proto::words::HostName;
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Rows of one change set that are counted for a list: what is more is said to be more.
const COUNT_LIMIT: i64 = 1000;
/// Tables by the word for what they hold.
const KINDS: [(&str, &str); 16] = [
    ("host", "ipam.host"),
    ("interface", "ipam.iface"),
    ("address", "ipam.address"),
    ("boot entry", "boot.entry"),
    ("name", "dns.node"),
    ("record", "dns.record"),
    ("zone", "dns.zone"),
    ("TSIG key", "dns.tsig_key"),
    ("subnet", "ipam.subnet"),
    ("campus", "org.campus"),
    ("department", "org.department"),
    ("template", "boot.template"),
    ("NAS", "access.nas"),
    ("box", "publish.node"),
    ("approval rule", "change.approval_rule"),
    ("grant", "access.grant"),
];
/// Columns that say nothing to a person.
const SILENT: [&str; 12] =
    ["id", "version", "created_at", "updated_at", "node_kind", "kind", "rdata", "ordinal", "host_id", "iface_id", "network_id", "template_id"];
/// Parts of the names of columns that are never shown.
const SECRET: [&str; 7] = ["secret", "password", "hash", "private", "hpke", "totp", "token"];
/// What stands in place of a secret.
const NOT_SHOWN: &str = "(not shown)";
/// Columns that hold a number of ours: what they are called, and of which table the number is.
const REFERENCES: [(&str, &str, &str); 5] = [
    ("node_id", "name", "dns.node"),
    ("zone_id", "zone", "dns.zone"),
    ("subnet_id", "subnet", "ipam.subnet"),
    ("campus_id", "campus", "org.campus"),
    ("department_id", "department", "org.department"),
];

/// A change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChangeSet {
    /// Its identity.
    pub change_set: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// By which way.
    pub via: String,
    /// Why.
    pub reason: String,
    /// Who wrote it, where it was a draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Who approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// How many rows of which kind it changed, counted up to a thousand.
    pub rows: BTreeMap<String, i64>,
}

/// Which change sets to list.
#[derive(Debug, Clone, Default)]
pub struct ChangeQuery {
    /// Made or written by this one.
    pub actor: Option<String>,
    /// By this way.
    pub via: Option<String>,
    /// With an object of this kind, as [`RowChange::kind`] says it.
    pub kind: Option<String>,
    /// With this in the reason, or with an object of exactly this name.
    pub text: Option<String>,
    /// At this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this time.
    pub until: Option<DateTime<Utc>>,
    /// Where the page before ended.
    pub below: Option<(DateTime<Utc>, Uuid)>,
    /// How many at most.
    pub limit: u32,
}

/// What a change set did to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RowChange {
    /// What kind of object.
    pub kind: String,
    /// What people call it.
    pub object: String,
    /// `added`, `changed` or `deleted`.
    #[schema(value_type = String)]
    pub what: &'static str,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
}

/// One field, as it was and as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// As it was; null where there was nothing.
    pub before: Value,
    /// As it is since; null where there is nothing.
    pub after: Value,
}

/// One line of the history of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HistoryLine {
    /// By which change set; its rows are not counted here.
    #[serde(flatten)]
    pub set: ChangeSet,
    /// What it did.
    #[serde(flatten)]
    pub change: RowChange,
}

/// Whose history is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A host with all that is its own.
    Host(HostName),
    /// An object of a small table: the kind, as [`RowChange::kind`] says it, the column that people call it by, and the name.
    Named(&'static str, &'static str, String),
}

/// Change sets, the newest first, and where the next page starts.
pub async fn change_sets(pool: &PgPool, query: &ChangeQuery) -> Result<(Vec<ChangeSet>, Option<(DateTime<Utc>, Uuid)>), Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let table = query.kind.as_deref().map(|kind| table_of(kind).ok_or_else(|| unknown_kind(kind))).transpose()?;
    let limit = i64::from(query.limit);
    let filter = SetFilter {
        actor: query.actor.as_deref(),
        via: query.via.as_deref(),
        table,
        text: query.text.as_deref(),
        since: query.since,
        until: query.until,
        below: query.below,
        limit: limit + 1,
    };
    let mut sets = timeline::sets(&mut db, filter).await?;
    let more = sets.len() as i64 > limit;
    sets.truncate(limit as usize);
    let next = sets.last().filter(|_| more).map(|set| (set.at, set.id));
    Ok((counted(&mut db, sets).await?, next))
}

/// One change set.
pub async fn change_set_summary(pool: &PgPool, id: Uuid) -> Result<Option<ChangeSet>, DbError> {
    let mut db = pool.acquire().await?;
    let set = timeline::set(&mut db, id).await?;
    Ok(counted(&mut db, set.into_iter().collect()).await?.pop())
}

/// What a change set did, row by row, and where the next page starts.
pub async fn change_set_rows(pool: &PgPool, id: Uuid, after: i64, limit: u32) -> Result<(Vec<RowChange>, Option<i64>), DbError> {
    let mut db = pool.acquire().await?;
    let rows = timeline::rows_of_set(&mut db, id, after, limit.into()).await?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.ordinal);
    Ok((in_words(&mut db, &rows).await?.into_iter().flatten().collect(), next))
}

/// The history of an object, the newest first, and where the next page starts. Empty where nobody ever heard of it.
pub async fn history_of(pool: &PgPool, sight: &Sight, subject: &Subject, below: i64, limit: u32) -> Result<(Vec<HistoryLine>, Option<i64>), DbError> {
    let mut db = pool.acquire().await?;
    let rows = match subject {
        Subject::Host(name) => match host_id(&mut db, sight, name).await? {
            Some(id) => timeline::rows_of_host(&mut db, id, below, limit.into()).await?,
            None => vec![],
        },
        Subject::Named(kind, column, name) => {
            let table = table_of(kind).unwrap_or(kind);
            match timeline::last_key(&mut db, table, column, name).await? {
                Some(key) => timeline::rows_of_object(&mut db, table, &key, below, limit.into()).await?,
                None => vec![],
            }
        }
    };
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.ordinal);
    let ids: Vec<Uuid> = rows.iter().map(|row| row.change_set).collect();
    let sets: HashMap<Uuid, SetRow> = timeline::sets_by_id(&mut db, &ids).await?.into_iter().map(|set| (set.id, set)).collect();
    let changes = in_words(&mut db, &rows).await?;
    let line =
        |(row, change): (&RowRow, Option<RowChange>)| Some(HistoryLine { set: shown(sets.get(&row.change_set)?.clone(), BTreeMap::new()), change: change? });
    Ok((rows.iter().zip(changes).filter_map(line).filter(|line| line.set.via != changes::PUBLISHER).collect(), next))
}

async fn counted(db: &mut PgConnection, sets: Vec<SetRow>) -> Result<Vec<ChangeSet>, DbError> {
    let ids: Vec<Uuid> = sets.iter().map(|set| set.id).collect();
    let mut counts = timeline::counts(db, &ids, COUNT_LIMIT).await?;
    let rows = |tables: Vec<(String, i64)>| tables.into_iter().map(|(table, count)| (kind_of(&table), count)).collect();
    Ok(sets.into_iter().map(|set| (counts.remove(&set.id).unwrap_or_default(), set)).map(|(tables, set)| shown(set, rows(tables))).collect())
}

fn shown(set: SetRow, rows: BTreeMap<String, i64>) -> ChangeSet {
    let SetRow { id, actor, author, approved_by, via, reason, at } = set;
    ChangeSet { change_set: id, at, actor, via, reason, author, approved_by, rows }
}

fn unknown_kind(kind: &str) -> Problem {
    let known: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    Problem::new("no-such-kind", "?kind", format!("there is no kind of object called \"{kind}\"; there are: {}", known.join(", ")))
}

fn table_of(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|(word, _)| *word == kind).map(|(_, table)| *table)
}

/// A table that this list does not know yet speaks for itself.
fn kind_of(table: &str) -> String {
    let known = KINDS.iter().find(|(_, known)| *known == table).map(|(word, _)| (*word).to_owned());
    known.unwrap_or_else(|| table.rsplit('.').next().unwrap_or(table).replace('_', " "))
}

/// Rows in people's words; `None` for one in which nothing changed that says anything.
async fn in_words(db: &mut PgConnection, rows: &[RowRow]) -> Result<Vec<Option<RowChange>>, DbError> {
    let mut names = names_within(rows);
    names.extend(timeline::names(db, &wanted(rows)).await?);
    Ok(rows.iter().map(|row| told(row, &names)).collect())
}

fn images(row: &RowRow) -> impl Iterator<Item = &Value> {
    [&row.before, &row.after].into_iter().flatten()
}

/// The numbers in these rows.
fn wanted(rows: &[RowRow]) -> Wanted {
    let all = |column: &str| rows.iter().flat_map(images).filter_map(|image| image[column].as_i64()).collect::<Vec<i64>>();
    Wanted {
        hosts: rows.iter().filter_map(|row| row.host_id).collect(),
        nodes: all("node_id"),
        zones: all("zone_id"),
        subnets: all("subnet_id"),
        campuses: all("campus_id"),
        departments: all("department_id"),
    }
}

/// What is gone has its name in the rows themselves, mostly: it went in the same change set.
fn names_within(rows: &[RowRow]) -> Names {
    let mut names = Names::new();
    for row in rows {
        let Some((_, _, table)) = REFERENCES.iter().find(|(_, _, table)| *table == row.table_name) else { continue };
        for image in images(row) {
            names.insert((*table, row.key.clone()), own_name(image));
        }
    }
    let hosts = rows.iter().filter(|row| row.table_name == "ipam.host");
    let of_host: Vec<_> = hosts.filter_map(|row| Some((row.key.clone(), names.get(&("dns.node", number(&images(row).last()?["node_id"])))?.clone()))).collect();
    names.extend(of_host.into_iter().map(|(key, name)| (("ipam.host", key), name)));
    names
}

fn own_name(image: &Value) -> String {
    ["name", "apex", "network", "ip"].iter().find_map(|column| image[*column].as_str()).unwrap_or_default().to_owned()
}

fn number(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn told(row: &RowRow, names: &Names) -> Option<RowChange> {
    let what = match (&row.before, &row.after) {
        (None, _) => "added",
        (_, None) => "deleted",
        _ => "changed",
    };
    let fields = fields(row, names);
    (what != "changed" || !fields.is_empty()).then(|| RowChange { kind: kind_of(&row.table_name), object: object(row, names), what, fields })
}

/// What people call the object of a row.
fn object(row: &RowRow, names: &Names) -> String {
    let image = images(row).last().unwrap_or(&Value::Null);
    let found = match row.table_name.as_str() {
        "change.approval_rule" => Some(format!("{} {}", image["area_kind"].as_str().unwrap_or_default(), image["area_value"].as_str().unwrap_or_default())),
        "ipam.address" => Some(row.key.clone()),
        "dns.record" => names.get(&("dns.node", number(&image["node_id"]))).cloned(),
        _ => row.host_id.and_then(|host| names.get(&("ipam.host", host.to_string()))).cloned().or_else(|| Some(own_name(image))),
    };
    found.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| row.key.clone())
}

fn fields(row: &RowRow, names: &Names) -> Vec<FieldChange> {
    let nothing = serde_json::Map::new();
    let columns = |image: &Option<Value>| image.as_ref().and_then(Value::as_object).unwrap_or(&nothing).clone();
    let (before, after) = (columns(&row.before), columns(&row.after));
    let all = before.keys().chain(after.keys().filter(|column| !before.contains_key(*column)));
    let differing = all.filter(|column| !SILENT.contains(&column.as_str()) && before.get(*column) != after.get(*column));
    differing.filter_map(|column| field(column, before.get(column), after.get(column), names)).collect()
}

fn field(column: &str, before: Option<&Value>, after: Option<&Value>, names: &Names) -> Option<FieldChange> {
    let reference = REFERENCES.iter().find(|(known, ..)| *known == column);
    let is_secret = SECRET.iter().any(|part| column.contains(part));
    let shown = |value: &Value| match reference {
        Some((_, _, table)) => names.get(&(*table, number(value))).map_or_else(|| value.clone(), |name| name.clone().into()),
        None if is_secret => NOT_SHOWN.into(),
        None => value.clone(),
    };
    let side = |value: Option<&Value>| value.filter(|value| !is_nothing(value)).map_or(Value::Null, shown);
    let (before, after) = (side(before), side(after));
    // Of a secret that became another one only this is said: that it did.
    let name = reference.map_or(column, |(_, word, _)| *word).to_owned();
    (before != after || is_secret).then_some(FieldChange { field: name, before, after })
}

/// What an empty form would hold.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(table: &str, before: Value, after: Value) -> RowRow {
        let image = |value: Value| Some(value).filter(|value| !value.is_null());
        RowRow { change_set: Uuid::nil(), ordinal: 1, table_name: table.into(), key: "7".into(), host_id: None, before: image(before), after: image(after) }
    }

    #[test]
    fn a_change_is_told_by_the_fields_that_differ_and_by_names() {
        let names: Names = [(("org.campus", "1".into()), "north".into()), (("org.campus", "2".into()), "south".into())].into();
        let subnet = |campus: i64, version: i64| json!({ "id": 7, "network": "10.1.4.0/22", "campus_id": campus, "version": version, "domain": null });
        let told = told(&row("ipam.subnet", subnet(1, 1), subnet(2, 2)), &names).unwrap();
        assert_eq!((told.kind.as_str(), told.object.as_str(), told.what), ("subnet", "10.1.4.0/22", "changed"));
        assert_eq!(told.fields, [FieldChange { field: "campus".into(), before: "north".into(), after: "south".into() }]);
    }

    #[test]
    fn secrets_are_said_to_change_and_never_shown() {
        let nas = |secret: &str| json!({ "id": 7, "name": "term-1", "secret": secret });
        let told = told(&row("access.nas", nas("\\x01"), nas("\\x02")), &Names::new()).unwrap();
        assert_eq!(told.fields, [FieldChange { field: "secret".into(), before: NOT_SHOWN.into(), after: NOT_SHOWN.into() }]);
        let text = serde_json::to_string(&super::told(&row("access.nas", Value::Null, nas("\\x03")), &Names::new())).unwrap();
        assert!(!text.contains("x03"), "{text}");
    }

    #[test]
    fn what_went_together_is_named_by_its_own_rows() {
        let mut node = row("dns.node", json!({ "id": 7, "name": "www.uni.example" }), Value::Null);
        node.key = "7".into();
        let record = row("dns.record", json!({ "id": 9, "node_id": 7, "text": "10 mail" }), Value::Null);
        let names = names_within(&[node, record.clone()]);
        let told = told(&record, &names).unwrap();
        assert_eq!((told.object.as_str(), told.what), ("www.uni.example", "deleted"));
    }

    #[test]
    fn a_row_that_only_counted_up_says_nothing() {
        assert_eq!(told(&row("ipam.subnet", json!({ "version": 1 }), json!({ "version": 2 })), &Names::new()), None);
    }
}
