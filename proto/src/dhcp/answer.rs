//! The decision over reserved hosts: who is told what, who is refused, and when to say nothing.
//!
//! Why it exists: any agent may answer for any reserved host, because the answer is a function of the signed rows and
//! of the packet alone. What it refuses: to guess. An unknown host gets silence, since another server may know it; a NAK
//! goes only to a host whose reservation on this very subnet says otherwise. How: the packet is read, its place found,
//! and what the client is doing told apart by options 54 and 50 and by `ciaddr` (RFC 2131 section 4.3.2).

use super::code::{self, Kind};
use super::compose::Composer;
use super::cover::Standing;
use super::message::{BOOTREQUEST, Message};
use super::place::{Found, Place, Stand, is_unicast};
use super::table::SubnetRef;
use crate::snapshot::{Damaged, View};
use ipnet::Ipv4Net;
use std::net::{Ipv4Addr, SocketAddr};

/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;
/// Where servers and relays listen.
pub const SERVER_PORT: u16 = 67;

/// Hardware type of Ethernet (RFC 1700).
const ETHERNET: u8 = 1;
/// The bit of a hardware address that makes it more than one machine's.
const GROUP_BIT: u8 = 1;

/// Who asks, and on which of our doors.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// The packet's source.
    pub from: SocketAddr,
    /// The address of ours that the packet came to; for a broadcast, one that the system would answer from.
    pub local: Option<Ipv4Addr>,
    /// The addresses of the interface that it came in on.
    pub interface_addresses: &'a [Ipv4Addr],
    /// Our own host name, for BOOTP clients that ask for one server (RFC 951 section 3, `sname`).
    pub server_name: &'a str,
    /// At home, or in place of somebody else.
    pub standing: Standing<'a>,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `out` holds the reply.
    Replied {
        /// Its kind, for counters; [`Kind::Bootp`] for BOOTP.
        kind: Kind,
        /// Where it goes.
        to: Destination,
    },
    /// Nothing is sent.
    Silent(Reason),
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the relay: port 67, or the port that it asked from (RFC 8357).
    Relay(Ipv4Addr, u16),
    /// To a client that has its address and answers ARP, port 68.
    Unicast(Ipv4Addr, u16),
    /// To a client on our own wire that has no address yet but takes a unicast, port 68.
    Hardware {
        /// The address that it is getting.
        address: Ipv4Addr,
        /// Its hardware address, of Ethernet.
        mac: [u8; 6],
        /// Our own address, as the client sees us.
        server: Ipv4Addr,
    },
    /// To 255.255.255.255, port 68, on the interface that the request came in on.
    BroadcastOnArrivalInterface,
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No BOOTP header, or a hardware address that cannot be.
    Malformed,
    /// Another server's reply.
    NotRequest,
    /// An unknown message type, or a REQUEST that asks for nothing.
    Unsupported,
    /// The relay's address is no host's address.
    BadRelay,
    /// It was broadcast to one subnet from outside, which no router should pass; counted by the loop, never answered.
    DirectedBroadcast,
    /// The place that the packet comes from is on no subnet of ours.
    UnknownSubnet,
    /// Nothing is reserved for this host there.
    UnknownHost,
    /// The interface has no address yet to answer from.
    NoAddress,
    /// A BOOTP client wants the server of another name.
    OtherServerName,
    /// The client took another server's offer.
    OtherServer,
    /// The client has not waited long enough: for this host (bootptab `mw`), or for the agent of its own campus.
    TooEarly,
    /// All addresses of this agent's share are lent.
    NoFreeAddress,
    /// What can be lent here is another agent's to lend.
    OthersShare,
    /// The client speaks of a lease that this agent never gave.
    NoRecord,
    /// The client says that its address is in use by somebody else.
    Declined,
    /// The client gave its address back; the reservation stays.
    Released,
    /// The disk takes no lease, so none is offered: another agent's disk may.
    LeaseLogFails,
    /// What the disk has lost or altered must not look like "unknown": another agent may know better.
    DamagedSnapshot,
}

impl From<Damaged> for Reason {
    fn from(_: Damaged) -> Self {
        Self::DamagedSnapshot
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::Malformed,
        Self::NotRequest,
        Self::Unsupported,
        Self::BadRelay,
        Self::DirectedBroadcast,
        Self::UnknownSubnet,
        Self::UnknownHost,
        Self::NoAddress,
        Self::OtherServerName,
        Self::OtherServer,
        Self::TooEarly,
        Self::NoFreeAddress,
        Self::OthersShare,
        Self::NoRecord,
        Self::Declined,
        Self::Released,
        Self::LeaseLogFails,
        Self::DamagedSnapshot,
    ];

