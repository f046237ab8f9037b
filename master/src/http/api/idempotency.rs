//! `Idempotency-Key`: a write that is sent again, because nobody knows what became of it, is made once. The second one gets the
//! answer of the first.
//!
//! The key is noted before the write begins, and its change set notes itself under it in its own transaction. So even when the
//! master is cut off between the commit and the answer, the next request with the key hears what was done. Another request under
//! the same key is refused. Keys are kept for seven days, with the answers: where an answer may hold a secret, a key is refused.

use crate::{
    db::requests::{REQUEST, RequestKey, RequestRow, answer, begin, forget},
    http::{App, FieldError, Problem, secrets::sha256, session::Visitor},
};
use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{Value, json};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in bytes.
const KEY_LIMIT_BYTES: usize = 255;
/// The longest request that can have one: an import.
const REQUEST_LIMIT_BYTES: usize = super::IMPORT_LIMIT_BYTES;
/// The longest answer that is kept: that of an import with all its effects.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// Longer than any request takes, in seconds: one that is not answered by then never will be.
const PATIENCE_SECS: f64 = 900.0;
/// Headers of an answer that say something about the object.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// Answers a write with a key once; everything else passes.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let is_write = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    let Some(key) = request.headers().get(KEY).filter(|_| is_write).cloned() else { return Ok(next.run(request).await) };
    let key = key.to_str().ok().filter(|key| (1..=KEY_LIMIT_BYTES).contains(&key.len())).ok_or_else(wrong_key)?.to_owned();
    let (mut parts, body) = request.into_parts();
    let visitor = Visitor::from_request_parts(&mut parts, &app).await?;
    let bytes = axum::body::to_bytes(body, REQUEST_LIMIT_BYTES).await.map_err(|_| Problem::too_large(REQUEST_LIMIT_BYTES))?;
    let (request_key, digest) = (RequestKey { principal: visitor.id, key }, digest(&parts, &bytes));
    if let Some(known) = begin(&app.pool, &request_key, &digest, PATIENCE_SECS).await? {
        return again(known, &digest);
    }
    let answered = REQUEST.scope(request_key.clone(), next.run(Request::from_parts(parts, Body::from(bytes)))).await;
    keep(&app, &request_key, answered).await
}

/// Refuses a key where the answer cannot be kept.
pub(super) async fn refuse(request: Request, next: Next) -> Result<Response, Problem> {
    if request.headers().contains_key(KEY) {
        let detail = "the answer may hold a secret, which is told once and not kept to be told again: leave the Idempotency-Key out";
        return Err(Problem::malformed(detail, vec![FieldError::new("", "idempotency-key", detail)]));
    }
    Ok(next.run(request).await)
}

fn wrong_key() -> Problem {
    let detail = format!("an Idempotency-Key has 1 to {KEY_LIMIT_BYTES} printable characters");
    Problem::malformed(detail.clone(), vec![FieldError::new("", "idempotency-key", detail)])
}

/// Of all that makes the request what it is.
fn digest(parts: &Parts, body: &[u8]) -> Vec<u8> {
    let if_match = parts.headers.get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes);
    let place = parts.uri.path_and_query().map_or("", |place| place.as_str());
    sha256(&[parts.method.as_str().as_bytes(), b"\n", place.as_bytes(), b"\n", if_match, b"\n", body].concat())
}

/// The answer of the first request.
fn again(known: RequestRow, digest: &[u8]) -> Result<Response, Problem> {
    if known.digest != digest {
        let detail = "this Idempotency-Key belongs to another request: take a new key";
        return Err(Problem::refused(vec![FieldError::new("", "idempotency-key-used", detail)]));
    }
    let mut response = match (known.status, known.change_set) {
        (Some(status), _) => {
            let status = StatusCode::from_u16(status.unsigned_abs()).map_err(Problem::internal)?;
            let mut response = (status, known.body.unwrap_or_default()).into_response();
            read_headers(&known.headers.unwrap_or_default(), response.headers_mut());
            response
        }
        // The write is there for good, and the answer was lost with the master that gave it.
        (None, Some(change_set)) if known.is_abandoned => Json(json!({ "dry_run": false, "change_set": change_set })).into_response(),
        (None, _) => return Err(Problem::conflict("the first request with this Idempotency-Key is still being answered: try again in a moment", vec![])),
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Keeps an answer for the next one who asks. What came to nothing by a fault may be tried again.
async fn keep(app: &App, request: &RequestKey, answered: Response) -> Result<Response, Problem> {
    let status = answered.status();
    if status.is_server_error() || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS) {
        forget(&app.pool, request).await?;
        return Ok(answered);
    }
    let (parts, body) = answered.into_parts();
    let bytes = axum::body::to_bytes(body, ANSWER_LIMIT_BYTES).await.map_err(Problem::internal)?;
    answer(&app.pool, request, i16::try_from(status.as_u16()).unwrap_or_default(), &written_headers(&parts.headers), &bytes).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn written_headers(headers: &HeaderMap) -> Value {
    let text = |name: &HeaderName| Some((name.as_str().to_owned(), Value::from(headers.get(name)?.to_str().ok()?)));
    KEPT.iter().filter_map(text).collect::<serde_json::Map<_, _>>().into()
}

fn read_headers(kept: &Value, headers: &mut HeaderMap) {
    for name in &KEPT {
        if let Some(value) = kept[name.as_str()].as_str().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(digest: &[u8], status: Option<i16>, is_abandoned: bool) -> RequestRow {
        let headers = Some(json!({ "etag": "\"a-1\"" }));
        RequestRow { digest: digest.to_vec(), change_set: Some(uuid::Uuid::nil()), status, headers, body: Some(b"{}".to_vec()), is_abandoned }
    }

    #[test]
    fn the_second_request_hears_what_the_first_one_heard() {
        let response = again(row(b"a", Some(201), false), b"a").unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!((&response.headers()["etag"], &response.headers()[REPLAYED]), (&"\"a-1\"".parse().unwrap(), &"true".parse().unwrap()));
        assert_eq!(again(row(b"a", Some(201), false), b"b").unwrap_err().status, 422);
        assert_eq!(again(row(b"a", None, false), b"a").unwrap_err().status, 409);
        assert_eq!(again(row(b"a", None, true), b"a").unwrap().status(), 200, "what was committed is told, though the answer is lost");
    }
}
