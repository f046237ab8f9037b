//! What a disk may do to us: be cut, flipped, filled, set back, lose what was not synced. Whatever it does, what is served was
//! signed and whole.

mod disk;

use super::search::{Question, search};
use super::*;
use crate::config::Folders;
use holdfast_proto::snapshot::file::{StoreKey, encode_base};
use holdfast_proto::snapshot::{
    Buckets, Builder, Change, Family, Feed, Grant, Institution, Kind, RowRef, SigningKey, Stamp, State, Table, Trust, TrustDraft, encode_row, merge_payloads,
};
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
    store_key: StoreKey,
    published: Vec<(Vec<u8>, Vec<u8>, State)>,
}

impl Bench {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(dir: TempDir) -> Self {
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
        fs::create_dir_all(dir.path().join("run")).unwrap();
        Self { dir, trust: draft.sign(&[&root]).unwrap(), key, store_key: StoreKey::from_bytes([7; 32]), published: vec![] }
    }

    fn folder(&self) -> PathBuf {
        feed_dir(self.dir.path(), Feed::ZONE)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn trusts(&self) -> Trusts {
        self.trust.clone().into()
    }

    fn keeper(&self) -> Keeper {
        Keeper::open(&self.folder(), &self.dir.path().join("run"), Feed::ZONE, &self.trusts(), &self.store_key).unwrap().0
    }

    /// What a cold box would serve.
    fn found(&self) -> (State, Vec<Finding>) {
        best_state(&self.folder(), Feed::ZONE, &self.trusts(), &self.store_key)
    }

    fn follow(&self) -> Following {
        self.follow_after(false)
    }

    /// After a service that fell over, or was merely stopped.
    fn follow_after(&self, fell: bool) -> Following {
        let folders = Folders { state: self.dir.path().to_owned(), run: self.dir.path().join("run") };
        Follower::open(&folders, Feed::ZONE, "dns", fell, &self.trusts(), &self.store_key)
    }

    fn publish(&mut self) -> (Vec<u8>, Vec<u8>) {
        let last = self.published.last().map_or_else(|| State::empty(Feed::ZONE), |(_, _, state)| state.clone());
        let number = last.view().generation().0 + 1;
        let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(number), soft_age_s: 0, hard_age_s: 0 };
        let changes = vec![Change::put(T, "counter", number.to_string()), Change::put(T, format!("row {number}"), "x".repeat(40))];
        let (sealed, payload, state) = last.compose(changes).unwrap().unwrap().seal(&self.key, stamp).unwrap();
        self.published.push((sealed.bytes().to_vec(), payload.clone(), state));
        (sealed.bytes().to_vec(), payload)
    }

    /// Publishes and keeps this many generations.
    fn fill(&mut self, keeper: &mut Keeper, count: usize) {
        for _ in 0..count {
            let (sealed, payload) = self.publish();
            let kept = keeper.take_frame(&self.trust, &sealed, false, &payload).unwrap();
            assert_eq!(kept.applied, kept.durable);
            keeper.settle().unwrap();
        }
    }

    /// What is served is exactly what was published under that number.
    fn assert_exact(&self, state: &State) -> u64 {
        let generation = state.view().generation().0;
        if generation > 0 {
            assert_eq!(state.audited().unwrap().digest(), self.published[generation as usize - 1].2.digest());
            assert_eq!(state.encode_rows(), self.published[generation as usize - 1].2.encode_rows());
        }
        generation
    }

    fn rows(&self, generation: usize) -> Vec<u8> {
        self.published[generation - 1].2.encode_rows().unwrap()
    }
}

/// Generations 1 to 6: base 1 in one slot with frame 2 in its log, base 2 in the other with frames 3 to 6.
fn six() -> Bench {
    let mut bench = Bench::new();
    let mut keeper = bench.keeper();
    bench.fill(&mut keeper, 6);
    bench
}

/// How fine a disk is damaged: in the short run of the tests, and in the long one.
fn step(short: usize, long: usize) -> usize {
    if std::env::var("HOLDFAST_TEST_SIZE").is_ok_and(|size| size == "long") { long } else { short }
}

