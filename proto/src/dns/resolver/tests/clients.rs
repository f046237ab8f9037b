use crate::dns::Rcode;
use crate::dns::name::Name;
use crate::dns::rdata;
use crate::dns::resolver::special::special;
use crate::dns::resolver::upstream::{Heed, Upstream};
use crate::dns::resolver::{Clients, Standing};
use crate::words::Subnet;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

#[test]
fn the_longest_network_decides_and_families_do_not_mix() {
    let networks =
        [("10.0.0.0/8", Standing::Client), ("10.1.7.0/24", Standing::Department), ("10.1.7.9/32", Standing::Client), ("2001:db8::/32", Standing::Client)];
    let clients = Clients::new(networks.map(|(net, standing)| (net.parse::<Subnet>().unwrap(), standing)));
    for (address, standing) in [
        ("9.255.255.255", Standing::Stranger),
        ("10.0.0.0", Standing::Client),
        ("10.1.7.0", Standing::Department),
        ("10.1.7.9", Standing::Client),
        ("10.1.7.255", Standing::Department),
        ("10.1.8.0", Standing::Client),
        ("10.255.255.255", Standing::Client),
        ("11.0.0.0", Standing::Stranger),
        ("::ffff:10.1.8.0", Standing::Client),
        ("::10.1.8.0", Standing::Stranger),
        ("2001:db8:ffff::1", Standing::Client),
        ("2001:db9::", Standing::Stranger),
    ] {
        assert_eq!(clients.standing(address.parse().unwrap()), standing, "{address}");
    }
    assert_eq!(Clients::default().standing("127.0.0.1".parse().unwrap()), Standing::Stranger);
    assert_eq!(Clients::new([("::/0".parse().unwrap(), Standing::Client)]).standing("ffff::".parse().unwrap()), Standing::Client);
}

proptest! {
    #[test]
    fn the_list_says_what_looking_through_all_networks_says(
        networks in proptest::collection::btree_map((0u32..64, 24u8..=32), any::<bool>(), 0..12), addresses in proptest::collection::vec(0u32..300, 1..40),
    ) {
        let address = |low: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + low));
        let standing = |client: bool| if client { Standing::Client } else { Standing::Department };
        let all: Vec<(Subnet, Standing)> = networks.iter().map(|((low, len), client)| (Subnet::around(address(low * 4), *len).unwrap(), standing(*client))).collect();
        let clients = Clients::new(all.clone());
        for low in addresses {
            let holding = all.iter().filter(|(subnet, _)| subnet.net().contains(&address(low)));
            // Two that cut down to the same network: the one named last.
            let longest = holding.max_by_key(|(subnet, _)| subnet.net().prefix_len()).map_or(Standing::Stranger, |(_, standing)| *standing);
            prop_assert_eq!(clients.standing(address(low)), longest, "{} {:?}", low, all);
        }
    }
}

#[test]
fn special_names_stay_here_unless_they_are_real() {
    let name = |text: &str| Name::read(&super::wire(text)).unwrap();
    let zone = |text: &str, rtype: &str, passes: &[Box<[u8]>]| {
        let found = special(&name(text), rdata::parse_type(rtype).unwrap(), passes)?;
        Some((found.apex_labels, found.rcode, found.rdata.is_some()))
    };
    let (missing, nothing, there) = (Rcode::NxDomain, (Rcode::NoError, false), (Rcode::NoError, true));
    for (text, rtype, expected) in [
        ("localhost", "A", Some((1, there.0, there.1))),
        ("a.localhost", "AAAA", Some((1, there.0, there.1))),
        ("localhost", "MX", Some((1, nothing.0, nothing.1))),
        ("x.invalid", "A", Some((1, missing, false))),
        ("y.test", "A", Some((1, missing, false))),
        ("service.onion", "A", Some((1, missing, false))),
        ("box.home.arpa", "A", Some((2, missing, false))),
        ("1.0.0.127.in-addr.arpa", "PTR", Some((3, there.0, there.1))),
        ("9.0.0.127.in-addr.arpa", "PTR", Some((3, missing, false))),
        ("7.4.1.10.in-addr.arpa", "PTR", Some((3, missing, false))),
        ("10.in-addr.arpa", "SOA", Some((3, nothing.0, nothing.1))),
        ("10.in-addr.arpa", "DS", None),
        ("1.31.172.in-addr.arpa", "PTR", Some((4, missing, false))),
        ("1.32.172.in-addr.arpa", "PTR", None),
        ("172.in-addr.arpa", "NS", None),
        ("1.2.168.192.in-addr.arpa", "PTR", Some((4, missing, false))),
        ("255.255.255.255.in-addr.arpa", "PTR", Some((6, nothing.0, nothing.1))),
        ("1.0.d.f.ip6.arpa", "PTR", Some((4, missing, false))),
        ("8.b.d.0.1.0.0.2.ip6.arpa", "PTR", Some((10, nothing.0, nothing.1))),
        ("9.b.d.0.1.0.0.2.ip6.arpa", "PTR", None),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", "PTR", Some((34, there.0, there.1))),
        ("www.example.org", "A", None),
        (".", "NS", None),
        ("arpa", "NS", None),
        ("test.example.org", "A", None),
    ] {
        assert_eq!(zone(text, rtype, &[]), expected, "{text} {rtype}");
    }
    let passes = ["test", "168.192.in-addr.arpa"].map(|text| super::wire(text).into_boxed_slice());
    assert_eq!(zone("y.test", "A", &passes), None);
    assert_eq!(zone("1.2.168.192.in-addr.arpa", "PTR", &passes), None);
    assert!(zone("1.10.in-addr.arpa", "PTR", &passes).is_some());
}

#[test]
fn who_was_gone_is_believed_in_again_after_a_while() {
    let mut upstream = Upstream::default();
    assert_eq!(upstream.heed(), Heed::Sound, "whoever was never heard is tried");
    upstream.heard(0, Some(2));
    assert!(upstream.patience_ms() <= 100 && upstream.heard_since(0) && !upstream.heard_since(1));
    upstream.lost();
    assert_eq!(upstream.heed(), Heed::Gone);
    let states = [1000, 1500, 2000, 2900, 3000].map(|now_ms| {
        upstream.heard(now_ms, None);
        upstream.heed()
    });
    assert_eq!(states, [Heed::Returning, Heed::Returning, Heed::Returning, Heed::Returning, Heed::Sound]);
    upstream.lost();
    upstream.heard(9000, None);
    assert_eq!(upstream.heed(), Heed::Returning, "one that comes and goes begins anew each time");
    for now_ms in 0..100 {
        upstream.heard(10_000 + now_ms, Some(3000));
    }
    assert!(upstream.latency_ms() > 2500 && upstream.patience_ms() == 400, "slow is not gone, and patience ends");
}
