//! How many TLS handshakes are begun. Each costs a signature on the thread that answers everybody, and takes no password to ask for, so
//! without a bound whoever has a radio near one NAS could keep a whole campus out.
//!
//! What is over the bound is not answered: NASs ask again after some seconds, machines begin anew. After a power cut a campus of
//! thousands comes back within a minute that way, and PAP and everybody who is in the middle of a conversation do not notice.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// What one NAS may begin in a second, and at once. A controller of 10 000 radios has all of them back in 100 seconds.
const OF_NAS: Rate = Rate { per_second: 100, at_once: 200 };
/// What all of them may together: well below half of a slow core with RSA-2048.
const OF_ALL: Rate = Rate { per_second: 300, at_once: 300 };
/// How many NASs are remembered. One that has begun nothing for a while is like one that never has.
const LIMIT: usize = 4096;

/// A handshake, as buckets count.
const ONE: u64 = 1_000_000_000;

#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: u32,
    at_once: u32,
}

/// What was begun of late.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    all: Bucket,
    of_nas: HashMap<IpAddr, Bucket>,
}

/// Full when it is made.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Taken out and not filled up yet, in billionths of a handshake: what a nanosecond fills is never lost, however often it is asked.
    missing: u64,
    at: Duration,
}

impl Bucket {
    fn settle(&mut self, rate: Rate, now: Duration) {
        let filled = now.saturating_sub(self.at).as_nanos().saturating_mul(u128::from(rate.per_second));
        self.missing = self.missing.saturating_sub(u64::try_from(filled).unwrap_or(u64::MAX));
        self.at = self.at.max(now);
    }

    fn has_one(&self, rate: Rate) -> bool {
        self.missing + ONE <= u64::from(rate.at_once) * ONE
    }
}

impl Handshakes {
    /// Whether a NAS may begin one now.
    pub fn admits(&mut self, nas: IpAddr, now: Duration) -> bool {
        if self.of_nas.len() >= LIMIT && !self.of_nas.contains_key(&nas) {
            self.of_nas.retain(|_, bucket| {
                bucket.settle(OF_NAS, now);
                bucket.missing > 0
            });
            if self.of_nas.len() >= LIMIT {
                return false;
            }
        }
        let own = self.of_nas.entry(nas).or_default();
        own.settle(OF_NAS, now);
        self.all.settle(OF_ALL, now);
        let admits = own.has_one(OF_NAS) && self.all.has_one(OF_ALL);
        if admits {
            own.missing += ONE;
            self.all.missing += ONE;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nas(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a01_0000 + number).into()
    }

    #[test]
    fn one_nas_takes_nothing_from_the_others_and_all_together_have_a_bound() {
        let (mut handshakes, now) = (Handshakes::default(), Duration::from_secs(9));
        assert_eq!((0..5000).filter(|_| handshakes.admits(nas(1), now)).count(), 200);
        assert!(handshakes.admits(nas(2), now));
        assert_eq!((0..5000).filter(|number| handshakes.admits(nas(*number), now)).count(), 99, "the others have what is left");
        let later = now + Duration::from_millis(500);
        assert_eq!((0..5000).filter(|_| handshakes.admits(nas(1), later)).count(), 50);
        assert!(handshakes.of_nas.len() <= LIMIT);
        assert!(handshakes.admits(nas(9999), now + Duration::from_secs(60)), "those that were quiet are forgotten");
    }

    #[test]
    fn the_more_who_ask_the_no_fewer_begin() {
        for micros in [37, 200, 999, 2500] {
            let (mut handshakes, mut now, mut begun) = (Handshakes::default(), Duration::ZERO, 0);
            while now < Duration::from_secs(10) {
                now += Duration::from_micros(micros);
                begun += u32::from(handshakes.admits(nas(1), now)) + u32::from(handshakes.admits(nas(2), now));
            }
            assert!((2 * 1190..=2 * 1200).contains(&begun), "every {micros} us: {begun} in ten seconds");
        }
    }

    proptest! {
        #[test]
        fn no_pace_gets_more_than_its_rate(pauses in proptest::collection::vec(0u64..40, 1..2000)) {
            let (mut handshakes, mut now, mut begun) = (Handshakes::default(), Duration::ZERO, 0);
            for pause in pauses {
                now += Duration::from_millis(pause);
                begun += u128::from(handshakes.admits(nas(1), now));
            }
            prop_assert!(begun * 1000 <= 200 * 1000 + now.as_millis() * 100);
        }
    }
}
