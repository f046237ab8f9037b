//! bootpd's table (CMU bootpd 2.4.3 with Debian's DHCP tags): templates under their names, then machines by campus and building.
//!
//! A machine keeps the templates that it was written with. What those come to is worked out by the importer's own evaluator, and the machine's
//! entry says the difference to what it is really told; so an edit of the database since then is right here, too, and a table that nobody edited
//! comes back as it was.

use super::groups::{Booting, Levels, Map, booting, seats, v4};
use super::{Estate, remark};
use crate::inventory::import::bootptab::{ADDRESSES_LIMIT, ENTRY_LIMIT_CHARS, Effective, parse};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{Result, Write};
use std::net::{IpAddr, Ipv4Addr};

const MASK: u8 = 1;
const OFFSET: u8 = 2;
const ROUTERS: u8 = 3;
const BOOT_SIZE: u8 = 13;
const DOMAIN: u8 = 15;
const LEASE_SECS: u8 = 51;

/// Tags of addresses and of text, by the option that each is.
const OF_ADDRESSES: [(u8, &str); 11] =
    [(4, "ts"), (5, "ns"), (6, "ds"), (7, "lg"), (8, "cs"), (9, "lp"), (10, "im"), (11, "rl"), (16, "sw"), (41, "ys"), (42, "nt")];
const OF_TEXT: [(u8, &str); 5] = [(14, "df"), (15, "dn"), (17, "rp"), (18, "ef"), (40, "yd")];

/// What a machine is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wanted {
    mask: Option<Ipv4Addr>,
    gateways: Vec<Ipv4Addr>,
    next_server: Option<Ipv4Addr>,
    boot_file: String,
    wait_secs: u16,
    send_host_name: bool,
    options: BTreeMap<u8, Vec<u8>>,
}

pub(super) fn write(estate: &Estate, out: &mut dyn Write) -> Result {
    writeln!(out, "# bootptab: templates, then machines by campus and building")?;
    let map = Map::of(estate);
    let order = seats(estate, &map);
    let machines = booting(&order);
    let templates = Templates::of(estate, &machines, out)?;
    let levels = Levels::of(estate);
    let mut labels: HashMap<String, usize> = HashMap::new();
    for machine in &machines {
        *labels.entry(machine.seat.host.name.first_label()).or_default() += 1;
    }
    let mut of_subnets = HashMap::new();
    let mut group = None;
    for machine in &machines {
        let (campus, building) = (machine.seat.campus, machine.seat.building);
        if group.replace((campus, building)) != Some((campus, building)) {
            let building = if building.is_empty() { String::new() } else { format!(", building {}", remark(building)) };
            writeln!(out, "\n# campus {}{building}", remark(campus))?;
        }
        let Some(net) = v4(machine.subnet) else { continue };
        let of_subnet = of_subnets.entry(machine.subnet.network).or_insert_with(|| levels.subnet(machine.subnet, net));
        let boot = levels.machine(machine);
        let mut options = of_subnet.options.clone();
        for option in boot.options {
            match option.value {
                Some(value) => drop(options.insert(option.code, value)),
                None => drop(options.remove(&option.code)),
            }
        }
        let gateways = addresses(&options.remove(&ROUTERS).unwrap_or_default()).unwrap_or_default();
        let mask = options.remove(&MASK).and_then(|value| <[u8; 4]>::try_from(value).ok()).map(Ipv4Addr::from);
        let (next_server, boot_file) = (boot.next_server, boot.boot_file);
        let wanted = Wanted { mask, gateways, next_server, boot_file, wait_secs: boot.wait_secs, send_host_name: boot.send_host_name, options };
        if !boot.server_name.is_empty() {
            writeln!(out, "# the next is told the boot server's name {}, for which there is no tag", remark(&boot.server_name))?;
        }
        let alone = labels[&machine.seat.host.name.first_label()] == 1;
        entry(out, machine, &wanted, &templates, alone)?;
    }
    Ok(())
}

/// The templates as they can be written, and what each list of them comes to.
struct Templates {
    /// By the list of names.
    inherited: HashMap<Vec<String>, Effective>,
    /// Codes of `T` tags in the templates: they cannot be taken away again.
    generic: HashSet<u8>,
}

