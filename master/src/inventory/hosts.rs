//! Hosts: what a draft must fulfil, and how it becomes rows.

use super::draft::{HostDraft, InterfaceDraft};
use super::world::{Owner, World};
use super::{BootParameters, Problem, Refusal, Version, allocate, extra_names, families, interfaces, moves, particulars, quarantine};
use crate::db::boot::{self, NewEntry};
use crate::db::free;
use crate::db::hosts::{self, HostRow, HostTexts, NewAddress, NewIface};
use crate::db::zones::{self, NewNode, NewRecord, NodeUse};
use holdfast_proto::dns::rtype;
use holdfast_proto::words::{DomainName, HostName};
use sqlx::PgConnection;
use std::net::IpAddr;
use uuid::Uuid;

/// The longest character string of HINFO (RFC 1035 section 3.3), in bytes.
const HINFO_LIMIT_BYTES: usize = 255;
/// The longest free text of a host, in bytes: a page, not a book.
const TEXT_LIMIT_BYTES: usize = 4096;
/// What fits into BOOTP's `sname` and `file` with their final zero (RFC 951), in bytes.
const SERVER_NAME_LIMIT_BYTES: usize = 63;
const BOOT_FILE_LIMIT_BYTES: usize = 127;
/// The longest value of one option (RFC 2132), in bytes.
const OPTION_LIMIT_BYTES: usize = 255;

/// Adds hosts. `at` gives the pointer to a draft: empty for a single one, `/17` in a batch.
pub(super) async fn add(db: &mut PgConnection, drafts: &[HostDraft], at: impl Fn(usize) -> String) -> Result<Version, Refusal> {
    let drafts = &*allocate::resolve(db, drafts, &[], &at).await?;
    let mut world = World::load(db, &drafts.iter().collect::<Vec<_>>()).await?;
    let ids: Vec<Uuid> = drafts.iter().map(|_| Uuid::now_v7()).collect();
    let mut problems = Vec::new();
    for (n, draft) in drafts.iter().enumerate() {
        let owner = Owner { id: ids[n], name: draft.name.clone() };
        check(draft, &at(n), &world, None, &mut problems);
        claim(draft, owner, &mut world);
    }
    if !problems.is_empty() {
        return Err(Refusal::Invalid(problems));
    }
    write(db, drafts, &ids, &world).await?;
    for (n, (draft, id)) in drafts.iter().zip(&ids).enumerate().filter(|(_, (draft, _))| !draft.other_addresses.is_empty()) {
        families::set(db, *id, &draft.other_addresses, &at(n)).await?;
    }
    crate::db::counted_anew(db, drafts.len()).await?;
    Ok(Version(1))
}

/// Makes a host what the draft says.
pub(super) async fn set(db: &mut PgConnection, name: &HostName, draft: &HostDraft) -> Result<Version, Refusal> {
    let host = existing(db, name).await?;
    let before = hosts::subnets_of(db, host.id).await?;
    let draft = &allocate::resolve(db, std::slice::from_ref(draft), &before, |_| String::new()).await?[0];
    let world = World::load(db, &[draft]).await?;
    let mut problems = Vec::new();
    check(draft, "", &world, Some(&host), &mut problems);
    if !problems.is_empty() {
        return Err(Refusal::Invalid(problems));
    }
    let names = extra_names::clear(db, &host, draft).await?;
    interfaces::set(db, &host, draft, &world).await?;
    families::set(db, host.id, &draft.other_addresses, "").await?;
    set_names(db, &host, draft, &world).await?;
    extra_names::write_changed(db, host.id, draft, &names, &world).await?;
    particulars::set(db, host.id, draft).await?;
    Ok(Version(hosts::update(db, &texts(draft, host.id, host.node, &world)).await?))
}

