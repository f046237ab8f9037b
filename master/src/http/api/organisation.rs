//! `/departments`, `/contacts`, `/externals`, `/device-classes`; `/responsibilities`, `/mailboxes` and `/escalation`.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    named::{self, Named},
    parameters::OfWrites,
    request::{Json as Body, Parameters, read, wrong_parameter},
    write::{Wish, Written, answer, make},
};
use crate::{
    db::DbError,
    http::{App, Problem, session::Visitor},
    inventory::{
        Edit,
        organisation::{
            self, Chain, ClassDraft, ContactDraft, DepartmentDraft, Entry, EntryKind, ExternalDraft, Kept, MailboxDraft, ObjectKind, OrganisationEdit,
            ResponsibilityDraft,
        },
    },
};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use chrono::{NaiveDate, Utc};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(departments::routes())
        .merge(contacts::routes())
        .merge(externals::routes())
        .merge(device_classes::routes())
        .routes(routes!(verify))
        .routes(routes!(responsibilities, add_responsibility))
        .routes(routes!(end_responsibility))
        .routes(routes!(mailboxes, put_mailbox))
        .routes(routes!(delete_mailbox))
        .routes(routes!(escalation))
}

named::requests!(departments: Departments, DepartmentDraft, DepartmentObject, "/departments", "/departments/{name}", "department",
    ["listDepartments", "addDepartment", "getDepartment", "replaceDepartment", "changeDepartment", "deleteDepartment"]);
named::requests!(contacts: Contacts, ContactDraft, ContactObject, "/contacts", "/contacts/{name}", "contact",
    ["listContacts", "addContact", "getContact", "replaceContact", "changeContact", "deleteContact"]);
named::requests!(externals: Externals, ExternalDraft, ExternalObject, "/externals", "/externals/{name}", "organisation outside",
    ["listExternals", "addExternal", "getExternal", "replaceExternal", "changeExternal", "deleteExternal"]);
named::requests!(device_classes: Classes, ClassDraft, DeviceClassObject, "/device-classes", "/device-classes/{name}", "device class",
    ["listDeviceClasses", "addDeviceClass", "getDeviceClass", "replaceDeviceClass", "changeDeviceClass", "deleteDeviceClass"]);

struct Departments;

impl Named for Departments {
    const PATH: &'static str = "/departments";
    const WORD: &'static str = "department";
    const REQUIRED: &'static [&'static str] = &["name"];
    type Draft = DepartmentDraft;

    async fn all(pool: &PgPool) -> Result<Vec<Kept<DepartmentDraft>>, DbError> {
        organisation::all_departments(pool).await
    }
    fn name(draft: &DepartmentDraft) -> &str {
        &draft.name
    }
    fn add(draft: DepartmentDraft) -> Edit {
        add_entry(Entry::Department(draft))
    }
    fn set(name: String, draft: DepartmentDraft) -> Edit {
        set_entry(name, Entry::Department(draft))
    }
    fn delete(name: String) -> Edit {
        delete_entry(EntryKind::Department, name)
    }
}

struct Contacts;

impl Named for Contacts {
    const PATH: &'static str = "/contacts";
    const WORD: &'static str = "contact";
    const REQUIRED: &'static [&'static str] = &["handle", "kind", "name"];
    type Draft = ContactDraft;

    async fn all(pool: &PgPool) -> Result<Vec<Kept<ContactDraft>>, DbError> {
        organisation::all_contacts(pool).await
    }
    fn name(draft: &ContactDraft) -> &str {
        &draft.handle
    }
    fn add(draft: ContactDraft) -> Edit {
        add_entry(Entry::Contact(draft))
    }
    fn set(name: String, draft: ContactDraft) -> Edit {
        set_entry(name, Entry::Contact(draft))
    }
    fn delete(name: String) -> Edit {
        delete_entry(EntryKind::Contact, name)
    }
}

struct Externals;

impl Named for Externals {
    const PATH: &'static str = "/externals";
    const WORD: &'static str = "organisation";
    const REQUIRED: &'static [&'static str] = &["name", "relation"];
    type Draft = ExternalDraft;

    async fn all(pool: &PgPool) -> Result<Vec<Kept<ExternalDraft>>, DbError> {
        organisation::all_externals(pool).await
    }
    fn name(draft: &ExternalDraft) -> &str {
        &draft.name
    }
    fn add(draft: ExternalDraft) -> Edit {
        add_entry(Entry::External(draft))
    }
    fn set(name: String, draft: ExternalDraft) -> Edit {
        set_entry(name, Entry::External(draft))
    }
    fn delete(name: String) -> Edit {
        delete_entry(EntryKind::External, name)
    }
}

struct Classes;

impl Named for Classes {
    const PATH: &'static str = "/device-classes";
    const WORD: &'static str = "device class";
    const REQUIRED: &'static [&'static str] = &["name"];
    type Draft = ClassDraft;

    async fn all(pool: &PgPool) -> Result<Vec<Kept<ClassDraft>>, DbError> {
        organisation::all_classes(pool).await
    }
    fn name(draft: &ClassDraft) -> &str {
        &draft.name
    }
    fn add(draft: ClassDraft) -> Edit {
        add_entry(Entry::Class(draft))
    }
    fn set(name: String, draft: ClassDraft) -> Edit {
        set_entry(name, Entry::Class(draft))
    }
    fn delete(name: String) -> Edit {
        delete_entry(EntryKind::Class, name)
    }
}

