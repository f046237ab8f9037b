//! Whether what others answer is signed as it should be (RFC 4035), by the chain of trust from the root or from anchors of our own.
//!
//! The chain is walked by hickory-net; what it needs on the way is asked for and kept like anything else. What it refuses: to take
//! a wrong clock for a forgery. A box whose clock is known to be wrong (it stands before a time that was signed) holds signatures
//! to be in their time, looks at all else of them, calls nothing authentic, and says so (RFC 8914, code 5).

use super::Validation;
use super::sources::Sources;
use super::tiers::Step;
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_net::proto::dnssec::{Proof, TrustAnchors};
use hickory_net::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, Query, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use hickory_net::proto::serialize::binary::BinDecodable;
use hickory_net::runtime::{RuntimeProvider, Time, TokioRuntimeProvider, TokioTime};
use hickory_net::xfer::DnsHandle;
use hickory_net::{DnsError, NetError};
use holdfast_proto::dns::ExtendedError;
use holdfast_proto::dns::resolver::{Answer, Wanted};
use holdfast_proto::net::clock::TrustedClock;
use holdfast_proto::words::{DomainName, UnixMillis};
use metrics::counter;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far the wall clock may stand behind signed time: a master's clock may be a little ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// A chain of trust has a link for each label, and two questions for each link.
const LINK_LIMIT: usize = 32;
/// How many signatures are remembered to hold: the links of the zones that are asked for much.
const HELD_LIMIT: usize = 16_384;
/// For how long at most. That a signature has ended is seen this much later.
const HELD_FOR: Duration = Duration::from_secs(900);

/// What looks at signatures.
pub(super) struct Validator {
    handle: DnssecDnsHandle<Asking>,
    sources: Arc<Sources>,
    /// Names below which nothing is looked at (RFC 7646).
    unsigned: Vec<DomainName>,
    clock: Arc<TrustedClock>,
}

/// What is to be said of an answer.
enum Verdict {
    Authentic,
    /// Its zone is not signed, and that is proven.
    Unsigned,
    /// Its signatures do not hold, or it should have some.
    Bogus,
}

impl Validator {
    /// # Errors
    /// Names the file of anchors, or the name, that cannot be read.
    pub(super) fn new(settings: &Validation, clock: Arc<TrustedClock>, sources: Arc<Sources>) -> io::Result<Self> {
        let anchors = match &settings.anchors {
            Some(path) => TrustAnchors::from_file(path).map_err(|wrong| io::Error::other(format!("{}: {wrong}", path.display())))?,
            None => TrustAnchors::default(),
        };
        let unsigned = settings.negative_anchors.iter().map(|name| DomainName::parse(name, None));
        let unsigned = unsigned.collect::<Result<_, _>>().map_err(|wrong| io::Error::other(format!("negative_trust_anchors: {wrong}")))?;
        let handle = DnssecDnsHandle::with_trust_anchor(Asking(Arc::clone(&sources)), Arc::new(anchors))
            .validation_cache_size(HELD_LIMIT)
            .positive_validation_ttl(Duration::ZERO..=HELD_FOR);
        Ok(Self { handle, sources, unsigned, clock })
    }

    /// Whether an answer to this is to be looked at.
    pub(super) fn is_for(&self, wanted: &Wanted) -> bool {
        let name = DomainName::from_wire(wanted.name());
        !wanted.checking_disabled() && !name.is_some_and(|name| self.unsigned.iter().any(|unsigned| name.is_within(unsigned)))
    }

    /// Asks for something, and for all that proves it.
    pub(super) async fn resolve(&self, wanted: &Wanted, hops: u8, steps: Option<&mut Vec<Step>>) -> Result<Answer, ExtendedError> {
        let signed = wanted.signed();
        let answer = Arc::new(self.sources.tiers.resolve(&signed, hops, steps).await?);
        let knows_time = self.knows_time();
        let trial = Trial { answer: Arc::clone(&answer), time_s: Cell::new((!knows_time).then_some(0)), links: RefCell::default() };
        let (authentic, why) = match TRIAL.scope(trial, self.judged(wanted)).await {
            Verdict::Bogus if self.sources.tiers.is_cut_off() => return Err(ExtendedError::NoReachableAuthority),
            Verdict::Bogus => {
                counter!("holdfast_resolver_bogus_total").increment(1);
                return Err(ExtendedError::Bogus);
            }
            Verdict::Authentic if knows_time => (true, None),
            Verdict::Authentic => {
                counter!("holdfast_resolver_clock_unknown_total").increment(1);
                (false, Some(ExtendedError::Indeterminate))
            }
            Verdict::Unsigned => (false, None),
        };
        let answer = Answer::clone(&answer).as_wanted(wanted).ok_or(ExtendedError::InvalidData)?;
        Ok(answer.judged(authentic, why))
    }

