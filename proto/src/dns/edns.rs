//! What a client says by EDNS, and what it is told (RFC 6891).
//!
//! Options that we do not know change nothing (section 6.1.2): a client subnet (RFC 7871) among them, because what is
//! public here is the same for everybody.

use super::cookie::{self, COOKIE_BYTES};
use super::message::{Rcode, number_at};
use super::policy::Policy;
use super::reply::UDP_PAYLOAD_LIMIT_BYTES;
use super::{Transport, rtype};

const NSID: u16 = 3;
pub(super) const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
pub(super) const EXTENDED_ERROR: u16 = 15;
/// How many of our boxes a question went through: of the range for local use (RFC 6891 section 9).
pub(super) const HOPS: u16 = 65_330;

/// An OPT record without options.
pub(super) const OPT_BYTES: usize = 11;
/// Code and length before an option.
pub(super) const OPTION_HEADER_BYTES: usize = 4;
/// What a reply over TLS is filled up to a multiple of, so that its length says little (RFC 8467 section 4.1).
const PADDING_BLOCK_BYTES: usize = 468;

/// Why we answer as we do, for clients that speak EDNS (RFC 8914 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ExtendedError {
    /// Whether the answer is signed as it should be cannot be said.
    Indeterminate = 5,
    /// Signatures do not hold.
    Bogus = 6,
    /// The answer has run out, and nobody can be asked for a newer one.
    StaleAnswer = 3,
    /// A failure of a moment ago, told again.
    CachedError = 13,
    /// There is nothing to answer from yet.
    NotReady = 14,
    /// Who asks may not.
    Prohibited = 18,
    /// That there is no such name has run out, and nobody can be asked anew.
    StaleNxDomain = 19,
    /// It is another's to answer.
    NotAuthoritative = 20,
    /// Nobody that could be asked answers.
    NoReachableAuthority = 22,
    /// Who was asked did not answer in time, or not what it was asked.
    NetworkError = 23,
    /// A row or a message is damaged.
    InvalidData = 24,
}

/// What the client said of itself by EDNS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edns<'a> {
    /// The largest UDP payload it takes.
    pub(super) payload_bytes: u16,
    pub(super) version: u8,
    pub(super) dnssec_ok: bool,
    pub(super) options: Options<'a>,
}

/// The options that we know.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options<'a> {
    /// The client's cookie, and behind it the server's where the client has one.
    pub(super) cookie: Option<&'a [u8]>,
    /// The client asks which of our boxes answers (RFC 5001).
    nsid: bool,
    /// The client asks how long a connection may idle (RFC 7828).
    keepalive: bool,
    /// The client fills its messages up, and so shall we (RFC 7830).
    padding: bool,
    /// Through how many of our boxes the question came.
    pub(super) hops: u8,
}

impl<'a> Options<'a> {
    /// Reads an OPT's rdata. `None` where it is no list of whole options, or an option cannot be what it says.
    pub(super) fn read(mut rdata: &'a [u8]) -> Option<Self> {
        let mut options = Self::default();
        while !rdata.is_empty() {
            let (code, len) = (number_at(rdata, 0)?, usize::from(number_at(rdata, 2)?));
            let value = rdata.get(OPTION_HEADER_BYTES..OPTION_HEADER_BYTES + len)?;
            match code {
                COOKIE if !cookie::is_cookie(value) => return None,
                // Of two the first counts: RFC 7873 section 5.2 wants it so.
                COOKIE => options.cookie = options.cookie.or(Some(value)),
                NSID => options.nsid = true,
                KEEPALIVE => options.keepalive = true,
                PADDING => options.padding = true,
                HOPS => options.hops = value.first().copied().unwrap_or(u8::MAX),
                _ => {}
            }
            rdata = &rdata[OPTION_HEADER_BYTES + len..];
        }
        Some(options)
    }
}

/// What a reply's OPT record will say, beside its code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opt<'a> {
    dnssec_ok: bool,
    cookie: Option<[u8; COOKIE_BYTES]>,
    nsid: Option<&'a [u8]>,
    keepalive: Option<u16>,
    padding: bool,
}

impl<'a> Opt<'a> {
    /// To a client that said this. What it is told of itself may be told again: a cookie that is good and new enough comes back.
    pub(super) fn to(edns: Edns<'_>, cookie: Option<[u8; COOKIE_BYTES]>, transport: Transport, policy: &'a Policy) -> Self {
        let options = edns.options;
        Self {
            dnssec_ok: edns.dnssec_ok,
            cookie,
            nsid: policy.nsid.as_deref().filter(|_| options.nsid),
            // On UDP it must not be sent, and is not understood (RFC 7828 section 3.2.2).
            keepalive: (options.keepalive && transport != Transport::Udp).then_some(policy.idle_timeout_100ms),
            padding: options.padding && transport == Transport::Tls,
        }
    }

    /// How many bytes it takes, without an error's reason and without padding. Both come to replies that have the room.
    pub(super) fn len(&self) -> usize {
        let option = |len: Option<usize>| len.map_or(0, |len| OPTION_HEADER_BYTES + len);
        OPT_BYTES + option(self.cookie.map(|_| COOKIE_BYTES)) + option(self.nsid.map(<[u8]>::len)) + option(self.keepalive.map(|_| 2))
    }

    /// Writes it behind all other records; the DO bit is given back (RFC 3225 section 3).
    pub(super) fn put(&self, out: &mut Vec<u8>, rcode: Rcode, why: Option<ExtendedError>, remark: &str) {
        let [p0, p1] = (UDP_PAYLOAD_LIMIT_BYTES as u16).to_be_bytes();
        let [t0, t1] = rtype::OPT.to_be_bytes();
        let do_bit = if self.dnssec_ok { 0x80 } else { 0 };
        out.extend_from_slice(&[0, t0, t1, p0, p1, rcode as u8 >> 4, 0, do_bit, 0, 0, 0]);
        let options_at = out.len();
        if let Some(cookie) = &self.cookie {
            put_option(out, COOKIE, cookie);
        }
        if let Some(nsid) = self.nsid {
            put_option(out, NSID, nsid);
        }
        if let Some(timeout) = self.keepalive {
            put_option(out, KEEPALIVE, &timeout.to_be_bytes());
        }
        if let Some(why) = why {
            let [code0, code1] = (why as u16).to_be_bytes();
            let [l0, l1] = ((2 + remark.len()) as u16).to_be_bytes();
            let [e0, e1] = EXTENDED_ERROR.to_be_bytes();
            out.extend_from_slice(&[e0, e1, l0, l1, code0, code1]);
            out.extend_from_slice(remark.as_bytes());
        }
        if self.padding {
            let bare = out.len() + OPTION_HEADER_BYTES;
            let padded = bare.next_multiple_of(PADDING_BLOCK_BYTES).min(usize::from(u16::MAX));
            // A message that is full has no room for the option either.
            if bare <= padded {
                put_option(out, PADDING, &[0; PADDING_BLOCK_BYTES][..padded - bare]);
            }
        }
        let len = (out.len() - options_at) as u16;
        out[options_at - 2..options_at].copy_from_slice(&len.to_be_bytes());
    }
}

pub(super) fn put_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}
