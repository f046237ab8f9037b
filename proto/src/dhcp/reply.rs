//! Writes a packet within a budget of bytes.
//!
//! Why it exists: an old ROM has room for 64 bytes of vendor field and a modern client says how much it takes; whoever
//! gets more than it has room for does not boot. What it refuses: an option that does not fit (the caller offers them
//! by importance, so the least important are left out). How: the header first, options while there is room, then in the
//! header's unused `file` and `sname` where the client knows that (option 52, RFC 2132 section 9.3), the relay's option 82 as
//! it came and last (RFC 3046 section 2.1), the end mark, zeros up to 300 bytes.

use super::code;
use super::message::{HEADER_BYTES, Message, OPTIONS_COOKIE, Options};
use std::net::Ipv4Addr;

/// Old clients and relays drop a shorter packet (RFC 1542 section 2.1).
pub const SHORTEST_REPLY_BYTES: usize = 300;
/// What every DHCP client takes: a datagram of 576 bytes without its IP and UDP headers (RFC 2131 section 2).
pub const DHCP_REPLY_BYTES: usize = 576 - DATAGRAM_HEADER_BYTES;
/// What one Ethernet frame holds; nobody gets more, whatever it asks.
pub const LONGEST_REPLY_BYTES: usize = 1500 - DATAGRAM_HEADER_BYTES;
/// An IPv4 header without options and a UDP header.
pub(super) const DATAGRAM_HEADER_BYTES: usize = 28;
/// The longest option 82 that is copied back; beyond it there would be no room for an answer.
const RELAY_AGENT_LIMIT_BYTES: usize = LONGEST_REPLY_BYTES - DHCP_REPLY_BYTES;
const END_MARK_BYTES: usize = 1;

/// The fixed part of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// See [`Message::op`].
    pub op: u8,
    /// See [`Message::htype`].
    pub htype: u8,
    /// Length of the hardware address in bytes.
    pub hlen: u8,
    /// See [`Message::xid`].
    pub xid: [u8; 4],
    /// See [`Message::flags`].
    pub flags: u16,
    /// See [`Message::ciaddr`].
    pub ciaddr: Ipv4Addr,
    /// See [`Message::yiaddr`].
    pub yiaddr: Ipv4Addr,
    /// See [`Message::siaddr`].
    pub siaddr: Ipv4Addr,
    /// See [`Message::giaddr`].
    pub giaddr: Ipv4Addr,
    /// The hardware address, padded.
    pub chaddr: &'a [u8; 16],
    /// Left out where it is longer than 64 bytes.
    pub sname: &'a [u8],
    /// First part of the boot file; see [`Head::file`].
    pub file_directory: &'a [u8],
    /// Boot file; left out where it is longer than 128 bytes together with its directory.
    pub file: &'a [u8],
}

impl<'a> Head<'a> {
    /// The head of a reply to `request` that promises nothing yet.
    pub fn reply_to(request: &Message<'a>) -> Self {
        Self {
            op: super::message::BOOTREPLY,
            htype: request.htype,
            hlen: request.chaddr.len() as u8,
            xid: request.xid,
            flags: request.flags,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: request.giaddr,
            chaddr: request.chaddr_field,
            sname: &[],
            file_directory: &[],
            file: &[],
        }
    }

    /// `hops` and `secs` are zero in a reply (RFC 2131 table 3).
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.op, self.htype, self.hlen, 0]);
        out.extend_from_slice(&self.xid);
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.flags.to_be_bytes());
        [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr].iter().for_each(|address| out.extend_from_slice(&address.octets()));
        out.extend_from_slice(self.chaddr);
        put_padded::<64>(&[self.sname], out);
        put_padded::<128>(&[self.file_directory, self.file], out);
    }
}

/// Half a name would be another name, so one that does not fit is left out.
fn put_padded<const N: usize>(parts: &[&[u8]], out: &mut Vec<u8>) {
    let end = out.len() + N;
    if parts.iter().map(|part| part.len()).sum::<usize>() <= N {
        parts.iter().for_each(|part| out.extend_from_slice(part));
    }
    out.resize(end, 0);
}

/// `file` and `sname` in the header, in the order in which options are read from them (RFC 3396 section 5), with their bits in
/// option 52.
const OVERLOADED: [(std::ops::Range<usize>, u8); 2] = [(108..236, 1), (44..108, 2)];
/// Code, length and value of option 52.
const OVERLOAD_BYTES: usize = 3;

/// A packet being written: the head is done, options may follow.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    limit_bytes: usize,
    /// How much of [`OVERLOADED`] holds options; `None` where the header's own value stands there, or none may.
    overload: [Option<usize>; 2],
}