fn add_entry(entry: Entry) -> Edit {
    Edit::Organisation(OrganisationEdit::Add(entry))
}

fn set_entry(name: String, entry: Entry) -> Edit {
    Edit::Organisation(OrganisationEdit::Set { name, entry })
}

fn delete_entry(kind: EntryKind, name: String) -> Edit {
    Edit::Organisation(OrganisationEdit::Delete { kind, name })
}

/// `POST /contacts/{handle}/verify`: somebody made sure that it is right; today, where no day is given.
#[utoipa::path(
    post,
    path = "/contacts/{name}/verify",
    operation_id = "verifyContact",
    summary = "Say that all that is known of a contact was found right: today, or on a day.",
    request_body = Verified,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn verify(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let verified: Verified = read(body, &[])?;
    let on = verified.on.unwrap_or_else(|| Utc::now().date_naive());
    write(&app, &visitor, &wish, OrganisationEdit::Verify { handle, on }, StatusCode::OK).await
}

async fn write(app: &App, visitor: &Visitor, wish: &Wish, edit: OrganisationEdit, status: StatusCode) -> Result<Response, Problem> {
    let outcome = make(app, visitor, wish, Edit::Organisation(edit), None).await?;
    Ok(answer(app, wish, outcome, None::<Value>, status).await)
}

#[utoipa::path(
    get,
    path = "/responsibilities",
    operation_id = "listResponsibilities",
    summary = "Who is responsible for what.",
    params(
        ("kind" = Option<String>, Query, description = "For objects of this kind."),
        ("object" = Option<String>, Query, description = "For this object."),
        ("contact" = Option<String>, Query, description = "Of this contact."),
    ),
    responses((status = 200, body = Page<ResponsibilityDraft>)),
)]
async fn responsibilities(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<ResponsibilityDraft>>, Problem> {
    visitor.sight()?;
    let parameters = Parameters::of(&uri, &["kind", "object", "contact"])?;
    let wrong = |text: &str| wrong_parameter("kind", format!("\"{text}\" is no kind of object: host, subnet, zone, department, campus, institution..."));
    let kind = parameters.text("kind").map(|text| serde_json::from_value::<ObjectKind>(text.into()).map_err(|_| wrong(text))).transpose()?;
    let items = organisation::responsibilities(&app.pool, kind, parameters.text("object"), parameters.text("contact")).await?;
    Ok(Json(Page { items, next: None }))
}

#[utoipa::path(
    post,
    path = "/responsibilities",
    operation_id = "putResponsibility",
    summary = "Make a contact responsible for something.",
    request_body = ResponsibilityDraft,
    params(OfWrites),
    responses((status = 201, body = Written<serde_json::Value>)),
)]
async fn add_responsibility(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft = read(body, &["kind", "contact", "role"])?;
    write(&app, &visitor, &wish, OrganisationEdit::ResponsibilityPut(draft), StatusCode::CREATED).await
}

/// `POST /responsibilities/end`: the body names the one that ends, as it has no other name and a DELETE has no body.
#[utoipa::path(
    post,
    path = "/responsibilities/end",
    operation_id = "endResponsibility",
    summary = "End a responsibility.",
    request_body = ResponsibilityDraft,
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn end_responsibility(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft = read(body, &["kind", "contact", "role"])?;
    write(&app, &visitor, &wish, OrganisationEdit::ResponsibilityDelete(draft), StatusCode::OK).await
}

#[utoipa::path(
    get,
    path = "/mailboxes",
    operation_id = "listMailboxes",
    summary = "Mailboxes of domains, and who reads them.",
    responses((status = 200, body = Page<MailboxDraft>)),
)]
async fn mailboxes(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<MailboxDraft>>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: organisation::mailboxes(&app.pool).await?, next: None }))
}

#[utoipa::path(
    post,
    path = "/mailboxes",
    operation_id = "putMailbox",
    summary = "Say who reads a mailbox.",
    request_body = MailboxDraft,
    params(OfWrites),
    responses((status = 201, body = Written<serde_json::Value>)),
)]
async fn put_mailbox(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft = read(body, &["domain", "mailbox", "contact"])?;
    write(&app, &visitor, &wish, OrganisationEdit::MailboxPut(draft), StatusCode::CREATED).await
}

#[utoipa::path(
    delete,
    path = "/mailboxes/{domain}/{mailbox}",
    operation_id = "deleteMailbox",
    summary = "Nobody reads a mailbox any more.",
    params(OfWrites),
    responses((status = 200, body = Written<serde_json::Value>)),
)]
async fn delete_mailbox(State(app): State<App>, visitor: Visitor, Path((domain, mailbox)): Path<(String, String)>, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    write(&app, &visitor, &wish, OrganisationEdit::MailboxDelete { domain, mailbox }, StatusCode::OK).await
}

#[utoipa::path(
    get,
    path = "/escalation/{*object}",
    operation_id = "escalation",
    summary = "Whom to call about an address, a name, a subnet, a zone, a campus or an organisation, in order.",
    responses((status = 200, body = Chain)),
)]
async fn escalation(State(app): State<App>, visitor: Visitor, Path(object): Path<String>, uri: Uri) -> Result<Json<Chain>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(organisation::escalation(&app.pool, &object).await?))
}
/// On which day it was found right; today where none is given.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = contacts::Verified)]
#[serde(deny_unknown_fields)]
struct Verified {
    #[serde(default)]
    on: Option<NaiveDate>,
}
