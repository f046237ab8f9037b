//! Machines that nobody registered: reported, and lent an address where their subnet has a share of this agent's.
//!
//! RFC 2131 section 4.3 with one owner for each address: an agent lends only from its own share and answers only for leases of its
//! own; about an address in another agent's share it says nothing, since its owner may know better. So no two agents lend one
//! address, whatever is cut between them, and nobody is refused a lease that its owner would renew.

use super::answer::{Outcome, Peer, Reason, Want, answer_to, names_us, waited, want_of};
use super::code::{self, Kind};
use super::compose::{Composer, DEFAULT_LEASE_SECS};
use super::desk::Desk;
use super::lease::{Ground, Lease, LeaseState, client_of};
use super::message::Message;
use super::names::{Wish, generated, wish, within};
use super::place::{Place, Stand};
use super::policy::{PolicyRef, Share, Unknown};
use super::table::{ReservationRef, option_bytes, subnet_key};
use crate::lent::Naming;
use crate::snapshot::View;
use crate::words::{DomainName, UnixMillis};
use std::net::Ipv4Addr;

/// How long an address is lent on a subnet in quarantine, in seconds: so soon a machine that was registered asks again.
const QUARANTINE_LEASE_SECS: u32 = 300;
/// The shortest lease that a client may wish for, in seconds.
const SHORTEST_LEASE_SECS: u32 = 60;

/// One packet of a machine that nobody registered.
pub(super) struct Lender<'d, 'a> {
    pub(super) desk: &'d mut Desk,
    pub(super) view: &'a View,
    pub(super) request: &'a Message<'a>,
    pub(super) stand: Stand<'a>,
    pub(super) peer: &'a Peer<'a>,
    pub(super) now: UnixMillis,
}

/// What is lent here, and to whom it would be.
struct Terms<'a> {
    policy: PolicyRef<'a>,
    shares: Vec<Share>,
    taken: Vec<Ipv4Addr>,
    client: Vec<u8>,
    /// Where machines get names, where they do.
    zone: Option<DomainName>,
}

