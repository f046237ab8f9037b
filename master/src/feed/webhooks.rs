//! Webhooks: events that are sent to others as they happen, signed, and tried again for a day.
//!
//! What is to be sent is kept first. Each webhook is served by a task of its own and by one at a time, so a slow receiver
//! delays nobody else. A delivery arrives at least once; its id, the same at every attempt, tells a double.

use super::address::Guarded;
use super::sign::{HEADER, signature};
use crate::config;
use crate::db::DbError;
use crate::db::webhooks::{self, DueRow, NewWebhook};
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::words::Secret;
use serde::Serialize;
use sqlx::PgPool;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;
use uuid::Uuid;

/// How often is looked for what is due.
const TICK: Duration = Duration::from_secs(1);
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a delivery is tried.
const TRIED_FOR: TimeDelta = TimeDelta::hours(24);
/// The wait after each failure, in seconds; after the last, the last again.
const WAITS_SECS: [f64; 7] = [2.0, 10.0, 30.0, 120.0, 600.0, 1800.0, 3600.0];
/// Events looked at for a webhook in one transaction.
const EVENTS_PER_LOOK: i32 = 500;
/// Deliveries of one webhook before the others are looked at again.
const DELIVERIES_PER_TURN: i64 = 50;
/// Receivers that are talked to at once.
const AT_ONCE: usize = 32;
/// The most of an error that is kept, in characters.
const ERROR_LIMIT_CHARS: usize = 300;
/// The certificates that Debian's ca-certificates package keeps.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A webhook as it is. Its secret was told once.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Webhook {
    /// Its identity.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Where it is sent.
    pub url: String,
    /// Which kinds of events.
    pub kinds: Vec<String>,
    /// Of which area's change sets: `zone cs.uni.example`.
    pub area: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How many deliveries wait.
    pub waiting: i64,
    /// How many were given up.
    pub dead: i64,
}

/// What is to become a webhook.
#[derive(Debug, Clone)]
pub struct NewHook<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Where it is sent.
    pub url: &'a str,
    /// What signs it: 256 random bits.
    pub secret: &'a Secret,
    /// Which kinds of events.
    pub kinds: &'a [String],
    /// Of which area's change sets.
    pub area: (&'a str, &'a str),
    /// Who makes it.
    pub created_by: &'a str,
}

/// A delivery as it is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Delivery {
    /// Its number.
    pub id: i64,
    /// The event's number.
    pub number: i64,
    /// The event's kind.
    pub kind: String,
    /// `waiting`, `delivered` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When the event came.
    pub made_at: DateTime<Utc>,
    /// When it is tried next, while it waits.
    pub next_at: Option<DateTime<Utc>>,
    /// When it arrived or was given up.
    pub ended_at: Option<DateTime<Utc>>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// The list of webhooks.
#[derive(Debug, Clone)]
pub struct Webhooks(pub PgPool);

impl Webhooks {
    /// All of them, by name.
    pub async fn all(&self) -> Result<Vec<Webhook>, DbError> {
        let shown = |row: webhooks::WebhookRow| Webhook {
            area: format!("{} {}", row.area_kind, row.area_value).trim_end().to_owned(),
            id: row.id,
            name: row.name,
            url: row.url,
            kinds: row.kinds,
            created_by: row.created_by,
            created_at: row.created_at,
            waiting: row.waiting,
            dead: row.dead,
        };
        Ok(webhooks::all(&self.0).await?.into_iter().map(shown).collect())
    }

    /// Adds one, which begins with what happens from now on; `None` where the name is taken.
    pub async fn add(&self, new: &NewHook<'_>) -> Result<Option<Uuid>, DbError> {
        let id = Uuid::now_v7();
        let (area_kind, area_value) = new.area;
        let NewHook { name, url, kinds, created_by, .. } = *new;
        let row = NewWebhook { id, name, url, secret: new.secret.expose(), kinds, area_kind, area_value, created_by };
        Ok(webhooks::insert(&self.0, row).await?.then_some(id))
    }

    /// Takes one away with all that waits for it; false where there is none.
    pub async fn delete(&self, id: Uuid) -> Result<bool, DbError> {
        webhooks::delete(&self.0, id).await
    }

    /// Its deliveries, the newest first, and where the next page starts.
    pub async fn deliveries(&self, id: Uuid, state: Option<&str>, below: Option<i64>, limit: u32) -> Result<(Vec<Delivery>, Option<i64>), DbError> {
        let rows = webhooks::deliveries(&self.0, id, state, below.unwrap_or(i64::MAX), limit.into()).await?;
        let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id);
        let shown = |row: webhooks::DeliveryRow| Delivery {
            next_at: Some(row.next_at).filter(|_| row.state == "waiting"),
            id: row.id,
            number: row.number,
            kind: row.kind,
            state: row.state,
            attempts: row.attempts,
            made_at: row.made_at,
            ended_at: row.ended_at,
            last_error: row.last_error,
        };
        Ok((rows.into_iter().map(shown).collect(), next))
    }

    /// Has a delivery tried again; false where there is none.
    pub async fn send_again(&self, id: Uuid, delivery: i64) -> Result<bool, DbError> {
        webhooks::send_again(&self.0, id, delivery).await
    }
}

