//! Who is asking: browser sessions by cookie, programs by bearer token; logging in and out, and the brake on guessing.
//!
//! The cookie and the token carry 256 random bits each; the database knows only their digests. A failed log-in says the
//! same for a wrong name and a wrong password, and takes as long.

use super::{
    App, Problem,
    secrets::{OneTimePassword, hash_password, password_is, random_bytes, sha256},
};
use crate::{
    db::access::{self, PrincipalRow},
    inventory::{Actor, Role},
};
use axum::extract::FromRequestParts;
use chrono::{DateTime, Duration, Utc};
use holdfast_proto::words::Secret;
use http::{HeaderMap, HeaderValue, header, request::Parts};
use sqlx::PgPool;
use std::net::IpAddr;
use uuid::Uuid;

/// A session ends after this time without a request.
const IDLE_LIMIT_SECS: f64 = 2.0 * 3600.0;
/// And in any case after this time.
const SESSION_HOURS: i64 = 12;
/// Failures older than this no longer count.
const WINDOW_SECS: f64 = 900.0;
/// Per kind of subject: failures that are free, and the longest wait after more. The pair is held hard; a name alone
/// only a little, because anybody could lock an administrator out with it.
const BRAKES: [(&str, i32, f64); 3] = [("pair", 5, 900.0), ("address", 30, 300.0), ("name", 50, 30.0)];
/// How a token begins, so that scanners for leaked secrets can know it.
const TOKEN_PREFIX: &str = "holdfast_";

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The principal's identity.
    pub id: Uuid,
    /// Its name, as history shows it.
    pub name: String,
    /// Whether it may change anything.
    pub is_administrator: bool,
    /// Whether its password was made by the program and should be changed.
    pub must_change: bool,
    /// How it came in.
    pub via: Via,
}

/// How a visitor came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// With a browser session.
    Session,
    /// With a token.
    Token,
}

impl Visitor {
    fn new(row: PrincipalRow, via: Via) -> Self {
        Self { id: row.id, name: row.name, is_administrator: row.role == "administrator", must_change: row.must_change, via }
    }

    /// The visitor as the inventory knows people; `via` is the door they came by.
    pub fn actor(&self, via: &'static str) -> Actor {
        let role = if self.is_administrator { Role::Administrator } else { Role::Viewer };
        Actor { name: self.name.clone(), role, via }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            return by_token(&app.pool, value).await;
        }
        let Some(secret) = session_secret(&parts.headers, app.secure) else {
            return Err(Problem::unauthenticated("send a token as \"Authorization: Bearer ...\", or log in"));
        };
        let row = access::principal_of_session(&app.pool, &sha256(secret.as_bytes()), IDLE_LIMIT_SECS).await?;
        row.map(|row| Self::new(row, Via::Session)).ok_or_else(|| Problem::unauthenticated("the session is over: log in again"))
    }
}

async fn by_token(pool: &PgPool, value: &HeaderValue) -> Result<Visitor, Problem> {
    let wrong = || Problem::unauthenticated("the token is unknown, expired or revoked");
    let (id, secret) = value.to_str().ok().and_then(parse_bearer).ok_or_else(wrong)?;
    let row = access::principal_of_token(pool, id, &sha256(secret.as_bytes())).await?;
    row.map(|row| Visitor::new(row, Via::Token)).ok_or_else(wrong)
}

/// Splits `Bearer holdfast_<id>.<secret>`.
fn parse_bearer(text: &str) -> Option<(Uuid, &str)> {
    let (scheme, token) = text.split_once(' ')?;
    let (id, secret) = token.trim().strip_prefix(TOKEN_PREFIX)?.split_once('.')?;
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some((Uuid::try_parse(id).ok()?, secret))
}

/// The `__Host-` prefix makes the browser itself insist on Secure, Path=/ and no Domain; it works under TLS only.
fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-holdfast" } else { "holdfast" }
}

