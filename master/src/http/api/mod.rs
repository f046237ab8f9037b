//! The door for programs: `/api/v1`, plural nouns, natural keys, JSON in and out, and problems for everything that is refused.
//!
//! Every write takes `dry_run`, `reason`, `wait=all` and `timeout`; every change of something that is there needs `If-Match`.

mod audit;
mod boot;
mod change_sets;
mod changes;
mod checks;
mod discoveries;
mod docs;
mod document;
mod events;
mod explain;
mod exports;
mod faults;
mod hosts;
mod idempotency;
mod import;
mod leases;
mod machines;
mod me;
mod moves;
mod named;
mod nas;
mod network_sessions;
mod networks;
mod nodes;
mod organisation;
mod parameters;
mod places;
mod principals;
mod privacy;
mod records;
mod request;
mod snapshots;
mod space;
mod stream;
mod systems;
mod tokens;
mod topology;
mod trace;
mod transfers;
mod webhooks;
mod write;

pub use change_sets::Recorder;
pub use nas::{Change as NasChange, Draft as NasDraft, refuse_second as refuse_second_nas};
pub use network_sessions::{open_place, seal_place};
pub use request::{open_cursor, read as read_draft, seal_cursor};

use super::{App, Problem};
use axum::Router;
use utoipa_axum::router::OpenApiRouter;

/// The longest body of an ordinary request.
const BODY_LIMIT_BYTES: usize = 256 * 1024;
/// The longest import: a bootptab of 100 000 hosts is about 15 MB.
const IMPORT_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Everything below `/api`.
pub fn routes(app: &App) -> Router<App> {
    let v1 = Router::from(open())
        .layer(axum::middleware::from_fn_with_state(app.clone(), idempotency::once))
        .merge(Router::from(secretive()).layer(axum::middleware::from_fn(idempotency::refuse)))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn(request::refuse_no_text));
    Router::new().nest("/v1", v1).fallback(no_such_address).method_not_allowed_fallback(async || Problem::method_not_allowed())
}

/// What a key makes once.
fn open() -> OpenApiRouter<App> {
    writes()
        .merge(document::routes())
        .merge(events::routes())
        .merge(explain::routes())
        .merge(faults::routes())
        .merge(discoveries::routes())
        .merge(topology::routes())
        .merge(exports::routes())
        .merge(systems::routes())
        .merge(import::routes())
        .merge(boot::routes())
        .merge(checks::routes())
        .merge(privacy::routes())
        .merge(snapshots::routes())
        .merge(changes::routes())
        .merge(audit::routes())
        .merge(leases::routes())
        .merge(trace::routes())
        .merge(machines::routes())
        .merge(network_sessions::routes())
        .merge(stream::routes())
}

/// What writes the hostname database by way of `write::make` alone, and so can be a part of a change set.
fn writes() -> OpenApiRouter<App> {
    let places = OpenApiRouter::new().merge(networks::routes()).merge(nas::routes()).merge(places::routes()).merge(space::routes());
    let things =
        OpenApiRouter::new().merge(hosts::routes()).merge(records::routes()).merge(moves::routes()).merge(leases::writes()).merge(organisation::routes());
    let edges = OpenApiRouter::new().merge(topology::writes()).merge(discoveries::writes());
    things.merge(places).merge(edges).merge(change_sets::routes())
}

/// What may answer with a secret, which is told once and kept nowhere.
fn secretive() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(tokens::routes())
        .merge(me::routes())
        .merge(principals::routes())
        .merge(webhooks::routes())
        .merge(nodes::routes())
        .merge(transfers::routes())
        .merge(nas::secretive())
        .merge(exports::secretive())
}

async fn no_such_address(uri: http::Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}