/// The slot with the newer base, and the other one.
fn slots(bench: &Bench) -> (&'static str, &'static str) {
    let newer = |slot: &str| fs::metadata(bench.file(&format!("{slot}/log"))).map_or(0, |meta| meta.len());
    if newer("a") > newer("b") { ("a", "b") } else { ("b", "a") }
}

#[test]
fn what_was_kept_is_served_after_a_restart() {
    let bench = six();
    let (state, findings) = bench.found();
    assert_eq!((bench.assert_exact(&state), findings), (6, vec![]));
    let other_key = StoreKey::from_bytes([8; 32]);
    let (state, findings) = best_state(&bench.folder(), Feed::ZONE, &bench.trusts(), &other_key);
    assert_eq!((bench.assert_exact(&state), findings.len()), (6, 2), "without the box's key everything is proven anew");
}

#[test]
fn a_log_cut_or_flipped_anywhere_leads_to_an_earlier_whole_generation() {
    let bench = six();
    let path = bench.file(&format!("{}/log", slots(&bench).0));
    let log = fs::read(&path).unwrap();
    for at in (0..log.len()).step_by(step(7, 1)) {
        let whole = 2 + (at / (log.len() / 4)) as u64;
        fs::write(&path, &log[..at]).unwrap();
        assert_eq!(bench.assert_exact(&bench.found().0), whole, "cut at {at}");
        let mut flipped = log.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let (state, findings) = bench.found();
        // A bit that no proof needs, as in the number that a frame starts from, costs the chain and nothing else.
        assert!(bench.assert_exact(&state) >= whole, "flipped at {at}");
        assert!(!findings.is_empty(), "flipped at {at}");
    }
}

#[test]
fn a_damaged_base_costs_nothing_while_the_one_before_is_there() {
    let bench = six();
    let image = bench.dir.path().join("image");
    let copy = |from: &Path, to: &Path| {
        for name in ["a/base", "a/log", "b/base", "b/log"] {
            fs::create_dir_all(to.join(name).parent().unwrap()).unwrap();
            fs::write(to.join(name), fs::read(from.join(name)).unwrap()).unwrap();
        }
    };
    copy(&bench.folder(), &image);
    let path = bench.file(&format!("{}/base", slots(&bench).0));
    let base = fs::read(&path).unwrap();
    for at in (0..base.len()).step_by(step(173, 3)) {
        copy(&image, &bench.folder());
        let mut flipped = base.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        let (state, findings) = bench.found();
        // The rest of the header means nothing, and nothing covers it.
        assert_eq!(bench.assert_exact(&state), 6, "flipped at {at}");
        if at % 5 == 0 && !findings.is_empty() {
            drop(bench.keeper());
            assert_eq!(bench.assert_exact(&bench.found().0), 6, "the box went on, flipped at {at}");
        }
    }
}

#[test]
fn a_service_never_answers_from_a_damaged_block_and_finds_another_way() {
    let bench = six();
    let path = bench.file(&format!("{}/base", slots(&bench).0));
    let mut base = fs::read(&path).unwrap();
    let last = base.len() - 3;
    base[last] ^= 1;
    fs::write(&path, &base).unwrap();
    let Following { mut follower, reader, findings } = bench.follow();
    assert_eq!((follower.serves(), findings), ((Epoch(1), Generation(6)), vec![]), "the block was not touched yet");
    assert_eq!(reader.current().get(T, b"row 2"), Err(holdfast_proto::snapshot::Damaged));
    assert!(follower.poll().is_some());
    assert_eq!(reader.current().get(T, b"row 2").unwrap().map(<[u8]>::len), Some(40), "the other slot leads there too");
    // It tells, and whoever writes the store writes it anew; the service goes over to that.
    let run = bench.dir.path().join("run");
    assert!(served(&run, Feed::ZONE)[0].1.is_damaged);
    let mut keeper = bench.keeper();
    keeper.tick(&bench.trusts(), true);
    assert_eq!((follower.poll(), served(&run, Feed::ZONE)[0].1.is_damaged), (None, false));
    assert_eq!(bench.found().1, vec![], "no block of it is damaged any more");
}

