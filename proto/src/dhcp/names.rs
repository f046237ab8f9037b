//! Names of machines that nobody registered: what each is called, and which of the names are told in DNS.
//!
//! Why it exists: where its subnet wants so, a machine has a name as soon as it has an address (RFC 4702, with the server as the one
//! who enters it). What it refuses: a name that is another's, one that is not clean, and those that programs look for by themselves
//! and then believe. Such a machine is called after its address. How: [`wish`] reads what the machine wants, [`Board`] follows the
//! leases that are on disk, and says what the names log has to say.

use super::code;
use super::lease::{Lease, LeaseState};
use super::message::Message;
use crate::lent::{LentName, NameRecord, ttl_secs};
use crate::words::{DomainName, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The flags of option 81 (RFC 4702 section 2.1): N, nobody enters the name; E, it is in DNS wire form.
const FQDN_NO_UPDATE: u8 = 8;
const FQDN_CANONICAL: u8 = 4;
/// Flags and two retired bytes stand before the name.
const FQDN_NAME_AT: usize = 3;
const LABEL_LIMIT_BYTES: usize = 63;
/// Whoever has one of these is asked for settings or passwords, or is taken for this very machine.
const NOBODYS: [&[u8]; 7] = [b"localhost", b"broadcasthost", b"wpad", b"isatap", b"autodiscover", b"autoconfig", b"local"];
/// What machines are called that have no name of their own.
const GENERATED: &str = "dhcp-";

/// What a machine wants to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// By this label.
    Label(String),
    /// It does not say, or nothing that it could be called.
    Open,
    /// It wants no name in DNS.
    Nothing,
}

/// What a machine wants to be called: by option 81, else by option 12. Of a longer name its first label counts: the zone is its subnet's.
pub(super) fn wish(request: &Message<'_>) -> Wish {
    let mut fqdn = request.options.bytes(code::CLIENT_FQDN);
    if let Some(flags) = fqdn.next() {
        if flags & FQDN_NO_UPDATE != 0 {
            return Wish::Nothing;
        }
        let name: Vec<u8> = request.options.bytes(code::CLIENT_FQDN).skip(FQDN_NAME_AT).take(LABEL_LIMIT_BYTES + 2).collect();
        let first = if flags & FQDN_CANONICAL != 0 { first_of_wire(&name) } else { first_of_text(&name) };
        if let Some(label) = first.and_then(clean) {
            return Wish::Label(label);
        }
    }
    let name: Vec<u8> = request.options.bytes(code::HOST_NAME).take(LABEL_LIMIT_BYTES + 2).collect();
    first_of_text(&name).and_then(clean).map_or(Wish::Open, Wish::Label)
}

fn first_of_wire(name: &[u8]) -> Option<&[u8]> {
    let (len, rest) = name.split_first()?;
    rest.get(..usize::from(*len))
}

fn first_of_text(name: &[u8]) -> Option<&[u8]> {
    name.split(|byte| *byte == b'.' || *byte == 0).next()
}

/// Letters, digits and hyphens (RFC 1123 section 2.1), in lower case.
fn clean(label: &[u8]) -> Option<String> {
    let label = label.to_ascii_lowercase();
    let is_clean = (1..=LABEL_LIMIT_BYTES).contains(&label.len())
        && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !label.starts_with(b"-")
        && !label.ends_with(b"-");
    let is_free = !NOBODYS.contains(&&label[..]) && !label.starts_with(GENERATED.as_bytes());
    String::from_utf8(label).ok().filter(|_| is_clean && is_free)
}

/// What the machine at an address is called that has no name of its own.
pub(super) fn generated(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{GENERATED}{a}-{b}-{c}-{d}")
}

/// A label in a zone; `None` where that is longer than a name can be.
pub(super) fn within(label: &str, zone: &DomainName) -> Option<DomainName> {
    DomainName::from_wire(&[&[label.len() as u8], label.as_bytes(), zone.wire()].concat())
}

/// The names that DNS tells: those of leases that are on disk and run.
#[derive(Debug, Default)]
pub struct Board {
    shown: BTreeMap<Ipv4Addr, (LentName, UnixMillis)>,
    by_name: BTreeMap<DomainName, Ipv4Addr>,
    ends: BTreeSet<(UnixMillis, Ipv4Addr)>,
}

