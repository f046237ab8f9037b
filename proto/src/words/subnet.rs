use super::{WordError, serde_as_text};
use ipnet::IpNet;
use std::{fmt, net::IpAddr, str::FromStr};

/// An IP network without host bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet(IpNet);

impl Subnet {
    /// The network that `address` lies in at this prefix length, or `None` where the length is too great for the family.
    pub fn around(address: IpAddr, prefix_len: u8) -> Option<Self> {
        IpNet::new(address, prefix_len).ok().map(|net| Self(net.trunc()))
    }

    /// The network as `ipnet` knows it.
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// Whether a host may have this address: it lies inside, and for IPv4 is neither network nor broadcast (RFC 3021 /31 and /32 excepted).
    pub fn can_hold(&self, address: IpAddr) -> bool {
        let inside = self.0.contains(&address);
        let IpNet::V4(net) = self.0 else { return inside };
        inside && (net.prefix_len() >= 31 || (address != IpAddr::V4(net.network()) && address != IpAddr::V4(net.broadcast())))
    }
}

impl FromStr for Subnet {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let net: IpNet = text.parse().map_err(|_| WordError::new("subnet", text, "is not a network such as 10.1.4.0/22 or 2001:db8:1::/64"))?;
        if net.addr() != net.network() {
            return Err(WordError::new("subnet", text, "has host bits set: give its first address"));
        }
        Ok(Self(net))
    }
}

impl TryFrom<IpNet> for Subnet {
    type Error = WordError;

    fn try_from(net: IpNet) -> Result<Self, WordError> {
        net.to_string().parse()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Subnet);

#[cfg(test)]
mod tests {
    use super::Subnet;

    #[test]
    fn host_bits_are_refused() {
        assert!("10.1.4.1/22".parse::<Subnet>().is_err());
        assert_eq!("10.1.4.0/22".parse::<Subnet>().unwrap().to_string(), "10.1.4.0/22");
    }

    #[test]
    fn network_and_broadcast_are_nobodys_address() {
        let subnet: Subnet = "10.1.4.0/22".parse().unwrap();
        assert!(!subnet.can_hold("10.1.4.0".parse().unwrap()));
        assert!(!subnet.can_hold("10.1.7.255".parse().unwrap()));
        assert!(!subnet.can_hold("10.1.8.1".parse().unwrap()));
        assert!(subnet.can_hold("10.1.7.254".parse().unwrap()));
        assert!("10.0.0.0/31".parse::<Subnet>().unwrap().can_hold("10.0.0.0".parse().unwrap()));
    }
}
