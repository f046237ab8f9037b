//! Cuts an ISC configuration into statements: words up to a semicolon, or up to a block of further statements.
//!
//! dhcpd.conf(5): `#` starts a comment, text stands in quotes, blanks mean nothing. Depth and number are limited, because the file comes from
//! outside; a mistake costs its statement and not the rest.

use super::super::DEPTH_LIMIT;
use crate::inventory::import::place::Errors;

/// So many statements may the files of one import have, with what they include: three per host of a million hosts.
pub const STATEMENTS_LIMIT: usize = 8_000_000;

/// A word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its text, without its quotes.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it begins, from 1.
    pub line: u32,
    /// Its words; commas and `=` are words of their own.
    pub words: Vec<Token>,
    /// What stands in its braces, where it has some.
    pub block: Option<Vec<Statement>>,
}

impl Statement {
    /// The word at this place, or nothing.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map(|word| word.text.as_str()).unwrap_or_default()
    }
}

/// All statements of a text, as long as some are left: each takes one of them.
pub fn statements(text: &str, left: &mut usize, errors: &mut Errors) -> Vec<Statement> {
    let mut reader = Reader { chars: text.strip_prefix('\u{feff}').unwrap_or(text).char_indices().peekable(), text, line: 1, left };
    // The offsets are those of the text without its mark.
    reader.text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = reader.block(0, errors);
    // What follows a brace too many is read all the same.
    while reader.chars.peek().is_some() {
        out.extend(reader.block(0, errors));
    }
    out
}

struct Reader<'t, 'l> {
    chars: std::iter::Peekable<std::str::CharIndices<'t>>,
    text: &'t str,
    line: u32,
    left: &'l mut usize,
}

enum Lexeme {
    Word(Token),
    Semicolon,
    Open,
    Close,
}

impl Reader<'_, '_> {
    /// Statements up to the closing brace of a block, or the end of the text at depth 0.
    fn block(&mut self, depth: usize, errors: &mut Errors) -> Vec<Statement> {
        let mut out = Vec::new();
        let (mut words, mut line): (Vec<Token>, u32) = (vec![], self.line);
        while let Some(lexeme) = self.next(errors) {
            match lexeme {
                Lexeme::Word(token) => {
                    if words.is_empty() {
                        line = self.line;
                    }
                    words.push(token);
                }
                Lexeme::Semicolon if words.is_empty() => {}
                Lexeme::Semicolon => self.put(&mut out, Statement { line, words: std::mem::take(&mut words), block: None }, errors),
                Lexeme::Open => {
                    let line = if words.is_empty() { self.line } else { line };
                    let inner = if depth < DEPTH_LIMIT { self.block(depth + 1, errors) } else { self.too_deep(errors) };
                    self.put(&mut out, Statement { line, words: std::mem::take(&mut words), block: Some(inner) }, errors);
                }
                Lexeme::Close => {
                    if !words.is_empty() {
                        errors.at(line, format!("a semicolon is missing after \"{}\"", words[0].text));
                    }
                    if depth == 0 {
                        errors.at(self.line, "this } closes nothing: remove it");
                    }
                    return out;
                }
            }
        }
        if !words.is_empty() {
            errors.at(line, format!("a semicolon is missing after \"{}\", or its block is not closed", words[0].text));
        } else if depth > 0 {
            errors.at(self.line, "the file ends within a block: a } is missing");
        }
        out
    }

    fn put(&mut self, out: &mut Vec<Statement>, statement: Statement, errors: &mut Errors) {
        match *self.left {
            0 => return,
            1 => errors.at(statement.line, format!("the files have more than {STATEMENTS_LIMIT} statements, with all that they include: split them")),
            _ => out.push(statement),
        }
        *self.left -= 1;
    }

    /// Passes over a block that lies too deep, without a level of the stack for each.
    fn too_deep(&mut self, errors: &mut Errors) -> Vec<Statement> {
        errors.at(self.line, format!("blocks lie deeper than {DEPTH_LIMIT} in one another"));
        let mut open = 1usize;
        while open > 0 {
            match self.next(errors) {
                Some(Lexeme::Open) => open += 1,
                Some(Lexeme::Close) => open -= 1,
                Some(_) => {}
                None => return vec![],
            }
        }
        vec![]
    }

