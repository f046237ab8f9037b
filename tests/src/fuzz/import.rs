//! The importers' parsers: no text panics them, and what they read can be printed and read again.

use holdfast_master::inventory::import::dhcp::{DhcpConfig, isc, kea};
use holdfast_master::inventory::import::{Files, Hints, Known, Upload, bootptab, claims, clients, hosts_table, parse_uploads, people, plan, subnets, zone};
use holdfast_proto::dns::rdata;
use holdfast_proto::words::DomainName;

/// The first byte of an input says which parser it is for.
const PARSERS: u8 = 11;

/// Small valid files of each format, and record data.
pub fn seeds() -> Vec<Vec<u8>> {
    let zone = "$ORIGIN uni.example.\n$TTL 1d\n@ IN SOA ns host ( 1 3h 1h 1w 1h ) ; c\n NS ns\nns 300 IN A 10.1.4.2\n$GENERATE 1-3/2 h${0,2,x} A 10.1.4.$\nw CAA 0 issue \"ca\"\nx TYPE65400 \\# 2 0a0b\n";
    let tab = ".d:ht=ethernet:hn:dn=uni.example:T42=0a010404:\n.n:tc=.d:sm=0xfffffc00:gw=10.1.4.1:\nh:\\\n\t:tc=.n:lg@:\\\n\t:ha=080020dbb67f:ip=10.1.4.10:T128=\"a:b\":bs=auto:\n";
    let clients = "client a {\n ipaddr = 10.1.4.20/24\n secret = \"x y\"\n require_message_authenticator = no\n limit {\n }\n}\n";
    let table = "campus,department,subnet,gateway,dynamic_from,dynamic_to\nnorth,cc,10.1.4.0/22,10.1.4.1,,\n";
    let mx = [&[15u8, 0, 10][..], b"\x04mail\x03uni\x07example\x00"].concat();
    let soa = [&[6u8][..], b"\x02ns\x00\x01h\x00", &[0, 0, 0, 1].repeat(5)].concat();
    let texts = [zone, tab, clients, table].into_iter().zip(0u8..);
    let parsed = texts.clone().map(|(text, parser)| [&[parser][..], text.as_bytes()].concat());
    let planned = texts.map(|(text, _)| [&[5u8][..], text.as_bytes()].concat());
    let data = [mx, soa].into_iter().map(|rdata| [&[4u8][..], &rdata].concat());
    let conf = "option domain-name \"uni.example\"; default-lease-time 600;\noption arch code 93 = unsigned integer 16;\nshared-network w { subnet 10.1.4.0 netmask 255.255.252.0 { option routers 10.1.4.1; pool { range 10.1.4.100 10.1.4.109; } } }\ngroup { filename \"x\"; host a { hardware ethernet 8:0:20:0:0:1; fixed-address 10.1.4.10, a.uni.example; option unknown-200 = 01:02; } }\ninclude \"x\";\n";
    let kea = "// c\n{\"Dhcp4\": {\"option-def\": [{\"name\": \"x\", \"code\": 200, \"type\": \"uint8\", \"array\": true}], \"shared-networks\": [{\"name\": \"w\", \"subnet4\": [{\"subnet\": \"10.1.4.0/22\", \"pools\": [{\"pool\": \"10.1.4.100 - 10.1.4.109\"}], \"option-data\": [{\"name\": \"routers\", \"data\": \"10.1.4.1\"}], \"reservations\": [{\"hw-address\": \"080020000001\", \"ip-address\": \"10.1.4.10\", \"hostname\": \"a.uni.example\"},]}]}]}}\n";
    let hosts = "name,mac,ip,room,options,pointers,contacts\n\"a.uni.example\",08:00:20:00:00:01,10.1.4.10 2001:db8::1,2/251,6=0a010402 7=-,10.1.4.10=a.uni.example|b.uni.example,abuse:ann\n";
    let lists = "10.1.4.10 a.uni.example a www\n::1 localhost\n8:0:20:0:0:1 a\n";
    let netbox = "prefix,status,site,vlan,dns_name,address,login\n10.1.4.0/22,container,north,Staff (104),a.uni.example,10.1.4.10/22,ann\n";
    let nested = "include \"x\";\nhost a { group { group { include \"x\"; } } }\ngroup { group { include \"x\"; } }\n";
    let more = [(6u8, conf), (6, nested), (7, kea), (8, hosts), (9, lists), (10, netbox)];
    let more = more.into_iter().flat_map(|(parser, text)| [[&[parser][..], text.as_bytes()].concat(), [&[5u8][..], text.as_bytes()].concat()]);
    parsed.chain(data).chain(planned).chain(more).collect()
}

