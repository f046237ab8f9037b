//! MS-CHAPv2 (RFC 2759), its RADIUS attributes (RFC 2548) and its keys (RFC 3079): what routers, terminal servers and the
//! inside of PEAP speak.
//!
//! It needs the NT hash, an unsalted MD4 that is as good as the password to whoever steals it and whose 56-bit DES can be broken in
//! hours by whoever listens outside a tunnel. So an account has one only where the portal was told to keep it.

use super::packet::{Packet, attribute};
use crate::words::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use md4::{Digest, Md4};
use zeroize::Zeroize;

/// The vendor whose attributes these are.
pub const MICROSOFT: u32 = 311;

/// Microsoft's attribute types (RFC 2548).
pub(super) mod microsoft {
    /// Why not.
    pub const CHAP_ERROR: u8 = 2;
    /// The challenge that was answered.
    pub const CHAP_CHALLENGE: u8 = 11;
    /// The answer.
    pub const CHAP2_RESPONSE: u8 = 25;
    /// The proof that the server knows the password, too.
    pub const CHAP2_SUCCESS: u8 = 26;
}

/// An MD4 of a password.
pub const NT_HASH_BYTES: usize = 16;
const CHALLENGE_BYTES: usize = 16;
const RESPONSE_BYTES: usize = 24;
/// Peer challenge, eight reserved bytes, response.
const VALUE_BYTES: usize = 48;
/// `S=` and twenty bytes in hexadecimal.
const SUCCESS_BYTES: usize = 42;

const SIGNING: &[u8] = b"Magic server to client signing constant";
const MORE_THAN_ONE: &[u8] = b"Pad to make it do more than one iteration";
const MASTER_KEY: &[u8] = b"This is the MPPE Master Key";
const SERVER_RECEIVES: &[u8] = b"On the client side, this is the send key; on the server side, it is the receive key.";
const SERVER_SENDS: &[u8] = b"On the client side, this is the receive key; on the server side, it is the send key.";

/// The NT hash of a password (RFC 2759 section 8.3); `None` where the password is not text.
pub fn nt_hash(password: &Secret) -> Option<Secret> {
    let text = std::str::from_utf8(password.expose()).ok()?;
    let wide = Secret::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    Some(Secret::new(Md4::digest(wide.expose()).to_vec()))
}

/// What a peer made of a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MsChapResponse {
    /// Which exchange.
    pub id: u8,
    challenge: [u8; CHALLENGE_BYTES],
    peer_challenge: [u8; CHALLENGE_BYTES],
    response: [u8; RESPONSE_BYTES],
    /// Without the domain before it.
    name: Vec<u8>,
}

/// What a right response earns.
#[derive(Debug, Clone)]
pub(super) struct MsChapProof {
    /// `S=...`: the peer believes us only with it.
    pub success: [u8; SUCCESS_BYTES],
    /// What the NAS sends under.
    pub send_key: Secret,
    /// What the NAS receives under.
    pub receive_key: Secret,
}

impl MsChapResponse {
    /// Reads MS-CHAP-Challenge and MS-CHAP2-Response; `None` where one is missing or has another length.
    pub fn of(packet: &Packet<'_>, name: &[u8]) -> Option<Self> {
        let value = |kind| packet.vendor_values(MICROSOFT, kind).next();
        Self::of_attribute(value(microsoft::CHAP_CHALLENGE)?, value(microsoft::CHAP2_RESPONSE)?, name)
    }

    /// From the values of both attributes: identifier, flags, and what the peer made.
    pub fn of_attribute(challenge: &[u8], response: &[u8], name: &[u8]) -> Option<Self> {
        let (&[id, _flags], value) = response.split_first_chunk()?;
        Self::of_value(id, challenge.try_into().ok()?, value, name)
    }

