//! Undoing change sets: the rows they changed become what they were before, as a change set of its own.
//!
//! Nothing goes back in time: an undo is one more edit, published with a higher generation. Of a row that several of the
//! change sets touched only the first image before and the last image after count. A row that moved on since is a conflict,
//! column by column: what somebody else changed later is theirs, and stays. That a secret was encrypted anew meanwhile is no
//! change: see [`secrets`].

mod secrets;

use super::{Problem, Refusal};
use crate::db::DbError;
use crate::db::free;
use crate::db::timeline;
use crate::db::undo::{self, Image, NAS, TABLES, Table};
use chrono::Utc;
use holdfast_proto::snapshot::DataKey;
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Columns that tell of the row's own history: they never go back.
const BOOKKEEPING: [&str; 2] = ["version", "updated_at"];
/// More conflicts than this are not worth listing.
const CONFLICTS_LIMIT: usize = 20;
/// How many rows go to the database in one statement.
const ROWS_PER_STATEMENT: usize = 10_000;

/// What several change sets together did to one row.
#[derive(Debug, PartialEq)]
struct Net {
    before: Option<Value>,
    after: Option<Value>,
    /// The highest version that the row ever had, so that a row put back gets a new one.
    version: i64,
}

/// What has to be done with one row.
#[derive(Debug, PartialEq)]
enum Step {
    Delete(Value),
    Update(Value),
    Insert(Value),
}

/// All steps, by table in the order of [`TABLES`].
#[derive(Debug, Default)]
struct Plan(BTreeMap<usize, Vec<Step>>);

/// A row that moved on since.
#[derive(Debug, PartialEq)]
struct Conflict {
    table: &'static Table,
    key: String,
    /// Whose row it is, where it is a host's.
    host: Option<Uuid>,
    why: String,
}

type NetByRow = BTreeMap<(usize, String), Net>;

impl Plan {
    /// The rows of NASs that are written.
    fn secrets(&mut self) -> impl Iterator<Item = &mut Value> {
        let of_nas = self.0.iter_mut().filter(|(rank, _)| TABLES[**rank].name == NAS).flat_map(|(_, steps)| steps);
        of_nas.filter_map(|step| if let Step::Update(row) | Step::Insert(row) = step { Some(row) } else { None })
    }
}

/// Undoes these change sets within the open change set, or tells all that stands against it.
pub(super) async fn undo(db: &mut PgConnection, change_sets: &[Uuid], data_keys: &[DataKey]) -> Result<(), Refusal> {
    let (mut plan, conflicts) = plan(db, change_sets).await?;
    let mut problems = Vec::new();
    for conflict in conflicts.iter().take(CONFLICTS_LIMIT) {
        problems.push(problem(db, conflict).await?);
    }
    problems.extend(plan.secrets().filter_map(|row| secrets::renew(row, data_keys).err()));
    if !problems.is_empty() {
        problems.truncate(CONFLICTS_LIMIT);
        return Err(Refusal::Invalid(problems));
    }
    if plan.0.is_empty() {
        return Err(Problem::new("nothing-to-undo", "", "every row is already as it was before: there is nothing to undo").into());
    }
    undo::defer_references(db).await?;
    carry_out(db, &plan).await?;
    undo::check_references(db).await?;
    Ok(())
}

/// The same change sets, and those later ones that have to be undone with them because they changed the same rows once more.
pub async fn with_later(pool: &PgPool, change_sets: &[Uuid]) -> Result<Vec<Uuid>, Refusal> {
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let mut all = change_sets.to_vec();
    loop {
        let (_, conflicts) = plan(&mut tx, &all).await?;
        let (tables, keys): (Vec<String>, Vec<String>) = conflicts.into_iter().map(|conflict| (conflict.table.name.to_owned(), conflict.key)).unzip();
        let later = undo::later(&mut tx, &all, &tables, &keys).await?;
        if later.is_empty() {
            tx.rollback().await.map_err(DbError::from)?;
            return Ok(all);
        }
        all.extend(later);
    }
}

/// What moved on, and by whom.
async fn problem(db: &mut PgConnection, conflict: &Conflict) -> Result<Problem, DbError> {
    let Conflict { table, key, host, why } = conflict;
    let who = timeline::last_set_of(db, table.name, key, *host).await?;
    let who = who.map(|set| format!(" (change set {} of {}, by {})", set.id, set.at.format("%Y-%m-%d %H:%M:%SZ"), set.actor)).unwrap_or_default();
    Ok(Problem::new("moved-on", "", format!("{} {key} {why}{who}: undo that change first, or edit by hand", table.name)))
}

