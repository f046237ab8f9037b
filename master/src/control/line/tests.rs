use super::*;
use crate::publish::{Frame as PublishedFrame, Latest};
use holdfast_proto::snapshot::{Change, Institution, SigningKey, Stamp, Table};
use std::sync::Arc;

const NODE: NodeId = NodeId([1; 16]);

/// A publisher, one agent's line and a clock.
struct Bench {
    key: SigningKey,
    latest: Latest,
    now: Instant,
}

impl Bench {
    fn new(generations: u32) -> Self {
        let mut bench = Self { key: SigningKey::generate().unwrap().0, latest: Latest::empty(), now: Instant::now() };
        (0..generations).for_each(|_| bench.publish());
        bench
    }

    fn publish(&mut self) {
        let state = self.latest.state(Feed::ZONE);
        let parent = state.view().generation();
        let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
        let (sealed, payload, next) = state.compose(vec![Change::put(Table(1), parent.0.to_be_bytes(), "x")]).unwrap().unwrap().seal(&self.key, stamp).unwrap();
        let generation = next.view().generation();
        self.latest =
            self.latest.with(PublishedFrame { parent, epoch: Epoch(1), generation, sealed: sealed.bytes().to_vec(), payload, needs_canary: false }, next);
    }

    fn gate(&self) -> Gate {
        Gate::open(Arc::new(self.latest.clone()))
    }

    /// An agent that says it is at this generation of the zone feed.
    fn line_at(&self, generation: u64, digest: &[u8]) -> (Line, Vec<Output>) {
        self.line_showing(generation, digest, Vec::new())
    }

    /// And shows what was signed.
    fn line_showing(&self, generation: u64, digest: &[u8], sealed: Vec<u8>) -> (Line, Vec<Output>) {
        let position = Position { feed: Some(Feed::ZONE.into()), epoch: 1, generation, digest: digest.to_vec(), durable: generation, sealed };
        let hello = Hello { positions: vec![position], ..Hello::default() };
        let mut out = Vec::new();
        let line = Line::begin(NODE, &hello, &self.gate(), self.now, &mut out);
        (line, out)
    }

    /// What is sent now: (from, whether it was merged), or `None` for the offer of a whole snapshot.
    fn sent(&self, line: &mut Line) -> Vec<Option<(u64, bool)>> {
        let mut out = Vec::new();
        line.send_what_is_due(&self.gate(), self.now, &mut out);
        let shown = |output| match output {
            Output::Send(FromMaster { message: Some(from_master::Message::Frame(frame)) }) => Some((frame.from_generation, frame.merged)),
            Output::Send(FromMaster { message: Some(from_master::Message::Offer(_)) }) => None,
            other => panic!("{other:?}"),
        };
        out.into_iter().map(shown).collect()
    }

    fn hear(&self, line: &mut Line, message: from_agent::Message) -> Vec<Output> {
        let mut out = Vec::new();
        line.on_message(Some(message), &self.gate(), self.now, &mut out).unwrap();
        out
    }
}

fn ack(taken: u64, durable: u64) -> from_agent::Message {
    from_agent::Message::Ack(Ack { feed: Some(Feed::ZONE.into()), epoch: 1, taken, applied: taken, durable })
}

fn refused(want_full: bool) -> from_agent::Message {
    from_agent::Message::Refused(Refused { feed: Some(Feed::ZONE.into()), generation: 1, reason: "other digest".to_owned(), want_full })
}

fn remembered(outputs: &[Output]) -> Vec<(u64, u64)> {
    outputs.iter().filter_map(|output| if let Output::Remember { applied, durable, .. } = output { Some((applied.0, durable.0)) } else { None }).collect()
}

#[test]
fn the_next_frame_waits_for_the_acknowledgement_and_then_carries_all_that_was_missed() {
    let mut bench = Bench::new(3);
    let (mut line, _) = bench.line_at(2, &[]);
    assert_eq!(bench.sent(&mut line), [Some((2, false))]);
    (0..5).for_each(|_| bench.publish());
    assert_eq!((bench.sent(&mut line), line.under_way()), (vec![], 1));
    assert_eq!(remembered(&bench.hear(&mut line, ack(3, 2))), [(3, 2)]);
    assert_eq!(bench.sent(&mut line), [Some((3, true))]);
    assert_eq!(remembered(&bench.hear(&mut line, ack(8, 8))), [(8, 8)]);
    assert_eq!((bench.sent(&mut line), line.under_way()), (vec![], 0));
}

