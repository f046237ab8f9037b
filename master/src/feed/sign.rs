//! The signature of a delivery: `t=<seconds since 1970>,v1=<HMAC-SHA-256 of "t.body", in hexadecimal>`.
//!
//! The time is signed with the body, so a receiver that refuses old ones cannot be sent the same thing again by a stranger.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

/// The header that it travels in.
pub(super) const HEADER: &str = "holdfast-signature";

/// The value of the header.
pub(super) fn signature(secret: &[u8], at_secs: i64, body: &str) -> String {
    let tag = sign(&Key::new(HMAC_SHA256, secret), format!("{at_secs}.{body}").as_bytes());
    format!("t={at_secs},v1={}", hex::encode(tag))
}

#[cfg(test)]
mod tests {
    use super::signature;

    /// The value is what `printf '1700000000.{}' | openssl dgst -sha256 -hmac key` prints.
    #[test]
    fn a_signature_is_what_other_programs_compute() {
        assert_eq!(signature(b"key", 1_700_000_000, "{}"), "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae");
    }
}
