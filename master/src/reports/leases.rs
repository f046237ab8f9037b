use super::Inbox;
use crate::db::DbError;
use crate::db::leases::{self, SaidRow};
use crate::db::sightings::{self, Sighting};
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::dhcp::lease::{Lease, LeaseState};
use holdfast_proto::words::NodeId;
use std::net::IpAddr;

/// How far a box's time may be ahead of ours.
const AHEAD_LIMIT: TimeDelta = TimeDelta::minutes(5);
/// What saw an address in use.
const SOURCE: &str = "lease";
/// What is told of a box that speaks of addresses which it has no share of.
const FOREIGN: &str = "lease_of_others";

impl Inbox {
    /// Stores what an agent lends; gives whether that is safe now, so that the agent may go on.
    pub async fn take_leases(&self, node: NodeId, name: &str, records: &[Vec<u8>]) -> bool {
        // One that this build cannot read must not keep the others.
        let said: Vec<SaidRow> = records.iter().filter_map(|record| Some(said(&Lease::decode(record).ok()?))).collect();
        match self.put_leases(node, &said).await {
            Ok(foreign) => {
                metrics::counter!("holdfast_agent_leases_total").increment(said.len() as u64);
                if foreign > 0 {
                    metrics::counter!("holdfast_agent_leases_foreign_total").increment(foreign);
                    tracing::warn!(
                        event = FOREIGN,
                        agent = name,
                        foreign,
                        "an agent speaks of leases of addresses that it has no share of: they are kept apart"
                    );
                }
                true
            }
            Err(error) => {
                tracing::error!(event = "database_failed", %error, agent = name, "what an agent lends could not be stored and will come again");
                false
            }
        }
    }

    /// What is none of the sender's addresses is kept apart: a box that was broken into must not say who had another's. Gives how many
    /// of these there were.
    async fn put_leases(&self, node: NodeId, said: &[SaidRow]) -> Result<u64, DbError> {
        let mut tx = self.pool.begin().await?;
        let own = leases::lent_by(&mut tx, node, said).await?;
        let (own, foreign): (Vec<SaidRow>, Vec<SaidRow>) = said.iter().cloned().partition(|row| own.contains(&row.ip));
        leases::put(&mut tx, node, &own).await?;
        let seen = own.iter().filter(|row| row.state == "active");
        let seen: Vec<Sighting> = seen.map(|row| Sighting { ip: row.ip, seen_at: row.at, source: SOURCE.to_owned() }).collect();
        sightings::put(&mut tx, &seen).await?;
        if !foreign.is_empty() {
            leases::put_foreign(&mut tx, node, &foreign, FOREIGN).await?;
        }
        tx.commit().await?;
        Ok(foreign.len() as u64)
    }
}

/// A record for people: its times are those that they would have read on a clock.
fn said(lease: &Lease) -> SaidRow {
    // A box whose clock is ahead must not say the last word about an address for years.
    let at = DateTime::from_timestamp_millis(lease.told.0 as i64).unwrap_or_else(Utc::now).min(Utc::now() + AHEAD_LIMIT);
    let lasts = TimeDelta::milliseconds(lease.until.0.saturating_sub(lease.at.0).min(i64::MAX as u64) as i64);
    SaidRow {
        ip: IpAddr::V4(lease.address),
        client: hex::encode(&lease.client),
        hardware: lease.chaddr.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
        host_name: String::from_utf8_lossy(&lease.host_name).chars().filter(|letter| !letter.is_control()).collect(),
        state: match lease.state {
            LeaseState::Active => "active",
            // To people both are: nobody has it by right.
            LeaseState::Released | LeaseState::Withdrawn => "released",
            LeaseState::Declined => "declined",
        },
        at,
        until: at.checked_add_signed(lasts).unwrap_or(at),
        name: lease.name.as_ref().map(|name| name.without_dot()),
    }
}
