//! The tags of a bootptab (CMU bootpd 2.4.3 and Debian's DHCP patch): what each takes, and which DHCP option it becomes.

use std::net::Ipv4Addr;

/// bootpd's own limit for a list of addresses.
pub const ADDRESSES_LIMIT: usize = 16;
/// A DHCP option's length has 8 bits, RFC 2132 section 2.
const OPTION_LIMIT_BYTES: usize = 255;
/// `file` of a BOOTP packet with its NUL, RFC 951 section 3.
const FILE_LIMIT_BYTES: usize = 127;

/// What a tag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it stands alone.
    Flag,
    /// One address.
    Address,
    /// Addresses separated by blanks.
    Addresses,
    /// Text, quoted or not.
    Text,
    /// A number; decimal, 0 octal, 0x hexadecimal.
    Number,
    /// A number, or `auto`, or nothing which means `auto`.
    NumberOrAuto,
    /// A name or number of a hardware type.
    HardwareType,
    /// A hardware address.
    Hardware,
    /// Read and left out: it concerns bootpd's own machine.
    Ignored,
}

/// A tag's two letters, what it takes, and the DHCP option it becomes (RFC 2132).
pub const TAGS: &[(&str, Kind, Option<u8>)] = &[
    ("bf", Kind::Text, None),
    ("bs", Kind::NumberOrAuto, Some(13)),
    ("cs", Kind::Addresses, Some(8)),
    ("df", Kind::Text, Some(14)),
    ("dl", Kind::Number, Some(51)),
    ("dn", Kind::Text, Some(15)),
    ("ds", Kind::Addresses, Some(6)),
    ("ef", Kind::Text, Some(18)),
    ("ex", Kind::Ignored, None),
    ("gw", Kind::Addresses, None),
    ("ha", Kind::Hardware, None),
    ("hd", Kind::Text, None),
    ("hn", Kind::Flag, None),
    ("ht", Kind::HardwareType, None),
    ("im", Kind::Addresses, Some(10)),
    ("ip", Kind::Address, None),
    ("lg", Kind::Addresses, Some(7)),
    ("lp", Kind::Addresses, Some(9)),
    ("ms", Kind::Ignored, None),
    ("mw", Kind::Number, None),
    ("ns", Kind::Addresses, Some(5)),
    ("nt", Kind::Addresses, Some(42)),
    ("ra", Kind::Ignored, None),
    ("rl", Kind::Addresses, Some(11)),
    ("rp", Kind::Text, Some(17)),
    ("sa", Kind::Address, None),
    ("sm", Kind::Address, None),
    ("sw", Kind::Address, Some(16)),
    ("td", Kind::Ignored, None),
    ("to", Kind::NumberOrAuto, Some(2)),
    ("ts", Kind::Addresses, Some(4)),
    ("vm", Kind::Ignored, None),
    ("yd", Kind::Text, Some(40)),
    ("ys", Kind::Addresses, Some(41)),
];

/// Hardware types by bootpd's names: number and address length (its htypes table).
const HARDWARE_TYPES: &[(&str, u8)] = &[
    ("ethernet", 1),
    ("ether", 1),
    ("ethernet3", 2),
    ("ether3", 2),
    ("ieee802", 6),
    ("tr", 6),
    ("token-ring", 6),
    ("pronet", 4),
    ("chaos", 5),
    ("arcnet", 7),
    ("ax.25", 3),
    ("direct", 0),
    ("serial", 0),
    ("slip", 0),
];

/// A tag's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A flag that is set, or a tag that is left out.
    Set,
    /// `auto`.
    Auto,
    /// A number.
    Number(i64),
    /// Addresses, at least one.
    Addresses(Vec<Ipv4Addr>),
    /// Text.
    Text(String),
    /// A hardware address, or the type's number as one byte.
    Bytes(Vec<u8>),
}

/// Finds an address for a name.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<Ipv4Addr>;

/// Reads the value of a tag; `text` is what follows `=`, `None` where nothing does.
pub fn read(tag: &str, kind: Kind, text: Option<&str>, lookup: Lookup<'_>) -> Result<Value, String> {
    match (kind, text) {
        (Kind::Flag, None) | (Kind::Ignored, _) => Ok(Value::Set),
        (Kind::Flag, Some(_)) => Err(format!("{tag} stands alone: remove = and what follows")),
        (Kind::NumberOrAuto, None) => Ok(Value::Auto),
        (_, None) => Err(format!("{tag} wants a value: write {tag}=...")),
        (Kind::Text, Some(text)) => read_text(tag, text),
        (Kind::NumberOrAuto, Some(text)) if text.eq_ignore_ascii_case("auto") => Ok(Value::Auto),
        (Kind::Number | Kind::NumberOrAuto, Some(text)) => read_number(tag, text),
        (Kind::Address, Some(text)) => match read_addresses(tag, text, lookup)?.as_slice() {
            [one] => Ok(Value::Addresses(vec![*one])),
            _ => Err(format!("{tag} takes one address, not \"{text}\"")),
        },
        (Kind::Addresses, Some(text)) => read_addresses(tag, text, lookup).map(Value::Addresses),
        (Kind::HardwareType, Some(text)) => hardware_type(text).map(|number| Value::Bytes(vec![number])),
        (Kind::Hardware, Some(text)) => {
            let bare = unquote(text);
            hex(&bare).map(Value::Bytes).ok_or_else(|| format!("ha \"{bare}\" is not pairs of hexadecimal digits such as 080020dbb67f"))
        }
    }
}

