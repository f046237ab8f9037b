//! Reads a bootptab with its templates, and works out what each host is told (CMU bootpd 2.4.3 with Debian's DHCP tags).
//!
//! Templates stay objects, so that they can be shown and exported again; entries come with the templates worked in. Where
//! bootpd drops a whole entry silently for one bad tag, every bad tag is an error here. What only bootpd's own machine can
//! know (`bs=auto`, `to=auto`) or do (`ex` runs a command) is left out and noted. Pure: text in, entries and errors out.

mod entries;
mod tags;

use super::place::{Errors, ImportError, Place};
use crate::inventory::{BootParameters, OptionDraft};
use entries::{Field, RawEntry};
use holdfast_proto::words::Mac;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tags::{Kind, TAGS, Value};

pub use entries::ENTRY_LIMIT_CHARS;
pub use tags::{ADDRESSES_LIMIT, Lookup};

/// What a bootptab says.
#[derive(Debug, Default)]
pub struct Bootptab {
    /// Entries whose name starts with a dot.
    pub templates: Vec<Template>,
    /// The other entries.
    pub entries: Vec<BootEntry>,
    /// What was left out and why: the tag, where it stood first, a sentence.
    pub notes: Vec<Note>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// A tag that was read and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where the tag stands for the first time.
    pub place: Place,
    /// A sentence.
    pub message: String,
}

/// A template as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Where it stands.
    pub place: Place,
    /// Its name with the dot.
    pub name: String,
    /// The templates it names with `tc`, in order.
    pub parents: Vec<String>,
    /// Its other tags as written.
    pub tags: Vec<String>,
}

/// A host's entry as written, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// Where it stands.
    pub place: Place,
    /// Its name, bare or with a domain.
    pub name: String,
    /// The templates it names with `tc`, in order.
    pub parents: Vec<String>,
    /// Its other tags as written.
    pub tags: Vec<String>,
    /// With the templates worked in.
    pub effective: Effective,
}

/// What bootpd would know of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// `ip`.
    pub address: Option<Ipv4Addr>,
    /// `ht`, 1 (Ethernet) where it is not written.
    pub htype: u8,
    /// `ha`.
    pub hardware: Option<Vec<u8>>,
    /// `sm`.
    pub mask: Option<Ipv4Addr>,
    /// `gw`.
    pub gateways: Vec<Ipv4Addr>,
    /// `dn`, which completes the entry's name.
    pub domain: Option<String>,
    /// Everything the client is told, without mask and gateway.
    pub boot: BootParameters,
}

impl Effective {
    /// The hardware address, where it is an Ethernet one that a host may have.
    pub fn mac(&self) -> Option<Mac> {
        let bytes = self.hardware.as_deref().filter(|_| self.htype == 1)?;
        hex::encode(bytes).parse().ok()
    }
}

/// Reads a bootptab. Names in the place of addresses are looked up, as bootpd does when it reads.
pub fn parse(file: &str, text: &str, lookup: Lookup<'_>) -> Bootptab {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let raw = entries::entries(text, &mut errors);
    let mut reader = Reader { file, lookup, known: HashMap::new(), noted: BTreeSet::new(), errors, out: Bootptab::default() };
    for entry in raw {
        reader.read(entry);
    }
    Bootptab { errors: reader.errors.into_vec(), ..reader.out }
}

/// The tags of an entry with its templates worked in.
#[derive(Debug, Clone, Default)]
struct Values {
    set: BTreeMap<&'static str, Value>,
    /// Deleted and not set since: what a subnet says must not come back either.
    deleted: BTreeSet<&'static str>,
    generic: BTreeMap<u8, Vec<u8>>,
}

struct Reader<'l> {
    file: Arc<str>,
    lookup: Lookup<'l>,
    known: HashMap<String, (u32, Values)>,
    noted: BTreeSet<&'static str>,
    errors: Errors,
    out: Bootptab,
}

