//! The master's signed word on the time, for all lines at once.

use crate::keys::Keys;
use crate::publish::Latest;
use bytes::Bytes;
use holdfast_proto::snapshot::{Newest, SignedHeartbeat};
use holdfast_proto::words::UnixMillis;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// An agent takes a line for stale when it misses three of these.
const EVERY: Duration = Duration::from_secs(10);

/// Signs a word every ten seconds, and at once with a new key, for as long as somebody listens.
pub async fn pulse(mut keys: watch::Receiver<Arc<Keys>>, latest: watch::Receiver<Arc<Latest>>, now: impl Fn() -> UnixMillis, signed: watch::Sender<Bytes>) {
    let mut tick = tokio::time::interval(EVERY);
    while !signed.is_closed() {
        tokio::select! {
            _ = tick.tick() => {}
            Ok(()) = keys.changed() => {}
        }
        let word = sign(&keys.borrow_and_update(), &latest.borrow(), now());
        signed.send_replace(word);
    }
}

/// The word at this time.
pub fn sign(keys: &Keys, latest: &Latest, time: UnixMillis) -> Bytes {
    let newest = latest.feeds.iter().map(|(feed, published)| {
        let (epoch, generation) = published.position();
        Newest { feed: *feed, epoch, generation }
    });
    SignedHeartbeat { institution: keys.trust.draft().institution, time, newest: newest.collect() }.seal(&keys.signing).into()
}
