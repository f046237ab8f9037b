//! An agent's accounting alone: killed at random, and on a disk that is full.

use crate::serving::NORTH;
use anyhow::Result;
use holdfast_agent::store::{ACCOUNTING, Handover};
use holdfast_lab::cables::{Network, Place};
use holdfast_lab::lone::Lone;
use holdfast_proto::radius::accounting::{Record, encode_request, is_reply_to};
use holdfast_proto::words::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SECRET: &str = "a-secret-of-the-lab";
/// Requests that a busy NAS has under way.
const OUTSTANDING: usize = 32;
/// How soon it asks again.
const AGAIN: Duration = Duration::from_millis(300);

/// A NAS with many sessions, and a memory of what it was answered for.
struct BusyNas {
    socket: UdpSocket,
    secret: Secret,
    next: u32,
    /// By identifier: the session, the request, and when it was sent last.
    waiting: BTreeMap<u8, (u32, Vec<u8>, Instant)>,
    answered: BTreeSet<u32>,
}

impl BusyNas {
    fn new(network: &Network) -> Result<Self> {
        let socket = network.at(Place::Nas(NORTH)).inside(|| UdpSocket::bind("0.0.0.0:0"))??;
        socket.connect((NORTH.agent(), 1813))?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        Ok(Self { socket, secret: Secret::new(SECRET), next: 0, waiting: BTreeMap::new(), answered: BTreeSet::new() })
    }

    /// Says something of a session: 1 is a start, 3 an interim word.
    fn request(&self, id: u8, status: u32, session: u32) -> Vec<u8> {
        let tlv = |kind: u8, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
        encode_request(id, &[tlv(40, &status.to_be_bytes()), tlv(44, session.to_string().as_bytes()), tlv(1, b"ada")].concat(), &self.secret)
    }

    /// Begins sessions for so long.
    fn work(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            while self.waiting.len() < OUTSTANDING {
                let id = (0..=u8::MAX).find(|id| !self.waiting.contains_key(id)).expect("there are more than are used");
                let request = self.request(id, 1, self.next);
                self.send(&request);
                self.waiting.insert(id, (self.next, request, Instant::now()));
                self.next += 1;
            }
            self.hear();
            let late: Vec<u8> = self.waiting.iter().filter(|(_, (.., sent))| sent.elapsed() > AGAIN).map(|(id, _)| *id).collect();
            for id in late {
                let (session, request, _) = self.waiting.remove(&id).expect("it waits");
                self.send(&request);
                self.waiting.insert(id, (session, request, Instant::now()));
            }
        }
    }

    /// Nobody may listen just now: then ICMP refuses it.
    fn send(&self, request: &[u8]) {
        let _ = self.socket.send(request);
    }

    fn hear(&mut self) {
        let mut reply = [0; 4096];
        let Ok(len) = self.socket.recv(&mut reply) else { return };
        if let Some((session, request, _)) = self.waiting.get(&reply[1])
            && is_reply_to(&reply[..len], request, &self.secret)
        {
            self.answered.insert(*session);
            self.waiting.remove(&reply[1]);
        }
    }

    /// Says one thing, and whether it was answered within two seconds.
    fn say(&self, id: u8, status: u32, session: u32) -> bool {
        let (request, deadline, mut reply) = (self.request(id, status, session), Instant::now() + Duration::from_secs(2), [0; 4096]);
        self.send(&request);
        while Instant::now() < deadline {
            if self.socket.recv(&mut reply).is_ok_and(|len| is_reply_to(&reply[..len], &request, &self.secret)) {
                return true;
            }
        }
        false
    }
}

/// The sessions that are on the disk.
fn kept(state_dir: &Path) -> BTreeSet<u32> {
    let mut handover = Handover::open(state_dir, ACCOUNTING);
    let mut kept = BTreeSet::new();
    while let Some((_, entries)) = handover.next(usize::MAX).unwrap() {
        let sessions = entries.iter().filter_map(|entry| Record::decode(&entry.payload).ok()?.told().session_id.parse::<u32>().ok());
        kept.extend(sessions);
    }
    kept
}

