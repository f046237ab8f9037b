//! What TTLS says within its tunnel: attributes in the form of Diameter (RFC 5281 section 10).

use super::super::mschap::{MICROSOFT, microsoft};
use super::super::packet::attribute;

const HAS_VENDOR: u8 = 0x80;
const IS_MANDATORY: u8 = 0x40;
/// Code, flags, length.
const HEADER_BYTES: usize = 8;
const VENDOR_BYTES: usize = 4;
const PADDED_TO_BYTES: usize = 4;

/// Attributes that could not be read, or that must be understood and are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// What a user says with attributes. Each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'a> {
    pub name: Option<&'a [u8]>,
    pub password: Option<&'a [u8]>,
    pub challenge: Option<&'a [u8]>,
    pub response: Option<&'a [u8]>,
    pub eap: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    /// Reads what stands in a tunnel.
    pub fn read(mut bytes: &'a [u8]) -> Result<Self, Broken> {
        let mut said = Self::default();
        while !bytes.is_empty() {
            let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Broken)?;
            let (code, flags) = (u32::from_be_bytes(*header.first_chunk().ok_or(Broken)?), header[4]);
            let len = usize::try_from(u32::from_be_bytes([0, header[5], header[6], header[7]])).map_err(|_| Broken)?;
            let mut value = bytes.get(HEADER_BYTES..len).ok_or(Broken)?;
            let mut vendor = 0;
            if flags & HAS_VENDOR != 0 {
                let (number, rest) = value.split_first_chunk::<VENDOR_BYTES>().ok_or(Broken)?;
                (vendor, value) = (u32::from_be_bytes(*number), rest);
            }
            let is_wrong = match said.place(vendor, code) {
                Some(place) => place.replace(value).is_some(),
                None => flags & IS_MANDATORY != 0,
            };
            if is_wrong {
                return Err(Broken);
            }
            bytes = bytes.get(len.next_multiple_of(PADDED_TO_BYTES)..).unwrap_or_default();
        }
        Ok(said)
    }

    fn place(&mut self, vendor: u32, code: u32) -> Option<&mut Option<&'a [u8]>> {
        match (vendor, u8::try_from(code).ok()?) {
            (0, attribute::USER_NAME) => Some(&mut self.name),
            (0, attribute::USER_PASSWORD) => Some(&mut self.password),
            (0, attribute::EAP_MESSAGE) => Some(&mut self.eap),
            (MICROSOFT, microsoft::CHAP_CHALLENGE) => Some(&mut self.challenge),
            (MICROSOFT, microsoft::CHAP2_RESPONSE) => Some(&mut self.response),
            _ => None,
        }
    }
}

/// One attribute that must be understood.
pub(super) fn attribute_of(vendor: u32, code: u8, value: &[u8]) -> Vec<u8> {
    let vendor_bytes = if vendor == 0 { vec![] } else { vendor.to_be_bytes().to_vec() };
    let flags = IS_MANDATORY | if vendor == 0 { 0 } else { HAS_VENDOR };
    let len = (HEADER_BYTES + vendor_bytes.len() + value.len()) as u32;
    let mut out = [&u32::from(code).to_be_bytes()[..], &[flags], &len.to_be_bytes()[1..], &vendor_bytes, value].concat();
    out.resize(out.len().next_multiple_of(PADDED_TO_BYTES), 0);
    out
}

/// A password without the zeros that hide its length (RFC 5281 section 11.2.5).
pub(super) fn without_padding(password: &[u8]) -> &[u8] {
    let len = password.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &password[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_is_refused() {
        let both = [attribute_of(0, attribute::USER_NAME, b"ada"), attribute_of(0, attribute::USER_PASSWORD, b"joule-1\0\0\0")].concat();
        let said = Said::read(&both).unwrap();
        assert_eq!((said.name, said.password.map(without_padding)), (Some(&b"ada"[..]), Some(&b"joule-1"[..])));
        let success = attribute_of(MICROSOFT, microsoft::CHAP2_RESPONSE, &[7; 50]);
        assert_eq!((success.len(), Said::read(&success).unwrap().response), (64, Some(&[7; 50][..])));
        assert_eq!(Said::read(&[&both[..], &both].concat()), Err(Broken), "two names");
        assert_eq!(Said::read(&attribute_of(0, 6, &[0, 0, 0, 1])), Err(Broken), "it must be understood");
        let mut may_be_ignored = attribute_of(0, 6, &[0, 0, 0, 1]);
        may_be_ignored[4] = 0;
        assert_eq!(Said::read(&may_be_ignored), Ok(Said::default()));
        for len in [0, 7, 200] {
            let mut wrong = both.clone();
            wrong[7] = len;
            assert_eq!(Said::read(&wrong), Err(Broken), "{len}");
        }
        assert_eq!(Said::read(&both[..11]).map(|said| said.name.map(<[u8]>::len)), Ok(Some(3)), "the last needs no padding");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Said::read(&bytes);
        }
    }
}