impl Reader<'_> {
    fn read(&mut self, entry: RawEntry) {
        let name = tags::unquote(&entry.name.text);
        let mut values = Values::default();
        let mut parents = Vec::new();
        let mut own = Vec::new();
        for field in &entry.tags {
            match self.apply(field, &mut values) {
                Ok(Some(parent)) => parents.push(parent),
                Ok(None) => own.push(field.text.clone()),
                Err(message) => self.errors.at(field.line, format!("{name}: {message}")),
            }
        }
        let place = Place::new(&self.file, entry.name.line);
        if name.starts_with('.') {
            if let Some((line, _)) = self.known.get(&name) {
                self.errors.at(entry.name.line, format!("the template {name} stands in line {line} already: rename one of them"));
            }
            self.out.templates.push(Template { place, name: name.clone(), parents, tags: own });
        } else {
            let effective = effective(&values);
            self.check(&name, &entry, &effective);
            self.out.entries.push(BootEntry { place, name: name.clone(), parents, tags: own, effective });
        }
        self.known.entry(name).or_insert((entry.name.line, values));
    }

    /// Works one tag in. Gives the name of the template where it is a `tc`.
    fn apply(&mut self, field: &Field, values: &mut Values) -> Result<Option<String>, String> {
        let (tag, text) = match field.text.split_once('=') {
            Some((tag, text)) => (tag.trim_end(), Some(text.trim_start())),
            None => (field.text.as_str(), None),
        };
        if tag == "tc" {
            return self.inherit(text, values).map(Some);
        }
        if let Some(digits) = tag.strip_prefix('T') {
            return apply_generic(tag, digits, text, values).map(|()| None);
        }
        let bare = tag.strip_suffix('@').filter(|_| text.is_none());
        let known = TAGS.iter().find(|(name, ..)| *name == bare.unwrap_or(tag));
        let (name, kind, _) = known.ok_or_else(|| format!("\"{tag}\" is not a tag of a bootptab"))?;
        if bare.is_some() {
            values.set.remove(name);
            values.deleted.insert(name);
            return Ok(None);
        }
        let value = tags::read(name, *kind, text, self.lookup)?;
        self.note(name, *kind, &value, field.line, text);
        check_hardware(name, &value, values)?;
        values.deleted.remove(name);
        values.set.insert(name, value);
        Ok(None)
    }

    fn inherit(&self, text: Option<&str>, values: &mut Values) -> Result<String, String> {
        let name = tags::unquote(text.ok_or("tc wants the name of an earlier entry: write tc=.name")?);
        let (_, parent) = self.known.get(&name).ok_or_else(|| format!("tc names {name}, which is no entry above this one"))?;
        for (tag, value) in parent.set.iter().filter(|(tag, _)| !matches!(**tag, "ha" | "ip")) {
            if !values.set.contains_key(tag) {
                values.set.insert(tag, value.clone());
                values.deleted.remove(tag);
            }
        }
        if values.generic.is_empty() {
            values.generic.clone_from(&parent.generic);
        }
        let gone = parent.deleted.iter().filter(|tag| !values.set.contains_key(*tag));
        values.deleted.extend(gone);
        Ok(name)
    }

    /// Notes a tag that is left out, once per file.
    fn note(&mut self, tag: &'static str, kind: Kind, value: &Value, line: u32, text: Option<&str>) {
        let why = match (tag, kind, value) {
            ("ex", ..) => "ex is left out: Holdfast never runs a command because a machine boots",
            ("bs", _, Value::Auto) => "bs=auto is left out: the boot file is on another machine; write its size in 512-byte blocks if a client needs it",
            ("to", _, Value::Auto) => "to=auto is left out: write the seconds east of UTC if a client needs them",
            ("vm", ..) if text.is_some_and(|text| matches!(text, "auto" | "rfc1048" | "rfc1084")) => return,
            ("td", ..) => "td is left out: it is a directory of bootpd's own machine",
            (_, Kind::Ignored, _) => "this tag is left out: the reply's size, address and cookie follow the client's request",
            _ => return,
        };
        if self.noted.insert(tag) {
            let message = if tag.len() == 2 && why.starts_with("this tag") { format!("{tag}: {why}") } else { why.to_owned() };
            self.out.notes.push(Note { place: Place::new(&self.file, line), message });
        }
    }

    fn check(&mut self, name: &str, entry: &RawEntry, effective: &Effective) {
        let line = entry.name.line;
        if effective.htype == 1 && effective.hardware.is_some() && effective.mac().is_none() {
            self.errors.at(line, format!("{name}: ha is not the address of one Ethernet card: 12 hexadecimal digits, no group address, not all zero"));
        }
        if effective.mask.is_some_and(|mask| u32::from(mask).leading_ones() + u32::from(mask).trailing_zeros() != 32) {
            self.errors.at(line, format!("{name}: sm is not a mask of ones followed by zeros"));
        }
        let file = &effective.boot.boot_file;
        if file.len() > 127 {
            self.errors.at(line, format!("{name}: hd and bf together have {} bytes; there is room for 127", file.len()));
        }
    }
}