    /// From what the peer made: its challenge, eight reserved bytes, its response.
    pub fn of_value(id: u8, challenge: [u8; CHALLENGE_BYTES], value: &[u8], name: &[u8]) -> Option<Self> {
        let value: &[u8; VALUE_BYTES] = value.try_into().ok()?;
        let (peer_challenge, response) = (*value.first_chunk()?, *value.last_chunk()?);
        // RFC 2759 section 8.2: the user's name "without prepending the Windows NT domain name".
        let name = name.rsplit(|byte| *byte == b'\\').next().unwrap_or(name).to_vec();
        Some(Self { id, challenge, peer_challenge, response, name })
    }

    /// What it earns, where it was made of the password behind this NT hash.
    pub fn check(&self, nt_hash: &Secret) -> Option<MsChapProof> {
        let challenge = self.challenge_hash();
        let expected = challenge_response(&challenge, nt_hash);
        verify_slices_are_equal(&expected, &self.response).ok()?;
        let hash_of_hash = Secret::new(Md4::digest(nt_hash.expose()).to_vec());
        let (send_key, receive_key) = session_keys(&hash_of_hash, &self.response);
        Some(MsChapProof { success: self.success(&hash_of_hash, &challenge), send_key, receive_key })
    }

    /// RFC 2759 section 8.2.
    fn challenge_hash(&self) -> [u8; 8] {
        *sha1(&[&self.peer_challenge, &self.challenge, &self.name]).first_chunk().expect("SHA-1 has 20 bytes")
    }

    /// RFC 2759 section 8.7.
    fn success(&self, hash_of_hash: &Secret, challenge: &[u8; 8]) -> [u8; SUCCESS_BYTES] {
        let inner = sha1(&[hash_of_hash.expose(), &self.response, SIGNING]);
        let mut text = *b"S=0000000000000000000000000000000000000000";
        for (pair, byte) in text[2..].chunks_exact_mut(2).zip(sha1(&[&inner, challenge, MORE_THAN_ONE])) {
            pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
        }
        text
    }

    /// What says no to it (RFC 2759 section 6): an error number, no retry, and a challenge that nobody shall answer.
    pub fn error(&self, number: u32) -> Vec<u8> {
        error_text(number, &self.challenge)
    }
}

/// What a user makes of a challenge: the value of MS-CHAP2-Response (RFC 2548 section 2.3.2); `None` for a password that is no UTF-8. For
/// clients: the lab's and the tests'.
pub fn respond(id: u8, challenge: [u8; CHALLENGE_BYTES], peer_challenge: [u8; CHALLENGE_BYTES], name: &[u8], password: &Secret) -> Option<Vec<u8>> {
    let reserved = [0; VALUE_BYTES - CHALLENGE_BYTES - RESPONSE_BYTES];
    let unanswered = [&peer_challenge[..], &reserved, &[0; RESPONSE_BYTES]].concat();
    let asked = MsChapResponse::of_value(id, challenge, &unanswered, name)?;
    let response = challenge_response(&asked.challenge_hash(), &nt_hash(password)?);
    Some([&[id, 0], &peer_challenge[..], &reserved, &response].concat())
}

/// The account may not log in.
pub(super) const ERROR_DISABLED: u32 = 647;
/// The name or the password is wrong.
pub(super) const ERROR_WRONG: u32 = 691;

fn error_text(number: u32, challenge: &[u8; CHALLENGE_BYTES]) -> Vec<u8> {
    let challenge: String = challenge.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("E={number} R=0 C={challenge} V=3").into_bytes()
}

/// RFC 2759 section 8.5: three DES encryptions under seven bytes of the hash each.
fn challenge_response(challenge: &[u8; 8], nt_hash: &Secret) -> [u8; RESPONSE_BYTES] {
    let (mut padded, mut response) = ([0; 21], [0; RESPONSE_BYTES]);
    let hash = nt_hash.expose();
    padded[..hash.len().min(NT_HASH_BYTES)].copy_from_slice(&hash[..hash.len().min(NT_HASH_BYTES)]);
    for (seven, out) in padded.chunks_exact(7).zip(response.chunks_exact_mut(8)) {
        let mut block = (*challenge).into();
        Des::new(&with_parity(seven).into()).encrypt_block(&mut block);
        out.copy_from_slice(&block);
    }
    padded.zeroize();
    response
}

