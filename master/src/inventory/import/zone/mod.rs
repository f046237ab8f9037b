//! Reads zone files as BIND and its kin write them (RFC 1035 section 5, RFC 2308 section 4, RFC 3597).
//!
//! It exists because hickory-proto's parser knows no `$GENERATE`, rejects RFC 3597 types and stops at the first error:
//! a person who moves thirty years of zone files wants all errors at once. It refuses `$INCLUDE` unless the caller
//! gives a resolver, classes other than IN, and types that cannot be stored. Pure: text in, records and errors out.

mod entries;
mod generate;

use super::place::{Errors, ImportError, Place};
use entries::{Entries, Entry, Word};
use holdfast_proto::{
    dns::rdata::{self, RdataError},
    words::DomainName,
};
use std::sync::Arc;

pub use entries::WORDS_LIMIT;
pub use generate::GENERATE_LIMIT_RECORDS;

/// Files may include files so deep; BIND stops a loop by its number of open files.
pub const INCLUDE_DEPTH_LIMIT: usize = 8;
/// So many files may one file include altogether: files that include each other twice would double at each depth.
pub const INCLUDE_LIMIT_FILES: usize = 256;
/// So many records may one file yield with all its `$GENERATE` lines, so that a short file cannot fill the memory.
pub const ZONE_LIMIT_RECORDS: usize = 8_000_000;

/// The type number of SOA.
const SOA: u16 = 6;

/// Gives the text of an included file, or `None` where there is no such file.
pub type Resolver<'r> = &'r dyn Fn(&str) -> Option<String>;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRecord {
    /// Where it stands.
    pub place: Place,
    /// Its owner.
    pub owner: DomainName,
    /// Its time to live in seconds: its own, `$TTL`'s, the one before's or the SOA's minimum.
    pub ttl: u32,
    /// Its type.
    pub rtype: u16,
    /// Its data in wire form.
    pub rdata: Vec<u8>,
}

/// What a zone file says.
#[derive(Debug, Default)]
pub struct ZoneFile {
    /// The first `$TTL`.
    pub default_ttl: Option<u32>,
    /// The records in the file's order.
    pub records: Vec<ZoneRecord>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// Reads a zone file. `origin` holds until the first `$ORIGIN`.
pub fn scan(file: &str, text: &str, origin: Option<DomainName>, include: Option<Resolver<'_>>) -> ZoneFile {
    let mut out = ZoneFile::default();
    let mut scanner = Scanner { origin, owner: None, ttl: None, last_ttl: None, include, includes: 0, out: &mut out };
    scanner.read_file(&file.into(), text, 0);
    out
}

struct Scanner<'r, 'o> {
    origin: Option<DomainName>,
    owner: Option<DomainName>,
    /// From `$TTL`, RFC 2308 section 4.
    ttl: Option<u32>,
    /// The last one written in a record, RFC 1035 section 5.1, or the SOA's minimum.
    last_ttl: Option<u32>,
    include: Option<Resolver<'r>>,
    includes: usize,
    out: &'o mut ZoneFile,
}

/// What is wrong with an entry, at one of its words.
type Wrong = (u32, u32, String);

impl Scanner<'_, '_> {
    fn read_file(&mut self, file: &Arc<str>, text: &str, depth: usize) {
        let mut errors = Errors::new(file);
        let mut entries = Entries::new(text.strip_prefix('\u{feff}').unwrap_or(text));
        while let Some(entry) = entries.next(&mut errors) {
            if let Err((line, column, message)) = self.read_entry(file, &entry, depth) {
                errors.at_column(line, column, message);
            }
            if self.out.records.len() >= ZONE_LIMIT_RECORDS {
                errors.at(entry.words[0].line, format!("this file makes more than {ZONE_LIMIT_RECORDS} records: split it"));
                break;
            }
        }
        self.out.errors.extend(errors.into_vec());
    }

