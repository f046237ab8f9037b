//! Machines that nobody registered, for people: who asked where, and why it got nothing.

use super::{discovery, vendors};
use crate::db::unknown::{self, PoolRow, UnknownRow};
use crate::db::{DbError, leases};
use chrono::{DateTime, Utc};
use holdfast_proto::words::{Mac, Subnet};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::net::IpAddr;

/// The most machines of one page.
const LIMIT: i64 = 500;
/// Places of a machine that are told.
const PLACES_TOLD: i64 = 5;

/// A machine that asked for an address and that nobody registered where it asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UnknownMachine {
    /// Its hardware address.
    pub mac: String,
    /// Who made it, where the master has the list of the IEEE.
    pub vendor: String,
    /// Where it asked.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// The agent that heard it.
    pub agent: String,
    /// The relay that brought its packets.
    #[schema(value_type = Option<String>)]
    pub relay: Option<IpAddr>,
    /// The relay's name for the port.
    pub port: String,
    /// What its maker calls it.
    pub vendor_class: String,
    /// When it was first seen.
    pub first_seen: DateTime<Utc>,
    /// When it was last told of: agents tell again after six hours.
    pub last_seen: DateTime<Utc>,
    /// The address that it has on loan.
    #[schema(value_type = Option<String>)]
    pub lent: Option<IpAddr>,
}

impl From<UnknownRow> for UnknownMachine {
    fn from(row: UnknownRow) -> Self {
        let UnknownRow { machine, agent, lent } = row;
        let vendor = machine.hardware.parse().map(vendors::of).unwrap_or_default();
        let (relay, port, vendor_class) = (machine.relay, machine.port, machine.vendor_class);
        let (first_seen, last_seen) = (machine.first_seen, machine.last_seen);
        Self { mac: machine.hardware, vendor, subnet: machine.network, agent, relay, port, vendor_class, first_seen, last_seen, lent }
    }
}

/// Those that nobody has registered since, the last seen first, behind so many: a page, and whether there is another.
pub async fn unknown_machines(pool: &PgPool, mac: Option<Mac>, subnet: Option<Subnet>, skip: i64) -> Result<(Vec<UnknownMachine>, Option<i64>), DbError> {
    let hardware = mac.map(|mac| mac.to_string());
    let mut rows = unknown::unknown(&mut *pool.acquire().await?, hardware.as_deref(), subnet, skip, LIMIT + 1).await?;
    let more = rows.len() as i64 > LIMIT;
    rows.truncate(LIMIT as usize);
    Ok((rows.into_iter().map(UnknownMachine::from).collect(), more.then_some(skip + LIMIT)))
}

/// Why a machine has no address, or which it has on loan, in sentences. `registered` are the subnets that it is registered on.
pub(super) async fn why(db: &mut PgConnection, mac: Mac, registered: &[Subnet]) -> Result<Vec<String>, DbError> {
    let mut told = Vec::new();
    let asked = unknown::unknown(db, Some(&mac.to_string()), None, 0, PLACES_TOLD).await?;
    for row in &asked {
        let pools = unknown::pools_of(db, row.machine.network).await?;
        told.push(place(row, pools.as_ref(), registered));
    }
    for lease in leases::history(db, None, Some(&mac.to_string()), PLACES_TOLD).await? {
        told.push(match lease.state.as_str() {
            "active" => format!("it has {} on loan from {} since {} until {}", lease.ip, lease.agent, lease.since, lease.until),
            _ => format!("it had {} on loan from {} until {}", lease.ip, lease.agent, lease.until),
        });
    }
    told.extend(discovery::told(db, mac, PLACES_TOLD).await?);
    if told.is_empty() {
        told.push(match registered {
            [] => "no agent has told of it: it has not asked for an address on any subnet of ours where unknown machines are reported, or asked among so many \
                   others that it was only counted"
                .to_owned(),
            _ => "no agent has told of it elsewhere: it is answered when it asks there, and agents tell of nobody who is registered".to_owned(),
        });
    }
    Ok(told)
}