fn session_secret(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == cookie_name(secure)).map(|(_, v)| v)
}

fn set_cookie(secret: &str, max_age_secs: i64, secure: bool) -> HeaderValue {
    let flag = if secure { "; Secure" } else { "" };
    let text = format!("{}={secret}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite=Strict{flag}", cookie_name(secure));
    HeaderValue::try_from(text).expect("a cookie of hex digits is a header value")
}

/// A session that was just started.
pub struct LoggedIn {
    /// The cookie to set.
    pub cookie: HeaderValue,
    /// Whether the password was made by the program and should be changed first of all.
    pub must_change: bool,
}

/// Checks name and password, and starts a session.
pub async fn log_in(app: &App, name: &str, password: Secret, peer: Option<IpAddr>) -> Result<LoggedIn, Problem> {
    let name = name.trim().to_lowercase();
    let subjects = subjects(&name, peer);
    if let Some(until) = access::blocked_until(&app.pool, &subjects).await? {
        let secs = (until - Utc::now()).num_seconds().max(1);
        return Err(Problem::throttled(format!("too many failed attempts: try again in {secs} s")));
    }
    let row = access::principal_by_name(&app.pool, &name).await?;
    let kept = row.as_ref().and_then(|row| row.password.clone());
    // Counted as a failure first: a thousand guesses at once are a thousand guesses.
    count_failure(&app.pool, &subjects).await?;
    if !password_is(password, kept).await? {
        return Err(refuse_log_in(peer));
    }
    let row = row.ok_or_else(|| Problem::internal("a password matched nobody's"))?;
    for subject in &subjects {
        access::forget_failures(&app.pool, subject).await?;
    }
    let secret = hex::encode(random_bytes());
    access::insert_session(&app.pool, &sha256(secret.as_bytes()), row.id, Utc::now() + Duration::hours(SESSION_HOURS)).await?;
    tracing::info!(event = "access.logged_in", principal = row.name, peer = ?peer, "{} logged in", row.name);
    Ok(LoggedIn { cookie: set_cookie(&secret, SESSION_HOURS * 3600, app.secure), must_change: row.must_change })
}

/// The pair first, then the address, then the name: in the order of the brakes.
fn subjects(name: &str, peer: Option<IpAddr>) -> Vec<String> {
    let shown: String = name.chars().take(64).collect();
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    vec![format!("pair {peer} {shown}"), format!("address {peer}"), format!("name {shown}")]
}

async fn count_failure(pool: &PgPool, subjects: &[String]) -> Result<(), Problem> {
    for (subject, (_, free, limit_secs)) in subjects.iter().zip(BRAKES) {
        access::count_failure(pool, subject, free, WINDOW_SECS, limit_secs).await?;
    }
    Ok(())
}

fn refuse_log_in(peer: Option<IpAddr>) -> Problem {
    metrics::counter!("holdfast_login_failures_total").increment(1);
    tracing::warn!(event = "access.log_in_refused", peer = ?peer, "a log-in was refused");
    Problem::unauthenticated("name and password do not belong together")
}

/// Ends the session of a request: the cookie that takes the old one away.
pub async fn log_out(app: &App, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if let Some(secret) = session_secret(headers, app.secure) {
        access::delete_session(&app.pool, &sha256(secret.as_bytes())).await?;
    }
    Ok(set_cookie("", 0, app.secure))
}

