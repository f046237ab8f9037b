//! Sessions that NASs told of, as the agents hand them on.

use super::{DbError, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::NodeId;
use sqlx::{PgConnection, query};
use std::net::IpAddr;
use uuid::Uuid;

/// Whoever writes sessions does it alone: two records of one session, by way of two agents, must not both be its first.
const LOCK: i64 = 0x686f_6c64_6163_6374;

/// One record of an agent's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidRow {
    /// Which opening of the log.
    pub log: Vec<u8>,
    /// Its number in it.
    pub number: i64,
    /// `start`, `interim`, `stop`, `on` or `off`.
    pub status: &'static str,
    /// Where the NAS's request came from.
    pub nas_ip: IpAddr,
    /// What the NAS was called.
    pub nas: String,
    /// What it calls itself.
    pub nas_identifier: String,
    /// Its port.
    pub nas_port: String,
    /// Which session.
    pub session_id: String,
    /// Whose.
    pub user_name: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// For how long it lasts.
    pub session_secs: Option<i64>,
    /// Why it ended.
    pub terminate_cause: Option<i64>,
    /// Where the user comes from.
    pub calling_station: String,
    /// What the user came to.
    pub called_station: String,
    /// The hardware address that the user comes from.
    pub mac: String,
    /// The IPv4 address that the user has.
    pub framed_ip: Option<String>,
    /// The IPv6 address or network that the user has.
    pub framed_ipv6: Option<String>,
    /// From the user so far.
    pub input_octets: Option<i64>,
    /// To the user so far.
    pub output_octets: Option<i64>,
}

/// Takes records in their order, those that were taken before left out; how many those were that are new.
pub async fn put(db: &mut PgConnection, node: NodeId, said: &[SaidRow]) -> Result<u64, DbError> {
    query!("select pg_advisory_xact_lock($1)", LOCK).execute(&mut *db).await?;
    let said = unknown(&mut *db, node, said).await?;
    note(&mut *db, node, &said).await?;
    let logs: Vec<Vec<u8>> = said.iter().map(|row| row.log.clone()).collect();
    let numbers: Vec<i64> = said.iter().map(|row| row.number).collect();
    query!(
        "insert into report.accounting_mark (node_id, log, number)
           select $1, t.log, max(t.number) from unnest($2::bytea[], $3::bigint[]) as t (log, number) group by t.log
         on conflict (node_id, log) do update set number = excluded.number, at = now()",
        Uuid::from_bytes(node.0),
        &logs,
        &numbers
    )
    .execute(db)
    .await?;
    Ok(said.len() as u64)
}

/// Those that stand behind what was taken of their log.
async fn unknown<'a>(db: &mut PgConnection, node: NodeId, said: &'a [SaidRow]) -> Result<Vec<&'a SaidRow>, DbError> {
    let mut logs: Vec<Vec<u8>> = said.iter().map(|row| row.log.clone()).collect();
    logs.dedup();
    let marks = query!("select log, number from report.accounting_mark where node_id = $1 and log = any ($2)", Uuid::from_bytes(node.0), &logs);
    let marks = marks.fetch_all(db).await?;
    let is_known = |row: &SaidRow| marks.iter().any(|mark| mark.log == row.log && row.number <= mark.number);
    Ok(said.iter().filter(|row| !is_known(row)).collect())
}

