//! Signed messages between servers that share a secret (RFC 8945), HMAC-SHA-256 alone.
//!
//! Why by hand: the signatures of a transfer are chained over many messages, and what is signed is bytes, not a message tree;
//! hickory-proto's signer works on whole parsed messages. What it refuses: other algorithms, shortened MACs, times that are off
//! by more than the fudge, and more than ninety-nine messages between two signatures.

use super::message::{HEADER_BYTES, number_at, skip_name};
use crate::words::{DomainName, Secret};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// The record's type.
const TSIG: u16 = 250;
const CLASS_ANY: u16 = 255;
/// The algorithm's name on the wire.
const ALGORITHM: &[u8] = b"\x0bhmac-sha256\x00";
const MAC_BYTES: usize = 32;
/// How far two clocks may be apart (section 10).
const FUDGE_S: u16 = 300;
/// RFC 8945 section 5.3.1: at least every hundredth message of a transfer is signed.
const UNSIGNED_LIMIT: usize = 99;
/// How many bytes of unsigned messages are kept until the signature over them comes.
const UNSIGNED_LIMIT_BYTES: usize = 8 << 20;
/// NOTAUTH: the code of every refusal here.
const NOT_AUTH: u8 = 9;
/// Room that a signature takes at most, behind a message.
pub const SIGNATURE_ROOM_BYTES: usize = 255 + 10 + ALGORITHM.len() + 16 + MAC_BYTES + 6;

/// A secret that two servers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsigKey {
    /// What both call it.
    pub name: DomainName,
    /// Any number of bytes; 32 are right for this algorithm.
    pub secret: Secret,
}

/// Why a signature is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TsigError {
    /// The record is not where or what it must be.
    #[error("the signature cannot be read")]
    Malformed,
    /// Nobody here has a key of this name, or not with this algorithm.
    #[error("the key is not known here, or is not one of hmac-sha256")]
    BadKey,
    /// The secret is another one, or the message was altered.
    #[error("the signature does not fit: the secret is another one, or the message was altered on its way")]
    BadSignature,
    /// The clocks are apart.
    #[error("the signature is of another time: set the clocks of both servers")]
    BadTime,
    /// An answer without one.
    #[error("the answer is not signed, or not often enough")]
    Missing,
    /// The other server says that it does not believe ours.
    #[error("the other server refuses our signature with TSIG error {0}: 16 is another secret, 17 an unknown key, 18 another time")]
    Theirs(u16),
}

impl TsigError {
    /// The number that the other server is told (section 3).
    fn number(self) -> u16 {
        match self {
            Self::BadKey => 17,
            Self::BadTime => 18,
            _ => 16,
        }
    }
}

/// What a message that came is worth.
#[derive(Debug)]
pub enum Opened {
    /// Nobody signed it.
    Unsigned,
    /// It is signed: the message as it was before, and what signs the replies.
    Signed(Vec<u8>, Session),
    /// It is not believed: what to reply, where anything, and why.
    Refused(Option<Vec<u8>>, TsigError),
}

/// A signature as it stands in a message.
struct Found<'a> {
    starts_at: usize,
    name: DomainName,
    algorithm: &'a [u8],
    time: [u8; 6],
    fudge_s: u16,
    mac: &'a [u8],
    original_id: u16,
    error: u16,
    other: &'a [u8],
}

/// Looks at a request. `key_of` finds a key by its name.
pub fn open(message: &[u8], key_of: impl FnOnce(&DomainName) -> Option<TsigKey>, now_s: u64) -> Opened {
    let found = match find(message) {
        Ok(None) => return Opened::Unsigned,
        Ok(Some(found)) => found,
        Err(wrong) => return Opened::Refused(None, wrong),
    };
    let Some(key) = key_of(&found.name).filter(|_| found.algorithm == ALGORITHM) else {
        return Opened::Refused(Some(refusal(message, &found, TsigError::BadKey, None, now_s)), TsigError::BadKey);
    };
    let stripped = found.stripped(message);
    let mac = digest(&key, None, &[&stripped], &found.variables());
    if verify_slices_are_equal(&mac, found.mac).is_err() {
        return Opened::Refused(Some(refusal(message, &found, TsigError::BadSignature, None, now_s)), TsigError::BadSignature);
    }
    if !found.is_timely(now_s) {
        return Opened::Refused(Some(refusal(message, &found, TsigError::BadTime, Some(&key), now_s)), TsigError::BadTime);
    }
    Opened::Signed(stripped, Session { key, prior: mac, is_first: true, unsigned: Vec::new(), unsigned_count: 0 })
}

/// A request and its replies: each signature covers the one before.
#[derive(Debug)]
pub struct Session {
    key: TsigKey,
    prior: Vec<u8>,
    is_first: bool,
    unsigned: Vec<u8>,
    unsigned_count: usize,
}

