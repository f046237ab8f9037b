//! Who guesses passwords has to wait, longer each time, and nobody else does.
//!
//! A guess counts at its *place*, which is a NAS and a calling station, and for the account as a whole. Each has some tries that are
//! free, because people mistype and machines remember old passwords; then every further wrong one doubles the wait, up to a bound. What
//! is tried meanwhile is refused unseen, looks like a wrong password to who tries it, and makes the wait no longer.
//!
//! Others can keep nobody out with a machine that they came in with before, at whatever NAS: it waits for nothing but what was tried at its
//! very place. With a machine that is new, and at a NAS that names no calling station, a guesser who never rests can take every turn: the
//! waits are bounded, but it is the first who asks that gets it. What that leaves to a patient guesser stands at [`OF_PLACE`] and [`OF_ACCOUNT`].
//!
//! Names of no account wait like those of one, or the wait would tell them apart. They are kept apart, so that whoever makes up names
//! pushes no real one out of memory.

use super::packet::{Packet, attribute};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// At one place: five tries, then one a minute.
const OF_PLACE: Bounds = Bounds { free: 5, longest_secs: 64 };
/// For an account, wherever it is tried: twenty, then one in sixteen seconds, some 5000 a day for whoever is at many places at once.
const OF_ACCOUNT: Bounds = Bounds { free: 20, longest_secs: 16 };
/// After so long without a wrong try it is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);
/// How many are remembered, of accounts and again of names that are none, at about 100 bytes each.
const LIMIT: usize = 32_768;
/// How long a station is one that somebody came in with.
const FAMILIAR_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many such stations are remembered.
const FAMILIAR_LIMIT: usize = 65_536;
/// What counts of a calling station: a MAC with an SSID behind it, a telephone number.
const STATION_LIMIT_BYTES: usize = 64;

/// When the waiting begins, and how long it gets.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    free: u32,
    longest_secs: u64,
}

impl Bounds {
    fn wait(self, wrong: u32) -> Duration {
        match wrong.checked_sub(self.free) {
            None => Duration::ZERO,
            Some(doublings) => Duration::from_secs(1_u64.checked_shl(doublings.min(16)).unwrap_or(u64::MAX).min(self.longest_secs)),
        }
    }
}

/// Where somebody is: the NAS, and what it says of the station.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The NAS's address.
    pub nas: IpAddr,
    /// Calling-Station-Id, as far as it counts; empty where there is none.
    pub station: Box<[u8]>,
}

impl Place {
    pub(super) fn of(packet: &Packet<'_>, nas: IpAddr) -> Self {
        let station = packet.values(attribute::CALLING_STATION_ID).next().unwrap_or_default();
        Self { nas: nas.to_canonical(), station: station[..station.len().min(STATION_LIMIT_BYTES)].into() }
    }
}

/// An account at a place, as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    at_place: Name,
    /// With the same machine, at whatever NAS; the place where the NAS does not name it.
    with_station: Name,
    anywhere: Name,
    is_there: bool,
}

/// What stands for an account, or for one at a place.
type Name = [u8; 16];

impl Who {
    /// `key` is that of the account's row, whether there is one or not.
    pub(super) fn of(key: &[u8], is_there: bool, place: &Place) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(key);
        let anywhere = first_half(&hash);
        // No account's name holds a NUL.
        let mut of_station = hash.clone();
        of_station.update(&[0]).update(b"*").update(&[0]).update(&place.station);
        hash.update(&[0]).update(place.nas.to_string().as_bytes()).update(&[0]).update(&place.station);
        let at_place = first_half(&hash);
        let with_station = if place.station.is_empty() { at_place } else { first_half(&of_station) };
        Self { at_place, with_station, anywhere, is_there }
    }
}

fn first_half(hash: &blake3::Hasher) -> Name {
    *hash.finalize().as_bytes().first_chunk().expect("32 bytes")
}

/// What was tried of late. One worker's: it is shared within its thread, as who checks a password is deep in a conversation.
#[derive(Default)]
pub struct Patience(RefCell<Memory>);

/// It would tell little, and at length.
impl std::fmt::Debug for Patience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patience").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Memory {
    accounts: Tries,
    nobodies: Tries,
    familiar: HashMap<Name, Duration>,
    familiar_by_age: VecDeque<(Duration, Name)>,
}

#[derive(Default)]
struct Tries {
    by_name: HashMap<Name, Wrong>,
    /// In the order of their last wrong try. One that was tried anew is told by its time.
    by_age: VecDeque<(Duration, Name)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Wrong {
    count: u32,
    last: Duration,
    until: Duration,
}

impl Patience {
    /// Whether a password may be tried now. Where there was a wait, this one try is what it was waited for.
    pub fn admits(&self, who: &Who, now: Duration) -> bool {
        self.0.borrow_mut().admits(who, now)
    }