/// The value of `Tn`: quoted text with the NUL that bootpd counts, or hexadecimal bytes.
pub fn read_generic(tag: &str, text: &str) -> Result<Vec<u8>, String> {
    let bytes = match text.strip_prefix('"') {
        Some(_) => [unquote(text).into_bytes(), vec![0]].concat(),
        None => hex(text).ok_or_else(|| format!("{tag} takes \"quoted text\" or pairs of hexadecimal digits, not {text}"))?,
    };
    match bytes.len() {
        0 => Err(format!("{tag} is empty")),
        len if len > OPTION_LIMIT_BYTES => Err(format!("{tag} has {len} bytes; an option holds at most {OPTION_LIMIT_BYTES}")),
        _ => Ok(bytes),
    }
}

/// The bytes of the DHCP option a value becomes; `None` for `auto`, which only bootpd's machine can know.
pub fn option_bytes(tag: &str, value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::Addresses(addresses) => addresses.iter().flat_map(Ipv4Addr::octets).collect(),
        Value::Text(text) => text.clone().into_bytes(),
        Value::Number(number) if tag == "bs" => u16::try_from(*number).ok()?.to_be_bytes().to_vec(),
        Value::Number(number) => (*number as u32).to_be_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Auto | Value::Set => return None,
    })
}

/// Text without its quotes and backslashes.
pub fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            '"' => {}
            other => out.push(other),
        }
    }
    out
}

fn read_text(tag: &str, text: &str) -> Result<Value, String> {
    let text = unquote(text);
    let limit = if matches!(tag, "bf" | "hd") { FILE_LIMIT_BYTES } else { OPTION_LIMIT_BYTES };
    match text.len() {
        0 => Err(format!("{tag} is empty: remove it, or write {tag}@ to take an inherited one away")),
        len if len > limit => Err(format!("{tag} has {len} bytes; there is room for {limit}")),
        _ if text.contains('\0') => Err(format!("{tag} has a NUL in it")),
        _ => Ok(Value::Text(text)),
    }
}

fn read_number(tag: &str, text: &str) -> Result<Value, String> {
    let (low, high) = match tag {
        "bs" | "mw" => (0, i64::from(u16::MAX)),
        "to" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (0, i64::from(u32::MAX)),
    };
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let number = c_number(digits).map(|number| if negative { -number } else { number });
    let fitting = number.filter(|number| (low..=high).contains(number));
    fitting.map(Value::Number).ok_or_else(|| format!("{tag} \"{text}\" is not a number from {low} to {high}"))
}

/// A number as C writes it: decimal, 0 octal, 0x hexadecimal; at most 32 bits.
fn c_number(text: &str) -> Option<i64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten().map(i64::from)
}

fn read_addresses(tag: &str, text: &str, lookup: Lookup<'_>) -> Result<Vec<Ipv4Addr>, String> {
    let text = unquote(text);
    let addresses: Vec<Ipv4Addr> =
        text.split([' ', '\t']).filter(|word| !word.is_empty()).map(|word| read_address(tag, word, lookup)).collect::<Result<_, _>>()?;
    match addresses.len() {
        0 => Err(format!("{tag} wants an address")),
        len if len > ADDRESSES_LIMIT => Err(format!("{tag} has {len} addresses; bootpd takes {ADDRESSES_LIMIT} and drops the rest")),
        _ => Ok(addresses),
    }
}

/// An address in C's spelling (`10.1.4.7`, `0x0a010407`, `10.010.4.7` with an octal part), or a name.
fn read_address(tag: &str, word: &str, lookup: Lookup<'_>) -> Result<Ipv4Addr, String> {
    if !word.starts_with(|c: char| c.is_ascii_digit()) {
        return lookup(word).ok_or_else(|| {
            format!("{tag} names \"{word}\", which has no address here or in the database: write the address, or import its zone in the same call")
        });
    }
    c_address(word).ok_or_else(|| format!("{tag} \"{word}\" is not an address such as 10.1.4.7"))
}

/// inet_aton(3): the last part fills all the bytes that are left.
fn c_address(word: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = word.split('.').map(|part| c_number(part).and_then(|number| u32::try_from(number).ok())).collect::<Option<_>>()?;
    let (last, front) = parts.split_last()?;
    if front.len() > 3 || front.iter().any(|part| *part > 255) {
        return None;
    }
    let room_bits = 8 * (4 - front.len() as u32);
    if room_bits < 32 && *last >= 1 << room_bits {
        return None;
    }
    let high = front.iter().zip([24u32, 16, 8]).fold(0, |sum, (part, shift)| sum | part << shift);
    Some(Ipv4Addr::from(high | *last))
}

fn hardware_type(text: &str) -> Result<u8, String> {
    let text = unquote(text);
    let named = HARDWARE_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)).map(|(_, number)| *number);
    let number = named.or_else(|| c_number(&text).and_then(|number| u8::try_from(number).ok()));
    number.ok_or_else(|| format!("ht \"{text}\" is not a hardware type such as ethernet, ieee802 or a number"))
}

/// Pairs of hexadecimal digits with 0x and dots (and, as an extension, colons and hyphens) left out.
fn hex(text: &str) -> Option<Vec<u8>> {
    let bare = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits: Vec<u8> = bare.chars().filter(|c| !matches!(c, '.' | ':' | '-' | ' ')).map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    (!digits.is_empty() && digits.len().is_multiple_of(2)).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
