//! Record data between the text people write (RFC 1035 section 5) and the bytes on the wire.
//!
//! It exists so that imports, the web page and exports agree on one spelling, and so that what one of them stores
//! is what an agent serves. It refuses data that does not fit its type: a wrong record must not reach a signed snapshot.
//! How: each type is a list of fields, and one reader and one printer walk that list, so that the two cannot drift apart.
//! This is our own code because hickory-proto's text parser rejects RP, LOC and RFC 3597 and would bring a second name type.
//! Types without a list here are written and printed in the form of RFC 3597, `\# length hex`, which all types accept.

use crate::words::{DomainName, WordError};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest record data: RDLENGTH has 16 bits, RFC 1035 section 3.2.1.
pub const RDATA_LIMIT_BYTES: usize = 65_535;
/// The greatest TTL or other span of time, RFC 2181 section 8.
pub const SECONDS_LIMIT: u32 = i32::MAX as u32;

/// Why a record's data was refused, as a sentence for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdataError {
    /// Not a mnemonic that we know and not `TYPE` and a number.
    #[error("\"{0}\" is not a record type: write a known one such as A or MX, or TYPE and its number")]
    UnknownType(String),
    /// Types that exist only in questions and on the wire (RFC 6895 section 3.1).
    #[error("type {0} cannot be stored in a zone")]
    MetaType(String),
    /// The data ended early.
    #[error("the {rtype} record ends where {field} should follow")]
    Missing {
        /// The type's mnemonic.
        rtype: String,
        /// What was expected.
        field: &'static str,
    },
    /// Text behind the last field.
    #[error("\"{given}\" is too much for a {rtype} record: remove it")]
    Surplus {
        /// The type's mnemonic.
        rtype: String,
        /// The first word that is too much.
        given: String,
    },
    /// One field is wrong.
    #[error("\"{given}\" is not {wanted}")]
    Field {
        /// The text of the field.
        given: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A name in the data is wrong.
    #[error(transparent)]
    Name(#[from] WordError),
    /// More than 65 535 bytes.
    #[error("the record's data is longer than 65535 bytes")]
    TooLong,
    /// `\#` data that is not what the type asks for.
    #[error("the bytes after \\# are not a well-formed {0} record")]
    Malformed(String),
    /// A known type that has no list of fields here.
    #[error("type {0} is read only in its generic form: \\# length hexadecimal-bytes (RFC 3597)")]
    GenericOnly(String),
    /// A quote or escape that does not end.
    #[error("a quote or an escape does not end")]
    Unfinished,
}

/// One piece of a type's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    U8,
    U16,
    U32,
    Seconds,
    V4,
    V6,
    /// A character-string, RFC 1035 section 3.3.
    Text,
    /// One character-string or more, to the end.
    Texts,
    /// CAA's property tag, RFC 8659 section 4.1.
    Tag,
    /// Bytes without a length, to the end, written as one quoted string.
    Value,
    /// Bytes to the end, written in hexadecimal.
    Hex,
}
use Field::{Hex, Name, Seconds, Tag, Text, Texts, U8, U16, U32, V4, V6, Value};

/// Every type whose data has a text form here.
const FORMS: &[(u16, &[Field])] = &[
    (1, &[V4]),
    (2, &[Name]),
    (5, &[Name]),
    (6, &[Name, Name, U32, Seconds, Seconds, Seconds, Seconds]),
    (12, &[Name]),
    (13, &[Text, Text]),
    (15, &[U16, Name]),
    (16, &[Texts]),
    (17, &[Name, Name]),
    (18, &[U16, Name]),
    (28, &[V6]),
    (33, &[U16, U16, U16, Name]),
    (35, &[U16, U16, Text, Text, Text, Name]),
    (36, &[U16, Name]),
    (39, &[Name]),
    (43, &[U16, U8, U8, Hex]),
    (44, &[U8, U8, Hex]),
    (52, &[U8, U8, U8, Hex]),
    (53, &[U8, U8, U8, Hex]),
    (59, &[U16, U8, U8, Hex]),
    (99, &[Texts]),
    (256, &[U16, U16, Value]),
    (257, &[U8, Tag, Value]),
];

