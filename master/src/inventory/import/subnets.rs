//! Reads a table of subnets: `campus,department,subnet,gateway,dynamic_from,dynamic_to`.
//!
//! The columns are found by the names in the first line, so their order is free. Pure: text in, rows and errors out.

use super::place::{Errors, ImportError, Place};
use holdfast_proto::words::Subnet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The columns that must be there.
const NEEDED: [&str; 2] = ["campus", "subnet"];
/// All columns that are read; others are refused, so that a misspelt one is noticed.
const COLUMNS: [&str; 6] = ["campus", "department", "subnet", "gateway", "dynamic_from", "dynamic_to"];

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetLine {
    /// Where it stands.
    pub place: Place,
    /// The campus by name.
    pub campus: String,
    /// The department; empty where there is none.
    pub department: String,
    /// The network.
    pub network: Subnet,
    /// Its router.
    pub gateway: Option<IpAddr>,
    /// First and last address of a dynamic pool.
    pub dynamic: Option<(IpAddr, IpAddr)>,
}

/// What the table says.
#[derive(Debug, Default)]
pub struct Subnets {
    /// The lines in order.
    pub subnets: Vec<SubnetLine>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// Reads a subnets.csv.
pub fn parse(file: &str, text: &str) -> Subnets {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let mut lines = (1u32..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()).filter(|(_, line)| !line.trim().is_empty());
    let mut subnets = Vec::new();
    let Some(columns) = lines.next().and_then(|(line, text)| header(line, text, &mut errors)) else {
        return Subnets { subnets, errors: errors.into_vec() };
    };
    for (line, text) in lines {
        let cells: Vec<String> = cells(text);
        if cells.len() != columns.len() {
            errors.at(line, format!("this line has {} fields where the first line names {}", cells.len(), columns.len()));
            continue;
        }
        let row = columns.iter().map(String::as_str).zip(cells.iter().map(String::as_str)).collect();
        match read_line(Place::new(&file, line), &row) {
            Ok(subnet) => subnets.push(subnet),
            Err(problems) => problems.into_iter().for_each(|problem| errors.at(line, problem)),
        }
    }
    Subnets { subnets, errors: errors.into_vec() }
}

fn header(line: u32, text: &str, errors: &mut Errors) -> Option<Vec<String>> {
    let columns: Vec<String> = cells(text).into_iter().map(|cell| cell.to_ascii_lowercase()).collect();
    let unknown = columns.iter().filter(|column| !COLUMNS.contains(&column.as_str()));
    let missing = NEEDED.iter().filter(|needed| !columns.iter().any(|column| column == *needed));
    let problems: Vec<String> = unknown
        .map(|column| format!("there is no column \"{column}\": the columns are {}", COLUMNS.join(",")))
        .chain(missing.map(|needed| format!("the column {needed} is missing")))
        .collect();
    problems.iter().for_each(|problem| errors.at(line, problem));
    problems.is_empty().then_some(columns)
}

fn read_line(place: Place, row: &HashMap<&str, &str>) -> Result<SubnetLine, Vec<String>> {
    let cell = |name: &str| row.get(name).copied().filter(|text| !text.is_empty());
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
    match (network, campus) {
        (Some(network), Some(campus)) if problems.is_empty() => {
            Ok(SubnetLine { place, campus, department: cell("department").unwrap_or_default().to_owned(), network, gateway, dynamic: from.zip(to) })
        }
        _ => Err(problems),
    }
}

/// RFC 4180 without line breaks inside quotes.
fn cells(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.trim_end_matches('\r').chars().peekable();
    while let Some(c) = chars.next() {
        let cell = out.last_mut().expect("there is always a cell");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            other => cell.push(other),
        }
    }
    out.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lines_are_read_by_the_names_of_their_columns() {
        let read = parse("subnets.csv", "subnet,campus,gateway\n10.1.4.0/22,\"north\",10.1.4.1\n2001:db8:1::/64,north,\n");
        assert_eq!(read.errors, vec![]);
        assert_eq!(read.subnets[0].gateway, Some("10.1.4.1".parse().unwrap()));
        assert_eq!(read.subnets[1].network.to_string(), "2001:db8:1::/64");
    }

    #[test]
    fn all_mistakes_are_listed() {
        let read = parse("s", "campus,subnet,gateway,dynamic_from,dynamic_to\n,10.1.4.1/22,,,\nnorth,10.1.4.0/22,10.1.8.1,10.1.4.9,\nnorth,10.1.4.0/22\n");
        let messages: Vec<String> = read.errors.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 5, "{messages:?}");
        assert!(parse("s", "campus,subnett\n").errors.len() == 2);
    }
}
