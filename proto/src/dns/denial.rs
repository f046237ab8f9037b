//! Rows that prove what is not there: NSEC (RFC 4034 section 4), in the order of the zone.
//!
//! Why a table of their own: the gap that a missing name falls into is found by neighbourhood. And at the top of a zone whose parent is
//! ours, too, stand two of them, the parent's and the child's; so a row's key begins with whose it is.
//!
//! ```text
//! key    apex_labels u8 | label 0x00 | label 0x00 ...     labels from the right; in each, 0x00 is 0x01 0x01 and 0x01 is 0x01 0x02
//! value  a Node with the sets NSEC and RRSIG, its place Inside
//! ```
//!
//! Keys ascend as names do in RFC 4034 section 6.1.

use super::NodeRef;
use super::name::Name;
use super::reply::Stop;
use crate::snapshot::{Table, View};
use crate::words::DomainName;

/// What is not there. Key: [`denial_key`]. Value: a [`Node`](super::Node).
pub const DENIAL: Table = Table(128);

/// The longest name, every byte of which is escaped, and what stands before it.
const KEY_LIMIT_BYTES: usize = 2 * 255 + 1;

/// The key of a name's denial row in the zone whose apex has this many labels.
pub fn denial_key(apex_labels: u8, owner: &DomainName) -> Vec<u8> {
    let name = Name::read(owner.wire()).expect("a DomainName is a name");
    Key::of(usize::from(apex_labels), &name, name.labels()).bytes().to_vec()
}

/// A key on the stack.
struct Key {
    bytes: [u8; KEY_LIMIT_BYTES],
    len: usize,
}

impl Key {
    /// Of the ancestor of a name that has this many labels.
    fn of(apex_labels: usize, name: &Name, labels: usize) -> Self {
        let mut key = Self { bytes: [0; KEY_LIMIT_BYTES], len: 0 };
        key.push(apex_labels as u8);
        (0..labels).for_each(|from_right| key.push_label(&name.label(from_right)[1..]));
        key
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn push_label(&mut self, label: &[u8]) {
        for byte in label {
            if *byte <= 1 {
                self.push(1);
            }
            self.push(if *byte <= 1 { byte + 1 } else { *byte });
        }
        self.push(0);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The name of a key, in wire form. `None` where it is no key.
pub(super) fn owner_of(key: &[u8]) -> Option<DomainName> {
    let mut labels: Vec<Vec<u8>> = Vec::new();
    let (mut label, mut bytes) = (Vec::new(), key.get(1..)?.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            0 => labels.push(std::mem::take(&mut label)),
            1 => label.push(bytes.next()?.checked_sub(1)?),
            other => label.push(*other),
        }
    }
    let mut wire = Vec::with_capacity(key.len());
    for label in labels.iter().rev() {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    DomainName::from_wire(&wire).filter(|_| label.is_empty())
}

/// A denial row: whose, and what.
pub(super) struct Gap<'v> {
    /// The name that it begins with.
    pub(super) owner: DomainName,
    /// NSEC and its signatures.
    pub(super) node: NodeRef<'v>,
    /// Which row: the same for one that is come upon twice.
    pub(super) identity: *const u8,
}

/// The gap of a zone that a name falls into, or that begins with it. `None` where the zone has none, because it is not signed.
///
/// Of the name that has `labels` of `name`'s last labels; with `wildcard`, of the wildcard below that.
pub(super) fn gap<'v>(view: &'v View, apex_labels: usize, name: &Name, labels: usize, wildcard: bool) -> Result<Option<Gap<'v>>, Stop> {
    let mut key = Key::of(apex_labels, name, labels);
    if wildcard {
        key.push_label(b"*");
    }
    let apex = Key::of(apex_labels, name, apex_labels);
    let Some((found, row)) = view.floor(DENIAL, key.bytes()).map_err(|_| Stop::Damaged)? else { return Ok(None) };
    if !found.starts_with(apex.bytes()) {
        return Ok(None);
    }
    let owner = owner_of(found).ok_or(Stop::Damaged)?;
    Ok(Some(Gap { owner, node: NodeRef::new(row)?, identity: row.as_ptr() }))
}

/// The gap that begins with a name.
pub(super) fn gap_at<'v>(view: &'v View, apex_labels: usize, name: &Name) -> Result<Option<Gap<'v>>, Stop> {
    let found = gap(view, apex_labels, name, name.labels(), false)?;
    Ok(found.filter(|gap| gap.owner.wire() == name.ancestor(name.labels())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &str) -> Vec<u8> {
        denial_key(1, &name.parse().unwrap())
    }

    #[test]
    fn keys_are_golden_and_ascend_as_rfc_4034_has_it() {
        assert_eq!(hex::encode(denial_key(2, &"www.uni.example".parse().unwrap())), "026578616d706c6500756e690077777700");
        let order =
            ["example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example", "\\001.z.example", "*.z.example", "\\200.z.example"];
        assert!(order.windows(2).all(|pair| key(pair[0]) < key(pair[1])), "RFC 4034 section 6.1");
    }

    proptest! {
        #[test]
        fn a_key_has_one_name_and_ancestors_are_prefixes(labels in proptest::collection::vec(proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 1..20), 0..6)) {
            let wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).chain([0]).collect();
            let name = DomainName::from_wire(&wire).unwrap();
            let key = denial_key(0, &name);
            prop_assert_eq!(owner_of(&key), Some(name.clone()));
            if let Some(parent) = name.parent() {
                prop_assert!(key.starts_with(&denial_key(0, &parent)));
            }
        }

        #[test]
        fn bytes_that_are_no_key_are_no_name_or_one_of_the_same_key(bytes in proptest::collection::vec(0u8..5, 0..30)) {
            if let Some(name) = owner_of(&bytes) {
                prop_assert!(denial_key(bytes[0], &name).len() <= bytes.len());
            }
        }
    }
}
