//! Who is responsible for what, and which mailboxes somebody reads.

use super::{DbError, word};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_as, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// What one can be responsible for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ObjectKind {
    /// A host, by its name.
    Host,
    /// A subnet, by its network.
    Subnet,
    /// A zone, by its apex.
    Zone,
    /// A department, by its name.
    Department,
    /// A campus, by its name.
    Campus,
    /// The whole of it, without a name.
    Institution,
    /// One of our boxes, by its name.
    Node,
    /// An organisation outside, by its name.
    External,
}

/// In which way one is responsible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ContactRole {
    /// Whose it is.
    Owner,
    /// Who keeps it working.
    Technical,
    /// Who decides and pays.
    Administrative,
    /// Who is called when something is wrong.
    Escalation,
    /// Who hears of abuse that comes from it.
    Abuse,
    /// Who hears of its security.
    Security,
}

/// One responsibility as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponsibilityDraft {
    /// What the object is.
    pub kind: ObjectKind,
    /// The object, as people call it; empty for the institution.
    #[serde(default)]
    pub object: String,
    /// The contact, by its handle.
    pub contact: String,
    /// In which way.
    pub role: ContactRole,
    /// Who is asked first within a role: 1 to 99.
    #[serde(default = "ResponsibilityDraft::first")]
    pub rank: i32,
}

impl ResponsibilityDraft {
    fn first() -> i32 {
        1
    }
}

/// All responsibilities, or those for one object or of one contact.
pub async fn all(db: &mut PgConnection, kind: Option<ObjectKind>, object: Option<&str>, contact: Option<&str>) -> Result<Vec<ResponsibilityDraft>, DbError> {
    let sql = query_as!(
        ResponsibilityDraft,
        r#"select * from (
             select r.kind as "kind!: ObjectKind", coalesce(hn.name, s.network::text, z.apex, ca.name, d.name, no.name, e.name, '') as "object!",
               c.handle as "contact!", r.role as "role!: ContactRole", r.rank as "rank!"
             from org.responsibility r join org.contact c on c.id = r.contact_id
             left join ipam.host h on h.id = r.host_id left join dns.node hn on hn.id = h.node_id left join ipam.subnet s on s.id = r.subnet_id
             left join dns.zone z on z.id = r.zone_id left join org.campus ca on ca.id = r.campus_id left join org.department d on d.id = r.department_id
             left join publish.node no on no.id = r.node_id left join org.external e on e.id = r.external_id
             where ($1::text is null or r.kind = $1) and ($3::text is null or c.handle = $3)) x
           where $2::text is null or x."object!" = $2
           order by 1, 2, 4, 5, 3"#,
        kind as _,
        object,
        contact
    );
    Ok(sql.fetch_all(db).await?)
}

/// An object by its identity, as responsibilities refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectId {
    /// The institution.
    Institution,
    /// A host.
    Host(Uuid),
    /// A subnet.
    Subnet(i64),
    /// A zone.
    Zone(i64),
    /// A campus.
    Campus(i64),
    /// A department.
    Department(i64),
    /// A box.
    Node(Uuid),
    /// An organisation outside.
    External(i64),
}

/// The object of this kind that people call so.
pub async fn find(db: &mut PgConnection, kind: ObjectKind, object: &str) -> Result<Option<ObjectId>, DbError> {
    let number = match kind {
        ObjectKind::Institution => return Ok(object.is_empty().then_some(ObjectId::Institution)),
        ObjectKind::Host | ObjectKind::Node => return find_uuid(db, kind, object).await,
        ObjectKind::Subnet => query_scalar!("select id from ipam.subnet where network::text = $1", object).fetch_optional(db).await?,
        ObjectKind::Zone => query_scalar!("select id from dns.zone where apex = $1", object).fetch_optional(db).await?,
        ObjectKind::Campus => query_scalar!("select id from org.campus where name = $1", object).fetch_optional(db).await?,
        ObjectKind::Department => query_scalar!("select id from org.department where name = $1", object).fetch_optional(db).await?,
        ObjectKind::External => query_scalar!("select id from org.external where name = $1", object).fetch_optional(db).await?,
    };
    Ok(number.map(match kind {
        ObjectKind::Subnet => ObjectId::Subnet,
        ObjectKind::Zone => ObjectId::Zone,
        ObjectKind::Campus => ObjectId::Campus,
        ObjectKind::Department => ObjectId::Department,
        _ => ObjectId::External,
    }))
}

