//! One agent's line, without its socket: what an agent says comes in, what it is to be told comes out.
//!
//! All that the master keeps of an agent is where it is. Its acknowledgement is the credit for the next frame of a feed, so
//! one that is slow lags by its own frame and then gets all it missed in one.

use super::canary::Gate;
use crate::publish::{Outgoing, Step};
use bytes::Bytes;
use holdfast_proto::control::{
    Accounting, AccountingAck, Ack, Frame, FromMaster, Heartbeat, Hello, Leases, LeasesAck, Offer, Position, Refused, Report, ReportAck, from_agent,
    from_master,
};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, NodeId, UnixMillis};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a box that keeps out what there is, is left in peace.
const STUCK_RETRY: Duration = Duration::from_secs(20);
/// An idle line still says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What is to be done for the agent.
#[derive(Debug, Clone)]
pub enum Output {
    /// Say this to it.
    Send(FromMaster),
    /// Write down what it serves and what survives a power cut there.
    Remember {
        /// Of which feed.
        feed: Feed,
        /// Served by all its services.
        applied: Generation,
        /// On its disk.
        durable: Generation,
    },
    /// Store what it observed; then, and only then, say that it is stored: see [`report_ack`].
    Store(Report),
    /// Store what it lends; then, and only then, say so: see [`leases_ack`].
    StoreLeases(Leases),
    /// Store what NASs said of sessions; then, and only then, say so: see [`accounting_ack`].
    StoreAccounting(Accounting),
    /// It is given this, or offered it, to try for all.
    Given(Feed, Epoch, Generation),
    /// It lived when it got what was sent to it at this time.
    Alive(Instant),
    /// It kept a generation out.
    Refused(Feed, String),
    /// It holds a generation that is not in our history: it is we who went back.
    IsAhead {
        /// Of which feed.
        feed: Feed,
        /// Its epoch.
        epoch: Epoch,
        /// Its generation.
        generation: Generation,
        /// Its manifest and signature: the proof, where it holds.
        sealed: Vec<u8>,
    },
}

/// Somebody who does not keep to the rules of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misspoken {
    /// Two beginnings.
    #[error("Hello comes once, at the start")]
    Hello,
    /// No message at all.
    #[error("an empty message")]
    Empty,
}

/// The machine.
#[derive(Debug)]
pub struct Line {
    node: NodeId,
    begun: Instant,
    positions: BTreeMap<Feed, At>,
    /// For which generation the whole snapshot was last sent because the agent asked for it.
    last_whole: BTreeMap<Feed, Generation>,
    heartbeat_at: Instant,
    /// The signed word that it was told last.
    told: Bytes,
}

/// Where an agent is with one feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    epoch: Epoch,
    generation: Generation,
    credit: Credit,
    wants_whole: bool,
    /// What it holds is not what we published under that number: nothing of ours leads on from there before the next epoch.
    is_fork: bool,
}

/// Whether the next generation may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credit {
    Free,
    /// This is under way, and not acknowledged.
    Used(Epoch, Generation),
    /// It fetches the whole snapshot, of this generation or an older one.
    Fetching,
    /// It keeps out what there is; it is tried again when there is something newer than this, or then.
    Stuck(Generation, Instant),
}

impl Line {
    /// Takes the agent's first words.
    pub fn begin(node: NodeId, hello: &Hello, gate: &Gate, now: Instant, out: &mut Vec<Output>) -> Self {
        let mut line = Self { node, begun: now, positions: BTreeMap::new(), last_whole: BTreeMap::new(), heartbeat_at: now, told: Bytes::new() };
        for position in &hello.positions {
            let Some(feed) = position.feed.as_ref().and_then(|feed| feed.known()) else { continue };
            let Some(published) = gate.latest.feeds.get(&feed) else { continue };
            let (epoch, generation) = (Epoch(position.epoch), Generation(position.generation));
            let is_same = (epoch, generation) == published.position();
            let is_fork = !position.sealed.is_empty() && published.sealed_at(epoch, generation).is_some_and(|sealed| sealed != &position.sealed[..]);
            if (epoch, generation) > published.position() || is_fork {
                out.push(Output::IsAhead { feed, epoch, generation, sealed: position.sealed.clone() });
            }
            // One that is where we are must also hold what we hold.
            let differs = generation > Generation(0) && is_same && published.state.digest().0[..] != position.digest[..];
            line.positions.insert(feed, At { epoch, generation, credit: Credit::Free, wants_whole: differs, is_fork });
            // A number of another history says nothing of ours.
            if generation > Generation(0) && epoch == published.position().0 && generation <= published.position().1 {
                out.push(Output::Remember { feed, applied: generation, durable: Generation(position.durable) });
            }
        }
        line
    }

