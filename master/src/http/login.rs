//! Logging in and out: the password, the code of an authenticator, and the brake on guessing either.
//!
//! A failed log-in says the same for a wrong name and a wrong password, and takes as long. The brake is in the database, so that
//! several masters share it.

use super::{
    App, FieldError, Problem,
    secrets::{OneTimePassword, hash_password, password_is, random_bytes, sha256},
    session::{Factors, Visitor, session_secret, set_cookie},
    totp,
};
use crate::db::access::{
    self, PrincipalRow, factors,
    sessions::{self, NewSession},
};
use chrono::{DateTime, Duration, Utc};
use holdfast_proto::words::Secret;
use http::{HeaderMap, HeaderValue, header};
use sqlx::PgPool;
use std::net::{IpAddr, Ipv6Addr};

/// A session ends in any case after this time.
const SESSION_HOURS: i64 = 12;
/// Failures older than this no longer count.
const WINDOW_SECS: f64 = 900.0;
/// Per kind of subject: failures that are free, and the longest wait after more. The pair is held hard; a name alone
/// only a little, because anybody could lock an administrator out with it.
const BRAKES: [(i32, f64); 3] = [(5, 900.0), (30, 300.0), (50, 30.0)];
/// Codes have six digits, and who guesses them knows the password: five tries, then a quarter of an hour.
const BRAKE_OF_CODES: [(i32, f64); 1] = [(5, 900.0)];
/// How many ways around a lost authenticator somebody gets, each for once.
const RECOVERY_CODES: usize = 10;
/// The most that is kept of what a browser calls itself, in characters.
const BROWSER_LIMIT: usize = 200;

/// From where somebody logs in.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The address.
    pub peer: Option<IpAddr>,
    /// What the browser calls itself.
    pub browser: String,
}

impl Origin {
    /// As a request says it.
    pub fn new(peer: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let browser = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { peer, browser: browser.chars().take(BROWSER_LIMIT).collect() }
    }
}

/// A session that was just started.
pub struct LoggedIn {
    /// The cookie to set.
    pub cookie: HeaderValue,
    /// Whether the password was made by the program and should be changed first of all.
    pub must_change: bool,
    /// Whether a code has to follow.
    pub awaits_code: bool,
}

/// Checks name and password, and starts a session.
pub async fn log_in(app: &App, name: &str, password: Secret, origin: &Origin) -> Result<LoggedIn, Problem> {
    let name = name.trim().to_lowercase();
    let subjects = subjects(&name, origin.peer);
    refuse_while_blocked(&app.pool, &subjects).await?;
    let row = access::principal_by_name(&app.pool, &name).await?;
    let kept = row.as_ref().filter(|row| row.disabled_at.is_none()).and_then(|row| row.password.clone());
    // Counted as a failure first: a thousand guesses at once are a thousand guesses.
    count_failure(&app.pool, &subjects, &BRAKES).await?;
    if !password_is(password, kept).await? {
        return Err(refuse_log_in(origin.peer));
    }
    let row = row.ok_or_else(|| Problem::internal("a password matched nobody's"))?;
    let (factors, expires) = first_factor(&app.pool, &row).await?.ok_or_else(|| refuse_log_in(origin.peer))?;
    for subject in &subjects {
        access::forget_failures(&app.pool, subject).await?;
    }
    let secret = hex::encode(random_bytes());
    let (address, browser) = (origin.peer.map(|peer| peer.to_string()), origin.browser.clone());
    let session = NewSession { hash: &sha256(secret.as_bytes()), principal: row.id, expires, address, browser, factors: factors.text() };
    sessions::insert(&app.pool, &session).await?;
    tracing::info!(event = "access_logged_in", principal = row.name, peer = ?origin.peer, factors = factors.text(), "{} logged in", row.name);
    let cookie = set_cookie(&secret, (expires - Utc::now()).num_seconds(), app.secure);
    Ok(LoggedIn { cookie, must_change: row.must_change, awaits_code: factors == Factors::AwaitsCode })
}

