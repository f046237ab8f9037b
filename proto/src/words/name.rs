use super::{WordError, serde_as_text};
use std::{fmt, net::IpAddr, str::FromStr};

/// The longest name on the wire, RFC 1035 section 2.3.4.
const NAME_LIMIT_BYTES: usize = 255;
/// The longest label, RFC 1035 section 2.3.4.
const LABEL_LIMIT_BYTES: usize = 63;

/// One label of a domain name, as bytes.
pub type Label<'a> = &'a [u8];

/// A fully qualified domain name: uncompressed wire form, ASCII letters in lower case.
///
/// The order is that of the wire bytes, which is cheap and total; it is not the canonical order of RFC 4034.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Box<[u8]>);

impl DomainName {
    /// The root of the name space.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Takes an uncompressed wire form, lower-casing it. `None` where it is not exactly one whole name.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        if wire.len() > NAME_LIMIT_BYTES {
            return None;
        }
        let mut rest = wire;
        loop {
            let (&len, tail) = rest.split_first()?;
            match len as usize {
                0 if tail.is_empty() => return Some(Self(wire.to_ascii_lowercase().into())),
                0 => return None,
                len if len > LABEL_LIMIT_BYTES => return None,
                len => rest = tail.get(len..)?,
            }
        }
    }

    /// Parses presentation form (RFC 1035 section 5.1: `\.`, `\DDD`). A name without a final dot is completed by `origin`.
    pub fn parse(text: &str, origin: Option<&DomainName>) -> Result<Self, WordError> {
        let wrong = |why| WordError::new("domain name", text, why);
        if text == "@" {
            return origin.cloned().ok_or_else(|| wrong("stands for the origin, and there is none here"));
        }
        if text == "." {
            return Ok(Self::root());
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = Vec::new();
        let mut bytes = text.bytes();
        let mut absolute = false;
        while let Some(byte) = bytes.next() {
            absolute = false;
            match byte {
                b'.' => {
                    push_label(&mut wire, &mut label).map_err(wrong)?;
                    absolute = true;
                }
                b'\\' => label.push(escaped(&mut bytes).ok_or_else(|| wrong("has an unfinished escape"))?),
                b' ' | b'\t' | b'\n' | b'\r' | 0 => return Err(wrong("has a blank in it")),
                other => label.push(other),
            }
        }
        if !absolute {
            push_label(&mut wire, &mut label).map_err(wrong)?;
        }
        match origin {
            Some(origin) if !absolute => wire.extend_from_slice(&origin.0),
            _ => wire.push(0),
        }
        if wire.len() > NAME_LIMIT_BYTES {
            return Err(wrong("is longer than 255 bytes"));
        }
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }

    /// The name that holds an address's PTR: under `in-addr.arpa` (RFC 1035 section 3.5) or `ip6.arpa` (RFC 3596 section 2.5).
    pub fn reverse_of(address: IpAddr) -> Self {
        let text = match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
            }
            IpAddr::V6(v6) => {
                let nibbles = v6.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
                nibbles.map(|nibble| format!("{nibble:x}.")).chain(["ip6.arpa.".to_owned()]).collect()
            }
        };
        Self::parse(&text, None).expect("an address always has a reverse name")
    }

    /// The address whose PTR this name holds, where it is a complete reverse name.
    pub fn reversed_address(&self) -> Option<IpAddr> {
        let labels: Vec<Label<'_>> = self.labels().collect();
        let (digits, suffix) = labels.split_at(labels.len().checked_sub(2)?);
        if suffix[1] != b"arpa" {
            return None;
        }
        let number = |label: &Label<'_>, radix| u8::from_str_radix(std::str::from_utf8(label).ok()?, radix).ok();
        if suffix[0] == b"in-addr" && digits.len() == 4 {
            let octets: Vec<u8> = digits.iter().rev().map(|label| number(label, 10)).collect::<Option<_>>()?;
            let address = IpAddr::from(<[u8; 4]>::try_from(octets).ok()?);
            return (Self::reverse_of(address) == *self).then_some(address);
        }
        if suffix[0] == b"ip6" && digits.len() == 32 {
            let nibbles: Vec<u8> = digits.iter().rev().map(|label| number(label, 16).filter(|_| label.len() == 1)).collect::<Option<_>>()?;
            let octets: Vec<u8> = nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            return Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?));
        }
        None
    }

    /// The uncompressed wire form, lower case, with the final zero.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels from the left, without the root.
    pub fn labels(&self) -> impl Iterator<Item = Label<'_>> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            let (label, next) = tail.split_at(len as usize);
            rest = next;
            (len > 0).then_some(label)
        })
    }

    /// How many labels, without the root.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The name one label up; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let len = self.0[0] as usize;
        (len > 0).then(|| Self(self.0[1 + len..].into()))
    }

    /// Whether this name is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        let mut rest: &[u8] = &self.0;
        while rest.len() > ancestor.0.len() {
            rest = &rest[1 + rest[0] as usize..];
        }
        rest == &*ancestor.0
    }

    /// This name without the final `ancestor`, in presentation form: `@` for the ancestor itself; `None` where it does not lie within.
    pub fn relative_to(&self, ancestor: &Self) -> Option<String> {
        if !self.is_within(ancestor) {
            return None;
        }
        let own = self.label_count() - ancestor.label_count();
        if own == 0 {
            return Some("@".to_owned());
        }
        Some(self.labels().take(own).map(print_label).collect::<Vec<_>>().join("."))
    }

    /// The presentation form without the final dot, as people write host names; the root stays `.`.
    pub fn without_dot(&self) -> String {
        let text = self.to_string();
        match text.strip_suffix('.') {
            Some("") | None => text,
            Some(bare) => bare.to_owned(),
        }
    }
}

