use crate::words::DomainName;

/// The longest name, RFC 1035 section 2.3.4.
const NAME_LIMIT_BYTES: usize = 255;
/// The most labels that fit into it: 127 of one byte each, and one more place for the root.
const STARTS_LIMIT: usize = 128;
/// The longest label; the two bits above it mean compression (RFC 1035 section 4.1.4).
const LABEL_LIMIT_BYTES: u8 = 63;

/// A name on the stack: lower case, with the starts of its labels, so that each of its ancestors is a slice.
///
/// [`DomainName`] is the word for names that are kept; this one lives as long as a packet.
#[derive(Clone)]
pub(super) struct Name {
    wire: [u8; NAME_LIMIT_BYTES],
    len: u8,
    starts: [u8; STARTS_LIMIT],
    labels: u8,
}

impl Name {
    /// Reads an uncompressed name at the start of `bytes`; [`Name::len`] says where it ends.
    /// `None` where it is torn, too long or compressed, which no question and no row may be.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut name = Self { wire: [0; NAME_LIMIT_BYTES], len: 0, starts: [0; STARTS_LIMIT], labels: 0 };
        let mut at = 0;
        loop {
            let label_len = *bytes.get(at)?;
            if label_len > LABEL_LIMIT_BYTES || at >= NAME_LIMIT_BYTES {
                return None;
            }
            name.starts[usize::from(name.labels)] = at as u8;
            at += 1 + usize::from(label_len);
            if label_len == 0 {
                break;
            }
            name.labels += 1;
        }
        // A length byte is at most 63 and no letter starts below 65, so the whole name is lowered at once.
        let wire = name.wire.get_mut(..at)?;
        wire.copy_from_slice(bytes.get(..at)?);
        wire.make_ascii_lowercase();
        name.len = at as u8;
        Some(name)
    }

    /// Bytes on the wire, with the root's.
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Labels, without the root.
    pub(super) fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// The ancestor that has this many labels, at most [`Name::labels`]; the name itself where it is as many.
    pub(super) fn ancestor(&self, labels: usize) -> &[u8] {
        &self.wire[self.start_of(labels)..self.len()]
    }

    /// Where in the wire form the ancestor with this many labels starts.
    pub(super) fn start_of(&self, labels: usize) -> usize {
        usize::from(self.starts[self.labels() - labels])
    }

    /// How many last labels two names share.
    pub(super) fn shared_labels(&self, other: &Self) -> usize {
        let most = self.labels().min(other.labels());
        (0..most).find(|&labels| self.label(labels) != other.label(labels)).unwrap_or(most)
    }

    /// The label that is this many from the right, with its length.
    pub(super) fn label(&self, from_right: usize) -> &[u8] {
        &self.wire[self.start_of(from_right + 1)..self.start_of(from_right)]
    }

    /// The same labels below another ancestor in place of the one that has this many labels. `None` where that is too long.
    pub(super) fn below(&self, labels: usize, ancestor: &Self) -> Option<Self> {
        let mut wire = [0; 2 * NAME_LIMIT_BYTES];
        let own = self.start_of(labels);
        wire[..own].copy_from_slice(&self.wire[..own]);
        wire[own..own + ancestor.len()].copy_from_slice(ancestor.ancestor(ancestor.labels()));
        Self::read(&wire[..own + ancestor.len()])
    }

    /// Calls `ask` with the wildcard below the ancestor that has this many labels, fewer than [`Name::labels`] (RFC 4592 section 2.1.1).
    pub(super) fn with_wildcard<T>(&self, labels: usize, ask: impl FnOnce(&[u8]) -> T) -> T {
        let encloser = self.ancestor(labels);
        let mut wildcard = [0; NAME_LIMIT_BYTES];
        wildcard[..2].copy_from_slice(&[1, b'*']);
        wildcard[2..2 + encloser.len()].copy_from_slice(encloser);
        ask(&wildcard[..2 + encloser.len()])
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&DomainName::from_wire(self.ancestor(self.labels())), f)
    }
}

#[cfg(test)]
mod tests {
    use super::Name;
    use crate::words::DomainName;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::read(text.parse::<DomainName>().unwrap().wire()).unwrap()
    }

    #[test]
    fn ancestors_are_slices() {
        let www = Name::read(b"\x03WwW\x03uni\x07Example\x00rest").unwrap();
        assert_eq!((www.len(), www.labels()), (17, 3));
        assert_eq!(www.ancestor(3), b"\x03www\x03uni\x07example\x00");
        assert_eq!(www.ancestor(1), b"\x07example\x00");
        assert_eq!(www.ancestor(0), b"\x00");
        assert_eq!(www.with_wildcard(1, <[u8]>::to_vec), b"\x01*\x07example\x00");
        assert_eq!(www.below(1, &name("a.b")).unwrap().ancestor(4), b"\x03www\x03uni\x01a\x01b\x00");
        assert_eq!(www.shared_labels(&name("ftp.uni.example")), 2);
        assert_eq!(www.shared_labels(&name("www.muni.example")), 1);
        assert_eq!(www.shared_labels(&name("uni.example")), 2);
        assert_eq!(www.shared_labels(&name(".")), 0);
    }

    #[test]
    fn torn_long_and_compressed_names_are_refused() {
        for bytes in [&b""[..], b"\x03ww", b"\x03www", b"\xc0\x0c", &[63; 300], &[&[1, b'x'].repeat(127)[..], b"\x01x\x00"].concat()] {
            assert!(Name::read(bytes).is_none(), "{bytes:?}");
        }
        let longest = [&[1, b'x'].repeat(127)[..], b"\x00"].concat();
        assert_eq!(Name::read(&longest).unwrap().labels(), 127);
    }

    proptest! {
        #[test]
        fn reads_what_domain_names_are_made_of(bytes in proptest::collection::vec(prop_oneof![4 => 0u8..4, 1 => any::<u8>()], 0..300)) {
            match Name::read(&bytes) {
                Some(name) => prop_assert_eq!(DomainName::from_wire(&bytes[..name.len()]), DomainName::from_wire(name.ancestor(name.labels()))),
                None => prop_assert!((0..=bytes.len()).all(|end| DomainName::from_wire(&bytes[..end]).is_none())),
            }
        }
    }
}
