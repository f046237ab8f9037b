use super::*;
use crate::dns::resolver::accept::{Answer, Heard, hear};
use crate::dns::resolver::cache::{Cache, Held, Limits};
use crate::dns::{ExtendedError, Transport};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

fn answer(name: &str, ttl_s: u32) -> Arc<Answer> {
    let question = question(&wanted(name, "A"));
    match hear(&question, &reply(&question, 0, [&[&format!("{name} {ttl_s} A 192.0.2.1")], &[], &[]]), Transport::Udp).0 {
        Heard::Answer(answer) => Arc::from(answer),
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Fresh(u32),
    Refresh(u32),
    Stale,
    StaleAfterFailure,
    Failed,
    Nothing,
}

fn seen(cache: &Cache, name: &str, now_s: u32) -> Seen {
    cache.look(wanted(name, "A").key(), now_s, |held| match held {
        Held::Fresh { age_s, refresh: false, .. } => Seen::Fresh(age_s),
        Held::Fresh { age_s, refresh: true, .. } => Seen::Refresh(age_s),
        Held::Stale { failed: false, .. } => Seen::Stale,
        Held::Stale { failed: true, .. } => Seen::StaleAfterFailure,
        Held::Failed(_) => Seen::Failed,
        Held::Nothing => Seen::Nothing,
    })
}

#[test]
fn an_answer_is_good_then_fetched_ahead_once_then_old_then_gone() {
    let cache = Cache::new(Limits { stale_s: 1000, ..Limits::default() });
    cache.keep(&answer("a.example", 100), 50);
    let times = [50, 140, 141, 142, 150, 1149, 1150];
    let expected = [Seen::Fresh(0), Seen::Fresh(90), Seen::Refresh(91), Seen::Fresh(92), Seen::Stale, Seen::Stale, Seen::Nothing];
    assert_eq!(times.map(|now_s| seen(&cache, "a.example", now_s)), expected);
    assert_eq!(seen(&cache, "b.example", 50), Seen::Nothing);
    cache.keep(&answer("a.example", 100), 2000);
    assert_eq!(seen(&cache, "A.EXAMPLE", 2000), Seen::Fresh(0), "the case of a name says nothing");
}

#[test]
fn a_failure_is_told_again_for_a_while_and_longer_each_time() {
    let cache = Cache::new(Limits::default());
    let name = wanted("a.example", "A");
    let mut now_s = 100;
    for span_s in [2, 4, 8, 16, 32, 60, 60] {
        cache.fail(&name, ExtendedError::NetworkError, now_s);
        assert_eq!([now_s, now_s + span_s - 1, now_s + span_s].map(|now_s| seen(&cache, "a.example", now_s)), [Seen::Failed, Seen::Failed, Seen::Nothing]);
        now_s += span_s;
    }
    cache.fail(&name, ExtendedError::NetworkError, now_s + 500);
    assert_eq!(seen(&cache, "a.example", now_s + 502), Seen::Nothing, "long ago is forgotten");
    cache.keep(&answer("a.example", 10), now_s + 600);
    cache.fail(&name, ExtendedError::NetworkError, now_s + 620);
    assert_eq!(seen(&cache, "a.example", now_s + 621), Seen::StaleAfterFailure, "what was known stays known");
    cache.forgive();
    assert_eq!(seen(&cache, "a.example", now_s + 621), Seen::Stale);
}

#[test]
fn caps_and_floors_hold_and_what_says_nothing_of_time_is_not_kept() {
    let cache = Cache::new(Limits { ttl_floor_s: 5, ttl_cap_s: 100, ..Limits::default() });
    for (name, ttl_s, good_s) in [("zero.example", 0, 5), ("long.example", 1_000_000, 100), ("minus.example", 1 << 31, 5)] {
        cache.keep(&answer(name, ttl_s), 0);
        assert!(matches!(seen(&cache, name, good_s - 1), Seen::Fresh(_) | Seen::Refresh(_)), "{name}");
        assert_eq!(seen(&cache, name, good_s), Seen::Stale, "{name}");
    }
    let plain = Cache::new(Limits::default());
    plain.keep(&answer("zero.example", 0), 0);
    assert_eq!((seen(&plain, "zero.example", 0), plain.size().0), (Seen::Nothing, 0));
}

#[test]
fn a_full_cache_keeps_what_is_asked_for() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let cache = Cache::new(limits);
    cache.keep(&answer("loved.example", 1000), 0);
    for number in 0..20_000 {
        cache.keep(&answer(&format!("n{number}.example"), 1000), 0);
        if number % 7 == 0 {
            seen(&cache, "loved.example", 1);
        }
    }
    let (entries, bytes) = cache.size();
    assert!(bytes <= limits.bytes && bytes > limits.bytes / 2 && entries > 1000, "{entries} entries, {bytes} bytes");
    assert_eq!(seen(&cache, "loved.example", 1), Seen::Fresh(1));
    assert_eq!(seen(&cache, "n19999.example", 1), Seen::Fresh(1));
}

proptest! {
    /// With room for all, the cache is a map from a question to its last answer, whatever order things come in.
    #[test]
    fn with_room_for_all_it_is_a_map(steps in proptest::collection::vec((0u8..6, 1u32..50, 0u32..20, any::<bool>()), 1..80)) {
        let cache = Cache::new(Limits { stale_s: 0, ..Limits::default() });
        let (mut model, mut now_s) = (HashMap::new(), 0);
        for (number, ttl_s, pause_s, keeps) in steps {
            now_s += pause_s;
            let name = format!("n{number}.example");
            if keeps {
                cache.keep(&answer(&name, ttl_s), now_s);
                model.insert(name.clone(), (now_s, ttl_s));
            }
            let expected = model.get(&name).filter(|(since, ttl_s)| now_s - since < *ttl_s).map(|(since, _)| now_s - since);
            let found = match seen(&cache, &name, now_s) {
                Seen::Fresh(age_s) | Seen::Refresh(age_s) => Some(age_s),
                _ => None,
            };
            prop_assert_eq!(found, expected);
        }
    }
}