fn push_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("has an empty label");
    }
    if label.len() > LABEL_LIMIT_BYTES {
        return Err("has a label longer than 63 bytes");
    }
    wire.push(label.len() as u8);
    wire.append(label);
    Ok(())
}

/// The byte behind a backslash: `\X` or `\DDD`.
fn escaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let first = bytes.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digits = [first, bytes.next()?, bytes.next()?];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    u8::try_from(value).ok()
}

fn print_label(label: Label<'_>) -> String {
    let mut text = String::with_capacity(label.len());
    for &byte in label {
        match byte {
            b'.' | b'\\' | b'"' | b';' | b'@' | b'$' | b'(' | b')' => {
                text.push('\\');
                text.push(byte as char);
            }
            0x21..=0x7e => text.push(byte as char),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text
}

impl FromStr for DomainName {
    type Err = WordError;

    /// A final dot may be left out: the name is taken as complete.
    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::parse(text, None)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        self.labels().try_for_each(|label| write!(f, "{}.", print_label(label)))
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(DomainName);

/// The name of a host: a domain name of letters, digits and hyphens (RFC 952, RFC 1123 section 2.1), two labels or more, printed without the final dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(DomainName);

impl HostName {
    /// The name as DNS knows it.
    pub fn domain(&self) -> &DomainName {
        &self.0
    }

    /// The first label.
    pub fn first_label(&self) -> String {
        self.0.labels().next().map(print_label).unwrap_or_default()
    }
}

impl TryFrom<DomainName> for HostName {
    type Error = WordError;

    fn try_from(name: DomainName) -> Result<Self, WordError> {
        let text = name.without_dot();
        let wrong = |why| Err(WordError::new("host name", &text, why));
        if name.label_count() < 2 {
            return wrong("has no domain: give the full name, such as www.uni.example");
        }
        for label in name.labels() {
            if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
                return wrong("may hold only letters, digits and hyphens (RFC 1123)");
            }
            if label.starts_with(b"-") || label.ends_with(b"-") {
                return wrong("has a label that starts or ends with a hyphen");
            }
        }
        if text.rsplit('.').next().is_some_and(|top| top.bytes().all(|byte| byte.is_ascii_digit())) {
            return wrong("ends in a number and would be read as an address");
        }
        Ok(Self(name))
    }
}

impl FromStr for HostName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let name: DomainName = text.parse().map_err(|wrong: WordError| WordError { what: "host name", ..wrong })?;
        Self::try_from(name)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.without_dot())
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(HostName);

#[cfg(test)]
mod tests {
    use super::{DomainName, HostName};
    use proptest::prelude::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn relative_names_are_completed_and_escapes_kept() {
        let origin = name("uni.example");
        assert_eq!(DomainName::parse("WWW", Some(&origin)).unwrap().to_string(), "www.uni.example.");
        assert_eq!(DomainName::parse("www.", Some(&origin)).unwrap().to_string(), "www.");
        assert_eq!(DomainName::parse("@", Some(&origin)).unwrap(), origin);
        assert_eq!(name(r"a\.b\032c.example").to_string(), r"a\.b\032c.example.");
        for text in ["", "..", "a..b", r"a\25", r"a\256.b", "a b", &"x".repeat(64), &vec!["x".repeat(60); 5].join(".")] {
            assert!(DomainName::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_reverse_names_and_back() {
        for address in ["10.1.4.7", "2001:db8:1::7"] {
            let address = address.parse().unwrap();
            assert_eq!(DomainName::reverse_of(address).reversed_address(), Some(address));
        }
        assert_eq!(DomainName::reverse_of("10.1.4.7".parse().unwrap()).to_string(), "7.4.1.10.in-addr.arpa.");
        assert_eq!(name("4.1.10.in-addr.arpa").reversed_address(), None);
        assert_eq!(name("07.4.1.10.in-addr.arpa").reversed_address(), None);
    }

    #[test]
    fn ancestors_are_found_by_whole_labels() {
        assert!(name("a.uni.example").is_within(&name("uni.example")));
        assert!(!name("a.muni.example").is_within(&name("uni.example")));
        assert_eq!(name("a.b.uni.example").relative_to(&name("uni.example")).unwrap(), "a.b");
        assert_eq!(name("uni.example").relative_to(&name("uni.example")).unwrap(), "@");
        assert_eq!(name("uni.example").parent().unwrap(), name("example"));
    }

    #[test]
    fn host_names_are_strict() {
        assert_eq!("WWW.Uni.Example.".parse::<HostName>().unwrap().to_string(), "www.uni.example");
        for text in ["www", "_x.uni.example", "-a.uni.example", "a-.uni.example", "10.1.4.7", "*.uni.example", "a b.uni.example", ""] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_wire_name_prints_and_parses_back(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..8)) {
            let mut wire: Vec<u8> = labels.iter().flat_map(|label| [vec![label.len() as u8], label.clone()].concat()).collect();
            wire.push(0);
            let name = DomainName::from_wire(&wire).unwrap();
            prop_assert_eq!(DomainName::parse(&name.to_string(), None).unwrap(), name);
        }

        #[test]
        fn no_text_or_bytes_panic(text in ".{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = DomainName::parse(&text, None);
            let _ = text.parse::<HostName>();
            let _ = DomainName::from_wire(&bytes);
        }
    }
}
