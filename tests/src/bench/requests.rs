//! Requests of the three protocols, made beforehand, and whether a reply is the one that was wanted.

use super::store::{ACCOUNTS, Host, SHARED_SECRET};
use anyhow::{Context, Result};
use holdfast_proto::radius::packet::{attribute, code, encode_request, hide_password};
use holdfast_proto::words::Secret;

/// RFC 6891: EDNS with room for 1232 bytes, as resolvers ask.
const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
/// RFC 951 section 3 with the 64 bytes of vendor area, and RFC 1497's cookie.
const BOOTP_BYTES: usize = 300;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// More than an agent remembers for those who ask again (16384): each login is a new one.
const LOGINS: u32 = 65_536;
/// Steps through the hosts in an order that no cache line foresees: a prime that divides no round number of hosts.
const STRIDE: u64 = 48_271;

/// Whether a reply is a good one.
pub(super) type IsGood = fn(&[u8]) -> bool;

/// One protocol's requests.
#[derive(Debug)]
pub(super) struct Requests {
    /// Its name, and what is asked.
    pub what: &'static str,
    /// In the order of asking, over and over.
    pub packets: Vec<Vec<u8>>,
    /// Judges a reply.
    pub is_good: IsGood,
}

/// The addresses of all hosts by name.
pub(super) fn dns(hosts: u32) -> Requests {
    let packets = scattered(hosts).enumerate().map(|(number, host)| question(number as u16, host)).collect();
    // A response (RFC 1035 section 4.1.1) with NOERROR and one answer.
    Requests { what: "DNS A with EDNS", packets, is_good: |reply| reply.len() > 12 && reply[2] & 0x80 != 0 && reply[3] & 0x0f == 0 && reply[6..8] == [0, 1] }
}

/// A question for one host's address.
pub(super) fn question(id: u16, host: Host) -> Vec<u8> {
    let header = [0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    [&id.to_be_bytes()[..], &header, host.name().wire(), &[0, 1, 0, 1], &OPT].concat()
}

/// The boot entries of all hosts, asked through the relays of their subnets.
pub(super) fn bootp(hosts: u32) -> Requests {
    let packets = scattered(hosts).enumerate().map(|(number, host)| boot_request(number as u32, host)).collect();
    Requests { what: "BOOTP by a relay", packets, is_good: |reply| reply.len() >= BOOTP_BYTES && reply[0] == 2 && reply[16] == 10 }
}

fn boot_request(xid: u32, host: Host) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 1];
    out.extend_from_slice(&xid.to_be_bytes());
    out.resize(24, 0);
    out.extend_from_slice(&host.gateway().octets());
    out.extend_from_slice(&host.mac());
    out.resize(236, 0);
    out.extend_from_slice(&COOKIE);
    out.push(255);
    out.resize(BOOTP_BYTES, 0);
    out
}

/// Logins of the accounts in turn, each with an authenticator of its own.
pub(super) fn radius() -> Result<Requests> {
    let secret = Secret::new(SHARED_SECRET);
    let packets = (0..LOGINS).map(|number| login(number, &secret)).collect::<Result<_>>()?;
    Ok(Requests { what: "RADIUS PAP, known password", packets, is_good: |reply| reply.first() == Some(&code::ACCESS_ACCEPT) })
}

fn login(number: u32, secret: &Secret) -> Result<Vec<u8>> {
    let (name, password) = ACCOUNTS[number as usize % ACCOUNTS.len()];
    let mut authenticator = [0x5a; 16];
    authenticator[..4].copy_from_slice(&number.to_be_bytes());
    let hidden = hide_password(password.as_bytes(), secret, &authenticator).context("a short password")?;
    let tlv = |kind, value: &[u8]| [&[kind, value.len() as u8 + 2], value].concat();
    let attributes = [tlv(attribute::USER_NAME, name.as_bytes()), tlv(attribute::USER_PASSWORD, &hidden)].concat();
    encode_request(code::ACCESS_REQUEST, number as u8, &authenticator, &attributes, secret).ok().context("a short request")
}

pub(super) fn scattered(hosts: u32) -> impl Iterator<Item = Host> {
    (0..u64::from(hosts)).map(move |number| Host((number * STRIDE % u64::from(hosts)) as u32))
}