/// Deletes a host with its interfaces, its aliases and the records at its name.
pub(super) async fn delete(db: &mut PgConnection, name: &HostName) -> Result<(), Refusal> {
    let host = existing(db, name).await?;
    let subnets = hosts::subnets_of(db, host.id).await?;
    free::lock(db, &subnets).await?;
    extra_names::delete(db, host.id).await?;
    hosts::delete_interfaces(db, host.id).await?;
    families::take_all(db, &host).await?;
    moves::forget(db, host.id).await?;
    let mut nodes: Vec<i64> = zones::aliases_of(db, name.domain()).await?.into_iter().map(|(node, _)| node).collect();
    // At a zone's apex stand the zone's own records, which are not the host's to take along.
    if !is_apex(db, name).await? {
        nodes.push(host.node);
    }
    zones::delete_records_of(db, &nodes).await?;
    particulars::delete(db, host.id).await?;
    hosts::delete(db, host.id).await?;
    zones::delete_unused_nodes(db, &nodes).await?;
    Ok(())
}

async fn is_apex(db: &mut PgConnection, name: &HostName) -> Result<bool, Refusal> {
    Ok(zones::all(db).await?.iter().any(|zone| zone.apex == *name.domain()))
}

/// The host with this name, its row locked.
pub(super) async fn existing(db: &mut PgConnection, name: &HostName) -> Result<HostRow, Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-host", "", format!("there is no host {name}")));
    let mut host = hosts::named(db, &[name.to_string()]).await?.pop().ok_or_else(missing)?;
    host.version = hosts::lock(db, host.id).await?.ok_or_else(missing)?;
    Ok(host)
}

/// All problems of one draft. `own` is the host that it changes.
pub(super) fn check(draft: &HostDraft, at: &str, world: &World, own: Option<&HostRow>, problems: &mut Vec<Problem>) {
    // Two addresses on one subnet would tell of one hardware address twice.
    let first = problems.len();
    let mut add = |kind, pointer: String, detail: String| {
        let problem = Problem::new(kind, format!("{at}{pointer}"), detail);
        if !problems[first..].contains(&problem) {
            problems.push(problem);
        }
    };
    check_name(draft, world, own, &mut add);
    check_texts(draft, &mut add);
    extra_names::check(draft, world, own, &mut add);
    particulars::check(draft, world, own, &mut add);
    for (n, alias) in draft.aliases.iter().enumerate() {
        check_alias(draft, n, alias, world, own, &mut add);
    }
    for (n, iface) in draft.interfaces.iter().enumerate() {
        check_addresses(draft, n, iface, world, own, &mut add);
        check_boot(n, &iface.boot, &mut add);
    }
}

/// Takes one problem: its kind, its pointer, its sentence.
pub(super) type Add<'a> = dyn FnMut(&'static str, String, String) + 'a;

fn check_name(draft: &HostDraft, world: &World, own: Option<&HostRow>, add: &mut Add<'_>) {
    let name = draft.name.domain();
    let pointer = || "/name".to_owned();
    if world.zones.of(name).is_none() {
        add("no-zone", pointer(), format!("{} lies in none of our zones: add its zone first", draft.name));
    }
    let Some(used) = world.names.get(name) else { return };
    match (&used.host, &used.target) {
        (Some(host), _) if own.is_some_and(|own| own.id == *host) => {}
        (Some(_), _) => add("duplicate-name", pointer(), format!("{} is the name of another host: choose another one", draft.name)),
        (None, Some(target)) if own.is_some_and(|own| own.name.domain() == target) => {}
        (None, Some(target)) => add("name-is-alias", pointer(), format!("{} is an alias of {}: delete the alias first", draft.name, target.without_dot())),
        (None, None) if own.is_some() => add("name-has-records", pointer(), format!("{} has records of its own: delete them first", draft.name)),
        (None, None) => {}
    }
}

fn check_texts(draft: &HostDraft, add: &mut Add<'_>) {
    let hinfo = HINFO_LIMIT_BYTES;
    let texts = [("hardware", &draft.hardware, hinfo), ("os", &draft.os, hinfo), ("location", &draft.location, TEXT_LIMIT_BYTES)];
    let more = [("contact", &draft.contact, TEXT_LIMIT_BYTES), ("comment", &draft.comment, TEXT_LIMIT_BYTES)];
    for (field, text, limit) in texts.into_iter().chain(more) {
        if text.len() > limit {
            add("text-too-long", format!("/{field}"), format!("the {field} has {} bytes, over the limit of {limit}", text.len()));
        }
        if text.contains('\0') {
            add("text-not-printable", format!("/{field}"), format!("the {field} has a zero byte in it"));
        }
    }
}

