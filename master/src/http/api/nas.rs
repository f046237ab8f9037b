//! `/nas`: the registry of NASs. Secrets come in and do not go out, but for `/nas/{name}/configuration?secret=true`, which is recorded.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    parameters::OfWrites,
    request::{Json as Body, Parameters, read, wrong_parameter},
    write::{Wish, Written, answer, make},
};
use crate::{
    http::{App, FieldError, Problem, session::Visitor},
    inventory::{
        self, Action, Edit, NasAbout, NasObject, NasPermits, authorise,
        nas::{NasConfiguration, NasWish, SecretWish, nas_configuration, nas_configuration_with_secret, nas_edit},
        nas_config::NasKind,
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use holdfast_proto::words::{Secret, Subnet};
use http::{StatusCode, Uri};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What writes by way of `write::make` alone and can be a part of a change set.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show, delete))
}

/// What takes a secret, which a draft would keep, or gives one.
pub(super) fn secretive() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(change)).routes(routes!(configuration))
}

#[utoipa::path(get, path = "/nas", operation_id = "listNas", summary = "NASs: who may ask RADIUS.", responses((status = 200, body = Page<NasObject>)))]
async fn list(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<NasObject>>, Problem> {
    Parameters::of(&uri, &[])?;
    authorise(&visitor.actor("api"), Action::Read, "all NASs")?;
    Ok(Json(Page { items: inventory::nas(&app.pool).await?, next: None }))
}

#[utoipa::path(get, path = "/nas/{name}", operation_id = "getNas", summary = "A NAS.", responses((status = 200, body = NasObject)))]
async fn show(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<NasObject>, Problem> {
    Parameters::of(&uri, &[])?;
    authorise(&visitor.actor("api"), Action::Read, "all NASs")?;
    find(&app, &name).await?.map(Json).ok_or_else(|| unknown(&name))
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no NAS {name}"))
}

async fn find(app: &App, name: &str) -> Result<Option<NasObject>, Problem> {
    Ok(inventory::nas(&app.pool).await?.into_iter().find(|one| one.name == name))
}

/// A new NAS.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = nas::Draft)]
pub struct Draft {
    /// What people call it.
    name: String,
    /// The source addresses it may use.
    #[schema(value_type = String)]
    prefix: Subnet,
    /// The shared secret: at least 16 visible ASCII letters.
    secret: String,
    /// Requests without Message-Authenticator are dropped; only an old NAS is exempt (BlastRADIUS).
    #[serde(default = "yes")]
    require_message_authenticator: bool,
    /// What it is, such as `Cisco Catalyst 9300`.
    #[serde(default)]
    kind: String,
    /// Who looks after it.
    #[serde(default)]
    contact: String,
    /// Its campus: its agents are asked first.
    #[serde(default)]
    campus: Option<String>,
    /// What else people should know.
    #[serde(default)]
    note: String,
    /// CHAP and MS-CHAPv2 outside of tunnels are taken from it, where whoever hears them can guess passwords at leisure: for what can do nothing better.
    #[serde(default)]
    may_chap: bool,
    /// It may ask of machines by their hardware addresses, as which hosts are let in.
    #[serde(default)]
    mac_authentication: bool,
    /// Where machines go that no host is; out without it.
    #[serde(default)]
    guest_vlan: Option<u16>,
}

fn yes() -> bool {
    true
}

impl Draft {
    /// The NAS that it makes.
    pub fn wish(self) -> NasWish {
        let Self { name, prefix, secret, require_message_authenticator, kind, contact, campus, note, may_chap, mac_authentication, guest_vlan } = self;
        let permits = NasPermits { may_chap, mac_authentication, guest_vlan };
        let (about, secret) = (NasAbout { kind, contact, campus, note, permits }, SecretWish::Replace(Secret::new(secret)));
        NasWish { name, prefix, require_message_authenticator, about, secret }
    }
}

/// What is to be different of a NAS.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = nas::Change)]
#[derive(Default)]
pub struct Change {
    #[schema(value_type = Option<String>)]
    prefix: Option<Subnet>,
    require_message_authenticator: Option<bool>,
    kind: Option<String>,
    contact: Option<String>,
    /// Empty for none.
    campus: Option<String>,
    note: Option<String>,
    /// Another shared secret; the one before it is taken as well.
    secret: Option<String>,
    /// The secret before this one is taken no more.
    clear_former_secret: bool,
    may_chap: Option<bool>,
    mac_authentication: Option<bool>,
    /// 0 for none.
    guest_vlan: Option<u16>,
}

impl Change {
    /// What becomes of the NAS that is held.
    pub fn wish(self, held: NasObject) -> Result<NasWish, Problem> {
        let secret = match (self.secret, self.clear_former_secret) {
            (Some(_), true) => return Err(Problem::malformed("a new secret comes first; the former one is cleared when the NAS has it", vec![])),
            (Some(secret), false) => SecretWish::Replace(Secret::new(secret)),
            (None, true) => SecretWish::ClearFormer,
            (None, false) => SecretWish::Keep,
        };
        let held_prefix = held.prefix.parse().map_err(Problem::internal)?;
        let about = NasAbout {
            kind: self.kind.unwrap_or(held.kind),
            contact: self.contact.unwrap_or(held.contact),
            campus: self.campus.map_or(held.campus, |campus| Some(campus).filter(|campus| !campus.is_empty())),
            note: self.note.unwrap_or(held.note),
            permits: NasPermits {
                may_chap: self.may_chap.unwrap_or(held.may_chap),
                mac_authentication: self.mac_authentication.unwrap_or(held.mac_authentication),
                guest_vlan: self.guest_vlan.map_or(held.guest_vlan, |vlan| Some(vlan).filter(|vlan| *vlan != 0)),
            },
        };
        let require_message_authenticator = self.require_message_authenticator.unwrap_or(held.require_message_authenticator);
        Ok(NasWish { name: held.name, prefix: self.prefix.unwrap_or(held_prefix), require_message_authenticator, about, secret })
    }
}

#[utoipa::path(
    post,
    path = "/nas",
    operation_id = "addNas",
    summary = "Add a NAS.",
    request_body = Draft,
    params(OfWrites),
    responses((status = 201, body = Written<NasObject>)),
)]
async fn add(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let wished = read::<Draft>(body, &["name", "prefix", "secret"])?.wish();
    authorise(&visitor.actor("api"), Action::WriteInstitution, "NASs")?;
    refuse_second(&app, &wished.name).await?;
    put(&app, &visitor, &wish, wished, StatusCode::CREATED).await
}

