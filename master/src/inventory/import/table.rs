//! Tables as CSV: columns found by the names in the first line, whatever their order, or by names that the caller maps to ours.
//!
//! RFC 4180 with quotes, also over several lines. A misspelt column is noticed: tables of our own refuse columns that they do not know; those
//! of others note them.

use super::place::{Errors, Place};
use crate::inventory::OptionDraft;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

/// So long may one cell be, in bytes: a person wrote it.
const CELL_LIMIT_BYTES: usize = 64 * 1024;

/// Names of columns: ours, then what the file calls it.
pub type Mapping = [(String, String)];

/// Which columns a table has.
pub(super) struct Columns {
    /// Those that are read.
    pub known: &'static [&'static str],
    /// Those without which there is no table.
    pub needed: &'static [&'static str],
    /// What the file calls some of ours, beside the mapping.
    pub also: &'static [(&'static str, &'static str)],
    /// Whether others are noted in place of refused.
    pub others_are_noted: bool,
}

/// A line of a table.
#[derive(Debug)]
pub(super) struct Row {
    pub place: Place,
    cells: HashMap<&'static str, String>,
}

impl Row {
    /// The text of a cell, where it has some.
    pub fn cell(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The same, empty where it is empty; `None` where the table has no such column.
    pub fn said(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str)
    }
}

/// What a table says.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub rows: Vec<Row>,
    /// Columns that are not read, as the file calls them.
    pub left_out: Vec<String>,
}

/// How a column is called when names are compared: `DNS Name` is `dns_name`.
pub(super) fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

/// The columns that a first line names, by our names where they are mapped.
pub(super) fn header(line: &str, mapping: &Mapping) -> Vec<String> {
    let mut record = csv::StringRecord::new();
    let read = reader(line).read_record(&mut record);
    if read.is_err() {
        return vec![];
    }
    record.iter().map(|cell| mapped(&normal(cell), mapping)).collect()
}

fn mapped(name: &str, mapping: &Mapping) -> String {
    let ours = mapping.iter().find(|(_, theirs)| normal(theirs) == name).map(|(ours, _)| normal(ours));
    ours.unwrap_or_else(|| name.to_owned())
}

fn reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes())
}

/// Reads a table.
pub(super) fn read(file: &Arc<str>, text: &str, columns: &Columns, mapping: &Mapping, errors: &mut Errors) -> Table {
    let mut out = Table::default();
    let bytes = text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes();
    let mut reader = reader(text);
    let mut heads: Option<Vec<Option<&'static str>>> = None;
    let mut record = csv::StringRecord::new();
    loop {
        let line = reader.position().line() as u32;
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return out,
            Err(wrong) => {
                errors.at(line, format!("this line is no CSV: {wrong}"));
                return out;
            }
        }
        // The reader counts a record from the empty lines before it on.
        let empty_before = |position: &csv::Position| {
            let from = usize::try_from(position.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
            from.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n').count() as u32
        };
        let line = record.position().map_or(line, |position| position.line() as u32 + empty_before(position));
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let Some(heads) = &heads else {
            heads = read_header(&record, columns, mapping, line, errors, &mut out.left_out);
            if heads.is_none() {
                return out;
            }
            continue;
        };
        if record.len() != heads.len() {
            errors.at(line, format!("this line has {} fields where the first line names {}", record.len(), heads.len()));
            continue;
        }
        if record.iter().any(|cell| cell.len() > CELL_LIMIT_BYTES) {
            errors.at(line, format!("a field of this line is longer than {CELL_LIMIT_BYTES} bytes: is a quote not closed?"));
            continue;
        }
        let cells = heads.iter().zip(record.iter()).filter_map(|(head, cell)| Some(((*head)?, cell.trim().to_owned()))).collect();
        out.rows.push(Row { place: Place::new(file, line), cells });
    }
}

fn read_header(
    record: &csv::StringRecord,
    columns: &Columns,
    mapping: &Mapping,
    line: u32,
    errors: &mut Errors,
    left_out: &mut Vec<String>,
) -> Option<Vec<Option<&'static str>>> {
    let mut problems = Vec::new();
    let mut heads: Vec<Option<&'static str>> = Vec::new();
    for cell in record.iter() {
        let name = mapped(&normal(cell), mapping);
        let name = columns.also.iter().find(|(theirs, _)| *theirs == name).map_or(name.as_str(), |(_, ours)| ours);
        let known = columns.known.iter().find(|known| **known == name).copied();
        match known {
            Some(known) if heads.contains(&Some(known)) => problems.push(format!("two columns are called {known}: remove one of them")),
            None if columns.others_are_noted => left_out.push(cell.trim().to_owned()),
            None => {
                problems.push(format!("there is no column \"{name}\": the columns are {}; others are mapped with --map OURS=THEIRS", columns.known.join(",")))
            }
            Some(_) => {}
        }
        heads.push(known);
    }
    for (ours, theirs) in mapping {
        let there = record.iter().any(|cell| normal(cell) == normal(theirs));
        if there && !columns.known.contains(&normal(ours).as_str()) {
            problems.push(format!("--map {ours}={theirs}: there is no column \"{ours}\" here"));
        }
    }
    let missing = columns.needed.iter().filter(|needed| !heads.contains(&Some(**needed)));
    problems.extend(missing.map(|needed| format!("the column {needed} is missing")));
    problems.iter().for_each(|problem| errors.at(line, problem));
    problems.is_empty().then_some(heads)
}

/// What belongs into a column of options.
pub(super) const OPTIONS_HELP: &str = "options with blanks between: CODE=HEXADECIMAL, or CODE=- where an inherited one is taken away";

/// Words between blanks.
pub(super) fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
}

/// Options: `6=0a010402 7=-`.
pub(super) fn read_options(text: &str) -> Option<Vec<OptionDraft>> {
    let option = |word: &str| {
        let (code, value) = word.split_once('=')?;
        let code = code.parse().ok().filter(|code| (1..=254).contains(code))?;
        let value = if value == "-" { None } else { Some(hex::decode(value).ok().filter(|bytes| bytes.len() <= 255)?) };
        Some(OptionDraft { code, value })
    };
    text.split_ascii_whitespace().map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { known: &["name", "ip"], needed: &["name"], also: &[("address", "ip")], others_are_noted: false };

    #[test]
    fn columns_are_found_by_their_names_and_by_mapped_ones() {
        let mut errors = Errors::new(&"f".into());
        let mapping = [("name".to_owned(), "Host Name".to_owned())];
        let table = read(&"f".into(), "\u{feff}Address,Host-name\n10.0.0.1,\"a\nb\"\n\n,c\n", &COLUMNS, &mapping, &mut errors);
        assert_eq!(errors.into_vec(), vec![]);
        assert_eq!(
            table.rows.iter().map(|row| (row.place.line, row.cell("name"), row.cell("ip"))).collect::<Vec<_>>(),
            [(2, Some("a\nb"), Some("10.0.0.1")), (5, Some("c"), None)]
        );
        assert_eq!(table.rows[1].said("ip"), Some(""));
    }

    #[test]
    fn a_table_that_does_not_fit_is_said_to() {
        let said = |text: &str| {
            let mut errors = Errors::new(&"f".into());
            read(&"f".into(), text, &COLUMNS, &[], &mut errors);
            errors.into_vec().len()
        };
        assert_eq!((said("nam,ip\n"), said("name,ip\na\nb,c,d\n"), said("name,ip,address\n"), said("")), (2, 2, 1, 0));
    }
}
