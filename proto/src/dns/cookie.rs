//! DNS cookies (RFC 7873) as all servers make them (RFC 9018): who has a good one hears us at the address that it writes from.
//!
//! The hash is SipHash-2-4, which RFC 9018 section 4 asks for. Time is read from a clock that may be wrong: a cookie that
//! seems too old or too new is not good, and its client is answered as one without.

#![allow(deprecated, reason = "std's SipHasher is SipHash-2-4, and stays it; what replaced it is free to become another hash")]

use crate::words::UnixMillis;
use std::fmt;
use std::hash::{Hasher, SipHasher};
use std::net::IpAddr;

/// The client's part.
const CLIENT_COOKIE_BYTES: usize = 8;
/// What the first eight bytes of a server's part are: version, three that are reserved, and the time.
const STAMP_BYTES: usize = 8;
/// Both parts of a cookie of ours.
pub(super) const COOKIE_BYTES: usize = CLIENT_COOKIE_BYTES + STAMP_BYTES + 8;
/// The longest server's part of anybody's, RFC 7873 section 4.
const SERVER_COOKIE_LIMIT_BYTES: usize = 32;
const VERSION: u8 = 1;
/// RFC 9018 section 4.3: this much older or newer than now is good still, and from the second age on there is a new one.
const OLD_LIMIT_S: i32 = 3600;
const NEW_LIMIT_S: i32 = 300;
const RENEW_AFTER_S: i32 = 1800;

/// What a query's cookie says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieState {
    /// It brings none.
    Without,
    /// It speaks cookies and has no good one of ours: new, late, or somebody who forges an address.
    Unproven,
    /// It hears us where it writes from.
    Good,
}

impl CookieState {
    /// All of them, for counters.
    pub const ALL: [Self; 3] = [Self::Without, Self::Unproven, Self::Good];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::Unproven => "unproven",
            Self::Good => "good",
        }
    }
}

/// The secrets that cookies are made with: the one of today, and the one before, which is believed still.
#[derive(Clone)]
pub struct Cookies {
    current: [u64; 2],
    previous: [u64; 2],
}

impl Cookies {
    /// The secrets of a period, out of a seed that never leaves the box: in the next period the one of this is believed still.
    pub fn of_period(seed: &[u8; 32], period: u64) -> Self {
        let secret = |period: u64| Self::secret(*blake3::keyed_hash(seed, &period.to_le_bytes()).as_bytes().first_chunk().expect("a hash has more"));
        Self { current: secret(period), previous: secret(period.wrapping_sub(1)) }
    }

    fn secret(bytes: [u8; 16]) -> [u64; 2] {
        let number = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("sixteen bytes are two numbers"));
        [number(0), number(8)]
    }

    /// What a cookie that was read says, and the one that its client is told.
    pub(super) fn judge(&self, cookie: &[u8], client: IpAddr, now: UnixMillis) -> (CookieState, [u8; COOKIE_BYTES]) {
        let now_s = (now.0 / 1000) as u32;
        if let Ok(whole) = <[u8; COOKIE_BYTES]>::try_from(cookie) {
            let age_s = now_s.wrapping_sub(stamp_of(&whole)) as i32;
            let is_timely = whole[CLIENT_COOKIE_BYTES] == VERSION && (-NEW_LIMIT_S..=OLD_LIMIT_S).contains(&age_s);
            if is_timely && signed(whole, client, self.current) == whole {
                return (CookieState::Good, if age_s >= RENEW_AFTER_S { self.make(cookie, client, now_s) } else { whole });
            }
            if is_timely && signed(whole, client, self.previous) == whole {
                return (CookieState::Good, self.make(cookie, client, now_s));
            }
        }
        (CookieState::Unproven, self.make(cookie, client, now_s))
    }

    fn make(&self, cookie: &[u8], client: IpAddr, now_s: u32) -> [u8; COOKIE_BYTES] {
        let mut made = [0; COOKIE_BYTES];
        made[..CLIENT_COOKIE_BYTES].copy_from_slice(&cookie[..CLIENT_COOKIE_BYTES]);
        made[CLIENT_COOKIE_BYTES] = VERSION;
        made[CLIENT_COOKIE_BYTES + 4..CLIENT_COOKIE_BYTES + STAMP_BYTES].copy_from_slice(&now_s.to_be_bytes());
        signed(made, client, self.current)
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies(..)")
    }
}

/// Whether an option's value has a length that a cookie can have (RFC 7873 section 5.2.2).
pub(super) fn is_cookie(value: &[u8]) -> bool {
    value.len() == CLIENT_COOKIE_BYTES || (CLIENT_COOKIE_BYTES + 8..=CLIENT_COOKIE_BYTES + SERVER_COOKIE_LIMIT_BYTES).contains(&value.len())
}

