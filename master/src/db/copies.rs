//! Zones of others that we serve: their records, and what is known of each copy.

use super::transfers::Primary;
use super::{DbError, json, number, word};
use chrono::{DateTime, Utc};
use holdfast_proto::dns::Record;
use holdfast_proto::words::{DomainName, Serial};
use serde::Serialize;
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};

/// For how long a copy that is being asked for is left alone by others.
const BUSY_SECS: f64 = 900.0;

/// A copy whose turn it is.
#[derive(Debug, Clone)]
pub struct DueRow {
    /// Its zone.
    pub zone: i64,
    /// The zone's apex.
    pub apex: DomainName,
    /// Whom to ask.
    pub primaries: Vec<Primary>,
    /// What we have; nothing yet where it is `None`.
    pub serial: Option<Serial>,
    /// How often nobody answered since.
    pub failures: i32,
    /// The serial that somebody accepted though it takes much away.
    pub accepted: Option<Serial>,
    /// When it began, by the database's clock.
    pub begun: DateTime<Utc>,
    /// Until when it is ours to ask for: whoever finds another time here has been overtaken.
    pub busy_until: DateTime<Utc>,
}

/// Takes up to so many copies whose turn it is; nobody else takes them for a while.
pub async fn take_due(pool: &PgPool, limit: i64) -> Result<Vec<DueRow>, DbError> {
    let rows = query!(
        r#"update dns.copy c set busy_until = now() + make_interval(secs => $2), next_at = now() + make_interval(secs => $2)
           from dns.zone z
           where z.id = c.zone_id and c.zone_id in (
             select d.zone_id from dns.copy d join dns.zone y on y.id = d.zone_id where d.next_at <= now() and y.primaries <> '[]'
             order by d.next_at limit $1 for update of d skip locked)
           returning c.zone_id, z.apex, z.primaries, c.serial, c.failures, c.accepted_serial, now() as "begun!", c.busy_until as "busy_until!""#,
        limit,
        BUSY_SECS
    )
    .fetch_all(pool)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(DueRow {
            zone: row.zone_id,
            apex: word(&row.apex)?,
            primaries: json(row.primaries)?,
            serial: row.serial.map(number).transpose()?.map(Serial),
            failures: row.failures,
            accepted: row.accepted_serial.map(number).transpose()?.map(Serial),
            begun: row.begun,
            busy_until: row.busy_until,
        })
    });
    rows.collect()
}

/// Locks a copy for the rest of the transaction; whether it is still as it was when it was taken: nobody changed its primaries
/// since, made it a zone of ours, or took it over.
pub async fn is_still(db: &mut PgConnection, due: &DueRow) -> Result<bool, DbError> {
    let sql = query_scalar!("select zone_id from dns.copy where zone_id = $1 and busy_until = $2 for update", due.zone, due.busy_until);
    Ok(sql.fetch_optional(db).await?.is_some())
}

/// A copy is asked for now, unless it is being asked for already: then right after. Whether it is a copy.
pub async fn ask_now(db: &mut PgConnection, zone: i64) -> Result<bool, DbError> {
    let sql = query!(
        "update dns.copy set notified_at = clock_timestamp(), next_at = case when busy_until > now() then next_at else now() end where zone_id = $1",
        zone
    );
    Ok(sql.execute(db).await?.rows_affected() == 1)
}

/// Somebody accepts what a held transfer takes away. Gives the serial that they accept; `None` where nothing is held.
pub async fn accept(db: &mut PgConnection, zone: i64) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!("update dns.copy set accepted_serial = held_serial where zone_id = $1 and held_serial is not null returning accepted_serial", zone);
    Ok(sql.fetch_optional(db).await?.flatten())
}

/// How asking went.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Who answered.
    pub by: &'a str,
    /// In how many seconds it is asked again.
    pub next_secs: f64,
    /// For how many seconds from now it is good.
    pub expire_secs: f64,
    /// What else is to be said.
    pub note: Option<&'a str>,
}

/// A primary answered. Whether it had been given up before.
pub async fn answered(db: &mut PgConnection, due: &DueRow, asked: &Asked<'_>) -> Result<bool, DbError> {
    let was_expired = query_scalar!("select is_expired from dns.copy where zone_id = $1 for update", due.zone).fetch_optional(&mut *db).await?;
    query!(
        "update dns.copy set busy_until = null, failures = 0, last_error = $5, answered_by = $2, checked_at = now(), is_expired = false,
           next_at = case when notified_at > $6 then now() else now() + make_interval(secs => $3) end,
           expires_at = now() + make_interval(secs => $4)
         where zone_id = $1",
        due.zone,
        asked.by,
        asked.next_secs,
        asked.expire_secs,
        asked.note,
        due.begun
    )
    .execute(db)
    .await?;
    Ok(was_expired.unwrap_or_default())
}

