//! The record types that the answer path knows by number. Every other type is served as it stands (RFC 3597).

/// An IPv4 address, RFC 1035.
pub const A: u16 = 1;
/// A name server, RFC 1035.
pub const NS: u16 = 2;
/// An alias, RFC 1035.
pub const CNAME: u16 = 5;
/// The start of a zone, RFC 1035.
pub const SOA: u16 = 6;
/// A name for an address, RFC 1035.
pub const PTR: u16 = 12;
/// Machine and system, RFC 1035.
pub const HINFO: u16 = 13;
/// A mail exchanger, RFC 1035.
pub const MX: u16 = 15;
/// Text, RFC 1035.
pub const TXT: u16 = 16;
/// Who keeps a machine, RFC 1183.
pub const RP: u16 = 17;
/// An IPv6 address, RFC 3596.
pub const AAAA: u16 = 28;
/// A service's place, RFC 2782.
pub const SRV: u16 = 33;
/// Another name for all that lies below one, RFC 6672.
pub const DNAME: u16 = 39;
/// EDNS's pseudo-record, RFC 6891: never a question.
pub const OPT: u16 = 41;
/// The parent's side of a signed delegation, RFC 4034.
pub const DS: u16 = 43;
/// A signature over a set of records, RFC 4034.
pub const RRSIG: u16 = 46;
/// A name, what it has, and the next name, RFC 4034.
pub const NSEC: u16 = 47;
/// A zone's key, RFC 4034.
pub const DNSKEY: u16 = 48;
/// A part of a zone, RFC 1995: a transfer, not a question.
pub const IXFR: u16 = 251;
/// A whole zone, RFC 5936: a transfer, not a question.
pub const AXFR: u16 = 252;
/// Any type: a question only, RFC 8482.
pub const ANY: u16 = 255;
/// Who may issue certificates, RFC 8659.
pub const CAA: u16 = 257;
