//! Rows as change sets found them, and putting rows back. The SQL is made in the database from the table's own columns, so a
//! new column needs nothing here; a new table needs a line in [`TABLES`].

use super::DbError;
use super::changes::PUBLISHER;
use serde_json::Value;
use sqlx::{PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// The table of NASs, the one with secrets.
pub const NAS: &str = "access.nas";

/// A table whose changes are kept, and how its rows are put back.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    /// Schema and name.
    pub name: &'static str,
    /// The column that names a row: the argument of its audit trigger.
    pub key: &'static str,
}

/// Parents before their children. Rows go in the opposite order, so that the triggers still find what a row belonged to.
pub const TABLES: &[Table] = &[
    Table { name: "org.campus", key: "id" },
    Table { name: "org.department", key: "id" },
    Table { name: "org.external", key: "id" },
    Table { name: "org.contact", key: "id" },
    Table { name: "org.mailbox", key: "id" },
    Table { name: "ipam.device_class", key: "id" },
    Table { name: "dns.tsig_key", key: "id" },
    Table { name: "dns.zone", key: "id" },
    Table { name: "dns.node", key: "id" },
    Table { name: "dns.record", key: "id" },
    Table { name: "ipam.container", key: "id" },
    Table { name: "ipam.subnet", key: "id" },
    Table { name: "ipam.discovery_rule", key: "subnet_id" },
    Table { name: "ipam.router", key: "id" },
    Table { name: "ipam.router_port", key: "id" },
    Table { name: "ipam.port_subnet", key: "id" },
    Table { name: "org.server", key: "id" },
    Table { name: "ipam.pool", key: "id" },
    Table { name: "ipam.quarantine", key: "ip" },
    Table { name: "ipam.lease_end", key: "ip" },
    Table { name: "ipam.family", key: "id" },
    Table { name: "ipam.host", key: "id" },
    Table { name: "ipam.other_address", key: "id" },
    Table { name: "ipam.planned_move", key: "id" },
    Table { name: "ipam.equipment", key: "host_id" },
    Table { name: "ipam.extra_name", key: "node_id" },
    Table { name: "org.responsibility", key: "id" },
    Table { name: "ipam.iface", key: "id" },
    Table { name: "ipam.address", key: "ip" },
    Table { name: "ipam.pointer", key: "id" },
    Table { name: "boot.template", key: "name" },
    Table { name: "boot.defaults", key: "id" },
    Table { name: "boot.entry", key: "iface_id" },
    Table { name: "checks.waiver", key: "id" },
    Table { name: NAS, key: "id" },
    Table { name: "change.approval_rule", key: "id" },
];

/// One row that a change set changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Which table.
    pub table: String,
    /// Which row of it.
    pub key: String,
    /// The row before; `None` where it was made.
    pub before: Option<Value>,
    /// The row after; `None` where it went.
    pub after: Option<Value>,
}

/// What these change sets did, in the order in which they did it. The publisher's own, which encrypt secrets anew, did nothing.
pub async fn images(db: &mut PgConnection, change_sets: &[Uuid]) -> Result<Vec<Image>, DbError> {
    let sql = query_as!(
        Image,
        r#"select c.table_name as "table", c.key, c.before, c.after from change.change c join change.change_set s on s.id = c.change_set
           where c.change_set = any ($1) and s.via <> $2 order by c.ordinal"#,
        change_sets,
        PUBLISHER
    );
    Ok(sql.fetch_all(db).await?)
}

/// How the publisher encrypted the secrets of these NASs anew, in order.
pub async fn encrypted_anew(db: &mut PgConnection, nas: &[String]) -> Result<Vec<Image>, DbError> {
    let sql = query_as!(
        Image,
        r#"select c.table_name as "table", c.key, c.before, c.after from change.change c join change.change_set s on s.id = c.change_set
           where s.via = $2 and c.table_name = 'access.nas' and c.key = any ($1) order by c.ordinal"#,
        nas,
        PUBLISHER
    );
    Ok(sql.fetch_all(db).await?)
}

/// The change sets that were opened after the first of these and touched one of these rows, given pairwise, but for the
/// publisher's own.
pub async fn later(db: &mut PgConnection, change_sets: &[Uuid], tables: &[String], keys: &[String]) -> Result<Vec<Uuid>, DbError> {
    // Ids of change sets ascend with time, so the primary key finds the later ones.
    let sql = query_scalar!(
        r#"select distinct c.change_set from change.change c join unnest($2::text[], $3::text[]) as t (name, key) on c.table_name = t.name and c.key = t.key
             join change.change_set s on s.id = c.change_set and s.via <> $4
           where c.change_set > (select min(id::text)::uuid from unnest($1::uuid[]) id) and c.change_set <> all ($1)"#,
        change_sets,
        tables,
        keys,
        PUBLISHER
    );
    Ok(sql.fetch_all(db).await?)
}

