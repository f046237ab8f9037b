use super::attribute as kind;
use super::*;
use crate::radius::{NAS, NasRights};
use crate::snapshot::{Change, DataKey, Feed, State};
use crate::words::UnixMillis;
use proptest::prelude::*;
use std::net::Ipv6Addr;

/// User nemo, session 0001 stops; seven octets and a gigaword from the user; a Proxy-State. Made by another program.
const REQUEST: &str = "0409003901650dc1bd61720ed8e713ea30c04b7601066e656d6f2806000000022c06303030312a060000000734060000000121076f75746572";
const RESPONSE: &str = "0509001b11d332a73ca45741062720da799dc84a21076f75746572";
/// The same with a Message-Authenticator, made over zeros in place of the authenticator.
const PROVEN_REQUEST: &str =
    "0409004bd19040f17490109e3e481a13b506e82501066e656d6f2806000000022c06303030312a060000000734060000000121076f75746572501287c2552303baeaad36de46ef2f2d521d";
const PROVEN_RESPONSE: &str = "0509002dfe7b3c8b00988fbc3afaa1588255a9ca50120c799f3a30cf4c8fd99713ec348a17af21076f75746572";
const PEER: &str = "[::ffff:10.1.4.20]:1646";

fn arrival() -> Arrival {
    Arrival { received: UnixMillis(1_800_000_000_000), boot: [7; 16], since_boot_ms: 61_000 }
}

fn secret() -> Secret {
    Secret::new(*b"xyzzy5461")
}

fn access() -> (View, DataKeyRing) {
    let (key, row_key) = (DataKey::from_bytes([7; 32]), crate::radius::nas_key("10.1.4.0/24".parse().unwrap()));
    let nas = Nas {
        name: "annex".into(),
        secret: key.encrypt(NAS, &row_key, secret().expose()).unwrap(),
        require_message_authenticator: true,
        has_former_secret: false,
        rights: NasRights::default(),
    };
    let view = State::empty(Feed::ACCESS).compose(vec![Change::put(NAS, row_key, nas.encode())]).unwrap().unwrap().into_view();
    (view, DataKeyRing::of([key]))
}

fn say(datagram: &[u8]) -> Outcome {
    let (view, keys) = access();
    account(&view, &keys, datagram, PEER.parse().unwrap(), arrival())
}

fn kept(datagram: &[u8]) -> Pending {
    match say(datagram) {
        Outcome::Keep(pending) => *pending,
        other => panic!("{other:?}"),
    }
}

fn silence(datagram: &[u8]) -> Reason {
    match say(datagram) {
        Outcome::Silent(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8 + 2], value].concat()
}

fn status(number: u32) -> Vec<u8> {
    tlv(kind::ACCT_STATUS_TYPE, &number.to_be_bytes())
}

