//! A FreeRADIUS `users` file: names, passwords and reply attributes, for the import. Pure; all errors at once.
//!
//! It takes what an account can hold and refuses the rest by line: `DEFAULT` entries, check items other than
//! `Cleartext-Password`, other hashes. No error repeats what stands where a password belongs.

use super::attributes::{ReplyAttribute, encode};
use holdfast_proto::radius::packet::PASSWORD_LIMIT_BYTES;
use holdfast_proto::radius::{NAME_LIMIT_BYTES, account_key};
use holdfast_proto::words::Secret;
use std::collections::HashMap;

/// One entry of the file.
#[derive(Debug)]
pub struct Entry {
    /// Where it starts, from 1.
    pub line: usize,
    /// As it was written.
    pub name: String,
    /// As it was written; becomes argon2id and is forgotten.
    pub password: Secret,
    /// In the file's order.
    pub attributes: Vec<ReplyAttribute>,
}

/// One thing wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct LineError {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Reads the whole file; either every entry or every error.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<LineError>> {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    entries: Vec<Entry>,
    errors: Vec<LineError>,
    /// Where each account's name was first seen.
    seen: HashMap<Vec<u8>, usize>,
    /// Whether reply lines belong to an entry, and whether one more must come.
    open: Open,
    last_line: usize,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Open {
    /// No entry, or one that could not be read: its reply lines are still checked.
    #[default]
    Nothing,
    /// The first reply line may come.
    Entry,
    /// The last line ended in a comma.
    Comma,
    /// The last line did not.
    Closed,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            return;
        }
        if line.starts_with([' ', '\t']) {
            self.reply_line(number, content);
        } else {
            self.end_entry();
            self.first_line(number, content);
        }
        self.last_line = number;
    }

    fn finish(mut self) -> Result<Vec<Entry>, Vec<LineError>> {
        self.end_entry();
        if self.errors.is_empty() { Ok(self.entries) } else { Err(self.errors) }
    }

    fn wrong(&mut self, line: usize, what: impl Into<String>) {
        self.errors.push(LineError { line, what: what.into() });
    }

    fn end_entry(&mut self) {
        if self.open == Open::Comma {
            self.wrong(self.last_line, "ends in a comma, but no reply attribute follows");
        }
    }

    fn first_line(&mut self, line: usize, content: &str) {
        self.open = Open::Entry;
        match first_line(content) {
            Ok((name, password)) => {
                let key = account_key(&name);
                match self.seen.get(&key) {
                    Some(first) => {
                        let what = format!("{name} stands already in line {first}: names are compared without regard to case");
                        self.wrong(line, what);
                    }
                    None => drop(self.seen.insert(key, line)),
                }
                self.entries.push(Entry { line, name, password, attributes: vec![] });
            }
            Err(what) => {
                self.wrong(line, what);
                self.open = Open::Nothing;
            }
        }
    }

    fn reply_line(&mut self, line: usize, content: &str) {
        if self.open == Open::Closed {
            self.wrong(line, "is indented, but the line before does not end in a comma");
        }
        let (content, comma) = content.strip_suffix(',').map_or((content, false), |content| (content, true));
        for item in split_items(content) {
            match reply_item(item) {
                Err(what) => self.wrong(line, what),
                Ok(attribute) if self.open != Open::Nothing => self.add(line, attribute),
                Ok(_) => {}
            }
        }
        if self.open != Open::Nothing {
            self.open = if comma { Open::Comma } else { Open::Closed };
        }
    }

    fn add(&mut self, line: usize, attribute: ReplyAttribute) {
        let Some(entry) = self.entries.last_mut() else { return };
        entry.attributes.push(attribute);
        if let Err(wrong) = encode(&entry.attributes) {
            self.wrong(line, wrong.to_string());
        }
    }
}

/// `name Cleartext-Password := "..."`.
fn first_line(content: &str) -> Result<(String, Secret), String> {
    let (name, checks) = first_word(content)?;
    if name == "DEFAULT" {
        return Err("DEFAULT entries are policy, not accounts: leave them out".to_owned());
    }
    if name.trim().is_empty() || account_key(&name).len() > NAME_LIMIT_BYTES || name.chars().any(char::is_control) {
        return Err("the name is empty, longer than 253 bytes, or holds a control character".to_owned());
    }
    let mut password = None;
    for item in split_items(checks) {
        match password_of(item) {
            Some(value) if password.is_none() => password = Some(value),
            _ => {
                return Err(format!("{name} has a check that an account cannot hold: one Cleartext-Password := \"...\" is taken, in quotes, and nothing else"));
            }
        }
    }
    let password = password.ok_or_else(|| format!("{name} has no Cleartext-Password"))?;
    if !(1..=PASSWORD_LIMIT_BYTES).contains(&password.expose().len()) {
        return Err(format!("{name} has a password that is empty or longer than the 128 bytes that RADIUS carries"));
    }
    Ok((name, password))
}

/// What went wrong is not told: it might be the password itself.
fn password_of(check: &str) -> Option<Secret> {
    let Item { name, operator, value, .. } = item_of(check).ok()?;
    let is_password = matches!(name.as_str(), "Cleartext-Password" | "User-Password") && matches!(operator.as_str(), ":=" | "==" | "=");
    is_password.then(|| Secret::new(value))
}

