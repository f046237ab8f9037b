//! Which requests were answered a moment ago, and how (RFC 5080 section 2.2.2): a NAS that asks again gets the same bytes
//! again, and a request that is still being worked on is not worked on twice.
//!
//! Only requests that the core took seriously are remembered, so strangers cannot fill it.

use holdfast_proto::radius::packet::Authenticator;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a reply is kept: past the retransmits of a patient NAS (3 tries, 5 s apart).
const KEPT: Duration = Duration::from_secs(20);
/// How many are kept: at 200 bytes each a few megabytes, at 1.3 KB for pieces of certificates twenty; beyond it the oldest goes.
const LIMIT: usize = 16_384;

/// What makes a request the same one: who, which, and its random authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RequestKey {
    from: SocketAddr,
    id: u8,
    authenticator: Authenticator,
}

impl RequestKey {
    /// `None` for datagrams without a whole header.
    pub fn of(from: SocketAddr, datagram: &[u8]) -> Option<Self> {
        let header = datagram.first_chunk::<20>()?;
        Some(Self { from, id: header[1], authenticator: *header[4..].first_chunk()? })
    }
}

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    Never,
    InProgress,
    Answered(&'a [u8]),
}

#[derive(Debug, Default)]
pub(super) struct Duplicates {
    /// No bytes: in progress.
    requests: HashMap<RequestKey, Entry>,
    /// In the order they came. An entry that was forgotten or came anew is told by its time.
    order: VecDeque<(Instant, RequestKey)>,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    reply: Option<Box<[u8]>>,
}

impl Duplicates {
    pub fn seen(&mut self, key: &RequestKey, now: Instant) -> Seen<'_> {
        self.expire(now);
        match self.requests.get(key) {
            None => Seen::Never,
            Some(Entry { reply: None, .. }) => Seen::InProgress,
            Some(Entry { reply: Some(reply), .. }) => Seen::Answered(reply),
        }
    }

    /// Remembers that a request is worked on.
    pub fn begin(&mut self, key: RequestKey, now: Instant) {
        if self.order.len() >= LIMIT {
            self.drop_oldest();
        }
        self.requests.insert(key, Entry { since: now, reply: None });
        self.order.push_back((now, key));
    }

    /// Remembers the reply, where the request is still remembered.
    pub fn finish(&mut self, key: &RequestKey, reply: &[u8]) {
        if let Some(entry) = self.requests.get_mut(key) {
            entry.reply = Some(reply.into());
        }
    }

    /// A request that was dropped after all: its retransmit starts afresh.
    pub fn forget(&mut self, key: &RequestKey) {
        self.requests.remove(key);
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(since, _)| now.duration_since(*since) > KEPT) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((since, key)) = self.order.pop_front() else { return };
        if self.requests.get(&key).is_some_and(|entry| entry.since == since) {
            self.requests.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> RequestKey {
        let mut datagram = [0; 20];
        datagram[4..8].copy_from_slice(&number.to_be_bytes());
        RequestKey::of("10.1.4.20:1024".parse().unwrap(), &datagram).unwrap()
    }

    #[test]
    fn a_request_is_remembered_from_begin_to_expiry() {
        let (mut duplicates, start) = (Duplicates::default(), Instant::now());
        assert_eq!(duplicates.seen(&key(1), start), Seen::Never);
        duplicates.begin(key(1), start);
        assert_eq!(duplicates.seen(&key(1), start), Seen::InProgress);
        duplicates.finish(&key(1), b"reply");
        assert_eq!(duplicates.seen(&key(1), start + KEPT), Seen::Answered(b"reply"));
        assert_eq!(duplicates.seen(&key(2), start), Seen::Never);
        assert_eq!(duplicates.seen(&key(1), start + KEPT + Duration::from_millis(1)), Seen::Never);
        duplicates.finish(&key(1), b"late");
        assert_eq!(duplicates.seen(&key(1), start), Seen::Never);
    }

    #[test]
    fn the_oldest_makes_room_and_a_forgotten_one_may_come_again() {
        let (mut duplicates, start) = (Duplicates::default(), Instant::now());
        duplicates.begin(key(0), start);
        duplicates.forget(&key(0));
        duplicates.begin(key(0), start + Duration::from_secs(1));
        for number in 1..LIMIT as u32 {
            duplicates.begin(key(number), start + Duration::from_secs(2));
        }
        assert_eq!(duplicates.seen(&key(0), start), Seen::InProgress, "the forgotten entry went, the new one stayed");
        duplicates.begin(key(LIMIT as u32), start + Duration::from_secs(2));
        assert_eq!(duplicates.seen(&key(0), start), Seen::Never);
        assert!(duplicates.requests.len() <= LIMIT && duplicates.order.len() <= LIMIT);
    }
}
