//! Reads a table of hosts: our own `hosts.csv`, which is what an export writes, and tables of others by mapped columns.
//!
//! A line is an interface; several lines with one name are one host. A host that is there becomes as its lines say, in what the table has columns
//! for; so the same table twice changes nothing the second time. Interfaces, and addresses of a family, that no line names stay.
//! Pure: text in, lines and errors out.

use super::place::{Errors, ImportError, Place};
use super::table::{self, Columns, Mapping, OPTIONS_HELP, Row, list, read_options};
use crate::db::responsibility::ContactRole;
use crate::inventory::{HostContact, HostDraft, InterfaceDraft, OtherAddressDraft, Pointer};
use holdfast_proto::words::{DomainName, HostName, Mac};
use std::net::IpAddr;
use std::sync::Arc;

/// All columns. `owner` are the contacts in that role; `contacts` all others, each with its role.
pub const COLUMNS: [&str; 32] = [
    "name",
    "mac",
    "ip",
    "campus",
    "department",
    "building",
    "room",
    "outlet",
    "rack",
    "rack_position",
    "switch_port",
    "asset_tag",
    "class",
    "owner",
    "contacts",
    "hardware",
    "os",
    "location",
    "contact",
    "comment",
    "aliases",
    "names",
    "pointers",
    "other_addresses",
    "next_server",
    "server_name",
    "boot_file",
    "wait_secs",
    "send_host_name",
    "options",
    "templates",
    "domain",
];
const TABLE: Columns = Columns {
    known: &COLUMNS,
    needed: &["name"],
    also: &[("ip_address", "ip"), ("address", "ip"), ("mac_address", "mac"), ("hostname", "name")],
    others_are_noted: false,
};

/// A line of the table.
#[derive(Debug)]
pub struct HostLine {
    row: Row,
    /// Its name, bare or full.
    pub name: String,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What the table says.
#[derive(Debug, Default)]
pub struct Hosts {
    /// The lines in order.
    pub lines: Vec<HostLine>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// Reads a hosts.csv.
pub fn parse(file: &str, text: &str, mapping: &Mapping) -> Hosts {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let mut lines = Vec::new();
    for row in table::read(&file, text, &TABLE, mapping, &mut errors).rows {
        let place = row.place.clone();
        match HostLine::of(row) {
            Ok(line) => lines.push(line),
            Err(problems) => problems.into_iter().for_each(|problem| errors.push(place.clone(), problem)),
        }
    }
    Hosts { lines, errors: errors.into_vec() }
}

impl HostLine {
    fn of(row: Row) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let name = row.cell("name").unwrap_or_default().trim_end_matches('.').to_owned();
        if name.is_empty() {
            problems.push("the name is empty".to_owned());
        }
        let mac = row.cell("mac").map(|text| text.parse().map_err(|_| format!("mac \"{text}\" is not the hardware address of one Ethernet card")));
        let mac = mac.transpose().map_err(|problem| problems.push(problem)).ok().flatten();
        let addresses = row.said("ip").map(|text| list(text).ok_or_else(|| format!("ip \"{text}\" should be addresses with blanks between")));
        let addresses = addresses.transpose().map_err(|problem| problems.push(problem)).ok().flatten().unwrap_or_default();
        let line = Self { row, name, mac, addresses };
        // Tried on a host of straw, so that every wrong cell is said where it stands.
        let mut straw = HostDraft::named("a.b".parse().map_err(|_| vec![])?);
        problems.extend(line.apply(&mut straw).err().unwrap_or_default());
        problems.extend(line.apply_to_interface(&mut InterfaceDraft::default()).err().unwrap_or_default());
        if problems.is_empty() { Ok(line) } else { Err(problems) }
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.row.place
    }

    /// The text of a column, where it has some.
    pub fn cell(&self, column: &str) -> Option<&str> {
        self.row.cell(column)
    }

    /// Whether the table has this column.
    pub fn says(&self, column: &str) -> bool {
        self.row.said(column).is_some()
    }

    /// Whether the line describes an interface.
    pub fn has_interface(&self) -> bool {
        self.mac.is_some() || !self.addresses.is_empty()
    }

