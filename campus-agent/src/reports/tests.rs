use super::*;
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::syslog::Severity;
use holdfast_proto::words::UnixMillis;
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn open(state_dir: &Path, process: &str) -> Spool {
    Spool::open(state_dir, process, Arc::new(TrustedClock::new(UnixMillis(0))))
}

fn details(due: &[Delivery]) -> Vec<&str> {
    due.iter().map(|delivery| delivery.report.detail.as_str()).collect()
}

#[test]
fn reports_survive_a_restart_until_they_are_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "uplink");
    spool.raise("snapshot_refused", "a flipped byte");
    spool.raise("uplink_cut_off", "the cable");
    drop(spool);
    let spool = open(dir.path(), "uplink");
    spool.raise("disk_failed", "no room");
    assert!(spool.flush());
    let mut outbox = Outbox::open(dir.path(), MASTER, None);
    let due = outbox.due();
    assert_eq!(details(&due), ["a flipped byte", "the cable", "no room"]);
    assert_eq!(due[2].report.severity, Severity::Error);
    assert_eq!((due[0].number, due[1].number, due[2].number), (1, 2, 1));
    assert_ne!(due[1].log, due[2].log, "no number is used twice");
    outbox.delivered(&due[0].log.0, 1);
    outbox.delivered(&[7; 16], 2);
    outbox.keep();
    assert_eq!(spool.waiting(), 2);
    assert_eq!(details(&Outbox::open(dir.path(), MASTER, None).due()), ["the cable", "no room"]);
}

#[test]
fn the_spools_of_all_processes_are_merged_in_their_own_order() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TrustedClock::new(UnixMillis(0)));
    let spools = ["dns", "radius"].map(|process| Spool::open(dir.path(), process, Arc::clone(&clock)));
    for number in 0..30 {
        spools[number % 2].raise("noise", number.to_string());
        spools[1].audit("radius_refused", format!("person {number}"));
    }
    assert!(spools.iter().all(Spool::flush));
    let due = Outbox::open(dir.path(), MASTER, None).due();
    assert_eq!(due.len(), 60);
    assert!(due.is_sorted_by_key(|delivery| delivery.report.at_ms));
    for (process, kind, count) in [("dns", Kind::Event, 15), ("radius", Kind::Event, 15), ("radius", Kind::Audit, 30)] {
        let numbers: Vec<u64> = due.iter().filter(|delivery| delivery.process == process && delivery.kind == kind).map(|delivery| delivery.number).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{process}");
    }
}

#[test]
fn one_that_the_receiver_left_out_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "uplink");
    (0..3).for_each(|number| spool.raise("noise", number.to_string()));
    assert!(spool.flush());
    let mut outbox = Outbox::open(dir.path(), MASTER, None);
    let due = outbox.due();
    outbox.delivered(&due[0].log.0, 1);
    outbox.delivered(&due[0].log.0, 3);
    assert!(outbox.due().is_empty(), "it is on its way");
    outbox.rewind();
    assert_eq!(details(&outbox.due()), ["1", "2"]);
}

#[test]
fn what_one_receiver_took_waits_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "uplink");
    spool.raise("noise", "one");
    assert!(spool.flush());
    let (mut master, mut syslog) = (Outbox::open(dir.path(), MASTER, None), Outbox::open(dir.path(), SYSLOG, None));
    assert_eq!(master.due().len(), 1);
    master.taken(1);
    master.keep();
    drop(spool);
    let spool = open(dir.path(), "uplink");
    spool.raise("noise", "two");
    assert!(spool.flush());
    assert_eq!(details(&syslog.due()), ["one", "two"]);
    assert_eq!(details(&master.due()), ["two"]);
    syslog.taken(2);
    syslog.keep();
    Outbox::close(dir.path(), SYSLOG);
    drop(spool);
    let spool = open(dir.path(), "uplink");
    spool.raise("noise", "three");
    assert!(spool.flush());
    assert_eq!(details(&master.due()), ["three"]);
}

#[test]
fn a_disk_that_takes_nothing_costs_durability_and_not_the_report() {
    let dir = tempfile::tempdir().unwrap();
    // A file where the folder should be stands for the full disk.
    fs::write(dir.path().join("reports"), "").unwrap();
    let spool = open(dir.path(), "uplink");
    spool.raise("disk_failed", "no room");
    assert!(!spool.flush());
    let mut outbox = Outbox::open(dir.path(), MASTER, Some(spool.clone()));
    let due = outbox.due();
    assert_eq!(details(&due), ["no room"]);
    assert!(outbox.due().is_empty(), "it is on its way");
    fs::remove_file(dir.path().join("reports")).unwrap();
    while !spool.flush() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut outbox = Outbox::open(dir.path(), MASTER, Some(spool));
    let again = outbox.due();
    assert_eq!((again[0].log, again[0].number, again.len()), (due[0].log, 1, 1), "the receiver knows it by its number");
}

#[test]
fn a_flood_is_bounded_and_counted_and_leaves_the_audit_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "radius");
    spool.audit("command_run", "by ada");
    let line = "x".repeat(1900);
    for _ in 0..40 {
        (0..100).for_each(|_| spool.raise("noise", line.as_str()));
        assert!(spool.flush());
    }
    assert!(spool.dropped() > 0);
    let bytes: u64 = fs::read_dir(dir.path().join("reports/radius/event")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 5 << 20, "{bytes}");
    let mut outbox = Outbox::open(dir.path(), MASTER, None);
    let mut names = Vec::new();
    loop {
        let due = outbox.due();
        if due.is_empty() {
            break;
        }
        names.extend(due.iter().map(|delivery| delivery.report.event.clone()));
        outbox.taken(due.len());
    }
    assert_eq!(names[0], "command_run");
    assert!(names.iter().any(|name| name == "reports_dropped"));
    assert!(names.len() as u64 + spool.dropped() >= 4001);
}

#[test]
fn spools_are_for_their_owner_and_group_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), "dns");
    spool.raise("noise", "");
    assert!(spool.flush());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = dir.path().join("reports/dns/event");
    assert_eq!(mode(&folder) & 0o027, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()) & 0o137, 0);
    }
}
