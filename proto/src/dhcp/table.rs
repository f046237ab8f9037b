//! The rows of the `bootptab` feed: subnets with their options, and who is reserved what on them.
//!
//! Why it exists: the master composes these rows, every agent answers from them, and both must mean the same bytes.
//! What it refuses: a value with a second spelling (options out of order or doubled, a length past the end, bytes left
//! over). How: each row has an owned form for the composer ([`SubnetRow`], [`Reservation`]) and a borrowed one for the
//! answer path ([`SubnetRef`], [`ReservationRef`]), which reads the view's bytes in place and allocates nothing.
//!
//! Numbers are little-endian like the rest of a row; addresses and option data are in network order, ready for the wire.

use crate::snapshot::{Damaged, Table, View};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Key: [`subnet_key`]; value: [`SubnetRow`].
pub const SUBNET: Table = Table(1);
/// Key: [`reservation_key`]; value: [`Reservation`].
pub const RESERVATION: Table = Table(2);

/// The longest hardware address that a packet's `chaddr` can carry.
pub(super) const CHADDR_BYTES: usize = 16;
const SUBNET_KEY_BYTES: usize = 5;
const RESERVATION_KEY_BYTES: usize = SUBNET_KEY_BYTES + 1 + CHADDR_BYTES;
/// What stands for the length of an option that a reservation takes away.
const TAKEN_AWAY: u32 = u32::MAX;
const SENDS_HOST_NAME: u8 = 1;
const HAS_NEXT_SERVER: u8 = 2;

/// A subnet and what every host on it is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubnetRow {
    /// The campus it lies in, as people call it.
    pub campus: String,
    /// Options as (code, wire data): mask (1), routers (3), lease time (51)... as the master composed them.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// One machine's place on one subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The address it gets.
    pub address: Ipv4Addr,
    /// The host's full name.
    pub host_name: String,
    /// Whether the name's first label goes out as option 12 (bootptab `hn`).
    pub send_host_name: bool,
    /// Where its boot file lies (bootptab `sa`); the answering server itself when there is none.
    pub next_server: Option<Ipv4Addr>,
    /// `sname`; empty for none.
    pub server_name: String,
    /// `file`; empty for none.
    pub boot_file: String,
    /// Stay silent until the client's `secs` reach this, in seconds (bootptab `mw`).
    pub wait_secs: u16,
    /// Options over the subnet's; `None` takes the subnet's away.
    pub options: Vec<(u8, Option<Vec<u8>>)>,
}

/// A value that is no row of this table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A length points past the end.
    #[error("the row ends in the middle of a field")]
    Short,
    /// A name is not UTF-8.
    #[error("a name in the row is not UTF-8")]
    Text,
    /// A flag that this build does not know.
    #[error("the row has the unknown flags {0:#04x}: a newer agent is needed")]
    Flags(u8),
    /// Options not strictly ascending, or a code that is none (0 and 255 are pad and end).
    #[error("option {0} of the row is out of order, doubled or no option")]
    Options(u8),
    /// Shares not strictly ascending.
    #[error("the shares of the row overlap or are out of order")]
    Shares,
}

/// A subnet's key: prefix length, then the network.
pub fn subnet_key(net: Ipv4Net) -> [u8; SUBNET_KEY_BYTES] {
    let [a, b, c, d] = net.network().octets();
    [net.prefix_len(), a, b, c, d]
}

/// The network that a subnet's row is for. `None` where this is no subnet's key.
pub fn subnet_of_key(key: &[u8]) -> Option<Ipv4Net> {
    let [prefix_len, octets @ ..] = *key.first_chunk::<SUBNET_KEY_BYTES>().filter(|_| key.len() == SUBNET_KEY_BYTES)?;
    Ipv4Net::new(octets.into(), prefix_len).ok().filter(|net| net.network() == net.addr())
}

/// A reservation's key: its subnet's key, the hardware type, the hardware address.
pub fn reservation_key(net: Ipv4Net, htype: u8, chaddr: &[u8]) -> Vec<u8> {
    [&subnet_key(net)[..], &[htype], chaddr].concat()
}

