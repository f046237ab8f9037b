//! What the composer needs to know of the rows behind outbox keys: a few set queries, whatever the number of keys.

use super::boot::{BootParameters, OptionDraft};
use super::zones::reverse_bounds;
use super::{DbError, json, number, word};
use holdfast_proto::words::{DomainName, HostName, Mac, Subnet};
use sqlx::{PgConnection, query};
use std::net::{IpAddr, Ipv4Addr};

/// Everything that the tables say about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredName {
    /// The name.
    pub name: DomainName,
    /// It has a node, it is an address's pointer, or names or addresses of ours lie below it.
    pub is_known: bool,
    /// The records stored at it.
    pub records: Vec<StoredRecord>,
    /// What its host says about it; `None` where it is no host's.
    pub host: Option<HostFacts>,
    /// Where it is an address's reverse name: who has the address, and that host's own TTL.
    pub pointer: Option<(DomainName, Option<u32>)>,
}

/// One record stored at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its type.
    pub rtype: u16,
    /// Its own TTL.
    pub ttl: Option<u32>,
    /// Its data in wire form.
    pub rdata: Vec<u8>,
}

/// What a host says about its name: addresses and HINFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// See the draft.
    pub hardware: String,
    /// See the draft.
    pub os: String,
    /// Its own TTL in seconds; `None`: its zones'.
    pub ttl: Option<u32>,
    /// All its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What the tables say about these names, each in its place: in one statement, because every edit waits for this round trip.
pub async fn names(db: &mut PgConnection, names: &[DomainName]) -> Result<Vec<StoredName>, DbError> {
    let texts: Vec<String> = names.iter().map(DomainName::without_dot).collect();
    let addresses: Vec<Option<String>> = names.iter().map(|name| Some(name.reversed_address()?.to_string())).collect();
    // The addresses whose reverse names lie below.
    let bounds: Vec<Option<(IpAddr, IpAddr)>> = names.iter().map(reverse_bounds).collect();
    let first: Vec<Option<String>> = bounds.iter().map(|bounds| Some(bounds.as_ref()?.0.to_string())).collect();
    let last: Vec<Option<String>> = bounds.iter().map(|bounds| Some(bounds.as_ref()?.1.to_string())).collect();
    let rows = query!(
        r#"select n.id is not null or pn.name is not null or exists (select from dns.node below
               where reverse(below.name) collate "C" >= reverse(t.name) || '.' and reverse(below.name) collate "C" < reverse(t.name) || '/')
             or exists (select from ipam.address below where below.ip >= t.first::inet and below.ip <= t.last::inet) as "is_known!",
             array(select rtype from dns.record where node_id = n.id order by rtype, rdata) as "rtypes!",
             array(select ttl from dns.record where node_id = n.id order by rtype, rdata) as "ttls!: Vec<Option<i64>>",
             array(select rdata from dns.record where node_id = n.id order by rtype, rdata) as "rdatas!",
             h.hardware as "hardware?", h.os as "os?", h.ttl as "ttl?", ph.ttl as "pointer_ttl?", array(select host(ip) from ipam.address where host_id = h.id) as "addresses!",
             pn.name as "pointer?"
           from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as t (name, address, first, last, place)
           left join dns.node n on n.name = t.name left join ipam.host h on h.node_id = n.id
           left join ipam.address pa on pa.ip = t.address::inet left join ipam.host ph on ph.id = pa.host_id left join dns.node pn on pn.id = ph.node_id
           order by t.place"#,
        &texts,
        &addresses as _,
        &first as _,
        &last as _
    );
    let rows = names.iter().zip(rows.fetch_all(db).await?).map(|(name, row)| {
        let records = row.rtypes.into_iter().zip(row.ttls).zip(row.rdatas);
        let record =
            |((rtype, ttl), rdata): ((i32, Option<i64>), _)| Ok(StoredRecord { rtype: number(i64::from(rtype))?, ttl: ttl.map(number).transpose()?, rdata });
        let ttl = row.ttl.map(number).transpose()?;
        let host = row.hardware.zip(row.os).map(|(hardware, os)| Ok::<_, DbError>(HostFacts { hardware, os, ttl, addresses: super::words(&row.addresses)? }));
        let pointer_ttl = row.pointer_ttl.map(number).transpose()?;
        Ok(StoredName {
            name: name.clone(),
            is_known: row.is_known,
            records: records.map(record).collect::<Result<_, DbError>>()?,
            host: host.transpose()?,
            pointer: row.pointer.as_deref().map(|name| Ok::<_, DbError>((word(name)?, pointer_ttl))).transpose()?,
        })
    });
    rows.collect()
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