    /// Judges. Where something is wrong every link of the chain may be what is: none of them is kept, or whoever altered one
    /// once would have taken the names below it away for as long as that says.
    async fn judged(&self, wanted: &Wanted) -> Verdict {
        let verdict = self.judge(wanted).await;
        if matches!(verdict, Verdict::Bogus) {
            TRIAL.with(|trial| trial.links.borrow().iter().for_each(|link| self.sources.cache.forget(link)));
        }
        verdict
    }

    async fn judge(&self, wanted: &Wanted) -> Verdict {
        let Ok(name) = Name::from_bytes(wanted.name()) else { return Verdict::Bogus };
        let query = Query::query(name, RecordType::from(wanted.qtype()));
        let mut options = DnsRequestOptions::default();
        (options.use_edns, options.max_request_depth) = (true, LINK_LIMIT);
        match self.handle.lookup(query, options).next().await {
            Some(Ok(response)) if rests_on_a_strangers_gap(wanted, &response) => Verdict::Bogus,
            Some(Ok(response)) => verdict(response.answers.iter().chain(&response.authorities)),
            Some(Err(NetError::Dns(DnsError::Nsec { proof: Proof::Insecure, .. }))) => Verdict::Unsigned,
            Some(Err(NetError::Dns(DnsError::Nsec { query, response, .. }))) if is_proven_wildcard(&query, &response) => Verdict::Authentic,
            _ => Verdict::Bogus,
        }
    }

    /// Whether the wall clock may be right: it does not stand before a time that was signed.
    fn knows_time(&self) -> bool {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + CLOCK_TOLERANCE;
        UnixMillis(wall.as_millis() as u64) >= self.clock.now()
    }
}

fn verdict<'a>(records: impl Iterator<Item = &'a Record>) -> Verdict {
    let mut verdict = Verdict::Unsigned;
    let data = records.filter(|record| record.record_type() != RecordType::RRSIG);
    for (number, record) in data.enumerate() {
        match record.proof {
            Proof::Secure if number == 0 => verdict = Verdict::Authentic,
            Proof::Secure => {}
            Proof::Insecure => verdict = Verdict::Unsigned,
            Proof::Bogus | Proof::Indeterminate => return Verdict::Bogus,
        }
    }
    verdict
}

/// Whether a reply says that there is nothing, or that a wildcard stands for a name, and shows for it a gap that nobody signed. Such
/// gaps are in zones without a secure delegation alone, which hickory-net 0.26.3 takes for the name's own, whosesoever they are: so the
/// zone itself must be shown to be such a one.
fn rests_on_a_strangers_gap(wanted: &Wanted, response: &Message) -> bool {
    let is_gap = |record: &&Record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3);
    if !response.authorities.iter().filter(is_gap).any(|gap| gap.proof != Proof::Secure) {
        return false;
    }
    let is_unsigned_zone = |record: &Record| {
        let is_above = Name::from_bytes(wanted.name()).is_ok_and(|name| record.name.zone_of(&name));
        record.record_type() == RecordType::SOA && record.proof == Proof::Insecure && is_above
    };
    match response.answers.iter().find(|record| record.record_type() != RecordType::RRSIG) {
        Some(first) => first.proof == Proof::Secure,
        None => !response.authorities.iter().any(is_unsigned_zone),
    }
}