/// The longest prefix of the view that holds `address`. A row that does not decode is passed over for the next shorter one.
pub fn subnet_of(view: &View, address: Ipv4Addr) -> Result<Option<(Ipv4Net, SubnetRef<'_>)>, Damaged> {
    for net in (0..=32).rev().filter_map(|prefix_len| Ipv4Net::new(address, prefix_len).ok()) {
        let row = view.get(SUBNET, &subnet_key(net))?;
        if let Some(subnet) = row.and_then(|row| SubnetRef::read(row).ok()) {
            return Ok(Some((net.trunc(), subnet)));
        }
    }
    Ok(None)
}

/// The reservation of a hardware address on a subnet. `None` also where the row does not decode.
pub fn reservation_of<'a>(view: &'a View, net: Ipv4Net, htype: u8, chaddr: &[u8]) -> Result<Option<ReservationRef<'a>>, Damaged> {
    let mut key = [0; RESERVATION_KEY_BYTES];
    let len = SUBNET_KEY_BYTES + 1 + chaddr.len();
    key[..SUBNET_KEY_BYTES].copy_from_slice(&subnet_key(net));
    key[SUBNET_KEY_BYTES] = htype;
    let Some(place) = key.get_mut(SUBNET_KEY_BYTES + 1..len) else { return Ok(None) };
    place.copy_from_slice(chaddr);
    Ok(view.get(RESERVATION, &key[..len])?.and_then(|row| ReservationRef::read(row).ok()))
}

/// A [`SubnetRow`] in place.
#[derive(Debug, Clone, Copy)]
pub struct SubnetRef<'a> {
    /// See [`SubnetRow::campus`].
    pub campus: &'a str,
    /// See [`SubnetRow::options`]; none is taken away.
    pub options: OptionsRef<'a>,
}

/// A [`Reservation`] in place.
#[derive(Debug, Clone, Copy)]
pub struct ReservationRef<'a> {
    /// See [`Reservation::address`].
    pub address: Ipv4Addr,
    /// See [`Reservation::host_name`].
    pub host_name: &'a str,
    /// See [`Reservation::send_host_name`].
    pub send_host_name: bool,
    /// See [`Reservation::next_server`].
    pub next_server: Option<Ipv4Addr>,
    /// See [`Reservation::server_name`].
    pub server_name: &'a str,
    /// See [`Reservation::boot_file`].
    pub boot_file: &'a str,
    /// See [`Reservation::wait_secs`].
    pub wait_secs: u16,
    /// See [`Reservation::options`].
    pub options: OptionsRef<'a>,
}

/// An option as (code, data); `None` where a reservation takes it away.
pub type RowOption<'a> = (u8, Option<&'a [u8]>);

/// Checked options in ascending order of their codes.
#[derive(Debug, Clone, Copy)]
pub struct OptionsRef<'a>(&'a [u8]);

impl SubnetRow {
    /// The one encoding: `campus | options`. Of an option given twice the last counts; codes 0 and 255 are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&self.campus, &mut out);
        put_options(self.options.iter().map(|(code, data)| (*code, Some(&data[..]))), &mut out);
        out
    }

    /// Reads a value.
    pub fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = SubnetRef::read(value)?;
        let options = row.options.iter().map(|(code, data)| (code, data.unwrap_or_default().to_vec()));
        Ok(Self { campus: row.campus.into(), options: options.collect() })
    }
}

impl Reservation {
    /// The one encoding: `flags u8 | address | next server, if any | wait_secs u16 | host | server | file | options`.
    /// Of an option given twice the last counts; codes 0 and 255 are left out.
    pub fn encode(&self) -> Vec<u8> {
        let host = if self.send_host_name { SENDS_HOST_NAME } else { 0 };
        let next = if self.next_server.is_some() { HAS_NEXT_SERVER } else { 0 };
        let mut out = vec![host | next];
        out.extend_from_slice(&self.address.octets());
        self.next_server.iter().for_each(|server| out.extend_from_slice(&server.octets()));
        out.extend_from_slice(&self.wait_secs.to_le_bytes());
        [&self.host_name, &self.server_name, &self.boot_file].into_iter().for_each(|text| put_text(text, &mut out));
        put_options(self.options.iter().map(|(code, data)| (*code, data.as_deref())), &mut out);
        out
    }

    /// Reads a value.
    pub fn decode(value: &[u8]) -> Result<Self, RowError> {
        let row = ReservationRef::read(value)?;
        Ok(Self {
            address: row.address,
            host_name: row.host_name.into(),
            send_host_name: row.send_host_name,
            next_server: row.next_server,
            server_name: row.server_name.into(),
            boot_file: row.boot_file.into(),
            wait_secs: row.wait_secs,
            options: row.options.iter().map(|(code, data)| (code, data.map(Into::into))).collect(),
        })
    }
}

