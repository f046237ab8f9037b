//! A pretend connection: in order, delayed, held up, dead, frozen or broken.

use super::Dice;
use holdfast_proto::control::{FromAgent, FromMaster};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One connection of one agent.
#[derive(Debug)]
pub(super) struct Wire {
    /// Tells the connections of an agent apart.
    pub number: u64,
    /// Nothing passes until then, and nothing is lost.
    pub held_until: Instant,
    /// Nothing passes any more, and neither end is told.
    pub is_dead: bool,
    /// Since when somebody on the way only repeats the past, and which word of it.
    pub frozen: Option<(Instant, FromMaster)>,
    /// A slow line delays by more.
    pub delay_ms: usize,
    up: VecDeque<(Instant, FromAgent)>,
    down: VecDeque<(Instant, FromMaster, Sender)>,
}

/// Who put something on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Master,
    Attacker,
}

impl Wire {
    pub fn new(number: u64, delay_ms: usize, now: Instant) -> Self {
        Self { number, held_until: now, is_dead: false, frozen: None, delay_ms, up: VecDeque::new(), down: VecDeque::new() }
    }

    fn due(&self, last: Option<Instant>, now: Instant, dice: &mut Dice) -> Instant {
        let delayed = now.max(self.held_until) + Duration::from_millis(dice.below(self.delay_ms) as u64);
        last.map_or(delayed, |last| last.max(delayed))
    }

    pub fn send_up(&mut self, message: FromAgent, now: Instant, dice: &mut Dice) {
        let due = self.due(self.up.back().map(|(due, _)| *due), now, dice);
        self.up.push_back((due, message));
    }

    pub fn send_down(&mut self, message: FromMaster, sender: Sender, now: Instant, dice: &mut Dice) {
        let due = self.due(self.down.back().map(|(due, ..)| *due), now, dice);
        self.down.push_back((due, message, sender));
    }

    pub fn arrives_up(&mut self, now: Instant) -> Option<FromAgent> {
        let passes = now >= self.held_until && !self.is_dead && self.up.front().is_some_and(|(due, _)| *due <= now);
        passes.then(|| self.up.pop_front().map(|(_, message)| message))?
    }

    pub fn arrives_down(&mut self, now: Instant) -> Option<FromMaster> {
        let passes = now >= self.held_until && !self.is_dead && self.down.front().is_some_and(|(due, ..)| *due <= now);
        passes.then(|| self.down.pop_front().map(|(_, message, _)| message))?
    }

    /// What of the master's is under way.
    pub fn under_way(&self) -> impl Iterator<Item = &FromMaster> {
        self.down.iter().filter(|(.., sender)| *sender == Sender::Master).map(|(_, message, _)| message)
    }
}
