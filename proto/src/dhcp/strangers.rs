//! Machines that nobody registered, as an agent sees them: what a person needs to know to register one.
//!
//! Why it exists: static first means that an unknown machine gets nothing, and then somebody must hear of it. What it refuses: to be
//! a way to flood the master, or this box. So many machines are remembered, so many told of in a minute, and that there were more is
//! told as a number. How: a machine is told of when it is first seen, and again while it still asks.

use super::code;
use super::message::Message;
use super::policy::Unknown;
use crate::words::UnixMillis;
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Machines remembered at once.
const STRANGERS_LIMIT: usize = 4096;
/// One that was not seen for so long is forgotten where room is needed, in milliseconds.
const OLD_AFTER_MS: u64 = 3_600_000;
/// How often those that are old make room, in milliseconds.
const SWEPT_EVERY_MS: u64 = 1000;
/// One that still asks is told of again after this long, in milliseconds.
const AGAIN_AFTER_MS: u64 = 6 * 3_600_000;
/// Machines told of at once, and how long one of them takes to be made up for, in milliseconds.
const BURST: u64 = 30;
const ONE_EVERY_MS: u64 = 2000;
/// How often the number of those not told of is told, in milliseconds.
const FLOOD_EVERY_MS: u64 = 60_000;
/// Longer texts of relays and clients are cut.
const TEXT_LIMIT_BYTES: usize = 64;

/// A machine that nobody registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// What its subnet wants done about it.
    pub wanted: Unknown,
    /// The subnet.
    pub net: Ipv4Net,
    /// Its hardware type.
    pub htype: u8,
    /// Its hardware address.
    pub chaddr: Vec<u8>,
    /// The relay that brought its packet; none on our own wire.
    pub relay: Option<Ipv4Addr>,
    /// The relay's name for the port (option 82).
    pub port: Vec<u8>,
    /// What its maker calls it (option 60).
    pub vendor_class: Vec<u8>,
    /// When it was first seen.
    pub first: UnixMillis,
    /// When it was last seen.
    pub last: UnixMillis,
    /// How many packets came from it.
    pub packets: u64,
}

/// What is to be told upwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// This machine was seen.
    Unknown(Stranger),
    /// So many were not told of since the last such number.
    MoreUnknown(u64),
    /// A client found its address in use by somebody else.
    InUse {
        /// The address.
        address: Ipv4Addr,
        /// Who found it, by its hardware address.
        chaddr: Vec<u8>,
    },
    /// The agent's share of a subnet has no address left.
    Exhausted(Ipv4Net),
}

type Key = (Ipv4Net, u8, Vec<u8>);

/// All of them.
#[derive(Debug, Default)]
pub struct Strangers {
    seen: BTreeMap<Key, (Stranger, Option<UnixMillis>)>,
    /// Up to when the machines told of have used the allowance up.
    used_up_to_ms: u64,
    not_told: u64,
    flood_told_ms: u64,
    swept: UnixMillis,
}

impl Strangers {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// A packet of one: what is to be told about it, if anything.
    pub fn see(&mut self, request: &Message<'_>, net: Ipv4Net, wanted: Unknown, now: UnixMillis) -> Option<Note> {
        let key = (net, request.htype, request.chaddr.to_vec());
        if !self.make_room(&key, now) {
            return self.count_one_more(now);
        }
        let (stranger, told) = self.seen.entry(key).or_insert_with(|| (stranger(request, net, now), None));
        stranger.packets += 1;
        stranger.last = now;
        stranger.wanted = wanted;
        if told.is_some_and(|told| now.0.saturating_sub(told.0) < AGAIN_AFTER_MS) {
            return None;
        }
        if !may_tell(&mut self.used_up_to_ms, now.0) {
            // It is told of with a later packet, and counts once.
            return if stranger.packets == 1 { self.count_one_more(now) } else { None };
        }
        *told = Some(now);
        Some(Note::Unknown(stranger.clone()))
    }

    fn make_room(&mut self, key: &Key, now: UnixMillis) -> bool {
        let is_due = now.0.saturating_sub(self.swept.0) >= SWEPT_EVERY_MS;
        if is_due && self.seen.len() >= STRANGERS_LIMIT && !self.seen.contains_key(key) {
            // A flood must not buy a walk over all of them with every packet.
            self.swept = now;
            self.seen.retain(|_, (stranger, _)| now.0.saturating_sub(stranger.last.0) < OLD_AFTER_MS);
        }
        self.seen.len() < STRANGERS_LIMIT || self.seen.contains_key(key)
    }

