//! Campuses and their agents: whether they answer, and how far each has what was published.

use super::{
    Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    page, quote,
    strip::duration,
};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, Action, CampusDraft, authorise},
    nodes::{self, NewToken, NodeObject, NodePosition, WorkList},
    probes::{Finding, findings},
    reports::{Event, EventQuery, events},
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, State},
    response::Response,
};
use chrono::TimeDelta;
use std::sync::Arc;

/// Reports on the page of a box.
const EVENTS_SHOWN: u32 = 50;

#[derive(Template)]
#[template(path = "campuses.html")]
struct CampusesPage {
    frame: Frame,
    campuses: Vec<CampusDraft>,
    nodes: Vec<NodeObject>,
    probes: Vec<Finding>,
    halted: Option<String>,
    may_join: bool,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    let nodes = match &app.boxes {
        Some(boxes) => nodes::list(&app.pool, &(boxes.lines)()).await.map_err(Problem::from)?,
        None => vec![],
    };
    page(CampusesPage {
        frame: Frame::of(&app, &visitor, "campuses").await?,
        campuses: inventory::campuses(&app.pool).await?,
        nodes,
        probes: findings(&app.pool).await?,
        halted: (app.halt)(),
        may_join: may_join(&visitor),
    })
}

impl CampusesPage {
    /// The boxes of a campus that are in.
    fn boxes(&self, campus: &str) -> Vec<&NodeObject> {
        self.nodes.iter().filter(|node| node.campus.as_deref() == Some(campus) && node.state == "in").collect()
    }

    /// Boxes without a campus: the portal, and agents nobody placed.
    fn others(&self) -> Vec<&NodeObject> {
        self.nodes.iter().filter(|node| node.campus.is_none() || node.state != "in").collect()
    }

    fn probes_of(&self, agent: &str) -> Vec<&Finding> {
        self.probes.iter().filter(|finding| finding.agent == agent).collect()
    }
}

#[derive(Template)]
#[template(path = "node.html")]
struct NodePage {
    frame: Frame,
    node: NodeObject,
    probes: Vec<Finding>,
    events: Vec<Event>,
    may_join: bool,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let node = find(&app, &name).await?;
    let mut probes = findings(&app.pool).await?;
    probes.retain(|finding| finding.agent == node.name);
    let events = if may_read(&visitor) { told(&app, &node.name).await? } else { vec![] };
    page(NodePage { frame: Frame::of(&app, &visitor, "campuses").await?, node, probes, events, may_join: may_join(&visitor) })
}

async fn find(app: &App, name: &str) -> Result<NodeObject, Refused> {
    let boxes = app.boxes.as_ref().ok_or_else(|| Problem::not_found("this master has no boxes"))?;
    let keys = Arc::clone(&boxes.keys.borrow());
    Ok(nodes::show(&app.pool, &keys, &(boxes.lines)(), name).await.map_err(Problem::from)?)
}

/// Whether they let boxes in and throw them out.
fn may_join(visitor: &Visitor) -> bool {
    authorise(&visitor.actor("web"), Action::Boxes, "boxes").is_ok()
}

fn may_read(visitor: &Visitor) -> bool {
    authorise(&visitor.actor("web"), Action::Read, "all that boxes report").is_ok()
}

async fn told(app: &App, name: &str) -> Result<Vec<Event>, Refused> {
    let query = EventQuery { node: Some(name.to_owned()), limit: EVENTS_SHOWN, ..EventQuery::default() };
    Ok(events(&app.pool, &query).await?.0)
}

/// How old what it serves is.
fn age(position: &NodePosition) -> String {
    position.age_s.map(|age| duration(TimeDelta::seconds(age))).unwrap_or_default()
}

/// The first digits of a digest, which is all that people compare.
fn short(digest: &Option<String>) -> String {
    digest.as_deref().map(|digest| digest.chars().take(16).collect()).unwrap_or_default()
}

/// The token that a new box comes in with, shown once.
#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    frame: Frame,
    name: String,
    role: &'static str,
    token: String,
}

async fn join_ask(app: &App, visitor: &Visitor, campus: &str) -> Result<Ask, Refused> {
    authorise(&visitor.actor("web"), Action::Boxes, "boxes")?;
    if !inventory::campuses(&app.pool).await?.iter().any(|known| known.name == campus) {
        return Err(Problem::not_found(format!("there is no campus {campus}")).into());
    }
    let fields = vec![Field::new("name", "Name of the box", "Small letters, digits, hyphens; such as north-2", Look::Mono)];
    let ask = Ask::new(app, visitor, "campuses", format!("A new agent for {campus}")).await?;
    let about = "It comes in with a token that is shown once and is good for one box.".into();
    Ok(Ask { action: format!("/campuses/{}/join", quote(campus)), verb: "Make the token", about, fields, ..ask })
}

