//! A loop that asks one DNS question over and over and counts every answer, while a test pulls cables.
//!
//! It sends on a clock, never waiting for the answer before, so that a silence shows as lost questions and as a gap of its true
//! length. It stops by itself after [`LIMIT`].

use crate::netns::{self, Netns};
use anyhow::{Context, Result};
use holdfast_proto::words::DomainName;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No loop runs longer, whatever the test forgot.
const LIMIT: Duration = Duration::from_secs(300);
/// An answer that comes later than this is lost: a client would have asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a loop saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions asked.
    pub asked: usize,
    /// Questions answered in time with NOERROR and at least one record.
    pub answered: usize,
    /// Questions answered with anything else.
    pub refused: usize,
    /// The longest time between two good answers.
    pub longest_gap: Duration,
    /// The slowest good answer.
    pub slowest: Duration,
}

impl Tally {
    /// Questions to which no good answer came.
    pub fn lost(&self) -> usize {
        self.asked - self.answered
    }
}

/// A loop that runs on a thread of its own until it is asked for its tally or dropped.
#[derive(Debug)]
pub struct Counting {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Tally>>>,
}

impl Counting {
    /// Asks `server` for the address of `name` every `every`, from a box of the lab or, with `None`, from this machine.
    pub fn start(from: Option<&Netns>, server: SocketAddr, name: &DomainName, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, question, namespace) = (Arc::clone(&stop), question(name), from.map(|box_| box_.name().to_owned()));
        let thread = std::thread::spawn(move || {
            namespace.map_or(Ok(()), |name| netns::enter(&name))?;
            ask(server, &question, every, &stopped)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops, waits for the answers under way, and gives the tally.
    pub fn stop(mut self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the loop was stopped before")?;
        thread.join().map_err(|_| anyhow::anyhow!("the loop fell over"))?
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// RFC 1035 section 4.1: a header that wants no recursion, and one question of type A and class IN. The id is set at each sending.
fn question(name: &DomainName) -> Vec<u8> {
    let header = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    [&header[..], name.wire(), &[0, 1, 0, 1]].concat()
}

fn ask(server: SocketAddr, question: &[u8], every: Duration, stopped: &AtomicBool) -> Result<Tally> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    let begun = Instant::now();
    let mut round = Round { under_way: HashMap::new(), last_good: begun, tally: Tally::default() };
    let mut next = begun;
    let mut packet = question.to_vec();
    while !stopped.load(Ordering::Relaxed) && begun.elapsed() < LIMIT {
        packet[..2].copy_from_slice(&(round.tally.asked as u16).to_be_bytes());
        round.under_way.insert(round.tally.asked as u16, Instant::now());
        round.tally.asked += 1;
        // A box without a route says so at once; the question counts as asked and lost.
        let _ = socket.send_to(&packet, server);
        next += every;
        round.listen(&socket, next)?;
    }
    let until = Instant::now() + PATIENCE;
    while !round.under_way.is_empty() && Instant::now() < until {
        round.listen(&socket, (Instant::now() + Duration::from_millis(20)).min(until))?;
    }
    if round.tally.lost() > 0 {
        round.tally.longest_gap = round.tally.longest_gap.max(round.last_good.elapsed());
    }
    Ok(round.tally)
}

struct Round {
    under_way: HashMap<u16, Instant>,
    last_good: Instant,
    tally: Tally,
}

impl Round {
    /// Takes answers until a moment.
    fn listen(&mut self, socket: &UdpSocket, until: Instant) -> Result<()> {
        let mut answer = [0; 1500];
        loop {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { return Ok(()) };
            socket.set_read_timeout(Some(left))?;
            // A refusal by ICMP of an earlier question comes as an error of the socket: it counts as lost.
            if let Ok((len, _)) = socket.recv_from(&mut answer) {
                self.count(&answer[..len]);
            }
        }
    }

    fn count(&mut self, answer: &[u8]) {
        let [id_high, id_low, flags_high, flags_low, _, _, answers_high, answers_low, ..] = *answer else { return };
        let Some(asked_at) = self.under_way.remove(&u16::from_be_bytes([id_high, id_low])) else { return };
        let took = asked_at.elapsed();
        let is_good = flags_high & 0x80 != 0 && flags_low & 0x0f == 0 && (answers_high, answers_low) != (0, 0);
        if !is_good {
            self.tally.refused += 1;
        } else if took <= PATIENCE {
            self.tally.answered += 1;
            self.tally.slowest = self.tally.slowest.max(took);
            self.tally.longest_gap = self.tally.longest_gap.max(self.last_good.elapsed());
            self.last_good = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_skips_every_third_question_is_found_out() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            for turn in 0.. {
                let (len, from) = server.recv_from(&mut packet).unwrap();
                packet[2..8].copy_from_slice(&[0x84, 0, 0, 1, 0, 1]);
                if turn % 3 != 2 {
                    server.send_to(&packet[..len], from).unwrap();
                }
            }
        });
        let counting = Counting::start(None, address, &DomainName::parse("www.uni.example.", None).unwrap(), Duration::from_millis(5));
        std::thread::sleep(Duration::from_millis(300));
        let tally = counting.stop().unwrap();
        assert!(tally.asked >= 9 && tally.refused == 0, "{tally:?}");
        assert!(tally.lost().abs_diff(tally.asked / 3) <= 1, "{tally:?}");
    }
}
