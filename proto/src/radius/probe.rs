//! Whether a server answers RADIUS: Status-Server (RFC 5997), under a secret that every entitled agent and the master can
//! derive from the access feed's data key. So nobody has to be registered as a NAS to ask, no secret is kept or carried
//! for it, and it changes whenever the data key does.

use super::packet::{Authenticator, Packet, Proof, TooLong, code, encode_request, is_reply_to};
use crate::snapshot::{DataKey, DataKeyRing};
use crate::words::Secret;

/// What sets this secret apart from others of the same data key.
const PURPOSE: &str = "holdfast 2026-11 radius probe";

/// The secret that goes with a data key.
pub fn secret(key: &DataKey) -> Secret {
    key.derived(PURPOSE)
}

/// A question; `authenticator` is random and names it.
pub fn question(id: u8, authenticator: &Authenticator, secret: &Secret) -> Result<Vec<u8>, TooLong> {
    encode_request(code::STATUS_SERVER, id, authenticator, &[], secret)
}

/// Whether this answers the question, from somebody who knows the secret.
pub fn is_answer(question: &[u8], reply: &[u8], secret: &Secret) -> bool {
    let (Ok(asked), Ok(said)) = (Packet::parse(question), Packet::parse(reply)) else { return false };
    said.code() == code::ACCESS_ACCEPT && said.id() == asked.id() && is_reply_to(reply, &asked.authenticator(), secret)
}

/// The secret of a data key under which this is a genuine question.
pub(super) fn secret_of(packet: &Packet<'_>, mut secrets: impl Iterator<Item = Secret>) -> Option<Secret> {
    secrets.find(|secret| packet.code() == code::STATUS_SERVER && packet.message_authenticator(secret) == Proof::Valid)
}

/// The secrets that go with these data keys.
pub fn of_ring(ring: &DataKeyRing) -> impl Iterator<Item = Secret> {
    ring.derived(PURPOSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radius::packet::PACKET_LIMIT_BYTES;
    use crate::radius::{Keys, Outcome, Patience, Replied, Verdict, Watch, answer};
    use crate::snapshot::{Feed, View};
    use std::time::Duration;

    #[test]
    fn our_own_server_answers_whoever_has_a_data_key_and_nobody_else() {
        let (older, newer) = (DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32]));
        let keys = Keys { access: DataKeyRing::of([older, newer.clone()]), ..Keys::default() };
        let (people, access) = (View::empty(Feed::PEOPLE), View::empty(Feed::ACCESS));
        let mut out = [0; PACKET_LIMIT_BYTES];
        let mut ask = |secret: &Secret| {
            let question = question(7, &[9; 16], secret).unwrap();
            let watch = Watch { patience: &Patience::default(), now: Duration::ZERO };
            let outcome = answer(&people, &access, &keys, &question, ([192, 0, 2, 1], 5000).into(), watch, &mut out);
            let Outcome::Replied(Replied { verdict: Verdict::Alive, len }) = outcome else { return None };
            Some((question, out[..len].to_vec()))
        };
        let (asked, said) = ask(&secret(&newer)).expect("it answers");
        assert!(is_answer(&asked, &said, &secret(&newer)));
        assert!(!is_answer(&asked, &said, &Secret::new(*b"other")) && !is_answer(&asked, &asked, &secret(&newer)));
        assert!(ask(&Secret::new(*b"other")).is_none() && ask(&secret(&DataKey::from_bytes([3; 32]))).is_none());
    }
}
