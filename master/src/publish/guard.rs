//! The publisher's guard: what would take much away is held until a person answers for it, or the data is put back.
//!
//! A slip of the hand on a zone must not silence a campus in milliseconds. The guard looks at what goes, and at nothing else:
//! it knows no actor and no table of the database. Up to [`Limits::rows`] lost rows pass unlooked at, so that ordinary edits
//! cost nothing; only above that are the zone's names or the subnet's machines counted.

use super::access::asks_of_machines;
use chrono::{DateTime, Utc};
use holdfast_proto::dhcp::table::RESERVATION;
use holdfast_proto::dns::{NODE, NodeRef};
use holdfast_proto::radius::{MACHINE, NAS};
use holdfast_proto::snapshot::{Change, Feed, Kind, Table, View};
use holdfast_proto::words::DomainName;
use ipnet::Ipv4Net;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// A subnet's key, with which the keys of its boot entries begin.
const SUBNET_KEY_BYTES: usize = 5;

/// What may go without a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many rows of a zone or subnet, whatever their share.
    pub rows: u64,
    /// So much of a zone or subnet, in percent.
    pub share_percent: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: 50, share_percent: 20 }
    }
}

/// What the guard says of a generation that is about to be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go out.
    Fine,
    /// It removes too much.
    Held {
        /// How many rows it removes, of all zones or subnets that lose too much.
        removed: u64,
        /// The same in a sentence.
        detail: String,
    },
}

/// A feed of which nothing is published for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Hold {
    /// The feed's name.
    pub feed: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What would go, in a sentence.
    pub detail: String,
    /// How many rows.
    pub removed: u64,
    /// Whether somebody lets it out: then the publisher is about to.
    pub released: bool,
    /// The newest key of the outbox that was looked at: what came later may yet put things right.
    #[serde(skip)]
    pub seen: i64,
}

/// Whose rows go and whose stay, together: a zone by its apex, a subnet by its key.
type Group = Vec<u8>;

/// Judges changes of a feed, each row at most once, by the state that they start from, which is in memory: none of its rows is
/// out of reach. Of zones that are copies of another server's nothing is asked: a copy that shrinks was held before it came here.
pub fn verdict(view: &View, changes: &[Change], copies: &BTreeSet<Group>, limits: Limits) -> Verdict {
    let mut lost: BTreeMap<Group, u64> = BTreeMap::new();
    let kind = view.feed().kind;
    for change in changes.iter().filter(|change| guarded(kind).contains(&change.table)) {
        let of = |value: &[u8]| group(kind, change.table, &change.key, value);
        let before = view.get(change.table, &change.key).ok().flatten().and_then(of);
        let after = change.value.as_deref().and_then(of);
        if let (Some(group), None) = (before, after) {
            *lost.entry(group).or_default() += 1;
        }
    }
    lost.retain(|group, lost| *lost > limits.rows && !(kind == Kind::Zone && copies.contains(group)));
    // Where no NAS asks of machines any more, all of them go, and somebody wished it.
    if lost.contains_key(MACHINES) && !asks_of_machines(view, &[]).unwrap_or(true) {
        lost.remove(MACHINES);
    }
    if lost.is_empty() {
        return Verdict::Fine;
    }
    let totals = totals(view, &lost);
    lost.retain(|group, lost| *lost * 100 > limits.share_percent * totals[group]);
    if lost.is_empty() {
        return Verdict::Fine;
    }
    let sentences: Vec<String> =
        lost.iter().map(|(group, lost)| format!("{} would lose {lost} of its {}", name(kind, group), of_its(kind, group, totals[group]))).collect();
    Verdict::Held { removed: lost.values().sum(), detail: format!("{}.", sentences.join("; ")) }
}

/// The group of all machines that NASs may ask of.
const MACHINES: &[u8] = b"machines";

/// The tables whose rows are counted.
fn guarded(kind: Kind) -> &'static [Table] {
    match kind {
        Kind::Zone => &[NODE],
        Kind::Bootptab => &[RESERVATION],
        Kind::Auth => &[NAS, MACHINE],
        Kind::Trust => &[],
    }
}

