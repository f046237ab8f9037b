//! Replies as others write them, and what becomes of them; answers read by another's parser (hickory-proto).

mod accept;
mod clients;
mod respond;
mod store;

use super::question::{Credentials, Question, RANDOM_BYTES, Wanted};
use crate::dns::rdata;
use crate::words::DomainName;

fn wire(name: &str) -> Vec<u8> {
    DomainName::parse(name, None).unwrap().wire().to_vec()
}

fn wanted(name: &str, rtype: &str) -> Wanted {
    Wanted::of(&wire(name), rdata::parse_type(rtype).unwrap(), false, false).unwrap()
}

/// A question with some letters in capitals.
fn question(wanted: &Wanted) -> Question {
    Question::write(wanted, &[0x5a; RANDOM_BYTES], &Credentials { client: *b"8 bytes.", server: Vec::new() }, 0)
}

/// `owner ttl TYPE rdata`, on the wire and without compression.
fn record(line: &str) -> Vec<u8> {
    let mut words = line.splitn(4, ' ');
    let mut next = || words.next().unwrap();
    let (owner, ttl, rtype, data) = (next(), next(), next(), next());
    let (rtype, data) = rdata::parse_text(rtype, data, None).unwrap();
    let ttl: u32 = ttl.parse().unwrap();
    [&wire(owner)[..], &rtype.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &(data.len() as u16).to_be_bytes(), &data].concat()
}

/// The reply to a question, with these records in its three sections.
fn reply(question: &Question, rcode: u8, sections: [&[&str]; 3]) -> Vec<u8> {
    let mut packet = question.bytes()[..question.question_end].to_vec();
    packet[2..4].copy_from_slice(&[0x81, 0x80 | rcode]);
    for (place, lines) in packet[6..12].chunks_exact_mut(2).zip(sections) {
        place.copy_from_slice(&(lines.len() as u16).to_be_bytes());
    }
    packet.extend(sections.into_iter().flatten().flat_map(|line| record(line)));
    packet
}
