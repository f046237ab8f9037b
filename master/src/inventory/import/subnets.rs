//! Reads a table of subnets: `campus,department,subnet,gateway,dynamic_from,dynamic_to` and what else a subnet has.
//!
//! The columns are found by the names in the first line, so their order is free; what a table has no column for stays as it is. A subnet
//! with several dynamic pools has a line for each. Pure: text in, rows and errors out.

use super::place::{Errors, ImportError, Place};
use super::table::{self, Columns, Mapping, OPTIONS_HELP, Row, list, read_options};
use crate::inventory::{OptionDraft, SubnetDraft, UnknownMachines};
use holdfast_proto::words::{DomainName, Subnet};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// The columns that must be there.
const NEEDED: [&str; 2] = ["campus", "subnet"];
/// All columns that are read; others are refused, so that a misspelt one is noticed.
pub const COLUMNS: [&str; 17] = [
    "campus",
    "department",
    "subnet",
    "gateway",
    "dynamic_from",
    "dynamic_to",
    "vlan",
    "domain",
    "dns_servers",
    "options",
    "classes",
    "preference",
    "unknown_machines",
    "quarantine_secs",
    "cover_after_secs",
    "pool_lease_secs",
    "lease_zone",
];

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetLine {
    /// Where it stands.
    pub place: Place,
    /// The campus by name.
    pub campus: String,
    /// The department; empty where there is none, `None` where the table says nothing.
    pub department: Option<String>,
    /// The network.
    pub network: Subnet,
    /// Its router.
    pub gateway: Option<IpAddr>,
    /// First and last address of a dynamic pool.
    pub dynamic: Option<(IpAddr, IpAddr)>,
    /// Whether the table has a column for the router.
    says_gateway: bool,
    /// What else is said of it, checked already.
    settings: Vec<Setting>,
}

/// What a column says of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Setting {
    Vlan(Option<u16>),
    Domain(Option<DomainName>),
    DnsServers(Vec<IpAddr>),
    Options(Vec<OptionDraft>),
    Classes(Vec<String>),
    Preference(i32),
    UnknownMachines(UnknownMachines),
    QuarantineSecs(u32),
    CoverAfterSecs(u16),
    PoolLeaseSecs(u32),
    LeaseZone(Option<DomainName>),
}

impl SubnetLine {
    /// Works the line into a subnet: what the table has no column for stays.
    pub fn apply(&self, draft: &mut SubnetDraft) {
        if let Some(department) = &self.department {
            draft.department = Some(department.clone()).filter(|name| !name.is_empty());
        }
        if self.says_gateway {
            draft.gateway = self.gateway;
        }
        for setting in self.settings.iter().cloned() {
            match setting {
                Setting::Vlan(vlan) => draft.vlan = vlan,
                Setting::Domain(domain) => draft.domain = domain,
                Setting::DnsServers(servers) => draft.dns_servers = servers,
                Setting::Options(options) => draft.options = options,
                Setting::Classes(classes) => draft.classes = classes,
                Setting::Preference(preference) => draft.preference = preference,
                Setting::UnknownMachines(unknown) => draft.unknown_machines = unknown,
                Setting::QuarantineSecs(secs) => draft.quarantine_secs = secs,
                Setting::CoverAfterSecs(secs) => draft.cover_after_secs = secs,
                Setting::PoolLeaseSecs(secs) => draft.pool_lease_secs = secs,
                Setting::LeaseZone(zone) => draft.lease_zone = zone,
            }
        }
    }
}

