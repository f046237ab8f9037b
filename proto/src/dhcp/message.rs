//! A packet as it came: the fixed header as a plain struct, and its options one by one.
//!
//! Why it exists: dhcproto loses every option after the first it cannot parse, ignores option overload and panics on a
//! long hardware address; a Latin-1 host name must not hide the server identifier behind it. What it refuses: a packet
//! without a whole header, or with an `hlen` that no `chaddr` can hold. All else is read as far as it goes: each option
//! stands alone, `file` and `sname` are read where option 52 says so (RFC 2131 section 4.1), and repeats are joined in
//! the order of RFC 3396 section 7 (options, file, sname). How: nothing is copied; look-ups walk the bytes.

use super::code::{self, Kind};
use std::net::Ipv4Addr;

/// All before the vendor field.
pub const HEADER_BYTES: usize = 236;
/// `99.130.83.99`: options follow (RFC 1497).
pub const OPTIONS_COOKIE: [u8; 4] = [99, 130, 83, 99];
/// CMU's own vendor field, older than RFC 1048.
pub const CMU_COOKIE: [u8; 4] = *b"CMU\0";
/// `op` of a client's packet.
pub const BOOTREQUEST: u8 = 1;
/// `op` of a server's packet.
pub const BOOTREPLY: u8 = 2;
/// The B bit of `flags`: the client cannot take a unicast yet (RFC 1542 section 3.1.1).
pub const BROADCAST_FLAG: u16 = 0x8000;

/// One packet, in place.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// [`BOOTREQUEST`] or [`BOOTREPLY`], or nonsense.
    pub op: u8,
    /// Hardware type, 1 for Ethernet.
    pub htype: u8,
    /// The hardware address, `hlen` bytes.
    pub chaddr: &'a [u8],
    /// The whole field, for the way back.
    pub chaddr_field: &'a [u8; 16],
    /// Which exchange.
    pub xid: [u8; 4],
    /// Seconds since the client began, as it says.
    pub secs: u16,
    /// See [`BROADCAST_FLAG`].
    pub flags: u16,
    /// The address that the client has and answers on.
    pub ciaddr: Ipv4Addr,
    /// The address that it gets.
    pub yiaddr: Ipv4Addr,
    /// Where its boot file lies.
    pub siaddr: Ipv4Addr,
    /// The relay.
    pub giaddr: Ipv4Addr,
    /// Server's name up to the first NUL; empty where it holds options.
    pub sname: &'a [u8],
    /// Boot file up to the first NUL; empty where it holds options.
    pub file: &'a [u8],
    /// What the vendor field is.
    pub vendor: Vendor,
    /// The options; none unless `vendor` says so.
    pub options: Options<'a>,
    /// Bytes of the whole packet.
    pub len: usize,
}

/// How the vendor field is written; the reply follows the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Options after a cookie: RFC 1048 and all that followed.
    Options,
    /// CMU's fixed fields.
    Cmu,
    /// None, or one nobody knows.
    Absent,
}

/// No packet of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Fewer bytes than the fixed header.
    #[error("the packet has {0} bytes, fewer than the {HEADER_BYTES} of a BOOTP header")]
    Short(usize),
    /// `hlen` past the end of `chaddr`.
    #[error("the packet has a hardware address of {0} bytes; 16 is the most")]
    HardwareAddress(u8),
}

