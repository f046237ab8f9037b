//! Zones, nodes and records.

use super::transfers::{Primary, Transfer};
use super::{DbError, json, number, to_json, word};
use holdfast_proto::words::{DomainName, Serial};
use ipnet::IpNet;
use sqlx::{PgConnection, query, query_scalar};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// A zone as it is kept. Times in seconds.
#[derive(Debug, Clone)]
pub struct ZoneRow {
    /// Its number; of a new one 0.
    pub id: i64,
    /// Its apex.
    pub apex: DomainName,
    /// What a reverse zone covers.
    pub network: Option<String>,
    /// The SOA's name server.
    pub primary_ns: DomainName,
    /// The SOA's mailbox.
    pub mailbox: DomainName,
    /// The SOA's times.
    pub refresh: u32,
    /// How soon secondaries ask again.
    pub retry: u32,
    /// When secondaries give up.
    pub expire: u32,
    /// How long a denial may be remembered.
    pub minimum: u32,
    /// The TTL of records without their own.
    pub ttl: u32,
    /// Its department's name.
    pub department: Option<String>,
    /// Whether it tells what its hosts are (HINFO).
    pub publish_hinfo: bool,
    /// Whether it tells who keeps its hosts (RP).
    pub publish_rp: bool,
    /// How often it was changed.
    pub version: i64,
    /// The serial as last published.
    pub serial: Serial,
    /// Whose copy it is; empty of zones of our own.
    pub primaries: Vec<Primary>,
    /// Who may have it.
    pub transfers: Vec<Transfer>,
    /// Where its records come from.
    pub source: Source,
}

/// Where the records of a zone come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// What is written here.
    #[default]
    Own,
    /// The same, before the first transfer or after a time as a copy.
    OwnAgain,
    /// A copy of another server's.
    Copy,
    /// A copy that was given up because nobody renewed it, or that did not come yet: nothing is known of its names.
    Expired,
}

impl Source {
    fn of(is_known: bool, has_copy: bool, is_expired: bool) -> Self {
        match (is_known, has_copy, is_expired) {
            (false, ..) => Self::Own,
            (true, _, true) => Self::Expired,
            (true, false, false) => Self::OwnAgain,
            (true, true, false) => Self::Copy,
        }
    }

    /// Whether another server says what is in it.
    pub fn is_copy(self) -> bool {
        matches!(self, Self::Copy | Self::Expired)
    }
}

/// Zones to be found by the names in them.
#[derive(Debug, Clone, Default)]
pub struct ZoneIndex(HashMap<DomainName, ZoneRow>);

impl ZoneIndex {
    /// Over these zones.
    pub fn new(zones: Vec<ZoneRow>) -> Self {
        Self(zones.into_iter().map(|zone| (zone.apex.clone(), zone)).collect())
    }

    /// The zone that this name is in: the deepest one.
    pub fn of(&self, name: &DomainName) -> Option<&ZoneRow> {
        let mut at = Some(name.clone());
        while let Some(apex) = at {
            if let Some(zone) = self.0.get(&apex) {
                return Some(zone);
            }
            at = apex.parent();
        }
        None
    }

    /// The zone with this number.
    pub fn with_id(&self, id: i64) -> Option<&ZoneRow> {
        self.0.values().find(|zone| zone.id == id)
    }

    /// Notes the serial of a zone that was just published.
    pub fn set_serial(&mut self, apex: &DomainName, serial: Serial) {
        if let Some(zone) = self.0.get_mut(apex) {
            zone.serial = serial;
        }
    }

    /// The apexes of all copies of other servers' zones, in wire form.
    pub fn copies(&self) -> BTreeSet<Vec<u8>> {
        self.0.values().filter(|zone| zone.source.is_copy()).map(|zone| zone.apex.wire().to_vec()).collect()
    }

    /// The zone with exactly this apex.
    pub fn at(&self, apex: &DomainName) -> Option<&ZoneRow> {
        self.0.get(apex)
    }
}

/// The network whose reverse names lie at and below this name, where it is the whole name of one.
pub fn reverse_network(name: &DomainName) -> Option<IpNet> {
    let labels: Vec<&[u8]> = name.labels().collect();
    let (digits, suffix) = labels.split_at(labels.len().checked_sub(2)?);
    let (limit, radix) = match (suffix[0], suffix[1]) {
        (b"in-addr", b"arpa") => (4, 10),
        (b"ip6", b"arpa") => (32, 16),
        _ => return None,
    };
    let number = |label: &&[u8]| u8::from_str_radix(std::str::from_utf8(label).ok()?, radix).ok().filter(|_| radix == 10 || label.len() == 1);
    let mut parts: Vec<u8> = digits.iter().rev().map(number).collect::<Option<_>>().filter(|parts: &Vec<u8>| parts.len() <= limit)?;
    let given = parts.len() as u8;
    parts.resize(limit, 0);
    if radix == 10 {
        return IpNet::new(IpAddr::from(<[u8; 4]>::try_from(parts).ok()?), given * 8).ok();
    }
    let octets: Vec<u8> = parts.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    IpNet::new(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?), given * 4).ok()
}

