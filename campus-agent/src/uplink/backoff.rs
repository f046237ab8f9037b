//! How long to wait before the master is dialled again: not so long that a cable that was put back goes unused, not so
//! short that a thousand boxes fell a master that has just come back. Randomness is an argument.

use std::time::Duration;

/// From this, growing by 1.6 each time; each wait is drawn between zero and that.
const FIRST: Duration = Duration::from_millis(100);
/// Nobody knows when the other end comes back, so it is asked now and then.
const LIMIT: Duration = Duration::from_secs(5);
/// With a link of our own the master may be back at any moment: after a re-plug further away nothing here tells us of it.
const LIMIT_WITH_LINK: Duration = Duration::from_millis(500);
/// A master that says goodbye, or that is there and does not listen yet, starts anew: all its boxes come at once.
const RESTART: Duration = Duration::from_secs(2);
/// Each knock costs a master that answers a handshake and a look into its database.
const TURNED_AWAY: Duration = Duration::from_secs(20);
/// A line that stood for this long was a good one.
const HEALTHY: Duration = Duration::from_secs(10);

/// How an attempt or a line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The master closed the line in order.
    Closed,
    /// Its machine is there and nobody listens.
    Refused,
    /// It was not reached, or fell silent.
    Lost,
    /// It answered, and has no use for this box now: it cannot reach its database, or it threw the box out.
    TurnedAway,
}

/// The waits so far.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait before the next attempt. `stood` is how long the line stood, `draw` a number in 0..1.
    pub fn wait(&mut self, ended: Ended, stood: Duration, has_link: bool, draw: f64) -> Duration {
        if stood >= HEALTHY {
            self.next = FIRST;
        }
        let limit = match ended {
            Ended::Closed | Ended::Refused => RESTART,
            Ended::Lost if has_link => LIMIT_WITH_LINK,
            Ended::Lost => LIMIT,
            Ended::TurnedAway => TURNED_AWAY,
        };
        let span = if ended == Ended::Closed { RESTART } else { self.next.min(limit) };
        self.next = self.next.mul_f64(1.6).min(TURNED_AWAY);
        span.mul_f64(draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    #[test]
    fn waits_grow_to_their_limit_and_begin_anew_after_a_good_line() {
        let mut backoff = Backoff::default();
        let mut longest = |ended, has_link| (0..20).map(|_| backoff.wait(ended, NO_TIME, has_link, 1.0)).max().unwrap();
        assert_eq!(longest(Ended::Lost, true), LIMIT_WITH_LINK);
        assert_eq!(longest(Ended::Lost, false), LIMIT);
        assert_eq!(longest(Ended::Refused, true), RESTART);
        assert_eq!(longest(Ended::TurnedAway, true), TURNED_AWAY);
        assert_eq!(backoff.wait(Ended::Lost, HEALTHY, true, 1.0), FIRST);
    }

    #[test]
    fn a_thousand_boxes_spread_over_two_seconds_when_the_master_restarts() {
        let waits: Vec<_> = (0..1000).map(|number| Backoff::default().wait(Ended::Closed, HEALTHY, true, f64::from(number) / 1000.0)).collect();
        let within = |from: u64, to: u64| waits.iter().filter(|wait| (from..to).contains(&(wait.as_millis() as u64))).count();
        assert_eq!([within(0, 500), within(500, 1000), within(1000, 1500), within(1500, 2000)], [250; 4]);
    }
}
