//! Accounting: no datagram may panic the core, what it keeps is read back as it was, holds nothing that it was not to keep, and its reply
//! is one to that request.

use holdfast_proto::radius::accounting::{ACCOUNTING_REQUEST, Arrival, KEPT, Outcome, Record, account, encode_request, is_reply_to};
use holdfast_proto::radius::packet::{Attributes, Packet, attribute, code, encode_request as encode_question};
use holdfast_proto::radius::{NAS, Nas, NasRights, nas_key};
use holdfast_proto::snapshot::{Change, DataKey, DataKeyRing, Feed, State, View};
use holdfast_proto::words::Secret;
use std::sync::LazyLock;

const SECRET: &[u8] = b"testing123";
const PEER: &str = "10.1.4.20:1646";

static WORLD: LazyLock<(View, DataKeyRing)> = LazyLock::new(|| {
    let (key, row_key) = (DataKey::from_bytes([7; 32]), nas_key("10.1.4.0/24".parse().expect("a network")));
    let secret = key.encrypt(NAS, &row_key, SECRET).expect("a key that encrypts");
    let row = Change::put(
        NAS,
        row_key,
        Nas { name: "annex".into(), secret, require_message_authenticator: true, has_former_secret: false, rights: NasRights::default() }.encode(),
    );
    let view = State::empty(Feed::ACCESS).compose(vec![row]).expect("short rows").expect("a change").into_view();
    (view, DataKeyRing::of([key]))
});

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

/// Requests of every kind, a question whether we live, and a record.
pub fn seeds() -> Vec<Vec<u8>> {
    let secret = Secret::new(SECRET);
    let all = |status: u32| {
        let fixed = [tlv(40, &status.to_be_bytes()), tlv(44, b"s1"), tlv(1, b"ada"), tlv(2, &[9; 16]), tlv(33, b"outer"), tlv(8, &[10, 1, 6, 7])];
        let numbers = [5u8, 41, 42, 43, 46, 49, 52, 53, 55].map(|kind| tlv(kind, &u32::from(kind).to_be_bytes()));
        [fixed.concat(), numbers.concat(), tlv(97, &[0, 48, 0x20, 1]), tlv(31, b"02-00-00-00-00-09")].concat()
    };
    let mut seeds: Vec<Vec<u8>> = [1, 2, 3, 7, 8, 15].map(|status| encode_request(7, &all(status), &secret)).into();
    seeds.push(encode_question(code::STATUS_SERVER, 7, &[9; 16], &[], &secret).expect("a short question"));
    seeds.extend(ask(&seeds[0]).map(|record| record.encode()));
    seeds
}

/// Any bytes as a datagram, as they are and with a right authenticator, and as a record.
pub fn target(bytes: &[u8]) {
    ask(bytes);
    if let Ok(packet) = Packet::parse(bytes) {
        let attributes: Vec<u8> =
            packet.attributes().filter(|found| found.kind != attribute::MESSAGE_AUTHENTICATOR).flat_map(|found| tlv(found.kind, found.value)).collect();
        ask(&encode_request(packet.id(), &attributes, &Secret::new(SECRET)));
    }
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(record.encode(), bytes, "a record has one encoding");
        let _ = record.told();
    }
}

fn ask(bytes: &[u8]) -> Option<Record> {
    let (view, keys) = &*WORLD;
    let secret = Secret::new(SECRET);
    match account(view, keys, bytes, PEER.parse().expect("an address"), Arrival::default()) {
        Outcome::Silent(_) => None,
        Outcome::Alive(reply) => {
            assert!(is_reply_to(&reply, bytes, &secret) && bytes[0] == code::STATUS_SERVER);
            None
        }
        Outcome::Keep(pending) => {
            assert!(is_reply_to(&pending.reply, bytes, &secret) && bytes[0] == ACCOUNTING_REQUEST);
            let record = pending.record;
            assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(&record));
            let mut kept = Attributes::check(&record.attributes).expect("attributes from end to end");
            assert!(kept.all(|found| KEPT.contains(&found.kind)), "something was kept that was not to be");
            Some(record)
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_pass() {
        super::seeds().iter().for_each(|seed| super::target(seed));
    }
}