/// The first and last address whose reverse name lies at or below this name.
pub fn reverse_bounds(name: &DomainName) -> Option<(IpAddr, IpAddr)> {
    reverse_network(name).map(|net| (net.network(), net.broadcast()))
}

/// All zones by apex.
pub async fn all(db: &mut PgConnection) -> Result<Vec<ZoneRow>, DbError> {
    let rows = query!(
        r#"select z.id, z.apex, z.network::text as network, z.primary_ns, z.mailbox, z.refresh, z.retry, z.expire, z.minimum, z.ttl, z.version, s.serial,
             d.name as "department?", z.publish_hinfo, z.publish_rp, z.primaries, z.transfers,
             c.zone_id is not null as "is_known!", c.serial is not null as "has_copy!", coalesce(c.is_expired, false) as "is_expired!"
           from dns.zone z join dns.serial s on s.zone_id = z.id left join org.department d on d.id = z.department_id
           left join dns.copy c on c.zone_id = z.id order by z.apex"#
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(ZoneRow {
            id: row.id,
            apex: word(&row.apex)?,
            network: row.network,
            primary_ns: word(&row.primary_ns)?,
            mailbox: word(&row.mailbox)?,
            refresh: number(row.refresh)?,
            retry: number(row.retry)?,
            expire: number(row.expire)?,
            minimum: number(row.minimum)?,
            ttl: number(row.ttl)?,
            department: row.department,
            publish_hinfo: row.publish_hinfo,
            publish_rp: row.publish_rp,
            version: row.version,
            serial: Serial(number(row.serial)?),
            primaries: json(row.primaries)?,
            transfers: json(row.transfers)?,
            source: Source::of(row.is_known, row.has_copy, row.is_expired),
        })
    });
    rows.collect()
}

/// Keeps a new zone; its number.
pub async fn insert(db: &mut PgConnection, row: &ZoneRow) -> Result<i64, DbError> {
    let id = query_scalar!(
        "insert into dns.zone (apex, network, primary_ns, mailbox, refresh, retry, expire, minimum, ttl, department_id, publish_hinfo, publish_rp, primaries, transfers)
         values ($1, $2::text::cidr, $3, $4, $5, $6, $7, $8, $9, (select id from org.department where name = $10), $11, $12, $13, $14) returning id",
        row.apex.without_dot(),
        row.network,
        row.primary_ns.without_dot(),
        row.mailbox.without_dot(),
        i64::from(row.refresh),
        i64::from(row.retry),
        i64::from(row.expire),
        i64::from(row.minimum),
        i64::from(row.ttl),
        row.department,
        row.publish_hinfo,
        row.publish_rp,
        to_json(&row.primaries),
        to_json(&row.transfers)
    )
    .fetch_one(&mut *db)
    .await?;
    let serial = first_serial(db, row).await?;
    query!("insert into dns.serial (zone_id, serial) values ($1, $2)", id, i64::from(serial.0)).execute(&mut *db).await?;
    take_over(db, id, &row.apex).await?;
    Ok(id)
}

/// The serial that a new zone starts from: never one that secondaries of an earlier zone of this name have seen, or older (RFC 1982).
async fn first_serial(db: &mut PgConnection, row: &ZoneRow) -> Result<Serial, DbError> {
    let past = query_scalar!("select serial from dns.past_serial where apex = $1", row.apex.without_dot()).fetch_optional(db).await?;
    let Some(past) = past.map(number).transpose()?.map(Serial) else { return Ok(row.serial) };
    Ok(if row.serial.is_newer_than(past) { row.serial } else { past.next() })
}

