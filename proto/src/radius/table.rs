//! The rows that RADIUS answers from: the portal's accounts and the master's NASs (network access servers).
//!
//! They lie in two feeds with two signers. Secrets stand in them encrypted, with the row as associated data, so that a
//! verifier cannot be moved to another account nor a shared secret to another address. A row that breaks its encoding is
//! an error, never a guess.
//!
//! ```text
//! ACCOUNT  key: name, trimmed and lower case    value: state u8 | verifier length u16 | verifier
//!                                                      | NT hash length u16 | NT hash | cleartext length u16 | cleartext | reply attributes
//! NAS      key: 4 or 6, prefix length, network  value: flags u8 | secret length u16 | secret | name
//! ```
//! Little-endian. NT hash and cleartext are there where the state's upper bits say so; a row without them is as it always was,
//! and an agent of a build that knows neither takes a row with them for damaged, and leaves its owner to other agents.
//!
//! What a NAS has the right to beyond PAP and EAP stands in its flags.
//!
//! A NAS whose secret is being changed has two of them in its encrypted field, as a flag tells, which older builds do not know: to them it is a
//! damaged row, and they answer every other NAS as ever. So is one with rights to builds from before there were any.

use super::packet::{Attributes, PacketError};
use crate::snapshot::{Damaged, DataKeyRing, EncryptedField, FieldError, Table, View};
use crate::words::Secret;
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
/// In an account's state: an NT hash follows the verifier.
const HAS_NT_HASH: u8 = 0x10;
/// In an account's state: the password follows the verifier and the NT hash.
const HAS_CLEARTEXT: u8 = 0x20;
/// In a NAS's flags: requests without Message-Authenticator are dropped.
const REQUIRE_MESSAGE_AUTHENTICATOR: u8 = 1;
/// In a NAS's flags: the encrypted field holds two secrets, see [`SharedSecrets`].
const HAS_FORMER_SECRET: u8 = 2;
/// In a NAS's flags: see [`NasRights::chap`].
const MAY_CHAP: u8 = 4;
/// In a NAS's flags: campus and guests' VLAN stand before the name, see [`NasRights::machines`].
const HAS_MACHINES: u8 = 8;

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
    /// What the portal was told to keep beside it.
    pub further: FurtherVerifiers,
    /// What an Access-Accept carries for it: RADIUS attributes as they stand on the wire.
    pub attributes: Vec<u8>,
}

/// Verifiers for methods that argon2id cannot serve. Either is as good as the password to a thief, so the portal keeps them where it was told to, and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FurtherVerifiers {
    /// For MS-CHAPv2: the NT hash, encrypted for (ACCOUNT, [`nt_hash_key`]).
    pub nt_hash: Option<EncryptedField>,
    /// For CHAP: the password itself, encrypted for (ACCOUNT, [`cleartext_key`]).
    pub cleartext: Option<EncryptedField>,
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
    /// Whether the encrypted field holds the secret before this one as well, because the NAS may still use it.
    pub has_former_secret: bool,
    /// What it may ask beyond PAP and EAP.
    pub rights: NasRights,
}

/// What a NAS may ask beyond what every NAS may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NasRights {
    /// CHAP and MS-CHAPv2 outside of tunnels: whoever hears them can guess passwords at leisure, so only a NAS that can do nothing better.
    pub chap: bool,
    /// Machines by their hardware addresses, which are no secret.
    pub machines: Option<NasMachines>,
}

/// How a NAS's machines come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NasMachines {
    /// Its campus, which says which of a machine's subnets counts; empty for none.
    pub campus: String,
    /// Where machines go that nobody knows; out without it.
    pub guest_vlan: Option<u16>,
}

impl NasMachines {
    fn encode(&self) -> Vec<u8> {
        let len = u8::try_from(self.campus.len()).expect("a campus has a short name");
        [&[len], self.campus.as_bytes(), &self.guest_vlan.unwrap_or(0).to_le_bytes()[..]].concat()
    }

