//! Who asks most, in a table of fixed size however many ask: Space-Saving (Metwally, Agrawal, El Abbadi, 2005), a small one for each
//! hash, so that a look costs a few cache lines.
//!
//! A count is never too low, and too high by its `error` at most; who asked more than one part in a thousand is among them.

use std::hash::BuildHasher;
use std::net::IpAddr;

const WAYS: usize = 8;
const SETS: usize = 256;

/// One who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talker {
    /// Its address.
    pub client: IpAddr,
    /// How often, at most.
    pub count: u64,
    /// How much of that may have been others'.
    pub error: u64,
}

/// Who asked most since the beginning.
#[derive(Debug)]
pub struct Talkers {
    sets: Box<[[Option<Talker>; WAYS]]>,
    hasher: foldhash::fast::RandomState,
}

impl Default for Talkers {
    fn default() -> Self {
        Self { sets: vec![[None; WAYS]; SETS].into(), hasher: foldhash::fast::RandomState::default() }
    }
}

impl Talkers {
    /// Counts questions of a client.
    #[inline]
    pub fn count(&mut self, client: IpAddr, questions: u64) {
        self.add(Talker { client, count: questions, error: 0 });
    }

    fn add(&mut self, more: Talker) {
        let set = &mut self.sets[self.hasher.hash_one(more.client) as usize % SETS];
        let known = set.iter().position(|place| place.is_some_and(|talker| talker.client == more.client));
        let place = known.or_else(|| set.iter().position(Option::is_none));
        match place.map(|at| &mut set[at]) {
            Some(Some(talker)) => {
                talker.count += more.count;
                talker.error += more.error;
            }
            Some(empty) => *empty = Some(more),
            // The one that asked least makes room, and what it asked may have been the new one's.
            None => {
                if let Some(least) = set.iter_mut().flatten().min_by_key(|talker| talker.count) {
                    *least = Talker { client: more.client, count: least.count + more.count, error: least.count + more.error };
                }
            }
        }
    }

    /// Takes over what another counted, and leaves it with nothing.
    pub fn absorb(&mut self, other: &mut Self) {
        for place in other.sets.iter_mut().flatten() {
            if let Some(talker) = place.take() {
                self.add(talker);
            }
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.sets.fill([None; WAYS]);
    }

    /// So many of those that asked most, the loudest first.
    pub fn top(&self, count: usize) -> Vec<Talker> {
        let mut all: Vec<Talker> = self.sets.iter().flatten().flatten().copied().collect();
        all.sort_by_key(|talker| (std::cmp::Reverse(talker.count), talker.client));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn client(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    #[test]
    fn few_are_counted_exactly_and_in_order() {
        let mut talkers = Talkers::default();
        for (number, questions) in [(1, 5), (2, 9), (1, 1), (3, 9)] {
            talkers.count(client(number), questions);
        }
        let top: Vec<_> = talkers.top(2).iter().map(|talker| (talker.client, talker.count, talker.error)).collect();
        assert_eq!(top, [(client(2), 9, 0), (client(3), 9, 0)]);
        let mut all = Talkers::default();
        all.count(client(1), 100);
        all.absorb(&mut talkers);
        assert_eq!((all.top(1)[0].count, talkers.top(9).len()), (106, 0));
        all.clear();
        assert_eq!(all.top(9), []);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn the_loudest_are_found_among_any_crowd(crowd in 1u32..30_000, loud in proptest::collection::btree_set(0u32..1_000_000, 1..10)) {
            let (mut talkers, mut real) = (Talkers::default(), HashMap::<IpAddr, u64>::new());
            let mut hear = |number: u32, questions: u64| {
                talkers.count(client(number), questions);
                *real.entry(client(number)).or_default() += questions;
            };
            for round in 0..10 {
                loud.iter().for_each(|number| hear(*number, 500));
                (0..crowd / 10).for_each(|number| hear(2_000_000 + round * crowd + number, 1));
            }
            let top = talkers.top(loud.len());
            prop_assert!(loud.iter().all(|number| top.iter().any(|talker| talker.client == client(*number))));
            for talker in talkers.top(usize::MAX) {
                let asked = real.get(&talker.client).copied().unwrap_or_default();
                prop_assert!(talker.count >= asked && talker.count - talker.error <= asked, "{:?} {}", talker, asked);
            }
        }
    }
}