fn check_alias(draft: &HostDraft, n: usize, alias: &DomainName, world: &World, own: Option<&HostRow>, add: &mut Add<'_>) {
    let pointer = format!("/aliases/{n}");
    let text = alias.without_dot();
    if alias == draft.name.domain() || draft.aliases[..n].contains(alias) {
        return add("duplicate-name", pointer, format!("{text} is given twice"));
    }
    match world.zones.of(alias) {
        None => return add("no-zone", pointer, format!("{text} lies in none of our zones: add its zone first")),
        Some(zone) if zone.apex == *alias => {
            return add("alias-at-apex", pointer, format!("{text} is the top of a zone and cannot be an alias (RFC 1034 section 3.6.2)"));
        }
        Some(_) => {}
    }
    let Some(used) = world.names.get(alias) else { return };
    match &used.target {
        Some(target) if own.is_some_and(|own| own.name.domain() == target) => {}
        Some(target) => add("duplicate-name", pointer, format!("{text} is already an alias of {}", target.without_dot())),
        // The old name of a host that is being renamed: its node and records move with the host.
        None if own.is_some_and(|own| used.host == Some(own.id)) => {}
        None if used.host.is_some() => add("duplicate-name", pointer, format!("{text} is the name of a host")),
        None => add("name-has-records", pointer, format!("{text} has records of its own, and an alias can have none beside it")),
    }
}

fn check_addresses(draft: &HostDraft, n: usize, iface: &InterfaceDraft, world: &World, own: Option<&HostRow>, add: &mut Add<'_>) {
    let other = |owner: &Owner| own.is_none_or(|own| own.id != owner.id);
    let earlier = &draft.interfaces[..n];
    for (m, address) in iface.addresses.iter().enumerate() {
        let pointer = format!("/interfaces/{n}/addresses/{m}");
        if iface.addresses[..m].contains(address) || earlier.iter().any(|iface| iface.addresses.contains(address)) {
            add("duplicate-address", pointer.clone(), format!("{address} is given twice"));
        } else if let Some(owner) = world.addresses.get(address).filter(|owner| other(owner)) {
            add("duplicate-address", pointer.clone(), format!("{address} belongs to {}: choose a free one", owner.name));
        }
        let Some((subnet, network)) = world.subnet_of(*address) else {
            add("address-outside-subnets", pointer, format!("{address} lies in none of our subnets: add its subnet first"));
            continue;
        };
        if !network.can_hold(*address) {
            add("address-not-usable", pointer.clone(), format!("{address} is the network or broadcast address of {network}: no host can have it"));
        }
        if let Some(pool) = world.pool_of(subnet, *address) {
            let detail = format!("{address} lies in the {} pool {}-{}: no host can have it as its own", pool.kind, pool.first, pool.last);
            add("address-in-other-pool", pointer.clone(), detail);
        }
        if let Some(held) = world.held.get(address).filter(|held| !quarantine::had_it(held, own.map(|own| own.id), &draft.name, iface.mac)) {
            add("address-in-quarantine", pointer, quarantine::why(held));
        }
        check_mac(draft, n, subnet, network, world, &other, add);
    }
}

/// One hardware address per subnet; told once per interface and subnet.
fn check_mac(
    draft: &HostDraft,
    n: usize,
    subnet: i64,
    network: holdfast_proto::words::Subnet,
    world: &World,
    other: &dyn Fn(&Owner) -> bool,
    add: &mut Add<'_>,
) {
    let Some(mac) = draft.interfaces[n].mac else { return };
    let here = |address: &IpAddr| network.net().contains(address);
    let pointer = format!("/interfaces/{n}/mac");
    if let Some(owner) = world.macs.get(&(subnet, mac)).filter(|owner| other(owner)) {
        add("duplicate-mac", pointer, format!("{mac} belongs to {} on {network}", owner.name));
    } else if draft.interfaces[..n].iter().any(|iface| iface.mac == Some(mac) && iface.addresses.iter().any(here)) {
        add("duplicate-mac", pointer, format!("{mac} is given to two interfaces on {network}"));
    }
}