    fn read_entry(&mut self, file: &Arc<str>, entry: &Entry<'_>, depth: usize) -> Result<(), Wrong> {
        let first = entry.words[0];
        if entry.starts_blank || !first.text.starts_with('$') {
            return self.read_record(file, entry);
        }
        let arguments = &entry.words[1..];
        match first.text.to_ascii_uppercase().as_str() {
            "$ORIGIN" => self.set_origin(first, arguments),
            "$TTL" => self.set_ttl(first, arguments),
            "$INCLUDE" => self.include(first, arguments, depth),
            "$GENERATE" => self.generate(file, first, arguments),
            _ => Err(wrong(first, format!("{} is not a directive: write $ORIGIN, $TTL, $INCLUDE or $GENERATE", first.text))),
        }
    }

    fn set_origin(&mut self, directive: Word<'_>, arguments: &[Word<'_>]) -> Result<(), Wrong> {
        let word = only(directive, arguments, "a domain name")?;
        self.origin = Some(self.name(word)?);
        Ok(())
    }

    fn set_ttl(&mut self, directive: Word<'_>, arguments: &[Word<'_>]) -> Result<(), Wrong> {
        let word = only(directive, arguments, "a span of time")?;
        let ttl = rdata::parse_seconds(word.text).ok_or_else(|| wrong(word, format!("\"{}\" is not a span of time such as 86400 or 1d", word.text)))?;
        self.ttl = Some(ttl);
        self.out.default_ttl.get_or_insert(ttl);
        Ok(())
    }

    fn include(&mut self, directive: Word<'_>, arguments: &[Word<'_>], depth: usize) -> Result<(), Wrong> {
        let (file, origin) = match arguments {
            [file] => (*file, None),
            [file, origin] => (*file, Some(self.name(*origin)?)),
            _ => return Err(wrong(directive, "$INCLUDE wants a file name and may have an origin")),
        };
        let name = file.text.trim_matches('"');
        let Some(resolver) = self.include else {
            return Err(wrong(file, format!("$INCLUDE is not followed here: put the text of {name} in the place of this line")));
        };
        if depth >= INCLUDE_DEPTH_LIMIT || self.includes >= INCLUDE_LIMIT_FILES {
            return Err(wrong(file, format!("more than {INCLUDE_DEPTH_LIMIT} files deep or {INCLUDE_LIMIT_FILES} in all: do the files include each other?")));
        }
        self.includes += 1;
        let text = resolver(name).ok_or_else(|| wrong(file, format!("the file {name} is not among those given")))?;
        // RFC 1035 section 5.1: the origin and owner of the including file return afterwards.
        let kept = (self.origin.clone(), self.owner.clone());
        self.origin = origin.or_else(|| self.origin.clone());
        self.read_file(&name.into(), &text, depth + 1);
        (self.origin, self.owner) = kept;
        Ok(())
    }

    fn generate(&mut self, file: &Arc<str>, directive: Word<'_>, arguments: &[Word<'_>]) -> Result<(), Wrong> {
        let Some((range, template)) = arguments.split_first().filter(|(_, template)| !template.is_empty()) else {
            return Err(wrong(directive, "$GENERATE wants a range such as 1-20, a name, a type and data"));
        };
        let range = generate::Range::parse(range.text).map_err(|message| wrong(*range, message))?;
        let kept = self.owner.clone();
        for number in range.numbers() {
            let texts = template.iter().map(|word| generate::fill(word.text, number).map_err(|message| wrong(*word, message)));
            let texts = texts.collect::<Result<Vec<String>, Wrong>>()?;
            let words = texts.iter().zip(template).map(|(text, word)| Word { text, ..*word }).collect();
            self.read_record(file, &Entry { words, starts_blank: false })?;
        }
        self.owner = kept;
        Ok(())
    }

    fn read_record(&mut self, file: &Arc<str>, entry: &Entry<'_>) -> Result<(), Wrong> {
        let first = entry.words[0];
        let mut rest = entry.words.as_slice();
        if !entry.starts_blank {
            // The owner changes even where the rest is wrong, so that one mistake is reported once.
            self.owner = None;
            self.owner = Some(self.name(first)?);
            rest = &rest[1..];
        }
        let (ttl, rtype_word, data) = prefix(first, rest)?;
        let owner = self.owner.clone().ok_or_else(|| wrong(first, "this record has no name and follows no record with a good name"))?;
        let tokens: Vec<&str> = data.iter().map(|word| word.text).collect();
        let read = rdata::parse(rtype_word.text, &tokens, self.origin.as_ref());
        let (rtype, bytes) = read.map_err(|problem| self.rdata_wrong(rtype_word, data, &problem))?;
        let ttl = self.ttl_of(ttl, rtype, &bytes).ok_or_else(|| wrong(rtype_word, "this record has no TTL: put a line such as $TTL 1d at the top"))?;
        self.out.records.push(ZoneRecord { place: Place::new(file, first.line), owner, ttl, rtype, rdata: bytes });
        Ok(())
    }

    fn ttl_of(&mut self, own: Option<u32>, rtype: u16, rdata: &[u8]) -> Option<u32> {
        if own.is_some() {
            self.last_ttl = own;
        }
        if rtype == SOA {
            let minimum = rdata.last_chunk().map(|bytes| u32::from_be_bytes(*bytes));
            self.last_ttl = self.last_ttl.or(minimum);
        }
        own.or(self.ttl).or(self.last_ttl)
    }

    fn name(&self, word: Word<'_>) -> Result<DomainName, Wrong> {
        if word.text.starts_with('"') {
            return Err(wrong(word, "a name stands here without quotes"));
        }
        // A relative name under an unknown origin would become a name at the root.
        if self.origin.is_none() && !word.text.ends_with('.') {
            return Err(wrong(word, format!("\"{}\" needs an origin: put a line such as $ORIGIN uni.example. at the top", word.text)));
        }
        DomainName::parse(word.text, self.origin.as_ref()).map_err(|problem| wrong(word, problem.to_string()))
    }

    fn rdata_wrong(&self, rtype: Word<'_>, data: &[Word<'_>], problem: &RdataError) -> Wrong {
        let given = match problem {
            RdataError::Field { given, .. } | RdataError::Surplus { given, .. } => Some(given),
            _ => None,
        };
        let at = given.and_then(|given| data.iter().find(|word| word.text == given)).copied().unwrap_or(rtype);
        wrong(at, problem.to_string())
    }
}