impl Session {
    /// Signs a request, and will check its replies.
    pub fn ask(key: TsigKey, request: &mut Vec<u8>, now_s: u64) -> Self {
        let variables = Variables::of(&key, now_s, 0, &[]);
        let mac = digest(&key, None, &[request], &variables.full());
        put(request, &variables, &mac, 0, &[]);
        Self { key, prior: mac, is_first: true, unsigned: Vec::new(), unsigned_count: 0 }
    }

    /// The key's name.
    pub fn key(&self) -> &DomainName {
        &self.key.name
    }

    /// Signs the next reply.
    pub fn sign(&mut self, reply: &mut Vec<u8>, now_s: u64) {
        let variables = Variables::of(&self.key, now_s, 0, &[]);
        let signed = if self.is_first { variables.full() } else { variables.timers() };
        let mac = digest(&self.key, Some(&self.prior), &[reply], &signed);
        put(reply, &variables, &mac, 0, &[]);
        (self.prior, self.is_first) = (mac, false);
    }

    /// Checks the next reply. Gives whether everything up to it is vouched for; a later signature must come where it is not.
    pub fn check(&mut self, reply: &[u8], now_s: u64) -> Result<bool, TsigError> {
        let Some(found) = find(reply)? else {
            self.unsigned_count += 1;
            self.unsigned.extend_from_slice(reply);
            let too_much = self.is_first || self.unsigned_count > UNSIGNED_LIMIT || self.unsigned.len() > UNSIGNED_LIMIT_BYTES;
            return if too_much { Err(TsigError::Missing) } else { Ok(false) };
        };
        if found.name != self.key.name || found.algorithm != ALGORITHM {
            return Err(TsigError::BadKey);
        }
        // An error that is not signed proves nothing, but nothing else comes of the conversation either.
        if found.error != 0 && found.mac.is_empty() {
            return Err(TsigError::Theirs(found.error));
        }
        let signed = if self.is_first { found.variables() } else { found.timers() };
        let mac = digest(&self.key, Some(&self.prior), &[&self.unsigned, &found.stripped(reply)], &signed);
        verify_slices_are_equal(&mac, found.mac).map_err(|_| TsigError::BadSignature)?;
        if found.error != 0 {
            return Err(TsigError::Theirs(found.error));
        }
        if !found.is_timely(now_s) {
            return Err(TsigError::BadTime);
        }
        (self.prior, self.is_first, self.unsigned_count) = (mac, false, 0);
        self.unsigned.clear();
        Ok(true)
    }
}

/// A message without its signature, where it has one; checks nothing.
pub fn without_signature(message: &[u8]) -> Vec<u8> {
    match find(message) {
        Ok(Some(found)) => found.stripped(message),
        _ => message.to_vec(),
    }
}

/// The name of the key that a message says it is signed with.
pub fn key_named(message: &[u8]) -> Option<DomainName> {
    find(message).ok().flatten().map(|found| found.name)
}

/// What is signed beside the message (section 4.3.3).
struct Variables<'a> {
    name: &'a DomainName,
    time: [u8; 6],
    fudge_s: u16,
    error: u16,
    other: &'a [u8],
}

impl<'a> Variables<'a> {
    fn of(key: &'a TsigKey, now_s: u64, error: u16, other: &'a [u8]) -> Self {
        Self { name: &key.name, time: time(now_s), fudge_s: FUDGE_S, error, other }
    }

    fn full(&self) -> Vec<u8> {
        let mut out = self.name.wire().to_vec();
        out.extend_from_slice(&CLASS_ANY.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(ALGORITHM);
        out.extend_from_slice(&self.timers());
        out.extend_from_slice(&self.error.to_be_bytes());
        out.extend_from_slice(&(self.other.len() as u16).to_be_bytes());
        out.extend_from_slice(self.other);
        out
    }

    fn timers(&self) -> Vec<u8> {
        [&self.time[..], &self.fudge_s.to_be_bytes()].concat()
    }
}

impl Found<'_> {
    fn as_variables(&self) -> Variables<'_> {
        Variables { name: &self.name, time: self.time, fudge_s: self.fudge_s, error: self.error, other: self.other }
    }

    fn variables(&self) -> Vec<u8> {
        self.as_variables().full()
    }

    fn timers(&self) -> Vec<u8> {
        self.as_variables().timers()
    }

    fn is_timely(&self, now_s: u64) -> bool {
        let [a, b, c, d, e, f] = self.time;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f]).abs_diff(now_s) <= u64::from(self.fudge_s)
    }

    /// The message as its sender signed it (section 4.3.2).
    fn stripped(&self, message: &[u8]) -> Vec<u8> {
        let mut out = message[..self.starts_at].to_vec();
        out[..2].copy_from_slice(&self.original_id.to_be_bytes());
        let additionals = number_at(message, 10).unwrap_or(1).saturating_sub(1);
        out[10..12].copy_from_slice(&additionals.to_be_bytes());
        out
    }
}

/// The signature, which is the last record of all where there is one (section 5.1).
fn find(message: &[u8]) -> Result<Option<Found<'_>>, TsigError> {
    read(message).ok_or(TsigError::Malformed)?
}

type MaybeFound<'a> = Result<Option<Found<'a>>, TsigError>;

