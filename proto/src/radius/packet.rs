//! The RADIUS packet (RFC 2865, RFC 3579 section 3.2): a checked view of what came in, a bounded writer for what goes out.
//!
//! Own code, because Message-Authenticator and the order of attributes decide whether a network is open to BlastRADIUS
//! (CVE-2024-3596), and the crates at hand lack or break them. A reply carries Message-Authenticator as its *first*
//! attribute, always: [`Reply::begin`] puts it there and [`Reply::finish`] fills it in, and there is no other way out.

use crate::words::Secret;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

/// The longest packet (RFC 2865 section 3).
pub const PACKET_LIMIT_BYTES: usize = 4096;
/// Code, identifier, length, authenticator.
const HEADER_BYTES: usize = 20;
const AUTHENTICATOR_BYTES: usize = 16;
/// Type, length and the HMAC.
const MESSAGE_AUTHENTICATOR_BYTES: usize = 18;
/// The longest password that User-Password hides (RFC 2865 section 5.2).
pub const PASSWORD_LIMIT_BYTES: usize = 128;
const BLOCK_BYTES: usize = 16;

/// A Request or Response Authenticator.
pub type Authenticator = [u8; AUTHENTICATOR_BYTES];

/// The packet codes that we speak.
pub mod code {
    /// A NAS asks whether somebody may come in.
    pub const ACCESS_REQUEST: u8 = 1;
    /// They may.
    pub const ACCESS_ACCEPT: u8 = 2;
    /// They may not.
    pub const ACCESS_REJECT: u8 = 3;
    /// Neither yet: they are asked something (RFC 2865 section 4.4).
    pub const ACCESS_CHALLENGE: u8 = 11;
    /// A NAS asks whether we live (RFC 5997).
    pub const STATUS_SERVER: u8 = 12;
}

/// The attribute types that the core itself looks at.
pub mod attribute {
    /// Who wants in.
    pub const USER_NAME: u8 = 1;
    /// The hidden password (PAP).
    pub const USER_PASSWORD: u8 = 2;
    /// The answer to a CHAP challenge.
    pub const CHAP_PASSWORD: u8 = 3;
    /// What is asked for: Call-Check is about a machine.
    pub const SERVICE_TYPE: u8 = 6;
    /// The longest packet that the link to the user takes (RFC 3579 section 2.4).
    pub const FRAMED_MTU: u8 = 12;
    /// A line for the user.
    pub const REPLY_MESSAGE: u8 = 18;
    /// What a challenge gives out and its answer brings back.
    pub const STATE: u8 = 24;
    /// What one vendor added: its number, and attributes of its own.
    pub const VENDOR_SPECIFIC: u8 = 26;
    /// From where somebody calls: a telephone number, the MAC of a machine.
    pub const CALLING_STATION_ID: u8 = 31;
    /// What proxies want back, unchanged and in order.
    pub const PROXY_STATE: u8 = 33;
    /// What kind of port somebody is at: Async is a console, Virtual an SSH session.
    pub const NAS_PORT_TYPE: u8 = 61;
    /// What CHAP-Password answers, where it is not the Request Authenticator.
    pub const CHAP_CHALLENGE: u8 = 60;
    /// A piece of an EAP packet (RFC 3579).
    pub const EAP_MESSAGE: u8 = 79;
    /// The HMAC over the whole packet (RFC 3579).
    pub const MESSAGE_AUTHENTICATOR: u8 = 80;
}

/// Bytes that are no RADIUS packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Below the header's length.
    #[error("{0} bytes are too few for a header")]
    Short(usize),
    /// The length field does not fit the datagram or the limits.
    #[error("the length field says {0}")]
    Length(usize),
    /// An attribute is shorter than its own header or runs past the end; counted from the first attribute.
    #[error("the attribute {0} bytes behind the first has an impossible length")]
    Attribute(usize),
}

/// A request whose lengths were checked.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a>(&'a [u8]);

