//! Generations that were published: listed, found, read back, thinned out and, when they are old, forgotten.

use super::DbError;
use super::changes::PUBLISHER;
use super::publish::{GenerationRow, numbers};
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation};
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// A generation without its payload.
#[derive(Debug, Clone)]
pub struct KeptRow {
    /// Its epoch.
    pub epoch: i32,
    /// Its number.
    pub generation: i64,
    /// Its manifest and signature.
    pub sealed: Vec<u8>,
    /// When it was stored.
    pub at: DateTime<Utc>,
}

/// The kept generations of a feed below one, newest first.
pub async fn page(pool: &PgPool, feed: Feed, below: Option<(Epoch, Generation)>, limit: i64) -> Result<Vec<KeptRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query_as!(
        KeptRow,
        r#"select epoch as "epoch!", generation as "generation!", sealed as "sealed!", at as "at!" from publish.kept
         where (kind, family, cut) = ($1, $2, $3) and ($4::int is null or (epoch, generation) < ($4, $5)) order by epoch desc, generation desc limit $6"#,
        kind,
        family,
        cut,
        below.map(|(epoch, _)| epoch.0 as i32),
        below.map(|(_, generation)| generation.0 as i64),
        limit
    );
    Ok(sql.fetch_all(pool).await?)
}

/// The kept generation with this number; of several epochs the newest.
pub async fn find(pool: &PgPool, feed: Feed, generation: Generation) -> Result<Option<KeptRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query_as!(
        KeptRow,
        r#"select epoch as "epoch!", generation as "generation!", sealed as "sealed!", at as "at!" from publish.kept
         where (kind, family, cut, generation) = ($1, $2, $3, $4) order by epoch desc limit 1"#,
        kind,
        family,
        cut,
        generation.0 as i64
    );
    Ok(sql.fetch_optional(pool).await?)
}

/// The generations of a feed after one and up to another, oldest first.
pub async fn between(
    connection: &mut PgConnection,
    feed: Feed,
    after: (Epoch, Generation),
    up_to: (Epoch, Generation),
    limit: i64,
) -> Result<Vec<GenerationRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query_as!(
        GenerationRow,
        "select sealed, payload from publish.generation
         where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) > ($4, $5) and (epoch, generation) <= ($6, $7)
         order by epoch, generation limit $8",
        kind,
        family,
        cut,
        after.0.0 as i32,
        after.1.0 as i64,
        up_to.0.0 as i32,
        up_to.1.0 as i64,
        limit
    );
    Ok(sql.fetch_all(connection).await?)
}

/// The newest checkpoint of a feed at or below a generation: manifest and rows.
pub async fn checkpoint(connection: &mut PgConnection, feed: Feed, at: (Epoch, Generation)) -> Result<Option<GenerationRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let pieces = query!(
        "select sealed, rows from publish.base where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) = (
           select epoch, generation from publish.base where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) <= ($4, $5)
           order by epoch desc, generation desc limit 1)
         order by ordinal",
        kind,
        family,
        cut,
        at.0.0 as i32,
        at.1.0 as i64
    );
    let pieces = pieces.fetch_all(connection).await?;
    let sealed = pieces.first().map(|piece| piece.sealed.clone());
    Ok(sealed.map(|sealed| GenerationRow { sealed, payload: pieces.into_iter().flat_map(|piece| piece.rows).collect() }))
}

/// Where the kept history of a feed begins: the oldest generation that can be rebuilt.
pub async fn oldest(pool: &PgPool, feed: Feed) -> Result<Option<(Epoch, Generation)>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query!(
        r#"select epoch as "epoch!", generation as "generation!" from publish.kept
           where (kind, family, cut) = ($1, $2, $3) order by epoch, generation limit 1"#,
        kind,
        family,
        cut
    );
    Ok(sql.fetch_optional(pool).await?.map(|row| (Epoch(row.epoch as u32), Generation(row.generation as u64))))
}

