//! UDP in batches, for threads of their own: many packets in by one call of the kernel, many replies out by another.
//!
//! Why beside [`udp`](super::udp): an answer costs less than the two system calls around it, so what is saved on those is
//! most of what can be saved. What it refuses: to wait until a batch is full. The first packet wakes the thread, and with it
//! comes whatever else is there already, so a lone question is answered as soon as without batches.
//!
//! Several sockets share one address by SO_REUSEPORT, one for each thread; the kernel spreads clients over them.

use super::udp::{Received, UdpOptions, Via, in_addr, in6_addr, open, set, socket_addr, via_of};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockFlag, SockaddrStorage, recvmmsg, sendmmsg, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Packets in one batch: 8 gain as much as 128 do, and fewer share one look at the clock.
pub const BATCH_LIMIT: usize = 32;
/// A longer packet is cut.
pub const PACKET_LIMIT_BYTES: usize = 2048;
/// How long [`BatchSocket::receive`] waits at most, so that its thread can see that it shall end.
pub const TICK: Duration = Duration::from_millis(100);

/// One of the sockets that share an address.
#[derive(Debug)]
pub struct BatchSocket {
    socket: UdpSocket,
    ipv6: bool,
}

/// Room for the packets of one batch and for the replies to them; used again and again.
pub struct Batch {
    packets: Box<[[u8; PACKET_LIMIT_BYTES]; BATCH_LIMIT]>,
    arrivals: Vec<Received>,
    replies: Vec<Vec<u8>>,
    incoming: Headers,
    outgoing: Headers,
}

type Headers = MultiHeaders<SockaddrStorage>;

/// What became of the replies of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// Given up because the socket had no room: whoever asked asks again, and the others are not held up.
    pub unsent: usize,
    /// Faults that the kernel told of one packet or another.
    pub faults: Vec<io::Error>,
}

