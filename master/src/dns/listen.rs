//! The sockets. The master answers few questions, so plain loops do.

use super::desk::{Desk, Handled, Job, no_contents};
use super::now_s;
use holdfast_proto::dns::{Peer, Transport};
use holdfast_proto::net::stream::{self, Door, Pass, QUERY_LIMIT_BYTES, push_message, read_message};
use holdfast_proto::net::udp::UdpSocket;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// How long a client may take for its next request (RFC 7766 section 6.2.3).
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a loop rests after its socket failed.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);
/// Each reads a whole feed: more at once would only make all of them slow.
static TRANSFERS: Semaphore = Semaphore::const_new(8);
/// Messages that wait to be written.
const WAITING_LIMIT: usize = 4;

/// Answers what comes by UDP.
pub(super) async fn udp(socket: UdpSocket, desk: Arc<Desk>) -> Infallible {
    let mut buffer = vec![0; QUERY_LIMIT_BYTES];
    loop {
        let Ok(received) = socket.recv(&mut buffer).await else {
            tokio::time::sleep(REST_AFTER_ERROR).await;
            continue;
        };
        let peer = Peer { address: received.from, transport: Transport::Udp };
        let reply = match desk.handle(&buffer[..received.len], peer) {
            Handled::Silent => continue,
            Handled::Reply(reply) => reply,
            Handled::Transfer(job) => by_datagram(*job),
        };
        // A reply that cannot be sent is asked for again.
        let _ = socket.send(&reply, received.from, received.via).await;
    }
}

fn by_datagram(mut job: Job) -> Vec<u8> {
    let mut reply = Vec::new();
    let written = job.write(Transport::Udp, |message| {
        reply = message;
        true
    });
    if let Err(why) = written {
        reply = no_contents(&job.wanted, why);
    }
    if let Some(session) = &mut job.session {
        session.sign(&mut reply, now_s());
    }
    reply
}

/// Accepts until it is dropped; its connections end with it.
pub(super) async fn tcp(listener: TcpListener, door: Arc<Door>, desk: Arc<Desk>) -> Infallible {
    let one = move |stream: TcpStream, client, pass: Pass| {
        let desk = Arc::clone(&desk);
        async move {
            // How it ends is the client's business.
            let _ = converse(stream, client, &desk).await;
            drop(pass);
        }
    };
    stream::accept(listener, door, |_| {}, one).await
}

async fn converse(mut stream: TcpStream, client: SocketAddr, desk: &Desk) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let peer = Peer { address: client, transport: Transport::Tcp };
    let mut request = Vec::new();
    loop {
        timeout(IDLE_TIMEOUT, read_message(&mut stream, &mut request, QUERY_LIMIT_BYTES)).await??;
        match desk.handle(&request, peer) {
            // Who sends what is no request will not send better.
            Handled::Silent => return Ok(()),
            Handled::Reply(reply) => write(&mut stream, &reply).await?,
            Handled::Transfer(job) => hand_over(&mut stream, *job).await?,
        }
    }
}

/// Sends a zone: written on a thread that may take its time, signed and sent message by message.
async fn hand_over(stream: &mut TcpStream, mut job: Job) -> io::Result<()> {
    let _place = TRANSFERS.acquire().await.map_err(io::Error::other)?;
    let mut session = job.session.take();
    let wanted = job.wanted.clone();
    let (sender, mut messages) = mpsc::channel(WAITING_LIMIT);
    let writing = tokio::task::spawn_blocking(move || job.write(Transport::Tcp, |message| sender.blocking_send(message).is_ok()));
    let mut is_begun = false;
    while let Some(mut message) = messages.recv().await {
        is_begun = true;
        if let Some(session) = &mut session {
            session.sign(&mut message, now_s());
        }
        write(stream, &message).await?;
    }
    match writing.await? {
        Ok(()) => Ok(()),
        Err(why) if !is_begun => {
            let mut reply = no_contents(&wanted, why);
            if let Some(session) = &mut session {
                session.sign(&mut reply, now_s());
            }
            write(stream, &reply).await
        }
        // Half a zone must not look like a whole one: the connection ends.
        Err(why) => Err(io::Error::other(why)),
    }
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(message.len() + 2);
    push_message(&mut framed, message);
    timeout(WRITE_TIMEOUT, stream.write_all(&framed)).await?
}
