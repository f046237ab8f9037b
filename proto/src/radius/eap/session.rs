//! One conversation: what the peer says, and what is said to it. Nothing here knows of State, of other conversations or of RADIUS.

use super::super::mschap::{MICROSOFT, MsChapResponse, microsoft};
use super::super::person::{End, Person};
use super::super::reason::{Reason, RejectReason};
use super::super::table::account_key;
use super::attributes::{Said, attribute_of, without_padding};
use super::certificate;
use super::fragments::{Arrived, Incoming, Outgoing};
use super::inner::{self, Given, Inner};
use super::packet::{self, Response, kind};
use super::tunnel::{EapTls, Keys, Method, Tunnel};
use super::{Around, Moment};
use crate::radius::packet::attribute;
use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, Error};

/// RFC 9190 section 2.1.1: the word that the server has nothing more to say.
const PROTECTED_SUCCESS: [u8; 1] = [0];
/// PEAPv0's Result: a TLV that must be understood, of type 3 and of two bytes.
const RESULT: [u8; 5] = [0x80, 3, 0, 2, 0];
const RESULT_SUCCESS: u8 = 1;
const RESULT_FAILURE: u8 = 2;

/// A tunnel and what is said through it.
#[derive(Debug)]
pub(super) struct Conversation {
    method: Method,
    tunnel: Tunnel,
    incoming: Incoming,
    outgoing: Outgoing,
    phase: Phase,
    /// Whom the peer says to be within.
    name: Option<Box<[u8]>>,
    packet_limit_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    /// TLS agrees on keys.
    Handshake,
    /// Nothing was said within yet: in TTLS the user begins, in PEAP we do, after the last word of the handshake.
    Open,
    /// EAP within.
    Inner(Inner),
    /// A password is being checked.
    Checking(Given),
    /// PEAP's result was said.
    Result(End),
    /// The last word was said; what the answer to it earns.
    Leaving(End),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// Send a packet with this type and data.
    Ask(Vec<u8>),
    /// Have this password checked.
    Check(Given),
    /// It is over.
    End(End),
    /// Say nothing.
    Silent(Reason),
}

fn reject(why: RejectReason) -> Next {
    Next::End(End::Reject(why))
}

impl Conversation {
    /// The peer answered the packet that began it.
    pub fn open(method: Method, tls: &EapTls, packet_limit_bytes: usize) -> Option<Self> {
        let tunnel = Tunnel::open(method, tls)?;
        let (incoming, outgoing) = (Incoming::default(), Outgoing::default());
        Some(Self { method, tunnel, incoming, outgoing, phase: Phase::Handshake, name: None, packet_limit_bytes })
    }

    /// Whom the peer says to be within the tunnel, as far as it is known.
    pub fn name(&self) -> Option<&[u8]> {
        self.name.as_deref()
    }

    /// The keys of a conversation that ended well.
    pub fn keys(&self) -> Option<Keys> {
        self.tunnel.keys()
    }

    /// Takes a response.
    pub fn respond(&mut self, response: &Response<'_>, with: &Around<'_>, moment: &Moment) -> Next {
        if let Phase::Checking(given) = &self.phase {
            // Nobody had time for it; the same packet came again.
            return Next::Check(given.clone());
        }
        if response.kind != self.method as u8 {
            return reject(RejectReason::BrokenEap);
        }
        if self.outgoing.has_more() {
            // RFC 5216 section 2.1.5: whoever wants the next fragment says nothing. The lowest bits are PEAP's version.
            return if matches!(response.data, [] | [0..=7]) { self.ask() } else { reject(RejectReason::BrokenEap) };
        }
        let message = match self.incoming.push(response.data) {
            Ok(Arrived::Part) => return Next::Ask(vec![self.method as u8, 0]),
            Ok(Arrived::Whole(message)) => message,
            Err(_) => return reject(RejectReason::BrokenEap),
        };
        match self.tunnel.hear(&message) {
            Ok(plain) => self.on_message(response.id, message.is_empty(), plain.expose(), with, moment),
            Err(wrong) => self.leave(End::Reject(reason_of(&wrong))),
        }
    }