/// The group that a row counts for; `None` where it answers nobody, like a name without records.
fn group(kind: Kind, table: Table, key: &[u8], value: &[u8]) -> Option<Group> {
    match kind {
        Kind::Zone => {
            let node = NodeRef::new(value).ok().filter(|node| node.rrsets().next().is_some())?;
            Some(apex(key, usize::from(node.apex_labels))?.to_vec())
        }
        Kind::Bootptab => key.get(..SUBNET_KEY_BYTES).map(<[u8]>::to_vec),
        Kind::Auth if table == MACHINE => Some(MACHINES.to_vec()),
        Kind::Auth | Kind::Trust => Some(Group::new()),
    }
}

/// The last labels of a name in wire form.
fn apex(name: &[u8], labels: usize) -> Option<&[u8]> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while let Some(length) = name.get(at).filter(|length| **length > 0) {
        starts.push(at);
        at += 1 + usize::from(*length);
    }
    name.get(starts.len().checked_sub(labels).map_or(at, |first| starts.get(first).copied().unwrap_or(at))..)
}

/// How many rows these groups have.
fn totals(view: &View, groups: &BTreeMap<Group, u64>) -> BTreeMap<Group, u64> {
    let mut totals: BTreeMap<Group, u64> = groups.keys().map(|group| (group.clone(), 0)).collect();
    let kind = view.feed().kind;
    for table in guarded(kind) {
        for (key, value) in view.iter(*table).flatten() {
            if let Some(total) = group(kind, *table, key, value).and_then(|group| totals.get_mut(&group)) {
                *total += 1;
            }
        }
    }
    totals
}

fn name(kind: Kind, group: &[u8]) -> String {
    let known = match kind {
        Kind::Zone => DomainName::from_wire(group).map(|apex| format!("zone {}", apex.without_dot())),
        Kind::Bootptab => group
            .try_into()
            .ok()
            .and_then(|[length, a, b, c, d]: [u8; SUBNET_KEY_BYTES]| Some(format!("subnet {}", Ipv4Net::new(Ipv4Addr::new(a, b, c, d), length).ok()?))),
        Kind::Auth | Kind::Trust => Some("RADIUS".to_owned()),
    };
    known.unwrap_or_else(|| hex::encode(group))
}

fn of_its(kind: Kind, group: &[u8], total: u64) -> String {
    let what = match kind {
        Kind::Zone => "names",
        Kind::Bootptab => "boot entries",
        Kind::Auth if group == MACHINES => "machines",
        Kind::Auth | Kind::Trust => "NASs",
    };
    format!("{total} {what}")
}