async fn note(db: &mut PgConnection, node: NodeId, said: &[&SaidRow]) -> Result<(), DbError> {
    let texts = |of: fn(&SaidRow) -> &str| said.iter().map(|row| of(row).to_owned()).collect::<Vec<String>>();
    let numbers = |of: fn(&SaidRow) -> Option<i64>| said.iter().map(|row| of(row)).collect::<Vec<Option<i64>>>();
    let addresses = |of: fn(&SaidRow) -> &Option<String>| said.iter().map(|row| of(row).clone()).collect::<Vec<Option<String>>>();
    let nas_ips: Vec<String> = said.iter().map(|row| row.nas_ip.to_string()).collect();
    let at: Vec<DateTime<Utc>> = said.iter().map(|row| row.at).collect();
    query!(
        r#"select count(report.note_accounting(row(t.status, t.nas_ip::inet, t.nas, t.nas_identifier, t.nas_port, t.session_id, t.user_name, $1, t.at,
               t.session_secs, t.terminate_cause, t.calling_station, t.called_station, t.mac, t.framed_ip::inet, t.framed_ipv6::inet,
               t.input_octets, t.output_octets)::report.accounting) order by t.ordinal)
           from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::bigint[], $11::bigint[],
               $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::bigint[])
             with ordinality as t (status, nas_ip, nas, nas_identifier, nas_port, session_id, user_name, at, session_secs, terminate_cause,
               calling_station, called_station, mac, framed_ip, framed_ipv6, input_octets, output_octets, ordinal)"#,
        Uuid::from_bytes(node.0),
        &texts(|row| row.status),
        &nas_ips,
        &texts(|row| &row.nas),
        &texts(|row| &row.nas_identifier),
        &texts(|row| &row.nas_port),
        &texts(|row| &row.session_id),
        &texts(|row| &row.user_name),
        &at,
        &numbers(|row| row.session_secs) as &[Option<i64>],
        &numbers(|row| row.terminate_cause) as &[Option<i64>],
        &texts(|row| &row.calling_station),
        &texts(|row| &row.called_station),
        &texts(|row| &row.mac),
        &addresses(|row| &row.framed_ip) as &[Option<String>],
        &addresses(|row| &row.framed_ipv6) as &[Option<String>],
        &numbers(|row| row.input_octets) as &[Option<i64>],
        &numbers(|row| row.output_octets) as &[Option<i64>]
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// A session that is, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Our number of it.
    pub id: i64,
    /// The NAS's name.
    pub nas: String,
    /// Where the NAS's requests come from.
    pub nas_ip: IpAddr,
    /// The NAS's port.
    pub nas_port: String,
    /// The NAS's number of it.
    pub session_id: String,
    /// Whose it is.
    pub user_name: String,
    /// The agent that told of it last.
    pub agent: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Whether that is known, or it was then at the latest.
    pub has_start: bool,
    /// When something was heard of it last.
    pub heard_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What ended it.
    pub ended_by: Option<String>,
    /// Why, by the NAS's number.
    pub terminate_cause: Option<i64>,
    /// Where the user comes from.
    pub calling_station: String,
    /// What the user came to.
    pub called_station: String,
    /// The hardware address that the user comes from.
    pub mac: String,
    /// The IPv4 address.
    pub framed_ip: Option<IpAddr>,
    /// The IPv6 address or network.
    pub framed_ipv6: Option<String>,
    /// From the user.
    pub input_octets: i64,
    /// To the user.
    pub output_octets: i64,
}

/// Which sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionFilter<'a> {
    /// Of this user, however written.
    pub user: Option<&'a str>,
    /// At this NAS, by name or address.
    pub nas: Option<&'a str>,
    /// From this hardware address.
    pub mac: Option<&'a str>,
    /// With this address, at the time asked for.
    pub ip: Option<IpAddr>,
    /// At this time.
    pub at: Option<DateTime<Utc>>,
    /// Only those that have not ended.
    pub open: bool,
    /// Behind this one, in the order of the list.
    pub below: Option<(DateTime<Utc>, i64)>,
    /// At most so many.
    pub limit: i64,
}

