//! Reads a table of people: contacts, by their handles.

use super::place::{Errors, ImportError, Place};
use super::table::{self, Columns, Mapping, Row};
use crate::inventory::organisation::{ContactDraft, ContactKind};
use std::sync::Arc;

/// All columns.
pub const COLUMNS: [&str; 8] = ["login", "kind", "name", "phone", "mail", "organisation", "note", "verified_on"];
const TABLE: Columns =
    Columns { known: &COLUMNS, needed: &["login"], also: &[("handle", "login"), ("email", "mail"), ("telephone", "phone")], others_are_noted: true };

/// A line of the table.
#[derive(Debug)]
pub struct Person {
    row: Row,
    /// The handle.
    pub login: String,
}

/// What the table says.
#[derive(Debug, Default)]
pub struct People {
    /// The lines in order.
    pub people: Vec<Person>,
    /// Columns that a contact has no place for.
    pub left_out: Vec<String>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// Reads a people.csv.
pub fn parse(file: &str, text: &str, mapping: &Mapping) -> People {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let table = table::read(&file, text, &TABLE, mapping, &mut errors);
    let mut people = Vec::new();
    for row in table.rows {
        let Some(login) = row.cell("login").map(str::to_owned) else {
            errors.push(row.place, "the login is empty");
            continue;
        };
        let person = Person { row, login };
        match person.apply(&mut person.new_contact()) {
            Ok(()) => people.push(person),
            Err(problem) => errors.push(person.row.place, problem),
        }
    }
    People { people, left_out: table.left_out, errors: errors.into_vec() }
}

impl Person {
    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.row.place
    }

    /// A contact of which only the handle is known.
    pub fn new_contact(&self) -> ContactDraft {
        let (name, note) = (self.login.clone(), String::new());
        ContactDraft { handle: self.login.clone(), kind: ContactKind::Person, name, mail: None, phone: None, organisation: None, note, verified_on: None }
    }

    /// Works the line into a contact: what the table has no column for stays.
    pub fn apply(&self, contact: &mut ContactDraft) -> Result<(), String> {
        if let Some(kind) = self.row.cell("kind") {
            let known = [ContactKind::Person, ContactKind::Group, ContactKind::External].into_iter().find(|known| kind_name(*known) == kind);
            contact.kind = known.ok_or_else(|| format!("kind \"{kind}\" should be person, group or external"))?;
        }
        if let Some(name) = self.row.cell("name") {
            name.clone_into(&mut contact.name);
        }
        for (column, field) in [("phone", &mut contact.phone), ("mail", &mut contact.mail), ("organisation", &mut contact.organisation)] {
            if let Some(text) = self.row.said(column) {
                *field = Some(text.to_owned()).filter(|text| !text.is_empty());
            }
        }
        if let Some(note) = self.row.said("note") {
            note.clone_into(&mut contact.note);
        }
        if let Some(day) = self.row.said("verified_on") {
            let read = |day: &str| day.parse().map_err(|_| format!("verified_on \"{day}\" should be a day such as 2026-03-31"));
            contact.verified_on = if day.is_empty() { None } else { Some(read(day)?) };
        }
        Ok(())
    }
}

/// How a kind is written in its column.
pub fn kind_name(kind: ContactKind) -> &'static str {
    match kind {
        ContactKind::Person => "person",
        ContactKind::Group => "group",
        ContactKind::External => "external",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_contacts_and_strange_columns_are_noted() {
        let read = parse("people.csv", "login,department,phone,mail\nann,cc,+61 3 9905 5309,ann@uni.example\n,cc,,\n", &[]);
        assert_eq!((read.left_out, read.errors.len(), read.people.len()), (vec!["department".to_owned()], 1, 1));
        let mut contact = read.people[0].new_contact();
        read.people[0].apply(&mut contact).unwrap();
        assert_eq!((contact.name.as_str(), contact.phone.as_deref()), ("ann", Some("+61 3 9905 5309")));
        assert!(parse("p", "login,kind,verified_on\nann,robot,\nbob,person,yesterday\n", &[]).errors.len() == 2);
    }
}
