//! Reads ISC dhcpd's configuration: hosts, groups, subnets, shared networks, pools, ranges, options and those that a file makes itself.
//!
//! `include` is resolved among the files of the same import. What dhcpd decides while it runs (classes, conditions, expressions) has no like
//! here: each such statement is a note with its line.

mod statements;

use super::{DEPTH_LIMIT, DhcpConfig, DhcpSubnet, Told, check_texts, entry};
use crate::inventory::dhcp_options::{self as options, Kind, Word};
use crate::inventory::import::bootptab::Lookup;
use crate::inventory::import::format::UPLOAD_LIMIT_BYTES;
use crate::inventory::import::place::{ERRORS_LIMIT, Errors, ImportError, Place};
use holdfast_proto::words::{Mac, Subnet};
use statements::{STATEMENTS_LIMIT, Statement, Token, statements};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Files may include files so deep.
pub const INCLUDE_DEPTH_LIMIT: usize = 8;
/// So many files may one file include altogether.
pub const INCLUDE_LIMIT_FILES: usize = 256;
/// A name of an option stands in the place of the host's name.
const HOST_NAME: u8 = 12;
const DOMAIN: u8 = 15;

/// Gives the text of an included file by the path that was written, or `None` where it is not given.
pub type Include<'i> = &'i dyn Fn(&str) -> Option<String>;

/// Statements about how dhcpd itself runs, which say nothing to machines.
const SILENT: [&str; 22] = [
    "authoritative",
    "not",
    "log-facility",
    "pid-file-name",
    "lease-file-name",
    "ddns-update-style",
    "ddns-updates",
    "update-static-leases",
    "local-address",
    "local-port",
    "omapi-port",
    "omapi-key",
    "server-identifier",
    "ping-check",
    "ping-timeout",
    "one-lease-per-client",
    "boot-unknown-clients",
    "get-lease-hostnames",
    "max-lease-time",
    "min-lease-time",
    "stash-agent-options",
    "update-optimization",
];

/// What all files of one import may take together: a small file that includes a large one again and again is not small.
#[derive(Debug)]
pub struct Budget {
    statements: usize,
    included_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { statements: STATEMENTS_LIMIT, included_bytes: UPLOAD_LIMIT_BYTES }
    }
}

/// Reads a dhcpd.conf out of the import's budget. Names in the place of addresses are looked up, as dhcpd does.
pub fn parse(file: &str, text: &str, lookup: Lookup<'_>, include: Include<'_>, budget: &mut Budget) -> DhcpConfig {
    let (definitions, found, out) = (HashMap::new(), vec![], DhcpConfig::default());
    let mut reader = Reader { file: file.into(), lookup, include, budget, included: 0, nesting: 0, definitions, found, out };
    reader.file_of(file, text, &Scope::default(), 0);
    DhcpConfig { errors: std::mem::take(&mut reader.found), ..reader.out }
}

/// The files that a text includes, by their base names.
pub fn includes(text: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in text.lines() {
        if let Some(path) = line.trim().strip_prefix("include").and_then(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()) {
            files.push(path.rsplit('/').next().unwrap_or(path).to_owned());
        }
    }
    files
}

/// What holds at a place of the file.
#[derive(Debug, Clone, Default)]
struct Scope {
    /// With all that the network around inherits.
    network: Told,
    /// What groups around add for their hosts alone.
    group: Told,
    in_group: bool,
    /// The subnet whose block this is, by its place in the output.
    subnet: Option<usize>,
    /// `use-host-decl-names`: hosts are told the names that they are declared by.
    tells_names: bool,
}

impl Scope {
    /// What holds for a network that stands here: what the groups around say is its as well.
    fn around_networks(&self) -> Self {
        let network = if self.in_group { self.network.with(&self.group) } else { self.network.clone() };
        Self { network, in_group: false, ..self.clone() }
    }

    fn told(&mut self) -> &mut Told {
        if self.in_group { &mut self.group } else { &mut self.network }
    }
}

struct Reader<'r> {
    file: Arc<str>,
    lookup: Lookup<'r>,
    include: Include<'r>,
    budget: &'r mut Budget,
    included: usize,
    /// How many blocks lie around, across files that include files: each is a level of the stack.
    nesting: usize,
    /// Options that the file makes itself: `option NAME code N = TYPE`.
    definitions: HashMap<String, (u8, Kind)>,
    found: Vec<ImportError>,
    out: DhcpConfig,
}

