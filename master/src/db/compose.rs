//! What the composer needs to know of the rows behind outbox keys: a few set queries, whatever the number of keys.

use super::boot::{BootParameters, OptionDraft};
use super::{DbError, json, number, word};
use holdfast_proto::words::{DomainName, HostName, Mac, Subnet};
use sqlx::{PgConnection, query, query_scalar};
use std::net::{IpAddr, Ipv4Addr};

/// One record that a name has, whatever it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The owner.
    pub name: DomainName,
    /// Its type.
    pub rtype: u16,
    /// Its own TTL.
    pub ttl: Option<u32>,
    /// Its data in wire form.
    pub rdata: Vec<u8>,
}

/// What hosts say about names: addresses and HINFO.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The host's name.
    pub name: DomainName,
    /// See the draft.
    pub hardware: String,
    /// See the draft.
    pub os: String,
    /// All its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The records stored at these names, and the names that have a node at all.
pub async fn records(db: &mut PgConnection, names: &[String]) -> Result<(Vec<DomainName>, Vec<StoredRecord>), DbError> {
    let rows = query!(
        r#"select n.name, r.rtype as "rtype?", r.ttl as "ttl?", r.rdata as "rdata?" from dns.node n left join dns.record r on r.node_id = n.id
           where n.name = any ($1) order by n.name"#,
        names
    )
    .fetch_all(db)
    .await?;
    let (mut known, mut records) = (Vec::new(), Vec::new());
    for row in rows {
        let name: DomainName = word(&row.name)?;
        if let (Some(rtype), Some(rdata)) = (row.rtype, row.rdata) {
            records.push(StoredRecord { name: name.clone(), rtype: number(i64::from(rtype))?, ttl: row.ttl.map(number).transpose()?, rdata });
        }
        known.push(name);
    }
    known.dedup();
    Ok((known, records))
}

/// The hosts with these names.
pub async fn hosts(db: &mut PgConnection, names: &[String]) -> Result<Vec<HostFacts>, DbError> {
    let rows = query!(
        r#"select n.name, h.hardware, h.os, array_remove(array_agg(host(a.ip)), null) as "addresses!"
           from dns.node n join ipam.host h on h.node_id = n.id left join ipam.address a on a.host_id = h.id
           where n.name = any ($1) group by n.name, h.hardware, h.os"#,
        names
    )
    .fetch_all(db)
    .await?;
    let rows =
        rows.into_iter().map(|row| Ok(HostFacts { name: word(&row.name)?, hardware: row.hardware, os: row.os, addresses: super::words(&row.addresses)? }));
    rows.collect()
}

/// Who has these addresses, by name.
pub async fn pointers(db: &mut PgConnection, addresses: &[String]) -> Result<Vec<(IpAddr, DomainName)>, DbError> {
    let rows = query!(
        r#"select host(a.ip) as "ip!", n.name from ipam.address a join ipam.host h on h.id = a.host_id join dns.node n on n.id = h.node_id
           where a.ip = any ($1::text[]::inet[])"#,
        addresses
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((word(&row.ip)?, word(&row.name)?))).collect()
}

/// Which of these names have names of ours below them; `first` and `last` bound the addresses whose reverse names lie below, where there are any.
pub async fn with_descendants(db: &mut PgConnection, names: &[String], first: &[Option<String>], last: &[Option<String>]) -> Result<Vec<DomainName>, DbError> {
    let rows = query_scalar!(
        r#"select t.name as "name!" from unnest($1::text[], $2::text[], $3::text[]) as t (name, first, last)
           where exists (select from dns.node n
               where reverse(n.name) collate "C" >= reverse(t.name) || '.' and reverse(n.name) collate "C" < reverse(t.name) || '/')
             or exists (select from ipam.address a where a.ip >= t.first::inet and a.ip <= t.last::inet)"#,
        names,
        first as _,
        last as _
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(|name| word(name)).collect()
}

/// What a subnet's hosts are told.
#[derive(Debug, Clone)]
pub struct SubnetFacts {
    /// The network.
    pub network: Subnet,
    /// Its campus.
    pub campus: String,
    /// Its router.
    pub gateway: Option<IpAddr>,
    /// The domain its hosts are told.
    pub domain: Option<DomainName>,
    /// Its own DNS servers.
    pub dns_servers: Vec<IpAddr>,
    /// Further options.
    pub options: Vec<OptionDraft>,
}

/// The subnets with these networks.
pub async fn subnets(db: &mut PgConnection, networks: &[String]) -> Result<Vec<SubnetFacts>, DbError> {
    let rows = query!(
        r#"select s.network::text as "network!", c.name as campus, host(s.gateway) as gateway, s.domain,
             array(select host(d) from unnest(s.dns_servers) d) as "dns_servers!", s.options
           from ipam.subnet s join org.campus c on c.id = s.campus_id where s.network = any ($1::text[]::cidr[])"#,
        networks
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(SubnetFacts {
            network: word(&row.network)?,
            campus: row.campus,
            gateway: row.gateway.as_deref().map(word).transpose()?,
            domain: row.domain.as_deref().map(word).transpose()?,
            dns_servers: super::words(&row.dns_servers)?,
            options: json(row.options)?,
        })
    });
    rows.collect()
}

/// One interface's place on one subnet.
#[derive(Debug, Clone)]
pub struct ReservationFacts {
    /// The subnet.
    pub network: Subnet,
    /// The hardware address.
    pub mac: Mac,
    /// The lowest of its addresses there.
    pub address: Ipv4Addr,
    /// The host.
    pub host: HostName,
    /// What it is told over the subnet's options.
    pub parameters: BootParameters,
}

/// The places with these IPv4 networks and hardware addresses, pairwise.
pub async fn reservations(db: &mut PgConnection, networks: &[String], macs: &[String]) -> Result<Vec<ReservationFacts>, DbError> {
    let rows = query!(
        r#"select distinct on (t.network, t.mac) t.network as "network!", t.mac as "mac!", host(a.ip) as "ip!", n.name, e.parameters as "parameters?"
           from unnest($1::text[], $2::text[]) as t (network, mac)
           join ipam.subnet s on s.network = t.network::cidr
           join ipam.link l on l.subnet_id = s.id and l.mac = t.mac::macaddr
           join ipam.address a on a.iface_id = l.iface_id and a.subnet_id = s.id
           join ipam.host h on h.id = a.host_id join dns.node n on n.id = h.node_id
           left join boot.entry e on e.iface_id = l.iface_id
           order by t.network, t.mac, a.ip"#,
        networks,
        macs
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let parameters = row.parameters.map(json).transpose()?.unwrap_or_default();
        Ok(ReservationFacts { network: word(&row.network)?, mac: word(&row.mac)?, address: word(&row.ip)?, host: word(&row.name)?, parameters })
    });
    rows.collect()
}

/// A NAS as it is kept.
#[derive(Debug, Clone)]
pub struct NasFacts {
    /// The source addresses it may use.
    pub prefix: Subnet,
    /// Its name.
    pub name: String,
    /// Its secret, encrypted.
    pub secret: Vec<u8>,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
}

/// The NASs with these prefixes.
pub async fn nas(db: &mut PgConnection, prefixes: &[String]) -> Result<Vec<NasFacts>, DbError> {
    let rows = query!(
        r#"select prefix::text as "prefix!", name, secret, require_message_authenticator from access.nas where prefix = any ($1::text[]::cidr[])"#,
        prefixes
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(NasFacts { prefix: word(&row.prefix)?, name: row.name, secret: row.secret, require_message_authenticator: row.require_message_authenticator })
    });
    rows.collect()
}
