//! May this person come in? Pure, and in two steps: a password hash takes milliseconds, so [`answer`] stops before it and
//! hands out a [`PendingCheck`], which owns all that the reply needs; the loop has it verified wherever it likes and calls
//! [`PendingCheck::conclude`].
//!
//! What it refuses: a word to anybody who is not a known NAS or whose Message-Authenticator is wrong (BlastRADIUS,
//! CVE-2024-3596); an empty password; any sign by which an unknown or suspended account could be told from a wrong
//! password, in time or in content, before the password was right.

use super::chap::ChapResponse;
use super::eap::{EapRequest, Session, failure};
use super::machine::{admit as admit_machine, asked, mac_of};
use super::mppe;
use super::mschap::{ERROR_DISABLED, ERROR_WRONG, MICROSOFT, MsChapProof, MsChapResponse, microsoft, microsoft_attribute};
use super::packet::{Authenticator, PACKET_LIMIT_BYTES, Packet, Proof, Reply, TooLong, attribute, code, reveal_password};
use super::patience::{Gate, Place, Watch, Who};
use super::person::{End, Grant, Person, may_be_checked};
use super::probe;
use super::reason::{Reason, RejectReason};
use super::table::{Nas, NasRights, find_nas};
use crate::snapshot::{DataKeyRing, View};
use crate::words::Secret;
use std::net::SocketAddr;

/// What a suspended person reads, once the password was right.
const SUSPENDED_MESSAGE: &[u8] = b"This account is suspended. Ask the help desk.";

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
    /// A piece of an EAP conversation: for its [`Sessions`](super::eap::Sessions).
    Eap(Box<EapRequest>),
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
    /// Neither yet: answer this.
    Challenge,
    /// We live (RFC 5997).
    Alive,
}

/// The buffer that the caller lends.
pub type ReplyBuffer = [u8; PACKET_LIMIT_BYTES];

/// Answers one datagram that came to the authentication port. Who guesses too often is told nothing of what `watch` does not admit.
pub fn answer(people: &View, access: &View, keys: &Keys, datagram: &[u8], peer: SocketAddr, watch: Watch<'_>, out: &mut ReplyBuffer) -> Outcome {
    let admitted = admit(access, keys, datagram, peer).or_else(|reason| probed(keys, datagram).ok_or(reason));
    match admitted {
        Ok(Admitted { packet, secret, .. }) if packet.code() == code::STATUS_SERVER => {
            let request = Request::of(&packet, secret);
            Outcome::Replied(
                request.reply(code::ACCESS_ACCEPT, Verdict::Alive, &[], out).unwrap_or_else(|TooLong| request.reject(RejectReason::ReplyTooLong, &[], out)),
            )
        }
        Ok(admitted) => {
            let place = Place::of(&admitted.packet, peer.ip());
            let gate = Gate { watch, place: &place };
            machine(access, &admitted, out).unwrap_or_else(|| decide(people, keys, admitted, &gate, out))
        }
        Err(reason) => Outcome::Silent(reason),
    }
}

/// A request that may be answered.
struct Admitted<'a> {
    packet: Packet<'a>,
    secret: Secret,
    rights: NasRights,
}

/// Lets in only well-formed packets of known NASs that prove they know the shared secret, as far as the NAS can.
fn admit<'a>(access: &View, keys: &Keys, datagram: &'a [u8], peer: SocketAddr) -> Result<Admitted<'a>, Reason> {
    let (key, row) = find_nas(access, peer.ip()).map_err(|_| Reason::DamagedNas)?.ok_or(Reason::UnknownNas)?;
    let packet = Packet::parse(datagram).map_err(|_| Reason::Malformed)?;
    if !matches!(packet.code(), code::ACCESS_REQUEST | code::STATUS_SERVER) {
        return Err(Reason::UnexpectedCode);
    }
    let nas = Nas::decode(row).map_err(|_| Reason::DamagedNas)?;
    let secrets = nas.secrets(&keys.access, &key).ok_or(Reason::NoSharedSecret)?;
    let rights = nas.rights;
    let (secret, proof) = secrets.prove(&Proof::Valid, |secret| packet.message_authenticator(secret));
    match proof {
        Proof::Valid => Ok(Admitted { packet, secret, rights }),
        Proof::Wrong => Err(Reason::WrongMessageAuthenticator),
        Proof::Missing if nas.require_message_authenticator || needs_proof(&packet) => Err(Reason::NoMessageAuthenticator),
        Proof::Missing => Ok(Admitted { packet, secret, rights }),
    }
}

