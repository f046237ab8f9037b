//! SQL, one file per kind of record, and nowhere else. It stores and finds; it decides nothing.
//!
//! Queries are checked against the migrations when the program is built (offline data in `.sqlx`, made by `tests/sqlx-prepare`).

pub mod access;

/// The database failed, or one of its constraints refused a row.
#[derive(Debug, thiserror::Error)]
#[error("the database: {0}")]
pub struct DbError(#[from] sqlx::Error);

impl DbError {
    /// The name of the constraint that refused, where it was one.
    pub fn constraint(&self) -> Option<&str> {
        self.0.as_database_error()?.constraint()
    }

    /// What the constraint says of the row it refused: `Key (ip)=(10.1.4.10) already exists.`
    pub fn detail(&self) -> Option<&str> {
        self.0.as_database_error()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.detail()
    }
}