#[test]
fn only_what_was_sent_can_be_acknowledged() {
    let bench = Bench::new(3);
    let (mut line, _) = bench.line_at(2, &[]);
    bench.sent(&mut line);
    assert!(bench.hear(&mut line, ack(77, 77)).is_empty());
    assert_eq!(remembered(&bench.hear(&mut line, ack(2, 99))), [(2, 2)], "disk and services come up to what was taken before, and no further");
    assert_eq!(line.under_way(), 1);
    let foreign = Ack { feed: Some(holdfast_proto::control::Feed { kind: 99, family: 0, cut: 0 }), ..Ack::default() };
    assert!(bench.hear(&mut line, from_agent::Message::Ack(foreign)).is_empty());
}

#[test]
fn a_box_that_keeps_everything_out_is_tried_again_with_something_newer_or_later() {
    let mut bench = Bench::new(3);
    let (mut line, _) = bench.line_at(2, &[]);
    bench.sent(&mut line);
    bench.hear(&mut line, refused(true));
    assert_eq!(bench.sent(&mut line), [None], "the whole snapshot is offered once");
    bench.hear(&mut line, refused(true));
    assert_eq!(bench.sent(&mut line), []);
    bench.publish();
    assert_eq!(bench.sent(&mut line), [Some((2, true))]);
    bench.hear(&mut line, refused(false));
    assert_eq!(bench.sent(&mut line), []);
    bench.now += STUCK_RETRY;
    assert_eq!(bench.sent(&mut line), [Some((2, true))], "what was refused for a passing reason is not refused for ever");
}

#[test]
fn a_whole_snapshot_may_be_older_than_the_newest_and_frames_lead_on_from_it() {
    let mut bench = Bench::new(3);
    let (mut line, _) = bench.line_at(3, b"another digest");
    assert_eq!(bench.sent(&mut line), [None], "who is where we are must hold what we hold");
    bench.publish();
    assert_eq!(bench.sent(&mut line), []);
    bench.hear(&mut line, ack(3, 3));
    assert_eq!(bench.sent(&mut line), [Some((3, false))]);
}

#[test]
fn an_agent_ahead_of_us_is_told_of_and_gets_nothing() {
    let bench = Bench::new(3);
    let (mut line, out) = bench.line_at(4, &[]);
    assert!(matches!(out[..], [Output::IsAhead { feed: Feed::ZONE, generation: Generation(4), .. }]));
    assert_eq!(bench.sent(&mut line), []);
}

#[test]
fn an_agent_of_another_history_is_told_of_and_gets_nothing() {
    let (ours, theirs) = (Bench::new(3), Bench::new(2));
    let shown = |bench: &Bench| bench.latest.feeds[&Feed::ZONE].sealed_at(Epoch(1), Generation(2)).unwrap().to_vec();
    let (mut line, out) = ours.line_showing(2, &[], shown(&theirs));
    assert!(matches!(out[..], [Output::IsAhead { feed: Feed::ZONE, generation: Generation(2), .. }, Output::Remember { .. }]));
    assert_eq!(ours.sent(&mut line), [], "it would not lead on from there, and the whole would replace what it was told");
    let (mut line, _) = ours.line_showing(2, &[], shown(&ours));
    assert_eq!(ours.sent(&mut line), [Some((2, false))]);
}

#[test]
fn a_heartbeat_comes_every_second_and_a_signed_word_once() {
    let mut bench = Bench::new(1);
    let (mut line, _) = bench.line_at(1, &[]);
    let mut beat = |millis: u64, word: &'static [u8]| {
        bench.now += Duration::from_millis(millis);
        let mut out = Vec::new();
        line.on_tick(bench.now, UnixMillis(7), &Bytes::from_static(word), &bench.gate(), &mut out);
        out.into_iter()
            .map(|output| match output {
                Output::Send(FromMaster { message: Some(from_master::Message::Heartbeat(heartbeat)) }) => heartbeat.signed,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(beat(0, b"word"), [b"word"]);
    assert!(beat(500, b"word").is_empty());
    assert_eq!(beat(500, b"word"), [b""]);
    assert_eq!(beat(1000, b"later"), [b"later"]);
}

#[test]
fn a_line_begins_once() {
    let bench = Bench::new(1);
    let (mut line, _) = bench.line_at(1, &[]);
    let wrong = line.on_message(Some(from_agent::Message::Hello(Hello::default())), &bench.gate(), bench.now, &mut Vec::new());
    assert_eq!(wrong, Err(Misspoken::Hello));
    assert_eq!(line.on_message(None, &bench.gate(), bench.now, &mut Vec::new()), Err(Misspoken::Empty));
}
