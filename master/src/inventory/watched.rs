//! Hosts as those find them who watch them: service discovery of Prometheus.

use crate::db::DbError;
use crate::db::exports::{self, WatchedRow};
use serde::Serialize;
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Which hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Of<'a> {
    /// Of this campus.
    pub campus: Option<&'a str>,
    /// Of this department.
    pub department: Option<&'a str>,
    /// Of this device class.
    pub class: Option<&'a str>,
}

/// Hosts with the same labels, as Prometheus reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = prometheus::TargetGroup)]
pub struct TargetGroup {
    /// Where they are asked: `10.1.4.17:9100`.
    pub targets: Vec<String>,
    /// What is said of them; nothing stands for what is not known.
    pub labels: BTreeMap<String, String>,
}

/// The hosts, one group for each, by name.
pub async fn targets(pool: &PgPool, of: &Of<'_>, port: u32) -> Result<Vec<TargetGroup>, DbError> {
    let rows = exports::watched(&mut *pool.acquire().await?, of.campus, of.department, of.class).await?;
    let port = u16::try_from(port).unwrap_or_default();
    Ok(rows.into_iter().map(|row| group(row, port)).collect())
}

fn group(row: WatchedRow, port: u16) -> TargetGroup {
    let address: IpAddr = row.ip;
    let labels = [
        ("host", row.host),
        ("campus", row.campus),
        ("department", row.department),
        ("building", row.building),
        ("room", row.room),
        ("class", row.class),
        ("subnet", row.subnet.to_string()),
    ];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect();
    TargetGroup { targets: vec![SocketAddr::new(address, port).to_string()], labels }
}