/// The names of types, both ways; more than we have forms for, so that a known one is called by its name.
const NAMES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (39, "DNAME"),
    (42, "APL"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (49, "DHCID"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (108, "EUI48"),
    (109, "EUI64"),
    (256, "URI"),
    (257, "CAA"),
];

/// Reads a type's data from words of a zone file: `rtype` is a mnemonic, `TYPEnnn` or a number; a quoted word keeps its quotes
/// and every word its escapes; names without a final dot are completed by `origin`.
pub fn parse(rtype: &str, tokens: &[&str], origin: Option<&DomainName>) -> Result<(u16, Vec<u8>), RdataError> {
    let number = parse_type(rtype)?;
    Ok((number, parse_data(number, tokens, origin)?))
}

/// Like [`parse`], for one line of text, as a form field or a command gives it.
pub fn parse_text(rtype: &str, text: &str, origin: Option<&DomainName>) -> Result<(u16, Vec<u8>), RdataError> {
    parse(rtype, &split(text)?, origin)
}

/// Like [`parse`], for a type that is already known by its number.
pub fn parse_data(rtype: u16, tokens: &[&str], origin: Option<&DomainName>) -> Result<Vec<u8>, RdataError> {
    if is_meta(rtype) {
        return Err(RdataError::MetaType(type_name(rtype)));
    }
    if tokens.first() == Some(&r"\#") {
        return parse_generic(rtype, &tokens[1..]);
    }
    let fields = form(rtype).ok_or_else(|| RdataError::GenericOnly(type_name(rtype)))?;
    let mut rdata = Vec::new();
    let mut rest = tokens;
    for field in fields {
        read_field(*field, rtype, &mut rest, origin, &mut rdata)?;
    }
    match rest.first() {
        Some(given) => Err(RdataError::Surplus { rtype: type_name(rtype), given: shown(given) }),
        None if rdata.len() > RDATA_LIMIT_BYTES => Err(RdataError::TooLong),
        None => Ok(rdata),
    }
}

/// Prints a type's data so that [`parse`] gives it back. Bytes that do not fit the type are printed in the form of RFC 3597.
pub fn print(rtype: u16, rdata: &[u8]) -> String {
    form(rtype).and_then(|fields| print_fields(fields, rdata)).unwrap_or_else(|| print_generic(rdata))
}

/// Whether `rdata` is well formed for its type; types without a form here always are.
pub fn is_well_formed(rtype: u16, rdata: &[u8]) -> bool {
    rdata.len() <= RDATA_LIMIT_BYTES && form(rtype).is_none_or(|fields| print_fields(fields, rdata).is_some())
}

/// The number of a type given by mnemonic (any case), by `TYPEnnn` (RFC 3597 section 5) or by number.
pub fn parse_type(text: &str) -> Result<u16, RdataError> {
    let known = NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text));
    if let Some((number, _)) = known {
        return Ok(*number);
    }
    let digits = match text.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("TYPE") => &text[4..],
        _ => text,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().ok_or_else(|| RdataError::UnknownType(shown(text)))
}

/// The mnemonic of a type, or `TYPEnnn`.
pub fn type_name(rtype: u16) -> String {
    match NAMES.iter().find(|(number, _)| *number == rtype) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("TYPE{rtype}"),
    }
}

/// A span of time: seconds, or numbers with the units w, d, h, m, s in any order (`1w2d`).
pub fn parse_seconds(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|seconds| *seconds <= SECONDS_LIMIT);
    }
    let mut total = 0u64;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        let unit = match c.to_ascii_lowercase() {
            digit @ '0'..='9' => {
                number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(digit as u32 - '0' as u32)));
                continue;
            }
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.saturating_add(number.take()?.saturating_mul(unit));
    }
    if number.is_some() {
        return None;
    }
    u32::try_from(total).ok().filter(|seconds| *seconds <= SECONDS_LIMIT)
}

