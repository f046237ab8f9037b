//! Generations, their bases, and the boxes that follow them.

use super::DbError;
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, NodeId};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

/// What a writer's triggers left for the publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number: later keys have higher ones.
    pub id: i64,
    /// The change set that touched the key.
    pub change_set: Uuid,
    /// What kind of object: see the migration.
    pub subject: String,
    /// Which one.
    pub key: String,
}

/// A generation as it was published.
#[derive(Debug, Clone)]
pub struct GenerationRow {
    /// Its manifest and signature.
    pub sealed: Vec<u8>,
    /// Its delta.
    pub payload: Vec<u8>,
}

/// A feed in three columns.
pub(super) fn numbers(feed: Feed) -> (i16, i16, i32) {
    (feed.kind as i16, feed.scope.family as i16, feed.scope.cut as i32)
}

/// Raises the term: from now on nobody with an older one can publish.
pub async fn begin_term(connection: &mut PgConnection) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!("update publish.term set term = term + 1 returning term").fetch_one(connection).await?)
}

/// Locks the term's row for this transaction and reads it.
pub async fn hold_term(connection: &mut PgConnection) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!("select term from publish.term for update").fetch_one(connection).await?)
}

/// Whether this session became the one publisher. The lock lasts as long as the connection.
pub async fn try_lead(connection: &mut PgConnection) -> Result<bool, DbError> {
    // "holdfast" in ASCII, as a number that nothing else uses.
    Ok(sqlx::query_scalar!(r#"select pg_try_advisory_lock(x'686f6c6466617374'::bigint) as "led!""#).fetch_one(connection).await?)
}

/// The session that holds the lock of [`try_lead`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderRow {
    /// Its number at the database.
    pub session: i32,
    /// Since when it is there.
    pub since: DateTime<Utc>,
    /// Where it comes from; `None`: from the database's own machine.
    pub host: Option<String>,
}

/// Who leads; `None` where nobody does.
pub async fn leader(connection: &mut PgConnection) -> Result<Option<LeaderRow>, DbError> {
    let sql = sqlx::query_as!(LeaderRow, r#"select session as "session!", since as "since!", host as "host?" from publish.leader()"#);
    Ok(sql.fetch_optional(connection).await?)
}

/// What a round takes up.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The term as it stands, locked.
    pub term: i64,
    /// A data key must be changed, because a box was thrown out.
    pub rotation: bool,
    /// What was in the outbox.
    pub outbox: Vec<OutboxRow>,
}

/// Locks the term's row for this transaction, and takes what it can see out of the outbox, but for these subjects: in one
/// statement, because every edit waits for this round trip.
pub async fn take_outbox(connection: &mut PgConnection, except: &[String]) -> Result<Taken, DbError> {
    let rows = sqlx::query!(
        r#"with held as (select term from publish.term for update),
           taken as (delete from publish.outbox where subject <> all ($1) returning id, change_set, subject, key)
           select h.term as "term!", exists (select from publish.rotation where done_at is null) as "rotation!",
             t.id as "id?", t.change_set as "change_set?", t.subject as "subject?", t.key as "key?"
           from held h left join taken t on true"#,
        except
    );
    let rows = rows.fetch_all(connection).await?;
    let (term, rotation) = rows.first().map(|row| (row.term, row.rotation)).unwrap_or_default();
    let taken = rows.into_iter().filter_map(|row| Some(OutboxRow { id: row.id?, change_set: row.change_set?, subject: row.subject?, key: row.key? }));
    Ok(Taken { term, rotation, outbox: taken.collect() })
}

/// Takes the remains of what was taken out of the outbox off its pages.
pub async fn sweep_outbox(pool: &PgPool) -> Result<(), DbError> {
    sqlx::query!("vacuum publish.outbox").execute(pool).await?;
    Ok(())
}

/// What waits for the publisher.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Keys in the outbox.
    pub edits: bool,
    /// A data key that must be changed, because a box was thrown out.
    pub rotation: bool,
}

/// Whether anything waits, but for these subjects.
pub async fn due(connection: &mut PgConnection, except: &[String]) -> Result<Due, DbError> {
    let sql = sqlx::query_as!(
        Due,
        r#"select exists (select from publish.outbox where subject <> all ($1)) as "edits!",
           exists (select from publish.rotation where done_at is null) as "rotation!""#,
        except
    );
    Ok(sql.fetch_one(connection).await?)
}

/// A generation to be stored.
#[derive(Debug)]
pub struct NewGeneration<'a> {
    /// Of which feed.
    pub feed: Feed,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub generation: Generation,
    /// Manifest and signature.
    pub sealed: &'a [u8],
    /// The delta.
    pub payload: &'a [u8],
}

/// What a round of the publisher stores.
#[derive(Debug, Default)]
pub struct Round<'a> {
    /// New serials by zone number.
    pub serials: Vec<(i64, i64)>,
    /// The generations.
    pub generations: Vec<NewGeneration<'a>>,
    /// With which generation of which feed each change set is out.
    pub change_sets: Vec<(Uuid, Feed, Generation)>,
}

