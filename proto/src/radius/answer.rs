//! May this person come in? Pure, and in two steps: a password hash takes milliseconds, so [`answer`] stops before it and
//! hands out a [`PendingCheck`], which owns all that the reply needs; the loop has it verified wherever it likes and calls
//! [`PendingCheck::conclude`].
//!
//! What it refuses: a word to anybody who is not a known NAS or whose Message-Authenticator is wrong (BlastRADIUS,
//! CVE-2024-3596); an empty password; any sign by which an unknown or suspended account could be told from a wrong
//! password, in time or in content, before the password was right.

use super::packet::{Authenticator, PACKET_LIMIT_BYTES, Packet, Proof, Reply, TooLong, attribute, code, reveal_password};
use super::probe;
use super::table::{ACCOUNT, Account, AccountState, NAS, Nas, account_key, find_nas};
use crate::snapshot::{DataKeyRing, View};
use crate::words::{Secret, UnixMillis};
use std::net::SocketAddr;

/// What an account that is not there is checked against: the same work as a real one, and no password fits.
const NOBODYS_VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$aG9sZGZhc3Qtbm9ib2R5IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// What a suspended person reads, once the password was right.
const SUSPENDED_MESSAGE: &[u8] = b"This account is suspended. Ask the help desk.";
const EAP_FAILURE: u8 = 4;

/// The data keys of both feeds, as this agent could open them.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// For verifiers.
    pub people: DataKeyRing,
    /// For shared secrets.
    pub access: DataKeyRing,
}

/// What became of a packet.
#[derive(Debug)]
pub enum Outcome {
    /// A reply stands in the buffer.
    Replied(Replied),
    /// A password has to be verified first.
    Check(Box<PendingCheck>),
    /// Nothing is sent.
    Silent(Reason),
}

/// A reply that stands in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replied {
    /// What it says.
    pub verdict: Verdict,
    /// Its length in bytes.
    pub len: usize,
}

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Accept,
    /// Stay out.
    Reject(RejectReason),
    /// We live (RFC 5997).
    Alive,
}

/// Why somebody stays out. Never told to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// User-Name is missing or doubled.
    NoUserName,
    /// Neither password nor anything else to prove oneself with.
    NoCredentials,
    /// More than one of User-Password, CHAP-Password and EAP-Message.
    MixedCredentials,
    /// CHAP and EAP are not spoken yet.
    UnsupportedMethod,
    /// User-Password has a length that RFC 2865 section 5.2 does not allow.
    PasswordLength,
    /// The password is empty.
    EmptyPassword,
    /// No account has this name.
    UnknownUser,
    /// The password is wrong.
    WrongPassword,
    /// The password is right and the account suspended.
    Suspended,
    /// The account's attributes and the proxies' states do not fit into one packet.
    ReplyTooLong,
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
    /// A code that has no business on the authentication port.
    UnexpectedCode,
    /// Message-Authenticator is required and missing.
    NoMessageAuthenticator,
    /// Message-Authenticator is wrong: another secret, or somebody changed the packet.
    WrongMessageAuthenticator,
    /// The account's row does not decode, or the disk has lost it.
    DamagedAccount,
    /// The account's verifier does not decrypt here: another agent may know better.
    NoVerifier,
}

impl RejectReason {
    /// The name of its counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoUserName => "no_user_name",
            Self::NoCredentials => "no_credentials",
            Self::MixedCredentials => "mixed_credentials",
            Self::UnsupportedMethod => "unsupported_method",
            Self::PasswordLength => "password_length",
            Self::EmptyPassword => "empty_password",
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::Suspended => "suspended",
            Self::ReplyTooLong => "reply_too_long",
        }
    }
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
            Self::NoMessageAuthenticator => "no_message_authenticator",
            Self::WrongMessageAuthenticator => "wrong_message_authenticator",
            Self::DamagedAccount => "damaged_account",
            Self::NoVerifier => "no_verifier",
        }
    }
}

/// The buffer that the caller lends.
pub type ReplyBuffer = [u8; PACKET_LIMIT_BYTES];

/// Answers one datagram that came to the authentication port. Time is an argument by the rule of all cores; accounts do not expire yet.
pub fn answer(people: &View, access: &View, keys: &Keys, datagram: &[u8], peer: SocketAddr, _now: UnixMillis, out: &mut ReplyBuffer) -> Outcome {
    let admitted = admit(access, keys, datagram, peer).or_else(|reason| probed(keys, datagram).ok_or(reason));
    match admitted {
        Ok((packet, secret)) if packet.code() == code::STATUS_SERVER => {
            let request = Request::of(&packet, secret);
            Outcome::Replied(
                request.reply(code::ACCESS_ACCEPT, Verdict::Alive, &[], out).unwrap_or_else(|TooLong| request.reject(RejectReason::ReplyTooLong, &[], out)),
            )
        }
        Ok((packet, secret)) => decide(people, keys, &packet, secret, out),
        Err(reason) => Outcome::Silent(reason),
    }
}

