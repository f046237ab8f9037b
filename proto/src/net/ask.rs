//! One question over the wire, and the first answer that is one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A port of our own from which one server is asked.
#[derive(Debug)]
pub struct Asker(UdpSocket);

impl Asker {
    /// Towards a server; nothing is sent yet. Only what comes from there is heard.
    pub async fn towards(server: SocketAddr) -> io::Result<Self> {
        let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        Ok(Self(socket))
    }

    /// The address that the server sees.
    pub fn address(&self) -> io::Result<IpAddr> {
        Ok(self.0.local_addr()?.ip())
    }

    /// Asks once over UDP; what is no answer is passed over.
    pub async fn ask(&self, question: &[u8], limit: Duration, is_answer: impl Fn(&[u8]) -> bool) -> io::Result<()> {
        let exchange = async {
            self.0.send(question).await?;
            let mut reply = vec![0; 4096];
            loop {
                let len = self.0.recv(&mut reply).await?;
                if is_answer(&reply[..len]) {
                    return Ok(());
                }
            }
        };
        timeout(limit, exchange).await?
    }
}

/// Asks once over TCP, as DNS frames its messages (RFC 1035 section 4.2.2).
pub async fn ask_framed(server: SocketAddr, question: &[u8], limit: Duration, is_answer: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let len = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes()[..], question].concat()).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        if is_answer(&reply) { Ok(()) } else { Err(io::Error::other("what came back is no answer")) }
    };
    timeout(limit, exchange).await?
}