#[test]
fn no_record_that_was_answered_for_is_lost_when_the_service_is_killed_at_any_moment() {
    let Some(network) = crate::network("accounting that is killed") else { return };
    let kills = if crate::is_long() { 100 } else { 12 };
    let mut agent = Lone::radius(&network, NORTH, "", &[("10.1.4.20/32", SECRET)]).unwrap();
    agent.start().unwrap();
    let (mut nas, mut seed) = (BusyNas::new(&network).unwrap(), 0x9e37_79b9_7f4a_7c15_u64);
    for kill in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let before = nas.answered.len();
        nas.work(Duration::from_millis(100 + (seed >> 56)));
        agent.kill().unwrap();
        let kept = kept(agent.state_dir());
        let lost: Vec<&u32> = nas.answered.difference(&kept).collect();
        assert!(lost.is_empty(), "kill {kill}: {} of {} records that were answered for are gone: {lost:?}", lost.len(), nas.answered.len());
        assert!(nas.answered.len() > before, "kill {kill}: nobody was answered:\n{}", agent.log());
        agent.start().unwrap();
    }
    assert!(nas.answered.len() > 20 * kills, "{} were answered", nas.answered.len());
}

/// A disk of its own for the log, of so many kilobytes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(place: &Path, kilobytes: u32) -> Result<Self> {
        std::fs::create_dir_all(place)?;
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "none"]).arg(place).output()?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Ok(Self(place.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What the program still holds goes with it.
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_by_silence_and_nothing_that_was_answered_for_is_lost() {
    let Some(network) = crate::network("accounting on a full disk") else { return };
    let mut agent = Lone::radius(&network, NORTH, "", &[("10.1.4.20/32", SECRET)]).unwrap();
    let disk = SmallDisk::at(&agent.state_dir().join(ACCOUNTING), 64).unwrap();
    agent.start().unwrap();
    let mut nas = BusyNas::new(&network).unwrap();
    nas.work(Duration::from_millis(1500));
    let answered = nas.answered.len();
    assert!((50..2000).contains(&answered), "{answered}");
    assert!(!nas.say(200, 1, 1_000_000), "nothing fits any more");
    assert!(nas.answered.is_subset(&kept(agent.state_dir())));
    agent.wait_counted("holdfast_radius_accounting_silent_total{reason=\"disk_failed\"", 1).unwrap();
    // Room is made, as by somebody who looks after the disk.
    let made = Command::new("mount").args(["-o", "remount,size=4m"]).arg(&disk.0).status().unwrap();
    assert!(made.success());
    crate::serving::eventually("it is heard again", || Ok(nas.say(200, 1, 1_000_000)));
    nas.work(Duration::from_millis(300));
    agent.kill().unwrap();
    let kept = kept(agent.state_dir());
    assert!(nas.answered.is_subset(&kept) && kept.contains(&1_000_000));
}

#[test]
fn a_log_that_grows_full_keeps_what_begins_and_ends_longest() {
    let Some(network) = crate::network("accounting with a small budget") else { return };
    let mut agent = Lone::radius(&network, NORTH, "[radius]\naccounting_bytes = 65536\n", &[("10.1.4.20/32", SECRET)]).unwrap();
    agent.start().unwrap();
    let nas = BusyNas::new(&network).unwrap();
    let mut session = 0;
    while nas.say(session as u8, 3, session) {
        session += 1;
        assert!(session < 5000, "it never grows scarce");
    }
    assert!(nas.say(1, 1, 100_001) && nas.say(2, 2, 100_002), "a start and a stop are kept still");
    assert!(!nas.say(3, 3, 100_003), "an interim word is not");
    let kept = kept(agent.state_dir());
    assert!(kept.contains(&100_001) && kept.contains(&100_002) && !kept.contains(&100_003) && kept.len() == session as usize + 2);
}
