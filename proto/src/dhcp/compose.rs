//! What a reply carries: addresses, boot file, and as many options as the client has room for, the important ones first.

use super::code::{self, Kind};
use super::message::{BROADCAST_FLAG, CMU_COOKIE, Message, Vendor};
use super::place::Place;
use super::reply::{DATAGRAM_HEADER_BYTES, DHCP_REPLY_BYTES, Head, SHORTEST_REPLY_BYTES, Writer, write_without_options};
use std::net::Ipv4Addr;

/// How long a client may use its address where neither subnet nor reservation says, in seconds: a day, so that a host
/// follows a change overnight and outlasts a cut in the evening.
pub const DEFAULT_LEASE_SECS: u32 = 86_400;
/// Option 51 for ever (RFC 2131 section 3.3).
const INFINITE_LEASE_SECS: u32 = u32::MAX;
/// What a person finds in a capture of a refusal.
const REFUSAL: &[u8] = b"this address is not reserved for you here";
/// The flag of CMU's vendor field that says it holds a subnet mask.
const CMU_HAS_MASK: u32 = 1;
const CMU_VENDOR_BYTES: usize = 64;
/// How a machine that boots over HTTP begins its vendor class (UEFI 2.10 section 24.7.3.1); it takes no answer without it.
const HTTP_BOOT: &[u8] = b"HTTPClient";
/// RFC 4702 section 2.1: S, the server enters the name; O, against the client's wish; E, the name is in DNS wire form.
const FQDN_SERVER_UPDATES: u8 = 1;
const FQDN_OVERRIDE: u8 = 2;
const FQDN_CANONICAL: u8 = 4;
/// Three bytes, and the longest name.
const FQDN_BYTES: usize = 255;

/// Everything that a host needs to speak at all, then what it needs to boot, then comfort. The mask must precede the
/// routers (RFC 2132 section 3.3). Options that are not here follow by number.
const BY_IMPORTANCE: [u8; 14] = [
    code::SUBNET_MASK,
    code::CLASSLESS_ROUTES,
    code::ROUTERS,
    code::STATIC_ROUTES,
    code::DNS_SERVERS,
    code::HOST_NAME,
    code::DOMAIN_NAME,
    code::BOOT_FILE_NAME,
    code::SERVER_NAME,
    code::ROOT_PATH,
    code::BOOT_FILE_SIZE,
    code::NTP_SERVERS,
    code::TIME_SERVERS,
    code::NAME_SERVERS,
];

/// Every code in the order in which it is offered the room: worked out once, not for every packet.
const ORDER: [u8; 254] = order();

const fn order() -> [u8; 254] {
    let (mut order, mut ranked, mut len, mut code) = ([0; 254], [false; 256], 0, 1);
    while len < BY_IMPORTANCE.len() {
        order[len] = BY_IMPORTANCE[len];
        ranked[BY_IMPORTANCE[len] as usize] = true;
        len += 1;
    }
    while code < code::END {
        if !ranked[code as usize] {
            order[len] = code;
            len += 1;
        }
        code += 1;
    }
    order
}

/// What the answer is, to whom and from whom.
pub(super) struct Composer<'a> {
    pub(super) request: &'a Message<'a>,
    pub(super) place: &'a Place<'a>,
    /// Our own address, as the client sees us.
    pub(super) server: Ipv4Addr,
    /// How long the address is lent; `None` for a reserved one, where the rows say.
    pub(super) lease_secs: Option<u32>,
}