impl BatchSocket {
    /// Binds so many sockets to one address. Port 0 is chosen once, for all of them.
    ///
    /// # Errors
    /// Where the address is taken: the first socket is bound for itself alone, so that two programs never share a port unnoticed.
    pub fn bind(address: SocketAddr, count: usize, options: UdpOptions) -> io::Result<Vec<Self>> {
        let first = Self::bind_one(address, options, false)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(Self::bind_one(address, options, true)?);
        }
        Ok(sockets)
    }

    fn bind_one(address: SocketAddr, options: UdpOptions, shared: bool) -> io::Result<Self> {
        let fd = open(address, options, SockFlag::empty(), |fd| if shared { set(fd, sockopt::ReusePort, &true) } else { Ok(()) })?;
        // From now on others of this user's may come to the address, which asks of each that is there already that it allows it.
        set(&fd, sockopt::ReusePort, &true)?;
        set(&fd, sockopt::ReceiveTimeout, &TimeVal::milliseconds(TICK.as_millis() as i64))?;
        never_learn_path_mtu(&fd, address.is_ipv6())?;
        Ok(Self { socket: UdpSocket::from(fd), ipv6: address.is_ipv6() })
    }

    /// The address that was bound, with the port that the kernel chose for port 0.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Room that fits this socket.
    pub fn batch(&self) -> Batch {
        Batch::new(self.ipv6)
    }

    /// Waits for a packet, for [`TICK`] at most, and takes with it what else has come. Gives how many: 0 where none came.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.arrivals.clear();
        let mut parts = batch.packets.each_mut().map(|packet| [IoSliceMut::new(packet)]);
        let messages = match recvmmsg(self.socket.as_raw_fd(), &mut batch.incoming, parts.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(messages) => messages,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(0),
            Err(wrong) => return Err(wrong.into()),
        };
        for message in messages {
            let via = message.cmsgs()?.find_map(via_of).unwrap_or_default();
            // A datagram without a sender's address cannot be answered; port 0 says so to whoever looks at it.
            let from = message.address.as_ref().and_then(socket_addr).unwrap_or_else(|| SocketAddr::from(([0; 4], 0)));
            batch.arrivals.push(Received { len: message.bytes.min(PACKET_LIMIT_BYTES), from, via });
        }
        Ok(batch.arrivals.len())
    }

    /// Sends the replies of a batch, each from the address and interface that its packet came to, without waiting for room.
    pub fn send(&self, batch: &mut Batch) -> Sent {
        let mut sent = Sent::default();
        let Batch { arrivals, replies, outgoing, .. } = batch;
        let mut due: Vec<(&Received, &[u8])> =
            arrivals.iter().zip(replies.iter()).filter(|(_, reply)| !reply.is_empty()).map(|(arrival, reply)| (arrival, &reply[..])).collect();
        let mut due = &mut due[..];
        let way = |arrival: &Received| arrival.via.towards(arrival.from);
        while let Some(via) = due.first().map(|(arrival, _)| way(arrival)) {
            let alike = due.iter().take_while(|(arrival, _)| way(arrival) == via).count();
            let done = match self.send_alike(&due[..alike], via, outgoing) {
                Ok(count) => count,
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {
                    sent.unsent += due.len();
                    return sent;
                }
                // The first of them is at fault, the others are tried again.
                Err(wrong) => {
                    sent.faults.push(wrong);
                    1
                }
            };
            due = &mut due[done..];
        }
        sent
    }

    /// Sends one reply, late, from the address and interface that its packet came to; without waiting for room.
    pub fn send_one(&self, reply: &[u8], to: SocketAddr, via: Via) -> io::Result<()> {
        let arrival = Received { len: 0, from: to, via };
        self.send_alike(&[(&arrival, reply)], via.towards(to), &mut Headers::preallocate(1, Some(Self::control_space(self.ipv6)))).map(drop)
    }

    /// Exactly what the one control message takes: the kernel writes back how much it used, and the next call gets that much.
    fn control_space(ipv6: bool) -> Vec<u8> {
        if ipv6 { nix::cmsg_space!(nix::libc::in6_pktinfo) } else { nix::cmsg_space!(nix::libc::in_pktinfo) }
    }

    /// Sends replies that leave by the same way; gives how many the kernel took.
    fn send_alike(&self, replies: &[(&Received, &[u8])], via: Via, headers: &mut Headers) -> io::Result<usize> {
        let parts: Vec<[IoSlice<'_>; 1]> = replies.iter().map(|(_, reply)| [IoSlice::new(reply)]).collect();
        let to: Vec<Option<SockaddrStorage>> = replies.iter().map(|(arrival, _)| Some(arrival.from.into())).collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let taken = if self.ipv6 {
            let info = nix::libc::in6_pktinfo { ipi6_addr: in6_addr(via.local), ipi6_ifindex: via.interface };
            sendmmsg(fd, headers, &parts, &to, [ControlMessage::Ipv6PacketInfo(&info)], flags)?.count()
        } else {
            let info = nix::libc::in_pktinfo { ipi_ifindex: via.interface as i32, ipi_spec_dst: in_addr(via.local), ipi_addr: in_addr(None) };
            sendmmsg(fd, headers, &parts, &to, [ControlMessage::Ipv4PacketInfo(&info)], flags)?.count()
        };
        Ok(taken)
    }
}

impl Batch {
    fn new(ipv6: bool) -> Self {
        let space = || BatchSocket::control_space(ipv6);
        Self {
            packets: Box::new([[0; PACKET_LIMIT_BYTES]; BATCH_LIMIT]),
            arrivals: Vec::with_capacity(BATCH_LIMIT),
            replies: vec![Vec::new(); BATCH_LIMIT],
            incoming: Headers::preallocate(BATCH_LIMIT, Some(space())),
            outgoing: Headers::preallocate(BATCH_LIMIT, Some(space())),
        }
    }

    /// Each packet of the batch, how it came, and the place for its reply, which holds an older one until it is written; a reply
    /// that is left empty is not sent.
    pub fn packets(&mut self) -> impl Iterator<Item = (&[u8], Received, &mut Vec<u8>)> {
        let filled = self.packets.iter().zip(&self.arrivals).zip(&mut self.replies);
        filled.map(|((packet, arrival), reply)| (&packet[..arrival.len], *arrival, reply))
    }
}

