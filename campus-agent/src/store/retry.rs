use std::time::{Duration, Instant};

/// When something that failed is tried again: after a while that doubles up to its limit.
#[derive(Debug)]
pub(super) struct Retry {
    first: Duration,
    limit: Duration,
    /// The wait after the last failure, and when it ends.
    waiting: Option<(Duration, Instant)>,
}

impl Retry {
    pub(super) fn new((first, limit): (Duration, Duration)) -> Self {
        Self { first, limit, waiting: None }
    }

    /// What failed before its time, because it was asked for, changes nothing.
    pub(super) fn failed(&mut self) {
        if !self.is_due() {
            return;
        }
        let wait = self.waiting.map_or(self.first, |(wait, _)| (wait * 2).min(self.limit));
        self.waiting = Some((wait, Instant::now() + wait));
    }

    pub(super) fn succeeded(&mut self) {
        self.waiting = None;
    }

    pub(super) fn is_due(&self) -> bool {
        self.waiting.is_none_or(|(_, at)| Instant::now() >= at)
    }
}
