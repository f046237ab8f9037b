//! A closed loop: a fixed number of requests under way, and the next one goes out when a reply comes in.
//!
//! It asks from one thread and one socket. What it refuses: to count a wrong reply as an answer, and to hang where replies
//! are lost.

use super::requests::{IsGood, Requests};
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Requests under way at once.
pub(super) const WINDOW: usize = 64;
/// When nothing comes for this long, all that is under way is lost.
const SILENCE: Duration = Duration::from_millis(200);
/// The first login hashes a password, which takes tens of milliseconds.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// No reply is longer.
const REPLY_BYTES: usize = 4096;

/// What a round gave.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Good replies.
    pub answered: u64,
    /// Replies that are none.
    pub wrong: u64,
    /// Requests without a reply.
    pub lost: u64,
    /// From the first request to the last reply.
    pub time: Duration,
}

/// One protocol's load on one server.
pub(super) struct Load<'a> {
    socket: UdpSocket,
    packets: std::iter::Cycle<std::slice::Iter<'a, Vec<u8>>>,
    is_good: IsGood,
}

impl<'a> Load<'a> {
    /// Asks the first few requests one at a time, so that what is done once is done: first logins, first look-ups.
    pub fn start(server: SocketAddr, requests: &'a Requests) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(FIRST_ANSWER_LIMIT))?;
        let mut load = Self { socket, packets: requests.packets.iter().cycle(), is_good: requests.is_good };
        let mut reply = [0; REPLY_BYTES];
        for _ in 0..8 {
            load.send()?;
            let len = load.socket.recv(&mut reply).with_context(|| format!("{}: {server} does not answer", requests.what))?;
            ensure!((load.is_good)(&reply[..len]), "{}: {server} answered {}", requests.what, hex::encode(&reply[..len.min(64)]));
        }
        load.socket.set_read_timeout(Some(SILENCE))?;
        Ok(load)
    }

    /// Asks for this long.
    pub fn run(&mut self, time: Duration) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut reply = [0; REPLY_BYTES];
        let begun = Instant::now();
        let mut under_way = self.fill(0)?;
        while under_way > 0 {
            match self.socket.recv(&mut reply) {
                Ok(len) => {
                    *if (self.is_good)(&reply[..len]) { &mut tally.answered } else { &mut tally.wrong } += 1;
                    under_way -= 1;
                }
                Err(silence) if matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    tally.lost += under_way as u64;
                    under_way = 0;
                }
                Err(wrong) => return Err(wrong.into()),
            }
            if begun.elapsed() < time {
                under_way = self.fill(under_way)?;
            }
        }
        tally.time = begun.elapsed();
        Ok(tally)
    }

    fn fill(&mut self, under_way: usize) -> Result<usize> {
        (under_way..WINDOW).try_for_each(|_| self.send())?;
        Ok(WINDOW)
    }

    fn send(&mut self) -> Result<()> {
        let packet = self.packets.next().context("there are no requests")?;
        self.socket.send(packet).context("cannot ask")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_faults_and_losses_are_told_apart() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut packet = [0; 16];
            for turn in 0u32.. {
                let (len, from) = server.recv_from(&mut packet).unwrap();
                packet[0] = if turn % 100 == 50 { b'x' } else { b'y' };
                if turn % 100 != 70 {
                    server.send_to(&packet[..len], from).unwrap();
                }
            }
        });
        let requests = Requests { what: "echo", packets: vec![b"a".to_vec(), b"b".to_vec()], is_good: |reply| reply == b"y" };
        let tally = Load::start(address, &requests).unwrap().run(Duration::from_millis(50)).unwrap();
        assert!(tally.answered > 64 && tally.wrong > 0 && tally.lost > 0, "{tally:?}");
        assert!(tally.answered > 50 * (tally.wrong + tally.lost) / 2, "{tally:?}");
    }
}
