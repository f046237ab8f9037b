//! Being built.
use crate::http::App;
use axum::Router;
pub(super) fn routes() -> Router<App> { Router::new() }
