//! What a master that was put back has taken from an agent, and where the hostname database says otherwise.

use super::DbError;
use super::changes::OutboxKey;
use super::publish::numbers;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, Serial};
use sqlx::{PgConnection, query, query_as};

/// A key of which the database says otherwise than what was adopted.
#[derive(Debug, Clone)]
pub struct UnsettledRow {
    kind: i16,
    family: i16,
    cut: i32,
    /// A subject of the outbox, or `box`.
    pub subject: String,
    /// Which row.
    pub key: String,
}

impl UnsettledRow {
    /// Of which feed.
    pub fn feed(&self) -> Option<Feed> {
        Feed::from_numbers(self.kind as u32, self.family as u32, self.cut as u32)
    }
}

/// What the question whether it is settled hangs on: while this stays, so does the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    newest_key: i64,
    released: i64,
    unsettled: i64,
    revoked: i64,
}

/// The signs as they are now.
pub async fn signs(db: &mut PgConnection) -> Result<Signs, DbError> {
    let sql = query_as!(
        Signs,
        r#"select (select coalesce(max(id), 0) from publish.outbox) as "newest_key!",
             (select count(*) from publish.hold where released_by is not null) as "released!",
             (select count(*) from publish.unsettled) as "unsettled!",
             (select count(*) from publish.node where revoked_at is not null) as "revoked!""#
    );
    Ok(sql.fetch_one(db).await?)
}

/// Every key that is not settled.
pub async fn unsettled(db: &mut PgConnection) -> Result<Vec<UnsettledRow>, DbError> {
    Ok(query_as!(UnsettledRow, "select kind, family, cut, subject, key from publish.unsettled order by kind, family, cut, subject, key").fetch_all(db).await?)
}

/// Remembers where the database says otherwise, in place of what was remembered of this feed before.
pub async fn put_unsettled(db: &mut PgConnection, feed: Feed, keys: &[OutboxKey]) -> Result<(), DbError> {
    settle(db, feed).await?;
    let (kind, family, cut) = numbers(feed);
    let (subjects, texts): (Vec<String>, Vec<String>) = keys.iter().map(|key| (key.subject.clone(), key.key.clone())).unzip();
    query!(
        "insert into publish.unsettled (kind, family, cut, subject, key)
           select $1, $2, $3, s, k from unnest($4::text[], $5::text[]) as t (s, k) on conflict do nothing",
        kind,
        family,
        cut,
        &subjects,
        &texts
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets what was not settled of a feed.
pub async fn settle(db: &mut PgConnection, feed: Feed) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    query!("delete from publish.unsettled where (kind, family, cut) = ($1, $2, $3)", kind, family, cut).execute(db).await?;
    Ok(())
}

/// Forgets that an agent was ahead with a feed, where this is what it holds or comes after it. Gives who is ahead still, and where.
pub async fn lift_halt(db: &mut PgConnection, feed: Feed, at: (Epoch, Generation), sealed: &[u8]) -> Result<Option<(String, i32, i64)>, DbError> {
    let (kind, family, cut) = numbers(feed);
    query!(
        "delete from publish.halt where (kind, family, cut) = ($1, $2, $3) and ((epoch, generation) < ($4, $5) or sealed = $6)",
        kind,
        family,
        cut,
        at.0.0 as i32,
        at.1.0 as i64,
        sealed
    )
    .execute(&mut *db)
    .await?;
    let left = query!(
        "select n.name, h.epoch, h.generation from publish.halt h join publish.node n on n.id = h.node_id where (kind, family, cut) = ($1, $2, $3)",
        kind,
        family,
        cut
    );
    Ok(left.fetch_optional(db).await?.map(|row| (row.name, row.epoch, row.generation)))
}

/// Sets the serial of a zone that its secondaries have seen.
pub async fn set_serial(db: &mut PgConnection, zone: i64, serial: Serial) -> Result<(), DbError> {
    query!("update dns.serial set serial = $2 where zone_id = $1", zone, i64::from(serial.0)).execute(db).await?;
    Ok(())
}

/// Where the kept history of a feed goes on after this generation without a delta that leads there: the next checkpoint.
pub async fn next_checkpoint(db: &mut PgConnection, feed: Feed, after: (Epoch, Generation)) -> Result<Option<(Epoch, Generation)>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query!(
        "select epoch, generation from publish.base where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) > ($4, $5)
         order by epoch, generation limit 1",
        kind,
        family,
        cut,
        after.0.0 as i32,
        after.1.0 as i64
    );
    Ok(sql.fetch_optional(db).await?.map(|row| (Epoch(row.epoch as u32), Generation(row.generation as u64))))
}

/// The feeds with something unsettled.
pub async fn unsettled_feeds(db: &mut PgConnection) -> Result<Vec<Feed>, DbError> {
    let rows = query!("select distinct kind, family, cut from publish.unsettled order by kind, family, cut").fetch_all(db).await?;
    Ok(rows.iter().filter_map(|row| Feed::from_numbers(row.kind as u32, row.family as u32, row.cut as u32)).collect())
}

/// Has the publisher look at these keys again, in a change set of the caller's.
pub async fn put_again(db: &mut PgConnection, keys: &[&UnsettledRow]) -> Result<(), DbError> {
    let (subjects, texts): (Vec<String>, Vec<String>) = keys.iter().map(|key| (key.subject.clone(), key.key.clone())).unzip();
    query!(
        "insert into publish.outbox (change_set, subject, key) select change.current_set(), s, k from unnest($1::text[], $2::text[]) as t (s, k)",
        &subjects,
        &texts
    )
    .execute(db)
    .await?;
    Ok(())
}
