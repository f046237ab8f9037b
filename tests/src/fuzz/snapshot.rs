//! Everything that an agent reads of a snapshot before it may believe it: the trust, a base file, a log, rows, a manifest.
//!
//! The first byte chooses the reader, so that one target covers the formats that share their pieces.

use holdfast_proto::snapshot::file::{BaseFile, Chain, HEADER_BYTES, INDEX_BLOCK_BYTES, StoreKey, decode_frame, encode_base, encode_frame, v1};
use holdfast_proto::snapshot::{
    Base, BlockSource, Change, EncryptedField, Family, Feed, Grant, Head, Institution, Kind, RowRef, Rows, Sealed, SigningKey, Stamp, State, Table, Trust,
    TrustDraft, encode_changes, merge_payloads,
};
use holdfast_proto::words::{Epoch, UnixMillis};
use std::sync::{Arc, OnceLock};

/// A world with one root, one publisher and two generations.
struct World {
    trust: Trust,
    base: Vec<u8>,
    log: Vec<u8>,
    held: State,
}

/// Valid inputs, one for each reader and more than one frame in the log.
pub fn seeds() -> Vec<Vec<u8>> {
    let world = world();
    let rows = world.held.encode_rows().expect("it is in memory");
    let sealed = world.held.sealed().expect("the world is sealed").bytes().to_vec();
    let head = world.held.base().head().encode();
    let first_version = [b"HFBASE1\n", &sealed[..], &(rows.len() as u64).to_le_bytes(), &rows].concat();
    let first_version = [&first_version[..], blake3(&first_version).as_slice()].concat();
    let field = [&[1_u8][..], &[7; 8], &[9; 12], &[0; 16]].concat();
    let bodies = [world.trust.bytes().to_vec(), world.base.clone(), world.log.clone(), rows, sealed, field, head, first_version];
    bodies.into_iter().enumerate().map(|(reader, body)| [vec![reader as u8], body].concat()).collect()
}

/// Reads the bytes; what comes out believed must be exactly what was signed.
pub fn target(bytes: &[u8]) {
    let Some((reader, body)) = bytes.split_first() else { return };
    match reader % 8 {
        0 => read_trust(body),
        1 => read_base(body),
        2 => read_log(body),
        3 => read_rows(body),
        4 => read_sealed(body),
        5 => read_field(body),
        6 => read_head(body),
        _ => read_first_version(body),
    }
}

fn read_trust(bytes: &[u8]) {
    if let Ok(trust) = Trust::read(bytes) {
        assert_eq!(trust.bytes(), bytes, "a trust keeps the bytes that were signed");
    }
    // The world's root signed nothing newer, so nothing may follow.
    assert!(world().trust.follow(bytes).is_err(), "a trust was followed that no root signed");
}

/// A base file in memory.
#[derive(Debug)]
struct Image {
    bytes: Vec<u8>,
    index_at: u64,
    rows_at: u64,
}

impl Image {
    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let at = usize::try_from(at).ok()?;
        self.bytes.get(at..at.checked_add(len)?).map(<[u8]>::to_vec)
    }
}

impl BlockSource for Image {
    fn rows(&self, start: u64, len: usize) -> Option<Vec<u8>> {
        self.read(self.rows_at + start, len)
    }

    fn index(&self, number: usize) -> Option<Vec<u8>> {
        self.read(self.index_at + (number * INDEX_BLOCK_BYTES) as u64, INDEX_BLOCK_BYTES)
    }
}

/// Serves from the file as an agent would. One that nobody vouches for must still not make a reader fall over.
fn read_base(bytes: &[u8]) {
    let Some(front_len) = bytes.get(..HEADER_BYTES).and_then(|header| BaseFile::front_len(header).ok()) else { return };
    let Some(front) = usize::try_from(front_len).ok().and_then(|len| bytes.get(..len)) else { return };
    let Ok(front) = BaseFile::decode(front, &store_key()) else { return };
    let is_vouched = front.vouched().is_ok();
    let image = Image { bytes: bytes.to_vec(), index_at: front.index_at, rows_at: front.rows_at };
    let base = Base::on_disk(front.head, front.index_marks, Arc::new(image));
    let state = State::vouched(front.sealed, Arc::new(base));
    let found = state.view().get(Table(2), b"shared");
    if is_vouched && let Ok(found) = found {
        assert_eq!(Ok(found), world().held.view().get(Table(2), b"shared"), "a wrong answer was given");
    }
}

