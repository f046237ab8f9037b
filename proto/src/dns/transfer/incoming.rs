//! A transfer as it comes in, message by message (RFC 5936 section 2.2, RFC 1995 section 4).
//!
//! What it refuses: another zone's records (left out), a zone without end, and steps that do not follow each other. It checks no
//! signature; that is done before a message comes here.

use super::read::read_message;
use super::soa::Soa;
use crate::dns::{Record, rtype};
use crate::words::{DomainName, Serial};

/// More records than any zone has that a master keeps in memory.
const RECORDS_LIMIT: usize = 10_000_000;
/// And more bytes of them.
const LIMIT_BYTES: usize = 1 << 30;
/// RFC 1034 section 4.3.5: the types that are no records of a zone.
const META_TYPES: std::ops::RangeInclusive<u16> = 249..=255;

/// What a primary has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What we have is the newest, or newer than what it has: its serial.
    Nothing(Serial),
    /// There is something newer, and it has to be asked for as a whole.
    AskWhole,
    /// The whole zone, its SOA among the records, once.
    Whole(Vec<Record>),
    /// The steps to the newest.
    Changes(Vec<Delta>),
}

/// One step of a zone as a primary tells it. The SOA records stand with what goes and comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The serial before.
    pub from: Serial,
    /// The serial after.
    pub to: Serial,
    /// What goes.
    pub removed: Vec<Record>,
    /// What comes.
    pub added: Vec<Record>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// There is more to come.
    More,
    /// That was all.
    Done(Outcome),
}

/// Why a transfer is given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// A message that is none, or not to our question.
    #[error("the primary sent a message that is not an answer to the question")]
    Malformed,
    /// The primary says no.
    #[error("the primary answers {0}: 5 is REFUSED, it must allow this server; 9 is NOTAUTH, it does not have the zone or the key")]
    Rcode(u8),
    /// It does not begin with its SOA, or goes on without it.
    #[error("the transfer does not have its SOA records where they must be")]
    NoSoa,
    /// The steps do not follow each other.
    #[error("the steps of the transfer do not follow each other")]
    Broken,
    /// More than we take.
    #[error("the zone has more records than this server takes")]
    TooLarge,
}

/// A transfer that is under way.
#[derive(Debug)]
pub struct Incoming {
    id: u16,
    apex: DomainName,
    /// The serial that was asked with, of an IXFR.
    have: Option<Serial>,
    newest: Option<(Record, Soa)>,
    stage: Stage,
    records: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Stage {
    Begun,
    /// After the first SOA: the second record tells what it is.
    Second,
    Whole(Vec<Record>),
    Removing(Vec<Delta>, Delta),
    Adding(Vec<Delta>, Delta),
    Done,
}

impl Incoming {
    /// Of a request with this number; `have` of one for what changed.
    pub fn new(id: u16, apex: DomainName, have: Option<Serial>) -> Self {
        Self { id, apex, have, newest: None, stage: Stage::Begun, records: 0, bytes: 0 }
    }

    /// Takes the next message.
    pub fn take(&mut self, message: &[u8]) -> Result<Progress, TransferError> {
        let message = read_message(message).ok_or(TransferError::Malformed)?;
        let is_ours = message.question.as_ref().is_none_or(|(name, _)| *name == self.apex);
        if message.header.id != self.id || !message.header.is_response || !is_ours {
            return Err(TransferError::Malformed);
        }
        if message.header.rcode != 0 {
            return Err(TransferError::Rcode(message.header.rcode));
        }
        let mut outcome = None;
        for record in message.answers {
            self.bytes += record.rdata.len() + record.owner.wire().len();
            self.records += 1;
            if self.records > RECORDS_LIMIT || self.bytes > LIMIT_BYTES {
                return Err(TransferError::TooLarge);
            }
            if outcome.is_some() {
                return Err(TransferError::Broken);
            }
            outcome = self.record(record)?;
        }
        if let Some(outcome) = outcome {
            return Ok(Progress::Done(outcome));
        }
        self.after_message()
    }

    /// A single SOA in its message ends an answer to IXFR: nothing newer, or nothing that fits.
    fn after_message(&mut self) -> Result<Progress, TransferError> {
        match (&self.stage, self.have, &self.newest) {
            (Stage::Begun, ..) => Err(TransferError::NoSoa),
            (Stage::Second, Some(have), Some((_, newest))) => {
                let (newest_serial, is_news) = (newest.serial, newest.serial.is_newer_than(have));
                self.stage = Stage::Done;
                Ok(Progress::Done(if is_news { Outcome::AskWhole } else { Outcome::Nothing(newest_serial) }))
            }
            _ => Ok(Progress::More),
        }
    }

    fn record(&mut self, record: Record) -> Result<Option<Outcome>, TransferError> {
        let soa = if record.rtype == rtype::SOA && record.owner == self.apex { Some(Soa::of(&record.rdata).ok_or(TransferError::NoSoa)?) } else { None };
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        let Some((newest_record, newest)) = &self.newest else {
            self.newest = Some((record, soa.ok_or(TransferError::NoSoa)?));
            self.stage = Stage::Second;
            return Ok(None);
        };
        let newest_serial = newest.serial;
        self.stage = match (stage, soa) {
            (Stage::Second, Some(soa)) if self.have.is_some() && soa.serial != newest_serial => Stage::Removing(Vec::new(), begin(record, soa)),
            // Two SOA records alone: a zone of nothing else.
            (Stage::Second, Some(_)) => return Ok(Some(Outcome::Whole(vec![record]))),
            (Stage::Second, None) => Stage::Whole(self.kept(vec![newest_record.clone()], record)),
            (Stage::Whole(records), None) => Stage::Whole(self.kept(records, record)),
            (Stage::Whole(records), Some(soa)) if soa.serial == newest_serial => return Ok(Some(Outcome::Whole(records))),
            (Stage::Removing(done, mut delta), Some(soa)) => {
                delta.to = soa.serial;
                delta.added.push(record);
                Stage::Adding(done, delta)
            }
            (Stage::Removing(done, mut delta), None) => {
                delta.removed = self.kept(delta.removed, record);
                Stage::Removing(done, delta)
            }
            (Stage::Adding(done, mut delta), None) => {
                delta.added = self.kept(delta.added, record);
                Stage::Adding(done, delta)
            }
            (Stage::Adding(mut done, delta), Some(soa)) => {
                let at = delta.to;
                done.push(delta);
                match soa.serial {
                    serial if serial == newest_serial && at == newest_serial => return self.changes(done),
                    serial if serial == at => Stage::Removing(done, begin(record, soa)),
                    _ => return Err(TransferError::Broken),
                }
            }
            (Stage::Begun | Stage::Done | Stage::Whole(_), _) => return Err(TransferError::Broken),
        };
        Ok(None)
    }

    /// What is another zone's, and what is no record of a zone, is left out.
    fn kept(&self, mut records: Vec<Record>, record: Record) -> Vec<Record> {
        if record.owner.is_within(&self.apex) && !META_TYPES.contains(&record.rtype) && !matches!(record.rtype, 0 | rtype::OPT | rtype::SOA) {
            records.push(record);
        }
        records
    }

    fn changes(&self, steps: Vec<Delta>) -> Result<Option<Outcome>, TransferError> {
        let follows = steps.first().map(|first| first.from) == self.have;
        if follows { Ok(Some(Outcome::Changes(steps))) } else { Err(TransferError::Broken) }
    }
}

fn begin(record: Record, soa: Soa) -> Delta {
    Delta { from: soa.serial, to: soa.serial, removed: vec![record], added: Vec::new() }
}