/// `None` where the message ends within something.
fn read(message: &[u8]) -> Option<MaybeFound<'_>> {
    let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(|at| usize::from(number_at(message, at).unwrap_or(0)));
    if message.len() < HEADER_BYTES {
        return None;
    }
    let mut at = HEADER_BYTES;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let records = answers + authorities + additionals;
    for index in 0..records {
        let starts_at = at;
        let fields = skip_name(message, at)?;
        let rdata_at = fields + 10;
        let rdata = message.get(rdata_at..rdata_at + usize::from(number_at(message, fields + 8)?))?;
        at = rdata_at + rdata.len();
        if number_at(message, fields)? == TSIG {
            let is_last = index + 1 == records && additionals > 0 && at == message.len() && number_at(message, fields + 2)? == CLASS_ANY;
            let name = DomainName::from_wire(message.get(starts_at..fields)?);
            return Some(match (is_last, name) {
                (true, Some(name)) => of_rdata(starts_at, name, rdata).map(Some).ok_or(TsigError::Malformed),
                _ => Err(TsigError::Malformed),
            });
        }
    }
    Some(Ok(None))
}

fn of_rdata(starts_at: usize, name: DomainName, rdata: &[u8]) -> Option<Found<'_>> {
    let algorithm_end = skip_name(rdata, 0)?;
    let (algorithm, rest) = rdata.split_at_checked(algorithm_end)?;
    let (time, rest) = rest.split_first_chunk::<6>()?;
    let fudge_s = number_at(rest, 0)?;
    let mac_len = usize::from(number_at(rest, 2)?);
    let (mac, rest) = rest.get(4..)?.split_at_checked(mac_len)?;
    let other = rest.get(6..)?;
    let (original_id, error, other_len) = (number_at(rest, 0)?, number_at(rest, 2)?, number_at(rest, 4)?);
    let is_whole = usize::from(other_len) == other.len();
    is_whole.then_some(Found { starts_at, name, algorithm, time: *time, fudge_s, mac, original_id, error, other })
}

fn digest(key: &TsigKey, prior: Option<&[u8]>, messages: &[&[u8]], variables: &[u8]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.secret.expose()));
    if let Some(prior) = prior {
        context.update(&(prior.len() as u16).to_be_bytes());
        context.update(prior);
    }
    messages.iter().for_each(|message| context.update(message));
    context.update(variables);
    context.sign().as_ref().to_vec()
}

/// Appends the record. The message's own id is the original one.
fn put(message: &mut Vec<u8>, variables: &Variables<'_>, mac: &[u8], error: u16, other: &[u8]) {
    let original_id = [message[0], message[1]];
    let additionals = number_at(message, 10).unwrap_or(0).wrapping_add(1);
    message[10..12].copy_from_slice(&additionals.to_be_bytes());
    message.extend_from_slice(variables.name.wire());
    let rdata_bytes = ALGORITHM.len() + 6 + 2 + 2 + mac.len() + 2 + 2 + 2 + other.len();
    for number in [TSIG, CLASS_ANY, 0, 0, rdata_bytes as u16] {
        message.extend_from_slice(&number.to_be_bytes());
    }
    message.extend_from_slice(ALGORITHM);
    message.extend_from_slice(&variables.timers());
    message.extend_from_slice(&(mac.len() as u16).to_be_bytes());
    message.extend_from_slice(mac);
    message.extend_from_slice(&original_id);
    message.extend_from_slice(&error.to_be_bytes());
    message.extend_from_slice(&(other.len() as u16).to_be_bytes());
    message.extend_from_slice(other);
}

/// The reply to a request that is not believed (section 5.2): signed only where the secret is shared and the clock is wrong.
fn refusal(request: &[u8], found: &Found<'_>, why: TsigError, key: Option<&TsigKey>, now_s: u64) -> Vec<u8> {
    let question_end = if number_at(request, 4) == Some(1) { skip_name(request, HEADER_BYTES).map(|end| end + 4) } else { None };
    let question_end = question_end.filter(|end| *end <= found.starts_at);
    let mut reply = request[..question_end.unwrap_or(HEADER_BYTES)].to_vec();
    reply[..2].copy_from_slice(&found.original_id.to_be_bytes());
    (reply[2], reply[3]) = (reply[2] & 0x79 | 0x80, NOT_AUTH);
    reply[4..12].copy_from_slice(&[0, u8::from(question_end.is_some()), 0, 0, 0, 0, 0, 0]);
    let ours = time(now_s);
    let other: &[u8] = if key.is_some() { &ours } else { &[] };
    // Of a time that is wrong the request's own comes back, and ours beside it (section 5.2.3).
    let variables = Variables { name: &found.name, time: found.time, fudge_s: found.fudge_s, error: why.number(), other };
    let mac = key.map_or(Vec::new(), |key| digest(key, Some(found.mac), &[&reply], &variables.full()));
    put(&mut reply, &variables, &mac, why.number(), other);
    reply
}

/// 48 bits of seconds since 1970.
fn time(now_s: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = now_s.to_be_bytes();
    rest
}
