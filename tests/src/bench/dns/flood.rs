//! A load that costs its own core little: many questions in one call of the kernel, many replies out of another.
//!
//! Closed, it keeps a number of questions under way; open, it asks at a rate, whatever comes back. Each reply's time is
//! that from the call that sent its question. It speaks cookies, as resolvers do: one is asked for first.

use super::super::requests::scattered;
use super::super::store::Host;
use anyhow::{Context, Result, ensure};
use holdfast_proto::words::DomainName;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt, sockopt};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const BATCH: usize = 32;
/// A question of ours with its cookie fits.
const QUESTION_BYTES: usize = 128;
const REPLY_BYTES: usize = 1536;
/// Flags of a reply, RFC 1035 section 4.1.1.
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 4;
const TRUNCATED: u8 = 2;
/// More questions than fit into any cache beside the server's rows, and few enough to be made quickly.
const QUESTIONS: u32 = 400_000;
/// When nothing comes for this long, all that is under way is lost.
const SILENCE: Duration = Duration::from_millis(200);
/// RFC 6891 with an empty cookie of the client's (RFC 7873); the server's is put behind it.
const OPT: [u8; 23] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// What a round gave.
#[derive(Debug, Clone, Default)]
pub(in crate::bench) struct Tally {
    /// Replies with NOERROR or NXDOMAIN and authority.
    pub answered: u64,
    /// Other replies.
    pub wrong: u64,
    /// Questions without a reply.
    pub lost: u64,
    /// From the first question to the last reply.
    pub time: Duration,
    /// The longest time without any reply.
    pub longest_gap: Duration,
    /// Of each reply, in microseconds.
    pub times_us: Vec<u32>,
}

impl Tally {
    /// The time that this share of all replies did not exceed.
    pub fn quantile_us(&mut self, share: f64) -> f64 {
        if self.times_us.is_empty() {
            return f64::NAN;
        }
        let rank = ((self.times_us.len() - 1) as f64 * share) as usize;
        f64::from(*self.times_us.select_nth_unstable(rank).1)
    }
}

/// Seven in ten ask for an address, two for a pointer; one in ten is answered that there is nothing.
fn questions(hosts: u32, cookie: &[u8]) -> Vec<[u8; QUESTION_BYTES]> {
    let question = |(number, host): (usize, Host)| {
        let missing = || DomainName::parse(&format!("no-such-{}.uni.example.", host.0), None).expect("it is a name");
        let (name, qtype) = match number % 20 {
            0..14 => (host.name(), 1),
            14..18 => (DomainName::reverse_of(host.address().into()), 12),
            18 => (host.name(), 28),
            _ => (missing(), 1),
        };
        let mut opt = OPT;
        opt[10] += cookie.len() as u8;
        opt[14] += cookie.len() as u8;
        let packet = [&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1], name.wire(), &[0, qtype, 0, 1], &opt, cookie].concat();
        let mut fixed = [0; QUESTION_BYTES];
        fixed[..packet.len()].copy_from_slice(&packet);
        // The length stands in the last byte, which no question of ours reaches.
        fixed[QUESTION_BYTES - 1] = packet.len() as u8;
        fixed
    };
    scattered(hosts).take(QUESTIONS as usize).enumerate().map(question).collect()
}

/// A load on one server.
pub(in crate::bench) struct Flood {
    socket: UdpSocket,
    questions: Vec<[u8; QUESTION_BYTES]>,
    next: usize,
    /// The flags that a good reply has of AA and TC.
    authority: u8,
    /// When the question with this id went out, in microseconds since the round began; 0 when it is answered.
    sent_us: Vec<u32>,
    outgoing: MultiHeaders<SockaddrStorage>,
    incoming: MultiHeaders<SockaddrStorage>,
    replies: Box<[[u8; REPLY_BYTES]; BATCH]>,
}

impl Flood {
    /// Asks for a cookie and makes the questions.
    pub fn towards(server: SocketAddr, hosts: u32) -> Result<Self> {
        let socket = connected(server)?;
        let cookie = cookie_of(&socket, &questions(1, &[])[0])?;
        Self::with(socket, questions(hosts, &cookie), AUTHORITATIVE)
    }

