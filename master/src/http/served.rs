//! Which agents serve a change set, and since when. `run` plugs in who knows; the doors only ask.

use chrono::{DateTime, Utc};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::watch;
use uuid::Uuid;

/// What one agent does with a change set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Served {
    /// The agent's name.
    pub agent: String,
    /// Whether its line to the master is up; one that is cut off gets the change when it comes back.
    pub connected: bool,
    /// Since when it answers with the change, as far as the master has heard.
    pub since: Option<DateTime<Utc>>,
}

/// The answer to be: one line per enrolled agent.
pub type Answer = Pin<Box<dyn Future<Output = Vec<Served>> + Send>>;

/// Asks which agents serve a change set, and knows when it is worth asking again.
#[derive(Clone)]
pub struct ServedReader {
    read: Arc<dyn Fn(Uuid) -> Answer + Send + Sync>,
    changed: watch::Receiver<u64>,
}

impl ServedReader {
    /// `changed` moves whenever an answer may have changed: a generation was cut, an agent acknowledged, came or went.
    pub fn new(read: impl Fn(Uuid) -> Answer + Send + Sync + 'static, changed: watch::Receiver<u64>) -> Self {
        Self { read: Arc::new(read), changed }
    }

    /// A reader for a master without agents.
    pub fn nobody() -> Self {
        let (_, changed) = watch::channel(0);
        Self::new(|_| Box::pin(async { Vec::new() }), changed)
    }

    /// How it stands now.
    pub async fn now(&self, change_set: Uuid) -> Vec<Served> {
        (self.read)(change_set).await
    }

    /// Waits until every connected agent serves the change set, or the time is over; then tells how it stands.
    pub async fn wait(&self, change_set: Uuid, at_most: Duration) -> Vec<Served> {
        /// A safety net under `changed`.
        const LOOK_AGAIN: Duration = Duration::from_millis(250);
        let end = tokio::time::Instant::now() + at_most;
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            let served = self.now(change_set).await;
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if all_serve(&served) || left.is_zero() {
                return served;
            }
            let pause = left.min(LOOK_AGAIN);
            // A sender that is gone would make `changed` return at once, for ever.
            if let Ok(Err(_)) = tokio::time::timeout(pause, changed.changed()).await {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Whether every agent that can be reached serves it.
pub fn all_serve(served: &[Served]) -> bool {
    served.iter().all(|one| one.since.is_some() || !one.connected)
}

#[cfg(test)]
mod tests {
    use super::{Served, ServedReader, all_serve};
    use chrono::Utc;
    use std::time::Duration;
    use tokio::sync::watch;
    use uuid::Uuid;

    fn reader(state: watch::Receiver<Vec<Served>>, changed: watch::Receiver<u64>) -> ServedReader {
        ServedReader::new(
            move |_| {
                let now = state.borrow().clone();
                Box::pin(async move { now })
            },
            changed,
        )
    }

    fn served(agent: &str, connected: bool, yes: bool) -> Served {
        Served { agent: agent.into(), connected, since: yes.then(Utc::now) }
    }

    #[tokio::test]
    async fn waiting_ends_when_every_connected_agent_serves() {
        let (state, states) = watch::channel(vec![served("north", true, false), served("south", false, false)]);
        let (changed, changes) = watch::channel(0);
        let reader = reader(states, changes);
        let waiting = tokio::spawn(async move { reader.wait(Uuid::nil(), Duration::from_secs(20)).await });
        tokio::task::yield_now().await;
        state.send_replace(vec![served("north", true, true), served("south", false, false)]);
        changed.send_replace(1);
        let end = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
        assert!(all_serve(&end) && end[1].since.is_none());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_time() {
        let (_state, states) = watch::channel(vec![served("north", true, false)]);
        let reader = reader(states, watch::channel(0).1);
        let end = reader.wait(Uuid::nil(), Duration::from_millis(30)).await;
        assert!(!all_serve(&end));
    }
}
