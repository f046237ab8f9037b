//! What the composer needs to know of the rows behind outbox keys: a few set queries, whatever the number of keys.

use super::boot::{BootParameters, OptionDraft};
use super::defaults::{BootDefaults, inherited};
use super::zones::reverse_bounds;
use super::{DbError, json, number, word};
use holdfast_proto::words::{DomainName, HostName, Mac, NodeId, Subnet};
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
    /// Where it is an address's reverse name: the names that the address points back to, and the TTL of the host that has it.
    pub pointers: Vec<DomainName>,
    /// See `pointers`.
    pub pointer_ttl: Option<u32>,
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

/// What a host says about one of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// What it is, at its own name; empty at its others.
    pub hardware: String,
    /// See the draft.
    pub os: String,
    /// Its own TTL in seconds; `None`: its zones'.
    pub ttl: Option<u32>,
    /// The mail address of who keeps it, at its own name.
    pub keeper: Option<String>,
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
        r#"select n.id is not null or pa.ip is not null or exists (select from dns.node below
               where reverse(below.name) collate "C" >= reverse(t.name) || '.' and reverse(below.name) collate "C" < reverse(t.name) || '/')
             or exists (select from ipam.address below where below.ip >= t.first::inet and below.ip <= t.last::inet) as "is_known!",
             array(select rtype from dns.record where node_id = n.id order by rtype, rdata) as "rtypes!",
             array(select ttl from dns.record where node_id = n.id order by rtype, rdata) as "ttls!: Vec<Option<i64>>",
             array(select rdata from dns.record where node_id = n.id order by rtype, rdata) as "rdatas!",
             coalesce(h.id, x.host_id) is not null as "is_host!", h.hardware as "hardware?", h.os as "os?",
             (select t.ttl from ipam.host t where t.id = coalesce(h.id, x.host_id)) as ttl, (select ph.ttl from ipam.host ph where ph.id = pa.host_id) as pointer_ttl,
             array(select host(ip) from ipam.address where host_id = coalesce(h.id, x.host_id)) as "addresses!",
             (select c.mail from org.responsibility r join org.contact c on c.id = r.contact_id
               where r.host_id = h.id and r.role = 'technical' and c.mail is not null order by r.rank, c.handle limit 1) as keeper,
             case when exists (select from ipam.pointer p where p.ip = pa.ip)
               then array(select o.name from ipam.pointer p join dns.node o on o.id = p.node_id where p.ip = pa.ip order by o.name)
               else array(select o.name from ipam.host ph join dns.node o on o.id = ph.node_id where ph.id = pa.host_id) end as "pointers!"
           from unnest($1::text[], $2::text[], $3::text[], $4::text[]) with ordinality as t (name, address, first, last, place)
           left join dns.node n on n.name = t.name left join ipam.host h on h.node_id = n.id
           left join ipam.extra_name x on x.node_id = n.id left join ipam.address pa on pa.ip = t.address::inet
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
        let (hardware, os) = (row.hardware.unwrap_or_default(), row.os.unwrap_or_default());
        let (addresses, ttl) = (super::words(&row.addresses)?, row.ttl.map(number).transpose()?);
        let host = row.is_host.then_some(HostFacts { hardware, os, ttl, keeper: row.keeper, addresses });
        Ok(StoredName {
            name: name.clone(),
            is_known: row.is_known,
            records: records.map(record).collect::<Result<_, DbError>>()?,
            host,
            pointers: super::words(&row.pointers)?,
            pointer_ttl: row.pointer_ttl.map(number).transpose()?,
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
    /// What it inherits: institution, campus, and over them its own defaults.
    pub inherited: Vec<BootDefaults>,
}

/// The subnets with these networks.
pub async fn subnets(db: &mut PgConnection, networks: &[String]) -> Result<Vec<SubnetFacts>, DbError> {
    let rows = query!(
        r#"select s.network::text as "network!", c.name as campus, host(s.gateway) as gateway, s.domain,
             array(select host(d) from unnest(s.dns_servers) d) as "dns_servers!", s.options,
             array(select d.parameters from boot.defaults d
               where d.level = 'institution' or d.campus_id = s.campus_id or d.subnet_id = s.id
               order by array_position(array['institution', 'campus', 'subnet'], d.level)) as "inherited!"
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
            inherited: row.inherited.into_iter().map(json).collect::<Result<_, _>>()?,
        })
    });
    rows.collect()
}

/// How agents treat a subnet's machines beyond those that are registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFacts {
    /// The network.
    pub network: Subnet,
    /// What becomes of machines that nobody registered: `off`, `report`, `quarantine` or `auto`.
    pub unknown_machines: String,
    /// How long agents of other campuses wait, in seconds.
    pub cover_after_secs: u16,
    /// How long an address is lent, in seconds.
    pub lease_secs: u32,
    /// First address, last address and agent of everything that is lent, by address.
    pub shares: Vec<(Ipv4Addr, Ipv4Addr, NodeId)>,
    /// Under which zone of ours its machines get names.
    pub lease_zone: Option<DomainName>,
    /// Leases that are to end: their addresses, and their clients in hexadecimal.
    pub ended: Vec<(Ipv4Addr, String)>,
}