/// Whether it is one of our own boxes that asks if we live.
fn probed<'a>(keys: &Keys, datagram: &'a [u8]) -> Option<Admitted<'a>> {
    let packet = Packet::parse(datagram).ok()?;
    let secret = probe::secret_of(&packet, probe::of_ring(&keys.access))?;
    Some(Admitted { packet, secret, rights: NasRights::default() })
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

/// Whether a machine may come in, where it is that which is asked.
fn machine(access: &View, admitted: &Admitted<'_>, out: &mut ReplyBuffer) -> Option<Outcome> {
    let Admitted { packet, secret, rights } = admitted;
    let name = packet.values(attribute::USER_NAME).next()?;
    // Most names are none, and cost no more than that.
    mac_of(name)?;
    let request = Request::of(packet, secret.clone());
    let is_own_password = match credentials(packet, &request) {
        Ok((_, Given::Password(password))) => mac_of(password.expose()) == mac_of(name),
        Ok((_, Given::Chap(response))) => response.fits(&Secret::new(name)),
        Ok((_, Given::MsChap(_) | Given::Eap)) => return None,
        // As Call-Check without a password, or with an empty one.
        Err(RejectReason::NoCredentials | RejectReason::EmptyPassword) => false,
        Err(_) => return None,
    };
    let machines = rights.machines.as_ref().ok_or(RejectReason::NoMacAuthentication);
    let asked = asked(packet, name, is_own_password)?;
    let admitted = machines.and_then(|machines| admit_machine(access, asked?, machines));
    let end = admitted.map_or_else(End::Reject, End::Accept);
    Some(Outcome::Replied(request.settle(end, &Extras::default(), out)))
}

fn decide(people: &View, keys: &Keys, admitted: Admitted<'_>, gate: &Gate<'_>, out: &mut ReplyBuffer) -> Outcome {
    let Admitted { packet, secret, rights } = admitted;
    let request = Request::of(&packet, secret);
    let allowed = |found: &(_, Given)| rights.chap || !matches!(found.1, Given::Chap(_) | Given::MsChap(_));
    let credentials = credentials(&packet, &request).and_then(|found| if allowed(&found) { Ok(found) } else { Err(RejectReason::OutsideTunnel) });
    let (name, given) = match credentials {
        Ok(credentials) => credentials,
        Err(why) => return Outcome::Replied(request.reject(why, &eap_failure(&packet), out)),
    };
    let person = || Person::find(people, name);
    let checked = match given {
        Given::Password(password) => person().and_then(|person| {
            let who = person.who(gate);
            if !gate.admits(&who) {
                return Ok(Outcome::Replied(request.reject(RejectReason::HeldOff, &[], out)));
            }
            Ok(Outcome::Check(Box::new(PendingCheck::of(person, keys, GivenName { name, who, password }, request, None)?)))
        }),
        Given::Chap(response) => person().and_then(|person| {
            let checked = person.check_chap(keys, &response, gate)?;
            Ok(Outcome::Replied(request.settle(person.grant().end(checked), &Extras::of_password(), out)))
        }),
        Given::MsChap(response) => person().and_then(|person| {
            let proof = person.check_mschap(keys, &response, gate)?;
            let extras = Extras::of_mschap(&response, proof.as_ref().ok(), &request);
            Ok(Outcome::Replied(request.settle(person.grant().end(proof.map(drop)), &extras, out)))
        }),
        Given::Eap => Ok(Outcome::Eap(Box::new(EapRequest::of(&packet, name, gate.place.clone(), request)))),
    };
    checked.unwrap_or_else(Outcome::Silent)
}

