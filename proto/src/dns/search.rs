//! What a view has for a name: RFC 1034 section 4.3.2, with wildcards (RFC 4592) and DNAME (RFC 6672).
//!
//! An existing name costs one probe; a missing one a probe per label up to its closest encloser, one for the wildcard, and one among
//! the names of leased machines, which fill the gaps between ours and hide none.

use super::lent::lent_node;
use super::name::Name;
use super::reply::Stop;
use super::{NODE, NodeRef, Place, rtype};
use crate::snapshot::View;

/// What the view has for a name.
pub(super) enum Found<'v> {
    /// It lies in no zone of ours.
    Outside,
    /// It lies in the zone whose apex has this many of its labels, and does not exist; so many of its labels do.
    Missing { apex_labels: usize, encloser_labels: usize },
    /// Its last labels, this many, are another's.
    Delegated { cut_labels: usize, node: NodeRef<'v> },
    /// All below its last labels, this many, is somewhere else.
    Redirected { row: &'v [u8], node: NodeRef<'v>, labels: usize },
    /// It exists, or the wildcard below so many of its labels stands for it.
    Here { row: &'v [u8], node: NodeRef<'v>, apex_labels: usize, wildcard_below: Option<usize> },
}

pub(super) fn find<'v>(view: &'v View, name: &Name, qtype: u16) -> Result<Found<'v>, Stop> {
    let labels = name.labels();
    let Some((row, node)) = node_at(view, name.ancestor(labels))? else { return find_lent(view, name, find_encloser(view, name)?) };
    match node.place {
        Place::Inside => here(name, row, node),
        Place::Apex if qtype == rtype::DS => Ok(Found::Here { row, node, apex_labels: parent_zone(view, name)?.unwrap_or(labels), wildcard_below: None }),
        Place::Apex => here(name, row, node),
        // The parent answers for DS (RFC 4035 section 3.1.4.1).
        Place::Cut if qtype == rtype::DS => here(name, row, node),
        Place::Cut => Ok(Found::Delegated { cut_labels: labels, node }),
        Place::BelowCut => cut_above(view, name, labels),
    }
}

fn here<'v>(name: &Name, row: &'v [u8], node: NodeRef<'v>) -> Result<Found<'v>, Stop> {
    Ok(Found::Here { row, node, apex_labels: checked_apex(node, name.labels())?, wildcard_below: None })
}

/// The apex of a node that has this many labels; it never has more than the node.
pub(super) fn checked_apex(node: NodeRef<'_>, labels: usize) -> Result<usize, Stop> {
    Some(usize::from(node.apex_labels)).filter(|apex_labels| *apex_labels <= labels).ok_or(Stop::Damaged)
}

/// A name that is missing, or that a wildcard stands for, may be a leased machine's.
fn find_lent<'v>(view: &'v View, name: &Name, found: Found<'v>) -> Result<Found<'v>, Stop> {
    let (Found::Missing { apex_labels, .. } | Found::Here { apex_labels, .. }) = found else { return Ok(found) };
    let Some(lent) = lent_node(view, name.ancestor(name.labels()))? else { return Ok(found) };
    // A zone that proves what is not there proves that this is not: its answers stand, and whoever validates believes them.
    let apex = node_at(view, name.ancestor(apex_labels))?;
    let is_signed = apex.is_none_or(|(_, apex)| apex.rrset(rtype::DNSKEY).map_or(true, |keys| keys.is_some()));
    Ok(Some(lent).filter(|_| !is_signed).map_or(found, |(row, node)| Found::Here { row, node, apex_labels, wildcard_below: None }))
}

/// For a name without a row: its closest encloser decides (RFC 4592 section 3.3.1).
fn find_encloser<'v>(view: &'v View, name: &Name) -> Result<Found<'v>, Stop> {
    for labels in (0..name.labels()).rev() {
        let Some((row, node)) = node_at(view, name.ancestor(labels))? else { continue };
        return match node.place {
            Place::Inside | Place::Apex if node.rrset(rtype::DNAME)?.is_some() => Ok(Found::Redirected { row, node, labels }),
            Place::Inside | Place::Apex => find_wildcard(view, name, labels, checked_apex(node, labels)?),
            Place::Cut => Ok(Found::Delegated { cut_labels: labels, node }),
            Place::BelowCut => cut_above(view, name, labels),
        };
    }
    Ok(Found::Outside)
}

fn find_wildcard<'v>(view: &'v View, name: &Name, encloser_labels: usize, apex_labels: usize) -> Result<Found<'v>, Stop> {
    let wildcard = name.with_wildcard(encloser_labels, |wildcard| node_at(view, wildcard))?;
    // A wildcard that is a zone of its own is not the source of this zone's names.
    let source = wildcard.filter(|(_, node)| node.place != Place::Apex);
    let here = |(row, node)| Found::Here { row, node, apex_labels, wildcard_below: Some(encloser_labels) };
    Ok(source.map_or(Found::Missing { apex_labels, encloser_labels }, here))
}

/// What hides a name that is there: the delegation above glue, or a DNAME.
fn cut_above<'v>(view: &'v View, name: &Name, labels: usize) -> Result<Found<'v>, Stop> {
    for labels in (0..labels).rev() {
        match node_at(view, name.ancestor(labels))? {
            Some((_, node)) if node.place == Place::Cut => return Ok(Found::Delegated { cut_labels: labels, node }),
            Some((row, node)) if node.place != Place::BelowCut && node.rrset(rtype::DNAME)?.is_some() => {
                return Ok(Found::Redirected { row, node, labels });
            }
            _ => {}
        }
    }
    Err(Stop::Damaged)
}

/// The apex of the zone of ours above an apex, where that zone still holds the name's parent.
fn parent_zone(view: &View, name: &Name) -> Result<Option<usize>, Stop> {
    for labels in (0..name.labels()).rev() {
        if let Some((_, node)) = node_at(view, name.ancestor(labels))? {
            let holds = matches!(node.place, Place::Inside | Place::Apex) && node.rrset(rtype::DNAME)?.is_none();
            return if holds { checked_apex(node, labels).map(Some) } else { Ok(None) };
        }
    }
    Ok(None)
}

#[inline]
pub(super) fn node_at<'v>(view: &'v View, name: &[u8]) -> Result<Option<(&'v [u8], NodeRef<'v>)>, Stop> {
    let Some(row) = view.get(NODE, name).map_err(|_| Stop::Damaged)? else { return Ok(None) };
    Ok(Some((row, NodeRef::new(row)?)))
}
