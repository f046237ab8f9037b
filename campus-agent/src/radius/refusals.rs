//! Who was refused, for the audit: as many by name as a person can read, the rest as a number.

use crate::reports::Spool;
use holdfast_proto::radius::RejectReason;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Refusals told one by one in each [`PERIOD`]; a campus under attack has thousands.
const TOLD_LIMIT: u32 = 5;
const PERIOD: Duration = Duration::from_secs(1);
/// Longer names are cut.
const NAME_LIMIT_CHARS: usize = 64;

/// What one socket's loop has refused.
#[derive(Debug)]
pub(super) struct Refusals {
    spool: Spool,
    since: Instant,
    told: u32,
    untold: u64,
}

impl Refusals {
    pub fn new(spool: Spool) -> Self {
        Self { spool, since: Instant::now(), told: 0, untold: 0 }
    }

    /// Records a refusal. Never the password: only who, where and why.
    pub fn record(&mut self, name: &[u8], nas: IpAddr, why: RejectReason, now: Instant) {
        self.settle(now);
        if self.told >= TOLD_LIMIT {
            self.untold += 1;
            return;
        }
        self.told += 1;
        let name: String = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(NAME_LIMIT_CHARS).collect();
        self.spool.audit("radius_refused", format!("\"{name}\" by way of {}: {}", nas.to_canonical(), why.label()));
    }

    /// Ends a period that is over, and tells how many were left out of it.
    pub fn settle(&mut self, now: Instant) {
        if now.duration_since(self.since) < PERIOD {
            return;
        }
        if self.untold > 0 {
            self.spool.audit("radius_refused", format!("{} more were refused within a second, not told one by one", self.untold));
        }
        (self.since, self.told, self.untold) = (now, 0, 0);
    }

    /// Whether somebody has to come back when the period is over.
    pub fn is_due(&self) -> bool {
        self.untold > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::{MASTER, Outbox};
    use holdfast_proto::net::clock::TrustedClock;
    use holdfast_proto::words::UnixMillis;
    use std::sync::Arc;

    #[test]
    fn a_flood_of_refusals_is_told_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), "radius", Arc::new(TrustedClock::new(UnixMillis(0))));
        let mut refusals = Refusals::new(spool.clone());
        let now = Instant::now();
        (0..1000).for_each(|_| refusals.record(b"ada\n", [10, 1, 250, 2].into(), RejectReason::WrongPassword, now));
        assert!(refusals.is_due());
        refusals.settle(now + PERIOD);
        assert!(!refusals.is_due() && spool.flush());
        let due = Outbox::open(dir.path(), MASTER, None).due();
        assert_eq!(due.len(), TOLD_LIMIT as usize + 1);
        assert_eq!(due[0].report.detail, "\"ada\" by way of 10.1.250.2: wrong_password");
        assert!(due.last().unwrap().report.detail.starts_with("995 more"), "{due:?}");
    }
}