    /// Asks a resolver: with recursion desired, and without its cookie, which not all give.
    pub fn at_resolver(server: SocketAddr, hosts: u32) -> Result<Self> {
        let socket = connected(server)?;
        let mut questions = questions(hosts, &[]);
        questions.iter_mut().for_each(|question| question[2] = 1);
        Self::with(socket, questions, 0)
    }

    fn with(socket: UdpSocket, questions: Vec<[u8; QUESTION_BYTES]>, authority: u8) -> Result<Self> {
        Ok(Self {
            socket,
            questions,
            authority,
            next: 0,
            sent_us: vec![0; 1 << 16],
            outgoing: MultiHeaders::preallocate(BATCH, None),
            incoming: MultiHeaders::preallocate(BATCH, None),
            replies: Box::new([[0; REPLY_BYTES]; BATCH]),
        })
    }

    /// Asks each question once, with so many under way.
    pub fn once(&mut self, window: usize, limit: Duration) -> Result<Tally> {
        self.next = 0;
        let (begun, mut tally, mut under_way, mut asked) = (Instant::now(), Tally::default(), 0, 0);
        while (asked < self.questions.len() || under_way > 0) && begun.elapsed() < limit {
            let sent = self.send((window - under_way).min(self.questions.len() - asked), begun)?;
            (asked, under_way) = (asked + sent, under_way + sent);
            let came = self.receive(MsgFlags::MSG_WAITFORONE, begun, &mut tally)?;
            tally.lost += if came == 0 { under_way as u64 } else { 0 };
            under_way = if came == 0 { 0 } else { under_way.saturating_sub(came) };
        }
        tally.time = begun.elapsed();
        Ok(tally)
    }

    /// Keeps so many questions under way.
    pub fn closed(&mut self, window: usize, time: Duration) -> Result<Tally> {
        let (begun, mut tally, mut under_way) = (Instant::now(), Tally::default(), 0);
        let mut last = begun;
        loop {
            if begun.elapsed() < time {
                under_way += self.send(window - under_way, begun)?;
            }
            if under_way == 0 {
                break;
            }
            let came = self.receive(MsgFlags::MSG_WAITFORONE, begun, &mut tally)?;
            if came == 0 {
                tally.lost += under_way as u64;
                under_way = 0;
                continue;
            }
            under_way = under_way.saturating_sub(came);
            tally.longest_gap = tally.longest_gap.max(last.elapsed());
            last = Instant::now();
        }
        tally.time = begun.elapsed();
        Ok(tally)
    }

    /// Asks so many questions in a second.
    pub fn open(&mut self, rate: u32, time: Duration) -> Result<Tally> {
        let (begun, mut tally, mut sent) = (Instant::now(), Tally::default(), 0u64);
        let mut last = begun;
        while begun.elapsed() < time {
            let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
            sent += self.send((due - sent) as usize, begun)? as u64;
            if self.receive(MsgFlags::MSG_DONTWAIT, begun, &mut tally)? > 0 {
                tally.longest_gap = tally.longest_gap.max(last.elapsed());
                last = Instant::now();
            }
        }
        tally.time = begun.elapsed();
        while self.receive(MsgFlags::MSG_WAITFORONE, begun, &mut tally)? > 0 {}
        tally.lost = sent.saturating_sub(tally.answered + tally.wrong);
        Ok(tally)
    }

