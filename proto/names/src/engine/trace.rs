//! What becomes of a question, for people: looked at as for a client and asked as for one, and nothing of it kept.

use super::Handle;
use super::desk::Known;
use super::tiers::{Step, Tier};
use holdfast_proto::dns::ExtendedError;
use holdfast_proto::dns::resolver::{Answer, Heed, Origin, Standing, Wanted};
use std::net::IpAddr;

/// What is known of a question without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The reply that a client would be sent, and where it is from.
    Told(Origin, Vec<u8>),
    /// Others have to be asked; there may be an answer that has run out.
    Wanting {
        /// Whether there is one.
        has_stale: bool,
    },
}

/// How one of those fares that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fares {
    /// What it is to us.
    pub tier: Tier,
    /// The same in words, where it is, and how it is asked.
    pub server: String,
    /// How much it is relied upon.
    pub heed: Heed,
    /// How long it usually takes.
    pub latency_ms: u64,
}

impl Handle {
    /// What somebody is to this plane, and would be told now.
    pub fn look(&self, wanted: &Wanted, from: IpAddr) -> (Standing, Looked) {
        let (standing, known) = self.0.look(wanted, from);
        let looked = match known {
            Known::Told { origin, reply } => Looked::Told(origin, reply),
            Known::Wanting { has_stale } => Looked::Wanting { has_stale },
        };
        (standing, looked)
    }

    /// Whether the cache has it, and in just this form: with signatures or without.
    pub fn holds(&self, wanted: &Wanted) -> bool {
        self.0.sources.cache.fresh(wanted, self.0.sources.now_s()).is_some()
    }

    /// Asks others, and says whom.
    pub async fn ask(&self, wanted: &Wanted) -> (Vec<Step>, Result<Answer, ExtendedError>) {
        let mut steps = Vec::new();
        let result = self.0.resolve(wanted, 0, Some(&mut steps)).await;
        (steps, result)
    }

    /// How those fare that may be asked, in no order that counts.
    pub fn servers(&self) -> Vec<Fares> {
        let of = |server: &std::sync::Arc<super::tiers::Server>| {
            let health = server.health();
            Fares { tier: server.tier, server: server.to_string(), heed: health.heed(), latency_ms: health.latency_ms() }
        };
        self.0.sources.tiers.all().iter().map(of).collect()
    }
}
