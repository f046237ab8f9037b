//! From the root on (RFC 1034 section 5.3.3): what is asked where none of those answers who are there to be asked.
//!
//! The way down the tree is hickory-resolver's, which its makers call young: that is why it is the last resort and never the first. It
//! asks with the least of the name (RFC 9156), from random ports, in random case, and believes a server only of the names below its
//! own. What it finds is judged and kept like anybody's answer. It asks no private address unless the configuration says so: whoever
//! writes a zone must not have us knock on doors of our own house.

use super::ask::Failure;
use crate::settings::Recursion;
use hickory_net::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};
use hickory_net::proto::serialize::binary::BinDecodable;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::{DnsError, NetError};
use hickory_resolver::recursor::{DnssecPolicy, Recursor, RecursorError, RecursorOptions};
use holdfast_proto::dns::resolver::Wanted;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// Delegations that are remembered, with their servers.
const DELEGATIONS_LIMIT: usize = 16_384;
/// Answers that are remembered below our own cache, which has what clients asked for: the links of the way.
const LINKS_LIMIT: u64 = 16_384;
/// How many aliases one behind the other are followed to where nothing is.
const ALIASES_LIMIT: usize = 8;
const PORT: u16 = 53;

/// The root's servers, and the way down from them.
pub(super) struct Roots {
    recursor: Recursor<TokioRuntimeProvider>,
    /// Where the root's servers are.
    pub(super) servers: Vec<SocketAddr>,
}

impl Roots {
    /// # Errors
    /// Where no server of the root is named.
    pub(super) fn new(settings: &Recursion) -> io::Result<Self> {
        if settings.root_hints.is_empty() {
            return Err(io::Error::other("recursion: root_hints is empty: name the root's servers, or leave it out for those of the root of all"));
        }
        let options = RecursorOptions {
            ns_cache_size: DELEGATIONS_LIMIT,
            response_cache_size: LINKS_LIMIT,
            allow_server: settings.private_servers.clone(),
            case_randomization: true,
            ..RecursorOptions::default()
        };
        // Signatures come along for who wants them; whether they hold is looked at where all answers are.
        let recursor = Recursor::new(&settings.root_hints, DnssecPolicy::ValidationDisabled, None, options, TokioRuntimeProvider::default());
        let recursor = recursor.map_err(|wrong| io::Error::other(format!("recursion: {wrong}")))?;
        Ok(Self { recursor, servers: settings.root_hints.iter().map(|hint| SocketAddr::new(*hint, PORT)).collect() })
    }

    /// Looks for it from the root on; gives the reply with this id, as a server would.
    pub(super) async fn resolve(&self, wanted: &Wanted, id: u16) -> Result<Vec<u8>, Failure> {
        // Who can be sent over the wire can be read from it.
        let name = Name::from_bytes(wanted.name()).map_err(|_| Failure::Refused)?;
        let mut query = Query::query(name, RecordType::from(wanted.qtype()));
        let mut reply = Message::response(id, OpCode::Query);
        reply.add_query(query.clone());
        let mut answers = Vec::new();
        for _ in 0..=ALIASES_LIMIT {
            match self.recursor.resolve(query.clone(), Instant::now(), wanted.dnssec_ok()).await {
                Ok(found) => {
                    reply.metadata.response_code = found.metadata.response_code;
                    answers.extend(found.answers);
                    reply.insert_answers(answers);
                    reply.insert_authorities(found.authorities);
                    return reply.to_vec().map_err(|_| Failure::Refused);
                }
                Err(RecursorError::Negative(none)) => match self.alias(&query, wanted.dnssec_ok(), answers.is_empty()).await? {
                    Some((links, target)) => {
                        answers.extend(links);
                        query.set_name(target);
                    }
                    None => {
                        let is_missing = RecursorError::Negative(none.clone()).is_nx_domain();
                        reply.metadata.response_code = if is_missing { ResponseCode::NXDomain } else { ResponseCode::NoError };
                        let soa = none.soa.map(|soa| soa.into_record_of_rdata());
                        let rest: Vec<Record> = none.authorities.iter().flat_map(|records| records.iter().cloned()).collect();
                        let has_soa = rest.iter().any(|record| record.record_type() == RecordType::SOA);
                        reply.insert_answers(answers);
                        reply.insert_authorities(soa.into_iter().filter(|_| !has_soa).chain(rest).collect());
                        return reply.to_vec().map_err(|_| Failure::Refused);
                    }
                },
                Err(wrong) => return Err(failure(&wrong)),
            }
        }
        Err(Failure::Refused)
    }

    /// Where what has none of it is an alias, its records and its target. The way down tells of the end of a chain alone, without the
    /// links: whoever asked would take the target's absence for the name's own, and could not check its signatures.
    ///
    /// Of the name that was asked for itself (`is_first`), what cannot be found out counts as no alias: the answer that there is stands.
    async fn alias(&self, query: &Query, dnssec_ok: bool, is_first: bool) -> Result<Option<(Vec<Record>, Name)>, Failure> {
        if query.query_type() == RecordType::CNAME {
            return Ok(None);
        }
        let asked = Query::query(query.name().clone(), RecordType::CNAME);
        match self.recursor.resolve(asked, Instant::now(), dnssec_ok).await {
            Ok(found) => {
                let target = |record: &Record| match &record.data {
                    RData::CNAME(target) if record.name == *query.name() => Some(target.0.clone()),
                    _ => None,
                };
                Ok(found.answers.iter().find_map(target).map(|target| (found.answers, target)))
            }
            Err(RecursorError::Negative(_)) => Ok(None),
            Err(_) if is_first => Ok(None),
            Err(wrong) => Err(failure(&wrong)),
        }
    }
}

/// What it says of those who were asked on the way: the root itself is asked otherwise whether it is there.
fn failure(wrong: &RecursorError) -> Failure {
    match wrong {
        RecursorError::Timeout | RecursorError::Net(NetError::Timeout | NetError::NoConnections) => Failure::Late,
        RecursorError::Net(NetError::Dns(DnsError::ResponseCode(_))) => Failure::Refused,
        _ => Failure::Late,
    }
}

impl std::fmt::Debug for Roots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roots({} servers)", self.servers.len())
    }
}