async fn find_uuid(db: &mut PgConnection, kind: ObjectKind, object: &str) -> Result<Option<ObjectId>, DbError> {
    if kind == ObjectKind::Node {
        let id = query_scalar!("select id from publish.node where name = $1", object).fetch_optional(db).await?;
        return Ok(id.map(ObjectId::Node));
    }
    let id = query_scalar!("select h.id from ipam.host h join dns.node n on n.id = h.node_id where n.name = $1", object).fetch_optional(db).await?;
    Ok(id.map(ObjectId::Host))
}

/// One row to be kept.
#[derive(Debug, Clone)]
pub struct NewResponsibility<'a> {
    /// For what.
    pub object: ObjectId,
    /// The contact's handle; it is there.
    pub contact: &'a str,
    /// In which way.
    pub role: ContactRole,
    /// Its place within the role.
    pub rank: i32,
}

/// Keeps responsibilities; of those that are known the rank changes.
pub async fn put(db: &mut PgConnection, rows: &[NewResponsibility<'_>]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let of = |pick: fn(ObjectId) -> Option<i64>| rows.iter().map(|row| pick(row.object)).collect::<Vec<_>>();
    let of_uuid = |pick: fn(ObjectId) -> Option<Uuid>| rows.iter().map(|row| pick(row.object)).collect::<Vec<_>>();
    let kinds: Vec<String> = rows.iter().map(|row| row.object.kind().to_owned()).collect();
    let handles: Vec<String> = rows.iter().map(|row| row.contact.to_owned()).collect();
    let roles: Vec<ContactRole> = rows.iter().map(|row| row.role).collect();
    let roles: Vec<String> = roles.into_iter().map(|role| role.as_str().to_owned()).collect();
    let ranks: Vec<i32> = rows.iter().map(|row| row.rank).collect();
    query!(
        "insert into org.responsibility (kind, host_id, subnet_id, zone_id, campus_id, department_id, node_id, external_id, contact_id, role, rank)
         select t.kind, t.host, t.subnet, t.zone, t.campus, t.department, t.node, t.external, c.id, t.role, t.rank
         from unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[], $8::bigint[], $9::text[], $10::text[], $11::int[])
           as t (kind, host, subnet, zone, campus, department, node, external, contact, role, rank)
         join org.contact c on c.handle = t.contact
         on conflict (kind, object_key, role, contact_id) do update set rank = excluded.rank",
        &kinds,
        &of_uuid(|id| if let ObjectId::Host(id) = id { Some(id) } else { None }) as _,
        &of(|id| if let ObjectId::Subnet(id) = id { Some(id) } else { None }) as _,
        &of(|id| if let ObjectId::Zone(id) = id { Some(id) } else { None }) as _,
        &of(|id| if let ObjectId::Campus(id) = id { Some(id) } else { None }) as _,
        &of(|id| if let ObjectId::Department(id) = id { Some(id) } else { None }) as _,
        &of_uuid(|id| if let ObjectId::Node(id) = id { Some(id) } else { None }) as _,
        &of(|id| if let ObjectId::External(id) = id { Some(id) } else { None }) as _,
        &handles,
        &roles,
        &ranks
    )
    .execute(db)
    .await?;
    Ok(())
}

