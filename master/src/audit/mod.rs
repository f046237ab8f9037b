//! The chain over the audit: no change set can be altered, taken out or slipped in without all later links failing to fit.
//!
//! A task of its own links every change set after its commit, in the order in which commits are seen; one that commits late is
//! linked late, and none is ever missed, because each waits in a table that its own transaction wrote. Now and then the master
//! signs the end of the chain; the signed end goes to the institution's log, too.
//!
//! What is noticed: any change of a change set, of its rows, or of a link, by whoever can write the database. What is not: a
//! change made by the master's own machine before the change set was linked (a second, usually), and a history that was written
//! anew with the master's signing key after the last head that somebody else holds.

mod hash;
mod verify;

pub use verify::{Fault, Verification};

use crate::db::DbError;
use crate::db::chain::{self, LinkRow};
use crate::keys::Keys;
use chrono::{DateTime, TimeDelta, Utc};
use hash::{START, link_hash};
use holdfast_proto::snapshot::AuditHead;
use serde::Serialize;
use sqlx::PgPool;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// How often is looked for new change sets.
const TICK: Duration = Duration::from_secs(1);
/// How many are linked in one transaction.
const LINKS_PER_TRANSACTION: i64 = 200;
/// How often the end of a chain that grows is signed.
const SIGN_EVERY: TimeDelta = TimeDelta::hours(1);

/// Whoever links, and whoever verifies.
#[derive(Clone)]
pub struct Auditor {
    pool: PgPool,
    keys: Option<watch::Receiver<Arc<Keys>>>,
    verification: Arc<Mutex<Verification>>,
}

/// One link, as auditors read it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// Its place in the chain.
    pub ordinal: i64,
    /// Its hash, in hexadecimal.
    pub hash: String,
    /// The change set.
    pub change_set: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// Who wrote it, where it was a draft.
    pub author: Option<String>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// By which way.
    pub via: String,
    /// Why.
    pub reason: String,
}

impl Auditor {
    /// Over the audit of this database. Without keys nothing is signed, and no signature is looked at.
    pub fn new(pool: PgPool, keys: Option<watch::Receiver<Arc<Keys>>>) -> Self {
        Self { pool, keys, verification: Arc::default() }
    }

    /// Links what is committed, for ever.
    pub async fn link_for_ever(self) -> Infallible {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            if let Err(error) = self.link_all().await {
                tracing::warn!(event = "audit_not_linked", %error, "change sets wait for their place in the audit chain");
            }
        }
    }

    /// Links everything that waits.
    pub async fn link_all(&self) -> Result<(), DbError> {
        while self.link_some().await? > 0 {}
        self.sign_when_due().await
    }

    /// Links the oldest that wait; how many.
    async fn link_some(&self) -> Result<usize, DbError> {
        let mut tx = self.pool.begin().await?;
        if !chain::try_lock(&mut tx).await? {
            return Ok(0);
        }
        let waiting = chain::unchained(&mut tx, LINKS_PER_TRANSACTION).await?;
        let (mut ordinal, mut previous) = chain::last(&mut tx).await?.map_or((0, START.to_vec()), |link| (link.ordinal, link.hash));
        for change_set in &waiting {
            ordinal += 1;
            let hash = link_hash(&mut tx, ordinal, *change_set, &previous).await?;
            let hash = hash.ok_or_else(|| DbError::Damaged(format!("change set {change_set} waits for its link and is not there")))?;
            chain::put(&mut tx, &LinkRow { ordinal, change_set: *change_set, previous, hash: hash.clone() }).await?;
            previous = hash;
        }
        tx.commit().await?;
        Ok(waiting.len())
    }

    async fn sign_when_due(&self) -> Result<(), DbError> {
        let Some(keys) = self.keys.as_ref().map(|keys| Arc::clone(&keys.borrow())) else { return Ok(()) };
        let mut tx = self.pool.begin().await?;
        let (Some(last), newest) = (chain::last(&mut tx).await?, chain::newest_head(&mut tx).await?) else { return Ok(()) };
        let is_due = newest.is_none_or(|head| head.ordinal < last.ordinal && Utc::now() - head.at > SIGN_EVERY);
        if !is_due || !chain::try_lock(&mut tx).await? {
            return Ok(());
        }
        let Some(head) = head(&keys, &last.hash, last.ordinal) else { return Ok(()) };
        chain::put_head(&mut tx, last.ordinal, &last.hash, &keys.signing.public().id(), &head.sign(&keys.signing)).await?;
        tx.commit().await?;
        tracing::info!(event = "audit_head_signed", ordinal = last.ordinal, hash = hex::encode(&last.hash), "the audit reaches this far");
        Ok(())
    }

    /// The chain backwards, and where the next page starts.
    pub async fn lines(&self, below: Option<i64>, limit: u32) -> Result<(Vec<AuditLine>, Option<i64>), DbError> {
        let rows = chain::audit(&self.pool, below.unwrap_or(i64::MAX), limit.into()).await?;
        let next = rows.last().filter(|row| rows.len() == limit as usize && row.ordinal > 1).map(|row| row.ordinal);
        let line = |row: chain::AuditRow| AuditLine {
            ordinal: row.ordinal,
            hash: hex::encode(row.hash),
            change_set: row.change_set,
            at: row.at,
            actor: row.actor,
            author: row.author,
            approved_by: row.approved_by,
            via: row.via,
            reason: row.reason,
        };
        Ok((rows.into_iter().map(line).collect(), next))
    }
}

fn head(keys: &Keys, hash: &[u8], ordinal: i64) -> Option<AuditHead> {
    Some(AuditHead { institution: keys.trust.draft().institution, ordinal: u64::try_from(ordinal).ok()?, hash: hash.try_into().ok()? })
}