    fn take(bytes: &mut &[u8]) -> Result<Self, RowError> {
        let (len, body) = bytes.split_first().ok_or(RowError::Torn)?;
        let (campus, body) = body.split_at_checked(usize::from(*len)).ok_or(RowError::Torn)?;
        let (vlan, rest) = body.split_first_chunk().ok_or(RowError::Torn)?;
        *bytes = rest;
        let campus = std::str::from_utf8(campus).map_err(|_| RowError::Name)?.to_owned();
        Ok(Self { campus, guest_vlan: Some(u16::from_le_bytes(*vlan)).filter(|vlan| *vlan != 0) })
    }
}

/// The secrets that a NAS may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSecrets {
    /// The one in use.
    pub current: Secret,
    /// The one before it, until it is cleared.
    pub former: Option<Secret>,
}

impl SharedSecrets {
    /// What is encrypted for the row: the secret as it is, or `length u16 | current | former`.
    pub fn join(&self) -> Secret {
        let Some(former) = &self.former else { return self.current.clone() };
        let len = u16::try_from(self.current.expose().len()).expect("shared secrets are far below 64 KiB");
        Secret::new([&len.to_le_bytes(), self.current.expose(), former.expose()].concat())
    }

    /// Reads what was encrypted.
    pub fn split(plain: Secret, has_former: bool) -> Result<Self, RowError> {
        if !has_former {
            return Ok(Self { current: plain, former: None });
        }
        let (len, both) = plain.expose().split_first_chunk().ok_or(RowError::Torn)?;
        let (current, former) = both.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or(RowError::Torn)?;
        Ok(Self { current: Secret::new(current), former: Some(Secret::new(former)) })
    }

    /// The one that a proof holds under, with what was proven; where it holds under none, what the one in use has of it.
    pub(super) fn prove<P: PartialEq>(self, valid: &P, proof: impl Fn(&Secret) -> P) -> (Secret, P) {
        let of_current = proof(&self.current);
        match self.former {
            Some(former) if of_current != *valid && proof(&former) == *valid => {
                let proven = proof(&former);
                (former, proven)
            }
            _ => (self.current, of_current),
        }
    }
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
        let FurtherVerifiers { nt_hash, cleartext } = &self.further;
        let has = |field: &Option<EncryptedField>, flag| if field.is_some() { flag } else { 0 };
        let state = self.state as u8 | has(nt_hash, HAS_NT_HASH) | has(cleartext, HAS_CLEARTEXT);
        let mut tail: Vec<u8> = [nt_hash, cleartext].into_iter().flatten().flat_map(with_length).collect();
        tail.extend_from_slice(&self.attributes);
        encode(state, &self.verifier, &tail)
    }

    /// Reads the value of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (number, verifier, mut tail) = decode(bytes)?;
        let state = match number & !(HAS_NT_HASH | HAS_CLEARTEXT) {
            1 => AccountState::Active,
            2 => AccountState::Suspended,
            _ => return Err(RowError::Unknown("state")),
        };
        let mut further = |flag| (number & flag != 0).then(|| take_field(&mut tail)).transpose();
        let further = FurtherVerifiers { nt_hash: further(HAS_NT_HASH)?, cleartext: further(HAS_CLEARTEXT)? };
        if tail.len() > ATTRIBUTES_LIMIT_BYTES {
            return Err(RowError::TooLong(tail.len()));
        }
        Attributes::check(tail).map_err(RowError::Attributes)?;
        Ok(Self { state, verifier, further, attributes: tail.to_vec() })
    }
}

impl Nas {
    /// The value of its row.
    pub fn encode(&self) -> Vec<u8> {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(self.require_message_authenticator, REQUIRE_MESSAGE_AUTHENTICATOR)
            | flag(self.has_former_secret, HAS_FORMER_SECRET)
            | flag(self.rights.chap, MAY_CHAP)
            | flag(self.rights.machines.is_some(), HAS_MACHINES);
        let machines = self.rights.machines.as_ref().map(NasMachines::encode).unwrap_or_default();
        encode(flags, &self.secret, &[&machines, self.name.as_bytes()].concat())
    }