pub(super) async fn join_form(State(app): State<App>, Person(visitor): Person, Path(campus): Path<String>) -> Result<Response, Refused> {
    page(join_ask(&app, &visitor, &campus).await?)
}

pub(super) async fn join_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(campus): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let ask = join_ask(&app, &visitor, &campus).await?.filled(&pairs);
    let name = given(&pairs, "name").trim().to_owned();
    if ask.why(&pairs).dry_run {
        return ask.with_words(vec![format!("whoever has the token comes in as {name}, an agent of campus {campus}")]);
    }
    issue(&app, &visitor, NewToken { name, role: "agent", campus: Some(campus), replace: false }).await
}

async fn issue(app: &App, visitor: &Visitor, new: NewToken) -> Result<Response, Refused> {
    let boxes = app.boxes.as_ref().ok_or_else(|| Problem::not_found("this master has no boxes"))?;
    let keys = Arc::clone(&boxes.keys.borrow());
    let token = nodes::issue_token(&app.pool, &keys, &new, &visitor.name, "web").await.map_err(Problem::from)?.to_string();
    page(TokenPage { frame: Frame::of(app, visitor, "campuses").await?, name: new.name, role: new.role, token })
}

async fn replace_ask(app: &App, visitor: &Visitor, node: &NodeObject) -> Result<Ask, Refused> {
    authorise(&visitor.actor("web"), Action::Boxes, "boxes")?;
    let ask = Ask::new(app, visitor, "campuses", format!("Replace {}", node.name)).await?;
    let path = path_of(&node.name);
    Ok(Ask { action: format!("{path}/replace"), back: path, verb: "Make the token", ..ask })
}

fn path_of(name: &str) -> String {
    format!("/nodes/{}", quote(name))
}

fn replaced(node: &NodeObject) -> Vec<String> {
    vec![format!("a new box comes in as {0} with a token that is shown once; the {0} of before is thrown out when it does, and serves until then", node.name)]
}

pub(super) async fn replace_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let node = find(&app, &name).await?;
    replace_ask(&app, &visitor, &node).await?.with_words(replaced(&node))
}

pub(super) async fn replace_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let node = find(&app, &name).await?;
    let ask = replace_ask(&app, &visitor, &node).await?.filled(&pairs);
    if ask.why(&pairs).dry_run {
        return ask.with_words(replaced(&node));
    }
    let role = if node.role == "portal" { "portal" } else { "agent" };
    issue(&app, &visitor, NewToken { name, role, campus: node.campus, replace: true }).await
}

async fn revoke_ask(app: &App, visitor: &Visitor, name: &str) -> Result<Ask, Refused> {
    authorise(&visitor.actor("web"), Action::Boxes, "boxes")?;
    let ask = Ask::new(app, visitor, "campuses", format!("Throw {name} out")).await?;
    let about = "A box that was stolen or broken into. One that is merely broken is better replaced.".into();
    Ok(Ask { action: format!("{}/revoke", path_of(name)), back: path_of(name), verb: "Throw it out", is_danger: true, about, ..ask })
}

/// What is changed by itself, and what is left for people.
fn work(list: &WorkList) -> Vec<String> {
    let secrets = list.nas_secrets.iter().map(|nas| format!("it knew the secret of NAS {} ({}): change it there and here", nas.name, nas.prefix));
    list.changed.iter().cloned().chain(list.exposed.iter().map(|had| format!("it had {had}"))).chain(secrets).collect()
}

pub(super) async fn revoke_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let ask = revoke_ask(&app, &visitor, &name).await?;
    let list = nodes::revoke(&app.pool, &name, &visitor.name, "", "web", true).await.map_err(Problem::from)?;
    ask.with_words(work(&list))
}

#[derive(Template)]
#[template(path = "revoked.html")]
struct RevokedPage {
    frame: Frame,
    name: String,
    work: Vec<String>,
    rotated_in: Option<i64>,
}

pub(super) async fn revoke_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let ask = revoke_ask(&app, &visitor, &name).await?.filled(&pairs);
    let why = ask.why(&pairs);
    let list = nodes::revoke(&app.pool, &name, &visitor.name, why.reason, "web", why.dry_run).await.map_err(Problem::from)?;
    if why.dry_run {
        return ask.with_words(work(&list));
    }
    app.committed.notify_one();
    let list = nodes::await_rotation(&app.pool, list, nodes::ROTATION_LIMIT).await.map_err(Problem::from)?;
    page(RevokedPage { frame: Frame::of(&app, &visitor, "campuses").await?, name, work: work(&list), rotated_in: list.rotated_in })
}