#[test]
fn a_record_is_kept_and_its_reply_is_that_of_another_program() {
    for (request, response) in [(REQUEST, RESPONSE), (PROVEN_REQUEST, PROVEN_RESPONSE)] {
        let request = hex::decode(request).unwrap();
        let Pending { record, reply } = kept(&request);
        assert_eq!(hex::encode(&reply), response);
        assert!(is_reply_to(&reply, &request, &secret()) && !is_reply_to(&reply, &request, &Secret::new(*b"other")));
        assert_eq!((record.status, record.nas, record.nas_name.as_str()), (Status::Stop, [10, 1, 4, 20].into(), "annex"));
        let told = record.told();
        assert_eq!((told.session_id.as_str(), told.user_name.as_str()), ("0001", "nemo"));
        assert_eq!((told.input_octets, told.output_octets), (Some((1 << 32) + 7), None));
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn who_does_not_know_the_secret_or_says_nothing_hears_nothing() {
    let request = hex::decode(REQUEST).unwrap();
    let proven = hex::decode(PROVEN_REQUEST).unwrap();
    let (view, keys) = access();
    let from = |peer: &str| account(&view, &keys, &request, peer.parse().unwrap(), arrival());
    assert!(matches!(from("10.2.4.20:1646"), Outcome::Silent(Reason::UnknownNas)));
    let blind = account(&view, &DataKeyRing::of([]), &request, PEER.parse().unwrap(), arrival());
    assert!(matches!(blind, Outcome::Silent(Reason::NoSharedSecret)));
    assert_eq!(silence(&request[..30]), Reason::Malformed);
    for at in 4..request.len() {
        let mut changed = request.clone();
        changed[at] ^= 1;
        // A changed length of an attribute is found earlier.
        assert!(matches!(silence(&changed), Reason::WrongAuthenticator | Reason::Malformed), "{at}");
    }
    // The Message-Authenticator alone is wrong: whoever made it knows the secret, and the packet is not what it says.
    let mut attributes = proven[20..].to_vec();
    *attributes.last_mut().unwrap() ^= 1;
    assert_eq!(silence(&encode_request(9, &attributes, &secret())), Reason::WrongMessageAuthenticator);
    let session = tlv(kind::ACCT_SESSION_ID, b"1");
    let wrong = |attributes: &[Vec<u8>]| silence(&encode_request(1, &attributes.concat(), &secret()));
    assert_eq!(wrong(std::slice::from_ref(&session)), Reason::NoStatus);
    assert_eq!(wrong(&[session.clone(), status(1), status(2)]), Reason::NoStatus);
    assert_eq!(wrong(&[session.clone(), tlv(kind::ACCT_STATUS_TYPE, &[1])]), Reason::NoStatus);
    assert_eq!(wrong(&[status(1)]), Reason::NoSession);
    assert_eq!(wrong(&[status(3), tlv(kind::ACCT_SESSION_ID, b"")]), Reason::NoSession);
    let mut access_request = request;
    access_request[0] = 1;
    assert_eq!(silence(&access_request), Reason::UnexpectedCode);
}

#[test]
fn a_nas_may_come_and_go_without_a_session() {
    for (number, expected) in [(7, Status::On), (8, Status::Off), (15, Status::Other(15))] {
        let record = kept(&encode_request(1, &status(number), &secret())).record;
        assert_eq!((record.status, record.told()), (expected, Told::default()));
    }
}

#[test]
fn status_server_is_answered_to_who_proves_the_secret() {
    let question = |secret: &Secret| crate::radius::packet::encode_request(STATUS_SERVER, 3, &[9; 16], &[], secret).unwrap();
    let asked = question(&secret());
    let Outcome::Alive(reply) = say(&asked) else { panic!("it lives") };
    assert!(is_reply_to(&reply, &asked, &secret()));
    assert_eq!(reply[20..22], [80, 18], "with a Message-Authenticator");
    assert_eq!(silence(&question(&Secret::new(*b"other"))), Reason::WrongMessageAuthenticator);
    let bare = [&[STATUS_SERVER, 3, 0, 20], &[9; 16][..]].concat();
    assert_eq!(silence(&bare), Reason::NoMessageAuthenticator);
}

#[test]
fn what_is_not_about_the_session_is_not_kept() {
    let secrets = [tlv(2, &[0xaa; 16]), tlv(3, &[0xbb; 17]), tlv(24, b"state"), tlv(25, b"class"), tlv(26, &[0, 0, 0, 9, 1, 4, b'p', b'w']), tlv(79, b"eap")];
    let request = encode_request(1, &[vec![status(1), tlv(kind::ACCT_SESSION_ID, b"1")], secrets.to_vec()].concat().concat(), &secret());
    assert_eq!(kept(&request).record.attributes, tlv(kind::ACCT_SESSION_ID, b"1"));
}

#[test]
fn a_record_is_golden() {
    let attributes = [tlv(kind::USER_NAME, b"ada"), tlv(kind::ACCT_SESSION_ID, b"s1")].concat();
    let record = Record { status: Status::Start, nas: [10, 1, 4, 20].into(), nas_name: "annex".into(), arrival: arrival(), attributes };
    assert_eq!(
        hex::encode(record.encode()),
        "010100000000505c18a30100000707070707070707070707070707070748ee000000000000040a01041405616e6e657801056164612c047331"
    );
    let six = Record { nas: "2001:db8::20".parse().unwrap(), status: Status::Other(15), ..record.clone() };
    for record in [record, six] {
        let encoded = record.encode();
        assert_eq!(Record::decode(&encoded), Ok(record));
        // Attributes may be fewer: a record ends where they end, and the frame around it has a check of its own.
        let first = encoded.len() - 9;
        for cut in (0..first).chain([first + 1, first + 4, first + 6]) {
            assert_eq!(Record::decode(&encoded[..cut]), Err(RecordError), "cut at {cut}");
        }
        assert_eq!(Record::decode(&[&[2], &encoded[1..]].concat()), Err(RecordError), "of a newer build");
    }
}

#[test]
fn attributes_are_told_as_people_read_them() {
    let number = |kind: u8, number: u32| tlv(kind, &number.to_be_bytes());
    let attributes = [
        tlv(kind::ACCT_SESSION_ID, b"s1"),
        tlv(kind::USER_NAME, b"ada\x07\xff"),
        tlv(kind::CALLING_STATION_ID, b"02-00-00-00-00-09"),
        tlv(kind::FRAMED_IP_ADDRESS, &[10, 1, 6, 7]),
        tlv(kind::FRAMED_IPV6_PREFIX, &[0, 48, 0x20, 1, 0xd, 0xb8, 0, 9, 0xff]),
        number(kind::NAS_PORT, 17),
        number(kind::ACCT_SESSION_TIME, 61),
        number(kind::ACCT_DELAY_TIME, 3),
        number(kind::EVENT_TIMESTAMP, 1_799_999_000),
        number(kind::ACCT_TERMINATE_CAUSE, 1),
    ];
    let told = kept(&encode_request(1, &[status(2), attributes.concat()].concat(), &secret())).record.told();
    let expected = Told {
        session_id: "s1".into(),
        user_name: "ada \u{fffd}".into(),
        nas_port: "17".into(),
        calling_station: "02-00-00-00-00-09".into(),
        framed_ip: Some([10, 1, 6, 7].into()),
        framed_ipv6: Some(("2001:db8:9::".parse::<Ipv6Addr>().unwrap(), 48)),
        session_secs: Some(61),
        delay_secs: 3,
        event_secs: Some(1_799_999_000),
        terminate_cause: Some(1),
        ..Told::default()
    };
    assert_eq!(told, expected);
    let nobodys = tlv(kind::FRAMED_IP_ADDRESS, &[255, 255, 255, 254]);
    let record = Record { status: Status::Start, nas: [10, 1, 4, 20].into(), nas_name: String::new(), arrival: arrival(), attributes: nobodys };
    assert_eq!(record.told().framed_ip, None, "an address that stands for a wish");
}

proptest! {
    #[test]
    fn what_is_kept_comes_back(status in any::<u32>(), received in any::<u64>(), name in ".{0,300}", values in proptest::collection::vec((0..KEPT.len(), proptest::collection::vec(any::<u8>(), 0..40)), 0..9)) {
        let attributes = values.iter().flat_map(|(at, value)| tlv(KEPT[*at], value)).collect();
        let record = Record { status: Status::of(status), nas: [10, 1, 4, 20].into(), nas_name: name.clone(), arrival: Arrival { received: UnixMillis(received), ..arrival() }, attributes };
        let back = Record::decode(&record.encode()).unwrap();
        prop_assert!(name.starts_with(&back.nas_name) && (name.len() > 255 || name == back.nas_name));
        prop_assert_eq!(Record { nas_name: name, ..back }, record.clone());
        let _ = record.told();
    }

    #[test]
    fn any_bytes_are_taken_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = say(&bytes);
        let _ = Record::decode(&bytes).map(|record| record.told());
        // With a right authenticator they come further.
        let len = bytes.len().min(200);
        if let Outcome::Keep(pending) = say(&encode_request(1, &bytes[..len], &secret())) {
            prop_assert!(is_reply_to(&pending.reply, &encode_request(1, &bytes[..len], &secret()), &secret()));
        }
    }
}