impl<'a> Message<'a> {
    /// Reads a packet; one without any vendor field is taken too.
    pub fn parse(packet: &'a [u8]) -> Result<Self, MessageError> {
        let (head, vendor_field) = packet.split_first_chunk::<HEADER_BYTES>().ok_or(MessageError::Short(packet.len()))?;
        let chaddr_field = field::<16>(head, 28);
        let chaddr = chaddr_field.get(..usize::from(head[2])).ok_or(MessageError::HardwareAddress(head[2]))?;
        let (vendor, area) = split_vendor(vendor_field);
        let (sname, file) = (field::<64>(head, 44), field::<128>(head, 108));
        let options = Options::over(area, file, sname);
        Ok(Self {
            op: head[0],
            htype: head[1],
            chaddr,
            chaddr_field,
            xid: *field(head, 4),
            secs: u16::from_be_bytes(*field(head, 8)),
            flags: u16::from_be_bytes(*field(head, 10)),
            ciaddr: Ipv4Addr::from(*field::<4>(head, 12)),
            yiaddr: Ipv4Addr::from(*field::<4>(head, 16)),
            siaddr: Ipv4Addr::from(*field::<4>(head, 20)),
            giaddr: Ipv4Addr::from(*field::<4>(head, 24)),
            sname: if options.areas[2].is_empty() { until_nul(sname) } else { &[] },
            file: if options.areas[1].is_empty() { until_nul(file) } else { &[] },
            vendor,
            options,
            len: packet.len(),
        })
    }

    /// What kind of message: BOOTP where there is no option 53, [`Kind::Other`] where it makes no sense.
    pub fn kind(&self) -> Kind {
        match (self.options.has(code::MESSAGE_TYPE), self.options.fixed(code::MESSAGE_TYPE)) {
            (false, _) => Kind::Bootp,
            (true, Some([value])) => Kind::from_wire(value),
            (true, None) => Kind::Other,
        }
    }

    /// Whether the client wants its reply broadcast.
    pub fn wants_broadcast(&self) -> bool {
        self.flags & BROADCAST_FLAG != 0
    }

    /// Seconds since the client began. Some clients swap the bytes; a whole multiple of 256 is taken as such.
    pub fn elapsed_secs(&self) -> u16 {
        if self.secs & 0xff == 0 { self.secs.swap_bytes() } else { self.secs }
    }
}

/// The fixed field at an offset; offsets and lengths are constants that lie inside the header.
fn field<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> &[u8; N] {
    head[at..].first_chunk().expect("a field lies inside the header")
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn split_vendor(vendor: &[u8]) -> (Vendor, &[u8]) {
    match vendor.split_first_chunk() {
        Some((&OPTIONS_COOKIE, options)) => (Vendor::Options, options),
        Some((&CMU_COOKIE, _)) => (Vendor::Cmu, &[]),
        _ => (Vendor::Absent, &[]),
    }
}

/// The options of a packet, wherever they stand in it.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Option field, `file`, `sname`: the order in which repeats are joined. Empty where they hold none.
    areas: [&'a [u8]; 3],
}

impl<'a> Options<'a> {
    fn over(area: &'a [u8], file: &'a [u8], sname: &'a [u8]) -> Self {
        // RFC 2132 section 9.3; only the option field itself may say so.
        let overload = match (Self { areas: [area, &[], &[]] }).fixed(code::OVERLOAD) {
            Some([which @ 1..=3]) => which,
            _ => 0,
        };
        Self { areas: [area, if overload & 1 != 0 { file } else { &[] }, if overload & 2 != 0 { sname } else { &[] }] }
    }

    /// Every option as it stands, repeats apart. A length past the end of an area ends that area only.
    pub fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> + Clone {
        self.areas.into_iter().flat_map(Walk)
    }

    /// The pieces of one option.
    pub fn pieces(self, code: u8) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.iter().filter(move |(found, _)| *found == code).map(|(_, data)| data)
    }

    /// The bytes of one option, joined.
    pub fn bytes(self, code: u8) -> impl Iterator<Item = u8> + Clone {
        self.pieces(code).flatten().copied()
    }

    /// Whether an option is there at all.
    pub fn has(self, code: u8) -> bool {
        self.pieces(code).next().is_some()
    }

    /// An option of exactly this length; `None` where it is absent or of another.
    pub fn fixed<const N: usize>(self, code: u8) -> Option<[u8; N]> {
        let (mut value, mut bytes) = ([0; N], self.bytes(code));
        for slot in &mut value {
            *slot = bytes.next()?;
        }
        (bytes.next().is_none() && self.has(code)).then_some(value)
    }

    /// An option that is one address.
    pub fn address(self, code: u8) -> Option<Ipv4Addr> {
        self.fixed::<4>(code).map(Ipv4Addr::from)
    }
}

