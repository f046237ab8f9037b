//! Response-rate limiting: a forged question must not make us a weapon against the address that it is forged with.
//!
//! Who may hear how many answers is counted by network (/24, /56), because a victim is one, and a single address is easily
//! changed for its neighbour. One count is kept for each answer (the same row, the same zone's "no such name"), another for all
//! that a network is told. Clients with a good cookie are not counted: they have proven where they are.
//!
//! What it refuses: to grow, and to lock. A count is one number, the time at which the network will have paid for what it
//! was told (the generic cell rate algorithm), and the numbers stand in a table of fixed size that all workers share.

use super::Told;
use super::cookie::CookieState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counts that one hash may stand in: a cache line.
const WAYS: usize = 8;
/// A count is a mark of whose it is above a time in microseconds; 48 bits of those are nine years.
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// How much is too much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How often in a second a network may hear one and the same answer.
    pub same_per_second: u32,
    /// How many answers in a second a network may hear in all.
    pub all_per_second: u32,
    /// For how many seconds' worth of answers nobody is asked to wait.
    pub burst_seconds: u32,
    /// Every so many of those that are held back go out cut, so that whoever is real comes again by TCP; 0 for none of them.
    pub slip: u32,
    /// How many counts are kept; eight bytes each.
    pub counts: usize,
}

/// What is to be done with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it.
    Pass,
    /// Send it cut.
    Slip,
    /// Send nothing.
    Drop,
}

/// The counts of one box.
pub struct Limiter {
    limits: Limits,
    counts: Box<[[AtomicU64; WAYS]]>,
    held_back: AtomicU32,
    hasher: foldhash::quality::RandomState,
}

impl Limiter {
    /// Nobody has been told anything yet.
    pub fn new(limits: Limits) -> Self {
        let lines = (limits.counts / WAYS).next_power_of_two();
        let counts = (0..lines).map(|_| Default::default()).collect();
        Self { limits, counts, held_back: AtomicU32::new(0), hasher: foldhash::quality::RandomState::default() }
    }

    /// Whether a client may be told this now; `now_us` is of a clock that never goes back.
    pub fn judge(&self, client: IpAddr, told: &Told, now_us: u64) -> Verdict {
        if told.cookie == CookieState::Good || client.is_loopback() {
            return Verdict::Pass;
        }
        let network = network_of(client);
        let same = self.take((network, told.kind as u8, told.source), self.limits.same_per_second, now_us);
        if same && self.take((network, u8::MAX, 0), self.limits.all_per_second, now_us) {
            return Verdict::Pass;
        }
        let number = self.held_back.fetch_add(1, Relaxed);
        if self.limits.slip > 0 && number.is_multiple_of(self.limits.slip) { Verdict::Slip } else { Verdict::Drop }
    }

    /// Takes one answer's worth from a count; `false` where it is spent. Two workers that come at once may let one answer too many
    /// through, which is nobody's harm.
    fn take(&self, key: (u128, u8, u64), per_second: u32, now_us: u64) -> bool {
        let Some(cost_us) = 1_000_000u64.checked_div(u64::from(per_second)) else { return true };
        let hash = self.hasher.hash_one(key);
        let mark = hash >> TIME_BITS << TIME_BITS;
        let line = &self.counts[hash as usize & (self.counts.len() - 1)];
        let (mut place, mut oldest) = (&line[0], u64::MAX);
        for count in line {
            let value = count.load(Relaxed);
            if value & !TIME_MASK == mark {
                (place, oldest) = (count, value & TIME_MASK);
                break;
            }
            if value & TIME_MASK < oldest {
                (place, oldest) = (count, value & TIME_MASK);
            }
        }
        let is_own = place.load(Relaxed) & !TIME_MASK == mark;
        let paid_us = if is_own { oldest.max(now_us) } else { now_us };
        let spent = paid_us - now_us >= u64::from(self.limits.burst_seconds) * 1_000_000;
        if !spent {
            place.store(mark | ((paid_us + cost_us) & TIME_MASK), Relaxed);
        }
        !spent
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limiter({:?})", self.limits)
    }
}

