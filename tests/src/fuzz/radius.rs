//! RADIUS: no datagram may panic the core, and whatever it replies must be a well-formed, signed reply to that request.

use holdfast_proto::radius::eap::{EapOutcome, Moment, Sessions, Surroundings};
use holdfast_proto::radius::packet::{Attributes, PACKET_LIMIT_BYTES, Packet, attribute, code, encode_request, hide_password, is_reply_to, reveal_password};
use holdfast_proto::radius::{
    ACCOUNT, Account, AccountState, FurtherVerifiers, Keys, MACHINE, Machine, NAS, Nas, NasMachines, NasRights, Outcome, Patience, Replied, Verdict, Watch,
    account_key, answer, nas_key,
};
use holdfast_proto::snapshot::{Change, DataKey, DataKeyRing, Feed, State, Table, View};
use holdfast_proto::words::{Mac, Secret};
use std::sync::LazyLock;
use std::time::Duration;

const AUTHENTICATOR: [u8; 16] = *b"0123456789abcdef";
const SECRET: &[u8] = b"testing123";
/// A NAS that must prove itself, so the mutator meets the wall, and one that need not, so it gets past it.
const PEERS: [&str; 2] = ["10.1.4.20:1024", "10.9.1.1:1024"];
/// A machine that the exempt NAS may ask of.
const MACHINE_NAME: &[u8] = b"02-00-00-00-00-01";

struct World {
    people: View,
    access: View,
    keys: Keys,
}

static WORLD: LazyLock<World> = LazyLock::new(world);

