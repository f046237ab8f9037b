use super::latest::{Latest, Published};
use crate::db::publish::GenerationRow;
use crate::db::{generations, publish as db};
use crate::keys::Keys;
use anyhow::Context;
use holdfast_proto::snapshot::{Feed, Sealed, State};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;

/// A base is kept anew when the generations after it have grown to this, and to a quarter of it.
const BASE_FLOOR_BYTES: usize = 4 << 20;
/// Or when they are this many: each costs a signature check at start.
const BASE_LIMIT_GENERATIONS: u64 = 4096;

/// What there is since the kept base of a feed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SinceBase {
    base_bytes: usize,
    bytes: usize,
    generations: u64,
}

impl SinceBase {
    /// One more generation.
    pub(super) fn add(&mut self, payload_bytes: usize) {
        self.bytes += payload_bytes;
        self.generations += 1;
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

/// Keeps a new base of every feed whose generations since the last one have grown long.
pub(super) async fn keep_bases(connection: &mut PgConnection, latest: &Latest, since: &mut BTreeMap<Feed, SinceBase>) -> anyhow::Result<()> {
    for (feed, since) in since.iter_mut().filter(|(_, since)| since.is_long()) {
        let state = latest.state(*feed);
        let (view, Some(sealed)) = (state.view(), state.sealed()) else { continue };
        let rows = state.encode_rows()?;
        let mut tx = connection.begin().await?;
        db::put_base(&mut tx, *feed, (view.epoch(), view.generation()), sealed.bytes(), &rows).await?;
        generations::thin(&mut tx, *feed).await?;
        tx.commit().await?;
        *since = SinceBase { base_bytes: rows.len(), ..SinceBase::default() };
    }
    Ok(())
}
