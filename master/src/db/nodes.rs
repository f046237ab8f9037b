//! Boxes in and out: tokens, enrolment, revocation, what each last said, and the rotation that a revocation asks for.

use super::{DbError, changes};
use chrono::{DateTime, Utc};
use holdfast_proto::snapshot::{Feed, KeyId};
use holdfast_proto::words::{Epoch, Generation, NodeId};
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgExecutor, PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// Where [`listen`] hears of boxes that came or went.
const CHANNEL: &str = "holdfast_nodes";

/// A token to be kept.
#[derive(Debug)]
pub struct TokenRow<'a> {
    /// SHA-256 of its secret.
    pub secret_hash: &'a [u8],
    /// The name that the box gets.
    pub name: &'a str,
    /// `agent` or `portal`.
    pub role: &'a str,
    /// The campus that it serves.
    pub campus: Option<&'a str>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// Whether the box that has the name now is thrown out when the new one comes.
    pub replaces: bool,
}

/// Keeps a token. `false` where there is no such campus.
pub async fn put_token(db: &mut PgConnection, row: &TokenRow<'_>) -> Result<bool, DbError> {
    let insert = query!(
        "insert into publish.enrol_token (secret_hash, name, role, campus_id, expires_at, replaces)
         select $1, $2, $3, c.id, $5, $6 from (select 1) one left join org.campus c on c.name = $4 where $4::text is null or c.id is not null",
        row.secret_hash,
        row.name,
        row.role,
        row.campus,
        row.expires_at,
        row.replaces
    );
    Ok(insert.execute(db).await?.rows_affected() == 1)
}

/// The box of this name that is in: its number, role and campus.
pub async fn active(db: &mut PgConnection, name: &str) -> Result<Option<(NodeId, String, Option<String>)>, DbError> {
    let found = query!(
        r#"select n.id, n.role, c.name as "campus?" from publish.node n left join org.campus c on c.id = n.campus_id
           where n.name = $1 and n.revoked_at is null for update of n"#,
        name
    );
    Ok(found.fetch_optional(db).await?.map(|row| (NodeId(*row.id.as_bytes()), row.role, row.campus)))
}

/// A box that shows a token.
#[derive(Debug)]
pub struct Newcomer<'a> {
    /// SHA-256 of the secret that it shows.
    pub secret_hash: &'a [u8],
    /// The number that it gets.
    pub id: NodeId,
    /// Data keys are encrypted to it.
    pub hpke_public: &'a [u8],
    /// When its certificate ends.
    pub certificate_end: DateTime<Utc>,
    /// Who issued it.
    pub authority: &'a str,
}

/// What became of a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// It is in, and the box that had its name is out.
    In {
        /// Its name.
        name: String,
        /// Its role.
        role: String,
    },
    /// The token is unknown, used or too old.
    NoToken,
    /// Another box has the name, and the token is not for replacing it.
    NameTaken(String),
}

/// Uses a token up and makes its box known, in one transaction.
pub async fn enrol(pool: &PgPool, new: &Newcomer<'_>) -> Result<Enrolment, DbError> {
    let mut tx = pool.begin().await?;
    let token = query!(
        "update publish.enrol_token set used_at = now() where secret_hash = $1 and used_at is null and expires_at > now()
         returning name, role, campus_id, replaces",
        new.secret_hash
    );
    let Some(token) = token.fetch_optional(&mut *tx).await? else { return Ok(Enrolment::NoToken) };
    changes::open(&mut tx, Uuid::now_v7(), &token.name, "enrolled with a one-time token", "control").await?;
    if let Some((before, ..)) = active(&mut tx, &token.name).await? {
        if !token.replaces {
            return Ok(Enrolment::NameTaken(token.name));
        }
        revoke(&mut tx, before).await?;
    }
    // The one that had the name keeps its row, under a name that nobody can be given.
    let retired = format!("{}@", token.name);
    query!("update publish.node set name = $2 || left(id::text, 8) where name = $1", token.name, retired).execute(&mut *tx).await?;
    let insert = query!(
        "insert into publish.node (id, name, role, campus_id, hpke_public, certificate_serial) values ($1, $2, $3, $4, $5, '')",
        Uuid::from_bytes(new.id.0),
        token.name,
        token.role,
        token.campus_id,
        new.hpke_public
    );
    insert.execute(&mut *tx).await?;
    put_certificate(&mut tx, new.id, new.certificate_end, new.authority).await?;
    tx.commit().await?;
    Ok(Enrolment::In { name: token.name, role: token.role })
}

/// Throws a box out and asks for the keys to be changed that it held, in a transaction with an open change set.
pub async fn revoke(db: &mut PgConnection, node: NodeId) -> Result<(), DbError> {
    let id = Uuid::from_bytes(node.0);
    query!("update publish.node set revoked_at = now() where id = $1 and revoked_at is null", id).execute(&mut *db).await?;
    query!("insert into publish.rotation (node_id) select id from publish.node where id = $1 and role = 'agent' on conflict do nothing", id)
        .execute(db)
        .await?;
    Ok(())
}

