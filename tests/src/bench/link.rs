//! Cables: how soon a box knows that its line is dead, and how soon it has caught up once the cable is back.
//!
//! On real boxes and cables, in three ways: the far end goes down, the box's own end goes down, and the silent one, where a
//! switch in between forgets the port and nobody loses carrier. While the cable is out a host changes; the box has caught up
//! when it answers with that.

use super::edit::{ADDRESSES, HOST, Progress, Watch};
use super::figures::{Samples, Section};
use super::{Settings, go_on, tell};
use crate::cables::{Cable, Campus, End, Place};
use crate::folder::Folder;
use crate::lab::{Ground, Lab, Part, get, on_ground};
use crate::netns;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// How often the box is asked whether it has a line.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What takes longer is a fault.
const LIMIT: Duration = Duration::from_secs(30);
/// Between rounds: a line that stood for a while is a good one, and every round is to begin with such a one.
const STANDS: Duration = Duration::from_secs(2);
const NORTH: Campus = Campus::North;

/// Loss and return; nothing where the user may lay no cables.
pub(super) fn measure(settings: &Settings) -> Result<Vec<Section>> {
    if let Some(reason) = netns::hindrance() {
        tell(&format!("cables are left out: {reason}"));
        return Ok(Vec::new());
    }
    let mut lab = Lab::build(Ground::Cables, Folder::new("bench-link")?)?;
    lab.bring_up(&mut Progress)?;
    let admin = lab.admin()?;
    admin.holdfast(&["host", "add", HOST, "--address", &ADDRESSES[1].to_string()])?;
    let mut watch = on_ground(lab.at(Place::Agent(NORTH)), || Watch::new([lab.ground().dns(NORTH)].into_iter()))??;
    let mut lines = Vec::new();
    let mut number = 0;
    for (end, what) in [(End::Far, "far end down"), (End::Own, "own end down"), (End::Port, "switch port taken out, carrier stays")] {
        let (mut noticed, mut resynced) = (Samples::default(), Samples::default());
        for round in 1..=settings.rounds * 2 {
            go_on()?;
            tell(&format!("cable out and in, {what}, round {round} of {}", settings.rounds * 2));
            // Losses come at every phase of the keepalives.
            std::thread::sleep(STANDS + Duration::from_millis(number as u64 * 137 % 500));
            let cut = Instant::now();
            lab.network().unplug(Cable::Uplink(NORTH), end)?;
            wait_for_line(&lab, "cut off")?;
            noticed.push(milliseconds(cut.elapsed()));
            let address = ADDRESSES[number % ADDRESSES.len()];
            admin.holdfast(&["host", "set", HOST, "--address", &address.to_string()])?;
            number += 1;
            // Somebody fetches a ladder; the box must not have given up meanwhile.
            std::thread::sleep(STANDS);
            let back = std::thread::scope(|scope| {
                let watching = scope.spawn(|| watch.until_all_serve(address, LIMIT));
                let plugged = Instant::now();
                lab.network().plug_in(Cable::Uplink(NORTH))?;
                let served = watching.join().map_err(|_| anyhow::anyhow!("the watch fell over"))??;
                anyhow::Ok(served[0].saturating_duration_since(plugged))
            })?;
            resynced.push(milliseconds(back));
            wait_for_line(&lab, "connected")?;
        }
        lines.push(noticed.line(format!("{what}: until the box knows"), "ms"));
        lines.push(resynced.line("put back: until it answers with what changed meanwhile", "ms"));
    }
    lab.stop_all()?;
    Ok(vec![Section { title: "A campus's uplink goes and comes back (namespaces and cables, real programs)".into(), lines }])
}

fn wait_for_line(lab: &Lab, wanted: &str) -> Result<()> {
    let begun = Instant::now();
    let address = lab.ground().status(Part::Agent(NORTH));
    loop {
        let answer = on_ground(lab.at(Place::Agent(NORTH)), || get(address, "/status"))??;
        let body = answer.split_once("\r\n\r\n").context("the box's status page has no body")?.1;
        let status: serde_json::Value = serde_json::from_str(body)?;
        if status["line"] == wanted {
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "the box's line is not \"{wanted}\" after {LIMIT:?}: {status}");
        std::thread::sleep(LOOK_EVERY);
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