impl<'a> SubnetRef<'a> {
    /// Reads a value in place.
    pub fn read(value: &'a [u8]) -> Result<Self, RowError> {
        let mut rest = Fields(value);
        let row = Self { campus: rest.text()?, options: OptionsRef::read(rest.0)? };
        match row.options.iter().find(|(_, data)| data.is_none()) {
            Some((code, _)) => Err(RowError::Options(code)),
            None => Ok(row),
        }
    }
}

impl<'a> ReservationRef<'a> {
    /// An address and nothing else: what a machine without a reservation has.
    pub(super) fn bare(address: Ipv4Addr) -> Self {
        let options = OptionsRef(&[]);
        Self { address, host_name: "", send_host_name: false, next_server: None, server_name: "", boot_file: "", wait_secs: 0, options }
    }

    /// The same for one that has a name in DNS, with the options that go with it.
    pub(super) fn named(address: Ipv4Addr, host_name: &'a str, options: &'a [u8]) -> Self {
        let options = OptionsRef::read(options).unwrap_or(OptionsRef(&[]));
        Self { host_name, send_host_name: !host_name.is_empty(), options, ..Self::bare(address) }
    }

    /// Reads a value in place.
    pub fn read(value: &'a [u8]) -> Result<Self, RowError> {
        let mut rest = Fields(value);
        let [flags] = rest.array()?;
        if flags & !(SENDS_HOST_NAME | HAS_NEXT_SERVER) != 0 {
            return Err(RowError::Flags(flags));
        }
        Ok(Self {
            address: Ipv4Addr::from(rest.array::<4>()?),
            send_host_name: flags & SENDS_HOST_NAME != 0,
            next_server: if flags & HAS_NEXT_SERVER != 0 { Some(Ipv4Addr::from(rest.array::<4>()?)) } else { None },
            wait_secs: u16::from_le_bytes(rest.array()?),
            host_name: rest.text()?,
            server_name: rest.text()?,
            boot_file: rest.text()?,
            options: OptionsRef::read(rest.0)?,
        })
    }
}

impl<'a> OptionsRef<'a> {
    /// Every option as (code, data), ascending; `None` where it is taken away.
    pub fn iter(self) -> impl Iterator<Item = RowOption<'a>> {
        let mut rest = Fields(self.0);
        std::iter::from_fn(move || rest.option().ok().flatten())
    }

    fn read(bytes: &'a [u8]) -> Result<Self, RowError> {
        let (mut rest, mut before) = (Fields(bytes), 0);
        while let Some((code, _)) = rest.option()? {
            if code <= before || code == u8::MAX {
                return Err(RowError::Options(code));
            }
            before = code;
        }
        Ok(Self(bytes))
    }
}

/// Takes fields off the front and cannot run past the end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(RowError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn bytes(&mut self, len: u32) -> Result<&'a [u8], RowError> {
        let (head, rest) = self.0.split_at_checked(len as usize).ok_or(RowError::Short)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<&'a str, RowError> {
        let len = u32::from_le_bytes(self.array()?);
        std::str::from_utf8(self.bytes(len)?).map_err(|_| RowError::Text)
    }

    fn option(&mut self) -> Result<Option<RowOption<'a>>, RowError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let [code] = self.array()?;
        let len = u32::from_le_bytes(self.array()?);
        let data = if len == TAKEN_AWAY { None } else { Some(self.bytes(len)?) };
        Ok(Some((code, data)))
    }
}

/// One option as it stands in a row.
pub(super) fn option_bytes(code: u8, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_options([(code, Some(data))].into_iter(), &mut out);
    out
}