impl<'a> Packet<'a> {
    /// Checks the header and walks the attributes once. Bytes behind the length field are padding and left out (RFC 2865 section 3).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let header = datagram.first_chunk::<HEADER_BYTES>().ok_or(PacketError::Short(datagram.len()))?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if !(HEADER_BYTES..=PACKET_LIMIT_BYTES).contains(&len) {
            return Err(PacketError::Length(len));
        }
        let bytes = datagram.get(..len).ok_or(PacketError::Length(len))?;
        Attributes::check(&bytes[HEADER_BYTES..])?;
        Ok(Self(bytes))
    }

    /// All of it, without padding.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// What kind of packet, see [`code`].
    pub fn code(&self) -> u8 {
        self.0[0]
    }

    /// Which request of its sender.
    pub fn id(&self) -> u8 {
        self.0[1]
    }

    /// The 16 bytes behind the length.
    pub fn authenticator(&self) -> Authenticator {
        *self.0[4..].first_chunk().expect("a header has 20 bytes")
    }

    /// The attributes in order.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(&self.0[HEADER_BYTES..])
    }

    /// The values of one type, in order.
    pub fn values(&self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        self.attributes().filter(move |attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// The values of one type of a vendor's, in order (RFC 2865 section 5.26). What is no list of attributes holds none.
    pub fn vendor_values(&self, vendor: u32, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        let of_vendor = self.values(attribute::VENDOR_SPECIFIC).filter_map(move |value| value.strip_prefix(&vendor.to_be_bytes()));
        let attributes = of_vendor.filter_map(|inner| Attributes::check(inner).ok()).flatten();
        attributes.filter(move |attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// Checks Message-Authenticator as requests carry it (RFC 3579 section 3.2), in constant time.
    pub fn message_authenticator(&self, secret: &Secret) -> Proof {
        let mut found = self.attributes().filter(|attribute| attribute.kind == attribute::MESSAGE_AUTHENTICATOR);
        let Some(first) = found.next() else { return Proof::Missing };
        let is_alone = found.next().is_none();
        let at = first.value.as_ptr().addr() - self.0.as_ptr().addr();
        if !is_alone || first.value.len() != AUTHENTICATOR_BYTES {
            return Proof::Wrong;
        }
        let mut mac = keyed(secret);
        mac.update(&self.0[..at]);
        mac.update(&[0; AUTHENTICATOR_BYTES]);
        mac.update(&self.0[at + AUTHENTICATOR_BYTES..]);
        if mac.verify_slice(first.value).is_ok() { Proof::Valid } else { Proof::Wrong }
    }
}

/// What a request's Message-Authenticator says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// There is none.
    Missing,
    /// There is one and it is wrong, or there are several.
    Wrong,
    /// The sender knows the shared secret, and nobody changed the packet.
    Valid,
}

/// One attribute, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type.
    pub kind: u8,
    /// What it holds, without type and length.
    pub value: &'a [u8],
}

/// Walks attributes whose lengths were checked.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Whether these bytes are attributes from end to end.
    pub fn check(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = rest.get(1).map_or(0, |len| usize::from(*len));
            if len < 2 || len > rest.len() {
                return Err(PacketError::Attribute(bytes.len() - rest.len()));
            }
            rest = &rest[len..];
        }
        Ok(Self(bytes))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let (&kind, tail) = self.0.split_first()?;
        let len = usize::from(*tail.first()?);
        let value = self.0.get(2..len)?;
        self.0 = &self.0[len..];
        Some(Attribute { kind, value })
    }
}

/// A reply does not fit into a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reply does not fit into {PACKET_LIMIT_BYTES} bytes")]
pub struct TooLong;

/// A reply being written into a lent buffer.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut [u8; PACKET_LIMIT_BYTES],
    len: usize,
}

impl<'a> Reply<'a> {
    /// Starts a reply with room for Message-Authenticator in front.
    pub fn begin(out: &'a mut [u8; PACKET_LIMIT_BYTES], code: u8, id: u8) -> Self {
        out[..2].copy_from_slice(&[code, id]);
        let len = HEADER_BYTES + MESSAGE_AUTHENTICATOR_BYTES;
        out[HEADER_BYTES..len].fill(0);
        out[HEADER_BYTES..HEADER_BYTES + 2].copy_from_slice(&[attribute::MESSAGE_AUTHENTICATOR, MESSAGE_AUTHENTICATOR_BYTES as u8]);
        Self { out, len }
    }

    /// Appends attributes that are on hand in wire form.
    pub fn push_attributes(&mut self, attributes: &[u8]) -> Result<(), TooLong> {
        let end = self.len + attributes.len();
        self.out.get_mut(self.len..end).ok_or(TooLong)?.copy_from_slice(attributes);
        self.len = end;
        Ok(())
    }

