use super::latest::{Latest, Published};
use crate::db::publish::GenerationRow;
use crate::db::{generations, publish as db};
use crate::keys::Keys;
use anyhow::Context;
use holdfast_proto::snapshot::{Feed, Sealed, State};
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A base is kept anew when the generations after it have grown to this, and to a quarter of it.
const BASE_FLOOR_BYTES: usize = 4 << 20;
/// Or when they are this many: each costs a signature check at start.
const BASE_LIMIT_GENERATIONS: u64 = 4096;
/// After a base could not be kept.
const PAUSE: Duration = Duration::from_secs(60);

/// What there is since the kept base of a feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SinceBase {
    base_bytes: usize,
    bytes: usize,
    generations: u64,
}

/// Keeps bases beside the publishing, one at a time: a whole feed is encoded and written, and no edit waits for that.
#[derive(Debug, Default)]
pub(super) struct Bases {
    since: BTreeMap<Feed, SinceBase>,
    /// With what there was when it began, and the length of the base.
    keeping: JoinSet<(Feed, SinceBase, anyhow::Result<usize>)>,
    /// After a failure it is left in peace for a while.
    not_before: Option<Instant>,
}

impl SinceBase {
    /// One more generation.
    pub(super) fn add(&mut self, payload_bytes: usize) {
        self.bytes += payload_bytes;
        self.generations += 1;
    }

    /// A base of this size is kept now, of what there was at `kept`.
    fn go_on(&mut self, kept: Self, base_bytes: usize) {
        let (bytes, generations) = (self.bytes.saturating_sub(kept.bytes), self.generations.saturating_sub(kept.generations));
        *self = Self { base_bytes, bytes, generations };
    }

    fn is_long(self) -> bool {
        self.generations >= BASE_LIMIT_GENERATIONS || self.bytes > BASE_FLOOR_BYTES.max(self.base_bytes / 4)
    }
}

/// What was published, for whoever takes it further without publishing.
pub async fn read_back(connection: &mut PgConnection, keys: &Keys) -> anyhow::Result<Latest> {
    Ok(restore(connection, keys).await?.0)
}

/// Reads back everything that was published, verifying it as an agent would, by the trust of its time: what was signed is
/// what is served on.
pub(super) async fn restore(connection: &mut PgConnection, keys: &Keys) -> anyhow::Result<(Latest, BTreeMap<Feed, SinceBase>)> {
    let (mut latest, mut since) = (Latest::empty(), BTreeMap::new());
    for feed in Feed::ALL {
        let (published, since_base) = restore_feed(connection, keys, feed).await.with_context(|| format!("reading back what was published of {feed}"))?;
        latest = latest.restored(published);
        since.insert(feed, since_base);
    }
    Ok((latest, since))
}

/// What another master has published since, added to what this one has; `None` where there is nothing.
pub(super) async fn catch_up(connection: &mut PgConnection, keys: &Keys, latest: &Latest) -> anyhow::Result<Option<Latest>> {
    let mut next = None;
    for (feed, published) in &latest.feeds {
        let mut rows = db::generations_after(connection, *feed, published.position()).await?.into_iter();
        let Some(first) = rows.next() else { continue };
        let start = take_row(keys, published, first)?;
        let published = rows.try_fold(start, |published, row| take_row(keys, &published, row))?;
        next = Some(next.as_ref().unwrap_or(latest).restored(published));
    }
    Ok(next)
}

fn take_row(keys: &Keys, published: &Published, row: GenerationRow) -> anyhow::Result<Published> {
    let opened = keys.open_history(&Sealed::from_bytes(&row.sealed)?)?;
    Ok(published.advance(&opened, row.sealed, row.payload)?)
}

async fn restore_feed(connection: &mut PgConnection, keys: &Keys, feed: Feed) -> anyhow::Result<(Published, SinceBase)> {
    let mut since = SinceBase::default();
    let state = match db::base(connection, feed).await? {
        Some(base) => {
            since.base_bytes = base.payload.len();
            State::restore(&keys.open_history(&Sealed::from_bytes(&base.sealed)?)?, &base.payload)?
        }
        None => State::empty(feed),
    };
    let start = (state.view().epoch(), state.view().generation());
    let mut published = Published::new(state);
    for row in db::generations_after(connection, feed, start).await? {
        since.add(row.payload.len());
        published = take_row(keys, &published, row)?;
    }
    Ok((published, since))
}

impl Bases {
    /// From what was read back.
    pub(super) fn since(since: BTreeMap<Feed, SinceBase>) -> Self {
        Self { since, ..Self::default() }
    }

    /// One more generation of a feed.
    pub(super) fn add(&mut self, feed: Feed, payload_bytes: usize) {
        self.since.entry(feed).or_default().add(payload_bytes);
    }

    /// Sees what became of the base that was being kept, and begins with the next one where a feed is due.
    pub(super) fn tend(&mut self, pool: &PgPool, latest: &Latest) {
        while let Some(ended) = self.keeping.try_join_next() {
            match ended.map_err(anyhow::Error::from).and_then(|(feed, since, kept)| Ok((feed, since, kept?))) {
                Ok((feed, since, bytes)) => self.since.entry(feed).or_default().go_on(since, bytes),
                Err(error) => {
                    tracing::warn!(event = "base_not_kept", error = format!("{error:#}"), "a base could not be kept: the next start takes longer");
                    self.not_before = Some(Instant::now() + PAUSE);
                }
            }
        }
        let may_begin = self.keeping.is_empty() && self.not_before.is_none_or(|at| Instant::now() >= at);
        if let Some((&feed, &since)) = self.since.iter().find(|(_, since)| may_begin && since.is_long()) {
            let (pool, published) = (pool.clone(), Arc::clone(&latest.feeds[&feed]));
            self.keeping.spawn(async move { (feed, since, keep_base(&pool, feed, published).await) });
        }
    }
}

/// Keeps the state of a feed as a base; gives its length.
async fn keep_base(pool: &PgPool, feed: Feed, published: Arc<Published>) -> anyhow::Result<usize> {
    let encoded = Arc::clone(&published);
    let rows = tokio::task::spawn_blocking(move || encoded.state.encode_rows()).await??;
    let sealed = published.state.sealed().context("nothing was published of it")?;
    let mut tx = pool.begin().await?;
    db::put_base(&mut tx, feed, published.position(), sealed.bytes(), &rows).await?;
    generations::thin(&mut tx, feed).await?;
    tx.commit().await?;
    Ok(rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_published_while_a_base_was_kept_counts_for_the_next_one() {
        let mut since = SinceBase::default();
        (0..BASE_LIMIT_GENERATIONS).for_each(|_| since.add(10));
        assert!(since.is_long());
        let begun = since;
        since.add(7);
        since.go_on(begun, 1000);
        assert_eq!(since, SinceBase { base_bytes: 1000, bytes: 7, generations: 1 });
        assert!(!since.is_long());
    }
}