/// Sends what is due, for ever.
pub async fn deliver_for_ever(pool: PgPool, settings: config::Webhooks) -> Infallible {
    let sender = Sender { pool, agent: agent(&settings), at_once: Arc::new(Semaphore::new(AT_ONCE)) };
    let mut tick = tokio::time::interval(TICK);
    let (mut turns, mut busy) = (JoinSet::new(), HashSet::new());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Some(ended) = turns.join_next() => {
                // A turn that fell over is one of its webhook's: the next tick begins it again.
                match ended {
                    Ok(id) => drop(busy.remove(&id)),
                    Err(_) => busy.clear(),
                }
                continue;
            }
        }
        match sender.look().await {
            Ok(due) => due.into_iter().filter(|id| busy.insert(*id)).collect::<Vec<_>>().into_iter().for_each(|id| drop(turns.spawn(sender.clone().turn(id)))),
            Err(error) => tracing::warn!(event = "webhooks_wait", %error, "webhooks wait for the database"),
        }
    }
}

#[derive(Clone)]
struct Sender {
    pool: PgPool,
    agent: Agent,
    at_once: Arc<Semaphore>,
}

impl Sender {
    /// Makes deliveries of new events; which webhooks have something that is due.
    async fn look(&self) -> Result<Vec<Uuid>, DbError> {
        for webhook in webhooks::all(&self.pool).await? {
            while webhooks::look(&self.pool, webhook.id, EVENTS_PER_LOOK).await? {}
        }
        webhooks::with_due(&self.pool).await
    }

    /// Some deliveries of one webhook, one after another.
    async fn turn(self, id: Uuid) -> Uuid {
        if let Err(error) = self.send_due(id).await {
            tracing::warn!(event = "webhooks_wait", %error, "webhooks wait for the database");
        }
        id
    }

    async fn send_due(&self, id: Uuid) -> Result<(), DbError> {
        for delivery in webhooks::due(&self.pool, id, DELIVERIES_PER_TURN).await? {
            let Ok(_turn) = self.at_once.acquire().await else { return Ok(()) };
            let (agent, parcel) = (self.agent.clone(), delivery.clone());
            let sent = tokio::task::spawn_blocking(move || send(&agent, &parcel)).await.unwrap_or_else(|fell| Err(fell.to_string()));
            match sent {
                Ok(()) => webhooks::delivered(&self.pool, delivery.id).await?,
                Err(why) => {
                    let why: String = why.chars().take(ERROR_LIMIT_CHARS).collect();
                    webhooks::failed(&self.pool, delivery.id, &why, wait_secs(&delivery, Utc::now())).await?;
                    // Its others would meet the same: they have their own time, and the next turn comes soon.
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// How long until the next attempt; `None` when it was tried for long enough.
fn wait_secs(delivery: &DueRow, now: DateTime<Utc>) -> Option<f64> {
    let tried = usize::try_from(delivery.attempts).unwrap_or_default();
    (now - delivery.made_at < TRIED_FOR).then(|| WAITS_SECS[tried.min(WAITS_SECS.len() - 1)])
}

fn send(agent: &Agent, delivery: &DueRow) -> Result<(), String> {
    let now = Utc::now().timestamp();
    let request = agent
        .post(&delivery.url)
        .header("content-type", "application/json")
        .header("holdfast-event", &delivery.kind)
        .header("holdfast-delivery", delivery.id.to_string())
        .header(HEADER, signature(&delivery.secret, now, &delivery.body));
    let answer = request.send(&delivery.body).map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("the receiver said {status}")) }
}

fn agent(settings: &config::Webhooks) -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = RootCerts::new_with_certs(&certificates());
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("holdfast-master/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Guarded { system: DefaultResolver::default(), allowed: settings.allowed.clone() })
}

/// Without certificates every receiver is a stranger, and the deliveries say so.
fn certificates() -> Vec<Certificate<'static>> {
    let pem = std::fs::read(SYSTEM_CERTIFICATES).unwrap_or_default();
    ureq::tls::parse_pem(&pem).filter_map(|item| if let Ok(PemItem::Certificate(certificate)) = item { Some(certificate) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_ever_more_rarely_and_for_a_day() {
        let made_at = Utc::now();
        let delivery = |attempts| DueRow {
            id: 1,
            webhook_id: Uuid::nil(),
            url: String::new(),
            secret: vec![],
            kind: String::new(),
            body: String::new(),
            attempts,
            made_at,
        };
        let waits: Vec<f64> = (0..20).map(|attempts| wait_secs(&delivery(attempts), made_at).unwrap()).collect();
        assert!(waits.is_sorted() && waits[0] < 5.0 && waits[19] == 3600.0, "{waits:?}");
        assert_eq!(wait_secs(&delivery(3), made_at + TRIED_FOR), None);
    }
}
