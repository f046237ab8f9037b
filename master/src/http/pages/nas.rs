//! Who may ask RADIUS, and what to paste there.

use super::{
    Changed, Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    follow, page, quote,
};
use crate::{
    http::{
        App, Problem,
        api::{NasChange, NasDraft, read_draft, refuse_second_nas},
        secrets::random_bytes,
        session::Visitor,
    },
    inventory::{
        self, Action, Edit, NasObject, authorise,
        nas::{NasWish, nas_configuration, nas_configuration_with_secret, nas_edit},
    },
    reports::{Event, EventQuery, events},
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use serde_json::{Value, json};

/// Refused log-ins on the page.
const REFUSED_SHOWN: u32 = 50;
/// How the reports of the RADIUS service that tell of somebody who was refused are named.
const REFUSED_EVENT: &str = "radius_refused";
/// Of a secret that is made for somebody, before it is written in hexadecimal digits.
const SECRET_BYTES: usize = 16;

#[derive(Template)]
#[template(path = "nas_list.html")]
struct NasListPage {
    frame: Frame,
    all: Vec<NasObject>,
    refused: Vec<Event>,
    may_change: bool,
    follow: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(changed): Query<Changed>) -> Result<Response, Refused> {
    visitor.sees_all("all NASs")?;
    let query = EventQuery { event: Some(REFUSED_EVENT.to_owned()), limit: REFUSED_SHOWN, ..EventQuery::default() };
    let (refused, _) = events(&app.pool, &query).await?;
    page(NasListPage {
        frame: Frame::of(&app, &visitor, "nas").await?,
        all: inventory::nas(&app.pool).await?,
        refused,
        may_change: may_change(&visitor),
        follow: follow(&app, changed.change).await?,
    })
}

fn may_change(visitor: &Visitor) -> bool {
    authorise(&visitor.actor("web"), Action::WriteInstitution, "NASs").is_ok()
}

#[derive(Template)]
#[template(path = "nas.html")]
struct NasPage {
    frame: Frame,
    nas: NasObject,
    configuration: Result<String, String>,
    /// Whether the secret stands in it.
    with_secret: bool,
    may_change: bool,
    follow: Option<String>,
}

async fn find(app: &App, name: &str) -> Result<NasObject, Problem> {
    let nas = inventory::nas(&app.pool).await?.into_iter().find(|nas| nas.name == name);
    nas.ok_or_else(|| Problem::not_found(format!("there is no NAS {name}")))
}

pub(super) async fn show(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Query(changed): Query<Changed>,
) -> Result<Response, Refused> {
    visitor.sees_all("all NASs")?;
    let nas = find(&app, &name).await?;
    let configuration = nas_configuration(&app.pool, &name, None).await.map(|told| told.text).map_err(|refusal| Problem::from(refusal).detail);
    let follow = follow(&app, changed.change).await?;
    page(NasPage { frame: Frame::of(&app, &visitor, "nas").await?, nas, configuration, with_secret: false, may_change: may_change(&visitor), follow })
}

/// The configuration with the secret in it; that it was read stands in the history.
pub(super) async fn show_secret(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let nas = find(&app, &name).await?;
    let told = nas_configuration_with_secret(&app.pool, &visitor.actor("web"), &name, None, &app.data_keys()).await?;
    let frame = Frame::of(&app, &visitor, "nas").await?;
    page(NasPage { frame, nas, configuration: Ok(told.text), with_secret: true, may_change: true, follow: None })
}

/// The fields that a new one and a changed one have in common. Where there is none yet, it is as safe as it can be.
async fn fields(app: &App, held: Option<&NasObject>) -> Result<Vec<Field>, Refused> {
    let text = |pick: fn(&NasObject) -> &String| held.map(pick).cloned().unwrap_or_default();
    let mut campuses = vec![String::new()];
    campuses.extend(inventory::campuses(&app.pool).await?.into_iter().map(|campus| campus.name));
    Ok(vec![
        Field::new("prefix", "From where it asks", "Its address, such as 10.1.4.250/32, or a network", Look::Mono).with(text(|nas| &nas.prefix)),
        Field::new("campus", "Campus", "Its agents are asked first; –: all are alike to it", Look::Choice(campuses))
            .with(held.and_then(|nas| nas.campus.clone()).unwrap_or_default()),
        Field::new("kind", "What it is", "Such as Cisco Catalyst 9300: decides what there is to paste", Look::Text).with(text(|nas| &nas.kind)),
        Field::new("contact", "Looked after by", "A person or a mailbox", Look::Text).with(text(|nas| &nas.contact)),
        Field::new("note", "Note", "What else people should know", Look::Text).with(text(|nas| &nas.note)),
        Field::new(
            "require_message_authenticator",
            "Message-Authenticator is asked of it",
            "Without, whoever is on the path can forge answers (BlastRADIUS): only for what cannot send it",
            Look::Check,
        )
        .ticked(held.is_none_or(|nas| nas.require_message_authenticator)),
        Field::new(
            "may_chap",
            "CHAP and MS-CHAPv2 outside of tunnels",
            "Whoever hears them can guess passwords at leisure: only for what can do nothing better",
            Look::Check,
        )
        .ticked(held.is_some_and(|nas| nas.may_chap)),
        Field::new("mac_authentication", "It may ask of machines", "Hosts are let in by their hardware addresses, into the VLAN of their subnet", Look::Check)
            .ticked(held.is_some_and(|nas| nas.mac_authentication)),
        Field::new("guest_vlan", "VLAN of guests", "Where machines go that no host is; empty: they stay out", Look::Number)
            .with(held.and_then(|nas| nas.guest_vlan).map(|vlan| vlan.to_string()).unwrap_or_default()),
    ])
}

async fn new_ask(app: &App, visitor: &Visitor) -> Result<Ask, Refused> {
    authorise(&visitor.actor("web"), Action::WriteInstitution, "NASs")?;
    let mut fields = fields(app, None).await?;
    fields.insert(0, Field::new("name", "Name", "What people call it, such as switch-4-2", Look::Mono));
    fields.insert(2, Field::new("secret", "Shared secret", "16 letters or more; empty: one is made, which its page shows", Look::Secret));
    let ask = Ask::new(app, visitor, "nas", "Add a NAS").await?;
    let about = "A switch, access point, VPN gateway or terminal server that asks agents who may come in.".into();
    Ok(Ask { action: "/nas/new".into(), verb: "Add it", about, fields, ..ask })
}

pub(super) async fn new_form(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    page(new_ask(&app, &visitor).await?)
}

pub(super) async fn new_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let mut ask = new_ask(&app, &visitor).await?.filled(&pairs);
    ask.back = path_of(given(&pairs, "name").trim());
    let mut draft = ask.draft(json!({}));
    if given(&pairs, "secret").trim().is_empty() {
        draft["secret"] = hex::encode(&random_bytes()[..SECRET_BYTES]).into();
    }
    let edit = match read_draft::<NasDraft>(draft, &["name", "prefix"]).map(NasDraft::wish) {
        Ok(wish) => match refuse_second_nas(&app, &wish.name).await {
            Ok(()) => edit(&app, wish).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    ask.step(&app, &visitor, &pairs, edit, None).await
}

async fn edit(app: &App, wish: NasWish) -> Result<Edit, Problem> {
    Ok(nas_edit(&app.pool, &app.data_keys(), wish).await?)
}

fn path_of(name: &str) -> String {
    format!("/nas/{}", quote(name))
}

async fn edit_ask(app: &App, visitor: &Visitor, held: &NasObject) -> Result<Ask, Refused> {
    authorise(&visitor.actor("web"), Action::WriteInstitution, "NASs")?;
    let mut fields = fields(app, Some(held)).await?;
    let hint = "Empty: it stays. With another one both are taken, until the former one is taken no more";
    fields.push(Field::new("secret", "New shared secret", hint, Look::Secret));
    if held.has_former_secret {
        fields.push(Field::new("clear_former_secret", "It has the new secret", "The former one is taken no more", Look::Check));
    }
    let ask = Ask::new(app, visitor, "nas", format!("Edit {}", held.name)).await?;
    let path = path_of(&held.name);
    Ok(Ask { action: format!("{path}/edit"), back: path, fields, ..ask })
}

pub(super) async fn edit_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let held = find(&app, &name).await?;
    page(edit_ask(&app, &visitor, &held).await?)
}

pub(super) async fn edit_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let held = find(&app, &name).await?;
    let ask = edit_ask(&app, &visitor, &held).await?.filled(&pairs);
    let edit = match read_draft::<NasChange>(change(&ask), &["prefix"]).and_then(|change| change.wish(held)) {
        Ok(wish) => edit(&app, wish).await,
        Err(problem) => Err(problem),
    };
    ask.step(&app, &visitor, &pairs, edit, None).await
}

