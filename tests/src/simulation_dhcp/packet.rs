use holdfast_proto::dhcp::Kind;
use holdfast_proto::dhcp::message::{HEADER_BYTES, Message, OPTIONS_COOKIE};
use std::net::Ipv4Addr;

/// The relay that brings every packet.
pub(super) const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 4, 1);

/// What a client calls itself: more clients than names, so that they are at odds.
pub(super) fn host_name(client: usize) -> String {
    format!("pc{}", client % 5)
}

/// What a client says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Says {
    pub kind: Kind,
    pub xid: u32,
    pub ciaddr: Option<Ipv4Addr>,
    pub wish: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
}

/// What a client hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hears {
    pub kind: Kind,
    pub xid: u32,
    pub address: Ipv4Addr,
    pub server: Ipv4Addr,
    pub lease_secs: u32,
}

/// The hardware address of a client.
pub(super) fn mac(client: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, client as u8]
}

impl Says {
    /// As the relay passes it on.
    pub fn encode(self, client: usize) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out[..4].copy_from_slice(&[1, 1, 6, 1]);
        out[4..8].copy_from_slice(&self.xid.to_be_bytes());
        out[12..16].copy_from_slice(&self.ciaddr.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        out[24..28].copy_from_slice(&RELAY.octets());
        out[28..34].copy_from_slice(&mac(client));
        out.extend_from_slice(&OPTIONS_COOKIE);
        out.extend_from_slice(&[53, 1, self.kind.to_wire().unwrap_or_default()]);
        let name = host_name(client);
        out.extend_from_slice(&[12, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
        for (code, address) in [(50, self.wish), (54, self.server)] {
            if let Some(address) = address {
                out.extend_from_slice(&[code, 4]);
                out.extend_from_slice(&address.octets());
            }
        }
        out.push(255);
        out
    }
}

impl Hears {
    /// Reads a reply; `None` for what no client could use.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let reply = Message::parse(bytes).ok()?;
        Some(Self {
            kind: reply.kind(),
            xid: u32::from_be_bytes(reply.xid),
            address: reply.yiaddr,
            server: reply.options.address(54)?,
            lease_secs: reply.options.fixed(51).map_or(0, u32::from_be_bytes),
        })
    }
}