    fn count_one_more(&mut self, now: UnixMillis) -> Option<Note> {
        self.not_told += 1;
        if now.0.saturating_sub(self.flood_told_ms) < FLOOD_EVERY_MS {
            return None;
        }
        self.flood_told_ms = now.0;
        Some(Note::MoreUnknown(std::mem::take(&mut self.not_told)))
    }
}

/// A bucket, kept as the time up to which it is used: each one told of moves that on, and it may lie a burst ahead.
fn may_tell(used_up_to_ms: &mut u64, now_ms: u64) -> bool {
    let used = now_ms.max(*used_up_to_ms);
    let may = used < now_ms + BURST * ONE_EVERY_MS;
    if may {
        *used_up_to_ms = used + ONE_EVERY_MS;
    }
    may
}

fn stranger(request: &Message<'_>, net: Ipv4Net, now: UnixMillis) -> Stranger {
    Stranger {
        wanted: Unknown::default(),
        net,
        htype: request.htype,
        chaddr: request.chaddr.to_vec(),
        relay: Some(request.giaddr).filter(|relay| !relay.is_unspecified()),
        port: request.options.relay_sub_option(code::CIRCUIT_ID).into_iter().flatten().take(TEXT_LIMIT_BYTES).collect(),
        vendor_class: request.options.bytes(code::VENDOR_CLASS).take(TEXT_LIMIT_BYTES).collect(),
        first: now,
        last: now,
        packets: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::message::{HEADER_BYTES, OPTIONS_COOKIE};

    fn see(strangers: &mut Strangers, mac: u32, at_ms: u64) -> Option<Note> {
        let mut packet = vec![0; HEADER_BYTES];
        packet[..3].copy_from_slice(&[1, 1, 6]);
        packet[24..28].copy_from_slice(&[10, 1, 8, 1]);
        packet[30..34].copy_from_slice(&mac.to_be_bytes());
        let packet = [&packet[..], &OPTIONS_COOKIE, &[53, 1, 1, 60, 4, b'M', b'S', b'F', b'T', 82, 4, 1, 2, b'g', b'7', 255]].concat();
        strangers.see(&Message::parse(&packet).unwrap(), "10.1.8.0/24".parse().unwrap(), Unknown::Auto, UnixMillis(at_ms))
    }

    #[test]
    fn a_machine_is_told_of_once_with_all_that_is_known_and_again_while_it_asks() {
        let mut strangers = Strangers::default();
        let Some(Note::Unknown(told)) = see(&mut strangers, 7, 1000) else { panic!("it was not told of") };
        assert_eq!((told.wanted, told.chaddr.as_slice(), told.relay), (Unknown::Auto, &[0, 0, 0, 0, 0, 7][..], Some(Ipv4Addr::new(10, 1, 8, 1))));
        assert_eq!((told.port.as_slice(), told.vendor_class.as_slice(), told.packets), (&b"g7"[..], &b"MSFT"[..], 1));
        assert_eq!(see(&mut strangers, 7, 5000), None);
        let Some(Note::Unknown(again)) = see(&mut strangers, 7, 1000 + AGAIN_AFTER_MS) else { panic!("it was not told of again") };
        assert_eq!((again.first, again.last, again.packets), (UnixMillis(1000), UnixMillis(1000 + AGAIN_AFTER_MS), 3));
    }

    #[test]
    fn a_thousand_machines_are_a_burst_and_a_number() {
        let (mut strangers, begun) = (Strangers::default(), 1_800_000_000_000);
        let notes: Vec<Note> = (0..1000).filter_map(|mac| see(&mut strangers, mac, begun + u64::from(mac))).collect();
        let told = notes.iter().filter(|note| matches!(note, Note::Unknown(_))).count();
        assert!((BURST as usize..=BURST as usize + 1).contains(&told), "{told}");
        assert_eq!(notes.len(), told + 1, "the first of the others at once: {:?}", notes.last());
        let later: Vec<Note> = (0..3).filter_map(|mac| see(&mut strangers, 5000 + mac, begun + FLOOD_EVERY_MS + 1000)).collect();
        assert_eq!(later.len(), 3, "the allowance comes back");
        assert!(see(&mut strangers, 999, begun + FLOOD_EVERY_MS + 2000).is_some(), "one that was left out is told of when it asks again");
    }

    #[test]
    fn the_memory_is_bounded_and_old_ones_make_room() {
        let mut strangers = Strangers::default();
        (0..STRANGERS_LIMIT as u32 + 100).for_each(|mac| drop(see(&mut strangers, mac, 1000)));
        assert_eq!(strangers.len(), STRANGERS_LIMIT);
        see(&mut strangers, u32::MAX, 1000 + OLD_AFTER_MS);
        assert_eq!(strangers.len(), 1);
    }
}