impl Board {
    /// The board of these leases.
    pub fn of<'l>(leases: impl Iterator<Item = &'l Lease>, now: UnixMillis) -> Self {
        let mut board = Self::default();
        let mut running: Vec<&Lease> = leases.filter(|lease| lease.name.is_some() && lease.state == LeaseState::Active && lease.until > now).collect();
        // Of two that have a name the later one has it.
        running.sort_by_key(|lease| (lease.at, lease.address));
        running.into_iter().for_each(|lease| drop(board.take(lease)));
        board
    }

    /// A lease is on disk: what is to be told.
    pub fn take(&mut self, lease: &Lease) -> Vec<NameRecord> {
        let lasts_secs = lease.until.0.saturating_sub(lease.at.0) / 1000;
        let named = lease.name.clone().filter(|_| lease.state == LeaseState::Active);
        let shown = named.map(|name| LentName { address: lease.address, name, ttl: ttl_secs(lasts_secs) });
        let before = self.hide(lease.address);
        let Some(shown) = shown else { return before.map(|before| NameRecord::Gone(before.address)).into_iter().collect() };
        let is_news = before.as_ref() != Some(&shown);
        let mut told = Vec::new();
        if let Some(other) = self.by_name.get(&shown.name).copied() {
            told.extend(self.hide(other).map(|other| NameRecord::Gone(other.address)));
        }
        self.by_name.insert(shown.name.clone(), shown.address);
        self.ends.insert((lease.until, lease.address));
        self.shown.insert(lease.address, (shown.clone(), lease.until));
        told.extend(is_news.then_some(NameRecord::Put(shown)));
        told
    }

    /// The time is this: what has ended is to be told.
    pub fn end(&mut self, now: UnixMillis) -> Vec<NameRecord> {
        let mut told = Vec::new();
        while let Some((_, address)) = self.ends.first().copied().filter(|(until, _)| *until <= now) {
            told.extend(self.hide(address).map(|gone| NameRecord::Gone(gone.address)));
        }
        told
    }

    /// Everything that is told now.
    pub fn all(&self) -> Vec<NameRecord> {
        let names = self.shown.values().map(|(shown, _)| NameRecord::Put(shown.clone()));
        [NameRecord::All(self.shown.len() as u32)].into_iter().chain(names).collect()
    }

    /// How many names are told.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    fn hide(&mut self, address: Ipv4Addr) -> Option<LentName> {
        let (shown, until) = self.shown.remove(&address)?;
        self.ends.remove(&(until, address));
        self.by_name.remove(&shown.name);
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::message::{HEADER_BYTES, OPTIONS_COOKIE};
    use proptest::prelude::*;

    fn wished(options: &[u8]) -> Wish {
        let packet = [&[1, 1, 6, 0][..], &[0; HEADER_BYTES - 4], &OPTIONS_COOKIE, options].concat();
        wish(&Message::parse(&packet).unwrap())
    }

    fn label(text: &str) -> Wish {
        Wish::Label(text.into())
    }

    #[test]
    fn a_machine_is_called_what_it_calls_itself_where_that_is_clean() {
        let host = |name: &[u8]| wished(&[&[12, name.len() as u8], name, &[255]].concat());
        let fqdn = |flags: u8, name: &[u8]| wished(&[&[81, name.len() as u8 + 3, flags, 0, 0], name, &[12, 2, b'p', b'c', 255]].concat());
        assert_eq!(host(b"Ann-PC7"), label("ann-pc7"));
        assert_eq!(host(b"pc7.home.example"), label("pc7"));
        assert_eq!(host(b"pc7\0"), label("pc7"), "some count the end of the string");
        for name in [&b"ann pc"[..], b"-pc", b"pc-", b"p\xe9", b"", b"a_b", b"wpad", b"WPAD.uni.example", b"localhost", b"dhcp-10-1-6-1", &[b'a'; 64]] {
            assert_eq!(host(name), Wish::Open, "{name:?}");
        }
        assert_eq!(fqdn(4, b"\x03pc8\x03uni\x00"), label("pc8"));
        assert_eq!(fqdn(5, b"\x03pc8"), label("pc8"), "a part of a name");
        assert_eq!(fqdn(1, b"pc9.uni.example"), label("pc9"), "the older form");
        assert_eq!(fqdn(4, b"\x09pc8"), label("pc"), "a torn one is none");
        assert_eq!(fqdn(4 | 8, b"\x03pc8\x00"), Wish::Nothing);
        assert_eq!(wished(&[255]), Wish::Open);
    }

    #[test]
    fn the_longest_name_has_its_room_and_no_more() {
        let zone: DomainName = [["a"; 60].join("."), ["b"; 40].join(".")].join(".").parse().unwrap();
        assert_eq!(within(&generated(Ipv4Addr::new(10, 1, 6, 100)), &zone).unwrap().label_count(), 101);
        assert_eq!(within(&"c".repeat(63), &zone), None);
    }

    fn lease(last: u8, client: u8, at: u64, name: Option<&str>) -> Lease {
        Lease {
            state: LeaseState::Active,
            net: "10.1.6.0/24".parse().unwrap(),
            address: Ipv4Addr::new(10, 1, 6, last),
            at: UnixMillis(at),
            until: UnixMillis(at + 600_000),
            client: vec![client],
            htype: 1,
            chaddr: vec![client; 6],
            host_name: vec![],
            told: UnixMillis(at),
            name: name.map(|name| name.parse().unwrap()),
        }
    }

    fn put(last: u8, name: &str) -> NameRecord {
        NameRecord::Put(LentName { address: Ipv4Addr::new(10, 1, 6, last), name: name.parse().unwrap(), ttl: 200 })
    }

    fn gone(last: u8) -> NameRecord {
        NameRecord::Gone(Ipv4Addr::new(10, 1, 6, last))
    }

    #[test]
    fn a_name_is_told_once_and_taken_back_when_its_lease_ends() {
        let mut board = Board::default();
        assert_eq!(board.take(&lease(7, 1, 0, Some("pc7.dyn"))), [put(7, "pc7.dyn")]);
        assert_eq!(board.take(&lease(7, 1, 300_000, Some("pc7.dyn"))), [], "renewed");
        assert_eq!(board.end(UnixMillis(899_999)), []);
        assert_eq!(board.end(UnixMillis(900_000)), [gone(7)]);
        assert_eq!(board.take(&lease(8, 1, 0, None)), []);
        assert_eq!(board.take(&lease(7, 1, 0, Some("pc7.dyn"))), [put(7, "pc7.dyn")]);
        assert_eq!(board.take(&Lease { state: LeaseState::Released, ..lease(7, 1, 1, None) }), [gone(7)]);
        assert_eq!(board.all(), [NameRecord::All(0)]);
    }

    #[test]
    fn a_name_that_moves_leaves_its_address_and_an_address_its_name() {
        let mut board = Board::default();
        board.take(&lease(7, 1, 0, Some("pc7.dyn")));
        assert_eq!(board.take(&lease(8, 1, 1, Some("pc7.dyn"))), [gone(7), put(8, "pc7.dyn")]);
        assert_eq!(board.take(&lease(8, 1, 2, Some("pc8.dyn"))), [put(8, "pc8.dyn")]);
        let leases = [lease(8, 1, 2, Some("pc8.dyn")), lease(9, 1, 1, Some("pc8.dyn")), lease(10, 1, 0, Some("old.dyn"))];
        assert_eq!(Board::of(leases.iter(), UnixMillis(600_000)).all(), [NameRecord::All(1), put(8, "pc8.dyn")]);
    }

    proptest! {
        /// Whatever becomes of leases, who follows the log from its beginning has what is told to who begins now.
        #[test]
        fn the_log_leads_to_what_is_on_the_board(steps in prop::collection::vec((0u8..6, 0u8..4, 0u8..4, 0u64..400_000), 1..60)) {
            let (mut board, mut now, mut followed) = (Board::default(), 0, BTreeMap::new());
            for (last, client, name, later) in steps {
                now += later;
                let name = ["a.dyn", "b.dyn", "c.dyn"].get(usize::from(name)).copied();
                let told = [board.end(UnixMillis(now)), board.take(&lease(last, client, now, name))].concat();
                for record in told {
                    match record {
                        NameRecord::Put(lent) => drop(followed.insert(lent.address, lent.name)),
                        NameRecord::Gone(address) => drop(followed.remove(&address)),
                        NameRecord::All(_) => {}
                    }
                }
                let names: BTreeSet<&DomainName> = followed.values().collect();
                prop_assert_eq!(names.len(), followed.len(), "a name has one address");
            }
            let all: BTreeMap<Ipv4Addr, DomainName> =
                board.all().into_iter().filter_map(|record| if let NameRecord::Put(lent) = record { Some((lent.address, lent.name)) } else { None }).collect();
            prop_assert_eq!(all, followed);
        }

        #[test]
        fn no_option_makes_it_panic_or_a_name_unclean(fqdn in prop::collection::vec(any::<u8>(), 0..80), host in prop::collection::vec(any::<u8>(), 0..80)) {
            let options = [&[81, fqdn.len() as u8][..], &fqdn, &[12, host.len() as u8], &host, &[255]].concat();
            if let Wish::Label(label) = wished(&options) {
                prop_assert!(clean(label.as_bytes()) == Some(label));
            }
        }
    }
}
