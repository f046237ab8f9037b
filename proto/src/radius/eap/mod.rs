//! EAP over RADIUS (RFC 3579, RFC 3748): TTLS, PEAPv0 and EAP-TLS on TLS 1.2 and 1.3.
//!
//! An EAP conversation is a dozen packets, so this is the one part of RADIUS with a memory: [`Sessions`], owned by whoever owns the
//! socket. What it refuses: to let anybody fill it (a cap, a quota for each NAS, a minute's silence); to take a State twice, or
//! from another NAS; to keep somebody waiting whose conversation it does not know (a reject at once, so that they begin
//! anew: after a restart, or when another agent took over); to do the slow hash of a password that came through a tunnel.
//!
//! ```text
//! answer() -> EapRequest -> Sessions::on_request -> Replied | Check -> (hash) -> Sessions::conclude -> Replied
//!   packet, fragments    EAP's own forms             session      one conversation: what was said, what comes next
//!   tunnel               TLS without a socket        inner        EAP within; attributes: what TTLS says within
//! ```

mod attributes;
mod certificate;
mod fragments;
mod handshakes;
mod inner;
mod packet;
mod session;
mod tunnel;

pub(super) use packet::failure;
pub use tunnel::{Authorities, EapTls};

use super::answer::{Extras, GivenName, Keys, PendingCheck, Replied, ReplyBuffer, Request, Verdict, verified_or_wrong};
use super::mppe;
use super::packet::{Packet, TooLong, attribute, code};
use super::patience::{Gate, Patience, Place, Watch};
use super::person::{End, Person};
use super::reason::{Reason, RejectReason};
use crate::snapshot::View;
use handshakes::Handshakes;
use inner::Given;
use packet::{Response, kind};
use session::{Conversation, Next};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;
use tunnel::Method;

/// How many conversations are under way at once, at up to 40 KB each; beyond it the oldest goes.
const SESSIONS_LIMIT: usize = 2048;
/// How many of them one NAS has: a controller of a whole campus's radios that begins as many in a second as it may has each for ten seconds,
/// and there is still room for others.
const NAS_QUOTA: usize = 1024;
/// How long a peer may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How many packets a conversation has: a chain of certificates in small fragments both ways, and no treadmill.
const ROUNDS_LIMIT: u8 = 100;
/// What a State is: 128 random bits.
const STATE_BYTES: usize = 16;
/// The EAP packets that we send: where the NAS says nothing of its link (RFC 3579 section 2.4), and at the least and most.
const PACKET_BYTES: usize = 1020;
const PACKET_FLOOR_BYTES: usize = 128;
/// With the rest of the RADIUS packet it stays within an Ethernet frame.
const PACKET_CEILING_BYTES: usize = 1300;
/// Framed-MTU counts an Ethernet frame's own EAPOL header.
const EAPOL_HEADER_BYTES: usize = 4;

/// What a State holds.
type State = [u8; STATE_BYTES];

/// A request with a piece of EAP in it, from a NAS that proved itself.
#[derive(Debug)]
pub struct EapRequest {
    place: Place,
    name: Box<[u8]>,
    eap: Vec<u8>,
    /// As it came: one that is none is nobody's.
    state: Option<Vec<u8>>,
    packet_limit_bytes: usize,
    request: Request,
}

impl EapRequest {
    pub(super) fn of(packet: &Packet<'_>, name: &[u8], place: Place, request: Request) -> Self {
        let mtu = packet.values(attribute::FRAMED_MTU).next().and_then(|value| <[u8; 4]>::try_from(value).ok()).map(u32::from_be_bytes);
        let limit = |mtu: u32| usize::try_from(mtu).unwrap_or(usize::MAX).saturating_sub(EAPOL_HEADER_BYTES);
        let packet_limit_bytes = mtu.map_or(PACKET_BYTES, limit).clamp(PACKET_FLOOR_BYTES, PACKET_CEILING_BYTES);
        let state = packet.values(attribute::STATE).next().map(<[u8]>::to_vec);
        Self { place, name: name.into(), eap: packet::joined(packet), state, packet_limit_bytes, request }
    }
}

/// What a conversation is held on.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Accounts.
    pub people: &'a View,
    /// What opens their verifiers.
    pub keys: &'a Keys,
    /// Our own certificate; without one EAP is refused.
    pub tls: Option<&'a EapTls>,
    /// What was tried of late.
    pub patience: &'a Patience,
}

/// What a credential within a conversation is checked by.
#[derive(Debug, Clone, Copy)]
struct Around<'a> {
    people: &'a View,
    keys: &'a Keys,
    gate: Gate<'a>,
}

