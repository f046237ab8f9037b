//! What a disk may do to us: be cut, flipped, filled, set back. Whatever it does, what is served was signed and whole.

use super::*;
use holdfast_proto::snapshot::{Change, Family, Feed, Grant, Institution, Kind, SigningKey, Stamp, State, Table, Trust, TrustDraft};
use holdfast_proto::words::{Epoch, Generation, UnixMillis};
use std::path::PathBuf;
use tempfile::TempDir;

const T: Table = Table(2);
const INSTITUTION: Institution = Institution(*b"uni.example-0001");

/// A publisher with everything it ever published, and an agent's folder.
struct Bench {
    dir: TempDir,
    trust: Trust,
    key: SigningKey,
    published: Vec<(Vec<u8>, Vec<u8>, State)>,
}

impl Bench {
    fn new() -> Self {
        let (root, key) = (SigningKey::generate().unwrap().0, SigningKey::generate().unwrap().0);
        let draft = TrustDraft {
            version: 1,
            institution: INSTITUTION,
            name: "test".to_owned(),
            epoch: Epoch(1),
            threshold: 1,
            roots: vec![root.public()],
            grants: vec![Grant { key: key.public(), kind: Kind::Zone, family: Family::Whole }],
            authorities: vec![],
        };
        Self { dir: tempfile::tempdir().unwrap(), trust: draft.sign(&[&root]).unwrap(), key, published: vec![] }
    }

    fn open(&self) -> Opening {
        Keeper::open(self.dir.path(), Feed::ZONE, &self.trust).unwrap()
    }

    fn publish(&mut self) -> (Vec<u8>, Vec<u8>) {
        let last = self.published.last().map_or_else(|| State::empty(Feed::ZONE), |(_, _, state)| state.clone());
        let number = last.view().generation().0 + 1;
        let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(number), soft_age_s: 0, hard_age_s: 0 };
        let changes = vec![Change::put(T, "counter", number.to_string()), Change::put(T, format!("row {number}"), "x")];
        let (sealed, payload, state) = last.compose(changes).unwrap().unwrap().seal(&self.key, stamp);
        self.published.push((sealed.bytes().to_vec(), payload.clone(), state));
        (sealed.bytes().to_vec(), payload)
    }

    /// Publishes and keeps this many generations.
    fn fill(&mut self, keeper: &mut Keeper, count: usize) {
        for _ in 0..count {
            let (sealed, payload) = self.publish();
            let kept = keeper.take_frame(&self.trust, &sealed, &payload).unwrap();
            assert_eq!(kept.applied, kept.durable);
        }
    }

    /// What is served is exactly what was published under that number.
    fn assert_exact(&self, opening: &Opening) -> u64 {
        let generation = opening.keeper.state().view().generation().0;
        if generation > 0 {
            assert_eq!(opening.keeper.state().digest(), self.published[generation as usize - 1].2.digest());
            assert_eq!(opening.reader.current().get(T, b"counter"), Some(generation.to_string().as_bytes()));
        }
        generation
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Generations 1 to 6: base 1 in slot a with frame 2 in its log, base 2 in slot b with frames 3 to 6.
fn six() -> Bench {
    let mut bench = Bench::new();
    let mut keeper = bench.open().keeper;
    bench.fill(&mut keeper, 6);
    bench
}

#[test]
fn what_was_kept_is_served_after_a_restart() {
    let bench = six();
    let opening = bench.open();
    assert_eq!((bench.assert_exact(&opening), opening.findings), (6, vec![]));
}

#[test]
fn a_log_cut_or_flipped_anywhere_leads_to_an_earlier_whole_generation() {
    let bench = six();
    let log = std::fs::read(bench.file("b/log")).unwrap();
    for at in (0..log.len()).step_by(7) {
        std::fs::write(bench.file("b/log"), &log[..at]).unwrap();
        let opening = bench.open();
        assert_eq!(bench.assert_exact(&opening), 2 + (at / (log.len() / 4)) as u64, "cut at {at}");
        let mut flipped = log.clone();
        flipped[at] ^= 0x20;
        std::fs::write(bench.file("b/log"), &flipped).unwrap();
        let opening = bench.open();
        assert_eq!(bench.assert_exact(&opening), 2 + (at / (log.len() / 4)) as u64, "flipped at {at}");
        assert!(!opening.findings.is_empty(), "flipped at {at}");
    }
}

#[test]
fn a_damaged_base_costs_nothing_while_the_one_before_is_there() {
    let bench = six();
    let base = std::fs::read(bench.file("b/base")).unwrap();
    let logs = ["a/log", "b/log"].map(|name| std::fs::read(bench.file(name)).unwrap());
    let old = std::fs::read(bench.file("a/base")).unwrap();
    for at in (0..base.len()).step_by(11) {
        let mut flipped = base.clone();
        flipped[at] ^= 1;
        std::fs::write(bench.file("a/base"), &old).unwrap();
        std::fs::write(bench.file("a/log"), &logs[0]).unwrap();
        std::fs::write(bench.file("b/base"), &flipped).unwrap();
        std::fs::write(bench.file("b/log"), &logs[1]).unwrap();
        let opening = bench.open();
        assert_eq!(bench.assert_exact(&opening), 6, "flipped at {at}");
        assert_eq!(opening.findings.len(), 1);
        drop(opening);
        assert_eq!(bench.assert_exact(&bench.open()), 6, "mended, and still whole after the next start");
    }
}

#[test]
fn forged_and_older_generations_are_refused_and_the_one_before_is_served() {
    let mut bench = six();
    let Opening { mut keeper, reader, .. } = bench.open();
    let stranger = SigningKey::generate().unwrap().0;
    let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(7), soft_age_s: 0, hard_age_s: 0 };
    let forged = bench.published[5].2.compose(vec![Change::put(T, "counter", "7")]).unwrap().unwrap().seal(&stranger, stamp);
    assert!(keeper.take_frame(&bench.trust, forged.0.bytes(), &forged.1).is_err());
    let (sealed, payload, _) = bench.published[3].clone();
    assert!(!keeper.take_frame(&bench.trust, &sealed, &payload).unwrap_err().wants_full());
    let rows = bench.published[3].2.encode_rows();
    assert!(keeper.take_full(&bench.trust, None, &sealed, rows).is_err(), "a whole snapshot of an older generation");
    bench.publish();
    let (sealed, payload) = bench.publish();
    assert!(keeper.take_frame(&bench.trust, &sealed, &payload).unwrap_err().wants_full(), "one was left out");
    assert_eq!(reader.current().generation(), Generation(6));
    let rows = bench.published[7].2.encode_rows();
    assert_eq!(keeper.take_full(&bench.trust, None, &sealed, rows).unwrap().durable, Generation(8));
    assert_eq!(bench.assert_exact(&bench.open()), 8);
}

