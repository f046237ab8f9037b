//! Record data as people write it, for effects. Whatever cannot be read as its type is shown as RFC 3597 says.

use holdfast_proto::dns::rtype as types;
use holdfast_proto::words::DomainName;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The name of a type: `A`, `TYPE65400`.
pub fn rtype(rtype: u16) -> String {
    let name = match rtype {
        types::A => "A",
        types::NS => "NS",
        types::CNAME => "CNAME",
        types::SOA => "SOA",
        types::PTR => "PTR",
        types::HINFO => "HINFO",
        types::MX => "MX",
        types::TXT => "TXT",
        types::AAAA => "AAAA",
        types::RP => "RP",
        types::SRV => "SRV",
        _ => return format!("TYPE{rtype}"),
    };
    name.to_owned()
}

/// The data of a record: `10.1.4.7`, `10 mail.uni.example.`, `\# 4 0a000001`.
pub fn rdata(rtype: u16, rdata: &[u8]) -> String {
    known(rtype, rdata).unwrap_or_else(|| format!("\\# {} {}", rdata.len(), hex::encode(rdata)).trim_end().to_owned())
}

fn known(rtype: u16, rdata: &[u8]) -> Option<String> {
    let name = |wire: &[u8]| DomainName::from_wire(wire).map(|name| name.to_string());
    match rtype {
        types::A => <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        types::AAAA => <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
        types::NS | types::CNAME | types::PTR => name(rdata),
        types::MX => {
            let (preference, exchange) = rdata.split_first_chunk::<2>()?;
            Some(format!("{} {}", u16::from_be_bytes(*preference), name(exchange)?))
        }
        types::SRV => {
            let (numbers, target) = rdata.split_first_chunk::<6>()?;
            let numbers = numbers.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]).to_string());
            Some(format!("{} {}", numbers.collect::<Vec<_>>().join(" "), name(target)?))
        }
        types::RP => {
            let end = first_name_end(rdata)?;
            Some(format!("{} {}", name(&rdata[..end])?, name(&rdata[end..])?))
        }
        types::TXT | types::HINFO => strings(rdata),
        types::SOA => soa(rdata),
        _ => None,
    }
}

/// Character strings, RFC 1035 section 5.1.
fn strings(mut rdata: &[u8]) -> Option<String> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = rdata.split_first() {
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        texts.push(format!("\"{}\"", text.iter().map(|byte| printed(*byte)).collect::<String>()));
        rdata = rest;
    }
    Some(texts.join(" "))
}

fn printed(byte: u8) -> String {
    match byte {
        b'"' | b'\\' => format!("\\{}", byte as char),
        0x20..=0x7e => (byte as char).to_string(),
        other => format!("\\{other:03}"),
    }
}

fn soa(rdata: &[u8]) -> Option<String> {
    let (names, numbers) = rdata.split_last_chunk::<20>()?;
    let end = first_name_end(names)?;
    let (primary, mailbox) = (DomainName::from_wire(&names[..end])?, DomainName::from_wire(&names[end..])?);
    let numbers = numbers.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]).to_string());
    Some(format!("{primary} {mailbox} {}", numbers.collect::<Vec<_>>().join(" ")))
}

fn first_name_end(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match usize::from(*wire.get(at)?) {
            0 => return Some(at + 1),
            length => at += 1 + length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_shown_as_people_write_it() {
        let mail: DomainName = "mail.uni.example".parse().unwrap();
        assert_eq!(rdata(15, &[&[0, 10], mail.wire()].concat()), "10 mail.uni.example.");
        assert_eq!(rdata(13, b"\x05SUN-4\x04UNIX"), r#""SUN-4" "UNIX""#);
        assert_eq!(rdata(17, &[mail.wire(), &[0]].concat()), "mail.uni.example. .");
        assert_eq!(rdata(65400, &[10, 0, 0, 1]), r"\# 4 0a000001");
        assert_eq!(rdata(1, &[10, 0]), r"\# 2 0a00");
        let soa = [mail.wire(), mail.wire(), &[0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]].concat();
        assert_eq!(rdata(6, &soa), "mail.uni.example. mail.uni.example. 7 1 2 3 4");
    }

    proptest! {
        #[test]
        fn any_data_can_be_shown(kind in 0u16..40, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(!rdata(kind, &bytes).is_empty() || bytes.is_empty());
        }
    }
}
