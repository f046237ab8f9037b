use super::edns::{Edns, ExtendedError, Opt};
use super::message::{CLASS_CH, CLASS_IN, HEADER_BYTES, Malformed, Query, Rcode, number_at};
use super::name::Name;
use super::{RowError, RrSetRef, rtype};

/// Our EDNS payload, both ways: what passes every link unfragmented (RFC 9715).
pub const UDP_PAYLOAD_LIMIT_BYTES: usize = 1232;
/// What a client without EDNS takes, RFC 1035 section 4.2.1.
const PLAIN_PAYLOAD_LIMIT_BYTES: usize = 512;
/// What the length before a message on TCP can say, RFC 1035 section 4.2.2.
pub const TCP_MESSAGE_LIMIT_BYTES: usize = u16::MAX as usize;
/// The first offset that a compression pointer cannot name, RFC 1035 section 4.1.4.
const POINTER_LIMIT: usize = 0x4000;

pub(super) const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
pub(super) const FLAG_TRUNCATED: u8 = 0x02;
pub(super) const FLAG_RECURSION_DESIRED: u8 = 0x01;
pub(super) const OPCODE_MASK: u8 = 0x78;
/// In the second byte of flags (RFC 1035 section 4.1.1, RFC 4035 section 3).
pub(super) const FLAG_RECURSION_AVAILABLE: u8 = 0x80;
pub(super) const FLAG_AUTHENTIC_DATA: u8 = 0x20;
pub(super) const FLAG_CHECKING_DISABLED: u8 = 0x10;

/// What ends the writing of a reply before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It does not fit.
    Full,
    /// A row is not what the composer may write.
    Damaged,
}

impl From<RowError> for Stop {
    fn from(_: RowError) -> Self {
        Self::Damaged
    }
}

/// Where a record goes, by its count's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// The owner of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner<'a> {
    /// It stands in the message already, at this offset.
    At(u16),
    /// An uncompressed name.
    Wire(&'a [u8]),
}

/// The question's name, which every reply repeats behind its header.
pub(super) const QUESTION_OWNER: Owner<'static> = Owner::At(HEADER_BYTES as u16);

/// A reply being written into a lent buffer, which it never lets grow over its limit.
pub(super) struct Reply<'a> {
    out: &'a mut Vec<u8>,
    query: &'a Query<'a>,
    opt: Option<Opt<'a>>,
    /// What records may fill; an OPT fits behind it.
    limit_bytes: usize,
    counts: [u16; 3],
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    /// The flags that a resolver sets: RA, AD and CD.
    pub(super) resolver_flags: u8,
    /// Said to people beside an error's code; what is said with records is as short as their limit allows.
    pub(super) remark: &'a str,
}

impl<'a> Reply<'a> {
    /// Starts with header and question, the question as it came, to the last bit of its case.
    pub(super) fn begin(query: &'a Query<'a>, opt: Option<Opt<'a>>, transport_limit_bytes: usize, out: &'a mut Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(&query.packet[..query.question_end]);
        // A question of 255 bytes and every option of ours fit into the smallest of limits, with some room to spare.
        let limit_bytes = transport_limit_bytes - opt.map_or(0, |opt| opt.len());
        Self { out, query, opt, limit_bytes, counts: [0; 3], authoritative: false, truncated: false, resolver_flags: 0, remark: "" }
    }

    /// How many records each section has so far.
    pub(super) fn counts(&self) -> [u16; 3] {
        self.counts
    }

    /// Takes all records back.
    pub(super) fn clear(&mut self) {
        self.take_back_to((self.query.question_end, [0; 3]));
    }

    /// Takes all records back and says that they do not fit.
    pub(super) fn truncate(&mut self) {
        self.clear();
        self.truncated = true;
    }

    /// Writes what `write` wants, or nothing of it where it does not fit.
    pub(super) fn if_it_fits(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        let mark = (self.out.len(), self.counts);
        match write(self) {
            Err(Stop::Full) => {
                self.take_back_to(mark);
                Ok(())
            }
            other => other,
        }
    }

