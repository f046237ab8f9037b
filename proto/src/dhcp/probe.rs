//! Whether a server answers BOOTP: a reservation that it should have, asked for as a relay would.
//!
//! The reply comes back to the asker's own port (RFC 8357), so that no port 67 is needed; the subnet is named by link
//! selection (RFC 3527), as the asker stands elsewhere, and `secs` says that it has waited long. BOOTP is asked, because it never changes anything.

use super::code;
use super::message::{BOOTREPLY, BOOTREQUEST, HEADER_BYTES, Message, OPTIONS_COOKIE};
use super::reply::SHORTEST_REPLY_BYTES;
use super::table::{RESERVATION, ReservationRef};
use crate::snapshot::View;
use std::net::Ipv4Addr;

/// Reservations that are looked at for one that is answered at once: those with a waiting time are passed over.
const LOOKED_AT: usize = 64;
/// A reservation's key: prefix length, network, hardware type, hardware address.
const NETWORK_AT: usize = 1;
const HARDWARE_AT: usize = 5;

/// A request for the first suitable reservation of the view, to be sent from `relay`; `None` where there is none.
pub fn question(view: &View, relay: Ipv4Addr, xid: [u8; 4]) -> Option<Vec<u8>> {
    let suitable = |(_, value): &(&[u8], &[u8])| ReservationRef::read(value).is_ok_and(|row| row.wait_secs == 0);
    let (key, _) = view.iter(RESERVATION).take(LOOKED_AT).filter_map(Result::ok).find(suitable)?;
    let network = key.get(NETWORK_AT..)?.first_chunk::<4>()?;
    let (&htype, chaddr) = key.get(HARDWARE_AT..)?.split_first()?;
    let mut out = vec![BOOTREQUEST, htype, u8::try_from(chaddr.len()).ok()?, 1];
    out.extend_from_slice(&xid);
    // As one that has waited long: an agent of another campus would wait for the one at home.
    out.extend_from_slice(&[u8::MAX; 2]);
    out.resize(24, 0);
    out.extend_from_slice(&relay.octets());
    out.extend_from_slice(chaddr);
    out.resize(HEADER_BYTES, 0);
    out.extend_from_slice(&OPTIONS_COOKIE);
    out.extend_from_slice(&[code::RELAY_AGENT, 8, code::LINK_SELECTION, 4]);
    out.extend_from_slice(network);
    out.extend_from_slice(&[code::RELAY_SOURCE_PORT, 0, code::END]);
    out.resize(SHORTEST_REPLY_BYTES, 0);
    Some(out)
}

/// Whether this answers the question with an address.
pub fn is_answer(question: &[u8], reply: &[u8]) -> bool {
    let (Ok(question), Ok(reply)) = (Message::parse(question), Message::parse(reply)) else { return false };
    reply.op == BOOTREPLY && reply.xid == question.xid && reply.chaddr == question.chaddr && !reply.yiaddr.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::table::{Reservation, SUBNET, SubnetRow, reservation_key, subnet_key};
    use crate::dhcp::{Destination, Kind, Outcome, Peer, answer};
    use crate::snapshot::{Change, Feed, State};

    fn view() -> View {
        let net = "10.1.4.0/22".parse().unwrap();
        let reservation = |last, wait_secs| {
            let address = Ipv4Addr::new(10, 1, 4, last);
            let row = Reservation {
                address,
                host_name: "a".into(),
                send_host_name: false,
                next_server: None,
                server_name: String::new(),
                boot_file: String::new(),
                wait_secs,
                options: vec![],
            };
            Change::put(RESERVATION, reservation_key(net, 1, &[2, 0, 0, 0, 0, last]), row.encode())
        };
        let subnet = Change::put(SUBNET, subnet_key(net), SubnetRow::default().encode());
        State::empty(Feed::BOOTPTAB).compose(vec![subnet, reservation(7, 9), reservation(8, 0)]).unwrap().unwrap().into_view()
    }

    #[test]
    fn our_own_server_answers_to_the_port_that_was_asked_from() {
        let (view, relay) = (view(), Ipv4Addr::new(192, 0, 2, 9));
        let question = question(&view, relay, [1, 2, 3, 4]).unwrap();
        let mut reply = Vec::new();
        let peer = Peer {
            from: (relay, 40_000).into(),
            local: Some(Ipv4Addr::new(10, 1, 4, 2)),
            interface_addresses: &[],
            server_name: "",
            standing: crate::dhcp::Standing { campus: "elsewhere", ..Default::default() },
        };
        let outcome = answer(&view, &question, peer, &mut reply);
        assert_eq!(outcome, Outcome::Replied { kind: Kind::Bootp, to: Destination::Relay(relay, 40_000) });
        assert!(is_answer(&question, &reply));
        reply[4] ^= 1;
        assert!(!is_answer(&question, &reply) && !is_answer(&question, &question) && !is_answer(&question, &[]));
        assert_eq!(super::question(&View::empty(Feed::BOOTPTAB), relay, [0; 4]), None);
    }
}
