//! Where a second person is asked for.

use super::DbError;
use sqlx::{PgConnection, query, query_as, query_scalar};
use uuid::Uuid;

/// A rule as it is kept.
#[derive(Debug, Clone)]
pub struct RuleRow {
    /// Its number.
    pub id: i64,
    /// `global`, `campus`, `department`, `zone`, `name`, `subnet` or `range`.
    pub area_kind: String,
    /// Which one; empty for `global`.
    pub area_value: String,
    /// Fewer changed rows than this go without.
    pub least_rows: i32,
    /// Why it is there.
    pub comment: String,
}

/// A rule that a change set touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedRow {
    /// As in [`RuleRow`].
    pub area_kind: String,
    /// As in [`RuleRow`].
    pub area_value: String,
}

/// All rules.
pub async fn all(db: &mut PgConnection) -> Result<Vec<RuleRow>, DbError> {
    let sql = query_as!(RuleRow, "select id, area_kind, area_value, least_rows, comment from change.approval_rule order by area_kind, area_value");
    Ok(sql.fetch_all(db).await?)
}

/// Keeps a new rule; its number.
pub async fn insert(db: &mut PgConnection, kind: &str, value: &str, least_rows: i32, comment: &str) -> Result<i64, DbError> {
    let sql = query_scalar!(
        "insert into change.approval_rule (area_kind, area_value, least_rows, comment) values ($1, $2, $3, $4) returning id",
        kind,
        value,
        least_rows,
        comment
    );
    Ok(sql.fetch_one(db).await?)
}

/// Deletes a rule; false where there is none with this number.
pub async fn delete(db: &mut PgConnection, id: i64) -> Result<bool, DbError> {
    Ok(query!("delete from change.approval_rule where id = $1", id).execute(db).await?.rows_affected() == 1)
}

/// The rules that an open change set touches.
pub async fn touched(db: &mut PgConnection, change_set: Uuid) -> Result<Vec<TouchedRow>, DbError> {
    let sql = query_as!(TouchedRow, r#"select area_kind as "area_kind!", area_value as "area_value!" from change.rules_touched($1) order by 1, 2"#, change_set);
    Ok(sql.fetch_all(db).await?)
}