#[test]
fn a_service_follows_its_uplink_and_never_past_its_word() {
    let mut bench = six();
    let mut keeper = bench.keeper();
    let Following { mut follower, reader, .. } = bench.follow();
    bench.fill(&mut keeper, 1);
    assert_eq!(reader.current().generation(), Generation(6));
    assert_eq!(follower.poll(), None);
    assert_eq!(reader.current().get(T, b"counter"), Ok(Some(&b"7"[..])));
    assert_eq!(served(&bench.dir.path().join("run"), Feed::ZONE), [("dns".to_owned(), Served { at: (Epoch(1), Generation(7)), is_damaged: false })]);
    // What stands behind the word, synced or not, is not there.
    let (sealed, payload) = bench.publish();
    let log = bench.file(&format!("{}/log", slots(&bench).0));
    let len = fs::metadata(&log).unwrap().len();
    keeper.take_frame(&bench.trust, &sealed, false, &payload).unwrap();
    let whole = fs::read(&log).unwrap();
    let mut word = super::word::CommitWord::of(&bench.dir.path().join("run"), Feed::ZONE);
    let committed = word.read().unwrap();
    word.write(super::word::Commit { log_end: len, generation: Generation(7), ..committed }).unwrap();
    let Following { mut follower, reader, .. } = bench.follow();
    assert_eq!((reader.current().generation(), fs::metadata(&log).unwrap().len()), (Generation(7), whole.len() as u64));
    word.write(committed).unwrap();
    assert_eq!((follower.poll(), reader.current().generation()), (None, Generation(8)));
}

#[test]
fn a_base_is_folded_beside_the_service_and_the_readers_go_over() {
    let mut bench = six();
    let mut keeper = bench.keeper();
    let Following { mut follower, reader, .. } = bench.follow();
    for _ in 0..120 {
        let last = bench.published.last().unwrap().2.clone();
        let number = last.view().generation().0 + 1;
        let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(number), soft_age_s: 0, hard_age_s: 0 };
        let changes = vec![Change::put(T, "counter", number.to_string()), Change::put(T, format!("big {}", number % 7), vec![number as u8; 60_000])];
        let (sealed, payload, state) = last.compose(changes).unwrap().unwrap().seal(&bench.key, stamp).unwrap();
        keeper.take_frame(&bench.trust, sealed.bytes(), false, &payload).unwrap();
        bench.published.push((sealed.bytes().to_vec(), payload, state));
        assert_eq!(follower.poll(), None);
        assert_eq!(reader.current().get(T, b"counter"), Ok(Some(number.to_string().as_bytes())));
    }
    keeper.settle().unwrap();
    assert!(keeper.state().base().head().generation > Generation(2), "a log of 7 MB was folded");
    assert_eq!(bench.assert_exact(keeper.state()), 126);
    assert_eq!(bench.assert_exact(&bench.found().0), 126);
}

#[test]
fn forged_and_older_generations_are_refused_and_the_one_before_is_served() {
    let mut bench = six();
    let mut keeper = bench.keeper();
    let stranger = SigningKey::generate().unwrap().0;
    let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(7), soft_age_s: 0, hard_age_s: 0 };
    let forged = bench.published[5].2.compose(vec![Change::put(T, "counter", "7")]).unwrap().unwrap().seal(&stranger, stamp).unwrap();
    assert!(keeper.take_frame(&bench.trust, forged.0.bytes(), false, &forged.1).is_err());
    let (sealed, payload, _) = bench.published[3].clone();
    assert!(!keeper.take_frame(&bench.trust, &sealed, false, &payload).unwrap_err().wants_full());
    assert!(keeper.take_rows(&bench.trust, None, &sealed, &bench.rows(4)).is_err(), "a whole snapshot of an older generation");
    bench.publish();
    let (sealed, payload) = bench.publish();
    assert!(keeper.take_frame(&bench.trust, &sealed, false, &payload).unwrap_err().wants_full(), "one was left out");
    assert_eq!(keeper.state().view().generation(), Generation(6));
    let merged = merge_payloads(bench.published[6..8].iter().map(|(_, payload, _)| &payload[..])).unwrap();
    assert_eq!(keeper.take_frame(&bench.trust, &sealed, true, &merged).unwrap().durable, Generation(8));
    assert_eq!(bench.assert_exact(&bench.found().0), 8);
}

