use super::super::nas_key;
use super::super::packet::{encode_request, hide_password, is_reply_to};
use super::*;
use crate::snapshot::{Change, DataKey, Feed, State};
use proptest::prelude::*;

const AUTHENTICATOR: Authenticator = *b"0123456789abcdef";
const VLAN: [u8; 6] = [81, 6, b'0', b'1', b'0', b'0'];

struct World {
    people: View,
    access: View,
    keys: Keys,
}

fn world() -> World {
    let key = DataKey::from_bytes([7; 32]);
    let account = |name: &str, state| {
        let verifier = key.encrypt(ACCOUNT, &account_key(name), format!("verifier of {name}").as_bytes()).unwrap();
        Change::put(ACCOUNT, account_key(name), Account { state, verifier, attributes: VLAN.to_vec() }.encode())
    };
    let nas = |net: &str, require_message_authenticator| {
        let row_key = nas_key(net.parse().unwrap());
        let secret = key.encrypt(NAS, &row_key, b"testing123").unwrap();
        Change::put(NAS, row_key, Nas { name: net.to_owned(), secret, require_message_authenticator }.encode())
    };
    let lost = DataKey::from_bytes([8; 32]).encrypt(ACCOUNT, b"lost", b"x").unwrap();
    let lost = Change::put(ACCOUNT, *b"lost", Account { state: AccountState::Active, verifier: lost, attributes: vec![] }.encode());
    let people = vec![account("ada", AccountState::Active), account("old", AccountState::Suspended), lost];
    let view = |feed, changes| State::empty(feed).compose(changes).unwrap().unwrap().into_view();
    World {
        people: view(Feed::PEOPLE, people),
        access: view(Feed::ACCESS, vec![nas("10.1.4.20/32", true), nas("10.9.0.0/16", false)]),
        keys: Keys { people: DataKeyRing::of([key.clone()]), access: DataKeyRing::of([key]) },
    }
}

fn secret() -> Secret {
    Secret::new(*b"testing123")
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
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
    answer(&people, &access, &keys, datagram, format!("{peer}:1024").parse().unwrap(), UnixMillis(0), out)
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
    assert_eq!(ask(&chap).0, rejected(RejectReason::UnsupportedMethod));
    assert_eq!(ask(&eap), (rejected(RejectReason::UnsupportedMethod), tlv(attribute::EAP_MESSAGE, &[EAP_FAILURE, 9, 0, 4])));
    assert_eq!(ask(&[tlv(attribute::USER_NAME, b"eve"), ada].concat()).0, rejected(RejectReason::NoUserName));
    let odd = [tlv(attribute::USER_NAME, b"ada"), tlv(attribute::USER_PASSWORD, &[0; 17])].concat();
    assert_eq!(ask(&odd).0, rejected(RejectReason::PasswordLength));
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
