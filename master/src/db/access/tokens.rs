//! Tokens of programs.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, query, query_as};
use uuid::Uuid;

/// A token that is being made.
#[derive(Debug)]
pub struct NewToken<'a> {
    /// Its public half.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: &'a str,
    /// Its owner.
    pub principal: Uuid,
    /// The digest of its secret.
    pub hash: &'a [u8],
    /// When it ends.
    pub expires: DateTime<Utc>,
    /// `read` or `write`.
    pub access: &'a str,
    /// Only these grants of its owner; all where there are none.
    pub grants: Option<&'a [i64]>,
    /// From where it works, as networks; empty: from anywhere.
    pub sources: &'a [String],
}

/// Adds a token; false where its owner already has one of that name.
pub async fn insert(pool: &PgPool, token: &NewToken<'_>) -> sqlx::Result<bool> {
    let done = query!(
        "insert into access.api_token (id, name, principal, hash, expires, access, grants, sources)
         values ($1, $2, $3, $4, $5, $6, $7, $8::text[]::cidr[]) on conflict (principal, name) do nothing",
        token.id,
        token.name,
        token.principal,
        token.hash,
        token.expires,
        token.access,
        token.grants,
        token.sources
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whose a token is, and what it may do.
#[derive(Debug, Clone)]
pub struct BearerRow {
    /// Its owner.
    pub id: Uuid,
    /// The owner's name.
    pub name: String,
    /// `read` or `write`.
    pub access: String,
    /// Only these grants of its owner; all where there are none.
    pub grants: Option<Vec<i64>>,
    /// Whether it may do less than its owner.
    pub limited: bool,
    /// When it ends.
    pub expires: Option<DateTime<Utc>>,
}

/// The bearer of a live token, if id and digest belong together and it may be used from this address.
pub async fn bearer(pool: &PgPool, id: Uuid, hash: &[u8], address: Option<&str>) -> sqlx::Result<Option<BearerRow>> {
    let found = query_as!(
        BearerRow,
        r#"select p.id, p.name, t.access, t.grants, t.expires,
             t.access = 'read' or t.grants is not null or cardinality(t.sources) > 0 as "limited!"
           from access.api_token t join access.principal p on p.id = t.principal and p.disabled_at is null
         where t.id = $1 and t.hash = $2 and (t.expires is null or t.expires > now())
           and (cardinality(t.sources) = 0 or $3::text::inet <<= any (t.sources))"#,
        id,
        hash,
        address
    )
    .fetch_optional(pool)
    .await?;
    if found.is_some() {
        query!(
            "update access.api_token set last_used = now(), last_used_from = $2::text::inet
             where id = $1 and (last_used is null or last_used < now() - interval '1 minute' or last_used_from is distinct from $2::text::inet)",
            id,
            address
        )
        .execute(pool)
        .await?;
    }
    Ok(found)
}

/// A token for programs, without its secret.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// The public half of the token.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The owner's name.
    pub principal: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it ends; those of earlier builds may have no end.
    pub expires: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used: Option<DateTime<Utc>>,
    /// From where it was last used.
    pub last_used_from: Option<String>,
    /// `read` or `write`.
    pub access: String,
    /// Only these grants of its owner; all where there are none.
    pub grants: Option<Vec<i64>>,
    /// From where it works; empty: from anywhere.
    pub sources: Vec<String>,
}

/// All tokens, or those of one owner, by name.
pub async fn list(pool: &PgPool, owner: Option<Uuid>) -> sqlx::Result<Vec<TokenRow>> {
    query_as!(
        TokenRow,
        r#"select t.id, t.name, p.name as principal, t.created, t.expires, t.last_used, host(t.last_used_from) as last_used_from, t.access, t.grants,
             t.sources::text[] as "sources!"
           from access.api_token t join access.principal p on p.id = t.principal where $1::uuid is null or t.principal = $1 order by p.name, t.name"#,
        owner
    )
    .fetch_all(pool)
    .await
}

/// Revokes a token; `owner` limits it to that principal's own. False where there is none.
pub async fn delete(pool: &PgPool, id: Uuid, owner: Option<Uuid>) -> sqlx::Result<bool> {
    let done = query!("delete from access.api_token where id = $1 and ($2::uuid is null or principal = $2)", id, owner).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}