#[test]
fn a_whole_snapshot_comes_in_blocks_each_of_them_the_one_that_is_due() {
    let mut bench = Bench::new();
    for _ in 0..600 {
        bench.publish();
    }
    let folded = bench.published[599].2.rebased().unwrap();
    let (sealed, head) = (bench.published[599].0.clone(), folded.base().head().clone());
    assert!(head.blocks.len() > 1);
    let mut keeper = bench.keeper();
    let mut incoming = keeper.begin_full(&bench.trust, None, &sealed, None, &head.encode()).unwrap();
    incoming.put(folded.base().block(0).unwrap().to_vec()).unwrap();
    assert!(incoming.put(folded.base().block(0).unwrap().to_vec()).is_err(), "not the next block");
    assert_eq!(incoming.first_missing(), 1, "the first block was kept");
    while !incoming.is_complete() {
        incoming.put(folded.base().block(incoming.first_missing()).unwrap().to_vec()).unwrap();
    }
    assert_eq!(keeper.take_full(incoming).unwrap().durable, Generation(600));
    assert_eq!(bench.assert_exact(&bench.found().0), 600);
    let mut other_sum = head;
    other_sum.sum = holdfast_proto::snapshot::LtHash::empty();
    assert!(keeper.begin_full(&bench.trust, None, &sealed, None, &other_sum.encode()).is_err());
}

#[test]
fn frames_are_kept_while_a_whole_snapshot_is_taken_and_it_takes_none_of_them_back() {
    let mut bench = Bench::new();
    let mut keeper = bench.keeper();
    bench.fill(&mut keeper, 3);
    (0..3).for_each(|_| drop(bench.publish()));
    let whole_of = |bench: &Bench, number: usize| {
        let based = bench.published[number - 1].2.rebased().unwrap();
        let base = based.base();
        let blocks = (0..base.head().blocks.len()).map(|block| base.block(block).unwrap().to_vec()).collect::<Vec<_>>();
        (base.head().encode(), blocks)
    };
    let frame = |keeper: &mut Keeper, number: usize| {
        let (sealed, payload, _) = &bench.published[number - 1];
        assert_eq!(keeper.take_frame(&bench.trust, sealed, false, payload).unwrap().durable, Generation(number as u64));
    };
    // It leads further than the frames that came meanwhile.
    let (head, blocks) = whole_of(&bench, 6);
    let incoming = keeper.begin_full(&bench.trust, None, &bench.published[5].0, None, &head).unwrap();
    keeper.begin_taking(incoming, blocks, || {});
    frame(&mut keeper, 4);
    assert_eq!(keeper.finish_taking().unwrap().unwrap().durable, Generation(6));
    assert!(keeper.finish_taking().is_none());
    assert_eq!(bench.assert_exact(&bench.found().0), 6);
    // The frames led further.
    fs::remove_dir_all(bench.folder()).unwrap();
    let mut keeper = bench.keeper();
    let (head, blocks) = whole_of(&bench, 3);
    let incoming = keeper.begin_full(&bench.trust, None, &bench.published[2].0, None, &head).unwrap();
    keeper.begin_taking(incoming, blocks, || {});
    (1..=5).for_each(|number| frame(&mut keeper, number));
    let refused = keeper.finish_taking().unwrap().unwrap_err();
    assert!(!refused.wants_full(), "{refused}");
    frame(&mut keeper, 6);
    assert_eq!((bench.assert_exact(keeper.state()), bench.assert_exact(&bench.found().0)), (6, 6));
    // What is damaged is made whole in its place, and an uplink that falls meanwhile leaves nothing behind.
    let (head, blocks) = whole_of(&bench, 6);
    for falls in [true, false] {
        let incoming = keeper.begin_full(&bench.trust, None, &bench.published[5].0, None, &head).unwrap();
        keeper.begin_taking(incoming, blocks.clone(), || {});
        if falls {
            drop(keeper);
            keeper = bench.keeper();
            assert!(!bench.file("taken").exists());
        } else {
            assert_eq!(keeper.finish_taking().unwrap().unwrap().durable, Generation(6));
        }
        assert_eq!(bench.assert_exact(&bench.found().0), 6);
    }
}

