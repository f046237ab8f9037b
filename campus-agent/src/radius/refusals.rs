//! Who was refused, for the audit: as many by name as a person can read, the rest as a number. Who is guessed at is told once, and once
//! more how often.

use crate::reports::Spool;
use holdfast_proto::radius::RejectReason;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Refusals told one by one in each [`PERIOD`]; a campus under attack has thousands.
const TOLD_LIMIT: u32 = 5;
const PERIOD: Duration = Duration::from_secs(1);
/// How long the tries of one name that were not looked at are gathered.
const HELD_PERIOD: Duration = Duration::from_secs(60);
/// How many names they are gathered for; those of others are counted with the rest.
const HELD_LIMIT: usize = 64;
/// Longer names are cut.
const NAME_LIMIT_CHARS: usize = 64;

/// What one socket's loop has refused.
#[derive(Debug)]
pub(super) struct Refusals {
    spool: Spool,
    since: Instant,
    told: u32,
    untold: u64,
    /// Who has to wait after wrong passwords: since when, and how often they tried meanwhile.
    held: BTreeMap<String, (Instant, u64)>,
}

impl Refusals {
    pub fn new(spool: Spool) -> Self {
        Self { spool, since: Instant::now(), told: 0, untold: 0, held: BTreeMap::new() }
    }

    /// Records a refusal. Never the password: only who, where and why.
    pub fn record(&mut self, name: &[u8], nas: IpAddr, why: RejectReason, now: Instant) {
        self.settle(now);
        if self.told >= TOLD_LIMIT {
            self.untold += 1;
            return;
        }
        self.told += 1;
        self.tell(&readable(name), nas, why);
    }

    fn tell(&self, name: &str, nas: IpAddr, why: RejectReason) {
        self.spool.audit("radius_refused", format!("\"{name}\" by way of {}: {}: {}", nas.to_canonical(), why.label(), why.sentence()));
    }

    /// Records a try that was not looked at: the first is told, those that follow within a minute are counted.
    pub fn hold_off(&mut self, name: &[u8], nas: IpAddr, now: Instant) {
        self.settle(now);
        let (name, has_room) = (readable(name), self.held.len() < HELD_LIMIT && self.told < TOLD_LIMIT);
        match self.held.get_mut(&name) {
            Some((_, count)) => *count += 1,
            None if has_room => {
                self.told += 1;
                self.tell(&name, nas, RejectReason::HeldOff);
                self.held.insert(name, (now, 0));
            }
            None => self.untold += 1,
        }
    }

    /// Ends a period that is over, and tells how many were left out of it.
    pub fn settle(&mut self, now: Instant) {
        let spool = &self.spool;
        self.held.retain(|name, (since, count)| {
            let stays = now.duration_since(*since) < HELD_PERIOD;
            if !stays && *count > 0 {
                spool.audit("radius_refused", format!("\"{name}\": {count} more tries were not looked at within a minute"));
            }
            stays
        });
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
        self.untold > 0 || !self.held.is_empty()
    }
}

/// Names come from anybody.
fn readable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(NAME_LIMIT_CHARS).collect()
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
        assert_eq!(due[0].report.detail, "\"ada\" by way of 10.1.250.2: wrong_password: the password is wrong");
        assert!(due.last().unwrap().report.detail.starts_with("995 more"), "{due:?}");
    }

    #[test]
    fn who_is_guessed_at_is_told_once_and_once_more_how_often() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), "radius", Arc::new(TrustedClock::new(UnixMillis(0))));
        let mut refusals = Refusals::new(spool.clone());
        let now = Instant::now();
        (0..500).for_each(|millis| refusals.hold_off(b"ada", [10, 1, 250, 2].into(), now + Duration::from_millis(millis * 100)));
        assert!(refusals.is_due());
        refusals.settle(now + HELD_PERIOD);
        assert!(!refusals.is_due() && spool.flush());
        let told: Vec<String> = Outbox::open(dir.path(), MASTER, None).due().into_iter().map(|due| due.report.detail).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("\"ada\" by way of 10.1.250.2: held_off: there were too many"), "{told:?}");
        assert_eq!(told[1], "\"ada\": 499 more tries were not looked at within a minute");
        (0..9000).for_each(|number| refusals.hold_off(format!("user{number}").as_bytes(), [10, 1, 250, 2].into(), now + HELD_PERIOD));
        assert!(refusals.held.len() <= HELD_LIMIT && refusals.untold > 8000);
    }
}
