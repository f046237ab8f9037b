//! Codes of an authenticator: RFC 6238 with what every telephone knows, SHA-1, six digits and thirty seconds.

use aws_lc_rs::hmac;

/// How long a code is shown, in seconds.
const STEP_SECS: i64 = 30;
/// How far a telephone's clock may be off, in steps either way (RFC 6238 section 5.2).
const DRIFT_STEPS: i64 = 1;
/// The length of a secret (RFC 4226 section 4 asks for 160 bits).
pub(super) const SECRET_LENGTH: usize = 20;

/// The time step whose code this is, if it is one around `now` (Unix seconds).
pub(super) fn step_of(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let given: u32 = code.parse().ok().filter(|_| code.len() == 6)?;
    let current = now / STEP_SECS;
    (current - DRIFT_STEPS..=current + DRIFT_STEPS).find(|step| self::code(secret, *step) == given)
}

/// The code of a time step (RFC 4226 section 5.3).
fn code(secret: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let bytes = [tag[offset] & 127, tag[offset + 1], tag[offset + 2], tag[offset + 3]];
    u32::from_be_bytes(bytes) % 1_000_000
}

/// A secret as authenticators take it: base32 (RFC 4648 section 6) without padding.
pub(super) fn base32(secret: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = |at: usize| (0..5).fold(0, |value, bit| (value << 1) | (secret.get((at + bit) / 8).map_or(0, |byte| byte >> (7 - (at + bit) % 8) & 1)));
    (0..secret.len() * 8).step_by(5).map(|at| char::from(ALPHABET[usize::from(bits(at))])).collect()
}

/// The address that an authenticator is set up by, from a link or a picture of it.
pub(super) fn address(name: &str, secret: &[u8]) -> String {
    format!("otpauth://totp/Holdfast:{name}?secret={}&issuer=Holdfast", base32(secret))
}

#[cfg(test)]
mod tests {
    use super::{base32, code, step_of};

    /// The secret of RFC 6238 appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B of RFC 6238 has eight digits; the last six are ours.
        for (time, expected) in [(59, 287_082), (1_111_111_109, 81_804), (1_234_567_890, 5_924), (20_000_000_000, 353_130)] {
            assert_eq!(code(SECRET, time / 30), expected, "{time}");
        }
    }

    #[test]
    fn a_clock_may_be_off_by_one_step_and_no_more() {
        for (now, found) in [(59, true), (59 + 30, true), (59 - 30, true), (59 + 60, false)] {
            assert_eq!(step_of(SECRET, "287082", now).is_some(), found, "{now}");
        }
        for wrong in ["", "28708", "0287082", "28708x", "-87082", "+87082"] {
            assert_eq!(step_of(SECRET, wrong, 59), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_are_written_as_authenticators_read_them() {
        assert_eq!(base32(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