impl Composer<'_> {
    /// A BOOTP reply in the client's own style of vendor field (RFC 951, RFC 1497, RFC 1534).
    pub(super) fn bootp(&self, out: &mut Vec<u8>) {
        let (request, reservation) = (self.request, &self.place.reservation);
        let server_name = if reservation.server_name.is_empty() { request.sname } else { reservation.server_name.as_bytes() };
        let (file_directory, file) = boot_file(request.file, reservation.boot_file.as_bytes());
        let siaddr = reservation.next_server.unwrap_or(self.server);
        let head = Head { ciaddr: request.ciaddr, yiaddr: reservation.address, siaddr, sname: server_name, file_directory, file, ..Head::reply_to(request) };
        let configured = Configured::of(self);
        match request.vendor {
            Vendor::Absent => write_without_options(out, &head, &[]),
            Vendor::Cmu => write_without_options(out, &head, &configured.cmu_vendor()),
            Vendor::Options => {
                let mut writer = Writer::start(out, &head, request.len.max(room_asked(request).unwrap_or(SHORTEST_REPLY_BYTES)), request.options);
                configured.write(&mut writer);
                writer.finish(request.options);
            }
        }
    }

    /// OFFER or ACK; an ACK to an INFORM promises no address and no lease (RFC 2131 section 4.3.5).
    pub(super) fn dhcp(&self, kind: Kind, out: &mut Vec<u8>) {
        let (request, reservation) = (self.request, &self.place.reservation);
        let informs = request.kind() == Kind::Inform;
        let here = if reservation.boot_file.is_empty() { Ipv4Addr::UNSPECIFIED } else { self.server };
        let head = Head {
            ciaddr: if kind == Kind::Ack { request.ciaddr } else { Ipv4Addr::UNSPECIFIED },
            yiaddr: if informs { Ipv4Addr::UNSPECIFIED } else { reservation.address },
            siaddr: reservation.next_server.unwrap_or(here),
            sname: reservation.server_name.as_bytes(),
            file: reservation.boot_file.as_bytes(),
            ..Head::reply_to(request)
        };
        let configured = Configured::of(self);
        let mut writer = self.start(&head, kind, out).overload();
        if !informs {
            configured.write_lease(self.lease_secs, &mut writer);
        }
        self.write_identity(&mut writer);
        configured.write(&mut writer);
        writer.finish(request.options);
    }

    /// What only who asks with it is told: its name in DNS, and to a machine that boots over HTTP that it is understood.
    fn write_identity(&self, writer: &mut Writer<'_>) {
        let options = self.request.options;
        if let (Some(flags), name @ 1..) = (options.bytes(code::CLIENT_FQDN).next(), self.place.reservation.host_name.len()) {
            let mut fqdn = [0; FQDN_BYTES];
            let len = put_fqdn(flags, &self.place.reservation.host_name.as_bytes()[..name], &mut fqdn);
            writer.option(code::CLIENT_FQDN, &fqdn[..len]);
        }
        if options.bytes(code::VENDOR_CLASS).take(HTTP_BOOT.len()).eq(HTTP_BOOT.iter().copied()) {
            writer.option(code::VENDOR_CLASS, HTTP_BOOT);
        }
    }

    /// A refusal. A relay must broadcast it: the client's address may be wrong on that wire (RFC 2131 section 4.3.2).
    pub(super) fn nak(&self, out: &mut Vec<u8>) {
        let plain = Head::reply_to(self.request);
        let relayed = !self.request.giaddr.is_unspecified();
        let head = Head { flags: if relayed { plain.flags | BROADCAST_FLAG } else { plain.flags }, ..plain };
        let mut writer = self.start(&head, Kind::Nak, out);
        writer.option(code::MESSAGE, REFUSAL);
        writer.finish(self.request.options);
    }

    /// What every DHCP reply must carry: type, server, and the client's own identifier (RFC 6842).
    fn start<'o>(&self, head: &Head<'_>, kind: Kind, out: &'o mut Vec<u8>) -> Writer<'o> {
        let limit = room_asked(self.request).unwrap_or(DHCP_REPLY_BYTES).max(DHCP_REPLY_BYTES);
        let mut writer = Writer::start(out, head, limit, self.request.options);
        writer.option(code::MESSAGE_TYPE, kind.to_wire().as_slice());
        writer.option(code::SERVER_IDENTIFIER, &self.server.octets());
        writer.pieces(code::CLIENT_IDENTIFIER, self.request.options.pieces(code::CLIENT_IDENTIFIER));
        writer
    }
}

/// RFC 4702 section 2: flags, two retired bytes, the name in the client's own encoding. The name is ours and we enter it, so S
/// is set and O where the client had meant otherwise; a name that has no room is left out, which says the same.
fn put_fqdn(flags: u8, name: &[u8], out: &mut [u8; FQDN_BYTES]) -> usize {
    let is_override = flags & FQDN_SERVER_UPDATES == 0;
    let encoding = flags & FQDN_CANONICAL;
    out[..3].copy_from_slice(&[FQDN_SERVER_UPDATES | encoding | if is_override { FQDN_OVERRIDE } else { 0 }, 255, 255]);
    if encoding == 0 {
        let len = name.len().min(FQDN_BYTES - 3);
        out[3..3 + len].copy_from_slice(&name[..len]);
        return 3 + len;
    }
    let mut at = 3;
    for label in name.split(|byte| *byte == b'.').filter(|label| !label.is_empty() && label.len() <= 63) {
        // The root label has its place, too.
        if at + 1 + label.len() >= FQDN_BYTES {
            return 3;
        }
        out[at] = label.len() as u8;
        out[at + 1..at + 1 + label.len()].copy_from_slice(label);
        at += 1 + label.len();
    }
    at + 1
}

/// The payload of the longest datagram that the client takes, where it says so.
fn room_asked(request: &Message<'_>) -> Option<usize> {
    let datagram = u16::from_be_bytes(request.options.fixed(code::MAXIMUM_MESSAGE_SIZE)?);
    usize::from(datagram).checked_sub(DATAGRAM_HEADER_BYTES)
}

/// Directory and name. The file that the client asks for wins, as in bootpd; a relative one is looked for beside the reserved one.
fn boot_file<'a>(asked: &'a [u8], reserved: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    match asked {
        [] => (&[], reserved),
        [b'/', ..] => (&[], asked),
        _ => (&reserved[..reserved.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)], asked),
    }
}

/// The options of subnet and reservation laid over one another.
struct Configured<'a> {
    data: [Option<&'a [u8]>; 256],
    requested: [bool; 256],
}

