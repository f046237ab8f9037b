//! Who is asking: browser sessions by cookie, programs by bearer token.
//!
//! The cookie and the token carry 256 random bits each; the database knows only their digests. What a visitor may do are their
//! grants at this moment, less what a token leaves out or a missing second factor bars.

use super::{App, Problem, secrets::sha256};
use crate::{
    db::access::{
        sessions::{self, HolderRow},
        tokens,
    },
    inventory::{Action, Actor, Authority, Sight, authorise, grants_of},
};
use axum::extract::{ConnectInfo, FromRequestParts};
use chrono::{DateTime, Utc};
use http::{Extensions, HeaderMap, HeaderValue, header, request::Parts};
use std::net::{IpAddr, SocketAddr};
use uuid::Uuid;

/// A session ends after this time without a request.
pub(super) const IDLE_LIMIT_SECS: f64 = 2.0 * 3600.0;
/// What a visitor with a one-time password may do.
const WITH_ONE_TIME_PASSWORD: [&str; 2] = ["/password", "/logout"];
/// What a visitor may do who gave the password and not yet the code.
const WITHOUT_CODE: [&str; 2] = ["/login/code", "/logout"];
/// What a visitor may do who has to set up a second factor first; of the API as its router sees it, below `/api/v1`.
const WITHOUT_SECOND_FACTOR: [&str; 9] = [
    "/account",
    "/account/second-factor",
    "/account/second-factor/confirm",
    "/password",
    "/logout",
    "/me",
    "/me/second-factor",
    "/me/second-factor/confirm",
    "/me/second-factor/remove",
];
/// How a token begins, so that scanners for leaked secrets can know it.
pub(super) const TOKEN_PREFIX: &str = "holdfast_";

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The principal's identity.
    pub id: Uuid,
    /// Its name, as history shows it.
    pub name: String,
    /// What it may do now.
    pub authority: Authority,
    /// Whether its password was made by the program and should be changed.
    pub must_change: bool,
    /// How it came in.
    pub via: Via,
}

/// How a visitor came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// With a browser session.
    Session {
        /// Which.
        id: Uuid,
        /// How far the log-in came.
        factors: Factors,
    },
    /// With a token.
    Token {
        /// Which.
        id: Uuid,
        /// Whether it may do less than its owner.
        limited: bool,
        /// When it ends.
        expires: Option<DateTime<Utc>>,
    },
}

/// What a session was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factors {
    /// A password.
    Password,
    /// A password, and a code is to follow.
    AwaitsCode,
    /// A password and a code.
    Both,
    /// A one-time log-in that was made at the master itself.
    Emergency,
}

impl Factors {
    /// As it is kept.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::AwaitsCode => "awaits-code",
            Self::Both => "both",
            Self::Emergency => "emergency",
        }
    }

    fn of(text: &str) -> Self {
        [Self::Both, Self::AwaitsCode, Self::Emergency].into_iter().find(|factors| factors.text() == text).unwrap_or(Self::Password)
    }
}

impl Visitor {
    /// The visitor as the inventory knows people; `via` is the door they came by.
    pub fn actor(&self, via: &'static str) -> Actor {
        Actor { name: self.name.clone(), authority: self.authority.clone(), via }
    }

    /// What they may see.
    pub fn sight(&self) -> Result<Sight, Problem> {
        Ok(self.actor("api").sight()?)
    }

    /// Refused for whoever sees a part only. `what` is what the refusal calls it.
    pub fn sees_all(&self, what: &str) -> Result<(), Problem> {
        Ok(authorise(&self.actor("api"), Action::Read, what)?)
    }

    /// The session they came with; refused for tokens.
    pub(super) fn session(&self) -> Result<Uuid, Problem> {
        match self.via {
            Via::Session { id, .. } => Ok(id),
            Via::Token { .. } => Err(Problem::forbidden("a token cannot do this: log in with your password")),
        }
    }

    /// The token they came with.
    pub(super) fn token(&self) -> Option<Uuid> {
        if let Via::Token { id, .. } = self.via { Some(id) } else { None }
    }

