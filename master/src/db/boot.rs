//! Boot parameters, boot entries and bootptab templates.

use super::{DbError, to_json};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_as};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// What an interface is told at boot, over the options of its subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BootParameters {
    /// Whom to fetch the boot file from (`siaddr`, bootptab `sa`).
    #[schema(value_type = Option<String>)]
    pub next_server: Option<Ipv4Addr>,
    /// The name of the boot server (`sname`), at most 63 bytes.
    pub server_name: String,
    /// The boot file (bootptab `hd` and `bf`), at most 127 bytes.
    pub boot_file: String,
    /// Silent until the client has waited this long, in seconds (bootptab `mw`).
    pub wait_secs: u16,
    /// Whether the client is told its name (bootptab `hn`).
    pub send_host_name: bool,
    /// Options over the subnet's; one without a value takes the subnet's away.
    pub options: Vec<OptionDraft>,
}

impl Default for BootParameters {
    fn default() -> Self {
        Self { next_server: None, server_name: String::new(), boot_file: String::new(), wait_secs: 0, send_host_name: true, options: vec![] }
    }
}

/// One DHCP option, as wire bytes written in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionDraft {
    /// The option's code, 1 to 254.
    pub code: u8,
    /// Its value; `None` takes an inherited option away.
    #[serde(default, with = "hex_bytes")]
    #[schema(value_type = Option<String>)]
    pub value: Option<Vec<u8>>,
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(hex::encode).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| hex::decode(text).map_err(|_| D::Error::custom("an option's value is an even number of hexadecimal digits"))).transpose()
    }
}

/// A boot entry to be kept.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// Its interface.
    pub iface: Uuid,
    /// The interface's host.
    pub host: Uuid,
    /// The templates that it was written with.
    pub templates: &'a [String],
    /// What the interface is told.
    pub parameters: &'a BootParameters,
}

/// Keeps boot entries.
pub async fn insert_entries(db: &mut PgConnection, entries: &[NewEntry<'_>]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let ifaces: Vec<Uuid> = entries.iter().map(|entry| entry.iface).collect();
    let hosts: Vec<Uuid> = entries.iter().map(|entry| entry.host).collect();
    let templates: Vec<serde_json::Value> = entries.iter().map(|entry| to_json(&entry.templates)).collect();
    let parameters: Vec<serde_json::Value> = entries.iter().map(|entry| to_json(entry.parameters)).collect();
    query!(
        "insert into boot.entry (iface_id, host_id, templates, parameters)
         select i, h, array(select jsonb_array_elements_text(t)), p from unnest($1::uuid[], $2::uuid[], $3::jsonb[], $4::jsonb[]) as e (i, h, t, p)",
        &ifaces,
        &hosts,
        &templates,
        &parameters
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the boot entries of these interfaces away.
pub async fn delete_entries(db: &mut PgConnection, ifaces: &[Uuid]) -> Result<(), DbError> {
    if !ifaces.is_empty() {
        query!("delete from boot.entry where iface_id = any ($1)", ifaces).execute(db).await?;
    }
    Ok(())
}

/// Changes boot entries.
pub async fn update_entries(db: &mut PgConnection, entries: &[NewEntry<'_>]) -> Result<(), DbError> {
    for entry in entries {
        query!("update boot.entry set templates = $2, parameters = $3 where iface_id = $1", entry.iface, entry.templates, to_json(entry.parameters))
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// A template as it is kept.
#[derive(Debug)]
pub struct TemplateRow {
    /// Its name.
    pub name: String,
    /// Its parents in order.
    pub parents: Vec<String>,
    /// Its tags in order.
    pub tags: Vec<String>,
}

/// All templates by name.
pub async fn templates(db: &mut PgConnection) -> Result<Vec<TemplateRow>, DbError> {
    Ok(query_as!(TemplateRow, "select name, parents, tags from boot.template order by name").fetch_all(db).await?)
}

/// Keeps a template, new or changed.
pub async fn put_template(db: &mut PgConnection, row: &TemplateRow) -> Result<(), DbError> {
    query!(
        "insert into boot.template (name, parents, tags) values ($1, $2, $3) on conflict (name) do update set parents = $2, tags = $3",
        row.name,
        &row.parents,
        &row.tags
    )
    .execute(db)
    .await?;
    Ok(())
}
