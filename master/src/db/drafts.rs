//! Drafts of change sets and their edits.

use super::DbError;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// A draft as it is kept, without its edits.
#[derive(Debug, Clone)]
pub struct DraftRow {
    /// Its identity; the change set that comes of it has another one.
    pub id: Uuid,
    /// Who began it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// `draft`, `proposed`, `approved`, `applied` or `withdrawn`.
    pub state: String,
    /// How often it was changed.
    pub version: i64,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// What came of it.
    pub change_set: Option<Uuid>,
}

/// One edit of a draft.
#[derive(Debug, Clone)]
pub struct DraftEditRow {
    /// Its number within the draft.
    pub number: i32,
    /// Who wrote it.
    pub author: String,
    /// The request as it was sent.
    pub request: Value,
    /// The edit that it means.
    pub edit: Value,
    /// The version that it was made against.
    pub if_match: Option<i64>,
}

/// Keeps a new draft.
pub async fn insert(db: &mut PgConnection, id: Uuid, author: &str, reason: &str) -> Result<(), DbError> {
    query!("insert into change.draft (id, author, reason) values ($1, $2, $3)", id, author, reason).execute(db).await?;
    Ok(())
}

/// A draft.
pub async fn find(db: &mut PgConnection, id: Uuid) -> Result<Option<DraftRow>, DbError> {
    let sql =
        query_as!(DraftRow, "select id, author, reason, state, version, created_at, updated_at, approved_by, change_set from change.draft where id = $1", id);
    Ok(sql.fetch_optional(db).await?)
}

/// A draft, locked until the transaction ends.
pub async fn lock(db: &mut PgConnection, id: Uuid) -> Result<Option<DraftRow>, DbError> {
    let sql = query_as!(
        DraftRow,
        "select id, author, reason, state, version, created_at, updated_at, approved_by, change_set from change.draft where id = $1 for update",
        id
    );
    Ok(sql.fetch_optional(db).await?)
}

/// Drafts, the newest first.
pub async fn list(db: &mut PgConnection, state: Option<&str>, below: Option<Uuid>, limit: i64) -> Result<Vec<DraftRow>, DbError> {
    let sql = query_as!(
        DraftRow,
        "select id, author, reason, state, version, created_at, updated_at, approved_by, change_set from change.draft
         where ($1::text is null or state = $1) and id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) order by id desc limit $3",
        state,
        below,
        limit
    );
    Ok(sql.fetch_all(db).await?)
}

/// The edits of a draft in order.
pub async fn edits(db: &mut PgConnection, draft: Uuid) -> Result<Vec<DraftEditRow>, DbError> {
    let sql = query_as!(DraftEditRow, "select number, author, request, edit, if_match from change.draft_edit where draft_id = $1 order by number", draft);
    Ok(sql.fetch_all(db).await?)
}

/// Adds an edit; the caller has locked the draft.
pub async fn insert_edit(db: &mut PgConnection, draft: Uuid, row: &DraftEditRow) -> Result<(), DbError> {
    query!(
        "insert into change.draft_edit (draft_id, number, author, request, edit, if_match) values ($1, $2, $3, $4, $5, $6)",
        draft,
        row.number,
        row.author,
        row.request,
        row.edit,
        row.if_match
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes an edit out; false where there is none with this number.
pub async fn delete_edit(db: &mut PgConnection, draft: Uuid, number: i32) -> Result<bool, DbError> {
    Ok(query!("delete from change.draft_edit where draft_id = $1 and number = $2", draft, number).execute(db).await?.rows_affected() == 1)
}

/// Brings a draft into a state; its new version.
pub async fn set_state(db: &mut PgConnection, id: Uuid, state: &str, approved_by: Option<&str>, change_set: Option<Uuid>) -> Result<i64, DbError> {
    let sql = query_scalar!(
        "update change.draft set state = $2, approved_by = $3, change_set = $4, version = version + 1, updated_at = now() where id = $1 returning version",
        id,
        state,
        approved_by,
        change_set
    );
    Ok(sql.fetch_one(db).await?)
}

/// The agents that are in, by name: whoever is to serve what changes.
pub async fn agents(db: &mut PgConnection) -> Result<Vec<String>, DbError> {
    Ok(query_scalar!("select name from publish.node where role = 'agent' and revoked_at is null order by name").fetch_all(db).await?)
}
