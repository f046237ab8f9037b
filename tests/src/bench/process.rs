//! What the kernel knows of a process: the memory it holds and the time it has had.

use crate::process::children;
use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// In what the kernel counts time for us: USER_HZ, 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Memory in MiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// What is its own, and its share of what it shares.
    pub proportional: f64,
    /// All of its pages in RAM.
    pub resident: f64,
    /// The most that was ever resident.
    pub peak: f64,
}

/// A process and those that it started: an agent is several.
fn family(pid: u32) -> Vec<u32> {
    [pid].into_iter().chain(children(pid).into_iter().flat_map(family)).collect()
}

/// What a process and those that it started hold now.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let parts = family(pid).into_iter().map(memory_of).collect::<Result<Vec<Memory>>>()?;
    let sum = |part: fn(&Memory) -> f64| parts.iter().map(part).sum();
    Ok(Memory { proportional: sum(|memory| memory.proportional), resident: sum(|memory| memory.resident), peak: sum(|memory| memory.peak) })
}

fn memory_of(pid: u32) -> Result<Memory> {
    let rollup = read(pid, "smaps_rollup")?;
    let status = read(pid, "status")?;
    Ok(Memory { proportional: mebibytes(&rollup, "Pss:")?, resident: mebibytes(&rollup, "Rss:")?, peak: mebibytes(&status, "VmHWM:")? })
}

/// What a process and those that it started have had of the cores, in user and kernel.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    family(pid).into_iter().map(cpu_time_of).sum()
}

fn cpu_time_of(pid: u32) -> Result<Duration> {
    let text = read(pid, "stat")?;
    // The name stands in brackets and may hold blanks; utime and stime are the 14th and 15th field of all (proc(5)).
    let (_, rest) = text.rsplit_once(") ").context("/proc has no name in stat")?;
    let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>().context("/proc has no times in stat")?;
    Ok(TICK * ticks)
}

fn read(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

fn mebibytes(text: &str, field: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)).and_then(|rest| rest.split_whitespace().next());
    let kibibytes: f64 = value.with_context(|| format!("/proc says no {field}"))?.parse()?;
    Ok(kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.proportional > 0.5 && memory.proportional <= memory.resident && memory.resident <= memory.peak * 1.5, "{memory:?}");
        let begun = std::time::Instant::now();
        while cpu_time(std::process::id()).unwrap() < TICK * 2 && begun.elapsed() < Duration::from_secs(5) {}
        assert!(cpu_time(std::process::id()).unwrap() >= TICK * 2);
    }
}