/// A mistake in a statement.
type Wrong = String;

impl Reader<'_> {
    fn file_of(&mut self, file: &str, text: &str, scope: &Scope, depth: usize) {
        let outer = std::mem::replace(&mut self.file, file.into());
        let mut errors = Errors::new(&self.file);
        let read = statements(text, &mut self.budget.statements, &mut errors);
        self.put_errors(errors);
        let said = self.block(&read, scope.clone(), depth);
        if self.out.subnets.is_empty() && said.network.is_for_subnets() {
            self.note(0, "what the file says for all its networks is left out: there is no subnet in it that would tell it".to_owned());
        }
        self.file = outer;
    }

    /// Parameters first: in dhcpd they hold for the whole block, wherever in it they stand.
    fn block(&mut self, statements: &[Statement], mut scope: Scope, depth: usize) -> Scope {
        for statement in statements.iter().filter(|statement| statement.block.is_none()) {
            if let Err(message) = self.parameter(statement, &mut scope, depth) {
                self.error(statement.line, message);
            }
        }
        if let Some(at) = scope.subnet.filter(|_| !scope.in_group) {
            self.out.subnets[at].told = scope.network.clone();
        }
        for statement in statements {
            if let Some(block) = &statement.block
                && let Err(message) = self.open(statement, block, &scope, depth)
            {
                self.error(statement.line, message);
            }
        }
        scope
    }

    fn open(&mut self, statement: &Statement, block: &[Statement], scope: &Scope, depth: usize) -> Result<(), Wrong> {
        if self.nesting >= DEPTH_LIMIT {
            return Err(format!("blocks lie deeper than {DEPTH_LIMIT} in one another, with the files that are included"));
        }
        self.nesting += 1;
        let read = self.opened(statement, block, scope, depth);
        self.nesting -= 1;
        read
    }

    fn opened(&mut self, statement: &Statement, block: &[Statement], scope: &Scope, depth: usize) -> Result<(), Wrong> {
        match statement.word(0) {
            "subnet" => {
                let network = subnet_of(statement)?;
                let place = Place::new(&self.file, statement.line);
                let around = scope.around_networks();
                let (told, pools, pool_options) = (around.network.clone(), vec![], vec![]);
                self.out.subnets.push(DhcpSubnet { place, network, told, pools, pool_lease_secs: None, pool_options, campus: None });
                let inner = Scope { subnet: Some(self.out.subnets.len() - 1), ..around };
                self.block(block, inner, depth);
            }
            "shared-network" => {
                self.note(statement.line, format!("the shared network {}: its subnets are kept, and not that they lie on one wire", statement.word(1)));
                let (around, before) = (scope.around_networks(), self.out.subnets.len());
                let outer = around.network.clone();
                let said = self.block(block, around, depth);
                if self.out.subnets.len() == before && said.network != outer {
                    self.note(statement.line, format!("what the shared network {} says is left out: there is no subnet in it", statement.word(1)));
                }
            }
            "group" => drop(self.block(block, Scope { in_group: true, ..scope.clone() }, depth)),
            "pool" => self.pool(block, scope),
            "host" => self.host(statement, block, scope)?,
            "subnet6" => self.note(statement.line, format!("subnet6 {} is left out: DHCPv6 has no like here", statement.word(1))),
            "" => return Err("a block without a name".to_owned()),
            other => {
                self.note(statement.line, format!("{other} {} {{ ... }} is left out: there is nothing like it here", statement.word(1)).replace("  ", " "))
            }
        }
        Ok(())
    }

    /// A pool within a subnet: its ranges and options are kept, and whom it lets in is not.
    fn pool(&mut self, block: &[Statement], scope: &Scope) {
        let mut told = Told::default();
        for statement in block {
            match statement.word(0) {
                "range" => {
                    if let Err(message) = self.range(statement, scope) {
                        self.error(statement.line, message);
                    }
                }
                "option" => {
                    if let Err(message) = self.option(statement, &mut told) {
                        self.error(statement.line, message);
                    }
                }
                "default-lease-time" => match (statement.word(1).parse(), scope.subnet) {
                    (Ok(secs), Some(at)) => self.out.subnets[at].pool_lease_secs = Some(secs),
                    _ => self.error(statement.line, "default-lease-time is a number of seconds, of a pool within a subnet".to_owned()),
                },
                "max-lease-time" | "min-lease-time" => {}
                other => self.note(statement.line, format!("{other} of a pool is left out: a pool here lends to everybody, and tells what its subnet does")),
            }
        }
        if let Some(at) = scope.subnet {
            self.out.subnets[at].pool_options.push(told.options);
        }
    }

    fn host(&mut self, statement: &Statement, block: &[Statement], scope: &Scope) -> Result<(), Wrong> {
        let declared = statement.word(1).to_owned();
        if declared.is_empty() {
            return Err("a host has a name: host NAME { ... }".to_owned());
        }
        let mut inner = Scope { in_group: true, subnet: None, ..scope.clone() };
        let (mut mac, mut addresses, mut ddns) = (None, vec![], None);
        for statement in block {
            let read = match statement.word(0) {
                "hardware" => self.hardware(statement).map(|read| mac = read),
                "fixed-address" => self.addresses(statement).map(|read| addresses = read),
                "ddns-hostname" => {
                    ddns = Some(statement.word(1).to_owned());
                    Ok(())
                }
                _ if statement.block.is_some() => self.open(statement, statement.block.as_deref().unwrap_or_default(), &inner, INCLUDE_DEPTH_LIMIT),
                _ => self.parameter(statement, &mut inner, INCLUDE_DEPTH_LIMIT),
            };
            if let Err(message) = read {
                self.error(statement.line, format!("host {declared}: {message}"));
            }
        }
        let line = statement.line;
        match (mac, addresses.is_empty()) {
            (None, _) => self.note(line, format!("host {declared} is left out: it has no hardware ethernet, by which machines are known here")),
            (_, true) => self.note(line, format!("host {declared} has no fixed-address and is left out")),
            (Some(mac), false) => {
                let text = |code: u8, told: &Told| told.options.get(&code).and_then(|bytes| String::from_utf8(bytes.clone()).ok());
                let names = [ddns, Some(declared.clone()), text(HOST_NAME, &inner.group)];
                let name = names.into_iter().flatten().find(|name| name.contains('.')).unwrap_or(declared);
                let name = name.trim_end_matches('.').to_owned();
                let domain = text(DOMAIN, &inner.group).or_else(|| text(DOMAIN, &inner.network));
                let boot = inner.group.boot(name.split('.').next().unwrap_or_default(), inner.tells_names);
                for address in addresses {
                    self.out.entries.push(entry(Place::new(&self.file, line), name.clone(), domain.clone(), mac, address, boot.clone()));
                }
            }
        }
        Ok(())
    }

    fn hardware(&mut self, statement: &Statement) -> Result<Option<Mac>, Wrong> {
        if statement.word(1) != "ethernet" {
            self.note(statement.line, format!("hardware {}: only Ethernet is kept", statement.word(1)));
            return Ok(None);
        }
        // dhcpd takes parts of one digit.
        let text: Vec<String> = statement.word(2).split(':').map(|part| format!("{part:0>2}")).collect();
        let mac = text.join(":").parse().map_err(|_| format!("\"{}\" is not the hardware address of one Ethernet card", statement.word(2)))?;
        Ok(Some(mac))
    }

    fn addresses(&mut self, statement: &Statement) -> Result<Vec<Ipv4Addr>, Wrong> {
        let bytes = options::read(Kind::Addresses, &values(&statement.words[1..])?, self.lookup)?;
        Ok(bytes.chunks_exact(4).map(|four| Ipv4Addr::new(four[0], four[1], four[2], four[3])).collect())
    }

    fn parameter(&mut self, statement: &Statement, scope: &mut Scope, depth: usize) -> Result<(), Wrong> {
        let (line, words) = (statement.line, &statement.words);
        let one = || match words.len() {
            2 => Ok(statement.word(1).to_owned()),
            _ => Err(format!("{} takes one value", statement.word(0))),
        };
        match statement.word(0) {
            "option" => return self.option(statement, scope.told()),
            "include" => return self.include(statement.word(1), scope, depth),
            "range" => {
                self.range(statement, scope)?;
                // Who is lent one of these is told what the subnet says and no more.
                if let Some(at) = scope.subnet {
                    self.out.subnets[at].pool_options.push(BTreeMap::new());
                }
            }
            "filename" => scope.told().boot_file = Some(one()?).filter(|text| !text.is_empty()),
            "server-name" => scope.told().server_name = Some(one()?).filter(|text| !text.is_empty()),
            "next-server" => scope.told().next_server = self.addresses(statement)?.first().copied(),
            "default-lease-time" => {
                let secs = one()?.parse().map_err(|_| "default-lease-time is a number of seconds".to_owned())?;
                scope.told().lease_secs = Some(secs);
            }
            "use-host-decl-names" => scope.tells_names = matches!(one()?.as_str(), "on" | "true"),
            "hardware" | "fixed-address" => return Err(format!("{} belongs into a host", statement.word(0))),
            word if SILENT.contains(&word) || word.starts_with("ddns-") => {}
            word => self.note(line, format!("\"{word}\" is left out: there is nothing like it here")),
        }
        let mut wrong = None;
        check_texts(scope.told(), &mut |message| wrong = Some(message));
        wrong.map_or(Ok(()), Err)
    }

    fn include(&mut self, path: &str, scope: &mut Scope, depth: usize) -> Result<(), Wrong> {
        self.included += 1;
        if depth >= INCLUDE_DEPTH_LIMIT || self.included > INCLUDE_LIMIT_FILES {
            return Err(format!("include \"{path}\": files include files too deep, too often, or within a host"));
        }
        let base = path.rsplit('/').next().unwrap_or(path).to_owned();
        let text = (self.include)(&base).ok_or_else(|| format!("include \"{path}\": give {base} in the same call"))?;
        let left = self.budget.included_bytes.checked_sub(text.len());
        self.budget.included_bytes = left.ok_or_else(|| format!("include \"{path}\": over {} MiB are included by now", UPLOAD_LIMIT_BYTES >> 20))?;
        let outer = std::mem::replace(&mut self.file, base.as_str().into());
        let mut errors = Errors::new(&self.file);
        let read = statements(&text, &mut self.budget.statements, &mut errors);
        self.put_errors(errors);
        *scope = self.block(&read, scope.clone(), depth + 1);
        self.file = outer;
        Ok(())
    }

    fn range(&mut self, statement: &Statement, scope: &Scope) -> Result<(), Wrong> {
        let words: Vec<&str> = statement.words[1..].iter().map(|word| word.text.as_str()).filter(|word| *word != "dynamic-bootp").collect();
        let Some(at) = scope.subnet else { return Err("a range belongs into a subnet".to_owned()) };
        let network = self.out.subnets[at].network;
        let range = match words.as_slice() {
            [one] => one.parse().ok().map(|one: Ipv4Addr| (one, one)),
            [first, last] => first.parse().ok().zip(last.parse().ok()),
            _ => None,
        };
        let inside = |address: Ipv4Addr| network.net().contains(&IpAddr::from(address));
        let (first, last) = range
            .filter(|(first, last): &(Ipv4Addr, Ipv4Addr)| first <= last && inside(*first) && inside(*last))
            .ok_or_else(|| format!("range {} is not a range within {network}", words.join(" ")))?;
        self.out.subnets[at].pools.push((Place::new(&self.file, statement.line), first, last));
        Ok(())
    }

    fn option(&mut self, statement: &Statement, told: &mut Told) -> Result<(), Wrong> {
        let name = statement.word(1);
        match (statement.word(2), name) {
            ("code", _) => return self.define(statement),
            (_, "space") => {
                self.note(statement.line, format!("option space {} is left out", statement.word(2)));
                return Ok(());
            }
            _ => {}
        }
        let unknown = || name.strip_prefix("unknown-").or_else(|| name.strip_prefix("option-"))?.parse().ok();
        let numbered = unknown().filter(|code| (1..=254).contains(code)).map(|code: u8| (code, Kind::Bytes));
        let Some((code, kind)) = self.definitions.get(name).copied().or_else(|| options::by_name(name)).or(numbered) else {
            let message = format!("option {name} is left out: its code is not known; define it (option {name} code N = TYPE) or write unknown-N");
            self.note(statement.line, message);
            return Ok(());
        };
        let (kind, words) = match statement.word(2) {
            "=" => (Kind::Bytes, &statement.words[3..]),
            _ => (kind, &statement.words[2..]),
        };
        if statement.word(2) == "=" && words.len() != 1 {
            self.note(statement.line, format!("option {name} is left out: its value is worked out while dhcpd runs"));
            return Ok(());
        }
        let value = options::read(kind, &values(words)?, self.lookup).map_err(|wrong| format!("option {name}: {wrong}"))?;
        told.options.insert(code, value);
        Ok(())
    }

    /// `option NAME code N = TYPE`.
    fn define(&mut self, statement: &Statement) -> Result<(), Wrong> {
        let words: Vec<&str> = statement.words[5.min(statement.words.len())..].iter().map(|word| word.text.as_str()).collect();
        let code = statement.word(3).parse().ok().filter(|code| (1..=254).contains(code) && statement.word(4) == "=");
        let code: u8 = code.ok_or("an option is defined so: option NAME code N = TYPE, with N from 1 to 254")?;
        let integer = |words: &[&str]| match words {
            [.., "integer", bits] => bits.parse::<usize>().ok().filter(|bits| [8, 16, 32].contains(bits)).map(|bits| bits / 8),
            _ => None,
        };
        let kind = match words.as_slice() {
            ["ip-address"] | ["array", "of", "ip-address"] => Some(Kind::Addresses),
            ["text"] => Some(Kind::Text),
            ["string"] => Some(Kind::Bytes),
            ["boolean"] => Some(Kind::Flag),
            ["domain-list", ..] => Some(Kind::Names),
            ["array", "of", rest @ ..] => integer(rest).map(Kind::Numbers),
            rest => integer(rest).map(Kind::Number),
        };
        match kind {
            Some(kind) => drop(self.definitions.insert(statement.word(1).to_owned(), (code, kind))),
            None => self.note(statement.line, format!("option {} is left out: its type \"{}\" has no like here", statement.word(1), words.join(" "))),
        }
        Ok(())
    }

    fn note(&mut self, line: u32, message: String) {
        self.out.note(Place::new(&self.file, line), message);
    }

    fn put_errors(&mut self, errors: Errors) {
        let room = ERRORS_LIMIT.saturating_sub(self.found.len());
        self.found.extend(errors.into_vec().into_iter().take(room));
    }

    fn error(&mut self, line: u32, message: String) {
        if self.found.len() < ERRORS_LIMIT {
            self.found.push(ImportError::new(Place::new(&self.file, line), message));
        }
    }
}