/// Every box that was thrown out.
pub async fn revoked(pool: &PgPool) -> Result<Vec<NodeId>, DbError> {
    let ids = query_scalar!("select id from publish.node where revoked_at is not null").fetch_all(pool).await?;
    Ok(ids.into_iter().map(|id| NodeId(*id.as_bytes())).collect())
}

/// Hears of boxes that came or went, whichever program of this database let them.
pub async fn listen(pool: &PgPool) -> Result<PgListener, DbError> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Remembers that a box dialled in, and which build it runs.
pub async fn remember_line(pool: &PgPool, node: NodeId, build: &str) -> Result<(), DbError> {
    let build: String = build.chars().take(100).collect();
    query!(
        "insert into publish.node_line (node_id, build, connected_at) values ($1, $2, now())
         on conflict (node_id) do update set build = $2, connected_at = now()",
        Uuid::from_bytes(node.0),
        build
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Remembers what a box kept out, and why; `None` when all is well again.
pub async fn remember_error(pool: &PgPool, node: NodeId, error: Option<&str>) -> Result<(), DbError> {
    let error: Option<String> = error.map(|error| error.chars().take(500).collect());
    query!(
        "insert into publish.node_line (node_id, last_error, last_error_at) values ($1, $2, case when $2::text is not null then now() end)
         on conflict (node_id) do update set last_error = $2, last_error_at = case when $2::text is not null then now() end",
        Uuid::from_bytes(node.0),
        error
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Remembers a box's newest certificate.
pub async fn put_certificate(db: &mut PgConnection, node: NodeId, end: DateTime<Utc>, authority: &str) -> Result<(), DbError> {
    query!(
        "insert into publish.node_line (node_id, certificate_end, authority) values ($1, $2, $3)
         on conflict (node_id) do update set certificate_end = $2, authority = $3",
        Uuid::from_bytes(node.0),
        end,
        authority
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A box with what is remembered of it.
#[derive(Debug, Clone)]
pub struct NodeLineRow {
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
    /// What it runs.
    pub build: Option<String>,
    /// When it last dialled in.
    pub connected_at: Option<DateTime<Utc>>,
    /// What it last kept out.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<DateTime<Utc>>,
    /// When its certificate ends.
    pub certificate_end: Option<DateTime<Utc>>,
    /// Who issued it.
    pub authority: Option<String>,
    /// Where the agent of its campus answers.
    pub service_address: Option<String>,
}

/// Every box, or the one of a name, with what is remembered of it.
pub async fn with_lines(db: impl PgExecutor<'_>, name: Option<&str>) -> Result<Vec<NodeLineRow>, DbError> {
    let rows = query_as!(
        NodeLineRow,
        r#"select n.id, n.name, n.role, c.name as "campus?", n.hpke_public, n.enrolled_at, n.revoked_at, l.build as "build?", l.connected_at as "connected_at?",
             l.last_error as "last_error?", l.last_error_at as "last_error_at?", l.certificate_end as "certificate_end?", l.authority as "authority?",
             host(c.service_address) as "service_address?"
           from publish.node n left join org.campus c on c.id = n.campus_id left join publish.node_line l on l.node_id = n.id
           where $1::text is null or n.name = $1 order by n.name"#,
        name
    );
    Ok(rows.fetch_all(db).await?)
}

/// An agent as the strip of campuses shows it.
#[derive(Debug, Clone)]
pub struct StandingRow {
    /// Its identity.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The campus it serves.
    pub campus: Option<String>,
    /// The newest generation of the zone feed that it serves.
    pub applied: Option<i64>,
}

/// Every agent that is in, by campus and name.
pub async fn standing(db: impl PgExecutor<'_>) -> Result<Vec<StandingRow>, DbError> {
    let zone = Feed::ZONE;
    let rows = query_as!(
        StandingRow,
        r#"select n.id, n.name, c.name as "campus?", (select max(s.generation) from publish.served s
             where s.node_id = n.id and (s.kind, s.family, s.cut) = ($1, $2, $3)) as applied
           from publish.node n left join org.campus c on c.id = n.campus_id
           where n.role = 'agent' and n.revoked_at is null order by c.name nulls last, n.name"#,
        zone.kind as i16,
        zone.scope.family as i16,
        zone.scope.cut as i32
    );
    Ok(rows.fetch_all(db).await?)
}

/// How far a box has a feed.
#[derive(Debug, Clone)]
pub struct PositionRow {
    kind: i16,
    family: i16,
    cut: i32,
    /// What is published.
    pub wanted: i64,
    /// What it serves.
    pub applied: Option<i64>,
    /// What survives a power cut there.
    pub durable: Option<i64>,
    /// The manifest of what it serves, where it is kept.
    pub sealed: Option<Vec<u8>>,
}

impl PositionRow {
    /// Which feed; `None` where this build does not know it.
    pub fn feed(&self) -> Option<Feed> {
        Feed::from_numbers(self.kind as u32, self.family as u32, self.cut as u32)
    }
}

/// For every feed that was published: what a box has of it.
pub async fn positions(pool: &PgPool, node: Uuid) -> Result<Vec<PositionRow>, DbError> {
    let rows = query_as!(
        PositionRow,
        r#"select f.kind as "kind!", f.family as "family!", f.cut as "cut!", f.wanted as "wanted!", s.applied as "applied?", s.durable as "durable?",
             (select g.sealed from publish.kept g
              where (g.kind, g.family, g.cut, g.generation) = (f.kind, f.family, f.cut, s.applied) order by g.epoch desc limit 1) as "sealed?"
           from (select kind, family, cut, max(generation) as wanted from publish.kept group by kind, family, cut) f
           left join lateral (
             select max(generation) as applied, max(generation) filter (where durable_at is not null) as durable
             from publish.served s where s.node_id = $1 and (s.kind, s.family, s.cut) = (f.kind, f.family, f.cut)) s on true
           order by f.kind, f.family, f.cut"#,
        node
    );
    Ok(rows.fetch_all(pool).await?)
}

/// The data key in use; `None`: the first that this master ever had.
pub async fn access_key(db: &mut PgConnection) -> Result<Option<KeyId>, DbError> {
    let id = query_scalar!("select key_id from publish.access_key").fetch_optional(db).await?;
    id.map(|id| id.try_into().map(KeyId).map_err(|_| DbError::Damaged("the name of the data key".to_owned()))).transpose()
}

/// From now on, this one.
pub async fn set_access_key(db: &mut PgConnection, id: KeyId) -> Result<(), DbError> {
    query!("insert into publish.access_key (key_id) values ($1) on conflict (singleton) do update set key_id = $1, since = now()", &id.0[..])
        .execute(db)
        .await?;
    Ok(())
}

/// The boxes for whose sake the data key must be changed, by name.
pub async fn rotations_due(db: &mut PgConnection) -> Result<Vec<String>, DbError> {
    Ok(query_scalar!("select n.name from publish.rotation r join publish.node n on n.id = r.node_id where r.done_at is null order by r.asked_at")
        .fetch_all(db)
        .await?)
}

/// Settles what was due, with the generation that carries the rows under the new key.
pub async fn settle_rotations(db: &mut PgConnection, generation: Generation) -> Result<(), DbError> {
    query!("update publish.rotation set done_at = now(), generation = $1 where done_at is null", generation.0 as i64).execute(db).await?;
    Ok(())
}

/// When the rotation for a box was done, and with which generation of the access feed.
pub async fn rotation_of(pool: &PgPool, node: NodeId) -> Result<Option<(Option<DateTime<Utc>>, Option<i64>)>, DbError> {
    let row = query!("select done_at, generation from publish.rotation where node_id = $1", Uuid::from_bytes(node.0));
    Ok(row.fetch_optional(pool).await?.map(|row| (row.done_at, row.generation)))
}

/// Something that an agent holds and this database does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltRow {
    kind: i16,
    family: i16,
    cut: i32,
    epoch: i32,
    generation: i64,
    /// The agent that holds it.
    pub agent: String,
    /// What it showed: the manifest and its signature.
    pub sealed: Vec<u8>,
    /// What this database has under the same number.
    pub published: Option<Vec<u8>>,
}

impl HaltRow {
    /// Which feed; `None` where this build does not know it.
    pub fn feed(&self) -> Option<Feed> {
        Feed::from_numbers(self.kind as u32, self.family as u32, self.cut as u32)
    }

    /// What the agent holds.
    pub fn at(&self) -> (Epoch, Generation) {
        (Epoch(self.epoch as u32), Generation(self.generation as u64))
    }
}

/// Remembers what an agent holds and this database does not know: of each feed the newest.
pub async fn put_halt(pool: &PgPool, node: NodeId, feed: Feed, at: (Epoch, Generation), sealed: &[u8]) -> Result<(), DbError> {
    query!(
        "insert into publish.halt as h (kind, family, cut, epoch, generation, sealed, node_id) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (kind, family, cut) do update set epoch = $4, generation = $5, sealed = $6, node_id = $7, seen_at = now()
         where (h.epoch, h.generation) < ($4, $5)",
        feed.kind as i16,
        feed.scope.family as i16,
        feed.scope.cut as i32,
        at.0.0 as i32,
        at.1.0 as i64,
        sealed,
        Uuid::from_bytes(node.0)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Everything that agents hold and this database does not know.
pub async fn halts(db: &mut PgConnection) -> Result<Vec<HaltRow>, DbError> {
    let rows = query_as!(
        HaltRow,
        r#"select h.kind, h.family, h.cut, h.epoch, h.generation, n.name as agent, h.sealed, g.sealed as "published?"
           from publish.halt h join publish.node n on n.id = h.node_id
           left join publish.kept g on (g.kind, g.family, g.cut, g.epoch, g.generation) = (h.kind, h.family, h.cut, h.epoch, h.generation)
           order by h.kind, h.family, h.cut"#
    );
    Ok(rows.fetch_all(db).await?)
}

/// Forgets what was held of epochs that have ended.
pub async fn lift_halts(db: &mut PgConnection, epoch: Epoch) -> Result<u64, DbError> {
    Ok(query!("delete from publish.halt where epoch < $1", epoch.0 as i32).execute(db).await?.rows_affected())
}