/// What the table says.
#[derive(Debug, Default)]
pub struct Subnets {
    /// The lines in order.
    pub subnets: Vec<SubnetLine>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// The columns of the table.
const TABLE: Columns = Columns { known: &COLUMNS, needed: &NEEDED, also: &[], others_are_noted: false };

/// Reads a subnets.csv.
pub fn parse(file: &str, text: &str, mapping: &Mapping) -> Subnets {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let mut subnets = Vec::new();
    for row in table::read(&file, text, &TABLE, mapping, &mut errors).rows {
        match read_line(&row) {
            Ok(subnet) => subnets.push(subnet),
            Err(problems) => problems.into_iter().for_each(|problem| errors.push(row.place.clone(), problem)),
        }
    }
    Subnets { subnets, errors: errors.into_vec() }
}

fn read_line(row: &Row) -> Result<SubnetLine, Vec<String>> {
    let cell = |name: &str| row.cell(name);
    let mut problems = Vec::new();
    let network: Option<Subnet> = cell("subnet").unwrap_or_default().parse().map_err(|wrong| problems.push(format!("{wrong}"))).ok();
    let mut address = |name: &str| {
        let address: IpAddr = cell(name)?.parse().map_err(|_| problems.push(format!("{name} is not an address"))).ok()?;
        let outside = network.is_some_and(|network| !network.can_hold(address));
        if outside {
            problems.push(format!("{name} {address} does not lie in the subnet"));
        }
        Some(address)
    };
    let (gateway, from, to) = (address("gateway"), address("dynamic_from"), address("dynamic_to"));
    if from.is_some() != to.is_some() || from > to {
        problems.push("dynamic_from and dynamic_to are the first and last address of a pool, or both empty".to_owned());
    }
    let campus = cell("campus").map(str::to_owned);
    if campus.is_none() {
        problems.push("the campus is empty".to_owned());
    }
    let settings = settings(row, &mut problems);
    match (network, campus) {
        (Some(network), Some(campus)) if problems.is_empty() => Ok(SubnetLine {
            place: row.place.clone(),
            campus,
            department: row.said("department").map(str::to_owned),
            network,
            gateway,
            dynamic: from.zip(to),
            says_gateway: row.said("gateway").is_some(),
            settings,
        }),
        _ => Err(problems),
    }
}

/// A column, what reads it, and what belongs into it.
type Reader = (&'static str, fn(&str) -> Option<Setting>, &'static str);

fn settings(row: &Row, problems: &mut Vec<String>) -> Vec<Setting> {
    let readers: [Reader; 11] = [
        ("vlan", |text| optional(text).map(Setting::Vlan), "a number, or empty"),
        ("domain", |text| optional(text).map(Setting::Domain), "a domain name, or empty"),
        ("dns_servers", |text| list(text).map(Setting::DnsServers), "addresses with blanks between"),
        ("options", |text| read_options(text).map(Setting::Options), OPTIONS_HELP),
        ("classes", |text| list(text).map(Setting::Classes), "words with blanks between"),
        ("preference", |text| or_zero(text).map(Setting::Preference), "a whole number"),
        ("unknown_machines", |text| read_unknown(text).map(Setting::UnknownMachines), "off, report, quarantine or auto"),
        ("quarantine_secs", |text| text.parse().ok().map(Setting::QuarantineSecs), "seconds"),
        ("cover_after_secs", |text| text.parse().ok().map(Setting::CoverAfterSecs), "seconds"),
        ("pool_lease_secs", |text| text.parse().ok().map(Setting::PoolLeaseSecs), "seconds"),
        ("lease_zone", |text| optional(text).map(Setting::LeaseZone), "a domain name, or empty"),
    ];
    let mut out = Vec::new();
    for (column, read, wanted) in readers {
        // Without a number of seconds the usual ones hold.
        let Some(text) = row.said(column).filter(|text| !(text.is_empty() && column.ends_with("_secs"))) else { continue };
        match read(text) {
            Some(setting) => out.push(setting),
            None => problems.push(format!("{column} \"{text}\" should be {wanted}")),
        }
    }
    out
}

fn optional<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

fn or_zero(text: &str) -> Option<i32> {
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

fn read_unknown(text: &str) -> Option<UnknownMachines> {
    let known = [UnknownMachines::Off, UnknownMachines::Report, UnknownMachines::Quarantine, UnknownMachines::Auto];
    if text.is_empty() { Some(UnknownMachines::default()) } else { known.into_iter().find(|one| one.text() == text) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lines_are_read_by_the_names_of_their_columns() {
        let read = parse("subnets.csv", "subnet,campus,gateway\n10.1.4.0/22,\"north\",10.1.4.1\n2001:db8:1::/64,north,\n", &[]);
        assert_eq!(read.errors, vec![]);
        assert_eq!(read.subnets[0].gateway, Some("10.1.4.1".parse().unwrap()));
        assert_eq!(read.subnets[1].network.to_string(), "2001:db8:1::/64");
    }

    #[test]
    fn all_mistakes_are_listed() {
        let read = parse("s", "campus,subnet,gateway,dynamic_from,dynamic_to\n,10.1.4.1/22,,,\nnorth,10.1.4.0/22,10.1.8.1,10.1.4.9,\nnorth,10.1.4.0/22\n", &[]);
        let messages: Vec<String> = read.errors.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 5, "{messages:?}");
        assert_eq!(parse("s", "campus,subnet,vlan,options\nnorth,10.1.4.0/22,x,7=zz\n", &[]).errors.len(), 2);
        assert!(parse("s", "campus,subnett\n", &[]).errors.len() == 2);
    }
}
