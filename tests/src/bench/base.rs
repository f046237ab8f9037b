//! The agent's store by itself: how long a look-up takes beside a `HashMap`, and a durable change beside a bare append.

use super::figures::{Samples, Section};
use super::store::{self, Host};
use super::{Settings, go_on, tell};
use crate::folder::Folder;
use anyhow::{Context, Result};
use holdfast_agent::store::{Identity, Keeper, feed_dir, store_key};
use holdfast_proto::dns::NODE;
use holdfast_proto::snapshot::{Change, Feed, View};
use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Look-ups for one sample: some milliseconds.
const LOOKUPS: u32 = 100_000;
/// Durable changes.
const CHANGES: usize = 300;
/// A step through all hosts that comes to each once and never near the one before: a prime above their number.
const STRIDE: u64 = 2_147_483_647;

/// Random look-ups and durable changes.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    tell(&format!("look-ups among {} names", settings.hosts));
    let folder = Folder::new("bench-base")?;
    store::write(folder.path(), settings.hosts)?;
    let trust = Identity::read(folder.path())?.trust;
    let (feed, key) = (Feed::ZONE, store_key(folder.path()));
    let (keeper, _) = Keeper::open(&feed_dir(folder.path(), feed), &folder.path().join("run"), feed, &trust.into(), &key)?;
    let view = keeper.state().view().clone();
    (0..view.base().parts()).try_for_each(|part| view.base().load(part))?;
    let names: Vec<Vec<u8>> = (0..settings.hosts).map(|host| Host(host).name().wire().to_vec()).collect();
    let map: HashMap<Vec<u8>, Vec<u8>> = names.iter().filter_map(|name| Some((name.clone(), view.get(NODE, name).ok()??.to_vec()))).collect();
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..settings.rounds * 4 {
        go_on()?;
        ours.push(nanoseconds_each(&names, |name| found(&view, name)));
        theirs.push(nanoseconds_each(&names, |name| map.get(name).is_some_and(|row| !row.is_empty())));
    }
    drop(keeper);
    let mut lines = vec![ours.line("random look-up, base in memory", "ns"), theirs.line("the same in std::collections::HashMap", "ns")];
    lines.extend(changes(folder.path())?);
    Ok(vec![Section { title: format!("Store: {} rows; one row changed and durable", view.row_count()), lines }])
}

fn found(view: &View, name: &[u8]) -> bool {
    matches!(view.get(NODE, name), Ok(Some(row)) if !row.is_empty())
}

fn nanoseconds_each(names: &[Vec<u8>], look_up: impl Fn(&[u8]) -> bool) -> f64 {
    let (begun, mut at, mut hits) = (Instant::now(), 0u64, 0u32);
    for _ in 0..LOOKUPS {
        at = (at + STRIDE) % names.len() as u64;
        hits += u32::from(look_up(black_box(&names[at as usize])));
    }
    assert_eq!(hits, LOOKUPS, "every name is there");
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}

/// A generation of one row, proven, kept and synced, in turns with a bare append and fdatasync of as many bytes.
fn changes(state_dir: &Path) -> Result<[super::figures::Line; 2]> {
    let publisher = store::Publisher::new()?;
    let folder = state_dir.join("changes");
    std::fs::create_dir_all(folder.join("run"))?;
    let (mut keeper, _) =
        Keeper::open(&feed_dir(&folder, Feed::ZONE), &folder.join("run"), Feed::ZONE, &publisher.trust().clone().into(), &store_key(&folder))?;
    let mut raw = File::create(folder.join("raw"))?;
    let mut state = publisher.publish(&keeper.state().clone(), vec![Change::put(NODE, "first", vec![0; 44])])?;
    keeper.take_frame(publisher.trust(), &state.0, false, &state.1)?;
    let (mut ours, mut bare) = (Samples::default(), Samples::default());
    for change in 0..CHANGES {
        go_on()?;
        keeper.settle()?;
        state = publisher.publish(&state.2, vec![Change::put(NODE, format!("row {}", change % 50), change.to_string())])?;
        let begun = Instant::now();
        let kept = keeper.take_frame(publisher.trust(), &state.0, false, &state.1)?;
        ours.push(microseconds(begun.elapsed()));
        kept.disk_error.map_or(Ok(()), Err).context("the disk")?;
        let bytes = vec![0; state.0.len() + state.1.len() + 49];
        let begun = Instant::now();
        raw.write_all(&bytes)?;
        raw.sync_data()?;
        bare.push(microseconds(begun.elapsed()));
    }
    Ok([ours.line("one row changed: verified, applied, told and synced", "µs"), bare.line("append and fdatasync of as many bytes, nothing else", "µs")])
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
