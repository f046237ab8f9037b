//! Cutting a round: what the rows of one moment make of what is published. Nothing here touches the database.

use super::compose::{ComposedRow, raise_serial};
use super::guard::{Limits, Verdict, verdict};
use super::latest::{Frame, Latest, is_large};
use crate::db::zones::{ZoneIndex, ZoneRow};
use crate::keys::Keys;
use holdfast_proto::dns::{NODE, Node, Place, RrSet, ZONE, rtype};
use holdfast_proto::snapshot::{Change, Damaged, Draft, Feed, Stamp, State, View};
use holdfast_proto::words::{DomainName, Serial, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// After how long without a sign of life people are told; see the manifest.
const SOFT_AGE_S: u32 = 3600;

/// What a round may do that others may not: feeds that somebody let out, and how many rows of each they answered for.
pub(super) type Released = BTreeMap<Feed, u64>;

/// What came of cutting.
pub(super) enum Cut {
    /// What is published next, and which feeds have a new generation.
    Next {
        /// The new state of everything.
        next: Latest,
        /// The feeds with a generation more.
        feeds: Vec<Feed>,
    },
    /// The guard holds a feed: nothing of the round may be kept.
    Held {
        /// Which.
        feed: Feed,
        /// How many rows would go.
        removed: u64,
        /// What would go, in a sentence.
        detail: String,
    },
}

/// Raises the serial of every zone in which a row is not as it was published; gives the new ones and adds their rows.
pub(super) fn raise_serials(rows: &mut Vec<ComposedRow>, zones: &ZoneIndex, latest: &Latest) -> Result<Vec<(i64, DomainName, Serial)>, Damaged> {
    let changed = rows.iter().filter(|row| latest.state(row.feed).view().get(row.change.table, &row.change.key) != Ok(row.change.value.as_deref()));
    let changed: Vec<&ComposedRow> = changed.collect();
    let mut ids: BTreeSet<i64> = changed.iter().filter_map(|row| row.zone).collect();
    for row in changed.iter().filter(|row| row.feed == Feed::ZONE) {
        ids.extend(delegating_zone(&row.change, zones, latest.state(Feed::ZONE).view())?);
    }
    let mut raised = Vec::new();
    for zone in ids.into_iter().filter_map(|id| zones.with_id(id)) {
        let key = zone.apex.wire();
        let composed = rows.iter().rev().find(|row| row.feed == Feed::ZONE && row.change.table == NODE && row.change.key == key);
        let apex = match composed {
            Some(row) => row.change.value.clone(),
            None => latest.state(Feed::ZONE).view().get(NODE, key)?.map(<[u8]>::to_vec),
        };
        let (serial, more) = raise_serial(zone, apex);
        raised.push((zone.id, zone.apex.clone(), serial));
        rows.extend(more);
    }
    Ok(raised)
}

/// The zone whose delegation of a zone below it this row changes: whoever has the upper zone alone is to hear of it. Nothing where
/// another server says what the upper zone has.
fn delegating_zone(change: &Change, zones: &ZoneIndex, view: &View) -> Result<Option<i64>, Damaged> {
    let before = view.get(change.table, &change.key)?;
    let Some(name) = DomainName::from_wire(&change.key) else { return Ok(None) };
    let delegated = match change.table {
        // It comes, or it goes.
        ZONE if before.is_some() != change.value.is_some() => name,
        NODE => {
            let nodes = [before, change.value.as_deref()].map(|row| row.and_then(|row| Node::decode(row).ok()));
            let differ = |types: &[u16]| sets(&nodes[0], types) != sets(&nodes[1], types);
            let is_apex = nodes.iter().flatten().any(|node| node.place == Place::Apex);
            match zones.of(&name) {
                _ if is_apex && differ(&[rtype::NS, rtype::DS]) => name,
                Some(zone) if differ(&[rtype::A, rtype::AAAA]) && is_server(&name, zone, view)? => zone.apex.clone(),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    Ok(delegated.parent().and_then(|parent| zones.of(&parent)).filter(|zone| !zone.source.is_copy()).map(|zone| zone.id))
}

fn sets(node: &Option<Node>, types: &[u16]) -> Vec<RrSet> {
    node.iter().flat_map(|node| &node.rrsets).filter(|set| types.contains(&set.rtype)).cloned().collect()
}

/// Whether a name is one of the servers of its zone, as published.
fn is_server(name: &DomainName, zone: &ZoneRow, view: &View) -> Result<bool, Damaged> {
    let apex = view.get(NODE, zone.apex.wire())?.and_then(|row| Node::decode(row).ok());
    Ok(sets(&apex, &[rtype::NS]).iter().flat_map(|set| &set.rdatas).any(|server| server == name.wire()))
}

/// Cuts and seals a generation of every feed that really changes, unless the guard holds one. Of copies, by the wire form of their
/// apexes, the guard asks nothing.
pub(super) fn cut(
    keys: &Keys,
    latest: &Latest,
    rows: Vec<ComposedRow>,
    copies: &BTreeSet<Vec<u8>>,
    limits: Limits,
    released: &Released,
) -> anyhow::Result<Cut> {
    let (mut next, mut feeds) = (latest.clone(), Vec::new());
    for (feed, changes) in by_feed(rows) {
        let state = latest.state(feed);
        let mut overridden = false;
        if let Verdict::Held { removed, detail } = verdict(state.view(), &changes, copies, limits) {
            // What somebody answered for, and what passes without a question.
            overridden = released.get(&feed).is_some_and(|answered| removed <= answered + limits.rows);
            if !overridden {
                return Ok(Cut::Held { feed, removed, detail });
            }
        }
        if let Some(draft) = state.compose(changes)? {
            let (frame, state) = seal(keys, draft)?;
            let needs_canary = overridden || is_large(&frame.payload);
            next = next.with(Frame { needs_canary, ..frame }, state);
            feeds.push(feed);
        }
    }
    Ok(Cut::Next { next, feeds })
}

/// The wishes of each feed, each row once: of several the last one counts. What no agent could keep is left out.
fn by_feed(rows: Vec<ComposedRow>) -> BTreeMap<Feed, Vec<Change>> {
    let mut wishes: BTreeMap<Feed, BTreeMap<(holdfast_proto::snapshot::Table, Vec<u8>), Change>> = BTreeMap::new();
    for row in rows {
        if let Err(wrong) = row.change.fits() {
            // One row that no agent could keep must not keep all the others from being published.
            tracing::error!(event = "row_too_large", feed = %row.feed, %wrong, "a row is left as it was published: make it smaller");
            continue;
        }
        wishes.entry(row.feed).or_default().insert((row.change.table, row.change.key.clone()), row.change);
    }
    wishes.into_iter().map(|(feed, changes)| (feed, changes.into_values().collect())).collect()
}

/// Seals a composed generation under the newest trust.
pub(super) fn seal(keys: &Keys, draft: Draft) -> anyhow::Result<(Frame, State)> {
    let trust = keys.trust.draft();
    let stamp = Stamp { institution: trust.institution, epoch: trust.epoch, issued_at: now(), soft_age_s: SOFT_AGE_S, hard_age_s: 0 };
    let (sealed, payload, state) = draft.seal(&keys.signing, stamp)?;
    // What the manifest says is what goes out: the first generation of an epoch has no parent.
    let parent = sealed.claims()?.parent;
    let generation = state.view().generation();
    Ok((Frame { parent, epoch: trust.epoch, generation, sealed: sealed.bytes().to_vec(), payload, needs_canary: false }, state))
}

fn now() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::zones::Source;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn zone(id: i64, apex: &str, source: Source) -> ZoneRow {
        let (apex, primary_ns, mailbox) = (name(apex), name("ns.uni.example"), name("hostmaster.uni.example"));
        ZoneRow {
            id,
            apex,
            network: None,
            primary_ns,
            mailbox,
            refresh: 1,
            retry: 2,
            expire: 3,
            minimum: 4,
            ttl: 5,
            department: None,
            publish_hinfo: false,
            publish_rp: false,
            version: 1,
            serial: Serial(7),
            primaries: vec![],
            transfers: vec![],
            source,
        }
    }

    fn node(place: Place, labels: u8, sets: &[(u16, &[u8])]) -> Vec<u8> {
        let rrsets = sets.iter().map(|(rtype, rdata)| RrSet { rtype: *rtype, ttl: 60, rdatas: vec![rdata.to_vec()] }).collect();
        Node { place, apex_labels: labels, rrsets }.encode()
    }

    /// Who has the upper zone alone learns of a delegation by its serial and by nothing else.
    #[test]
    fn a_zone_rises_with_what_delegates_the_zones_below_it() {
        let server = name("ns.cs.uni.example");
        let top = node(Place::Apex, 3, &[(rtype::NS, server.wire())]);
        let rows = vec![
            Change::put(ZONE, name("cs.uni.example").wire(), [0, 0, 0, 1]),
            Change::put(NODE, name("cs.uni.example").wire(), top.clone()),
            Change::put(NODE, server.wire(), node(Place::Inside, 3, &[(rtype::A, &[10, 1, 1, 1])])),
        ];
        let view = State::empty(Feed::ZONE).compose(rows).unwrap().unwrap().into_view();
        let raised = |source, change: Change| {
            let zones = ZoneIndex::new(vec![zone(1, "uni.example", source), zone(2, "cs.uni.example", Source::Own)]);
            delegating_zone(&change, &zones, &view).unwrap()
        };
        let put = |owner: &str, value: Vec<u8>| Change::put(NODE, name(owner).wire(), value);
        let moved = node(Place::Inside, 3, &[(rtype::A, &[10, 1, 1, 2])]);
        assert_eq!(raised(Source::Own, put("cs.uni.example", node(Place::Apex, 3, &[(rtype::NS, name("ns2.uni.example").wire())]))), Some(1));
        assert_eq!(raised(Source::Own, put("ns.cs.uni.example", moved.clone())), Some(1), "glue");
        assert_eq!(raised(Source::Own, put("www.cs.uni.example", moved.clone())), None, "no server");
        assert_eq!(raised(Source::Own, put("cs.uni.example", top)), None, "as it was");
        assert_eq!(raised(Source::Own, Change::delete(ZONE, name("cs.uni.example").wire())), Some(1), "the zone goes");
        assert_eq!(raised(Source::Copy, put("ns.cs.uni.example", moved)), None, "another server says what the upper zone has");
    }
}
