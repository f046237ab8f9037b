use super::super::mppe::reveal_key;
use super::super::packet::{Authenticator, PACKET_LIMIT_BYTES, encode_request, is_reply_to};
use super::super::table::{ACCOUNT, Account, AccountState, FurtherVerifiers, NAS, Nas, NasRights, account_key, nas_key};
use super::super::{Outcome, answer};
use super::attributes::attribute_of;
use super::fragments::{Arrived, Incoming, Outgoing};
use super::*;
use crate::snapshot::{Change, DataKey, DataKeyRing, Feed, State as FeedState};
use crate::words::Secret;
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::sync::Arc;

const AUTHENTICATOR: Authenticator = *b"0123456789abcdef";
const CLASS: [u8; 5] = [25, 5, b'v', b'i', b'p'];
const NAS_ADDRESS: &str = "10.1.4.20:1024";

fn secret() -> Secret {
    Secret::new(*b"testing123")
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

/// The year in which the certificates of these tests were made.
#[derive(Debug)]
struct Today;

impl TimeProvider for Today {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_795_000_000)))
    }
}

struct World {
    people: View,
    access: View,
    keys: super::super::Keys,
    tls: EapTls,
    roots: Arc<RootCertStore>,
    sessions: Sessions,
    patience: Patience,
    now: Duration,
    drawn: u8,
}

/// What became of a packet.
#[derive(Debug, PartialEq)]
enum Heard {
    Challenge {
        eap: Vec<u8>,
        state: Vec<u8>,
    },
    Accept {
        eap: Vec<u8>,
        rest: Vec<u8>,
    },
    Reject {
        why: RejectReason,
        attributes: Vec<u8>,
    },
    /// The pool of hash threads was full, or too many handshakes were begun.
    Nothing,
}

impl World {
    fn new() -> Self {
        let key = DataKey::from_bytes([7; 32]);
        let account = |name: &str, state| {
            let verifier = key.encrypt(ACCOUNT, &account_key(name), b"verifier").unwrap();
            Change::put(ACCOUNT, account_key(name), Account { state, verifier, further: FurtherVerifiers::default(), attributes: CLASS.to_vec() }.encode())
        };
        let nas = |net: &str| {
            let row_key = nas_key(net.parse().unwrap());
            let secret = key.encrypt(NAS, &row_key, b"testing123").unwrap();
            Change::put(
                NAS,
                row_key,
                Nas { name: net.to_owned(), secret, require_message_authenticator: true, has_former_secret: false, rights: NasRights::default() }.encode(),
            )
        };
        let view = |feed, changes| FeedState::empty(feed).compose(changes).unwrap().unwrap().into_view();
        let made = rcgen::generate_simple_self_signed(vec!["radius.example".to_owned()]).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let own = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Self {
            people: view(Feed::PEOPLE, vec![account("ada", AccountState::Active), account("old", AccountState::Suspended)]),
            access: view(Feed::ACCESS, vec![nas("10.1.4.0/24")]),
            keys: super::super::Keys { people: DataKeyRing::of([key.clone()]), access: DataKeyRing::of([key]) },
            tls: EapTls::new(chain, own, None, Arc::new(Today)).unwrap(),
            roots: Arc::new(roots),
            sessions: Sessions::default(),
            patience: Patience::default(),
            now: Duration::from_secs(1000),
            drawn: 0,
        }
    }

