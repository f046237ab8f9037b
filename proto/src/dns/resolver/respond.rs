//! The answer of a resolver to one packet: from our zones first, then from what never leaves a machine, then from the cache; and
//! where none of them has it, what is to be asked of others.
//!
//! Who is no client is told nothing but that. Names of ours are answered from the same rows and by the same code as by the
//! authoritative plane, with AA as there; where an alias leads out of our zones, the rest of the chain follows it.

use super::accept::Answer;
use super::cache::{Cache, Held, Key};
use super::clients::{Clients, Standing};
use super::foreign::{Part, Records};
use super::local::LocalZones;
use super::question::{HOP_LIMIT, Wanted, form_of};
use super::special::{self, special};
use crate::dns::answer::{Asked, NOTIFY, QUERY, UPDATE, Verdict, introduce, reply_with_error, silence};
use crate::dns::edns::OPTION_HEADER_BYTES;
use crate::dns::follow::follow_out;
use crate::dns::message::{CLASS_CH, CLASS_IN, HEADER_BYTES, Malformed, Query, Rcode};
use crate::dns::name::Name;
use crate::dns::reply::{
    self, FLAG_AUTHENTIC_DATA, FLAG_CHECKING_DISABLED, FLAG_RECURSION_AVAILABLE, FLAG_RECURSION_DESIRED, FLAG_RESPONSE, FLAG_TRUNCATED, Owner, Reply, Section,
    Stop,
};
use crate::dns::{CookieState, ExtendedError, Kind, Peer, Policy, Reason, Told, rtype};
use crate::snapshot::View;
use crate::words::UnixMillis;

/// What has run out is told for so long (RFC 8767 section 4).
const STALE_TTL_S: u32 = 30;

/// An extended error without words.
const WHY_BYTES: usize = OPTION_HEADER_BYTES + 2;

/// All that an answer is made from.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Our names.
    pub view: &'a View,
    /// Our zones; of the same view, or the answer is a moment old.
    pub zones: &'a LocalZones,
    /// What others answered.
    pub cache: &'a Cache,
    /// Who may ask.
    pub clients: &'a Clients,
    /// How the box answers.
    pub policy: &'a Policy,
    /// Special names that are real here, on the wire and in lower case.
    pub passes: &'a [Box<[u8]>],
    /// What a departmental server is told.
    pub hint: &'a str,
    /// Now.
    pub moment: Moment,
}

/// A moment, and how things stand.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// What cookies are judged by.
    pub now: UnixMillis,
    /// Seconds since some beginning, what the cache counts by.
    pub now_s: u32,
    /// Nobody that could be asked is there.
    pub cut_off: bool,
}

/// What is to be done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// No reply.
    Silent(Reason),
    /// The reply stands in the lent buffer.
    Replied {
        /// What it says.
        told: Told,
        /// Where it is from.
        origin: Origin,
        /// What shall be asked anew, though this client has its answer.
        refresh: Option<Wanted>,
    },
    /// Somebody has to be asked.
    Wanting {
        /// For this.
        wanted: Wanted,
        /// Whether there is an answer that has run out, for a client that has waited long enough.
        has_stale: bool,
        /// Through how many of our boxes the question came.
        hops: u8,
    },
}

/// Where an answer is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Our zones.
    Local,
    /// Names that never leave a machine.
    Special,
    /// The cache.
    Cache,
    /// The cache, past its time.
    Stale,
    /// Asked for just now.
    Asked,
    /// Nowhere: it is a refusal, or it could not be had.
    Nowhere,
}

impl Origin {
    /// All of them, for counters.
    pub const ALL: [Self; 6] = [Self::Local, Self::Special, Self::Cache, Self::Stale, Self::Asked, Self::Nowhere];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Special => "special",
            Self::Cache => "cache",
            Self::Stale => "stale",
            Self::Asked => "asked",
            Self::Nowhere => "nowhere",
        }
    }
}

/// How it ended to ask others.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// With an answer.
    Found(&'a Answer),
    /// Without.
    Failed(ExtendedError),
    /// It has not yet, and the client has waited long enough (RFC 8767 section 5).
    Late,
}

