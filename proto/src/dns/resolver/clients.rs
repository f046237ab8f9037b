//! Who may ask a resolver: addresses alone decide, and no name of anybody's (BCP 140).

use crate::words::Subnet;
use std::net::IpAddr;

/// What somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything.
    Client,
    /// A departmental server: it is to ask the master, as any server of another institution would.
    Department,
    /// Nothing.
    Stranger,
}

/// Networks and what their machines may ask; of several that hold an address the longest decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// From each address on, until the next.
    from: Vec<(u128, Standing)>,
}

impl Default for Clients {
    /// Nobody may.
    fn default() -> Self {
        Self::new([])
    }
}

impl Clients {
    /// With these networks; of one that is named twice the last word counts.
    pub fn new(networks: impl IntoIterator<Item = (Subnet, Standing)>) -> Self {
        let mut spans: Vec<(u128, u128, Standing)> = networks.into_iter().map(|(subnet, standing)| span(subnet, standing)).collect();
        // Networks lie within each other or apart, so the enclosing one comes first, and of two that are the same the last word last.
        spans.sort_by_key(|(first, last, _)| (*first, std::cmp::Reverse(*last)));
        let (mut from, mut open) = (vec![(0, Standing::Stranger)], Vec::<(u128, Standing)>::new());
        for (first, last, standing) in spans {
            close(&mut from, &mut open, first);
            put(&mut from, first, standing);
            open.push((last, standing));
        }
        close(&mut from, &mut open, u128::MAX);
        Self { from }
    }

    /// What a client may ask.
    #[inline]
    pub fn standing(&self, client: IpAddr) -> Standing {
        let at = bits(client);
        let next = self.from.partition_point(|(first, _)| *first <= at);
        // The first begins at 0, so there is always one before.
        self.from[next - 1].1
    }
}

/// Ends what lies wholly before an address: behind each, the one around it goes on.
fn close(from: &mut Vec<(u128, Standing)>, open: &mut Vec<(u128, Standing)>, before: u128) {
    while let Some((last, _)) = open.last().copied().filter(|(last, _)| *last < before) {
        open.pop();
        let around = open.last().map_or(Standing::Stranger, |(_, standing)| *standing);
        put(from, last + 1, around);
    }
}

fn put(from: &mut Vec<(u128, Standing)>, first: u128, standing: Standing) {
    match from.last_mut() {
        Some(last) if last.0 == first => last.1 = standing,
        Some(last) if last.1 == standing => {}
        _ => from.push((first, standing)),
    }
}

fn span(subnet: Subnet, standing: Standing) -> (u128, u128, Standing) {
    let net = subnet.net();
    (bits(net.network()), bits(net.broadcast()), standing)
}

/// An IPv4 address as IPv6 has it (RFC 4291 section 2.5.5.2): one order for both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
