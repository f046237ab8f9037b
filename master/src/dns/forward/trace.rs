//! What becomes of a question on its way through the tiers, for whoever answers the telephone: campus or department, university,
//! national, root. The tier before us is asked for what it has and asks nobody; we are asked as a client would.

use super::Forwarding;
use holdfast_names::engine::{Looked, Peeked, Step, Tier, peek};
use holdfast_proto::dhcp::table::{SUBNET, SubnetRef, subnet_of_key};
use holdfast_proto::dns::rdata;
use holdfast_proto::dns::resolver::{Heed, Origin, Wanted, in_words};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::DomainName;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const DNS_PORT: u16 = 53;

/// One step of the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Hop {
    /// Which tier, counted from the client.
    pub tier: u8,
    /// What it is: department, campus, university, national or root.
    pub name: &'static str,
    /// Who it is.
    pub server: String,
    /// What it has, or what became of the question there.
    pub state: String,
    /// How long that took; nothing where nobody was asked.
    pub time: Option<Duration>,
    /// What it says, where it says something.
    pub reply: Option<String>,
}

impl Hop {
    fn new(tier: u8, name: &'static str, server: String, state: impl Into<String>) -> Self {
        Self { tier, name, server, state: state.into(), time: None, reply: None }
    }
}

impl Forwarding {
    /// Follows the question of whoever has this address.
    ///
    /// # Errors
    /// Says in a sentence why the name or the type cannot be asked for.
    pub async fn trace(&self, name: &str, rtype: &str, from: IpAddr) -> Result<Vec<Hop>, String> {
        let name = DomainName::parse(name, None).map_err(|wrong| wrong.to_string())?;
        let number = rdata::parse_type(rtype).map_err(|wrong| wrong.to_string())?;
        let wanted = Wanted::of(&name.wire().to_ascii_lowercase(), number, false, false).ok_or_else(|| format!("{rtype} cannot be looked for"))?;
        let (first, is_known_there) = self.first_tier(&wanted, from.to_canonical()).await;
        let mut hops = vec![first];
        hops.extend(self.further_tiers(&wanted, is_known_there).await);
        Ok(hops)
    }

    /// The client's own resolver: that of its campus, or itself where it is a departmental server; and whether the answer is there.
    async fn first_tier(&self, wanted: &Wanted, from: IpAddr) -> (Hop, bool) {
        let Some((name, who, server)) = self.resolver_of(from) else {
            let state = "it is in no campus's subnet and is no departmental server: nobody of ours answers it";
            return (Hop::new(1, "client", from.to_string(), state), false);
        };
        let begun = Instant::now();
        let peeked = peek(self.own_address(server.ip()), server, wanted).await;
        let mut hop = Hop::new(1, name, format!("{who} {server}"), has(&peeked));
        hop.time = Some(begun.elapsed());
        if let Peeked::Has(answer) = &peeked {
            hop.reply = in_words(&answer.to_packet());
        }
        (hop, matches!(peeked, Peeked::Has(_) | Peeked::HasMuch))
    }

    /// The address that boxes and departments know us by, to ask one of them from.
    fn own_address(&self, of: IpAddr) -> Option<IpAddr> {
        let own = self.settings.listen.iter().chain(&self.settings.tls_listen).map(SocketAddr::ip);
        own.filter(|own| !own.is_unspecified() && !own.is_loopback()).find(|own| own.is_ipv4() == of.is_ipv4())
    }

    fn resolver_of(&self, from: IpAddr) -> Option<(&'static str, String, SocketAddr)> {
        let registered = self.registered.borrow();
        if let Some(department) = registered.departments.get(&from) {
            return Some(("department", department.clone(), SocketAddr::new(from, DNS_PORT)));
        }
        let campus = self.campus_of(from)?;
        let by_roster = || registered.boxes.iter().find(|(_, of)| **of == campus).map(|(address, _)| SocketAddr::new(*address, DNS_PORT));
        let server = self.settings.resolvers.get(&campus).copied().or_else(by_roster)?;
        Some(("campus", campus, server))
    }

    /// By the longest of the published subnets that holds the address.
    fn campus_of(&self, from: IpAddr) -> Option<String> {
        let latest = self.latest.borrow();
        let rows = latest.state(Feed::BOOTPTAB).view().iter(SUBNET).filter_map(Result::ok);
        let subnets = rows.filter_map(|(key, row)| Some((subnet_of_key(key)?, SubnetRef::read(row).ok()?.campus.to_owned())));
        let IpAddr::V4(from) = from else { return None };
        subnets.filter(|(net, _)| net.contains(&from)).max_by_key(|(net, _)| net.prefix_len()).map(|(_, campus)| campus).filter(|campus| !campus.is_empty())
    }

