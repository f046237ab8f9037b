//! Campuses and subnets.

use super::draft::{CampusDraft, SubnetDraft};
use super::hosts::check_options;
use super::{Problem, Refusal, Version, shares};
use crate::db::campuses::{self, CampusRow};
use crate::db::defaults::{self, Level};
use crate::db::departments;
use crate::db::discoveries;
use crate::db::pools;
use crate::db::responsibility::{self, ObjectId};
use crate::db::subnets::{self, SubnetRow};
use crate::db::zones;
use holdfast_proto::words::Subnet;
use sqlx::PgConnection;

/// The longest quarantine, in seconds: ten years.
const QUARANTINE_LIMIT_SECS: u32 = 315_360_000;
/// The longest that agents of other campuses can be told to wait, in seconds.
const COVER_LIMIT_SECS: u16 = 300;
/// How long an address of a pool can be lent, in seconds: a minute to a year.
const POOL_LEASE_SECS: std::ops::RangeInclusive<u32> = 60..=31_536_000;

/// Adds a campus.
pub(super) async fn add_campus(db: &mut PgConnection, draft: &CampusDraft) -> Result<(), Refusal> {
    check_campus(draft, &campuses::all(db).await?, None)?;
    Ok(campuses::insert(db, &draft.name, draft.service_address, draft.backup.as_deref()).await?)
}

/// Makes a campus what the draft says.
pub(super) async fn set_campus(db: &mut PgConnection, name: &str, draft: &CampusDraft) -> Result<(), Refusal> {
    let all = campuses::all(db).await?;
    let id = all.iter().find(|campus| campus.name == name).map(|campus| campus.id);
    let id = id.ok_or_else(|| Refusal::Missing(Problem::new("no-such-campus", "", format!("there is no campus {name}"))))?;
    check_campus(draft, &all, Some(id))?;
    Ok(campuses::update(db, id, &draft.name, draft.service_address, draft.backup.as_deref()).await?)
}

fn check_campus(draft: &CampusDraft, all: &[CampusRow], own: Option<i64>) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    for other in all.iter().filter(|campus| Some(campus.id) != own) {
        if other.name == draft.name {
            problems.push(Problem::new("duplicate-name", "/name", format!("there is a campus {} already", draft.name)));
        }
        if draft.service_address.is_some() && other.service_address == draft.service_address {
            problems.push(Problem::new("duplicate-address", "/service_address", format!("this is the service address of campus {} already", other.name)));
        }
    }
    if let Some(backup) = &draft.backup {
        let is_itself = Some(backup) == all.iter().find(|campus| Some(campus.id) == own).map(|campus| &campus.name) || *backup == draft.name;
        if is_itself {
            problems.push(Problem::new("own-backup", "/backup", "a campus cannot stand in for itself: name another one"));
        } else if all.iter().all(|campus| campus.name != *backup) {
            problems.push(Problem::new("no-such-campus", "/backup", format!("there is no campus {backup}")));
        }
    }
    refuse(problems)
}

/// Adds a subnet.
pub(super) async fn add_subnet(db: &mut PgConnection, draft: &SubnetDraft) -> Result<Version, Refusal> {
    let (campuses, all) = (campuses::all(db).await?, subnets::all(db).await?);
    let wrong = wrong_references(db, draft).await?;
    let row = check_subnet(draft, &campuses, &all, None, wrong)?;
    subnets::insert(db, &row).await?;
    Ok(Version(1))
}

/// Makes a subnet what the draft says.
pub(super) async fn set_subnet(db: &mut PgConnection, network: Subnet, draft: &SubnetDraft) -> Result<Version, Refusal> {
    let all = subnets::all(db).await?;
    let own = existing_subnet(&all, network)?;
    let wrong = wrong_references(db, draft).await?;
    let row = check_subnet(draft, &campuses::all(db).await?, &all, Some(own), wrong)?;
    let version = subnets::update(db, &row).await?;
    shares::settle(db, &[row.id]).await?;
    Ok(Version(version))
}

/// Deletes a subnet that nobody is on.
pub(super) async fn delete_subnet(db: &mut PgConnection, network: Subnet) -> Result<(), Refusal> {
    let all = subnets::all(db).await?;
    let own = existing_subnet(&all, network)?;
    if own.used > 0 {
        let detail = format!("{network} has {} addresses in use: move or delete their hosts first", own.used);
        return Err(Problem::new("subnet-in-use", "", detail).into());
    }
    pools::delete_of(db, own.id).await?;
    responsibility::delete_of(db, ObjectId::Subnet(own.id)).await?;
    defaults::delete(db, Level::Subnet, &network.to_string()).await?;
    discoveries::delete_rule(db, own.id).await?;
    Ok(subnets::delete(db, own.id).await?)
}

/// What a subnet names that is not there: its department, and the zone for names of leased machines.
async fn wrong_references(db: &mut PgConnection, draft: &SubnetDraft) -> Result<Vec<Problem>, Refusal> {
    let department = check_department(db, draft.department.as_deref()).await?;
    Ok(department.into_iter().chain(wrong_lease_zone(db, draft).await?).collect())
}