/// Cuts one line into words: blanks separate, quotes hold together (and stay), a backslash protects the next character.
pub fn split(text: &str) -> Result<Vec<&str>, RdataError> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                start.get_or_insert(at);
                chars.next().ok_or(RdataError::Unfinished)?;
            }
            '"' if quoted => {
                words.extend(start.take().map(|from: usize| &text[from..=at]));
                quoted = false;
            }
            '"' => {
                words.extend(start.replace(at).map(|from| &text[from..at]));
                quoted = true;
            }
            ' ' | '\t' if !quoted => words.extend(start.take().map(|from| &text[from..at])),
            _ => {
                start.get_or_insert(at);
            }
        }
    }
    if quoted {
        return Err(RdataError::Unfinished);
    }
    words.extend(start.map(|from| &text[from..]));
    Ok(words)
}

fn form(rtype: u16) -> Option<&'static [Field]> {
    FORMS.iter().find(|(number, _)| *number == rtype).map(|(_, fields)| *fields)
}

/// Type 0, OPT, and the range for questions: RFC 6895 section 3.1.
fn is_meta(rtype: u16) -> bool {
    rtype == 0 || rtype == 41 || (128..=255).contains(&rtype)
}

fn shown(text: &str) -> String {
    /// Enough to recognise the word, short enough for one line of a report.
    const SHOWN_CHARS: usize = 80;
    text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn wanted(field: Field) -> &'static str {
    match field {
        Name => "a domain name",
        U8 => "a number from 0 to 255",
        U16 => "a number from 0 to 65535",
        U32 => "a number from 0 to 4294967295",
        Seconds => "a span of time such as 3600 or 1h30m, at most 2147483647 seconds",
        V4 => "an IPv4 address such as 10.1.4.7",
        V6 => "an IPv6 address such as 2001:db8::7",
        Text => "a string of at most 255 bytes",
        Texts => "a string of at most 255 bytes: cut it into several quoted strings",
        Tag => "a property tag of letters and digits such as issue",
        Value => "a string",
        Hex => "pairs of hexadecimal digits",
    }
}

/// Takes one field off `tokens` and appends its wire form.
fn read_field(field: Field, rtype: u16, tokens: &mut &[&str], origin: Option<&DomainName>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let Some((first, rest)) = tokens.split_first() else {
        return Err(RdataError::Missing { rtype: type_name(rtype), field: wanted(field) });
    };
    *tokens = rest;
    if field == Name {
        out.extend_from_slice(DomainName::parse(first, origin)?.wire());
        return Ok(());
    }
    let mut all_read = read_plain(field, first, out);
    if matches!(field, Texts | Hex) {
        for more in std::mem::take(tokens) {
            all_read = all_read.and_then(|()| read_plain(field, more, out));
        }
    }
    all_read.ok_or_else(|| RdataError::Field { given: shown(first), wanted: wanted(field) })
}

fn read_plain(field: Field, token: &str, out: &mut Vec<u8>) -> Option<()> {
    match field {
        U8 => out.push(decimal(token)?),
        U16 => out.extend_from_slice(&decimal::<u16>(token)?.to_be_bytes()),
        U32 => out.extend_from_slice(&decimal::<u32>(token)?.to_be_bytes()),
        Seconds => out.extend_from_slice(&parse_seconds(token).filter(|_| !token.is_empty())?.to_be_bytes()),
        V4 => out.extend_from_slice(&token.parse::<Ipv4Addr>().ok()?.octets()),
        V6 => out.extend_from_slice(&token.parse::<Ipv6Addr>().ok()?.octets()),
        Text | Texts => push_counted(&unescape(token)?, out)?,
        Tag => {
            let tag = unescape(token).filter(|tag| is_tag(tag))?;
            push_counted(&tag, out)?;
        }
        Value => out.extend_from_slice(&unescape(token)?),
        Hex => read_hex(token, out)?,
        Name => return None,
    }
    Some(())
}

