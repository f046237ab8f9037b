//! The numbers of RFC 2132 and its successors that this core knows by name; every other option passes through as bytes.

use super::message::Message;

/// Fills; has no length.
pub const PAD: u8 = 0;
/// Subnet mask.
pub const SUBNET_MASK: u8 = 1;
/// Routers.
pub const ROUTERS: u8 = 3;
/// Time servers (RFC 868).
pub const TIME_SERVERS: u8 = 4;
/// IEN-116 name servers.
pub const NAME_SERVERS: u8 = 5;
/// DNS servers.
pub const DNS_SERVERS: u8 = 6;
/// Host name.
pub const HOST_NAME: u8 = 12;
/// Boot file size in blocks of 512 bytes.
pub const BOOT_FILE_SIZE: u8 = 13;
/// Domain name.
pub const DOMAIN_NAME: u8 = 15;
/// Root path.
pub const ROOT_PATH: u8 = 17;
/// Static routes by class; RFC 3442 replaces them.
pub const STATIC_ROUTES: u8 = 33;
/// NTP servers.
pub const NTP_SERVERS: u8 = 42;
/// The address that the client would like.
pub const REQUESTED_ADDRESS: u8 = 50;
/// Lease time in seconds.
pub const LEASE_TIME: u8 = 51;
/// `file` (1), `sname` (2) or both (3) hold options.
pub const OVERLOAD: u8 = 52;
/// What kind of DHCP message; its absence makes it BOOTP.
pub const MESSAGE_TYPE: u8 = 53;
/// The server's address.
pub const SERVER_IDENTIFIER: u8 = 54;
/// The options that the client would like.
pub const PARAMETER_REQUEST_LIST: u8 = 55;
/// Text for people.
pub const MESSAGE: u8 = 56;
/// The longest datagram that the client takes, with its IP and UDP headers.
pub const MAXIMUM_MESSAGE_SIZE: u8 = 57;
/// When to renew, in seconds.
pub const RENEWAL_TIME: u8 = 58;
/// When to ask everybody, in seconds.
pub const REBINDING_TIME: u8 = 59;
/// What the client calls itself.
pub const CLIENT_IDENTIFIER: u8 = 61;
/// What kind of machine it is, in its maker's words.
pub const VENDOR_CLASS: u8 = 60;
/// `sname` as an option.
pub const SERVER_NAME: u8 = 66;
/// `file` as an option.
pub const BOOT_FILE_NAME: u8 = 67;
/// The client's full name, and who enters it into DNS (RFC 4702).
pub const CLIENT_FQDN: u8 = 81;
/// What the relay added (RFC 3046).
pub const RELAY_AGENT: u8 = 82;
/// The client may do without IPv4 (RFC 8925).
pub const IPV6_ONLY_PREFERRED: u8 = 108;
/// Classless static routes (RFC 3442).
pub const CLASSLESS_ROUTES: u8 = 121;
/// Ends the options; has no length.
pub const END: u8 = 255;

/// Sub-option of [`RELAY_AGENT`]: the port of the network that the client hangs at.
pub const CIRCUIT_ID: u8 = 1;
/// Sub-option of [`RELAY_AGENT`]: who is at the other end of that port.
pub const REMOTE_ID: u8 = 2;
/// Sub-option of [`RELAY_AGENT`]: the address that we are to have for the client (RFC 5107).
pub const SERVER_IDENTIFIER_OVERRIDE: u8 = 11;
/// Sub-option of [`RELAY_AGENT`]: replies go to the port that the relay asked from (RFC 8357 section 5.1).
pub const RELAY_SOURCE_PORT: u8 = 19;
/// Sub-option of [`RELAY_AGENT`]: an address on the client's subnet (RFC 3527).
pub const LINK_SELECTION: u8 = 5;

/// What kind of message it is, for decisions and for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No option 53: RFC 951.
    Bootp,
    /// The client looks for servers.
    Discover,
    /// A server offers an address.
    Offer,
    /// The client takes an offer, or wants to keep what it has.
    Request,
    /// The client found its address in use.
    Decline,
    /// The server agrees.
    Ack,
    /// The server refuses.
    Nak,
    /// The client gives its address back.
    Release,
    /// The client has an address and wants the options.
    Inform,
    /// A type that this core does not speak.
    Other,
    /// No packet of this protocol at all.
    Unreadable,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Bootp,
        Self::Discover,
        Self::Offer,
        Self::Request,
        Self::Decline,
        Self::Ack,
        Self::Nak,
        Self::Release,
        Self::Inform,
        Self::Other,
        Self::Unreadable,
    ];

    /// The kind of a packet that is not parsed yet.
    pub fn of(packet: &[u8]) -> Self {
        Message::parse(packet).map_or(Self::Unreadable, |message| message.kind())
    }

    /// The kind that option 53 names (RFC 2132 section 9.6).
    pub fn from_wire(value: u8) -> Self {
        [Self::Discover, Self::Offer, Self::Request, Self::Decline, Self::Ack, Self::Nak, Self::Release, Self::Inform]
            .get(usize::from(value).wrapping_sub(1))
            .copied()
            .unwrap_or(Self::Other)
    }

    /// The value of option 53; `None` for what has none.
    pub fn to_wire(self) -> Option<u8> {
        (1..=8).find(|value| Self::from_wire(*value) == self)
    }

    /// The stable word for counters.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bootp => "bootp",
            Self::Discover => "discover",
            Self::Offer => "offer",
            Self::Request => "request",
            Self::Decline => "decline",
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::Release => "release",
            Self::Inform => "inform",
            Self::Other => "other",
            Self::Unreadable => "unreadable",
        }
    }
}
