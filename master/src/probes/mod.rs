//! Whether the agents answer: real questions to every agent on every service, every two seconds (see `proto::probe`).
//!
//! An agent that follows every generation may still answer nobody: its cable to the campus is out, a service hangs, a port
//! is filtered. Only a question tells. What it refuses: to draw any conclusion for the data. A silent agent is an event, a
//! metric and a line for people, and nothing else depends on it.

use crate::config::{Probe, Protocol};
use crate::db::events::NewEvent;
use crate::db::probes::{ProbeRow, TargetRow, all, put, targets};
use crate::db::{DbError, events};
use crate::publish::Latest;
use chrono::{DateTime, Utc};
use holdfast_proto::net::ask::{Asker, ask_framed};
use holdfast_proto::probe::{Health, Known, PATIENCE_MS, PERIOD_MS, Service, Turn};
use holdfast_proto::radius::probe;
use holdfast_proto::snapshot::{DataKey, Feed};
use holdfast_proto::syslog::Severity;
use holdfast_proto::words::{NodeId, Secret};
use serde::Serialize;
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);
/// How often it is looked up whom to ask.
const TARGETS_PERIOD: Duration = Duration::from_secs(10);

/// What is known of one service of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = probes::Finding)]
pub struct Finding {
    /// The agent's name.
    pub agent: String,
    /// `dns_udp`, `dns_tcp`, `dhcp` or `radius`.
    pub service: String,
    /// Whether it answers.
    pub answers: bool,
    /// Since when that is so.
    pub since: DateTime<Utc>,
}

/// Everything that was found, by agent and service. An agent whose address nobody has said is not in it.
pub async fn findings(pool: &PgPool) -> Result<Vec<Finding>, DbError> {
    let finding = |ProbeRow { agent, service, answers, since }| Finding { agent, service, answers, since };
    Ok(all(pool).await?.into_iter().map(finding).collect())
}

/// The one who asks.
pub struct Prober {
    pool: PgPool,
    access: watch::Receiver<Arc<DataKey>>,
    latest: watch::Receiver<Arc<Latest>>,
    config: Probe,
    health: BTreeMap<(String, Service), Health>,
    /// Sets the numbers of this run's events apart.
    spool: String,
    sequence: u64,
}

impl Prober {
    /// Asks what `latest` says that agents should know, with the secret that goes with the access feed's data key.
    pub fn new(pool: PgPool, access: watch::Receiver<Arc<DataKey>>, latest: watch::Receiver<Arc<Latest>>, config: Probe) -> Self {
        Self { pool, access, latest, config, health: BTreeMap::new(), spool: format!("probes-{}", Uuid::new_v4().simple()), sequence: 0 }
    }

