//! Hosts, interfaces and addresses.

use super::boot::BootParameters;
use super::{DbError, json, word};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{DomainName, HostName, Mac, Subnet};
use sqlx::{PgConnection, query, query_as, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// A host as it is kept.
#[derive(Debug, Clone)]
pub struct HostRow {
    /// Its identity.
    pub id: Uuid,
    /// Its node.
    pub node: i64,
    /// Its name.
    pub name: HostName,
    /// See the draft.
    pub department: Option<String>,
    /// See the draft.
    pub hardware: String,
    /// See the draft.
    pub os: String,
    /// See the draft.
    pub location: String,
    /// See the draft.
    pub contact: String,
    /// See the draft.
    pub comment: String,
    /// How often it was changed.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A row as it comes.
struct Raw {
    id: Uuid,
    node_id: i64,
    name: String,
    department: Option<String>,
    hardware: String,
    os: String,
    location: String,
    contact: String,
    comment: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn host(raw: Raw) -> Result<HostRow, DbError> {
    let Raw { id, node_id: node, name, department, hardware, os, location, contact, comment, version, created_at, updated_at } = raw;
    Ok(HostRow { id, node, name: word(&name)?, department, hardware, os, location, contact, comment, version, created_at, updated_at })
}

/// The hosts with these names, by name.
pub async fn named(db: &mut PgConnection, names: &[String]) -> Result<Vec<HostRow>, DbError> {
    let rows = query_as!(
        Raw,
        r#"select h.id, h.node_id, n.name, d.name as "department?", h.hardware, h.os, h.location, h.contact, h.comment, h.version, h.created_at, h.updated_at
         from dns.node n join ipam.host h on h.node_id = n.id left join org.department d on d.id = h.department_id
         where n.name = any ($1) order by n.name"#,
        names
    );
    rows.fetch_all(db).await?.into_iter().map(host).collect()
}

/// Takes the row lock of a host, so that edits of it follow one another; its version. `None` where it was deleted meanwhile.
pub async fn lock(db: &mut PgConnection, id: Uuid) -> Result<Option<i64>, DbError> {
    Ok(query_scalar!("select version from ipam.host where id = $1 for update", id).fetch_optional(db).await?)
}

/// The identity of the host that last had this name, even when it is gone.
pub async fn last_with_name(db: &mut PgConnection, name: &str) -> Result<Option<Uuid>, DbError> {
    let sql = query_scalar!(
        r#"select h.host_id from change.change n join change.change h on h.table_name = 'ipam.host'
             and coalesce(h.after, h.before) ->> 'node_id' = n.key and h.host_id is not null
           where n.table_name = 'dns.node' and coalesce(n.after, n.before) ->> 'name' = $1 order by h.ordinal desc limit 1"#,
        name
    );
    Ok(sql.fetch_optional(db).await?.flatten())
}

/// An interface as it is kept.
#[derive(Debug, Clone)]
pub struct IfaceRow {
    /// Its identity.
    pub id: Uuid,
    /// Its host.
    pub host: Uuid,
    /// Its place among the host's interfaces.
    pub ordinal: i32,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its addresses, ascending.
    pub addresses: Vec<IpAddr>,
    /// Its boot entry: templates and parameters.
    pub entry: Option<(Vec<String>, BootParameters)>,
}

/// The interfaces of these hosts in order.
pub async fn interfaces(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<IfaceRow>, DbError> {
    let rows = query!(
        r#"select i.id, i.host_id, i.ordinal, i.mac::text as mac, array(select host(a.ip) from ipam.address a where a.iface_id = i.id order by a.ip) as "addresses!",
             e.templates as "templates?", e.parameters as "parameters?"
           from ipam.iface i left join boot.entry e on e.iface_id = i.id where i.host_id = any ($1) order by i.host_id, i.ordinal"#,
        hosts
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let entry = row.templates.zip(row.parameters).map(|(templates, parameters)| Ok::<_, DbError>((templates, json(parameters)?)));
        let (mac, addresses) = (row.mac.as_deref().map(word).transpose()?, super::words(&row.addresses)?);
        Ok(IfaceRow { id: row.id, host: row.host_id, ordinal: row.ordinal, mac, addresses, entry: entry.transpose()? })
    });
    rows.collect()
}

/// The aliases of hosts.
pub async fn aliases(db: &mut PgConnection, hosts: &[Uuid]) -> Result<Vec<(Uuid, DomainName)>, DbError> {
    let rows = query!(
        "select h.id, a.name from ipam.host h join dns.node n on n.id = h.node_id join dns.record r on r.target = n.name join dns.node a on a.id = r.node_id
         where h.id = any ($1) order by a.name",
        hosts
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((row.id, word(&row.name)?))).collect()
}

/// Who has these addresses.
pub async fn address_owners(db: &mut PgConnection, addresses: &[String]) -> Result<Vec<(IpAddr, Uuid, HostName)>, DbError> {
    let rows = query!(
        r#"select host(a.ip) as "ip!", a.host_id, n.name from ipam.address a join ipam.host h on h.id = a.host_id join dns.node n on n.id = h.node_id
           where a.ip = any ($1::text[]::inet[])"#,
        addresses
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((word(&row.ip)?, row.host_id, word(&row.name)?))).collect()
}

/// Where these hardware addresses are known: subnet, address, host, its name.
pub async fn mac_owners(db: &mut PgConnection, macs: &[String]) -> Result<Vec<(i64, Mac, Uuid, HostName)>, DbError> {
    let rows = query!(
        r#"select l.subnet_id, i.mac::text as "mac!", i.host_id, n.name from ipam.iface i join ipam.link l on l.iface_id = i.id
           join ipam.host h on h.id = i.host_id join dns.node n on n.id = h.node_id where i.mac = any ($1::text[]::macaddr[])"#,
        macs
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((row.subnet_id, word(&row.mac)?, row.host_id, word(&row.name)?))).collect()
}

/// The texts of a host.
#[derive(Debug)]
pub struct HostTexts<'a> {
    /// Its identity.
    pub id: Uuid,
    /// Its node.
    pub node: i64,
    /// Its department's number.
    pub department: Option<i64>,
    /// Hardware, operating system, location, contact, comment.
    pub texts: [&'a str; 5],
}

/// Keeps new hosts.
pub async fn insert(db: &mut PgConnection, hosts: &[HostTexts<'_>]) -> Result<(), DbError> {
    let ids: Vec<Uuid> = hosts.iter().map(|host| host.id).collect();
    let nodes: Vec<i64> = hosts.iter().map(|host| host.node).collect();
    let departments: Vec<Option<i64>> = hosts.iter().map(|host| host.department).collect();
    let [hardware, os, location, contact, comment] = std::array::from_fn(|n| hosts.iter().map(|host| host.texts[n].to_owned()).collect::<Vec<String>>());
    query!(
        "insert into ipam.host (id, node_id, hardware, os, location, contact, comment, department_id)
         select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[])",
        &ids,
        &nodes,
        &hardware,
        &os,
        &location,
        &contact,
        &comment,
        &departments as _
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Changes a host's texts; its new version.
pub async fn update(db: &mut PgConnection, host: &HostTexts<'_>) -> Result<i64, DbError> {
    let [hardware, os, location, contact, comment] = host.texts;
    let sql = query_scalar!(
        "update ipam.host set hardware = $2, os = $3, location = $4, contact = $5, comment = $6, department_id = $7, version = version + 1, updated_at = now()
         where id = $1 returning version",
        host.id,
        hardware,
        os,
        location,
        contact,
        comment,
        host.department
    );
    Ok(sql.fetch_one(db).await?)
}

/// An interface to be kept.
#[derive(Debug)]
pub struct NewIface {
    /// Its identity.
    pub id: Uuid,
    /// Its host.
    pub host: Uuid,
    /// Its place among the host's interfaces.
    pub ordinal: i32,
    /// Its hardware address.
    pub mac: Option<Mac>,
}

/// An address to be kept, with the subnet it lies in.
#[derive(Debug)]
pub struct NewAddress {
    /// The address.
    pub ip: IpAddr,
    /// Its interface.
    pub iface: Uuid,
    /// The interface's host.
    pub host: Uuid,
    /// The interface's hardware address.
    pub mac: Option<Mac>,
    /// The subnet's number.
    pub subnet: i64,
    /// The subnet's network.
    pub network: Subnet,
}

/// Keeps interfaces, their places on subnets and their addresses.
pub async fn insert_interfaces(db: &mut PgConnection, ifaces: &[NewIface], addresses: &[NewAddress]) -> Result<(), DbError> {
    if !ifaces.is_empty() {
        insert_ifaces(db, ifaces).await?;
    }
    if addresses.is_empty() {
        return Ok(());
    }
    let mut links: Vec<&NewAddress> = addresses.iter().collect();
    links.sort_by_key(|link| (link.iface, link.subnet));
    links.dedup_by_key(|link| (link.iface, link.subnet));
    insert_links(db, &links).await?;
    insert_addresses(db, addresses).await
}

async fn insert_ifaces(db: &mut PgConnection, ifaces: &[NewIface]) -> Result<(), DbError> {
    let ids: Vec<Uuid> = ifaces.iter().map(|iface| iface.id).collect();
    let hosts: Vec<Uuid> = ifaces.iter().map(|iface| iface.host).collect();
    let ordinals: Vec<i32> = ifaces.iter().map(|iface| iface.ordinal).collect();
    let macs: Vec<Option<String>> = ifaces.iter().map(|iface| iface.mac.map(|mac| mac.to_string())).collect();
    query!(
        "insert into ipam.iface (id, host_id, ordinal, mac) select i, h, o, m::macaddr from unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[]) as t (i, h, o, m)",
        &ids,
        &hosts,
        &ordinals,
        &macs as _
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_links(db: &mut PgConnection, links: &[&NewAddress]) -> Result<(), DbError> {
    let ifaces: Vec<Uuid> = links.iter().map(|link| link.iface).collect();
    let subnets: Vec<i64> = links.iter().map(|link| link.subnet).collect();
    let macs: Vec<Option<String>> = links.iter().map(|link| link.mac.map(|mac| mac.to_string())).collect();
    query!(
        "insert into ipam.link (iface_id, subnet_id, mac) select i, s, m::macaddr from unnest($1::uuid[], $2::bigint[], $3::text[]) as t (i, s, m)
         on conflict (iface_id, subnet_id) do nothing",
        &ifaces,
        &subnets,
        &macs as _
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_addresses(db: &mut PgConnection, addresses: &[NewAddress]) -> Result<(), DbError> {
    let ips: Vec<String> = addresses.iter().map(|address| address.ip.to_string()).collect();
    let ifaces: Vec<Uuid> = addresses.iter().map(|address| address.iface).collect();
    let hosts: Vec<Uuid> = addresses.iter().map(|address| address.host).collect();
    let subnets: Vec<i64> = addresses.iter().map(|address| address.subnet).collect();
    let networks: Vec<String> = addresses.iter().map(|address| address.network.to_string()).collect();
    query!(
        "insert into ipam.address (ip, iface_id, host_id, subnet_id, network)
         select a::inet, i, h, s, n::cidr from unnest($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[]) as t (a, i, h, s, n)",
        &ips,
        &ifaces,
        &hosts,
        &subnets,
        &networks
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The subnets that a host has addresses on.
pub async fn subnets_of(db: &mut PgConnection, host: Uuid) -> Result<Vec<i64>, DbError> {
    Ok(query_scalar!("select distinct subnet_id from ipam.address where host_id = $1", host).fetch_all(db).await?)
}

/// Takes addresses away.
pub async fn delete_addresses(db: &mut PgConnection, addresses: &[IpAddr]) -> Result<(), DbError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    query!("delete from ipam.address where ip = any ($1::text[]::inet[])", &addresses).execute(db).await?;
    Ok(())
}

/// Takes the places of a host's interfaces on subnets away where they have no address any more.
pub async fn delete_idle_links(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    query!(
        "delete from ipam.link l using ipam.iface i where i.id = l.iface_id and i.host_id = $1
           and not exists (select from ipam.address a where (a.iface_id, a.subnet_id) = (l.iface_id, l.subnet_id))",
        host
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes interfaces away that nothing hangs on any more.
pub async fn delete_ifaces(db: &mut PgConnection, ifaces: &[Uuid]) -> Result<(), DbError> {
    if !ifaces.is_empty() {
        query!("delete from ipam.iface where id = any ($1)", ifaces).execute(db).await?;
    }
    Ok(())
}

/// Changes an interface's place and hardware address.
pub async fn update_iface(db: &mut PgConnection, iface: &NewIface) -> Result<(), DbError> {
    let mac = iface.mac.map(|mac| mac.to_string());
    // The link follows a change of one address into another; to none and from none it is told.
    query!("update ipam.link set mac = null where iface_id = $1 and $2::text is null", iface.id, mac).execute(&mut *db).await?;
    query!("update ipam.iface set ordinal = $2, mac = $3::text::macaddr where id = $1", iface.id, iface.ordinal, mac).execute(&mut *db).await?;
    query!("update ipam.link set mac = $2::text::macaddr where iface_id = $1 and mac is null and $2::text is not null", iface.id, mac).execute(db).await?;
    Ok(())
}

/// Deletes a host's interfaces with all that hangs on them, children first.
pub async fn delete_interfaces(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    query!("delete from boot.entry where host_id = $1", host).execute(&mut *db).await?;
    query!("delete from ipam.address where host_id = $1", host).execute(&mut *db).await?;
    query!("delete from ipam.link l using ipam.iface i where i.id = l.iface_id and i.host_id = $1", host).execute(&mut *db).await?;
    query!("delete from ipam.iface where host_id = $1", host).execute(db).await?;
    Ok(())
}

/// Deletes a host whose interfaces are gone.
pub async fn delete(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    query!("delete from ipam.host where id = $1", host).execute(db).await?;
    Ok(())
}
