//! The task around [`Canaries`]: hears what is published and how the lines are, and tells every line what it may send.

use super::canary::{Canaries, Gate, Song};
use crate::publish::Latest;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How late a canary's two seconds may be noticed.
const TICK: Duration = Duration::from_millis(250);
/// Lines tell little: that they stand, that they went, and what a canary says.
const NEWS_LIMIT: usize = 1024;

/// What a line tells the gate.
#[derive(Debug)]
pub(super) enum News {
    Stands {
        node: NodeId,
        number: u64,
        durable: BTreeMap<Feed, Generation>,
    },
    Gone {
        node: NodeId,
        number: u64,
    },
    Durable {
        node: NodeId,
        feed: Feed,
        durable: Generation,
    },
    Alive {
        node: NodeId,
        sent: Instant,
    },
    /// An agent that tries a feed was given this.
    Given {
        node: NodeId,
        feed: Feed,
        position: (Epoch, Generation),
    },
    Refused {
        node: NodeId,
        feed: Feed,
    },
}

/// The lines' side of the gate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GateDoor {
    gates: watch::Receiver<Arc<Gate>>,
    news: mpsc::Sender<News>,
}

/// The gate's own side, to be run.
#[derive(Debug)]
pub struct GateKeeper {
    canaries: Canaries,
    latest: watch::Receiver<Arc<Latest>>,
    gates: watch::Sender<Arc<Gate>>,
    news: mpsc::Receiver<News>,
}

/// A gate over what is published.
pub fn gate(mut latest: watch::Receiver<Arc<Latest>>) -> (GateKeeper, GateDoor) {
    let canaries = Canaries::new(Arc::clone(&latest.borrow_and_update()));
    let (gates, lines) = watch::channel(Arc::new(canaries.gate()));
    let (sender, news) = mpsc::channel(NEWS_LIMIT);
    (GateKeeper { canaries, latest, gates, news }, GateDoor { gates: lines, news: sender })
}

impl GateDoor {
    /// Gives every change of what may be sent.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Gate>> {
        self.gates.clone()
    }

    /// A gate that is gone takes its lines with it, so nobody has to hear that it did not hear.
    pub(super) async fn tell(&self, news: News) {
        let _ = self.news.send(news).await;
    }
}

impl GateKeeper {
    /// Follows the publisher and the lines for as long as there is a publisher.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            // What is published first: an edit must not wait for news of lines.
            let moved = tokio::select! {
                biased;
                changed = self.latest.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let latest = Arc::clone(&self.latest.borrow_and_update());
                    self.canaries.on_latest(latest, Instant::now());
                    true
                }
                Some(news) = self.news.recv() => self.hear(news),
                _ = tick.tick() => {
                    let had_trials = self.canaries.on_trial().next().is_some();
                    self.canaries.on_tick(Instant::now());
                    had_trials
                }
            };
            if moved {
                self.gates.send_replace(Arc::new(self.canaries.gate()));
            }
            self.canaries.songs().into_iter().for_each(tell);
        }
    }

    /// Gives whether it may have changed what is let through.
    fn hear(&mut self, news: News) -> bool {
        let (had_trials, now) = (self.canaries.on_trial().next().is_some(), Instant::now());
        match news {
            News::Stands { node, number, durable } => self.canaries.on_line(node, number, durable, now),
            News::Gone { node, number } => self.canaries.on_gone(node, number, now),
            News::Durable { node, feed, durable } => self.canaries.on_durable(node, feed, durable, now),
            News::Alive { node, sent } => self.canaries.on_alive(node, sent, now),
            News::Given { node, feed, position } => self.canaries.on_given(node, feed, position),
            News::Refused { node, feed } => self.canaries.on_refused(node, feed, now),
        }
        had_trials
    }
}

fn tell(song: Song) {
    let held = |feed: Feed, value: f64| metrics::gauge!("holdfast_generation_held", "feed" => feed.to_string()).set(value);
    match song {
        Song::Started(feed, generation, node) => {
            held(feed, 1.0);
            tracing::info!(event = "canary_started", %feed, generation = generation.0, %node, "a large generation goes to one agent first");
        }
        Song::Passed(feed, generation, node) => {
            held(feed, 0.0);
            tracing::info!(event = "canary_passed", %feed, generation = generation.0, %node, "the agent is well with it: all get it");
        }
        Song::Slow(feed, generation, node) => {
            tracing::warn!(event = "canary_slow", %feed, generation = generation.0, %node, "the agent did not acknowledge a large generation in time: another is asked");
        }
        Song::Lost(feed, generation, node, why) => {
            tracing::warn!(event = "canary_lost", %feed, generation = generation.0, %node, why, "the agent that tried a large generation refused it or is gone: another is asked");
        }
        Song::Failed(feed, generation, node, why) => {
            metrics::counter!("holdfast_canaries_failed_total", "feed" => feed.to_string()).increment(1);
            tracing::error!(event = "canary_failed", %feed, generation = generation.0, %node, why,
                "a large generation is held back from all other agents: look at that agent, then publish a correction");
        }
    }
}