fn stamp_of(cookie: &[u8; COOKIE_BYTES]) -> u32 {
    u32::from_be_bytes(*cookie[CLIENT_COOKIE_BYTES + 4..].first_chunk().expect("a stamp has eight bytes"))
}

/// The cookie with the hash that belongs to all before it and to the client's address.
fn signed(mut cookie: [u8; COOKIE_BYTES], client: IpAddr, secret: [u64; 2]) -> [u8; COOKIE_BYTES] {
    let mut hasher = SipHasher::new_with_keys(secret[0], secret[1]);
    let (told, hash) = cookie.split_at_mut(CLIENT_COOKIE_BYTES + STAMP_BYTES);
    hasher.write(told);
    match client {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(&v6.octets()),
    }
    hash.copy_from_slice(&hasher.finish().to_le_bytes());
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(current: &str, previous: &str) -> Cookies {
        let secret = |hex: &str| Cookies::secret(hex::decode(hex).unwrap().try_into().unwrap());
        Cookies { current: secret(current), previous: secret(previous) }
    }

    fn judge(cookies: &Cookies, cookie: &str, client: &str, now_s: u64) -> (CookieState, String) {
        let (state, told) = cookies.judge(&hex::decode(cookie).unwrap(), client.parse().unwrap(), UnixMillis(now_s * 1000));
        (state, hex::encode(told))
    }

    const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
    const NEW: &str = "445536bcd2513298075a5d379663c962";

    #[test]
    fn cookies_are_those_of_the_examples_in_rfc_9018() {
        let one = cookies("e5e973e5a6b2a43f48e7dc849e37bfcf", OLD);
        let first = judge(&one, "2464c4abcf10c957", "198.51.100.100", 1_559_731_985);
        assert_eq!(first, (CookieState::Unproven, "2464c4abcf10c957010000005cf79f111f8130c3eee29480".into()), "appendix A.1");
        let again = judge(&one, &first.1, "198.51.100.100", 1_559_731_985 + 1800);
        assert_ne!(again.1, first.1, "after half an hour there is a new one");
        assert_eq!(again.0, CookieState::Good);
        // Appendix A.4: IPv6, and a secret that was changed meanwhile.
        let (client, cookie) = ("2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let renewed = judge(&cookies(NEW, OLD), cookie, client, 1_559_741_961);
        assert_eq!(renewed, (CookieState::Good, "22681ab97d52c298010000005cf7c609a6bb79d16625507a".into()));
    }

    #[test]
    fn a_cookie_is_good_for_its_client_its_time_and_two_secrets() {
        let (client, now) = ("192.0.2.1", 1_800_000_000);
        let made = judge(&cookies(NEW, OLD), "0102030405060708", client, now).1;
        let state = |cookies: &Cookies, cookie: &str, client: &str, now: u64| judge(cookies, cookie, client, now).0;
        assert_eq!(judge(&cookies(NEW, OLD), &made, client, now + 1799), (CookieState::Good, made.clone()), "it comes back as it is");
        assert_eq!(state(&cookies(OLD, NEW), &made, client, now), CookieState::Good);
        let other = "e5e973e5a6b2a43f48e7dc849e37bfcf";
        let altered = format!("1{}", &made[1..]);
        for (cookies, cookie, client, now) in [
            (cookies(OLD, other), &made, client, now),
            (cookies(NEW, OLD), &made, "192.0.2.2", now),
            (cookies(NEW, OLD), &made, client, now + 3601),
            (cookies(NEW, OLD), &made, client, now - 301),
            (cookies(NEW, OLD), &made, client, 0),
            (cookies(NEW, OLD), &altered, client, now),
            (cookies(NEW, OLD), &format!("{made}00"), client, now),
        ] {
            assert_eq!(state(&cookies, cookie, client, now), CookieState::Unproven, "{cookie} {client} {now}");
        }
        let (today, tomorrow) = (Cookies::of_period(&[7; 32], 4), Cookies::of_period(&[7; 32], 5));
        assert_eq!((today.current, tomorrow.previous), (tomorrow.previous, today.current));
        assert_ne!(today.current, tomorrow.current);
    }

    #[test]
    fn lengths_that_no_cookie_has_are_told() {
        let good: Vec<usize> = (0..64).filter(|len| is_cookie(&[0; 64][..*len])).collect();
        assert_eq!(good, [8].into_iter().chain(16..=40).collect::<Vec<_>>());
    }
}