fn read_log(bytes: &[u8]) {
    let (mut state, mut at) = (State::empty(Feed::ZONE), 0);
    let (mut chain, mut again) = (Chain::after([0; 32], store_key()), Chain::after([0; 32], store_key()));
    while let Some(frame) = decode_frame(&mut chain, &bytes[at..]) {
        let encoded = encode_frame(&mut again, &frame.sealed, frame.merged, frame.from, frame.payload);
        assert_eq!(encoded, bytes[at..at + frame.len], "a frame has one encoding");
        at += frame.len;
        state = believed(state, &frame.sealed, frame.payload);
    }
    assert_not_newer(&state);
}

fn believed(state: State, sealed: &Sealed, payload: &[u8]) -> State {
    let Ok(opened) = world().trust.open(sealed) else { return state };
    let next = state.advance(&opened, payload).or_else(|_| state.advance_merged(&opened, payload));
    next.unwrap_or(state)
}

fn assert_not_newer(state: &State) {
    let held = &world().held;
    assert!(state.view().generation() <= held.view().generation(), "a generation was believed that nobody signed");
}

fn read_head(bytes: &[u8]) {
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.encode(), bytes, "a head has one encoding");
    }
}

fn read_first_version(bytes: &[u8]) {
    if let Ok((sealed, rows)) = v1::decode_base(bytes)
        && let Ok(opened) = world().trust.open(&sealed)
        && let Ok(state) = State::restore(&opened, rows)
    {
        assert_eq!(state.encode_rows().as_deref(), Ok(rows), "a state holds the rows that it was restored from");
    }
    let state = v1::frames(bytes).fold(State::empty(Feed::ZONE), |state, frame| believed(state, &frame.sealed, frame.payload));
    assert_not_newer(&state);
}

fn read_rows(bytes: &[u8]) {
    let rows: Result<Vec<RowRef<'_>>, _> = Rows::new(bytes).collect();
    if let Ok(rows) = rows {
        assert_eq!(encode_changes(rows).as_deref(), Ok(bytes), "rows have one encoding");
        assert_eq!(merge_payloads([bytes, bytes]).as_deref(), Ok(bytes), "rows merged with themselves are themselves");
    }
}

fn read_sealed(bytes: &[u8]) {
    let Ok(sealed) = Sealed::from_bytes(bytes) else { return };
    if let Ok(opened) = world().trust.open(&sealed) {
        assert_eq!(opened.manifest().encode(), bytes[..opened.manifest().encode().len()], "a manifest has one encoding");
        assert_eq!(opened.manifest().feed, Feed::ZONE, "the world's key signs zones alone");
    }
}

fn read_field(bytes: &[u8]) {
    if let Ok(field) = EncryptedField::from_bytes(bytes) {
        assert_eq!(field.bytes(), bytes);
        let _ = field.key_id();
    }
}

fn store_key() -> StoreKey {
    StoreKey::from_bytes([3; 32])
}

fn blake3(bytes: &[u8]) -> [u8; 32] {
    // The closing hash of the first version: the same as a block's mark.
    holdfast_proto::snapshot::BlockMark::of(bytes).hash
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(build)
}

fn build() -> World {
    let (root, publisher) = (key(1), key(2));
    let institution = Institution([5; 16]);
    let grant = Grant { key: publisher.public(), kind: Kind::Zone, family: Family::Whole };
    let draft = TrustDraft {
        version: 1,
        institution,
        name: "fuzz".into(),
        epoch: Epoch(1),
        threshold: 1,
        roots: vec![root.public()],
        grants: vec![grant],
        authorities: vec![b"an authority".to_vec()],
    };
    let trust = draft.sign(&[&root]).expect("the root signs");
    let stamp = Stamp { institution, epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
    let (mut held, mut log, mut base) = (State::empty(Feed::ZONE), Vec::new(), Vec::new());
    let mut chain = Chain::after([0; 32], store_key());
    for round in 1..=3_u8 {
        let changes = vec![Change::put(Table(1), [round], vec![round; 20]), Change::put(Table(2), *b"shared", [round])];
        let draft = held.compose(changes).expect("short rows").expect("a change");
        let (sealed, payload, next) = draft.seal(&publisher, stamp).expect("it is in memory");
        log.extend_from_slice(&encode_frame(&mut chain, &sealed, false, held.view().generation(), &payload));
        held = next.rebased().expect("it is in memory");
        base.clear();
        encode_base(&sealed, held.base(), &store_key(), &mut base).expect("a Vec takes it");
    }
    World { trust, base, log, held }
}

/// A key that is the same in every run, so that a failing input can be tried again.
fn key(seed: u8) -> SigningKey {
    /// RFC 8410 section 7: a PKCS #8 Ed25519 private key, up to its 32 bytes.
    const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    SigningKey::from_pkcs8(&[&PKCS8_HEAD[..], &[seed; 32]].concat()).expect("it is an Ed25519 key")
}