    /// Sends a packet from a NAS; a password counts as right where it is "right", and waits where it is to.
    fn ask(&mut self, nas: &str, eap: &[u8], state: Option<&[u8]>, mtu: Option<u32>, waits: bool) -> Heard {
        let mtu = mtu.map(|mtu| tlv(attribute::FRAMED_MTU, &mtu.to_be_bytes())).unwrap_or_default();
        let state = state.map(|state| tlv(attribute::STATE, state)).unwrap_or_default();
        let eap = if eap.is_empty() { tlv(attribute::EAP_MESSAGE, &[]) } else { packet::in_attributes(eap) };
        let proxy = tlv(attribute::PROXY_STATE, b"here");
        let body = [tlv(attribute::USER_NAME, b"anonymous"), mtu, proxy.clone(), eap, state].concat();
        let datagram = encode_request(code::ACCESS_REQUEST, 7, &AUTHENTICATOR, &body, &secret()).unwrap();
        let mut out = [0; PACKET_LIMIT_BYTES];
        let watch = Watch { patience: &self.patience, now: self.now };
        let Outcome::Eap(request) = answer(&self.people, &self.access, &self.keys, &datagram, nas.parse().unwrap(), watch, &mut out) else { panic!("no EAP") };
        self.drawn = self.drawn.wrapping_add(1);
        let moment = Moment { now: self.now, random: [self.drawn; 32] };
        let with = Surroundings { people: &self.people, keys: &self.keys, tls: Some(&self.tls), patience: &self.patience };
        let replied = match self.sessions.on_request(*request, &with, &moment, &mut out) {
            EapOutcome::Replied(replied, _) => replied,
            EapOutcome::Check(check) if waits => {
                self.sessions.put_back(*check, self.now);
                return Heard::Nothing;
            }
            EapOutcome::Check(check) => {
                let right = check.password().expose() == b"right";
                self.patience.learn(&check.who(), right, self.now);
                self.sessions.conclude(*check, right, &moment, &mut out)
            }
            EapOutcome::Silent(reason) => panic!("silent: {reason:?}"),
            EapOutcome::Busy => return Heard::Nothing,
        };
        let reply = &out[..replied.len];
        assert!(is_reply_to(reply, &AUTHENTICATOR, &secret()));
        let reply = Packet::parse(reply).unwrap();
        assert_eq!(reply.attributes().next().unwrap().kind, attribute::MESSAGE_AUTHENTICATOR);
        assert_eq!(reply.values(attribute::PROXY_STATE).collect::<Vec<_>>(), [b"here"]);
        let eap = packet::joined(&reply);
        let is_other = |kind| ![attribute::MESSAGE_AUTHENTICATOR, attribute::EAP_MESSAGE, attribute::PROXY_STATE].contains(&kind);
        let rest: Vec<u8> = reply.attributes().filter(|found| is_other(found.kind)).flat_map(|found| tlv(found.kind, found.value)).collect();
        match replied.verdict {
            Verdict::Challenge => Heard::Challenge { eap, state: reply.values(attribute::STATE).next().unwrap().to_vec() },
            Verdict::Accept => Heard::Accept { eap, rest },
            Verdict::Reject(why) => Heard::Reject { why, attributes: [packet::in_attributes(&eap), rest].concat() },
            Verdict::Alive => panic!("nobody asked"),
        }
    }

    fn ask_on(&mut self, eap: &[u8], state: &[u8]) -> Heard {
        self.ask(NAS_ADDRESS, eap, Some(state), None, false)
    }
}

fn response(id: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = packet::request(id, body);
    packet[0] = 2;
    packet
}

fn identity_of(id: u8) -> Vec<u8> {
    response(id, b"\x01anonymous")
}

/// Where the conversation ended, and the keys of the user's side.
struct Walked {
    heard: Heard,
    keys: Option<(Vec<u8>, Vec<u8>)>,
    rounds: usize,
}

/// A user of TTLS, who says this within as soon as there is a tunnel; with nothing to say they take their leave, and go on talking in the same breath.
fn walk(world: &mut World, version: &'static SupportedProtocolVersion, within: &[u8], mtu: Option<u32>, waits: bool) -> Walked {
    let builder = ClientConfig::builder_with_details(Arc::new(rustls::crypto::aws_lc_rs::default_provider()), Arc::new(Today));
    let config = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(Arc::clone(&world.roots)).with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from("radius.example").unwrap()).unwrap();
    let (mut incoming, mut outgoing, mut said, mut rounds) = (Incoming::default(), Outgoing::default(), false, 0);
    let mut heard = world.ask(NAS_ADDRESS, &identity_of(3), None, mtu, false);
    while let Heard::Challenge { eap, state } = &heard {
        rounds += 1;
        assert!(eap.len() <= mtu.map_or(PACKET_BYTES, |mtu| mtu as usize - EAPOL_HEADER_BYTES), "{}", eap.len());
        assert_eq!((eap[0], eap[4]), (packet::REQUEST, kind::TTLS));
        let mut answer = vec![kind::TTLS];
        if outgoing.has_more() {
            assert_eq!(eap.len(), 6, "an acknowledgement");
            answer.extend(outgoing.next(200));
        } else if let Arrived::Whole(message) = incoming.push(&eap[5..]).unwrap() {
            let mut rest = &message[..];
            while !rest.is_empty() {
                tls.read_tls(&mut rest).unwrap();
                let plain = tls.process_new_packets().unwrap().plaintext_bytes_to_read();
                tls.reader().read_exact(&mut vec![0; plain]).unwrap();
            }
            let mut message = Vec::new();
            if !tls.is_handshaking() && !std::mem::replace(&mut said, true) {
                tls.writer().write_all(within).unwrap();
                if within.is_empty() {
                    tls.send_close_notify();
                }
            }
            while tls.wants_write() {
                tls.write_tls(&mut message).unwrap();
            }
            if said && within.is_empty() {
                // More than TLS takes at a time, so that some of it is left when the end was heard.
                message.extend([23; 6000]);
            }
            outgoing = Outgoing::of(message);
            answer.extend(outgoing.next(200));
        } else {
            answer.push(0);
        }
        let (packet, state) = (response(eap[1], &answer), state.clone());
        heard = world.ask(NAS_ADDRESS, &packet, Some(&state), mtu, waits);
        if heard == Heard::Nothing {
            // The NAS asks again.
            heard = world.ask(NAS_ADDRESS, &packet, Some(&state), mtu, false);
        }
    }
    let (label, context): (&[u8], _) =
        if version == &rustls::version::TLS13 { (b"EXPORTER_EAP_TLS_Key_Material", Some(&[21][..])) } else { (b"ttls keying material", None) };
    let keys = tls.export_keying_material([0; 128], label, context).ok().map(|keys| (keys[..32].to_vec(), keys[32..64].to_vec()));
    Walked { heard, keys, rounds }
}