/// Answers a packet into a lent buffer, or says what has to be asked.
pub fn respond(world: &World<'_>, packet: &[u8], peer: Peer, out: &mut Vec<u8>) -> Response {
    react(world, packet, peer, None, out)
}

/// Answers a packet for which others were asked. What is still wanting then is not to be had.
pub fn settle(world: &World<'_>, packet: &[u8], peer: Peer, end: End<'_>, out: &mut Vec<u8>) -> Response {
    react(world, packet, peer, Some(end), out)
}

fn react(world: &World<'_>, packet: &[u8], peer: Peer, end: Option<End<'_>>, out: &mut Vec<u8>) -> Response {
    out.clear();
    if let Some(reason) = silence(packet, peer) {
        return Response::Silent(reason);
    }
    let told = match (reply::opcode(packet), Query::read(packet)) {
        (QUERY | NOTIFY | UPDATE, Ok(query)) => {
            let asked = Asked { recurses: true, ..Asked::of(&query, peer, world.policy, world.moment.now) };
            return Desk { world, asked: &asked, end }.react(out);
        }
        (QUERY | NOTIFY | UPDATE, Err(malformed)) => reply_with_error(packet, malformed, Rcode::FormErr, out),
        _ => reply_with_error(packet, Malformed { readable_end: HEADER_BYTES }, Rcode::NotImp, out),
    };
    Response::Replied { told, origin: Origin::Nowhere, refresh: None }
}

/// One question on the desk.
struct Desk<'a> {
    world: &'a World<'a>,
    asked: &'a Asked<'a>,
    end: Option<End<'a>>,
}

/// How old an answer is told to be.
#[derive(Clone, Copy)]
enum Age {
    Seconds(u32),
    Stale,
}

/// What stands behind a name that is not ours.
enum Beyond<'w> {
    Known { answer: &'w Answer, age: Age, origin: Origin, refresh: bool },
    Failed(ExtendedError),
    Wanting { has_stale: bool },
}

