//! Every key that there is, in pages: for composing everything anew.

use super::changes::OutboxKey;
use super::publish::numbers;
use super::{DbError, word};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{DomainName, Epoch, Generation};
use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use std::net::IpAddr;
use uuid::Uuid;

/// The newest generation of a feed that this transaction sees; zero before the first.
pub async fn newest(db: &mut PgConnection, feed: Feed) -> Result<(Epoch, Generation), DbError> {
    let (kind, family, cut) = numbers(feed);
    let sql = query!(
        r#"select epoch as "epoch!", generation as "generation!" from publish.kept where (kind, family, cut) = ($1, $2, $3)
           order by epoch desc, generation desc limit 1"#,
        kind,
        family,
        cut
    );
    let row = sql.fetch_optional(db).await?;
    Ok(row.map_or((Epoch(0), Generation(0)), |row| (Epoch(row.epoch as u32), Generation(row.generation as u64))))
}

/// What waits to be published.
pub async fn waiting(db: &mut PgConnection) -> Result<Vec<OutboxKey>, DbError> {
    Ok(query_as!(OutboxKey, "select distinct subject, key from publish.outbox").fetch_all(db).await?)
}

/// The keys of names after one, in order.
pub async fn names(db: &mut PgConnection, after: &str, limit: i64) -> Result<Vec<String>, DbError> {
    let sql = query_scalar!(
        r#"select name as "name!" from (
             (select name from dns.node where name collate "C" > $1 order by name collate "C" limit $2)
             union (select distinct name collate "C" from dns.copied where name collate "C" > $1 order by 1 limit $2)) n
           order by name collate "C" limit $2"#,
        after,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// Addresses after one, in order: each has a reverse name, and with a hardware address a boot entry.
pub async fn addresses(db: &mut PgConnection, after: Option<IpAddr>, limit: i64) -> Result<Vec<(IpAddr, Vec<OutboxKey>)>, DbError> {
    let after = after.map(|address| address.to_string());
    let rows = query!(
        r#"select host(a.ip) as "ip!", a.network::text as "network!", i.mac::text as mac from ipam.address a join ipam.iface i on i.id = a.iface_id
           where $1::text is null or a.ip > $1::text::inet order by a.ip limit $2"#,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let ip: IpAddr = word(&row.ip)?;
        let pointer = OutboxKey { subject: "name".to_owned(), key: DomainName::reverse_of(ip).without_dot() };
        let place = row.mac.filter(|_| ip.is_ipv4()).map(|mac| OutboxKey { subject: "reservation".to_owned(), key: format!("{} {mac}", row.network) });
        Ok((ip, [pointer].into_iter().chain(place).collect()))
    });
    rows.collect()
}

/// Hardware addresses after one, in order.
pub async fn machines(db: &mut PgConnection, after: &str, limit: i64) -> Result<Vec<String>, DbError> {
    let after = Some(after).filter(|after| !after.is_empty());
    let sql = query_scalar!(
        r#"select mac::text as "mac!" from (select distinct mac from ipam.iface where mac > coalesce($1::text::macaddr, '00:00:00:00:00:00')) m
           order by mac limit $2"#,
        after,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// The keys of all zones, subnets and NASs, and of what is lent: few.
pub async fn others(db: &mut PgConnection) -> Result<Vec<OutboxKey>, DbError> {
    let sql = query_as!(
        OutboxKey,
        r#"select 'zone' as "subject!", apex as "key!" from dns.zone
           union all select 'name', apex from dns.zone
           union all select 'subnet', network::text from ipam.subnet where family(network) = 4
           union all select 'nas', prefix::text from access.nas
           union all select 'lent', name from ipam.lent_name
           union select 'lent', r from ipam.lent_name n cross join lateral dns.reverse_names(n.ip) r"#
    );
    Ok(sql.fetch_all(db).await?)
}

/// Has the publisher look at these keys again, under a change set that says why.
pub async fn put_again(pool: &PgPool, actor: &str, reason: &str, keys: &[OutboxKey]) -> Result<Uuid, DbError> {
    let (subjects, texts): (Vec<String>, Vec<String>) = keys.iter().map(|key| (key.subject.clone(), key.key.clone())).unzip();
    let (id, mut tx) = (Uuid::now_v7(), pool.begin().await?);
    query!("insert into change.change_set (id, actor, reason, via) values ($1, $2, $3, 'audit')", id, actor, reason).execute(&mut *tx).await?;
    query!("insert into publish.outbox (change_set, subject, key) select $1, s, k from unnest($2::text[], $3::text[]) as t (s, k)", id, &subjects, &texts)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(id)
}