impl<'o> Writer<'o> {
    /// Starts a packet with options. It gets at most `limit_bytes` (300 are always allowed), not counting what
    /// [`Writer::finish`] copies for the relay, which takes it out again; with it, at most [`LONGEST_REPLY_BYTES`].
    pub fn start(out: &'o mut Vec<u8>, head: &Head<'_>, limit_bytes: usize, relayed: Options<'_>) -> Self {
        out.clear();
        head.write(out);
        debug_assert_eq!(out.len(), HEADER_BYTES);
        out.extend_from_slice(&OPTIONS_COOKIE);
        let longest = LONGEST_REPLY_BYTES - relay_agent_bytes(relayed);
        Self { out, limit_bytes: limit_bytes.clamp(SHORTEST_REPLY_BYTES, longest), overload: [None; 2] }
    }

    /// From here on, what does not fit goes into the parts of the header that are empty. Not for BOOTP: its clients know no
    /// option 52.
    pub fn overload(mut self) -> Self {
        let is_free = |(range, _): (std::ops::Range<usize>, u8)| self.out[range].iter().all(|byte| *byte == 0).then_some(0);
        let free = OVERLOADED.map(is_free);
        if free.iter().any(Option::is_some) {
            self.limit_bytes -= OVERLOAD_BYTES;
        }
        self.overload = free;
        self
    }

    /// Writes an option, split where it is long (RFC 3396); `false`, and nothing written, where there is no room.
    pub fn option(&mut self, code: u8, data: &[u8]) -> bool {
        let whole = [data];
        let pieces: &[&[u8]] = if data.is_empty() { &whole } else { &[] };
        self.pieces(code, pieces.iter().copied().chain(data.chunks(255)))
    }

    /// Writes an option in the pieces that it came in; `false`, and nothing written, where there is no room.
    pub fn pieces<'d>(&mut self, code: u8, pieces: impl Iterator<Item = &'d [u8]> + Clone) -> bool {
        let fits = self.out.len() + encoded_bytes(pieces.clone()) + END_MARK_BYTES <= self.limit_bytes;
        if fits {
            put_pieces(code, pieces.clone(), self.out);
        }
        fits || self.pieces_in_header(code, pieces)
    }

    /// An option stands in one place as a whole, so that nobody needs to join it.
    fn pieces_in_header<'d>(&mut self, code: u8, pieces: impl Iterator<Item = &'d [u8]> + Clone) -> bool {
        let len = encoded_bytes(pieces.clone());
        for ((range, _), used) in OVERLOADED.into_iter().zip(&mut self.overload) {
            let Some(used) = used.as_mut().filter(|used| **used + len + END_MARK_BYTES <= range.len()) else { continue };
            for piece in pieces {
                let at = range.start + *used;
                self.out[at..at + 2].copy_from_slice(&[code, piece.len() as u8]);
                self.out[at + 2..at + 2 + piece.len()].copy_from_slice(piece);
                *used += 2 + piece.len();
            }
            return true;
        }
        false
    }

    /// Ends the options in the header and says with option 52 that they are there.
    fn finish_header(&mut self) {
        let mut which = 0;
        for ((range, bit), used) in OVERLOADED.into_iter().zip(self.overload) {
            if let Some(used) = used.filter(|used| *used > 0) {
                self.out[range.start + used] = code::END;
                which |= bit;
            }
        }
        if which != 0 {
            self.out.extend_from_slice(&[code::OVERLOAD, 1, which]);
        }
    }

    /// Copies the relay's option back, raw and last, ends and pads.
    pub fn finish(mut self, relayed: Options<'_>) {
        self.finish_header();
        if relay_agent_bytes(relayed) > 0 {
            put_pieces(code::RELAY_AGENT, relayed.pieces(code::RELAY_AGENT), self.out);
        }
        self.out.push(code::END);
        pad(self.out);
    }
}

/// Writes a packet with another kind of vendor field.
pub fn write_without_options(out: &mut Vec<u8>, head: &Head<'_>, vendor: &[u8]) {
    out.clear();
    head.write(out);
    out.extend_from_slice(vendor);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().max(SHORTEST_REPLY_BYTES), 0);
}

fn put_pieces<'d>(code: u8, pieces: impl Iterator<Item = &'d [u8]>, out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(&[code, piece.len() as u8]);
        out.extend_from_slice(piece);
    }
}

fn encoded_bytes<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> usize {
    pieces.map(|piece| 2 + piece.len()).sum()
}

