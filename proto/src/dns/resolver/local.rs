//! Which names are ours, asked before any row is looked for: a foreign name shall not cost a probe for each of its labels.

use crate::dns::ZONE;
use crate::dns::name::Name;
use crate::dns::rtype;
use crate::snapshot::View;
use crate::words::{Epoch, Generation};
use hashbrown::HashSet;

/// The zones of one generation.
#[derive(Debug, Clone)]
pub struct LocalZones {
    of: (Epoch, Generation),
    apexes: HashSet<Box<[u8]>, foldhash::fast::RandomState>,
    /// A bit for each number of labels that an apex has.
    label_counts: u128,
}

impl LocalZones {
    /// Those of this view. A row that is damaged is none.
    pub fn of(view: &View) -> Self {
        let mut zones = Self { of: (view.epoch(), view.generation()), apexes: HashSet::default(), label_counts: 0 };
        for (apex, _) in view.iter(ZONE).filter_map(Result::ok) {
            if let Some(name) = Name::read(apex) {
                zones.label_counts |= 1 << name.labels();
                zones.apexes.insert(apex.into());
            }
        }
        zones
    }

    /// Whether these are the zones of this view.
    pub fn is_of(&self, view: &View) -> bool {
        self.of == (view.epoch(), view.generation())
    }

    /// Whether a question is ours to answer: its name lies in one of our zones; of DS it is the name above that has to (RFC 4035
    /// section 3.1.4.1).
    #[inline]
    pub(super) fn hold(&self, name: &Name, qtype: u16) -> bool {
        let labels = if qtype == rtype::DS { name.labels().saturating_sub(1) } else { name.labels() };
        (0..=labels).rev().any(|labels| self.label_counts >> labels & 1 == 1 && self.apexes.contains(name.ancestor(labels)))
    }
}