/// The policies of the subnets with these networks.
pub async fn policies(db: &mut PgConnection, networks: &[String]) -> Result<Vec<PolicyFacts>, DbError> {
    let rows = query!(
        r#"select s.network::text as "network!", s.unknown_machines, s.cover_after_secs, s.pool_lease_secs,
             coalesce(h.firsts, '{}') as "firsts!", coalesce(h.lasts, '{}') as "lasts!", coalesce(h.nodes, '{}') as "nodes!",
             (select z.apex from dns.zone z where z.apex = s.lease_zone and z.primaries = '[]') as lease_zone,
             array(select host(e.ip) from ipam.lease_end e where e.subnet_id = s.id order by e.ip) as "ended!",
             array(select e.client from ipam.lease_end e where e.subnet_id = s.id order by e.ip) as "ended_clients!"
           from ipam.subnet s cross join lateral (
             select array_agg(host(h.first) order by h.first) as firsts, array_agg(host(h.last) order by h.first) as lasts, array_agg(h.node_id order by h.first) as nodes
             from ipam.share h where h.given_up is null
               and ipam.inetrange(h.first, h.last, '[]') <@ ipam.inetrange(ipam.lowest(s.network), ipam.highest(s.network), '[]')) h
           where s.network = any ($1::text[]::cidr[]) and family(s.network) = 4"#,
        networks
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let shares = row.firsts.iter().zip(&row.lasts).zip(&row.nodes);
        let ended = row.ended.iter().zip(row.ended_clients);
        Ok(PolicyFacts {
            lease_zone: row.lease_zone.as_deref().map(word).transpose()?,
            ended: ended.map(|(ip, client)| Ok((word(ip)?, client))).collect::<Result<_, DbError>>()?,
            network: word(&row.network)?,
            unknown_machines: row.unknown_machines,
            cover_after_secs: number(i64::from(row.cover_after_secs))?,
            lease_secs: number(row.pool_lease_secs)?,
            shares: shares.map(|((first, last), node)| Ok((word(first)?, word(last)?, NodeId(*node.as_bytes())))).collect::<Result<_, DbError>>()?,
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
    /// What it is told over the subnet's options, with what it inherits.
    pub parameters: BootParameters,
}

/// The places with these IPv4 networks and hardware addresses, pairwise.
pub async fn reservations(db: &mut PgConnection, networks: &[String], macs: &[String]) -> Result<Vec<ReservationFacts>, DbError> {
    let rows = query!(
        r#"select distinct on (t.network, t.mac) t.network as "network!", t.mac as "mac!", host(a.ip) as "ip!", n.name, e.parameters as "parameters?", cd.parameters as "class?",
             array(select d.parameters from boot.defaults d
               where d.level = 'institution' or d.campus_id = s.campus_id or d.subnet_id = s.id
               order by array_position(array['subnet', 'campus', 'institution'], d.level)) as "outer!"
           from unnest($1::text[], $2::text[]) as t (network, mac)
           join ipam.subnet s on s.network = t.network::cidr
           join ipam.link l on l.subnet_id = s.id and l.mac = t.mac::macaddr
           join ipam.address a on a.iface_id = l.iface_id and a.subnet_id = s.id
           join ipam.host h on h.id = a.host_id join dns.node n on n.id = h.node_id
           left join boot.entry e on e.iface_id = l.iface_id left join ipam.equipment q on q.host_id = h.id
           left join boot.defaults cd on cd.class_id = q.class_id
           order by t.network, t.mac, a.ip"#,
        networks,
        macs
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let own = row.parameters.map(json).transpose()?.unwrap_or_default();
        let class: Option<BootDefaults> = row.class.map(json).transpose()?;
        let outer: Vec<BootDefaults> = row.outer.into_iter().map(json).collect::<Result<_, _>>()?;
        let parameters = inherited(own, class.as_ref(), &outer);
        Ok(ReservationFacts { network: word(&row.network)?, mac: word(&row.mac)?, address: word(&row.ip)?, host: word(&row.name)?, parameters })
    });
    rows.collect()
}

/// How many hosts are on one of these subnets or have one of these places (subnet and hardware address, pairwise), and the first by
/// name, at most so many.
pub async fn hosts_at(db: &mut PgConnection, subnets: &[String], networks: &[String], macs: &[String], limit: i64) -> Result<(i64, Vec<String>), DbError> {
    let row = query!(
        r#"with touched as (
             select a.host_id from ipam.subnet s join ipam.address a on a.subnet_id = s.id join ipam.iface i on i.id = a.iface_id
               where s.network = any ($1::text[]::cidr[]) and i.mac is not null
             union
             select i.host_id from unnest($2::text[], $3::text[]) as t (network, mac) join ipam.subnet s on s.network = t.network::cidr
               join ipam.link l on l.subnet_id = s.id and l.mac = t.mac::macaddr join ipam.iface i on i.id = l.iface_id)
           select (select count(*) from touched) as "count!",
             array(select n.name from touched t join ipam.host h on h.id = t.host_id join dns.node n on n.id = h.node_id order by n.name limit $4) as "first!""#,
        subnets,
        networks,
        macs,
        limit
    );
    let row = row.fetch_one(db).await?;
    Ok((row.count, row.first))
}

/// One place of a host at boot, with what it does not share with its neighbours and what it does.
#[derive(Debug, Clone)]
pub struct PlaceOfHost {
    /// The subnet.
    pub network: Subnet,
    /// Its campus.
    pub campus: String,
    /// The host's device class.
    pub class: Option<String>,
    /// The hardware address.
    pub mac: Mac,
    /// The lowest of its addresses there.
    pub address: Ipv4Addr,
    /// The subnet's router.
    pub gateway: Option<IpAddr>,
    /// What the subnet itself says.
    pub of_subnet: BootDefaults,
    /// What the host's own entry says.
    pub parameters: BootParameters,
}

/// The places of the host of this name, by subnet.
pub async fn places_of_host(db: &mut PgConnection, name: &str) -> Result<Vec<PlaceOfHost>, DbError> {
    let rows = query!(
        r#"select distinct on (s.network, i.mac) s.network::text as "network!", ca.name as campus, c.name as "class?", i.mac::text as "mac!", host(a.ip) as "ip!",
             host(s.gateway) as gateway, s.domain, array(select host(d) from unnest(s.dns_servers) d where family(d) = 4) as "dns_servers!", s.options,
             e.parameters as "parameters?"
           from dns.node n join ipam.host h on h.node_id = n.id join ipam.address a on a.host_id = h.id join ipam.iface i on i.id = a.iface_id
           join ipam.subnet s on s.id = a.subnet_id join org.campus ca on ca.id = s.campus_id left join ipam.equipment q on q.host_id = h.id
           left join ipam.device_class c on c.id = q.class_id left join boot.entry e on e.iface_id = i.id
           where n.name = $1 and family(a.ip) = 4 and i.mac is not null order by s.network, i.mac, a.ip"#,
        name
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        Ok(PlaceOfHost {
            network: word(&row.network)?,
            campus: row.campus,
            class: row.class,
            mac: word(&row.mac)?,
            address: word(&row.ip)?,
            gateway: row.gateway.as_deref().map(word).transpose()?,
            of_subnet: BootDefaults {
                domain: row.domain.as_deref().map(word).transpose()?,
                dns_servers: super::words(&row.dns_servers)?,
                options: json(row.options)?,
                ..BootDefaults::default()
            },
            parameters: row.parameters.map(json).transpose()?.unwrap_or_default(),
        })
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
    /// Whether its secret holds the one before it as well.
    pub has_former_secret: bool,
    /// Whether it may ask CHAP and MS-CHAPv2 outside of tunnels.
    pub may_chap: bool,
    /// Whether it may ask of machines by their hardware addresses.
    pub mac_authentication: bool,
    /// Where those go that nobody knows.
    pub guest_vlan: Option<u16>,
    /// Its campus.
    pub campus: Option<String>,
}

/// The NASs with these prefixes.
pub async fn nas(db: &mut PgConnection, prefixes: &[String]) -> Result<Vec<NasFacts>, DbError> {
    let rows = query!(
        r#"select n.prefix::text as "prefix!", n.name as "name!", n.secret as "secret!",
             n.require_message_authenticator as "require_message_authenticator!", coalesce(n.has_former_secret, false) as "has_former_secret!",
             coalesce(n.may_chap, false) as "may_chap!", coalesce(n.mac_authentication, false) as "mac_authentication!", n.guest_vlan, c.name as "campus?"
           from access.nas n left join org.campus c on c.id = n.campus_id where n.prefix = any ($1::text[]::cidr[])"#,
        prefixes
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let (require_message_authenticator, has_former_secret) = (row.require_message_authenticator, row.has_former_secret);
        Ok(NasFacts {
            prefix: word(&row.prefix)?,
            name: row.name,
            secret: row.secret,
            require_message_authenticator,
            has_former_secret,
            may_chap: row.may_chap,
            mac_authentication: row.mac_authentication,
            guest_vlan: row.guest_vlan.map(|vlan| number(i64::from(vlan))).transpose()?,
            campus: row.campus,
        })
    });
    rows.collect()
}
