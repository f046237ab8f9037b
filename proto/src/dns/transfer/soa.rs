use crate::words::{DomainName, Serial};

/// The numbers of a SOA (RFC 1035 section 3.3.13), times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soa {
    /// Which state of the zone it is.
    pub serial: Serial,
    /// How often a secondary asks.
    pub refresh_s: u32,
    /// How soon it asks again after a failure.
    pub retry_s: u32,
    /// After how long without an answer it gives the zone up.
    pub expire_s: u32,
    /// How long a denial may be remembered (RFC 2308).
    pub minimum_s: u32,
}

impl Soa {
    /// Out of uncompressed rdata; `None` where that is no SOA's.
    pub fn of(rdata: &[u8]) -> Option<Self> {
        let (names, numbers) = rdata.split_last_chunk::<20>()?;
        let end = name_end(names)?;
        DomainName::from_wire(&names[..end])?;
        DomainName::from_wire(&names[end..])?;
        let number = |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
        Some(Self { serial: Serial(number(0)), refresh_s: number(4), retry_s: number(8), expire_s: number(12), minimum_s: number(16) })
    }
}

fn name_end(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match usize::from(*wire.get(at)?) {
            0 => return Some(at + 1),
            length => at += 1 + length,
        }
    }
}
