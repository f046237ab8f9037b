//! The rows of the trust feed: our own boxes. A box that was thrown out keeps its row, so that its peers and the portal learn
//! of it from the same signed place as of those that are in.

use super::Table;
use crate::words::NodeId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The table of boxes: key = [`node_key`], value = [`Node`].
pub const NODE: Table = Table(1);
const VERSION: u8 = 1;
/// Names, keys and addresses of one box.
const ITEM_LIMIT_BYTES: usize = 255;

/// What a box does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeRole {
    /// It serves a campus.
    Agent = 1,
    /// It makes the people feed.
    Portal = 2,
}

/// Whether a box is one of ours still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeStatus {
    /// It is in.
    Active = 0,
    /// It was thrown out, for ever: a spare that takes its place is another box.
    Revoked = 1,
}

/// A box of the institution. `version u8 | role u8 | status u8`, then, each with its length before it (u8): name, campus,
/// HPKE public key; then a count (u8) of service addresses of 4 or 16 bytes, each with its length before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it does.
    pub role: NodeRole,
    /// Whether it is in.
    pub status: NodeStatus,
    /// Its name.
    pub name: String,
    /// The campus that it serves; empty for none.
    pub campus: String,
    /// What data keys are encrypted to.
    pub hpke_public: Vec<u8>,
    /// Where it answers.
    pub addresses: Vec<IpAddr>,
}

/// Bytes that are no [`Node`], or a node that fits no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the row of a box is damaged, too long or of an unknown version at \"{0}\"")]
pub struct RosterError(pub &'static str);

/// The key of a box's row.
pub fn node_key(node: NodeId) -> [u8; 16] {
    node.0
}

impl Node {
    /// The row's value. An error where a text or the list of addresses is longer than its length can say.
    pub fn encode(&self) -> Result<Vec<u8>, RosterError> {
        let mut out = vec![VERSION, self.role as u8, self.status as u8];
        put(&mut out, self.name.as_bytes(), "name")?;
        put(&mut out, self.campus.as_bytes(), "campus")?;
        put(&mut out, &self.hpke_public, "key")?;
        out.push(u8::try_from(self.addresses.len()).map_err(|_| RosterError("addresses"))?);
        for address in &self.addresses {
            match address {
                IpAddr::V4(v4) => put(&mut out, &v4.octets(), "addresses")?,
                IpAddr::V6(v6) => put(&mut out, &v6.octets(), "addresses")?,
            }
        }
        Ok(out)
    }

    /// Reads a row's value.
    pub fn decode(bytes: &[u8]) -> Result<Self, RosterError> {
        let mut rest = bytes;
        let [version, role, status] = take_fixed(&mut rest, "version")?;
        let role = [NodeRole::Agent, NodeRole::Portal].into_iter().find(|known| *known as u8 == role).ok_or(RosterError("role"))?;
        let status = [NodeStatus::Active, NodeStatus::Revoked].into_iter().find(|known| *known as u8 == status).ok_or(RosterError("status"))?;
        if version != VERSION {
            return Err(RosterError("version"));
        }
        let (name, campus) = (text(&mut rest, "name")?, text(&mut rest, "campus")?);
        let hpke_public = take(&mut rest, "key")?.to_vec();
        let [count] = take_fixed(&mut rest, "addresses")?;
        let addresses = (0..count).map(|_| address(take(&mut rest, "addresses")?)).collect::<Result<_, _>>()?;
        if rest.is_empty() { Ok(Self { role, status, name, campus, hpke_public, addresses }) } else { Err(RosterError("its end")) }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8], at: &'static str) -> Result<(), RosterError> {
    if bytes.len() > ITEM_LIMIT_BYTES {
        return Err(RosterError(at));
    }
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
    Ok(())
}

fn take_fixed<const N: usize>(rest: &mut &[u8], at: &'static str) -> Result<[u8; N], RosterError> {
    let (head, tail) = rest.split_first_chunk().ok_or(RosterError(at))?;
    *rest = tail;
    Ok(*head)
}

fn take<'a>(rest: &mut &'a [u8], at: &'static str) -> Result<&'a [u8], RosterError> {
    let [len] = take_fixed(rest, at)?;
    let (head, tail) = rest.split_at_checked(usize::from(len)).ok_or(RosterError(at))?;
    *rest = tail;
    Ok(head)
}

fn text(rest: &mut &[u8], at: &'static str) -> Result<String, RosterError> {
    String::from_utf8(take(rest, at)?.to_vec()).map_err(|_| RosterError(at))
}

fn address(bytes: &[u8]) -> Result<IpAddr, RosterError> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    v4.or(v6).map_err(|_| RosterError("addresses"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Node {
        Node {
            role: NodeRole::Agent,
            status: NodeStatus::Revoked,
            name: "north".to_owned(),
            campus: "north".to_owned(),
            hpke_public: vec![0xab; 32],
            addresses: vec!["10.1.4.2".parse().unwrap(), "2001:db8::2".parse().unwrap()],
        }
    }

    #[test]
    fn the_row_of_a_box_is_golden() {
        assert_eq!(hex::encode(sample().encode().unwrap()), include_str!("golden/node.hex").trim());
    }

    #[test]
    fn a_cut_or_longer_row_is_refused() {
        let whole = sample().encode().unwrap();
        assert_eq!(Node::decode(&whole), Ok(sample()));
        for cut in 0..whole.len() {
            assert!(Node::decode(&whole[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Node::decode(&[&whole[..], &[0]].concat()).is_err());
        assert!(Node { name: "n".repeat(256), ..sample() }.encode().is_err());
    }

    proptest! {
        #[test]
        fn whatever_reads_as_a_box_was_written_as_one(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(node) = Node::decode(&bytes) {
                prop_assert_eq!(node.encode().unwrap(), bytes);
            }
        }
    }
}
