//! One question to one server: over UDP from a port of its own, over TCP where that is not enough, or over TLS.
//!
//! What it refuses: to wait for who is not there. A question that is silent for longer than usual has a second one sent after it,
//! which any server answers at once; silence to that, too, means that nobody is there. The system's own word (a port or a
//! network that cannot be reached) ends it immediately, because the sockets are connected.

use super::line::Line;
use super::recursion::Roots;
use super::tiers::Server;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use holdfast_proto::dns::Transport;
use holdfast_proto::dns::resolver::{Answer, Heard, Question, RANDOM_BYTES, Wanted, hear, is_reply_to_ping, ping};
use holdfast_proto::net::stream::{push_message, read_message};
use metrics::counter;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

/// How long a server that is there may take: it may have to ask half the world.
const ANSWER_LIMIT: Duration = Duration::from_millis(4500);
/// How long we may take to ask half the world ourselves.
const RECURSION_LIMIT: Duration = Duration::from_secs(9);
/// A datagram may be lost: after so long the question is sent again, from another port and with another id.
const SPANS: [Duration; 3] = [Duration::from_millis(700), Duration::from_millis(1400), Duration::from_millis(2400)];
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);
/// So many replies that are none, and somebody is guessing: TCP cannot be guessed.
const FORGED_LIMIT: usize = 8;
const DATAGRAM_LIMIT_BYTES: usize = 4096;

/// How a server is spoken to.
#[derive(Debug)]
pub(super) enum Way {
    Plain,
    Tls(Line),
    /// From the root's servers on.
    Roots(Box<Roots>),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is there, and gives none.
    Refused,
    /// Nobody is there.
    Silent,
    /// Somebody is there, and it took too long.
    Late,
    /// The system says that it cannot be reached.
    Unreachable,
}

/// What a datagram came to.
enum Tried {
    Answer(Answer),
    Refused,
    /// Ask by TCP.
    NotHere,
    /// It gave its cookie: ask again with it.
    Again,
}

impl Failure {
    /// What an error of a socket says of the server: nothing, where it is this box that has no socket, no port or no memory left.
    fn of(error: &io::Error) -> Self {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable};
        let is_the_way = matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown);
        if is_the_way { Self::Unreachable } else { Self::Late }
    }

    /// The same of a line, which is there for long: one that cannot be had, or breaks at once, is no server.
    fn of_line(error: &io::Error) -> Self {
        use io::ErrorKind::{ConnectionReset, InvalidData, TimedOut, UnexpectedEof};
        if matches!(error.kind(), ConnectionReset | InvalidData | TimedOut | UnexpectedEof) { Self::Unreachable } else { Self::of(error) }
    }
}

impl Server {
    /// Asks. Within fractions of a second it is known whether anybody is there; who is may take seconds.
    pub(super) async fn ask(&self, wanted: &Wanted, hops: u8) -> Result<Answer, Failure> {
        let begun = Instant::now();
        let (since_ms, patience) = (self.now_ms(), Duration::from_millis(self.health().patience_ms()));
        let exchange = self.exchange(wanted, hops);
        tokio::pin!(exchange);
        let early = tokio::select! {
            biased;
            done = &mut exchange => Some(done),
            () = sleep(patience) => None,
        };
        let early = match early {
            Some(done) => Some(done),
            None => tokio::select! {
                biased;
                done = &mut exchange => Some(done),
                is_there = self.was_heard_or_is_there(since_ms) => (!is_there).then_some(Err(Failure::Silent)),
            },
        };
        let limit = if matches!(self.way, Way::Roots(_)) { RECURSION_LIMIT } else { ANSWER_LIMIT };
        let done = match early {
            Some(done) => done,
            None => timeout(limit.saturating_sub(begun.elapsed()), exchange).await.unwrap_or(Err(Failure::Late)),
        };
        if matches!(done, Ok(_) | Err(Failure::Refused)) {
            self.heard(begun);
        }
        done
    }

    async fn was_heard_or_is_there(&self, since_ms: u64) -> bool {
        let was_heard = self.health().heard_since(since_ms);
        was_heard || self.is_still_there().await
    }

    /// Asks twice what can be answered at once: a datagram may be lost, and a line may have become a longer one.
    async fn is_still_there(&self) -> bool {
        let patience = Duration::from_millis(self.health().patience_ms());
        self.is_there(patience).await || self.is_there(2 * patience).await
    }

    /// Asks what can be answered at once, and notes what that says.
    pub(super) async fn is_there(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        let Some(random) = random::<2>() else { return false };
        let ping = ping(u16::from_be_bytes(random));
        let heard = match &self.way {
            // A connection may have to be made first.
            Way::Tls(line) => {
                timeout(patience + CONNECT_LIMIT, line.ask(ping.clone())).await.is_ok_and(|reply| reply.is_ok_and(|reply| is_reply_to_ping(&ping, &reply)))
            }
            Way::Plain => timeout(patience, ping_over_udp(self.address, &ping)).await.is_ok_and(|reply| reply.is_ok()),
            Way::Roots(roots) => {
                // One of them is enough.
                let mut asked: FuturesUnordered<_> = roots.servers.iter().map(|server| ping_over_udp(*server, &ping)).collect();
                let any = async {
                    while let Some(reply) = asked.next().await {
                        if reply.is_ok() {
                            return true;
                        }
                    }
                    false
                };
                timeout(patience, any).await.unwrap_or(false)
            }
        };
        if heard {
            self.heard(begun);
        }
        heard
    }

