//! MAC authentication: a machine that speaks no 802.1X is let in by its hardware address, where the hostname database knows it.
//!
//! A hardware address is no secret: whoever can write another one onto their machine is that machine. So it is asked of those NASs alone
//! that the registry lets ask so, it never opens anything but the machine's own VLAN, and a name that is a hardware address is never
//! looked up among people when it comes with itself for a password.
//!
//! ```text
//! MACHINE  key: the six bytes of the address    value: VLAN u16 | (campus length u8 | campus | VLAN u16)*
//! ```
//! Little-endian; 0 is no VLAN. The first VLAN is that of the machine's department, the others those of the subnets that it has an address in.

use super::packet::{Packet, attribute};
use super::reason::RejectReason;
use super::table::{NasMachines, RowError};
use crate::snapshot::{Table, View};
use crate::words::Mac;

/// Machines, in the access feed, signed by the master. Key: the six bytes of a hardware address; value: [`Machine`].
pub const MACHINE: Table = Table(3);

/// RFC 2865 section 5.6: the NAS asks about where a call comes from, and no password is to be had.
const CALL_CHECK: [u8; 4] = [0, 0, 0, 10];
/// RFC 2865 section 5.6: Login, Administrative, NAS Prompt, and the two that call back to them.
const LOG_INS: [[u8; 4]; 5] = [[0, 0, 0, 1], [0, 0, 0, 6], [0, 0, 0, 7], [0, 0, 0, 3], [0, 0, 0, 9]];
/// RFC 2865 section 5.41: Async and Virtual, a console and an SSH session.
const CONSOLES: [[u8; 4]; 2] = [[0, 0, 0, 0], [0, 0, 0, 5]];
/// RFC 3580 section 3.31 with RFC 2868: tag 0; Tunnel-Type VLAN, and Tunnel-Medium-Type IEEE-802.
const TUNNEL_IS_VLAN: [u8; 12] = [64, 6, 0, 0, 0, 13, 65, 6, 0, 0, 0, 6];
/// Tunnel-Private-Group-Id.
const TUNNEL_GROUP: u8 = 81;

/// A machine that the hostname database knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Of its department.
    pub vlan: Option<u16>,
    /// Of the subnets that it has an address in, by campus; of several at one campus the first counts.
    pub places: Vec<(String, u16)>,
}

impl Machine {
    /// The value of its row.
    pub fn encode(&self) -> Vec<u8> {
        let place = |(campus, vlan): &(String, u16)| {
            let len = u8::try_from(campus.len()).expect("a campus has a short name");
            [&[len], campus.as_bytes(), &vlan.to_le_bytes()[..]].concat()
        };
        [self.vlan.unwrap_or(0).to_le_bytes().to_vec(), self.places.iter().flat_map(place).collect()].concat()
    }

    /// Reads the value of a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (vlan, mut rest) = bytes.split_first_chunk().ok_or(RowError::Torn)?;
        let mut places = vec![];
        while let Some((len, body)) = rest.split_first() {
            let (campus, body) = body.split_at_checked(usize::from(*len)).ok_or(RowError::Torn)?;
            let (vlan, body) = body.split_first_chunk().ok_or(RowError::Torn)?;
            places.push((std::str::from_utf8(campus).map_err(|_| RowError::Name)?.to_owned(), u16::from_le_bytes(*vlan)));
            rest = body;
        }
        Ok(Self { vlan: Some(u16::from_le_bytes(*vlan)).filter(|vlan| *vlan != 0), places })
    }

    /// Which VLAN it comes into at a NAS of this campus. Where it has an address, that has to work, so its subnet's VLAN comes first; then
    /// its department's. `None` leaves it in the port's own. A NAS that is of no campus knows of subnets only where they all say the same.
    pub fn vlan_at(&self, campus: &str) -> Option<u16> {
        let mut here = self.places.iter().filter(|(of, _)| campus.is_empty() || of == campus).map(|(_, vlan)| *vlan);
        let first = here.next();
        let is_clear = !campus.is_empty() || here.all(|vlan| Some(vlan) == first);
        first.filter(|_| is_clear).or(self.vlan)
    }
}