    /// A try that was admitted and could not be looked at: the next one need not wait for it.
    pub fn give_back(&self, who: &Who, now: Duration) {
        self.0.borrow_mut().give_back(who, now);
    }

    /// What came of a try.
    pub fn learn(&self, who: &Who, is_right: bool, now: Duration) {
        let mut memory = self.0.borrow_mut();
        if is_right { memory.right(who, now) } else { memory.wrong(who, now) }
    }
}

impl Memory {
    fn admits(&mut self, who: &Who, now: Duration) -> bool {
        let names = self.names(who, now);
        let tries = self.tries(who);
        tries.expire(now);
        let admits = names.iter().all(|(name, _)| tries.by_name.get(name).is_none_or(|wrong| now >= wrong.until));
        if admits {
            // While it is looked at, no second one is.
            for (name, bounds) in names {
                if let Some(wrong) = tries.by_name.get_mut(&name) {
                    wrong.until = wrong.until.max(now + bounds.wait(wrong.count));
                }
            }
        }
        admits
    }

    fn wrong(&mut self, who: &Who, now: Duration) {
        for (name, bounds) in self.names(who, now) {
            self.tries(who).add(name, bounds, now);
        }
    }

    fn give_back(&mut self, who: &Who, now: Duration) {
        let tries = self.tries(who);
        for name in [who.at_place, who.anywhere] {
            if let Some(wrong) = tries.by_name.get_mut(&name) {
                wrong.until = wrong.until.min(now);
            }
        }
    }

    fn right(&mut self, who: &Who, now: Duration) {
        // The owner's other machines do not wait for this try. What was guessed elsewhere still counts.
        self.give_back(who, now);
        self.tries(who).by_name.remove(&who.at_place);
        self.familiar.insert(who.with_station, now);
        self.familiar_by_age.push_back((now, who.with_station));
        while self.familiar_by_age.front().is_some_and(|(since, _)| now.saturating_sub(*since) > FAMILIAR_FOR) || self.familiar_by_age.len() > FAMILIAR_LIMIT {
            let Some((since, name)) = self.familiar_by_age.pop_front() else { break };
            // One that came in again since is told by its time.
            if self.familiar.get(&name) == Some(&since) {
                self.familiar.remove(&name);
            }
        }
    }

    /// What a try counts for. With a machine that somebody came in with before, it is that place alone.
    fn names(&self, who: &Who, now: Duration) -> Vec<(Name, Bounds)> {
        let is_familiar = self.familiar.get(&who.with_station).is_some_and(|since| now.saturating_sub(*since) <= FAMILIAR_FOR);
        let place = (who.at_place, OF_PLACE);
        if is_familiar { vec![place] } else { vec![place, (who.anywhere, OF_ACCOUNT)] }
    }

    fn tries(&mut self, who: &Who) -> &mut Tries {
        if who.is_there { &mut self.accounts } else { &mut self.nobodies }
    }
}

impl Tries {
    fn add(&mut self, name: Name, bounds: Bounds, now: Duration) {
        if self.by_age.len() >= LIMIT {
            self.drop_oldest();
        }
        let wrong = self.by_name.entry(name).or_default();
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        wrong.until = wrong.until.max(now + bounds.wait(wrong.count));
        self.by_age.push_back((now, name));
    }

    fn expire(&mut self, now: Duration) {
        while self.by_age.front().is_some_and(|(last, _)| now.saturating_sub(*last) > FORGOTTEN_AFTER) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((last, name)) = self.by_age.pop_front() else { return };
        if self.by_name.get(&name).is_some_and(|wrong| wrong.last == last) {
            self.by_name.remove(&name);
        }
    }
}

/// Who watches over tries, and when it is: of a clock that never runs back, whenever it began.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// What was tried of late.
    pub patience: &'a Patience,
    /// Now.
    pub now: Duration,
}

/// The same, at one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate<'a> {
    pub watch: Watch<'a>,
    pub place: &'a Place,
}