impl Templates {
    /// Writes them, parents first. Ones that bootpd could not read are written as comments and used by nobody.
    fn of(estate: &Estate, machines: &[Booting<'_>], out: &mut dyn Write) -> std::result::Result<Self, std::fmt::Error> {
        let mut text = String::new();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut waiting: Vec<_> = estate.templates.iter().collect();
        loop {
            let (ready, rest): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|template| template.parents.iter().all(|parent| done.contains(parent.as_str())));
            for template in &ready {
                let parents = template.parents.iter().map(|parent| format!("tc={parent}"));
                let fields: Vec<String> = std::iter::once(template.name.clone()).chain(parents).chain(template.tags.iter().cloned()).collect();
                writeln!(text, "{}:", fields.join(":"))?;
                done.insert(&template.name);
            }
            waiting = rest;
            if ready.is_empty() {
                break;
            }
        }
        for template in waiting {
            writeln!(out, "# the template {} builds on one that is gone, and is left out", remark(&template.name))?;
        }
        let names = names(estate);
        let lookup = |name: &str| names.get(name).copied();
        let lists: Vec<Vec<String>> = machines.iter().map(|machine| machine.seat.interface.templates.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let mut probe = text.clone();
        for (number, list) in lists.iter().enumerate() {
            let usable = list.iter().all(|name| done.contains(name.as_str()));
            let parents: String = list.iter().filter(|_| usable).map(|name| format!(":tc={name}")).collect();
            writeln!(probe, "probe{number}{parents}:")?;
        }
        let read = parse("templates", &probe, &lookup);
        if !read.errors.is_empty() {
            writeln!(out, "# bootpd could not read these templates, and nobody is written with them:")?;
            text.lines().try_for_each(|line| writeln!(out, "# {}", remark(line)))?;
            return Ok(Self { inherited: HashMap::new(), generic: HashSet::new() });
        }
        write!(out, "{text}")?;
        let numbers = estate.templates.iter().flat_map(|template| &template.tags);
        let generic = numbers.filter_map(|tag| tag.strip_prefix('T')?.split('=').next()?.trim().parse().ok()).collect();
        // A list of templates of which one is gone came to nothing in the probe, and is used by nobody.
        let effective = lists.into_iter().zip(read.entries).filter(|(list, entry)| !list.is_empty() && entry.parents == *list);
        Ok(Self { inherited: effective.map(|(list, entry)| (list, entry.effective)).collect(), generic })
    }
}

/// IPv4 addresses by full name, for tags that name machines.
fn names(estate: &Estate) -> HashMap<String, Ipv4Addr> {
    let mut names = HashMap::new();
    for host in &estate.hosts {
        let first = host.interfaces.iter().flat_map(|interface| &interface.addresses).find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        if let Some(address) = first {
            names.insert(host.name.first_label(), address);
            names.insert(host.name.to_string(), address);
        }
    }
    names
}

fn entry(out: &mut dyn Write, machine: &Booting<'_>, wanted: &Wanted, templates: &Templates, alone: bool) -> Result {
    let full = machine.seat.host.name.to_string();
    let label = machine.seat.host.name.first_label();
    // A line break in it would begin an entry of its own.
    if !wanted.boot_file.is_empty() && plain(wanted.boot_file.as_bytes()).is_none() {
        return writeln!(out, "# {full} boots a file whose name cannot stand in a table, and is left out");
    }
    // A bare name is completed by dn, as long as nobody else is called so.
    let domain = wanted.options.get(&DOMAIN).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let name = if alone && format!("{label}.{domain}") == full { &label } else { &full };
    let list = &machine.seat.interface.templates;
    let inherited = templates.inherited.get(list);
    let tags = inherited.and_then(|inherited| {
        let mut tags: Vec<String> = list.iter().map(|parent| format!("tc={parent}")).collect();
        let said: BTreeMap<u8, Vec<u8>> = inherited.boot.options.iter().filter_map(|one| Some((one.code, one.value.clone()?))).collect();
        let is_stuck = said.keys().any(|code| !wanted.options.contains_key(code) && templates.generic.contains(code));
        tags.extend(difference(wanted, &from(inherited, said), &templates.generic));
        (!is_stuck).then_some(tags)
    });
    let tags = tags.unwrap_or_else(|| difference(wanted, &Wanted::default(), &HashSet::new()));
    let place = [format!("ha={}", hex::encode(machine.mac.0)), format!("ip={}", machine.address)];
    let line = format!("{name}:{}:", tags.into_iter().chain(place).collect::<Vec<_>>().join(":"));
    if line.chars().count() > ENTRY_LIMIT_CHARS {
        return writeln!(out, "# {full} is told more than bootpd can read ({ENTRY_LIMIT_CHARS} characters) and is left out");
    }
    writeln!(out, "{line}")
}

fn from(inherited: &Effective, options: BTreeMap<u8, Vec<u8>>) -> Wanted {
    let boot = &inherited.boot;
    Wanted {
        mask: inherited.mask,
        gateways: inherited.gateways.clone(),
        next_server: boot.next_server,
        boot_file: boot.boot_file.clone(),
        wait_secs: boot.wait_secs,
        send_host_name: boot.send_host_name,
        options,
    }
}

/// The tags that make what is wanted of what is there.
fn difference(wanted: &Wanted, there: &Wanted, generic: &HashSet<u8>) -> Vec<String> {
    let mut tags = Vec::new();
    let mut one = |tag: &str, is_same: bool, value: Option<String>| {
        if !is_same {
            tags.push(value.map_or_else(|| format!("{tag}@"), |value| format!("{tag}={value}")));
        }
    };
    one("sm", wanted.mask == there.mask, wanted.mask.map(|mask| mask.to_string()));
    let gateways = Some(&wanted.gateways).filter(|gateways| !gateways.is_empty() && gateways.len() <= ADDRESSES_LIMIT);
    one("gw", wanted.gateways == there.gateways, gateways.map(|gateways| blanks(gateways)));
    one("sa", wanted.next_server == there.next_server, wanted.next_server.map(|server| server.to_string()));
    one("mw", wanted.wait_secs == there.wait_secs, Some(wanted.wait_secs.to_string()).filter(|_| wanted.wait_secs > 0));
    if wanted.boot_file != there.boot_file {
        // A directory that is inherited would stand before a file that is not absolute.
        if !wanted.boot_file.starts_with('/') {
            one("hd", false, None);
        }
        one("bf", false, Some(quoted(&wanted.boot_file)).filter(|_| !wanted.boot_file.is_empty()));
    }
    match (wanted.send_host_name, there.send_host_name) {
        (true, false) => tags.push("hn".to_owned()),
        (false, true) => tags.push("hn@".to_owned()),
        _ => {}
    }
    for code in there.options.keys().filter(|code| !wanted.options.contains_key(code)) {
        tags.extend(tag_of(*code).map(|tag| format!("{tag}@")));
    }
    for (code, value) in wanted.options.iter().filter(|(code, value)| there.options.get(code) != Some(value)) {
        let named = (!generic.contains(code)).then(|| named(*code, value)).flatten();
        tags.push(named.unwrap_or_else(|| numbered(*code, value)));
    }
    tags
}

fn tag_of(code: u8) -> Option<&'static str> {
    let others = [(OFFSET, "to"), (BOOT_SIZE, "bs"), (LEASE_SECS, "dl")];
    OF_ADDRESSES.iter().chain(&OF_TEXT).chain(&others).find(|(known, _)| *known == code).map(|(_, tag)| *tag)
}