    /// Asks for as long as it is polled.
    pub async fn run(mut self) -> Infallible {
        self.remember().await;
        let (mut tick, mut looked_up, mut rows) = (tokio::time::interval(Duration::from_millis(PERIOD_MS)), None::<Instant>, Vec::new());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if looked_up.is_none_or(|at| at.elapsed() > TARGETS_PERIOD) {
                match targets(&self.pool).await {
                    Ok(found) => (rows, looked_up) = (found, Some(Instant::now())),
                    // Those of before are asked: a database that is away is no reason to know less.
                    Err(error) => tracing::error!(event = "database_failed", %error, "whom to ask whether they answer cannot be read"),
                }
            }
            self.round(&rows).await;
        }
    }

    /// What was known when the master stopped: a restart must not tell a known silence again.
    async fn remember(&mut self) {
        for row in all(&self.pool).await.unwrap_or_default() {
            if let Some(service) = Service::ALL.into_iter().find(|service| service.name() == row.service) {
                self.health.insert((row.agent, service), Health::known(row.answers));
            }
        }
    }

    /// Asks everybody everything at once, and hears all verdicts.
    async fn round(&mut self, rows: &[TargetRow]) {
        let mut asked = JoinSet::new();
        let latest = Arc::clone(&self.latest.borrow());
        for (row, service) in rows.iter().flat_map(|row| Service::ALL.map(|service| (row.clone(), service))) {
            let Some(server) = self.config.address(&row.name, protocol(service), row.address) else { continue };
            let (latest, secret) = (Arc::clone(&latest), probe::secret(&self.access.borrow()));
            asked.spawn(async move { (row, service, ask(&latest, &secret, server, service).await) });
        }
        while let Some(Ok((row, service, heard))) = asked.join_next().await {
            // Nothing to ask for: no zone or no reservation is published yet.
            let Some(heard) = heard else { continue };
            let labels = [("agent", row.name.clone()), ("service", service.name().to_owned())];
            metrics::gauge!("holdfast_probe_up", &labels).set(f64::from(u8::from(heard.is_some())));
            if let Some(took) = heard {
                metrics::histogram!("holdfast_probe_seconds", &labels).record(took.as_secs_f64());
            }
            let health = self.health.entry((row.name.clone(), service)).or_default();
            if let Some(turn) = health.heard(heard.is_some())
                && let Err(error) = self.tell(&row, service, turn).await
            {
                tracing::error!(event = "database_failed", %error, "what the probes found cannot be written down");
            }
        }
    }

    async fn tell(&mut self, row: &TargetRow, service: Service, turn: Turn) -> Result<(), DbError> {
        let answers = turn != Turn::Silent;
        put(&self.pool, &row.name, service.name(), answers, Utc::now()).await?;
        let event = match turn {
            // That a new agent answers is no news.
            Turn::Answers { after_silence: false } => return Ok(()),
            Turn::Answers { .. } => "service_answers",
            Turn::Silent => "service_silent",
        };
        let does = if answers { "answers again" } else { "does not answer" };
        let detail = format!("{} of {} {does}, asked by the master", service.name(), row.name);
        tracing::warn!(event, agent = row.name, service = service.name(), detail, "a probe found a change");
        self.sequence += 1;
        let severity = if answers { Severity::Notice } else { Severity::Error };
        let new = NewEvent {
            spool: self.spool.clone(),
            sequence: self.sequence,
            at: Utc::now(),
            kind: 0,
            severity: severity as i16,
            event: event.to_owned(),
            detail,
        };
        events::put(&self.pool, NodeId(*row.node.as_bytes()), &new).await.map(drop)
    }
}

fn protocol(service: Service) -> Protocol {
    match service {
        Service::DnsUdp | Service::DnsTcp => Protocol::Dns,
        Service::Dhcp => Protocol::Dhcp,
        Service::Radius => Protocol::Radius,
    }
}

/// Asks once: how long the answer took, or that there was none. `None` where nothing is published that could be asked for.
async fn ask(latest: &Latest, secret: &Secret, server: SocketAddr, service: Service) -> Option<Option<Duration>> {
    let begun = Instant::now();
    let known = Known { zone: latest.state(Feed::ZONE).view(), bootptab: latest.state(Feed::BOOTPTAB).view(), secret: Some(secret) };
    let question = |asker| service.question(&known, asker, Uuid::new_v4().into_bytes());
    let heard = if service.is_framed() {
        let question = question(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
        ask_framed(server, question.bytes(), PATIENCE, |reply| question.is_answer(reply)).await
    } else {
        // No way there at all is no answer either.
        match Asker::towards(server).await.and_then(|asker| Ok((asker.address()?, asker))) {
            Err(unreachable) => Err(unreachable),
            Ok((own, asker)) => {
                let question = question(own)?;
                asker.ask(question.bytes(), PATIENCE, |reply| question.is_answer(reply)).await
            }
        }
    };
    let heard = heard.inspect_err(|error: &io::Error| tracing::debug!(event = "probe_unanswered", %server, service = service.name(), %error, "no answer"));
    Some(heard.ok().map(|()| begun.elapsed()))
}
