//! EAP: no bytes may panic a conversation, neither as packets nor as what is said through its tunnel, and nobody is let in who did
//! not prove who they are.

use holdfast_proto::net::clock::WallClock;
use holdfast_proto::net::tls::provider;
use holdfast_proto::radius::eap::{Authorities, EapOutcome, EapTls, Moment, Sessions, Surroundings};
use holdfast_proto::radius::packet::{PACKET_LIMIT_BYTES, Packet, attribute, encode_request, is_reply_to};
use holdfast_proto::radius::{
    ACCOUNT, Account, AccountState, FurtherVerifiers, Keys, NAS, Nas, NasRights, Outcome, Patience, Verdict, Watch, account_key, answer, nas_key, nt_hash_key,
};
use holdfast_proto::snapshot::{Change, DataKey, DataKeyRing, Feed, State, View};
use holdfast_proto::words::Secret;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const AUTHENTICATOR: [u8; 16] = *b"0123456789abcdef";
const SECRET: &[u8] = b"testing123";
const TTLS: u8 = 21;
const PEAP: u8 = 25;
/// As much as a conversation takes in one try.
const PACKETS: usize = 8;

struct World {
    people: View,
    access: View,
    keys: Keys,
    tls: EapTls,
    client: Arc<ClientConfig>,
}

static WORLD: LazyLock<World> = LazyLock::new(world);