impl Gate<'_> {
    pub fn admits(&self, who: &Who) -> bool {
        self.watch.patience.admits(who, self.watch.now)
    }

    pub fn learn(&self, who: &Who, is_right: bool) {
        self.watch.patience.learn(who, is_right, self.watch.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn at(place: u8, account: &str) -> Who {
        Who::of(account.as_bytes(), true, &Place { nas: [10, 1, 4, place].into(), station: [place].into() })
    }

    fn guess(patience: &Patience, who: &Who, now: Duration) -> bool {
        let admitted = patience.admits(who, now);
        if admitted {
            patience.learn(who, false, now);
        }
        admitted
    }

    #[test]
    fn five_are_free_and_then_each_waits_twice_as_long_up_to_a_minute() {
        let (patience, ada) = (Patience::default(), at(1, "ada"));
        assert!((0..5).all(|_| guess(&patience, &ada, secs(0))));
        let taken: Vec<u64> = (0..400).filter(|now| guess(&patience, &ada, secs(*now))).collect();
        assert_eq!(taken, [1, 3, 7, 15, 31, 63, 127, 191, 255, 319, 383]);
        assert!(guess(&patience, &at(1, "eve"), secs(400)), "another account does not wait");
        assert!(patience.admits(&ada, secs(383) + FORGOTTEN_AFTER + secs(1)) && guess(&patience, &ada, secs(383) + FORGOTTEN_AFTER + secs(1)));
    }

    #[test]
    fn a_right_password_ends_the_wait_at_its_place_and_is_taken_there_whoever_guesses_elsewhere() {
        let (patience, home) = (Patience::default(), at(1, "ada"));
        assert!((0..4).all(|_| guess(&patience, &home, secs(0))) && patience.admits(&home, secs(0)));
        patience.learn(&home, true, secs(0));
        // A guesser who is everywhere, all the time.
        for now in 1..2000 {
            (2..200).for_each(|place| {
                guess(&patience, &at(place, "ada"), secs(now));
            });
            assert!(patience.admits(&home, secs(now)), "second {now}");
        }
        let tried = (2000..2160).filter(|now| (2..200).any(|place| guess(&patience, &at(place, "ada"), secs(*now)))).count();
        assert_eq!(tried, 10, "one in sixteen seconds");
        // At a place of its own it waits, but not for ever.
        assert!((2200..2216).any(|now| patience.admits(&at(250, "ada"), secs(now))));
    }

    #[test]
    fn who_came_in_is_known_at_other_nass_day_by_day_and_lets_their_other_machines_in() {
        let (patience, day) = (Patience::default(), 24 * 3600);
        let with = |nas: u8, station: &str| Who::of(b"ada", true, &Place { nas: [10, 1, 4, nas].into(), station: station.as_bytes().into() });
        for today in 0..30 {
            let now = secs(1 + today * day);
            patience.learn(&with(1, "laptop"), true, now);
            (10..250).for_each(|nas| {
                guess(&patience, &with(nas, "stranger"), now);
            });
            assert!(patience.admits(&with(2, "laptop"), now), "day {today}: at another NAS");
        }
        // The turn that a right password took of the account is given back to a second machine.
        let now = secs(30 * day);
        (0..30).for_each(|_| patience.learn(&with(9, "stranger"), false, now));
        let later = now + secs(17);
        assert!(patience.admits(&with(3, "telephone"), later) && !patience.admits(&with(3, "tablet"), later));
        patience.learn(&with(3, "telephone"), true, later);
        assert!(patience.admits(&with(3, "tablet"), later));
        patience.give_back(&with(3, "tablet"), later);
        assert!(patience.admits(&with(3, "tablet"), later), "it could not be looked at");
    }

    #[test]
    fn many_at_once_get_one_look_when_the_wait_is_over() {
        let (patience, ada) = (Patience::default(), at(1, "ada"));
        (0..9).for_each(|_| patience.learn(&ada, false, secs(0)));
        assert_eq!((0..50).filter(|_| patience.admits(&ada, secs(100))).count(), 1);
    }

    #[test]
    fn made_up_names_wait_like_others_and_push_no_account_out() {
        let patience = Patience::default();
        let nobody = |number: u32| Who::of(&number.to_le_bytes(), false, &Place { nas: [10, 1, 4, 1].into(), station: [].into() });
        (0..9).for_each(|_| patience.learn(&at(1, "ada"), false, secs(0)));
        (0..9).for_each(|_| patience.learn(&nobody(0), false, secs(0)));
        assert!(!patience.admits(&at(1, "ada"), secs(1)) && !patience.admits(&nobody(0), secs(1)));
        (1..=2 * LIMIT as u32).for_each(|number| patience.learn(&nobody(number), false, secs(1)));
        assert!(!patience.admits(&at(1, "ada"), secs(2)));
        let memory = patience.0.borrow();
        assert!(memory.nobodies.by_name.len() <= LIMIT && memory.nobodies.by_age.len() <= LIMIT);
    }

    proptest! {
        #[test]
        fn nobody_waits_longer_than_a_minute(tries in proptest::collection::vec((0u8..4, 0u64..90, any::<bool>()), 0..300)) {
            let (patience, mut now) = (Patience::default(), secs(0));
            for (place, pause, is_right) in tries {
                now += secs(pause);
                let who = at(place, "ada");
                if patience.admits(&who, now) {
                    patience.learn(&who, is_right, now);
                }
            }
            for place in 0..4 {
                prop_assert!(Patience::admits(&patience, &at(place, "ada"), now + secs(64)) || place > 0, "the account's own wait is taken by the first");
            }
        }
    }
}