fn check_boot(n: usize, boot: &BootParameters, add: &mut Add<'_>) {
    let at = |field: &str| format!("/interfaces/{n}/boot/{field}");
    if boot.server_name.len() > SERVER_NAME_LIMIT_BYTES || boot.server_name.contains(char::is_control) {
        add("text-too-long", at("server_name"), format!("the boot server's name must fit into {SERVER_NAME_LIMIT_BYTES} bytes, without control characters"));
    }
    if boot.boot_file.len() > BOOT_FILE_LIMIT_BYTES || boot.boot_file.contains(char::is_control) {
        add("text-too-long", at("boot_file"), format!("the boot file's name must fit into {BOOT_FILE_LIMIT_BYTES} bytes, without control characters"));
    }
    check_options(&boot.options, &at("options"), add);
}

/// Options, of a host or a subnet.
pub(super) fn check_options(options: &[super::OptionDraft], pointer: &str, add: &mut Add<'_>) {
    for (n, option) in options.iter().enumerate() {
        let code = option.code;
        if !(1..=254).contains(&code) {
            add("no-such-option", format!("{pointer}/{n}/code"), format!("{code} is pad or end and no option: give 1 to 254"));
        }
        if options[..n].iter().any(|earlier| earlier.code == code) {
            add("duplicate-option", format!("{pointer}/{n}/code"), format!("option {code} is given twice"));
        }
        if option.value.as_ref().is_some_and(|value| value.len() > OPTION_LIMIT_BYTES) {
            add("option-too-long", format!("{pointer}/{n}/value"), format!("option {code} is over {OPTION_LIMIT_BYTES} bytes"));
        }
    }
}

/// Enters a draft into the world, for the drafts after it.
fn claim(draft: &HostDraft, owner: Owner, world: &mut World) {
    let node = world.names.get(draft.name.domain()).map_or(0, |used| used.node);
    let used = |name: &DomainName, host, target| NodeUse { name: name.clone(), node, host, target, records: 0 };
    let name = draft.name.domain();
    if world.names.get(name).is_none_or(|used| used.host.is_none() && used.target.is_none()) {
        world.names.insert(name.clone(), used(name, Some(owner.id), None));
    }
    for alias in &draft.aliases {
        world.names.entry(alias.clone()).or_insert_with(|| NodeUse { node: 0, ..used(alias, None, Some(name.clone())) });
    }
    for other in &draft.names {
        let known = world.names.get(other).map_or(0, |used| used.node);
        world.names.insert(other.clone(), NodeUse { node: known, ..used(other, Some(owner.id), None) });
    }
    for iface in &draft.interfaces {
        for address in &iface.addresses {
            world.addresses.entry(*address).or_insert_with(|| owner.clone());
            if let (Some(mac), Some((subnet, _))) = (iface.mac, world.subnet_of(*address)) {
                world.macs.entry((subnet, mac)).or_insert_with(|| owner.clone());
            }
        }
    }
}

async fn write(db: &mut PgConnection, drafts: &[HostDraft], ids: &[Uuid], world: &World) -> Result<(), Refusal> {
    let nodes = nodes_for(db, drafts, world).await?;
    let rows: Vec<HostTexts<'_>> = drafts.iter().zip(ids).zip(&nodes).map(|((draft, id), node)| texts(draft, *id, *node, world)).collect();
    hosts::insert(db, &rows).await?;
    let owned: Vec<(Uuid, &HostDraft)> = ids.iter().copied().zip(drafts).collect();
    write_interfaces(db, &owned, world).await?;
    particulars::write(db, &owned).await?;
    let aliases: Vec<(DomainName, &HostName)> = drafts.iter().flat_map(|draft| draft.aliases.iter().map(|alias| (alias.clone(), &draft.name))).collect();
    write_aliases(db, &aliases, world).await?;
    extra_names::write(db, &owned, world).await
}

/// The nodes of new hosts: those that already carry records, and new ones.
async fn nodes_for(db: &mut PgConnection, drafts: &[HostDraft], world: &World) -> Result<Vec<i64>, Refusal> {
    let known = |draft: &HostDraft| world.names.get(draft.name.domain()).map(|used| used.node).filter(|node| *node != 0);
    let missing = drafts.iter().filter(|draft| known(draft).is_none());
    let missing: Vec<NewNode> = missing.map(|draft| new_node(draft.name.domain(), false, world)).collect::<Result<_, _>>()?;
    let mut made = zones::insert_nodes(db, &missing).await?.into_iter();
    Ok(drafts.iter().filter_map(|draft| known(draft).or_else(|| made.next())).collect())
}