/// Agents name leased machines by themselves, so the zone must be ours, and what it holds is not its primary's to say.
async fn wrong_lease_zone(db: &mut PgConnection, draft: &SubnetDraft) -> Result<Option<Problem>, Refusal> {
    let Some(apex) = &draft.lease_zone else { return Ok(None) };
    let wrong = |kind, detail| Ok(Some(Problem::new(kind, "/lease_zone", detail)));
    let zone = zones::all(db).await?.into_iter().find(|zone| zone.apex == *apex);
    match zone {
        _ if !draft.network.net().addr().is_ipv4() => wrong("no-leases", format!("nothing is lent on {}: only IPv4 addresses are", draft.network)),
        None => wrong("no-such-zone", format!("there is no zone {}: add it first, or name the zone around it", apex.without_dot())),
        Some(zone) if zone.source.is_copy() => {
            wrong("zone-is-copy", format!("{} is a copy of another server's zone: give leased machines a zone of our own", apex.without_dot()))
        }
        Some(_) => Ok(None),
    }
}

/// The problem of a department that is not there.
pub(super) async fn check_department(db: &mut PgConnection, name: Option<&str>) -> Result<Option<Problem>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let known = departments::all(db).await?.iter().any(|kept| kept.draft.name == name);
    let problem = || Problem::new("no-such-entry", "/department", format!("there is no department {name}: add it first"));
    Ok((!known).then(problem))
}

pub(super) fn existing_subnet(all: &[SubnetRow], network: Subnet) -> Result<&SubnetRow, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-subnet", "", format!("there is no subnet {network}")));
    all.iter().find(|row| row.network == network).ok_or_else(missing)
}

fn check_subnet(
    draft: &SubnetDraft,
    campuses: &[CampusRow],
    all: &[SubnetRow],
    own: Option<&SubnetRow>,
    mut problems: Vec<Problem>,
) -> Result<SubnetRow, Refusal> {
    let mut add = |kind, pointer: String, detail: String| problems.push(Problem::new(kind, pointer, detail));
    let campus = campuses.iter().find(|campus| campus.name == draft.campus);
    if campus.is_none() {
        add("no-such-campus", "/campus".to_owned(), format!("there is no campus {}", draft.campus));
    }
    let net = draft.network.net();
    for other in all.iter().filter(|row| own.is_none_or(|own| own.id != row.id)) {
        if other.network.net().contains(&net) || net.contains(&other.network.net()) {
            add("subnet-overlap", "/network".to_owned(), format!("{} overlaps {} of campus {}", draft.network, other.network, other.campus));
        }
    }
    if let Some(gateway) = draft.gateway.filter(|gateway| !draft.network.can_hold(*gateway)) {
        add("gateway-outside-subnet", "/gateway".to_owned(), format!("the gateway {gateway} is no host's address of {}", draft.network));
    }
    if draft.vlan.is_some_and(|vlan| !(1..=4094).contains(&vlan)) {
        add("bad-vlan", "/vlan".to_owned(), "a VLAN is a number from 1 to 4094 (IEEE 802.1Q)".to_owned());
    }
    if draft.quarantine_secs > QUARANTINE_LIMIT_SECS {
        add("time-out-of-range", "/quarantine_secs".to_owned(), format!("the quarantine lasts {QUARANTINE_LIMIT_SECS} seconds at most"));
    }
    if draft.cover_after_secs > COVER_LIMIT_SECS {
        add("time-out-of-range", "/cover_after_secs".to_owned(), format!("another campus waits {COVER_LIMIT_SECS} seconds at most"));
    }
    if !POOL_LEASE_SECS.contains(&draft.pool_lease_secs) {
        add("time-out-of-range", "/pool_lease_secs".to_owned(), "an address of a pool is lent for a minute at least and a year at most".to_owned());
    }
    check_options(&draft.options, "/options", &mut add);
    refuse(problems)?;
    Ok(SubnetRow {
        id: own.map_or(0, |own| own.id),
        network: draft.network,
        campus_id: campus.map_or(0, |campus| campus.id),
        campus: draft.campus.clone(),
        gateway: draft.gateway,
        domain: draft.domain.clone(),
        dns_servers: draft.dns_servers.clone(),
        options: draft.options.clone(),
        vlan: draft.vlan,
        classes: draft.classes.clone(),
        preference: draft.preference,
        quarantine_secs: draft.quarantine_secs,
        department: draft.department.clone(),
        unknown_machines: draft.unknown_machines.text().to_owned(),
        cover_after_secs: draft.cover_after_secs,
        pool_lease_secs: draft.pool_lease_secs,
        lease_zone: draft.lease_zone.clone(),
        version: own.map_or(1, |own| own.version),
        used: 0,
    })
}

/// All problems, or none.
pub(super) fn refuse(problems: Vec<Problem>) -> Result<(), Refusal> {
    if problems.is_empty() { Ok(()) } else { Err(Refusal::Invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_subnet_is_told_all_that_is_wrong_with_it() {
        let campus = CampusRow { id: 1, name: "north".to_owned(), service_address: None, backup: None };
        let draft = |text: &str| serde_json::from_str::<SubnetDraft>(text).unwrap();
        let good = draft(r#"{"network": "10.1.4.0/22", "campus": "north", "gateway": "10.1.4.1"}"#);
        let row = check_subnet(&good, std::slice::from_ref(&campus), &[], None, vec![]).unwrap();
        let bad = draft(r#"{"network": "10.1.0.0/16", "campus": "nowhere", "gateway": "10.2.0.1", "options": [{"code": 255}]}"#);
        let Err(Refusal::Invalid(problems)) = check_subnet(&bad, &[campus], &[row], None, vec![]) else { panic!("it was taken") };
        let kinds: Vec<_> = problems.iter().map(|problem| problem.kind).collect();
        assert_eq!(kinds, ["no-such-campus", "subnet-overlap", "gateway-outside-subnet", "no-such-option"]);
        assert!(problems[1].detail.contains("10.1.4.0/22 of campus north"));
    }
}