/// Zero where there is none, or one too long to be copied back.
fn relay_agent_bytes(relayed: Options<'_>) -> usize {
    let bytes = encoded_bytes(relayed.pieces(code::RELAY_AGENT));
    if bytes <= RELAY_AGENT_LIMIT_BYTES { bytes } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::message::{BOOTREPLY, Vendor};
    use super::*;
    use proptest::prelude::*;

    const NO_OPTIONS: &[u8] = &[0; HEADER_BYTES];

    fn head(chaddr: &[u8; 16]) -> Head<'_> {
        let [ciaddr, yiaddr, siaddr, giaddr] = [1, 2, 3, 4].map(|last| Ipv4Addr::new(10, 1, 4, last));
        let (sname, file_directory, file) = (&b"boot"[..], &b"/tftpboot/"[..], &b"ws7"[..]);
        Head { op: BOOTREPLY, htype: 1, hlen: 6, xid: [1, 2, 3, 4], flags: 0x8000, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file_directory, file }
    }

    #[test]
    fn a_name_that_does_not_fit_is_left_out_whole() {
        let (chaddr, mut out) = ([0; 16], Vec::new());
        write_without_options(&mut out, &Head { file: &[b'x'; 118], sname: &[b'y'; 64], ..head(&chaddr) }, &[]);
        let message = Message::parse(&out).unwrap();
        assert_eq!((message.file.len(), message.sname.len(), message.len), (128, 64, 300));
        write_without_options(&mut out, &Head { file: &[b'x'; 119], sname: &[b'y'; 65], ..head(&chaddr) }, &[]);
        let message = Message::parse(&out).unwrap();
        assert_eq!((message.file, message.sname, message.vendor), (&b""[..], &b""[..], Vendor::Absent));
    }

    #[test]
    fn what_finds_no_room_goes_into_the_unused_parts_of_the_header() {
        let nobody = Message::parse(NO_OPTIONS).unwrap().options;
        let (chaddr, mut out) = ([0; 16], Vec::new());
        let bare = Head { sname: &[], file: &[], file_directory: &[], ..head(&chaddr) };
        for (start, areas) in [(bare, [true, true, false]), (Head { sname: b"boot", ..bare }, [true, false, false]), (head(&chaddr), [false; 3])] {
            let mut writer = Writer::start(&mut out, &start, 300, nobody).overload();
            assert!(writer.option(15, &[b'a'; 50]));
            let fitted = [(60, 125), (61, 61), (62, 9)].map(|(code, len)| writer.option(code, &vec![b'b'; len]));
            writer.finish(nobody);
            assert_eq!((fitted, out.len()), (areas, 300));
            let reply = Message::parse(&out).unwrap();
            assert_eq!([60, 61, 62].map(|code| reply.options.has(code)), areas);
            assert!(reply.options.bytes(15).eq([b'a'; 50]));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_within_its_budget(
            limit in 0usize..2000,
            options in prop::collection::btree_map(60u8..80, prop::collection::vec(any::<u8>(), 0..300), 0..6),
            agent in prop::collection::vec(any::<u8>(), 0..255),
        ) {
            let request = [NO_OPTIONS, &OPTIONS_COOKIE, &[82, agent.len() as u8], &agent].concat();
            let relayed = Message::parse(&request).unwrap().options;
            let (chaddr, mut out) = ([7; 16], Vec::new());
            let mut writer = Writer::start(&mut out, &head(&chaddr), limit, relayed);
            let written: Vec<_> = options.iter().filter(|(code, data)| writer.option(**code, data)).collect();
            writer.finish(relayed);
            prop_assert!((300..=LONGEST_REPLY_BYTES).contains(&out.len()));
            prop_assert!(out.len() <= limit.max(300) + agent.len() + 2);
            let message = Message::parse(&out).unwrap();
            prop_assert_eq!((message.xid, message.yiaddr, message.giaddr), ([1, 2, 3, 4], Ipv4Addr::new(10, 1, 4, 2), Ipv4Addr::new(10, 1, 4, 4)));
            prop_assert_eq!((message.file, message.sname, message.chaddr), (&b"/tftpboot/ws7"[..], &b"boot"[..], &[7; 6][..]));
            for (code, data) in &written {
                prop_assert!(message.options.bytes(**code).eq(data.iter().copied()));
            }
            let found = message.options.iter().map(|(code, _)| code).collect::<std::collections::BTreeSet<_>>();
            prop_assert_eq!(found.len(), written.len() + 1, "nothing else");
            prop_assert_eq!(message.options.iter().last(), Some((82, &agent[..])));
        }
    }
}