/// Keeps the checkpoint before the newest one only where the deltas up to it are longer than itself: so checkpoints never
/// take more room than the deltas, and rebuilding a generation never reads more than about two checkpoints' worth. One that no
/// delta leads to stays: what comes after it starts from it.
pub async fn thin(connection: &mut PgConnection, feed: Feed) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    query!(
        "with kept as (select epoch, generation, sum(length(rows)) as bytes, row_number() over (order by epoch desc, generation desc) as age
           from publish.base where (kind, family, cut) = ($1, $2, $3) group by epoch, generation),
         candidate as (select * from kept where age = 2),
         deltas as (select coalesce(sum(length(g.payload)), 0) as bytes from publish.generation g, candidate c
           where (g.kind, g.family, g.cut) = ($1, $2, $3) and (g.epoch, g.generation) <= (c.epoch, c.generation)
             and not exists (select from kept k where k.age = 3 and (g.epoch, g.generation) <= (k.epoch, k.generation)))
         delete from publish.base b using candidate c, deltas d
         where (b.kind, b.family, b.cut) = ($1, $2, $3) and (b.epoch, b.generation) = (c.epoch, c.generation) and d.bytes < c.bytes
           and exists (select from publish.generation g where (g.kind, g.family, g.cut, g.epoch, g.generation) = ($1, $2, $3, c.epoch, c.generation))",
        kind,
        family,
        cut
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the generations of a feed that are older than this many days, as far as a checkpoint makes them unneeded; gives how many.
pub async fn forget(pool: &PgPool, feed: Feed, days: i32) -> Result<u64, DbError> {
    let (kind, family, cut) = numbers(feed);
    let mut tx = pool.begin().await?;
    let start = query!(
        "select epoch, generation from publish.base where (kind, family, cut) = ($1, $2, $3) and at < now() - make_interval(days => $4)
         order by epoch desc, generation desc limit 1",
        kind,
        family,
        cut,
        days
    );
    let Some(start) = start.fetch_optional(&mut *tx).await? else { return Ok(0) };
    query!(
        "delete from publish.base where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) < ($4, $5)",
        kind,
        family,
        cut,
        start.epoch,
        start.generation
    )
    .execute(&mut *tx)
    .await?;
    let forgotten = query!(
        "delete from publish.generation where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) < ($4, $5)",
        kind,
        family,
        cut,
        start.epoch,
        start.generation
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(forgotten.rows_affected())
}

/// Who changed what is in a generation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ChangeSetRow {
    /// The change set.
    pub id: Uuid,
    /// Who.
    pub actor: String,
    /// By which way.
    pub via: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// The change sets that are out with a generation, oldest first.
pub async fn change_sets_of(pool: &PgPool, feed: Feed, generation: Generation) -> Result<Vec<ChangeSetRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query_as!(
        ChangeSetRow,
        "select s.id, s.actor, s.via, s.reason, s.at from publish.change_generation g join change.change_set s on s.id = g.change_set
         where (g.kind, g.family, g.cut, g.generation) = ($1, $2, $3, $4) order by s.at, s.id",
        kind,
        family,
        cut,
        generation.0 as i64
    );
    Ok(sql.fetch_all(pool).await?)
}

/// These change sets, oldest first.
pub async fn change_sets(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<ChangeSetRow>, DbError> {
    let sql = query_as!(ChangeSetRow, "select id, actor, via, reason, at from change.change_set where id = any ($1) order by at, id", ids);
    Ok(sql.fetch_all(pool).await?)
}

/// The change sets that came out with later generations than this one, and those that still wait to be published; but for the
/// publisher's own, which encrypt secrets anew and change nothing.
pub async fn change_sets_after(pool: &PgPool, feed: Feed, generation: Generation, subjects: &[String]) -> Result<Vec<Uuid>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query_scalar!(
        r#"select s.id as "id!" from change.change_set s
           where s.via <> $6 and s.id in (
             select change_set from publish.change_generation where (kind, family, cut) = ($1, $2, $3) and generation > $4
             union select change_set from publish.outbox where subject = any ($5)) order by 1"#,
        kind,
        family,
        cut,
        generation.0 as i64,
        subjects,
        PUBLISHER
    );
    Ok(sql.fetch_all(pool).await?)
}

/// How far an agent is with a feed.
#[derive(Debug, Clone)]
pub struct LagRow {
    /// The agent's name.
    pub agent: String,
    /// The feed's kind.
    pub kind: i16,
    /// The feed's family.
    pub family: i16,
    /// The feed's cut.
    pub cut: i32,
    /// The newest generation that it serves.
    pub applied: i64,
    /// The newest one that is on its disk.
    pub durable: Option<i64>,
}

/// How far every agent is that is in, with every feed of which it ever served anything.
pub async fn lags(pool: &PgPool) -> Result<Vec<LagRow>, DbError> {
    let sql = query_as!(
        LagRow,
        r#"select n.name as agent, s.kind, s.family, s.cut, max(s.generation) as "applied!", max(s.generation) filter (where s.durable_at is not null) as durable
           from publish.node n join publish.served s on s.node_id = n.id where n.role = 'agent' and n.revoked_at is null
           group by n.name, s.kind, s.family, s.cut order by n.name"#
    );
    Ok(sql.fetch_all(pool).await?)
}