/// Reads the input by one of the parsers; panics where a promise is broken.
pub fn target(bytes: &[u8]) {
    let Some((parser, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match parser % PARSERS {
        0 => check_zone(&text),
        1 => check_bootptab(&text),
        2 => {
            let read = clients::parse("clients.conf", &text);
            assert!(read.clients.iter().all(|client| !client.secret.expose().is_empty()), "a client without a secret");
        }
        3 => {
            let read = subnets::parse("subnets.csv", &text, &[]);
            assert!(read.subnets.iter().all(|line| line.gateway.is_none_or(|gateway| line.network.can_hold(gateway))), "a gateway outside");
        }
        4 => check_rdata(rest),
        6 => check_dhcp(isc::parse("dhcpd.conf", &text, &|_| None, &|name| (name == "x").then(|| text.to_string()), &mut isc::Budget::default())),
        7 => check_dhcp(kea::parse("kea-dhcp4.conf", &text)),
        8 => {
            let read = hosts_table::parse("hosts.csv", &text, &[]);
            assert!(read.lines.iter().all(|line| !line.name.is_empty()), "a host without a name");
        }
        9 => {
            let read = claims::parse_hosts("hosts", &text);
            assert!(read.claims.iter().all(|claim| !claim.address.is_loopback()), "a machine's own address");
            let _ = claims::parse_ethers("ethers", &text);
        }
        10 => {
            let _ = (claims::parse_prefixes("p.csv", &text, &[]), claims::parse_addresses("a.csv", &text, &[]), people::parse("people.csv", &text, &[]));
        }
        _ => check_plan(&text),
    }
}

fn check_zone(text: &str) {
    let origin: DomainName = "uni.example".parse().expect("it is a name");
    // Numbers of records are limited by $GENERATE's own limit; keep one input quick.
    if text.matches("GENERATE").count() > 2 {
        return;
    }
    let file = zone::scan("db", text, Some(origin), None);
    for record in &file.records {
        let printed = rdata::print(record.rtype, &record.rdata);
        let (rtype, again) = rdata::parse_text(&rdata::type_name(record.rtype), &printed, None).expect("what was printed is read");
        assert_eq!((rtype, &again), (record.rtype, &record.rdata), "{printed}");
        assert!(rdata::is_well_formed(record.rtype, &record.rdata));
    }
}

fn check_dhcp(config: DhcpConfig) {
    for subnet in &config.subnets {
        let inside = |address: std::net::Ipv4Addr| subnet.network.net().contains(&std::net::IpAddr::from(address));
        assert!(subnet.pools.iter().all(|(_, first, last)| first <= last && inside(*first) && inside(*last)), "a pool outside of its subnet");
        assert!(subnet.told.options.iter().all(|(code, value)| (1..=254).contains(code) && value.len() <= 255), "an option that no packet holds");
    }
    assert!(config.entries.iter().all(|entry| entry.effective.mac().is_some() && entry.effective.address.is_some()), "half a reservation");
    assert!(config.entries.iter().all(|entry| entry.effective.boot.boot_file.len() <= 127), "a boot file that no packet holds");
}

fn check_bootptab(text: &str) {
    let tab = bootptab::parse("bootptab", text, &|_| None);
    for entry in &tab.entries {
        let options = &entry.effective.boot.options;
        assert!(options.windows(2).all(|pair| pair[0].code < pair[1].code), "options ascend");
        assert!(options.iter().all(|option| (1..=254).contains(&option.code) && option.value.as_ref().is_none_or(|value| value.len() <= 255)));
    }
}

fn check_rdata(bytes: &[u8]) {
    let Some((rtype, data)) = bytes.split_first() else { return };
    let rtype = if *rtype == 255 { 257 } else { u16::from(*rtype) };
    let printed = rdata::print(rtype, data);
    let words = rdata::split(&printed).expect("what is printed can be cut into words");
    if let Ok(once) = rdata::parse_data(rtype, &words, None) {
        assert!(once.eq_ignore_ascii_case(data), "{printed}");
        assert_eq!(rdata::parse_data(rtype, &rdata::split(&rdata::print(rtype, &once)).expect("words"), None), Ok(once));
    }
}

fn check_plan(text: &str) {
    let uploads = ["bootptab", "db.uni.example", "dhcpd.conf", "hosts.csv", "ethers"].map(|name| Upload { name: name.into(), text: text.to_owned() });
    if text.matches("GENERATE").count() > 2 {
        return;
    }
    let (files, _): (Files, _) = parse_uploads(uploads.into(), &[]);
    let made = plan(&Known::default(), files, Hints { campus: Some("north"), domain: Some("uni.example") });
    let mut names: Vec<_> = made.hosts.iter().map(|(_, host)| &host.name).collect();
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a host is planned once");
}
