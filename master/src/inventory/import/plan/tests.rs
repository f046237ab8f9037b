use super::*;
use crate::inventory::import::{Format, Severity, Upload, parse_uploads};
use std::time::Instant;

/// The files of `tests/samples` that are one import.
const SAMPLES: [&str; 7] = ["subnets.csv", "db.uni.example", "db.10.1", "db.10.2", "db.10.3", "bootptab", "clients.conf"];

pub(super) fn sample(name: &str) -> Upload {
    let path = format!("{}/../tests/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    Upload { name: name.into(), text: std::fs::read_to_string(&path).unwrap_or_else(|wrong| panic!("{path}: {wrong}")) }
}

pub(super) fn upload(name: &str, text: &str) -> Upload {
    Upload { name: name.into(), text: text.into() }
}

pub(super) fn planned_on(known: &Known, uploads: Vec<Upload>) -> Plan {
    let (files, errors) = parse_uploads(uploads, &[]);
    assert_eq!(errors, vec![]);
    plan(known, files, Hints::default())
}

pub(super) fn planned(uploads: Vec<Upload>) -> Plan {
    planned_on(&Known::default(), uploads)
}

pub(super) fn errors(plan: &Plan) -> Vec<String> {
    plan.errors.iter().map(ToString::to_string).collect()
}

/// Code and places of each finding.
pub(super) fn findings(plan: &Plan) -> Vec<String> {
    let places = |finding: &Finding| finding.places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    plan.findings.iter().map(|finding| format!("{} {}", finding.code, places(finding))).collect()
}

/// The database after a plan was stored.
pub(super) fn stored(plan: Plan) -> Known {
    Known {
        campuses: plan.campuses.into_iter().map(|(_, campus)| campus.name).collect(),
        subnets: plan.subnets.into_iter().map(|(_, subnet)| subnet).collect(),
        zones: plan.zones.into_iter().map(|(_, zone)| zone).collect(),
        hosts: plan.hosts.into_iter().map(|(_, host)| host).collect(),
        departments: plan.departments.into_iter().map(|(_, department)| department.name).collect(),
        contacts: plan.contacts.into_iter().map(|(_, contact)| contact).collect(),
        containers: plan.containers.into_iter().map(|(_, container)| container.network).collect(),
        pools: plan.pools.into_iter().map(|(_, pool)| (pool.first, pool.last)).collect(),
        records: plan.records.into_iter().map(|(_, record)| record).collect(),
    }
}

pub(super) fn host<'p>(plan: &'p Plan, name: &str) -> &'p HostDraft {
    plan.hosts.iter().map(|(_, draft)| draft).find(|draft| draft.name.to_string() == name).unwrap_or_else(|| panic!("no host {name}"))
}

const ZONE: &str = "$ORIGIN uni.example.\n$TTL 1d\n@ SOA ns h 7 1 1 1 1\n NS ns\n";
const SUBNETS: &str = "campus,subnet,gateway\nnorth,10.1.4.0/22,10.1.4.1\n";