    /// Sends at most a batch; gives how many went.
    fn send(&mut self, wanted: usize, begun: Instant) -> Result<usize> {
        let count = wanted.min(BATCH).min(self.questions.len() - self.next);
        if count == 0 {
            self.next %= self.questions.len();
            return Ok(0);
        }
        // Never 0, which says that nothing is under way.
        let now_us = begun.elapsed().as_micros() as u32 + 1;
        let batch = &mut self.questions[self.next..self.next + count];
        for (number, question) in batch.iter_mut().enumerate() {
            let id = (self.next + number) as u16;
            question[..2].copy_from_slice(&id.to_be_bytes());
            self.sent_us[usize::from(id)] = now_us;
        }
        let parts: Vec<[IoSlice<'_>; 1]> = batch.iter().map(|question| [IoSlice::new(&question[..usize::from(question[QUESTION_BYTES - 1])])]).collect();
        let sent = sendmmsg(self.socket.as_raw_fd(), &mut self.outgoing, &parts, [None; BATCH], [], MsgFlags::empty()).context("cannot ask")?.count();
        self.next = (self.next + sent) % self.questions.len();
        Ok(sent)
    }

    /// Takes what is there; gives how many replies.
    fn receive(&mut self, flags: MsgFlags, begun: Instant, tally: &mut Tally) -> Result<usize> {
        let mut parts = self.replies.each_mut().map(|reply| [IoSliceMut::new(reply)]);
        let count = match recvmmsg(self.socket.as_raw_fd(), &mut self.incoming, parts.iter_mut(), flags, None) {
            Ok(messages) => messages.count(),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(0),
            Err(wrong) => return Err(wrong).context("no replies"),
        };
        let now_us = begun.elapsed().as_micros() as u32 + 1;
        for reply in &self.replies[..count] {
            let sent_us = std::mem::take(&mut self.sent_us[usize::from(u16::from_be_bytes([reply[0], reply[1]]))]);
            let is_good = reply[2] & (RESPONSE | TRUNCATED | self.authority) == RESPONSE | self.authority && matches!(reply[3] & 15, 0 | 3) && sent_us > 0;
            *if is_good { &mut tally.answered } else { &mut tally.wrong } += 1;
            tally.times_us.push(now_us.saturating_sub(sent_us));
        }
        Ok(count)
    }
}

fn connected(server: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(SILENCE))?;
    setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
    Ok(socket)
}

/// The server's part of the cookie that a first reply brings.
fn cookie_of(socket: &UdpSocket, question: &[u8; QUESTION_BYTES]) -> Result<Vec<u8>> {
    let mut reply = [0; REPLY_BYTES];
    socket.send(&question[..usize::from(question[QUESTION_BYTES - 1])])?;
    let len = socket.recv(&mut reply).context("the server does not answer")?;
    let at = reply[..len].windows(8).position(|bytes| bytes == &OPT[15..]).context("the server gives no cookie")?;
    let cookie = reply[at + 8..len].first_chunk::<16>().context("the server's cookie is none")?;
    ensure!(cookie[0] == 1, "the server's cookie is of version {}", cookie[0]);
    Ok(cookie.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_whole_and_ask_what_they_should() {
        let all = questions(1000, &[7; 16]);
        assert_eq!(all.len(), 1000);
        for question in &all {
            let packet = &question[..usize::from(question[QUESTION_BYTES - 1])];
            assert!(packet.ends_with(&[&OPT[15..], &[7; 16]].concat()) && packet.len() < QUESTION_BYTES, "{packet:?}");
        }
        let types = |qtype: u8| all.iter().filter(|question| question.windows(5).any(|bytes| bytes == [0, 0, qtype, 0, 1])).count();
        assert_eq!((types(12), types(28)), (200, 50));
    }

    #[test]
    fn answers_and_losses_are_told_apart_and_timed() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut packet = [0; 256];
            for turn in 0u32.. {
                let (len, from) = server.recv_from(&mut packet).unwrap();
                packet[2] = 0x84;
                // The first reply brings a cookie; one in fifty is lost, another is a refusal.
                let reply = if turn == 0 { [&packet[..len], &[1; 16]].concat() } else { packet[..len].to_vec() };
                let reply = if turn % 50 == 9 { [&reply[..3], &[5], &reply[4..]].concat() } else { reply };
                if turn % 50 != 8 {
                    server.send_to(&reply, from).unwrap();
                }
            }
        });
        let mut flood = Flood::towards(address, 1000).unwrap();
        let mut tally = flood.closed(8, Duration::from_millis(300)).unwrap();
        assert!(tally.answered > 50 && tally.wrong > 0 && tally.lost > 0, "{} {} {}", tally.answered, tally.wrong, tally.lost);
        assert!(tally.quantile_us(0.5) <= tally.quantile_us(0.99));
        let tally = flood.open(2000, Duration::from_millis(300)).unwrap();
        assert!(tally.answered + tally.wrong + tally.lost <= 601 && tally.answered > 100, "{} {} {}", tally.answered, tally.wrong, tally.lost);
    }
}
