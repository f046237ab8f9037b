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
/// The same of a machine that nobody knows: it asks again every minute, for ever.
const MACHINE_PERIOD: Duration = Duration::from_secs(3600);
/// How many names they are gathered for; those of others are counted with the rest.
const HELD_LIMIT: usize = 256;
/// Longer names are cut.
const NAME_LIMIT_CHARS: usize = 64;

/// What one socket's loop has refused.
#[derive(Debug)]
pub(super) struct Refusals {
    spool: Spool,
    since: Instant,
    told: u32,
    untold: u64,
    /// Whose tries are gathered: until when, why they are refused, and how often they tried since they were told of.
    held: BTreeMap<String, Gathered>,
}

/// Tries of one name.
#[derive(Debug)]
struct Gathered {
    until: Instant,
    why: RejectReason,
    count: u64,
}

/// How long tries that are refused so are gathered; nothing where each counts for itself.
fn period(why: RejectReason) -> Option<Duration> {
    match why {
        RejectReason::HeldOff => Some(HELD_PERIOD),
        RejectReason::UnknownMachine | RejectReason::NoMacAuthentication | RejectReason::OtherMachine => Some(MACHINE_PERIOD),
        _ => None,
    }
}

impl Refusals {
    pub fn new(spool: Spool) -> Self {
        Self { spool, since: Instant::now(), told: 0, untold: 0, held: BTreeMap::new() }
    }

    /// Records a refusal. Never the password: only who, where and why. What comes again and again is told once, and then counted.
    pub fn record(&mut self, name: &[u8], nas: IpAddr, why: RejectReason, now: Instant) {
        self.settle(now);
        let name = readable(name);
        if let Some(gathered) = self.held.get_mut(&name).filter(|gathered| gathered.why == why) {
            gathered.count += 1;
            return;
        }
        let period = period(why);
        if self.told >= TOLD_LIMIT || (period.is_some() && self.held.len() >= HELD_LIMIT) {
            self.untold += 1;
            return;
        }
        self.told += 1;
        self.tell(&name, nas, why);
        if let Some(period) = period
            && let Some(before) = self.held.insert(name.clone(), Gathered { until: now + period, why, count: 0 })
        {
            self.sum_up(&name, &before);
        }
    }

    fn sum_up(&self, name: &str, gathered: &Gathered) {
        if gathered.count > 0 {
            self.spool.audit("radius_refused", format!("\"{name}\": {}: {} more tries since", gathered.why.label(), gathered.count));
        }
    }

    fn tell(&self, name: &str, nas: IpAddr, why: RejectReason) {
        self.spool.audit("radius_refused", format!("\"{name}\" by way of {}: {}: {}", nas.to_canonical(), why.label(), why.sentence()));
    }

    /// Ends a period that is over, and tells how many were left out of it.
    pub fn settle(&mut self, now: Instant) {
        let over: Vec<String> = self.held.iter().filter(|(_, gathered)| gathered.until <= now).map(|(name, _)| name.clone()).collect();
        for name in over {
            if let Some(gathered) = self.held.remove(&name) {
                self.sum_up(&name, &gathered);
            }
        }
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
        (0..500).for_each(|millis| refusals.record(b"ada", [10, 1, 250, 2].into(), RejectReason::HeldOff, now + Duration::from_millis(millis * 100)));
        assert!(refusals.is_due());
        refusals.settle(now + HELD_PERIOD);
        assert!(!refusals.is_due() && spool.flush());
        let told: Vec<String> = Outbox::open(dir.path(), MASTER, None).due().into_iter().map(|due| due.report.detail).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("\"ada\" by way of 10.1.250.2: held_off: there were too many"), "{told:?}");
        assert_eq!(told[1], "\"ada\": held_off: 499 more tries since");
        (0..9000).for_each(|number| refusals.record(format!("user{number}").as_bytes(), [10, 1, 250, 2].into(), RejectReason::HeldOff, now + HELD_PERIOD));
        assert!(refusals.held.len() <= HELD_LIMIT && refusals.untold > 8000);
    }

    #[test]
    fn a_camera_that_asks_every_minute_leaves_room_for_people() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), "radius", Arc::new(TrustedClock::new(UnixMillis(0))));
        let (mut refusals, now, nas) = (Refusals::new(spool.clone()), Instant::now(), [10, 1, 250, 2].into());
        for minute in 0..60 {
            refusals.record(b"020000000009", nas, RejectReason::UnknownMachine, now + Duration::from_secs(60 * minute));
        }
        refusals.record(b"ada", nas, RejectReason::WrongPassword, now + MACHINE_PERIOD);
        assert!(spool.flush());
        let told: Vec<String> = Outbox::open(dir.path(), MASTER, None).due().into_iter().map(|due| due.report.detail).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(told[1], "\"020000000009\": unknown_machine: 59 more tries since");
    }
}