#[test]
fn the_samples_are_imported_without_an_error() {
    let plan = planned(SAMPLES.map(sample).to_vec());
    assert_eq!(errors(&plan), Vec::<String>::new());
    let counts = plan.counts();
    assert_eq!((counts.campuses, counts.subnets, counts.zones, counts.templates, counts.nas), (3, 15, 4, 20, 4));
    assert_eq!(counts.hosts, 187, "180 machines, mail, mail2, web1, auth and three name servers");
    let warnings: Vec<&Finding> = plan.findings.iter().filter(|finding| finding.severity == Severity::Warning).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!((warnings[0].code.as_str(), warnings[0].places[0].line), ("address-outside-subnets", 19));

    let darwin = host(&plan, "darwin826.uni.example");
    assert_eq!((darwin.hardware.as_str(), darwin.os.as_str(), darwin.interfaces.len()), ("CISCO-AGS", "MACOS", 1));
    let interface = &darwin.interfaces[0];
    assert_eq!((interface.mac, interface.addresses.as_slice()), ("08:00:20:db:b6:7f".parse().ok(), &["10.1.4.10".parse().unwrap()][..]));
    assert_eq!(interface.templates, [".north-cc"]);
    assert!(interface.boot.options.contains(&OptionDraft { code: 7, value: None }), "lg@ takes the log server away");
    assert!(interface.boot.options.contains(&OptionDraft { code: 128, value: Some(b"room 2/251\0".to_vec()) }));
    let volta = &host(&plan, "volta264.uni.example").interfaces[0].boot;
    assert_eq!((volta.boot_file.as_str(), volta.next_server), ("/tftpboot/Xncd15r", "10.1.4.5".parse().ok()));

    let subnet = &plan.subnets.iter().find(|(_, draft)| draft.network.to_string() == "10.1.4.0/22").unwrap().1;
    assert_eq!((subnet.campus.as_str(), subnet.domain.as_ref().map(ToString::to_string).as_deref()), ("north", Some("uni.example.")));
    assert_eq!(subnet.dns_servers, ["10.1.4.2".parse::<IpAddr>().unwrap(), "10.2.4.2".parse().unwrap()]);

    let zone = &plan.zones[0].1;
    assert_eq!((zone.serial, zone.ttl, zone.name_servers.len()), (Some(1_999_112_701), 86_400, 2));
    assert!(plan.records.iter().all(|(_, record)| record.rtype != 12), "every pointer follows from an address");
    assert!(plan.records.iter().any(|(_, record)| record.rtype == 65400 && record.text == r"\# 4 0A000001"));
    assert!(plan.records.iter().any(|(_, record)| record.name.to_string() == "www.uni.example." && record.ttl == Some(300)));
    assert!(plan.records.iter().any(|(_, record)| record.name.to_string() == "ns.cs.uni.example."), "glue stays a record");
}

#[test]
fn a_second_import_of_the_same_files_makes_no_host() {
    let names = ["subnets.csv", "bootptab"];
    let first = planned(SAMPLES.map(sample).to_vec());
    let again = planned_on(&stored(first), names.map(sample).to_vec());
    assert_eq!(errors(&again), Vec::<String>::new());
    assert_eq!((again.hosts.len(), again.changed.len(), again.subnets.len()), (0, 0, 0));
    assert!(again.findings.iter().all(|finding| finding.severity == Severity::Info), "{:?}", findings(&again));
}

#[test]
fn a_mismatch_names_both_lines_and_stops_nothing() {
    let zone = format!("{ZONE}a A 10.1.4.10\nb A 10.1.4.11\nb2 A 10.1.4.11\nns A 10.1.4.2\n");
    let back = "$ORIGIN 4.1.10.in-addr.arpa.\n$TTL 1d\n@ SOA ns.uni.example. h.uni.example. 1 1 1 1 1\n NS ns.uni.example.\n11 PTR b.uni.example.\n12 PTR a.uni.example.\n99 PTR b.uni.example.\n";
    let tab = ".t:sm=255.255.252.0:gw=10.1.4.1:dn=uni.example:\na:tc=.t:ha=080020000001:ip=10.1.4.12:\nc:tc=.t:ha=080020000002:ip=10.1.4.13:\n";
    let plan = planned(vec![upload("subnets.csv", SUBNETS), upload("db.uni.example", &zone), upload("db.10.1.4", back), upload("bootptab", tab)]);
    assert_eq!(errors(&plan), Vec::<String>::new());
    assert_eq!(
        findings(&plan),
        [
            "address-mismatch bootptab:2 db.uni.example:5",
            "address-shared db.uni.example:7 db.uni.example:6",
            "pointer-mismatch db.10.1.4:7 db.uni.example:6",
            "only-in-bootptab bootptab:3"
        ]
    );
    assert_eq!(host(&plan, "a.uni.example").interfaces[0].addresses, ["10.1.4.12".parse::<IpAddr>().unwrap()]);
    assert_eq!(plan.hosts.len(), 4);
}