/// What becomes of a machine where it asked.
fn place(row: &UnknownRow, pools: Option<&PoolRow>, registered: &[Subnet]) -> String {
    let UnknownRow { machine, agent, lent } = row;
    let by = match (machine.relay, machine.port.as_str()) {
        (Some(relay), "") => format!(" by way of the relay {relay}"),
        (Some(relay), port) => format!(" by way of the relay {relay}, port {port}"),
        (None, _) => String::new(),
    };
    let asked = format!("it asked {agent} for an address on {}{by}, last seen {}", machine.network, machine.last_seen);
    let Some(pools) = pools else { return format!("{asked}: that is no subnet of ours any more") };
    let why = match lent {
        Some(ip) if pools.unknown_machines == "quarantine" => {
            format!("it has {ip} on loan, for minutes at a time: the subnet is in quarantine until somebody registers it")
        }
        Some(ip) => format!("it has {ip} on loan"),
        None if !registered.is_empty() => {
            let there: Vec<String> = registered.iter().map(Subnet::to_string).collect();
            format!("it is registered, but on another subnet ({}): move its host, or its cable", there.join(", "))
        }
        None if pools.lendable == 0 && pools.waiting > 0 => {
            format!("nothing is lent there for now: {} addresses of the pool still wait for their last leases (`holdfast pool shares`)", pools.waiting)
        }
        None if pools.lendable == 0 => {
            "nobody registered it, and the subnet has no dynamic pool: it gets nothing until it is registered (`holdfast machine register`)".to_owned()
        }
        None if pools.lent >= pools.lendable => {
            format!("the pool is empty: all {} addresses that {} may lend are on loan or in doubt", pools.lendable, pools.agents.join(" and "))
        }
        None => format!(
            "there are addresses to lend ({} of {} are free), and it took none that the master knows of: BOOTP clients are lent none, and an agent that is cut off tells later",
            pools.lendable - pools.lent,
            pools.lendable
        ),
    };
    format!("{asked}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::unknown::MachineRow;

    #[test]
    fn each_reason_has_its_sentence() {
        let machine = MachineRow {
            hardware: "02:00:00:00:00:99".into(),
            htype: 1,
            network: "10.1.8.0/24".parse().unwrap(),
            relay: Some([10, 1, 8, 1].into()),
            port: "g7".into(),
            vendor_class: String::new(),
            first_seen: DateTime::UNIX_EPOCH,
            last_seen: DateTime::UNIX_EPOCH,
            packets: 1,
        };
        let row = |lent: Option<[u8; 4]>| UnknownRow { machine: machine.clone(), agent: "north".into(), lent: lent.map(IpAddr::from) };
        let pools = |lendable, lent, waiting| PoolRow { unknown_machines: "report".into(), lendable, lent, waiting, agents: vec!["north".into()] };
        let check = |row: &UnknownRow, pools: PoolRow, registered: &[Subnet], says: &str| {
            let told = place(row, Some(&pools), registered);
            assert!(told.starts_with("it asked north for an address on 10.1.8.0/24 by way of the relay 10.1.8.1, port g7, ") && told.contains(says), "{told}");
        };
        check(&row(None), pools(0, 0, 0), &[], "has no dynamic pool");
        check(&row(None), pools(0, 0, 9), &[], "9 addresses of the pool still wait");
        check(&row(None), pools(10, 10, 0), &[], "the pool is empty: all 10 addresses that north may lend");
        check(&row(None), pools(10, 3, 0), &[], "(7 of 10 are free)");
        check(&row(None), pools(10, 3, 0), &["10.9.0.0/24".parse().unwrap()], "registered, but on another subnet (10.9.0.0/24)");
        check(&row(Some([10, 1, 8, 7])), pools(10, 3, 0), &[], "it has 10.1.8.7 on loan");
        check(&row(Some([10, 1, 8, 7])), PoolRow { unknown_machines: "quarantine".into(), ..pools(10, 3, 0) }, &[], "for minutes at a time");
        assert!(place(&row(None), None, &[]).contains("no subnet of ours any more"));
    }
}
