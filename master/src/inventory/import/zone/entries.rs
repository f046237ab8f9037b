//! Cuts a zone file into entries: the words of one record or directive, over several lines where parentheses hold it together.
//!
//! RFC 1035 section 5.1. Words keep their quotes and escapes: `rdata` and `DomainName` resolve them.

use crate::inventory::import::place::Errors;

/// So many words may one entry have; a longer one is an open parenthesis.
pub const WORDS_LIMIT: usize = 4_096;

/// One word and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// As written.
    pub text: &'a str,
    /// Line from 1.
    pub line: u32,
    /// Column in characters from 1.
    pub column: u32,
}

/// One record or directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The words, at least one.
    pub words: Vec<Word<'a>>,
    /// Whether its first line starts with a blank: then the owner is that of the entry before.
    pub starts_blank: bool,
}

/// Walks the text line by line.
pub struct Entries<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
}

impl<'a> Entries<'a> {
    /// Over a whole file.
    pub fn new(text: &'a str) -> Self {
        Self { lines: text.lines().enumerate() }
    }

    /// The next entry that has words. An entry with a mistake in its quotes or parentheses is noted and left out.
    pub fn next(&mut self, errors: &mut Errors) -> Option<Entry<'a>> {
        loop {
            let (at, line) = self.lines.next()?;
            let starts_blank = line.starts_with([' ', '\t']);
            let mut words = Vec::new();
            if self.read(at, line, &mut words, errors) && !words.is_empty() {
                return Some(Entry { words, starts_blank });
            }
        }
    }

    /// Reads a line, and more lines while a parenthesis is open. False where the entry is broken.
    fn read(&mut self, at: usize, line: &'a str, words: &mut Vec<Word<'a>>, errors: &mut Errors) -> bool {
        let mut open = Vec::new();
        let mut good = read_line(at, line, &mut open, words, errors);
        let first = line_number(at);
        while let Some((line, column)) = open.last().copied() {
            let Some((at, text)) = self.lines.next() else {
                errors.at_column(line, column, "this parenthesis is never closed: add ) where the record ends");
                return false;
            };
            if words.len() > WORDS_LIMIT {
                errors.at(first, format!("this record has more than {WORDS_LIMIT} words: is a ) missing?"));
                return false;
            }
            good &= read_line(at, text, &mut open, words, errors);
        }
        good
    }
}

fn line_number(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

/// Adds the words of one line. `open` holds the places of the parentheses not closed so far.
fn read_line<'a>(at: usize, text: &'a str, open: &mut Vec<(u32, u32)>, words: &mut Vec<Word<'a>>, errors: &mut Errors) -> bool {
    let line = line_number(at);
    let mut good = true;
    let mut start: Option<(usize, u32)> = None;
    let mut quote: Option<u32> = None;
    let mut chars = text.char_indices().zip(1u32..);
    while let Some(((byte, c), column)) = chars.next() {
        let mut end_word = |upto: usize, start: &mut Option<(usize, u32)>| {
            words.extend(start.take().map(|(from, column)| Word { text: &text[from..upto], line, column }));
        };
        match c {
            '\\' => {
                start.get_or_insert((byte, column));
                if chars.next().is_none() {
                    errors.at_column(line, column, "a backslash at the end of a line protects nothing: remove it");
                    good = false;
                }
            }
            '"' if quote.is_some() => {
                end_word(byte + 1, &mut start);
                quote = None;
            }
            _ if quote.is_some() => {}
            '"' => {
                end_word(byte, &mut start);
                start = Some((byte, column));
                quote = Some(column);
            }
            ';' => {
                end_word(byte, &mut start);
                break;
            }
            ' ' | '\t' | '\r' => end_word(byte, &mut start),
            '(' => {
                end_word(byte, &mut start);
                open.push((line, column));
            }
            ')' => {
                end_word(byte, &mut start);
                if open.pop().is_none() {
                    errors.at_column(line, column, "this ) closes nothing: remove it or add its (");
                    good = false;
                }
            }
            _ => {
                start.get_or_insert((byte, column));
            }
        }
    }
    if let Some(column) = quote {
        errors.at_column(line, column, "this quote does not end on its line: close it");
        return false;
    }
    words.extend(start.map(|(from, column)| Word { text: &text[from..], line, column }));
    good
}