    /// Works the cells about the host itself into it.
    pub fn apply(&self, host: &mut HostDraft) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let equipment = &mut host.equipment;
        let texts = [
            ("hardware", &mut host.hardware),
            ("os", &mut host.os),
            ("location", &mut host.location),
            ("contact", &mut host.contact),
            ("comment", &mut host.comment),
            ("building", &mut equipment.building),
            ("room", &mut equipment.room),
            ("outlet", &mut equipment.outlet),
            ("rack", &mut equipment.rack),
            ("rack_position", &mut equipment.rack_position),
            ("switch_port", &mut equipment.switch_port),
            ("asset_tag", &mut equipment.asset_tag),
        ];
        for (column, field) in texts {
            if let Some(text) = self.row.said(column) {
                text.clone_into(field);
            }
        }
        let options = [("department", &mut host.department), ("class", &mut equipment.class)];
        for (column, field) in options {
            if let Some(text) = self.row.said(column) {
                *field = Some(text.to_owned()).filter(|text| !text.is_empty());
            }
        }
        let mut put = |column: &str, wanted: &str, read: &mut dyn FnMut(&str) -> Option<()>| {
            if let Some(text) = self.row.said(column)
                && read(text).is_none()
            {
                problems.push(format!("{column} \"{text}\" should be {wanted}"));
            }
        };
        put("aliases", "names with blanks between", &mut |text| list(text).map(|names| host.aliases = names));
        put("names", "names with blanks between", &mut |text| list(text).map(|names| host.names = names));
        put("pointers", "ADDRESS=NAME, several names with | between", &mut |text| read_pointers(text).map(|pointers| host.pointers = pointers));
        put("other_addresses", "FAMILY=VALUE with blanks between", &mut |text| read_others(text).map(|others| host.other_addresses = others));
        put("owner", "handles of contacts with blanks between", &mut |text| {
            let owners = text.split_ascii_whitespace().map(|handle| HostContact { role: ContactRole::Owner, contact: handle.to_owned() });
            let owners: Vec<HostContact> = owners.collect();
            let others = std::mem::take(&mut host.contacts).into_iter().filter(|one| one.role != ContactRole::Owner);
            host.contacts = owners.into_iter().chain(others).collect();
            Some(())
        });
        put("contacts", "ROLE:HANDLE with blanks between", &mut |text| {
            let others = read_contacts(text)?;
            host.contacts.retain(|one| one.role == ContactRole::Owner);
            host.contacts.extend(others);
            Some(())
        });
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Works the cells about its interface into it, but for its addresses.
    pub fn apply_to_interface(&self, interface: &mut InterfaceDraft) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        if self.says("mac") {
            interface.mac = self.mac;
        }
        let boot = &mut interface.boot;
        for (column, field) in [("server_name", &mut boot.server_name), ("boot_file", &mut boot.boot_file)] {
            if let Some(text) = self.row.said(column) {
                text.clone_into(field);
            }
        }
        let mut put = |column: &str, wanted: &str, read: &mut dyn FnMut(&str) -> Option<()>| {
            if let Some(text) = self.row.said(column)
                && read(text).is_none()
            {
                problems.push(format!("{column} \"{text}\" should be {wanted}"));
            }
        };
        put("next_server", "an IPv4 address, or empty", &mut |text| {
            boot.next_server = if text.is_empty() { None } else { Some(text.parse().ok()?) };
            Some(())
        });
        put("wait_secs", "seconds", &mut |text| {
            boot.wait_secs = if text.is_empty() { 0 } else { text.parse().ok()? };
            Some(())
        });
        put("send_host_name", "yes or no", &mut |text| {
            boot.send_host_name = match text {
                "" | "yes" | "true" => true,
                "no" | "false" => false,
                _ => return None,
            };
            Some(())
        });
        put("options", OPTIONS_HELP, &mut |text| read_options(text).map(|options| boot.options = options));
        put("templates", "names of templates with blanks between", &mut |text| list(text).map(|templates| interface.templates = templates));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The full name: with its own domain behind it where it is bare, or this one.
    pub fn full_name(&self, domain: Option<&str>) -> Result<HostName, String> {
        super::full_name(&self.name, self.cell("domain").or(domain))
    }
}

fn read_pointers(text: &str) -> Option<Vec<Pointer>> {
    let pointer = |word: &str| {
        let (address, names) = word.split_once('=')?;
        let names: Option<Vec<DomainName>> = names.split('|').map(|name| name.parse().ok()).collect();
        Some(Pointer { address: address.parse().ok()?, names: names? })
    };
    text.split_ascii_whitespace().map(pointer).collect()
}

fn read_others(text: &str) -> Option<Vec<OtherAddressDraft>> {
    let other = |word: &str| {
        let (family, value) = word.split_once('=')?;
        Some(OtherAddressDraft { family: family.to_owned(), value: Some(value.to_owned()).filter(|value| !value.is_empty()) })
    };
    text.split_ascii_whitespace().map(other).collect()
}

fn read_contacts(text: &str) -> Option<Vec<HostContact>> {
    let contact = |word: &str| {
        let (role, handle) = word.split_once(':')?;
        let role = ROLES.into_iter().find(|known| role_name(*known) == role)?;
        Some(HostContact { role, contact: handle.to_owned() })
    };
    text.split_ascii_whitespace().map(contact).collect()
}

const ROLES: [ContactRole; 6] =
    [ContactRole::Owner, ContactRole::Technical, ContactRole::Administrative, ContactRole::Escalation, ContactRole::Abuse, ContactRole::Security];

/// How a role is written in the column of contacts.
pub fn role_name(role: ContactRole) -> &'static str {
    match role {
        ContactRole::Owner => "owner",
        ContactRole::Technical => "technical",
        ContactRole::Administrative => "administrative",
        ContactRole::Escalation => "escalation",
        ContactRole::Abuse => "abuse",
        ContactRole::Security => "security",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_they_say_and_missing_columns_nothing() {
        let read =
            parse("hosts.csv", "name,mac,ip,room,owner,options\na.uni.example,08-00-20-00-00-01,10.1.4.10 2001:db8::1,2/251,ann bob,6=0a010402 7=-\n", &[]);
        assert_eq!(read.errors, vec![]);
        let line = &read.lines[0];
        let mut host = HostDraft { os: "UNIX".into(), ..HostDraft::named("a.uni.example".parse().unwrap()) };
        let mut interface = InterfaceDraft::default();
        line.apply(&mut host).unwrap();
        line.apply_to_interface(&mut interface).unwrap();
        assert_eq!((host.os.as_str(), host.equipment.room.as_str(), host.contacts.len()), ("UNIX", "2/251", 2));
        assert_eq!((interface.boot.options.len(), interface.boot.options[1].value.as_ref(), line.addresses.len()), (2, None, 2));
    }

    #[test]
    fn wrong_cells_are_all_said() {
        let read = parse("h", "name,mac,ip,aliases,contacts,wait_secs,send_host_name\n,x,10.1.4.300,a..b,boss:x,-1,maybe\n", &[]);
        assert_eq!(read.errors.len(), 7, "{:?}", read.errors);
    }
}
