//! Whom the master asks whether they answer, and what it found.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use sqlx::{PgPool, query, query_as};
use std::net::IpAddr;
use uuid::Uuid;

/// An agent that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Its number.
    pub node: Uuid,
    /// Its name.
    pub name: String,
    /// Where its campus's services are reached, where that is known.
    pub address: Option<IpAddr>,
}

/// What is known of one service of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRow {
    /// The agent's name.
    pub agent: String,
    /// The service.
    pub service: String,
    /// Whether it answers.
    pub answers: bool,
    /// Since when that is so.
    pub since: DateTime<Utc>,
}

/// Every agent that is in.
pub async fn targets(pool: &PgPool) -> Result<Vec<TargetRow>, DbError> {
    let rows = query!(
        r#"select n.id, n.name, host(c.service_address) as "address?"
           from publish.node n left join org.campus c on c.id = n.campus_id
           where n.role = 'agent' and n.revoked_at is null order by n.name"#
    );
    rows.fetch_all(pool)
        .await?
        .into_iter()
        .map(|row| Ok(TargetRow { node: row.id, name: row.name, address: row.address.as_deref().map(word).transpose()? }))
        .collect()
}

/// All that was found, by agent and service.
pub async fn all(pool: &PgPool) -> Result<Vec<ProbeRow>, DbError> {
    Ok(query_as!(ProbeRow, "select agent, service, answers, since from report.probe order by agent, service").fetch_all(pool).await?)
}

/// Keeps what was found.
pub async fn put(pool: &PgPool, agent: &str, service: &str, answers: bool, since: DateTime<Utc>) -> Result<(), DbError> {
    query!(
        "insert into report.probe (agent, service, answers, since) values ($1, $2, $3, $4)
         on conflict (agent, service) do update set answers = excluded.answers, since = excluded.since",
        agent,
        service,
        answers,
        since
    )
    .execute(pool)
    .await?;
    Ok(())
}
