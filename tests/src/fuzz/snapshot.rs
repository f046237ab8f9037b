//! Everything that an agent reads of a snapshot before it may believe it: the trust, a base file, a log, rows, a manifest.
//!
//! The first byte chooses the reader, so that one target covers the formats that share their pieces.

use holdfast_proto::snapshot::{
    Change, EncryptedField, Family, Feed, Grant, Institution, Kind, RowRef, Rows, Sealed, SigningKey, Stamp, State, Table, Trust, TrustDraft, encode_changes,
    file,
};
use holdfast_proto::words::{Epoch, UnixMillis};
use std::sync::OnceLock;

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
    let rows = world.held.encode_rows();
    let sealed = world.held.sealed().expect("the world is sealed").bytes().to_vec();
    let first = file::frames(&world.log).next().expect("the log has frames");
    let whole = [&sealed[..], &rows].concat();
    let framed = [first.sealed.bytes(), first.payload].concat();
    let field = [&[1_u8][..], &[7; 8], &[9; 12], &[0; 16]].concat();
    let bodies = [world.trust.bytes().to_vec(), world.base.clone(), world.log.clone(), rows, sealed, field, whole, framed];
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
        // A closing hash lets hardly a mutation through; these two close what the mutator has opened.
        6 => read_closed(body, |sealed, rows| read_base(&file::encode_base(sealed, rows))),
        _ => read_closed(body, |sealed, payload| read_log(&file::encode_frame(sealed, payload))),
    }
}

fn read_trust(bytes: &[u8]) {
    if let Ok(trust) = Trust::read(bytes) {
        assert_eq!(trust.bytes(), bytes, "a trust keeps the bytes that were signed");
    }
    // The world's root signed nothing newer, so nothing may follow.
    assert!(world().trust.follow(bytes).is_err(), "a trust was followed that no root signed");
}

fn read_base(bytes: &[u8]) {
    let Ok((sealed, rows)) = file::decode_base(bytes) else { return };
    assert_eq!(file::encode_base(&sealed, rows), bytes, "a base file has one encoding");
    let Ok(opened) = world().trust.open(&sealed) else { return };
    if let Ok(state) = State::restore(&opened, rows.to_vec()) {
        assert_eq!(state.encode_rows(), rows, "a state holds the rows that it was restored from");
    }
}

fn read_log(bytes: &[u8]) {
    let (mut state, mut end) = (State::empty(Feed::ZONE), 0);
    for frame in file::frames(bytes) {
        assert_eq!(file::encode_frame(&frame.sealed, frame.payload), bytes[end..frame.end], "a frame has one encoding");
        end = frame.end;
        let Ok(opened) = world().trust.open(&frame.sealed) else { continue };
        let next = state.advance(&opened, frame.payload);
        state = next.unwrap_or(state);
    }
    let held = &world().held;
    assert!(state.view().generation() <= held.view().generation(), "a generation was believed that nobody signed");
}

fn read_rows(bytes: &[u8]) {
    let rows: Result<Vec<RowRef<'_>>, _> = Rows::new(bytes).collect();
    if let Ok(rows) = rows {
        assert_eq!(encode_changes(rows).as_deref(), Ok(bytes), "rows have one encoding");
    }
}

fn read_sealed(bytes: &[u8]) {
    let Ok(sealed) = Sealed::from_bytes(bytes) else { return };
    if let Ok(opened) = world().trust.open(&sealed) {
        assert_eq!(opened.manifest().encode(), bytes[..opened.manifest().encode().len()], "a manifest has one encoding");
        assert_eq!(opened.manifest().feed, Feed::ZONE, "the world's key signs zones alone");
    }
}

fn read_closed(bytes: &[u8], read: impl Fn(&Sealed, &[u8])) {
    let Some((sealed, rest)) = bytes.split_at_checked(Sealed::BYTES) else { return };
    read(&Sealed::from_bytes(sealed).expect("it has the length"), rest);
}

fn read_field(bytes: &[u8]) {
    if let Ok(field) = EncryptedField::from_bytes(bytes) {
        assert_eq!(field.bytes(), bytes);
        let _ = field.key_id();
    }
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
    for round in 1..=3_u8 {
        let changes = vec![Change::put(Table(1), [round], vec![round; 20]), Change::put(Table(2), *b"shared", [round])];
        let draft = held.compose(changes).expect("short rows").expect("a change");
        let (sealed, payload, next) = draft.seal(&publisher, stamp);
        log.extend_from_slice(&file::encode_frame(&sealed, &payload));
        base = file::encode_base(&sealed, &next.encode_rows());
        held = next;
    }
    World { trust, base, log, held }
}

/// A key that is the same in every run, so that a failing input can be tried again.
fn key(seed: u8) -> SigningKey {
    /// RFC 8410 section 7: a PKCS #8 Ed25519 private key, up to its 32 bytes.
    const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    SigningKey::from_pkcs8(&[&PKCS8_HEAD[..], &[seed; 32]].concat()).expect("it is an Ed25519 key")
}
