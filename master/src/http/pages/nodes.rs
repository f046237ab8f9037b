//! Campuses and their agents: whether they answer, and how far each has what was published.

use super::{Frame, Person, Refused, page, strip::duration};
use crate::{
    http::{App, Problem, session::Visitor},
    inventory::{self, Action, CampusDraft, authorise},
    nodes::{self, NodeObject, NodePosition},
    probes::{Finding, findings},
    reports::{Event, EventQuery, events},
};
use askama::Template;
use axum::{
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
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let boxes = app.boxes.as_ref().ok_or_else(|| Problem::not_found("this master has no boxes"))?;
    let keys = Arc::clone(&boxes.keys.borrow());
    let node = nodes::show(&app.pool, &keys, &(boxes.lines)(), &name).await.map_err(Problem::from)?;
    let mut probes = findings(&app.pool).await?;
    probes.retain(|finding| finding.agent == node.name);
    let events = if may_read(&visitor) { told(&app, &node.name).await? } else { vec![] };
    page(NodePage { frame: Frame::of(&app, &visitor, "campuses").await?, node, probes, events })
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
