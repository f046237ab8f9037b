//! The portal's only line to the outside: its signed generations go to the master, who can neither read nor forge them.
//!
//! The master may be away for as long as it likes: nothing waits for it, and when it is back it is asked what it holds
//! and sent what is missing.

use super::db::generations::{self, GenerationRow};
use super::{Portal, PortalError, Terms};
use holdfast_proto::control::relay_client::RelayClient;
use holdfast_proto::control::{Agent, AgentsRequest, Frame, HeldRequest, Position, TrustRequest, TrustUpdate};
use holdfast_proto::snapshot::Feed;
use sqlx::PgPool;
use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Response, Status};
use uuid::Uuid;

/// How long one call may take; a generation is a megabyte or a few.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an idle line is used, to notice that it is cut, that the master lost something, or that a box was thrown out.
const IDLE: Duration = Duration::from_secs(1);
/// How many generations are read at once.
const PAGE: i64 = 16;
/// The first and the longest pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Relays until the line fails, and says how. `published` tells of new generations, `follow` takes newer trusts.
pub(super) async fn relay<G, E>(
    portal: &Portal,
    channel: Channel,
    published: &mut watch::Receiver<u64>,
    line: &mut Line,
    follow: &impl Fn(TrustUpdate) -> G,
) -> Result<Infallible, PortalError>
where
    G: Future<Output = Result<Terms, E>>,
    E: Display,
{
    let mut client = RelayClient::new(channel);
    loop {
        published.mark_unchanged();
        follow_trust(portal, &mut client, follow).await?;
        heed_revocations(portal, &mut client).await?;
        let held = held(&mut client).await?;
        check_not_ahead(&portal.0.pool, held).await?;
        line.is_up();
        send_after(portal, &mut client, held).await?;
        // New generations, or the tick: both lead to the same work.
        let _ = tokio::time::timeout(IDLE, published.changed()).await;
    }
}

/// Sends what the master does not have yet. What an ended epoch left unsent stays unsent: the next one starts from nothing.
async fn send_after(portal: &Portal, client: &mut RelayClient<Channel>, mut held: (i32, i64)) -> Result<(), PortalError> {
    let epoch = portal.terms().epoch.0 as i32;
    loop {
        let rows = generations::after(&mut *portal.0.pool.acquire().await?, held.0, held.1, PAGE).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            if row.epoch < epoch {
                held = (row.epoch, row.generation);
                continue;
            }
            held = publish(client, row).await?;
            generations::set_relayed(&mut *portal.0.pool.acquire().await?, held.0, held.1).await?;
            metrics::gauge!("holdfast_portal_relayed_generation").set(held.1 as f64);
        }
    }
}

/// Takes the trusts that the root signed since.
async fn follow_trust<G, E>(portal: &Portal, client: &mut RelayClient<Channel>, follow: &impl Fn(TrustUpdate) -> G) -> Result<(), PortalError>
where
    G: Future<Output = Result<Terms, E>>,
    E: Display,
{
    let version = portal.terms().version;
    let update = call(client.trust(TrustRequest { version })).await?;
    if !update.trusts.is_empty() {
        let terms = follow(update).await.map_err(|wrong| PortalError::Master(format!("{wrong:#}")))?;
        tracing::info!(event = "portal_trust_followed", version = terms.version, epoch = %terms.epoch, "the root signed a newer trust");
        portal.set_terms(terms);
    }
    Ok(())
}

/// Changes the data key when an agent that had it was thrown out.
async fn heed_revocations(portal: &Portal, client: &mut RelayClient<Channel>) -> Result<(), PortalError> {
    let known = call(client.agents(AgentsRequest {})).await?.agents;
    let revoked = known.into_iter().filter(|agent| agent.revoked).filter_map(|agent| Uuid::from_slice(&agent.node_id).ok());
    portal.change_key_for(&revoked.collect::<Vec<_>>()).await.map(drop)
}

async fn held(client: &mut RelayClient<Channel>) -> Result<(i32, i64), PortalError> {
    let position = call(client.held(HeldRequest { feed: Some(Feed::PEOPLE.into()) })).await?;
    Ok(numbers(&position))
}

async fn publish(client: &mut RelayClient<Channel>, row: GenerationRow) -> Result<(i32, i64), PortalError> {
    let sent = (row.epoch, row.generation);
    let held =
        call(client.publish(Frame { feed: Some(Feed::PEOPLE.into()), sealed: row.sealed.into(), payload: row.payload.into(), ..Frame::default() })).await?;
    let held = numbers(&held);
    if held < sent { Err(PortalError::NotTaken { sent: sent.1, held: held.1 }) } else { Ok(held) }
}

/// A master that holds more than we ever signed means that this database was restored from an old backup.
async fn check_not_ahead(pool: &PgPool, held: (i32, i64)) -> Result<(), PortalError> {
    let newest = generations::newest(&mut *pool.acquire().await?).await?.unwrap_or_default();
    if held > newest { Err(PortalError::Behind { held: held.1, newest: newest.1 }) } else { Ok(()) }
}

/// The agents that the master knows.
pub(super) async fn agents(channel: Channel) -> Result<Vec<Agent>, PortalError> {
    let mut client = RelayClient::new(channel);
    Ok(call(client.agents(AgentsRequest {})).await?.agents)
}

async fn call<T>(answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, PortalError> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(PortalError::Master(status.message().to_owned())),
        Err(_) => Err(PortalError::Master(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
    }
}

fn numbers(position: &Position) -> (i32, i64) {
    (i32::try_from(position.epoch).unwrap_or(i32::MAX), i64::try_from(position.generation).unwrap_or(i64::MAX))
}

/// Whether the line is up, and how long to wait before the next try.
#[derive(Debug)]
pub(super) struct Line {
    /// Why it is down; `None` while it is up.
    down: Option<String>,
    pause: Duration,
}

impl Line {
    pub fn new() -> Self {
        Self { down: None, pause: FIRST_PAUSE }
    }

    fn is_up(&mut self) {
        self.pause = FIRST_PAUSE;
        if self.down.take().is_some() {
            tracing::info!(event = "portal_relay_up", "the master takes generations again");
        }
    }

    /// Says why, once for each new reason. Gives the pause: doubling, and by `random` half to the whole of the step, so
    /// that two boxes that lost the same master do not come back in step.
    pub fn is_down(&mut self, wrong: String, random: u8) -> Duration {
        if self.down.as_ref() != Some(&wrong) {
            tracing::warn!(event = "portal_relay_down", %wrong, "generations wait here until the master takes them: {wrong}");
            self.down = Some(wrong);
        }
        let step = self.pause;
        self.pause = (step * 2).min(LONGEST_PAUSE);
        step / 2 + step / 2 * u32::from(random) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_differ_and_start_over() {
        let mut line = Line::new();
        let mut pause = |random| line.is_down("gone".to_owned(), random);
        assert_eq!((pause(0), pause(255)), (FIRST_PAUSE / 2, FIRST_PAUSE * 2));
        for _ in 0..20 {
            pause(9);
        }
        assert_eq!(pause(255), LONGEST_PAUSE);
        line.is_up();
        assert_eq!(line.is_down("gone".to_owned(), 255), FIRST_PAUSE);
    }
}
