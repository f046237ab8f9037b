//! Tokens for programs, as they are made: what one may do is a part of what its owner may.

use super::{
    FieldError, Problem,
    secrets::{random_bytes, sha256},
    session::TOKEN_PREFIX,
};
use crate::db::access::{
    self, factors,
    tokens::{self, NewToken},
};
use chrono::{DateTime, Duration, Utc};
use holdfast_proto::words::{Secret, Subnet};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

/// A token as its owner wants it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenDraft {
    /// What it is for.
    pub name: String,
    /// How long it is good; the institution says how long that is where nothing is given, and at most.
    #[serde(default)]
    pub expires_days: Option<u16>,
    /// What it may do.
    #[serde(default)]
    pub access: Access,
    /// Only these grants of the owner, by number; all where nothing is given.
    #[serde(default)]
    pub grants: Option<Vec<i64>>,
    /// From which networks it works; from anywhere where nothing is given.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub sources: Vec<Subnet>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Look.
    Read,
    /// Whatever its grants let.
    #[default]
    Write,
}

impl TokenDraft {
    /// A token with all grants of its owner, for as long as is usual.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// A token that was made. Its text is shown once and kept nowhere.
pub struct MadeToken {
    /// Its public half.
    pub id: Uuid,
    /// Its text.
    pub text: Secret,
    /// When it ends.
    pub expires: DateTime<Utc>,
}

/// Makes a token for programs, which ends no later than `latest`.
pub async fn create_token(pool: &PgPool, principal: &str, draft: &TokenDraft, latest: Option<DateTime<Utc>>) -> Result<MadeToken, Problem> {
    let Some(owner) = access::principal_by_name(pool, principal).await?.filter(|owner| owner.kind == "person") else {
        return Err(Problem::not_found(format!("there is nobody named {principal}")));
    };
    let expires = check(pool, draft).await?;
    let expires = latest.map_or(expires, |latest| expires.min(latest));
    let (id, secret) = (Uuid::now_v7(), hex::encode(random_bytes()));
    let sources: Vec<String> = draft.sources.iter().map(Subnet::to_string).collect();
    let access = if draft.access == Access::Read { "read" } else { "write" };
    let hash = sha256(secret.as_bytes());
    let token = NewToken { id, name: &draft.name, principal: owner.id, hash: &hash, expires, access, grants: draft.grants.as_deref(), sources: &sources };
    if !tokens::insert(pool, &token).await? {
        let detail = format!("{principal} already has a token named {}: revoke it or take another name", draft.name);
        return Err(Problem::conflict(detail.clone(), vec![FieldError::new("/name", "taken", detail)]));
    }
    tracing::info!(event = "access_token_created", principal, token = draft.name, access, "a token was made");
    Ok(MadeToken { id, text: Secret::new(format!("{TOKEN_PREFIX}{}.{secret}", id.simple())), expires })
}

/// When the token ends, or all that is wrong with its draft.
async fn check(pool: &PgPool, draft: &TokenDraft) -> Result<DateTime<Utc>, Problem> {
    let policy = factors::policy(pool).await?;
    let mut errors = Vec::new();
    if draft.name.is_empty() || draft.name.chars().count() > 100 {
        errors.push(FieldError::new("/name", "length", "a token's name has 1 to 100 characters"));
    }
    let days = draft.expires_days.map_or(policy.token_days_default, i32::from);
    if !(1..=policy.token_days_limit).contains(&days) {
        let detail = format!("a token is good for 1 to {} days", policy.token_days_limit);
        errors.push(FieldError::new("/expires_days", "out-of-range", detail));
    }
    if errors.is_empty() { Ok(Utc::now() + Duration::days(days.into())) } else { Err(Problem::refused(errors)) }
}
