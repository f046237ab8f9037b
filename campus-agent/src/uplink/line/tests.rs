use super::*;
use holdfast_proto::control::{Offer, ReportAck, pack};
use holdfast_proto::snapshot::{Family, Grant, Institution, Kind, SignedHeartbeat, SigningKey, TrustDraft};

/// A master's key, what the agent believes, and a line.
struct Bench {
    key: SigningKey,
    trust: Trust,
    line: Line,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let key = SigningKey::generate().unwrap().0;
        let grants = vec![Grant { key: key.public(), kind: Kind::Trust, family: Family::Whole }];
        let (institution, name) = (Institution([1; 16]), "University of Examples".to_owned());
        let draft = TrustDraft { version: 1, institution, name, epoch: Epoch(1), threshold: 1, roots: vec![key.public()], grants, authorities: Vec::new() };
        let now = Instant::now();
        Self { trust: draft.sign(&[&key]).unwrap(), key, line: Line::begin(Feed::ALL, UnixMillis(100), now), now }
    }

    fn hear(&mut self, message: from_master::Message) -> Result<Vec<Output>, Broken> {
        let mut out = Vec::new();
        self.line.on_message(FromMaster { message: Some(message) }, &self.trust, self.now, &mut out).map(|()| out)
    }

    fn heartbeat(&mut self, signed: Vec<u8>) -> Vec<Output> {
        self.hear(from_master::Message::Heartbeat(Heartbeat {
            now_ms: u64::MAX,
            latest: Vec::new(),
            signed,
            echo: 0,
            takes_leases: false,
            takes_accounting: false,
        }))
        .unwrap()
    }

    fn signed(&self, time: u64) -> Vec<u8> {
        SignedHeartbeat { institution: Institution([1; 16]), time: UnixMillis(time), newest: Vec::new() }.seal(&self.key)
    }

    fn after(&mut self, seconds: u64) -> Result<Vec<Output>, Broken> {
        self.now += Duration::from_secs(seconds);
        let mut out = Vec::new();
        self.line.on_tick(self.now, &mut out).map(|()| out)
    }
}

#[test]
fn a_silent_master_is_given_up() {
    let mut bench = Bench::new();
    assert_eq!(bench.after(4), Ok(Vec::new()));
    bench.heartbeat(Vec::new());
    assert_eq!(bench.after(4), Ok(Vec::new()));
    assert_eq!(bench.after(1), Err(Broken::Silent));
}

#[test]
fn time_is_learned_from_signed_words_alone_and_only_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.heartbeat(Vec::new()), [Output::Connected, Output::Wanted(Vec::new())]);
    let word = bench.signed(200);
    assert_eq!(bench.heartbeat(word.clone())[1..], [Output::Learn(UnixMillis(200))]);
    assert_eq!(bench.heartbeat(word).len(), 1, "a repeated word is no news");
    let older = bench.signed(150);
    assert_eq!(bench.heartbeat(older).len(), 1);
    let forged = SignedHeartbeat { institution: Institution([1; 16]), time: UnixMillis(300), newest: Vec::new() }.seal(&SigningKey::generate().unwrap().0);
    assert!(matches!(bench.heartbeat(forged.clone())[..], [_, Output::Raise("heartbeat_refused", _)]));
    assert_eq!(bench.heartbeat(forged).len(), 1, "said once for each line");
}

#[test]
fn a_line_that_repeats_the_past_is_noticed_and_so_is_its_end() {
    let mut bench = Bench::new();
    let old = bench.signed(200);
    let mut raised = Vec::new();
    for _ in 0..40 {
        raised.extend(bench.after(1).unwrap());
        raised.extend(bench.heartbeat(old.clone()).into_iter().filter(|output| matches!(output, Output::Stale(_))));
    }
    assert!(matches!(raised[..], [Output::Stale(true), Output::Raise("line_is_stale", _)]));
    let newer = bench.signed(201);
    assert_eq!(bench.heartbeat(newer)[1..], [Output::Learn(UnixMillis(201)), Output::Stale(false)]);
}

#[test]
fn what_the_store_says_is_what_the_master_hears() {
    let mut bench = Bench::new();
    let packed = pack(vec![7; 5000].into());
    let (payload, compression) = (packed.bytes, packed.compression.into());
    let frame = Frame { feed: Some(Feed::ZONE.into()), sealed: Bytes::from_static(b"sealed"), payload, compression, ..Frame::default() };
    let taken = bench.hear(from_master::Message::Frame(frame)).unwrap();
    assert_eq!(taken, [Output::Take { feed: Feed::ZONE, sealed: Bytes::from_static(b"sealed"), payload: vec![7; 5000].into(), merged: false }]);
    let mut out = Vec::new();
    let (generation, applied, durable) = (Generation(9), Generation(8), Generation(7));
    bench.line.on_taken(Feed::ZONE, Taken::Held { epoch: Epoch(1), generation, applied, durable }, &mut out);
    let ack = Ack { feed: Some(Feed::ZONE.into()), epoch: 1, applied: 8, durable: 7, taken: 9 };
    assert_eq!(out, [Output::Send(FromAgent { message: Some(from_agent::Message::Ack(ack)) })]);
}

