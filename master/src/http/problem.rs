//! How anything that went wrong looks outside: RFC 9457 problem details, with every error at once.
//!
//! Handlers say what is wrong by calling one of the constructors; only this file knows statuses and bodies.
//! What the database or the program got wrong itself is logged here, once, and told outside without its particulars.

use crate::{
    db::DbError,
    inventory::{Refusal, import::Finding},
};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A refusal, as RFC 9457 spells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable name of the kind of problem, `urn:holdfast:problem:...`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every problem of the kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, in a sentence.
    pub detail: String,
    /// Every single error, where there can be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What else was found in imported files, though it stops nothing.
    #[serde(default, skip_serializing_if = "<[Finding]>::is_empty")]
    pub findings: Box<[Finding]>,
}

/// One error within a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where in the request body, as a JSON pointer (RFC 6901); empty for the whole; `?name` for a query parameter.
    pub pointer: String,
    /// A stable name of the error.
    pub code: String,
    /// What is wrong, and what would be right.
    pub detail: String,
    /// For imported files: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// For imported files: the line, counted from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl FieldError {
    /// An error at a place in the body.
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into(), file: None, line: None }
    }
}

impl Problem {
    /// The media type of every problem.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:holdfast:problem:{code}"),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            findings: Box::default(),
        }
    }

    /// The last part of the type.
    pub fn code(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood", detail) }
    }

    /// 401: nobody we know.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Log in or give a token", detail)
    }

    /// 403: known, but may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 403: nobody does this alone.
    pub fn needs_approval(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "needs-approval", "A second person has to approve this", detail)
    }

    /// 404: no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "No such thing", detail)
    }

    /// 405: the thing is there, the method is not.
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", "see the Allow header for the methods of this address")
    }

    /// 409: it collides with what is there.
    pub fn conflict(detail: impl Into<String>, errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(StatusCode::CONFLICT, "conflict", "Collides with what is there", detail) }
    }

    /// 412: changed meanwhile.
    pub fn stale() -> Self {
        let detail = "somebody changed it since you read it: read it again and repeat your edit";
        Self::new(StatusCode::PRECONDITION_FAILED, "changed-meanwhile", "Changed meanwhile", detail)
    }

    /// 413: too long.
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("the body may have {limit_bytes} bytes at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// 415: not JSON.
    pub fn media_type() -> Self {
        let detail = "send the body as application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "Not a media type read here", detail)
    }

    /// 422: understood, but the values are refused.
    pub fn refused(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => "the values are refused".to_owned(),
            [only] => only.detail.clone(),
            [first, rest @ ..] => format!("{}; and {} more", first.detail, rest.len()),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", "The values are refused", detail) }
    }

    /// 428: the ETag was not given.
    pub fn precondition_required() -> Self {
        let detail = "give the ETag of the version you have read as If-Match, so that nobody else's edit is lost";
        Self::new(StatusCode::PRECONDITION_REQUIRED, "if-match-required", "If-Match is required", detail)
    }

    /// 429: too many attempts.
    pub fn throttled(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many attempts", detail)
    }

    /// 503: the database does not answer.
    pub fn unavailable() -> Self {
        let detail = "the master cannot reach its database; hosts are still served, edits must wait";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Read-only for now", detail)
    }

    /// 503: edits stand in each other's way.
    pub fn busy() -> Self {
        let detail = "several edits of the same things stand in each other's way: nothing was changed, send the request again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many edits at once", detail)
    }

    /// 500: a fault of the program, logged with its cause.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(event = "http_fault", %cause, "a request failed by a fault of the program");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "A fault of the program", "the cause stands in the master's log")
    }

    /// When it is worth asking again: edits that met each other at once, a database that is away a little later.
    fn retry_after_secs(&self) -> Option<u16> {
        match (self.status, self.code()) {
            (503, "busy") => Some(1),
            (503, _) => Some(10),
            (429, _) => Some(30),
            _ => None,
        }
    }

    /// The status as a type.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A database error that is nobody's input: unreachable, or a fault.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.code()) {
            _ if is_unreachable(&error) => unreachable_database(&error),
            Some(code) if cannot_be_kept(&code) => {
                tracing::info!(event = "http_value_refused", %error, "the database cannot hold a value of a request");
                Self::refused(vec![FieldError::new("", "value", "a value is too long, too large, or has characters that cannot be kept")])
            }
            _ => Self::internal(error),
        }
    }
}

/// SQLSTATE classes 22 and 54: a value is not what a column can hold, which no rule here foresaw.
fn cannot_be_kept(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("54")
}

fn is_unreachable(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_))
}

fn unreachable_database(error: &dyn std::error::Error) -> Problem {
    tracing::warn!(event = "http_database_unreachable", cause = %error, "the database does not answer");
    Problem::unavailable()
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            collision if collision.is_collision() => Self::busy(),
            DbError::Failed(error) => error.into(),
            damaged => Self::internal(damaged),
        }
    }
}

/// A refusal of the inventory: what only collides with others is 409, what is wrong in itself 422.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(problems) => {
                let collides =
                    !problems.is_empty() && problems.iter().all(|problem| problem.kind.starts_with("duplicate") || problem.kind.starts_with("shared"));
                let errors: Vec<FieldError> = problems.into_iter().map(|one| FieldError::new(one.pointer, one.kind, one.detail)).collect();
                let detail = Self::refused(errors.clone()).detail;
                if collides { Self::conflict(detail, errors) } else { Self::refused(errors) }
            }
            Refusal::Missing(problem) => Self::not_found(problem.detail),
            Refusal::Forbidden(detail) => Self::forbidden(detail),
            Refusal::NeedsApproval(detail) => Self::needs_approval(detail),
            Refusal::Stale { .. } => Self::stale(),
            Refusal::Database(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(Self::MEDIA_TYPE));
        if let Some(secs) = self.retry_after_secs() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"holdfast\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldError, Problem};
    use axum::response::IntoResponse;

    #[test]
    fn a_problem_is_rfc_9457() {
        let problem = Problem::refused(vec![FieldError::new("/mac", "mac", "is no hardware address"), FieldError::new("/name", "name", "is no name")]);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:holdfast:problem:refused");
        assert_eq!(json["status"], 422);
        assert_eq!(json["errors"][1]["pointer"], "/name");
        assert_eq!(json["detail"], "is no hardware address; and 1 more");
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }

    #[test]
    fn who_comes_too_early_is_told_when_to_come_again() {
        let after = |problem: Problem| problem.into_response().headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(after(Problem::unavailable()).as_deref(), Some("10"));
        assert_eq!(after(Problem::busy()).as_deref(), Some("1"));
        assert_eq!(after(Problem::throttled("x")).as_deref(), Some("30"));
        assert_eq!(after(Problem::stale()), None);
    }

    #[test]
    fn a_fault_does_not_tell_its_cause() {
        let problem: Problem = sqlx::Error::Protocol("password=hunter2".into()).into();
        assert_eq!(problem.status, 500);
        assert!(!serde_json::to_string(&problem).unwrap().contains("hunter2"));
    }
}
