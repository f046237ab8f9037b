//! The boxes as people see them.

use super::NodeError;
pub use crate::db::nodes::StandingRow as Standing;
use crate::db::nodes::{self as db, NodeLineRow};
use crate::keys::{Keys, ceremony::authority_name};
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::{HpkePublic, Sealed};
use holdfast_proto::words::NodeId;
use serde::Serialize;
use sqlx::PgPool;

/// A box.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NodeObject {
    /// Its name.
    pub name: String,
    /// `agent` or `portal`.
    pub role: String,
    /// The campus it serves.
    pub campus: Option<String>,
    /// `in` or `revoked`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// Whether it holds a line now.
    pub connected: bool,
    /// The fingerprint of its key, as its own screen shows it.
    pub fingerprint: String,
    /// When it came.
    pub enrolled_at: DateTime<Utc>,
    /// When it was thrown out.
    pub revoked_at: Option<DateTime<Utc>>,
    /// What it runs.
    pub build: Option<String>,
    /// When it last dialled in.
    pub connected_at: Option<DateTime<Utc>>,
    /// When its certificate ends.
    pub certificate_end: Option<DateTime<Utc>>,
    /// What it last kept out.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<DateTime<Utc>>,
    /// How far it has each feed; only where one box is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<NodePosition>,
}

/// How far a box has a feed.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct NodePosition {
    /// The feed.
    pub feed: String,
    /// What is published.
    pub wanted: i64,
    /// What it serves.
    pub applied: Option<i64>,
    /// What survives a power cut there.
    pub durable: Option<i64>,
    /// The digest of what it serves.
    pub digest: Option<String>,
    /// How old what it serves is, in seconds.
    pub age_s: Option<i64>,
}

/// A certificate, of an authority or of a box.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CertificateObject {
    /// `authority` or `box`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Whose.
    pub name: String,
    /// The short name of the authority that issued it, or its own.
    pub authority: String,
    /// When it ends.
    pub end: Option<DateTime<Utc>>,
    /// What it is good for now.
    #[schema(value_type = String)]
    pub state: &'static str,
}

/// Every agent that is in, by campus, with how far it has the zone feed.
pub async fn standing(pool: &PgPool) -> Result<Vec<Standing>, NodeError> {
    Ok(db::standing(pool).await?)
}

/// Every box, by name.
pub async fn list(pool: &PgPool, lines: &[NodeId]) -> Result<Vec<NodeObject>, NodeError> {
    Ok(db::with_lines(pool, None).await?.into_iter().map(|row| object(row, lines)).collect())
}

/// One box, with how far it has each feed.
pub async fn show(pool: &PgPool, keys: &Keys, lines: &[NodeId], name: &str) -> Result<NodeObject, NodeError> {
    let row = db::with_lines(pool, Some(name)).await?.pop().ok_or_else(|| NodeError::Missing(name.to_owned()))?;
    let positions = if row.role == "agent" { db::positions(pool, row.id).await? } else { Vec::new() };
    let feeds = positions.into_iter().filter_map(|row| position(row, keys)).collect();
    Ok(NodeObject { feeds, ..object(row, lines) })
}

fn object(row: NodeLineRow, lines: &[NodeId]) -> NodeObject {
    NodeObject {
        connected: lines.contains(&NodeId(*row.id.as_bytes())),
        state: if row.revoked_at.is_some() { "revoked" } else { "in" },
        fingerprint: HpkePublic(row.hpke_public).fingerprint(),
        name: row.name,
        role: row.role,
        campus: row.campus,
        enrolled_at: row.enrolled_at,
        revoked_at: row.revoked_at,
        build: row.build.filter(|build| !build.is_empty()),
        connected_at: row.connected_at,
        certificate_end: row.certificate_end,
        last_error: row.last_error,
        last_error_at: row.last_error_at,
        feeds: Vec::new(),
    }
}

fn position(row: db::PositionRow, keys: &Keys) -> Option<NodePosition> {
    let sealed = row.sealed.as_deref().and_then(|bytes| Sealed::from_bytes(bytes).ok());
    let opened = sealed.and_then(|sealed| keys.open_history(&sealed).ok());
    let manifest = opened.as_ref().map(|opened| opened.manifest());
    let age_s = |issued_at_ms: u64| (Utc::now().timestamp_millis() - issued_at_ms as i64).max(0) / 1000;
    Some(NodePosition {
        feed: row.feed()?.to_string(),
        wanted: row.wanted,
        applied: row.applied,
        durable: row.durable,
        digest: manifest.map(|manifest| manifest.digest.to_string()),
        age_s: manifest.map(|manifest| age_s(manifest.issued_at.0)),
    })
}

/// The authorities and every box's certificate.
pub async fn certificates(pool: &PgPool, keys: &Keys) -> Result<Vec<CertificateObject>, NodeError> {
    let authorities = &keys.trust.draft().authorities;
    let serving = keys.serving_authority().der();
    let issuing = keys.issuing_authority().der();
    let authority = |der: &Vec<u8>| CertificateObject {
        kind: "authority",
        name: keys.trust.draft().name.clone(),
        authority: authority_name(der),
        end: crate::keys::end_of(der),
        state: match (&der[..] == serving, &der[..] == issuing) {
            (true, true) => "in use",
            (true, false) => "being replaced",
            (false, true) => "the next one",
            (false, false) => "believed",
        },
    };
    let known: Vec<String> = authorities.iter().map(|der| authority_name(der)).collect();
    let boxes = db::with_lines(pool, None).await?.into_iter().map(|row| CertificateObject {
        kind: "box",
        state: match () {
            () if row.revoked_at.is_some() => "revoked",
            () if row.authority.as_ref().is_some_and(|issuer| !known.contains(issuer)) => "its authority is believed no longer: enrol the box again",
            () if row.certificate_end.is_some_and(|end| end < Utc::now()) => "ran out: may renew",
            () => "in",
        },
        name: row.name,
        authority: row.authority.unwrap_or_default(),
        end: row.certificate_end,
    });
    Ok(authorities.iter().map(authority).chain(boxes).collect())
}