/// The rows of the buckets in which `held` differs from the newest that was published.
fn rows_that_differ(bench: &Bench, held: &State) -> (Buckets, Vec<u8>) {
    let (newest, mut rows) = (&bench.published.last().unwrap().2, Vec::new());
    let found = newest.tally().unwrap().difference(held.tally().unwrap().marks());
    newest.bucket_rows(&found.buckets).for_each(|row| encode_row(row.unwrap(), &mut rows).unwrap());
    (found.buckets, rows)
}

#[test]
fn rows_that_are_not_what_their_sum_says_are_set_right_by_buckets_and_stay_so() {
    let mut bench = six();
    // This box vouches for other rows than those of the sum that it names, and for a longer value.
    let (true_state, mut altered) = (bench.published[5].2.rebased().unwrap(), Vec::new());
    for row in true_state.view().rows() {
        let row = row.unwrap();
        let value = if row.key == b"counter" { Some(&b"never published"[..]) } else { row.value };
        encode_row(RowRef { value, ..row }, &mut altered).unwrap();
    }
    let (mut builder, mut file) = (Builder::new(Feed::ZONE, Epoch(1), Generation(6)), Vec::new());
    builder.push_rows(&altered).unwrap();
    encode_base(true_state.sealed().unwrap(), &builder.finish(true_state.base().head().sum.clone()), &bench.store_key, &mut file).unwrap();
    let (newest, other) = slots(&bench);
    fs::write(bench.file(&format!("{newest}/base")), file).unwrap();
    [newest, other].into_iter().for_each(|slot| fs::remove_file(bench.file(&format!("{slot}/log"))).unwrap());

    let mut keeper = bench.keeper();
    let (sealed, payload) = bench.publish();
    let refused = keeper.take_frame(&bench.trust, &sealed, false, &payload).unwrap_err();
    assert!(refused.wants_full(), "{refused}");
    let (buckets, rows) = rows_that_differ(&bench, keeper.state());
    let mut turned = rows.clone();
    *turned.last_mut().unwrap() ^= 1;
    assert!(keeper.take_buckets(&bench.trust, None, &sealed, &buckets, &turned).is_err());
    assert!(keeper.take_buckets(&bench.trust, Some((Epoch(1), Generation(8))), &sealed, &buckets, &rows).is_err(), "it lies below the floor");
    assert_eq!(keeper.state().view().generation(), Generation(6), "what was held is held");
    let kept = keeper.take_buckets(&bench.trust, None, &sealed, &buckets, &rows).unwrap();
    assert_eq!((kept.applied, kept.durable, bench.assert_exact(keeper.state())), (Generation(7), Generation(7), 7));
    drop(keeper);
    assert_eq!(bench.assert_exact(&bench.found().0), 7);
    let mut keeper = bench.keeper();
    bench.fill(&mut keeper, 1);
    assert_eq!(bench.assert_exact(keeper.state()), 8);
}

