use crate::db::nodes::{self as db, TokenRow};
use crate::db::{DbError, changes};
use crate::keys::Keys;
use chrono::{TimeDelta, Utc};
use holdfast_proto::control::EnrolToken;
use holdfast_proto::net::tls::authority_pin;
use sqlx::PgPool;
use uuid::Uuid;

/// A token is for now.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(1);
/// The longest name that a box is given.
const NAME_LIMIT_CHARS: usize = 63;

/// What a token is to be made for.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The box's name: `north`.
    pub name: String,
    /// `agent` or `portal`.
    pub role: &'static str,
    /// The campus that an agent serves. Where a box is replaced, that of the one before.
    pub campus: Option<String>,
    /// Whether the box that has the name now is thrown out when the new one comes.
    pub replace: bool,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such campus.
    #[error("there is no campus \"{0}\": add it first, or see `holdfast campus list`")]
    Campus(String),
    /// No such name.
    #[error("\"{0}\" is no name for a box: take lower-case letters, digits and hyphens, 63 at most")]
    Name(String),
    /// Another box has the name.
    #[error("there is a box \"{0}\" already: revoke it first, or say that the new one replaces it (--replace)")]
    NameTaken(String),
    /// There is nothing to replace.
    #[error("there is no box \"{0}\" to be replaced")]
    NothingToReplace(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<sqlx::Error> for TokenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Makes a one-time token and keeps its hash. `actor` and `via` stand in the history.
pub async fn issue_token(pool: &PgPool, keys: &Keys, new: &NewToken, actor: &str, via: &str) -> Result<EnrolToken, TokenError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if new.name.is_empty() || new.name.len() > NAME_LIMIT_CHARS || !new.name.chars().all(is_plain) {
        return Err(TokenError::Name(new.name.clone()));
    }
    let mut secret = [0; 16];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| TokenError::Random)?;
    let token = EnrolToken { secret, authority_pin: authority_pin(keys.serving_authority().der()), root_pin: keys.trust.root_pin() };
    let mut tx = pool.begin().await?;
    let before = db::active(&mut tx, &new.name).await?;
    let (role, campus) = match (before, new.replace) {
        (Some(_), false) => return Err(TokenError::NameTaken(new.name.clone())),
        (None, true) => return Err(TokenError::NothingToReplace(new.name.clone())),
        (None, false) => (new.role.to_owned(), new.campus.clone()),
        // A spare is what the one before was.
        (Some((_, role, campus)), true) => (role, new.campus.clone().or(campus)),
    };
    changes::open(&mut tx, Uuid::now_v7(), actor, &format!("a token for the box {}", new.name), via).await?;
    let row = TokenRow {
        secret_hash: &secret_hash(&token.secret_text()),
        name: &new.name,
        role: &role,
        campus: campus.as_deref(),
        expires_at: Utc::now() + TOKEN_LIFE,
        replaces: new.replace,
    };
    if !db::put_token(&mut tx, &row).await? {
        return Err(TokenError::Campus(campus.unwrap_or_default()));
    }
    tx.commit().await?;
    Ok(token)
}

/// What is kept of a token's secret.
pub fn secret_hash(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}
