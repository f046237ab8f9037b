use super::packet::{Hears, Says};
use crate::simulation::Dice;
use holdfast_proto::dhcp::Kind;
use std::net::Ipv4Addr;

/// How long a client waits before it asks again, in milliseconds.
const RETRY_MS: u64 = 4000;

/// Where a client stands (RFC 2131 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Switched off, or without a cable.
    Off,
    /// It asks everybody.
    Selecting,
    /// It took an offer, or remembers its address, and waits to hear.
    Requesting,
    /// It has an address.
    Bound,
}

/// A lease as its client holds it, in true time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub address: Ipv4Addr,
    pub server: Ipv4Addr,
    pub since_ms: u64,
    /// By its own clock, so maybe a little late.
    pub until_ms: u64,
}

/// What a client wants to say, and to whom: an agent's address, or everybody.
pub(super) type Word = (Says, Option<Ipv4Addr>);

/// One machine.
pub(super) struct Client {
    pub state: State,
    pub held: Option<Held>,
    xid: u32,
    asked_at_ms: u64,
    next_ms: u64,
    tries: u32,
    taking: Option<Hears>,
    /// Parts in a thousand that its clock is slow by.
    slow: u64,
}

impl Client {
    pub fn new(dice: &mut Dice) -> Self {
        let slow = dice.below(5) as u64;
        Self { state: State::Off, held: None, xid: 0, asked_at_ms: 0, next_ms: 0, tries: 0, taking: None, slow }
    }

    /// Whether it holds an address now.
    pub fn holds(&self, now_ms: u64) -> Option<Held> {
        self.held.filter(|held| now_ms < held.until_ms)
    }

    /// It is switched on: it remembers an address whose lease has not ended.
    pub fn wake(&mut self, now_ms: u64) {
        let remembers = self.holds(now_ms).is_some();
        self.begin(if remembers { State::Requesting } else { State::Selecting }, now_ms);
    }

    fn begin(&mut self, state: State, now_ms: u64) {
        (self.state, self.tries, self.taking, self.next_ms) = (state, 0, None, now_ms);
    }

    /// What it says now, if anything.
    pub fn speak(&mut self, now_ms: u64, dice: &mut Dice) -> Option<Word> {
        if self.state != State::Off && self.held.is_some() && self.holds(now_ms).is_none() {
            self.held = None;
            self.begin(State::Selecting, now_ms);
        }
        if self.state == State::Off || now_ms < self.next_ms {
            return None;
        }
        self.tries += 1;
        if self.state == State::Requesting && self.tries > 4 {
            self.begin(State::Selecting, now_ms);
            self.tries = 1;
        }
        (self.asked_at_ms, self.next_ms) = (now_ms, now_ms + RETRY_MS + dice.below(1000) as u64);
        // A request that takes an offer bears the offer's number; every other one begins something.
        if self.taking.is_none() {
            self.xid = dice.roll() as u32;
        }
        let plain = |kind| Says { kind, xid: self.xid, ciaddr: None, wish: None, server: None };
        match (self.state, self.taking, self.held) {
            (State::Selecting, ..) => Some((plain(Kind::Discover), None)),
            (State::Requesting, Some(offer), _) => Some((Says { wish: Some(offer.address), server: Some(offer.server), ..plain(Kind::Request) }, None)),
            (State::Requesting, None, Some(held)) => Some((Says { wish: Some(held.address), ..plain(Kind::Request) }, None)),
            (State::Bound, _, Some(held)) => {
                // RFC 2131 section 4.4.5: from seven eighths on, everybody is asked.
                let is_rebinding = (now_ms - held.since_ms) * 8 >= (held.until_ms - held.since_ms) * 7;
                Some((Says { ciaddr: Some(held.address), ..plain(Kind::Request) }, (!is_rebinding).then_some(held.server)))
            }
            _ => None,
        }
    }

    /// Hears a reply. `true` where it was refused an address that it validly held.
    pub fn hear(&mut self, heard: Hears, now_ms: u64) -> bool {
        if self.state == State::Off || heard.xid != self.xid {
            return false;
        }
        match (heard.kind, self.state) {
            (Kind::Offer, State::Selecting) => {
                self.begin(State::Requesting, now_ms);
                self.taking = Some(heard);
                false
            }
            (Kind::Ack, State::Requesting | State::Bound) => {
                self.bind(heard, now_ms);
                false
            }
            (Kind::Nak, State::Requesting | State::Bound) => {
                let was_held = self.taking.is_none() && self.holds(now_ms).is_some();
                self.held = None;
                self.begin(State::Selecting, now_ms);
                was_held
            }
            _ => false,
        }
    }

    /// A lease begins when it was asked for (RFC 2131 section 4.4.1), and ends by a clock that may be slow.
    fn bind(&mut self, heard: Hears, now_ms: u64) {
        let (length, since_ms) = (u64::from(heard.lease_secs) * 1000, self.asked_at_ms);
        let until_ms = since_ms + length + length * self.slow / 1000;
        self.held = Some(Held { address: heard.address, server: heard.server, since_ms, until_ms });
        self.begin(State::Bound, now_ms);
        self.next_ms = since_ms + length / 2;
    }

    /// It gives its address back, in order, and is switched off.
    pub fn release(&mut self) -> Option<Word> {
        let held = self.held.take()?;
        self.state = State::Off;
        Some((Says { kind: Kind::Release, xid: self.xid, ciaddr: Some(held.address), wish: None, server: Some(held.server) }, Some(held.server)))
    }

    /// It found that somebody else uses its address.
    pub fn decline(&mut self, now_ms: u64) -> Option<Word> {
        let held = self.held.take()?;
        let xid = self.xid;
        self.begin(State::Selecting, now_ms + 10_000);
        // RFC 2131 section 3.1: it begins anew after a while. Until it asks, what is still on its way to it answers nothing.
        self.xid = !xid;
        Some((Says { kind: Kind::Decline, xid, ciaddr: None, wish: Some(held.address), server: Some(held.server) }, None))
    }
}