    /// The stable word for counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotRequest => "not_request",
            Self::Unsupported => "unsupported",
            Self::BadRelay => "bad_relay",
            Self::DirectedBroadcast => "directed_broadcast",
            Self::UnknownSubnet => "unknown_subnet",
            Self::UnknownHost => "unknown_host",
            Self::NoAddress => "no_address",
            Self::OtherServerName => "other_server_name",
            Self::OtherServer => "other_server",
            Self::TooEarly => "too_early",
            Self::NoFreeAddress => "no_free_address",
            Self::OthersShare => "others_share",
            Self::NoRecord => "no_record",
            Self::Declined => "declined",
            Self::Released => "released",
            Self::LeaseLogFails => "lease_log_fails",
            Self::DamagedSnapshot => "damaged_snapshot",
        }
    }
}

/// What a DHCP client wants with its REQUEST (RFC 2131 section 4.3.2), and the address that it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// SELECTING: it takes an offer.
    Offered(Ipv4Addr),
    /// INIT-REBOOT: it had this address before.
    Remembered(Ipv4Addr),
    /// RENEWING or REBINDING: it uses this address. Without leases both get the same answer.
    InUse(Ipv4Addr),
}

/// What the rows alone say to a packet.
pub(super) enum Decided<'a> {
    /// All there is to say.
    Done(Outcome),
    /// Its subnet is ours, and nobody registered it there.
    Stranger(Stand<'a>),
}

/// Answers one packet from the rows alone: reserved hosts. The reply, if any, is left in `out`, whose room is used again.
pub fn answer(view: &View, packet: &[u8], peer: Peer<'_>, out: &mut Vec<u8>) -> Outcome {
    out.clear();
    let Ok(request) = Message::parse(packet) else { return Outcome::Silent(Reason::Malformed) };
    match decide(view, &request, &peer, out) {
        Ok(Decided::Done(outcome)) => outcome,
        Ok(Decided::Stranger(_)) => Outcome::Silent(Reason::UnknownHost),
        Err(reason) => Outcome::Silent(reason),
    }
}

pub(super) fn decide<'a>(view: &'a View, request: &Message<'_>, peer: &Peer<'_>, out: &mut Vec<u8>) -> Result<Decided<'a>, Reason> {
    if request.op != BOOTREQUEST {
        return Err(Reason::NotRequest);
    }
    let kind = request.kind();
    if !matches!(kind, Kind::Bootp | Kind::Discover | Kind::Request | Kind::Inform | Kind::Decline | Kind::Release) {
        return Err(Reason::Unsupported);
    }
    if !request.giaddr.is_unspecified() && !is_unicast(view, request.giaddr) {
        return Err(Reason::BadRelay);
    }
    let place = match Place::of(view, request, peer)? {
        Found::Host(place) => place,
        Found::Stranger(stand) => return Ok(Decided::Stranger(stand)),
    };
    let wait = || waited(view, request, (place.net, place.subnet), place.reservation.wait_secs, peer);
    let outcome = match kind {
        Kind::Bootp => {
            named(request, &place, peer)?;
            wait()?;
            answer_to(request, &place, peer, |composer| {
                composer.bootp(out);
                Kind::Bootp
            })
        }
        Kind::Request => {
            let want = want_of(request, peer)?;
            // A client that took our offer, or that renews, asks us; only the others ask everybody.
            if matches!(want, Want::Remembered(_)) {
                wait()?;
            }
            answer_to(request, &place, peer, |composer| grant(&composer, want, out))
        }
        Kind::Discover => {
            wait()?;
            answer_to(request, &place, peer, |composer| send(&composer, Kind::Offer, out))
        }
        Kind::Decline => Err(declined(request, &place, peer)?),
        Kind::Release => Err(Reason::Released),
        _ => answer_to(request, &place, peer, |composer| send(&composer, Kind::Ack, out)),
    };
    outcome.map(Decided::Done)
}

/// A client that found its address in use says so to whoever told it of the address.
fn declined(request: &Message<'_>, place: &Place<'_>, peer: &Peer<'_>) -> Result<Reason, Reason> {
    let is_its_own = request.options.address(code::REQUESTED_ADDRESS) == Some(place.reservation.address);
    Ok(if names_us(request, peer)? && is_its_own { Reason::Declined } else { Reason::NoRecord })
}

/// Composes a reply and finds its way.
pub(super) fn answer_to<'a>(
    request: &'a Message<'a>,
    place: &'a Place<'a>,
    peer: &Peer<'_>,
    compose: impl FnOnce(Composer<'a>) -> Kind,
) -> Result<Outcome, Reason> {
    let server = server_address(request, place, peer).ok_or(Reason::NoAddress)?;
    let composer = Composer { request, place, server, lease_secs: None };
    let to = |kind| destination(request, place, server, peer.from.port(), kind);
    let kind = compose(composer);
    Ok(Outcome::Replied { kind, to: to(kind) })
}

/// RFC 951 section 3: a client may want the server of one name.
fn named(request: &Message<'_>, place: &Place<'_>, peer: &Peer<'_>) -> Result<(), Reason> {
    let (asked, ours) = (request.sname, place.reservation.server_name);
    let is_meant = asked.is_empty() || [peer.server_name, first_label(peer.server_name), ours].iter().any(|name| asked.eq_ignore_ascii_case(name.as_bytes()));
    if is_meant { Ok(()) } else { Err(Reason::OtherServerName) }
}