/// Takes TTL and class in either order (RFC 1035 section 5.1) and the type.
fn prefix<'w, 'a>(first: Word<'a>, words: &'w [Word<'a>]) -> Result<(Option<u32>, Word<'a>, &'w [Word<'a>]), Wrong> {
    let mut ttl = None;
    let mut class_seen = false;
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        if word.text.starts_with(|c: char| c.is_ascii_digit()) && ttl.is_none() {
            let seconds = rdata::parse_seconds(word.text);
            ttl = Some(seconds.ok_or_else(|| wrong(*word, format!("\"{}\" is neither a TTL such as 3600 or 1h nor a type", word.text)))?);
        } else if is_class(word.text) && !class_seen {
            class_seen = true;
            if !(word.text.eq_ignore_ascii_case("IN") || word.text.eq_ignore_ascii_case("CLASS1")) {
                return Err(wrong(*word, format!("class {} is not served: only IN", word.text)));
            }
        } else {
            return Ok((ttl, *word, rest));
        }
    }
    Err(wrong(first, "this record has no type and data"))
}

fn is_class(text: &str) -> bool {
    let generic = text.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("CLASS")) && text[5..].bytes().all(|byte| byte.is_ascii_digit());
    generic || ["IN", "CH", "HS", "CS"].iter().any(|class| class.eq_ignore_ascii_case(text))
}

fn only<'a>(directive: Word<'a>, arguments: &[Word<'a>], what: &str) -> Result<Word<'a>, Wrong> {
    match arguments {
        [word] => Ok(*word),
        _ => Err(wrong(directive, format!("{} wants {what} and nothing else", directive.text))),
    }
}

fn wrong(word: Word<'_>, message: impl Into<String>) -> Wrong {
    (word.line, word.column, message.into())
}

#[cfg(test)]
mod tests;