fn new_node(name: &DomainName, alias: bool, world: &World) -> Result<NewNode, Refusal> {
    let zone = world.zones.of(name).ok_or_else(|| Problem::new("no-zone", "", format!("{} lies in none of our zones", name.without_dot())))?;
    Ok(NewNode { zone: zone.id, name: name.clone(), alias })
}

fn texts<'a>(draft: &'a HostDraft, id: Uuid, node: i64, world: &World) -> HostTexts<'a> {
    let department = draft.department.as_ref().and_then(|name| world.words.departments.get(name).copied());
    HostTexts { id, node, department, texts: [&draft.hardware, &draft.os, &draft.location, &draft.contact, &draft.comment] }
}

async fn write_interfaces(db: &mut PgConnection, owned: &[(Uuid, &HostDraft)], world: &World) -> Result<(), Refusal> {
    let (mut ifaces, mut addresses, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (host, draft) in owned {
        for (n, iface) in draft.interfaces.iter().enumerate() {
            let id = Uuid::now_v7();
            ifaces.push(NewIface { id, host: *host, ordinal: n as i32, mac: iface.mac });
            for ip in &iface.addresses {
                let outside = || Problem::new("address-outside-subnets", "", format!("{ip} lies in none of our subnets"));
                let (subnet, network) = world.subnet_of(*ip).ok_or_else(outside)?;
                addresses.push(NewAddress { ip: *ip, iface: id, host: *host, mac: iface.mac, subnet, network });
            }
            if iface.boot != BootParameters::default() || !iface.templates.is_empty() {
                entries.push(NewEntry { iface: id, host: *host, templates: &iface.templates, parameters: &iface.boot });
            }
        }
    }
    hosts::insert_interfaces(db, &ifaces, &addresses).await?;
    boot::insert_entries(db, &entries).await?;
    Ok(())
}

async fn write_aliases(db: &mut PgConnection, aliases: &[(DomainName, &HostName)], world: &World) -> Result<(), Refusal> {
    let nodes: Vec<NewNode> = aliases.iter().map(|(alias, _)| new_node(alias, true, world)).collect::<Result<_, _>>()?;
    let nodes = zones::insert_nodes(db, &nodes).await?;
    let record = |node: i64, target: &HostName| NewRecord {
        node,
        rtype: rtype::CNAME,
        ttl: None,
        rdata: target.domain().wire().to_vec(),
        text: target.domain().to_string(),
        target: Some(target.domain().clone()),
    };
    let records: Vec<NewRecord> = nodes.into_iter().zip(aliases).map(|(node, (_, target))| record(node, target)).collect();
    zones::insert_records(db, &records).await?;
    Ok(())
}

/// Renames where asked, and makes the aliases those of the draft. Old aliases go first: one of them may be the new name.
async fn set_names(db: &mut PgConnection, host: &HostRow, draft: &HostDraft, world: &World) -> Result<(), Refusal> {
    let current = zones::aliases_of(db, host.name.domain()).await?;
    let renamed = host.name != draft.name;
    let goes = |alias: &DomainName| renamed || !draft.aliases.contains(alias);
    let gone: Vec<i64> = current.iter().filter(|(_, alias)| goes(alias)).map(|(node, _)| *node).collect();
    zones::delete_records_of(db, &gone).await?;
    zones::delete_unused_nodes(db, &gone).await?;
    if renamed && is_apex(db, &host.name).await? {
        let why = format!("{} is the apex of a zone, and the zone's own records stand there: add a host of the other name instead", host.name);
        return Err(Refusal::Invalid(vec![Problem::new("apex-is-fixed", "/name", why)]));
    }
    if renamed {
        let node = new_node(draft.name.domain(), false, world)?;
        zones::rename_node(db, host.node, node.zone, &node.name).await?;
    }
    let stays = |alias: &DomainName| current.iter().any(|(_, kept)| kept == alias && !goes(kept));
    let new: Vec<(DomainName, &HostName)> = draft.aliases.iter().filter(|alias| !stays(alias)).map(|alias| (alias.clone(), &draft.name)).collect();
    write_aliases(db, &new, world).await
}
