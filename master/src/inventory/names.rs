//! Zones and the records that no host implies.

use super::draft::{RecordDraft, ZoneDraft};
use super::places::{self, refuse};
use super::transfers;
use super::world::World;
use super::{Problem, Refusal, Version};
use crate::db::responsibility::{self, ObjectId};
use crate::db::zones::{self, NewNode, NewRecord, NodeUse, Source, ZoneRow, reverse_network};
use holdfast_proto::dns::rtype;
use holdfast_proto::words::{DomainName, Serial};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};

/// The longest time of a SOA and the longest TTL (RFC 2181 section 8), in seconds.
const TIME_LIMIT_SECS: u32 = i32::MAX as u32;

/// Adds a zone with the name servers of its apex.
pub(super) async fn add_zone(db: &mut PgConnection, draft: &ZoneDraft) -> Result<Version, Refusal> {
    let apex = draft.apex.without_dot();
    let world = World::of_names(db, vec![apex.clone()]).await?;
    let mut problems = check_times(draft);
    problems.extend(transfers::check(db, draft).await?);
    if world.zones.at(&draft.apex).is_some() {
        problems.push(Problem::new("duplicate-name", "/apex", format!("there is a zone {apex} already")));
    }
    if draft.apex == DomainName::root() {
        problems.push(Problem::new("no-such-zone", "/apex", "the root is nobody's zone here"));
    }
    if let Some(target) = world.names.get(&draft.apex).and_then(|used| used.target.as_ref()) {
        problems.push(Problem::new("name-is-alias", "/apex", format!("{apex} is an alias of {}: delete it first", target.without_dot())));
    }
    problems.extend(places::check_department(db, draft.department.as_deref()).await?);
    refuse(problems)?;
    let zone = zones::insert(db, &row(draft, 0, 1)).await?;
    let node = match world.names.get(&draft.apex) {
        Some(used) => used.node,
        None => zones::insert_nodes(db, &[NewNode { zone, name: draft.apex.clone(), alias: false }]).await?[0],
    };
    set_name_servers(db, node, draft).await?;
    Ok(Version(1))
}

/// Makes a zone what the draft says.
pub(super) async fn set_zone(db: &mut PgConnection, apex: &DomainName, draft: &ZoneDraft) -> Result<Version, Refusal> {
    let world = World::of_names(db, vec![apex.without_dot()]).await?;
    let own = existing_zone(&world, apex)?;
    let mut problems = check_times(draft);
    problems.extend(transfers::check(db, draft).await?);
    if draft.apex != *apex {
        problems.push(Problem::new("apex-is-fixed", "/apex", "a zone keeps its apex: add a new zone and delete this one"));
    }
    problems.extend(places::check_department(db, draft.department.as_deref()).await?);
    refuse(problems)?;
    let version = zones::update(db, &row(draft, own.id, own.version)).await?;
    let node = match world.names.get(apex) {
        Some(used) => used.node,
        None => zones::insert_nodes(db, &[NewNode { zone: own.id, name: apex.clone(), alias: false }]).await?[0],
    };
    set_name_servers(db, node, draft).await?;
    Ok(Version(version))
}

/// Deletes a zone that has nothing but its apex, and no host there.
pub(super) async fn delete_zone(db: &mut PgConnection, apex: &DomainName) -> Result<(), Refusal> {
    let world = World::of_names(db, vec![apex.without_dot()]).await?;
    let own = existing_zone(&world, apex)?;
    let below = zones::names_below(db, own.id).await?;
    let node = world.names.get(apex);
    if below > 0 || node.is_some_and(|used| used.host.is_some()) {
        let detail = format!("{} still has {} names: delete or move them first", apex.without_dot(), below.max(1));
        return Err(Problem::new("zone-in-use", "", detail).into());
    }
    if let Some(used) = node {
        zones::delete_records_of(db, &[used.node]).await?;
        zones::delete_unused_nodes(db, &[used.node]).await?;
    }
    responsibility::delete_of(db, ObjectId::Zone(own.id)).await?;
    Ok(zones::delete(db, own.id).await?)
}