/// Lets in only well-formed packets of known NASs that prove they know the shared secret, as far as the NAS can.
fn admit<'a>(access: &View, keys: &Keys, datagram: &'a [u8], peer: SocketAddr) -> Result<(Packet<'a>, Secret), Reason> {
    let (key, row) = find_nas(access, peer.ip()).map_err(|_| Reason::DamagedNas)?.ok_or(Reason::UnknownNas)?;
    let packet = Packet::parse(datagram).map_err(|_| Reason::Malformed)?;
    if !matches!(packet.code(), code::ACCESS_REQUEST | code::STATUS_SERVER) {
        return Err(Reason::UnexpectedCode);
    }
    let nas = Nas::decode(row).map_err(|_| Reason::DamagedNas)?;
    let secret = keys.access.decrypt(NAS, key.bytes(), &nas.secret).map_err(|_| Reason::NoSharedSecret)?;
    match packet.message_authenticator(&secret) {
        Proof::Valid => Ok((packet, secret)),
        Proof::Wrong => Err(Reason::WrongMessageAuthenticator),
        Proof::Missing if nas.require_message_authenticator || needs_proof(&packet) => Err(Reason::NoMessageAuthenticator),
        Proof::Missing => Ok((packet, secret)),
    }
}

/// Whether it is one of our own boxes that asks if we live.
fn probed<'a>(keys: &Keys, datagram: &'a [u8]) -> Option<(Packet<'a>, Secret)> {
    let packet = Packet::parse(datagram).ok()?;
    let secret = probe::secret_of(&packet, probe::of_ring(&keys.access))?;
    Some((packet, secret))
}

/// What not even an exempt NAS may send without Message-Authenticator: Status-Server (RFC 5997 section 3), EAP (RFC 3579
/// section 3.1), a request without credentials (RFC 3579 section 3.3), and Proxy-State, the lever of BlastRADIUS.
fn needs_proof(packet: &Packet<'_>) -> bool {
    let mut kinds = packet.attributes().map(|attribute| attribute.kind);
    packet.code() == code::STATUS_SERVER
        || packet.values(attribute::PROXY_STATE).next().is_some()
        || packet.values(attribute::EAP_MESSAGE).next().is_some()
        || !kinds.any(|kind| matches!(kind, attribute::USER_PASSWORD | attribute::CHAP_PASSWORD))
}

fn decide(people: &View, keys: &Keys, packet: &Packet<'_>, secret: Secret, out: &mut ReplyBuffer) -> Outcome {
    let request = Request::of(packet, secret);
    let (name, password) = match credentials(packet, &request) {
        Ok(credentials) => credentials,
        Err(why) => return Outcome::Replied(request.reject(why, &eap_failure(packet), out)),
    };
    match prepare(people, keys, name) {
        Ok((verifier, grant)) => Outcome::Check(Box::new(PendingCheck { name: name.into(), verifier, password, grant, request })),
        Err(reason) => Outcome::Silent(reason),
    }
}

/// The name and the password, or why there are none to check.
fn credentials<'a>(packet: &Packet<'a>, request: &Request) -> Result<(&'a [u8], Secret), RejectReason> {
    let only = |kind| {
        let mut values = packet.values(kind);
        (values.next(), values.next().is_some())
    };
    let (password, doubled) = only(attribute::USER_PASSWORD);
    let (chap, eap) = (only(attribute::CHAP_PASSWORD).0.is_some(), only(attribute::EAP_MESSAGE).0.is_some());
    let hidden = match (password, chap, eap) {
        (Some(_), false, false) if doubled => return Err(RejectReason::MixedCredentials),
        (Some(hidden), false, false) => hidden,
        (None, false, false) => return Err(RejectReason::NoCredentials),
        (None, true, false) | (None, false, true) => return Err(RejectReason::UnsupportedMethod),
        _ => return Err(RejectReason::MixedCredentials),
    };
    let (Some(name), false) = only(attribute::USER_NAME) else { return Err(RejectReason::NoUserName) };
    let password = reveal_password(hidden, &request.secret, &request.authenticator).ok_or(RejectReason::PasswordLength)?;
    if password.expose().is_empty() {
        return Err(RejectReason::EmptyPassword);
    }
    Ok((name, password))
}

