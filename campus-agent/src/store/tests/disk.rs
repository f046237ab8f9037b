//! Disks that fail for a while, keys that are retired, blocks that rot: what the next attempt, or the next line, puts right.

use super::*;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Ticks until what is held is durable.
pub(super) fn wait_for_the_disk(bench: &Bench, keeper: &mut Keeper) {
    let begun = Instant::now();
    while keeper.durable().1 != keeper.state().view().generation() {
        assert!(begun.elapsed() < PATIENCE, "the disk was not tried again");
        keeper.tick(&bench.trusts(), false);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Gives a bench on a small disk of its own, which this test's thread alone sees.
fn on_a_small_disk(behaviour: &str, test: impl FnOnce(Bench) + Send + 'static) {
    if !Uid::effective().is_root() {
        return not_tried(behaviour);
    }
    let mount_point = tempfile::tempdir().unwrap();
    let path = mount_point.path().to_owned();
    let work = move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        run("mount", &["--make-rprivate", "/"]);
        run("mount", &["-t", "tmpfs", "-o", "size=24m", "tmpfs", path.to_str().unwrap()]);
        test(Bench::at(tempfile::tempdir_in(path).unwrap()));
    };
    std::thread::spawn(work).join().unwrap();
}

/// As the lab says it of its behaviours: a plain user's run names it at its end, and CI may not go without.
fn not_tried(behaviour: &str) {
    assert!(std::env::var_os("CI").is_none(), "{behaviour}: only root may mount a small disk, and CI may not go without");
    eprintln!("not tried: {behaviour}: only root may mount a small disk");
    let Some(list) = std::env::var_os("HOLDFAST_NOT_TRIED") else { return };
    let mut list = fs::OpenOptions::new().create(true).append(true).open(list).unwrap();
    writeln!(list, "{behaviour}: only root may mount a small disk").unwrap();
}

fn run(program: &str, args: &[&str]) {
    assert!(Command::new(program).args(args).status().unwrap().success(), "{program} {args:?}");
}

/// Takes all room.
fn fill_up(path: &Path) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}

#[test]
fn what_a_full_disk_does_not_take_is_kept_as_soon_as_there_is_room() {
    on_a_small_disk("a disk that is full", |mut bench| {
        let mut keeper = bench.keeper();
        bench.fill(&mut keeper, 6);
        let filler = bench.dir.path().join("filler");
        fill_up(&filler);
        for _ in 0..50 {
            let (sealed, payload) = bench.publish();
            keeper.take_frame(&bench.trust, &sealed, false, &payload).unwrap();
        }
        let durable = keeper.durable().1.0;
        assert!((6..56).contains(&durable), "{durable}");
        assert_eq!(bench.assert_exact(&bench.found().0), durable, "what is on the disk is whole");
        let base = keeper.state().base().head().generation;
        fs::remove_file(filler).unwrap();
        wait_for_the_disk(&bench, &mut keeper);
        assert_eq!(bench.assert_exact(&bench.found().0), 56);
        assert_eq!(keeper.state().base().head().generation, base, "the log went on: no whole base was needed");
        drop(keeper);
        assert_eq!(bench.assert_exact(bench.keeper().state()), 56);
    });
}

#[test]
fn a_base_that_does_not_fit_leaves_the_room_that_there_is() {
    on_a_small_disk("a base that does not fit", |mut bench| {
        let mut keeper = bench.keeper();
        bench.fill(&mut keeper, 6);
        // A frame that is longer than a log takes needs a base, for which nothing is left.
        fs::write(bench.dir.path().join("filler"), vec![1; 12 << 20]).unwrap();
        let (sealed, _) = bench.publish();
        let kept = keeper.take_rows(&bench.trust, None, &sealed, &bench.rows(7)).unwrap();
        assert!(kept.disk_error.unwrap().to_string().contains("are free"));
        let names = fs::read_dir(bench.file("a")).unwrap().chain(fs::read_dir(bench.file("b")).unwrap());
        assert!(names.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("tmp")));
        assert_eq!(bench.assert_exact(&bench.found().0), 6);
        fs::remove_file(bench.dir.path().join("filler")).unwrap();
        wait_for_the_disk(&bench, &mut keeper);
        assert_eq!(bench.assert_exact(&bench.found().0), 7);
    });
}