impl Desk<'_> {
    fn react(&self, out: &mut Vec<u8>) -> Response {
        let query = self.asked.query;
        if let Some((rcode, why, remark)) = self.refusal() {
            return self.refuse(rcode, why, remark, out);
        }
        if query.qclass == CLASS_CH {
            let mut reply = self.begin(out);
            let verdict = introduce(self.asked, &mut reply).unwrap_or_else(|_| Verdict::error(Rcode::ServFail, None));
            return self.finish(reply, verdict, Origin::Local, None);
        }
        if self.world.zones.hold(&query.name, query.qtype) {
            return self.local(out);
        }
        self.foreign(out)
    }

    /// What is decided before any name is looked up.
    fn refusal(&self) -> Option<(Rcode, Option<ExtendedError>, &str)> {
        let (query, policy) = (self.asked.query, self.asked.policy);
        let prohibited = Some(ExtendedError::Prohibited);
        match self.world.clients.standing(self.asked.peer.address.ip()) {
            Standing::Client => {}
            Standing::Department => return Some((Rcode::Refused, prohibited, self.world.hint)),
            Standing::Stranger => return Some((Rcode::Refused, prohibited, "")),
        }
        if query.edns.is_some_and(|edns| edns.version > 0) {
            return Some((Rcode::BadVers, None, ""));
        }
        if policy.demands_cookies && self.asked.is_udp() && self.asked.cookie == CookieState::Unproven {
            return Some((Rcode::BadCookie, None, ""));
        }
        match (reply::opcode(query.packet), query.qclass, query.qtype) {
            (NOTIFY | UPDATE, _, _) => Some((Rcode::Refused, prohibited, "")),
            (_, _, rtype::OPT) => Some((Rcode::FormErr, None, "")),
            // Nothing is transferred, and nothing of a transaction is a question (RFC 8945, RFC 2930).
            (_, _, rtype::AXFR | rtype::IXFR | 249 | 250) => Some((Rcode::Refused, prohibited, "")),
            (_, CLASS_IN | CLASS_CH, _) if self.hops() < HOP_LIMIT => None,
            (_, CLASS_IN | CLASS_CH, _) => Some((Rcode::ServFail, Some(ExtendedError::NoReachableAuthority), "the question goes round in a circle")),
            _ => Some((Rcode::Refused, Some(ExtendedError::NotAuthoritative), "")),
        }
    }

    fn hops(&self) -> u8 {
        self.asked.query.edns.map_or(0, |edns| edns.options.hops)
    }

    fn begin<'o>(&'o self, out: &'o mut Vec<u8>) -> Reply<'o> {
        // Room for an extended error beside records: an old answer may follow an alias of ours.
        let limit_bytes = self.asked.limit_bytes() - WHY_BYTES;
        let mut reply = Reply::begin(self.asked.query, self.asked.opt, limit_bytes, out);
        reply.resolver_flags = self.flags();
        reply
    }

    /// RA, and CD as it came (RFC 4035 section 3.2.2).
    fn flags(&self) -> u8 {
        FLAG_RECURSION_AVAILABLE | self.asked.query.packet[3] & FLAG_CHECKING_DISABLED
    }

    fn refuse(&self, rcode: Rcode, why: Option<ExtendedError>, remark: &str, out: &mut Vec<u8>) -> Response {
        let mut reply = self.begin(out);
        reply.remark = remark;
        if !matches!(self.world.clients.standing(self.asked.peer.address.ip()), Standing::Client) {
            // Recursion is not available to them.
            reply.resolver_flags &= !FLAG_RECURSION_AVAILABLE;
        }
        let verdict = Verdict::error(rcode, why);
        self.finish(reply, verdict, Origin::Nowhere, None)
    }

    fn finish(&self, reply: Reply<'_>, verdict: Verdict, origin: Origin, refresh: Option<Wanted>) -> Response {
        let Verdict { rcode, why, kind, source } = verdict;
        let told = Told { rcode, qtype: self.asked.query.qtype, truncated: reply.truncated, cookie: self.asked.cookie, kind, source };
        reply.finish(rcode, why);
        Response::Replied { told, origin, refresh }
    }

    /// A name of ours.
    fn local(&self, out: &mut Vec<u8>) -> Response {
        let mut reply = self.begin(out);
        match follow_out(self.world.view, self.asked, &mut reply) {
            Ok((verdict, None)) if verdict.rcode != Rcode::Refused => self.finish(reply, verdict, Origin::Local, None),
            Ok((verdict, Some(name))) if reply.counts() != [0; 3] => self.onward(reply, verdict, &name),
            // Another's zone below ours, or a zone that this generation has no more.
            Ok(_) => self.foreign(out),
            Err(stop) => self.stopped(reply, stop),
        }
    }

    fn stopped(&self, mut reply: Reply<'_>, stop: Stop) -> Response {
        let verdict = if stop == Stop::Full && self.asked.is_udp() {
            reply.truncate();
            Verdict::new(Rcode::NoError, Kind::Data, &[])
        } else {
            reply.clear();
            reply.authoritative = false;
            Verdict::error(Rcode::ServFail, Some(ExtendedError::InvalidData))
        };
        self.finish(reply, verdict, Origin::Local, None)
    }

    /// An alias of ours leads to another's name: what that has follows.
    fn onward(&self, mut reply: Reply<'_>, verdict: Verdict, name: &Name) -> Response {
        let query = self.asked.query;
        if let Some(special) = special(name, query.qtype, self.world.passes) {
            let verdict = Verdict { rcode: special.rcode, ..verdict };
            return match self.put_special(&mut reply, name, &special) {
                Ok(()) => self.finish(reply, verdict, Origin::Local, None),
                Err(stop) => self.stopped(reply, stop),
            };
        }
        if query.packet[2] & FLAG_RECURSION_DESIRED == 0 {
            return self.finish(reply, verdict, Origin::Local, None);
        }
        let whole = name.ancestor(name.labels());
        self.beyond(whole, |beyond| match beyond {
            Beyond::Known { answer, age, origin, refresh } => {
                let refresh = refresh.then(|| answer.wanted.clone());
                let why = if matches!(age, Age::Stale) { Some(ExtendedError::StaleAnswer) } else { answer.why };
                match self.append(&mut reply, answer, age) {
                    Ok(()) => self.finish(reply, Verdict { rcode: answer.rcode, why, ..verdict }, origin, refresh),
                    Err(stop) => self.stopped(reply, stop),
                }
            }
            Beyond::Failed(why) => {
                reply.clear();
                reply.authoritative = false;
                self.finish(reply, Verdict::error(Rcode::ServFail, Some(why)), Origin::Nowhere, None)
            }
            Beyond::Wanting { has_stale } => Response::Wanting { wanted: Wanted::new(name, query.qtype, form_of(query)), has_stale, hops: self.hops() },
        })
    }

    fn append(&self, reply: &mut Reply<'_>, answer: &Answer, age: Age) -> Result<(), Stop> {
        let records = Records::read(&answer.to_packet()).ok_or(Stop::Damaged)?;
        for record in records.all() {
            let section = if record.part == Part::Answer { Section::Answer } else { Section::Authority };
            let ttl_s = self.ttl_told(record.ttl_s, age);
            reply.put_record(section, Owner::Wire(records.owner(record)), record.rtype, ttl_s, records.rdata(record))?;
        }
        Ok(())
    }

    fn ttl_told(&self, ttl_s: u32, age: Age) -> u32 {
        let limits = self.world.cache.limits();
        match age {
            Age::Seconds(age_s) => ttl_s.max(limits.ttl_floor_s).min(limits.ttl_cap_s).saturating_sub(age_s),
            Age::Stale => STALE_TTL_S,
        }
    }

    /// A name that is not ours.
    fn foreign(&self, out: &mut Vec<u8>) -> Response {
        let query = self.asked.query;
        if let Some(special) = special(&query.name, query.qtype, self.world.passes) {
            return self.special(&special, out);
        }
        let whole = query.name.ancestor(query.name.labels());
        let recursion_desired = query.packet[2] & FLAG_RECURSION_DESIRED != 0;
        self.beyond(whole, |beyond| match beyond {
            Beyond::Known { answer, age, origin, refresh } => {
                let refresh = refresh.then(|| answer.wanted.clone());
                Response::Replied { told: self.write(answer, age, out), origin, refresh }
            }
            // Whoever wants no recursion hears what is here (RFC 1034 section 4.3.1), and nobody is asked.
            _ if !recursion_desired => self.refuse(Rcode::Refused, Some(ExtendedError::NotAuthoritative), "", out),
            Beyond::Failed(why) => self.refuse(Rcode::ServFail, Some(why), "", out),
            Beyond::Wanting { has_stale } => Response::Wanting { wanted: Wanted::new(&query.name, query.qtype, form_of(query)), has_stale, hops: self.hops() },
        })
    }

    /// What is known of a name that is not ours.
    fn beyond<T>(&self, name: &[u8], tell: impl FnOnce(Beyond<'_>) -> T) -> T {
        let key = Key { name, qtype: self.asked.query.qtype, form: form_of(self.asked.query) };
        if let Some(End::Found(answer)) = self.end
            && *answer.wanted.name == *name
        {
            return tell(Beyond::Known { answer, age: Age::Seconds(0), origin: Origin::Asked, refresh: false });
        }
        let Moment { now_s, cut_off, .. } = self.world.moment;
        self.world.cache.look(key, now_s, |held| {
            tell(match (held, self.end) {
                (Held::Fresh { answer, age_s, refresh }, _) => Beyond::Known { answer, age: Age::Seconds(age_s), origin: Origin::Cache, refresh },
                (Held::Stale { .. }, Some(End::Failed(ExtendedError::Bogus))) => Beyond::Failed(ExtendedError::Bogus),
                (Held::Stale { answer, failed }, end) if failed || cut_off || end.is_some() => {
                    Beyond::Known { answer, age: Age::Stale, origin: Origin::Stale, refresh: false }
                }
                (Held::Stale { .. }, _) => Beyond::Wanting { has_stale: true },
                (_, Some(End::Failed(why))) => Beyond::Failed(why),
                (_, Some(_)) => Beyond::Failed(ExtendedError::NetworkError),
                (Held::Failed(_) | Held::Nothing, None) if cut_off => Beyond::Failed(ExtendedError::NoReachableAuthority),
                (Held::Failed(why), None) => Beyond::Failed(if why == ExtendedError::Bogus { why } else { ExtendedError::CachedError }),
                (Held::Nothing, None) => Beyond::Wanting { has_stale: false },
            })
        })
    }

    /// Writes an answer as it is kept: what this costs is what a resolver costs.
    fn write(&self, answer: &Answer, age: Age, out: &mut Vec<u8>) -> Told {
        let (query, opt) = (self.asked.query, self.asked.opt);
        let why = match age {
            Age::Stale if answer.rcode == Rcode::NxDomain => Some(ExtendedError::StaleNxDomain),
            Age::Stale => Some(ExtendedError::StaleAnswer),
            Age::Seconds(_) => answer.why,
        };
        let opt_bytes = opt.map_or(0, |opt| opt.len() + why.map_or(0, |_| WHY_BYTES));
        let fits = query.question_end + answer.body.len() + opt_bytes <= self.asked.limit_bytes();
        out.extend_from_slice(&query.packet[..query.question_end]);
        if fits {
            out.extend_from_slice(&answer.body);
            self.count_down(answer, age, &mut out[query.question_end..]);
        }
        if let Some(opt) = opt {
            opt.put(out, answer.rcode, why, "");
        }
        let [answers, authorities] = if fits { answer.counts } else { [0; 2] };
        let flags = FLAG_RESPONSE | query.packet[2] & FLAG_RECURSION_DESIRED | if fits { 0 } else { FLAG_TRUNCATED };
        reply::put_header(out, flags, answer.rcode, [1, answers, authorities, u16::from(opt.is_some())]);
        // To who asked whether it is authentic, or understands what that means (RFC 6840 section 5.7).
        let wants_to_know = self.asked.dnssec_ok() || query.packet[3] & FLAG_AUTHENTIC_DATA != 0;
        out[3] |= self.flags() | if answer.authentic && wants_to_know { FLAG_AUTHENTIC_DATA } else { 0 };
        let kind = if answer.negative { Kind::Missing } else { Kind::Data };
        Told { rcode: answer.rcode, qtype: query.qtype, truncated: !fits, cookie: self.asked.cookie, kind, source: 0 }
    }

    fn count_down(&self, answer: &Answer, age: Age, body: &mut [u8]) {
        for at in &answer.ttls_at {
            let at = usize::from(*at);
            if let Some(place) = body.get_mut(at..at + 4).and_then(|place| place.first_chunk_mut::<4>()) {
                *place = self.ttl_told(u32::from_be_bytes(*place), age).to_be_bytes();
            }
        }
    }

    fn special(&self, special: &special::Special, out: &mut Vec<u8>) -> Response {
        let mut reply = self.begin(out);
        let kind = if special.rdata.is_some() { Kind::Data } else { Kind::Missing };
        match self.put_special(&mut reply, &self.asked.query.name, special) {
            Ok(()) => self.finish(reply, Verdict::new(special.rcode, kind, &[]), Origin::Special, None),
            Err(stop) => self.stopped(reply, stop),
        }
    }

    fn put_special(&self, reply: &mut Reply<'_>, name: &Name, special: &special::Special) -> Result<(), Stop> {
        if let Some(rdata) = &special.rdata {
            return reply.put_record(Section::Answer, Owner::Wire(name.ancestor(name.labels())), self.asked.query.qtype, special::TTL_S, rdata).map(drop);
        }
        let apex = name.ancestor(special.apex_labels);
        reply.put_record(Section::Authority, Owner::Wire(apex), rtype::SOA, special::TTL_S, &special::soa(apex)).map(drop)
    }
}
