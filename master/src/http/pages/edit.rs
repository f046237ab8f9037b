//! Adding, editing and deleting a host: preview first, then save; what was changed after a preview is previewed again.

use super::{
    Frame, Person, Refused,
    ask::{Pairs, given},
    effects,
    form::HostForm,
    hosts::find,
    page,
};
use crate::{
    http::{App, FieldError, Problem, api::read_draft, session::Visitor},
    inventory::{self, Applied, Edit, Effects, Host, HostDraft, Version},
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;

#[derive(Template)]
#[template(path = "edit.html")]
pub(super) struct EditPage {
    pub frame: Frame,
    pub old_name: Option<String>,
    pub action: String,
    pub back: String,
    pub version: String,
    pub form: HostForm,
    pub errors: Vec<FieldError>,
    pub loose: Vec<String>,
    pub effects: Option<String>,
    pub previewed: String,
}

impl EditPage {
    async fn new(app: &App, visitor: &Visitor, host: Option<&Host>, form: HostForm) -> Result<Self, Refused> {
        let old_name = host.map(|host| host.draft.name.to_string());
        let place = old_name.as_ref().map_or_else(|| "/hosts".to_owned(), |name| format!("/hosts/{name}"));
        Ok(Self {
            frame: Frame::of(app, visitor, "hosts").await?,
            action: if host.is_some() { format!("{place}/edit") } else { "/hosts/new".into() },
            back: place,
            old_name,
            version: host.map(stamp).unwrap_or_default(),
            form,
            errors: vec![],
            loose: vec![],
            effects: None,
            previewed: String::new(),
        })
    }

    fn with_errors(mut self, errors: Vec<FieldError>) -> Result<Response, Refused> {
        self.errors = self.form.place(errors);
        self.loose = HostForm::loose(&self.errors);
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page(self)?).into_response())
    }

    fn with_effects(mut self, found: &Effects) -> Result<Response, Refused> {
        self.effects = Some(effects::render(found)?);
        self.previewed = self.form.fingerprint();
        page(self)
    }
}

/// Which host in which version the form was made from.
fn stamp(host: &Host) -> String {
    format!("{}-{}", host.id.simple(), host.version.0)
}

/// Where a new host is to be: an address that somebody picked.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Picked {
    #[serde(default)]
    address: String,
    #[serde(default)]
    mac: String,
    /// A host that it shall be like.
    like: Option<String>,
}

pub(super) async fn new_form(State(app): State<App>, Person(visitor): Person, Query(picked): Query<Picked>) -> Result<Response, Refused> {
    let mut form = match &picked.like {
        Some(name) => HostForm::like(&find(&app, &visitor, name).await?.draft),
        None => HostForm::empty(),
    };
    form.interfaces[0].addresses = picked.address;
    form.interfaces[0].mac = picked.mac;
    page(EditPage::new(&app, &visitor, None, form).await?)
}

pub(super) async fn edit_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    page(EditPage::new(&app, &visitor, Some(&host), HostForm::of(&host.draft)).await?)
}

pub(super) async fn new_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    step(&app, &visitor, None, &pairs).await
}

pub(super) async fn edit_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    if given(&pairs, "version") != stamp(&host) {
        return Err(Problem::stale().into());
    }
    step(&app, &visitor, Some(&host), &pairs).await
}

async fn step(app: &App, visitor: &Visitor, host: Option<&Host>, pairs: &Pairs) -> Result<Response, Refused> {
    let mut form = HostForm::from_pairs(pairs);
    if given(pairs, "step") == "more" {
        form.interfaces.push(super::form::InterfaceForm::default());
        return page(EditPage::new(app, visitor, host, form).await?);
    }
    let is_save = given(pairs, "step") == "save" && given(pairs, "previewed") == form.fingerprint();
    let draft = read_draft::<HostDraft>(form.to_json(host.map(|host| &host.draft)), &["name"]);
    let reason = form.reason.clone();
    let edited = EditPage::new(app, visitor, host, form).await?;
    let draft = match draft {
        Ok(draft) => draft,
        Err(problem) => return edited.with_errors(problem.errors),
    };
    let name = draft.name.to_string();
    let edit = match host {
        None => Edit::HostAdd(draft),
        Some(host) => Edit::HostSet { name: host.draft.name.clone(), draft },
    };
    if !is_save {
        return match inventory::preview(&app.pool, &visitor.actor("web"), edit).await.map_err(Problem::from) {
            Ok(effects) => edited.with_effects(&effects),
            Err(problem) => refused(edited, problem),
        };
    }
    let applied = inventory::apply(&app.pool, &visitor.actor("web"), &reason, edit, host.map(|host| host.version)).await;
    app.committed.notify_one();
    match applied.map_err(Problem::from) {
        Ok(Applied { change_set, .. }) => Ok(Redirect::to(&format!("/hosts/{name}?saved={change_set}")).into_response()),
        Err(problem) => refused(edited, problem),
    }
}

/// Problems of the values come back in the form, others are a page of their own.
fn refused(edited: EditPage, problem: Problem) -> Result<Response, Refused> {
    if problem.errors.is_empty() { Err(problem.into()) } else { edited.with_errors(problem.errors) }
}

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    name: String,
    version: String,
    effects: Option<String>,
    problem: Option<Problem>,
}

pub(super) async fn delete_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    let edit = Edit::HostDelete { name: host.draft.name.clone() };
    let (effects, problem) = match inventory::preview(&app.pool, &visitor.actor("web"), edit).await.map_err(Problem::from) {
        Ok(found) => (Some(effects::render(&found)?), None),
        Err(problem) => (None, Some(problem)),
    };
    page(DeletePage { frame: Frame::of(&app, &visitor, "hosts").await?, name: host.draft.name.to_string(), version: stamp(&host), effects, problem })
}

pub(super) async fn delete(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let host = find(&app, &visitor, &name).await?;
    if given(&pairs, "version") != stamp(&host) {
        return Err(Problem::stale().into());
    }
    let name = host.draft.name.clone();
    let edit = Edit::HostDelete { name: name.clone() };
    let version: Option<Version> = Some(host.version);
    let applied = inventory::apply(&app.pool, &visitor.actor("web"), given(&pairs, "reason").trim(), edit, version).await;
    app.committed.notify_one();
    match applied.map_err(Problem::from) {
        Ok(applied) => Ok(Redirect::to(&format!("/hosts?gone={name}&change={}", applied.change_set)).into_response()),
        Err(problem) => {
            let again = DeletePage {
                frame: Frame::of(&app, &visitor, "hosts").await?,
                name: name.to_string(),
                version: stamp(&host),
                effects: None,
                problem: Some(problem),
            };
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(again)?).into_response())
        }
    }
}
