use super::super::eap::{EapOutcome, Moment, Sessions, Surroundings};
use super::super::mppe::reveal_key;
use super::super::mschap::nt_hash;
use super::super::packet::{encode_request, hide_password, is_reply_to};
use super::super::patience::Patience;
use super::super::table::{ACCOUNT, Account, AccountState, FurtherVerifiers, account_key, cleartext_key, nas_key, nt_hash_key};
use super::*;
use crate::radius::machine::{MACHINE, Machine};
use crate::radius::table::{NAS, NasMachines};
use crate::snapshot::{Change, DataKey, Feed, State};
use md5::{Digest, Md5};
use proptest::prelude::*;
use std::time::Duration;

const AUTHENTICATOR: Authenticator = *b"0123456789abcdef";
const VLAN: [u8; 6] = [81, 6, b'0', b'1', b'0', b'0'];

struct World {
    people: View,
    access: View,
    keys: Keys,
}

fn world() -> World {
    let key = DataKey::from_bytes([7; 32]);
    let account = |name: &str, state, password: Option<&str>| {
        let (row_key, password) = (account_key(name), password.map(Secret::new));
        let verifier = key.encrypt(ACCOUNT, &row_key, format!("verifier of {name}").as_bytes()).unwrap();
        let field = |row_key: &[u8], plain: Secret| key.encrypt(ACCOUNT, row_key, plain.expose()).unwrap();
        let nt_hash = password.as_ref().and_then(nt_hash).map(|hash| field(&nt_hash_key(&row_key), hash));
        let further = FurtherVerifiers { nt_hash, cleartext: password.map(|password| field(&cleartext_key(&row_key), password)) };
        Change::put(ACCOUNT, row_key, Account { state, verifier, further, attributes: VLAN.to_vec() }.encode())
    };
    let of_machines = |net: &str, campus: &str, guest_vlan| {
        let row_key = nas_key(net.parse().unwrap());
        let secret = key.encrypt(NAS, &row_key, b"testing123").unwrap();
        let rights = NasRights { machines: Some(NasMachines { campus: campus.to_owned(), guest_vlan }), ..NasRights::default() };
        Change::put(NAS, row_key, Nas { name: net.to_owned(), secret, require_message_authenticator: true, has_former_secret: false, rights }.encode())
    };
    let known = Machine { vlan: Some(200), places: vec![("north".to_owned(), 104)] };
    let known = [([2, 0, 0, 0, 0, 1], known), ([2, 0, 0, 0, 0, 2], Machine::default())].map(|(mac, row)| Change::put(MACHINE, mac, row.encode()));
    let nas = |net: &str, require_message_authenticator, chap| {
        let row_key = nas_key(net.parse().unwrap());
        let secret = key.encrypt(NAS, &row_key, b"testing123").unwrap();
        Change::put(
            NAS,
            row_key,
            Nas { name: net.to_owned(), secret, require_message_authenticator, has_former_secret: false, rights: NasRights { chap, machines: None } }.encode(),
        )
    };
    let lost = DataKey::from_bytes([8; 32]).encrypt(ACCOUNT, b"lost", b"x").unwrap();
    let lost = Change::put(
        ACCOUNT,
        *b"lost",
        Account { state: AccountState::Active, verifier: lost, further: FurtherVerifiers::default(), attributes: vec![] }.encode(),
    );
    let people = vec![
        account("ada", AccountState::Active, Some("right")),
        account("old", AccountState::Suspended, Some("right")),
        account("plain", AccountState::Active, None),
        account("020000000001", AccountState::Active, Some("020000000001")),
        account("User", AccountState::Active, Some("another")),
        account("RFC\\User", AccountState::Active, Some("clientPass")),
        account("OLD\\User", AccountState::Suspended, Some("clientPass")),
        lost,
    ];
    let view = |feed, changes| State::empty(feed).compose(changes).unwrap().unwrap().into_view();
    World {
        people: view(Feed::PEOPLE, people),
        access: view(
            Feed::ACCESS,
            [
                &known[..],
                &[of_machines("10.1.4.23/32", "north", None), of_machines("10.1.4.24/32", "south", Some(999))],
                &[nas("10.1.4.20/32", true, true), nas("10.1.4.22/32", true, false), nas("10.9.0.0/16", false, false)],
            ]
            .concat(),
        ),
        keys: Keys { people: DataKeyRing::of([key.clone()]), access: DataKeyRing::of([key]) },
    }
}