    /// Reads the value of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (flags, secret, mut rest) = decode(bytes)?;
        if flags & !(REQUIRE_MESSAGE_AUTHENTICATOR | HAS_FORMER_SECRET | MAY_CHAP | HAS_MACHINES) != 0 {
            return Err(RowError::Unknown("flags"));
        }
        let has = |flag| flags & flag != 0;
        let machines = has(HAS_MACHINES).then(|| NasMachines::take(&mut rest)).transpose()?;
        let name = std::str::from_utf8(rest).map_err(|_| RowError::Name)?.to_owned();
        Ok(Self {
            name,
            secret,
            require_message_authenticator: has(REQUIRE_MESSAGE_AUTHENTICATOR),
            has_former_secret: has(HAS_FORMER_SECRET),
            rights: NasRights { chap: has(MAY_CHAP), machines },
        })
    }

    /// Its secrets, by the keys of the access feed.
    pub(super) fn secrets(&self, keys: &DataKeyRing, key: &NasKey) -> Option<SharedSecrets> {
        SharedSecrets::split(keys.decrypt(NAS, key.bytes(), &self.secret).ok()?, self.has_former_secret).ok()
    }
}

/// The layout that both rows share.
fn encode(number: u8, field: &EncryptedField, rest: &[u8]) -> Vec<u8> {
    [&[number][..], &with_length(field), rest].concat()
}

fn with_length(field: &EncryptedField) -> Vec<u8> {
    let len = u16::try_from(field.bytes().len()).expect("verifiers and shared secrets are far below 64 KiB");
    [&len.to_le_bytes(), field.bytes()].concat()
}

fn decode(bytes: &[u8]) -> Result<(u8, EncryptedField, &[u8]), RowError> {
    let (number, mut body) = bytes.split_first().ok_or(RowError::Torn)?;
    let field = take_field(&mut body)?;
    Ok((*number, field, body))
}

fn take_field(bytes: &mut &[u8]) -> Result<EncryptedField, RowError> {
    let (len, body) = bytes.split_first_chunk().ok_or(RowError::Torn)?;
    let (field, rest) = body.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or(RowError::Torn)?;
    *bytes = rest;
    Ok(EncryptedField::from_bytes(field)?)
}

/// What an NT hash is encrypted for in place of the account's key. No account's name holds a NUL, so it is nobody's key, and no
/// field can be put in the place of another of the same account.
pub fn nt_hash_key(account_key: &[u8]) -> Vec<u8> {
    [account_key, b"\0nt-hash"].concat()
}