fn world() -> World {
    let key = DataKey::from_bytes([7; 32]);
    let field = |table: Table, row_key: &[u8], plain: &[u8]| key.encrypt(table, row_key, plain).expect("a key that encrypts");
    let account = |name: &str, state| {
        let row_key = account_key(name);
        let account =
            Account { state, verifier: field(ACCOUNT, &row_key, b"$argon2id$"), further: FurtherVerifiers::default(), attributes: vec![6, 6, 0, 0, 0, 2] };
        Change::put(ACCOUNT, row_key, account.encode())
    };
    let nas = |net: &str, require_message_authenticator| {
        let row_key = nas_key(net.parse().expect("a network"));
        let nas = Nas {
            name: net.to_owned(),
            secret: field(NAS, &row_key, SECRET),
            require_message_authenticator,
            has_former_secret: false,
            rights: NasRights {
                chap: true,
                machines: Some(NasMachines { campus: "north".to_owned(), guest_vlan: None }).filter(|_| !require_message_authenticator),
            },
        };
        Change::put(NAS, row_key, nas.encode())
    };
    let machine = Machine { vlan: Some(200), places: vec![("north".to_owned(), 104)] };
    let machine = Change::put(MACHINE, [2, 0, 0, 0, 0, 1], machine.encode());
    let view = |feed, changes| State::empty(feed).compose(changes).expect("short rows").expect("a change").into_view();
    World {
        people: view(Feed::PEOPLE, vec![account("ada", AccountState::Active), account("old", AccountState::Suspended)]),
        access: view(Feed::ACCESS, vec![nas("10.1.4.20/32", true), nas("10.9.0.0/16", false), machine]),
        keys: Keys { people: DataKeyRing::of([key.clone()]), access: DataKeyRing::of([key]) },
    }
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

/// Valid requests of every kind, and rows.
pub fn seeds() -> Vec<Vec<u8>> {
    let secret = Secret::new(SECRET);
    let hidden = |password: &[u8]| tlv(attribute::USER_PASSWORD, &hide_password(password, &secret, &AUTHENTICATOR).expect("a short password"));
    let name = |name: &[u8]| tlv(attribute::USER_NAME, name);
    let proxied = [tlv(attribute::PROXY_STATE, b"inner"), name(b"ada"), hidden(b"right"), tlv(attribute::PROXY_STATE, b"outer")].concat();
    let bodies = [
        [name(b"ada"), hidden(b"right")].concat(),
        [name(b"old"), hidden(&[b'x'; 128])].concat(),
        [name(b"nobody"), hidden(b"")].concat(),
        [name(b"ada"), tlv(attribute::CHAP_PASSWORD, &[0; 17])].concat(),
        [name(b"ada"), tlv(attribute::EAP_MESSAGE, &[2, 9, 0, 8, 1, b'a', b'd', b'a'])].concat(),
        proxied,
        [name(MACHINE_NAME), hidden(MACHINE_NAME), tlv(attribute::SERVICE_TYPE, &[0, 0, 0, 10])].concat(),
    ];
    let request = |code, body: &[u8]| encode_request(code, 42, &AUTHENTICATOR, body, &secret).expect("a short request");
    let mut seeds: Vec<_> = bodies.iter().map(|body| request(code::ACCESS_REQUEST, body)).collect();
    seeds.push(request(code::STATUS_SERVER, &[]));
    seeds.extend([unproven(&bodies[0]), unproven(&bodies[6])]);
    seeds
        .extend(WORLD.people.iter(ACCOUNT).chain(WORLD.access.iter(NAS)).chain(WORLD.access.iter(MACHINE)).map(|row| row.expect("it is in memory").1.to_vec()));
    seeds
}

/// A request without Message-Authenticator, as only the exempt NAS may send it.
fn unproven(body: &[u8]) -> Vec<u8> {
    let len = (20 + body.len()) as u16;
    [&[code::ACCESS_REQUEST, 42][..], &len.to_be_bytes(), &AUTHENTICATOR, body].concat()
}

/// Any bytes as a datagram of both NASs, as rows and as a hidden password.
pub fn target(bytes: &[u8]) {
    for peer in PEERS {
        ask(bytes, peer);
    }
    // Mutated bytes seldom carry a right HMAC: signed anew, they reach what lies behind the check.
    if let Ok(packet) = Packet::parse(bytes) {
        let body: Vec<u8> =
            packet.attributes().filter(|found| found.kind != attribute::MESSAGE_AUTHENTICATOR).flat_map(|found| tlv(found.kind, found.value)).collect();
        if let Ok(signed) = encode_request(packet.code(), packet.id(), &packet.authenticator(), &body, &Secret::new(SECRET)) {
            ask(&signed, PEERS[0]);
        }
    }
    rows(bytes);
    let _ = reveal_password(bytes, &Secret::new(SECRET), &AUTHENTICATOR);
}

fn ask(bytes: &[u8], peer: &str) {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let peer = peer.parse().expect("an address");
    let patience = Patience::default();
    let watch = Watch { patience: &patience, now: Duration::ZERO };
    let mut answered = |datagram: &[u8], verified| match answer(&WORLD.people, &WORLD.access, &WORLD.keys, datagram, peer, watch, &mut out) {
        Outcome::Silent(_) => None,
        Outcome::Replied(replied) => Some((replied, out)),
        // What a conversation makes of it is tried by a target of its own; without a certificate it is refused.
        Outcome::Eap(request) => {
            let with = Surroundings { people: &WORLD.people, keys: &WORLD.keys, tls: None, patience: &patience };
            match Sessions::default().on_request(*request, &with, &Moment { now: Duration::ZERO, random: [7; 32] }, &mut out) {
                EapOutcome::Replied(replied, _) => Some((replied, out)),
                other => panic!("EAP without a certificate: {other:?}"),
            }
        }
        Outcome::Check(check) => {
            assert!(!check.password().expose().is_empty(), "an empty password was let through");
            Some((check.conclude(verified, &mut out), out))
        }
    };
    for verified in [false, true] {
        let Some((replied, reply)) = answered(bytes, verified) else { return };
        judge(bytes, &reply[..replied.len], replied, verified);
        let again = answered(bytes, verified).expect("the same packet, the same outcome");
        assert_eq!((again.0, &again.1[..replied.len]), (replied, &reply[..replied.len]), "the same packet, the same bytes");
    }
}

fn judge(request: &[u8], reply: &[u8], replied: Replied, verified: bool) {
    let request = Packet::parse(request).expect("only packets are answered");
    assert!(is_reply_to(reply, &request.authenticator(), &Secret::new(SECRET)), "the reply is not signed");
    let reply = Packet::parse(reply).expect("the reply is a packet");
    assert_eq!(reply.attributes().next().map(|first| first.kind), Some(attribute::MESSAGE_AUTHENTICATOR), "Message-Authenticator stands first");
    assert!(reply.values(attribute::PROXY_STATE).eq(request.values(attribute::PROXY_STATE)), "Proxy-State was touched");
    let names_a_machine = || std::str::from_utf8(request.values(attribute::USER_NAME).next()?).ok()?.trim().parse::<Mac>().ok();
    let is_machine = names_a_machine() == Some(Mac([2, 0, 0, 0, 0, 1]));
    assert!(replied.verdict != Verdict::Accept || verified || is_machine, "accepted without a right password");
}

fn rows(bytes: &[u8]) {
    if let Ok(account) = Account::decode(bytes) {
        assert_eq!(account.encode(), bytes, "a row has one encoding");
        assert!(Attributes::check(&account.attributes).is_ok());
    }
    if let Ok(nas) = Nas::decode(bytes) {
        assert_eq!(nas.encode(), bytes, "a row has one encoding");
    }
    if let Ok(machine) = Machine::decode(bytes) {
        assert_eq!(machine.encode(), bytes, "a row has one encoding");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_pass() {
        super::seeds().iter().for_each(|seed| super::target(seed));
    }
}
