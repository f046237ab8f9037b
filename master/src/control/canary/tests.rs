use super::*;
use crate::publish::Frame;
use holdfast_proto::snapshot::{Change, Institution, SigningKey, Stamp, State, Table};
use holdfast_proto::words::{Epoch, UnixMillis};

const NODES: [NodeId; 3] = [NodeId([1; 16]), NodeId([2; 16]), NodeId([3; 16])];

/// A publisher, the machine and a clock.
struct Bench {
    key: SigningKey,
    latest: Latest,
    canaries: Canaries,
    now: Instant,
    rows: u32,
}

impl Bench {
    fn new(agents: usize) -> Self {
        let latest = Latest::empty();
        let canaries = Canaries::new(Arc::new(latest.clone()));
        let mut bench = Self { key: SigningKey::generate().unwrap().0, latest, canaries, now: Instant::now(), rows: 0 };
        NODES[..agents].iter().for_each(|node| bench.line(*node, 1));
        bench
    }

    fn line(&mut self, node: NodeId, number: u64) {
        self.canaries.on_line(node, number, BTreeMap::new(), self.now);
    }

    fn publish(&mut self, rows: u32) {
        let changes = (0..rows).map(|row| Change::put(Table(1), (self.rows + row).to_be_bytes(), "x")).collect();
        self.rows += rows;
        let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
        let state: &State = self.latest.state(Feed::ZONE);
        let parent = state.view().generation();
        let (sealed, payload, next) = state.compose(changes).unwrap().unwrap().seal(&self.key, stamp).unwrap();
        let generation = next.view().generation();
        self.latest =
            self.latest.with(Frame { parent, epoch: Epoch(1), generation, sealed: sealed.bytes().to_vec(), payload, needs_canary: rows > 1000 }, next);
        self.canaries.on_latest(Arc::new(self.latest.clone()), self.now);
    }

    fn after(&mut self, seconds: u64) {
        self.after_silence(seconds);
        NODES.iter().for_each(|node| self.canaries.on_alive(*node, self.now, self.now));
    }

    /// As [`Self::after`], with nobody who says that he lives.
    fn after_silence(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.canaries.on_tick(self.now);
    }

    fn gone(&mut self, node: NodeId, line: u64) {
        self.canaries.on_gone(node, line, self.now);
    }

    fn given(&mut self, node: NodeId, generation: u64) {
        self.canaries.on_given(node, Feed::ZONE, (Epoch(1), Generation(generation)));
    }

    fn durable(&mut self, node: NodeId, generation: u64) {
        self.canaries.on_durable(node, Feed::ZONE, Generation(generation), self.now);
    }

    /// What each of the three may have; zero: nothing new.
    fn offered(&self) -> [u64; 3] {
        let gate = self.canaries.gate();
        NODES.map(|node| gate.of(node, Feed::ZONE).map_or(0, |published| published.position().1.0))
    }

    fn has_failed(&mut self) -> bool {
        self.canaries.songs().iter().any(|song| matches!(song, Song::Failed(..)))
    }
}

#[test]
fn a_small_generation_goes_to_all_at_once() {
    let mut bench = Bench::new(3);
    bench.publish(1000);
    assert_eq!(bench.offered(), [1, 1, 1]);
}

#[test]
fn a_grave_generation_goes_to_all_when_one_is_well_with_it() {
    let mut bench = Bench::new(3);
    bench.publish(1);
    bench.publish(1001);
    assert_eq!(bench.offered(), [2, 1, 1]);
    bench.durable(NODES[1], 2);
    bench.after(3);
    assert_eq!(bench.offered(), [2, 1, 1], "another agent's word does not count");
    bench.durable(NODES[0], 2);
    bench.after(1);
    assert_eq!(bench.offered(), [2, 1, 1]);
    bench.after(1);
    assert_eq!(bench.offered(), [2, 2, 2]);
    assert!(!bench.has_failed());
}

#[test]
fn a_canary_that_has_it_must_live_to_say_so() {
    let mut bench = Bench::new(2);
    bench.publish(1);
    bench.publish(1001);
    bench.durable(NODES[0], 2);
    let had_it = bench.now;
    bench.after_silence(3);
    bench.canaries.on_alive(NODES[0], had_it + Duration::from_secs(1), bench.now);
    assert_eq!(bench.offered(), [2, 1, 1], "it answers what was sent before the two seconds were over");
    bench.durable(NODES[0], 1);
    bench.after(3);
    assert_eq!(bench.offered(), [2, 1, 1], "a service of its went back");
    bench.after_silence(7);
    assert_eq!(bench.offered(), [1, 2, 1], "another one is asked");
    bench.durable(NODES[1], 2);
    bench.after(2);
    assert_eq!(bench.offered(), [2, 2, 2]);
}

#[test]
fn small_edits_ride_along_and_do_not_start_the_wait_anew() {
    let mut bench = Bench::new(3);
    bench.publish(1001);
    bench.durable(NODES[0], 1);
    bench.after(1);
    bench.publish(1);
    assert_eq!(bench.offered(), [2, 0, 0]);
    bench.after(1);
    assert_eq!(bench.offered(), [2, 2, 2]);
}

#[test]
fn the_next_grave_generation_waits_for_a_trial_of_its_own() {
    let mut bench = Bench::new(3);
    bench.publish(1001);
    bench.publish(1);
    bench.durable(NODES[0], 2);
    bench.publish(1001);
    assert_eq!(bench.offered(), [2, 0, 0]);
    bench.after(2);
    assert_eq!(bench.offered(), [3, 2, 2]);
    bench.durable(NODES[0], 3);
    bench.after(2);
    assert_eq!(bench.offered(), [3, 3, 3]);
}