fn apply_generic(tag: &str, digits: &str, text: Option<&str>, values: &mut Values) -> Result<(), String> {
    let code = digits.parse().ok().filter(|code| (1..=254).contains(code) && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let code: u8 = code.ok_or_else(|| format!("\"{tag}\" is not T and a number from 1 to 254 (a T tag cannot be deleted with @ either)"))?;
    let text = text.ok_or_else(|| format!("{tag} wants a value: write {tag}=\"text\" or {tag}=hexadecimal"))?;
    values.generic.insert(code, tags::read_generic(tag, text)?);
    Ok(())
}

/// The address is read by the type that stands before it (bootpd's rule), so a type afterwards would change its meaning.
fn check_hardware(tag: &str, value: &Value, values: &Values) -> Result<(), String> {
    match tag {
        "ht" if values.set.contains_key("ha") && values.set.get("ht") != Some(value) => Err("ht must stand before ha".to_owned()),
        _ => Ok(()),
    }
}

fn effective(values: &Values) -> Effective {
    let addresses = |tag: &str| match values.set.get(tag) {
        Some(Value::Addresses(addresses)) => addresses.clone(),
        _ => vec![],
    };
    let text = |tag: &str| match values.set.get(tag) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let bytes = |tag: &str| match values.set.get(tag) {
        Some(Value::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    };
    let wait = match values.set.get("mw") {
        Some(Value::Number(number)) => u16::try_from(*number).unwrap_or(u16::MAX),
        _ => 0,
    };
    Effective {
        address: addresses("ip").first().copied(),
        htype: bytes("ht").and_then(|number| number.first().copied()).unwrap_or(1),
        hardware: bytes("ha"),
        mask: addresses("sm").first().copied(),
        gateways: addresses("gw"),
        domain: text("dn"),
        boot: BootParameters {
            next_server: addresses("sa").first().copied(),
            server_name: String::new(),
            boot_file: boot_file(text("hd"), text("bf")),
            wait_secs: wait,
            send_host_name: values.set.contains_key("hn"),
            options: options(values),
        },
    }
}

/// bootpd puts `hd` before a boot file that is not absolute; `hd` alone gives no file.
fn boot_file(directory: Option<String>, file: Option<String>) -> String {
    match (directory, file) {
        (_, None) => String::new(),
        (Some(directory), Some(file)) if !file.starts_with('/') => format!("{}/{file}", directory.trim_end_matches('/')),
        (_, Some(file)) => file,
    }
}

/// Ascending by code. A `T` tag wins over a named one, as it stands later in bootpd's reply.
fn options(values: &Values) -> Vec<OptionDraft> {
    let mut options = BTreeMap::new();
    for (tag, _, code) in TAGS {
        let Some(code) = code else { continue };
        if values.deleted.contains(tag) {
            options.insert(*code, None);
        }
        if let Some(bytes) = values.set.get(tag).and_then(|value| tags::option_bytes(tag, value)) {
            options.insert(*code, Some(bytes));
        }
    }
    options.extend(values.generic.iter().map(|(code, bytes)| (*code, Some(bytes.clone()))));
    options.into_iter().map(|(code, value)| OptionDraft { code, value }).collect()
}

#[cfg(test)]
mod tests;
