//! Signatures of requests and of chains of replies.

use super::{ask, name, query};
use crate::dns::rtype;
use crate::dns::tsig::{Opened, Session, TsigError, TsigKey, open};
use crate::words::Secret;

const NOW_S: u64 = 1_700_000_000;

fn key(secret: &[u8]) -> TsigKey {
    TsigKey { name: name("dept.key"), secret: Secret::new(secret) }
}

fn request(key: TsigKey) -> (Vec<u8>, Session) {
    let mut request = query(7, &name("uni.example"), rtype::AXFR, None);
    let session = Session::ask(key, &mut request, NOW_S);
    (request, session)
}

fn opened(request: &[u8], now_s: u64) -> Opened {
    open(request, |asked| (*asked == name("dept.key")).then(|| key(b"secret")), now_s)
}

#[test]
fn a_request_and_a_chain_of_replies_are_believed() {
    let (request, mut client) = request(key(b"secret"));
    let Opened::Signed(plain, mut server) = opened(&request, NOW_S + 299) else { panic!("it is signed") };
    assert_eq!(plain, query(7, &name("uni.example"), rtype::AXFR, None));
    assert_eq!(server.key(), &name("dept.key"));
    for n in 0..3 {
        let mut reply = ask("uni.example", rtype::AXFR, None).head;
        reply[3] = n;
        server.sign(&mut reply, NOW_S);
        assert_eq!(client.check(&reply, NOW_S), Ok(true), "reply {n}");
    }
    assert!(matches!(opened(&plain, NOW_S), Opened::Unsigned));
}

/// RFC 8945 section 5.3.1: between two signatures others may stand that the second one covers.
#[test]
fn unsigned_replies_between_two_signatures_are_covered_by_the_second() {
    let (request, mut client) = request(key(b"secret"));
    let Opened::Signed(_, mut server) = opened(&request, NOW_S) else { panic!("it is signed") };
    let mut first = ask("uni.example", rtype::AXFR, None).head;
    let second = first.clone();
    assert_eq!(client.check(&second, NOW_S), Err(TsigError::Missing), "the first must be signed");
    server.sign(&mut first, NOW_S);
    let (_, mut client) = self::request(key(b"secret"));
    assert_eq!(client.check(&first, NOW_S), Ok(true));
    for _ in 0..99 {
        assert_eq!(client.check(&second, NOW_S), Ok(false));
    }
    assert_eq!(client.check(&second, NOW_S), Err(TsigError::Missing));
}

#[test]
fn what_was_altered_is_not_believed() {
    let (request, mut client) = request(key(b"secret"));
    for at in [0, 2, 14, 20, request.len() - 20, request.len() - 60] {
        let mut altered = request.clone();
        altered[at] ^= 1;
        // The id may be changed on its way; the original one is signed.
        let is_signed = matches!(opened(&altered, NOW_S), Opened::Signed(..));
        assert_eq!(is_signed, at == 0, "byte {at}");
    }
    let Opened::Signed(_, mut server) = opened(&request, NOW_S) else { panic!("it is signed") };
    let mut reply = ask("uni.example", rtype::AXFR, None).head;
    server.sign(&mut reply, NOW_S);
    reply[3] ^= 1;
    assert_eq!(client.check(&reply, NOW_S), Err(TsigError::BadSignature));
}

#[test]
fn a_refusal_says_why_and_the_other_end_understands_it() {
    for (secret, now_s, ours, theirs) in
        [(&b"other"[..], NOW_S, TsigError::BadSignature, TsigError::Theirs(16)), (b"secret", NOW_S + 301, TsigError::BadTime, TsigError::Theirs(18))]
    {
        let (request, mut client) = request(key(secret));
        let Opened::Refused(Some(reply), why) = opened(&request, now_s) else { panic!("it is refused") };
        assert_eq!((why, reply[3] & 15), (ours, 9), "NOTAUTH");
        assert_eq!(client.check(&reply, NOW_S), Err(theirs));
    }
    let stranger = TsigKey { name: name("other.key"), ..key(b"secret") };
    let (request, mut client) = request(stranger);
    let Opened::Refused(Some(reply), TsigError::BadKey) = opened(&request, NOW_S) else { panic!("it is refused") };
    assert_eq!(client.check(&reply, NOW_S), Err(TsigError::Theirs(17)));
}

/// The bytes are those that Python's hmac and struct make of RFC 8945 section 4.3.
#[test]
fn a_signature_is_what_other_programs_compute() {
    let (request, _) = request(key(b"secret"));
    let record = concat!(
        "0464657074036b65790000fa00ff00000000003d0b686d61632d7368613235360000006553f100012c0020bf60031cee9101",
        "316617e0086205c30d41a2935b90ee62d75c46777c8e358e5f000700000000"
    );
    assert_eq!(hex::encode(&request[query(7, &name("uni.example"), rtype::AXFR, None).len()..]), record);
}
