//! One line to the master, without its socket: what the master says comes in, what is to be done comes out.
//!
//! It holds no snapshot and no file. What the store made of a frame comes back as [`Taken`], and from that alone the master
//! is told. It believes of a heartbeat only what is signed.

use bytes::Bytes;
use holdfast_proto::control::{Ack, Alive, FRAME_LIMIT_BYTES, Frame, FromAgent, FromMaster, Heartbeat, Refused, from_agent, from_master, unpack};
use holdfast_proto::snapshot::{Feed, Trust};
use holdfast_proto::words::{Epoch, Generation, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A master that holds the line but says nothing for this long is as good as gone; it sends a heartbeat each second.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(5);
/// It signs the time every ten seconds: a line without a newer signed time for this long repeats the past.
pub const STALE_LIMIT: Duration = Duration::from_secs(30);

/// What is to be done for the line.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Say this to the master.
    Send(FromAgent),
    /// Give this frame to the store, and its answer to [`Line::on_taken`].
    Take {
        /// Of which feed.
        feed: Feed,
        /// Manifest and signature.
        sealed: Bytes,
        /// The rows.
        payload: Bytes,
        /// Whether the rows are several generations' in one: see `State::advance_merged`.
        merged: bool,
    },
    /// Ask for the rows of the buckets in which the master holds others, give them to the store, and its answer to
    /// [`Line::on_taken`]; where there are none to be had, say so: [`Line::on_no_buckets`].
    Mend(Feed),
    /// Fetch the whole snapshot, give it to the store, and its answer to [`Line::on_taken`].
    Fetch(Feed),
    /// The first sign of life: the line is up.
    Connected,
    /// This is what the master has.
    Wanted(Vec<(Feed, Epoch, Generation)>),
    /// The master signed this time.
    Learn(UnixMillis),
    /// Whether the line repeats the past.
    Stale(bool),
    /// Newer trusts are offered, oldest first.
    Trust(Vec<Vec<u8>>),
    /// A report is stored at the master.
    Delivered {
        /// Of which spool.
        spool_id: Vec<u8>,
        /// This one.
        sequence: u64,
    },
    /// The master takes leases.
    LeasesWanted,
    /// The master has stored the leases up to here in the lease log.
    LeasesStored {
        /// The segment.
        segment: u64,
        /// The number in it.
        number: u64,
    },
    /// The master takes what NASs say of sessions.
    AccountingWanted,
    /// The master has stored that up to here in the accounting log.
    AccountingStored {
        /// The segment.
        segment: u64,
        /// The number in it.
        number: u64,
    },
    /// Tell people.
    Raise(&'static str, String),
}

/// What the store made of what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is held now.
    Held {
        /// Its epoch.
        epoch: Epoch,
        /// Its generation.
        generation: Generation,
        /// What every enabled service serves.
        applied: Generation,
        /// What survives a power cut.
        durable: Generation,
    },
    /// It was kept out.
    Refused {
        /// What is held.
        held: Generation,
        /// Why.
        reason: String,
        /// Whether the whole snapshot would help.
        wants_whole: bool,
    },
}

/// Why a line cannot go on. Another one is begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nothing came for [`SILENCE_LIMIT`].
    #[error("the master fell silent")]
    Silent,
    /// A message that says nothing.
    #[error("the master sent an empty message")]
    Empty,
    /// A feed of a newer master, or of none.
    #[error("the master sent a feed that this box does not follow")]
    ForeignFeed,
    /// A payload that does not unpack.
    #[error("{0}")]
    Unpack(#[from] holdfast_proto::control::UnpackError),
}

/// The machine.
#[derive(Debug)]
pub struct Line {
    follows: BTreeSet<Feed>,
    is_connected: bool,
    heard_at: Instant,
    /// The latest time that the master signed, and when we heard it.
    signed_time: UnixMillis,
    fresh_at: Instant,
    is_stale: bool,
    has_complained: bool,
    courses: BTreeMap<Feed, Course>,
}

/// How a feed has fared on this line.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    last: Last,
    /// Its buckets were set right, and no frame was taken since.
    is_mended: bool,
    /// And yet the next frame did not lead to what was signed: buckets do not help.
    is_astray: bool,
}

/// What was tried last for a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    #[default]
    Frame,
    Buckets,
    Whole,
}

impl Line {
    /// A line that has just been opened. `signed_time` is the latest that any line before it heard.
    pub fn begin(follows: impl IntoIterator<Item = Feed>, signed_time: UnixMillis, now: Instant) -> Self {
        Self {
            follows: follows.into_iter().collect(),
            is_connected: false,
            heard_at: now,
            signed_time,
            fresh_at: now,
            is_stale: false,
            has_complained: false,
            courses: BTreeMap::new(),
        }
    }

    /// The latest time that the master signed.
    pub fn signed_time(&self) -> UnixMillis {
        self.signed_time
    }

    /// Takes what the master says.
    pub fn on_message(&mut self, message: FromMaster, trust: &Trust, now: Instant, out: &mut Vec<Output>) -> Result<(), Broken> {
        self.heard_at = now;
        match message.message.ok_or(Broken::Empty)? {
            from_master::Message::Heartbeat(heartbeat) => self.on_heartbeat(&heartbeat, trust, now, out),
            from_master::Message::Frame(frame) => self.on_frame(frame, out)?,
            from_master::Message::Offer(offer) => {
                let feed = self.followed(offer.feed.as_ref())?;
                if self.course(feed).is_astray { self.fetch(feed, out) } else { self.mend(feed, out) }
            }
            from_master::Message::Trust(update) => out.push(Output::Trust(update.trusts)),
            from_master::Message::LeasesAck(ack) => out.push(Output::LeasesStored { segment: ack.segment, number: ack.number }),
            from_master::Message::AccountingAck(ack) => out.push(Output::AccountingStored { segment: ack.segment, number: ack.number }),
            from_master::Message::ReportAck(ack) => out.push(Output::Delivered { spool_id: ack.spool_id, sequence: ack.sequence }),
        }
        Ok(())
    }