    fn on_message(&mut self, id: u8, is_empty: bool, plain: &[u8], with: &Around<'_>, moment: &Moment) -> Next {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Handshake if !self.tunnel.is_open() => {
                self.phase = Phase::Handshake;
                self.send().unwrap_or_else(|| reject(RejectReason::BrokenEap))
            }
            Phase::Handshake => self.on_open(id, plain, with, moment),
            Phase::Open if self.method == Method::Peap => self.begin_inner(),
            Phase::Open => self.on_attributes(id, Inner::Identity, plain, with, moment),
            Phase::Inner(inner) if self.method == Method::Ttls => self.on_attributes(id, inner, plain, with, moment),
            Phase::Inner(inner) => self.on_inner(inner, &bare_response(id, plain), with, moment),
            Phase::Result(end) => Next::End(result_of(end, plain)),
            // Whoever was let in has nothing more to say; anything else is an alert.
            Phase::Leaving(End::Accept(_)) if !is_empty => reject(RejectReason::TlsFailed),
            Phase::Leaving(end) => Next::End(end),
            Phase::Checking(given) => Next::Check(given),
        }
    }

    /// Both have the keys.
    fn on_open(&mut self, id: u8, plain: &[u8], with: &Around<'_>, moment: &Moment) -> Next {
        match self.method {
            Method::Tls => self.on_certificate(with),
            Method::Peap if self.tunnel.is_tls13() => self.begin_inner(),
            // RFC 9427 section 2.4: the user's first words may come with the last of the handshake.
            Method::Ttls if !plain.is_empty() => self.on_attributes(id, Inner::Identity, plain, with, moment),
            Method::Ttls | Method::Peap => self.send().unwrap_or_else(|| self.ask()),
        }
    }

    /// The certificate itself was verified by the handshake; whose it is and whether they may come in says the account.
    fn on_certificate(&mut self, with: &Around<'_>) -> Next {
        let names = self.tunnel.certificate().map(|found: &CertificateDer<'_>| certificate::names(found)).unwrap_or_default();
        self.name = names.first().map(|name| name.as_bytes().into());
        let people = names.iter().map(|name| (name, Person::find(with.people, name.as_bytes())));
        let mut people: Vec<_> = people.filter(|(_, person)| person.as_ref().map_or(true, Person::is_there)).collect();
        people.dedup_by_key(|(name, _)| account_key(name));
        let end = match (people.pop(), people.is_empty()) {
            (Some((name, Ok(person))), true) => {
                self.name = Some(name.as_bytes().into());
                person.grant().end(Ok(()))
            }
            (Some((_, Err(reason))), true) => return Next::Silent(reason),
            // Nobody, or several: then it does not say who this is.
            _ => End::Reject(RejectReason::UnknownUser),
        };
        if let End::Reject(why) = end {
            return reject(why);
        }
        if self.tunnel.is_tls13() {
            self.tunnel.say(&PROTECTED_SUCCESS);
        }
        self.leave(end)
    }

    fn begin_inner(&mut self) -> Next {
        self.phase = Phase::Inner(Inner::Identity);
        self.tunnel.say(&inner::identity());
        self.send().unwrap_or_else(|| reject(RejectReason::TlsFailed))
    }

    /// What a user of TTLS says: a password, MS-CHAPv2, or EAP.
    fn on_attributes(&mut self, id: u8, inner: Inner, plain: &[u8], with: &Around<'_>, moment: &Moment) -> Next {
        let Ok(said) = Said::read(plain) else { return reject(RejectReason::BrokenEap) };
        match said {
            Said { eap: Some(eap), password: None, response: None, .. } => match Response::parse(eap) {
                Some(response) => self.on_inner(inner, &response, with, moment),
                None => reject(RejectReason::BrokenEap),
            },
            _ if !matches!(inner, Inner::Identity) => reject(RejectReason::BrokenEap),
            Said { name: Some(name), password: Some(password), response: None, eap: None, .. } => {
                let next = inner::check_password(name.into(), without_padding(password));
                self.on_inner_next(id, next)
            }
            Said { name: Some(name), challenge: Some(challenge), response: Some(response), password: None, eap: None } => {
                self.on_mschap(name, challenge, response, with)
            }
            Said { name: None, .. } => reject(RejectReason::NoUserName),
            Said { password: None, response: None, eap: None, .. } => reject(RejectReason::NoCredentials),
            _ => reject(RejectReason::MixedCredentials),
        }
    }

    /// TTLS/MSCHAPv2 (RFC 5281 section 11.2.4).
    fn on_mschap(&mut self, name: &[u8], challenge: &[u8], response: &[u8], with: &Around<'_>) -> Next {
        let Some(response) = MsChapResponse::of_attribute(challenge, response, name) else { return reject(RejectReason::UnsupportedMethod) };
        let is_ours = self.tunnel.challenge().is_some_and(|(expected, id)| expected[..] == *challenge && id == response.id);
        if !is_ours {
            return reject(RejectReason::BrokenEap);
        }
        self.name = Some(name.into());
        let checked = Person::find(with.people, name).and_then(|person| Ok((person.check_mschap(with.keys, &response, &with.gate)?, person.grant())));
        let (proof, grant) = match checked {
            Ok(checked) => checked,
            Err(reason) => return Next::Silent(reason),
        };
        let success = proof.as_ref().ok().map(|proof| proof.success);
        match (grant.end(proof.map(drop)), success) {
            (end @ End::Accept(_), Some(success)) => {
                let value = [&[response.id], &success[..]].concat();
                self.tunnel.say(&attribute_of(MICROSOFT, microsoft::CHAP2_SUCCESS, &value));
                self.leave(end)
            }
            (end, _) => Next::End(end),
        }
    }

    fn on_inner(&mut self, inner: Inner, response: &Response<'_>, with: &Around<'_>, moment: &Moment) -> Next {
        let next = inner.respond(response, with, moment.challenge());
        self.on_inner_next(response.id, next)
    }

    fn on_inner_next(&mut self, id: u8, next: inner::Next) -> Next {
        match next {
            inner::Next::Ask(inner, body) => {
                self.name = inner.name().map(Box::from).or(self.name.take());
                self.phase = Phase::Inner(inner);
                match self.method {
                    // RFC 5281 section 11.2.1.
                    Method::Ttls => self.tunnel.say(&attribute_of(0, attribute::EAP_MESSAGE, &packet::request(id.wrapping_add(1), &body))),
                    // Microsoft leaves the header out.
                    Method::Peap | Method::Tls => self.tunnel.say(&body),
                }
                self.send().unwrap_or_else(|| reject(RejectReason::TlsFailed))
            }
            inner::Next::Check(given) => {
                self.name = Some(given.name.clone());
                self.phase = Phase::Checking(given.clone());
                Next::Check(given)
            }
            inner::Next::End(end) => self.conclude(end),
            inner::Next::Silent(reason) => Next::Silent(reason),
        }
    }

    /// What came out within: in PEAP both sides say so before it is over.
    pub fn conclude(&mut self, end: End) -> Next {
        if self.method != Method::Peap {
            return Next::End(end);
        }
        let result = if let End::Accept(_) = end { RESULT_SUCCESS } else { RESULT_FAILURE };
        // This one packet has its header. Its identifier means nothing.
        self.tunnel.say(&packet::request(0, &[&[kind::EXTENSIONS], &RESULT[..], &[result]].concat()));
        self.phase = Phase::Result(end);
        self.send().unwrap_or_else(|| reject(RejectReason::TlsFailed))
    }

    /// Says the last word, where there is one.
    fn leave(&mut self, end: End) -> Next {
        match self.send() {
            Some(ask) => {
                self.phase = Phase::Leaving(end);
                ask
            }
            None => Next::End(end),
        }
    }

    /// Sends what TLS has to say; `None` where it has nothing.
    fn send(&mut self) -> Option<Next> {
        let message = self.tunnel.message();
        (!message.is_empty()).then(|| {
            self.outgoing = Outgoing::of(message);
            self.ask()
        })
    }

    fn ask(&mut self) -> Next {
        // The type stands before the flags.
        Next::Ask([vec![self.method as u8], self.outgoing.next(self.packet_limit_bytes)].concat())
    }
}

