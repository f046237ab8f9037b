//! Throwing a box out, and what is left for people to do.

use super::NodeError;
use crate::db::nas;
use crate::db::{changes, nodes as db};
use holdfast_proto::words::NodeId;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a rotation that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was done when a box was thrown out, and what people must do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkList {
    /// The box.
    pub node: String,
    /// Its role.
    pub role: String,
    /// Secrets that it has read: change each on the NAS and here.
    pub nas_secrets: Vec<Exposed>,
    /// What else it had, in sentences.
    pub exposed: Vec<String>,
    /// What is changed without anybody's doing.
    pub changed: Vec<String>,
    /// The generation of the access feed under the new data key; `None` while it is under way.
    pub rotated_in: Option<i64>,
    /// Whether it was only asked what would be left to do.
    pub dry_run: bool,
    #[serde(skip)]
    #[schema(value_type = String)]
    id: NodeId,
}

/// A NAS whose secret was in the hands of the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Exposed {
    /// The NAS.
    pub name: String,
    /// The source addresses that it may use.
    pub prefix: String,
}

/// How long whoever throws a box out waits for the new data key, before they are told that it is under way.
pub const ROTATION_LIMIT: Duration = Duration::from_secs(4);

/// Throws a box out: from the commit on it may nothing, and the keys that it held are being changed.
/// With `dry_run` only the list is made.
pub async fn revoke(pool: &PgPool, name: &str, actor: &str, reason: &str, via: &str, dry_run: bool) -> Result<WorkList, NodeError> {
    let mut tx = pool.begin().await?;
    let Some((id, role, _)) = db::active(&mut tx, name).await? else { return Err(NodeError::Missing(name.to_owned())) };
    let reason = if reason.is_empty() { format!("{name} was thrown out") } else { reason.to_owned() };
    changes::open(&mut tx, Uuid::now_v7(), actor, &reason, via).await?;
    db::revoke(&mut tx, id).await?;
    let list = WorkList { dry_run, ..work_list(&mut tx, id, name, &role).await? };
    if dry_run {
        tx.rollback().await?;
        return Ok(list);
    }
    tx.commit().await?;
    tracing::warn!(event = "node_revoked", node = name, actor, "a box was thrown out");
    Ok(list)
}

/// Waits until the data key that the box held was changed, at most so long, and says so in the list.
pub async fn await_rotation(pool: &PgPool, list: WorkList, at_most: Duration) -> Result<WorkList, NodeError> {
    let deadline = Instant::now() + at_most;
    loop {
        let rotated_in = match db::rotation_of(pool, list.id).await? {
            Some((Some(_), generation)) => generation,
            Some((None, _)) => None,
            // Nothing was to be changed for it.
            None => return Ok(list),
        };
        if rotated_in.is_some() || Instant::now() >= deadline {
            return Ok(WorkList { rotated_in, ..list });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn work_list(db: &mut PgConnection, id: NodeId, name: &str, role: &str) -> Result<WorkList, NodeError> {
    let is_agent = role == "agent";
    let nas = if is_agent { nas::all(db).await? } else { Vec::new() };
    let (exposed, changed): (&[&str], &[&str]) = if is_agent {
        (
            &[
                "people's verifiers (argon2id), if the portal's operator had confirmed the box: weak passwords can be guessed from them, so have people with weak ones choose anew",
                "every name, address and boot entry of the institution: no secrets, but a map",
                "the box's own TLS and HPKE keys: they open nothing any more",
            ],
            &["its certificate is refused", "the access feed's data key", "the people feed's data key, by the portal when it hears of it"],
        )
    } else {
        (
            &["the portal's signing key and data key, and every verifier: make a new portal, and have the root name its key (`root draft --portal-key`)"],
            &["its certificate is refused"],
        )
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Ok(WorkList {
        node: name.to_owned(),
        role: role.to_owned(),
        nas_secrets: nas.into_iter().map(|nas| Exposed { name: nas.name, prefix: nas.prefix }).collect(),
        exposed: texts(exposed),
        changed: texts(changed),
        rotated_in: None,
        dry_run: false,
        id,
    })
}