/// What the fields say of one that is there: an empty field says that there is none of it.
fn change(ask: &Ask) -> Value {
    let mut draft = ask.draft(json!({}));
    for (name, none) in [("campus", json!("")), ("guest_vlan", json!(0))] {
        if draft.get(name).is_none() {
            draft[name] = none;
        }
    }
    draft
}

async fn delete_ask(app: &App, visitor: &Visitor, held: &NasObject) -> Result<Ask, Refused> {
    let ask = Ask::new(app, visitor, "nas", format!("Delete {}", held.name)).await?;
    let about = "From then on its requests are not answered.".into();
    Ok(Ask { action: format!("{}/delete", path_of(&held.name)), verb: "Delete it", is_danger: true, about, ..ask })
}

pub(super) async fn delete_form(State(app): State<App>, Person(visitor): Person, Path(name): Path<String>) -> Result<Response, Refused> {
    let held = find(&app, &name).await?;
    delete_ask(&app, &visitor, &held).await?.preview(&app, &visitor, Edit::NasDelete { name }).await
}

pub(super) async fn delete_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(name): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let held = find(&app, &name).await?;
    delete_ask(&app, &visitor, &held).await?.filled(&pairs).step(&app, &visitor, &pairs, Ok(Edit::NasDelete { name }), None).await
}
