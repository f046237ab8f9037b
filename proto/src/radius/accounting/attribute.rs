//! The attribute types that sessions are told by.

/// Whose session it is.
pub const USER_NAME: u8 = 1;
/// The NAS, by itself.
pub const NAS_IP_ADDRESS: u8 = 4;
/// The port, as a number.
pub const NAS_PORT: u8 = 5;
/// What kind of service.
pub const SERVICE_TYPE: u8 = 6;
/// The address that the user has.
pub const FRAMED_IP_ADDRESS: u8 = 8;
/// What the user came to: a number, or an access point and its network.
pub const CALLED_STATION_ID: u8 = 30;
/// Where the user comes from: a number, or a hardware address.
pub const CALLING_STATION_ID: u8 = 31;
/// What the NAS calls itself.
pub const NAS_IDENTIFIER: u8 = 32;
/// Start, stop, interim (RFC 2866 section 5.1).
pub const ACCT_STATUS_TYPE: u8 = 40;
/// For how many seconds the NAS has tried to say it.
pub const ACCT_DELAY_TIME: u8 = 41;
/// Octets from the user, modulo 2^32.
pub const ACCT_INPUT_OCTETS: u8 = 42;
/// Octets to the user, modulo 2^32.
pub const ACCT_OUTPUT_OCTETS: u8 = 43;
/// Which session.
pub const ACCT_SESSION_ID: u8 = 44;
/// How the user was authenticated.
pub const ACCT_AUTHENTIC: u8 = 45;
/// For how many seconds it lasts.
pub const ACCT_SESSION_TIME: u8 = 46;
/// Packets from the user.
pub const ACCT_INPUT_PACKETS: u8 = 47;
/// Packets to the user.
pub const ACCT_OUTPUT_PACKETS: u8 = 48;
/// Why it ended (RFC 2866 section 5.10).
pub const ACCT_TERMINATE_CAUSE: u8 = 49;
/// Which sessions belong together.
pub const ACCT_MULTI_SESSION_ID: u8 = 50;
/// How many links do.
pub const ACCT_LINK_COUNT: u8 = 51;
/// How often the octets from the user have passed 2^32 (RFC 2869 section 5.1).
pub const ACCT_INPUT_GIGAWORDS: u8 = 52;
/// How often the octets to the user have (RFC 2869 section 5.2).
pub const ACCT_OUTPUT_GIGAWORDS: u8 = 53;
/// When it happened, in seconds since 1970 (RFC 2869 section 5.3).
pub const EVENT_TIMESTAMP: u8 = 55;
/// What kind of port.
pub const NAS_PORT_TYPE: u8 = 61;
/// How fast the line is.
pub const CONNECT_INFO: u8 = 77;
/// The port, as a name (RFC 2869 section 5.17).
pub const NAS_PORT_ID: u8 = 87;
/// The NAS, by itself (RFC 3162).
pub const NAS_IPV6_ADDRESS: u8 = 95;
/// The network that the user has (RFC 3162).
pub const FRAMED_IPV6_PREFIX: u8 = 97;
/// Who runs the NAS (RFC 5580).
pub const OPERATOR_NAME: u8 = 126;
/// The address that the user has (RFC 6911).
pub const FRAMED_IPV6_ADDRESS: u8 = 168;
