//! What all objects have in common that are few and found by a short word: list, add, read, replace, patch, delete.

use super::{
    BODY_LIMIT_BYTES,
    hosts::Page,
    request::{Json as Body, Parameters, check_if_match, merge_patch, read},
    write::{Outcome, Wish, answer, make, with_header},
};
use crate::{
    db::DbError,
    http::{App, Problem, session::Visitor},
    inventory::{Edit, Version, organisation::Kept},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgPool;

/// One kind of them.
pub(super) trait Named: Send + Sync + 'static {
    /// Where they are: `/departments`.
    const PATH: &'static str;
    /// What one is called in a sentence.
    const WORD: &'static str;
    /// Without these there is no draft.
    const REQUIRED: &'static [&'static str];
    /// What an admin may write.
    type Draft: Serialize + DeserializeOwned + Send + Sync;

    /// All of them.
    fn all(pool: &PgPool) -> impl Future<Output = Result<Vec<Kept<Self::Draft>>, DbError>> + Send;
    /// The short word of a draft.
    fn name(draft: &Self::Draft) -> &str;
    /// Adds one.
    fn add(draft: Self::Draft) -> Edit;
    /// Makes one what the draft says.
    fn set(name: String, draft: Self::Draft) -> Edit;
    /// Deletes one.
    fn delete(name: String) -> Edit;
}

pub(super) fn routes<N: Named>() -> Router<App> {
    Router::new()
        .route(N::PATH, get(list::<N>).post(add::<N>))
        .route(&format!("{}/{{name}}", N::PATH), get(show::<N>).put(replace::<N>).patch(patch::<N>).delete(delete::<N>))
}

async fn list<N: Named>(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Json<Page<Kept<N::Draft>>>, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: N::all(&app.pool).await?, next: None }))
}

async fn show<N: Named>(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    visitor.sight()?;
    Parameters::of(&uri, &[])?;
    let found = existing::<N>(&app, &name).await?;
    let etag = etag(found.version);
    Ok(with_header(Json(found).into_response(), header::ETAG, &etag))
}

async fn add<N: Named>(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: N::Draft = read(body, N::REQUIRED)?;
    let name = N::name(&draft).to_owned();
    let outcome = make(&app, &visitor, &wish, N::add(draft), None).await?;
    let place = format!("/api/v1{}/{name}", N::PATH);
    Ok(with_header(tell::<N>(&app, &wish, outcome, &name, StatusCode::CREATED).await?, header::LOCATION, &place))
}

async fn replace<N: Named>(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: N::Draft = read(body, N::REQUIRED)?;
    let found = existing::<N>(&app, &name).await?;
    check_if_match(&headers, &etag(found.version))?;
    set::<N>(&app, &visitor, &wish, &found, draft).await
}

async fn patch<N: Named>(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Body(body): Body<BODY_LIMIT_BYTES>,
) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let found = existing::<N>(&app, &name).await?;
    check_if_match(&headers, &etag(found.version))?;
    let mut merged = serde_json::to_value(&found.draft).map_err(Problem::internal)?;
    merge_patch(&mut merged, body);
    let draft: N::Draft = read(merged, N::REQUIRED)?;
    set::<N>(&app, &visitor, &wish, &found, draft).await
}

async fn set<N: Named>(app: &App, visitor: &Visitor, wish: &Wish, found: &Kept<N::Draft>, draft: N::Draft) -> Result<Response, Problem> {
    let name = N::name(&draft).to_owned();
    let edit = N::set(N::name(&found.draft).to_owned(), draft);
    let outcome = make(app, visitor, wish, edit, Some(Version(found.version))).await?;
    tell::<N>(app, wish, outcome, &name, StatusCode::OK).await
}

async fn delete<N: Named>(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let found = existing::<N>(&app, &name).await?;
    check_if_match(&headers, &etag(found.version))?;
    let outcome = make(&app, &visitor, &wish, N::delete(name), Some(Version(found.version))).await?;
    Ok(answer(&app, &wish, outcome, None::<Kept<N::Draft>>, StatusCode::OK).await)
}

async fn existing<N: Named>(app: &App, name: &str) -> Result<Kept<N::Draft>, Problem> {
    let found = N::all(&app.pool).await?.into_iter().find(|kept| N::name(&kept.draft) == name);
    found.ok_or_else(|| Problem::not_found(format!("there is no {} {name}", N::WORD)))
}

async fn tell<N: Named>(app: &App, wish: &Wish, outcome: Outcome, name: &str, status: StatusCode) -> Result<Response, Problem> {
    let kept = match &outcome {
        Outcome::Would(_) => None,
        Outcome::Did(_) => N::all(&app.pool).await?.into_iter().find(|kept| N::name(&kept.draft) == name),
    };
    let tag = kept.as_ref().map(|kept| etag(kept.version));
    let response = answer(app, wish, outcome, kept, status).await;
    Ok(match tag {
        Some(tag) => with_header(response, header::ETAG, &tag),
        None => response,
    })
}

fn etag(version: i64) -> String {
    format!("\"{version}\"")
}
