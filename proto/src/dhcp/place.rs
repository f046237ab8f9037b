//! Where a client stands: its subnet, what the subnet says, and its reservation there.

use super::answer::{Peer, Reason};
use super::code;
use super::message::Message;
use super::table::{ReservationRef, SubnetRef, reservation_of, subnet_of};
use crate::snapshot::View;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// A client's subnet and its reservation on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) net: Ipv4Net,
    pub(super) subnet: SubnetRef<'a>,
    pub(super) reservation: ReservationRef<'a>,
}

/// A subnet that is ours, and the client's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stand<'a> {
    pub(super) net: Ipv4Net,
    pub(super) subnet: SubnetRef<'a>,
}

/// Who stands there.
pub(super) enum Found<'a> {
    /// A machine with a reservation.
    Host(Place<'a>),
    /// One without.
    Stranger(Stand<'a>),
}

impl<'a> Place<'a> {
    /// The relay knows best where the client is, then the client itself, then the wire that the packet came on
    /// (RFC 2131 section 4.3.1). Several subnets may share that wire: one with a reservation is taken.
    pub(super) fn of(view: &'a View, request: &Message<'_>, peer: &Peer<'_>) -> Result<Found<'a>, Reason> {
        if !request.giaddr.is_unspecified() {
            // RFC 3527: the relay's own address may lie elsewhere. Where it lies in no subnet of ours, only who has that address
            // says so: replies go there, and nobody else may send them.
            let is_known = || peer.from.ip() == request.giaddr || subnet_of(view, request.giaddr).is_ok_and(|found| found.is_some());
            let link = request.options.relay_address(code::LINK_SELECTION).filter(|_| is_known()).unwrap_or(request.giaddr);
            Self::among(view, request, &[link])
        } else if !request.ciaddr.is_unspecified() {
            Self::among(view, request, &[request.ciaddr])
        } else {
            Self::among(view, request, peer.interface_addresses)
        }
    }

    fn among(view: &'a View, request: &Message<'_>, addresses: &[Ipv4Addr]) -> Result<Found<'a>, Reason> {
        let mut stranger = None;
        for address in addresses {
            let Some((net, subnet)) = subnet_of(view, *address)? else { continue };
            if let Some(reservation) = reservation_of(view, net, request.htype, request.chaddr)? {
                return Ok(Found::Host(Self { net, subnet, reservation }));
            }
            stranger = stranger.or(Some(Stand { net, subnet }));
        }
        stranger.map(Found::Stranger).ok_or(Reason::UnknownSubnet)
    }

    /// Whether a packet may be sent to this address as one of the subnet's hosts.
    pub(super) fn can_hold(&self, address: Ipv4Addr) -> bool {
        let wide = self.net.prefix_len() >= 31;
        self.net.contains(&address) && (wide || (address != self.net.network() && address != self.net.broadcast()))
    }
}

/// An address that answers can be sent to; others would make us shout at strangers.
pub(super) fn is_unicast(view: &View, address: Ipv4Addr) -> bool {
    let group = address.is_multicast() || address.octets()[0] >= 240 || address.octets()[0] == 0;
    let shout = subnet_of(view, address).ok().flatten().is_some_and(|(net, _)| net.prefix_len() < 31 && address == net.broadcast());
    !group && !shout
}