/// What stands in PEAP's tunnel: a response without its header, but for the one that has it.
fn bare_response(id: u8, plain: &[u8]) -> Response<'_> {
    let (kind, data) = plain.split_first().map_or((0, plain), |(kind, data)| (*kind, data));
    Response { id, kind, data }
}

/// Nobody is let in who does not agree.
fn result_of(end: End, plain: &[u8]) -> End {
    let agreed = Response::parse(plain).is_some_and(|response| response.kind == kind::EXTENSIONS && response.data == [&RESULT[..], &[RESULT_SUCCESS]].concat());
    match end {
        End::Accept(_) if !agreed => End::Reject(RejectReason::BrokenEap),
        end => end,
    }
}

fn reason_of(wrong: &Error) -> RejectReason {
    use AlertDescription::{AccessDenied, BadCertificate, CertificateExpired, CertificateRevoked, CertificateUnknown, UnknownCA, UnsupportedCertificate};
    match wrong {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => RejectReason::CertificateRefused,
        Error::AlertReceived(
            AccessDenied | BadCertificate | CertificateExpired | CertificateRevoked | CertificateUnknown | UnknownCA | UnsupportedCertificate,
        ) => RejectReason::ServerDistrusted,
        _ => RejectReason::TlsFailed,
    }
}
