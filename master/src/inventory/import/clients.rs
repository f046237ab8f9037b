//! Reads FreeRADIUS's clients.conf: who may send RADIUS requests, and their shared secrets.
//!
//! Only `client` blocks count; items that Holdfast has no use for (`nas_type`, `limit { }`) are passed over. A secret
//! becomes a `Secret` at once, and no message shows one. Pure: text in, clients and errors out.

use super::place::{Errors, ImportError, Place};
use holdfast_proto::words::{Secret, Subnet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// RFC 2865 section 3 asks for at least 16; shorter ones are common, so only an empty or absurd one is refused.
pub const SECRET_LIMIT_BYTES: usize = 256;

/// The items that are read.
const KEYS: [&str; 7] = ["ipaddr", "ipv4addr", "ipv6addr", "netmask", "secret", "shortname", "require_message_authenticator"];

/// One NAS, or a network of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Where the block starts.
    pub place: Place,
    /// `shortname`, or the block's name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: Subnet,
    /// The shared secret.
    pub secret: Secret,
    /// Whether requests must carry a Message-Authenticator; yes unless the file says no.
    pub require_message_authenticator: bool,
}

/// What a clients.conf says.
#[derive(Debug, Default)]
pub struct Clients {
    /// The clients in the file's order.
    pub clients: Vec<Client>,
    /// All that is wrong.
    pub errors: Vec<ImportError>,
}

/// Reads a clients.conf.
pub fn parse(file: &str, text: &str) -> Clients {
    let file: Arc<str> = file.into();
    let mut errors = Errors::new(&file);
    let mut clients = Vec::new();
    let mut block: Option<Block> = None;
    let mut depth_outside = 0usize;
    for (line, text) in (1u32..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        let words = match words(text) {
            Ok(words) => words,
            Err(message) => {
                errors.at(line, message);
                continue;
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (&mut block, words.as_slice()) {
            (_, []) => {}
            (Some(open), ["}"]) if open.depth == 0 => {
                let finished = block.take().map(|open| open.finish(&file));
                match finished {
                    Some(Ok(client)) => clients.push(client),
                    Some(Err(problems)) => problems.into_iter().for_each(|(line, message)| errors.at(line, message)),
                    None => {}
                }
            }
            (Some(open), ["}"]) => open.depth -= 1,
            (Some(open), [key, "=", value]) if open.depth == 0 => open.items.push((line, (*key).to_owned(), (*value).to_owned())),
            (Some(open), [.., "{"]) => open.depth += 1,
            // Never a guess at a secret: a blank, comma or brace in it needs quotes.
            (Some(open), [key, "=", _, ..]) if open.depth == 0 && KEYS.contains(key) => {
                errors.at(line, format!("the value of {key} is more than one word: put it in quotes"));
                open.items.push((line, (*key).to_owned(), "?".to_owned()));
            }
            (Some(_), _) => {}
            (None, ["client", name, "{"]) if depth_outside == 0 => block = Some(Block { line, name: (*name).to_owned(), items: vec![], depth: 0 }),
            (None, ["client", ..]) if depth_outside == 0 => errors.at(line, "a client block starts with: client NAME {"),
            (None, [.., "{"]) => depth_outside += 1,
            (None, ["}"]) if depth_outside > 0 => depth_outside -= 1,
            (None, ["}"]) => errors.at(line, "this } closes nothing: remove it"),
            (None, _) if depth_outside > 0 => {}
            (None, [first, ..]) => errors.at(line, format!("\"{first}\" does not belong outside a client block")),
        }
    }
    if let Some(open) = block {
        errors.at(open.line, format!("the block of client {} is never closed: add }}", open.name));
    }
    Clients { clients, errors: errors.into_vec() }
}

/// An open client block.
struct Block {
    line: u32,
    name: String,
    items: Vec<(u32, String, String)>,
    /// Blocks inside this one that are open.
    depth: usize,
}

impl Block {
    fn get(&self, keys: &[&str]) -> Option<(u32, &str)> {
        self.items.iter().rev().find(|(_, key, _)| keys.contains(&key.as_str())).map(|(line, _, value)| (*line, value.as_str()))
    }

    fn finish(self, file: &Arc<str>) -> Result<Client, Vec<(u32, String)>> {
        let mut problems = Vec::new();
        let prefix = self.prefix().map_err(|problem| problems.push(problem)).ok();
        let secret = self.secret().map_err(|problem| problems.push(problem)).ok();
        let require = self.require().map_err(|problem| problems.push(problem)).ok();
        let name = self.get(&["shortname"]).map_or(self.name.as_str(), |(_, name)| name).to_owned();
        match (prefix, secret, require) {
            (Some(prefix), Some(secret), Some(require_message_authenticator)) => {
                Ok(Client { place: Place::new(file, self.line), name, prefix, secret, require_message_authenticator })
            }
            _ => Err(problems),
        }
    }

    /// The address from its item, or from the block's name as old files have it.
    fn prefix(&self) -> Result<Subnet, (u32, String)> {
        let (line, text) = self.get(&["ipaddr", "ipv4addr", "ipv6addr"]).unwrap_or((self.line, &self.name));
        let wrong = |why: &str| (line, format!("client {}: \"{text}\" {why}", self.name));
        if text == "*" {
            return Err(wrong("would let everybody in: name the networks"));
        }
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| wrong("is not an address: write ipaddr = 10.1.4.20 or 10.1.250.0/24"))?;
        let family_bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length.or_else(|| self.get(&["netmask"]).map(|(_, mask)| mask)) {
            None => family_bits,
            Some(text) => mask_length(text).ok_or_else(|| wrong("has a netmask that is neither a length nor ones followed by zeros"))?,
        };
        Subnet::around(address, length).ok_or_else(|| wrong("has a prefix longer than its address"))
    }

    fn secret(&self) -> Result<Secret, (u32, String)> {
        let (line, secret) = self.get(&["secret"]).ok_or_else(|| (self.line, format!("client {} has no secret", self.name)))?;
        match secret.len() {
            0 => Err((line, format!("client {} has an empty secret", self.name))),
            len if len > SECRET_LIMIT_BYTES => Err((line, format!("client {} has a secret longer than {SECRET_LIMIT_BYTES} bytes", self.name))),
            _ => Ok(Secret::new(secret)),
        }
    }

    fn require(&self) -> Result<bool, (u32, String)> {
        match self.get(&["require_message_authenticator"]) {
            None => Ok(true),
            Some((_, "yes" | "true" | "on" | "1" | "auto")) => Ok(true),
            Some((_, "no" | "false" | "off" | "0")) => Ok(false),
            Some((line, _)) => Err((line, format!("client {}: require_message_authenticator is yes or no", self.name))),
        }
    }
}

fn mask_length(text: &str) -> Option<u8> {
    if let Ok(length) = text.parse() {
        return Some(length);
    }
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones() as u8)
}

