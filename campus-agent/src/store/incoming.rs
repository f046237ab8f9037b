//! A whole snapshot on its way into the store: block by block, each checked against the head that a manifest vouches for. What a
//! transfer that breaks off has brought so far is `uplink`'s to keep.

use holdfast_proto::snapshot::{ApplyError, Base, Damaged, Head, Opened, State};

/// A snapshot of which some blocks have arrived.
#[derive(Debug)]
pub struct Incoming {
    opened: Opened,
    head: Head,
    /// Whether a manifest names the head; otherwise its rows are proven at the end.
    is_named: bool,
    blocks: Vec<Vec<u8>>,
}

impl Incoming {
    /// `None` where the head is damaged or of another snapshot than a manifest names.
    pub(super) fn begin(opened: Opened, newest: Option<Opened>, head: &[u8]) -> Option<Self> {
        let head = Head::decode(head).ok()?;
        let manifest = opened.manifest();
        let is_of_manifest = head.feed == manifest.feed && (head.epoch, head.generation) == (manifest.epoch, manifest.generation);
        let is_named = newest.is_some_and(|newest| newest.manifest().base_generation == head.generation && newest.manifest().base_root == head.root());
        if !is_of_manifest || head.sum.fold() != manifest.digest {
            return None;
        }
        Some(Self { opened, head, is_named, blocks: Vec::new() })
    }

    /// The first block that has not arrived; the number of blocks when all have.
    pub fn first_missing(&self) -> usize {
        self.blocks.len()
    }

    /// Whether all blocks have arrived.
    pub fn is_complete(&self) -> bool {
        self.blocks.len() == self.head.blocks.len()
    }

    /// Takes the next missing block.
    pub fn put(&mut self, block: Vec<u8>) -> Result<(), Damaged> {
        let mark = self.head.blocks.get(self.blocks.len()).ok_or(Damaged)?;
        if !mark.is_of(&block) {
            return Err(Damaged);
        }
        self.blocks.push(block);
        Ok(())
    }

    /// The state, proven.
    pub(super) fn finish(self) -> Result<State, ApplyError> {
        let base = Base::from_blocks(self.head, self.blocks)?;
        if !self.is_named {
            let (found, signed) = (base.audit()?.fold(), self.opened.manifest().digest);
            if found != signed {
                return Err(ApplyError::OtherDigest { found, signed });
            }
        }
        State::of_base(&self.opened, base)
    }
}
