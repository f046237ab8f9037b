//! The agent's disk, attacked: what was not signed, or not for this, is never served, and a kill at any point loses nothing.

use crate::serving::{NORTH, eventually, names, status, two_campuses};
use holdfast_agent::store::{best_state, store_key};
use holdfast_lab::cables::{Campus, Place};
use holdfast_lab::clients::counting::Counting;
use holdfast_lab::lab::{Lab, Part};
use holdfast_lab::process::children;
use holdfast_proto::snapshot::file::{BaseFile, encode_base};
use holdfast_proto::snapshot::{Builder, Change, Feed, RowRef, Rows, SigningKey, Stamp, State, Trust, encode_row};
use holdfast_proto::words::{DomainName, Epoch, UnixMillis};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The disk of the agent north, and what an attacker has got hold of besides.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn feed(&self, feed: Feed) -> PathBuf {
        self.folder.join("north/snapshots").join(feed.to_string())
    }

    /// The slot with the newer base, and the other one.
    fn slots(&self, feed: Feed) -> (PathBuf, PathBuf) {
        let (a, b) = (self.feed(feed).join("a"), self.feed(feed).join("b"));
        let age = |slot: &PathBuf| fs::metadata(slot.join("base")).and_then(|meta| meta.modified()).ok();
        if age(&a) > age(&b) { (a, b) } else { (b, a) }
    }

    fn flip(&self, file: &Path, at: usize) {
        let mut bytes = fs::read(file).unwrap();
        bytes[at] ^= 0x40;
        fs::write(file, bytes).unwrap();
    }

    /// A generation of a later epoch with the same rows, sealed by this key, in the slot that is not the newest.
    fn forge(&self, feed: Feed, key: &SigningKey) {
        let trust = Trust::read(&fs::read(self.folder.join("north/identity/trust")).unwrap()).unwrap();
        let stamp = Stamp { institution: trust.draft().institution, epoch: Epoch(9), issued_at: UnixMillis(u64::MAX / 2), soft_age_s: 0, hard_age_s: 0 };
        let (newest, other) = self.slots(feed);
        let base = fs::read(newest.join("base")).unwrap();
        let store_key = store_key(&self.folder.join("north"));
        let front = BaseFile::decode(&base[..BaseFile::front_len(&base).unwrap() as usize], &store_key).unwrap();
        let rows = Rows::new(&base[front.rows_at as usize..]).map(|row| row.unwrap()).map(|row| Change::put(row.table, row.key, row.value.unwrap()));
        let (sealed, _, state) = State::empty(feed).compose(rows.collect()).unwrap().unwrap().seal(key, stamp).unwrap();
        // Even whoever has the box's own key, and so its MAC, cannot make it serve what nobody signed.
        let mut forged = Vec::new();
        encode_base(&sealed, state.rebased().unwrap().base(), &store_key, &mut forged).unwrap();
        fs::write(other.join("base"), forged).unwrap();
    }

    /// The rows of these names lead to another address, and nothing that the box looks at when it starts tells of it: the base
    /// is vouched for by the box's own key, and its head names the sum of the rows as they were.
    fn alter(&self, names: &[&str]) {
        let trust = Trust::read(&fs::read(self.folder.join("north/identity/trust")).unwrap()).unwrap();
        let (folder, key) = (self.feed(Feed::ZONE), store_key(&self.folder.join("north")));
        let state = best_state(&folder, Feed::ZONE, &trust.clone().into(), &key).0.rebased().unwrap();
        let (mut altered, mut found) = (Vec::new(), 0);
        for row in state.view().rows() {
            let row = row.unwrap();
            let mut value = row.value.unwrap().to_vec();
            if names.iter().any(|name| row.key.windows(name.len()).any(|part| part == name.as_bytes()))
                && let Some(at) = value.windows(3).position(|part| part == [10, 1, 4])
            {
                value[at + 1] = 9;
                found += 1;
            }
            encode_row(RowRef { value: Some(&value), ..row }, &mut altered).unwrap();
        }
        assert_eq!(found, names.len());
        let (mut builder, mut file) = (Builder::new(Feed::ZONE, state.view().epoch(), state.view().generation()), Vec::new());
        builder.push_rows(&altered).unwrap();
        encode_base(state.sealed().unwrap(), &builder.finish(state.base().head().sum.clone()), &key, &mut file).unwrap();
        let (newest, other) = self.slots(Feed::ZONE);
        fs::write(newest.join("base"), file).unwrap();
        [newest, other].into_iter().for_each(|slot| drop(fs::remove_file(slot.join("log"))));
    }

    fn put_back(&self, image: &str) {
        let snapshots = self.folder.join("north/snapshots");
        fs::remove_dir_all(&snapshots).unwrap();
        copy(&self.folder.join(image), &snapshots);
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// What is done to the disk, the event that tells of it, and how many of the four edits are served then.
type Attack = (&'static str, Option<&'static str>, usize, fn(&Disk));

const ATTACKS: [Attack; 7] = [
    ("nothing", None, 4, |_| ()),
    ("a byte of the log flipped", Some("snapshot_refused"), 3, |disk| {
        let log = disk.slots(Feed::ZONE).0.join("log");
        disk.flip(&log, fs::metadata(&log).unwrap().len() as usize - 40);
    }),
    ("the log cut", Some("snapshot_refused"), 3, |disk| {
        let log = disk.slots(Feed::ZONE).0.join("log");
        let len = fs::metadata(&log).unwrap().len();
        fs::File::options().write(true).open(log).unwrap().set_len(len - 9).unwrap();
    }),
    ("a byte of the base flipped", Some("snapshot_refused"), 4, |disk| disk.flip(&disk.slots(Feed::ZONE).0.join("base"), 700)),
    ("a newer base by a foreign key", Some("snapshot_refused"), 4, |disk| disk.forge(Feed::ZONE, &SigningKey::generate().unwrap().0)),
    ("newer people by the master's key", Some("snapshot_refused"), 4, |disk| {
        let key = fs::read(disk.folder.join("master/keys/signing.key")).unwrap();
        disk.forge(Feed::PEOPLE, &SigningKey::from_pkcs8(&key).unwrap());
    }),
    ("an older image of the disk", Some("snapshot_went_back"), 0, |disk| disk.put_back("old")),
];

#[test]
fn forged_or_torn_snapshot_is_refused() {
    let Some(mut lab) = two_campuses("a forged or torn snapshot is refused") else { return };
    let (admin, disk) = (lab.admin().unwrap(), Disk { folder: lab.folder().path().to_owned() });
    let snapshots = disk.folder.join("north/snapshots");
    copy(&snapshots, &disk.folder.join("old"));
    let edits: Vec<String> = (1..=4).map(|n| format!("edit{n}.uni.example")).collect();
    for (n, host) in edits.iter().enumerate() {
        admin.holdfast(&["host", "add", host, "--address", &format!("10.1.4.{}", 230 + n), "--wait"]).unwrap();
    }
    eventually("the floor is on disk", || {
        let knows_the_zone = |copy: &str| fs::read_to_string(disk.folder.join("north").join(copy)).is_ok_and(|floor| floor.contains("zone"));
        Ok(knows_the_zone("floor.a") || knows_the_zone("floor.b"))
    });
    std::thread::sleep(Duration::from_millis(2500));
    lab.stop(Part::Agent(NORTH)).unwrap();
    // From here on only the disk speaks.
    lab.stop(Part::Master).unwrap();
    copy(&snapshots, &disk.folder.join("good"));

    for (attack, event, served, act) in ATTACKS {
        disk.put_back("good");
        act(&disk);
        let before = fs::metadata(disk.folder.join("logs/north.log")).unwrap().len() as usize;
        lab.start(Part::Agent(NORTH)).unwrap();
        let found = edits.iter().filter(|host| names(lab.network(), NORTH, NORTH, host).unwrap().len() == 1).count();
        assert_eq!(found, served, "{attack}");
        assert_eq!(names(lab.network(), NORTH, NORTH, "darwin826.uni.example").unwrap(), ["10.1.4.10"], "{attack}: never silence");
        let log = || fs::read_to_string(disk.folder.join("logs/north.log")).unwrap().split_off(before);
        match event {
            // A process serves before it has said what it kept out.
            Some(event) => eventually(&format!("{attack}: {event} is raised"), || Ok(log().contains(event))),
            None => assert!(!log().contains("report raised"), "{attack}:\n{}", log()),
        }
        lab.stop(Part::Agent(NORTH)).unwrap();
    }
    // What waited is delivered when there is a master again, and the agent is brought up to date.
    lab.start(Part::Master).unwrap();
    lab.start(Part::Agent(NORTH)).unwrap();
    eventually("the edits are back", || Ok(names(lab.network(), NORTH, NORTH, &edits[3])?.len() == 1));
    eventually("the reports are delivered", || Ok(status(&lab, NORTH)["reports_waiting"] == 0));
}

/// A row that is not what was signed does not lead to the next generation's sum. The box says what it holds of each bucket,
/// gets the rows of those that differ, and not the whole snapshot.
#[test]
fn rows_that_went_astray_are_set_right_by_their_buckets() {
    let Some(mut lab) = two_campuses("rows that went astray are fetched by their buckets") else { return };
    let (admin, disk) = (lab.admin().unwrap(), Disk { folder: lab.folder().path().to_owned() });
    admin.holdfast(&["host", "add", "bystander.uni.example", "--address", "10.1.4.230", "--wait"]).unwrap();
    lab.stop(Part::Agent(NORTH)).unwrap();
    disk.alter(&["darwin826", "bystander"]);
    let before = fs::metadata(disk.folder.join("logs/north.log")).unwrap().len() as usize;
    lab.start(Part::Agent(NORTH)).unwrap();
    let asked = |lab: &_, name: &str| names(Lab::network(lab), NORTH, NORTH, &format!("{name}.uni.example")).unwrap();
    assert_eq!((asked(&lab, "darwin826"), asked(&lab, "bystander")), (vec!["10.9.4.10".to_owned()], vec!["10.9.4.230".to_owned()]), "nothing tells it yet");
    admin.holdfast(&["host", "set", "darwin826.uni.example", "--address", "10.1.4.231"]).unwrap();
    eventually("both are right", || Ok(asked(&lab, "darwin826") == ["10.1.4.231"] && asked(&lab, "bystander") == ["10.1.4.230"]));
    let log = fs::read_to_string(disk.folder.join("logs/north.log")).unwrap().split_off(before);
    assert!(log.contains("snapshot_refused") && log.contains("snapshot_mended"), "{log}");
    assert!(!log.contains("snapshot_fetched_whole"), "{log}");
    // What was mended is what it goes on from, now and after the next start.
    lab.stop(Part::Agent(NORTH)).unwrap();
    lab.start(Part::Agent(NORTH)).unwrap();
    admin.holdfast(&["host", "set", "bystander.uni.example", "--address", "10.1.4.232"]).unwrap();
    eventually("the next edit arrives", || Ok(asked(&lab, "bystander") == ["10.1.4.232"]));
    let log = fs::read_to_string(disk.folder.join("logs/north.log")).unwrap().split_off(before);
    assert_eq!(log.matches("snapshot_mended").count(), 1, "{log}");
    lab.run(Part::Agent(NORTH), &["verify"]).unwrap();
}

/// A box with a new disk fetches the whole snapshot. Its uplink is killed at half of it, and goes on from there.
#[test]
fn a_transfer_goes_on_where_it_was_when_the_uplink_was_killed() {
    let Some(mut lab) = two_campuses("a transfer that outlives the uplink") else { return };
    let (admin, folder) = (lab.admin().unwrap(), lab.folder().path().to_owned());
    lab.stop(Part::Agent(NORTH)).unwrap();
    // Names that do not pack well: too much for a frame, and slow enough to be caught in the middle.
    let draw = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let records: String = (0..40_000).map(|n| format!("h{:016x} A 198.18.{}.{}\n", draw(n), n / 250, n % 250)).collect();
    let zone = format!("$ORIGIN big.example.\n$TTL 1h\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nlast A 192.0.2.7\n{records}");
    let file = lab.folder().write("big/db.big.example", &zone).unwrap();
    admin.holdfast(&["import", file.to_str().unwrap()]).unwrap();
    eventually("the other box serves it", || Ok(names(lab.network(), Campus::South, Campus::South, "last.big.example")? == ["192.0.2.7"]));
    lab.stop(Part::Master).unwrap();
    let config = folder.join("master.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[control]\n", "[control]\nbulk_bytes_per_second = 150000\n")).unwrap();
    lab.start(Part::Master).unwrap();
    fs::remove_dir_all(folder.join("north/snapshots")).unwrap();
    let before = fs::metadata(folder.join("logs/north.log")).unwrap().len() as usize;
    lab.start(Part::Agent(NORTH)).unwrap();

    let arriving = folder.join("north/snapshots").join(Feed::ZONE.to_string()).join("arriving");
    eventually("some of it is there", || Ok(fs::metadata(&arriving).is_ok_and(|meta| meta.len() > 200_000)));
    let supervisor = lab.program(Part::Agent(NORTH)).unwrap().pid();
    kill(Pid::from_raw(process_of(supervisor, "uplink").expect("it runs")), Signal::SIGKILL).unwrap();
    eventually("all of it is there", || Ok(names(lab.network(), NORTH, NORTH, "last.big.example")? == ["192.0.2.7"]));
    let log = fs::read_to_string(folder.join("logs/north.log")).unwrap().split_off(before);
    let first_blocks: Vec<&str> =
        log.lines().filter(|line| line.contains("whole_snapshot_asked") && line.contains("feed=zone")).filter_map(first_block).collect();
    assert!(first_blocks.first() == Some(&"0") && first_blocks.last() > Some(&"0"), "{first_blocks:?}");
    assert!(!arriving.exists(), "what is done is not kept");
}