#[test]
fn the_database_wins_and_learns_what_it_did_not_know() {
    let name: HostName = "a.uni.example".parse().unwrap();
    let known = Known {
        campuses: vec!["north".into()],
        subnets: vec![new_subnet("10.1.4.0/22".parse().unwrap(), "north".into(), None)],
        zones: vec![ZoneDraft::usual("uni.example".parse().unwrap(), "ns.uni.example".parse().unwrap(), "h.uni.example".parse().unwrap())],
        hosts: vec![
            HostDraft::simple(name, None, "10.1.4.10".parse().unwrap()),
            HostDraft::simple("b.uni.example".parse().unwrap(), None, "10.1.4.11".parse().unwrap()),
        ],
        ..Known::default()
    };
    let tab = "a:dn=uni.example:ha=080020000001:ip=10.1.4.10:\nb:dn=uni.example:ha=080020000002:ip=10.1.4.12:\nc:dn=uni.example:ip=10.1.4.11:\nd:dn=uni.example:ha=080020000003:ip=a:\n";
    let plan = planned_on(&known, vec![upload("bootptab", tab)]);
    assert_eq!(errors(&plan), Vec::<String>::new());
    assert_eq!(findings(&plan), ["address-mismatch bootptab:2 database:0", "address-shared bootptab:3 database:0", "address-shared bootptab:4 database:0"]);
    assert_eq!((plan.changed.len(), plan.hosts.len()), (1, 0));
    assert_eq!(plan.changed[0].1.interfaces[0].mac, "08:00:20:00:00:01".parse().ok());
}

#[test]
fn what_cannot_be_stored_is_listed_at_once() {
    let zone = format!("{ZONE}a CNAME b\na A 10.1.4.9\n");
    let tab = "x:ip=10.1.4.5:\ny:dn=other.example:ip=10.1.4.6:\nz:dn=uni.example:ip=10.9.0.1:sm=255.255.255.0:\nv:dn=uni.example:ip=10.1.4.7:ha=080020000001:\nw:dn=uni.example:ip=10.1.4.8:ha=080020000001:xx=1:\n";
    let plan = planned(vec![upload("subnets.csv", SUBNETS), upload("db.uni.example", &zone), upload("bootptab", tab)]);
    let lines: Vec<String> = plan.errors.iter().map(|error| error.place.to_string()).collect();
    assert_eq!(lines, ["bootptab:1", "bootptab:2", "bootptab:3", "bootptab:5", "bootptab:5", "db.uni.example:6"]);
}

#[test]
fn a_subnet_comes_from_mask_and_gateway_of_a_known_campus() {
    let known = Known { campuses: vec!["north".into()], ..Known::default() };
    let tab = ".north-cc:sm=0xffffff00:gw=10.9.0.1:dn=uni.example:\nz:tc=.north-cc:ip=10.9.0.5:ha=080020000001:\n";
    let uploads = || vec![upload("db.uni.example", ZONE), upload("bootptab", tab)];
    let plan = planned_on(&known, uploads());
    assert_eq!(errors(&plan), Vec::<String>::new());
    assert_eq!((plan.subnets[0].1.network.to_string().as_str(), plan.subnets[0].1.gateway), ("10.9.0.0/24", "10.9.0.1".parse().ok()));
    assert!(errors(&planned(uploads()))[0].contains("--campus"));
}

#[test]
fn a_hundred_thousand_hosts_are_planned_in_seconds() {
    const HOSTS: u32 = 100_000;
    let mut zone = ZONE.to_owned();
    let mut tab = ".t:dn=uni.example:gw=10.0.0.1:ds=10.0.0.2:\n".to_owned();
    for number in 0..HOSTS {
        let address = Ipv4Addr::from(0x0a00_0100 + number);
        zone.push_str(&format!("h{number} A {address}\n HINFO PC UNIX\n"));
        tab.push_str(&format!("h{number}:tc=.t:ha=0800{number:08x}:ip={address}:\n"));
    }
    let table = "campus,subnet,gateway\nnorth,10.0.0.0/8,10.0.0.1\n";
    let start = Instant::now();
    let uploads = vec![upload("subnets.csv", table), upload("db.uni.example", &zone), upload("bootptab", &tab)];
    assert_eq!(Format::detect(&uploads[2], &[]), Some(Format::Bootptab));
    let plan = planned(uploads);
    assert_eq!((errors(&plan), plan.hosts.len()), (vec![], HOSTS as usize));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    eprintln!("planned {HOSTS} hosts in {:?}", start.elapsed());
}
