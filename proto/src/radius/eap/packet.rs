//! EAP packets (RFC 3748 section 4), and how RADIUS carries them (RFC 3579 section 3.1): in pieces of at most 253 bytes.

use super::super::packet::{Packet, attribute};

pub(super) const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
/// Code, identifier, length.
const HEADER_BYTES: usize = 4;
/// What one attribute carries.
const PIECE_BYTES: usize = 253;

/// The types that we know.
pub(super) mod kind {
    pub const IDENTITY: u8 = 1;
    pub const NAK: u8 = 3;
    pub const GTC: u8 = 6;
    pub const TLS: u8 = 13;
    pub const TTLS: u8 = 21;
    pub const PEAP: u8 = 25;
    pub const MSCHAPV2: u8 = 26;
    /// PEAPv0's own word on how it went.
    pub const EXTENSIONS: u8 = 33;
    pub const EXPANDED: u8 = 254;
}

/// What a peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response<'a> {
    pub id: u8,
    pub kind: u8,
    pub data: &'a [u8],
}

impl<'a> Response<'a> {
    /// Reads a whole packet; bytes behind its length are padding (RFC 3748 section 4.1). `None` where it is no response.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let &[code, id, high, low] = packet.first_chunk::<HEADER_BYTES>()?;
        let body = packet.get(HEADER_BYTES..usize::from(u16::from_be_bytes([high, low])))?;
        let (&kind, data) = body.split_first()?;
        (code == RESPONSE).then_some(Self { id, kind, data })
    }

    /// The types that a Nak asks for, plain (RFC 3748 section 5.3.1) or expanded (section 5.3.2); `None` where it is no Nak.
    pub fn wishes(&self) -> Option<Vec<u8>> {
        match self.kind {
            kind::NAK => Some(self.data.to_vec()),
            // Vendor 0 means the types of the IETF. The first eight bytes say: expanded Nak.
            kind::EXPANDED => {
                let wishes = self.data.strip_prefix(&[0, 0, 0, 0, 0, 0, kind::NAK])?;
                let ietf = wishes.chunks_exact(8).filter_map(|wish| wish.strip_prefix(&[kind::EXPANDED, 0, 0, 0, 0, 0, 0]));
                Some(ietf.map(|last| last[0]).collect())
            }
            _ => None,
        }
    }
}

/// A packet with a type.
pub(super) fn request(id: u8, body: &[u8]) -> Vec<u8> {
    packet(REQUEST, id, body)
}

fn packet(code: u8, id: u8, body: &[u8]) -> Vec<u8> {
    let len = (HEADER_BYTES + body.len()) as u16;
    [&[code, id], &len.to_be_bytes()[..], body].concat()
}

/// EAP-Success in an attribute.
pub(super) fn success(id: u8) -> Vec<u8> {
    in_attributes(&packet(SUCCESS, id, &[]))
}

/// EAP-Failure in an attribute.
pub(in crate::radius) fn failure(id: u8) -> Vec<u8> {
    in_attributes(&packet(FAILURE, id, &[]))
}

/// A packet as attributes in wire form.
pub(super) fn in_attributes(packet: &[u8]) -> Vec<u8> {
    packet.chunks(PIECE_BYTES).flat_map(|piece| [&[attribute::EAP_MESSAGE, piece.len() as u8 + 2], piece].concat()).collect()
}

/// What a request's EAP-Message attributes make together.
pub(super) fn joined(packet: &Packet<'_>) -> Vec<u8> {
    packet.values(attribute::EAP_MESSAGE).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::super::super::packet::Attributes;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn naks_name_what_the_peer_would_rather_speak() {
        let wishes = |packet: &[u8]| Response::parse(packet).unwrap().wishes();
        assert_eq!(wishes(&[2, 7, 0, 7, 3, 25, 21]), Some(vec![25, 21]));
        let expanded = [&[2, 7, 0, 28, 254, 0, 0, 0, 0, 0, 0, 3][..], &[254, 0, 0, 0, 0, 0, 0, 13], &[254, 0, 1, 2, 0, 0, 0, 21]].concat();
        assert_eq!(wishes(&expanded), Some(vec![13]), "a vendor's own type 21 is not TTLS");
        assert_eq!(wishes(&[2, 7, 0, 5, 21]), None);
    }

    #[test]
    fn only_whole_responses_are_read() {
        assert_eq!(Response::parse(&[2, 9, 0, 7, 1, b'a', b'd', 0]), Some(Response { id: 9, kind: 1, data: b"ad" }));
        for broken in [&[2, 9, 0, 4][..], &[2, 9, 0, 9, 1], &[1, 9, 0, 5, 1], &[2, 9, 0, 3, 1], &[2]] {
            assert_eq!(Response::parse(broken), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_split_is_joined(packet in proptest::collection::vec(any::<u8>(), 1..1400)) {
            let attributes = in_attributes(&packet);
            let pieces: Vec<_> = Attributes::check(&attributes).unwrap().collect();
            prop_assert!(pieces.iter().all(|piece| piece.kind == attribute::EAP_MESSAGE));
            prop_assert!(pieces.split_last().unwrap().1.iter().all(|piece| piece.value.len() == PIECE_BYTES));
            prop_assert_eq!(pieces.iter().flat_map(|piece| piece.value).copied().collect::<Vec<_>>(), packet);
        }

        #[test]
        fn any_bytes_are_read_without_panic(packet in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Response::parse(&packet).and_then(|response| response.wishes());
        }
    }
}
