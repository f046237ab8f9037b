//! SQL, one file per kind of record, and nowhere else. It stores and finds; it decides nothing.
//!
//! Queries are checked against the migrations when the program is built (offline data in `.sqlx`, made by `tests/sqlx-prepare`).
//! Words travel as text and are parsed on the way out: what cannot be parsed was not written by this program.

pub mod access;
pub mod accounting;
pub mod adoption;
pub mod approvals;
pub mod audit;
pub mod boot;
pub mod campuses;
pub mod chain;
pub mod changes;
pub mod checks;
pub mod compose;
pub mod contacts;
pub mod copies;
pub mod defaults;
pub mod departments;
pub mod discoveries;
pub mod drafts;
pub mod equipment;
pub mod events;
pub mod exports;
pub mod extra_names;
pub mod facts;
pub mod families;
pub mod faults;
pub mod feed;
pub mod findings;
pub mod free;
pub mod generations;
pub mod grants;
pub mod holders;
pub mod holds;
pub mod hosts;
pub mod leases;
pub mod machines;
pub mod moves;
pub mod nas;
pub mod nodes;
pub mod parts;
pub mod past;
pub mod pools;
pub mod privacy;
pub mod probes;
pub mod publish;
pub mod quarantine;
pub mod records;
pub mod requests;
pub mod responsibility;
pub mod search;
pub mod shares;
pub mod sightings;
pub mod subnets;
pub mod timeline;
pub mod told;
pub mod topology;
pub mod transfers;
pub mod undo;
pub mod unknown;
pub mod webhooks;
pub mod zones;

use std::{fmt::Display, str::FromStr};

/// The database failed, or one of its constraints refused a row.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The server, the connection or a constraint.
    #[error("the database: {0}")]
    Failed(#[from] sqlx::Error),
    /// A stored value that this program would not have written.
    #[error("the database holds a value that this program cannot read: {0}")]
    Damaged(String),
}

impl DbError {
    /// The name of the constraint that refused, where it was one.
    pub fn constraint(&self) -> Option<&str> {
        self.database()?.constraint()
    }

    /// What the constraint says of the row it refused: `Key (ip)=(10.1.4.10) already exists.`
    pub fn detail(&self) -> Option<&str> {
        self.database()?.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.detail()
    }

    /// The SQLSTATE of the failure, where the server told one.
    pub fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.database()?.code()
    }

    /// Whether the database gave a transaction up because another one stood in its way: a deadlock or a failed serialization
    /// (SQLSTATE 40P01 and 40001). Made again it may well pass.
    pub fn is_collision(&self) -> bool {
        is_collision(self)
    }

    fn database(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::Failed(error) => error.as_database_error(),
            Self::Damaged(_) => None,
        }
    }
}

/// The same of an error that something of the database may be the cause of.
pub fn is_collision(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let code = |error: &sqlx::Error| error.as_database_error().and_then(|error| error.code().map(|code| matches!(&*code, "40P01" | "40001")));
    causes.filter_map(|error| error.downcast_ref::<sqlx::Error>()).filter_map(code).any(|is_one| is_one)
}

/// How many rows at once are so many that what the planner knows of the tables is void.
const MANY_ROWS: usize = 1000;

/// Counts the tables anew after an import: a planner that takes them for empty joins 100 000 rows in a loop, for hours.
/// Part of the transaction, so that the publisher plans with it from the commit on.
pub async fn counted_anew(db: &mut sqlx::PgConnection, rows: usize) -> Result<(), DbError> {
    if rows >= MANY_ROWS {
        sqlx::query!("analyze dns.node, dns.record, ipam.host, ipam.iface, ipam.link, ipam.address, boot.entry").execute(db).await?;
    }
    Ok(())
}

/// A word out of its column.
fn word<T: FromStr<Err: Display>>(text: &str) -> Result<T, DbError> {
    text.parse().map_err(|error: T::Err| DbError::Damaged(error.to_string()))
}

/// The words of an array column.
fn words<T: FromStr<Err: Display>>(texts: &[String]) -> Result<Vec<T>, DbError> {
    texts.iter().map(|text| word(text)).collect()
}

/// A column that a CHECK keeps within an unsigned type.
fn number<T: TryFrom<i64>>(value: i64) -> Result<T, DbError> {
    T::try_from(value).map_err(|_| DbError::Damaged(format!("the number {value}")))
}

/// The JSON of a column, read as what it was written from.
fn json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, DbError> {
    serde_json::from_value(value).map_err(|error| DbError::Damaged(error.to_string()))
}

/// A value for a JSON column.
fn to_json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("our own structs have text keys and finite numbers")
}