/// Stores a round, in one statement. A number that is taken is an error: no generation ever has two contents.
pub async fn put_round(connection: &mut PgConnection, round: &Round<'_>) -> Result<(), DbError> {
    let (zones, serials): (Vec<i64>, Vec<i64>) = round.serials.iter().copied().unzip();
    let of = |feed: &Feed| numbers(*feed);
    let kinds: Vec<i16> = round.generations.iter().map(|new| of(&new.feed).0).collect();
    let families: Vec<i16> = round.generations.iter().map(|new| of(&new.feed).1).collect();
    let cuts: Vec<i32> = round.generations.iter().map(|new| of(&new.feed).2).collect();
    let epochs: Vec<i32> = round.generations.iter().map(|new| new.epoch.0 as i32).collect();
    let numbers_of: Vec<i64> = round.generations.iter().map(|new| new.generation.0 as i64).collect();
    let sealed: Vec<Vec<u8>> = round.generations.iter().map(|new| new.sealed.to_vec()).collect();
    let payloads: Vec<Vec<u8>> = round.generations.iter().map(|new| new.payload.to_vec()).collect();
    let sets: Vec<Uuid> = round.change_sets.iter().map(|(set, ..)| *set).collect();
    let set_kinds: Vec<i16> = round.change_sets.iter().map(|(_, feed, _)| of(feed).0).collect();
    let set_families: Vec<i16> = round.change_sets.iter().map(|(_, feed, _)| of(feed).1).collect();
    let set_cuts: Vec<i32> = round.change_sets.iter().map(|(_, feed, _)| of(feed).2).collect();
    let set_generations: Vec<i64> = round.change_sets.iter().map(|(.., generation)| generation.0 as i64).collect();
    let insert = sqlx::query!(
        "with serials as (
           update dns.serial s set serial = u.serial from unnest($1::bigint[], $2::bigint[]) as u (id, serial) where s.zone_id = u.id),
         generations as (
           insert into publish.generation (kind, family, cut, epoch, generation, sealed, payload)
             select * from unnest($3::smallint[], $4::smallint[], $5::int[], $6::int[], $7::bigint[], $8::bytea[], $9::bytea[]))
         insert into publish.change_generation (change_set, kind, family, cut, generation)
           select * from unnest($10::uuid[], $11::smallint[], $12::smallint[], $13::int[], $14::bigint[])
           on conflict (change_set, kind, family, cut) do update set generation = greatest(publish.change_generation.generation, excluded.generation)",
        &zones,
        &serials,
        &kinds,
        &families,
        &cuts,
        &epochs,
        &numbers_of,
        &sealed,
        &payloads,
        &sets,
        &set_kinds,
        &set_families,
        &set_cuts,
        &set_generations
    );
    insert.execute(connection).await?;
    Ok(())
}

/// The newest kept base of a feed: its manifest and rows.
pub async fn base(connection: &mut PgConnection, feed: Feed) -> Result<Option<GenerationRow>, DbError> {
    super::generations::checkpoint(connection, feed, (Epoch(i32::MAX as u32), Generation(i64::MAX as u64))).await
}

