//! A grave generation goes to one agent before it goes to all.
//!
//! Why it exists: one set of rows that fells an agent must not fell every agent in the same second. What it refuses: it
//! never holds back small everyday generations by themselves, and it never lets a generation out because nobody is there
//! to try it. How: a machine without clock or socket. It is told what is published, who comes and goes and who acknowledged
//! what; it says, for every feed, who may have which generation ([`Gate`]).
//!
//! ```text
//! clear --grave--> seeking --agent--> sent --durable--> well --alive 2 s later--> clear
//!                     ^                 |                | 10 s without: alarm, the next one
//!                     +-----------------+
//!                     ^                 | refused, gone for 10 s, or gone twice: it may have been its disk or a cable; the next one
//!                     +-----------------+
//! sent, well --lost so for the second time--> held --newer generation, or 30 s--> seeking
//! ```

use crate::publish::{Latest, Published};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the canary must be well with what it got: it must live to answer what was sent to it then. That its line still
/// stands would prove nothing, because the end of a line may be told late.
const WELL: Duration = Duration::from_secs(2);
/// How long it may take to get it, to say that it is well, and to come back.
const LIMIT: Duration = Duration::from_secs(10);
/// Two agents that went or refused may have done so for other reasons; somebody is asked again then.
const LOST_RETRY: Duration = Duration::from_secs(30);

/// Who may have what, at one moment. Immutable: whoever follows holds one and gets the next.
#[derive(Debug, Clone)]
pub struct Gate {
    /// What is published.
    pub latest: Arc<Latest>,
    trials: BTreeMap<Feed, Open>,
}

/// What the gate lets through of a feed on trial.
#[derive(Debug, Clone)]
struct Open {
    canary: Option<(NodeId, Arc<Published>)>,
    cleared: Option<Arc<Published>>,
}

