//! JSON as Kea reads it: with comments (`//`, `#`, `/* */`) and commas before closing brackets, and with the line of every value.
//!
//! serde_json knows neither, and a person who moves a file of ten thousand lines wants to be told the line. Depth is limited.

use super::DEPTH_LIMIT;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its line, from 1.
    pub line: u32,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object, its keys in the file's order.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Node)] {
        if let Value::Object(members) = &self.value { members } else { &[] }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.members().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Text.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// A whole number that is not negative.
    pub fn number(&self) -> Option<u64> {
        if let Value::Number(text) = &self.value { text.parse().ok() } else { None }
    }
}

/// Reads one value and nothing after it. The error has its line.
pub fn parse(text: &str) -> Result<Node, (u32, String)> {
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let node = reader.value(0)?;
    reader.blank()?;
    if reader.rest.is_empty() { Ok(node) } else { Err(reader.wrong("something follows after the end of the configuration")) }
}

struct Reader<'t> {
    rest: &'t str,
    line: u32,
}

type Read<T> = Result<T, (u32, String)>;

impl Reader<'_> {
    fn wrong(&self, why: impl Into<String>) -> (u32, String) {
        (self.line, why.into())
    }

    fn skip(&mut self, bytes: usize) {
        let (gone, rest) = self.rest.split_at(bytes);
        self.line += gone.bytes().filter(|byte| *byte == b'\n').count() as u32;
        self.rest = rest;
    }

    fn blank(&mut self) -> Read<()> {
        loop {
            let trimmed = self.rest.trim_start();
            self.skip(self.rest.len() - trimmed.len());
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").ok_or_else(|| self.wrong("this comment does not end: add */"))?;
                self.skip(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    /// Takes this letter where it comes next.
    fn take(&mut self, letter: char) -> Read<bool> {
        self.blank()?;
        let is_next = self.rest.starts_with(letter);
        if is_next {
            self.skip(letter.len_utf8());
        }
        Ok(is_next)
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        self.blank()?;
        if depth > DEPTH_LIMIT {
            return Err(self.wrong(format!("brackets lie deeper than {DEPTH_LIMIT} in one another")));
        }
        let line = self.line;
        let value = match self.rest.chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Value::Text(self.string()?),
            Some('<') => return Err(self.wrong("<?include?> is not followed: put the included text in its place")),
            Some(_) => self.word()?,
            None => return Err(self.wrong("the file ends where a value belongs")),
        };
        Ok(Node { line, value })
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        self.skip(1);
        let mut members: Vec<(String, Node)> = Vec::new();
        loop {
            if self.take('}')? {
                return Ok(Value::Object(members));
            }
            if !self.rest.starts_with('"') {
                return Err(self.wrong("a name in quotes, or }, belongs here"));
            }
            let name = self.string()?;
            if !self.take(':')? {
                return Err(self.wrong(format!("a colon belongs after \"{name}\"")));
            }
            members.push((name, self.value(depth + 1)?));
            if !self.take(',')? && !self.rest.starts_with('}') {
                return Err(self.wrong("a comma, or }, belongs here"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Read<Value> {
        self.skip(1);
        let mut items = Vec::new();
        loop {
            if self.take(']')? {
                return Ok(Value::List(items));
            }
            items.push(self.value(depth + 1)?);
            if !self.take(',')? && !self.rest.starts_with(']') {
                return Err(self.wrong("a comma, or ], belongs here"));
            }
        }
    }

    /// A string by serde_json's rules, from its opening quote to its closing one.
    fn string(&mut self) -> Read<String> {
        let bytes = self.rest.as_bytes();
        let mut at = 1;
        let end = loop {
            match bytes.get(at) {
                Some(b'"') => break at,
                Some(b'\\') => at += 2,
                Some(b'\n') | None => return Err(self.wrong("this quote does not end in its line")),
                Some(_) => at += 1,
            }
        };
        let text =
            serde_json::from_str(&self.rest[..=end]).map_err(|_| self.wrong("this is not a string of JSON: a backslash or a control character is wrong"))?;
        self.skip(end + 1);
        Ok(text)
    }

    fn word(&mut self) -> Read<Value> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && number.parse::<f64>().is_ok() => Value::Number(number.to_owned()),
            _ => return Err(self.wrong("a value belongs here: text in quotes, a number, true, false, { or [")),
        };
        self.skip(end);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_are_fine_and_lines_are_known() {
        let node = parse("// a\n{ # b\n \"x\": [1, /* c\n */ \"y//z\\n\",], }\n").unwrap();
        let list = node.get("x").unwrap();
        assert_eq!((node.line, list.line, list.items()[1].line), (2, 3, 4));
        assert_eq!(list.items()[1].text(), Some("y//z\n"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line) in
            [("{\n\"a\" 1}", 2), ("[1\n2]", 2), ("{\"a\": \"b\n\"}", 1), ("{} x", 1), ("", 1), ("/* x", 1), ("[\"\\q\"]", 1), ("{\n\"a\": yes}", 2)]
        {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
        assert!(parse(&"[".repeat(100_000)).unwrap_err().1.contains("deeper"));
    }
}
