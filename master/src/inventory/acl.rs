//! Which sources may come in from a subnet or a router's port, as lines for the box that asks them (BCP 38): all of its subnets and nothing
//! else. The text is made here and nowhere looked up: what a router is told is what the registry says.

use super::{Problem, Refusal};
use crate::db::{DbError, subnets, topology};
use holdfast_proto::words::Subnet;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use std::fmt::Write;

/// In whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For `nft -f`: a table of its own, hooked where packets are handed on.
    Nft,
    /// Access lists of Cisco IOS, one for each family.
    Cisco,
    /// Prefix lists of Cisco IOS and FRR.
    PrefixList,
}

/// Where packets come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// From a subnet.
    Subnet(Subnet),
    /// By a port of a router, with whatever stands behind it.
    Port(String, String),
}

/// The lines for a place.
pub async fn acl(pool: &PgPool, place: &Place, format: Format) -> Result<String, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let missing = |what: String| Refusal::Missing(Problem::new("no-such-object", "", format!("there is no {what}")));
    let (called, networks) = match place {
        Place::Subnet(network) => {
            let known = subnets::networks(&mut db).await?.into_iter().any(|(_, known)| known == *network);
            if !known {
                return Err(missing(format!("subnet {network}")));
            }
            (network.to_string(), vec![*network])
        }
        Place::Port(router, port) => {
            let routers = topology::routers(&mut db).await?;
            let router = routers.into_iter().map(|kept| kept.draft).find(|known| known.name == *router).ok_or_else(|| missing(format!("router {router}")))?;
            let known = router.ports.into_iter().find(|known| known.name == *port).ok_or_else(|| missing(format!("port {port} of router {}", router.name)))?;
            if known.subnets.is_empty() {
                let detail = format!("nothing stands behind port {port} of router {}: a list of nothing would let nobody in", router.name);
                return Err(Problem::new("no-subnet", "", detail).into());
            }
            (format!("{} {}", router.name, port), known.subnets)
        }
    };
    Ok(lines(&called, &networks, format))
}

fn lines(called: &str, networks: &[Subnet], format: Format) -> String {
    let (four, six): (Vec<&Subnet>, Vec<&Subnet>) = networks.iter().partition(|network| network.net().addr().is_ipv4());
    let word: String = called.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    match format {
        Format::Nft => nft(called, &word, &four, &six),
        Format::Cisco => cisco(called, &word.to_uppercase(), &four, &six),
        Format::PrefixList => prefix_lists(called, &word.to_uppercase(), &four, &six),
    }
}

/// The interface is a variable at the top: the registry knows ports by the routers' names for them.
fn nft(called: &str, word: &str, four: &[&Subnet], six: &[&Subnet]) -> String {
    let list = |networks: &[&Subnet]| networks.iter().map(|network| network.to_string()).collect::<Vec<_>>().join(", ");
    let mut out = format!("# Sources that may come in from {called} (BCP 38). Set the interface, then: nft -f FILE\n");
    // A String takes whatever is written to it.
    let _ = writeln!(out, "define interface_{word} = \"{word:.15}\"\n");
    let _ = writeln!(out, "table inet holdfast_{word}\ndelete table inet holdfast_{word}\ntable inet holdfast_{word} {{");
    let _ = writeln!(out, "    chain sources {{\n        type filter hook prerouting priority raw; policy accept;");
    // What a machine says before it has an address: DHCP, and IPv6's neighbour discovery.
    let _ = writeln!(out, "        iifname $interface_{word} ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept");
    let _ = writeln!(out, "        iifname $interface_{word} ip6 saddr {{ ::, fe80::/10 }} accept");
    for (family, networks) in [("ip", four), ("ip6", six)] {
        let _ = match networks {
            [] => writeln!(out, "        iifname $interface_{word} meta nfproto {} drop", if family == "ip" { "ipv4" } else { "ipv6" }),
            some => writeln!(out, "        iifname $interface_{word} {family} saddr != {{ {} }} drop", list(some)),
        };
    }
    out.push_str("    }\n}\n");
    out
}

fn cisco(called: &str, word: &str, four: &[&Subnet], six: &[&Subnet]) -> String {
    let mut out = format!("! Sources that may come in from {called} (BCP 38). At its interface: ip access-group HOLDFAST_{word}_IN in\n");
    let _ = writeln!(out, "no ip access-list extended HOLDFAST_{word}_IN\nip access-list extended HOLDFAST_{word}_IN");
    let _ = writeln!(out, " permit udp host 0.0.0.0 eq bootpc any eq bootps");
    for network in four {
        let _ = writeln!(out, " permit ip {} {} any", network.net().network(), network.net().hostmask());
    }
    let _ = writeln!(out, " deny ip any any log");
    let _ =
        writeln!(out, "no ipv6 access-list HOLDFAST_{word}_IN6\nipv6 access-list HOLDFAST_{word}_IN6\n permit ipv6 FE80::/10 any\n permit icmp host :: any");
    for network in six {
        let _ = writeln!(out, " permit ipv6 {network} any");
    }
    let _ = writeln!(out, " deny ipv6 any any log");
    out
}

fn prefix_lists(called: &str, word: &str, four: &[&Subnet], six: &[&Subnet]) -> String {
    let mut out = format!("! Networks of {called}, and nothing that is more or less specific\n");
    for (family, networks) in [("ip", four), ("ipv6", six)] {
        for (number, network) in networks.iter().enumerate() {
            let _ = writeln!(out, "{family} prefix-list HOLDFAST_{word} seq {} permit {network}", 5 * (number + 1));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(format: Format) -> String {
        lines("gw1 ge-0/0/1", &["10.1.4.0/22", "10.1.9.0/24", "2001:db8:1::/64"].map(|text| text.parse().unwrap()), format)
    }

    #[test]
    fn every_network_is_let_in_and_nothing_else() {
        let cisco = made(Format::Cisco);
        assert!(cisco.contains(" permit ip 10.1.4.0 0.0.3.255 any\n permit ip 10.1.9.0 0.0.0.255 any\n deny ip any any log\n"), "{cisco}");
        assert!(cisco.contains(" permit ipv6 2001:db8:1::/64 any\n deny ipv6 any any log\n"), "{cisco}");
        let lists = made(Format::PrefixList);
        assert!(
            lists.contains("ip prefix-list HOLDFAST_GW1_GE_0_0_1 seq 10 permit 10.1.9.0/24\nipv6 prefix-list HOLDFAST_GW1_GE_0_0_1 seq 5 permit 2001"),
            "{lists}"
        );
        let nft = made(Format::Nft);
        assert!(nft.contains("ip saddr != { 10.1.4.0/22, 10.1.9.0/24 } drop") && nft.contains("ip6 saddr != { 2001:db8:1::/64 } drop"), "{nft}");
        assert!(lines("x", &["10.1.4.0/22".parse().unwrap()], Format::Nft).contains("meta nfproto ipv6 drop"));
    }
}
