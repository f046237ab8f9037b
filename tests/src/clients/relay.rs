//! A BOOTP relay of our own: one request, as a router hands it on, and the reply that comes back to the router.
//!
//! RFC 951 with RFC 1542 section 4: the relay sets `giaddr` to its address on the client's subnet, and replies come to it. It is
//! made and read by hand, so that it shares no line with the parser it tests.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// RFC 951 section 3 with the 64 bytes of vendor area.
const REQUEST_BYTES: usize = 300;
/// What a client says that has asked for a minute.
const LONG_SECS: u16 = 61;
/// RFC 1497: options follow.
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// The reply, read field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The address given to the client.
    pub yiaddr: Ipv4Addr,
    /// The boot server.
    pub siaddr: Ipv4Addr,
    /// The relay's own address, given back.
    pub giaddr: Ipv4Addr,
    /// The boot file, to its first zero byte.
    pub file: String,
    /// Options by code, joined where one stands twice.
    pub options: BTreeMap<u8, Vec<u8>>,
    /// Where it came from.
    pub from: SocketAddrV4,
}

/// Sends a client's request to `server` from port 67 of `giaddr`, and waits for the reply; `None` after `limit`. It is to be
/// called inside the router's box ([`crate::netns::Netns::inside`]). `options` are added behind the cookie: empty is plain BOOTP,
/// `[53, 1, 1]` a DHCPDISCOVER.
pub fn ask(giaddr: Ipv4Addr, server: SocketAddrV4, mac: [u8; 6], options: &[u8], limit: Duration) -> Result<Option<Reply>> {
    exchange(SocketAddrV4::new(giaddr, 67), server, &request(giaddr, mac, 0, options), limit)
}

/// The same from another address and port, for a plain user: an agent on a high port answers there. The client has waited long, so
/// that the agent of another campus answers, too.
pub fn ask_at(from: SocketAddrV4, giaddr: Ipv4Addr, server: SocketAddrV4, mac: [u8; 6], options: &[u8], limit: Duration) -> Result<Option<Reply>> {
    exchange(from, server, &request(giaddr, mac, LONG_SECS, options), limit)
}

fn exchange(from: SocketAddrV4, server: SocketAddrV4, request: &[u8], limit: Duration) -> Result<Option<Reply>> {
    let socket = bind(from)?;
    socket.set_read_timeout(Some(limit))?;
    socket.send_to(request, server)?;
    let mut reply = [0; 1500];
    match socket.recv_from(&mut reply) {
        Ok((len, std::net::SocketAddr::V4(from))) => read(&reply[..len], request, from).map(Some),
        Ok(_) => Ok(None),
        Err(silence) if matches!(silence.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => Ok(None),
        Err(wrong) => Err(wrong.into()),
    }
}

/// Closing the socket of the request before does not free its address at once: a program that another thread starts in that moment
/// holds a copy of it until it has become that program.
fn bind(from: SocketAddrV4) -> Result<UdpSocket> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match UdpSocket::bind(from) {
            Err(taken) if taken.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            bound => return bound.with_context(|| format!("cannot speak from {from}")),
        }
    }
}

fn request(giaddr: Ipv4Addr, mac: [u8; 6], secs: u16, options: &[u8]) -> Vec<u8> {
    let mut out = vec![1, 1, 6, 1];
    // The transaction's number: any will do, as one request is sent at a time.
    out.extend_from_slice(&[mac[5], 0x5a, mac[4], 0xa5]);
    out.extend_from_slice(&secs.to_be_bytes());
    out.resize(24, 0);
    out.extend_from_slice(&giaddr.octets());
    out.extend_from_slice(&mac);
    out.resize(236, 0);
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(options);
    out.push(255);
    out.resize(REQUEST_BYTES.max(out.len()), 0);
    out
}

fn read(reply: &[u8], request: &[u8], from: SocketAddrV4) -> Result<Reply> {
    ensure!(reply.len() >= REQUEST_BYTES, "a reply of {} bytes is shorter than RFC 951 has it", reply.len());
    ensure!(reply[0] == 2 && reply[4..8] == request[4..8] && reply[28..44] == request[28..44], "the reply is not to this request");
    let address = |at: usize| Ipv4Addr::new(reply[at], reply[at + 1], reply[at + 2], reply[at + 3]);
    let file = reply[108..236].split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Reply {
        yiaddr: address(16),
        siaddr: address(20),
        giaddr: address(24),
        file: String::from_utf8_lossy(file).into_owned(),
        options: options(reply[236..].strip_prefix(&COOKIE).unwrap_or_default())?,
        from,
    })
}

fn options(mut rest: &[u8]) -> Result<BTreeMap<u8, Vec<u8>>> {
    let mut options = BTreeMap::<u8, Vec<u8>>::new();
    while let [code, after @ ..] = rest {
        match code {
            0 => rest = after,
            255 => return Ok(options),
            code => {
                let (len, after) = after.split_first().context("the options end in the middle of one")?;
                let (value, after) = after.split_at_checked(*len as usize).context("the options end in the middle of one")?;
                options.entry(*code).or_default().extend_from_slice(value);
                rest = after;
            }
        }
    }
    anyhow::bail!("the options have no end (option 255)")
}
