//! `/routers`, `/department-servers`, `/topology`: what stands behind which port, and servers that departments run themselves.

use super::{
    hosts::Page,
    named::{self, Named},
    request::Parameters,
};
use crate::{
    db::DbError,
    http::{App, Problem, session::Visitor},
    inventory::{
        Edit,
        organisation::{self, Entry, EntryKind, Kept, OrganisationEdit, RouterDraft, ServerDraft},
        topology::{self, Advice, ServerStanding, TopologyLine},
    },
};
use axum::{
    Json,
    extract::{Path, State},
};
use http::Uri;
use sqlx::PgPool;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn writes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(routers::routes()).merge(servers::routes())
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(standing)).routes(routes!(advice))
}

named::requests!(routers: Routers, RouterDraft, RouterObject, "/routers", "/routers/{name}", "router",
    ["listRouters", "addRouter", "getRouter", "replaceRouter", "changeRouter", "deleteRouter"]);
named::requests!(servers: Servers, ServerDraft, DepartmentServerObject, "/department-servers", "/department-servers/{name}", "department's server",
    ["listDepartmentServers", "addDepartmentServer", "getDepartmentServer", "replaceDepartmentServer", "changeDepartmentServer", "deleteDepartmentServer"]);

struct Routers;

impl Named for Routers {
    const PATH: &'static str = "/routers";
    const WORD: &'static str = "router";
    const REQUIRED: &'static [&'static str] = &["name", "campus"];
    type Draft = RouterDraft;

    fn check_sight(visitor: &Visitor) -> Result<(), Problem> {
        visitor.sees_all("all routers")
    }
    async fn all(pool: &PgPool) -> Result<Vec<Kept<RouterDraft>>, DbError> {
        organisation::all_routers(pool).await
    }
    fn name(draft: &RouterDraft) -> &str {
        &draft.name
    }
    fn add(draft: RouterDraft) -> Edit {
        Edit::Organisation(OrganisationEdit::Add(Entry::Router(draft)))
    }
    fn set(name: String, draft: RouterDraft) -> Edit {
        Edit::Organisation(OrganisationEdit::Set { name, entry: Entry::Router(draft) })
    }
    fn delete(name: String) -> Edit {
        Edit::Organisation(OrganisationEdit::Delete { kind: EntryKind::Router, name })
    }
}

struct Servers;

impl Named for Servers {
    const PATH: &'static str = "/department-servers";
    const WORD: &'static str = "department's server";
    const REQUIRED: &'static [&'static str] = &["name", "department", "kind", "address"];
    type Draft = ServerDraft;

    fn check_sight(visitor: &Visitor) -> Result<(), Problem> {
        visitor.sees_all("all departments' servers")
    }
    async fn all(pool: &PgPool) -> Result<Vec<Kept<ServerDraft>>, DbError> {
        organisation::all_servers(pool).await
    }
    fn name(draft: &ServerDraft) -> &str {
        &draft.name
    }
    fn add(draft: ServerDraft) -> Edit {
        Edit::Organisation(OrganisationEdit::Add(Entry::Server(draft)))
    }
    fn set(name: String, draft: ServerDraft) -> Edit {
        Edit::Organisation(OrganisationEdit::Set { name, entry: Entry::Server(draft) })
    }
    fn delete(name: String) -> Edit {
        Edit::Organisation(OrganisationEdit::Delete { kind: EntryKind::Server, name })
    }
}

#[utoipa::path(
    get,
    path = "/topology",
    operation_id = "topology",
    summary = "Every subnet by the router and port that it stands behind, with whose it is; those at no port last.",
    responses((status = 200, body = Page<TopologyLine>)),
)]
async fn show(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<TopologyLine>>, Problem> {
    visitor.sees_all("the topology")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: topology::topology(&app.pool).await?, next: None }))
}

#[utoipa::path(
    get,
    path = "/department-servers/{name}/standing",
    operation_id = "departmentServerStanding",
    summary = "How a department's server stands: what is shared, the zones it may have, what it took last, what routers are to be told.",
    responses((status = 200, body = ServerStanding)),
)]
async fn standing(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<ServerStanding>, Problem> {
    visitor.sees_all("departments' servers")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(topology::standing(&app.pool, &name).await?))
}

#[utoipa::path(
    get,
    path = "/departments/{name}/server-advice",
    operation_id = "departmentServerAdvice",
    summary = "What stands in the way of a department's own server, with a free network and a plan.",
    responses((status = 200, body = Advice)),
)]
async fn advice(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Json<Advice>, Problem> {
    visitor.sees_all("what departments share")?;
    Parameters::of(&uri, &[])?;
    Ok(Json(topology::advise(&app.pool, &name).await?))
}