    /// Takes what the agent says.
    pub fn on_message(&mut self, message: Option<from_agent::Message>, gate: &Gate, now: Instant, out: &mut Vec<Output>) -> Result<(), Misspoken> {
        match message.ok_or(Misspoken::Empty)? {
            from_agent::Message::Hello(_) => return Err(Misspoken::Hello),
            from_agent::Message::Ack(ack) => self.on_ack(&ack, gate, out),
            from_agent::Message::Refused(refused) => self.on_refused(refused, gate, now, out),
            from_agent::Message::Report(report) => out.push(Output::Store(report)),
            from_agent::Message::Leases(leases) => out.push(Output::StoreLeases(leases)),
            from_agent::Message::Accounting(accounting) => out.push(Output::StoreAccounting(accounting)),
            from_agent::Message::Alive(alive) => out.extend(self.sent_at(alive.echo, now).map(Output::Alive)),
        }
        Ok(())
    }

    /// Only what was sent can be acknowledged: a box cannot make us remember what it likes.
    fn on_ack(&mut self, ack: &Ack, gate: &Gate, out: &mut Vec<Output>) {
        let Some(feed) = ack.feed.as_ref().and_then(|feed| feed.known()) else { return };
        let Some(at) = self.positions.get_mut(&feed) else { return };
        let taken @ (epoch, generation) = (Epoch(ack.epoch), Generation(ack.taken));
        let is_published = || gate.latest.feeds.get(&feed).is_some_and(|published| epoch == published.position().0 && generation <= published.position().1);
        match at.credit {
            Credit::Used(epoch, generation) if taken == (epoch, generation) => {
                *at = At { epoch, generation, credit: Credit::Free, wants_whole: false, is_fork: false }
            }
            Credit::Fetching if is_published() => *at = At { epoch, generation, credit: Credit::Free, wants_whole: false, is_fork: false },
            // Services and disk come up to what was taken before.
            _ if taken == (at.epoch, at.generation) => {}
            _ => return,
        }
        let (applied, durable) = (Generation(ack.applied.min(ack.taken)), Generation(ack.durable.min(ack.taken)));
        out.push(Output::Remember { feed, applied, durable });
    }

    fn on_refused(&mut self, refused: Refused, gate: &Gate, now: Instant, out: &mut Vec<Output>) {
        let Some(feed) = refused.feed.as_ref().and_then(|feed| feed.known()) else { return };
        let Some(at) = self.positions.get_mut(&feed) else { return };
        // What was refused is what was under way; something newer may help.
        let refused_at = match at.credit {
            Credit::Used(_, generation) | Credit::Stuck(generation, _) => generation,
            Credit::Free | Credit::Fetching => gate.latest.feeds.get(&feed).map_or(at.generation, |published| published.position().1),
        };
        // The whole snapshot is sent once for each generation: a box that refuses that too waits for something newer.
        at.wants_whole = refused.want_full && self.last_whole.insert(feed, refused_at) != Some(refused_at);
        at.credit = if at.wants_whole { Credit::Free } else { Credit::Stuck(refused_at, now + STUCK_RETRY) };
        out.push(Output::Refused(feed, refused.reason));
    }