    /// We, and those whom we ask.
    async fn further_tiers(&self, wanted: &Wanted, is_known_before: bool) -> Vec<Hop> {
        let begun = Instant::now();
        // As who may ask: who asks us is one of those.
        let (_, looked) = self.handle.look(wanted, Ipv4Addr::LOCALHOST.into());
        let mut own = Hop::new(2, "university", "this master".to_owned(), "");
        own.time = Some(begun.elapsed());
        let (is_to_be_asked, state) = match looked {
            Looked::Told(Origin::Nowhere, _) => (false, "does not have it, and nobody is there to be asked".to_owned()),
            Looked::Told(origin, reply) => {
                own.reply = in_words(&reply);
                (false, format!("has it ({})", origin.name()))
            }
            // Caches that look at signatures themselves ask with them.
            Looked::Wanting { .. } if is_known_before && self.has_signed(wanted) => (false, "has it, with its signatures (cache)".to_owned()),
            Looked::Wanting { has_stale } if is_known_before => (false, if has_stale { "had it until it ran out" } else { "does not have it" }.to_owned()),
            Looked::Wanting { has_stale: true } => (true, "has an answer that has run out, and asks".to_owned()),
            Looked::Wanting { has_stale: false } => (true, "does not have it, and asks".to_owned()),
        };
        own.state = state;
        if !is_to_be_asked {
            return [vec![own], self.unasked(&[])].concat();
        }
        let (steps, result) = self.handle.ask(wanted).await;
        let mut hops: Vec<Hop> = steps.iter().map(of_step).collect();
        match result {
            Ok(answer) => {
                if let Some(last) = hops.last_mut() {
                    last.reply = in_words(&answer.to_packet());
                }
            }
            Err(why) => own.state = format!("{}; there is no answer ({why:?})", own.state),
        }
        let mut unasked = self.unasked(&steps);
        hops.append(&mut unasked);
        hops.sort_by_key(|hop| hop.tier);
        [vec![own], hops].concat()
    }

    fn has_signed(&self, wanted: &Wanted) -> bool {
        let form = |checking_disabled| Wanted::of(wanted.name(), wanted.qtype(), true, checking_disabled);
        [false, true].into_iter().filter_map(form).any(|wanted| self.handle.holds(&wanted))
    }

    /// Those who could be asked and were not, and the tiers that there are none of.
    fn unasked(&self, steps: &[Step]) -> Vec<Hop> {
        let servers = self.handle.servers();
        let was_asked = |server: &str| steps.iter().any(|step| step.server == server);
        let unasked = servers.iter().filter(|fares| !was_asked(&fares.server)).map(|fares| {
            let (tier, name) = tier_of(fares.tier);
            let state = match fares.heed {
                Heed::Gone => "is gone, and not asked".to_owned(),
                _ => format!("not asked (usually {} ms)", fares.latency_ms),
            };
            Hop::new(tier, name, fares.server.clone(), state)
        });
        let mut hops: Vec<Hop> = unasked.collect();
        for tier in [Tier::Upstream, Tier::Root] {
            if !servers.iter().any(|fares| fares.tier == tier) {
                let (number, name) = tier_of(tier);
                hops.push(Hop::new(number, name, "nobody".to_owned(), "none is configured"));
            }
        }
        hops
    }
}

fn tier_of(tier: Tier) -> (u8, &'static str) {
    match tier {
        Tier::Master | Tier::Peer => (2, "university"),
        Tier::Upstream => (3, "national"),
        Tier::Root => (4, "root"),
    }
}

fn of_step(step: &Step) -> Hop {
    let (tier, name) = tier_of(step.tier);
    Hop { time: Some(step.time), ..Hop::new(tier, name, step.server.clone(), step.outcome) }
}

fn has(peeked: &Peeked) -> String {
    match peeked {
        Peeked::Has(answer) => format!("has it, for {} s more", answer.ttl_s()),
        Peeked::HasMuch => "has it".to_owned(),
        Peeked::HasNot => "does not have it".to_owned(),
        // REFUSED is what most caches say to who wants to know what others asked for.
        Peeked::Declines(5, None) => "tells nobody what it has (REFUSED)".to_owned(),
        Peeked::Declines(5, Some(18)) => "refuses to answer us: is the master on its list?".to_owned(),
        Peeked::Declines(code, Some(why)) => format!("does not say (code {code}, extended error {why})"),
        Peeked::Declines(code, None) => format!("does not say (code {code})"),
        Peeked::Silent => "is silent".to_owned(),
    }
}
