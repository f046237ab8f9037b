//! Departments with their own servers, contacts, organisations outside, device classes and routers: short words that everything else refers to.

use super::{
    Changed, Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    follow, page, quote,
};
use crate::{
    http::{App, Problem, api::read_draft, session::Visitor},
    inventory::{
        Action, Edit, Version, authorise,
        organisation::{
            ClassDraft, ContactDraft, DepartmentDraft, Entry, EntryKind, ExternalDraft, Kept, OrganisationEdit, RouterDraft, ServerDraft, ServerKind,
            all_classes, all_contacts, all_departments, all_externals, all_routers, all_servers,
        },
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Template)]
#[template(path = "organisation.html")]
struct OrganisationPage {
    frame: Frame,
    departments: Vec<Kept<DepartmentDraft>>,
    contacts: Vec<Kept<ContactDraft>>,
    externals: Vec<Kept<ExternalDraft>>,
    classes: Vec<Kept<ClassDraft>>,
    may_change: bool,
    servers: Vec<Kept<ServerDraft>>,
    routers: Vec<Kept<RouterDraft>>,
    follow: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(changed): Query<Changed>) -> Result<Response, Refused> {
    visitor.sight()?;
    // Who has what behind which port is for who may look at all of it, as by the API.
    let sees_all = visitor.sees_all("all routers").is_ok();
    page(OrganisationPage {
        frame: Frame::of(&app, &visitor, "organisation").await?,
        departments: all_departments(&app.pool).await?,
        contacts: all_contacts(&app.pool).await?,
        externals: all_externals(&app.pool).await?,
        classes: all_classes(&app.pool).await?,
        may_change: may_change(&visitor).is_ok(),
        servers: if sees_all { all_servers(&app.pool).await? } else { vec![] },
        routers: if sees_all { all_routers(&app.pool).await? } else { vec![] },
        follow: follow(&app, changed.change).await?,
    })
}

fn may_change(visitor: &Visitor) -> Result<(), Problem> {
    Ok(authorise(&visitor.actor("web"), Action::WriteInstitution, "the organisation")?)
}

/// Which of them an address speaks of.
#[derive(Debug, Clone, Copy)]
struct Shelf {
    kind: EntryKind,
    /// As addresses have it.
    path: &'static str,
    /// One of them, in a sentence.
    word: &'static str,
    /// The field that is its short word.
    key: &'static str,
}

const SHELVES: [Shelf; 6] = [
    Shelf { kind: EntryKind::Department, path: "departments", word: "department", key: "name" },
    Shelf { kind: EntryKind::Contact, path: "contacts", word: "contact", key: "handle" },
    Shelf { kind: EntryKind::External, path: "externals", word: "organisation outside", key: "name" },
    Shelf { kind: EntryKind::Class, path: "classes", word: "device class", key: "name" },
    Shelf { kind: EntryKind::Server, path: "servers", word: "department's server", key: "name" },
    Shelf { kind: EntryKind::Router, path: "routers", word: "router", key: "name" },
];

impl Shelf {
    fn at(path: &str) -> Result<Self, Problem> {
        let found = SHELVES.into_iter().find(|shelf| shelf.path == path);
        found.ok_or_else(|| Problem::not_found(format!("there is nothing at /organisation/{path}")))
    }

    /// What is kept under this name, as a draft, and how often it was changed.
    async fn held(self, app: &App, name: &str) -> Result<(Value, i64), Refused> {
        let pool = &app.pool;
        let all = match self.kind {
            EntryKind::Department => drafts(all_departments(pool).await?),
            EntryKind::Contact => drafts(all_contacts(pool).await?),
            EntryKind::External => drafts(all_externals(pool).await?),
            EntryKind::Class => drafts(all_classes(pool).await?),
            EntryKind::Server => drafts(all_servers(pool).await?),
            EntryKind::Router => drafts(all_routers(pool).await?),
        };
        let found = all.into_iter().find(|(draft, _)| draft[self.key] == name);
        Ok(found.ok_or_else(|| Problem::not_found(format!("there is no {} {name}", self.word)))?)
    }

    fn fields(self) -> Vec<Field> {
        let word = Field::new(self.key, "Short word", "By which everything refers to it: small letters, digits, hyphens", Look::Mono);
        let title = Field::new("title", "What it is", "In words", Look::Text);
        let choices = |all: &[&str]| Look::Choice(all.iter().map(|one| (*one).to_owned()).collect());
        match self.kind {
            EntryKind::Department => vec![
                word,
                title,
                Field::new("vlan", "VLAN", "Where its machines come in by MAC authentication that no subnet says one for; empty: none", Look::Number),
            ],
            EntryKind::Contact => vec![
                word,
                Field::new("kind", "What it is", "A person, several behind one mailbox, or somebody outside", choices(&["person", "group", "external"])),
                Field::new("name", "Name", "Of the person or group", Look::Text),
                Field::new("mail", "Mail", "An address", Look::Mono),
                Field::new("phone", "Telephone", "Best in international form", Look::Mono),
                Field::new("organisation", "Organisation outside", "Only of somebody outside, by its short word", Look::Mono),
                Field::new("note", "Note", "Anything else", Look::Text),
            ],
            EntryKind::External => vec![
                word,
                title,
                Field::new("relation", "What it is to us", "Who it is for us", choices(&["upstream", "partner", "supplier", "authority"])),
                Field::new("note", "Note", "Customer numbers, opening hours, anything else", Look::Text),
            ],
            EntryKind::Class => {
                vec![word, title, Field::new("addressing", "Addresses", "Of its own, of a pool, or either way", choices(&["either", "static", "pool"]))]
            }
            EntryKind::Server => vec![
                word,
                Field::new("department", "Department", "Whose it is, by its short word", Look::Mono),
                Field::new("kind", "What it is to us", "A part of the system, or alone", choices(&["member", "independent"])),
                Field::new("address", "Address", "In a subnet that the department shares with nobody", Look::Mono),
                Field::new("key", "TSIG key", "That it signs its questions with; empty: none", Look::Mono),
                Field::new("note", "Note", "Anything else", Look::Text),
            ],
            EntryKind::Router => {
                vec![word, title, Field::new("campus", "Campus", "Where it stands; its ports are on the command line and the API", Look::Mono)]
            }
        }
    }

