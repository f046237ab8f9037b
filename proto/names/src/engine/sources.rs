//! Where answers of others come from: the cache, and whoever may be asked.

use super::tiers::Tiers;
use holdfast_proto::dns::ExtendedError;
use holdfast_proto::dns::resolver::{Answer, Cache, CacheLimits, Wanted};
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Sources {
    pub(super) cache: Cache,
    pub(super) tiers: Arc<Tiers>,
    pub(super) begun: Instant,
}

impl Sources {
    pub(super) fn new(limits: CacheLimits, tiers: Arc<Tiers>) -> Self {
        Self { cache: Cache::new(limits), tiers, begun: Instant::now() }
    }

    /// Seconds since the service began: what the cache counts by.
    pub(super) fn now_s(&self) -> u32 {
        // 136 years.
        self.begun.elapsed().as_secs() as u32
    }

    /// From the cache, or asked for and kept.
    pub(super) async fn fetch(&self, wanted: &Wanted, hops: u8) -> Result<Arc<Answer>, ExtendedError> {
        if let Some(answer) = self.cache.fresh(wanted, self.now_s()) {
            return Ok(answer);
        }
        let answer = Arc::new(self.tiers.resolve(wanted, hops, None).await?);
        self.cache.keep(&answer, self.now_s());
        Ok(answer)
    }
}
