//! What a NAS says of the sessions that it lets in (RFC 2866, RFC 2869): who, where, since when, how much.
//!
//! Pure, and in two steps like authentication: [`account`] checks a request and hands out a [`Pending`], which owns the record
//! and the reply. The loop sends the reply when the record is on the disk, and not before: a NAS that has its answer forgets.
//!
//! What it refuses: a word to anybody who is not a known NAS or does not know its secret (RFC 2866 section 3), and to keep what
//! it was not asked to keep: of a request only the attributes of [`KEPT`] go into the record, so no password and no key can.

pub mod attribute;
mod record;

pub use record::{Arrival, KEPT, Record, RecordError, Status, Told, terminate_cause};

use super::packet::{
    Authenticator, PACKET_LIMIT_BYTES, Packet, Proof, Reply,
    attribute::{MESSAGE_AUTHENTICATOR, PROXY_STATE},
    code::STATUS_SERVER,
};
use super::table::{Nas, find_nas};
use crate::snapshot::{DataKeyRing, View};
use crate::words::Secret;
use md5::{Digest, Md5};
use std::net::SocketAddr;

/// A NAS says something of a session (RFC 2866 section 4.1).
pub const ACCOUNTING_REQUEST: u8 = 4;
/// It is kept (RFC 2866 section 4.2).
pub const ACCOUNTING_RESPONSE: u8 = 5;

const HEADER_BYTES: usize = 20;

/// What became of a packet.
#[derive(Debug)]
pub enum Outcome {
    /// Keep the record; then, and only then, send the reply.
    Keep(Box<Pending>),
    /// The NAS asks whether we live (RFC 5997): send this where records can be kept.
    Alive(Vec<u8>),
    /// Nothing is sent.
    Silent(Reason),
}

/// A record that waits for the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What is to be kept.
    pub record: Record,
    /// What is sent afterwards.
    pub reply: Vec<u8>,
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No NAS has this address.
    UnknownNas,
    /// The NAS's row does not decode, or the disk has lost it.
    DamagedNas,
    /// The NAS's secret does not decrypt here.
    NoSharedSecret,
    /// Not a RADIUS packet.
    Malformed,
    /// A code that has no business on the accounting port.
    UnexpectedCode,
    /// The Request Authenticator is wrong: another secret, or somebody changed the packet.
    WrongAuthenticator,
    /// There is a Message-Authenticator, and it is wrong.
    WrongMessageAuthenticator,
    /// Status-Server without Message-Authenticator (RFC 5997 section 3).
    NoMessageAuthenticator,
    /// Acct-Status-Type is missing, doubled or no number.
    NoStatus,
    /// It is about a session and does not say about which.
    NoSession,
}

impl Reason {
    /// The name of its counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownNas => "unknown_nas",
            Self::DamagedNas => "damaged_nas",
            Self::NoSharedSecret => "no_shared_secret",
            Self::Malformed => "malformed",
            Self::UnexpectedCode => "unexpected_code",
            Self::WrongAuthenticator => "wrong_authenticator",
            Self::WrongMessageAuthenticator => "wrong_message_authenticator",
            Self::NoMessageAuthenticator => "no_message_authenticator",
            Self::NoStatus => "no_status",
            Self::NoSession => "no_session",
        }
    }
}

/// Takes one datagram that came to the accounting port.
pub fn account(access: &View, keys: &DataKeyRing, datagram: &[u8], peer: SocketAddr, arrival: Arrival) -> Outcome {
    take(access, keys, datagram, peer, arrival).unwrap_or_else(Outcome::Silent)
}

fn take(access: &View, keys: &DataKeyRing, datagram: &[u8], peer: SocketAddr, arrival: Arrival) -> Result<Outcome, Reason> {
    let (key, row) = find_nas(access, peer.ip()).map_err(|_| Reason::DamagedNas)?.ok_or(Reason::UnknownNas)?;
    let packet = Packet::parse(datagram).map_err(|_| Reason::Malformed)?;
    if !matches!(packet.code(), ACCOUNTING_REQUEST | STATUS_SERVER) {
        return Err(Reason::UnexpectedCode);
    }
    let nas = Nas::decode(row).map_err(|_| Reason::DamagedNas)?;
    let secrets = nas.secrets(keys, &key).ok_or(Reason::NoSharedSecret)?;
    let (secret, is_known) = secrets.prove(&true, |secret| knows(&packet, secret));
    let proof = if is_known { prove(&packet, &secret)? } else { return Err(unknown(&packet)) };
    if packet.code() == STATUS_SERVER {
        return Ok(Outcome::Alive(reply(&packet, &secret, proof)));
    }
    let record = Record::of(&packet, peer.ip().to_canonical(), nas.name, arrival)?;
    Ok(Outcome::Keep(Box::new(Pending { record, reply: reply(&packet, &secret, proof) })))
}