    fn take_back_to(&mut self, (len, counts): (usize, [u16; 3])) {
        self.out.truncate(len);
        self.counts = counts;
    }

    /// Writes all records of a set. Gives the offset of the last record's rdata.
    pub(super) fn put_rrset(&mut self, section: Section, owner: Owner<'_>, rrset: RrSetRef<'_>, ttl_s: u32) -> Result<usize, Stop> {
        let mut rdata_at = 0;
        for rdata in rrset.rdatas() {
            rdata_at = self.put_record(section, owner, rrset.rtype, ttl_s, rdata?)?;
        }
        Ok(rdata_at)
    }

    /// Writes all records of a set in the order of these places.
    pub(super) fn put_sorted(&mut self, section: Section, owner: Owner<'_>, rrset: RrSetRef<'_>, places: &[u8]) -> Result<(), Stop> {
        for place in places {
            let rdata = rrset.rdatas().nth(usize::from(*place)).ok_or(Stop::Damaged)??;
            self.put_record(section, owner, rrset.rtype, rrset.ttl, rdata)?;
        }
        Ok(())
    }

    /// Writes one record; gives the offset of its rdata.
    pub(super) fn put_record(&mut self, section: Section, owner: Owner<'_>, rtype: u16, ttl_s: u32, rdata: &[u8]) -> Result<usize, Stop> {
        self.put_owner(owner)?;
        self.put_fields(rtype, ttl_s, rdata.len())?;
        let rdata_at = self.out.len();
        self.put_rdata(rtype, rdata)?;
        let written = (self.out.len() - rdata_at) as u16;
        self.out[rdata_at - 2..rdata_at].copy_from_slice(&written.to_be_bytes());
        // A message has 65535 bytes at most, so it never has that many records.
        self.counts[section as usize] += 1;
        Ok(rdata_at)
    }

    /// Writes what a server says of itself: a TXT record of class CH at the question's name (RFC 4892 section 3).
    pub(super) fn put_own_text(&mut self, text: &[u8]) -> Result<(), Stop> {
        self.put_owner(QUESTION_OWNER)?;
        let [t0, t1] = rtype::TXT.to_be_bytes();
        let len = u8::try_from(text.len()).map_err(|_| Stop::Full)?;
        self.put(&[t0, t1, 0, CLASS_CH as u8, 0, 0, 0, 0, 0, len + 1, len])?;
        self.put(text)?;
        self.counts[Section::Answer as usize] += 1;
        Ok(())
    }

    fn put_owner(&mut self, owner: Owner<'_>) -> Result<(), Stop> {
        match owner {
            Owner::At(offset) => self.put(&(0xc000 | offset).to_be_bytes()),
            Owner::Wire(wire) => self.put_name(wire).map(drop),
        }
    }

    fn put_fields(&mut self, rtype: u16, ttl_s: u32, rdata_len: usize) -> Result<(), Stop> {
        let [t0, t1] = rtype.to_be_bytes();
        let [c0, c1] = CLASS_IN.to_be_bytes();
        let [l0, l1, l2, l3] = ttl_s.to_be_bytes();
        let [r0, r1] = (rdata_len as u16).to_be_bytes();
        self.put(&[t0, t1, c0, c1, l0, l1, l2, l3, r0, r1])
    }