/// What to verify against, and what a right password earns.
fn prepare(people: &View, keys: &Keys, name: &[u8]) -> Result<(Secret, Grant), Reason> {
    let key = std::str::from_utf8(name).map(account_key).unwrap_or_default();
    let Some(row) = people.get(ACCOUNT, &key).map_err(|_| Reason::DamagedAccount)? else {
        return Ok((Secret::new(NOBODYS_VERIFIER), Grant::Nobody));
    };
    let account = Account::decode(row).map_err(|_| Reason::DamagedAccount)?;
    let verifier = keys.people.decrypt(ACCOUNT, &key, &account.verifier).map_err(|_| Reason::NoVerifier)?;
    let grant = match account.state {
        AccountState::Active => Grant::Accept(account.attributes),
        AccountState::Suspended => Grant::Suspended,
    };
    Ok((verifier, grant))
}

/// What an EAP supplicant needs to give up at once (RFC 3579 section 2.6.3).
fn eap_failure(packet: &Packet<'_>) -> Vec<u8> {
    let id = packet.values(attribute::EAP_MESSAGE).next().and_then(|eap| eap.get(1).copied());
    id.map(|id| vec![attribute::EAP_MESSAGE, 6, EAP_FAILURE, id, 0, 4]).unwrap_or_default()
}

/// What a right password earns.
#[derive(Debug)]
enum Grant {
    Accept(Vec<u8>),
    Suspended,
    Nobody,
}

/// A password that waits to be verified. Owns all that the reply needs, so that it may wait while newer views come.
#[derive(Debug)]
pub struct PendingCheck {
    name: Box<[u8]>,
    verifier: Secret,
    password: Secret,
    grant: Grant,
    request: Request,
}

impl PendingCheck {
    /// Who wants in, as they wrote it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The PHC string to verify against.
    pub fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// The password that was given; never empty.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// Writes the reply. For an account that is not there `verified` changes nothing.
    pub fn conclude(self, verified: bool, out: &mut ReplyBuffer) -> Replied {
        let Self { request, grant, .. } = self;
        match grant {
            Grant::Nobody => request.reject(RejectReason::UnknownUser, &[], out),
            _ if !verified => request.reject(RejectReason::WrongPassword, &[], out),
            Grant::Suspended => {
                let message = [&[attribute::REPLY_MESSAGE, SUSPENDED_MESSAGE.len() as u8 + 2], SUSPENDED_MESSAGE].concat();
                request.reject(RejectReason::Suspended, &message, out)
            }
            Grant::Accept(attributes) => request
                .reply(code::ACCESS_ACCEPT, Verdict::Accept, &attributes, out)
                .unwrap_or_else(|TooLong| request.reject(RejectReason::ReplyTooLong, &[], out)),
        }
    }
}

/// What a reply needs of its request.
#[derive(Debug)]
struct Request {
    id: u8,
    authenticator: Authenticator,
    secret: Secret,
    /// In wire form, in order.
    proxy_states: Vec<u8>,
}

impl Request {
    fn of(packet: &Packet<'_>, secret: Secret) -> Self {
        let mut proxy_states = Vec::new();
        for value in packet.values(attribute::PROXY_STATE) {
            proxy_states.extend_from_slice(&[attribute::PROXY_STATE, value.len() as u8 + 2]);
            proxy_states.extend_from_slice(value);
        }
        Self { id: packet.id(), authenticator: packet.authenticator(), secret, proxy_states }
    }

    fn reply(&self, code: u8, verdict: Verdict, attributes: &[u8], out: &mut ReplyBuffer) -> Result<Replied, TooLong> {
        let mut reply = Reply::begin(out, code, self.id);
        reply.push_attributes(attributes)?;
        reply.push_attributes(&self.proxy_states)?;
        Ok(Replied { verdict, len: reply.finish(&self.authenticator, &self.secret) })
    }

    /// A reject carries no authorisation: at most a line for the user or an EAP-Failure, and that only where it fits.
    fn reject(&self, why: RejectReason, extra: &[u8], out: &mut ReplyBuffer) -> Replied {
        let verdict = Verdict::Reject(why);
        self.reply(code::ACCESS_REJECT, verdict, extra, out)
            .or_else(|TooLong| self.reply(code::ACCESS_REJECT, verdict, &[], out))
            // Proxy-State is taken only beside a Message-Authenticator, so the request had all that the reply has, and more.
            .expect("a reply with nothing but Proxy-State is no longer than its request")
    }
}

#[cfg(test)]
mod tests;