#[derive(Debug, Clone)]
struct Walk<'a>(&'a [u8]);

impl<'a> Iterator for Walk<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match std::mem::take(&mut self.0) {
                [code::PAD, rest @ ..] => self.0 = rest,
                [code::END, ..] => return None,
                [code, len, rest @ ..] => {
                    let (data, rest) = rest.split_at_checked(usize::from(*len))?;
                    self.0 = rest;
                    return Some((*code, data));
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(vendor: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES];
        packet[..4].copy_from_slice(&[1, 1, 6, 0]);
        packet.extend_from_slice(vendor);
        packet
    }

    fn with_options(options: &[u8]) -> Vec<u8> {
        packet(&[&OPTIONS_COOKIE[..], options].concat())
    }

    #[test]
    fn a_packet_without_vendor_field_is_bootp_and_a_shorter_one_is_nothing() {
        let bare = packet(&[]);
        let message = Message::parse(&bare).unwrap();
        assert_eq!((message.kind(), message.vendor), (Kind::Bootp, Vendor::Absent));
        assert_eq!(Message::parse(&bare[..235]).unwrap_err(), MessageError::Short(235));
    }

    #[test]
    fn a_long_hardware_address_is_refused() {
        let mut packet = packet(&[]);
        packet[2] = 16;
        assert_eq!(Message::parse(&packet).unwrap().chaddr.len(), 16);
        packet[2] = 17;
        assert_eq!(Message::parse(&packet).unwrap_err(), MessageError::HardwareAddress(17));
    }

    #[test]
    fn a_bad_option_hides_no_other() {
        // A Latin-1 host name, an address of three bytes, a message type without any.
        let bytes = with_options(&[12, 2, 0xe9, 0xff, 50, 3, 10, 1, 4, 54, 4, 10, 1, 4, 2, 81, 1, 0, 255]);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.options.address(50), None);
        assert_eq!(message.options.address(54), Some(Ipv4Addr::new(10, 1, 4, 2)));
        assert_eq!(Message::parse(&with_options(&[53, 0, 54, 4, 1, 2, 3, 4])).unwrap().kind(), Kind::Other);
    }

    #[test]
    fn overloaded_fields_are_read_in_order_and_are_no_names() {
        let mut bytes = with_options(&[52, 1, 3, 61, 1, b'a', 255]);
        bytes[108..112].copy_from_slice(&[61, 1, b'b', 255]);
        bytes[44..50].copy_from_slice(&[61, 1, b'c', 53, 1, 1]);
        let message = Message::parse(&bytes).unwrap();
        assert!(message.options.bytes(61).eq(*b"abc"));
        assert_eq!((message.kind(), message.file, message.sname), (Kind::Discover, &b""[..], &b""[..]));
    }

    #[test]
    fn repeats_are_joined_wherever_they_stand() {
        let bytes = with_options(&[50, 2, 10, 1, 53, 1, 3, 0, 50, 2, 4, 7, 255]);
        assert_eq!(Message::parse(&bytes).unwrap().options.address(50), Some(Ipv4Addr::new(10, 1, 4, 7)));
    }

    #[test]
    fn swapped_seconds_are_put_right() {
        let mut bytes = packet(&[]);
        for (secs, elapsed) in [(4u16, 4), (0x0400, 4), (0, 0), (300, 300)] {
            bytes[8..10].copy_from_slice(&secs.to_be_bytes());
            assert_eq!(Message::parse(&bytes).unwrap().elapsed_secs(), elapsed);
        }
    }

    proptest! {
        #[test]
        fn no_packet_panics(head in prop::collection::vec(any::<u8>(), 230..240), options in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = [&head[..], &OPTIONS_COOKIE, &options].concat();
            if let Ok(message) = Message::parse(&bytes) {
                message.kind();
                message.options.relay_address(5);
                prop_assert!(message.options.iter().all(|(code, _)| code != code::PAD && code != code::END));
            }
        }
    }
}
