//! Generations, their bases, and the boxes that follow them.

use super::DbError;
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation, NodeId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What a writer's triggers left for the publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
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

fn numbers(feed: Feed) -> (i16, i16, i32) {
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

/// Takes everything out of the outbox that this transaction can see.
pub async fn take_outbox(connection: &mut PgConnection) -> Result<Vec<OutboxRow>, DbError> {
    Ok(sqlx::query_as!(OutboxRow, "delete from publish.outbox returning change_set, subject, key").fetch_all(connection).await?)
}

/// Whether anything waits in the outbox.
pub async fn outbox_is_empty(connection: &mut PgConnection) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(r#"select not exists (select from publish.outbox) as "empty!""#).fetch_one(connection).await?)
}

/// Stores a generation. A number that is taken is an error: no generation ever has two contents.
pub async fn put_generation(connection: &mut PgConnection, feed: Feed, at: (Epoch, Generation), sealed: &[u8], payload: &[u8]) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    let insert = sqlx::query!(
        "insert into publish.generation (kind, family, cut, epoch, generation, sealed, payload) values ($1, $2, $3, $4, $5, $6, $7)",
        kind,
        family,
        cut,
        at.0.0 as i32,
        at.1.0 as i64,
        sealed,
        payload
    );
    insert.execute(connection).await?;
    Ok(())
}

/// Remembers with which generation of a feed the change sets are out.
pub async fn put_change_generation(connection: &mut PgConnection, feed: Feed, generation: Generation, change_sets: &[Uuid]) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    let insert = sqlx::query!(
        "insert into publish.change_generation (change_set, kind, family, cut, generation)
         select change_set, $2, $3, $4, $5 from unnest($1::uuid[]) change_set
         on conflict (change_set, kind, family, cut) do update set generation = greatest(publish.change_generation.generation, excluded.generation)",
        change_sets,
        kind,
        family,
        cut,
        generation.0 as i64
    );
    insert.execute(connection).await?;
    Ok(())
}

/// The kept base of a feed: its manifest and rows.
pub async fn base(connection: &mut PgConnection, feed: Feed) -> Result<Option<GenerationRow>, DbError> {
    let (kind, family, cut) = numbers(feed);
    let pieces = sqlx::query!("select sealed, rows from publish.base where (kind, family, cut) = ($1, $2, $3) order by ordinal", kind, family, cut);
    let pieces = pieces.fetch_all(connection).await?;
    let sealed = pieces.first().map(|piece| piece.sealed.clone());
    Ok(sealed.map(|sealed| GenerationRow { sealed, payload: pieces.into_iter().flat_map(|piece| piece.rows).collect() }))
}

/// Replaces the kept base of a feed, in one transaction of the caller's.
pub async fn put_base(connection: &mut PgConnection, feed: Feed, at: (Epoch, Generation), sealed: &[u8], rows: &[u8]) -> Result<(), DbError> {
    /// Small enough for a statement, large enough that a base of 400 MB is 400 of them.
    const PIECE_BYTES: usize = 1 << 20;
    let (kind, family, cut) = numbers(feed);
    sqlx::query!("delete from publish.base where (kind, family, cut) = ($1, $2, $3)", kind, family, cut).execute(&mut *connection).await?;
    let empty: &[u8] = &[];
    let pieces = if rows.is_empty() { vec![empty] } else { rows.chunks(PIECE_BYTES).collect() };
    for (ordinal, piece) in pieces.into_iter().enumerate() {
        let insert = sqlx::query!(
            "insert into publish.base (kind, family, cut, ordinal, epoch, generation, sealed, rows) values ($1, $2, $3, $4, $5, $6, $7, $8)",
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
pub async fn nodes(pool: &PgPool) -> Result<Vec<NodeRow>, DbError> {
    let rows = sqlx::query_as!(
        NodeRow,
        r#"select n.id, n.name, n.role, c.name as "campus?", n.hpke_public, n.enrolled_at, n.revoked_at
           from publish.node n left join org.campus c on c.id = n.campus_id order by n.name"#
    );
    Ok(rows.fetch_all(pool).await?)
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

/// Keeps a token, by the hash of its secret. A campus that is not there is refused by name.
pub async fn put_token(pool: &PgPool, secret_hash: &[u8], name: &str, role: &str, campus: Option<&str>, expires_at: DateTime<Utc>) -> Result<bool, DbError> {
    let insert = sqlx::query!(
        "insert into publish.enrol_token (secret_hash, name, role, campus_id, expires_at)
         select $1, $2, $3, c.id, $5 from (select 1) one left join org.campus c on c.name = $4 where $4::text is null or c.id is not null",
        secret_hash,
        name,
        role,
        campus,
        expires_at
    );
    Ok(insert.execute(pool).await?.rows_affected() == 1)
}

/// Uses a token up and makes its box known, in one transaction: `None` where the token is unknown, used or too old.
pub async fn enrol(pool: &PgPool, secret_hash: &[u8], id: NodeId, hpke_public: &[u8]) -> Result<Option<NodeRow>, DbError> {
    let mut tx = pool.begin().await?;
    let token = sqlx::query!(
        "update publish.enrol_token set used_at = now() where secret_hash = $1 and used_at is null and expires_at > now() returning name, role, campus_id",
        secret_hash
    );
    let Some(token) = token.fetch_optional(&mut *tx).await? else { return Ok(None) };
    // A spare that takes a name over replaces the box that had it.
    let retired = format!("{}@", token.name);
    sqlx::query!("update publish.node set name = $2 || left(id::text, 8), revoked_at = coalesce(revoked_at, now()) where name = $1", token.name, retired)
        .execute(&mut *tx)
        .await?;
    let insert = sqlx::query!(
        "insert into publish.node (id, name, role, campus_id, hpke_public, certificate_serial) values ($1, $2, $3, $4, $5, '')",
        Uuid::from_bytes(id.0),
        token.name,
        token.role,
        token.campus_id,
        hpke_public
    );
    insert.execute(&mut *tx).await?;
    tx.commit().await?;
    node(pool, id).await
}

/// Throws a box out. `false` where there is none of that name that is still in.
pub async fn revoke(pool: &PgPool, name: &str) -> Result<bool, DbError> {
    let update = sqlx::query!("update publish.node set revoked_at = now() where name = $1 and revoked_at is null", name);
    Ok(update.execute(pool).await?.rows_affected() == 1)
}

/// Remembers that a box serves a generation. A repeated word changes nothing but what became durable.
pub async fn put_served(pool: &PgPool, node: NodeId, feed: Feed, applied: Generation, durable: Generation, at: DateTime<Utc>) -> Result<(), DbError> {
    let (kind, family, cut) = numbers(feed);
    let durable_at = (durable >= applied).then_some(at);
    let insert = sqlx::query!(
        "insert into publish.served (node_id, kind, family, cut, generation, applied_at, durable_at) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (node_id, kind, family, cut, generation) do update set durable_at = coalesce(publish.served.durable_at, excluded.durable_at)",
        Uuid::from_bytes(node.0),
        kind,
        family,
        cut,
        applied.0 as i64,
        at,
        durable_at
    );
    insert.execute(pool).await?;
    Ok(())
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