#[test]
fn an_older_signed_disk_image_is_served_and_the_floor_tells() {
    let bench = six();
    let (mut file, mut floor) = FloorFile::open(bench.dir.path());
    assert!(floor.raise(Feed::ZONE, (Epoch(1), Generation(6))));
    floor.time = UnixMillis(5);
    file.keep(&floor).unwrap();
    floor.time = UnixMillis(6);
    file.keep(&floor).unwrap();
    std::fs::write(bench.file("floor.b"), b"torn").unwrap();
    let (_, floor) = FloorFile::open(bench.dir.path());
    assert_eq!(floor.of(Feed::ZONE), Some((Epoch(1), Generation(6))), "one copy survives the other");
    std::fs::remove_file(bench.file("b/base")).unwrap();
    std::fs::remove_file(bench.file("b/log")).unwrap();
    assert_eq!(bench.assert_exact(&bench.open()), 2);
}

#[test]
fn a_lost_disk_does_not_open_the_door_to_the_past() {
    let mut bench = six();
    let (old, rows) = (bench.published[2].0.clone(), bench.published[2].2.encode_rows());
    std::fs::remove_dir_all(bench.file("a")).unwrap();
    std::fs::remove_dir_all(bench.file("b")).unwrap();
    let mut keeper = bench.open().keeper;
    let floor = Some((Epoch(1), Generation(6)));
    assert!(keeper.take_full(&bench.trust, floor, &old, rows).is_err(), "older than what this box once held");
    let (sealed, _) = bench.publish();
    let rows = bench.published[6].2.encode_rows();
    assert_eq!(keeper.take_full(&bench.trust, floor, &sealed, rows).unwrap().durable, Generation(7));
}

#[test]
fn what_another_trust_does_not_vouch_for_is_not_destroyed() {
    let bench = six();
    let other = Bench::new();
    let opening = Keeper::open(bench.dir.path(), Feed::ZONE, &other.trust).unwrap();
    assert_eq!(opening.keeper.state().view().generation(), Generation(0));
    assert!(!opening.findings.is_empty());
    drop(opening);
    assert_eq!(bench.assert_exact(&bench.open()), 6, "with the right trust everything is there again");
}

#[test]
fn a_dead_disk_stops_no_service() {
    let mut bench = six();
    let Opening { mut keeper, reader, .. } = bench.open();
    // The folder goes away under the keeper, so that no base can be made; the open log takes one more frame.
    std::fs::remove_dir_all(bench.dir.path()).unwrap();
    std::fs::write(bench.dir.path(), b"in the way").unwrap();
    keeper.take_full(&bench.trust, None, &bench.published[5].0.clone(), bench.published[5].2.encode_rows()).unwrap();
    assert!(!keeper.disk_is_well());
    let (sealed, payload) = bench.publish();
    let kept = keeper.take_frame(&bench.trust, &sealed, &payload).unwrap();
    assert!(kept.disk_error.is_some());
    assert_eq!((kept.applied, kept.durable), (Generation(7), Generation(6)), "nothing is promised");
    assert_eq!(reader.current().generation(), Generation(7), "and everything is served");
    std::fs::remove_file(bench.dir.path()).unwrap();
    std::fs::create_dir(bench.dir.path()).unwrap();
    let (sealed, payload) = bench.publish();
    assert_eq!(keeper.take_frame(&bench.trust, &sealed, &payload).unwrap().durable, Generation(8), "it mends itself");
    assert_eq!(bench.assert_exact(&bench.open()), 8);
}