#[test]
fn who_lags_goes_on_from_what_it_has_with_the_rows_of_buckets() {
    let mut bench = six();
    let mut keeper = bench.keeper();
    let log = |bench: &Bench| fs::metadata(bench.file(&format!("{}/log", slots(bench).0))).unwrap().len();
    let before = log(&bench);
    let (sealed, _) = (0..5).map(|_| bench.publish()).last().unwrap();
    let (buckets, rows) = rows_that_differ(&bench, keeper.state());
    keeper.take_buckets(&bench.trust, None, &sealed, &buckets, &rows).unwrap();
    assert!(log(&bench) > before, "it is one more frame of the log");
    drop(keeper);
    assert_eq!(bench.assert_exact(&bench.found().0), 11);
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
    fs::write(bench.dir.path().join("floor.b"), b"torn").unwrap();
    let (_, floor) = FloorFile::open(bench.dir.path());
    assert_eq!(floor.of(Feed::ZONE), Some((Epoch(1), Generation(6))), "one copy survives the other");
    let newer = slots(&bench).0;
    fs::remove_dir_all(bench.file(newer)).unwrap();
    assert_eq!(bench.assert_exact(&bench.found().0), 2);
}

#[test]
fn a_new_epoch_starts_on_a_ground_of_its_own() {
    let bench = six();
    let mut keeper = bench.keeper();
    let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(2), issued_at: UnixMillis(9), soft_age_s: 0, hard_age_s: 0 };
    let held = bench.published[5].2.compose(vec![Change::delete(T, "row 3")]).unwrap().unwrap();
    let (sealed, payload, next) = held.seal(&bench.key, stamp).unwrap();
    keeper.take_frame(&bench.trust, sealed.bytes(), false, &payload).unwrap();
    drop(keeper);
    let (state, findings) = bench.found();
    assert_eq!((state.encode_rows(), findings), (next.encode_rows(), vec![]));
    assert_eq!(bench.follow().reader.current().get(T, b"row 3"), Ok(None), "a row of the epoch before");
}

#[test]
fn a_lost_disk_does_not_open_the_door_to_the_past() {
    let mut bench = six();
    let (old, rows) = (bench.published[2].0.clone(), bench.rows(3));
    fs::remove_dir_all(bench.folder()).unwrap();
    let mut keeper = bench.keeper();
    let floor = Some((Epoch(1), Generation(6)));
    assert!(keeper.take_rows(&bench.trust, floor, &old, &rows).is_err(), "older than what this box once held");
    let (sealed, _) = bench.publish();
    assert_eq!(keeper.take_rows(&bench.trust, floor, &sealed, &bench.rows(7)).unwrap().durable, Generation(7));
}

#[test]
fn what_another_trust_does_not_vouch_for_is_not_destroyed() {
    let bench = six();
    let other = Bench::new();
    let (keeper, findings) = Keeper::open(&bench.folder(), &bench.dir.path().join("run"), Feed::ZONE, &other.trusts(), &bench.store_key).unwrap();
    assert_eq!(keeper.state().view().generation(), Generation(0));
    assert!(!findings.is_empty());
    drop(keeper);
    assert_eq!(bench.assert_exact(&bench.found().0), 6, "with the right trust everything is there again");
}

#[test]
fn a_dead_disk_stops_no_service() {
    let mut bench = six();
    let mut keeper = bench.keeper();
    let Following { reader, mut follower, .. } = bench.follow();
    for part in 0..reader.current().base().parts() {
        reader.current().base().load(part).unwrap();
    }
    // The folder goes away under the keeper, so that no base can be made.
    fs::remove_dir_all(bench.folder()).unwrap();
    fs::write(bench.folder(), b"in the way").unwrap();
    let (sealed, _) = bench.publish();
    let kept = keeper.take_rows(&bench.trust, None, &sealed, &bench.rows(7)).unwrap();
    assert!(kept.disk_error.is_some());
    assert_eq!((kept.durable, keeper.disk_is_well()), (Generation(6), false), "nothing is promised");
    assert_eq!(follower.poll(), None);
    assert_eq!(reader.current().get(T, b"row 2").unwrap().map(<[u8]>::len), Some(40), "what was in memory is served");
    fs::remove_file(bench.folder()).unwrap();
    let (sealed, payload) = bench.publish();
    keeper.take_frame(&bench.trust, &sealed, false, &payload).unwrap();
    disk::wait_for_the_disk(&bench, &mut keeper);
    assert_eq!(keeper.durable().1, Generation(8), "it mends itself");
    assert_eq!(bench.assert_exact(&bench.found().0), 8);
    assert_eq!((follower.poll(), reader.current().generation()), (None, Generation(8)));
}