/// Words of a line: `=`, `{` and `}` stand alone, quotes hold together and are taken off, `#` ends the line.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut out: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '#' if word.is_none() => break,
            ' ' | '\t' | '\r' | ',' | ';' => out.extend(word.take()),
            '"' | '\'' if word.is_none() => {
                let mut quoted = String::new();
                loop {
                    match chars.next() {
                        None => return Err("a quote does not end on its line: close it"),
                        Some(end) if end == c => break,
                        Some('\\') => quoted.extend(chars.next()),
                        Some(other) => quoted.push(other),
                    }
                }
                out.push(quoted);
            }
            '{' | '}' => {
                out.extend(word.take());
                out.push(c.to_string());
            }
            // Only the first `=`: an unquoted secret may hold more.
            '=' if !out.iter().any(|word| word == "=") => {
                out.extend(word.take());
                out.push("=".to_owned());
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    out.extend(word);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn blocks_become_clients() {
        let text = "# NASs\nclient a {\n ipaddr = 10.1.4.20 # one\n secret = a=b\n}\nclient 10.9.0.1 {\n secret=\"q \\\" #x\"\n netmask = 255.255.255.0\n shortname = nine\n require_message_authenticator = no\n limit {\n  max = 3\n }\n}\nclient six {\n ipv6addr = 2001:db8::/64\n secret = s\n}\n";
        let read = parse("clients.conf", text);
        assert_eq!(read.errors, vec![]);
        assert_eq!(read.clients.iter().map(|c| c.prefix.to_string()).collect::<Vec<_>>(), ["10.1.4.20/32", "10.9.0.0/24", "2001:db8::/64"]);
        assert_eq!(read.clients[0].secret.expose(), b"a=b");
        assert_eq!(read.clients[1].secret.expose(), b"q \" #x");
        assert_eq!((read.clients[1].name.as_str(), read.clients[1].require_message_authenticator), ("nine", false));
        assert!(read.clients[0].require_message_authenticator);
    }

    #[test]
    fn a_secret_is_never_guessed_at() {
        let read = parse("clients.conf", "client a {\n ipaddr = 10.0.0.1\n secret = a{b\n}\n");
        assert!(read.errors[0].message.contains("in quotes"));
    }

    #[test]
    fn mistakes_are_listed_and_secrets_are_not() {
        let text = "client a {\n ipaddr = *\n secret = hush\n}\nclient b {\n ipaddr = 10.0.0.300\n}\nclient {\n}\nx = y\nclient c {\n secret = \"hush\n";
        let read = parse("clients.conf", text);
        let lines: Vec<u32> = read.errors.iter().map(|error| error.place.line).collect();
        assert_eq!(lines, [2, 6, 5, 8, 9, 10, 12, 11]);
        assert!(read.errors.iter().all(|error| !error.message.contains("hush")));
    }
}