    fn next(&mut self, errors: &mut Errors) -> Option<Lexeme> {
        loop {
            let (start, c) = self.chars.next()?;
            match c {
                '\n' => self.line += 1,
                '#' => self.comment(),
                c if c.is_whitespace() => {}
                ';' => return Some(Lexeme::Semicolon),
                '{' => return Some(Lexeme::Open),
                '}' => return Some(Lexeme::Close),
                ',' | '=' => return Some(Lexeme::Word(Token { text: c.to_string(), quoted: false })),
                '"' => return Some(Lexeme::Word(Token { text: self.quoted(errors), quoted: true })),
                _ => return Some(Lexeme::Word(Token { text: self.bare(start).to_owned(), quoted: false })),
            }
        }
    }

    fn comment(&mut self) {
        while self.chars.next_if(|(_, c)| *c != '\n').is_some() {}
    }

    fn bare(&mut self, start: usize) -> &str {
        while self.chars.next_if(|(_, c)| !c.is_whitespace() && !matches!(c, ';' | '{' | '}' | ',' | '=' | '"' | '#')).is_some() {}
        let end = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        &self.text[start..end]
    }

    /// Text up to the closing quote. Escapes are those that dhcpd knows for letters; others stand for their letter.
    fn quoted(&mut self, errors: &mut Errors) -> String {
        let first = self.line;
        let mut out = String::new();
        while let Some((_, c)) = self.chars.next() {
            match c {
                '"' => return out,
                '\\' => match self.chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, 'r')) => out.push('\r'),
                    Some((_, other)) => {
                        self.line += u32::from(other == '\n');
                        out.push(other);
                    }
                    None => break,
                },
                other => {
                    self.line += u32::from(other == '\n');
                    out.push(other);
                }
            }
        }
        errors.at(first, "this quote does not end: close it");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Statement>, Vec<String>) {
        let mut errors = Errors::new(&"f".into());
        let read = statements(text, &mut { STATEMENTS_LIMIT }, &mut errors);
        (read, errors.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn statements_have_words_blocks_and_lines() {
        let (read, errors) = read("# c\noption x \"a;b\", 1=2; # d\nhost h {\n hardware ethernet 1:2;\n}\nend;");
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(read.iter().map(|one| one.line).collect::<Vec<_>>(), [2, 3, 6]);
        assert_eq!(read[0].words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>(), ["option", "x", "a;b", ",", "1", "=", "2"]);
        assert_eq!(read[1].block.as_ref().unwrap()[0].line, 4);
    }

    #[test]
    fn statements_come_out_of_one_store() {
        let mut errors = Errors::new(&"f".into());
        let mut left = 5;
        assert_eq!(statements("a; b;", &mut left, &mut errors).len(), 2);
        assert_eq!(statements("a;\nb { c; }\nd;", &mut left, &mut errors).len(), 1);
        assert_eq!((left, statements("a;", &mut left, &mut errors).len()), (0, 0));
        let errors: Vec<String> = errors.into_vec().iter().map(|error| error.place.to_string()).collect();
        assert_eq!(errors, ["f:2"], "it is told once");
    }

    #[test]
    fn a_mistake_costs_its_statement_and_not_the_rest() {
        let (statements, errors) = read("a { b }\nc; }\nd;\ne \"x");
        assert_eq!(
            errors,
            [
                "f:1: a semicolon is missing after \"b\"",
                "f:2: this } closes nothing: remove it",
                "f:4: this quote does not end: close it",
                "f:4: a semicolon is missing after \"e\", or its block is not closed"
            ]
        );
        assert_eq!(statements.iter().map(|one| one.word(0)).collect::<Vec<_>>(), ["a", "c", "d"]);
        let (_, errors) = read(&"a {".repeat(100_000));
        assert!(errors.iter().any(|error| error.contains("deeper")), "{errors:?}");
    }
}