/// What a right password leads to, and until when; `None` where a one-time log-in is used up or over.
async fn first_factor(pool: &PgPool, row: &PrincipalRow) -> Result<Option<(Factors, DateTime<Utc>)>, Problem> {
    if let Some(until) = row.emergency_until {
        tracing::error!(event = "break_glass_used", principal = row.name, "somebody came in with the emergency log-in of this master");
        return Ok(access::use_emergency(pool, row.id).await?.then_some((Factors::Emergency, until)));
    }
    let confirmed = factors::totp(pool, row.id).await?.is_some_and(|totp| totp.confirmed);
    let reached = if confirmed { Factors::AwaitsCode } else { Factors::Password };
    Ok(Some((reached, Utc::now() + Duration::hours(SESSION_HOURS))))
}

/// The pair first, then the address, then the name: in the order of the brakes.
fn subjects(name: &str, peer: Option<IpAddr>) -> Vec<String> {
    let shown: String = name.chars().take(64).collect();
    let peer = peer.map_or_else(|| "unknown".to_owned(), site);
    vec![format!("pair {peer} {shown}"), format!("address {peer}"), format!("name {shown}")]
}

/// Of IPv6 a site has 2^64 addresses and more: they count as one.
fn site(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).to_string() + "/64",
    }
}

async fn refuse_while_blocked(pool: &PgPool, subjects: &[String]) -> Result<(), Problem> {
    let Some(until) = access::blocked_until(pool, subjects).await? else { return Ok(()) };
    let secs = (until - Utc::now()).num_seconds().max(1);
    Err(Problem::throttled(format!("too many failed attempts: try again in {secs} s")))
}

async fn count_failure(pool: &PgPool, subjects: &[String], brakes: &[(i32, f64)]) -> Result<(), Problem> {
    for (subject, (free, limit_secs)) in subjects.iter().zip(brakes) {
        access::count_failure(pool, subject, *free, WINDOW_SECS, *limit_secs).await?;
    }
    Ok(())
}

fn refuse_log_in(peer: Option<IpAddr>) -> Problem {
    metrics::counter!("holdfast_login_failures_total").increment(1);
    tracing::warn!(event = "access_log_in_refused", peer = ?peer, "a log-in was refused");
    Problem::unauthenticated("name and password do not belong together")
}

/// Checks the code of somebody's authenticator, or a recovery code; either works once.
async fn check_code(pool: &PgPool, visitor: &Visitor, code: &str) -> Result<(), Problem> {
    let subjects = [format!("code {}", visitor.name)];
    refuse_while_blocked(pool, &subjects).await?;
    count_failure(pool, &subjects, &BRAKE_OF_CODES).await?;
    let code: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
    let row = factors::totp(pool, visitor.id).await?;
    let step = row.as_ref().and_then(|row| totp::step_of(&row.secret, &code, Utc::now().timestamp()));
    let right = match step {
        Some(step) => factors::use_step(pool, visitor.id, step).await?,
        None => factors::use_recovery(pool, visitor.id, &sha256(code.to_lowercase().as_bytes())).await?,
    };
    if !right {
        metrics::counter!("holdfast_login_failures_total").increment(1);
        tracing::warn!(event = "access_code_refused", principal = visitor.name, "a code was refused");
        return Err(Problem::refused(vec![FieldError::new("/code", "wrong", "this code is wrong, or was used already: wait for the next one")]));
    }
    Ok(access::forget_failures(pool, &subjects[0]).await?)
}

/// The second step of a log-in.
pub async fn give_code(app: &App, visitor: &Visitor, code: &str) -> Result<(), Problem> {
    let session = visitor.session()?;
    check_code(&app.pool, visitor, code).await?;
    sessions::set_factors(&app.pool, session, Factors::Both.text()).await?;
    tracing::info!(event = "access_second_factor", principal = visitor.name, "{} gave a second factor", visitor.name);
    Ok(())
}

/// What an authenticator is set up with.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct NewAuthenticator {
    /// The secret, as authenticators take it when it is typed in.
    pub secret: String,
    /// The same as an address.
    pub address: String,
}

impl NewAuthenticator {
    /// What was begun and not confirmed yet.
    pub async fn again(pool: &PgPool, visitor: &Visitor) -> Result<Option<Self>, Problem> {
        let begun = factors::totp(pool, visitor.id).await?.filter(|totp| !totp.confirmed);
        Ok(begun.map(|totp| Self::of(&visitor.name, &totp.secret)))
    }

