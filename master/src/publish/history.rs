use super::latest::{Latest, Published};
use crate::db::publish as db;
use anyhow::Context;
use holdfast_proto::snapshot::{Feed, Sealed, State, Trust};
use sqlx::{Connection, PgConnection};

/// A base is kept anew when the generations after it have grown to this, or to a quarter of it.
const BASE_FLOOR_BYTES: usize = 4 << 20;
/// Or when they are this many: each costs a signature check at start.
const BASE_LIMIT_GENERATIONS: u64 = 4096;

/// Reads back everything that was published, verifying it as an agent would: what was signed is what is served on.
pub(super) async fn restore(connection: &mut PgConnection, trust: &Trust) -> anyhow::Result<Latest> {
    let mut latest = Latest::empty();
    for feed in Feed::ALL {
        let published = restore_feed(connection, trust, feed).await.with_context(|| format!("reading back what was published of {feed}"))?;
        latest = latest.restored(published);
    }
    Ok(latest)
}

async fn restore_feed(connection: &mut PgConnection, trust: &Trust, feed: Feed) -> anyhow::Result<Published> {
    let state = match db::base(connection, feed).await? {
        Some(base) => State::restore(&trust.open(&Sealed::from_bytes(&base.sealed)?)?, base.payload)?,
        None => State::empty(feed),
    };
    let start = (state.view().epoch(), state.view().generation());
    let mut published = Published::new(state);
    for row in db::generations_after(connection, feed, start).await? {
        let opened = trust.open(&Sealed::from_bytes(&row.sealed)?)?;
        published = published.advance(&opened, row.sealed, row.payload)?;
    }
    Ok(published)
}

/// Keeps a new base of every feed that has moved far enough from its last one.
pub(super) async fn keep_bases(connection: &mut PgConnection, latest: &Latest, kept: &mut std::collections::BTreeMap<Feed, u64>) -> anyhow::Result<()> {
    for (feed, published) in &latest.feeds {
        let view = published.state.view();
        let behind = view.generation().0 - kept.get(feed).copied().unwrap_or_default();
        let large = published.frames_bytes() > BASE_FLOOR_BYTES && behind > 0 && published.frames_bytes() as u64 > view.row_count() * 16;
        if behind < BASE_LIMIT_GENERATIONS && !(large && behind > 64) && !(large && kept.get(feed).is_none()) {
            continue;
        }
        let Some(sealed) = published.state.sealed() else { continue };
        let mut tx = connection.begin().await?;
        db::put_base(&mut tx, *feed, (view.epoch(), view.generation()), sealed.bytes(), &published.state.encode_rows()).await?;
        tx.commit().await?;
        kept.insert(*feed, view.generation().0);
    }
    Ok(())
}