/// The rows with the keys of these images as they are now, locked until the transaction ends.
pub async fn current(db: &mut PgConnection, table: &Table, images: &Value) -> Result<Vec<Value>, DbError> {
    Ok(query_scalar!(r#"select change.current_images($1, $2, $3) as "row!""#, table.name, table.key, images).fetch_all(db).await?)
}

/// Takes the rows with the keys of these images away, and what hangs on them without a history of its own.
pub async fn delete(db: &mut PgConnection, table: &Table, images: &Value) -> Result<(), DbError> {
    if table.name == "dns.zone" {
        query!("delete from dns.serial where zone_id in (select id from jsonb_populate_recordset(null::dns.zone, $1))", images).execute(&mut *db).await?;
    }
    query!("select change.delete_images($1, $2, $3)", table.name, table.key, images).fetch_one(&mut *db).await?;
    if table.name == "ipam.address" {
        drop_links(db, images).await?;
    }
    Ok(())
}

/// An interface is on a subnet while it has an address there.
async fn drop_links(db: &mut PgConnection, addresses: &Value) -> Result<(), DbError> {
    query!(
        "delete from ipam.link l using jsonb_populate_recordset(null::ipam.address, $1) a
         where (l.iface_id, l.subnet_id) = (a.iface_id, a.subnet_id)
           and not exists (select from ipam.address kept where (kept.iface_id, kept.subnet_id) = (l.iface_id, l.subnet_id))",
        addresses
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes the rows with the keys of these images as the images are.
pub async fn update(db: &mut PgConnection, table: &Table, images: &Value) -> Result<(), DbError> {
    query!("select change.update_images($1, $2, $3)", table.name, table.key, images).fetch_one(db).await?;
    Ok(())
}

/// Puts rows back as the images are, with their old identities, and what hangs on them without a history of its own.
pub async fn insert(db: &mut PgConnection, table: &Table, images: &Value) -> Result<(), DbError> {
    if table.name == "ipam.address" {
        put_links(db, images).await?;
    }
    query!("select change.insert_images($1, $2)", table.name, images).fetch_one(&mut *db).await?;
    if table.name == "dns.zone" {
        query!(
            "insert into dns.serial (zone_id, serial)
             select z.id, coalesce(p.serial, 1) from jsonb_populate_recordset(null::dns.zone, $1) z left join dns.past_serial p on p.apex = z.apex",
            images
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

async fn put_links(db: &mut PgConnection, addresses: &Value) -> Result<(), DbError> {
    query!(
        "insert into ipam.link (iface_id, subnet_id, mac)
         select distinct a.iface_id, a.subnet_id, i.mac from jsonb_populate_recordset(null::ipam.address, $1) a join ipam.iface i on i.id = a.iface_id
         on conflict (iface_id, subnet_id) do nothing",
        addresses
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Until the end of the transaction, or until [`check_references`], references need not hold after every statement.
pub async fn defer_references(db: &mut PgConnection) -> Result<(), DbError> {
    query!("set constraints all deferred").execute(db).await?;
    Ok(())
}

/// From here on every reference holds again.
pub async fn check_references(db: &mut PgConnection) -> Result<(), DbError> {
    query!("set constraints all immediate").execute(db).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::TABLES;

    #[test]
    fn every_table_with_a_history_can_be_put_back() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/master");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let kept: Vec<(String, String)> = files.flat_map(|text| text.lines().filter_map(call).collect::<Vec<_>>()).collect();
        assert!(kept.len() > 8, "the migrations are read: {kept:?}");
        // A box that was thrown out stays out, whatever else is undone, and a right that was taken stays taken.
        for (name, key) in kept.into_iter().filter(|(name, _)| name != "publish.node" && name != "access.grant") {
            assert!(TABLES.iter().any(|table| table.name == name && table.key == key), "{name} by {key} is missing from TABLES");
        }
    }

    /// `call change.keep_record_of('dns.zone', 'id');`
    fn call(line: &str) -> Option<(String, String)> {
        let parts: Vec<&str> = line.trim().strip_prefix("call change.keep_record_of(")?.split('\'').collect();
        Some((parts.get(1)?.to_string(), parts.get(3)?.to_string()))
    }
}