impl<'a> Lender<'_, 'a> {
    pub(super) fn answer(mut self, out: &mut Vec<u8>) -> Result<Outcome, Reason> {
        let policy = PolicyRef::of(self.view, self.stand.net)?;
        let kind = self.request.kind();
        if policy.unknown != Unknown::Off && !matches!(kind, Kind::Release | Kind::Decline) {
            let note = self.desk.strangers.see(self.request, self.stand.net, policy.unknown, self.now);
            note.into_iter().for_each(|note| self.desk.note(note));
        }
        // RFC 1534: a BOOTP client keeps its address for ever, so it is lent none.
        let is_lent = policy.shares().next().is_some() && kind != Kind::Bootp;
        let client = client_of(self.request).filter(|_| is_lent).ok_or(Reason::UnknownHost)?;
        let node = self.desk.node();
        let shares = policy.shares().filter(|share| Some(share.owner) == node).collect();
        let zone = Naming::of(self.view, &subnet_key(self.stand.net))?.map(|naming| naming.zone);
        let terms = Terms { policy, shares, taken: self.taken(), client, zone };
        self.desk.leases.know(self.stand.net);
        match kind {
            Kind::Discover => self.offer(&terms, out),
            Kind::Request => self.request(&terms, out),
            Kind::Inform => self.reply(&terms, Kind::Ack, Ipv4Addr::UNSPECIFIED, None, out),
            Kind::Release => self.release(&terms),
            Kind::Decline => self.decline(&terms),
            _ => Err(Reason::Unsupported),
        }
    }

    /// Nobody is lent the address of a router, or ours.
    fn taken(&self) -> Vec<Ipv4Addr> {
        let routers = self.stand.subnet.options.iter().find(|(code, _)| *code == code::ROUTERS).and_then(|(_, data)| data);
        let routers = routers.unwrap_or_default().as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets));
        routers.chain(self.peer.interface_addresses.iter().copied()).collect()
    }

    fn offer(&mut self, terms: &Terms<'_>, out: &mut Vec<u8>) -> Result<Outcome, Reason> {
        waited(self.view, self.request, (self.stand.net, self.stand.subnet), 0, self.peer)?;
        if terms.shares.is_empty() {
            return Err(Reason::OthersShare);
        }
        if !self.desk.lends() {
            return Err(Reason::LeaseLogFails);
        }
        let wish = self.request.options.address(code::REQUESTED_ADDRESS);
        let ground = Ground { net: self.stand.net, shares: &terms.shares, taken: &terms.taken };
        let Some(address) = self.desk.leases.offer(&ground, &terms.client, wish, self.now) else {
            self.desk.tell_exhausted(self.stand.net, self.now);
            return Err(Reason::NoFreeAddress);
        };
        let name = self.name(terms, address);
        self.reply(terms, Kind::Offer, address, name.as_ref(), out)
    }

    fn request(&mut self, terms: &Terms<'_>, out: &mut Vec<u8>) -> Result<Outcome, Reason> {
        let want = want_of(self.request, self.peer).inspect_err(|reason| {
            if *reason == Reason::OtherServer {
                self.desk.leases.forget_offer(self.stand.net, &terms.client);
            }
        })?;
        let (Want::Offered(address) | Want::Remembered(address) | Want::InUse(address)) = want;
        if matches!(want, Want::Remembered(_)) {
            waited(self.view, self.request, (self.stand.net, self.stand.subnet), 0, self.peer)?;
        }
        let ground = Ground { net: self.stand.net, shares: &terms.shares, taken: &terms.taken };
        let is_open = self.desk.leases.is_open_to(&ground, &terms.client, address, self.now);
        let is_own = terms.shares.iter().any(|share| share.contains(address));
        let known = self.desk.leases.of_address(self.stand.net, address).filter(|lease| lease.client == terms.client);
        let (is_known, holds) = (known.is_some(), known.is_some_and(|lease| lease.state == LeaseState::Active && lease.until > self.now));
        match want {
            // It took our own offer, or says so: whether it gets the address is ours to say.
            Want::Offered(_) if is_open => self.grant(terms, address, out),
            // With RFC 5107 every agent that the relay asks is called by the relay's address: it took another one's offer. And a copy
            // of its request that is late refuses nobody what runs still, though the share was given up meanwhile.
            Want::Offered(_) if !is_own && (holds || terms.policy.shares().any(|share| share.contains(address))) => {
                self.desk.leases.forget_offer(self.stand.net, &terms.client);
                Err(Reason::OthersShare)
            }
            Want::Offered(_) => self.refuse(out),
            _ if !self.stand.net.contains(&address) => self.refuse(out),
            _ if is_own && is_known && is_open => self.grant(terms, address, out),
            // Our own record says that it is somebody else's.
            _ if is_own && !is_open => self.refuse(out),
            _ if is_own => Err(Reason::NoRecord),
            _ => Err(Reason::OthersShare),
        }
    }

    fn grant(&mut self, terms: &Terms<'_>, address: Ipv4Addr, out: &mut Vec<u8>) -> Result<Outcome, Reason> {
        let name = self.name(terms, address);
        let outcome = self.reply(terms, Kind::Ack, address, name.as_ref(), out)?;
        let until = UnixMillis(self.now.0.saturating_add(u64::from(self.lease_secs(terms)) * 1000));
        let host_name = self.request.options.bytes(code::HOST_NAME).filter(|byte| *byte != 0).take(63).collect();
        self.desk.record = Some(self.desk.leases.grant(Lease {
            state: LeaseState::Active,
            net: self.stand.net,
            address,
            at: self.now,
            until,
            client: terms.client.clone(),
            htype: self.request.htype,
            chaddr: self.request.chaddr.to_vec(),
            host_name,
            told: self.now,
            name,
        }));
        Ok(outcome)
    }

    /// What DNS calls the client while it has the address: what it calls itself, where that is clean and nobody else's, what it was called
    /// before, where it does not say, else something after the address.
    fn name(&self, terms: &Terms<'_>, address: Ipv4Addr) -> Option<DomainName> {
        let zone = terms.zone.as_ref()?;
        let wished = match wish(self.request) {
            Wish::Nothing => return None,
            Wish::Label(label) => within(&label, zone),
            Wish::Open => self.named_before(terms, address).filter(|name| name.parent().as_ref() == Some(zone)),
        };
        let is_free = |name: &DomainName| self.desk.is_free(name, &terms.client, self.now);
        wished.filter(is_free).or_else(|| within(&generated(address), zone).filter(is_free))
    }

    fn named_before(&self, terms: &Terms<'_>, address: Ipv4Addr) -> Option<DomainName> {
        self.desk.leases.of_address(self.stand.net, address).filter(|lease| lease.client == terms.client)?.name.clone()
    }

    fn refuse(&mut self, out: &mut Vec<u8>) -> Result<Outcome, Reason> {
        let place = self.place(ReservationRef::bare(Ipv4Addr::UNSPECIFIED));
        answer_to(self.request, &place, self.peer, |composer| {
            composer.nak(out);
            Kind::Nak
        })
    }

    fn release(&mut self, terms: &Terms<'_>) -> Result<Outcome, Reason> {
        names_us(self.request, self.peer)?;
        self.desk.record = self.desk.leases.release(self.stand.net, &terms.client, self.request.ciaddr, self.now);
        Err(Reason::Released)
    }

    fn decline(&mut self, terms: &Terms<'_>) -> Result<Outcome, Reason> {
        names_us(self.request, self.peer)?;
        let address = self.request.options.address(code::REQUESTED_ADDRESS).ok_or(Reason::Unsupported)?;
        self.desk.record = self.desk.leases.decline(self.stand.net, &terms.client, address, self.now);
        if self.desk.record.is_none() {
            return Err(Reason::NoRecord);
        }
        Err(Reason::Declined)
    }

    /// A machine with a name is told it whole: label (12), domain (15), and both where it asks with option 81.
    fn reply(&mut self, terms: &Terms<'_>, kind: Kind, address: Ipv4Addr, name: Option<&DomainName>, out: &mut Vec<u8>) -> Result<Outcome, Reason> {
        let host_name = name.map(DomainName::without_dot).unwrap_or_default();
        let domain = name.and(terms.zone.as_ref()).map_or(vec![], |zone| option_bytes(code::DOMAIN_NAME, zone.without_dot().as_bytes()));
        let (place, lease_secs) = (self.place(ReservationRef::named(address, &host_name, &domain)), self.lease_secs(terms));
        answer_to(self.request, &place, self.peer, |composer| {
            Composer { lease_secs: Some(lease_secs), ..composer }.dhcp(kind, out);
            kind
        })
    }

    /// What a machine without a reservation is told: its subnet's options.
    fn place<'r>(&self, reservation: ReservationRef<'r>) -> Place<'r>
    where
        'a: 'r,
    {
        Place { net: self.stand.net, subnet: self.stand.subnet, reservation }
    }

    /// The subnet's, or less where the client wishes so or the subnet is in quarantine.
    fn lease_secs(&self, terms: &Terms<'_>) -> u32 {
        let said = || self.stand.subnet.options.iter().find(|(code, _)| *code == code::LEASE_TIME).and_then(|(_, data)| data?.try_into().ok());
        let subnets = || said().map_or(DEFAULT_LEASE_SECS, u32::from_be_bytes);
        let secs = if terms.policy.lease_secs == 0 { subnets() } else { terms.policy.lease_secs };
        let wished = self.request.options.fixed(code::LEASE_TIME).map_or(u32::MAX, u32::from_be_bytes);
        let secs = secs.min(wished.max(SHORTEST_LEASE_SECS));
        if terms.policy.unknown == Unknown::Quarantine { secs.min(QUARANTINE_LEASE_SECS) } else { secs }
    }
}
