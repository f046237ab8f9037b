//! Who may come in, and who may do what where.

use super::{
    Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    page, quote,
};
use crate::{
    http::{
        App, Problem,
        api::read_draft,
        one_time::{add_principal, new_password},
        session::Visitor,
    },
    inventory::{
        Role,
        people::{self, GrantDraft, GrantObject, Principal, grants, principals},
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::{Value, json};

/// The kinds of areas as the form offers them: all of it first.
const AREAS: [&str; 7] = ["everywhere", "campus", "department", "zone", "name", "subnet", "range"];

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    people: Vec<Principal>,
    grants: Vec<GrantObject>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    let actor = visitor.actor("web");
    let (people, grants) = (principals(&app.pool, &actor).await?, grants(&app.pool, &actor).await?);
    page(PeoplePage { frame: Frame::of(&app, &visitor, "people").await?, people, grants })
}

impl PeoplePage {
    fn grants_of(&self, name: &str) -> Vec<&GrantObject> {
        self.grants.iter().filter(|grant| grant.principal == name).collect()
    }
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    one: Principal,
    grants: Vec<GrantObject>,
    /// Told once.
    one_time: Option<String>,
}

impl PersonPage {
    fn is_person(&self) -> bool {
        self.one.kind == "person"
    }
}

async fn find(app: &App, visitor: &Visitor, name: &str) -> Result<Principal, Refused> {
    let found = principals(&app.pool, &visitor.actor("web")).await?.into_iter().find(|one| one.name == name);
    Ok(found.ok_or_else(|| Problem::not_found(format!("there is nobody named {name}")))?)
}

async fn person(app: &App, visitor: &Visitor, name: &str, one_time: Option<String>) -> Result<Response, Refused> {
    let one = find(app, visitor, name).await?;
    let mut grants = grants(&app.pool, &visitor.actor("web")).await?;
    grants.retain(|grant| grant.principal == name);
    page(PersonPage { frame: Frame::of(app, visitor, "people").await?, one, grants, one_time })
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    person(&app, &visitor, &name, None).await
}

fn path_of(name: &str) -> String {
    format!("/people/{}", quote(name))
}

/// Where a step of somebody's page leads when it is done.
fn done(name: &str) -> Response {
    Redirect::to(&path_of(name)).into_response()
}

async fn new_ask(app: &App, visitor: &Visitor) -> Result<Ask, Refused> {
    let fields = vec![
        Field::new("name", "Login", "A short word of small letters, digits, dots, hyphens and underscores", Look::Mono),
        Field::new("group", "It is a group", "People in it may what it may", Look::Check),
    ];
    let ask = Ask::new(app, visitor, "people", "Add somebody").await?;
    let about = "Somebody who looks after the hostname database. Users of the network are the auth portal’s.".into();
    Ok(Ask { action: "/people/new".into(), verb: "Add them", about, fields, ..ask })
}

pub(super) async fn new_form(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    page(new_ask(&app, &visitor).await?)
}

pub(super) async fn new_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let ask = new_ask(&app, &visitor).await?.filled(&pairs);
    let (name, is_group) = (given(&pairs, "name").trim().to_owned(), !given(&pairs, "group").is_empty());
    let added = add_principal(&app, &visitor.actor("web"), ask.why(&pairs), &name, is_group).await;
    let (came, one_time) = match added {
        Ok(one_time) => (Ok(()), one_time),
        Err(problem) => (Err(problem), None),
    };
    let told = if is_group {
        format!("there is a group {name}, of nobody yet")
    } else {
        format!("{name} may come in with a password that is told once, and may nothing yet")
    };
    match ask.unless_done(&pairs, came, vec![told])? {
        Some(again) => Ok(again),
        None => person(&app, &visitor, &name, one_time.map(|password| password.expose().to_owned())).await,
    }
}

/// A new one-time password.
pub(super) async fn reset(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let password = new_password(&app, &visitor, "web", &name).await?;
    person(&app, &visitor, &name, Some(password.expose().to_owned())).await
}

async fn grant_ask(app: &App, visitor: &Visitor, name: &str) -> Result<Ask, Refused> {
    let one = find(app, visitor, name).await?;
    let fields = vec![
        Field::new("role", "Role", "What they may do", Look::Choice(Role::ALL.map(|role| role.to_string()).to_vec())).with(Role::Viewer.to_string()),
        Field::new("kind", "Where", "The kind of area", Look::Choice(AREAS.map(str::to_owned).to_vec())).with("department"),
        Field::new(
            "area",
            "Which one",
            "A campus, a department, a zone, *.lab.uni.example, 10.1.4.0/22, or 10.1.4.10 - 10.1.4.99; empty for everywhere",
            Look::Mono,
        ),
    ];
    let ask = Ask::new(app, visitor, "people", format!("Let {} do more", one.name)).await?;
    Ok(Ask { action: format!("{}/grant", path_of(name)), back: path_of(name), verb: "Grant it", fields, ..ask })
}

pub(super) async fn grant_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    page(grant_ask(&app, &visitor, &name).await?)
}

pub(super) async fn grant_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let ask = grant_ask(&app, &visitor, &name).await?.filled(&pairs);
    let (role, kind, which) = (given(&pairs, "role"), given(&pairs, "kind"), given(&pairs, "area").trim());
    let draft = read_draft::<GrantDraft>(json!({ "principal": name, "role": role, "area": area(kind, which) }), &[]);
    let came = match draft {
        Ok(draft) => people::give(&app.pool, &visitor.actor("web"), ask.why(&pairs), &draft).await.map(drop).map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    let told = format!("{name} is {role} {}", if which.is_empty() { "everywhere".to_owned() } else { format!("in {kind} {which}") });
    Ok(ask.unless_done(&pairs, came, vec![told])?.unwrap_or_else(|| done(&name)))
}