/// Whether a wildcard's answer is proven, which hickory-net 0.26.3 does not see where the gap begins at the wildcard itself: its
/// signature holds, and a gap of the same zone, which holds too, has the nearest name that a wildcard could not stand in for
/// (RFC 4035 section 5.3.4).
fn is_proven_wildcard(query: &Query, response: &Message) -> bool {
    let (name, qtype) = (&query.name, query.query_type);
    let mut data = response.answers.iter().filter(|record| record.record_type() != RecordType::RRSIG).peekable();
    let is_whole = data.peek().is_some() && data.all(|record| record.name == *name && record.record_type() == qtype && record.proof == Proof::Secure);
    // Of those that nobody looked at anybody could have written any.
    let mut signatures = response.answers.iter().filter(|record| record.proof == Proof::Secure).filter_map(signature);
    let Some(first) = signatures.next() else { return false };
    let is_alike = |other: &RRSIG| (other.input().num_labels, &other.input().signer_name) == (first.input().num_labels, &first.input().signer_name);
    let (labels, apex) = (first.input().num_labels, &first.input().signer_name);
    if !is_whole || response.response_code != ResponseCode::NoError || !signatures.all(is_alike) || labels >= name.num_labels() || !apex.zone_of(name) {
        return false;
    }
    let nearer = name.trim_to(usize::from(labels) + 1);
    let is_of_zone = |owner: &Name| {
        let own = response.authorities.iter().filter(|record| record.name == *owner && record.proof == Proof::Secure).filter_map(signature);
        own.map(|signature| signature.input()).any(|input| input.type_covered == RecordType::NSEC && input.signer_name == *apex)
    };
    response.authorities.iter().any(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(gap)) if record.proof == Proof::Secure && is_of_zone(&record.name) => {
            let next = gap.next_domain_name();
            // The last gap ends at the zone's top; a name below the nearer one would say that it is there, if empty.
            record.name < nearer && (nearer < *next || next == apex) && !nearer.zone_of(next)
        }
        _ => false,
    })
}

fn signature(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

impl std::fmt::Debug for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Validator(not below {:?})", self.unsigned)
    }
}

/// What is looked at.
struct Trial {
    /// The answer itself: what is told must be what was looked at, so it is not asked for twice.
    answer: Arc<Answer>,
    /// With what time the signatures of the message at hand are looked at, where the clock does not know.
    time_s: Cell<Option<u64>>,
    /// What was asked for on the way.
    links: RefCell<Vec<Wanted>>,
}

tokio::task_local! {
    static TRIAL: Trial;
}

/// Asks as the box asks for anything.
#[derive(Clone)]
struct Asking(Arc<Sources>);

impl Asking {
    async fn ask(self, query: Query) -> Result<DnsResponse, NetError> {
        let name = DomainName::parse(&query.name.to_ascii(), None).map_err(|wrong| NetError::from(wrong.to_string()))?;
        let wanted = Wanted::of(&name.wire().to_ascii_lowercase(), query.query_type.into(), true, true);
        let wanted = wanted.ok_or_else(|| NetError::from("that cannot be looked for".to_owned()))?;
        let on_trial = TRIAL.try_with(|trial| (*trial.answer.wanted() == wanted).then(|| Arc::clone(&trial.answer))).ok().flatten();
        let answer = match on_trial {
            Some(answer) => answer,
            None => {
                let answer = self.0.fetch(&wanted, 0).await.map_err(|why| NetError::from(format!("{why:?}")))?;
                let _ = TRIAL.try_with(|trial| trial.links.borrow_mut().push(wanted));
                answer
            }
        };
        let response = DnsResponse::from_buffer(answer.to_packet())?;
        // Read by whoever looks at this message's signatures, before it asks for anything else.
        let _ = TRIAL.try_with(|trial| trial.time_s.set(trial.time_s.get().map(|_| latest_inception_s(&response))));
        Ok(response)
    }
}

impl DnsHandle for Asking {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = Runtime;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let (asking, query) = (self.clone(), request.queries.first().cloned());
        Box::pin(stream::once(async move {
            match query {
                Some(query) => asking.ask(query).await,
                None => Err(NetError::from("a request without a question".to_owned())),
            }
        }))
    }
}