    fn entry(self, draft: Value) -> Result<Entry, Problem> {
        Ok(match self.kind {
            EntryKind::Department => Entry::Department(read_draft(draft, &[])?),
            EntryKind::Contact => Entry::Contact(read_draft(draft, &[])?),
            EntryKind::External => Entry::External(read_draft(draft, &[])?),
            EntryKind::Class => Entry::Class(read_draft(draft, &[])?),
            EntryKind::Server => Entry::Server(read_draft(draft, &[])?),
            EntryKind::Router => Entry::Router(read_draft(draft, &[])?),
        })
    }

    fn place(self) -> String {
        format!("/organisation#{}", self.path)
    }
}

fn drafts<T: Serialize>(all: Vec<Kept<T>>) -> Vec<(Value, i64)> {
    let draft = |kept: Kept<T>| Some((serde_json::to_value(kept.draft).ok()?, kept.version));
    all.into_iter().filter_map(draft).collect()
}

/// A value of a draft as a field has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

async fn new_ask(app: &App, visitor: &Visitor, shelf: Shelf) -> Result<Ask, Refused> {
    may_change(visitor)?;
    let ask = Ask::new(app, visitor, "organisation", format!("Add a {}", shelf.word)).await?;
    Ok(Ask { action: format!("/organisation/{}", shelf.path), back: shelf.place(), verb: "Add it", fields: shelf.fields(), ..ask })
}

pub(super) async fn new_form(State(app): State<App>, Person(visitor): Person, Path(shelf): Path<String>) -> Result<Response, Refused> {
    page(new_ask(&app, &visitor, Shelf::at(&shelf)?).await?)
}

pub(super) async fn new_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(shelf): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let shelf = Shelf::at(&shelf)?;
    let ask = new_ask(&app, &visitor, shelf).await?.filled(&pairs);
    let edit = shelf.entry(ask.draft(json!({}))).map(|entry| Edit::Organisation(OrganisationEdit::Add(entry)));
    ask.step(&app, &visitor, &pairs, edit, None).await
}

async fn edit_ask(app: &App, visitor: &Visitor, shelf: Shelf, name: &str) -> Result<(Ask, Value), Refused> {
    may_change(visitor)?;
    let (held, version) = shelf.held(app, name).await?;
    let fields = shelf.fields().into_iter().map(|field| Field { value: text(&held[field.name]), ..field }).collect();
    let ask = Ask::new(app, visitor, "organisation", format!("Edit {} {name}", shelf.word)).await?;
    let action = format!("/organisation/{}/{}", shelf.path, quote(name));
    Ok((Ask { action, back: shelf.place(), fields, carried: vec![("version", version.to_string())], ..ask }, held))
}

pub(super) async fn edit_form(State(app): State<App>, Person(visitor): Person, Path((shelf, name)): Path<(String, String)>) -> Result<Response, Refused> {
    page(edit_ask(&app, &visitor, Shelf::at(&shelf)?, &name).await?.0)
}

pub(super) async fn edit_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path((shelf, name)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let shelf = Shelf::at(&shelf)?;
    let (ask, held) = edit_ask(&app, &visitor, shelf, &name).await?;
    let mut ask = ask.filled(&pairs);
    // As it was read: what somebody changed since is not written over.
    let read = given(&pairs, "version").to_owned();
    let version = read.parse().ok().map(Version);
    ask.carried = vec![("version", read)];
    let entry = shelf.entry(ask.draft(held));
    let edit = entry.map(|entry| Edit::Organisation(OrganisationEdit::Set { name, entry }));
    ask.step(&app, &visitor, &pairs, edit, version).await
}

async fn delete_ask(app: &App, visitor: &Visitor, shelf: Shelf, name: &str) -> Result<(Ask, Edit), Refused> {
    may_change(visitor)?;
    shelf.held(app, name).await?;
    let ask = Ask::new(app, visitor, "organisation", format!("Delete {} {name}", shelf.word)).await?;
    let action = format!("/organisation/{}/{}/delete", shelf.path, quote(name));
    let edit = Edit::Organisation(OrganisationEdit::Delete { kind: shelf.kind, name: name.to_owned() });
    Ok((Ask { action, back: shelf.place(), verb: "Delete it", is_danger: true, ..ask }, edit))
}

pub(super) async fn delete_form(State(app): State<App>, Person(visitor): Person, Path((shelf, name)): Path<(String, String)>) -> Result<Response, Refused> {
    let (ask, edit) = delete_ask(&app, &visitor, Shelf::at(&shelf)?, &name).await?;
    ask.preview(&app, &visitor, edit).await
}

pub(super) async fn delete_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path((shelf, name)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let (ask, edit) = delete_ask(&app, &visitor, Shelf::at(&shelf)?, &name).await?;
    ask.filled(&pairs).step(&app, &visitor, &pairs, Ok(edit), None).await
}