    fn on_heartbeat(&mut self, heartbeat: &Heartbeat, trust: &Trust, now: Instant, out: &mut Vec<Output>) {
        if !std::mem::replace(&mut self.is_connected, true) {
            out.push(Output::Connected);
        }
        if heartbeat.takes_leases {
            out.push(Output::LeasesWanted);
        }
        if heartbeat.takes_accounting {
            out.push(Output::AccountingWanted);
        }
        let position = |latest: &holdfast_proto::control::Position| {
            let feed = latest.feed.as_ref()?.known()?;
            Some((feed, Epoch(latest.epoch), Generation(latest.generation)))
        };
        out.push(Output::Wanted(heartbeat.latest.iter().filter_map(position).collect()));
        if heartbeat.echo > 0 {
            out.push(Output::Send(FromAgent { message: Some(from_agent::Message::Alive(Alive { echo: heartbeat.echo })) }));
        }
        if heartbeat.signed.is_empty() {
            return;
        }
        match trust.open_heartbeat(&heartbeat.signed) {
            Ok(signed) if signed.time > self.signed_time => {
                self.signed_time = signed.time;
                self.fresh_at = now;
                out.push(Output::Learn(signed.time));
                if std::mem::take(&mut self.is_stale) {
                    out.push(Output::Stale(false));
                }
            }
            // An old one may come again after a broken line; it proves nothing.
            Ok(_) => {}
            Err(wrong) if !std::mem::replace(&mut self.has_complained, true) => out.push(Output::Raise("heartbeat_refused", wrong.to_string())),
            Err(_) => {}
        }
    }

    fn on_frame(&mut self, frame: Frame, out: &mut Vec<Output>) -> Result<(), Broken> {
        let feed = self.followed(frame.feed.as_ref())?;
        let payload = unpack(frame.payload, frame.compression, FRAME_LIMIT_BYTES)?;
        self.course(feed).last = Last::Frame;
        out.push(Output::Take { feed, sealed: frame.sealed, payload, merged: frame.merged });
        Ok(())
    }

    fn followed(&self, feed: Option<&holdfast_proto::control::Feed>) -> Result<Feed, Broken> {
        feed.and_then(|feed| feed.known()).filter(|feed| self.follows.contains(feed)).ok_or(Broken::ForeignFeed)
    }

    /// The store cannot go on from what it holds. Asked for once a line: a whole snapshot that does not help does not become
    /// better by being sent again.
    pub fn on_damaged(&mut self, feed: Feed, out: &mut Vec<Output>) {
        if self.course(feed).last != Last::Whole {
            self.fetch(feed, out);
        }
    }

    fn course(&mut self, feed: Feed) -> &mut Course {
        self.courses.entry(feed).or_default()
    }

    fn mend(&mut self, feed: Feed, out: &mut Vec<Output>) {
        self.course(feed).last = Last::Buckets;
        out.push(Output::Mend(feed));
    }

    fn fetch(&mut self, feed: Feed, out: &mut Vec<Output>) {
        self.course(feed).last = Last::Whole;
        out.push(Output::Fetch(feed));
    }

    /// The rows of buckets cannot be had: nothing is held that they could be put into, or the whole snapshot costs less.
    pub fn on_no_buckets(&mut self, feed: Feed, out: &mut Vec<Output>) {
        self.fetch(feed, out);
    }

    /// The store has answered, or something of what it took before has become applied or durable.
    pub fn on_taken(&mut self, feed: Feed, taken: Taken, out: &mut Vec<Output>) {
        let course = self.course(feed);
        let message = match taken {
            Taken::Held { epoch, generation, applied, durable } => {
                *course = Course { last: course.last, is_mended: course.last == Last::Buckets, is_astray: false };
                from_agent::Message::Ack(Ack { feed: Some(feed.into()), epoch: epoch.0, applied: applied.0, durable: durable.0, taken: generation.0 })
            }
            Taken::Refused { held, reason, wants_whole } => {
                out.push(Output::Raise("snapshot_refused", format!("{feed}: {reason}")));
                // The master counts on a whole snapshot or on what takes its place: it need not be asked again.
                if course.last == Last::Buckets {
                    return self.fetch(feed, out);
                }
                course.is_astray |= course.is_mended;
                // One that is no good does not become better by being sent again.
                let want_full = wants_whole && course.last != Last::Whole;
                from_agent::Message::Refused(Refused { feed: Some(feed.into()), generation: held.0, reason, want_full })
            }
        };
        out.push(Output::Send(FromAgent { message: Some(message) }));
    }

    /// When to look at the clock again.
    pub fn deadline(&self) -> Instant {
        let silent_at = self.heard_at + SILENCE_LIMIT;
        if self.is_stale { silent_at } else { silent_at.min(self.fresh_at + STALE_LIMIT) }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant, out: &mut Vec<Output>) -> Result<(), Broken> {
        if now >= self.heard_at + SILENCE_LIMIT {
            return Err(Broken::Silent);
        }
        if !self.is_stale && now >= self.fresh_at + STALE_LIMIT {
            self.is_stale = true;
            out.push(Output::Stale(true));
            let told = "the line stands, and no newer signed time came over it for 30 s: somebody repeats the past, or the master's clock went back";
            out.push(Output::Raise("line_is_stale", told.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
