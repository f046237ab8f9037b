//! Whom to ask: contacts, and the organisations outside that some of them belong to.

use super::DbError;
use super::departments::Kept;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, query, query_scalar};

/// What a contact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ContactKind {
    /// One person of ours.
    Person,
    /// Several people behind one mailbox or telephone.
    Group,
    /// Somebody of another organisation.
    External,
}

/// A contact as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactDraft {
    /// A short word, by which others refer to it.
    pub handle: String,
    /// What it is.
    pub kind: ContactKind,
    /// The name of the person or group.
    pub name: String,
    /// A mail address.
    #[serde(default)]
    pub mail: Option<String>,
    /// A telephone number, best in international form.
    #[serde(default)]
    pub phone: Option<String>,
    /// The organisation outside that it belongs to, by name; only of an external one.
    #[serde(default)]
    pub organisation: Option<String>,
    /// Anything else.
    #[serde(default)]
    pub note: String,
    /// The day on which somebody last made sure that all this is right.
    #[serde(default)]
    pub verified_on: Option<NaiveDate>,
}

/// All contacts by handle.
pub async fn all(db: &mut PgConnection) -> Result<Vec<Kept<ContactDraft>>, DbError> {
    let rows = query!(
        r#"select c.handle, c.kind as "kind: ContactKind", c.name, c.mail, c.phone, e.name as "organisation?", c.note, c.verified_on, c.version
           from org.contact c left join org.external e on e.id = c.external_id order by c.handle"#
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| Kept {
        version: row.version,
        draft: ContactDraft {
            handle: row.handle,
            kind: row.kind,
            name: row.name,
            mail: row.mail,
            phone: row.phone,
            organisation: row.organisation,
            note: row.note,
            verified_on: row.verified_on,
        },
    });
    Ok(rows.collect())
}

/// Keeps a new contact, whose organisation is there.
pub async fn insert(db: &mut PgConnection, draft: &ContactDraft) -> Result<(), DbError> {
    query!(
        "insert into org.contact (handle, kind, name, mail, phone, external_id, note, verified_on)
         values ($1, $2, $3, $4, $5, (select id from org.external where name = $6), $7, $8)",
        draft.handle,
        draft.kind as _,
        draft.name,
        draft.mail,
        draft.phone,
        draft.organisation,
        draft.note,
        draft.verified_on
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Changes a contact; its new version, `None` where there is none of that handle.
pub async fn update(db: &mut PgConnection, handle: &str, draft: &ContactDraft) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "update org.contact set handle = $2, kind = $3, name = $4, mail = $5, phone = $6, external_id = (select id from org.external where name = $7),
           note = $8, verified_on = $9, version = version + 1 where handle = $1 returning version",
        handle,
        draft.handle,
        draft.kind as _,
        draft.name,
        draft.mail,
        draft.phone,
        draft.organisation,
        draft.note,
        draft.verified_on
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Notes that a contact was found right on this day; its new version.
pub async fn verify(db: &mut PgConnection, handle: &str, on: NaiveDate) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!("update org.contact set verified_on = $2, version = version + 1 where handle = $1 returning version", handle, on);
    Ok(sql.fetch_optional(db).await?)
}

/// Deletes a contact that nothing refers to; false where there was none.
pub async fn delete(db: &mut PgConnection, handle: &str) -> Result<bool, DbError> {
    Ok(query!("delete from org.contact where handle = $1", handle).execute(db).await?.rows_affected() > 0)
}

/// What an organisation outside is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Relation {
    /// It carries our traffic.
    Upstream,
    /// A neighbour that we work with.
    Partner,
    /// It sells or mends something.
    Supplier,
    /// A registry, a CERT, the police.
    Authority,
}

/// An organisation outside, as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalDraft {
    /// Its name: a short word.
    pub name: String,
    /// Its full name.
    #[serde(default)]
    pub title: String,
    /// What it is to us.
    pub relation: Relation,
    /// Customer numbers, opening hours, anything else.
    #[serde(default)]
    pub note: String,
}

/// All organisations outside, by name.
pub async fn externals(db: &mut PgConnection) -> Result<Vec<Kept<ExternalDraft>>, DbError> {
    let rows = query!(r#"select name, title, relation as "relation: Relation", note, version from org.external order by name"#).fetch_all(db).await?;
    let kept = |name, title, relation, note, version| Kept { version, draft: ExternalDraft { name, title, relation, note } };
    Ok(rows.into_iter().map(|row| kept(row.name, row.title, row.relation, row.note, row.version)).collect())
}

/// Keeps a new organisation.
pub async fn insert_external(db: &mut PgConnection, draft: &ExternalDraft) -> Result<(), DbError> {
    query!("insert into org.external (name, title, relation, note) values ($1, $2, $3, $4)", draft.name, draft.title, draft.relation as _, draft.note)
        .execute(db)
        .await?;
    Ok(())
}

/// Changes an organisation; its new version, `None` where there is none of that name.
pub async fn update_external(db: &mut PgConnection, name: &str, draft: &ExternalDraft) -> Result<Option<i64>, DbError> {
    let sql = query_scalar!(
        "update org.external set name = $2, title = $3, relation = $4, note = $5, version = version + 1 where name = $1 returning version",
        name,
        draft.name,
        draft.title,
        draft.relation as _,
        draft.note
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Deletes an organisation that nothing refers to; false where there was none.
pub async fn delete_external(db: &mut PgConnection, name: &str) -> Result<bool, DbError> {
    Ok(query!("delete from org.external where name = $1", name).execute(db).await?.rows_affected() > 0)
}