    async fn exchange(&self, wanted: &Wanted, hops: u8) -> Result<Answer, Failure> {
        match &self.way {
            Way::Plain => self.over_udp(wanted, hops).await,
            Way::Tls(line) => {
                let question = self.question(wanted, hops)?;
                let reply = line.ask(question.bytes().to_vec()).await.map_err(|error| Failure::of_line(&error))?;
                self.judge(&question, &reply, Transport::Tls)
            }
            Way::Roots(roots) => {
                let question = self.question(wanted, 0)?;
                match roots.resolve(wanted, question.id()).await {
                    Ok(reply) => self.judge(&question, &reply, Transport::Tcp),
                    // What failed on the way says nothing of whether there is a way.
                    Err(Failure::Late) if !self.is_still_there().await => Err(Failure::Unreachable),
                    Err(failure) => Err(failure),
                }
            }
        }
    }

    fn question(&self, wanted: &Wanted, hops: u8) -> Result<Question, Failure> {
        let chance = random::<RANDOM_BYTES>().ok_or(Failure::Late)?;
        let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Question::write(wanted, &chance, &credentials, hops))
    }

    async fn over_udp(&self, wanted: &Wanted, hops: u8) -> Result<Answer, Failure> {
        for span in SPANS {
            let mut tried = timeout(span, self.one_datagram(wanted, hops)).await;
            if let Ok(Ok(Tried::Again)) = tried {
                tried = timeout(span, self.one_datagram(wanted, hops)).await;
            }
            match tried {
                Ok(Ok(Tried::Answer(answer))) => return Ok(answer),
                Ok(Ok(Tried::Refused)) => return Err(Failure::Refused),
                Ok(Ok(Tried::NotHere | Tried::Again)) => return self.over_tcp(wanted, hops).await,
                Ok(Err(failure)) => return Err(failure),
                // It may have forgotten that it knew cookies.
                Err(_) => self.forget_cookie(),
            }
        }
        Err(Failure::Late)
    }

    fn forget_cookie(&self) {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).server.clear();
    }

    async fn one_datagram(&self, wanted: &Wanted, hops: u8) -> Result<Tried, Failure> {
        let question = self.question(wanted, hops)?;
        let socket = socket_towards(self.address).await.map_err(|error| Failure::of(&error))?;
        socket.send(question.bytes()).await.map_err(|error| Failure::of(&error))?;
        let mut packet = vec![0; DATAGRAM_LIMIT_BYTES];
        for _ in 0..FORGED_LIMIT {
            let len = socket.recv(&mut packet).await.map_err(|error| Failure::of(&error))?;
            let (heard, cookie) = hear(&question, &packet[..len], Transport::Udp);
            self.learn(cookie);
            match heard {
                Heard::Answer(answer) => return Ok(Tried::Answer(*answer)),
                Heard::Refused(_) => return Ok(Tried::Refused),
                Heard::Truncated | Heard::OtherCase => return Ok(Tried::NotHere),
                Heard::BadCookie(_) => return Ok(Tried::Again),
                Heard::NotOurs => counter!("holdfast_resolver_forged_total").increment(1),
            }
        }
        Ok(Tried::NotHere)
    }

    fn learn(&self, cookie: Option<Vec<u8>>) {
        if let Some(cookie) = cookie {
            self.credentials.lock().unwrap_or_else(PoisonError::into_inner).server = cookie;
        }
    }

    async fn over_tcp(&self, wanted: &Wanted, hops: u8) -> Result<Answer, Failure> {
        let question = self.question(wanted, hops)?;
        // It answers by UDP: one that does not speak TCP is there all the same.
        let reply = self.framed(&question).await.map_err(|_| Failure::Refused)?;
        self.judge(&question, &reply, Transport::Tcp)
    }

    async fn framed(&self, question: &Question) -> io::Result<Vec<u8>> {
        let mut stream = timeout(CONNECT_LIMIT, TcpStream::connect(self.address)).await??;
        let (mut framed, mut reply) = (Vec::new(), Vec::new());
        push_message(&mut framed, question.bytes());
        stream.write_all(&framed).await?;
        read_message(&mut stream, &mut reply, usize::from(u16::MAX)).await?;
        Ok(reply)
    }

    fn judge(&self, question: &Question, reply: &[u8], transport: Transport) -> Result<Answer, Failure> {
        let (heard, cookie) = hear(question, reply, transport);
        self.learn(cookie);
        match heard {
            Heard::Answer(answer) => Ok(*answer),
            _ => Err(Failure::Refused),
        }
    }
}

async fn ping_over_udp(server: SocketAddr, ping: &[u8]) -> io::Result<()> {
    let socket = socket_towards(server).await?;
    socket.send(ping).await?;
    let mut reply = vec![0; DATAGRAM_LIMIT_BYTES];
    loop {
        let len = socket.recv(&mut reply).await?;
        if is_reply_to_ping(ping, &reply[..len]) {
            return Ok(());
        }
    }
}

/// A socket on a port that the system chooses by chance, which hears nobody else.
pub(super) async fn socket_towards(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    socket_between(any, server).await
}

/// The same, on one of our addresses.
pub(super) async fn socket_between(own: IpAddr, server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok().map(|()| bytes)
}