/// An option as its own tag, where its value is one that the tag takes.
fn named(code: u8, value: &[u8]) -> Option<String> {
    let tag = tag_of(code)?;
    let text = match code {
        OFFSET => i32::from_be_bytes(value.try_into().ok()?).to_string(),
        LEASE_SECS => u32::from_be_bytes(value.try_into().ok()?).to_string(),
        BOOT_SIZE => u16::from_be_bytes(value.try_into().ok()?).to_string(),
        _ if OF_ADDRESSES.iter().any(|(known, _)| *known == code) => {
            let addresses = addresses(value).filter(|addresses| !addresses.is_empty() && addresses.len() <= ADDRESSES_LIMIT)?;
            // bootpd takes one swap server.
            blanks(Some(&addresses).filter(|addresses| tag != "sw" || addresses.len() == 1)?)
        }
        _ => quoted(plain(value)?),
    };
    Some(format!("{tag}={text}"))
}

/// An option by its number: as text where it ends with the zero that bootpd counts, else as bytes.
fn numbered(code: u8, value: &[u8]) -> String {
    let text = value.split_last().filter(|(last, _)| **last == 0).and_then(|(_, text)| plain(text));
    text.map_or_else(|| format!("T{code}={}", hex::encode(value)), |text| format!("T{code}=\"{}\"", escaped(text)))
}

/// Text that stands in a table as it is.
fn plain(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| !text.is_empty() && text.chars().all(|c| c == ' ' || c.is_ascii_graphic()))
}

fn quoted(text: &str) -> String {
    let is_bare = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_' | '+'));
    if is_bare { text.to_owned() } else { format!("\"{}\"", escaped(text)) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn addresses(bytes: &[u8]) -> Option<Vec<Ipv4Addr>> {
    bytes.len().is_multiple_of(4).then(|| bytes.chunks_exact(4).map(|four| Ipv4Addr::new(four[0], four[1], four[2], four[3])).collect())
}

fn blanks(addresses: &[Ipv4Addr]) -> String {
    addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ")
}