/// Nobody answered as they should.
pub async fn failed(pool: &PgPool, due: &DueRow, next_secs: f64, error: &str) -> Result<(), DbError> {
    query!(
        "update dns.copy set busy_until = null, failures = failures + 1, last_error = $3,
           next_at = case when notified_at > $4 then now() + interval '1 second' else now() + make_interval(secs => $2) end
         where zone_id = $1",
        due.zone,
        next_secs,
        error,
        due.begun
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A transfer would take much away: it waits for somebody to accept it.
/// Somebody answers meanwhile, so what we have is good for as long again.
pub async fn hold(pool: &PgPool, due: &DueRow, serial: Serial, (removed, of): (i64, i64), next_secs: f64, expire_secs: f64) -> Result<(), DbError> {
    query!(
        "update dns.copy set busy_until = null, checked_at = now(), held_serial = $2, held_removed = $3, held_of = $4,
           next_at = case when notified_at > $6 then now() else now() + make_interval(secs => $5) end,
           expires_at = case when expires_at is null then null else now() + make_interval(secs => $7) end
         where zone_id = $1",
        due.zone,
        i64::from(serial.0),
        removed,
        of,
        next_secs,
        due.begun,
        expire_secs
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Copies whose time is over, and are not given up yet.
pub async fn overdue(db: &mut PgConnection) -> Result<Vec<(i64, DomainName)>, DbError> {
    let rows = query!(
        "select c.zone_id, z.apex from dns.copy c join dns.zone z on z.id = c.zone_id
         where c.expires_at <= now() and not c.is_expired and c.serial is not null and z.primaries <> '[]' limit 100"
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((row.zone_id, word(&row.apex)?))).collect()
}

/// Gives a copy up, unless it was renewed in this moment. Whether it was.
pub async fn give_up(db: &mut PgConnection, zone: i64) -> Result<bool, DbError> {
    let sql = query!("update dns.copy set is_expired = true where zone_id = $1 and expires_at <= now() and not is_expired", zone);
    Ok(sql.execute(db).await?.rows_affected() == 1)
}

/// Every name of a copy, its apex and the zone are looked at anew, in this change set.
pub async fn touch_all(db: &mut PgConnection, zone: i64) -> Result<(), DbError> {
    query!(
        "insert into publish.outbox (change_set, subject, key)
           select distinct change.current_set(), 'name', name from dns.copied where zone_id = $1
           union all select change.current_set(), 'name', apex from dns.zone where id = $1
           union all select change.current_set(), 'zone', apex from dns.zone where id = $1",
        zone
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A zone that was our own until now: its names are looked at anew.
pub async fn touch_own(db: &mut PgConnection, apex: &DomainName) -> Result<(), DbError> {
    query!("select publish.emit_below(array[$1])::text as done", apex.without_dot()).fetch_one(db).await?;
    Ok(())
}

/// A record of a copy with its number.
#[derive(Debug, Clone)]
pub struct KeptRecord {
    /// Its number.
    pub id: i64,
    /// It.
    pub record: Record,
}

/// All records of a copy.
pub async fn records(db: &mut PgConnection, zone: i64) -> Result<Vec<KeptRecord>, DbError> {
    let rows = query!("select id, name, rtype, ttl, rdata from dns.copied where zone_id = $1", zone).fetch_all(db).await?;
    let rows = rows.into_iter().map(|row| {
        let record = Record { owner: word(&row.name)?, rtype: number(i64::from(row.rtype))?, ttl: number(row.ttl)?, rdata: row.rdata };
        Ok(KeptRecord { id: row.id, record })
    });
    rows.collect()
}

/// The SOA record of a copy.
pub async fn soa(db: &mut PgConnection, zone: i64) -> Result<Option<Record>, DbError> {
    let row = query!(
        "select c.name, c.ttl, c.rdata from dns.copied c join dns.zone z on z.id = c.zone_id where c.zone_id = $1 and c.name = z.apex and c.rtype = 6",
        zone
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok(Record { owner: word(&row.name)?, rtype: 6, ttl: number(row.ttl)?, rdata: row.rdata })).transpose()
}

/// The serial that the zone had here.
pub async fn own_serial(db: &mut PgConnection, zone: i64) -> Result<Serial, DbError> {
    Ok(Serial(number(query_scalar!("select serial from dns.serial where zone_id = $1", zone).fetch_one(db).await?)?))
}

/// How many names the zone has of its own.
pub async fn own_names(db: &mut PgConnection, zone: i64) -> Result<i64, DbError> {
    Ok(query_scalar!(r#"select count(*) as "count!" from dns.node where zone_id = $1"#, zone).fetch_one(db).await?)
}

/// Writes what changed in a copy, with the keys of the names that it touches, and its new serial.
pub async fn write(db: &mut PgConnection, due: &DueRow, serial: Serial, gone: &[KeptRecord], come: &[Record], count: i64) -> Result<(), DbError> {
    let ids: Vec<i64> = gone.iter().map(|kept| kept.id).collect();
    query!("delete from dns.copied where id = any ($1)", &ids).execute(&mut *db).await?;
    let names: Vec<String> = come.iter().map(|record| record.owner.without_dot()).collect();
    let rtypes: Vec<i32> = come.iter().map(|record| i32::from(record.rtype)).collect();
    let ttls: Vec<i64> = come.iter().map(|record| i64::from(record.ttl)).collect();
    let rdatas: Vec<Vec<u8>> = come.iter().map(|record| record.rdata.clone()).collect();
    query!(
        "insert into dns.copied (zone_id, name, rtype, ttl, rdata) select $1, n, r, t, d from unnest($2::text[], $3::int[], $4::bigint[], $5::bytea[]) as x (n, r, t, d)",
        due.zone,
        &names,
        &rtypes,
        &ttls,
        &rdatas
    )
    .execute(&mut *db)
    .await?;
    let touched: Vec<String> = gone.iter().map(|kept| kept.record.owner.without_dot()).chain(names).chain([due.apex.without_dot()]).collect();
    query!(
        "insert into publish.outbox (change_set, subject, key)
           select distinct change.current_set(), 'name', n from unnest($1::text[]) n union all select change.current_set(), 'zone', $2",
        &touched,
        due.apex.without_dot()
    )
    .execute(&mut *db)
    .await?;
    query!(
        "update dns.copy set serial = $2, records = $3, transferred_at = now(), held_serial = null, held_removed = null, held_of = null, accepted_serial = null
         where zone_id = $1",
        due.zone,
        i64::from(serial.0),
        count
    )
    .execute(&mut *db)
    .await?;
    // A serial of zero exists out there, and the table of serials has none: nobody reads it of a copy.
    query!("update dns.serial set serial = greatest($2::bigint, 1) where zone_id = $1", due.zone, i64::from(serial.0)).execute(db).await?;
    Ok(())
}

/// What a copy has for a name.
#[derive(Debug, Clone)]
pub struct CopiedName {
    /// The name.
    pub name: DomainName,
    /// Whether it exists: with records, or with others below it.
    pub is_known: bool,
    /// Type, TTL and data.
    pub records: Vec<(u16, u32, Vec<u8>)>,
}

/// What copies have for these names, each in its place; the zones are those that the names are in.
pub async fn names(db: &mut PgConnection, zones: &[i64], names: &[DomainName]) -> Result<Vec<CopiedName>, DbError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<String> = names.iter().map(DomainName::without_dot).collect();
    let rows = query!(
        r#"select exists (select from dns.copied b where b.zone_id = t.zone and b.name = t.name)
             or exists (select from dns.copied b where b.zone_id = t.zone
               and reverse(b.name) collate "C" >= reverse(t.name) || '.' and reverse(b.name) collate "C" < reverse(t.name) || '/') as "is_known!",
             array(select rtype from dns.copied b where b.zone_id = t.zone and b.name = t.name order by id) as "rtypes!",
             array(select ttl from dns.copied b where b.zone_id = t.zone and b.name = t.name order by id) as "ttls!",
             array(select rdata from dns.copied b where b.zone_id = t.zone and b.name = t.name order by id) as "rdatas!"
           from unnest($1::bigint[], $2::text[]) with ordinality as t (zone, name, place) order by t.place"#,
        zones,
        &texts
    )
    .fetch_all(db)
    .await?;
    let rows = names.iter().zip(rows).map(|(name, row)| {
        let records = row.rtypes.into_iter().zip(row.ttls).zip(row.rdatas);
        let records = records.map(|((rtype, ttl), rdata)| Ok((number(i64::from(rtype))?, number(ttl)?, rdata)));
        Ok(CopiedName { name: name.clone(), is_known: row.is_known, records: records.collect::<Result<_, DbError>>()? })
    });
    rows.collect()
}

/// A copy, as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = zones::Copy)]
pub struct CopyRow {
    /// The zone's apex.
    pub apex: String,
    /// Which state we have; none yet where it is absent.
    pub serial: Option<i64>,
    /// How many records.
    pub records: i64,
    /// When a primary last answered.
    pub checked_at: Option<DateTime<Utc>>,
    /// When something new was last taken.
    pub transferred_at: Option<DateTime<Utc>>,
    /// When a primary is asked again.
    pub next_at: DateTime<Utc>,
    /// Until when it is served if no primary answers.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it was given up: its names are answered with SERVFAIL.
    pub is_expired: bool,
    /// Who answered last.
    pub answered_by: Option<String>,
    /// How often nobody answered since.
    pub failures: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// A transfer to this serial waits for somebody to accept it, because it takes much away.
    pub held_serial: Option<i64>,
    /// How many records it takes away.
    pub held_removed: Option<i64>,
    /// Of how many.
    pub held_of: Option<i64>,
}

/// What is known of all copies, by apex.
pub async fn all(pool: &PgPool) -> Result<Vec<CopyRow>, DbError> {
    let sql = query_as!(
        CopyRow,
        "select z.apex, c.serial, c.records, c.checked_at, c.transferred_at, c.next_at, c.expires_at, c.is_expired, c.answered_by, c.failures, c.last_error,
           c.held_serial, c.held_removed, c.held_of
         from dns.copy c join dns.zone z on z.id = c.zone_id where z.primaries <> '[]' order by z.apex"
    );
    Ok(sql.fetch_all(pool).await?)
}
