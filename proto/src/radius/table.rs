//! The rows that RADIUS answers from: the portal's accounts and the master's NASs (network access servers).
//!
//! They lie in two feeds with two signers. Secrets stand in them encrypted, with the row as associated data, so that a
//! verifier cannot be moved to another account nor a shared secret to another address. A row that breaks its encoding is
//! an error, never a guess.
//!
//! ```text
//! ACCOUNT  key: name, trimmed and lower case    value: state u8 | verifier length u16 | verifier | reply attributes
//! NAS      key: 4 or 6, prefix length, network  value: flags u8 | secret length u16 | secret | name
//! ```
//! Little-endian.

use super::packet::{Attributes, PacketError};
use crate::snapshot::{Damaged, EncryptedField, FieldError, Table, View};
use ipnet::IpNet;
use std::net::IpAddr;

/// Accounts, in the people feed, signed by the portal. Key: [`account_key`]; value: [`Account`].
pub const ACCOUNT: Table = Table(1);
/// NASs, in the access feed, signed by the master. Key: [`nas_key`]; value: [`Nas`].
pub const NAS: Table = Table(2);

/// The longest account name, in bytes: what one User-Name attribute carries (RFC 2865 section 5.1).
pub const NAME_LIMIT_BYTES: usize = 253;
/// The most that an account adds to an Access-Accept: half a packet, so that Proxy-State finds room beside it.
pub const ATTRIBUTES_LIMIT_BYTES: usize = 2048;
/// In a NAS's flags: requests without Message-Authenticator are dropped.
const REQUIRE_MESSAGE_AUTHENTICATOR: u8 = 1;

/// Whether an account may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AccountState {
    /// It may.
    Active = 1,
    /// It is known and kept, and may not.
    Suspended = 2,
}

/// One account, as the portal publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether it may log in.
    pub state: AccountState,
    /// The PHC string (`$argon2id$...`) of its password, encrypted for the row (ACCOUNT, key).
    pub verifier: EncryptedField,
    /// What an Access-Accept carries for it: RADIUS attributes as they stand on the wire.
    pub attributes: Vec<u8>,
}

/// One NAS or one network of them, as the master publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nas {
    /// What people call it.
    pub name: String,
    /// The shared secret, encrypted for the row (NAS, key).
    pub secret: EncryptedField,
    /// Whether requests without Message-Authenticator are dropped. Only an old NAS is exempt (BlastRADIUS).
    pub require_message_authenticator: bool,
}

/// A row that breaks its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The bytes end within a field.
    #[error("the row ends in the middle of a field")]
    Torn,
    /// A number that means nothing to this build.
    #[error("the row's {0} holds a number that this build does not know")]
    Unknown(&'static str),
    /// The encrypted field is none.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The reply attributes are not RADIUS attributes.
    #[error("the row's reply attributes are damaged: {0}")]
    Attributes(PacketError),
    /// The reply attributes leave no room in a packet.
    #[error("the row's reply attributes have {0} bytes, over the limit of {ATTRIBUTES_LIMIT_BYTES}")]
    TooLong(usize),
    /// The NAS's name is not UTF-8.
    #[error("the row's name is not UTF-8")]
    Name,
}

impl Account {
    /// The value of its row.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.state as u8, &self.verifier, &self.attributes)
    }

    /// Reads the value of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (state, verifier, attributes) = decode(bytes)?;
        let state = match state {
            1 => AccountState::Active,
            2 => AccountState::Suspended,
            _ => return Err(RowError::Unknown("state")),
        };
        if attributes.len() > ATTRIBUTES_LIMIT_BYTES {
            return Err(RowError::TooLong(attributes.len()));
        }
        Attributes::check(attributes).map_err(RowError::Attributes)?;
        Ok(Self { state, verifier, attributes: attributes.to_vec() })
    }
}

impl Nas {
    /// The value of its row.
    pub fn encode(&self) -> Vec<u8> {
        encode(u8::from(self.require_message_authenticator) * REQUIRE_MESSAGE_AUTHENTICATOR, &self.secret, self.name.as_bytes())
    }

    /// Reads the value of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (flags, secret, name) = decode(bytes)?;
        if flags & !REQUIRE_MESSAGE_AUTHENTICATOR != 0 {
            return Err(RowError::Unknown("flags"));
        }
        let name = std::str::from_utf8(name).map_err(|_| RowError::Name)?.to_owned();
        Ok(Self { name, secret, require_message_authenticator: flags & REQUIRE_MESSAGE_AUTHENTICATOR != 0 })
    }
}

/// The layout that both rows share.
fn encode(number: u8, field: &EncryptedField, rest: &[u8]) -> Vec<u8> {
    let field = field.bytes();
    let len = u16::try_from(field.len()).expect("verifiers and shared secrets are far below 64 KiB");
    [&[number][..], &len.to_le_bytes(), field, rest].concat()
}

fn decode(bytes: &[u8]) -> Result<(u8, EncryptedField, &[u8]), RowError> {
    let (&[number, low, high], body) = bytes.split_first_chunk().ok_or(RowError::Torn)?;
    let (field, rest) = body.split_at_checked(usize::from(u16::from_le_bytes([low, high]))).ok_or(RowError::Torn)?;
    Ok((number, EncryptedField::from_bytes(field)?, rest))
}

/// The key of an account's row: people write `Ada`, ` ada` and `ADA` and mean the same person.
pub fn account_key(name: &str) -> Vec<u8> {
    name.trim().to_lowercase().into_bytes()
}