/// Something that people should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Song {
    /// A grave generation goes to this agent first.
    Started(Feed, Generation, NodeId),
    /// It is well: all get it.
    Passed(Feed, Generation, NodeId),
    /// It did not say in time that it has it, or that it is well: another one is asked.
    Slow(Feed, Generation, NodeId),
    /// It refused or went: another one is asked.
    Lost(Feed, Generation, NodeId, &'static str),
    /// It was the second that refused or went: the generation is held.
    Failed(Feed, Generation, NodeId, &'static str),
}

/// The machine.
#[derive(Debug)]
pub struct Canaries {
    latest: Arc<Latest>,
    courses: BTreeMap<Feed, Course>,
    /// The newest line of each agent.
    lines: BTreeMap<NodeId, Standing>,
    songs: Vec<Song>,
}

/// An agent's line as it began.
#[derive(Debug)]
struct Standing {
    number: u64,
    /// What was on its disk then.
    durable: BTreeMap<Feed, Generation>,
}

#[derive(Debug, Default)]
struct Course {
    cleared: Option<Arc<Published>>,
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Trial {
    subject: Arc<Published>,
    phase: Phase,
    tried: BTreeSet<NodeId>,
    /// How often the line of the agent that tries it ended.
    gone: u32,
    /// The newest that anybody was given to try.
    given: (Epoch, Generation),
    /// Trials that ended with an agent gone.
    lost: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Seeking,
    Sent {
        canary: NodeId,
        since: Instant,
    },
    Well {
        canary: NodeId,
        since: Instant,
    },
    Gone {
        canary: NodeId,
        since: Instant,
    },
    /// `again`: when it is tried once more.
    Held {
        again: Instant,
    },
}

impl Gate {
    /// Lets everything through.
    pub fn open(latest: Arc<Latest>) -> Self {
        Self { latest, trials: BTreeMap::new() }
    }

    /// What an agent may have of a feed; `None` where it has to wait with what it holds.
    pub fn of(&self, node: NodeId, feed: Feed) -> Option<&Arc<Published>> {
        match self.trials.get(&feed) {
            None => self.latest.feeds.get(&feed),
            Some(Open { canary: Some((canary, subject)), .. }) if *canary == node => Some(subject),
            Some(open) => open.cleared.as_ref(),
        }
    }

    /// Whether this agent tries anything for all.
    pub fn tries(&self, node: NodeId) -> bool {
        self.trials.keys().any(|feed| self.is_canary(node, *feed))
    }

    /// Whether this agent tries a generation of this feed for all.
    pub fn is_canary(&self, node: NodeId, feed: Feed) -> bool {
        self.trials.get(&feed).and_then(|open| open.canary.as_ref()).is_some_and(|(canary, _)| *canary == node)
    }
}

impl Trial {
    fn new(subject: Arc<Published>) -> Self {
        Self { subject, phase: Phase::Seeking, tried: BTreeSet::new(), gone: 0, given: (Epoch(0), Generation(0)), lost: 0 }
    }

    fn canary(&self) -> Option<NodeId> {
        match self.phase {
            Phase::Sent { canary, .. } | Phase::Well { canary, .. } | Phase::Gone { canary, .. } => Some(canary),
            Phase::Seeking | Phase::Held { .. } => None,
        }
    }

    fn generation(&self) -> Generation {
        self.subject.position().1
    }

    /// A canary that has the generation on its disk already has only to stay well.
    fn begun(&self, canary: NodeId, durable: Option<&Generation>, now: Instant) -> Phase {
        if durable.is_some_and(|durable| *durable >= self.needed()) { Phase::Well { canary, since: now } } else { Phase::Sent { canary, since: now } }
    }

    /// The canary refused or is gone. Once it may be its disk, a cable or a reboot, and another one is asked; twice it is the generation.
    fn lose(&mut self, feed: Feed, canary: NodeId, why: &'static str, now: Instant) -> Song {
        self.lost += 1;
        if self.lost > 1 {
            let failed = Song::Failed(feed, self.generation(), canary, why);
            self.phase = Phase::Held { again: now + LOST_RETRY };
            // What nobody was given has felled nobody: it may be the correction.
            if self.subject.position() > self.given {
                *self = Self::new(Arc::clone(&self.subject));
            }
            return failed;
        }
        self.tried.insert(canary);
        self.phase = Phase::Seeking;
        Song::Lost(feed, self.generation(), canary, why)
    }

    /// What the canary must have: small generations that came after the grave one need no trial.
    fn needed(&self) -> Generation {
        self.subject.grave.unwrap_or(self.generation())
    }
}

impl Canaries {
    /// Starts from what was published before. Whether the last grave generation was tried to its end nobody remembers, so it
    /// is tried again: agents that have it only have to stay well, which costs the first edits after a restart two seconds.
    pub fn new(latest: Arc<Latest>) -> Self {
        let mut canaries = Self { latest, courses: BTreeMap::new(), lines: BTreeMap::new(), songs: Vec::new() };
        for (feed, published) in &canaries.latest.feeds {
            canaries.courses.entry(*feed).or_default().on_published(published);
        }
        canaries
    }

    /// There is something newer.
    pub fn on_latest(&mut self, latest: Arc<Latest>, now: Instant) {
        for (feed, published) in &latest.feeds {
            self.courses.entry(*feed).or_default().on_published(published);
        }
        self.latest = latest;
        self.seek(now);
    }

    /// An agent's line stands, with this much of each feed on its disk; a later line of the same agent has a higher number.
    pub fn on_line(&mut self, node: NodeId, number: u64, durable: BTreeMap<Feed, Generation>, now: Instant) {
        for (feed, course) in &mut self.courses {
            let Some(trial) = course.trial.as_mut().filter(|trial| trial.canary() == Some(node)) else { continue };
            trial.phase = trial.begun(node, durable.get(feed), now);
        }
        self.lines.insert(node, Standing { number, durable });
        self.seek(now);
    }

    /// An agent's line ended.
    pub fn on_gone(&mut self, node: NodeId, number: u64, now: Instant) {
        if self.lines.get(&node).is_none_or(|standing| standing.number != number) {
            return;
        }
        self.lines.remove(&node);
        for (feed, course) in &mut self.courses {
            let Some(trial) = course.trial.as_mut().filter(|trial| trial.canary() == Some(node)) else { continue };
            trial.gone += 1;
            trial.phase = Phase::Gone { canary: node, since: now };
            if trial.gone > 1 {
                self.songs.push(trial.lose(*feed, node, "it went twice", now));
            }
        }
        self.seek(now);
    }

    /// An agent was given something to try.
    pub fn on_given(&mut self, node: NodeId, feed: Feed, position: (Epoch, Generation)) {
        if let Some(trial) = self.courses.get_mut(&feed).and_then(|course| course.trial.as_mut()).filter(|trial| trial.canary() == Some(node)) {
            trial.given = trial.given.max(position);
        }
    }

    /// An agent has this much on its disk.
    pub fn on_durable(&mut self, node: NodeId, feed: Feed, durable: Generation, now: Instant) {
        let Some(trial) = self.courses.get_mut(&feed).and_then(|course| course.trial.as_mut()) else { return };
        match trial.phase {
            Phase::Sent { canary, .. } if canary == node && durable >= trial.needed() => trial.phase = Phase::Well { canary, since: now },
            // A service fell back to the generation before.
            Phase::Well { canary, .. } if canary == node && durable < trial.needed() => trial.phase = Phase::Sent { canary, since: now },
            _ => {}
        }
    }

    /// An agent lived when it got what was sent to it then.
    pub fn on_alive(&mut self, node: NodeId, sent: Instant, now: Instant) {
        for (feed, course) in &mut self.courses {
            let Some(trial) = &course.trial else { continue };
            if matches!(trial.phase, Phase::Well { canary, since } if canary == node && sent >= since + WELL) {
                self.songs.push(Song::Passed(*feed, trial.generation(), node));
                course.cleared = Some(Arc::clone(&trial.subject));
                course.trial = None;
                if let Some(published) = self.latest.feeds.get(feed) {
                    course.on_published(published);
                }
            }
        }
        self.seek(now);
    }

    /// An agent kept something out.
    pub fn on_refused(&mut self, node: NodeId, feed: Feed, now: Instant) {
        let Some(trial) = self.courses.get_mut(&feed).and_then(|course| course.trial.as_mut()) else { return };
        if trial.canary() == Some(node) {
            self.songs.push(trial.lose(feed, node, "it kept the generation out", now));
        }
        self.seek(now);
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant) {
        for (feed, course) in &mut self.courses {
            let Some(trial) = &mut course.trial else { continue };
            let passed = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
            match trial.phase {
                Phase::Sent { canary, since } | Phase::Well { canary, since } if passed(since, LIMIT) => {
                    self.songs.push(Song::Slow(*feed, trial.generation(), canary));
                    trial.tried.insert(canary);
                    trial.phase = Phase::Seeking;
                }
                Phase::Held { again } if now >= again => *trial = Trial::new(Arc::clone(&trial.subject)),
                Phase::Gone { canary, since } if passed(since, LIMIT) => {
                    self.songs.push(trial.lose(*feed, canary, "it went and did not come back", now));
                }
                _ => {}
            }
        }
        self.seek(now);
    }

    /// Gives every trial without a canary one, where there is anybody.
    fn seek(&mut self, now: Instant) {
        for (feed, course) in &mut self.courses {
            let Some(trial) = course.trial.as_mut().filter(|trial| trial.phase == Phase::Seeking) else { continue };
            // When all have been asked in vain, it starts again with the first.
            if self.lines.keys().all(|node| trial.tried.contains(node)) {
                trial.tried.clear();
            }
            let Some((&canary, standing)) = self.lines.iter().find(|(node, _)| !trial.tried.contains(node)) else { continue };
            trial.gone = 0;
            trial.phase = trial.begun(canary, standing.durable.get(feed), now);
            self.songs.push(Song::Started(*feed, trial.generation(), canary));
        }
    }

    /// Who may have what now.
    pub fn gate(&self) -> Gate {
        let open = |course: &Course| {
            let trial = course.trial.as_ref()?;
            Some(Open { canary: trial.canary().map(|canary| (canary, Arc::clone(&trial.subject))), cleared: course.cleared.clone() })
        };
        let trials = self.courses.iter().filter_map(|(feed, course)| Some((*feed, open(course)?))).collect();
        Gate { latest: Arc::clone(&self.latest), trials }
    }

    /// What is to be told, once.
    pub fn songs(&mut self) -> Vec<Song> {
        std::mem::take(&mut self.songs)
    }

    /// The feeds of which something is held or tried.
    pub fn on_trial(&self) -> impl Iterator<Item = Feed> + '_ {
        self.courses.iter().filter(|(_, course)| course.trial.is_some()).map(|(feed, _)| *feed)
    }
}

impl Course {
    fn on_published(&mut self, published: &Arc<Published>) {
        let grave_after = |before: &Arc<Published>| {
            let is_another_epoch = before.position().0 != published.position().0;
            published.grave.is_some_and(|grave| is_another_epoch || grave > before.position().1)
        };
        match &mut self.trial {
            Some(trial) if matches!(trial.phase, Phase::Held { .. }) => {
                if published.position() > trial.subject.position() {
                    *trial = Trial::new(Arc::clone(published));
                }
            }
            // While somebody is well with it, what is grave by itself waits for a trial of its own. Before that, the newer one
            // is tried in its place: it may be the correction.
            Some(trial) if matches!(trial.phase, Phase::Well { .. }) && grave_after(&trial.subject) => {}
            Some(trial) => trial.subject = Arc::clone(published),
            None if self.cleared.as_ref().is_none_or(grave_after) && published.grave.is_some() => self.trial = Some(Trial::new(Arc::clone(published))),
            None => self.cleared = Some(Arc::clone(published)),
        }
    }
}

#[cfg(test)]
mod tests;