    /// Appends one attribute. Its value has at most 253 bytes.
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), TooLong> {
        let len = u8::try_from(value.len() + 2).map_err(|_| TooLong)?;
        if self.len + usize::from(len) > PACKET_LIMIT_BYTES {
            return Err(TooLong);
        }
        self.push_attributes(&[kind, len])?;
        self.push_attributes(value)
    }

    /// Fills in length, Message-Authenticator and Response Authenticator; gives the packet's length.
    pub fn finish(self, request: &Authenticator, secret: &Secret) -> usize {
        let Self { out, len } = self;
        out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        out[4..HEADER_BYTES].copy_from_slice(request);
        let mut mac = keyed(secret);
        mac.update(&out[..len]);
        out[HEADER_BYTES + 2..][..AUTHENTICATOR_BYTES].copy_from_slice(&mac.finalize().into_bytes());
        let response = Md5::new().chain_update(&out[..len]).chain_update(secret.expose()).finalize();
        out[4..HEADER_BYTES].copy_from_slice(&response);
        len
    }
}

fn keyed(secret: &Secret) -> Hmac<Md5> {
    Hmac::new_from_slice(secret.expose()).expect("HMAC takes keys of any length")
}

/// Uncovers a User-Password (RFC 2865 section 5.2) and takes its padding off; `None` where the length is impossible.
pub fn reveal_password(hidden: &[u8], secret: &Secret, authenticator: &Authenticator) -> Option<Secret> {
    if hidden.is_empty() || hidden.len() > PASSWORD_LIMIT_BYTES || !hidden.len().is_multiple_of(BLOCK_BYTES) {
        return None;
    }
    let mut plain = [0; PASSWORD_LIMIT_BYTES];
    let mut before: &[u8] = authenticator;
    for (block, out) in hidden.chunks_exact(BLOCK_BYTES).zip(plain.chunks_exact_mut(BLOCK_BYTES)) {
        mask(secret, before, block, out);
        before = block;
    }
    let len = plain.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let password = Secret::new(&plain[..len]);
    zeroize::Zeroize::zeroize(&mut plain);
    Some(password)
}

/// Hides a password as a NAS does; `None` where it is too long. For clients: the lab's and the tests'.
pub fn hide_password(password: &[u8], secret: &Secret, authenticator: &Authenticator) -> Option<Vec<u8>> {
    if password.len() > PASSWORD_LIMIT_BYTES {
        return None;
    }
    let mut plain = password.to_vec();
    plain.resize(password.len().next_multiple_of(BLOCK_BYTES).max(BLOCK_BYTES), 0);
    let mut hidden = vec![0; plain.len()];
    let mut before = *authenticator;
    for (block, out) in plain.chunks_exact(BLOCK_BYTES).zip(hidden.chunks_exact_mut(BLOCK_BYTES)) {
        mask(secret, &before, block, out);
        before.copy_from_slice(out);
    }
    Some(hidden)
}

/// One block: `block xor MD5(secret ‖ before)`.
fn mask(secret: &Secret, before: &[u8], block: &[u8], out: &mut [u8]) {
    let pad = Md5::new().chain_update(secret.expose()).chain_update(before).finalize();
    out.iter_mut().zip(block).zip(pad).for_each(|((out, byte), pad)| *out = byte ^ pad);
}

/// Writes a request as a NAS does: attributes in wire form behind a Message-Authenticator. For clients: the lab's and the tests'.
pub fn encode_request(code: u8, id: u8, authenticator: &Authenticator, attributes: &[u8], secret: &Secret) -> Result<Vec<u8>, TooLong> {
    let mut out = [0; PACKET_LIMIT_BYTES];
    let mut request = Reply::begin(&mut out, code, id);
    request.push_attributes(attributes)?;
    let len = request.finish(authenticator, secret);
    // The HMAC was made over the request's own authenticator; a request has no other.
    out[4..HEADER_BYTES].copy_from_slice(authenticator);
    Ok(out[..len].to_vec())
}

