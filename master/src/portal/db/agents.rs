//! The agents that an operator confirmed.

use sqlx::PgConnection;
use uuid::Uuid;

/// A confirmed agent.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// Its identity.
    pub node_id: Uuid,
    /// The key that was confirmed.
    pub hpke_public: Vec<u8>,
}

/// Confirms an agent, or its new key.
pub async fn confirm(tx: &mut PgConnection, node_id: Uuid, name: &str, hpke_public: &[u8], fingerprint: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal_publish.confirmed_agent (node_id, name, hpke_public, fingerprint) values ($1, $2, $3, $4)
         on conflict (node_id) do update set name = $2, hpke_public = $3, fingerprint = $4, confirmed_at = now()",
        node_id,
        name,
        hpke_public,
        fingerprint
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Takes a confirmation back; `false` where there was none.
pub async fn withdraw(tx: &mut PgConnection, node_id: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from portal_publish.confirmed_agent where node_id = $1", node_id).execute(tx).await?;
    Ok(done.rows_affected() == 1)
}

/// The confirmed agents among these.
pub async fn read(tx: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<AgentRow>> {
    sqlx::query_as!(AgentRow, "select node_id, hpke_public from portal_publish.confirmed_agent where node_id = any ($1)", ids).fetch_all(tx).await
}

/// All confirmed agents.
pub async fn all(db: &mut PgConnection) -> sqlx::Result<Vec<AgentRow>> {
    sqlx::query_as!(AgentRow, "select node_id, hpke_public from portal_publish.confirmed_agent order by name").fetch_all(db).await
}

/// Notes every confirmed agent, so that the publisher gives it the data key in use.
pub async fn note_all(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("insert into portal_publish.outbox (subject, key) select 'agent', node_id::text from portal_publish.confirmed_agent")
        .execute(tx)
        .await
        .map(drop)
}