fn grant(composer: &Composer<'_>, want: Want, out: &mut Vec<u8>) -> Kind {
    let (Want::Offered(address) | Want::Remembered(address) | Want::InUse(address)) = want;
    if address != composer.place.reservation.address {
        composer.nak(out);
        return Kind::Nak;
    }
    send(composer, Kind::Ack, out)
}

fn send(composer: &Composer<'_>, kind: Kind, out: &mut Vec<u8>) -> Kind {
    composer.dhcp(kind, out);
    kind
}

/// Whether a client that asks everybody has asked for long enough: for this host (bootptab `mw`), and for an agent of another campus.
pub(super) fn waited(view: &View, request: &Message<'_>, (net, subnet): (Ipv4Net, SubnetRef<'_>), own_secs: u16, peer: &Peer<'_>) -> Result<(), Reason> {
    let needed = own_secs.max(peer.standing.wait_secs(view, net, subnet.campus)?);
    let elapsed = request.elapsed_secs().max(peer.standing.heard_for_secs);
    if elapsed >= needed { Ok(()) } else { Err(Reason::TooEarly) }
}

pub(super) fn want_of(request: &Message<'_>, peer: &Peer<'_>) -> Result<Want, Reason> {
    let requested = request.options.address(code::REQUESTED_ADDRESS);
    let in_use = Some(request.ciaddr).filter(|address| !address.is_unspecified());
    if names_us(request, peer)? {
        return requested.or(in_use).map(Want::Offered).ok_or(Reason::Unsupported);
    }
    in_use.map(Want::InUse).or(requested.map(Want::Remembered)).ok_or(Reason::Unsupported)
}

/// Whether the client speaks to one server, which is us. An error where it speaks to another one, or where its name is torn.
pub(super) fn names_us(request: &Message<'_>, peer: &Peer<'_>) -> Result<bool, Reason> {
    if !request.options.has(code::SERVER_IDENTIFIER) {
        return Ok(false);
    }
    let server = request.options.address(code::SERVER_IDENTIFIER).ok_or(Reason::Unsupported)?;
    let is_relays = !request.giaddr.is_unspecified() && request.options.relay_address(code::SERVER_IDENTIFIER_OVERRIDE) == Some(server);
    let is_ours = is_relays || peer.local == Some(server) || peer.interface_addresses.contains(&server);
    if is_ours { Ok(true) } else { Err(Reason::OtherServer) }
}

/// Who we are to this client: what the relay wants us to be, an address on its own subnet if it is on our wire, or the one that
/// the relay asked.
fn server_address(request: &Message<'_>, place: &Place<'_>, peer: &Peer<'_>) -> Option<Ipv4Addr> {
    // RFC 5107: renewals are to pass through the relay, so the client must take it for the server.
    let relay = request.options.relay_address(code::SERVER_IDENTIFIER_OVERRIDE).filter(|_| !request.giaddr.is_unspecified());
    let neighbour = peer.interface_addresses.iter().copied().find(|address| place.net.contains(address));
    let neighbour = neighbour.filter(|_| request.giaddr.is_unspecified());
    relay.or(neighbour).or(peer.local).or(peer.interface_addresses.first().copied())
}

/// RFC 2131 section 4.1 for DHCP, RFC 1542 section 5.4 for BOOTP.
fn destination(request: &Message<'_>, place: &Place<'_>, server: Ipv4Addr, from_port: u16, reply: Kind) -> Destination {
    let port = if request.options.relay_sub_option(code::RELAY_SOURCE_PORT).is_some() { from_port } else { SERVER_PORT };
    let relay = Some(request.giaddr).filter(|relay| !relay.is_unspecified()).map(|relay| Destination::Relay(relay, port));
    let client = Some(request.ciaddr).filter(|client| place.can_hold(*client)).map(|client| Destination::Unicast(client, CLIENT_PORT));
    let to = match (reply, request.kind()) {
        (Kind::Nak, _) => relay,
        (_, Kind::Inform) => client.or(relay),
        (Kind::Bootp, _) => client.or(relay).or_else(|| hardware(request, place, server)),
        _ => relay.or(client).or_else(|| hardware(request, place, server)),
    };
    to.unwrap_or(Destination::BroadcastOnArrivalInterface)
}

/// A client that sets no B flag takes a frame with its hardware address, though it cannot answer ARP yet.
fn hardware(request: &Message<'_>, place: &Place<'_>, server: Ipv4Addr) -> Option<Destination> {
    let mac: [u8; 6] = request.chaddr.try_into().ok().filter(|_| request.htype == ETHERNET)?;
    let is_one = mac[0] & GROUP_BIT == 0 && mac != [0; 6];
    (is_one && !request.wants_broadcast()).then_some(Destination::Hardware { address: place.reservation.address, mac, server })
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
