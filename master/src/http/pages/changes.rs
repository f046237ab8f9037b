//! Who changed what: the time line, one change set with before and after, and taking it back.

use super::{
    Frame, Person, Refused,
    ask::{Ask, Pairs},
    page, quote,
};
use crate::{
    http::{
        App, Problem,
        api::{open_cursor, seal_cursor},
        session::Visitor,
    },
    inventory::{self, Action, ChangeQuery, ChangeSet, Edit, RowChange},
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// How many change sets stand on a page, and rows of one.
const PAGE_LENGTH: u32 = 50;
const ROWS_SHOWN: u32 = 200;

/// What the form asks for, as it was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    actor: String,
    kind: String,
    text: String,
    cursor: Option<String>,
}

impl Asked {
    /// The same question for another page.
    fn again(&self) -> String {
        let fields = [("actor", &self.actor), ("kind", &self.kind), ("text", &self.text)];
        fields.into_iter().filter(|(_, text)| !text.trim().is_empty()).map(|(name, text)| format!("{name}={}&", quote(text.trim()))).collect()
    }
}

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    frame: Frame,
    asked: Asked,
    /// Whether they see what others did.
    audits: bool,
    sets: Vec<ChangeSet>,
    next: Option<String>,
}

fn audits(visitor: &Visitor) -> bool {
    visitor.authority.everywhere(Action::Audit)
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(asked): Query<Asked>) -> Result<Response, Refused> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let query = ChangeQuery {
        actor: if audits(&visitor) { given(&asked.actor) } else { Some(visitor.name.clone()) },
        kind: given(&asked.kind),
        text: given(&asked.text),
        below: asked.cursor.as_deref().map(position).transpose()?,
        limit: PAGE_LENGTH,
        ..ChangeQuery::default()
    };
    let (sets, next) = inventory::change_sets(&app.pool, &query).await?;
    let next = next.map(|(at, id)| seal_cursor(&format!("{} {id}", at.timestamp_micros())));
    page(ChangesPage { frame: Frame::of(&app, &visitor, "changes").await?, audits: audits(&visitor), asked, sets, next })
}

fn position(text: &str) -> Result<(DateTime<Utc>, Uuid), Problem> {
    let key = open_cursor(text)?;
    let parts = key.split_once(' ').and_then(|(at, id)| Some((DateTime::from_timestamp_micros(at.parse().ok()?)?, id.parse().ok()?)));
    parts.ok_or_else(|| Problem::not_found("there is no such page of the changes"))
}

/// What a change set touched, in a few words.
pub(super) fn summary(set: &ChangeSet) -> String {
    let counted = set.rows.iter().filter(|(kind, _)| !matches!(kind.as_str(), "interface" | "name"));
    let words: Vec<String> = counted.map(|(kind, count)| if *count == 1 { kind.clone() } else { format!("{count} × {kind}") }).collect();
    if words.is_empty() { "on record only".to_owned() } else { words.join(", ") }
}

#[derive(Template)]
#[template(path = "change.html")]
struct ChangePage {
    frame: Frame,
    set: ChangeSet,
    rows: Vec<RowChange>,
    /// Whether there are more rows than are shown.
    more: bool,
    follow: String,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(id): Path<String>) -> Result<Response, Refused> {
    let set = find(&app, &visitor, &id).await?;
    let (rows, next) = inventory::change_set_rows(&app.pool, set.change_set, 0, ROWS_SHOWN).await?;
    let follow = super::hosts::follow(&app, set.change_set).await?;
    page(ChangePage { frame: Frame::of(&app, &visitor, "changes").await?, set, rows, more: next.is_some(), follow })
}

/// A value as people read it.
fn told(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(told).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

async fn find(app: &App, visitor: &Visitor, id: &str) -> Result<ChangeSet, Refused> {
    let unknown = || Problem::not_found(format!("there is no change set {id}"));
    let parsed = Uuid::try_parse(id).map_err(|_| unknown())?;
    let found = inventory::change_set_summary(&app.pool, parsed).await?;
    Ok(found.filter(|set| audits(visitor) || set.actor == visitor.name).ok_or_else(unknown)?)
}

async fn revert_ask(app: &App, visitor: &Visitor, set: &ChangeSet) -> Result<Ask, Refused> {
    let ask = Ask::new(app, visitor, "changes", "Take a change back").await?;
    let reason = if set.reason.is_empty() { String::new() } else { format!(", “{}”", set.reason) };
    let about = format!("{} by {}, {}{reason}", summary(set), set.actor, super::moment(&set.at));
    let action = format!("/changes/{}/revert", set.change_set);
    Ok(Ask { action, back: "/changes".into(), verb: "Take it back", is_danger: true, about, ..ask })
}

fn undo(app: &App, set: &ChangeSet) -> Edit {
    Edit::Undo { change_sets: vec![set.change_set], data_keys: app.data_keys() }
}

pub(super) async fn revert_form(State(app): State<App>, Person(visitor): Person, Path(id): Path<String>) -> Result<Response, Refused> {
    let set = find(&app, &visitor, &id).await?;
    let edit = undo(&app, &set);
    revert_ask(&app, &visitor, &set).await?.preview(&app, &visitor, edit).await
}

pub(super) async fn revert_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(id): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let set = find(&app, &visitor, &id).await?;
    let mut ask = revert_ask(&app, &visitor, &set).await?.filled(&pairs);
    if ask.reason.is_empty() {
        ask.reason = format!("revert of {}", set.change_set);
    }
    let edit = undo(&app, &set);
    ask.step(&app, &visitor, &pairs, Ok(edit), None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_set_is_told_by_what_people_call_things() {
        let rows = [("host", 3), ("interface", 3), ("name", 6), ("record", 1)].map(|(kind, count)| (kind.to_owned(), count)).into();
        let (actor, via) = ("ada".to_owned(), "web".to_owned());
        let mut set = ChangeSet { change_set: Uuid::nil(), at: Utc::now(), actor, via, reason: String::new(), author: None, approved_by: None, rows };
        assert_eq!(summary(&set), "3 × host, record");
        set.rows.clear();
        assert_eq!(summary(&set), "on record only");
    }

    #[test]
    fn the_next_page_asks_the_same() {
        let asked = Asked { actor: " ada ".into(), text: "a&b".into(), ..Asked::default() };
        assert_eq!(asked.again(), "actor=ada&text=a%26b&");
    }
}