fn secret() -> Secret {
    Secret::new(*b"testing123")
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

fn name(name: &str) -> Vec<u8> {
    tlv(attribute::USER_NAME, name.as_bytes())
}

/// CHAP over the Request Authenticator, or over a challenge of its own.
fn chap(who: &str, password: &str, challenge: Option<&[u8]>) -> Vec<u8> {
    let hash = Md5::new().chain_update([9]).chain_update(password).chain_update(challenge.unwrap_or(&AUTHENTICATOR)).finalize();
    let challenge = challenge.map(|challenge| tlv(attribute::CHAP_CHALLENGE, challenge)).unwrap_or_default();
    [name(who), tlv(attribute::CHAP_PASSWORD, &[&[9], &hash[..]].concat()), challenge].concat()
}

/// The exchange of RFC 2759 section 9.2, whose name is "User" and whose password "clientPass".
fn mschap(who: &str) -> Vec<u8> {
    let challenge = hex::decode("5b5d7c7d7b3f2f3e3c2c602132262628").unwrap();
    let response = hex::decode("070021402324255e262a28295f2b3a337c7e000000000000000082309ecd8d708b5ea08faa3981cd83544233114a3d85d6df").unwrap();
    [name(who), microsoft_attribute(microsoft::CHAP_CHALLENGE, &challenge), microsoft_attribute(microsoft::CHAP2_RESPONSE, &response)].concat()
}

fn pap(name: &str, password: &str) -> Vec<u8> {
    let hidden = hide_password(password.as_bytes(), &secret(), &AUTHENTICATOR).unwrap();
    [tlv(attribute::USER_NAME, name.as_bytes()), tlv(attribute::USER_PASSWORD, &hidden)].concat()
}

fn with_proof(code: u8, attributes: &[u8]) -> Vec<u8> {
    encode_request(code, 42, &AUTHENTICATOR, attributes, &secret()).unwrap()
}

fn without_proof(attributes: &[u8]) -> Vec<u8> {
    let len = (20 + attributes.len()) as u16;
    [&[code::ACCESS_REQUEST, 42], &len.to_be_bytes()[..], &AUTHENTICATOR, attributes].concat()
}

fn ask_from(peer: &str, datagram: &[u8], out: &mut ReplyBuffer) -> Outcome {
    let World { people, access, keys } = world();
    answer(&people, &access, &keys, datagram, format!("{peer}:1024").parse().unwrap(), Watch { patience: &Patience::default(), now: Duration::ZERO }, out)
}

/// Asks as the strict NAS; the password counts as right where it is "right".
fn ask(attributes: &[u8]) -> (Result<Verdict, Reason>, Vec<u8>) {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let replied = match ask_from("10.1.4.20", &with_proof(code::ACCESS_REQUEST, attributes), &mut out) {
        Outcome::Replied(replied) => replied,
        Outcome::Silent(reason) => return (Err(reason), vec![]),
        Outcome::Check(check) => {
            let right = check.password().expose() == b"right";
            check.conclude(right, &mut out)
        }
        Outcome::Eap(request) => {
            let World { people, keys, .. } = world();
            let with = Surroundings { people: &people, keys: &keys, tls: None, patience: &Patience::default() };
            match Sessions::default().on_request(*request, &with, &Moment { now: Duration::ZERO, random: [7; 32] }, &mut out) {
                EapOutcome::Replied(replied, _) => replied,
                other => panic!("{other:?}"),
            }
        }
    };
    let reply = &out[..replied.len];
    assert!(is_reply_to(reply, &AUTHENTICATOR, &secret()));
    assert_eq!((reply[1], reply[20]), (42, attribute::MESSAGE_AUTHENTICATOR));
    (Ok(replied.verdict), reply[38..].to_vec())
}

fn rejected(why: RejectReason) -> Result<Verdict, Reason> {
    Ok(Verdict::Reject(why))
}

#[test]
fn a_right_password_is_accepted_with_the_accounts_attributes() {
    assert_eq!(ask(&pap("ada", "right")), (Ok(Verdict::Accept), VLAN.to_vec()));
    assert_eq!(ask(&pap(" Ada", "right")).0, Ok(Verdict::Accept));
}

#[test]
fn the_check_carries_the_decrypted_verifier_and_the_password() {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let Outcome::Check(check) = ask_from("10.1.4.20", &with_proof(code::ACCESS_REQUEST, &pap("ada", "joule-1")), &mut out) else { panic!("no check") };
    assert_eq!((check.verifier().expose(), check.password().expose()), (&b"verifier of ada"[..], &b"joule-1"[..]));
}

#[test]
fn rejects_carry_no_authorisation() {
    assert_eq!(ask(&pap("ada", "wrong")), (rejected(RejectReason::WrongPassword), vec![]));
    assert_eq!(ask(&pap("nobody", "right")), (rejected(RejectReason::UnknownUser), vec![]));
    assert_eq!(ask(&pap("", "right")), (rejected(RejectReason::UnknownUser), vec![]));
    assert_eq!(ask(&pap("ada", "")), (rejected(RejectReason::EmptyPassword), vec![]));
    assert_eq!(ask(&tlv(attribute::USER_NAME, b"ada")), (rejected(RejectReason::NoCredentials), vec![]));
}

#[test]
fn a_suspended_account_says_so_only_to_its_owner() {
    let (verdict, attributes) = ask(&pap("old", "right"));
    assert_eq!((verdict, attributes), (rejected(RejectReason::Suspended), tlv(attribute::REPLY_MESSAGE, SUSPENDED_MESSAGE)));
    assert_eq!(ask(&pap("old", "wrong")), (rejected(RejectReason::WrongPassword), vec![]));
}

#[test]
fn one_way_of_proving_oneself_and_one_name() {
    let (ada, chap, eap) = (pap("ada", "right"), tlv(attribute::CHAP_PASSWORD, &[0; 17]), tlv(attribute::EAP_MESSAGE, &[2, 9, 0, 4]));
    for mixed in [[ada.clone(), chap.clone()], [ada.clone(), eap.clone()], [ada.clone(), pap("", "x")], [chap.clone(), eap.clone()]] {
        assert_eq!(ask(&mixed.concat()).0, rejected(RejectReason::MixedCredentials));
    }
    let mschap = microsoft_attribute(microsoft::CHAP2_RESPONSE, &[0; 50]);
    assert_eq!(ask(&[ada.clone(), mschap.clone()].concat()).0, rejected(RejectReason::MixedCredentials));
    assert_eq!(ask(&[name("ada"), microsoft_attribute(MS_CHAP_RESPONSE, &[0; 50])].concat()).0, rejected(RejectReason::UnsupportedMethod), "MS-CHAPv1");
    assert_eq!(ask(&[name("ada"), mschap].concat()).0, rejected(RejectReason::UnsupportedMethod), "there is no challenge");
    assert_eq!(ask(&chap).0, rejected(RejectReason::NoUserName));
    let failure = tlv(attribute::EAP_MESSAGE, &[4, 9, 0, 4]);
    assert_eq!(ask(&eap), (rejected(RejectReason::NoUserName), failure.clone()));
    assert_eq!(ask(&[name("ada"), eap].concat()), (rejected(RejectReason::NoEapCertificate), failure));
    assert_eq!(ask(&[tlv(attribute::USER_NAME, b"eve"), ada].concat()).0, rejected(RejectReason::NoUserName));
    let odd = [tlv(attribute::USER_NAME, b"ada"), tlv(attribute::USER_PASSWORD, &[0; 17])].concat();
    assert_eq!(ask(&odd).0, rejected(RejectReason::PasswordLength));
}

#[test]
fn chap_needs_the_password_itself() {
    assert_eq!(ask(&chap("ada", "right", None)), (Ok(Verdict::Accept), VLAN.to_vec()));
    assert_eq!(ask(&chap("ada", "right", Some(b"challenge"))).0, Ok(Verdict::Accept));
    for (who, password, why) in [
        ("ada", "wrong", RejectReason::WrongPassword),
        ("plain", "right", RejectReason::NoCleartext),
        ("nobody", "right", RejectReason::UnknownUser),
        ("nobody", "", RejectReason::UnknownUser),
    ] {
        assert_eq!(ask(&chap(who, password, None)), (rejected(why), vec![]), "{who}");
    }
    assert_eq!(ask(&chap("old", "right", None)), (rejected(RejectReason::Suspended), tlv(attribute::REPLY_MESSAGE, SUSPENDED_MESSAGE)));
}

#[test]
fn outside_of_tunnels_there_is_neither_chap_nor_mschap_unless_the_registry_says_so() {
    let mut out = [0; PACKET_LIMIT_BYTES];
    for attributes in [chap("ada", "right", None), chap("nobody", "right", None), mschap("RFC\\User")] {
        let Outcome::Replied(replied) = ask_from("10.1.4.22", &with_proof(code::ACCESS_REQUEST, &attributes), &mut out) else { panic!("no reply") };
        assert_eq!((replied.verdict, replied.len), (Verdict::Reject(RejectReason::OutsideTunnel), 38));
    }
    assert!(matches!(ask_from("10.1.4.22", &with_proof(code::ACCESS_REQUEST, &pap("ada", "right")), &mut out), Outcome::Check(_)));
}

/// What a NAS hears about a machine: how it is asked, and from where it is said to come.
fn ask_of_machine(nas: &str, attributes: &[u8]) -> (Verdict, Vec<u8>) {
    let mut out = [0; PACKET_LIMIT_BYTES];
    match ask_from(nas, &with_proof(code::ACCESS_REQUEST, attributes), &mut out) {
        Outcome::Replied(replied) => (replied.verdict, out[38..replied.len].to_vec()),
        other => panic!("{other:?}"),
    }
}

const NORTH: &str = "10.1.4.23";
const SOUTH: &str = "10.1.4.24";

#[test]
fn a_known_machine_is_let_in_in_every_spelling_and_by_every_way_of_asking() {
    let vlan = |number: &str| [&TUNNEL[..], &tlv(81, number.as_bytes())].concat();
    let call_check = tlv(attribute::SERVICE_TYPE, &[0, 0, 0, 10]);
    let spellings = ["020000000001", "02-00-00-00-00-01", "02:00:00:00:00:01", "0200.0000.0001", "0X020000000001"];
    for spelling in spellings {
        let station = tlv(attribute::CALLING_STATION_ID, b"02-00-00-00-00-01");
        let ways = [
            pap(spelling, spelling),
            chap(spelling, spelling, None),
            [name(spelling), call_check.clone()].concat(),
            [pap(spelling, "x"), call_check.clone()].concat(),
        ];
        for way in ways {
            assert_eq!(ask_of_machine(NORTH, &[way, station.clone()].concat()), (Verdict::Accept, vlan("104")), "{spelling}");
        }
    }
    let from = |mac: &str, station: &str| [pap(mac, mac), tlv(attribute::CALLING_STATION_ID, station.as_bytes())].concat();
    let machine = |mac: &str| from(mac, mac);
    assert_eq!(ask_of_machine(SOUTH, &machine("02:00:00:00:00:01")), (Verdict::Accept, vlan("200")), "its department's");
    assert_eq!(ask_of_machine(NORTH, &machine("02:00:00:00:00:02")), (Verdict::Accept, vec![]), "the port's own");
    assert_eq!(ask_of_machine(NORTH, &machine("02:00:00:00:00:03")), (Verdict::Reject(RejectReason::UnknownMachine), vec![]));
    assert_eq!(ask_of_machine(SOUTH, &machine("02:00:00:00:00:03")), (Verdict::Accept, vlan("999")), "a guest");
    assert_eq!(ask_of_machine(NORTH, &from("02:00:00:00:00:01", "02-00-00-00-00-01:eduroam")).0, Verdict::Accept, "with the SSID behind it");
    for other in ["02-00-00-00-00-02:eduroam", "020000000002", "10.1.4.99", ""] {
        assert_eq!(ask_of_machine(NORTH, &from("02:00:00:00:00:01", other)), (Verdict::Reject(RejectReason::OtherMachine), vec![]), "{other}");
    }
}

#[test]
fn a_log_in_at_the_nas_itself_is_no_machines_whatever_guests_may_do_there() {
    let [mac, service, port] = [attribute::CALLING_STATION_ID, attribute::SERVICE_TYPE, attribute::NAS_PORT_TYPE];
    let own = |what: &[u8]| [pap("020000000001", "020000000001"), tlv(mac, b"020000000001"), what.to_vec()].concat();
    let ways = [tlv(service, &[0, 0, 0, 1]), tlv(service, &[0, 0, 0, 6]), tlv(service, &[0, 0, 0, 7]), tlv(port, &[0, 0, 0, 5]), tlv(port, &[0; 4])];
    for nas in [NORTH, SOUTH] {
        for way in &ways {
            assert_eq!(ask_of_machine(nas, &own(way)), (Verdict::Reject(RejectReason::OtherMachine), vec![]), "{way:?}");
        }
        assert_eq!(ask_of_machine(nas, &pap("020000000001", "020000000001")), (Verdict::Reject(RejectReason::OtherMachine), vec![]), "from nowhere");
        assert_eq!(ask_of_machine(nas, &own(&tlv(service, &[0, 0, 0, 2]))).0, Verdict::Accept, "framed");
    }
}

/// Tunnel-Type and Tunnel-Medium-Type of a VLAN.
const TUNNEL: [u8; 12] = [64, 6, 0, 0, 0, 13, 65, 6, 0, 0, 0, 6];

#[test]
fn the_name_of_a_machine_opens_nothing_elsewhere() {
    // There is even an account of that name and password.
    for spelling in ["020000000001", "02:00:00:00:00:01"] {
        for way in [pap(spelling, spelling), chap(spelling, spelling, None), [name(spelling), tlv(attribute::SERVICE_TYPE, &[0, 0, 0, 10])].concat()] {
            assert_eq!(ask_of_machine("10.1.4.20", &way), (Verdict::Reject(RejectReason::NoMacAuthentication), vec![]), "{spelling}");
        }
    }
    let mut out = [0; PACKET_LIMIT_BYTES];
    for nas in ["10.1.4.20", NORTH] {
        let person = with_proof(code::ACCESS_REQUEST, &pap("020000000001", "a password"));
        assert!(matches!(ask_from(nas, &person, &mut out), Outcome::Check(_)), "who has such a number for a name has a password like others");
        let eap = with_proof(code::ACCESS_REQUEST, &[name("020000000001"), tlv(attribute::EAP_MESSAGE, &[2, 1, 0, 5, 1])].concat());
        assert!(matches!(ask_from(nas, &eap, &mut out), Outcome::Eap(_)), "EAP is no question about a machine");
    }
}

#[test]
fn who_guesses_hears_no_difference_between_a_wrong_password_and_one_that_was_not_looked_at() {
    let (World { people, access, keys }, patience) = (world(), Patience::default());
    let mut out = [0; PACKET_LIMIT_BYTES];
    let mut ask = |station: &[u8], attributes: &[u8], secs| {
        let datagram = with_proof(code::ACCESS_REQUEST, &[attributes, &tlv(attribute::CALLING_STATION_ID, station)].concat());
        let watch = Watch { patience: &patience, now: Duration::from_secs(secs) };
        let replied = match answer(&people, &access, &keys, &datagram, "10.1.4.20:1024".parse().unwrap(), watch, &mut out) {
            Outcome::Replied(replied) => replied,
            Outcome::Check(check) => {
                let right = check.password().expose() == b"right";
                patience.learn(&check.who(), right, watch.now);
                check.conclude(right, &mut out)
            }
            other => panic!("{other:?}"),
        };
        (replied.verdict, out[..replied.len].to_vec())
    };
    let wrong = ask(b"a", &chap("ada", "wrong", None), 0);
    assert_eq!(wrong.0, Verdict::Reject(RejectReason::WrongPassword));
    assert_eq!(ask(b"a", &mschap("plain"), 0).0, Verdict::Reject(RejectReason::NoNtHash), "no guess");
    (0..4).for_each(|_| assert_eq!(ask(b"a", &pap("ada", "wrong"), 0), wrong));
    for right in [chap("ada", "right", None), pap("ada", "right")] {
        assert_eq!(ask(b"a", &right, 0), (Verdict::Reject(RejectReason::HeldOff), wrong.1.clone()));
        assert_eq!(ask(b"b", &right, 0).0, Verdict::Accept, "at another place");
    }
    assert_eq!(ask(b"a", &pap("plain", "right"), 0).0, Verdict::Accept, "another account");
    assert_eq!(ask(b"a", &pap("ada", "right"), 1).0, Verdict::Accept, "a second later");
    // The five of MS-CHAPv2, whose reject says a little more.
    let refused: Vec<_> = (0..7).map(|_| ask(b"c", &mschap("User"), 100)).collect();
    assert_eq!(refused[6].0, Verdict::Reject(RejectReason::HeldOff));
    assert!(refused.iter().all(|one| one.1 == refused[0].1));
}

#[test]
fn mschap_proves_the_server_too_and_hands_out_keys_with_an_accept_alone() {
    let error = |number: u32| microsoft_attribute(microsoft::CHAP_ERROR, format!("\u{7}E={number} R=0 C=5B5D7C7D7B3F2F3E3C2C602132262628 V=3").as_bytes());
    assert_eq!(ask(&mschap("User")), (rejected(RejectReason::WrongPassword), error(691)), "the account has another password");
    assert_eq!(ask(&mschap("plain")), (rejected(RejectReason::NoNtHash), error(691)));
    assert_eq!(ask(&mschap("nobody")), (rejected(RejectReason::UnknownUser), error(691)));
    let suspended = [error(647), tlv(attribute::REPLY_MESSAGE, SUSPENDED_MESSAGE)].concat();
    assert_eq!(ask(&mschap("OLD\\User")), (rejected(RejectReason::Suspended), suspended));

    let (verdict, attributes) = ask(&mschap("RFC\\User"));
    assert_eq!(verdict, Ok(Verdict::Accept));
    let success = microsoft_attribute(microsoft::CHAP2_SUCCESS, b"\x07S=407A5589115FD0D6209F510FE9C04566932CDA56");
    let keys = attributes.strip_prefix(&success[..]).and_then(|rest| rest.strip_suffix(&VLAN[..])).expect("the proof first, the account's own last");
    assert_eq!(keys.len(), 2 * 42);
    let send = reveal_key(&keys[8..42], &secret(), &AUTHENTICATOR).unwrap();
    assert_eq!(hex::encode(send.expose()), "8b7cdc149b993a1ba118cb153f56dccb", "RFC 3079 section 3.5.3");
}

#[test]
fn proxy_state_comes_back_in_order_and_unchanged() {
    let states = [tlv(attribute::PROXY_STATE, b"inner"), tlv(attribute::PROXY_STATE, b"outer")].concat();
    assert_eq!(ask(&[&states[..5 + 2], &pap("ada", "right"), &states[5 + 2..]].concat()).1, [&VLAN[..], &states].concat());
    assert_eq!(ask(&[pap("ada", "wrong"), states.clone()].concat()).1, states);
}

#[test]
fn a_full_packet_of_proxy_state_still_gets_its_reject() {
    let room = PACKET_LIMIT_BYTES - 38 - pap("ada", "right").len();
    let full = [tlv(attribute::PROXY_STATE, &[1; 253]).repeat(room / 255), tlv(attribute::PROXY_STATE, &vec![2; room % 255 - 2])].concat();
    let (verdict, attributes) = ask(&[full.clone(), pap("old", "right")].concat());
    assert_eq!((verdict, attributes.len()), (rejected(RejectReason::Suspended), full.len()));
}

#[test]
fn a_verifier_that_this_agent_cannot_read_is_left_to_another_agent() {
    assert_eq!(ask(&pap("lost", "right")).0, Err(Reason::NoVerifier));
}

#[test]
fn strangers_and_forgers_hear_nothing() {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let good = with_proof(code::ACCESS_REQUEST, &pap("ada", "right"));
    let mut silent = |peer: &str, datagram: &[u8]| match ask_from(peer, datagram, &mut out) {
        Outcome::Silent(reason) => Some(reason),
        _ => None,
    };
    assert_eq!(silent("10.1.4.21", &good), Some(Reason::UnknownNas));
    assert_eq!(silent("10.1.4.20", &good[..30]), Some(Reason::Malformed));
    assert_eq!(silent("10.1.4.20", &with_proof(4, &[])), Some(Reason::UnexpectedCode));
    assert_eq!(silent("10.1.4.20", &without_proof(&pap("ada", "right"))), Some(Reason::NoMessageAuthenticator));
    let foreign = encode_request(code::ACCESS_REQUEST, 1, &AUTHENTICATOR, &pap("ada", "right"), &Secret::new(*b"other")).unwrap();
    assert_eq!(silent("10.1.4.20", &foreign), Some(Reason::WrongMessageAuthenticator));
    let doubled = [pap("ada", "right"), tlv(attribute::MESSAGE_AUTHENTICATOR, &[0; 16])].concat();
    assert_eq!(silent("10.1.4.20", &with_proof(code::ACCESS_REQUEST, &doubled)), Some(Reason::WrongMessageAuthenticator));
}

#[test]
fn an_exempt_nas_may_leave_the_proof_out_but_not_beside_proxy_state_or_eap() {
    let mut out = [0; PACKET_LIMIT_BYTES];
    assert!(matches!(ask_from("10.9.1.1", &without_proof(&pap("ada", "right")), &mut out), Outcome::Check(_)));
    for lever in [tlv(attribute::PROXY_STATE, b"x"), tlv(attribute::EAP_MESSAGE, b"x")] {
        let datagram = without_proof(&[pap("ada", "right"), lever].concat());
        assert!(matches!(ask_from("10.9.1.1", &datagram, &mut out), Outcome::Silent(Reason::NoMessageAuthenticator)));
    }
    assert!(matches!(ask_from("10.9.1.1", &without_proof(&[]), &mut out), Outcome::Silent(Reason::NoMessageAuthenticator)));
}

#[test]
fn status_server_is_answered() {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let Outcome::Replied(replied) = ask_from("10.1.4.20", &with_proof(code::STATUS_SERVER, &[]), &mut out) else { panic!("no reply") };
    assert_eq!(replied, Replied { verdict: Verdict::Alive, len: 38 });
    assert!(is_reply_to(&out[..38], &AUTHENTICATOR, &secret()));
}

proptest! {
    #[test]
    fn same_packet_same_bytes(attributes in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8)) {
        let attributes: Vec<u8> = attributes.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
        prop_assert_eq!(ask(&attributes), ask(&attributes));
    }

    #[test]
    fn no_datagram_panics(datagram in proptest::collection::vec(any::<u8>(), 0..200), exempt in any::<bool>()) {
        let mut out = [0; PACKET_LIMIT_BYTES];
        let _ = ask_from(if exempt { "10.9.1.1" } else { "10.1.4.20" }, &datagram, &mut out);
    }
}
