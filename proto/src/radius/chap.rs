//! CHAP (RFC 1994, RFC 2865 sections 5.3 and 7.2): the user hashes a challenge with the password, so whoever checks it needs the
//! password itself. An account has it only where the portal was told to keep it.

use super::packet::{Authenticator, Packet, attribute};
use crate::words::Secret;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::{Digest, Md5};

/// The identifier and an MD5.
const CHAP_PASSWORD_BYTES: usize = 17;

/// What a user made of a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChapResponse {
    id: u8,
    hash: [u8; 16],
    challenge: Vec<u8>,
}

impl ChapResponse {
    /// Reads CHAP-Password and what it answers: CHAP-Challenge, or the Request Authenticator where there is none. `None` where
    /// it has another length or the challenge is empty.
    pub fn of(packet: &Packet<'_>) -> Option<Self> {
        let value: &[u8; CHAP_PASSWORD_BYTES] = packet.values(attribute::CHAP_PASSWORD).next()?.try_into().ok()?;
        let own: Authenticator = packet.authenticator();
        let challenge = packet.values(attribute::CHAP_CHALLENGE).next().unwrap_or(&own);
        let (id, hash) = value.split_first()?;
        (!challenge.is_empty()).then(|| Self { id: *id, hash: hash.try_into().expect("16 of 17 bytes"), challenge: challenge.to_vec() })
    }

    /// Whether it was made of this password.
    pub fn fits(&self, password: &Secret) -> bool {
        let expected = Md5::new().chain_update([self.id]).chain_update(password.expose()).chain_update(&self.challenge).finalize();
        verify_slices_are_equal(&expected, &self.hash).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2865 section 7.2: user flopsy, CHAP identifier 22, and the Request Authenticator is the challenge.
    const RFC_REQUEST: &str =
        "010100472aee86f08d0d55969ca5978e0d3367a20108666c6f707379031316e97557c316185895f293ff63440772750406c0a80110050600000014060600000002070600000001";

    fn response(request: &str) -> Option<ChapResponse> {
        ChapResponse::of(&Packet::parse(&hex::decode(request).unwrap()).unwrap())
    }

    #[test]
    fn the_request_of_rfc_2865_section_7_2_answers_its_authenticator() {
        let found = response(RFC_REQUEST).unwrap();
        assert_eq!((found.id, hex::encode(&found.challenge)), (22, "2aee86f08d0d55969ca5978e0d3367a2".to_owned()));
        // Not printed there; it is that of section 7.1.
        assert!(found.fits(&Secret::new(*b"arctangent")) && !found.fits(&Secret::new(*b"arctangenT")));
    }

    #[test]
    fn a_challenge_of_its_own_comes_before_the_authenticator() {
        let body = "03130746c00f99865014f26df7168dc66444033c0b".to_owned() + &hex::encode(b"challenge");
        let request = |body: &str| format!("0101{:04x}{}{body}", 20 + body.len() / 2, "00".repeat(16));
        assert!(response(&request(&body)).unwrap().fits(&Secret::new(*b"arctangent")));
        let empty = body.split("3c0b").next().unwrap().to_owned() + "3c02";
        assert_eq!(response(&request(&empty)), None, "an empty challenge is answered by everybody who ever answered one");
        assert_eq!(response(&request("03050102ff")), None, "another length");
    }
}
