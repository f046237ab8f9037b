//! IPv4 datagrams by the batch: one system call takes all that has come, one sends all answers that leave from the same address.
//!
//! Why it exists: BOOTP is asked by whole buildings at once when the power comes back, and a call for each packet costs more than
//! its answer. The one socket is bound to the wildcard, so that a broadcast arrives once whatever interfaces there are, and no
//! carrier, address or interface has to be there yet; each packet brings where it came in. What it refuses: to wait for long.
//! Both directions block, for a thread of the caller's own, and both give up after a while.

use nix::libc::in_pktinfo;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SetSockOpt, SockFlag, SockType, SockaddrIn, bind, getsockname, recvmmsg,
    sendmmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

/// Datagrams in one call.
pub const BATCH: usize = 64;
/// How long a receive waits: as long as its thread may take to see that it is to end.
const RECEIVE_LIMIT_MS: i64 = 200;
/// How long a reply may wait for room in the socket before the next client matters more.
const SEND_LIMIT_MS: i64 = 100;

/// A socket for datagrams in batches.
#[derive(Debug)]
pub struct Datagrams(OwnedFd);

/// Where a datagram came in, and where its answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Door {
    /// Our address that it came to; for a broadcast, one that the system would answer from.
    pub local: Option<Ipv4Addr>,
    /// The interface's index; 0 leaves the choice to the routing table.
    pub interface: u32,
}

/// One datagram's arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// Whom it was sent to: an address of ours or a broadcast.
    pub to: Ipv4Addr,
    /// Where it came in.
    pub door: Door,
    len: usize,
}

/// Room for what comes in one call.
#[derive(Debug)]
pub struct Inbox {
    buffers: Vec<Vec<u8>>,
    arrived: Vec<Arrival>,
}

/// A datagram on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// What it says.
    pub packet: Vec<u8>,
    /// Whom to.
    pub to: SocketAddrV4,
    /// Where it leaves.
    pub door: Door,
}

impl Inbox {
    /// Room for datagrams of at most so many bytes; longer ones are cut.
    pub fn new(bytes: usize) -> Self {
        Self { buffers: vec![vec![0; bytes]; BATCH], arrived: Vec::with_capacity(BATCH) }
    }

    /// What came with the last call, in its order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Arrival)> {
        self.buffers.iter().zip(&self.arrived).map(|(buffer, arrival)| (&buffer[..arrival.len], *arrival))
    }
}

impl Datagrams {
    /// Binds. `receive_buffer_bytes` is room for a burst; the kernel may give less.
    pub fn bind(address: SocketAddrV4, receive_buffer_bytes: usize) -> io::Result<Self> {
        let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        set(&fd, sockopt::Ipv4PacketInfo, &true)?;
        set(&fd, sockopt::Broadcast, &true)?;
        set(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(RECEIVE_LIMIT_MS))?;
        set(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(SEND_LIMIT_MS))?;
        // Root may pass the system's limit; anyone else takes what the limit gives.
        if set(&fd, sockopt::RcvBufForce, &receive_buffer_bytes).is_err() {
            set(&fd, sockopt::RcvBuf, &receive_buffer_bytes)?;
        }
        bind(fd.as_raw_fd(), &SockaddrIn::from(address))?;
        Ok(Self(fd))
    }