#[test]
fn a_root_that_retires_a_key_silences_nothing_that_was_signed_before() {
    let mut bench = six();
    let (root, key) = (SigningKey::generate().unwrap().0, SigningKey::generate().unwrap().0);
    let grant = |key: &SigningKey| Grant { key: key.public(), kind: Kind::Zone, family: Family::Whole };
    let draft = |version, grants| TrustDraft { version, roots: vec![root.public()], grants, ..bench.trust.draft().clone() };
    let both = draft(2, vec![grant(&bench.key), grant(&key)]).sign(&[&root]).unwrap();
    let new_alone = draft(3, vec![grant(&key)]).sign(&[&root]).unwrap();
    // The base is the old key's, its newest frame the new key's.
    bench.key = key;
    bench.trust = both.clone();
    let mut keeper = bench.keeper();
    bench.fill(&mut keeper, 1);
    let state_dir = bench.dir.path().to_owned();
    fs::create_dir_all(state_dir.join("identity")).unwrap();
    let mut trusts = Trusts::from(both);
    trusts.succeed(&state_dir, new_alone.clone()).unwrap();
    let read = Trusts::read(&state_dir).unwrap();
    assert_eq!((read.newest(), read.has_former()), (&new_alone, true));
    let opened = |trusts: &Trusts| best_state(&bench.folder(), Feed::ZONE, trusts, &bench.store_key).0.view().generation();
    assert_eq!((opened(&read), opened(&new_alone.clone().into())), (Generation(7), Generation(0)));

    trusts.forget(&state_dir, &keeper.manifests()).unwrap();
    assert!(trusts.has_former(), "the base still needs it");
    bench.trust = new_alone.clone();
    drop(keeper);
    let mut keeper = Keeper::open(&bench.folder(), &state_dir.join("run"), Feed::ZONE, &trusts, &bench.store_key).unwrap().0;
    for _ in 0..2 {
        let (sealed, _) = bench.publish();
        keeper.take_rows(&bench.trust, None, &sealed, &bench.rows(bench.published.len())).unwrap();
    }
    trusts.forget(&state_dir, &keeper.manifests()).unwrap();
    assert!(!Trusts::read(&state_dir).unwrap().has_former(), "nothing rests on the old key any more");
    assert_eq!(bench.assert_exact(&bench.found().0), 9);
}

#[test]
fn what_no_file_leads_to_any_more_is_asked_for_and_taken_at_the_same_generation() {
    let bench = six();
    let mut keeper = bench.keeper();
    let Following { mut follower, reader, .. } = bench.follow();
    for slot in ["a", "b"] {
        let path = bench.file(&format!("{slot}/base"));
        let mut base = fs::read(&path).unwrap();
        let last = base.len() - 3;
        base[last] ^= 1;
        fs::write(&path, &base).unwrap();
    }
    assert!(reader.current().get(T, b"row 1").is_err());
    assert!(follower.poll().is_some());
    let run = bench.dir.path().join("run");
    keeper.tick(&bench.trusts(), served(&run, Feed::ZONE)[0].1.is_damaged);
    assert!(keeper.wants_whole());
    keeper.take_rows(&bench.trust, None, &bench.published[5].0, &bench.rows(6)).unwrap();
    assert!(!keeper.wants_whole());
    assert_eq!((follower.poll(), follower.serves().1), (None, Generation(6)));
    assert_eq!(reader.current().get(T, b"row 1").unwrap().map(<[u8]>::len), Some(40));
}
