//! NASs: who may ask RADIUS.

use super::{DbError, number};
use sqlx::{PgConnection, query, query_as};

/// A NAS to be kept.
#[derive(Debug)]
pub struct NasRow<'a> {
    /// Its name.
    pub name: &'a str,
    /// The source addresses it may use.
    pub prefix: String,
    /// The secret, encrypted.
    pub secret: &'a [u8],
    /// Whether it holds the secret before this one as well.
    pub has_former_secret: bool,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
    /// What it may ask beyond what every NAS may, and what there is to know of it; none leaves what is known.
    pub about: Option<(NasRightsRow, NasAboutRow<'a>)>,
}

/// What a NAS may ask beyond what every NAS may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NasRightsRow {
    /// CHAP and MS-CHAPv2 outside of tunnels.
    pub may_chap: bool,
    /// Machines by their hardware addresses.
    pub mac_authentication: bool,
    /// Where machines go that nobody knows; out without it.
    pub guest_vlan: Option<u16>,
}

/// What there is to know of a NAS.
#[derive(Debug, Clone, Copy, Default)]
pub struct NasAboutRow<'a> {
    /// What it is.
    pub kind: &'a str,
    /// Who looks after it.
    pub contact: &'a str,
    /// Its campus.
    pub campus: Option<&'a str>,
    /// What else people should know.
    pub note: &'a str,
}

/// Keeps a NAS, new or changed.
pub async fn put(db: &mut PgConnection, row: &NasRow<'_>) -> Result<(), DbError> {
    let (rights, about) = row.about.clone().unwrap_or_default();
    query!(
        "insert into access.nas as n (name, prefix, secret, has_former_secret, require_message_authenticator, kind, contact, campus_id, note, may_chap, mac_authentication, guest_vlan)
           values ($1, $2::text::cidr, $3, $4, $5, $6, $7, (select id from org.campus where name = $8), $9, $11, $12, $13)
         on conflict (name) do update set prefix = excluded.prefix, secret = excluded.secret, has_former_secret = excluded.has_former_secret,
           require_message_authenticator = excluded.require_message_authenticator,
           kind = case when $10 then excluded.kind else n.kind end, contact = case when $10 then excluded.contact else n.contact end,
           campus_id = case when $10 then excluded.campus_id else n.campus_id end, note = case when $10 then excluded.note else n.note end,
           may_chap = case when $10 then excluded.may_chap else n.may_chap end,
           mac_authentication = case when $10 then excluded.mac_authentication else n.mac_authentication end,
           guest_vlan = case when $10 then excluded.guest_vlan else n.guest_vlan end",
        row.name,
        row.prefix,
        row.secret,
        row.has_former_secret,
        row.require_message_authenticator,
        about.kind,
        about.contact,
        about.campus,
        about.note,
        row.about.is_some(),
        rights.may_chap,
        rights.mac_authentication,
        rights.guest_vlan.map(i32::from)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a NAS; false where there was none.
pub async fn delete(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from access.nas where name = $1", name).execute(db).await?.rows_affected() > 0)
}

/// A NAS's secret as it is kept.
#[derive(Debug, Clone)]
pub struct NasSecret {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: String,
    /// The secret, encrypted.
    pub secret: Vec<u8>,
}

/// Every NAS with its secret, by name.
pub async fn secrets(db: &mut PgConnection) -> Result<Vec<NasSecret>, DbError> {
    Ok(query_as!(NasSecret, r#"select name, prefix::text as "prefix!", secret from access.nas order by name"#).fetch_all(db).await?)
}

/// The same, locked against other writers until the transaction ends: waits for those who are at it.
pub async fn lock_secrets(db: &mut PgConnection) -> Result<Vec<NasSecret>, DbError> {
    Ok(query_as!(NasSecret, r#"select name, prefix::text as "prefix!", secret from access.nas order by name for update"#).fetch_all(db).await?)
}

/// The same, without those that some writer is at: waits for nobody.
pub async fn lock_idle_secrets(db: &mut PgConnection) -> Result<Vec<NasSecret>, DbError> {
    Ok(query_as!(NasSecret, r#"select name, prefix::text as "prefix!", secret from access.nas order by name for update skip locked"#).fetch_all(db).await?)
}

/// The encrypted secret of one NAS, and whether it holds two.
pub async fn secret(db: &mut PgConnection, name: &str) -> Result<Option<(Vec<u8>, bool)>, DbError> {
    let sql = query!(r#"select secret, coalesce(has_former_secret, false) as "has_former_secret!" from access.nas where name = $1"#, name);
    Ok(sql.fetch_optional(db).await?.map(|row| (row.secret, row.has_former_secret)))
}

/// Replaces the encrypted secret of a NAS.
pub async fn set_secret(db: &mut PgConnection, name: &str, secret: &[u8]) -> Result<(), DbError> {
    query!("update access.nas set secret = $2 where name = $1", name, secret).execute(db).await?;
    Ok(())
}

/// What may be known of a NAS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NasLine {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: String,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
    /// Whether the secret before this one is taken still.
    pub has_former_secret: bool,
    /// What it may ask beyond what every NAS may.
    pub rights: NasRightsRow,
    /// What it is.
    pub kind: String,
    /// Who looks after it.
    pub contact: String,
    /// Its campus.
    pub campus: Option<String>,
    /// What else people should know.
    pub note: String,
}

/// Every NAS, by name, without its secret.
pub async fn all(db: &mut PgConnection) -> Result<Vec<NasLine>, DbError> {
    let rows = query!(
        r#"select n.name as "name!", n.prefix::text as "prefix!", n.require_message_authenticator as "require_message_authenticator!",
             coalesce(n.has_former_secret, false) as "has_former_secret!",
             coalesce(n.may_chap, false) as "may_chap!", coalesce(n.mac_authentication, false) as "mac_authentication!", n.guest_vlan,
             coalesce(n.kind, '') as "kind!", coalesce(n.contact, '') as "contact!", c.name as "campus?", coalesce(n.note, '') as "note!"
           from access.nas n left join org.campus c on c.id = n.campus_id order by n.name"#
    )
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let guest_vlan = row.guest_vlan.map(|vlan| number(i64::from(vlan))).transpose()?;
        Ok(NasLine {
            name: row.name,
            prefix: row.prefix,
            require_message_authenticator: row.require_message_authenticator,
            has_former_secret: row.has_former_secret,
            rights: NasRightsRow { may_chap: row.may_chap, mac_authentication: row.mac_authentication, guest_vlan },
            kind: row.kind,
            contact: row.contact,
            campus: row.campus,
            note: row.note,
        })
    });
    rows.collect()
}