#[test]
fn a_correction_takes_the_place_of_what_nobody_is_well_with_yet() {
    let mut bench = Bench::new(3);
    bench.publish(1001);
    bench.publish(1001);
    assert_eq!(bench.offered(), [2, 0, 0]);
    bench.durable(NODES[0], 1);
    bench.after(2);
    assert_eq!(bench.offered(), [2, 0, 0], "the first was not what is tried");
}

#[test]
fn a_generation_that_two_refuse_is_held_until_there_is_a_newer_one_or_for_half_a_minute() {
    for is_corrected in [true, false] {
        let mut bench = Bench::new(3);
        bench.publish(1);
        bench.publish(1001);
        bench.given(NODES[0], 2);
        bench.canaries.on_refused(NODES[0], Feed::ZONE, bench.now);
        assert_eq!((bench.offered(), bench.has_failed()), ([1, 2, 1], false), "a full disk of one box holds nobody back");
        bench.given(NODES[1], 2);
        bench.canaries.on_refused(NODES[1], Feed::ZONE, bench.now);
        bench.after(29);
        assert_eq!((bench.offered(), bench.has_failed()), ([1, 1, 1], true));
        let tried = if is_corrected { 3 } else { 2 };
        if is_corrected {
            bench.publish(1);
        } else {
            bench.after(1);
        }
        assert_eq!(bench.offered(), [tried, 1, 1], "a newer one carries the held rows, so it is on trial too");
        bench.durable(NODES[0], tried);
        bench.after(2);
        assert_eq!(bench.offered(), [tried; 3]);
    }
}

#[test]
fn one_canary_that_goes_may_have_lost_its_cable_and_the_second_may_not() {
    for (comes_back, seconds) in [(false, 11), (true, 1)] {
        let mut bench = Bench::new(3);
        bench.publish(1);
        bench.publish(1001);
        for (canary, others) in [(0, [1, 2]), (1, [0, 2])] {
            bench.given(NODES[canary], 2);
            bench.canaries.on_gone(NODES[canary], 1, bench.now);
            if comes_back {
                bench.line(NODES[canary], 2);
                bench.canaries.on_gone(NODES[canary], 1, bench.now);
                assert_eq!(bench.offered()[canary], 2, "the end of an old line says nothing of the new one");
                bench.canaries.on_gone(NODES[canary], 2, bench.now);
            }
            bench.after(seconds);
            if canary == 0 {
                assert_eq!((bench.offered(), bench.has_failed()), ([1, 2, 1], false), "the next one is asked");
            } else {
                assert!(bench.has_failed());
                assert_eq!(others.map(|other| bench.offered()[other]), [1, 1]);
                bench.after(60);
                assert_eq!(bench.offered(), [1, 1, 2], "nothing is held for ever because two cables were pulled");
            }
        }
    }
}

#[test]
fn what_nobody_was_given_is_tried_at_once_although_two_fell() {
    let mut bench = Bench::new(3);
    bench.publish(1);
    bench.publish(1001);
    for canary in [0, 1] {
        bench.given(NODES[canary], 2);
        bench.gone(NODES[canary], 1);
        bench.line(NODES[canary], 2);
        if canary == 1 {
            bench.publish(1001);
        }
        bench.gone(NODES[canary], 2);
    }
    assert!(bench.has_failed());
    assert_eq!(bench.offered(), [1, 1, 3], "the correction came before the second fall was known");
}

#[test]
fn an_agent_that_is_alone_is_asked_again_when_it_comes_back() {
    let mut bench = Bench::new(1);
    bench.publish(1001);
    bench.canaries.on_gone(NODES[0], 1, bench.now);
    bench.after(11);
    assert!(!bench.has_failed());
    bench.line(NODES[0], 2);
    assert_eq!(bench.offered(), [1, 0, 0]);
    bench.durable(NODES[0], 1);
    bench.after(2);
    assert_eq!(bench.offered(), [1, 1, 1]);
}

#[test]
fn a_slow_canary_is_followed_by_the_next_and_an_absent_one_by_the_first_to_come() {
    let mut bench = Bench::new(0);
    bench.publish(1001);
    assert_eq!(bench.offered(), [0, 0, 0]);
    bench.line(NODES[1], 1);
    assert_eq!(bench.offered(), [0, 1, 0]);
    bench.line(NODES[2], 1);
    bench.after(10);
    assert_eq!(bench.offered(), [0, 0, 1]);
    assert!(bench.canaries.songs().contains(&Song::Slow(Feed::ZONE, Generation(1), NODES[1])));
    bench.durable(NODES[2], 1);
    bench.after(2);
    assert_eq!(bench.offered(), [1, 1, 1]);
}

#[test]
fn a_restarted_master_tries_the_last_grave_generation_again() {
    let mut bench = Bench::new(0);
    bench.publish(1001);
    bench.publish(1);
    bench.canaries = Canaries::new(Arc::new(bench.latest.clone()));
    assert_eq!(bench.offered(), [0, 0, 0]);
    // Whoever has it on its disk already has only to stay well.
    bench.canaries.on_line(NODES[1], 1, BTreeMap::from([(Feed::ZONE, Generation(1))]), bench.now);
    bench.after(2);
    assert_eq!(bench.offered(), [2, 2, 2]);
}
