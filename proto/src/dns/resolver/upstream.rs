//! How one server that is asked fares: whether it is there, how fast it is, and when it is believed in again.
//!
//! It is judged by the questions of real clients. One that is silent is asked a question that it can answer at once; if it is
//! silent to that, too, it counts as gone, and is asked from time to time whether it is back. Time is in milliseconds.

/// What is assumed of a server that was never heard.
const FIRST_RTT_MS: u64 = 40;
/// A server on the same campus may be late by so much, one on another continent by so much more.
const PATIENCE_LEAST_MS: u64 = 100;
const PATIENCE_LIMIT_MS: u64 = 400;
/// One that was gone is preferred again after so many answers, the first and the last of which lie so far apart; as the only one it
/// is asked at the first.
const RETURN_ANSWERS: u32 = 3;
const RETURN_AFTER_MS: u64 = 2000;

/// What a server has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    smoothed_ms: u64,
    variation_ms: u64,
    state: State,
    last_heard_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    Gone,
    /// It answers again, for so often and since then.
    Returning {
        answers: u32,
        since_ms: u64,
    },
}

/// How much a server is to be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heed {
    /// It is asked in its turn.
    Sound,
    /// It was gone until a moment ago: it is asked where no other is.
    Returning,
    /// It is gone.
    Gone,
}

impl Heed {
    /// Its name in metrics and for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "up",
            Self::Returning => "returning",
            Self::Gone => "down",
        }
    }
}

impl Default for Upstream {
    /// Nothing is known, which counts for it.
    fn default() -> Self {
        Self { smoothed_ms: FIRST_RTT_MS, variation_ms: FIRST_RTT_MS / 2, state: State::There, last_heard_ms: None }
    }
}

impl Upstream {
    /// It answered, after so long where that is known (RFC 6298 section 2).
    pub fn heard(&mut self, now_ms: u64, after_ms: Option<u64>) {
        if let Some(after_ms) = after_ms {
            let first = self.last_heard_ms.is_none();
            self.variation_ms = if first { after_ms / 2 } else { (3 * self.variation_ms + self.smoothed_ms.abs_diff(after_ms)) / 4 };
            self.smoothed_ms = if first { after_ms } else { (7 * self.smoothed_ms + after_ms) / 8 };
        }
        self.last_heard_ms = Some(now_ms);
        self.state = match self.state {
            State::There => State::There,
            State::Gone => State::Returning { answers: 1, since_ms: now_ms },
            State::Returning { answers, since_ms } if answers + 1 >= RETURN_ANSWERS && now_ms.saturating_sub(since_ms) >= RETURN_AFTER_MS => State::There,
            State::Returning { answers, since_ms } => State::Returning { answers: answers.saturating_add(1), since_ms },
        };
    }

    /// It is not there: the system says so, or it was silent to a question that it could have answered at once.
    pub fn lost(&mut self) {
        self.state = State::Gone;
    }

    /// Whether it was heard since then.
    pub fn heard_since(&self, then_ms: u64) -> bool {
        self.last_heard_ms.is_some_and(|heard| heard >= then_ms)
    }

    /// How much it is to be relied upon.
    pub fn heed(&self) -> Heed {
        match self.state {
            State::There => Heed::Sound,
            State::Returning { .. } => Heed::Returning,
            State::Gone => Heed::Gone,
        }
    }

    /// How long it usually takes, in milliseconds.
    pub fn latency_ms(&self) -> u64 {
        self.smoothed_ms
    }

    /// After how long its silence means something.
    pub fn patience_ms(&self) -> u64 {
        (self.smoothed_ms + 4 * self.variation_ms).clamp(PATIENCE_LEAST_MS, PATIENCE_LIMIT_MS)
    }
}
