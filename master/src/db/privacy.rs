//! What is known of one person, wherever it is kept.

use super::DbError;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, query, query_as, query_scalar};

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Deed {
    /// When.
    pub at: DateTime<Utc>,
    /// By which way.
    pub via: String,
    /// Why, in their words.
    pub reason: String,
}

/// What a login did, newest first, at most `limit`.
pub async fn deeds(db: &mut PgConnection, login: &str, limit: i64) -> Result<Vec<Deed>, DbError> {
    let sql = query_as!(Deed, "select at, via, reason from change.change_set where actor = $1 order by at desc limit $2", login, limit);
    Ok(sql.fetch_all(db).await?)
}

/// When this login was made, where there is one.
pub async fn login_since(db: &mut PgConnection, login: &str) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(query_scalar!("select created from access.principal where name = $1", login).fetch_optional(db).await?)
}

/// Hosts whose free words name one of these texts.
pub async fn hosts_that_name(db: &mut PgConnection, texts: &[String]) -> Result<Vec<String>, DbError> {
    let sql = query_scalar!(
        "select n.name from ipam.host h join dns.node n on n.id = h.node_id
         where exists (select from unnest($1::text[]) t where position(lower(t) in lower(h.contact)) > 0 or position(lower(t) in lower(h.comment)) > 0)
         order by n.name limit 1000",
        texts
    );
    Ok(sql.fetch_all(db).await?)
}

/// How many images of the history name a contact's row.
pub async fn images_of_contact(db: &mut PgConnection, handle: &str) -> Result<i64, DbError> {
    let sql = query_scalar!(
        r#"select count(*) as "n!" from change.change c
           where c.table_name = 'org.contact' and c.key in (
             select k.key from change.change k where k.table_name = 'org.contact' and coalesce(k.after, k.before) ->> 'handle' = $1)"#,
        handle
    );
    Ok(sql.fetch_one(db).await?)
}

/// Ends everything that a contact is responsible for and reads.
pub async fn release(db: &mut PgConnection, handle: &str) -> Result<(), DbError> {
    query!("delete from org.responsibility r using org.contact c where c.id = r.contact_id and c.handle = $1", handle).execute(&mut *db).await?;
    query!("delete from org.mailbox m using org.contact c where c.id = m.contact_id and c.handle = $1", handle).execute(db).await?;
    Ok(())
}