    /// For every feed with credit: one step to the newest that this agent may have.
    pub fn send_what_is_due(&mut self, gate: &Gate, now: Instant, out: &mut Vec<Output>) {
        for (feed, at) in &mut self.positions {
            let Some(published) = gate.of(self.node, *feed) else { continue };
            let newest = published.position();
            let has_credit = match at.credit {
                Credit::Free => true,
                Credit::Used(..) | Credit::Fetching => false,
                Credit::Stuck(generation, until) => newest.1 > generation || now >= until,
            };
            if !has_credit || (at.is_fork && newest.0 == at.epoch) {
                continue;
            }
            let step = if at.wants_whole { Step::Whole } else { published.step(at.epoch, at.generation) };
            let (message, credit) = match step {
                Step::Nothing => continue,
                Step::Frame(frame) => (frame_message(*feed, &frame), Credit::Used(newest.0, newest.1)),
                Step::Whole => (from_master::Message::Offer(Offer { feed: Some((*feed).into()) }), Credit::Fetching),
            };
            out.push(send(message));
            if gate.is_canary(self.node, *feed) {
                out.push(Output::Given(*feed, newest.0, newest.1));
            }
            *at = At { credit, wants_whole: false, ..*at };
        }
    }

    /// What is to be sent back is the line's age in milliseconds; from one on, because zero asks for nothing.
    fn echo(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_millis() as u64 + 1
    }

    /// When this was asked for; `None` where it cannot have been yet.
    fn sent_at(&self, echo: u64, now: Instant) -> Option<Instant> {
        let at = self.begun.checked_add(Duration::from_millis(echo.checked_sub(1)?))?;
        (at <= now).then_some(at)
    }

    /// When the next heartbeat is due.
    pub fn deadline(&self) -> Instant {
        self.heartbeat_at
    }

    /// Says that the master lives, where it is time to. `signed` goes out once.
    pub fn on_tick(&mut self, now: Instant, time: UnixMillis, signed: &Bytes, gate: &Gate, out: &mut Vec<Output>) {
        if now < self.heartbeat_at {
            return;
        }
        self.heartbeat_at = now + HEARTBEAT;
        let latest = gate.latest.feeds.iter().map(|(feed, published)| {
            let (epoch, generation) = published.position();
            Position { feed: Some((*feed).into()), epoch: epoch.0, generation: generation.0, ..Position::default() }
        });
        let is_new = *signed != self.told;
        self.told = signed.clone();
        let signed = if is_new { signed.to_vec() } else { Vec::new() };
        let echo = if gate.tries(self.node) { self.echo(now) } else { 0 };
        out.push(send(from_master::Message::Heartbeat(Heartbeat {
            now_ms: time.0,
            latest: latest.collect(),
            signed,
            echo,
            takes_leases: true,
            takes_accounting: true,
        })));
    }

    /// How many frames are under way: never more than one for each feed.
    pub fn under_way(&self) -> usize {
        self.positions.values().filter(|at| matches!(at.credit, Credit::Used(..))).count()
    }
}

/// How far a box's leases are stored.
pub fn leases_ack(leases: &Leases) -> FromMaster {
    FromMaster { message: Some(from_master::Message::LeasesAck(LeasesAck { segment: leases.segment, number: leases.number })) }
}

/// How far what NASs said of sessions is stored.
pub fn accounting_ack(accounting: &Accounting) -> FromMaster {
    FromMaster { message: Some(from_master::Message::AccountingAck(AccountingAck { segment: accounting.segment, number: accounting.number })) }
}

/// What a box may forget, once its report is stored.
pub fn report_ack(report: &Report) -> FromMaster {
    let ack = ReportAck { spool_id: report.spool_id.clone(), sequence: report.sequence };
    FromMaster { message: Some(from_master::Message::ReportAck(ack)) }
}

fn send(message: from_master::Message) -> Output {
    Output::Send(FromMaster { message: Some(message) })
}

fn frame_message(feed: Feed, frame: &Outgoing) -> from_master::Message {
    let packed = frame.packed();
    from_master::Message::Frame(Frame {
        feed: Some(feed.into()),
        sealed: frame.sealed.clone(),
        payload: packed.bytes.clone(),
        from_generation: frame.from.0,
        merged: frame.merged,
        compression: packed.compression.into(),
    })
}

#[cfg(test)]
mod tests;