/// What a NAS asks of a machine, if that is what it asks: the name is a hardware address in any spelling, and it comes without a
/// password, as Call-Check, or with itself for one, as `is_own_password` says. A log-in at the NAS itself is never a machine's, and
/// without Call-Check the NAS has to say that it comes from this machine: a switch asks about people at its own console, too.
pub(super) fn asked(packet: &Packet<'_>, name: &[u8], is_own_password: bool) -> Option<Result<Mac, RejectReason>> {
    let mac = mac_of(name)?;
    let has = |kind: u8, values: &[[u8; 4]]| packet.values(kind).any(|value| values.iter().any(|one| value == one));
    let is_call_check = has(attribute::SERVICE_TYPE, &[CALL_CHECK]);
    if !is_call_check && !is_own_password {
        return None;
    }
    if has(attribute::SERVICE_TYPE, &LOG_INS) || has(attribute::NAS_PORT_TYPE, &CONSOLES) {
        return Some(Err(RejectReason::OtherMachine));
    }
    let station = packet.values(attribute::CALLING_STATION_ID).next();
    let is_from_it = match station {
        Some(station) => station_of(station).map_or(is_call_check, |station| station == mac),
        None => is_call_check,
    };
    Some(if is_from_it { Ok(mac) } else { Err(RejectReason::OtherMachine) })
}

/// RFC 3580 section 3.21: a hardware address, with `:SSID` behind it or without.
fn station_of(text: &[u8]) -> Option<Mac> {
    const SPELLED: usize = 17;
    mac_of(text).or_else(|| mac_of(text.get(..SPELLED).filter(|_| text.get(SPELLED) == Some(&b':'))?))
}

/// A hardware address in any spelling.
pub(super) fn mac_of(text: &[u8]) -> Option<Mac> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// What a machine is given: its VLAN, the guests' where nobody knows it and there is one, or nothing.
pub(super) fn admit(access: &View, mac: Mac, nas: &NasMachines) -> Result<Vec<u8>, RejectReason> {
    let row = access.get(MACHINE, &mac.0).map_err(|_| RejectReason::UnknownMachine)?;
    match row.map(Machine::decode) {
        Some(Ok(machine)) => Ok(machine.vlan_at(&nas.campus).map(vlan).unwrap_or_default()),
        Some(Err(_)) => Err(RejectReason::UnknownMachine),
        None => nas.guest_vlan.map(vlan).ok_or(RejectReason::UnknownMachine),
    }
}

/// RFC 3580 section 3.31: the VLAN's number as text, untagged.
fn vlan(number: u16) -> Vec<u8> {
    let number = number.to_string();
    [&TUNNEL_IS_VLAN, &[TUNNEL_GROUP, number.len() as u8 + 2][..], number.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine(vlan: Option<u16>, places: &[(&str, u16)]) -> Machine {
        Machine { vlan, places: places.iter().map(|(campus, vlan)| ((*campus).to_owned(), *vlan)).collect() }
    }

    #[test]
    fn the_machine_row_is_golden() {
        let row = machine(Some(200), &[("north", 104), ("south", 4094)]);
        assert_eq!(hex::encode(row.encode()), "c800056e6f727468680005736f757468fe0f");
        assert_eq!(Machine::decode(&row.encode()), Ok(row.clone()));
        assert_eq!((hex::encode(Machine::default().encode()), Machine::decode(&[0, 0])), ("0000".to_owned(), Ok(Machine::default())));
        for cut in [1, 3, 6, 8] {
            assert_eq!(Machine::decode(&row.encode()[..cut]), Err(RowError::Torn), "{cut}");
        }
    }

    #[test]
    fn a_machine_comes_into_its_subnets_vlan_then_into_its_departments_then_into_the_ports() {
        let both = machine(Some(200), &[("north", 104), ("south", 105)]);
        assert_eq!(["north", "south", "east", ""].map(|campus| both.vlan_at(campus)), [Some(104), Some(105), Some(200), Some(200)]);
        let subnet = machine(None, &[("north", 104), ("north", 106)]);
        assert_eq!(["north", "south", ""].map(|campus| subnet.vlan_at(campus)), [Some(104), None, None]);
        assert_eq!(machine(None, &[("north", 104)]).vlan_at(""), Some(104), "there is only one");
        assert_eq!(Machine::default().vlan_at("north"), None);
    }

    #[test]
    fn a_vlan_is_told_as_rfc_3580_says() {
        assert_eq!(hex::encode(vlan(104)), "40060000000d4106000000065105313034");
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_what_encodes_as_they_are_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(row) = Machine::decode(&bytes) {
                prop_assert_eq!(row.encode(), bytes);
            }
        }
    }
}