/// Digits only: no sign, which Rust's own parser would allow.
fn decimal<N: std::str::FromStr>(token: &str) -> Option<N> {
    token.bytes().all(|byte| byte.is_ascii_digit()).then(|| token.parse().ok()).flatten()
}

fn is_tag(tag: &[u8]) -> bool {
    !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric)
}

fn push_counted(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.push(u8::try_from(bytes.len()).ok()?);
    out.extend_from_slice(bytes);
    Some(())
}

fn read_hex(token: &str, out: &mut Vec<u8>) -> Option<()> {
    let digits: Vec<u8> = token.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    if digits.is_empty() || digits.len() % 2 == 1 {
        return None;
    }
    out.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
    Some(())
}

/// The bytes of a character-string: quotes taken off, `\X` and `\DDD` resolved (RFC 1035 section 5.1).
fn unescape(token: &str) -> Option<Vec<u8>> {
    let bare = match token.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"')?,
        None => token,
    };
    let mut bytes = bare.bytes();
    let mut out = Vec::with_capacity(bare.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let first = bytes.next()?;
        if !first.is_ascii_digit() {
            out.push(first);
            continue;
        }
        let digits = [first, bytes.next()?, bytes.next()?];
        let value = digits.iter().try_fold(0u32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))?;
        out.push(u8::try_from(value).ok()?);
    }
    Some(out)
}

/// RFC 3597 section 5: `\# length hex ...`.
fn parse_generic(rtype: u16, tokens: &[&str]) -> Result<Vec<u8>, RdataError> {
    let wrong = |given: &str| RdataError::Field { given: shown(given), wanted: "a length and as many bytes in hexadecimal" };
    let (len, hex) = tokens.split_first().ok_or_else(|| wrong(""))?;
    let len: u16 = decimal(len).ok_or_else(|| wrong(len))?;
    let mut rdata = Vec::with_capacity(len.into());
    for token in hex {
        read_hex(token, &mut rdata).ok_or_else(|| wrong(token))?;
    }
    if rdata.len() != usize::from(len) {
        return Err(wrong(&tokens.join(" ")));
    }
    let Some(fields) = form(rtype) else { return Ok(rdata) };
    // Through the text form once, so that names are in lower case as everywhere else.
    let text = print_fields(fields, &rdata).ok_or_else(|| RdataError::Malformed(type_name(rtype)))?;
    parse_data(rtype, &split(&text)?, None)
}

fn print_generic(rdata: &[u8]) -> String {
    let mut text = format!("\\# {}", rdata.len());
    if !rdata.is_empty() {
        text.push(' ');
    }
    push_hex(rdata, &mut text);
    text
}

/// `None` where the bytes do not fit the fields.
fn print_fields(fields: &[Field], rdata: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = rdata;
    for field in fields {
        if !text.is_empty() {
            text.push(' ');
        }
        print_field(*field, &mut rest, &mut text)?;
    }
    rest.is_empty().then_some(text)
}

fn print_field(field: Field, rest: &mut &[u8], text: &mut String) -> Option<()> {
    match field {
        Name => write!(text, "{}", take_name(rest)?).ok()?,
        U8 => write!(text, "{}", take(rest, 1)?[0]).ok()?,
        U16 => write!(text, "{}", u16::from_be_bytes(take(rest, 2)?.try_into().ok()?)).ok()?,
        U32 => write!(text, "{}", u32::from_be_bytes(take(rest, 4)?.try_into().ok()?)).ok()?,
        Seconds => {
            let seconds = u32::from_be_bytes(take(rest, 4)?.try_into().ok()?);
            write!(text, "{}", Some(seconds).filter(|seconds| *seconds <= SECONDS_LIMIT)?).ok()?;
        }
        V4 => write!(text, "{}", Ipv4Addr::from(<[u8; 4]>::try_from(take(rest, 4)?).ok()?)).ok()?,
        V6 => write!(text, "{}", Ipv6Addr::from(<[u8; 16]>::try_from(take(rest, 16)?).ok()?)).ok()?,
        Text => push_quoted(take_counted(rest)?, text),
        Texts => {
            push_quoted(take_counted(rest)?, text);
            while !rest.is_empty() {
                text.push(' ');
                push_quoted(take_counted(rest)?, text);
            }
        }
        Tag => {
            let tag = take_counted(rest).filter(|tag| is_tag(tag))?;
            text.push_str(std::str::from_utf8(tag).ok()?);
        }
        Value => push_quoted(std::mem::take(rest), text),
        Hex => push_hex(Some(std::mem::take(rest)).filter(|bytes| !bytes.is_empty())?, text),
    }
    Some(())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

fn take_counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take(rest, 1)?[0];
    take(rest, len.into())
}