/// No forged "fragmentation needed" may make our replies fragment (RFC 9715 section 3.1).
fn never_learn_path_mtu(fd: &impl std::os::fd::AsFd, ipv6: bool) -> io::Result<()> {
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
    let set = if ipv6 { set_ipv6_mtu_discover(fd, Ipv6PathMtuDiscovery::OMIT) } else { set_ip_mtu_discover(fd, Ipv4PathMtuDiscovery::OMIT) };
    Ok(set?)
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} packets)", self.arrivals.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn echo(socket: &BatchSocket, batch: &mut Batch) -> usize {
        let count = socket.receive(batch).unwrap();
        for (packet, _, reply) in batch.packets() {
            reply.clear();
            reply.extend_from_slice(packet);
        }
        let sent = socket.send(batch);
        assert!(sent.unsent == 0 && sent.faults.is_empty(), "{sent:?}");
        count
    }

    #[test]
    fn what_is_there_comes_as_one_batch_and_each_reply_leaves_from_the_address_that_was_asked() {
        for (wildcard, asked) in [("0.0.0.0:0", vec!["127.0.0.7", "127.0.0.8"]), ("[::]:0", vec!["::1"])] {
            let server = BatchSocket::bind(wildcard.parse().unwrap(), 1, UdpOptions::default()).unwrap().remove(0);
            let port = server.local_addr().unwrap().port();
            let asked: Vec<IpAddr> = asked.iter().map(|address| address.parse().unwrap()).collect();
            let clients: Vec<(UdpSocket, SocketAddr)> = (0..BATCH_LIMIT + 3)
                .map(|number| {
                    let client = UdpSocket::bind(if asked[0].is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
                    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                    let to = SocketAddr::new(asked[number / 2 % asked.len()], port);
                    client.send_to(&[number as u8], to).unwrap();
                    (client, to)
                })
                .collect();
            let mut batch = server.batch();
            assert_eq!([echo(&server, &mut batch), echo(&server, &mut batch), echo(&server, &mut batch)], [BATCH_LIMIT, 3, 0]);
            for (number, (client, to)) in clients.iter().enumerate() {
                let mut reply = [0; 8];
                assert_eq!((client.recv_from(&mut reply).unwrap(), reply[0]), ((1, *to), number as u8));
            }
        }
    }

    #[test]
    fn sockets_of_one_bind_share_a_port_and_nobody_else_gets_it() {
        let sockets = BatchSocket::bind("127.0.0.1:0".parse().unwrap(), 3, UdpOptions::default()).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|socket| socket.local_addr().unwrap() == address));
        assert_eq!(BatchSocket::bind(address, 1, UdpOptions::default()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // Whichever of them the kernel chooses for a client, somebody hears it.
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"x", address).unwrap();
        let heard: usize = sockets.iter().map(|socket| socket.receive(&mut socket.batch()).unwrap()).sum();
        assert_eq!(heard, 1);
    }

    #[test]
    fn a_reply_that_cannot_go_holds_up_no_other() {
        let server = BatchSocket::bind("127.0.0.1:0".parse().unwrap(), 1, UdpOptions::default()).unwrap().remove(0);
        let clients = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
        clients.iter().for_each(|client| assert_eq!(client.send_to(b"x", server.local_addr().unwrap()).unwrap(), 1));
        let mut batch = server.batch();
        assert_eq!(server.receive(&mut batch).unwrap(), 2);
        for (number, (_, _, reply)) in batch.packets().enumerate() {
            // No datagram is that long.
            reply.resize(if number == 0 { 70_000 } else { 3 }, 7);
        }
        let sent = server.send(&mut batch);
        assert_eq!((sent.unsent, sent.faults.len()), (0, 1));
        clients[1].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(clients[1].recv(&mut [0; 8]).unwrap(), 3);
    }
}