#[test]
fn a_service_that_fell_twice_on_a_generation_starts_on_the_one_before_until_there_is_a_newer_one() {
    let mut bench = six();
    let mut keeper = bench.keeper();
    for _ in 0..5 {
        assert_eq!(bench.follow().follower.serves().1, Generation(6), "killed from outside");
    }
    assert_eq!(bench.follow_after(true).follower.serves().1, Generation(6), "once may be chance");
    let Following { mut follower, findings, .. } = bench.follow_after(true);
    assert_eq!((follower.serves().1, findings.len()), (Generation(5), 1));
    assert_eq!((follower.poll(), follower.serves().1), (None, Generation(5)), "it does not walk into it again");
    drop(follower);
    let Following { mut follower, .. } = bench.follow();
    assert_eq!(follower.serves().1, Generation(5), "nor does the next start");
    bench.fill(&mut keeper, 1);
    assert_eq!((follower.poll(), follower.serves().1), (None, Generation(7)));
}

/// A disk that loses, zeroes or garbles what was not synced when the power went, sector by sector.
#[test]
fn a_power_cut_leaves_the_exact_generation_that_was_synced_or_a_later_one() {
    const SECTOR: usize = 512;
    let bench = six();
    let trusts = bench.trusts();
    let path = bench.file(&format!("{}/log", slots(&bench).0));
    let log = fs::read(&path).unwrap();
    let frame = log.len() / 4;
    let cuts = step(1_000, 20_000);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    for cut in 0..cuts {
        let synced = draw(5);
        let mut disk = log[..log.len() - draw(frame)].to_vec();
        for start in (0..disk.len()).step_by(SECTOR) {
            let (from, to) = (start.max(synced * frame), (start + SECTOR).min(disk.len()));
            if from < to {
                match draw(4) {
                    0 => disk[from..to].fill(0),
                    1 => disk[from..to].iter_mut().for_each(|byte| *byte = draw(256) as u8),
                    2 => disk[from..to].copy_from_slice(&log[..to - from]),
                    _ => {}
                }
            }
        }
        disk.truncate(disk.len().max(synced * frame));
        disk.extend_from_slice(&log[disk.len().min(synced * frame)..synced * frame]);
        fs::write(&path, &disk).unwrap();
        let question = Question { dir: &bench.folder(), feed: Feed::ZONE, trusts: &trusts, key: &bench.store_key, thorough: false, below: None, up_to: None };
        let found = bench.assert_exact(&search(question).state);
        assert!(found >= 2 + synced as u64, "cut {cut}: {synced} frames were synced, generation {found} is left");
    }
}

#[test]
fn a_snapshot_from_below_the_floor_is_not_taken_even_where_a_newer_manifest_names_it() {
    let mut bench = six();
    let based = bench.published[5].2.rebased().unwrap();
    let stamp = Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(7), soft_age_s: 0, hard_age_s: 0 };
    let (newest, payload, next) = based.compose(vec![Change::put(T, "counter", "7")]).unwrap().unwrap().seal(&bench.key, stamp).unwrap();
    bench.published.push((newest.bytes().to_vec(), payload, next));
    let (sealed, head) = (bench.published[5].0.clone(), based.base().head().encode());
    fs::remove_dir_all(bench.folder()).unwrap();
    let keeper = bench.keeper();
    let begin = |floor| keeper.begin_full(&bench.trust, Some((Epoch(1), Generation(floor))), &sealed, Some(newest.bytes()), &head);
    assert!(begin(6).is_ok());
    assert!(begin(7).is_err(), "what was revoked in generation 7 would be back until the next frame");
}
