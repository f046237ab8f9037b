//! What boxes reported: kept once, listed, pruned, and queued for whoever takes it as syslog.

use super::DbError;
use chrono::{DateTime, Utc};
use holdfast_proto::words::NodeId;
use sqlx::{PgPool, query, query_as, query_scalar};
use uuid::Uuid;

/// One observation of a box, as it came in.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Sets the sequence apart from that of another opening of the spool.
    pub spool: String,
    /// Its number within the spool.
    pub sequence: u64,
    /// When, by the box.
    pub at: DateTime<Utc>,
    /// 0 an event, 1 an audit record.
    pub kind: i16,
    /// As RFC 5424 numbers it.
    pub severity: i16,
    /// Its stable name.
    pub event: String,
    /// A sentence.
    pub detail: String,
}

/// One observation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The order of arrival.
    pub number: i64,
    /// The box's name.
    pub node: String,
    /// 0 an event, 1 an audit record.
    pub kind: i16,
    /// As RFC 5424 numbers it.
    pub severity: i16,
    /// When, by the box.
    pub at: DateTime<Utc>,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Its stable name.
    pub event: String,
    /// A sentence.
    pub detail: String,
}

/// Which observations.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFilter<'a> {
    /// Only of this box.
    pub node: Option<&'a str>,
    /// Only with this name.
    pub event: Option<&'a str>,
    /// Only of this kind.
    pub kind: Option<i16>,
    /// Only what the box saw at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only with a lower number: the next page.
    pub below: Option<i64>,
    /// How many at most.
    pub limit: i64,
}

/// Something that waits to go out as syslog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRow {
    /// Its place in the queue.
    pub id: i64,
    /// The box's number and name; none of a change set.
    pub node: Option<(Uuid, String)>,
    /// What sets the sequence apart; the change set's number.
    pub spool: String,
    /// 0 of a change set.
    pub sequence: i64,
    /// 0 an event, 1 an audit record.
    pub kind: i16,
    /// As RFC 5424 numbers it.
    pub severity: i16,
    /// When.
    pub at: DateTime<Utc>,
    /// Its stable name.
    pub event: String,
    /// A sentence.
    pub detail: String,
}

/// Keeps an observation; one that was delivered before changes nothing. Gives whether it was new.
pub async fn put(pool: &PgPool, node: NodeId, row: &NewEvent) -> Result<bool, DbError> {
    let insert = query!(
        "insert into report.event (node_id, spool, sequence, at, kind, severity, event, detail) values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict do nothing",
        Uuid::from_bytes(node.0),
        row.spool,
        row.sequence as i64,
        row.at,
        row.kind,
        row.severity,
        row.event,
        row.detail
    );
    Ok(insert.execute(pool).await?.rows_affected() == 1)
}

/// Observations, the newest first.
pub async fn list(pool: &PgPool, filter: EventFilter<'_>) -> Result<Vec<EventRow>, DbError> {
    let rows = query_as!(
        EventRow,
        "select e.number, n.name as node, e.kind, e.severity, e.at, e.received_at, e.event, e.detail
         from report.event e join publish.node n on n.id = e.node_id
         where ($1::text is null or n.name = $1) and ($2::text is null or e.event = $2) and ($3::smallint is null or e.kind = $3)
           and ($4::timestamptz is null or e.at >= $4) and ($5::bigint is null or e.number < $5)
         order by e.number desc limit $6",
        filter.node,
        filter.event,
        filter.kind,
        filter.since,
        filter.below,
        filter.limit
    );
    Ok(rows.fetch_all(pool).await?)
}

/// Forgets observations that arrived before a time, and the oldest of more than `rows`. Gives how many went.
pub async fn prune(pool: &PgPool, before: DateTime<Utc>, rows: i64) -> Result<u64, DbError> {
    let delete = query!(
        "delete from report.event where received_at < $1
           or number <= (select number from report.event order by number desc offset $2 limit 1)",
        before,
        rows
    );
    Ok(delete.execute(pool).await?.rows_affected())
}

/// Forgets who served which generation when, but for the newest `kept` of each box and feed. Gives how many rows went.
pub async fn prune_served(pool: &PgPool, kept: i64) -> Result<u64, DbError> {
    let delete = query!(
        "delete from publish.served s using (
           select node_id, kind, family, cut, generation,
             row_number() over (partition by node_id, kind, family, cut order by generation desc) as place from publish.served) old
         where old.place > $1 and (s.node_id, s.kind, s.family, s.cut, s.generation) = (old.node_id, old.kind, old.family, old.cut, old.generation)",
        kept
    );
    Ok(delete.execute(pool).await?.rows_affected())
}

/// Says whether anybody takes the queue. What waits when nobody does any more is dropped.
pub async fn set_forwarding(pool: &PgPool, enabled: bool) -> Result<(), DbError> {
    query!("update report.forwarding set enabled = $1 where enabled <> $1", enabled).execute(pool).await?;
    if !enabled {
        query!("delete from report.outgoing").execute(pool).await?;
    }
    Ok(())
}

/// The oldest of the queue, without those that are on their way.
pub async fn outgoing(pool: &PgPool, on_their_way: &[i64], limit: i64) -> Result<Vec<OutgoingRow>, DbError> {
    let rows = query!(
        r#"select o.id, o.node_id as "node_id?", n.name as "name?", coalesce(o.spool, o.change_set::text, '') as "spool!",
             coalesce(o.sequence, o.head, 0) as "sequence!",
             coalesce(e.kind, 1::smallint) as "kind!", coalesce(e.severity, 5::smallint) as "severity!", coalesce(e.at, c.at, d.at, now()) as "at!",
             coalesce(e.event, case when d.ordinal is null then 'change_set' else 'audit_head' end) as "event!",
             coalesce(e.detail, 'the audit has ' || d.ordinal || ' links, the last with the hash ' || encode(d.hash, 'hex') || ', signed '
               || encode(d.signature, 'hex'), c.actor || ' by ' || c.via || ', because: ' || c.reason || '; ' || coalesce(
               (select string_agg(t.table_name || ' ' || t.rows, ', ' order by t.table_name)
                from (select table_name, count(*) as rows from change.change where change_set = c.id group by table_name) t), 'nothing')) as "detail!"
           from report.outgoing o
             left join report.event e on (e.node_id, e.spool, e.sequence) = (o.node_id, o.spool, o.sequence)
             left join publish.node n on n.id = o.node_id
             left join change.change_set c on c.id = o.change_set
             left join change.chain_head d on d.ordinal = o.head
           where o.id <> all ($1) order by o.id limit $2"#,
        on_their_way,
        limit
    );
    let row = rows.fetch_all(pool).await?.into_iter().map(|row| OutgoingRow {
        id: row.id,
        node: row.node_id.zip(row.name),
        spool: row.spool,
        sequence: row.sequence,
        kind: row.kind,
        severity: row.severity,
        at: row.at,
        event: row.event,
        detail: row.detail,
    });
    Ok(row.collect())
}

/// These were taken.
pub async fn took(pool: &PgPool, ids: &[i64]) -> Result<(), DbError> {
    query!("delete from report.outgoing where id = any ($1)", ids).execute(pool).await?;
    Ok(())
}

/// How many wait in the queue.
pub async fn waiting(pool: &PgPool) -> Result<i64, DbError> {
    Ok(query_scalar!(r#"select count(*) as "count!" from report.outgoing"#).fetch_one(pool).await?)
}
