//! What one worker or connection counted since it last handed it in: plain numbers, so that counting costs next to nothing.

use holdfast_proto::dns::{CookieState, Outcome, Rcode, Reason, rtype};

/// The types that are counted by name.
pub(super) const TYPES: [(u16, &str); 24] = [
    (rtype::A, "a"),
    (rtype::NS, "ns"),
    (rtype::CNAME, "cname"),
    (rtype::SOA, "soa"),
    (rtype::PTR, "ptr"),
    (rtype::HINFO, "hinfo"),
    (rtype::MX, "mx"),
    (rtype::TXT, "txt"),
    (rtype::RP, "rp"),
    (rtype::AAAA, "aaaa"),
    (29, "loc"),
    (rtype::SRV, "srv"),
    (35, "naptr"),
    (rtype::DNAME, "dname"),
    (rtype::DS, "ds"),
    (44, "sshfp"),
    (rtype::DNSKEY, "dnskey"),
    (52, "tlsa"),
    (64, "svcb"),
    (65, "https"),
    (rtype::IXFR, "ixfr"),
    (rtype::AXFR, "axfr"),
    (rtype::ANY, "any"),
    (rtype::CAA, "caa"),
];
/// All other types, and questions that could not be read.
pub(super) const OTHER_TYPES: usize = TYPES.len();

/// Which of the types above each number is.
const PLACES: [u8; 258] = {
    let mut places = [OTHER_TYPES as u8; 258];
    let mut at = 0;
    while at < TYPES.len() {
        places[TYPES[at].0 as usize] = at as u8;
        at += 1;
    }
    places
};

/// Upper ends of the spans of time that answers are sorted into, in microseconds; the last has none.
pub(super) const SPANS_US: [u64; 12] = [8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384, 65_536, 262_144];

/// Counts of one worker or connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// By type, see `TYPES`.
    pub queries: [u64; OTHER_TYPES + 1],
    /// By code.
    pub replies: [u64; Rcode::ALL.len()],
    /// By reason.
    pub silent: [u64; Reason::ALL.len()],
    /// By what a cookie says.
    pub cookies: [u64; CookieState::ALL.len()],
    /// Cut because they did not fit.
    pub truncated: u64,
    /// Held back by rate limiting and sent cut.
    pub slipped: u64,
    /// Held back by rate limiting and not sent.
    pub dropped: u64,
    /// By the time that they took.
    pub spans: [u64; SPANS_US.len() + 1],
    /// All time together, in microseconds.
    pub spent_us: u64,
}

impl Tally {
    /// One packet and what became of it.
    #[inline]
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Silent(reason) => self.silent[reason as usize] += 1,
            Outcome::Replied(told) => {
                let place = PLACES.get(usize::from(told.qtype)).map_or(OTHER_TYPES, |place| usize::from(*place));
                self.queries[place] += 1;
                self.replies[rcode_place(told.rcode)] += 1;
                self.cookies[told.cookie as usize] += 1;
                self.truncated += u64::from(told.truncated);
            }
        }
    }

    /// So many packets that were answered together, in this time.
    pub fn spent(&mut self, count: usize, time_us: u64) {
        let span = SPANS_US.iter().position(|end| time_us <= *end).unwrap_or(SPANS_US.len());
        self.spans[span] += count as u64;
        self.spent_us += time_us * count as u64;
    }
}

#[inline]
fn rcode_place(rcode: Rcode) -> usize {
    Rcode::ALL.iter().position(|one| *one == rcode).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::dns::{Kind, Told};

    #[test]
    fn a_packet_is_counted_once_under_each_heading() {
        let mut tally = Tally::default();
        for (qtype, rcode, truncated) in
            [(1, Rcode::NoError, false), (1, Rcode::NxDomain, true), (257, Rcode::BadCookie, false), (65400, Rcode::FormErr, false)]
        {
            tally.count(Outcome::Replied(Told { rcode, qtype, truncated, cookie: CookieState::Good, kind: Kind::Data, source: 0 }));
        }
        tally.count(Outcome::Silent(Reason::Response));
        tally.spent(4, 20);
        tally.spent(1, 1_000_000);
        assert_eq!((tally.queries[0], tally.queries[23], tally.queries[OTHER_TYPES]), (2, 1, 1));
        assert_eq!((tally.replies, tally.cookies, tally.truncated), ([1, 1, 0, 1, 0, 0, 0, 0, 0, 1], [0, 0, 4], 1));
        assert_eq!((tally.silent, tally.spans[2], tally.spans[12], tally.spent_us), ([0, 1, 0], 4, 1, 1_000_080));
    }

    #[test]
    fn every_counted_type_has_its_own_place() {
        for (place, (number, name)) in TYPES.iter().enumerate() {
            assert_eq!(usize::from(PLACES[usize::from(*number)]), place, "{name}");
        }
    }
}
