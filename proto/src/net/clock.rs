//! Time that a wrong clock cannot break. A campus box may have no battery behind its clock and no NTP: it may wake in 1970.
//!
//! Trusted time = the latest signed time that was ever seen (kept on disk as a floor) + the time since then, suspend
//! included. It may lag, which errs towards "still valid"; it never runs back; the wall clock has no part in it. Nothing
//! that serves asks it: only TLS with the master and the age that people are shown.

use crate::words::UnixMillis;
use nix::time::{ClockId, clock_gettime};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// No signed time of ours is older than this: 2026-11-01, when the formats were fixed.
const EARLIEST: UnixMillis = UnixMillis(1_793_491_200_000);

/// The trusted time of one process.
#[derive(Debug)]
pub struct TrustedClock(Mutex<Learned>);

#[derive(Debug, Clone, Copy)]
struct Learned {
    time: UnixMillis,
    at_boot_ms: u64,
}

impl TrustedClock {
    /// Starts from the floor that was kept on disk.
    pub fn new(floor: UnixMillis) -> Self {
        Self(Mutex::new(Learned { time: floor.max(EARLIEST), at_boot_ms: since_boot_ms() }))
    }

    /// Learns a signed or authenticated time; an older one teaches nothing.
    pub fn learn(&self, time: UnixMillis) {
        let at_boot_ms = since_boot_ms();
        let mut learned = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if time > learned.at(at_boot_ms) {
            *learned = Learned { time, at_boot_ms };
        }
    }

    /// Now, at the earliest.
    pub fn now(&self) -> UnixMillis {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).at(since_boot_ms())
    }
}

impl Learned {
    fn at(self, boot_ms: u64) -> UnixMillis {
        UnixMillis(self.time.0.saturating_add(boot_ms.saturating_sub(self.at_boot_ms)))
    }
}

/// Milliseconds since the kernel started, suspend included.
pub fn since_boot_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    now.as_millis() as u64
}

/// Which boot of this machine it is, by its kernel's number of it; zeros where there is none to be had.
pub fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or_default().to_be_bytes()
}

impl TimeProvider for TrustedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.now().0)))
    }
}

/// The wall clock of the master, who has nobody to ask; but never before any time of ours. What is signed or judged while the
/// clock stands in 1970 would be neither valid then nor later.
#[derive(Debug, Clone, Copy)]
pub struct WallClock;

impl WallClock {
    /// Now.
    pub fn now(self) -> UnixMillis {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(wall.as_millis() as u64).max(EARLIEST)
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.now().0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_learned_forwards_only() {
        let clock = TrustedClock::new(UnixMillis(0));
        assert!(clock.now() >= EARLIEST);
        let later = UnixMillis(EARLIEST.0 + 1_000_000);
        clock.learn(later);
        assert!(clock.now() >= later);
        clock.learn(EARLIEST);
        assert!(clock.now() >= later);
    }
}
