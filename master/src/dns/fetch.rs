//! One conversation with a primary: what is new, or the whole zone.

use super::{now_s, random_u16};
use holdfast_proto::dns::transfer::{Incoming, Outcome, Progress, Soa, TransferError, query, read_message};
use holdfast_proto::dns::tsig::{Session, TsigError, TsigKey, without_signature};
use holdfast_proto::dns::{Record, rtype};
use holdfast_proto::net::stream::{push_message, read_message as read_framed};
use holdfast_proto::words::{DomainName, Serial};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long a primary may take to take up a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long it may take for its next message.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);
/// How long a whole transfer may take.
const TRANSFER_LIMIT: Duration = Duration::from_secs(600);

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// No connection, or one that broke.
    #[error("{0}")]
    Line(#[from] io::Error),
    /// Nothing for too long.
    #[error("it takes too long to answer")]
    Slow(#[from] tokio::time::error::Elapsed),
    /// It says no, or nonsense.
    #[error("{0}")]
    Transfer(#[from] TransferError),
    /// Its signature.
    #[error("{0}")]
    Signature(#[from] TsigError),
}

/// A primary, and how it is asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Where it is.
    pub(super) to: SocketAddr,
    /// Where we come from.
    pub(super) from: SocketAddr,
    /// What both sign with.
    pub(super) key: Option<TsigKey>,
}

/// Asks one primary. `have` is the SOA record of what we have; without it the whole zone is asked for.
pub(super) async fn fetch(primary: &Asked, apex: &DomainName, have: Option<&Record>) -> Result<Outcome, FetchError> {
    timeout(TRANSFER_LIMIT, fetch_in_time(primary, apex, have)).await?
}

async fn fetch_in_time(primary: &Asked, apex: &DomainName, have: Option<&Record>) -> Result<Outcome, FetchError> {
    let Some((have, serial)) = have.and_then(|have| Some((have, Soa::of(&have.rdata)?.serial))) else {
        return transfer(primary, apex, None).await;
    };
    match transfer(primary, apex, Some((have, serial))).await {
        // It wants to be asked for everything.
        Ok(Outcome::AskWhole) | Err(FetchError::Transfer(TransferError::Broken | TransferError::NoSoa)) => transfer(primary, apex, None).await,
        // Not everybody knows how to tell what changed: then the serial decides.
        Err(FetchError::Transfer(TransferError::Rcode(1 | 4 | 5) | TransferError::Malformed)) => {
            let theirs = newest(primary, apex).await?;
            if theirs.is_newer_than(serial) { transfer(primary, apex, None).await } else { Ok(Outcome::Nothing(theirs)) }
        }
        done => done,
    }
}

async fn transfer(primary: &Asked, apex: &DomainName, have: Option<(&Record, Serial)>) -> Result<Outcome, FetchError> {
    let id = random_u16();
    let qtype = if have.is_some() { rtype::IXFR } else { rtype::AXFR };
    let mut line = Line::open(primary, query(id, apex, qtype, have.map(|(soa, _)| soa))).await?;
    let mut incoming = Incoming::new(id, apex.clone(), have.map(|(_, serial)| serial));
    loop {
        let (message, is_vouched) = line.read().await?;
        if let Progress::Done(outcome) = incoming.take(&message)? {
            // The last message of all carries a signature (RFC 8945 section 5.3.1).
            return if is_vouched { Ok(outcome) } else { Err(TsigError::Missing.into()) };
        }
    }
}

/// The primary's serial.
async fn newest(primary: &Asked, apex: &DomainName) -> Result<Serial, FetchError> {
    let id = random_u16();
    let mut line = Line::open(primary, query(id, apex, rtype::SOA, None)).await?;
    let (message, is_vouched) = line.read().await?;
    if !is_vouched {
        return Err(TsigError::Missing.into());
    }
    let reply = read_message(&message).filter(|reply| reply.header.id == id && reply.header.is_response).ok_or(TransferError::Malformed)?;
    if reply.header.rcode != 0 {
        return Err(TransferError::Rcode(reply.header.rcode).into());
    }
    let soa = reply.answers.iter().find(|record| record.rtype == rtype::SOA && record.owner == *apex);
    Ok(soa.and_then(|soa| Soa::of(&soa.rdata)).ok_or(TransferError::NoSoa)?.serial)
}

/// A connection with one question on it.
struct Line {
    stream: BufReader<TcpStream>,
    session: Option<Session>,
}

impl Line {
    async fn open(primary: &Asked, mut request: Vec<u8>) -> Result<Self, FetchError> {
        let socket = if primary.to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(primary.from)?;
        let stream = timeout(CONNECT_LIMIT, socket.connect(primary.to)).await??;
        let _ = stream.set_nodelay(true);
        let session = primary.key.clone().map(|key| Session::ask(key, &mut request, now_s()));
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        let mut framed = Vec::new();
        push_message(&mut framed, &request);
        timeout(MESSAGE_LIMIT, stream.write_all(&framed)).await??;
        Ok(Self { stream, session })
    }

    /// The next message without its signature, and whether everything up to it is vouched for.
    async fn read(&mut self) -> Result<(Vec<u8>, bool), FetchError> {
        let mut message = Vec::new();
        timeout(MESSAGE_LIMIT, read_framed(&mut self.stream, &mut message, usize::from(u16::MAX))).await??;
        match &mut self.session {
            None => Ok((message, true)),
            Some(session) => {
                let is_vouched = session.check(&message, now_s())?;
                Ok((without_signature(&message), is_vouched))
            }
        }
    }
}