/// What a kept password is encrypted for, see [`nt_hash_key`].
pub fn cleartext_key(account_key: &[u8]) -> Vec<u8> {
    [account_key, b"\0cleartext"].concat()
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
        let mut account =
            Account { state: AccountState::Suspended, verifier: field(), further: FurtherVerifiers::default(), attributes: vec![6, 6, 0, 0, 0, 2] };
        assert_eq!(hex::encode(account.encode()), format!("022500{FIELD_HEX}060600000002"));
        assert_eq!(Account::decode(&account.encode()).as_ref(), Ok(&account));
        account.further.cleartext = Some(field());
        assert_eq!(hex::encode(account.encode()), format!("222500{FIELD_HEX}2500{FIELD_HEX}060600000002"));
        assert_eq!(Account::decode(&account.encode()).as_ref(), Ok(&account));
        account.further.nt_hash = Some(field());
        assert_eq!(hex::encode(account.encode()), format!("322500{FIELD_HEX}2500{FIELD_HEX}2500{FIELD_HEX}060600000002"));
        assert_eq!(Account::decode(&account.encode()), Ok(account));
        assert_eq!(account_key("  Ada.GÖDEL0 "), "ada.gödel0".as_bytes());
    }

    #[test]
    fn the_nas_row_is_golden() {
        let nas =
            Nas { name: "annex-north".into(), secret: field(), require_message_authenticator: true, has_former_secret: false, rights: NasRights::default() };
        // As the build before wrote it, and reads it.
        assert_eq!(hex::encode(nas.encode()), format!("012500{FIELD_HEX}616e6e65782d6e6f727468"));
        assert_eq!(Nas::decode(&nas.encode()), Ok(nas.clone()));
        let chap = Nas { rights: NasRights { chap: true, machines: None }, ..nas.clone() };
        assert_eq!((chap.encode()[0], Nas::decode(&chap.encode())), (5, Ok(chap.clone())));
        let machines = NasMachines { campus: "north".into(), guest_vlan: Some(999) };
        let machines = Nas { rights: NasRights { machines: Some(machines), ..NasRights::default() }, ..nas.clone() };
        assert_eq!(hex::encode(machines.encode()), format!("092500{FIELD_HEX}056e6f727468e703616e6e65782d6e6f727468"));
        assert_eq!(Nas::decode(&machines.encode()), Ok(machines));
        let changing = Nas { require_message_authenticator: false, has_former_secret: true, ..nas };
        assert_eq!(hex::encode(changing.encode()), format!("022500{FIELD_HEX}616e6e65782d6e6f727468"));
        assert_eq!(Nas::decode(&changing.encode()), Ok(changing));
        assert_eq!(hex::encode(nas_key("10.1.250.7/24".parse().unwrap())), "04180a01fa00");
        assert_eq!(hex::encode(nas_key("2001:db8::7/64".parse().unwrap())), "064020010db8000000000000000000000000");
    }

    #[test]
    fn broken_rows_are_refused() {
        let encoded = Account { state: AccountState::Active, verifier: field(), further: FurtherVerifiers::default(), attributes: vec![] }.encode();
        assert_eq!(Account::decode(&encoded[..30]), Err(RowError::Torn));
        assert_eq!(Account::decode(&[&[9], &encoded[1..]].concat()), Err(RowError::Unknown("state")));
        assert_eq!(Account::decode(&[&[0x41], &encoded[1..]].concat()), Err(RowError::Unknown("state")));
        assert_eq!(Account::decode(&[&[0x11], &encoded[1..]].concat()), Err(RowError::Torn), "an NT hash was promised");
        assert!(matches!(Account::decode(&[&encoded[..], &[6, 9, 0]].concat()), Err(RowError::Attributes(_))));
        assert_eq!(Nas::decode(&[&[0x40], &encoded[1..]].concat()), Err(RowError::Unknown("flags")));
        assert_eq!(Nas::decode(&[&encoded[..], &[0xff]].concat()), Err(RowError::Name));
    }

    #[test]
    fn two_secrets_are_golden_and_the_one_that_proves_is_found() {
        let both = SharedSecrets { current: Secret::new(*b"new"), former: Some(Secret::new(*b"former")) };
        assert_eq!(hex::encode(both.join().expose()), "03006e6577666f726d6572");
        assert_eq!(SharedSecrets::split(both.join(), true), Ok(both.clone()));
        assert_eq!(SharedSecrets::split(Secret::new([9, 0, 1]), true), Err(RowError::Torn));
        let alone = SharedSecrets { current: Secret::new(*b"new"), former: None };
        assert_eq!(SharedSecrets::split(alone.join(), false), Ok(alone.clone()));
        let proof = |right: &'static [u8]| move |secret: &Secret| secret.expose() == right;
        assert_eq!(both.clone().prove(&true, proof(b"former")), (Secret::new(*b"former"), true));
        assert_eq!(both.clone().prove(&true, proof(b"new")), (Secret::new(*b"new"), true));
        assert_eq!((both.prove(&true, proof(b"x")).1, alone.prove(&true, proof(b"former")).1), (false, false));
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