impl<'a> Configured<'a> {
    fn of(composer: &Composer<'a>) -> Self {
        let (place, request) = (composer.place, composer.request);
        let mut this = Self { data: [None; 256], requested: [false; 256] };
        request.options.bytes(code::PARAMETER_REQUEST_LIST).for_each(|code| this.requested[usize::from(code)] = true);
        // A router is of no use without the mask before it.
        this.requested[usize::from(code::SUBNET_MASK)] = true;
        let reservation = &place.reservation;
        if reservation.send_host_name {
            this.set(code::HOST_NAME, reservation.host_name.split('.').next().map(str::as_bytes));
        }
        this.set_name(code::BOOT_FILE_NAME, reservation.boot_file);
        this.set_name(code::SERVER_NAME, reservation.server_name);
        place.subnet.options.iter().chain(reservation.options.iter()).for_each(|(code, data)| this.set(code, data));
        this
    }

    fn set(&mut self, code: u8, data: Option<&'a [u8]>) {
        self.data[usize::from(code)] = data;
    }

    /// The header has it already; as an option it is for who asks.
    fn set_name(&mut self, code: u8, name: &'a str) {
        if self.requested[usize::from(code)] && !name.is_empty() {
            self.set(code, Some(name.as_bytes()));
        }
    }

    fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.data[usize::from(code)]
    }

    fn secs(&self, code: u8) -> Option<u32> {
        self.get(code)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn write_lease(&self, lent: Option<u32>, writer: &mut Writer<'_>) {
        let lease = lent.or(self.secs(code::LEASE_TIME)).unwrap_or(DEFAULT_LEASE_SECS);
        writer.option(code::LEASE_TIME, &lease.to_be_bytes());
        if lease == INFINITE_LEASE_SECS {
            return;
        }
        // RFC 2131 section 4.4.5: half and seven eighths of the lease; what was configured must come before its end.
        let renew = self.secs(code::RENEWAL_TIME).filter(|secs| *secs < lease).unwrap_or(lease / 2);
        let rebind = self.secs(code::REBINDING_TIME).filter(|secs| (renew..lease).contains(secs)).unwrap_or(lease - lease / 8);
        writer.option(code::RENEWAL_TIME, &renew.to_be_bytes());
        writer.option(code::REBINDING_TIME, &rebind.to_be_bytes());
    }

    /// Writes what was asked for, then the rest, each by importance, as long as there is room.
    fn write(&self, writer: &mut Writer<'_>) {
        let mut routed = false;
        for wanted in [true, false] {
            for (code, data) in ORDER.into_iter().filter_map(|code| Some((code, self.get(code)?))) {
                // RFC 3442: a client that understands 121 ignores the older two, so they are left out.
                let replaced = routed && matches!(code, code::ROUTERS | code::STATIC_ROUTES);
                // RFC 8925 section 3.3: whoever does not ask must not be told to do without IPv4.
                let is_unwished = !wanted && code == code::IPV6_ONLY_PREFERRED;
                if replaced || is_unwished || is_the_servers_own(code) || self.requested[usize::from(code)] != wanted {
                    continue;
                }
                let written = writer.option(code, data);
                routed |= written && wanted && code == code::CLASSLESS_ROUTES;
            }
        }
    }

    /// CMU's fixed fields: cookie, flags, mask, gateway, two DNS, two IEN-116 and two time servers.
    fn cmu_vendor(&self) -> [u8; CMU_VENDOR_BYTES] {
        let mut vendor = [0; CMU_VENDOR_BYTES];
        vendor[..4].copy_from_slice(&CMU_COOKIE);
        let flags = if self.get(code::SUBNET_MASK).is_some() { CMU_HAS_MASK } else { 0 };
        vendor[4..8].copy_from_slice(&flags.to_be_bytes());
        let fields = [(code::SUBNET_MASK, 8, 4), (code::ROUTERS, 12, 4), (code::DNS_SERVERS, 16, 8), (code::NAME_SERVERS, 24, 8), (code::TIME_SERVERS, 32, 8)];
        for (code, at, room) in fields {
            let addresses = self.get(code).unwrap_or_default();
            let len = addresses.len().min(room);
            vendor[at..at + len].copy_from_slice(&addresses[..len]);
        }
        vendor
    }
}

/// What no row can set: the server writes it itself, or only a client may say it.
fn is_the_servers_own(code: u8) -> bool {
    matches!(
        code,
        code::REQUESTED_ADDRESS
            | code::LEASE_TIME
            | code::OVERLOAD
            | code::MESSAGE_TYPE
            | code::SERVER_IDENTIFIER
            | code::PARAMETER_REQUEST_LIST
            | code::MESSAGE
            | code::MAXIMUM_MESSAGE_SIZE
            | code::RENEWAL_TIME
            | code::REBINDING_TIME
            | code::CLIENT_IDENTIFIER
            | code::CLIENT_FQDN
            | code::RELAY_AGENT
    )
}