/// An area as somebody typed it. What is none comes out as what the draft refuses.
fn area(kind: &str, which: &str) -> Value {
    match kind {
        "everywhere" => json!({ "kind": "global" }),
        "name" => json!({ "kind": kind, "pattern": which }),
        "subnet" => json!({ "kind": kind, "network": which }),
        "range" => {
            let (first, last) = which.split_once(" - ").or_else(|| which.split_once('-')).unwrap_or((which, which));
            json!({ "kind": kind, "first": first.trim(), "last": last.trim() })
        }
        _ => json!({ "kind": kind, "name": which }),
    }
}

async fn take_ask(app: &App, visitor: &Visitor, id: i64) -> Result<(Ask, GrantObject), Refused> {
    let found = grants(&app.pool, &visitor.actor("web")).await?.into_iter().find(|grant| grant.id == id);
    let grant = found.ok_or_else(|| Problem::not_found(format!("there is no grant {id}")))?;
    let ask = Ask::new(app, visitor, "people", format!("Take a grant from {}", grant.principal)).await?;
    let (back, action) = (path_of(&grant.principal), format!("/people/grants/{id}/take"));
    Ok((Ask { action, back, verb: "Take it", is_danger: true, ..ask }, grant))
}

pub(super) async fn take_form(State(app): State<App>, Person(visitor): Person, Path(id): Path<i64>) -> Result<Response, Refused> {
    let (ask, grant) = take_ask(&app, &visitor, id).await?;
    ask.with_words(vec![taken(&grant)])
}

fn taken(grant: &GrantObject) -> String {
    let place = if grant.area.is_empty() { "everywhere".to_owned() } else { format!("in {} {}", grant.kind, grant.area) };
    format!("{} is {} {place} no longer", grant.principal, grant.role)
}

pub(super) async fn take_step(State(app): State<App>, Person(visitor): Person, Path(id): Path<i64>, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let (ask, grant) = take_ask(&app, &visitor, id).await?;
    let ask = ask.filled(&pairs);
    let came = people::take(&app.pool, &visitor.actor("web"), ask.why(&pairs), id).await.map_err(Problem::from);
    Ok(ask.unless_done(&pairs, came, vec![taken(&grant)])?.unwrap_or_else(|| done(&grant.principal)))
}

async fn door_ask(app: &App, visitor: &Visitor, one: &Principal) -> Result<(Ask, String), Refused> {
    let (title, told, verb) = match one.disabled {
        false => (format!("Shut {} out", one.name), format!("{} is out: their sessions end, their tokens work no more", one.name), "Shut them out"),
        true => (format!("Let {} in again", one.name), format!("{} may come in again, with the password of before", one.name), "Let them in"),
    };
    let ask = Ask::new(app, visitor, "people", title).await?;
    let path = path_of(&one.name);
    Ok((Ask { action: format!("{path}/door"), back: path, verb, is_danger: !one.disabled, ..ask }, told))
}

pub(super) async fn door_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let one = find(&app, &visitor, &name).await?;
    let (ask, told) = door_ask(&app, &visitor, &one).await?;
    ask.with_words(vec![told])
}

pub(super) async fn door_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let one = find(&app, &visitor, &name).await?;
    let (ask, told) = door_ask(&app, &visitor, &one).await?;
    let ask = ask.filled(&pairs);
    let came = people::set_disabled(&app.pool, &visitor.actor("web"), ask.why(&pairs), &name, !one.disabled).await.map_err(Problem::from);
    Ok(ask.unless_done(&pairs, came, vec![told])?.unwrap_or_else(|| done(&name)))
}

async fn group_ask(app: &App, visitor: &Visitor, one: &Principal) -> Result<Ask, Refused> {
    let groups = principals(&app.pool, &visitor.actor("web")).await?.into_iter().filter(|other| other.kind == "group").map(|group| group.name).collect();
    let fields = vec![
        Field::new("group", "Group", "Groups are added as people are", Look::Choice(groups)),
        Field::new("leave", "Take them out of it", "Otherwise they come in", Look::Check),
    ];
    let ask = Ask::new(app, visitor, "people", format!("Groups of {}", one.name)).await?;
    let path = path_of(&one.name);
    Ok(Ask { action: format!("{path}/group"), back: path, fields, ..ask })
}

pub(super) async fn group_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let one = find(&app, &visitor, &name).await?;
    page(group_ask(&app, &visitor, &one).await?)
}

pub(super) async fn group_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let one = find(&app, &visitor, &name).await?;
    let ask = group_ask(&app, &visitor, &one).await?.filled(&pairs);
    let (group, is_in) = (given(&pairs, "group"), given(&pairs, "leave").is_empty());
    let came = people::set_membership(&app.pool, &visitor.actor("web"), ask.why(&pairs), group, &name, is_in).await.map_err(Problem::from);
    let told = format!("{name} is {} group {group}", if is_in { "in" } else { "no longer in" });
    Ok(ask.unless_done(&pairs, came, vec![told])?.unwrap_or_else(|| done(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::AreaDraft;

    #[test]
    fn areas_are_typed_as_people_write_them() {
        let read = |kind: &str, which: &str| serde_json::from_value::<AreaDraft>(area(kind, which)).map(|area| format!("{area:?}"));
        for (kind, which) in AREAS.into_iter().zip(["", "north", "physics", "lab.uni.example", "*.lab.uni.example", "10.1.4.0/22", "10.1.4.10-10.1.4.99"]) {
            assert!(read(kind, which).is_ok(), "{kind} {which}: {:?}", read(kind, which));
        }
        assert!(read("subnet", "north").is_err() && read("range", "").is_err() && read("castle", "north").is_err());
    }
}