impl ObjectId {
    /// The word for its kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Institution => "institution",
            Self::Host(_) => "host",
            Self::Subnet(_) => "subnet",
            Self::Zone(_) => "zone",
            Self::Campus(_) => "campus",
            Self::Department(_) => "department",
            Self::Node(_) => "node",
            Self::External(_) => "external",
        }
    }

    /// What `object_key` says of it.
    pub fn key(self) -> String {
        match self {
            Self::Institution => String::new(),
            Self::Host(id) | Self::Node(id) => id.to_string(),
            Self::Subnet(id) | Self::Zone(id) | Self::Campus(id) | Self::Department(id) | Self::External(id) => id.to_string(),
        }
    }
}

impl ContactRole {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Technical => "technical",
            Self::Administrative => "administrative",
            Self::Escalation => "escalation",
            Self::Abuse => "abuse",
            Self::Security => "security",
        }
    }
}

/// Takes one responsibility away; false where there was none.
pub async fn delete(db: &mut PgConnection, object: ObjectId, contact: &str, role: ContactRole) -> Result<bool, DbError> {
    let sql = query!(
        "delete from org.responsibility r using org.contact c
         where c.id = r.contact_id and c.handle = $3 and r.kind = $1 and r.object_key = $2 and r.role = $4",
        object.kind(),
        object.key(),
        contact,
        role.as_str()
    );
    Ok(sql.execute(db).await?.rows_affected() > 0)
}

/// Takes all responsibilities for an object away, before it goes itself.
pub async fn delete_of(db: &mut PgConnection, object: ObjectId) -> Result<(), DbError> {
    query!("delete from org.responsibility where kind = $1 and object_key = $2", object.kind(), object.key()).execute(db).await?;
    Ok(())
}

/// Somebody who is responsible for one of several objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responsible {
    /// For which object.
    pub kind: ObjectKind,
    /// Its key.
    pub key: String,
    /// In which way.
    pub role: ContactRole,
    /// Their place within the role.
    pub rank: i32,
    /// Their handle.
    pub handle: String,
    /// Their name.
    pub name: String,
    /// Their mail address.
    pub mail: Option<String>,
    /// Their telephone number.
    pub phone: Option<String>,
    /// When that was last found right.
    pub verified_on: Option<NaiveDate>,
}

/// Everybody who is responsible for these objects.
pub async fn responsible(db: &mut PgConnection, objects: &[ObjectId]) -> Result<Vec<Responsible>, DbError> {
    let kinds: Vec<String> = objects.iter().map(|object| object.kind().to_owned()).collect();
    let keys: Vec<String> = objects.iter().map(|object| object.key()).collect();
    let sql = query_as!(
        Responsible,
        r#"select r.kind as "kind: ObjectKind", r.object_key as "key", r.role as "role: ContactRole", r.rank, c.handle, c.name, c.mail, c.phone, c.verified_on
           from unnest($1::text[], $2::text[]) as t (kind, key) join org.responsibility r on (r.kind, r.object_key) = (t.kind, t.key)
           join org.contact c on c.id = r.contact_id order by r.rank, c.handle"#,
        &kinds,
        &keys
    );
    Ok(sql.fetch_all(db).await?)
}

/// What an address or name belongs to, from the host outwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belonging {
    /// The host: identity and name.
    pub host: Option<(Uuid, String)>,
    /// The subnet: number and network.
    pub subnet: Option<(i64, String)>,
    /// The zone: number and apex.
    pub zone: Option<(i64, String)>,
    /// The departments of host, subnet and zone: number and name.
    pub departments: Vec<(i64, String)>,
    /// The campus: number and name.
    pub campus: Option<(i64, String)>,
}

/// What belongs to an address: its host, where it has one, its subnet, their departments, its campus.
pub async fn of_address(db: &mut PgConnection, address: IpAddr) -> Result<Belonging, DbError> {
    let text = address.to_string();
    let host = query!(
        r#"select h.id, n.name, h.department_id, d.name as "department?" from ipam.address a join ipam.host h on h.id = a.host_id
           join dns.node n on n.id = h.node_id left join org.department d on d.id = h.department_id where a.ip = $1::text::inet"#,
        text
    );
    let host = host.fetch_optional(&mut *db).await?;
    let mut belonging = of_subnet(db, &text).await?;
    if let Some(host) = host {
        let own = host.department_id.zip(host.department);
        belonging.departments.splice(0..0, own);
        belonging.host = Some((host.id, host.name));
    }
    Ok(belonging)
}

