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
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
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

    /// Refuses who may not look at all of them. Short words that everybody refers to are for everybody who may read anything.
    fn check_sight(visitor: &Visitor) -> Result<(), Problem> {
        visitor.sight()?;
        Ok(())
    }
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

/// The requests for one kind, as functions of their own: each describes itself.
macro_rules! requests {
    ($module:ident: $kind:ident, $draft:ident, $object:ident, $all:tt, $one:tt, $word:tt, [$list:tt, $add:tt, $get:tt, $replace:tt, $change:tt, $delete:tt]) => {
        mod $module {
            use super::super::{
                BODY_LIMIT_BYTES,
                hosts::Page,
                named,
                parameters::{IfMatch, OfWrites, Patch},
                request::Json as Body,
                write::Written,
            };
            use super::{$draft, $kind};
            use crate::http::{App, Problem, session::Visitor};
            use axum::{
                extract::{Path, State},
                response::Response,
            };
            use http::{HeaderMap, Uri};
            use utoipa_axum::{router::OpenApiRouter, routes};

            /// As it is told: the draft, and how often it was changed.
            #[derive(serde::Serialize, utoipa::ToSchema)]
            struct $object {
                version: i64,
                #[serde(flatten)]
                draft: $draft,
            }

            pub(super) fn routes() -> OpenApiRouter<App> {
                OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(show, replace, change, delete))
            }

            #[utoipa::path(get, path = $all, operation_id = $list, summary = concat!("All of them: each is a ", $word, "."),
                        responses((status = 200, body = Page<$object>)))]
            async fn list(app: State<App>, visitor: Visitor, uri: Uri) -> Result<Response, Problem> {
                named::list::<$kind>(app, visitor, uri).await
            }

            #[utoipa::path(post, path = $all, operation_id = $add, summary = concat!("Add a ", $word, "."), params(OfWrites), request_body = $draft,
                        responses((status = 201, body = Written<$object>, headers(("ETag" = String)))))]
            async fn add(app: State<App>, visitor: Visitor, uri: Uri, body: Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
                named::add::<$kind>(app, visitor, uri, body).await
            }

            #[utoipa::path(get, path = $one, operation_id = $get, summary = concat!("A ", $word, "."),
                        responses((status = 200, body = $object, headers(("ETag" = String)))))]
            async fn show(app: State<App>, visitor: Visitor, name: Path<String>, uri: Uri) -> Result<Response, Problem> {
                named::show::<$kind>(app, visitor, name, uri).await
            }

            #[utoipa::path(put, path = $one, operation_id = $replace, summary = concat!("Make a ", $word, " what the draft says."),
                        params(IfMatch, OfWrites), request_body = $draft, responses((status = 200, body = Written<$object>, headers(("ETag" = String)))))]
            async fn replace(
                app: State<App>,
                visitor: Visitor,
                name: Path<String>,
                headers: HeaderMap,
                uri: Uri,
                body: Body<BODY_LIMIT_BYTES>,
            ) -> Result<Response, Problem> {
                named::replace::<$kind>(app, visitor, name, headers, uri, body).await
            }

            #[utoipa::path(patch, path = $one, operation_id = $change, summary = concat!("Change what is named of a ", $word, " (RFC 7396)."),
                        params(IfMatch, OfWrites), request_body = Patch, responses((status = 200, body = Written<$object>, headers(("ETag" = String)))))]
            async fn change(
                app: State<App>,
                visitor: Visitor,
                name: Path<String>,
                headers: HeaderMap,
                uri: Uri,
                body: Body<BODY_LIMIT_BYTES>,
            ) -> Result<Response, Problem> {
                named::patch::<$kind>(app, visitor, name, headers, uri, body).await
            }

            #[utoipa::path(delete, path = $one, operation_id = $delete, summary = concat!("Delete a ", $word, " that nothing refers to."),
                        params(IfMatch, OfWrites), responses((status = 200, body = Written<$object>)))]
            async fn delete(app: State<App>, visitor: Visitor, name: Path<String>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
                named::delete::<$kind>(app, visitor, name, headers, uri).await
            }
        }
    };
}
pub(super) use requests;

pub(super) async fn list<N: Named>(State(app): State<App>, visitor: Visitor, uri: Uri) -> Result<Response, Problem> {
    N::check_sight(&visitor)?;
    Parameters::of(&uri, &[])?;
    Ok(Json(Page { items: N::all(&app.pool).await?, next: None }).into_response())
}

pub(super) async fn show<N: Named>(State(app): State<App>, visitor: Visitor, Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    N::check_sight(&visitor)?;
    Parameters::of(&uri, &[])?;
    let found = existing::<N>(&app, &name).await?;
    let etag = etag(found.version);
    Ok(with_header(Json(found).into_response(), header::ETAG, &etag))
}

pub(super) async fn add<N: Named>(State(app): State<App>, visitor: Visitor, uri: Uri, Body(body): Body<BODY_LIMIT_BYTES>) -> Result<Response, Problem> {
    let wish = Wish::of(&uri)?;
    let draft: N::Draft = read(body, N::REQUIRED)?;
    let name = N::name(&draft).to_owned();
    let outcome = make(&app, &visitor, &wish, N::add(draft), None).await?;
    let place = format!("/api/v1{}/{name}", N::PATH);
    Ok(with_header(tell::<N>(&app, &wish, outcome, &name, StatusCode::CREATED).await?, header::LOCATION, &place))
}

pub(super) async fn replace<N: Named>(
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

pub(super) async fn patch<N: Named>(
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

pub(super) async fn delete<N: Named>(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
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
