use super::mark::Shelf;
use super::{Kind, Report, Spool};
use crate::store::framed::{Entry, LogId, Position, Tail};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many reports may be on their way to a receiver at once.
const WINDOW: usize = 256;
/// What is read ahead of each log.
const AHEAD: usize = 64;
/// A report that its receiver has not taken by then is sent again, with all behind it.
const RESEND_AFTER: Duration = Duration::from_secs(15);

/// A report on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Sets the number apart from the same number of another log.
    pub log: LogId,
    /// Its number.
    pub number: u64,
    /// The process that raised it.
    pub process: String,
    /// Its kind.
    pub kind: Kind,
    /// What it says.
    pub report: Report,
    /// Where it stands on disk; `None` where the disk did not take it.
    position: Option<Position>,
}

/// One receiver's view of all spools of the box: merged by time, each spool in its own order, from the first report that
/// the receiver has not taken. Used by one process, the uplink.
#[derive(Debug)]
pub struct Outbox {
    receiver: &'static str,
    shelf: Shelf,
    lanes: Vec<Lane>,
    on_their_way: VecDeque<(Delivery, Instant, bool)>,
    /// The spool of this process: what the disk does not take is delivered from memory.
    own: Option<Spool>,
    /// The last number that was given out of memory, by kind.
    from_memory: [u64; 2],
}

/// One log of one process.
#[derive(Debug)]
struct Lane {
    process: String,
    kind: Kind,
    tail: Tail,
    ahead: VecDeque<Delivery>,
    taken: Position,
    /// `taken` is further than what is on disk.
    due: bool,
}

impl Outbox {
    /// Opens a receiver's view. From then on no report goes before this receiver has taken it, unless a spool is full.
    pub fn open(state_dir: &Path, receiver: &'static str, own: Option<Spool>) -> Self {
        let shelf = Shelf::of(state_dir);
        if let Err(error) = shelf.register(receiver) {
            tracing::error!(event = "disk_failed", %error, receiver, "what {receiver} takes cannot be remembered");
        }
        Self { receiver, shelf, lanes: Vec::new(), on_their_way: VecDeque::new(), own, from_memory: [0; 2] }
    }

    /// Reports for a receiver that is not configured wait for nobody.
    pub fn close(state_dir: &Path, receiver: &'static str) {
        if let Err(error) = Shelf::of(state_dir).forget(receiver) {
            tracing::error!(event = "disk_failed", %error, receiver, "{receiver} cannot be forgotten");
        }
    }

    /// What is to be sent now, oldest first; empty while the receiver has enough to take, or nothing new is there.
    pub fn due(&mut self) -> Vec<Delivery> {
        self.keep();
        if self.on_their_way.front().is_some_and(|(_, sent, _)| sent.elapsed() > RESEND_AFTER) {
            self.rewind();
        }
        self.find_lanes();
        self.lanes.iter_mut().for_each(Lane::fill);
        let mut due = Vec::new();
        while self.on_their_way.len() < WINDOW {
            let Some(delivery) = self.oldest() else { break };
            self.on_their_way.push_back((delivery.clone(), Instant::now(), false));
            due.push(delivery);
        }
        due
    }

    /// The receiver has this one. One that it left out, though it took a later one, is sent again.
    pub fn delivered(&mut self, log: &[u8], number: u64) {
        if let Some((_, _, taken)) = self.on_their_way.iter_mut().find(|(delivery, _, _)| delivery.number == number && delivery.log.0 == log) {
            *taken = true;
        }
        while self.on_their_way.front().is_some_and(|(_, _, taken)| *taken) {
            self.take_oldest();
        }
    }

    /// The receiver has the oldest `count` of those on their way.
    pub fn taken(&mut self, count: usize) {
        (0..count).for_each(|_| self.take_oldest());
    }

    /// Nothing is on its way any more: the line broke. What was not taken comes again.
    pub fn rewind(&mut self) {
        self.on_their_way.clear();
        self.from_memory = [0; 2];
        self.lanes.iter_mut().for_each(|lane| lane.rewind(&self.shelf));
    }

    /// Writes down how far the receiver is, where that has changed.
    pub fn keep(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.due) {
            match self.shelf.keep(self.receiver, &lane.process, lane.kind, lane.taken) {
                Ok(()) => lane.due = false,
                // A receiver that takes something twice knows it.
                Err(error) => tracing::debug!(event = "disk_failed", %error, "how far {} is cannot be kept", self.receiver),
            }
        }
    }

    fn take_oldest(&mut self) {
        let Some((delivery, _, _)) = self.on_their_way.pop_front() else { return };
        let lane = self.lanes.iter_mut().find(|lane| lane.kind == delivery.kind && lane.process == delivery.process);
        if let Some((lane, position)) = lane.zip(delivery.position) {
            lane.taken = position;
            lane.due = true;
        }
    }

    fn find_lanes(&mut self) {
        for process in self.shelf.processes() {
            if self.lanes.iter().any(|lane| lane.process == process) {
                continue;
            }
            self.lanes.extend(Kind::ALL.map(|kind| Lane::new(&self.shelf, self.receiver, &process, kind)));
        }
    }

    /// The oldest of what the logs have next; after them, what only memory has.
    fn oldest(&mut self) -> Option<Delivery> {
        let heads = self.lanes.iter_mut().filter_map(|lane| Some((lane.ahead.front()?.report.at_ms, lane)));
        let Some((_, lane)) = heads.min_by_key(|(at_ms, _)| *at_ms) else { return self.unwritten() };
        let oldest = lane.ahead.pop_front();
        lane.fill();
        oldest
    }

    fn unwritten(&mut self) -> Option<Delivery> {
        let unwritten = self.own.as_ref()?.unwritten().into_iter().find(|unwritten| unwritten.number > self.from_memory[unwritten.kind as usize])?;
        self.from_memory[unwritten.kind as usize] = unwritten.number;
        let super::spool::Unwritten { kind, log, number, report } = unwritten;
        Some(Delivery { log, number, process: String::new(), kind, report, position: None })
    }
}

impl Lane {
    fn new(shelf: &Shelf, receiver: &str, process: &str, kind: Kind) -> Self {
        let taken = shelf.taken(receiver, process, kind);
        let tail = Tail::new(&shelf.log(process, kind), taken);
        Self { process: process.to_owned(), kind, tail, ahead: VecDeque::new(), taken, due: false }
    }

    fn rewind(&mut self, shelf: &Shelf) {
        self.tail = Tail::new(&shelf.log(&self.process, self.kind), self.taken);
        self.ahead.clear();
    }

    fn fill(&mut self) {
        if !self.ahead.is_empty() {
            return;
        }
        let entries = self.tail.read(AHEAD).unwrap_or_else(|error: io::Error| {
            tracing::debug!(event = "disk_failed", %error, process = self.process, "a spool cannot be read");
            Vec::new()
        });
        for Entry { position, log, payload } in entries {
            let report = Report::decode(&payload);
            let (process, kind, number) = (self.process.clone(), self.kind, position.number);
            self.ahead.push_back(Delivery { log, number, process, kind, report, position: Some(position) });
        }
    }
}