/// What somebody proves themselves with.
enum Given {
    Password(Secret),
    Chap(ChapResponse),
    MsChap(Box<MsChapResponse>),
    Eap,
}

/// The name and what it is proved with, or why there is nothing to check.
fn credentials<'a>(packet: &Packet<'a>, request: &Request) -> Result<(&'a [u8], Given), RejectReason> {
    let [passwords, chaps, eaps] = [attribute::USER_PASSWORD, attribute::CHAP_PASSWORD, attribute::EAP_MESSAGE].map(|kind| packet.values(kind).count());
    let mschaps = [MS_CHAP_RESPONSE, microsoft::CHAP2_RESPONSE].map(|kind| packet.vendor_values(MICROSOFT, kind).count());
    let mut names = packet.values(attribute::USER_NAME);
    let name = names.next().filter(|_| names.next().is_none()).ok_or(RejectReason::NoUserName);
    match (passwords, chaps, mschaps, eaps) {
        (0, 0, [0, 0], 0) => Err(RejectReason::NoCredentials),
        (1, 0, [0, 0], 0) => Ok((name?, password(packet, request)?)),
        (0, 1, [0, 0], 0) => Ok((name?, Given::Chap(ChapResponse::of(packet).ok_or(RejectReason::UnsupportedMethod)?))),
        (0, 0, [0, 1], 0) => {
            let response = MsChapResponse::of(packet, name?).ok_or(RejectReason::UnsupportedMethod)?;
            Ok((name?, Given::MsChap(Box::new(response))))
        }
        (0, 0, [0, 0], _) => Ok((name?, Given::Eap)),
        (0, 0, [_, 0], 0) => Err(RejectReason::UnsupportedMethod),
        _ => Err(RejectReason::MixedCredentials),
    }
}

/// MS-CHAPv1's response: recognised so that it is told from nothing.
const MS_CHAP_RESPONSE: u8 = 1;

fn password(packet: &Packet<'_>, request: &Request) -> Result<Given, RejectReason> {
    let hidden = packet.values(attribute::USER_PASSWORD).next().ok_or(RejectReason::NoCredentials)?;
    let password = reveal_password(hidden, &request.secret, &request.authenticator).ok_or(RejectReason::PasswordLength)?;
    may_be_checked(&password)?;
    Ok(Given::Password(password))
}

/// What an EAP supplicant needs to give up at once (RFC 3579 section 2.6.3).
fn eap_failure(packet: &Packet<'_>) -> Vec<u8> {
    let id = packet.values(attribute::EAP_MESSAGE).next().and_then(|eap| eap.get(1).copied());
    id.map(failure).unwrap_or_default()
}

/// A password that waits to be verified. Owns all that the reply needs, so that it may wait while newer views come.
#[derive(Debug)]
pub struct PendingCheck {
    pub(super) name: Box<[u8]>,
    who: Who,
    verifier: Secret,
    password: Secret,
    pub(super) grant: Grant,
    pub(super) request: Request,
    /// The tunnel that the password came through.
    pub(super) session: Option<Box<Session>>,
}

/// A name as it was written, who that is, and the password that was given with it.
pub(super) struct GivenName<'a> {
    pub name: &'a [u8],
    pub who: Who,
    pub password: Secret,
}

impl PendingCheck {
    pub(super) fn of(person: Person, keys: &Keys, given: GivenName<'_>, request: Request, session: Option<Box<Session>>) -> Result<Self, Reason> {
        let GivenName { name, who, password } = given;
        Ok(Self { name: name.into(), who, verifier: person.verifier(keys)?, password, grant: person.grant(), request, session })
    }

    /// Who that is, for [`Patience`](super::Patience), which is to learn what came of it.
    pub fn who(&self) -> Who {
        self.who
    }

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

