//! What is to be published, what was, and how far the master has it.

use holdfast_proto::snapshot::KeyId;
use sqlx::PgConnection;

/// The lock that makes the publisher the only one: any fixed number that nobody else of this database uses.
const PUBLISHER_LOCK: i64 = 0x486f_6c64_6661_7374;

/// A generation as it was signed.
#[derive(Debug, Clone)]
pub struct GenerationRow {
    /// Its epoch.
    pub epoch: i32,
    /// Its number.
    pub generation: i64,
    /// The sealed manifest.
    pub sealed: Vec<u8>,
    /// The rows.
    pub payload: Vec<u8>,
}

/// A note of what changed.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Its place.
    pub id: i64,
    /// `account` or `agent`.
    pub subject: String,
    /// Which.
    pub key: String,
}

/// Keeps other publishers out until the transaction ends.
pub async fn lock(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock($1)", PUBLISHER_LOCK).execute(tx).await.map(drop)
}

/// The oldest notes.
pub async fn outbox(tx: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<OutboxRow>> {
    sqlx::query_as!(OutboxRow, "select id, subject, key from portal_publish.outbox order by id limit $1", limit).fetch_all(tx).await
}

/// Takes notes out that a generation has settled.
pub async fn settle(tx: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!("delete from portal_publish.outbox where id = any ($1)", ids).execute(tx).await.map(drop)
}

/// Stores a generation.
pub async fn insert(tx: &mut PgConnection, row: &GenerationRow) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal_publish.generation (epoch, generation, sealed, payload) values ($1, $2, $3, $4)",
        row.epoch,
        row.generation,
        row.sealed,
        row.payload
    )
    .execute(tx)
    .await
    .map(drop)
}

/// The generations after a position, oldest first.
pub async fn after(db: &mut PgConnection, epoch: i32, generation: i64, limit: i64) -> sqlx::Result<Vec<GenerationRow>> {
    sqlx::query_as!(
        GenerationRow,
        "select epoch, generation, sealed, payload from portal_publish.generation
         where (epoch, generation) > ($1, $2) order by epoch, generation limit $3",
        epoch,
        generation,
        limit
    )
    .fetch_all(db)
    .await
}

/// The newest position that was stored.
pub async fn newest(db: &mut PgConnection) -> sqlx::Result<Option<(i32, i64)>> {
    let row = sqlx::query!("select epoch, generation from portal_publish.generation order by epoch desc, generation desc limit 1");
    Ok(row.fetch_optional(db).await?.map(|row| (row.epoch, row.generation)))
}

/// Notes how far the master has it.
pub async fn set_relayed(db: &mut PgConnection, epoch: i32, generation: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal_publish.relayed (epoch, generation) values ($1, $2)
         on conflict (is_the_row) do update set epoch = $1, generation = $2, at = now()",
        epoch,
        generation
    )
    .execute(db)
    .await
    .map(drop)
}

/// The data key in use; `None`: the first that this portal ever had.
pub async fn data_key(db: &mut PgConnection) -> sqlx::Result<Option<KeyId>> {
    let id = sqlx::query_scalar!("select key_id from portal_publish.data_key").fetch_optional(db).await?;
    Ok(id.and_then(|id| id.try_into().ok()).map(KeyId))
}

/// From now on, this one.
pub async fn set_data_key(tx: &mut PgConnection, id: KeyId) -> sqlx::Result<()> {
    let set =
        sqlx::query!("insert into portal_publish.data_key (key_id) values ($1) on conflict (singleton) do update set key_id = $1, since = now()", &id.0[..]);
    set.execute(tx).await.map(drop)
}
