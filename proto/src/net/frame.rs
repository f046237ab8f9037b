//! One datagram in one Ethernet frame, to a machine that has no address yet and so cannot be asked for its hardware address.
//!
//! Why it exists: a client that boots can take a unicast before it has its address, and a broadcast would wake every machine on
//! the wire. What it refuses: to listen. The socket is for sending only, so that it costs nothing while others talk. How: the
//! kernel tells each interface's link-layer address, which is also what a packet socket wants as the place to send by.

use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// EtherType of IPv4 (RFC 894).
const IPV4: [u8; 2] = [0x08, 0x00];
const UDP: u8 = 17;
/// As other servers of this protocol have it; nobody is further away than the wire.
const TIME_TO_LIVE: u8 = 64;
/// Hardware type of Ethernet, as the kernel names it.
const ETHERNET_TYPE: u16 = 1;

/// Sends frames.
#[derive(Debug)]
pub struct FrameSocket(OwnedFd);

impl FrameSocket {
    /// Needs the capability CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        // Without a protocol nothing is received.
        Ok(Self(socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?))
    }

    /// Sends a datagram to a hardware address by an interface, `link` as `getifaddrs` told it.
    pub fn send(&self, link: &LinkAddr, to_mac: [u8; 6], addresses: (SocketAddrV4, SocketAddrV4), payload: &[u8]) -> io::Result<()> {
        let from_mac = link.addr().filter(|_| is_ethernet(link)).ok_or(io::ErrorKind::Unsupported)?;
        let frame = frame(from_mac, to_mac, addresses, payload).ok_or(io::ErrorKind::InvalidInput)?;
        let sent = sendto(self.0.as_raw_fd(), &frame, link, MsgFlags::MSG_DONTWAIT)?;
        if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// Whether frames of ours fit onto this link.
pub fn is_ethernet(link: &LinkAddr) -> bool {
    link.hatype() == ETHERNET_TYPE && link.halen() == 6
}

/// `None` where the payload is longer than a datagram can be.
fn frame(from_mac: [u8; 6], to_mac: [u8; 6], (from, to): (SocketAddrV4, SocketAddrV4), payload: &[u8]) -> Option<Vec<u8>> {
    let udp_len = u16::try_from(UDP_BYTES + payload.len()).ok()?;
    let ip_len = udp_len.checked_add(IPV4_BYTES as u16)?;
    let mut out = Vec::with_capacity(ETHERNET_BYTES + usize::from(ip_len));
    out.extend_from_slice(&to_mac);
    out.extend_from_slice(&from_mac);
    out.extend_from_slice(&IPV4);
    // RFC 791: version 4, five words; not to be fragmented, as the client could not join.
    out.extend_from_slice(&[0x45, 0x10]);
    out.extend_from_slice(&ip_len.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0x40, 0, TIME_TO_LIVE, UDP, 0, 0]);
    out.extend_from_slice(&from.ip().octets());
    out.extend_from_slice(&to.ip().octets());
    let sum = checksum(&out[ETHERNET_BYTES..], 0);
    out[ETHERNET_BYTES + 10..ETHERNET_BYTES + 12].copy_from_slice(&sum.to_be_bytes());
    let udp_at = out.len();
    [from.port(), to.port(), udp_len, 0].iter().for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
    out.extend_from_slice(payload);
    // RFC 768: over the addresses, the protocol and the length as well; a sum of zero is sent as all ones.
    let pseudo = [from.ip().octets(), to.ip().octets(), [0, UDP, udp_len.to_be_bytes()[0], udp_len.to_be_bytes()[1]]].concat();
    let sum = checksum(&out[udp_at..], words(&pseudo));
    out[udp_at + 6..udp_at + 8].copy_from_slice(&if sum == 0 { u16::MAX } else { sum }.to_be_bytes());
    Some(out)
}

/// RFC 1071.
fn checksum(bytes: &[u8], add: u32) -> u16 {
    let mut sum = words(bytes) + add;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sum of the words of at most a datagram, which 32 bits hold.
fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_proves_its_sums() {
        let (from, to) = ("10.1.4.2:67".parse().unwrap(), "10.1.4.10:68".parse().unwrap());
        for payload in [&b"odd"[..], b"even", b""] {
            let frame = frame([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], (from, to), payload).unwrap();
            assert_eq!((&frame[..6], &frame[12..16]), (&[2, 0, 0, 0, 0, 2][..], &[8, 0, 0x45, 0x10][..]));
            let (ip, udp) = frame[14..].split_at(20);
            assert_eq!(checksum(ip, 0), 0, "a header with its sum sums to nothing");
            let pseudo = [&ip[12..20], &[0, 17], &udp[4..6]].concat();
            assert_eq!(checksum(udp, words(&pseudo)), 0);
            assert_eq!((&udp[8..], usize::from(u16::from_be_bytes([ip[2], ip[3]]))), (payload, frame.len() - 14));
        }
    }

    #[test]
    fn what_fits_no_datagram_is_no_frame() {
        let nobody = "0.0.0.0:0".parse().unwrap();
        assert_eq!(frame([0; 6], [0; 6], (nobody, nobody), &vec![0; 65_536]), None);
    }
}