fn world() -> World {
    let key = DataKey::from_bytes([7; 32]);
    let row_key = account_key("ada");
    let field = |row_key: &[u8], plain: &[u8]| key.encrypt(ACCOUNT, row_key, plain).expect("a key that encrypts");
    let further = FurtherVerifiers { nt_hash: Some(field(&nt_hash_key(&row_key), &[7; 16])), cleartext: None };
    let account = Account { state: AccountState::Active, verifier: field(&row_key, b"$argon2id$"), further, attributes: vec![6, 6, 0, 0, 0, 2] };
    let nas_row = nas_key("10.1.4.0/24".parse().expect("a network"));
    let nas = Nas {
        name: "nas".to_owned(),
        secret: key.encrypt(NAS, &nas_row, SECRET).expect("a key that encrypts"),
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights::default(),
    };
    let view = |feed, change| State::empty(feed).compose(vec![change]).expect("short rows").expect("a change").into_view();
    let made = rcgen::generate_simple_self_signed(vec!["radius.example".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let own = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("both versions");
    World {
        people: view(Feed::PEOPLE, Change::put(ACCOUNT, row_key, account.encode())),
        access: view(Feed::ACCESS, Change::put(NAS, nas_row, nas.encode())),
        keys: Keys { people: DataKeyRing::of([key.clone()]), access: DataKeyRing::of([key]) },
        tls: EapTls::new(vec![made.cert.der().clone()], own, Some(Authorities { roots: roots.clone(), revoked: vec![] }), Arc::new(WallClock))
            .expect("a certificate and its key"),
        client: Arc::new(builder.with_root_certificates(roots).with_no_client_auth()),
    }
}

/// What a user says: packets one after the other (a byte of mode, then each with its length before it), or what goes through a tunnel.
pub fn seeds() -> Vec<Vec<u8>> {
    let packets = |packets: &[&[u8]]| [&[0], &packets.iter().flat_map(|packet| [&[packet.len() as u8], *packet].concat()).collect::<Vec<_>>()[..]].concat();
    let attribute = |code: u8, value: &[u8]| {
        let mut out = [&[0, 0, 0, code, 0x40, 0, 0, value.len() as u8 + 8], value].concat();
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let within = |method: u8, said: &[u8]| [&[method], said].concat();
    vec![
        packets(&[b"\x02\x01\x00\x08\x01ada", b"\x02\x02\x00\x06\x03\x19", &[2, 3, 0, 6, 25, 0]]),
        packets(&[b"\x02\x01\x00\x08\x01ada", &[2, 2, 0, 12, 21, 0xc0, 0, 0, 0, 9, 22, 3], &[2, 3, 0, 8, 21, 0, 1, 0]]),
        packets(&[b"\x02\x01\x00\x08\x01ada", &[2, 2, 0, 20, 254, 0, 0, 0, 0, 0, 0, 3, 254, 0, 0, 0, 0, 0, 0, 13]]),
        within(TTLS, &[attribute(1, b"ada"), attribute(2, b"right\0\0\0")].concat()),
        within(TTLS, &attribute(79, &[2, 5, 0, 8, 1, b'a', b'd', b'a'])),
        within(PEAP, b"\x01ada"),
        within(PEAP, &[&[26, 2, 7, 0, 58, 49][..], &[3; 49], b"ada"].concat()),
        within(PEAP, b"\x06right"),
        within(PEAP, &[2, 0, 0, 11, 33, 0x80, 3, 0, 2, 0, 1]),
    ]
}

/// Any bytes as packets, or as what is said through a tunnel.
pub fn target(bytes: &[u8]) {
    let Some((mode, said)) = bytes.split_first() else { return };
    let mut talk = Talk::default();
    match *mode {
        method @ (TTLS | PEAP) => talk.through_tunnel(method, said),
        _ => talk.packets(said),
    }
}

#[derive(Default)]
struct Talk {
    sessions: Sessions,
    drawn: u8,
    state: Option<Vec<u8>>,
    patience: Patience,
}

impl Talk {
    fn packets(&mut self, mut said: &[u8]) {
        for _ in 0..PACKETS {
            let Some((len, rest)) = said.split_first() else { return };
            let (packet, rest) = rest.split_at(usize::from(*len).min(rest.len()));
            said = rest;
            if self.ask(packet).is_none() {
                return;
            }
        }
    }

    /// Opens a tunnel as a user does, and says these bytes each time that it is the user's turn.
    fn through_tunnel(&mut self, method: u8, said: &[u8]) {
        let name = ServerName::try_from("radius.example").expect("a host name");
        let mut tls = ClientConnection::new(Arc::clone(&WORLD.client), name).expect("a configuration that is one");
        let Some(offered) = self.ask(&response(1, b"\x01anonymous")) else { return };
        let begun = if method == PEAP { self.ask(&response(offered[1], &[3, PEAP])) } else { Some(offered) };
        let Some(mut question) = begun else { return };
        for _ in 0..PACKETS {
            assert_eq!(question[4], method, "the method that was agreed upon");
            let mut rest = &question[6..];
            while question.len() > 6 && question[5] == 0 && !rest.is_empty() {
                tls.read_tls(&mut rest).expect("there is room");
                let plain = tls.process_new_packets().expect("our own TLS").plaintext_bytes_to_read();
                tls.reader().read_exact(&mut vec![0; plain]).expect("as much as there is");
            }
            if !tls.is_handshaking() {
                tls.writer().write_all(said).expect("there is room");
            }
            let mut message = vec![method, 0];
            while tls.wants_write() {
                tls.write_tls(&mut message).expect("there is room");
            }
            match self.ask(&response(question[1], &message)) {
                Some(next) => question = next,
                None => return,
            }
        }
    }

    /// One packet to a NAS and on; gives what is asked back.
    fn ask(&mut self, eap: &[u8]) -> Option<Vec<u8>> {
        let tlv = |kind: u8, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
        let pieces: Vec<u8> = eap.chunks(253).flat_map(|piece| tlv(attribute::EAP_MESSAGE, piece)).collect();
        let pieces = if pieces.is_empty() { tlv(attribute::EAP_MESSAGE, &[]) } else { pieces };
        let state = self.state.as_ref().map(|state| tlv(attribute::STATE, state)).unwrap_or_default();
        let body = [tlv(attribute::USER_NAME, b"anonymous"), tlv(attribute::FRAMED_MTU, &[0, 0, 5, 20]), pieces, state].concat();
        let datagram = encode_request(1, 7, &AUTHENTICATOR, &body, &Secret::new(SECRET)).ok()?;
        let mut out = [0; PACKET_LIMIT_BYTES];
        let peer = "10.1.4.20:1024".parse().expect("an address");
        let watch = Watch { patience: &self.patience, now: Duration::ZERO };
        let Outcome::Eap(request) = answer(&WORLD.people, &WORLD.access, &WORLD.keys, &datagram, peer, watch, &mut out) else {
            panic!("a packet with EAP is one of a conversation")
        };
        self.drawn += 1;
        let moment = Moment { now: Duration::ZERO, random: [self.drawn; 32] };
        let with = Surroundings { people: &WORLD.people, keys: &WORLD.keys, tls: Some(&WORLD.tls), patience: &self.patience };
        let replied = match self.sessions.on_request(*request, &with, &moment, &mut out) {
            EapOutcome::Silent(reason) => panic!("silent: {reason:?}"),
            EapOutcome::Busy => return None,
            EapOutcome::Replied(replied, _) => replied,
            EapOutcome::Check(check) => {
                assert!(!check.password().expose().is_empty(), "an empty password was let through");
                self.sessions.conclude(*check, false, &moment, &mut out)
            }
        };
        let reply = &out[..replied.len];
        assert!(is_reply_to(reply, &AUTHENTICATOR, &Secret::new(SECRET)), "the reply is not signed");
        let reply = Packet::parse(reply).expect("the reply is a packet");
        let kinds: Vec<u8> = reply.attributes().map(|found| found.kind).collect();
        assert_eq!(kinds.first(), Some(&attribute::MESSAGE_AUTHENTICATOR), "Message-Authenticator stands first");
        let eap: Vec<u8> = reply.values(attribute::EAP_MESSAGE).collect::<Vec<_>>().concat();
        match replied.verdict {
            Verdict::Challenge => {
                self.state = reply.values(attribute::STATE).next().map(<[u8]>::to_vec);
                Some(eap)
            }
            Verdict::Reject(_) => {
                assert_eq!((&kinds[1..], eap[0]), (&[attribute::EAP_MESSAGE][..], 4), "a reject says no more than EAP-Failure");
                None
            }
            Verdict::Accept | Verdict::Alive => panic!("nobody proved anything"),
        }
    }
}

fn response(id: u8, body: &[u8]) -> Vec<u8> {
    [&[2, id][..], &((body.len() + 4) as u16).to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_pass() {
        super::seeds().iter().for_each(|seed| super::target(seed));
    }
}
