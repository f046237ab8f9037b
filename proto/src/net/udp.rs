//! UDP on a wildcard address that still answers from the address and interface that each packet came to.
//!
//! Bound once, before there is a carrier or an address, and never again: an agent that boots with every cable out serves
//! as soon as the LAN is plugged in. A multi-homed box must not answer from another address than the one asked
//! (RFC 1123 section 2.3), so every packet carries its `Via` from `recv` to `send`.

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SetSockOpt, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, bind, recvmsg,
    sendmsg, setsockopt, socket, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::Interest;

/// A UDP socket that tells where each packet came in.
#[derive(Debug)]
pub struct UdpSocket {
    socket: tokio::net::UdpSocket,
    ipv6: bool,
}

/// What a socket is wanted for.
#[derive(Debug, Clone, Copy, Default)]
pub struct UdpOptions {
    /// Leave to send to broadcast addresses.
    pub broadcast: bool,
    /// Room for a burst, such as the boot storm after a power cut. The kernel may give less.
    pub receive_buffer_bytes: Option<usize>,
}

/// One packet's arrival.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// How many bytes of the buffer it filled.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it came in.
    pub via: Via,
}

/// The address and interface that a packet came to, and that its reply leaves from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Via {
    /// The local address, where the kernel told it.
    pub local: Option<IpAddr>,
    /// The interface's index; 0 leaves the choice to the routing table.
    pub interface: u32,
}

impl UdpSocket {
    /// Binds; must be called inside a tokio runtime. An IPv6 wildcard takes IPv6 only, so that both families can be bound side by side.
    pub fn bind(address: SocketAddr, options: UdpOptions) -> io::Result<Self> {
        let fd = open(address, options, SockFlag::SOCK_NONBLOCK, |_| Ok(()))?;
        let socket = tokio::net::UdpSocket::from_std(std::net::UdpSocket::from(fd))?;
        Ok(Self { socket, ipv6: address.is_ipv6() })
    }

    /// The address that was bound, with the port that the kernel chose for port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits for a packet.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.socket.async_io(Interest::READABLE, || self.try_recv(buffer)).await
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(nix::libc::in_pktinfo, nix::libc::in6_pktinfo);
        let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
        let via = message.cmsgs()?.find_map(via_of).unwrap_or_default();
        let from = message.address.as_ref().and_then(socket_addr).ok_or_else(|| io::Error::other("a packet came without a sender"))?;
        Ok(Received { len: message.bytes, from, via })
    }

    /// Sends a packet from the address and interface of `via`.
    pub async fn send(&self, packet: &[u8], to: SocketAddr, via: Via) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, || self.try_send(packet, to, via)).await
    }

    fn try_send(&self, packet: &[u8], to: SocketAddr, via: Via) -> io::Result<()> {
        let via = via.towards(to);
        let parts = [IoSlice::new(packet)];
        let to = SockaddrStorage::from(to);
        let fd = self.socket.as_raw_fd();
        let sent = if self.ipv6 {
            let info = nix::libc::in6_pktinfo { ipi6_addr: in6_addr(via.local), ipi6_ifindex: via.interface };
            sendmsg(fd, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], MsgFlags::empty(), Some(&to))?
        } else {
            let info = nix::libc::in_pktinfo { ipi_ifindex: via.interface as i32, ipi_spec_dst: in_addr(via.local), ipi_addr: in_addr(None) };
            sendmsg(fd, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], MsgFlags::empty(), Some(&to))?
        };
        if sent == packet.len() { Ok(()) } else { Err(io::Error::other("a packet was cut while it was sent")) }
    }
}

/// A socket bound to an address, that tells where each packet came in. `before_bind` sets what must be set by then.
pub(super) fn open(address: SocketAddr, options: UdpOptions, flags: SockFlag, before_bind: impl FnOnce(&OwnedFd) -> io::Result<()>) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = socket(family, SockType::Datagram, flags | SockFlag::SOCK_CLOEXEC, None)?;
    if address.is_ipv6() {
        set(&fd, sockopt::Ipv6V6Only, &true)?;
        set(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        set(&fd, sockopt::Ipv4PacketInfo, &true)?;
    }
    if options.broadcast {
        set(&fd, sockopt::Broadcast, &true)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        // Root may pass the system's limit; anyone else takes what the limit gives.
        if set(&fd, sockopt::RcvBufForce, &bytes).is_err() {
            set(&fd, sockopt::RcvBuf, &bytes)?;
        }
    }
    before_bind(&fd)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(fd)
}

impl Via {
    /// The way back to somebody: from the same address, and by the same interface where the peer's address means nothing without
    /// one. Everybody else is reached as the routes say: an interface that is named goes before them, and whoever lies behind a
    /// router would be sought on the wire.
    pub(super) fn towards(self, to: SocketAddr) -> Self {
        let is_on_the_wire = match to.ip() {
            IpAddr::V4(address) => address.is_link_local() || address.is_broadcast() || address.is_multicast(),
            IpAddr::V6(address) => address.is_unicast_link_local() || address.is_multicast(),
        };
        if is_on_the_wire { self } else { Self { interface: 0, ..self } }
    }
}

pub(super) fn set<O: SetSockOpt>(fd: &OwnedFd, option: O, value: &O::Val) -> io::Result<()> {
    Ok(setsockopt(fd, option, value)?)
}

pub(super) fn via_of(message: ControlMessageOwned) -> Option<Via> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            // `ipi_spec_dst` is ours even when the packet was broadcast, where `ipi_addr` is not.
            let local = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
            Some(Via { local: Some(local.into()).filter(|_| !local.is_unspecified()), interface: info.ipi_ifindex as u32 })
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let local = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            Some(Via { local: Some(local.into()).filter(|_| !local.is_multicast()), interface: info.ipi6_ifindex })
        }
        _ => None,
    }
}

pub(super) fn in_addr(address: Option<IpAddr>) -> nix::libc::in_addr {
    let bits = match address {
        Some(IpAddr::V4(v4)) => v4.to_bits(),
        _ => 0,
    };
    nix::libc::in_addr { s_addr: bits.to_be() }
}

pub(super) fn in6_addr(address: Option<IpAddr>) -> nix::libc::in6_addr {
    let octets = match address {
        Some(IpAddr::V6(v6)) => v6.octets(),
        _ => [0; 16],
    };
    nix::libc::in6_addr { s6_addr: octets }
}

pub(super) fn socket_addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4: &SockaddrIn| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6: &SockaddrIn6| SocketAddr::from((v6.ip(), v6.port()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wildcard_socket_answers_from_the_address_that_was_asked() {
        let server = UdpSocket::bind("0.0.0.0:0".parse().unwrap(), UdpOptions::default()).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"question", ("127.0.0.7", port)).await.unwrap();
        let mut buffer = [0; 64];
        let received = server.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..received.len], b"question");
        server.send(b"answer", received.from, received.via).await.unwrap();
        let (len, from) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..len], from), (&b"answer"[..], SocketAddr::from(([127, 0, 0, 7], port))));
    }

    #[tokio::test]
    async fn the_same_over_ipv6() {
        let server = UdpSocket::bind("[::]:0".parse().unwrap(), UdpOptions::default()).unwrap();
        let port = server.local_addr().unwrap().port();
        let client = tokio::net::UdpSocket::bind("[::1]:0").await.unwrap();
        client.send_to(b"question", ("::1", port)).await.unwrap();
        let mut buffer = [0; 64];
        let received = server.recv(&mut buffer).await.unwrap();
        server.send(b"answer", received.from, received.via).await.unwrap();
        let (_, from) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!(from, SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    }
}