/// A new zone takes the names at and below its apex from the zone above it; zones below keep theirs.
async fn take_over(db: &mut PgConnection, id: i64, apex: &DomainName) -> Result<(), DbError> {
    query!(
        "update dns.node n set zone_id = $1 from dns.zone z
         where z.id = n.zone_id and length(z.apex) < length($2) and (n.name = $2 or right(n.name, length($2) + 1) = '.' || $2)",
        id,
        apex.without_dot()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many names a zone has besides its apex.
pub async fn names_below(db: &mut PgConnection, id: i64) -> Result<i64, DbError> {
    let sql = query_scalar!(r#"select count(*) as "n!" from dns.node n join dns.zone z on z.id = n.zone_id where z.id = $1 and n.name <> z.apex"#, id);
    Ok(sql.fetch_one(db).await?)
}

/// Changes a zone's SOA and TTL; its new version.
pub async fn update(db: &mut PgConnection, row: &ZoneRow) -> Result<i64, DbError> {
    let sql = query_scalar!(
        "update dns.zone set primary_ns = $2, mailbox = $3, refresh = $4, retry = $5, expire = $6, minimum = $7, ttl = $8,
           department_id = (select id from org.department where name = $9), publish_hinfo = $10, publish_rp = $11, primaries = $12, transfers = $13,
           version = version + 1
         where id = $1 returning version",
        row.id,
        row.primary_ns.without_dot(),
        row.mailbox.without_dot(),
        i64::from(row.refresh),
        i64::from(row.retry),
        i64::from(row.expire),
        i64::from(row.minimum),
        i64::from(row.ttl),
        row.department,
        row.publish_hinfo,
        row.publish_rp,
        to_json(&row.primaries),
        to_json(&row.transfers)
    );
    Ok(sql.fetch_one(db).await?)
}

/// Deletes a zone whose names are gone.
pub async fn delete(db: &mut PgConnection, id: i64) -> Result<(), DbError> {
    query!("delete from dns.serial where zone_id = $1", id).execute(&mut *db).await?;
    query!("delete from dns.zone where id = $1", id).execute(db).await?;
    Ok(())
}

/// How a name is used.
#[derive(Debug, Clone)]
pub struct NodeUse {
    /// The name.
    pub name: DomainName,
    /// Its node.
    pub node: i64,
    /// Its host, where it is one's own name or another one with its addresses.
    pub host: Option<uuid::Uuid>,
    /// What it stands for, where it is an alias.
    pub target: Option<DomainName>,
    /// How many records it has of its own.
    pub records: i64,
}

/// How these names are used; unused ones are left out.
pub async fn uses(db: &mut PgConnection, names: &[String]) -> Result<Vec<NodeUse>, DbError> {
    let rows = query!(
        r#"select n.name as "name!", n.id as "id!", coalesce(h.id, x.host_id) as host, r.target as "target?", (select count(*) from dns.record r where r.node_id = n.id) as "records!"
           from dns.node n left join ipam.host h on h.node_id = n.id left join ipam.extra_name x on x.node_id = n.id
           left join dns.record r on r.node_id = n.id and r.rtype = 5
           where n.name = any ($1)"#,
        names
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let target = row.target.as_deref().map(word).transpose()?;
        Ok(NodeUse { name: word(&row.name)?, node: row.id, host: row.host, target, records: row.records })
    });
    rows.collect()
}

/// A node that shall be there.
#[derive(Debug)]
pub struct NewNode {
    /// Its zone.
    pub zone: i64,
    /// Its name.
    pub name: DomainName,
    /// Whether it is an alias.
    pub alias: bool,
}

/// Makes nodes, which are not there yet; their numbers in order.
pub async fn insert_nodes(db: &mut PgConnection, nodes: &[NewNode]) -> Result<Vec<i64>, DbError> {
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    let zones: Vec<i64> = nodes.iter().map(|node| node.zone).collect();
    let names: Vec<String> = nodes.iter().map(|node| node.name.without_dot()).collect();
    let kinds: Vec<String> = nodes.iter().map(|node| if node.alias { "alias" } else { "data" }.to_owned()).collect();
    let rows = query!(
        "insert into dns.node (zone_id, name, kind) select z, n, k from unnest($1::bigint[], $2::text[], $3::text[]) as t (z, n, k) returning id, name",
        &zones,
        &names,
        &kinds
    )
    .fetch_all(db)
    .await?;
    let ids: std::collections::HashMap<String, i64> = rows.into_iter().map(|row| (row.name, row.id)).collect();
    names.iter().map(|name| ids.get(name).copied().ok_or_else(|| DbError::Damaged(format!("the name {name}, which was not kept")))).collect()
}

/// Gives a node another name, in the same or another zone.
pub async fn rename_node(db: &mut PgConnection, node: i64, zone: i64, name: &DomainName) -> Result<(), DbError> {
    query!("update dns.node set zone_id = $2, name = $3 where id = $1", node, zone, name.without_dot()).execute(db).await?;
    Ok(())
}

/// Deletes those of the nodes that neither a host nor a record uses.
pub async fn delete_unused_nodes(db: &mut PgConnection, nodes: &[i64]) -> Result<(), DbError> {
    if nodes.is_empty() {
        return Ok(());
    }
    query!(
        "delete from dns.node n where n.id = any ($1) and not exists (select from ipam.host h where h.node_id = n.id)
         and not exists (select from dns.record r where r.node_id = n.id) and not exists (select from ipam.extra_name x where x.node_id = n.id)",
        nodes
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A record to be kept.
#[derive(Debug)]
pub struct NewRecord {
    /// Its node.
    pub node: i64,
    /// Its type.
    pub rtype: u16,
    /// Its own TTL.
    pub ttl: Option<u32>,
    /// Its data in wire form.
    pub rdata: Vec<u8>,
    /// Its data as people write it.
    pub text: String,
    /// Of a CNAME: what it stands for.
    pub target: Option<DomainName>,
}

/// Keeps records.
pub async fn insert_records(db: &mut PgConnection, records: &[NewRecord]) -> Result<(), DbError> {
    if records.is_empty() {
        return Ok(());
    }
    let nodes: Vec<i64> = records.iter().map(|record| record.node).collect();
    let kinds: Vec<String> = records.iter().map(|record| if record.rtype == 5 { "alias" } else { "data" }.to_owned()).collect();
    let rtypes: Vec<i32> = records.iter().map(|record| i32::from(record.rtype)).collect();
    let ttls: Vec<Option<i64>> = records.iter().map(|record| record.ttl.map(i64::from)).collect();
    let rdatas: Vec<Vec<u8>> = records.iter().map(|record| record.rdata.clone()).collect();
    let texts: Vec<String> = records.iter().map(|record| record.text.clone()).collect();
    let targets: Vec<Option<String>> = records.iter().map(|record| record.target.as_ref().map(DomainName::without_dot)).collect();
    query!(
        "insert into dns.record (node_id, kind, rtype, ttl, rdata, text, target)
         select * from unnest($1::bigint[], $2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::text[], $7::text[])",
        &nodes,
        &kinds,
        &rtypes,
        &ttls as _,
        &rdatas,
        &texts,
        &targets as _
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes one record; its node, or `None` where there is no such record.
pub async fn delete_record(db: &mut PgConnection, name: &DomainName, rtype: u16, rdata: &[u8]) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "delete from dns.record r using dns.node n where n.id = r.node_id and n.name = $1 and r.rtype = $2 and r.rdata = $3 returning n.id",
        name.without_dot(),
        i32::from(rtype),
        rdata
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Deletes all records of nodes.
pub async fn delete_records_of(db: &mut PgConnection, nodes: &[i64]) -> Result<(), DbError> {
    if nodes.is_empty() {
        return Ok(());
    }
    query!("delete from dns.record where node_id = any ($1)", nodes).execute(db).await?;
    Ok(())
}

/// Deletes the records of one type at one node.
pub async fn delete_records_of_type(db: &mut PgConnection, node: i64, rtype: u16) -> Result<(), DbError> {
    query!("delete from dns.record where node_id = $1 and rtype = $2", node, i32::from(rtype)).execute(db).await?;
    Ok(())
}

/// Which of these records are there already.
pub async fn existing_records(db: &mut PgConnection, names: &[String], rtypes: &[i32], rdatas: &[Vec<u8>]) -> Result<Vec<i64>, DbError> {
    let sql = query_scalar!(
        r#"select t.at as "at!" from unnest($1::text[], $2::int[], $3::bytea[]) with ordinality as t (name, rtype, rdata, at)
           join dns.node n on n.name = t.name join dns.record r on r.node_id = n.id and r.rtype = t.rtype and r.rdata = t.rdata"#,
        names,
        rtypes,
        rdatas
    );
    Ok(sql.fetch_all(db).await?)
}

/// The nodes that stand for this name.
pub async fn aliases_of(db: &mut PgConnection, target: &DomainName) -> Result<Vec<(i64, DomainName)>, DbError> {
    let sql = query!("select n.id, n.name from dns.record r join dns.node n on n.id = r.node_id where r.target = $1 order by n.name", target.without_dot());
    sql.fetch_all(db).await?.into_iter().map(|row| Ok((row.id, word(&row.name)?))).collect()
}

/// The NS records at the apex of each zone.
pub async fn apex_name_servers(db: &mut PgConnection) -> Result<Vec<(i64, Vec<u8>)>, DbError> {
    let rows = query!(
        "select z.id, r.rdata from dns.zone z join dns.node n on n.name = z.apex join dns.record r on r.node_id = n.id where r.rtype = 2 order by z.id, r.text"
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.rdata)).collect())
}

#[cfg(test)]
mod tests {
    use super::reverse_network;

    #[test]
    fn reverse_names_tell_their_network() {
        let network = |text: &str| reverse_network(&text.parse().unwrap()).map(|net| net.to_string());
        assert_eq!(network("1.10.in-addr.arpa").as_deref(), Some("10.1.0.0/16"));
        assert_eq!(network("in-addr.arpa").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(network("8.b.d.0.1.0.0.2.ip6.arpa").as_deref(), Some("2001:db8::/32"));
        assert_eq!(network("0-63.4.1.10.in-addr.arpa"), None);
        assert_eq!(network("300.in-addr.arpa"), None);
        assert_eq!(network("uni.example"), None);
    }
}