impl<'a> Surroundings<'a> {
    fn around(&self, place: &'a Place, now: Duration) -> Around<'a> {
        Around { people: self.people, keys: self.keys, gate: Gate { watch: Watch { patience: self.patience, now }, place } }
    }
}

/// When it is, and what was drawn for this one packet. Time and dice are arguments.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Of a clock that never runs back, whenever it began.
    pub now: Duration,
    /// Never used before and known to nobody.
    pub random: [u8; 32],
}

impl Moment {
    fn state(&self) -> State {
        *self.random.first_chunk().expect("32 bytes")
    }

    fn challenge(&self) -> [u8; 16] {
        *self.random.last_chunk().expect("32 bytes")
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum EapOutcome {
    /// A reply stands in the buffer; to whom, as far as they have said.
    Replied(Replied, Box<[u8]>),
    /// A password came through the tunnel, and has to be verified; then [`Sessions::conclude`].
    Check(Box<PendingCheck>),
    /// Nothing is sent.
    Silent(Reason),
    /// Nothing is sent, and the conversation waits: when the NAS asks the same again, it is as if it had not asked before.
    Busy,
}

/// One conversation between two packets.
#[derive(Debug)]
pub struct Session {
    place: Place,
    /// Whom the peer called itself when it began, before there was a tunnel.
    outer: Box<[u8]>,
    name: Box<[u8]>,
    /// Of the request that is to be answered.
    id: u8,
    rounds: u8,
    stage: Stage,
    /// Which State its next packet brings, and its place in the queue of the silent.
    state: State,
    turn: u64,
    since: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Who are you?
    Identity,
    /// A method was begun; a peer that does not speak it says what it does.
    Offered(Method),
    Conversation(Box<Conversation>),
}

impl Session {
    /// With the first packet of a peer: an answer to a question that the NAS itself asked, or nothing at all.
    fn begin(place: Place, name: Box<[u8]>, eap: &[u8], now: Duration) -> Self {
        let id = eap.get(1).copied().unwrap_or_default();
        Self { place, outer: name.clone(), name, id, rounds: 0, stage: Stage::Identity, state: [0; STATE_BYTES], turn: 0, since: now }
    }

    pub(super) fn id(&self) -> u8 {
        self.id
    }

    /// Whether this packet has TLS begin: that is what costs.
    fn begins_handshake(&self, eap: &[u8]) -> bool {
        matches!(&self.stage, Stage::Offered(method) if Response::parse(eap).is_some_and(|response| response.id == self.id && response.kind == *method as u8))
    }

    fn respond(&mut self, eap: &[u8], packet_limit_bytes: usize, with: &Around<'_>, tls: &EapTls, moment: &Moment) -> Next {
        let reject = |why| Next::End(End::Reject(why));
        let Some(response) = Response::parse(eap).filter(|response| response.id == self.id) else { return reject(RejectReason::BrokenEap) };
        match &mut self.stage {
            Stage::Identity if response.kind == kind::IDENTITY => self.offer(Method::first()),
            Stage::Identity => reject(RejectReason::BrokenEap),
            Stage::Offered(method) => match (response.wishes(), *method) {
                (Some(wishes), _) => match Method::wished(&wishes, tls) {
                    Some(method) => self.offer(method),
                    None => reject(RejectReason::NoCommonMethod),
                },
                (None, method) if response.kind == method as u8 => {
                    let Some(mut conversation) = Conversation::open(method, tls, packet_limit_bytes) else { return reject(RejectReason::TlsFailed) };
                    let next = conversation.respond(&response, with, moment);
                    self.stage = Stage::Conversation(Box::new(conversation));
                    next
                }
                _ => reject(RejectReason::BrokenEap),
            },
            Stage::Conversation(conversation) => conversation.respond(&response, with, moment),
        }
    }

    /// What tells a station of a NAS from others; nothing where the NAS does not name it.
    fn station(&self) -> Option<(Place, Box<[u8]>)> {
        (!self.place.station.is_empty()).then(|| (self.place.clone(), self.outer.clone()))
    }

    fn offer(&mut self, method: Method) -> Next {
        self.stage = Stage::Offered(method);
        Next::Ask([vec![method as u8], fragments::start()].concat())
    }

    /// Takes over what was learned within.
    fn learn_name(&mut self) {
        if let Stage::Conversation(conversation) = &self.stage
            && let Some(name) = conversation.name()
        {
            self.name = name.into();
        }
    }

    /// RFC 3579 section 2.6.3 and RFC 2548 section 2.4: EAP's own last word, and the keys for whom there are some.
    fn extras(&self, request: &Request) -> Extras {
        let failure = failure(self.id);
        let keys = if let Stage::Conversation(conversation) = &self.stage { conversation.keys() } else { None };
        let keys = keys.map(|keys| mppe::attributes(&keys.send, &keys.receive, &request.secret, &request.authenticator));
        let accept = keys.map(|keys| [packet::success(self.id), self.user_name(), keys].concat()).unwrap_or_default();
        Extras { accept, reject: failure.clone(), suspended: failure }
    }

    /// Who came in (RFC 2865 section 5.1): what was said outside of the tunnel may be nobody's name, or another's, and is what the NAS
    /// would tell of the session otherwise.
    fn user_name(&self) -> Vec<u8> {
        let len = u8::try_from(self.name.len() + 2).ok().filter(|_| !self.name.is_empty());
        len.map(|len| [&[attribute::USER_NAME, len], &self.name[..]].concat()).unwrap_or_default()
    }

    /// Nobody is let in without keys, whatever was said: a switch opens its port for the bare word.
    fn last_word(&self, end: End) -> End {
        let has_keys = matches!(&self.stage, Stage::Conversation(conversation) if conversation.keys().is_some());
        match end {
            End::Accept(_) if !has_keys => End::Reject(RejectReason::TlsFailed),
            end => end,
        }
    }
}

/// The conversations of one socket.
#[derive(Debug, Default)]
pub struct Sessions {
    handshakes: Handshakes,
    by_state: HashMap<State, Session>,
    /// One station of one NAS that calls itself the same has one conversation: who begins anew has given up the one before.
    of_station: HashMap<(Place, Box<[u8]>), State>,
    /// Who has been silent for longest comes first.
    by_turn: BTreeMap<u64, State>,
    of_nas: HashMap<IpAddr, usize>,
    turns: u64,
}

impl Sessions {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.by_state.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_state.is_empty()
    }

    /// Takes a request of a conversation, or the first of a new one.
    pub fn on_request(&mut self, asked: EapRequest, with: &Surroundings<'_>, moment: &Moment, out: &mut ReplyBuffer) -> EapOutcome {
        self.expire(moment.now);
        let EapRequest { place, name, eap, state, packet_limit_bytes, request } = asked;
        let refuse = |why, name, out: &mut ReplyBuffer| {
            let id = eap.get(1).copied().unwrap_or_default();
            EapOutcome::Replied(request.reject(why, &failure(id), out), name)
        };
        let Some(tls) = with.tls else { return refuse(RejectReason::NoEapCertificate, name, out) };
        let found = match &state {
            None => Some(Session::begin(place.clone(), name.clone(), &eap, moment.now)),
            Some(state) => self.take(state, place.nas),
        };
        let Some(mut session) = found else { return refuse(RejectReason::UnknownState, name, out) };
        if session.begins_handshake(&eap) && !self.handshakes.admits(place.nas, moment.now) {
            self.keep(session, moment.now);
            return EapOutcome::Busy;
        }
        let place = session.place.clone();
        let with = &with.around(&place, moment.now);
        let next = match eap.is_empty() && state.is_none() {
            // EAP-Start (RFC 3579 section 2.1): the NAS leaves even the first question to us.
            true => Next::Ask(inner::identity()),
            false => session.respond(&eap, packet_limit_bytes, with, tls, moment),
        };
        session.learn_name();
        self.go_on(session, next, request, with, moment, out)
    }

    /// Goes on with a password's verdict. One that came without a tunnel has its reply at once.
    pub fn conclude(&mut self, check: PendingCheck, verified: bool, moment: &Moment, out: &mut ReplyBuffer) -> Replied {
        let PendingCheck { session: Some(mut session), grant, request, .. } = check else { return check.conclude(verified, out) };
        let end = grant.end(verified_or_wrong(verified));
        let next = match &mut session.stage {
            Stage::Conversation(conversation) => conversation.conclude(end),
            Stage::Identity | Stage::Offered(_) => Next::End(end),
        };
        match next {
            Next::Ask(body) => self.ask(*session, &body, &request, moment, out).0,
            Next::End(end) => request.settle(session.last_word(end), &session.extras(&request), out),
            Next::Check(_) | Next::Silent(_) => request.reject(RejectReason::BrokenEap, &failure(session.id), out),
        }
    }

    /// Nobody has time to verify this password now: when the NAS asks again, it is asked for again.
    pub fn put_back(&mut self, check: PendingCheck, now: Duration) {
        if let Some(session) = check.session {
            self.keep(*session, now);
        }
    }

    fn go_on(&mut self, session: Session, next: Next, request: Request, with: &Around<'_>, moment: &Moment, out: &mut ReplyBuffer) -> EapOutcome {
        match next {
            Next::Ask(body) => {
                let (replied, name) = self.ask(session, &body, &request, moment, out);
                EapOutcome::Replied(replied, name)
            }
            Next::End(end) => EapOutcome::Replied(request.settle(session.last_word(end), &session.extras(&request), out), session.name),
            Next::Check(given) => self.check(session, given, request, with, moment, out).unwrap_or_else(EapOutcome::Silent),
            Next::Silent(reason) => EapOutcome::Silent(reason),
        }
    }

    /// A password that came through a tunnel: to be verified, where it may be tried now.
    fn check(
        &mut self,
        mut session: Session,
        given: Given,
        request: Request,
        with: &Around<'_>,
        moment: &Moment,
        out: &mut ReplyBuffer,
    ) -> Result<EapOutcome, Reason> {
        let Given { name, password } = given;
        let person = Person::find(with.people, &name)?;
        let who = person.who(&with.gate);
        if !with.gate.admits(&who) {
            let end = End::Reject(RejectReason::HeldOff);
            let next = if let Stage::Conversation(conversation) = &mut session.stage { conversation.conclude(end) } else { Next::End(end) };
            return Ok(self.go_on(session, next, request, with, moment, out));
        }
        let check = PendingCheck::of(person, with.keys, GivenName { name: &name, who, password }, request, Some(Box::new(session)))?;
        Ok(EapOutcome::Check(Box::new(check)))
    }

    /// Sends the next packet of a conversation, under a State that nobody has seen.
    fn ask(&mut self, mut session: Session, body: &[u8], request: &Request, moment: &Moment, out: &mut ReplyBuffer) -> (Replied, Box<[u8]>) {
        let (name, answered) = (session.name.clone(), session.id);
        session.id = session.id.wrapping_add(1);
        session.rounds += 1;
        session.state = moment.state();
        if session.rounds > ROUNDS_LIMIT {
            return (request.reject(RejectReason::BrokenEap, &failure(answered), out), name);
        }
        let state = [&[attribute::STATE, STATE_BYTES as u8 + 2], &session.state[..]].concat();
        let attributes = [packet::in_attributes(&packet::request(session.id, body)), state].concat();
        match request.reply(code::ACCESS_CHALLENGE, Verdict::Challenge, &attributes, out) {
            Ok(replied) => {
                self.keep(session, moment.now);
                (replied, name)
            }
            Err(TooLong) => (request.reject(RejectReason::ReplyTooLong, &failure(answered), out), name),
        }
    }

    /// A State is good once, and for the NAS that it was given to.
    fn take(&mut self, state: &[u8], nas: IpAddr) -> Option<Session> {
        let state = State::try_from(state).ok()?;
        self.by_state.get(&state).filter(|session| session.place.nas == nas)?;
        self.remove(&state)
    }

    fn keep(&mut self, mut session: Session, now: Duration) {
        // 128 random bits: whoever drew them before has to go.
        self.remove(&session.state);
        // A station that begins anew has given up what it began. Who is in the middle of theirs may be somebody else behind one address.
        let is_begun = |state: &State| self.by_state.get(state).is_some_and(|before| !matches!(before.stage, Stage::Conversation(_)));
        if let Some(before) = session.station().and_then(|station| self.of_station.get(&station).copied()).filter(is_begun) {
            self.remove(&before);
        }
        let nas = session.place.nas;
        if self.of_nas.get(&nas).is_some_and(|count| *count >= NAS_QUOTA) {
            let oldest = self.by_turn.values().find(|state| self.by_state.get(*state).is_some_and(|other| other.place.nas == nas)).copied();
            if let Some(state) = oldest {
                self.remove(&state);
            }
        }
        if self.by_state.len() >= SESSIONS_LIMIT
            && let Some(state) = self.by_turn.values().next().copied()
        {
            self.remove(&state);
        }
        self.turns += 1;
        (session.turn, session.since) = (self.turns, now);
        *self.of_nas.entry(nas).or_default() += 1;
        self.of_station.extend(session.station().map(|station| (station, session.state)));
        self.by_turn.insert(session.turn, session.state);
        self.by_state.insert(session.state, session);
    }

    fn remove(&mut self, state: &State) -> Option<Session> {
        let session = self.by_state.remove(state)?;
        self.by_turn.remove(&session.turn);
        if let Some(count) = self.of_nas.get_mut(&session.place.nas) {
            *count -= 1;
            if *count == 0 {
                self.of_nas.remove(&session.place.nas);
            }
        }
        if let Some(station) = session.station().filter(|station| self.of_station.get(station) == Some(state)) {
            self.of_station.remove(&station);
        }
        Some(session)
    }

    fn expire(&mut self, now: Duration) {
        while let Some(state) = self.by_turn.values().next().copied() {
            let is_over = self.by_state.get(&state).is_none_or(|session| now.saturating_sub(session.since) > SILENCE_LIMIT);
            if !is_over {
                return;
            }
            self.remove(&state);
        }
    }
}

#[cfg(test)]
mod tests;