    /// The address that was bound, with the port that the kernel chose for port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddrV4> {
        let bound: SockaddrIn = getsockname(self.0.as_raw_fd())?;
        Ok(SocketAddrV4::new(bound.ip(), bound.port()))
    }

    /// Waits for at least one datagram, and takes all that have come with it. Nothing where none came for a while.
    pub fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.arrived.clear();
        let Inbox { buffers, arrived } = inbox;
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(nix::cmsg_space!(in_pktinfo)));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        match recvmmsg(self.0.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(messages) => {
                for message in messages {
                    let (to, door) = message.cmsgs()?.find_map(door_of).unwrap_or((Ipv4Addr::UNSPECIFIED, Door::default()));
                    let from = message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), |from| SocketAddrV4::new(from.ip(), from.port()));
                    arrived.push(Arrival { from, to, door, len: message.bytes });
                }
                Ok(())
            }
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(()),
            Err(wrong) => Err(wrong.into()),
        }
    }

    /// Sends all of these. Tells of each that could not be sent, and goes on behind it.
    pub fn send(&self, outgoing: &[Outgoing], mut failed: impl FnMut(&Outgoing, io::Error)) {
        // One call has one address to leave from: relays ask one address of ours, so nearly always this is one call.
        for same_door in outgoing.chunk_by(|one, next| one.door == next.door).flat_map(|group| group.chunks(BATCH)) {
            let mut rest = same_door;
            while let Some((first, behind)) = rest.split_first() {
                match self.send_together(rest) {
                    Ok(sent @ 1..) => rest = rest.get(sent..).unwrap_or_default(),
                    Ok(0) => {
                        failed(first, io::ErrorKind::WriteZero.into());
                        rest = behind;
                    }
                    Err(wrong) => {
                        failed(first, wrong);
                        rest = behind;
                    }
                }
            }
        }
    }

    /// How many of these, which leave by the same door, were taken; an error is the first one's.
    fn send_together(&self, outgoing: &[Outgoing]) -> io::Result<usize> {
        let door = outgoing.first().map(|first| first.door).unwrap_or_default();
        let address = |address: Option<Ipv4Addr>| nix::libc::in_addr { s_addr: address.map_or(0, |address| address.to_bits().to_be()) };
        let info = in_pktinfo { ipi_ifindex: door.interface as i32, ipi_spec_dst: address(door.local), ipi_addr: address(None) };
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(outgoing.len(), Some(nix::cmsg_space!(in_pktinfo)));
        let slices: Vec<[IoSlice<'_>; 1]> = outgoing.iter().map(|datagram| [IoSlice::new(&datagram.packet)]).collect();
        let addresses: Vec<Option<SockaddrIn>> = outgoing.iter().map(|datagram| Some(SockaddrIn::from(datagram.to))).collect();
        let sent = sendmmsg(self.0.as_raw_fd(), &mut headers, &slices, &addresses, [ControlMessage::Ipv4PacketInfo(&info)], MsgFlags::empty())?;
        Ok(sent.count())
    }
}

fn set<O: SetSockOpt>(fd: &OwnedFd, option: O, value: &O::Val) -> io::Result<()> {
    Ok(setsockopt(fd, option, value)?)
}

fn door_of(message: ControlMessageOwned) -> Option<(Ipv4Addr, Door)> {
    let ControlMessageOwned::Ipv4PacketInfo(info) = message else { return None };
    // `ipi_spec_dst` is ours even when the packet was broadcast, where `ipi_addr` is not.
    let [local, to] = [info.ipi_spec_dst, info.ipi_addr].map(|address| Ipv4Addr::from(u32::from_be(address.s_addr)));
    Some((to, Door { local: Some(local).filter(|local| !local.is_unspecified()), interface: info.ipi_ifindex as u32 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (Datagrams, SocketAddrV4) {
        let socket = Datagrams::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), 1 << 20).unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    /// All of what comes until `count` are there.
    fn take(socket: &Datagrams, count: usize) -> Vec<(Vec<u8>, Arrival)> {
        let (mut inbox, mut taken) = (Inbox::new(64), Vec::new());
        while taken.len() < count {
            socket.receive(&mut inbox).unwrap();
            taken.extend(inbox.iter().map(|(packet, arrival)| (packet.to_vec(), arrival)));
        }
        taken
    }

    #[test]
    fn many_are_taken_and_answered_from_the_address_that_was_asked() {
        let (server, at) = socket();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let asked = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 7), at.port());
        for number in 0..100u8 {
            client.send_to(&[number], if number < 50 { at } else { asked }).unwrap();
        }
        let taken = take(&server, 100);
        let outgoing: Vec<Outgoing> = taken.into_iter().map(|(packet, arrival)| Outgoing { packet, to: arrival.from, door: arrival.door }).collect();
        server.send(&outgoing, |_, wrong| panic!("{wrong}"));
        for number in 0..100u8 {
            let mut reply = [0; 9];
            let (len, from) = client.recv_from(&mut reply).unwrap();
            let expected = if number < 50 { at } else { asked };
            assert_eq!((&reply[..len], from), (&[number][..], expected.into()));
        }
    }

    #[test]
    fn one_that_cannot_be_sent_stops_no_other() {
        let (server, _) = socket();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(to) = client.local_addr().unwrap() else { unreachable!("it is bound to IPv4") };
        let good = Outgoing { packet: vec![7], to, door: Door::default() };
        // Nobody listens on port 0.
        let bad = Outgoing { to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), ..good.clone() };
        let mut failed = Vec::new();
        server.send(&[good.clone(), bad.clone(), bad.clone(), good], |outgoing, _| failed.push(outgoing.clone()));
        assert_eq!(failed, [bad.clone(), bad]);
        let mut reply = [0; 9];
        for _ in 0..2 {
            assert_eq!(client.recv(&mut reply).unwrap(), 1);
        }
    }

    #[test]
    fn an_idle_socket_gives_its_thread_back() {
        let (server, _) = socket();
        let mut inbox = Inbox::new(64);
        server.receive(&mut inbox).unwrap();
        assert_eq!(inbox.iter().count(), 0);
    }
}
