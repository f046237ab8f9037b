use crate::words::{DomainName, UnixMillis};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// With a name in DNS.
const NAMED: u8 = 3;
/// Without one.
const NAMELESS: u8 = 2;
/// Without `told`.
const WITHOUT_TOLD: u8 = 1;
/// Longer names are cut: they are for people.
pub(super) const NAME_LIMIT_BYTES: usize = 63;

/// What became of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Its client has it until it ends.
    Active = 0,
    /// Its client gave it back, and gets it again if it is still free.
    Released = 1,
    /// Somebody else uses it, says a client; until then it is lent to nobody.
    Declined = 2,
    /// An administrator ended it. Its client may not know and use it until then; so long it is lent to nobody.
    Withdrawn = 3,
}

/// One address and its client; also the record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What became of it.
    pub state: LeaseState,
    /// The subnet.
    pub net: Ipv4Net,
    /// The address.
    pub address: Ipv4Addr,
    /// When that came about.
    pub at: UnixMillis,
    /// When the lease or the quarantine ends; of a released one, when it was released.
    pub until: UnixMillis,
    /// See [`super::client_of`].
    pub client: Vec<u8>,
    /// Its hardware type.
    pub htype: u8,
    /// Its hardware address.
    pub chaddr: Vec<u8>,
    /// What it calls itself, cut.
    pub host_name: Vec<u8>,
    /// `at` for people: the time that leases run by may be late.
    pub told: UnixMillis,
    /// What DNS calls it while it is lent.
    pub name: Option<DomainName>,
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the lease log is damaged or of a newer build")]
pub struct RecordError;

impl Lease {
    /// `version u8 | state u8 | prefix length u8 | address | at u64 | until u64 | told u64`, then, each with its length (u8) before it, client,
    /// hardware address (its type before the length), what it calls itself and, where it has one, its name in wire form. Little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.name.is_some() { NAMED } else { NAMELESS }, self.state as u8, self.net.prefix_len()];
        out.extend_from_slice(&self.address.octets());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&self.until.0.to_le_bytes());
        out.extend_from_slice(&self.told.0.to_le_bytes());
        put(&self.client, &mut out);
        out.push(self.htype);
        put(&self.chaddr, &mut out);
        put(&self.host_name[..self.host_name.len().min(NAME_LIMIT_BYTES)], &mut out);
        self.name.iter().for_each(|name| put(name.wire(), &mut out));
        out
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let ([version, state, prefix_len, a, b, c, d], rest) = bytes.split_first_chunk().ok_or(RecordError)?;
        let (at, rest) = rest.split_first_chunk().ok_or(RecordError)?;
        let (until, mut rest) = rest.split_first_chunk().ok_or(RecordError)?;
        let mut told = at;
        if *version != WITHOUT_TOLD {
            (told, rest) = rest.split_first_chunk().ok_or(RecordError)?;
        }
        let state = [LeaseState::Active, LeaseState::Released, LeaseState::Declined, LeaseState::Withdrawn].get(usize::from(*state)).copied();
        let address = Ipv4Addr::new(*a, *b, *c, *d);
        let client = take(&mut rest)?;
        let (htype, mut rest) = rest.split_first().ok_or(RecordError)?;
        let (chaddr, host_name) = (take(&mut rest)?, take(&mut rest)?);
        let name = if *version == NAMED { Some(DomainName::from_wire(take(&mut rest)?).ok_or(RecordError)?) } else { None };
        if ![WITHOUT_TOLD, NAMELESS, NAMED].contains(version) || !rest.is_empty() {
            return Err(RecordError);
        }
        Ok(Self {
            state: state.ok_or(RecordError)?,
            net: Ipv4Net::new(address, *prefix_len).map_err(|_| RecordError)?.trunc(),
            address,
            at: UnixMillis(u64::from_le_bytes(*at)),
            until: UnixMillis(u64::from_le_bytes(*until)),
            client: client.to_vec(),
            htype: *htype,
            chaddr: chaddr.to_vec(),
            host_name: host_name.to_vec(),
            told: UnixMillis(u64::from_le_bytes(*told)),
            name,
        })
    }
}

/// All texts of a record have at most [`super::CLIENT_LIMIT_BYTES`] and one.
fn put(text: &[u8], out: &mut Vec<u8>) {
    let text = &text[..text.len().min(usize::from(u8::MAX))];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], RecordError> {
    let (len, behind) = rest.split_first().ok_or(RecordError)?;
    let (text, behind) = behind.split_at_checked(usize::from(*len)).ok_or(RecordError)?;
    *rest = behind;
    Ok(text)
}