    /// Writes the reply. For an account that is not there `verified` changes nothing. One that came through a tunnel is for
    /// [`Sessions::conclude`](super::eap::Sessions::conclude), which knows how its conversation goes on; here it ends in a reject.
    pub fn conclude(self, verified: bool, out: &mut ReplyBuffer) -> Replied {
        let Self { request, grant, session, .. } = self;
        match session {
            Some(session) => request.reject(RejectReason::UnknownState, &failure(session.id()), out),
            None => request.settle(grant.end(verified_or_wrong(verified)), &Extras::of_password(), out),
        }
    }
}

/// The verdict on a password.
pub(super) fn verified_or_wrong(verified: bool) -> Result<(), RejectReason> {
    if verified { Ok(()) } else { Err(RejectReason::WrongPassword) }
}

/// What a method adds to a reply: in wire form.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// To an Access-Accept, before the account's own attributes.
    pub accept: Vec<u8>,
    /// To an Access-Reject.
    pub reject: Vec<u8>,
    /// To an Access-Reject of somebody who proved who they are.
    pub suspended: Vec<u8>,
}

impl Extras {
    fn of_password() -> Self {
        let suspended = [&[attribute::REPLY_MESSAGE, SUSPENDED_MESSAGE.len() as u8 + 2], SUSPENDED_MESSAGE].concat();
        Self { suspended, ..Self::default() }
    }

    /// RFC 2548 sections 2.1.5 and 2.3.3: the server's own proof and the keys, or an error number.
    fn of_mschap(response: &MsChapResponse, proof: Option<&MsChapProof>, request: &Request) -> Self {
        let said = |kind, text: &[u8]| microsoft_attribute(kind, &[&[response.id], text].concat());
        let accept = proof.map(|proof| {
            let keys = mppe::attributes(&proof.send_key, &proof.receive_key, &request.secret, &request.authenticator);
            [said(microsoft::CHAP2_SUCCESS, &proof.success), keys].concat()
        });
        let [reject, disabled] = [ERROR_WRONG, ERROR_DISABLED].map(|number| said(microsoft::CHAP_ERROR, &response.error(number)));
        let suspended = [disabled, Self::of_password().suspended].concat();
        Self { accept: accept.unwrap_or_default(), reject, suspended }
    }
}

/// What a reply needs of its request.
#[derive(Debug)]
pub(super) struct Request {
    id: u8,
    pub authenticator: Authenticator,
    pub secret: Secret,
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

    /// Writes how it ends.
    pub fn settle(&self, end: End, extras: &Extras, out: &mut ReplyBuffer) -> Replied {
        match end {
            End::Reject(why @ RejectReason::Suspended) => self.reject(why, &extras.suspended, out),
            End::Reject(why) => self.reject(why, &extras.reject, out),
            End::Accept(attributes) => self
                .reply(code::ACCESS_ACCEPT, Verdict::Accept, &[&extras.accept[..], &attributes].concat(), out)
                .unwrap_or_else(|TooLong| self.reject(RejectReason::ReplyTooLong, &extras.reject, out)),
        }
    }

    pub fn reply(&self, code: u8, verdict: Verdict, attributes: &[u8], out: &mut ReplyBuffer) -> Result<Replied, TooLong> {
        let mut reply = Reply::begin(out, code, self.id);
        reply.push_attributes(attributes)?;
        reply.push_attributes(&self.proxy_states)?;
        Ok(Replied { verdict, len: reply.finish(&self.authenticator, &self.secret) })
    }

    /// A reject carries no authorisation: at most a line for the user or an EAP-Failure, and that only where it fits.
    pub fn reject(&self, why: RejectReason, extra: &[u8], out: &mut ReplyBuffer) -> Replied {
        let verdict = Verdict::Reject(why);
        self.reply(code::ACCESS_REJECT, verdict, extra, out)
            .or_else(|TooLong| self.reply(code::ACCESS_REJECT, verdict, &[], out))
            // Proxy-State is taken only beside a Message-Authenticator, so the request had all that the reply has, and more.
            .expect("a reply with nothing but Proxy-State is no longer than its request")
    }
}

#[cfg(test)]
mod tests;