    fn of(name: &str, secret: &[u8]) -> Self {
        Self { secret: totp::base32(secret), address: totp::address(name, secret) }
    }
}

/// Makes a secret for an authenticator; it counts once a first code was right. The password is asked for again, so that a session
/// that was left open cannot bind somebody else's telephone.
pub async fn start_second_factor(app: &App, visitor: &Visitor, password: Secret) -> Result<NewAuthenticator, Problem> {
    visitor.session()?;
    check_own_password(app, visitor, password, "/password").await?;
    let secret = &random_bytes()[..totp::SECRET_LENGTH];
    if !factors::start_totp(&app.pool, visitor.id, secret).await? {
        return Err(Problem::conflict("you have a second factor already: remove it first", vec![]));
    }
    Ok(NewAuthenticator::of(&visitor.name, secret))
}

/// Takes a first code: from now on the authenticator counts, and this session has both factors. Gives the recovery codes, which are
/// shown once.
pub async fn confirm_second_factor(app: &App, visitor: &Visitor, code: &str) -> Result<Vec<String>, Problem> {
    let session = visitor.session()?;
    if factors::totp(&app.pool, visitor.id).await?.is_none_or(|totp| totp.confirmed) {
        return Err(Problem::conflict("there is no second factor to confirm: start to set one up first", vec![]));
    }
    check_code(&app.pool, visitor, code).await?;
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| OneTimePassword::random().expose().to_owned()).collect();
    factors::confirm_totp(&app.pool, visitor.id, &codes.iter().map(|code| sha256(code.as_bytes())).collect::<Vec<_>>()).await?;
    sessions::set_factors(&app.pool, session, Factors::Both.text()).await?;
    tracing::info!(event = "access_second_factor_set_up", principal = visitor.name, "{} set up a second factor", visitor.name);
    Ok(codes)
}

/// Takes the second factor away, for whoever can still give a code of it.
pub async fn remove_second_factor(app: &App, visitor: &Visitor, code: &str) -> Result<(), Problem> {
    let session = visitor.session()?;
    check_code(&app.pool, visitor, code).await?;
    factors::remove_totp(&app.pool, visitor.id).await?;
    sessions::set_factors(&app.pool, session, Factors::Password.text()).await?;
    tracing::warn!(event = "access_second_factor_removed", principal = visitor.name, "{} removed the second factor", visitor.name);
    Ok(())
}

async fn check_own_password(app: &App, visitor: &Visitor, given: Secret, pointer: &str) -> Result<(), Problem> {
    let subjects = [format!("own {}", visitor.name)];
    refuse_while_blocked(&app.pool, &subjects).await?;
    let row = access::principal_by_name(&app.pool, &visitor.name).await?;
    count_failure(&app.pool, &subjects, &BRAKES).await?;
    if password_is(given, row.and_then(|row| row.password)).await? {
        access::forget_failures(&app.pool, &subjects[0]).await?;
        return Ok(());
    }
    Err(Problem::refused(vec![FieldError::new(pointer, "wrong", "this is not your password")]))
}

/// Ends the session of a request: the cookie that takes the old one away.
pub async fn log_out(app: &App, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if let Some(secret) = session_secret(headers, app.secure) {
        sessions::delete(&app.pool, &sha256(secret.as_bytes())).await?;
    }
    Ok(set_cookie("", 0, app.secure))
}

/// Sets a visitor's own password after checking the old one; every session of theirs ends.
pub async fn change_password(app: &App, visitor: &Visitor, old: Secret, new: Secret) -> Result<(), Problem> {
    /// NIST SP 800-63B section 5.1.1.2 asks for eight; an administrator of the network should have more.
    const SHORTEST_CHARS: usize = 12;
    visitor.session()?;
    check_own_password(app, visitor, old, "/old").await?;
    if String::from_utf8_lossy(new.expose()).chars().count() < SHORTEST_CHARS {
        let detail = format!("take at least {SHORTEST_CHARS} characters: a few words are easy to remember and hard to guess");
        return Err(Problem::refused(vec![FieldError::new("/new", "too-short", detail)]));
    }
    let phc = hash_password(new).await?;
    access::set_password(&app.pool, &visitor.name, &phc, false).await?;
    tracing::info!(event = "access_password_changed", principal = visitor.name, "{} changed the password", visitor.name);
    Ok(())
}