fn subnet_of(statement: &Statement) -> Result<Subnet, Wrong> {
    let wrong = || format!("subnet {} netmask {} is no network: write subnet 10.1.4.0 netmask 255.255.252.0", statement.word(1), statement.word(3));
    let (address, mask): (Ipv4Addr, Ipv4Addr) = statement.word(1).parse().ok().zip(statement.word(3).parse().ok()).ok_or_else(wrong)?;
    let length = u32::from(mask).leading_ones();
    let is_mask = statement.word(2) == "netmask" && length + u32::from(mask).trailing_zeros() == 32;
    let subnet = Subnet::around(address.into(), length as u8).filter(|subnet| is_mask && subnet.net().network() == IpAddr::from(address));
    subnet.ok_or_else(wrong)
}

/// The values between commas, one word each.
fn values(words: &[Token]) -> Result<Vec<Word<'_>>, Wrong> {
    let parts = words.split(|word| !word.quoted && word.text == ",");
    let value = |part: &'_ [Token]| match part {
        [one] => Ok(()).map(|()| one.clone()),
        [] => Err("a value is missing between commas, or after the name".to_owned()),
        [first, ..] => Err(format!("a comma or a semicolon is missing after \"{}\"", first.text)),
    };
    for part in parts.clone() {
        value(part)?;
    }
    Ok(parts.filter_map(|part| part.first()).map(|word| Word { text: &word.text, quoted: word.quoted }).collect())
}

#[cfg(test)]
mod tests;