    /// Compresses the names of the types that RFC 1035 defines; all others go as they are (RFC 3597 section 4).
    fn put_rdata(&mut self, rtype: u16, rdata: &[u8]) -> Result<(), Stop> {
        let (fixed, names) = match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => return self.put(rdata),
        };
        let (fixed, mut rest) = rdata.split_at_checked(fixed).ok_or(Stop::Damaged)?;
        self.put(fixed)?;
        for _ in 0..names {
            rest = self.put_name(rest)?;
        }
        self.put(rest)
    }

    /// Writes the name that `wire` starts with, its end as a pointer into the question where they share it. Gives what follows the name.
    fn put_name<'w>(&mut self, wire: &'w [u8]) -> Result<&'w [u8], Stop> {
        let name = Name::read(wire).ok_or(Stop::Damaged)?;
        let shared = name.shared_labels(&self.query.name);
        // Without a shared label only the root is left, which is shorter than a pointer.
        self.put(&wire[..name.start_of(shared)])?;
        match shared {
            0 => self.put(&[0])?,
            _ => self.put(&(0xc000 | (HEADER_BYTES + self.query.name.start_of(shared)) as u16).to_be_bytes())?,
        }
        Ok(&wire[name.len()..])
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.out.len() + bytes.len() > self.limit_bytes {
            return Err(Stop::Full);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes OPT and header: the reply is ready to go.
    pub(super) fn finish(self, rcode: Rcode, why: Option<ExtendedError>) {
        let mut additionals = self.counts[Section::Additional as usize];
        if let Some(opt) = self.opt {
            opt.put(self.out, rcode, why, self.remark);
            additionals += 1;
        }
        let opcode = self.query.packet[2] & OPCODE_MASK;
        let mut flags = FLAG_RESPONSE | opcode;
        if opcode == 0 {
            flags |= self.query.packet[2] & FLAG_RECURSION_DESIRED;
        }
        if self.authoritative {
            flags |= FLAG_AUTHORITATIVE;
        }
        if self.truncated {
            flags |= FLAG_TRUNCATED;
        }
        put_header(self.out, flags, rcode, [1, self.counts[0], self.counts[1], additionals]);
        self.out[3] |= self.resolver_flags;
    }
}

/// How long a reply by UDP may be.
pub(super) fn udp_limit_bytes(edns: Option<Edns<'_>>) -> usize {
    edns.map_or(PLAIN_PAYLOAD_LIMIT_BYTES, |edns| usize::from(edns.payload_bytes).clamp(PLAIN_PAYLOAD_LIMIT_BYTES, UDP_PAYLOAD_LIMIT_BYTES))
}

/// An offset as a record's owner, where a pointer can name it.
pub(super) fn owner_at(offset: usize) -> Option<Owner<'static>> {
    (offset < POINTER_LIMIT).then_some(Owner::At(offset as u16))
}

/// Writes the reply to a packet that is no query: its id and opcode, the question where it could be read, and no other flag of the client's.
pub(super) fn put_error(packet: &[u8], readable: Malformed, rcode: Rcode, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&packet[..readable.readable_end]);
    let flags = FLAG_RESPONSE | (packet[2] & OPCODE_MASK);
    put_header(out, flags, rcode, [u16::from(readable.readable_end > HEADER_BYTES), 0, 0, 0]);
}

/// Sets everything of the header but the id, which stands there since the question was copied.
pub(super) fn put_header(out: &mut [u8], flags: u8, rcode: Rcode, counts: [u16; 4]) {
    out[2] = flags;
    out[3] = rcode as u8 & 15;
    for (place, count) in out[4..HEADER_BYTES].chunks_exact_mut(2).zip(counts) {
        place.copy_from_slice(&count.to_be_bytes());
    }
}

/// Whether a packet is a reply already.
pub(super) fn is_response(packet: &[u8]) -> bool {
    packet[2] & FLAG_RESPONSE != 0
}

/// What a packet asks for (RFC 1035 section 4.1.1).
pub(super) fn opcode(packet: &[u8]) -> u8 {
    (packet[2] & OPCODE_MASK) >> 3
}

/// The minimum field of an SOA's rdata, its last number.
pub(super) fn soa_minimum_s(rdata: &[u8]) -> Option<u32> {
    let at = rdata.len().checked_sub(4)?;
    Some(u32::from(number_at(rdata, at)?) << 16 | u32::from(number_at(rdata, at + 2)?))
}