/// The subjects of the outbox whose rows are of a feed.
pub fn subjects(feed: Feed) -> &'static [&'static str] {
    match feed {
        Feed::ZONE => &["name", "zone", "lent"],
        Feed::BOOTPTAB => &["subnet", "reservation"],
        Feed::ACCESS => &["nas", "machine"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::dns::{Node, Place, RrSet};
    use holdfast_proto::radius::{Nas, NasMachines, NasRights, nas_key};
    use holdfast_proto::snapshot::{DataKey, State};
    use proptest::prelude::*;

    fn host(n: u32, zone: &str) -> Vec<u8> {
        format!("h{n}.{zone}").parse::<DomainName>().unwrap().wire().to_vec()
    }

    fn node(with_records: bool) -> Vec<u8> {
        let rrsets = if with_records { vec![RrSet { rtype: 1, ttl: 60, rdatas: vec![vec![10, 1, 4, 7]] }] } else { vec![] };
        Node { place: Place::Inside, apex_labels: 2, rrsets }.encode()
    }

    fn zone(names: u32) -> View {
        let rows = (0..names).map(|n| Change::put(NODE, host(n, "uni.example"), node(true)));
        let other = (0..1000).map(|n| Change::put(NODE, host(n, "law.example"), node(true)));
        State::empty(Feed::ZONE).compose(rows.chain(other).collect()).unwrap().unwrap().into_view()
    }

    #[test]
    fn machines_are_counted_while_some_nas_asks_of_them() {
        let key = nas_key("10.1.4.20/32".parse().unwrap());
        let secret = DataKey::generate().unwrap().encrypt(NAS, &key, b"secret").unwrap();
        let nas = |machines: Option<NasMachines>| Nas {
            name: "annex".into(),
            secret: secret.clone(),
            require_message_authenticator: true,
            has_former_secret: false,
            rights: NasRights { machines, chap: false },
        };
        let view = |machines: Option<NasMachines>| {
            let rows = (0..300_u32).map(|n| Change::put(MACHINE, n.to_be_bytes().to_vec(), vec![0, 0]));
            let rows = rows.chain([Change::put(NAS, key.clone(), nas(machines).encode())]);
            State::empty(Feed::ACCESS).compose(rows.collect()).unwrap().unwrap().into_view()
        };
        let gone: Vec<Change> = (0..100_u32).map(|n| Change::delete(MACHINE, n.to_be_bytes().to_vec())).collect();
        let asks = view(Some(NasMachines { campus: "north".into(), guest_vlan: None }));
        let Verdict::Held { detail, .. } = verdict(&asks, &gone, &BTreeSet::new(), Limits::default()) else { panic!("it passes") };
        assert_eq!(detail, "RADIUS would lose 100 of its 300 machines.");
        assert_eq!(verdict(&view(None), &gone, &BTreeSet::new(), Limits::default()), Verdict::Fine, "somebody wished it");
    }

    #[test]
    fn a_third_of_a_zone_is_held_and_told_in_a_sentence() {
        let changes: Vec<Change> = (0..100).map(|n| Change::delete(NODE, host(n, "uni.example"))).collect();
        let Verdict::Held { removed, detail } = verdict(&zone(300), &changes, &BTreeSet::new(), Limits::default()) else { panic!("it passes") };
        assert_eq!((removed, detail.as_str()), (100, "zone uni.example would lose 100 of its 300 names."));
    }

    #[test]
    fn names_that_lose_all_their_records_count_as_lost() {
        let changes: Vec<Change> = (0..100).map(|n| Change::put(NODE, host(n, "uni.example"), node(false))).collect();
        assert_ne!(verdict(&zone(300), &changes, &BTreeSet::new(), Limits::default()), Verdict::Fine);
    }

    #[test]
    fn a_subnet_that_loses_its_machines_is_held() {
        let net: Ipv4Net = "10.1.4.0/22".parse().unwrap();
        let key = |n: u8| holdfast_proto::dhcp::table::reservation_key(net, 1, &[2, 0, 0, 0, 0, n]);
        let rows = (0..80).map(|n| Change::put(RESERVATION, key(n), b"a machine".as_slice()));
        let view = State::empty(Feed::BOOTPTAB).compose(rows.collect()).unwrap().unwrap().into_view();
        let changes: Vec<Change> = (0..60).map(|n| Change::delete(RESERVATION, key(n))).collect();
        let Verdict::Held { detail, .. } = verdict(&view, &changes, &BTreeSet::new(), Limits::default()) else { panic!("it passes") };
        assert_eq!(detail, "subnet 10.1.4.0/22 would lose 60 of its 80 boot entries.");
    }

    proptest! {
        /// Held is exactly what takes more than the rows and more than the share.
        #[test]
        fn what_is_held_is_more_than_the_rows_and_more_than_the_share(
            names in 1u32..200, lost in 0u32..200, added in 0u32..50, rows in 0u64..80, share_percent in 0u64..=100,
        ) {
            let lost = lost.min(names);
            let deleted = (0..lost).map(|n| Change::delete(NODE, host(n, "uni.example")));
            let new = (0..added).map(|n| Change::put(NODE, host(1000 + n, "uni.example"), node(true)));
            let found = verdict(&zone(names), &deleted.chain(new).collect::<Vec<_>>(), &BTreeSet::new(), Limits { rows, share_percent });
            let lost = u64::from(lost);
            let expected = lost > rows && lost * 100 > share_percent * u64::from(names);
            prop_assert_eq!(found != Verdict::Fine, expected);
        }

        #[test]
        fn what_adds_or_changes_is_never_held(names in 1u32..100, changed in 0u32..300) {
            let changes: Vec<Change> = (0..changed).map(|n| Change::put(NODE, host(n, "uni.example"), node(true))).collect();
            prop_assert_eq!(verdict(&zone(names), &changes, &BTreeSet::new(), Limits { rows: 0, share_percent: 0 }), Verdict::Fine);
        }
    }
}