    /// Refused for tokens that may do less than their owner: what leaked must not be able to shut its owner out.
    pub(super) fn whole(&self) -> Result<(), Problem> {
        match self.via {
            Via::Token { limited: true, .. } => Err(Problem::forbidden("this token may do less than you may: log in, or take a token without limits")),
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            return by_token(app, value, peer(&parts.extensions)).await;
        }
        let Some(secret) = session_secret(&parts.headers, app.secure) else {
            return Err(Problem::unauthenticated("send a token as \"Authorization: Bearer ...\", or log in"));
        };
        let holder = sessions::holder(&app.pool, &sha256(secret.as_bytes()), IDLE_LIMIT_SECS).await?;
        let holder = holder.ok_or_else(|| Problem::unauthenticated("the session is over: log in again"))?;
        let factors = Factors::of(&holder.factors);
        check_steps(&holder, factors, parts.uri.path())?;
        let grants = Authority::new(grants_of(&app.pool, holder.id).await?);
        let lacks = holder.require_second_factor != "never" && factors == Factors::Password;
        let authority = if lacks { grants.barred("a change needs a second factor: set one up on the page /account, and repeat the change") } else { grants };
        Ok(Self { id: holder.id, name: holder.name, authority, must_change: holder.must_change, via: Via::Session { id: holder.session, factors } })
    }
}

/// Refuses who has a step of the log-in before them, but for that step.
fn check_steps(holder: &HolderRow, factors: Factors, path: &str) -> Result<(), Problem> {
    if factors == Factors::AwaitsCode && !WITHOUT_CODE.contains(&path) {
        return Err(Problem::forbidden("give the code of your authenticator first, on the page /login/code"));
    }
    // A password that a program printed may have been read by others: it opens the door to a new one and no other.
    if holder.must_change && factors != Factors::AwaitsCode && !WITH_ONE_TIME_PASSWORD.contains(&path) {
        return Err(Problem::forbidden("choose a password of your own first, on the page /password"));
    }
    if holder.require_second_factor == "always" && factors == Factors::Password && !WITHOUT_SECOND_FACTOR.contains(&path) {
        return Err(Problem::forbidden("set up a second factor first, on the page /account"));
    }
    Ok(())
}

async fn by_token(app: &App, value: &HeaderValue, peer: Option<IpAddr>) -> Result<Visitor, Problem> {
    let wrong = || Problem::unauthenticated("the token is unknown, expired or revoked, or does not work from your address");
    let (id, secret) = value.to_str().ok().and_then(parse_bearer).ok_or_else(wrong)?;
    let address = peer.map(|peer| peer.to_string());
    let row = tokens::bearer(&app.pool, id, &sha256(secret.as_bytes()), address.as_deref()).await?.ok_or_else(wrong)?;
    let all = Authority::new(grants_of(&app.pool, row.id).await?);
    let granted = match &row.grants {
        Some(only) => all.only(only),
        None => all,
    };
    let authority = if row.access == "read" { granted.barred("this token may only read: make one that may write") } else { granted };
    Ok(Visitor { id: row.id, name: row.name, authority, must_change: false, via: Via::Token { id, limited: row.limited, expires: row.expires } })
}

/// Splits `Bearer holdfast_<id>.<secret>`.
fn parse_bearer(text: &str) -> Option<(Uuid, &str)> {
    let (scheme, token) = text.split_once(' ')?;
    let (id, secret) = token.trim().strip_prefix(TOKEN_PREFIX)?.split_once('.')?;
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some((Uuid::try_parse(id).ok()?, secret))
}

/// From where a request comes.
pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical())
}

/// The `__Host-` prefix makes the browser itself insist on Secure, Path=/ and no Domain; it works under TLS only.
fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-holdfast" } else { "holdfast" }
}

/// The secret of the session that a request carries.
pub(super) fn session_secret(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == cookie_name(secure)).map(|(_, v)| v)
}

/// The cookie of a session; with no time to live the one that takes it away.
pub(super) fn set_cookie(secret: &str, max_age_secs: i64, secure: bool) -> HeaderValue {
    let flag = if secure { "; Secure" } else { "" };
    let text = format!("{}={secret}; Path=/; Max-Age={max_age_secs}; HttpOnly; SameSite=Strict{flag}", cookie_name(secure));
    HeaderValue::try_from(text).expect("a cookie of hex digits is a header value")
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