pub(super) fn existing_zone<'a>(world: &'a World, apex: &DomainName) -> Result<&'a ZoneRow, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-zone", "", format!("there is no zone {}", apex.without_dot())));
    world.zones.at(apex).ok_or_else(missing)
}

fn check_times(draft: &ZoneDraft) -> Vec<Problem> {
    let times = [("refresh", draft.refresh, 1), ("retry", draft.retry, 1), ("expire", draft.expire, 1), ("minimum", draft.minimum, 0), ("ttl", draft.ttl, 0)];
    let wrong = times.into_iter().filter(|(_, secs, least)| secs < least || *secs > TIME_LIMIT_SECS);
    let sentence = |field| format!("{field} must be a number of seconds up to {TIME_LIMIT_SECS}");
    wrong.map(|(field, ..)| Problem::new("time-out-of-range", format!("/{field}"), sentence(field))).collect()
}

fn row(draft: &ZoneDraft, id: i64, version: i64) -> ZoneRow {
    ZoneRow {
        id,
        apex: draft.apex.clone(),
        network: reverse_network(&draft.apex).map(|net| net.to_string()),
        primary_ns: draft.primary_ns.clone(),
        mailbox: draft.mailbox.clone(),
        refresh: draft.refresh,
        retry: draft.retry,
        expire: draft.expire,
        minimum: draft.minimum,
        ttl: draft.ttl,
        department: draft.department.clone(),
        publish_hinfo: draft.publish_hinfo,
        publish_rp: draft.publish_rp,
        primaries: draft.primaries.clone(),
        transfers: draft.transfers.clone(),
        source: Source::Own,
        version,
        serial: Serial(draft.serial.unwrap_or(1).max(1)),
    }
}

async fn set_name_servers(db: &mut PgConnection, node: i64, draft: &ZoneDraft) -> Result<(), Refusal> {
    zones::delete_records_of_type(db, node, rtype::NS).await?;
    let mut servers: Vec<&DomainName> = draft.name_servers.iter().collect();
    servers.sort();
    servers.dedup();
    let record = |server: &DomainName| NewRecord { node, rtype: rtype::NS, ttl: None, rdata: server.wire().to_vec(), text: server.to_string(), target: None };
    Ok(zones::insert_records(db, &servers.into_iter().map(record).collect::<Vec<_>>()).await?)
}

/// Adds records. `at` gives the pointer to a draft.
pub(super) async fn add_records(db: &mut PgConnection, drafts: &[RecordDraft], at: impl Fn(usize) -> String) -> Result<(), Refusal> {
    let names: Vec<String> = drafts.iter().map(|draft| draft.name.without_dot()).collect();
    let mut world = World::of_names(db, names.clone()).await?;
    let rtypes: Vec<i32> = drafts.iter().map(|draft| i32::from(draft.rtype)).collect();
    let rdatas: Vec<Vec<u8>> = drafts.iter().map(|draft| draft.rdata.clone()).collect();
    let mut stored: HashSet<(&DomainName, u16, &[u8])> = HashSet::new();
    for n in zones::existing_records(db, &names, &rtypes, &rdatas).await? {
        let draft = &drafts[n as usize - 1];
        stored.insert((&draft.name, draft.rtype, &draft.rdata));
    }
    let mut problems = Vec::new();
    for (n, draft) in drafts.iter().enumerate() {
        let known = !stored.insert((&draft.name, draft.rtype, &draft.rdata));
        check_record(draft, &at(n), known, &mut world, &mut problems);
    }
    refuse(problems)?;
    write_records(db, drafts, &world).await?;
    Ok(crate::db::counted_anew(db, drafts.len()).await?)
}