/// Lengths take four bytes, so that whatever a caller gives is encoded whole and the limit of a row speaks for itself.
fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_options<'a>(options: impl Iterator<Item = (u8, Option<&'a [u8]>)>, out: &mut Vec<u8>) {
    let mut table = [None; 256];
    options.for_each(|(code, data)| table[usize::from(code)] = Some(data));
    for (code, data) in (1..u8::MAX).filter_map(|code| Some((code, table[usize::from(code)]?))) {
        out.push(code);
        out.extend_from_slice(&data.map_or(TAKEN_AWAY, |data| data.len() as u32).to_le_bytes());
        out.extend_from_slice(data.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Change, Feed, State};
    use proptest::prelude::*;

    fn subnet() -> SubnetRow {
        SubnetRow { campus: "north".into(), options: vec![(1, vec![255, 255, 252, 0]), (3, vec![10, 1, 4, 1]), (51, vec![0, 1, 0x51, 0x80])] }
    }

    fn reservation() -> Reservation {
        Reservation {
            address: Ipv4Addr::new(10, 1, 4, 7),
            host_name: "ws7.uni.example".into(),
            send_host_name: true,
            next_server: Some(Ipv4Addr::new(10, 1, 0, 9)),
            server_name: "boot".into(),
            boot_file: "/tftpboot/ws7".into(),
            wait_secs: 4,
            options: vec![(3, None), (42, Some(vec![10, 1, 0, 3]))],
        }
    }

    #[test]
    fn the_rows_are_golden() {
        assert_eq!(hex::encode(subnet().encode()), include_str!("golden/subnet.hex").trim());
        assert_eq!(hex::encode(reservation().encode()), include_str!("golden/reservation.hex").trim());
        assert_eq!(SubnetRow::decode(&subnet().encode()), Ok(subnet()));
        assert_eq!(Reservation::decode(&reservation().encode()), Ok(reservation()));
    }

    #[test]
    fn the_keys_are_golden() {
        let net: Ipv4Net = "10.1.4.0/22".parse().unwrap();
        assert_eq!(subnet_key(net), [22, 10, 1, 4, 0]);
        assert_eq!([&[22, 10, 1, 4, 0][..], &[22, 10, 1, 5, 0], &[33, 10, 1, 4, 0], &[22, 10, 1, 4]].map(subnet_of_key), [Some(net), None, None, None]);
        assert_eq!(hex::encode(reservation_key(net, 1, &[8, 0, 0x20, 0xdb, 0xb6, 0x7f])), "160a01040001080020dbb67f");
    }

    #[test]
    fn the_longest_prefix_wins() {
        let nets = ["10.0.0.0/8", "10.1.4.0/22", "10.1.4.128/25"];
        let rows = nets.map(|net| Change::put(SUBNET, subnet_key(net.parse().unwrap()), SubnetRow { campus: net.into(), options: vec![] }.encode()));
        let view = State::empty(Feed::BOOTPTAB).compose(rows.to_vec()).unwrap().unwrap().into_view();
        let campus = |address: &str| subnet_of(&view, address.parse().unwrap()).unwrap().map(|(net, row)| (net.to_string(), row.campus.to_owned()));
        for (address, net) in [("10.9.9.9", nets[0]), ("10.1.7.255", nets[1]), ("10.1.4.129", nets[2])] {
            assert_eq!(campus(address), Some((net.into(), net.into())));
        }
        assert_eq!(campus("11.0.0.1"), None);
    }

    #[test]
    fn a_second_spelling_is_refused() {
        let mut subnet = SubnetRow { campus: String::new(), options: vec![(3, vec![1]), (1, vec![2]), (3, vec![]), (0, vec![]), (255, vec![])] }.encode();
        assert_eq!(SubnetRow::decode(&subnet).unwrap().options, [(1, vec![2]), (3, vec![])]);
        subnet.extend([2, 0, 0, 0, 0]);
        assert_eq!(SubnetRow::decode(&subnet), Err(RowError::Options(2)));
        assert_eq!(SubnetRow::decode(&[0, 0, 0, 0, 6, 255, 255, 255, 255]), Err(RowError::Options(6)), "a subnet takes nothing away");
        let mut reservation = reservation().encode();
        reservation[0] |= 0x80;
        assert_eq!(Reservation::decode(&reservation), Err(RowError::Flags(0x83)));
    }

    proptest! {
        #[test]
        fn what_decodes_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(row) = SubnetRow::decode(&bytes) {
                prop_assert_eq!(row.encode(), &bytes[..]);
            }
            if let Ok(row) = Reservation::decode(&bytes) {
                prop_assert_eq!(row.encode(), bytes);
            }
        }

        #[test]
        fn every_cut_row_is_refused_or_shorter(cut in 0usize..80) {
            let whole = reservation().encode();
            let cut = cut.min(whole.len() - 1);
            prop_assert_ne!(Reservation::decode(&whole[..cut]), Ok(reservation()));
        }
    }
}