async fn plan(db: &mut PgConnection, change_sets: &[Uuid]) -> Result<(Plan, Vec<Conflict>), Refusal> {
    let mut net = net(undo::images(db, change_sets).await?)?;
    let nas = net.keys().filter(|(rank, _)| TABLES[*rank].name == NAS).map(|(_, key)| key.clone()).collect::<Vec<_>>();
    if !nas.is_empty() {
        secrets::follow(&mut net, undo::encrypted_anew(db, &nas).await?);
    }
    free::lock(db, &subnets_of(&net)).await?;
    let mut current: BTreeMap<(usize, String), Value> = BTreeMap::new();
    for (rank, table) in TABLES.iter().enumerate() {
        let of_table = net.iter().filter(|((of, _), _)| *of == rank);
        let images: Vec<Value> = of_table.filter_map(|(_, net)| net.after.clone().or_else(|| net.before.clone())).collect();
        for images in images.chunks(ROWS_PER_STATEMENT) {
            let rows = undo::current(db, table, &Value::from(images)).await?;
            current.extend(rows.into_iter().map(|row| ((rank, key_of(&row, table)), row)));
        }
    }
    Ok(steps(net, &current))
}

/// The subnets that addresses come and go in: whoever edits addresses locks these before any of their rows.
fn subnets_of(net: &NetByRow) -> Vec<i64> {
    let addresses = net.iter().filter(|((rank, _), _)| TABLES[*rank].name == "ipam.address");
    let images = addresses.flat_map(|(_, net)| [&net.before, &net.after]).flatten();
    images.filter_map(|image| image["subnet_id"].as_i64()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Joins the images of each row.
fn net(images: Vec<Image>) -> Result<NetByRow, Refusal> {
    let mut rows = NetByRow::new();
    for image in images {
        let unknown = || Problem::new("cannot-be-undone", "", format!("changes of {} cannot be undone by this build", image.table));
        let rank = TABLES.iter().position(|table| table.name == image.table).ok_or_else(unknown)?;
        let version = [&image.before, &image.after].into_iter().flatten().map(version).max().unwrap_or_default();
        let row = rows.entry((rank, image.key)).or_insert_with(|| Net { before: image.before, after: None, version });
        row.after = image.after;
        row.version = row.version.max(version);
    }
    Ok(rows)
}

fn version(row: &Value) -> i64 {
    row["version"].as_i64().unwrap_or_default()
}

fn key_of(row: &Value, table: &Table) -> String {
    match &row[table.key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As the audit's own function of this name.
fn host_of(image: &Value, table: &Table) -> Option<Uuid> {
    let column = if table.name == "ipam.host" { "id" } else { "host_id" };
    image[column].as_str()?.parse().ok()
}

fn steps(net: NetByRow, current: &BTreeMap<(usize, String), Value>) -> (Plan, Vec<Conflict>) {
    let (mut plan, mut conflicts) = (Plan::default(), Vec::new());
    for (row, net) in net {
        let now = current.get(&row);
        let (rank, key) = row.clone();
        let host = now.or(net.after.as_ref()).and_then(|image| host_of(image, &TABLES[rank]));
        match step(net, now) {
            // A row without an identity of its own is another one when it changes: its parents may be others.
            Ok(Some(Step::Update(image))) if TABLES[rank].name == "ipam.address" => {
                plan.0.entry(rank).or_default().extend(now.cloned().map(Step::Delete).into_iter().chain([Step::Insert(image)]));
            }
            Ok(step) => plan.0.entry(rank).or_default().extend(step),
            Err(why) => conflicts.push(Conflict { table: &TABLES[rank], key, host, why }),
        }
    }
    plan.0.retain(|_, steps| !steps.is_empty());
    (plan, conflicts)
}

/// What brings one row back, or why nothing can.
fn step(net: Net, now: Option<&Value>) -> Result<Option<Step>, String> {
    let Net { before, after, version } = net;
    match (before, after, now) {
        // Made and gone again, or gone already.
        (None, None, _) | (None, Some(_), None) => Ok(None),
        (None, Some(after), Some(now)) if is_same(&after, now) => Ok(Some(Step::Delete(after))),
        (None, Some(_), Some(_)) => Err("was changed since it was made".to_owned()),
        (Some(before), None, None) => Ok(Some(Step::Insert(renewed(before, version)))),
        (Some(before), _, Some(now)) if is_same(&before, now) => Ok(None),
        (Some(_), None, Some(_)) => Err("was made anew since it was deleted".to_owned()),
        (Some(_), Some(_), None) => Err("was deleted since".to_owned()),
        (Some(before), Some(after), Some(now)) => merged(&before, &after, now).map(|row| Some(Step::Update(renewed(row, version)))),
    }
}

/// The row as it is now, with the columns that were changed as they were before.
fn merged(before: &Value, after: &Value, now: &Value) -> Result<Value, String> {
    let mut row = now.clone();
    for (column, was) in columns(before) {
        if after[column] == *was || now[column] == *was {
            continue;
        }
        if now[column] != after[column] {
            return Err(format!("has another {column} since"));
        }
        row[column] = was.clone();
    }
    Ok(row)
}

fn is_same(one: &Value, other: &Value) -> bool {
    columns(one).all(|(column, value)| other[column] == *value)
}

fn columns(row: &Value) -> impl Iterator<Item = (&String, &Value)> {
    row.as_object().into_iter().flatten().filter(|(column, _)| !BOOKKEEPING.contains(&column.as_str()))
}

/// A row is never at a version that it had before: somebody may hold that as an ETag.
fn renewed(mut row: Value, highest: i64) -> Value {
    let highest = highest.max(version(&row));
    let Some(fields) = row.as_object_mut() else { return row };
    let set = |fields: &mut Map<String, Value>, column: &str, value: Value| {
        if let Some(field) = fields.get_mut(column) {
            *field = value;
        }
    };
    set(fields, "version", (highest + 1).into());
    set(fields, "updated_at", Utc::now().to_rfc3339().into());
    row
}

/// Rows go before others come, because they may stand in their place; children go before their parents and come after them.
async fn carry_out(db: &mut PgConnection, plan: &Plan) -> Result<(), DbError> {
    let of = |rank: &usize, pick: fn(&Step) -> Option<&Value>| plan.0[rank].iter().filter_map(pick).cloned().collect::<Vec<Value>>();
    for rank in plan.0.keys().rev() {
        for images in of(rank, |step| if let Step::Delete(image) = step { Some(image) } else { None }).chunks(ROWS_PER_STATEMENT) {
            undo::delete(db, &TABLES[*rank], &Value::from(images)).await?;
        }
    }
    for rank in plan.0.keys() {
        for images in of(rank, |step| if let Step::Update(image) = step { Some(image) } else { None }).chunks(ROWS_PER_STATEMENT) {
            undo::update(db, &TABLES[*rank], &Value::from(images)).await?;
        }
    }
    for rank in plan.0.keys() {
        for images in of(rank, |step| if let Step::Insert(image) = step { Some(image) } else { None }).chunks(ROWS_PER_STATEMENT) {
            undo::insert(db, &TABLES[*rank], &Value::from(images)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn image(key: &str, before: Option<Value>, after: Option<Value>) -> Image {
        Image { table: "ipam.host".to_owned(), key: key.to_owned(), before, after }
    }

    fn host(version: i64, os: &str, comment: &str) -> Value {
        json!({ "id": "h", "version": version, "os": os, "comment": comment })
    }

    fn check(images: Vec<Image>, now: Option<Value>, expected: Result<Option<Step>, &str>) {
        let rows = net(images).unwrap();
        let found = step(rows.into_values().next().unwrap(), now.as_ref());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn of_several_changes_the_first_before_counts() {
        let images = vec![image("h", Some(host(1, "Linux", "")), Some(host(2, "BSD", ""))), image("h", Some(host(2, "BSD", "")), Some(host(3, "Plan 9", "")))];
        check(images, Some(host(3, "Plan 9", "")), Ok(Some(Step::Update(host(4, "Linux", "")))));
    }

    #[test]
    fn what_somebody_else_changed_since_stays_theirs() {
        let images = || vec![image("h", Some(host(1, "Linux", "")), Some(host(2, "BSD", "")))];
        check(images(), Some(host(3, "BSD", "new")), Ok(Some(Step::Update(host(4, "Linux", "new")))));
        check(images(), Some(host(3, "Plan 9", "")), Err("has another os since"));
        check(images(), Some(host(3, "Linux", "")), Ok(None));
        check(images(), None, Err("was deleted since"));
    }

    #[test]
    fn a_row_that_comes_back_has_a_version_that_it_never_had() {
        let images = vec![image("h", Some(host(1, "Linux", "")), Some(host(7, "BSD", ""))), image("h", Some(host(7, "BSD", "")), None)];
        check(images, None, Ok(Some(Step::Insert(host(8, "Linux", "")))));
    }

    #[test]
    fn a_row_that_was_made_goes_unless_it_was_changed_since() {
        let images = || vec![image("h", None, Some(host(1, "Linux", "")))];
        check(images(), Some(host(1, "Linux", "")), Ok(Some(Step::Delete(host(1, "Linux", "")))));
        check(images(), Some(host(2, "BSD", "")), Err("was changed since it was made"));
        check(images(), None, Ok(None));
    }

    fn value() -> impl Strategy<Value = Option<Value>> {
        proptest::option::of((0u8..3, 0u8..3).prop_map(|(os, comment)| json!({ "id": "h", "os": os, "comment": comment })))
    }

    proptest! {
        /// Whatever was done to a row: undone at once, it is as it was before.
        #[test]
        fn undoing_what_was_just_done_leads_to_the_row_before(states in proptest::collection::vec(value(), 2..6)) {
            let images: Vec<Image> = states.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| image("h", pair[0].clone(), pair[1].clone())).collect();
            prop_assume!(!images.is_empty());
            let net = net(images).unwrap().into_values().next().unwrap();
            let (first, last) = (states[0].clone(), states[states.len() - 1].clone());
            let undone = match step(net, last.as_ref()).unwrap() {
                None => last,
                Some(Step::Delete(_)) => None,
                Some(Step::Update(row) | Step::Insert(row)) => Some(row),
            };
            prop_assert_eq!(undone, first);
        }
    }
}
