//! Who may have a zone of ours, whose zones we have, and the keys of both.

use super::{DbError, json, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::DomainName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, query, query_as};
use std::net::{IpAddr, SocketAddr};

/// How many refusals are kept.
const REFUSED_LIMIT: i64 = 10_000;

/// A server that a zone is copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = zones::Primary)]
pub struct Primary {
    /// Where it is asked.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// And on which port.
    #[serde(default = "dns_port")]
    pub port: u16,
    /// The name of the TSIG key that both sign with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

fn dns_port() -> u16 {
    53
}

/// Somebody who may have the whole zone: who comes from these addresses and signs with this key; at least one of both is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = zones::Transfer)]
pub struct Transfer {
    /// The addresses they come from; any, where only the key is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub prefix: Option<IpNet>,
    /// The name of the TSIG key they sign with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where they are told of changes (NOTIFY), as `address:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub notify: Option<SocketAddr>,
}

/// What is said of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRules {
    /// Its number.
    pub zone: i64,
    /// Its apex.
    pub apex: DomainName,
    /// Whose copy it is.
    pub primaries: Vec<Primary>,
    /// Who may have it.
    pub transfers: Vec<Transfer>,
}

/// What is said of all zones that go between servers.
pub async fn rules(pool: &PgPool) -> Result<Vec<ZoneRules>, DbError> {
    let rows = query!("select id, apex, primaries, transfers from dns.zone where primaries <> '[]' or transfers <> '[]'").fetch_all(pool).await?;
    let rows =
        rows.into_iter().map(|row| Ok(ZoneRules { zone: row.id, apex: word(&row.apex)?, primaries: json(row.primaries)?, transfers: json(row.transfers)? }));
    rows.collect()
}

/// Every key that has a secret: name and secret.
pub async fn secrets(pool: &PgPool) -> Result<Vec<(DomainName, Vec<u8>)>, DbError> {
    let rows = query!("select k.name, s.secret from dns.tsig_key k join dns.tsig_secret s on s.name = k.name").fetch_all(pool).await?;
    rows.into_iter().map(|row| Ok((word(&row.name)?, row.secret))).collect()
}

/// A key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = tsig::Key)]
pub struct TsigKeyRow {
    /// What both servers call it.
    pub name: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The zones that name it.
    pub zones: Vec<String>,
}

/// All keys, by name.
pub async fn keys(db: &mut PgConnection) -> Result<Vec<TsigKeyRow>, DbError> {
    let sql = query_as!(
        TsigKeyRow,
        r#"select k.name, k.created_by, k.created_at, array(
             select z.apex from dns.zone z where z.primaries @> jsonb_build_array(jsonb_build_object('key', k.name))
               or z.transfers @> jsonb_build_array(jsonb_build_object('key', k.name)) order by z.apex) as "zones!"
           from dns.tsig_key k order by k.name"#
    );
    Ok(sql.fetch_all(db).await?)
}

/// Which of these are names of keys.
pub async fn known_keys(db: &mut PgConnection, names: &[String]) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar!("select name from dns.tsig_key where name = any ($1)", names).fetch_all(db).await?)
}

/// Keeps a new key.
pub async fn insert_key(db: &mut PgConnection, name: &str, created_by: &str, secret: &[u8]) -> Result<(), DbError> {
    query!("insert into dns.tsig_key (name, created_by) values ($1, $2)", name, created_by).execute(&mut *db).await?;
    query!("insert into dns.tsig_secret (name, secret) values ($1, $2) on conflict (name) do update set secret = excluded.secret", name, secret)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes a key with its secret; whether it was there.
pub async fn delete_key(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    query!("delete from dns.tsig_secret where name = $1", name).execute(&mut *db).await?;
    Ok(query!("delete from dns.tsig_key where name = $1", name).execute(db).await?.rows_affected() == 1)
}

/// A transfer that was not given, or a question of a stranger that was not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = zones::Refused)]
pub struct RefusedRow {
    /// When.
    pub at: DateTime<Utc>,
    /// Who asked.
    pub client: String,
    /// For which zone; of recursion the name and the type.
    pub zone: String,
    /// What they asked for: axfr, ixfr, notify or recursion.
    pub asked: String,
    /// The key that they named.
    pub key: Option<String>,
    /// Why not.
    pub why: String,
}

/// Notes a refusal; the oldest go.
pub async fn note_refused(pool: &PgPool, row: &RefusedRow) -> Result<(), DbError> {
    query!(
        "insert into dns.refused (at, client, zone, asked, key, why) values ($1, $2, $3, $4, $5, $6)",
        row.at,
        row.client,
        row.zone,
        row.asked,
        row.key,
        row.why
    )
    .execute(pool)
    .await?;
    query!("delete from dns.refused where id <= (select max(id) from dns.refused) - $1", REFUSED_LIMIT).execute(pool).await?;
    Ok(())
}

/// The newest refusals.
pub async fn refused(pool: &PgPool, limit: i64) -> Result<Vec<RefusedRow>, DbError> {
    Ok(query_as!(RefusedRow, "select at, client, zone, asked, key, why from dns.refused order by id desc limit $1", limit).fetch_all(pool).await?)
}