/// Whether these bytes are the server's reply to a request with this authenticator: both proofs must hold. For clients.
pub fn is_reply_to(reply: &[u8], request: &Authenticator, secret: &Secret) -> bool {
    let Ok(packet) = Packet::parse(reply) else { return false };
    let mut as_signed = packet.0.to_vec();
    as_signed[4..HEADER_BYTES].copy_from_slice(request);
    let response = Md5::new().chain_update(&as_signed).chain_update(secret.expose()).finalize();
    response[..] == packet.authenticator() && Packet(&as_signed).message_authenticator(secret) == Proof::Valid
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret() -> Secret {
        Secret::new(*b"xyzzy5461")
    }

    /// RFC 2865 section 7.1: user nemo, password "arctangent".
    const RFC_REQUEST: &str = "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a80110050600000003";
    /// RFC 2865 section 7.1: its Access-Accept.
    const RFC_ACCEPT: &str = "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103";

    #[test]
    fn the_password_of_rfc_2865_section_7_1_is_revealed() {
        let bytes = hex::decode(RFC_REQUEST).unwrap();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.values(attribute::USER_NAME).next(), Some(&b"nemo"[..]));
        let hidden = packet.values(attribute::USER_PASSWORD).next().unwrap();
        assert_eq!(reveal_password(hidden, &secret(), &packet.authenticator()).unwrap().expose(), b"arctangent");
        assert_eq!(hide_password(b"arctangent", &secret(), &packet.authenticator()).unwrap(), hidden);
        assert_eq!(packet.message_authenticator(&secret()), Proof::Missing);
    }

    #[test]
    fn the_response_authenticator_is_that_of_rfc_2865_section_7_1() {
        let (request, accept) = (hex::decode(RFC_REQUEST).unwrap(), hex::decode(RFC_ACCEPT).unwrap());
        let signed = [&accept[..4], &request[4..20], &accept[20..], secret().expose()].concat();
        assert_eq!(Md5::digest(signed)[..], accept[4..20]);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let bytes = hex::decode(RFC_REQUEST).unwrap();
        assert_eq!(Packet::parse(&bytes[..19]).unwrap_err(), PacketError::Short(19));
        assert_eq!(Packet::parse(&bytes[..50]).unwrap_err(), PacketError::Length(56));
        for (at, value, wrong) in
            [(3, 19, PacketError::Length(19)), (2, 0x20, PacketError::Length(0x2038)), (21, 1, PacketError::Attribute(0)), (51, 7, PacketError::Attribute(30))]
        {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert_eq!(Packet::parse(&bytes).unwrap_err(), wrong, "{at}");
        }
        assert_eq!(Packet::parse(&[&bytes[..], b"padding"].concat()).unwrap().attributes().count(), 4);
    }

    #[test]
    fn a_reply_is_bounded_and_starts_with_message_authenticator() {
        let mut out = [0; PACKET_LIMIT_BYTES];
        let mut reply = Reply::begin(&mut out, code::ACCESS_ACCEPT, 7);
        while reply.push(attribute::REPLY_MESSAGE, &[b'x'; 200]).is_ok() {}
        assert_eq!(reply.push_attributes(&[0; 4000]), Err(TooLong));
        assert_eq!(reply.push(attribute::REPLY_MESSAGE, &[0; 254]), Err(TooLong));
        let len = reply.finish(&[9; 16], &secret());
        let attributes: Vec<_> = Packet::parse(&out[..len]).unwrap().attributes().collect();
        assert_eq!((attributes[0].kind, attributes.len()), (attribute::MESSAGE_AUTHENTICATOR, 21));
        assert!(is_reply_to(&out[..len], &[9; 16], &secret()));
        assert!(!is_reply_to(&out[..len], &[8; 16], &secret()));
        assert!(!is_reply_to(&out[..len], &[9; 16], &Secret::new(*b"other")));
    }

    proptest! {
        #[test]
        fn what_is_hidden_is_revealed(password in proptest::collection::vec(1u8.., 0..=128), authenticator in any::<[u8; 16]>()) {
            let hidden = hide_password(&password, &secret(), &authenticator).unwrap();
            let revealed = reveal_password(&hidden, &secret(), &authenticator).unwrap();
            prop_assert_eq!(revealed.expose(), &password[..]);
        }

        #[test]
        fn any_flipped_bit_breaks_message_authenticator(at in 0usize..56, bit in 0u8..8) {
            let mut bytes = encode_request(code::ACCESS_REQUEST, 3, &[5; 16], &[1, 6, b'n', b'e', b'm', b'o', 4, 6, 1, 2, 3, 4, 1, 6, 0, 0, 0, 0], &secret()).unwrap();
            prop_assert_eq!(Packet::parse(&bytes).unwrap().message_authenticator(&secret()), Proof::Valid);
            bytes[at] ^= 1 << bit;
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert_ne!(packet.message_authenticator(&secret()), Proof::Valid);
            }
        }

        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let walked: usize = packet.attributes().map(|attribute| attribute.value.len() + 2).sum();
                prop_assert_eq!(walked + 20, packet.0.len());
                let _ = packet.message_authenticator(&secret());
            }
        }
    }
}