/// Whether this is the secret that the sender knows.
fn knows(packet: &Packet<'_>, secret: &Secret) -> bool {
    match packet.code() {
        STATUS_SERVER => packet.message_authenticator(secret) == Proof::Valid,
        _ => is_same(&sum(&unsigned(packet), secret), &packet.authenticator()),
    }
}

/// What is said of a sender who knows none.
fn unknown(packet: &Packet<'_>) -> Reason {
    match packet.code() {
        STATUS_SERVER if packet.values(MESSAGE_AUTHENTICATOR).next().is_none() => Reason::NoMessageAuthenticator,
        STATUS_SERVER => Reason::WrongMessageAuthenticator,
        _ => Reason::WrongAuthenticator,
    }
}

/// What else a sender who knows the secret proves. An Accounting-Request proves it by its authenticator (RFC 2866 section 3); what it has of a
/// Message-Authenticator must be right as well. Status-Server proves it by that alone (RFC 5997 section 3).
fn prove(packet: &Packet<'_>, secret: &Secret) -> Result<Proof, Reason> {
    if packet.code() == STATUS_SERVER {
        return Ok(Proof::Valid);
    }
    let unsigned = unsigned(packet);
    match Packet::parse(&unsigned).map_err(|_| Reason::Malformed)?.message_authenticator(secret) {
        Proof::Wrong => Err(Reason::WrongMessageAuthenticator),
        proof => Ok(proof),
    }
}

/// The packet as it was when its authenticator was made: with zeros in its place (RFC 2866 section 3, as RFC 5176 section 2.3 has it
/// for Message-Authenticator).
fn unsigned(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = packet.bytes().to_vec();
    bytes[4..HEADER_BYTES].fill(0);
    bytes
}

fn sum(bytes: &[u8], secret: &Secret) -> Authenticator {
    Md5::new().chain_update(bytes).chain_update(secret.expose()).finalize().into()
}

/// In constant time: how much of a guess was right is nobody's business.
fn is_same(left: &Authenticator, right: &Authenticator) -> bool {
    left.iter().zip(right).fold(0, |differing, (left, right)| differing | (left ^ right)) == 0
}

/// What proxies want back, and, for who sent one, a Message-Authenticator: RFC 2866 knows none, and old NASs expect none.
fn reply(packet: &Packet<'_>, secret: &Secret, proof: Proof) -> Vec<u8> {
    let states = packet.values(PROXY_STATE).flat_map(|value| [&[PROXY_STATE, value.len() as u8 + 2], value].concat());
    if proof == Proof::Valid {
        let mut out = Box::new([0; PACKET_LIMIT_BYTES]);
        let mut reply = Reply::begin(&mut out, ACCOUNTING_RESPONSE, packet.id());
        reply.push_attributes(&states.collect::<Vec<_>>()).expect("the request had all that the reply has, and more");
        let len = reply.finish(&packet.authenticator(), secret);
        return out[..len].to_vec();
    }
    let mut out = [&[ACCOUNTING_RESPONSE, packet.id(), 0, 0], &packet.authenticator()[..]].concat();
    out.extend(states);
    let len = (out.len() as u16).to_be_bytes();
    out[2..4].copy_from_slice(&len);
    let authenticator = sum(&out, secret);
    out[4..HEADER_BYTES].copy_from_slice(&authenticator);
    out
}

/// Writes an Accounting-Request as a NAS does, from attributes in wire form. For clients: the lab's and the tests'.
pub fn encode_request(id: u8, attributes: &[u8], secret: &Secret) -> Vec<u8> {
    let len = (HEADER_BYTES + attributes.len()).min(PACKET_LIMIT_BYTES) as u16;
    let mut out = [&[ACCOUNTING_REQUEST, id][..], &len.to_be_bytes(), &[0; 16], attributes].concat();
    let authenticator = sum(&out, secret);
    out[4..HEADER_BYTES].copy_from_slice(&authenticator);
    out
}

/// Whether these bytes are the server's reply to this request. For clients.
pub fn is_reply_to(reply: &[u8], request: &[u8], secret: &Secret) -> bool {
    let (Ok(said), Ok(asked)) = (Packet::parse(reply), Packet::parse(request)) else { return false };
    let mut signed = said.bytes().to_vec();
    signed[4..HEADER_BYTES].copy_from_slice(&asked.authenticator());
    let is_proven = Packet::parse(&signed).is_ok_and(|packet| packet.message_authenticator(secret) != Proof::Wrong);
    said.code() == ACCOUNTING_RESPONSE && said.id() == asked.id() && sum(&signed, secret) == said.authenticator() && is_proven
}

#[cfg(test)]
mod tests;