fn take_name(rest: &mut &[u8]) -> Option<DomainName> {
    let mut len = 0;
    loop {
        let label_len = *rest.get(len)?;
        len += 1 + usize::from(label_len);
        if label_len == 0 {
            return DomainName::from_wire(take(rest, len)?);
        }
    }
}

fn push_quoted(bytes: &[u8], text: &mut String) {
    text.push('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(byte as char);
            }
            0x20..=0x7e => text.push(byte as char),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text.push('"');
}

fn push_hex(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        text.push_str(&format!("{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uni() -> DomainName {
        "uni.example".parse().unwrap()
    }

    fn check(rtype: &str, text: &str, printed: &str) {
        let (number, rdata) = parse_text(rtype, text, Some(&uni())).unwrap_or_else(|wrong| panic!("{rtype} {text}: {wrong}"));
        assert_eq!(print(number, &rdata), printed);
        assert_eq!(parse_text(rtype, printed, None).unwrap().1, rdata, "{rtype} {printed}");
    }

    #[test]
    fn each_type_is_read_and_printed() {
        check("A", "10.1.4.7", "10.1.4.7");
        check("aaaa", "2001:DB8:1::7", "2001:db8:1::7");
        check("MX", "10 Mail", "10 mail.uni.example.");
        check("TXT", r#""v=spf1 mx -all" plain a\"b "\200""#, r#""v=spf1 mx -all" "plain" "a\"b" "\200""#);
        check("HINFO", r#""CISCO-AGS" MACOS"#, r#""CISCO-AGS" "MACOS""#);
        check("SOA", "ns.north hostmaster 1999112701 3h 1h 1w 1h", "ns.north.uni.example. hostmaster.uni.example. 1999112701 10800 3600 604800 3600");
        check("SRV", "0 5 1812 auth", "0 5 1812 auth.uni.example.");
        check("CAA", r#"0 issue "ca.example.net""#, r#"0 issue "ca.example.net""#);
        check("RP", "noc noc-info.", "noc.uni.example. noc-info.");
        check("SSHFP", "4 2 0a 0B0c", "4 2 0A0B0C");
        check("TLSA", "3 1 1 00ff", "3 1 1 00FF");
        check("NAPTR", r#"100 10 "u" "E2U+sip" "!^.*$!sip:info@uni.example!" ."#, r#"100 10 "u" "E2U+sip" "!^.*$!sip:info@uni.example!" ."#);
        check("DS", "60485 5 1 2BB183AF", "60485 5 1 2BB183AF");
        check("TYPE65400", r"\# 4 0A000001", r"\# 4 0A000001");
        check("TYPE65400", r"\# 0", r"\# 0");
        check("TYPE1", r"\# 4 0A000001", "10.0.0.1");
        check("LOC", r"\# 2 00ff", r"\# 2 00FF");
    }

    #[test]
    fn wrong_data_is_refused_with_a_sentence() {
        for (rtype, text, part) in [
            ("A", "10.1.4", "not an IPv4 address"),
            ("A", "10.1.4.7 x", "too much"),
            ("MX", "10", "ends where"),
            ("MX", "+10 mail", "0 to 65535"),
            ("TXT", "", "ends where"),
            ("TXT", "\"open", "does not end"),
            ("SOA", "a b 1 3x 1 1 1", "span of time"),
            ("CAA", "0 is-sue x", "property tag"),
            ("MX", "1 a..b", "empty label"),
            ("LOC", "52 N", "RFC 3597"),
            ("BOGUS", "x", "not a record type"),
            ("TYPE70000", "x", "not a record type"),
            ("TYPE255", r"\# 0", "cannot be stored"),
            ("A", r"\# 3 0A0000", "not a well-formed A"),
            ("TYPE9", r"\# 3 0A00", "a length"),
        ] {
            let wrong = parse_text(rtype, text, Some(&uni())).expect_err(text).to_string();
            assert!(wrong.contains(part), "{rtype} {text}: {wrong}");
        }
    }

    #[test]
    fn spans_of_time_have_units() {
        assert_eq!(parse_seconds("1w2d"), Some(777_600));
        assert_eq!(parse_seconds("3H"), Some(10_800));
        assert_eq!(parse_seconds("2147483647"), Some(SECONDS_LIMIT));
        for text in ["", "h", "1x", "1h5", "2147483648", "99999999999999999999w", "-1"] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }

    /// Bytes that fit a list of fields, names in lower case.
    fn fitting(fields: &'static [Field]) -> impl Strategy<Value = Vec<u8>> {
        let name = proptest::collection::vec(proptest::collection::vec(any::<u8>().prop_map(|b| b.to_ascii_lowercase()), 1..6), 0..4)
            .prop_map(|labels| labels.iter().flat_map(|label| [vec![label.len() as u8], label.clone()].concat()).chain([0]).collect::<Vec<u8>>());
        let text = proptest::collection::vec(any::<u8>(), 0..20);
        let one = move |field: Field| -> BoxedStrategy<Vec<u8>> {
            let exact = |len| proptest::collection::vec(any::<u8>(), len).boxed();
            let counted = |bytes: Vec<u8>| [vec![bytes.len() as u8], bytes].concat();
            match field {
                Name => name.clone().boxed(),
                U8 => exact(1),
                U16 => exact(2),
                U32 | V4 => exact(4),
                Seconds => (0..=SECONDS_LIMIT).prop_map(|n| n.to_be_bytes().to_vec()).boxed(),
                V6 => exact(16),
                Text => text.clone().prop_map(counted).boxed(),
                Texts => proptest::collection::vec(text.clone().prop_map(counted), 1..4).prop_map(|all| all.concat()).boxed(),
                Tag => "[a-zA-Z0-9]{1,9}".prop_map(move |tag| counted(tag.into_bytes())).boxed(),
                Value => text.clone().boxed(),
                Hex => proptest::collection::vec(any::<u8>(), 1..20).boxed(),
            }
        };
        fields.iter().map(|field| one(*field)).collect::<Vec<_>>().prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_fits_is_printed_and_read_back((rtype, rdata) in (0..FORMS.len()).prop_flat_map(|at| fitting(FORMS[at].1).prop_map(move |rdata| (FORMS[at].0, rdata)))) {
            let text = print(rtype, &rdata);
            prop_assert!(!text.starts_with(r"\#"), "{}", text);
            prop_assert_eq!(parse_data(rtype, &split(&text).unwrap(), None).unwrap(), rdata.clone());
            prop_assert_eq!(parse_data(rtype, &split(&print_generic(&rdata)).unwrap(), None).unwrap(), rdata);
        }

        #[test]
        fn any_bytes_print_and_never_panic(rtype in prop_oneof![0u16..70, 250u16..260, any::<u16>()], rdata in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = print(rtype, &rdata);
            if let Ok(once) = parse_data(rtype, &split(&text).unwrap(), None) {
                prop_assert_eq!(once.to_ascii_lowercase(), rdata.to_ascii_lowercase());
            }
        }
    }
}
