use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const BOUNDS: Bounds = Bounds { segment_bytes: 512, bytes: 16 * 4096, frames: 100 };

fn open(dir: &Path) -> Log {
    Log::open(dir, LogId::draw(), BOUNDS, Position::default()).unwrap()
}

fn frames(numbers: std::ops::RangeInclusive<u64>) -> Vec<(u64, Vec<u8>)> {
    numbers.map(|number| (number, format!("frame {number}").into_bytes())).collect()
}

fn texts(dir: &Path, at: Position) -> Vec<String> {
    Tail::new(dir, at).read(usize::MAX).unwrap().into_iter().map(|entry| String::from_utf8(entry.payload).unwrap()).collect()
}

/// A log of three frames in one segment: the segment's path and bytes.
fn three(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    open(dir).append(&frames(1..=3)).unwrap();
    let path = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn frames_come_back_in_order_across_segments_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    (0..20).for_each(|n| log.append(&frames(n * 2 + 1..=n * 2 + 2)).unwrap());
    drop(log);
    let mut log = open(dir.path());
    log.append(&frames(1..=2)).unwrap();
    let expected: Vec<String> = (1..=40).chain(1..=2).map(|number| format!("frame {number}")).collect();
    assert_eq!(texts(dir.path(), Position::default()), expected);
    let ids: std::collections::BTreeSet<LogId> = Tail::new(dir.path(), Position::default()).read(99).unwrap().iter().map(|entry| entry.log).collect();
    assert_eq!(ids.len(), 2, "every opening has an id of its own");
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let mut tail = Tail::new(dir.path(), Position::default());
    assert_eq!(tail.read(9).unwrap(), []);
    log.append(&frames(1..=3)).unwrap();
    let first = tail.read(2).unwrap();
    assert_eq!(first.iter().map(|entry| entry.position.number).collect::<Vec<_>>(), [1, 2]);
    log.append(&frames(4..=30)).unwrap();
    assert_eq!(tail.read(99).unwrap().len(), 28);
    assert_eq!(texts(dir.path(), first[1].position).len(), 28);
    assert_eq!(count_after(dir.path(), first[1].position).unwrap(), 28);
}

#[test]
fn a_cut_at_any_byte_costs_the_frames_that_it_tore_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = three(dir.path());
    for len in 0..bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let read = texts(dir.path(), Position::default());
        assert_eq!(read.len(), len / (bytes.len() / 3), "cut at {len}");
        assert!(read.iter().zip(1..).all(|(text, number)| *text == format!("frame {number}")));
    }
}

#[test]
fn any_flipped_bit_costs_its_own_frame_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = three(dir.path());
    let frame_bytes = bytes.len() / 3;
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        let hit = bit / 8 / frame_bytes + 1;
        let expected: Vec<String> = (1..=3).filter(|number| *number != hit).map(|number| format!("frame {number}")).collect();
        assert_eq!(texts(dir.path(), Position::default()), expected, "bit {bit}");
    }
}

#[test]
fn a_tail_that_is_being_written_is_read_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (path, bytes) = three(dir.path());
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let mut tail = Tail::new(dir.path(), Position::default());
    assert_eq!(tail.read(9).unwrap().len(), 2);
    assert_eq!(tail.read(9).unwrap().len(), 0);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(tail.read(9).unwrap().len(), 1);
}

#[test]
fn what_was_taken_goes_and_the_oldest_goes_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    (1..=40).for_each(|number| log.append(&frames(number..=number)).unwrap());
    let taken = Tail::new(dir.path(), Position::default()).read(30).unwrap()[29].position;
    assert_eq!(log.trim(taken).unwrap(), 0);
    let kept = texts(dir.path(), Position::default());
    assert!(kept.len() < 30 && kept.ends_with(&["frame 40".to_owned()]), "{kept:?}");
    (41..=200).for_each(|number| log.append(&frames(number..=number)).unwrap());
    let before = count_after(dir.path(), taken).unwrap();
    let lost = log.trim(taken).unwrap();
    assert!(lost > 0);
    assert_eq!(count_after(dir.path(), taken).unwrap(), before - lost, "what was dropped is counted");
    assert_eq!(texts(dir.path(), taken).last().unwrap(), "frame 200");
}

#[test]
fn ordinals_go_on_where_the_segments_were_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), LogId::draw(), BOUNDS, Position { segment: 7, number: 3 }).unwrap();
    log.append(&frames(1..=1)).unwrap();
    assert_eq!(texts(dir.path(), Position { segment: 7, number: 3 }), ["frame 1"]);
    assert_eq!(texts(dir.path(), Position { segment: 99, number: 3 }), ["frame 1"], "a mark beyond the log is none");
}

#[test]
fn frames_of_a_failed_write_that_come_again_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let id = LogId::draw();
    let mut log = Log::open(dir.path(), id, BOUNDS, Position::default()).unwrap();
    log.append(&frames(1..=2)).unwrap();
    drop(log);
    let mut log = Log::open(dir.path(), id, BOUNDS, Position::default()).unwrap();
    log.append(&frames(2..=3)).unwrap();
    assert_eq!(texts(dir.path(), Position::default()), ["frame 1", "frame 2", "frame 3"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_and_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir.path().join("log"));
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    assert!(log.append(&frames(1..=1)).is_err());
    fs::create_dir(dir.path().join("log")).unwrap();
    log.append(&frames(1..=1)).unwrap();
    assert_eq!(texts(&dir.path().join("log"), Position::default()), ["frame 1"]);
}

proptest! {
    #[test]
    fn any_damage_leaves_whole_frames_in_order(cuts in proptest::collection::vec((0usize..200, any::<u8>()), 1..12), keep in 0usize..200) {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut bytes) = three(dir.path());
        for (at, value) in cuts {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(keep);
        fs::write(&path, &bytes).unwrap();
        let read = texts(dir.path(), Position::default());
        let whole: Vec<String> = (1..=3).map(|number| format!("frame {number}")).filter(|text| read.contains(text)).collect();
        prop_assert_eq!(read, whole);
    }
}