/// Sessions, the last first.
pub async fn list(db: &mut PgConnection, filter: SessionFilter<'_>) -> Result<Vec<SessionRow>, DbError> {
    let (below_at, below_id) = filter.below.unzip();
    let rows = query!(
        r#"select s.id, s.nas, host(s.nas_ip) as "nas_ip!", s.nas_port, s.session_id, s.user_name, n.name as agent, s.started_at, s.has_start, s.heard_at,
             s.ended_at, s.ended_by, s.terminate_cause, s.calling_station, s.called_station, s.mac, host(s.framed_ip) as framed_ip,
             s.framed_ipv6::text as framed_ipv6, s.input_octets, s.output_octets
           from report.network_session s join publish.node n on n.id = s.node_id
           where ($1::text is null or lower(s.user_name) = lower($1)) and ($2::text is null or s.nas = $2 or host(s.nas_ip) = $2)
             and ($3::text is null or s.mac = $3) and ($4::text is null or s.id in (
               select a.session from report.network_session_address a where a.address >>= $4::inet
                 -- The address that it had first it had from its start, and each until another one was heard of.
                 and ($5::timestamptz is null or a.first_heard <= $5 or not exists (
                   select from report.network_session_address e where e.session = a.session and family(e.address) = family(a.address) and e.first_heard < a.first_heard))
                 and ($5::timestamptz is null or a.last_heard >= $5 or not exists (
                   select from report.network_session_address e where e.session = a.session and family(e.address) = family(a.address) and e.first_heard > a.first_heard and e.first_heard <= $5))))
             and ($5::timestamptz is null or s.started_at <= $5 and (s.ended_at is null or s.ended_at >= $5))
             and (not $6::boolean or s.ended_at is null) and ($7::timestamptz is null or (s.started_at, s.id) < ($7, $8::bigint))
           order by s.started_at desc, s.id desc limit $9"#,
        filter.user,
        filter.nas,
        filter.mac,
        filter.ip.map(|ip| ip.to_string()),
        filter.at,
        filter.open,
        below_at,
        below_id,
        filter.limit
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        Ok(SessionRow {
            id: row.id,
            nas: row.nas,
            nas_ip: word(&row.nas_ip)?,
            nas_port: row.nas_port,
            session_id: row.session_id,
            user_name: row.user_name,
            agent: row.agent,
            started_at: row.started_at,
            has_start: row.has_start,
            heard_at: row.heard_at,
            ended_at: row.ended_at,
            ended_by: row.ended_by,
            terminate_cause: row.terminate_cause,
            calling_station: row.calling_station,
            called_station: row.called_station,
            mac: row.mac,
            framed_ip: row.framed_ip.as_deref().map(word).transpose()?,
            framed_ipv6: row.framed_ipv6,
            input_octets: row.input_octets,
            output_octets: row.output_octets,
        })
    });
    rows.collect()
}

/// What the sessions of one user, or at one NAS, come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalRow {
    /// The user or the NAS.
    pub name: String,
    /// How many sessions.
    pub sessions: i64,
    /// How many of them have not ended.
    pub open: i64,
    /// For how long they lasted together, in seconds; one that goes on, as long as it was heard of.
    pub seconds: i64,
    /// From the user.
    pub input_octets: i64,
    /// To the user.
    pub output_octets: i64,
}

/// What sessions that began in a time come to, by user or by NAS, who has most first.
pub async fn totals(db: &mut PgConnection, by_nas: bool, (since, until): (DateTime<Utc>, DateTime<Utc>), limit: i64) -> Result<Vec<TotalRow>, DbError> {
    let rows = sqlx::query_as!(
        TotalRow,
        r#"select case when $1 then s.nas else lower(s.user_name) end as "name!", count(*) as "sessions!", count(*) filter (where s.ended_at is null) as "open!",
             sum(extract(epoch from coalesce(s.ended_at, s.heard_at) - s.started_at))::bigint as "seconds!",
             least(sum(s.input_octets), 9223372036854775807)::bigint as "input_octets!",
             least(sum(s.output_octets), 9223372036854775807)::bigint as "output_octets!"
           from report.network_session s where s.started_at >= $2 and s.started_at < $3
           group by 1 order by sum(s.input_octets) + sum(s.output_octets) desc, 1 limit $4"#,
        by_nas,
        since,
        until,
        limit
    );
    Ok(rows.fetch_all(db).await?)
}

/// Forgets sessions that ended, or were last heard of, before this time; how many those were.
pub async fn forget_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, DbError> {
    query!("delete from report.accounting_mark where at < $1", before).execute(&mut *db).await?;
    query!("delete from report.nas_restart where at < $1", before).execute(&mut *db).await?;
    Ok(query!("delete from report.network_session where coalesce(ended_at, heard_at) < $1", before).execute(db).await?.rows_affected())
}
