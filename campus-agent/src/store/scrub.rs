//! Beside the service, at the lowest priority: reads a base into memory, checking it, so that a disk that dies stops nothing
//! and damage is found before anybody asks for it.

use holdfast_proto::snapshot::Base;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// A base is held in memory when twice its size is free; a larger one stays on the disk but for what is asked for.
const FREE_SHARE: u64 = 2;
/// Parts between two pauses, and the pause: a few hundred megabytes a second at most, on a machine that has nothing else to do.
const PARTS_AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(2);

/// Starts a thread that ends when the base is in memory, when nobody holds it any more, or when it is too large.
pub(super) fn start(base: Arc<Base>) {
    if base.parts() == 0 || base.head().rows_len.saturating_mul(FREE_SHARE) > free_bytes().unwrap_or(u64::MAX) {
        return;
    }
    let held = Arc::downgrade(&base);
    drop(base);
    let work = move || {
        let mut part = 0;
        loop {
            let Some(base) = held.upgrade() else { return };
            let end = (part + PARTS_AT_ONCE).min(base.parts());
            if (part..end).any(|part| base.load(part).is_err()) || end == base.parts() {
                return;
            }
            part = end;
            drop(base);
            std::thread::sleep(PAUSE);
        }
    };
    // A box without a thread to spare reads as it is asked.
    drop(std::thread::Builder::new().name("scrub".into()).spawn(work));
}

fn free_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