fn check_record(draft: &RecordDraft, at: &str, known: bool, world: &mut World, problems: &mut Vec<Problem>) {
    let name = draft.name.without_dot();
    let mut add = |kind, pointer: &str, detail: String| problems.push(Problem::new(kind, format!("{at}{pointer}"), detail));
    if world.zones.of(&draft.name).is_none() {
        add("no-zone", "/name", format!("{name} lies in none of our zones: add its zone first"));
    }
    if let Some(zone) = world.zones.of(&draft.name).filter(|zone| zone.source.is_copy()) {
        add("zone-is-a-copy", "/name", format!("{} is a copy of another server's zone: the record has to be written there", zone.apex.without_dot()));
    }
    if matches!(draft.rtype, 0 | rtype::SOA | rtype::OPT | 128..=255) {
        add("no-such-type", "/rtype", format!("records of type {} are not kept: a SOA is made from its zone", draft.rtype));
    }
    if draft.ttl.is_some_and(|ttl| ttl > TIME_LIMIT_SECS) {
        add("time-out-of-range", "/ttl", format!("a TTL is a number of seconds up to {TIME_LIMIT_SECS}"));
    }
    if draft.rtype == rtype::CNAME && target_of(draft).is_none() {
        add("bad-record", "/rdata", format!("the data of the CNAME at {name} is not one domain name"));
    }
    if draft.rdata.len() > usize::from(u16::MAX) || draft.text.contains('\0') {
        add("bad-record", "/rdata", format!("the data of the record at {name} is too long or has a zero byte in its text"));
    }
    if known {
        return add("duplicate-record", "", format!("{name} has this record already"));
    }
    let alias = draft.rtype == rtype::CNAME;
    match world.names.get_mut(&draft.name) {
        Some(used) if used.target.is_some() => add("name-is-alias", "/name", format!("{name} is an alias and can have no other record")),
        Some(used) if alias => {
            let what = if used.host.is_some() { "is the name of a host" } else { "has other records" };
            add("name-has-records", "/name", format!("{name} {what} and cannot be an alias as well"));
        }
        Some(used) => used.records += 1,
        None => {
            let used = NodeUse { name: draft.name.clone(), node: 0, host: None, target: alias.then(|| target_of(draft)).flatten(), records: 1 };
            world.names.insert(draft.name.clone(), used);
        }
    }
}

fn target_of(draft: &RecordDraft) -> Option<DomainName> {
    (draft.rtype == rtype::CNAME).then(|| DomainName::from_wire(&draft.rdata)).flatten()
}

async fn write_records(db: &mut PgConnection, drafts: &[RecordDraft], world: &World) -> Result<(), Refusal> {
    let mut nodes: HashMap<&DomainName, i64> = world.names.iter().filter(|(_, used)| used.node != 0).map(|(name, used)| (name, used.node)).collect();
    let mut missing: Vec<&DomainName> = drafts.iter().map(|draft| &draft.name).filter(|name| !nodes.contains_key(name)).collect();
    missing.sort();
    missing.dedup();
    let new = |name: &DomainName| {
        let zone = world.zones.of(name).ok_or_else(|| Problem::new("no-zone", "/name", format!("{} lies in none of our zones", name.without_dot())))?;
        let alias = world.names.get(name).is_some_and(|used| used.target.is_some());
        Ok::<_, Refusal>(NewNode { zone: zone.id, name: name.clone(), alias })
    };
    let made = zones::insert_nodes(db, &missing.iter().map(|name| new(name)).collect::<Result<Vec<_>, _>>()?).await?;
    nodes.extend(missing.into_iter().zip(made));
    let record = |draft: &RecordDraft| NewRecord {
        node: nodes[&draft.name],
        rtype: draft.rtype,
        ttl: draft.ttl,
        rdata: draft.rdata.clone(),
        text: draft.text.clone(),
        target: target_of(draft),
    };
    Ok(zones::insert_records(db, &drafts.iter().map(record).collect::<Vec<_>>()).await?)
}

/// Deletes one record, and its name where nothing else is there.
pub(super) async fn delete_record(db: &mut PgConnection, draft: &RecordDraft) -> Result<(), Refusal> {
    let name = draft.name.without_dot();
    let missing = || Refusal::Missing(Problem::new("no-such-record", "", format!("{name} has no such record")));
    let node = zones::delete_record(db, &draft.name, draft.rtype, &draft.rdata).await?.ok_or_else(missing)?;
    Ok(zones::delete_unused_nodes(db, &[node]).await?)
}