/// As a log line tells it.
fn first_block(line: &str) -> Option<&str> {
    line.split_once("first_block=")?.1.split_whitespace().next()
}

#[test]
fn kill_at_any_point_of_a_burst_leaves_a_whole_generation() {
    let Some(mut lab) = two_campuses("kill -9 in a burst of pushes") else { return };
    let kills = if crate::is_long() { 1000 } else { 100 };
    let (admin, stop) = (lab.admin().unwrap(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let burst = std::thread::spawn(move || {
        let mut edits = 0;
        while !stopped.load(Ordering::Relaxed) {
            let act =
                if edits % 2 == 0 { ["host", "add", "burst.uni.example", "--address", "10.1.4.240"].as_slice() } else { &["host", "del", "burst.uni.example"] };
            admin.holdfast(act).unwrap();
            edits += 1;
        }
        edits
    });
    let applied = |lab: &_, kind| status(lab, NORTH)["snapshots"][0][kind].as_u64().unwrap();
    let (mut highest, mut seed) = (0, 0x9e37_79b9_7f4a_7c15_u64);
    for kill in 0..kills {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(seed >> 57));
        let durable = applied(&lab, "durable");
        lab.kill(Part::Agent(NORTH)).unwrap();
        lab.start(Part::Agent(NORTH)).unwrap();
        let now = applied(&lab, "applied");
        assert!(now >= durable, "kill {kill}: {durable} was durable, {now} is served");
        assert_eq!(names(lab.network(), NORTH, NORTH, "darwin826.uni.example").unwrap(), ["10.1.4.10"], "kill {kill}");
        highest = highest.max(now);
    }
    stop.store(true, Ordering::Relaxed);
    let edits = burst.join().unwrap();
    assert!(highest > 10 && edits > 10, "there was a burst: {edits} edits, generation {highest}");
    eventually("the last edit arrives", || Ok(applied(&lab, "applied") == applied(&lab, "wanted") && applied(&lab, "durable") > highest.saturating_sub(1)));
    lab.run(Part::Agent(NORTH), &["verify"]).unwrap();
}

/// One process of the box dies; the others do not notice, and it is there again within a second.
#[test]
fn a_process_that_dies_takes_no_other_with_it() {
    let Some(mut lab) = two_campuses("a process of an agent that dies takes no other with it") else { return };
    let supervisor = lab.program(Part::Agent(NORTH)).unwrap().pid();
    let (network, admin) = (lab.network(), lab.admin().unwrap());
    let name: DomainName = "darwin826.uni.example".parse().unwrap();
    let dns = SocketAddr::from((NORTH.agent(), 53));
    for (n, process) in ["radius", "dhcp", "uplink"].into_iter().enumerate() {
        let counting = Counting::start(lab.at(Place::Host(NORTH)), dns, &name, Duration::from_millis(5));
        let before = process_of(supervisor, process).expect("it runs");
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        eventually("it was started anew", || Ok(process_of(supervisor, process).is_some_and(|now| now != before)));
        let host = format!("after-{process}.uni.example");
        admin.holdfast(&["host", "add", &host, "--address", &format!("10.1.4.{}", 180 + n)]).unwrap();
        eventually("the next edit arrives", || Ok(names(network, NORTH, NORTH, &host)? == [format!("10.1.4.{}", 180 + n)]));
        let tally = counting.stop().unwrap();
        assert_eq!(tally.lost(), 0, "while {process} died: {tally:?}");
    }
    let before = process_of(supervisor, "dns").expect("it runs");
    kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
    eventually("names are answered again", || Ok(names(network, NORTH, NORTH, "after-uplink.uni.example")? == ["10.1.4.182"]));
    assert!(lab.program(Part::Agent(NORTH)).unwrap().log().contains("service_died"));
}

/// The process that runs this command, of those that this one started.
pub fn process_of(supervisor: u32, command: &str) -> Option<i32> {
    let runs = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split('\0').any(|word| word == command));
    children(supervisor).into_iter().find(runs).map(|pid| pid as i32)
}
