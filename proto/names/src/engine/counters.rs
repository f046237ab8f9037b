use holdfast_proto::dns::resolver::Origin;
use metrics::{Counter, Gauge, counter, gauge};

/// What is counted beside what both planes count.
pub(super) struct Counters {
    origins: [Counter; Origin::ALL.len()],
    /// Entries that were fetched anew before they ran out.
    pub(super) refreshed: Counter,
    /// Questions that waited for one that was under way already.
    pub(super) joined: Counter,
    /// Questions that found too many under way.
    pub(super) overflowed: Counter,
    /// Refusals to strangers that were not sent, because they had heard enough.
    pub(super) ignored: Counter,
    /// Questions under way.
    pub(super) flights: Gauge,
    pub(super) entries: Gauge,
    pub(super) bytes: Gauge,
    pub(super) cut_off: Gauge,
}

/// Answers by where they are from, since they were last handed in.
pub(super) type Origins = [u64; Origin::ALL.len()];

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            origins: Origin::ALL.map(|origin| counter!("holdfast_resolver_answers_total", "from" => origin.name())),
            refreshed: counter!("holdfast_resolver_refreshed_total"),
            joined: counter!("holdfast_resolver_joined_total"),
            overflowed: counter!("holdfast_resolver_overflowed_total"),
            ignored: counter!("holdfast_resolver_ignored_total"),
            flights: gauge!("holdfast_resolver_flights"),
            entries: gauge!("holdfast_resolver_cache_entries"),
            bytes: gauge!("holdfast_resolver_cache_bytes"),
            cut_off: gauge!("holdfast_resolver_cut_off"),
        }
    }

    pub(super) fn take(&self, origins: &mut Origins) {
        for (counter, count) in self.origins.iter().zip(origins.iter()).filter(|(_, count)| **count > 0) {
            counter.increment(*count);
        }
        *origins = Origins::default();
    }

    pub(super) fn count(&self, origin: Origin) {
        self.origins[origin as usize].increment(1);
    }
}