/// Keeps a base of a feed, in one transaction of the caller's.
pub async fn put_base(connection: &mut PgConnection, feed: Feed, at: (Epoch, Generation), sealed: &[u8], rows: &[u8]) -> Result<(), DbError> {
    /// Small enough for a statement, large enough that a base of 400 MB is 400 of them.
    const PIECE_BYTES: usize = 1 << 20;
    let (kind, family, cut) = numbers(feed);
    let empty: &[u8] = &[];
    let pieces = if rows.is_empty() { vec![empty] } else { rows.chunks(PIECE_BYTES).collect() };
    for (ordinal, piece) in pieces.into_iter().enumerate() {
        let insert = sqlx::query!(
            "insert into publish.base (kind, family, cut, ordinal, epoch, generation, sealed, rows) values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict do nothing",
            kind,
            family,
            cut,
            ordinal as i32,
            at.0.0 as i32,
            at.1.0 as i64,
            sealed,
            piece
        );
        insert.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The generations of a feed after one, oldest first.
pub async fn generations_after(connection: &mut PgConnection, feed: Feed, after: (Epoch, Generation)) -> Result<Vec<GenerationRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let rows = sqlx::query_as!(
        GenerationRow,
        "select sealed, payload from publish.generation
         where (kind, family, cut) = ($1, $2, $3) and (epoch, generation) > ($4, $5) order by epoch, generation",
        kind,
        family,
        cut,
        after.0.0 as i32,
        after.1.0 as i64
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A box of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its number.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// `agent` or `portal`.
    pub role: String,
    /// The campus it serves.
    pub campus: Option<String>,
    /// Data keys are encrypted to it.
    pub hpke_public: Vec<u8>,
    /// When it was enrolled.
    pub enrolled_at: DateTime<Utc>,
    /// When it was thrown out.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Every box, by name.
pub async fn nodes(db: impl PgExecutor<'_>) -> Result<Vec<NodeRow>, DbError> {
    let rows = sqlx::query_as!(
        NodeRow,
        r#"select n.id, n.name, n.role, c.name as "campus?", n.hpke_public, n.enrolled_at, n.revoked_at
           from publish.node n left join org.campus c on c.id = n.campus_id order by n.name"#
    );
    Ok(rows.fetch_all(db).await?)
}

/// Whether any agent is in.
pub async fn has_agents(connection: &mut PgConnection) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(r#"select exists (select from publish.node where role = 'agent' and revoked_at is null) as "any!""#).fetch_one(connection).await?)
}

/// One box, by its number.
pub async fn node(pool: &PgPool, id: NodeId) -> Result<Option<NodeRow>, DbError> {
    let row = sqlx::query_as!(
        NodeRow,
        r#"select n.id, n.name, n.role, c.name as "campus?", n.hpke_public, n.enrolled_at, n.revoked_at
           from publish.node n left join org.campus c on c.id = n.campus_id where n.id = $1"#,
        Uuid::from_bytes(id.0)
    );
    Ok(row.fetch_optional(pool).await?)
}

/// What a box said of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaidRow {
    /// The box.
    pub node: NodeId,
    /// The feed.
    pub feed: Feed,
    /// Served by all its services.
    pub applied: Generation,
    /// Survives a power cut there.
    pub durable: Generation,
    /// When we heard of it.
    pub at: DateTime<Utc>,
}

/// Remembers what boxes serve. A repeated word changes nothing but what became durable.
pub async fn put_served(pool: &PgPool, said: &[SaidRow]) -> Result<(), DbError> {
    let nodes: Vec<Uuid> = said.iter().map(|said| Uuid::from_bytes(said.node.0)).collect();
    let feeds: Vec<(i16, i16, i32)> = said.iter().map(|said| numbers(said.feed)).collect();
    let kinds: Vec<i16> = feeds.iter().map(|feed| feed.0).collect();
    let families: Vec<i16> = feeds.iter().map(|feed| feed.1).collect();
    let cuts: Vec<i32> = feeds.iter().map(|feed| feed.2).collect();
    let generations: Vec<i64> = said.iter().map(|said| said.applied.0 as i64).collect();
    let at: Vec<DateTime<Utc>> = said.iter().map(|said| said.at).collect();
    let durable: Vec<bool> = said.iter().map(|said| said.durable >= said.applied).collect();
    let insert = sqlx::query!(
        "insert into publish.served (node_id, kind, family, cut, generation, applied_at, durable_at)
         select node_id, kind, family, cut, generation, at, case when is_durable then at end
         from unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::int[], $5::bigint[], $6::timestamptz[], $7::bool[])
              as said (node_id, kind, family, cut, generation, at, is_durable)
         on conflict (node_id, kind, family, cut, generation) do update set durable_at = coalesce(publish.served.durable_at, excluded.durable_at)",
        &nodes,
        &kinds,
        &families,
        &cuts,
        &generations,
        &at,
        &durable
    );
    insert.execute(pool).await?;
    Ok(())
}

/// Forgets since when agents serve what, where that is older than this many days; the newest words of each agent stay.
pub async fn forget_served(pool: &PgPool, days: i32) -> Result<u64, DbError> {
    let sql = sqlx::query!(
        "delete from publish.served s where s.applied_at < now() - make_interval(days => $1) and exists (
           select from publish.served later where (later.node_id, later.kind, later.family, later.cut) = (s.node_id, s.kind, s.family, s.cut)
             and later.generation > s.generation and (later.durable_at is not null or s.durable_at is null))",
        days
    );
    Ok(sql.execute(pool).await?.rows_affected())
}

/// Since when an agent serves a change set in all the feeds it touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedRow {
    /// The agent's number.
    pub node: Uuid,
    /// Its name.
    pub agent: String,
    /// `None`: not yet.
    pub since: Option<DateTime<Utc>>,
}

/// For every agent that is in: since when it serves the change set; nobody does while its keys wait for the publisher.
/// Empty where the change set touched nothing that agents serve.
pub async fn served(pool: &PgPool, change_set: Uuid) -> Result<Vec<ServedRow>, DbError> {
    let rows = sqlx::query_as!(
        ServedRow,
        r#"with waiting as (select exists (select from publish.outbox where change_set = $1) as yes),
           wanted as (select kind, family, cut, generation from publish.change_generation where change_set = $1)
           select n.id as node, n.name as agent,
             case when not (select yes from waiting) then
               (select case when bool_and(since is not null) then max(since) end from (
                  select (select min(s.applied_at) from publish.served s
                    where s.node_id = n.id and (s.kind, s.family, s.cut) = (w.kind, w.family, w.cut) and s.generation >= w.generation) as since
                  from wanted w) each)
             end as since
           from publish.node n
           where n.role = 'agent' and n.revoked_at is null and ((select yes from waiting) or exists (select from wanted))
           order by n.name"#,
        change_set
    );
    Ok(rows.fetch_all(pool).await?)
}