/// The key of a NAS's row. Host bits are dropped.
pub fn nas_key(net: IpNet) -> Vec<u8> {
    let family = if net.addr().is_ipv4() { 4 } else { 6 };
    let mut key = vec![family, net.prefix_len()];
    match net.network() {
        IpAddr::V4(address) => key.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => key.extend_from_slice(&address.octets()),
    }
    key
}

/// The key and value of the NAS row with the longest prefix around an address. IPv4 in IPv6 clothes counts as IPv4.
pub(super) fn find_nas(access: &View, address: IpAddr) -> Result<Option<(NasKey, &[u8])>, Damaged> {
    let mut key = NasKey::host(address.to_canonical());
    loop {
        if let Some(value) = access.get(NAS, key.bytes())? {
            return Ok(Some((key, value)));
        }
        if key.shorten().is_none() {
            return Ok(None);
        }
    }
}

/// A NAS key on the stack, so that the look-up does not touch the heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct NasKey {
    bytes: [u8; 18],
    len: usize,
}

impl NasKey {
    fn host(address: IpAddr) -> Self {
        let mut bytes = [0; 18];
        let len = match address {
            IpAddr::V4(address) => {
                bytes[..2].copy_from_slice(&[4, 32]);
                bytes[2..6].copy_from_slice(&address.octets());
                6
            }
            IpAddr::V6(address) => {
                bytes[..2].copy_from_slice(&[6, 128]);
                bytes[2..].copy_from_slice(&address.octets());
                18
            }
        };
        Self { bytes, len }
    }

    /// Makes the prefix one bit shorter; `None` at the end.
    fn shorten(&mut self) -> Option<()> {
        let bit = self.bytes[1].checked_sub(1)?;
        self.bytes[1] = bit;
        self.bytes[2 + usize::from(bit / 8)] &= !(0x80 >> (bit % 8));
        Some(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Change, Feed, State};
    use proptest::prelude::*;

    /// A field of the right shape: the row encodings do not look inside.
    fn field() -> EncryptedField {
        EncryptedField::from_bytes(&[&[1][..], b"key-id-8", &[0xaa; 12], &[0xbb; 16]].concat()).unwrap()
    }

    const FIELD_HEX: &str = "016b65792d69642d38aaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn the_account_row_is_golden() {
        let account = Account { state: AccountState::Suspended, verifier: field(), attributes: vec![6, 6, 0, 0, 0, 2] };
        assert_eq!(hex::encode(account.encode()), format!("022500{FIELD_HEX}060600000002"));
        assert_eq!(Account::decode(&account.encode()), Ok(account));
        assert_eq!(account_key("  Ada.GÖDEL0 "), "ada.gödel0".as_bytes());
    }

    #[test]
    fn the_nas_row_is_golden() {
        let nas = Nas { name: "annex-north".into(), secret: field(), require_message_authenticator: true };
        assert_eq!(hex::encode(nas.encode()), format!("012500{FIELD_HEX}616e6e65782d6e6f727468"));
        assert_eq!(Nas::decode(&nas.encode()), Ok(nas));
        assert_eq!(hex::encode(nas_key("10.1.250.7/24".parse().unwrap())), "04180a01fa00");
        assert_eq!(hex::encode(nas_key("2001:db8::7/64".parse().unwrap())), "064020010db8000000000000000000000000");
    }

    #[test]
    fn broken_rows_are_refused() {
        let encoded = Account { state: AccountState::Active, verifier: field(), attributes: vec![] }.encode();
        assert_eq!(Account::decode(&encoded[..30]), Err(RowError::Torn));
        assert_eq!(Account::decode(&[&[9], &encoded[1..]].concat()), Err(RowError::Unknown("state")));
        assert!(matches!(Account::decode(&[&encoded[..], &[6, 9, 0]].concat()), Err(RowError::Attributes(_))));
        assert_eq!(Nas::decode(&[&[2], &encoded[1..]].concat()), Err(RowError::Unknown("flags")));
        assert_eq!(Nas::decode(&[&encoded[..], &[0xff]].concat()), Err(RowError::Name));
    }

    #[test]
    fn the_longest_prefix_wins() {
        let nets = ["0.0.0.0/0", "10.1.0.0/16", "10.1.250.0/24", "10.1.250.9/32", "2001:db8::/32"];
        let changes = nets.iter().map(|net| Change::put(NAS, nas_key(net.parse().unwrap()), *net)).collect();
        let view = State::empty(Feed::ACCESS).compose(changes).unwrap().unwrap().into_view();
        let found = |address: &str| find_nas(&view, address.parse().unwrap()).unwrap().map(|(_, value)| std::str::from_utf8(value).unwrap().to_owned());
        assert_eq!(found("10.1.250.9").as_deref(), Some("10.1.250.9/32"));
        assert_eq!(found("10.1.250.8").as_deref(), Some("10.1.250.0/24"));
        assert_eq!(found("::ffff:10.1.3.4").as_deref(), Some("10.1.0.0/16"));
        assert_eq!(found("192.0.2.1").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(found("2001:db8:1::7").as_deref(), Some("2001:db8::/32"));
        assert_eq!(found("2001:db9::7"), None);
    }

    proptest! {
        #[test]
        fn shortened_keys_are_those_of_the_networks_around(octets in any::<[u8; 4]>(), prefix_len in 0u8..=32) {
            let mut key = NasKey::host(octets.into());
            (prefix_len..32).for_each(|_| key.shorten().unwrap());
            let net = IpNet::new(octets.into(), prefix_len).unwrap();
            prop_assert_eq!(key.bytes(), nas_key(net));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Account::decode(&bytes);
            let _ = Nas::decode(&bytes);
        }
    }
}