/// Sets a visitor's own password after checking the old one; every session of theirs ends.
pub async fn change_password(app: &App, visitor: &Visitor, old: Secret, new: Secret) -> Result<(), Problem> {
    /// NIST SP 800-63B section 5.1.1.2 asks for eight; an administrator of the network should have more.
    const SHORTEST_CHARS: usize = 12;
    let row = access::principal_by_name(&app.pool, &visitor.name).await?;
    if !password_is(old, row.and_then(|row| row.password)).await? {
        return Err(Problem::refused(vec![super::FieldError::new("/old", "wrong", "this is not your password")]));
    }
    if String::from_utf8_lossy(new.expose()).chars().count() < SHORTEST_CHARS {
        let detail = format!("take at least {SHORTEST_CHARS} characters: a few words are easy to remember and hard to guess");
        return Err(Problem::refused(vec![super::FieldError::new("/new", "too-short", detail)]));
    }
    let phc = hash_password(new).await?;
    access::set_password(&app.pool, &visitor.name, &phc, false).await?;
    tracing::info!(event = "access.password_changed", principal = visitor.name, "{} changed the password", visitor.name);
    Ok(())
}

/// Makes the administrator `admin` where there is no principal yet. The password is to be printed once, and kept nowhere.
pub async fn create_first_admin(pool: &PgPool) -> Result<Option<OneTimePassword>, Problem> {
    if access::count_principals(pool).await? > 0 {
        return Ok(None);
    }
    let one_time = OneTimePassword::random();
    let password = hash_password(Secret::new(one_time.expose())).await?;
    let admin = PrincipalRow { id: Uuid::now_v7(), name: "admin".into(), role: "administrator".into(), password: Some(password), must_change: true };
    Ok(access::insert_principal(pool, &admin).await?.then_some(one_time))
}

/// Gives a principal a new one-time password and ends its sessions: the way back in, for who has the box.
pub async fn reset_password(pool: &PgPool, name: &str) -> Result<OneTimePassword, Problem> {
    let one_time = OneTimePassword::random();
    let password = hash_password(Secret::new(one_time.expose())).await?;
    if !access::set_password(pool, name, &password, true).await? {
        return Err(Problem::not_found(format!("there is nobody named {name}")));
    }
    Ok(one_time)
}

/// Makes a token for programs: its id and its text, which is shown once and kept nowhere.
pub async fn create_token(pool: &PgPool, principal: &str, name: &str, expires: Option<DateTime<Utc>>) -> Result<(Uuid, Secret), Problem> {
    let Some(owner) = access::principal_by_name(pool, principal).await? else {
        return Err(Problem::not_found(format!("there is nobody named {principal}")));
    };
    let (id, secret) = (Uuid::now_v7(), hex::encode(random_bytes()));
    if !access::insert_token(pool, id, name, owner.id, &sha256(secret.as_bytes()), expires).await? {
        let detail = format!("{principal} already has a token named {name}: revoke it or take another name");
        return Err(Problem::conflict(detail.clone(), vec![super::FieldError::new("/name", "taken", detail)]));
    }
    tracing::info!(event = "access.token_created", principal, token = name, "a token was made");
    Ok((id, Secret::new(format!("{TOKEN_PREFIX}{}.{secret}", id.simple()))))
}

#[cfg(test)]
mod tests {
    use super::{parse_bearer, session_secret, set_cookie};
    use http::HeaderMap;
    use uuid::Uuid;

    #[test]
    fn cookies_are_strict_and_found_again() {
        let cookie = set_cookie("abc", 60, true);
        assert_eq!(cookie, "__Host-holdfast=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        let mut headers = HeaderMap::new();
        headers.insert("cookie", "x=y; holdfast=plain; __Host-holdfast=abc".parse().unwrap());
        assert_eq!(session_secret(&headers, true), Some("abc"));
        assert_eq!(session_secret(&headers, false), Some("plain"));
    }

    #[test]
    fn bearer_tokens_are_read_strictly() {
        let id = Uuid::now_v7();
        let text = format!("bearer holdfast_{}.s3cret", id.simple());
        assert_eq!(parse_bearer(&text), Some((id, "s3cret")));
        for wrong in ["Bearer x.y", "Basic holdfast_00000000000000000000000000000000.s", "Bearer holdfast_00000000000000000000000000000000.", "Bearer"] {
            assert_eq!(parse_bearer(wrong), None, "{wrong}");
        }
    }
}
