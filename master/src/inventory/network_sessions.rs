//! Sessions that NASs told of, for people: who was on the network, where, with which address, for how long.

use crate::db::DbError;
use crate::db::accounting::{self, SessionFilter, SessionRow, TotalRow};
use chrono::{DateTime, Utc};
use holdfast_proto::radius::accounting::terminate_cause;
use holdfast_proto::words::Mac;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;

/// The most sessions of one page.
pub const PAGE_LIMIT: i64 = 500;
/// The most users or NASs of a report.
const TOTALS_LIMIT: i64 = 1000;

/// A session that is, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct NetworkSession {
    /// Whose it is, as they wrote it.
    pub user: String,
    /// The NAS's name.
    pub nas: String,
    /// Where the NAS's requests come from.
    #[schema(value_type = String)]
    pub nas_ip: IpAddr,
    /// The NAS's port.
    pub nas_port: String,
    /// The NAS's number of it.
    pub session_id: String,
    /// The hardware address that the user comes from.
    pub mac: Option<String>,
    /// Where the user comes from, as the NAS writes it.
    pub calling_station: String,
    /// What the user came to: an access point and its network, or a number.
    pub called_station: String,
    /// The IPv4 address that the user has.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// The IPv6 address or network that the user has.
    pub ipv6: Option<String>,
    /// `open`, or what ended it: `stop`, `restart` (its NAS started anew) or `replaced` (its NAS gave its number to another session).
    pub state: String,
    /// When it began; at the latest, where that is not known.
    pub since: DateTime<Utc>,
    /// Whether it is known when it began.
    pub since_known: bool,
    /// When something was heard of it last.
    pub heard: DateTime<Utc>,
    /// When it ended.
    pub until: Option<DateTime<Utc>>,
    /// Why, in the NAS's words (RFC 2866 section 5.10).
    pub cause: Option<String>,
    /// From the user so far.
    pub input_octets: i64,
    /// To the user so far.
    pub output_octets: i64,
    /// The agent that told of it last.
    pub agent: String,
}

impl From<SessionRow> for NetworkSession {
    fn from(row: SessionRow) -> Self {
        let cause = row.terminate_cause.map(|number| u32::try_from(number).ok().and_then(terminate_cause).map_or_else(|| number.to_string(), str::to_owned));
        Self {
            user: row.user_name,
            nas: row.nas,
            nas_ip: row.nas_ip,
            nas_port: row.nas_port,
            session_id: row.session_id,
            mac: Some(row.mac).filter(|mac| !mac.is_empty()),
            calling_station: row.calling_station,
            called_station: row.called_station,
            ip: row.framed_ip,
            ipv6: row.framed_ipv6,
            state: row.ended_by.unwrap_or_else(|| "open".to_owned()),
            since: row.started_at,
            since_known: row.has_start,
            heard: row.heard_at,
            until: row.ended_at,
            cause,
            input_octets: row.input_octets,
            output_octets: row.output_octets,
            agent: row.agent,
        }
    }
}

/// Which sessions.
#[derive(Debug, Clone, Default)]
pub struct SessionQuery {
    /// Of this user, in capitals or not.
    pub user: Option<String>,
    /// At this NAS, by name or address.
    pub nas: Option<String>,
    /// From this hardware address.
    pub mac: Option<Mac>,
    /// With this address.
    pub ip: Option<IpAddr>,
    /// At this time.
    pub at: Option<DateTime<Utc>>,
    /// Only those that have not ended.
    pub open: bool,
}

/// Where a page of sessions ended.
pub type SessionPlace = (DateTime<Utc>, i64);

/// Sessions, the last first, and where the next page starts.
pub async fn network_sessions(
    pool: &PgPool,
    query: &SessionQuery,
    below: Option<SessionPlace>,
    limit: i64,
) -> Result<(Vec<NetworkSession>, Option<SessionPlace>), DbError> {
    let mac = query.mac.map(|mac| mac.to_string());
    let (user, nas, mac) = (query.user.as_deref(), query.nas.as_deref(), mac.as_deref());
    let filter = SessionFilter { user, nas, mac, ip: query.ip, at: query.at, open: query.open, below, limit: limit + 1 };
    let mut rows = accounting::list(&mut *pool.acquire().await?, filter).await?;
    let more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| (row.started_at, row.id));
    Ok((rows.into_iter().map(NetworkSession::from).collect(), next))
}

/// Whose sessions had an address, ever or at a time: the last first.
pub(super) async fn with_address(db: &mut PgConnection, ip: IpAddr, at: Option<DateTime<Utc>>, limit: i64) -> Result<Vec<NetworkSession>, DbError> {
    let rows = accounting::list(db, SessionFilter { ip: Some(ip), at, limit, ..SessionFilter::default() }).await?;
    Ok(rows.into_iter().map(NetworkSession::from).collect())
}

/// The sessions of a user, however written: the last first.
pub(super) async fn of_user(db: &mut PgConnection, user: &str, limit: i64) -> Result<Vec<NetworkSession>, DbError> {
    let rows = accounting::list(db, SessionFilter { user: Some(user), limit, ..SessionFilter::default() }).await?;
    Ok(rows.into_iter().map(NetworkSession::from).collect())
}

/// The sessions from a hardware address: the last first.
pub(super) async fn from_mac(db: &mut PgConnection, mac: Mac, limit: i64) -> Result<Vec<NetworkSession>, DbError> {
    let rows = accounting::list(db, SessionFilter { mac: Some(&mac.to_string()), limit, ..SessionFilter::default() }).await?;
    Ok(rows.into_iter().map(NetworkSession::from).collect())
}

/// What the sessions of one user, or at one NAS, come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SessionTotal {
    /// The user, or the NAS.
    pub name: String,
    /// How many sessions.
    pub sessions: i64,
    /// How many of them have not ended.
    pub open: i64,
    /// For how long they lasted together, in seconds.
    pub seconds: i64,
    /// From the user.
    pub input_octets: i64,
    /// To the user.
    pub output_octets: i64,
}

/// What sessions that began in a time come to, by user or by NAS: who has most first.
pub async fn session_totals(pool: &PgPool, by_nas: bool, between: (DateTime<Utc>, DateTime<Utc>)) -> Result<Vec<SessionTotal>, DbError> {
    let rows = accounting::totals(&mut *pool.acquire().await?, by_nas, between, TOTALS_LIMIT).await?;
    let total = |row: TotalRow| {
        let TotalRow { name, sessions, open, seconds, input_octets, output_octets } = row;
        SessionTotal { name, sessions, open, seconds, input_octets, output_octets }
    };
    Ok(rows.into_iter().map(total).collect())
}