/// Refuses to add what is there.
pub async fn refuse_second(app: &App, name: &str) -> Result<(), Problem> {
    match find(app, name).await? {
        Some(_) => Err(Problem::conflict(
            format!("there is a NAS {name} already"),
            vec![FieldError::new("/name", "duplicate-name", "there is a NAS of this name already")],
        )),
        None => Ok(()),
    }
}

/// Without `If-Match`: a NAS has no version.
#[utoipa::path(
    patch,
    path = "/nas/{name}",
    operation_id = "changeNas",
    summary = "Change what is named of a NAS. With another secret both are taken, until the former one is cleared.",
    request_body = Change,
    params(OfWrites),
    responses((status = 200, body = Written<NasObject>)),
)]
async fn change(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let change: Change = read(body, &[])?;
    authorise(&visitor.actor("api"), Action::WriteInstitution, "NASs")?;
    let held = find(&app, &name).await?.ok_or_else(|| unknown(&name))?;
    let wished = change.wish(held)?;
    put(&app, &visitor, &wish, wished, StatusCode::OK).await
}

async fn put(app: &App, visitor: &Visitor, wish: &Wish, wished: NasWish, status: StatusCode) -> Result<Response, Problem> {
    let name = wished.name.clone();
    let edit = nas_edit(&app.pool, &app.data_keys(), wished).await?;
    let outcome = make(app, visitor, wish, edit, None).await?;
    let object = find(app, &name).await?;
    Ok(answer(app, wish, outcome, object, status).await)
}

/// Without `If-Match`: a NAS has no version, and whoever deletes one means it whatever its secret is.
#[utoipa::path(
    delete,
    path = "/nas/{name}",
    operation_id = "deleteNas",
    summary = "Delete a NAS: from then on its requests are not answered.",
    params(OfWrites),
    responses((status = 200, body = Written<NasObject>)),
)]
async fn delete(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let outcome = make(&app, &visitor, &wish, Edit::NasDelete { name }, None).await?;
    Ok(answer(&app, &wish, outcome, None::<NasObject>, StatusCode::OK).await)
}

/// The secret is told to who may change it, and that stands in the history.
#[utoipa::path(
    get,
    path = "/nas/{name}/configuration",
    operation_id = "configureNas",
    summary = "Ready configuration for a NAS: the agents of its campus first, those that stand in for them second.",
    params(
        ("kind" = Option<String>, Query, description = "`cisco-ios`, `aruba`, `hostapd`, `freeradius` or `generic`; what fits its kind without it."),
        ("secret" = Option<bool>, Query, description = "With the shared secret in it."),
    ),
    responses((status = 200, body = NasConfiguration)),
)]
async fn configuration(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<NasConfiguration>, Problem> {
    let parameters = Parameters::of(&uri, &["kind", "secret"])?;
    let actor = visitor.actor("api");
    authorise(&actor, Action::Read, "all NASs")?;
    let wrong = |text: &str| wrong_parameter("kind", format!("\"{text}\" is none of {}", NasKind::names().join(", ")));
    let kind = parameters.text("kind").map(|text| NasKind::named(text).ok_or_else(|| wrong(text))).transpose()?;
    let told = if parameters.flag("secret")? {
        nas_configuration_with_secret(&app.pool, &actor, &name, kind, &app.data_keys()).await?
    } else {
        nas_configuration(&app.pool, &name, kind).await?
    };
    Ok(Json(told))
}