/// Of IPv4 a /24, of IPv6 a /56: what one household or one small site has.
fn network_of(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8) | 0xffff << 96,
        IpAddr::V6(v6) => v6.to_bits() >> 72,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Kind, Rcode};
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { same_per_second: 10, all_per_second: 50, burst_seconds: 1, slip: 2, counts: 1024 };

    fn told(source: u64) -> Told {
        Told { rcode: Rcode::NoError, qtype: 1, truncated: false, cookie: CookieState::Without, kind: Kind::Data, source }
    }

    /// How many of these pass.
    fn passed<'a>(limiter: &Limiter, clients: impl IntoIterator<Item = (&'a str, Told, u64)>) -> usize {
        let judge = |(client, told, now_us): (&str, Told, u64)| limiter.judge(client.parse().unwrap(), &told, now_us);
        clients.into_iter().filter(|client| judge(*client) == Verdict::Pass).count()
    }

    #[test]
    fn the_same_answer_is_told_so_often_in_a_burst_and_then_at_its_rate() {
        let limiter = Limiter::new(LIMITS);
        assert_eq!(passed(&limiter, (0..100).map(|_| ("192.0.2.1", told(1), 5))), 10);
        assert_eq!(passed(&limiter, (0..1000).map(|n| ("192.0.2.1", told(1), 5 + n * 10_000))), 100, "ten seconds at ten a second");
        // Whoever was quiet has its burst again.
        assert_eq!(passed(&limiter, (0..100).map(|_| ("192.0.2.1", told(1), 60_000_000))), 10);
    }

    #[test]
    fn networks_and_answers_count_by_themselves_and_a_network_as_a_whole() {
        let limiter = Limiter::new(LIMITS);
        assert_eq!(passed(&limiter, (0..20).map(|_| ("192.0.2.1", told(1), 5))), 10);
        assert_eq!(passed(&limiter, (0..20).map(|_| ("192.0.2.254", told(1), 5))), 0, "the neighbour");
        assert_eq!(passed(&limiter, (0..20).map(|_| ("192.0.3.1", told(1), 5))), 10, "another network");
        assert_eq!(passed(&limiter, (0..20).map(|_| ("192.0.2.1", told(2), 5))), 10, "another answer");
        assert_eq!(passed(&limiter, (0..20).map(|_| ("192.0.2.1", Told { kind: Kind::Missing, ..told(1) }, 5))), 10);
        assert_eq!(passed(&limiter, (0..100).map(|n| ("192.0.2.1", told(100 + n), 5))), 20, "fifty in all, of which thirty were told before");
        let v6 = ["2001:db8:0:100::1", "2001:db8:0:1ff::2", "2001:db8:0:200::1"];
        assert_eq!(v6.map(|client| passed(&limiter, (0..20).map(|_| (client, told(1), 5)))), [10, 0, 10]);
    }

    #[test]
    fn who_has_proven_where_it_is_is_not_held_back() {
        let limiter = Limiter::new(LIMITS);
        let good = Told { cookie: CookieState::Good, ..told(1) };
        assert_eq!(passed(&limiter, (0..500).map(|_| ("192.0.2.1", good, 5))), 500);
        assert_eq!(passed(&limiter, (0..500).flat_map(|_| [("127.0.0.1", told(1), 5), ("::1", told(1), 5)])), 1000);
        let unproven = Told { cookie: CookieState::Unproven, ..told(1) };
        assert_eq!(passed(&limiter, (0..500).map(|_| ("192.0.2.1", unproven, 5))), 10);
    }

    #[test]
    fn every_so_many_that_are_held_back_slip_through_cut() {
        for (slip, slipped) in [(0, 0), (1, 90), (2, 45), (3, 30)] {
            let limiter = Limiter::new(Limits { slip, ..LIMITS });
            let verdicts: Vec<Verdict> = (0..100).map(|_| limiter.judge("192.0.2.1".parse().unwrap(), &told(1), 5)).collect();
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Slip).count(), slipped);
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Pass).count(), 10);
        }
    }

    #[test]
    fn a_rate_of_zero_holds_nobody_back() {
        let limiter = Limiter::new(Limits { same_per_second: 0, all_per_second: 0, ..LIMITS });
        assert_eq!(passed(&limiter, (0..500).map(|_| ("192.0.2.1", told(1), 5))), 500);
    }

    proptest! {
        /// Whatever the others do to the table, nobody is told more than its burst and its rate for each time that it is forgotten,
        /// and a table with room for all forgets nobody.
        #[test]
        fn with_room_for_all_counts_are_exact(clients in proptest::collection::vec((0u8..4, 0u64..2000), 1..300)) {
            let limiter = Limiter::new(Limits { all_per_second: 0, counts: 1 << 16, ..LIMITS });
            let (mut now, mut tat) = (0, [0u64; 4]);
            for (client, pause_ms) in clients {
                now += pause_ms * 100;
                let paid = tat[usize::from(client)].max(now);
                let passes = paid - now < 1_000_000;
                if passes {
                    tat[usize::from(client)] = paid + 100_000;
                }
                let verdict = limiter.judge(IpAddr::from([10, 0, client, 1]), &told(1), now);
                prop_assert_eq!(verdict == Verdict::Pass, passes);
            }
        }
    }
}