/// A time at which the signatures of a message are valid, if they ever are.
fn latest_inception_s(response: &DnsResponse) -> u64 {
    let signatures = response.answers.iter().chain(&response.authorities).filter_map(signature);
    signatures.map(|signature| u64::from(signature.input().sig_inception.get())).max().unwrap_or_default()
}

/// The one of the rest of the house, but for what time it is.
#[derive(Clone)]
struct Runtime(TokioRuntimeProvider);

struct Clock;

#[async_trait]
impl Time for Clock {
    async fn delay_for(duration: Duration) {
        TokioTime::delay_for(duration).await;
    }

    async fn timeout<F: 'static + Future + Send>(duration: Duration, future: F) -> Result<F::Output, io::Error> {
        TokioTime::timeout(duration, future).await
    }

    fn current_time() -> u64 {
        let wall = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        TRIAL.try_with(|trial| trial.time_s.get()).ok().flatten().unwrap_or_else(wall)
    }
}

impl RuntimeProvider for Runtime {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = Clock;
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        bind: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = Result<Self::Tcp, io::Error>>>> {
        self.0.connect_tcp(server, bind, timeout)
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Pin<Box<dyn Send + Future<Output = Result<Self::Udp, io::Error>>>> {
        self.0.bind_udp(local, server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        DomainName::parse(name, None).unwrap().wire().to_vec()
    }

    fn record(owner: &str, rtype: u16, rdata: &[u8]) -> Vec<u8> {
        [&wire(owner)[..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &(rdata.len() as u16).to_be_bytes(), rdata].concat()
    }

    /// By a zone's key, over a name with so many labels.
    fn signed(owner: &str, covered: u8, labels: u8, signer: &str) -> Vec<u8> {
        let fixed = [0, covered, 13, labels, 0, 0, 0, 60, 0, 0, 0, 2, 0, 0, 0, 1, 0, 9];
        record(owner, 46, &[&fixed[..], &wire(signer), &[7; 64]].concat())
    }

    /// Whether x.w.z, which a wildcard with so many labels stands for, is proven by this gap of a zone.
    fn proves(labels: u8, owner: &str, next: &str, signer: &str, proof: Proof) -> bool {
        let name = "x.w.z";
        let gap = record(owner, 47, &[&wire(next)[..], &[0, 1, 0x40]].concat());
        let sections = [record(name, 1, &[192, 0, 2, 1]), signed(name, 1, labels, "z"), gap, signed(owner, 47, 2, signer)].concat();
        let packet = [&[0, 0, 0x81, 0x80, 0, 1, 0, 2, 0, 2, 0, 0][..], &wire(name), &[0, 1, 0, 1], &sections].concat();
        let mut message = Message::from_vec(&packet).unwrap();
        message.answers.iter_mut().for_each(|record| record.proof = Proof::Secure);
        message.authorities.iter_mut().for_each(|record| record.proof = proof);
        is_proven_wildcard(&message.queries[0].clone(), &message)
    }

    #[test]
    fn a_wildcard_stands_for_a_name_only_where_a_gap_of_its_zone_has_that_name() {
        for (labels, owner, next, signer, proof, proven) in [
            (2, "*.w.z", "y.z", "z", Proof::Secure, true),
            (2, "a.w.z", "z", "z", Proof::Secure, true),
            (1, "a.z", "y.z", "z", Proof::Secure, true),
            (2, "*.w.z", "y.z", "z", Proof::Bogus, false),
            // Another zone's gap, one before the name, one behind it, one at the name itself, and one that ends below it.
            (2, "*.w.z", "y.z", "w.z", Proof::Secure, false),
            (2, "*.w.z", "b.w.z", "z", Proof::Secure, false),
            (2, "y.w.z", "z", "z", Proof::Secure, false),
            (2, "x.w.z", "y.w.z", "z", Proof::Secure, false),
            (2, "*.w.z", "a.x.w.z", "z", Proof::Secure, false),
            // What is nearer is there; and no wildcard at all.
            (1, "*.w.z", "y.z", "z", Proof::Secure, false),
            (3, "*.w.z", "y.z", "z", Proof::Secure, false),
        ] {
            assert_eq!(proves(labels, owner, next, signer, proof), proven, "{labels} {owner} {next} {signer} {proof:?}");
        }
    }
}
