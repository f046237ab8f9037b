//! MS-MPPE-Send-Key and MS-MPPE-Recv-Key (RFC 2548 sections 2.4.2 and 2.4.3): how a NAS learns the keys that the user has, too.
//!
//! They are hidden under the shared secret and the Request Authenticator, so they travel in an Access-Accept alone, which has
//! both proofs, and nowhere else.

use super::mschap::microsoft_attribute;
use super::packet::Authenticator;
use crate::words::Secret;
use md5::{Digest, Md5};

const SEND_KEY: u8 = 16;
const RECEIVE_KEY: u8 = 17;
const BLOCK_BYTES: usize = 16;

/// Both attributes in wire form; the keys as the NAS sees them, of at most 64 bytes.
pub(super) fn attributes(send: &Secret, receive: &Secret, secret: &Secret, request: &Authenticator) -> Vec<u8> {
    let hidden = |kind, key, salt| microsoft_attribute(kind, &hide(key, salt, secret, request));
    let [first, second] = salts(send, receive, request);
    [hidden(SEND_KEY, send, first), hidden(RECEIVE_KEY, receive, second)].concat()
}

/// The first bit must be set, and two salts of one packet must differ. They come from the keys, so that a Request Authenticator that
/// comes again, by a poor NAS or by whoever asks on purpose, hides other keys under another pad.
fn salts(send: &Secret, receive: &Secret, request: &Authenticator) -> [[u8; 2]; 2] {
    let mut hash = blake3::Hasher::new_derive_key("holdfast 2026-11 MS-MPPE salts");
    for part in [send.expose(), receive.expose(), request] {
        hash.update(part);
    }
    let drawn = *hash.finalize().as_bytes();
    [[drawn[0] | 0x80, drawn[1] & 0xfe], [drawn[0] | 0x80, drawn[1] | 1]]
}

fn hide(key: &Secret, salt: [u8; 2], secret: &Secret, request: &Authenticator) -> Vec<u8> {
    let key = key.expose();
    let mut plain = [&[key.len() as u8], key].concat();
    plain.resize(plain.len().next_multiple_of(BLOCK_BYTES), 0);
    let mut hidden = salt.to_vec();
    let mut before = [&request[..], &salt].concat();
    for block in plain.chunks_exact(BLOCK_BYTES) {
        let pad = Md5::new().chain_update(secret.expose()).chain_update(&before).finalize();
        before = block.iter().zip(pad).map(|(byte, pad)| byte ^ pad).collect();
        hidden.extend_from_slice(&before);
    }
    zeroize::Zeroize::zeroize(&mut plain);
    hidden
}

/// Uncovers one of them as a NAS does: `None` where it is damaged. For clients: the lab's and the tests'.
pub fn reveal_key(hidden: &[u8], secret: &Secret, request: &Authenticator) -> Option<Secret> {
    let (salt, hidden) = hidden.split_first_chunk::<2>()?;
    let mut before = [&request[..], salt].concat();
    let mut plain = Vec::new();
    for block in hidden.chunks_exact(BLOCK_BYTES) {
        let pad = Md5::new().chain_update(secret.expose()).chain_update(&before).finalize();
        plain.extend(block.iter().zip(pad).map(|(byte, pad)| byte ^ pad));
        before = block.to_vec();
    }
    let (len, key) = plain.split_first()?;
    Some(Secret::new(key.get(..usize::from(*len))?))
}

#[cfg(test)]
mod tests {
    use super::super::packet::Attributes;
    use super::*;

    #[test]
    fn a_nas_uncovers_both_keys() {
        let (secret, request) = (Secret::new(*b"testing123"), [7; 16]);
        for len in [16, 32] {
            let (send, receive) = (Secret::new(vec![0xa5; len]), Secret::new(vec![0x5a; len]));
            let wire = attributes(&send, &receive, &secret, &request);
            let values: Vec<&[u8]> = Attributes::check(&wire).unwrap().map(|attribute| attribute.value).collect();
            assert_eq!((values.len(), &values[0][..5], &values[1][..5]), (2, &[0, 0, 1, 55, SEND_KEY][..], &[0, 0, 1, 55, RECEIVE_KEY][..]));
            assert!(values.iter().all(|value| value[6] & 0x80 != 0), "the salt's first bit");
            let other = attributes(&Secret::new(vec![0xa4; len]), &receive, &secret, &request);
            assert_ne!(other[8..10], wire[8..10], "other keys, other salts");
            assert_eq!(reveal_key(&values[0][6..], &secret, &request), Some(send));
            assert_eq!(reveal_key(&values[1][6..], &secret, &request), Some(receive.clone()));
            assert_ne!(reveal_key(&values[1][6..], &secret, &[8; 16]), Some(receive));
        }
    }
}
