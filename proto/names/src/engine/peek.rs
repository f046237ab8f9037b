//! What another resolver has, without having it ask anybody (RFC 1034 section 4.3.1): a question that wants no recursion.

use super::ask::{random, socket_between, socket_towards};
use holdfast_proto::dns::Transport;
use holdfast_proto::dns::resolver::{Answer, Credentials, Heard, Question, RANDOM_BYTES, Wanted, extended_error, hear};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;

/// A datagram may be lost: it is sent again after the first of them.
const SPANS: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(800)];
const DATAGRAM_LIMIT_BYTES: usize = 4096;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peeked {
    /// It has this.
    Has(Box<Answer>),
    /// It has something that does not fit into a datagram.
    HasMuch,
    /// It would have to ask.
    HasNot,
    /// It does not say, with this code and this extended error (RFC 8914).
    Declines(u8, Option<u16>),
    /// It does not answer.
    Silent,
}

/// REFUSED, of who must not be asked, and of who would have to ask.
const REFUSED: u8 = 5;
/// The extended error with which a resolver of ours says that it would have to ask.
const NOT_AUTHORITATIVE: u16 = 20;

/// Asks a resolver what it has, from this address of ours, or from any.
pub async fn peek(own: Option<IpAddr>, server: SocketAddr, wanted: &Wanted) -> Peeked {
    for span in SPANS {
        if let Ok(Ok(peeked)) = timeout(span, exchange(own, server, wanted)).await {
            return peeked;
        }
    }
    Peeked::Silent
}

async fn exchange(own: Option<IpAddr>, server: SocketAddr, wanted: &Wanted) -> io::Result<Peeked> {
    let no_chance = || io::Error::other("the system gives no random numbers");
    let chance = random::<RANDOM_BYTES>().ok_or_else(no_chance)?;
    let credentials = Credentials { client: random().ok_or_else(no_chance)?, server: Vec::new() };
    let question = Question::write(wanted, &chance, &credentials, 0).without_recursion();
    let socket = match own {
        Some(own) => socket_between(own, server).await?,
        None => socket_towards(server).await?,
    };
    socket.send(question.bytes()).await?;
    let mut packet = vec![0; DATAGRAM_LIMIT_BYTES];
    loop {
        let len = socket.recv(&mut packet).await?;
        let reply = &packet[..len];
        return Ok(match hear(&question, reply, Transport::Udp).0 {
            Heard::Answer(answer) if answer.has_records() => Peeked::Has(answer),
            Heard::Answer(_) => Peeked::HasNot,
            Heard::Truncated => Peeked::HasMuch,
            Heard::NotOurs | Heard::OtherCase => continue,
            Heard::Refused(_) | Heard::BadCookie(_) => match (reply[3] & 15, extended_error(reply)) {
                // It sends us on to others, or is one of ours, which say it in so many words.
                (0, _) | (REFUSED, Some(NOT_AUTHORITATIVE)) => Peeked::HasNot,
                (code, why) => Peeked::Declines(code, why),
            },
        });
    }
}