fn offer() -> from_master::Message {
    from_master::Message::Offer(Offer { feed: Some(Feed::ZONE.into()) })
}

fn a_frame() -> from_master::Message {
    from_master::Message::Frame(Frame { feed: Some(Feed::ZONE.into()), ..Frame::default() })
}

fn is_refused() -> Taken {
    Taken::Refused { held: Generation(1), reason: "other digest".to_owned(), wants_whole: true }
}

fn is_held() -> Taken {
    let generation = Generation(2);
    Taken::Held { epoch: Epoch(1), generation, applied: generation, durable: generation }
}

impl Bench {
    /// What comes of the store's answer, but for what people are told.
    fn taken(&mut self, feed: Feed, taken: Taken) -> Vec<Output> {
        let mut out = Vec::new();
        self.line.on_taken(feed, taken, &mut out);
        out.retain(|output| !matches!(output, Output::Raise(..)));
        out
    }
}

/// Whether the master is asked for the whole snapshot.
fn wishes(out: &[Output]) -> Vec<bool> {
    let wish = |output: &Output| match output {
        Output::Send(FromAgent { message: Some(from_agent::Message::Refused(refused)) }) => Some(refused.want_full),
        _ => None,
    };
    out.iter().filter_map(wish).collect()
}

#[test]
fn a_whole_snapshot_is_asked_for_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.hear(offer()), Ok(vec![Output::Mend(Feed::ZONE)]), "the rows that differ are asked for first");
    let mut out = Vec::new();
    bench.line.on_no_buckets(Feed::ZONE, &mut out);
    assert_eq!(out, [Output::Fetch(Feed::ZONE)]);
    assert_eq!(wishes(&bench.taken(Feed::ZONE, is_refused())), [false], "a whole snapshot that is no good does not become better by being sent again");
    assert_eq!(wishes(&bench.taken(Feed::ACCESS, is_refused())), [true]);
}

#[test]
fn who_goes_astray_is_mended_first_and_fetches_the_whole_snapshot_after_a_second_failure() {
    let mut bench = Bench::new();
    // The rows of buckets do not lead there either.
    bench.hear(offer()).unwrap();
    assert_eq!(bench.taken(Feed::ZONE, is_refused()), [Output::Fetch(Feed::ZONE)], "the master need not be asked again");
    bench.taken(Feed::ZONE, is_held());
    // They do, and the next frame shows that something is wrong all the same.
    assert_eq!(bench.hear(offer()), Ok(vec![Output::Mend(Feed::ZONE)]));
    bench.taken(Feed::ZONE, is_held());
    bench.hear(a_frame()).unwrap();
    assert_eq!(wishes(&bench.taken(Feed::ZONE, is_refused())), [true]);
    assert_eq!(bench.hear(offer()), Ok(vec![Output::Fetch(Feed::ZONE)]));
    bench.taken(Feed::ZONE, is_held());
    // All was well for a while.
    for _ in 0..2 {
        assert_eq!(bench.hear(offer()), Ok(vec![Output::Mend(Feed::ZONE)]));
        bench.taken(Feed::ZONE, is_held());
        bench.hear(a_frame()).unwrap();
        bench.taken(Feed::ZONE, is_held());
        bench.hear(a_frame()).unwrap();
        assert_eq!(wishes(&bench.taken(Feed::ZONE, is_refused())), [true]);
    }
}

#[test]
fn what_breaks_the_rules_ends_the_line() {
    let mut bench = Bench::new();
    let foreign = holdfast_proto::control::Feed { kind: 77, family: 0, cut: 0 };
    assert_eq!(bench.hear(from_master::Message::Frame(Frame { feed: Some(foreign), ..Frame::default() })), Err(Broken::ForeignFeed));
    let torn = Frame { feed: Some(Feed::ZONE.into()), payload: Bytes::from_static(b"torn"), compression: 1, ..Frame::default() };
    assert!(matches!(bench.hear(from_master::Message::Frame(torn)), Err(Broken::Unpack(_))));
    assert_eq!(bench.hear(from_master::Message::Offer(Offer { feed: Some(foreign) })), Err(Broken::ForeignFeed));
    assert_eq!(bench.line.on_message(FromMaster { message: None }, &bench.trust, bench.now, &mut Vec::new()), Err(Broken::Empty));
    let ack = ReportAck { spool_id: vec![1], sequence: 5 };
    assert_eq!(bench.hear(from_master::Message::ReportAck(ack)), Ok(vec![Output::Delivered { spool_id: vec![1], sequence: 5 }]));
}
