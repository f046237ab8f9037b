//! Whether a name server answers with authority: the SOA of a zone that it should have.

use super::rtype;
use super::zones::ZONE;
use crate::snapshot::View;

const HEADER_BYTES: usize = 12;
const CLASS_IN: u16 = 1;

/// A question for the SOA of the first of the view's zones; `None` where it has none.
pub fn question(view: &View, id: u16) -> Option<Vec<u8>> {
    let (apex, _) = view.iter(ZONE).next()?.ok()?;
    let mut out = Vec::with_capacity(HEADER_BYTES + apex.len() + 4);
    out.extend_from_slice(&id.to_be_bytes());
    // A plain query without recursion, and one question.
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(apex);
    out.extend_from_slice(&rtype::SOA.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    Some(out)
}

/// Whether this answers the question: authoritatively, without an error, and with a record. A REFUSED or a SERVFAIL shows
/// that somebody lives, not that anybody is served.
pub fn is_answer(question: &[u8], reply: &[u8]) -> bool {
    let Some(head) = reply.first_chunk::<HEADER_BYTES>() else { return false };
    let is_authoritative_reply = head[2] & 0x84 == 0x84;
    let has_records = u16::from_be_bytes([head[6], head[7]]) > 0;
    let same_question = reply.get(HEADER_BYTES..question.len()).zip(question.get(HEADER_BYTES..)).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
    question.get(..2) == Some(&head[..2]) && is_authoritative_reply && head[3] & 0x0f == 0 && has_records && same_question
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Cookies, Node, Outcome, Peer, Place, Policy, RrSet, Transport, ZoneRow, answer};
    use crate::snapshot::{Change, Feed, State};
    use crate::words::{DomainName, Serial, UnixMillis};

    fn view() -> View {
        let apex: DomainName = "uni.example".parse().unwrap();
        let soa = [&b"\x02ns\x03uni\x07example\x00\x04mail\x03uni\x07example\x00"[..], &[0; 20]].concat();
        let node = Node { place: Place::Apex, apex_labels: 2, rrsets: vec![RrSet { rtype: rtype::SOA, ttl: 60, rdatas: vec![soa] }] };
        let zone = Change::put(ZONE, apex.wire(), ZoneRow { serial: Serial(1) }.encode());
        let changes = vec![zone, Change::put(crate::dns::NODE, apex.wire(), node.encode())];
        State::empty(Feed::ZONE).compose(changes).unwrap().unwrap().into_view()
    }

    #[test]
    fn our_own_server_answers_the_question_and_a_refusal_is_no_answer() {
        let view = view();
        let question = question(&view, 0x4711).unwrap();
        let mut reply = Vec::new();
        let peer = Peer { address: ([127, 0, 0, 1], 4000).into(), transport: Transport::Udp };
        let policy = Policy::new(Cookies::of_period(&[0; 32], 0));
        let outcome = answer(&view, &question, peer, &policy, UnixMillis(0), &mut reply);
        assert!(matches!(outcome, Outcome::Replied(_)), "{outcome:?}");
        assert!(is_answer(&question, &reply));
        for (at, value) in [(0, 1), (2, 0x80), (3, 5), (7, 0)] {
            let mut wrong = reply.clone();
            wrong[at] = value;
            assert!(!is_answer(&question, &wrong), "byte {at}");
        }
        assert!(!is_answer(&question, &question) && !is_answer(&question, &[]) && !is_answer(&[], &reply));
        assert_eq!(super::question(&View::empty(Feed::ZONE), 1), None);
    }
}