/// The name, which may stand in quotes, and what follows it.
fn first_word(content: &str) -> Result<(String, &str), String> {
    match content.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').map(|(name, rest)| (name.to_owned(), rest)).ok_or_else(|| "the name's quote is never closed".to_owned()),
        None => {
            let (name, rest) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
            Ok((name.to_owned(), rest))
        }
    }
}

fn reply_item(item: &str) -> Result<ReplyAttribute, String> {
    let Item { name, tag, operator, value } = item_of(item)?;
    if name == "Cleartext-Password" || name == "User-Password" {
        return Err("a password stands among the reply attributes: it belongs on the entry's first line".to_owned());
    }
    if !matches!(operator.as_str(), "=" | ":=" | "+=") {
        return Err(format!("{name}: the operator {operator} means nothing in a reply; write ="));
    }
    ReplyAttribute::new(&name, tag, &value).map_err(|wrong| wrong.to_string())
}

struct Item {
    name: String,
    tag: u8,
    operator: String,
    value: String,
}

/// `Name[:tag] operator value`.
fn item_of(item: &str) -> Result<Item, String> {
    const OPERATOR: &[char] = &[':', '=', '+', '!', '<', '>', '~', '*'];
    let item = item.trim();
    let name_len = item.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.')).unwrap_or(item.len());
    let (name, mut rest) = item.split_at(name_len);
    if name.is_empty() {
        return Err("an attribute's name is wanted, then = and a value".to_owned());
    }
    let mut tag = 0;
    if let Some(digits) = rest.strip_prefix(':').filter(|after| after.starts_with(|c: char| c.is_ascii_digit())) {
        let len = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        tag = digits[..len].parse().map_err(|_| format!("{name} has a tag over 31"))?;
        rest = &digits[len..];
    }
    let rest = rest.trim_start();
    let operator_len = rest.find(|c: char| !OPERATOR.contains(&c)).unwrap_or(rest.len());
    let (operator, value) = rest.split_at(operator_len);
    if operator.is_empty() {
        return Err(format!("{name} has no operator: write {name} = value"));
    }
    let value = unquote(value.trim()).map_err(|why| format!("{name}: {why}"))?;
    Ok(Item { name: name.to_owned(), tag, operator: operator.to_owned(), value })
}

fn unquote(value: &str) -> Result<String, &'static str> {
    let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        return match value {
            "" => Err("there is no value"),
            _ if value.contains(char::is_whitespace) => Err("a value with a space stands in quotes"),
            _ => Ok(value.to_owned()),
        };
    };
    let (mut text, mut inside) = (String::new(), value[1..].chars());
    loop {
        match inside.next() {
            None => return Err("a quote is never closed"),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match inside.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => return Err("a quote is never closed"),
            },
            Some(c) => text.push(c),
        }
    }
    if inside.as_str().is_empty() { Ok(text) } else { Err("something stands behind the closing quote: a comma is missing") }
}

/// Cuts at commas outside quotes; a comment ends the line.
fn split_items(content: &str) -> impl Iterator<Item = &str> {
    let (mut items, mut start, mut quote, mut escaped, mut before) = (Vec::new(), 0, None, false, ' ');
    let mut end = content.len();
    for (at, c) in content.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, ',') => {
                items.push(&content[start..at]);
                start = at + 1;
            }
            // Behind a space only: `pass#1` is a password.
            (None, '#') if before.is_whitespace() => {
                end = at;
                break;
            }
            (None, _) => {}
        }
        before = c;
    }
    items.push(&content[start..end]);
    items.into_iter().filter(|item| !item.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_are_read_with_their_attributes() {
        let text = "# staff\n\npascal\tCleartext-Password := \"jo\\\"ule, #1\"\n\tService-Type = Framed-User,\n\tTunnel-Type:1 = VLAN, Callback-Number = \"+61 3, 9\"\n\
                    \"ada l\" Cleartext-Password := plain#1 # old\n";
        let entries = parse(text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].line, entries[0].name.as_str(), entries[0].password.expose()), (3, "pascal", &b"jo\"ule, #1"[..]));
        let wanted = [("Service-Type", 0, "Framed-User"), ("Tunnel-Type", 1, "VLAN"), ("Callback-Number", 0, "+61 3, 9")];
        assert_eq!(entries[0].attributes, wanted.map(|(name, tag, value)| ReplyAttribute::new(name, tag, value).unwrap()));
        assert_eq!((entries[1].name.as_str(), entries[1].password.expose()), ("ada l", &b"plain#1"[..]));
    }

    #[test]
    fn every_error_comes_at_once_with_its_line_and_no_password() {
        let text = "DEFAULT Auth-Type := Reject\n\
                    ada Cleartext-Password := \"hunter2\"\n\tCisco-AVPair = x,\n\
                    ADA Cleartext-Password := \"hunter2\"\n\tFilter-Id = a\n\tFilter-Id = b\n\
                    bob Crypt-Password := hunter2\n\
                    eve Cleartext-Password := \"hunter2\n\
                    joe hunter2\n\
                    kim Cleartext-Password := \"\"\n\tService-Type == 2\n";
        let errors = parse(text).unwrap_err();
        let lines: Vec<_> = errors.iter().map(|wrong| wrong.line).collect();
        assert_eq!(lines, [1, 3, 3, 4, 6, 7, 8, 9, 10, 11], "{errors:#?}");
        assert!(!format!("{errors:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z \t\n\",:=#\\\\'0-9-]{0,200}") {
            let _ = parse(&text);
        }
    }
}