/// RFC 2759 section 8.6: seven bits to a byte; DES does not look at the eighth.
fn with_parity(seven: &[u8]) -> [u8; 8] {
    let bits = seven.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    std::array::from_fn(|at| ((bits >> (49 - 7 * at)) as u8) << 1)
}

/// RFC 3079 sections 3.3 and 3.4, for 128 bits: what the server's side sends and receives under.
fn session_keys(hash_of_hash: &Secret, response: &[u8; RESPONSE_BYTES]) -> (Secret, Secret) {
    let mut master = sha1(&[hash_of_hash.expose(), response, MASTER_KEY]);
    let key = |magic| Secret::new(&sha1(&[&master[..16], &[0; 40], magic, &[0xf2; 40]])[..16]);
    let keys = (key(SERVER_SENDS), key(SERVER_RECEIVES));
    master.zeroize();
    keys
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| hash.update(part));
    hash.finish().as_ref().try_into().expect("SHA-1 has 20 bytes")
}

/// An attribute of Microsoft's in wire form: vendor, type, length, value of at most 247 bytes.
pub(super) fn microsoft_attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = value.len() as u8;
    [&[attribute::VENDOR_SPECIFIC, len + 8][..], &MICROSOFT.to_be_bytes(), &[kind, len + 2], value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 2759 section 9.2.
    fn rfc() -> MsChapResponse {
        let value = "21402324255e262a28295f2b3a337c7e000000000000000082309ecd8d708b5ea08faa3981cd83544233114a3d85d6df";
        MsChapResponse::of_value(1, bytes("5b5d7c7d7b3f2f3e3c2c602132262628"), &hex::decode(value).unwrap(), b"User").unwrap()
    }

    fn hash(password: &str) -> Secret {
        nt_hash(&Secret::new(password)).unwrap()
    }

    #[test]
    fn hashes_and_responses_are_those_of_rfc_2759_section_9_2() {
        assert_eq!(hex::encode(hash("clientPass").expose()), "44ebba8d5312b8d611474411f56989ae");
        assert_eq!(hex::encode(rfc().challenge_hash()), "d02e4386bce91226");
        let proof = rfc().check(&hash("clientPass")).expect("the response of the RFC");
        assert_eq!(&proof.success, b"S=407A5589115FD0D6209F510FE9C04566932CDA56");
        assert!(rfc().check(&hash("clientpass")).is_none());
        assert_eq!(rfc().error(ERROR_WRONG), b"E=691 R=0 C=5B5D7C7D7B3F2F3E3C2C602132262628 V=3");
    }

    #[test]
    fn the_keys_are_those_of_rfc_3079_section_3_5_3() {
        let proof = rfc().check(&hash("clientPass")).unwrap();
        assert_eq!(hex::encode(proof.send_key.expose()), "8b7cdc149b993a1ba118cb153f56dccb");
        assert_ne!(proof.send_key, proof.receive_key);
    }

    #[test]
    fn a_domain_before_the_name_is_no_part_of_the_response() {
        let named = MsChapResponse { name: b"User".to_vec(), ..rfc() };
        let value = [&named.peer_challenge[..], &[0; 8], &named.response].concat();
        let found = MsChapResponse::of_value(1, named.challenge, &value, b"PHYSICS\\User").unwrap();
        assert!(found.check(&hash("clientPass")).is_some());
        assert!(MsChapResponse::of_value(1, named.challenge, &value[..47], b"User").is_none());
    }

    #[test]
    fn passwords_are_hashed_as_text() {
        assert_eq!(hex::encode(hash("pässwörd").expose()), "0553152250ac01adb4213cb9938663e4");
        assert_eq!(nt_hash(&Secret::new([0xff, 0xfe])), None);
    }
}
