//! Cuts a bootptab into entries and their fields, by the rules of bootpd's own reader (CMU bootpd 2.4.3, readfile.c).
//!
//! An entry is a line; a backslash at its end continues it; `#` starts a comment only where an entry would start; quotes
//! protect colons and a backslash protects the next character.

use crate::inventory::import::place::Errors;

/// bootpd's own limit for an entry; a longer one is cut there, so it never worked.
pub const ENTRY_LIMIT_CHARS: usize = 2_048;

/// One field between colons, as written, without the blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Line from 1.
    pub line: u32,
    /// The text, quotes and backslashes still in it.
    pub text: String,
}

/// One entry: its fields, the first is its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// The name, in front of the first colon.
    pub name: Field,
    /// The other fields that are not empty.
    pub tags: Vec<Field>,
}

/// All entries of a file. One that is too long or whose quote does not end is noted and left out.
pub fn entries(text: &str, errors: &mut Errors) -> Vec<RawEntry> {
    let mut out = Vec::new();
    let mut lines = (1u32..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines());
    while let Some((first, line)) = lines.next() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let mut cutter = Cutter { fields: vec![], field: Field { line: first, text: String::new() }, quoted: None, chars: 0 };
        let mut more = cutter.read(first, line);
        while more {
            let Some((number, line)) = lines.next() else { break };
            more = cutter.read(number, line);
        }
        match cutter.finish() {
            Ok(entry) => out.extend(entry),
            Err((line, message)) => errors.at(line, message),
        }
    }
    out
}

struct Cutter {
    fields: Vec<Field>,
    field: Field,
    quoted: Option<u32>,
    chars: usize,
}

impl Cutter {
    /// Reads one line of the entry. True where the entry goes on.
    fn read(&mut self, number: u32, line: &str) -> bool {
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            self.chars += 1;
            match c {
                '\\' => match chars.next() {
                    None => return true,
                    Some(next) => self.field.text.extend(['\\', next]),
                },
                ':' if self.quoted.is_none() => self.end_field(number),
                '"' => {
                    self.quoted = if self.quoted.is_some() { None } else { Some(number) };
                    self.field.text.push(c);
                }
                ' ' | '\t' | '\r' if self.field.text.is_empty() => {}
                other => {
                    if self.field.text.is_empty() {
                        self.field.line = number;
                    }
                    self.field.text.push(other);
                }
            }
        }
        false
    }

    fn end_field(&mut self, number: u32) {
        let next = Field { line: number, text: String::new() };
        let mut field = std::mem::replace(&mut self.field, next);
        if !field.text.ends_with("\\ ") {
            field.text.truncate(field.text.trim_end().len());
        }
        self.fields.push(field);
    }

    fn finish(mut self) -> Result<Option<RawEntry>, (u32, String)> {
        if let Some(line) = self.quoted {
            return Err((line, "this quote does not end within its entry: close it".to_owned()));
        }
        let line = self.field.line;
        self.end_field(line);
        let mut fields = self.fields.into_iter();
        let Some(name) = fields.next() else { return Ok(None) };
        if self.chars > ENTRY_LIMIT_CHARS {
            return Err((name.line, format!("this entry is longer than {ENTRY_LIMIT_CHARS} characters, where bootpd cuts it: use a template (tc)")));
        }
        if name.text.is_empty() {
            return Err((name.line, "this entry has no name in front of its first colon".to_owned()));
        }
        Ok(Some(RawEntry { name, tags: fields.filter(|field| !field.text.is_empty()).collect() }))
    }
}
