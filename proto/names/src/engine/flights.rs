//! What is being asked for, each thing once, however many wait for it (RFC 5452 section 5: questions that are under way twice are
//! twice as easily guessed).
//!
//! One task owns the list. What comes back goes into the cache first and then to whoever waits. A client whose answer has run out
//! waits for a newer one for a moment, and then has the old one (RFC 8767 section 5).

use super::desk::{Desk, Order, Waiter};
use holdfast_proto::dns::ExtendedError;
use holdfast_proto::dns::resolver::{Answer, End, Wanted};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout};

/// Questions under way at once: at a second each, more than a campus asks for.
const FLIGHT_LIMIT: usize = 4096;
/// Clients that wait for one and the same answer.
const WAITER_LIMIT: usize = 1024;
/// How long a client waits where there is an answer that has run out, RFC 8767 section 5.
const STALE_AFTER: Duration = Duration::from_millis(1800);

/// What is asked for, and whether it came from another box of ours: those are not handed to a third, so they do not wait for us.
type Key = (Wanted, bool);

struct Flights {
    desk: Arc<Desk>,
    waiting: HashMap<Key, Vec<Waiter>>,
    under_way: JoinSet<Result<Answer, ExtendedError>>,
    keys: HashMap<Id, Key>,
    clients: HashMap<IpAddr, usize>,
    /// When clients with an old answer have waited long enough, in order.
    patience: VecDeque<(Instant, Key)>,
}

/// Takes orders for as long as it is polled.
pub(super) async fn run(mut orders: mpsc::Receiver<Order>, desk: Arc<Desk>) -> Infallible {
    let mut flights =
        Flights { desk, waiting: HashMap::new(), under_way: JoinSet::new(), keys: HashMap::new(), clients: HashMap::new(), patience: VecDeque::new() };
    loop {
        let next_late = flights.patience.front().map(|(at, _)| *at);
        tokio::select! {
            Some(order) = orders.recv() => flights.take(order),
            Some(landed) = flights.under_way.join_next_with_id() => {
                let (id, result) = match landed {
                    Ok((id, result)) => (id, result),
                    // It fell over, which the log tells; whoever waits shall not.
                    Err(fallen) => (fallen.id(), Err(ExtendedError::InvalidData)),
                };
                flights.land(id, result);
            }
            () = tokio::time::sleep_until(next_late.unwrap_or_else(Instant::now)), if next_late.is_some() => flights.console(),
        }
        flights.desk.counters.flights.set(flights.waiting.len() as f64);
    }
}

impl Flights {
    fn take(&mut self, order: Order) {
        let Order { wanted, hops, waiter } = order;
        // Where there is no third, all are asked the same, whoever asks.
        let key = (wanted, hops > 0 && self.desk.sources.tiers.has_peers());
        if let Some(waiter) = &waiter
            && !self.admit(waiter)
        {
            self.desk.counters.overflowed.increment(1);
            return self.desk.settle(waiter, End::Failed(ExtendedError::NetworkError));
        }
        if let Some(waiters) = self.waiting.get_mut(&key) {
            self.desk.counters.joined.increment(1);
            if waiters.len() < WAITER_LIMIT {
                Self::wait(waiters, waiter, &mut self.patience, &key);
            } else {
                self.turn_away(waiter);
            }
            return;
        }
        if self.waiting.len() >= FLIGHT_LIMIT {
            return self.turn_away(waiter);
        }
        let (desk, wanted) = (Arc::clone(&self.desk), key.0.clone());
        let started = self.under_way.spawn(async move {
            // A name that is held up by whoever serves it takes a place from others.
            timeout(desk.flights.time, desk.resolve(&wanted, hops, None)).await.unwrap_or(Err(ExtendedError::NetworkError))
        });
        self.keys.insert(started.id(), key.clone());
        let mut waiters = Vec::new();
        Self::wait(&mut waiters, waiter, &mut self.patience, &key);
        self.waiting.insert(key, waiters);
    }

    fn wait(waiters: &mut Vec<Waiter>, waiter: Option<Waiter>, patience: &mut VecDeque<(Instant, Key)>, key: &Key) {
        let Some(waiter) = waiter else { return };
        if waiter.has_stale {
            patience.push_back((Instant::now() + STALE_AFTER, key.clone()));
        }
        waiters.push(waiter);
    }

    /// There is no room for it: a client is told so, and need not wait for nothing.
    fn turn_away(&mut self, waiter: Option<Waiter>) {
        self.desk.counters.overflowed.increment(1);
        if let Some(waiter) = waiter {
            self.release(&waiter);
            self.desk.settle(&waiter, End::Failed(ExtendedError::NetworkError));
        }
    }

    /// Counts a client in, unless it waits for too much already.
    fn admit(&mut self, waiter: &Waiter) -> bool {
        let count = self.clients.entry(site(waiter.peer.address.ip())).or_default();
        let has_room = *count < self.desk.flights.of_client;
        *count += usize::from(has_room);
        has_room
    }

    fn release(&mut self, waiter: &Waiter) {
        let client = site(waiter.peer.address.ip());
        match self.clients.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.clients.remove(&client)),
        }
    }

    fn land(&mut self, id: Id, result: Result<Answer, ExtendedError>) {
        let Some(key) = self.keys.remove(&id) else { return };
        let (result, now_s) = (result.map(Arc::new), self.desk.sources.now_s());
        match &result {
            Ok(answer) => self.desk.sources.cache.keep(answer, now_s),
            Err(why) if !key.1 => self.desk.sources.cache.fail(&key.0, *why, now_s),
            // Less was tried than would be for our own.
            Err(_) => {}
        }
        for waiter in self.waiting.remove(&key).unwrap_or_default() {
            self.release(&waiter);
            self.desk.settle(&waiter, result.as_ref().map_or_else(|why| End::Failed(*why), |answer| End::Found(answer)));
        }
    }

    /// Gives old answers to those that have waited long enough.
    fn console(&mut self) {
        let now = Instant::now();
        while self.patience.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.patience.pop_front() else { return };
            let Some(waiters) = self.waiting.get_mut(&key) else { continue };
            let is_late = |waiter: &mut Waiter| waiter.has_stale && waiter.since.elapsed() >= STALE_AFTER;
            let late: Vec<Waiter> = waiters.extract_if(.., is_late).collect();
            for waiter in late {
                self.release(&waiter);
                self.desk.settle(&waiter, End::Late);
            }
        }
    }
}

/// One client has one IPv4 address, and a whole IPv6 subnet of 64 bits.
fn site(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