/// What belongs to the subnet that is, or has in it, this network or address.
pub async fn of_subnet(db: &mut PgConnection, network: &str) -> Result<Belonging, DbError> {
    let sql = query!(
        r#"select s.id, s.network::text as "network!", s.department_id, d.name as "department?", c.id as campus_id, c.name as campus
           from ipam.subnet s join org.campus c on c.id = s.campus_id left join org.department d on d.id = s.department_id
           where s.network::inet >>= $1::text::inet"#,
        network
    );
    let Some(row) = sql.fetch_optional(db).await? else { return Ok(Belonging::default()) };
    Ok(Belonging {
        subnet: Some((row.id, row.network)),
        departments: row.department_id.zip(row.department).into_iter().collect(),
        campus: Some((row.campus_id, row.campus)),
        ..Belonging::default()
    })
}

/// What a name that is in use stands for: its zone, and an address of its host.
pub async fn of_name(db: &mut PgConnection, name: &str) -> Result<Option<(Belonging, Option<IpAddr>)>, DbError> {
    let sql = query!(
        r#"select z.id as zone_id, z.apex, z.department_id, d.name as "department?", h.id as "host_id?", hn.name as "host_name?",
             (select host(min(a.ip)) from ipam.address a where a.host_id = h.id) as address, h.department_id as "host_department?", hd.name as "host_department_name?"
           from dns.node n join dns.zone z on z.id = n.zone_id left join org.department d on d.id = z.department_id
           left join dns.record r on r.node_id = n.id and r.rtype = 5 left join dns.node t on t.name = r.target
           left join ipam.host h on h.node_id = coalesce(t.id, n.id) left join dns.node hn on hn.id = h.node_id
           left join org.department hd on hd.id = h.department_id
           where n.name = $1"#,
        name
    );
    let Some(row) = sql.fetch_optional(db).await? else { return Ok(None) };
    let departments = [row.host_department.zip(row.host_department_name), row.department_id.zip(row.department)];
    let belonging = Belonging {
        host: row.host_id.zip(row.host_name),
        zone: Some((row.zone_id, row.apex)),
        departments: departments.into_iter().flatten().collect(),
        ..Belonging::default()
    };
    Ok(Some((belonging, row.address.as_deref().map(word).transpose()?)))
}

/// A mailbox of a domain as an admin writes it: who reads what is sent there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MailboxDraft {
    /// The domain, without the final dot.
    pub domain: String,
    /// The part before the `@`.
    pub mailbox: String,
    /// Who reads it, by handle.
    pub contact: String,
}

/// All mailboxes, by domain and name.
pub async fn mailboxes(db: &mut PgConnection) -> Result<Vec<MailboxDraft>, DbError> {
    let sql = query_as!(
        MailboxDraft,
        "select m.domain, m.mailbox, c.handle as contact from org.mailbox m join org.contact c on c.id = m.contact_id order by m.domain, m.mailbox"
    );
    Ok(sql.fetch_all(db).await?)
}

/// Keeps a mailbox, new or with another reader.
pub async fn put_mailbox(db: &mut PgConnection, draft: &MailboxDraft) -> Result<(), DbError> {
    query!(
        "insert into org.mailbox (domain, mailbox, contact_id) select $1, $2, id from org.contact where handle = $3
         on conflict (domain, mailbox) do update set contact_id = excluded.contact_id",
        draft.domain,
        draft.mailbox,
        draft.contact
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a mailbox away; false where there was none.
pub async fn delete_mailbox(db: &mut PgConnection, domain: &str, mailbox: &str) -> Result<bool, DbError> {
    Ok(query!("delete from org.mailbox where domain = $1 and mailbox = $2", domain, mailbox).execute(db).await?.rows_affected() > 0)
}