fn pap(name: &str, password: &str) -> Vec<u8> {
    let mut hidden = password.as_bytes().to_vec();
    hidden.resize(hidden.len().next_multiple_of(16), 0);
    [attribute_of(0, attribute::USER_NAME, name.as_bytes()), attribute_of(0, attribute::USER_PASSWORD, &hidden)].concat()
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_password_through_a_tunnel_lets_in_with_the_keys_of_both_sides() {
    for version in VERSIONS {
        for (mtu, waits) in [(None, false), (Some(300), false), (Some(1400), true)] {
            let walked = walk(&mut World::new(), version, &pap("Ada", "right"), mtu, waits);
            let Heard::Accept { eap, rest } = walked.heard else { panic!("{:?}", walked.heard) };
            assert_eq!((eap[0], eap.len()), (3, 4), "EAP-Success");
            let keys = rest.strip_suffix(&CLASS[..]).expect("the account's own attributes stand last");
            let keys = keys.strip_prefix(&tlv(attribute::USER_NAME, b"Ada")[..]).expect("and who it is first: the NAS knows of somebody anonymous");
            let (send, receive) = keys.split_at(58);
            let found = [receive, send].map(|key| reveal_key(&key[8..], &secret(), &AUTHENTICATOR).unwrap().expose().to_vec());
            assert_eq!(Some((found[0].clone(), found[1].clone())), walked.keys);
            assert!(walked.rounds >= if mtu == Some(300) { 4 } else { 3 }, "{}", walked.rounds);
        }
    }
}

#[test]
fn whoever_talks_on_behind_their_last_word_is_refused_and_holds_nobody_up() {
    for version in VERSIONS {
        let heard = walk(&mut World::new(), version, b"", None, false).heard;
        assert!(matches!(heard, Heard::Reject { why: RejectReason::TlsFailed, .. }), "{heard:?}");
    }
}

#[test]
fn whoever_is_refused_gets_the_failure_and_nothing_else() {
    let cases = [
        (pap("ada", "wrong"), RejectReason::WrongPassword),
        (pap("nobody", "right"), RejectReason::UnknownUser),
        (pap("old", "right"), RejectReason::Suspended),
        (pap("old", "wrong"), RejectReason::WrongPassword),
        (pap("ada", ""), RejectReason::EmptyPassword),
        (pap("ada", &"x".repeat(129)), RejectReason::PasswordLength),
        (attribute_of(0, attribute::USER_NAME, b"ada"), RejectReason::NoCredentials),
        (attribute_of(0, 77, b"x"), RejectReason::BrokenEap),
    ];
    for version in VERSIONS {
        for (within, expected) in &cases {
            let Heard::Reject { why, attributes } = walk(&mut World::new(), version, within, None, false).heard else { panic!("let in") };
            assert_eq!((why, attributes.len(), &attributes[..3]), (*expected, 6, &[attribute::EAP_MESSAGE, 6, 4][..]));
        }
    }
}

#[test]
fn a_state_is_good_once_for_one_nas_and_a_minute() {
    let mut world = World::new();
    let begin = |world: &mut World| match world.ask(NAS_ADDRESS, &identity_of(3), None, None, false) {
        Heard::Challenge { eap, state } => (eap, state),
        other => panic!("{other:?}"),
    };
    let unknown = |eap: &[u8]| Heard::Reject { why: RejectReason::UnknownState, attributes: failure(eap[1]) };
    let (eap, state) = begin(&mut world);
    assert_eq!(eap, [1, 4, 0, 6, kind::TTLS, 0x20]);
    let nak = response(4, &[kind::NAK, kind::PEAP]);
    assert_eq!(world.ask("10.1.4.21:1024", &nak, Some(&state), None, false), unknown(&nak), "another NAS");
    let Heard::Challenge { eap, .. } = world.ask("10.1.4.20:9999", &nak, Some(&state), None, false) else { panic!("the same NAS by another port") };
    assert_eq!(eap, [1, 5, 0, 6, kind::PEAP, 0x20]);
    assert_eq!(world.ask_on(&nak, &state), unknown(&nak), "a second time");
    assert_eq!(world.ask_on(&nak, b"short"), unknown(&nak));
    let (_, state) = begin(&mut world);
    world.now += SILENCE_LIMIT + Duration::from_millis(1);
    assert_eq!(world.ask_on(&nak, &state), unknown(&nak), "a minute later");
    assert!(world.sessions.is_empty() && world.sessions.of_nas.is_empty() && world.sessions.by_turn.is_empty());
}

#[test]
fn methods_are_agreed_upon_or_refused() {
    for (wishes, offered) in
        [(&[kind::PEAP][..], Some(kind::PEAP)), (&[99, kind::TTLS], Some(kind::TTLS)), (&[kind::TLS], None), (&[4, 6, 26], None), (&[0], None)]
    {
        let mut world = World::new();
        let Heard::Challenge { state, .. } = world.ask(NAS_ADDRESS, &[], None, None, false) else { panic!("EAP-Start") };
        let Heard::Challenge { eap, state } = world.ask_on(&identity_of(1), &state) else { panic!("{state:?}") };
        match world.ask_on(&response(eap[1], &[&[kind::NAK], wishes].concat()), &state) {
            Heard::Challenge { eap, .. } => assert_eq!(Some(eap[4]), offered),
            Heard::Reject { why, .. } => {
                assert_eq!((why, offered), (RejectReason::NoCommonMethod, None), "{wishes:?}: without authorities there is no EAP-TLS")
            }
            other => panic!("{other:?}"),
        }
    }
    for broken in [&[1, 3, 0, 5, 1][..], &[2, 3, 0, 5, 26], &[2, 3, 0, 9, 1], b"x"] {
        let heard = World::new().ask(NAS_ADDRESS, broken, None, None, false);
        assert!(matches!(heard, Heard::Reject { why: RejectReason::BrokenEap, .. }), "{broken:?}");
    }
}

#[test]
fn who_guesses_within_a_tunnel_waits_too() {
    let mut world = World::new();
    let within = |password: &[u8]| [attribute_of(0, attribute::USER_NAME, b"ada"), attribute_of(0, attribute::USER_PASSWORD, password)].concat();
    let log_in = |world: &mut World, password: &[u8]| match walk(world, &rustls::version::TLS13, &within(password), None, false).heard {
        Heard::Accept { .. } => None,
        Heard::Reject { why, .. } => Some(why),
        other => panic!("{other:?}"),
    };
    for _ in 0..5 {
        assert_eq!(log_in(&mut world, b"wrong"), Some(RejectReason::WrongPassword));
    }
    assert_eq!(log_in(&mut world, b"right"), Some(RejectReason::HeldOff));
    world.now += Duration::from_secs(1);
    assert_eq!(log_in(&mut world, b"right"), None);
}

#[test]
fn too_many_handshakes_of_one_nas_wait_where_they_are() {
    let mut world = World::new();
    let begin = |world: &mut World| {
        let Heard::Challenge { eap, state } = world.ask(NAS_ADDRESS, &identity_of(3), None, None, false) else { panic!("no challenge") };
        let hello = response(eap[1], &[kind::TTLS, 0, 22, 3, 1, 0, 1, 1]);
        (world.ask_on(&hello, &state), hello, state)
    };
    let late = loop {
        match begin(&mut world) {
            (Heard::Nothing, hello, state) => break (hello, state),
            (Heard::Reject { why, .. }, ..) => assert_eq!(why, RejectReason::BrokenEap, "half a word of TLS"),
            (other, ..) => panic!("{other:?}"),
        }
    };
    assert_eq!(world.ask_on(&late.0, &late.1), Heard::Nothing, "the NAS asks again too early");
    assert!(matches!(world.ask("10.1.4.21:1024", &identity_of(3), None, None, false), Heard::Challenge { .. }));
    world.now += Duration::from_secs(1);
    assert_ne!(world.ask_on(&late.0, &late.1), Heard::Nothing, "and a second later it goes on");
}

#[test]
fn a_station_that_begins_anew_has_given_up_what_it_began() {
    let (mut sessions, now, station) =
        (Sessions::default(), Duration::from_secs(1000), |of: u8| Place { nas: [10, 0, 0, of].into(), station: (*b"02-00").into() });
    let mut begin = |place: Place, name: &[u8], number: u8| {
        let mut session = Session::begin(place, name.into(), &[2, 1, 0, 4], now);
        session.state = [number; STATE_BYTES];
        sessions.keep(session, now);
        (sessions.len(), sessions.of_station.len())
    };
    assert_eq!(begin(station(1), b"ada", 1), (1, 1));
    assert_eq!(begin(station(1), b"ada", 2), (1, 1), "the same once more");
    assert_eq!(begin(station(1), b"eve", 3), (2, 2), "another name");
    assert_eq!(begin(station(2), b"ada", 4), (3, 3), "another NAS");
    let unnamed = Place { station: Box::default(), ..station(1) };
    assert_eq!((begin(unnamed.clone(), b"ada", 5), begin(unnamed, b"ada", 6)), ((4, 3), (5, 3)), "nobody knows which station");
    assert!(sessions.take(&[1; STATE_BYTES], [10, 0, 0, 1].into()).is_none() && sessions.take(&[2; STATE_BYTES], [10, 0, 0, 1].into()).is_some());
    sessions.expire(now + SILENCE_LIMIT + Duration::from_secs(1));
    assert!(sessions.is_empty() && sessions.of_station.is_empty() && sessions.of_nas.is_empty());
}

#[test]
fn nobody_fills_the_table_for_others() {
    let (mut sessions, now) = (Sessions::default(), Duration::from_secs(1000));
    let begun = |sessions: &mut Sessions, nas: [u8; 4], number: u64| {
        let mut session = Session::begin(Place { nas: nas.into(), station: Box::default() }, Box::default(), &[2, 1, 0, 4], now);
        session.state[..8].copy_from_slice(&number.to_be_bytes());
        session.state[8..12].copy_from_slice(&nas);
        sessions.keep(session, now);
    };
    begun(&mut sessions, [10, 0, 0, 1], 0);
    for number in 0..NAS_QUOTA as u64 + 500 {
        begun(&mut sessions, [10, 0, 0, 2], number);
    }
    assert_eq!((sessions.len(), sessions.of_nas[&IpAddr::from([10, 0, 0, 2])]), (NAS_QUOTA + 1, NAS_QUOTA));
    let state = |nas: [u8; 4], number: u64| [&number.to_be_bytes()[..], &nas, &[0; 4]].concat();
    assert!(sessions.take(&state([10, 0, 0, 2], 499), [10, 0, 0, 2].into()).is_none(), "its own oldest went");
    assert!(sessions.take(&state([10, 0, 0, 2], 500), [10, 0, 0, 2].into()).is_some());
    assert!(sessions.take(&state([10, 0, 0, 1], 0), [10, 0, 0, 1].into()).is_some(), "the other's stayed");
    for number in 0..SESSIONS_LIMIT as u64 {
        begun(&mut sessions, [10, 0, (number % 8) as u8, 3], number);
    }
    assert_eq!((sessions.len(), sessions.by_turn.len(), sessions.of_nas.values().sum::<usize>()), (SESSIONS_LIMIT, SESSIONS_LIMIT, SESSIONS_LIMIT));
}

#[test]
fn a_conversation_has_an_end() {
    let mut world = World::new();
    let mut heard = world.ask(NAS_ADDRESS, &identity_of(3), None, None, false);
    for _ in 0..=ROUNDS_LIMIT {
        let Heard::Challenge { eap, state } = heard else { break };
        heard = world.ask_on(&response(eap[1], &[kind::NAK, kind::PEAP]), &state);
    }
    assert!(matches!(heard, Heard::Reject { why: RejectReason::BrokenEap, .. }), "{heard:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_conversation_panics(packets in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..60)), 1..6), method in 0usize..3) {
        let mut world = World::new();
        let method = [kind::TTLS, kind::PEAP, kind::TLS][method];
        let mut heard = world.ask(NAS_ADDRESS, &identity_of(3), None, None, false);
        for (is_framed, bytes) in packets {
            let Heard::Challenge { eap, state } = heard else { break };
            let packet = if is_framed { response(eap[1], &[&[method], &bytes[..]].concat()) } else { bytes };
            heard = world.ask_on(&packet, &state);
            let is_in = matches!(heard, Heard::Accept { .. });
            prop_assert!(!is_in);
        }
    }
}
