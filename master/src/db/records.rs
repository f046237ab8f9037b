//! Records that no host implies, as a list. The NS records of an apex are its zone's.

use super::{DbError, number, word};
use holdfast_proto::words::{DomainName, HostName};
use sqlx::{PgConnection, query};

/// A record.
#[derive(Debug, Clone)]
pub struct RecordRow {
    /// Its number.
    pub id: i64,
    /// The owner name.
    pub name: DomainName,
    /// The type's number.
    pub rtype: u16,
    /// Its own TTL in seconds.
    pub ttl: Option<u32>,
    /// The data: uncompressed wire form.
    pub rdata: Vec<u8>,
    /// The host whose alias it is, where it is a CNAME to one.
    pub host: Option<HostName>,
}

/// Which records.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordFilter<'a> {
    /// Of this zone.
    pub zone: Option<&'a str>,
    /// At this name.
    pub name: Option<&'a str>,
    /// Of this type.
    pub rtype: Option<u16>,
    /// With exactly this data.
    pub rdata: Option<&'a [u8]>,
    /// After this name and number.
    pub after: Option<(&'a str, i64)>,
    /// At most so many.
    pub limit: i64,
}

/// Records by name.
pub async fn list(db: &mut PgConnection, filter: RecordFilter<'_>) -> Result<Vec<RecordRow>, DbError> {
    let rows = query!(
        r#"select r.id, n.name, r.rtype, r.ttl, r.rdata, (select t.name from dns.node t join ipam.host h on h.node_id = t.id where t.name = r.target) as host
           from dns.record r join dns.node n on n.id = r.node_id join dns.zone z on z.id = n.zone_id
           where not (r.rtype = 2 and n.name = z.apex) and ($1::text is null or z.apex = $1) and ($2::text is null or n.name = $2)
             and ($3::integer is null or r.rtype = $3) and ($4::text is null or (n.name, r.id) > ($4, $5::bigint))
             and ($7::bytea is null or r.rdata = $7)
           order by n.name, r.id limit $6"#,
        filter.zone,
        filter.name,
        filter.rtype.map(i32::from),
        filter.after.map(|(name, _)| name),
        filter.after.map(|(_, id)| id),
        filter.limit,
        filter.rdata
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(RecordRow {
            id: row.id,
            name: word(&row.name)?,
            rtype: number(i64::from(row.rtype))?,
            ttl: row.ttl.map(number).transpose()?,
            rdata: row.rdata,
            host: row.host.as_deref().map(word).transpose()?,
        })
    });
    rows.collect()
}
