//! Plans of files of other servers and of tables, on the samples and on small ones.

use super::tests::{errors, findings, host, planned, planned_on, sample, stored, upload};
use super::*;

const BASE: [&str; 5] = ["subnets.csv", "db.uni.example", "db.10.1", "db.10.2", "db.10.3"];

fn with(names: &[&str]) -> Vec<super::super::Upload> {
    BASE.iter().chain(names).map(|name| sample(name)).collect()
}

#[test]
fn every_sample_is_taken_in_without_an_error_and_twice_changes_nothing() {
    let all = ["people.csv", "bootptab", "dhcpd.conf", "kea-dhcp4.conf", "hosts.csv", "clients.conf"];
    let plan = planned(with(&all));
    assert_eq!(errors(&plan), Vec::<String>::new());
    let counts = plan.counts();
    assert_eq!((counts.hosts, counts.contacts, counts.departments, counts.pools, counts.subnets), (187, 15, 5, 3, 15));
    let warnings: Vec<&Finding> = plan.findings.iter().filter(|finding| finding.severity == super::super::Severity::Warning).collect();
    assert!(warnings.iter().all(|finding| matches!(finding.code.as_str(), "address-outside-subnets" | "subnet-differs")), "{warnings:?}");
    let darwin = host(&plan, "darwin826.uni.example");
    assert_eq!((darwin.equipment.room.as_str(), darwin.department.as_deref(), darwin.contacts[0].contact.as_str()), ("2/251", Some("cc"), "faraday.kepler2"));

    let again = planned_on(&stored(plan), with(&all));
    assert_eq!(errors(&again), Vec::<String>::new());
    let counts = again.counts();
    assert_eq!((counts.hosts, counts.hosts_changed, counts.hosts_same, counts.records, counts.zones), (0, 0, 187, 0, 0), "{:?}", again.changed);
    assert_eq!((counts.contacts + counts.contacts_changed, counts.subnets + counts.subnets_changed, counts.pools, counts.departments), (0, 0, 0, 0));
    assert!(
        again.rows().iter().all(|row| row.state == RowState::Same || row.object.starts_with("template") || row.object.starts_with("nas")),
        "{:?}",
        again.rows()
    );
}

#[test]
fn configurations_of_other_servers_alone_make_the_same_hosts() {
    for file in ["dhcpd.conf", "kea-dhcp4.conf"] {
        let plan = planned(with(&[file]));
        assert_eq!(errors(&plan), Vec::<String>::new(), "{file}");
        let volta = &host(&plan, "volta264.uni.example").interfaces[0];
        assert_eq!(
            (volta.mac, volta.boot.boot_file.as_str(), volta.boot.next_server),
            ("08:00:09:63:2d:c6".parse().ok(), "/tftpboot/Xncd15r", "10.1.4.5".parse().ok()),
            "{file}"
        );
        let subnet = &plan.subnets.iter().find(|(_, draft)| draft.network.to_string() == "10.1.4.0/22").unwrap().1;
        assert_eq!(subnet.dns_servers, ["10.1.4.2".parse::<IpAddr>().unwrap(), "10.2.4.2".parse().unwrap()], "{file}");
        assert_eq!(subnet.domain.as_ref().map(DomainName::without_dot).as_deref(), Some("uni.example"), "{file}");
        let macs = plan.hosts.iter().filter(|(_, host)| host.interfaces.iter().any(|interface| interface.mac.is_some())).count();
        assert_eq!(macs, 180, "{file}");
        assert_eq!(plan.pools.len(), 3, "{file}");
    }
}

fn small() -> Known {
    let zone = "$ORIGIN uni.example.\n$TTL 1d\n@ SOA ns h 7 1 1 1 1\n NS ns\nns A 192.0.2.1\na A 10.1.4.10\nb A 10.1.4.11\n";
    stored(planned(vec![upload("subnets.csv", "campus,subnet,gateway\nnorth,10.1.4.0/22,10.1.4.1\n"), upload("db.uni.example", zone)]))
}

#[test]
fn a_table_of_hosts_wins_over_the_database_in_what_it_has_columns_for() {
    let table = "name,mac,ip,room,aliases\na.uni.example,02:00:00:00:00:01,10.1.4.20,2/251,\nb,,,7,www.uni.example\nc,02:00:00:00:00:03,10.1.4.30,,\n";
    let (files, none) = super::super::parse_uploads(vec![upload("hosts.csv", table)], &[]);
    assert_eq!(none, vec![]);
    let plan = plan(&small(), files, Hints { campus: None, domain: Some("uni.example") });
    assert_eq!(errors(&plan), Vec::<String>::new());
    assert_eq!((plan.counts().hosts, plan.counts().hosts_changed), (1, 2));
    let a = &plan.changed.iter().find(|(_, draft)| draft.name.to_string() == "a.uni.example").unwrap().1;
    assert_eq!((a.interfaces.len(), a.interfaces[0].addresses.as_slice(), a.equipment.room.as_str()), (1, &["10.1.4.20".parse().unwrap()][..], "2/251"));
    let rows: Vec<String> = plan.rows().iter().map(|row| format!("{} {:?} {}", row.place, row.state, row.object)).collect();
    assert_eq!(rows, ["hosts.csv:2 Changed host a.uni.example", "hosts.csv:3 Changed host b.uni.example", "hosts.csv:4 New host c.uni.example"]);
}

#[test]
fn a_table_of_hosts_says_all_that_cannot_be_so() {
    let table = "name,mac,ip,campus,room\na.uni.example,,10.1.4.11,,\nb.uni.example,,10.9.9.9,,\nc.uni.example,,10.1.4.30,south,\nd.other.example,,10.1.4.31,,\ne.uni.example,,10.1.7.255,,\nf.uni.example,02:00:00:00:00:01,10.1.4.40,,1\nf.uni.example,02:00:00:00:00:02,10.1.4.41,,2\n";
    let plan = planned_on(&small(), vec![upload("hosts.csv", table)]);
    let lines: Vec<u32> = plan.errors.iter().map(|error| error.place.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 8], "{:?}", errors(&plan));
}

#[test]
fn names_and_hardware_addresses_come_from_etc() {
    let hosts = "127.0.0.1 localhost\n10.1.4.10 a.uni.example a www.uni.example\n10.1.4.12 c.uni.example c b.uni.example\n10.1.4.99 a.uni.example\n";
    let ethers = "02:00:00:00:00:01 a\n02:00:00:00:00:03 10.1.4.12\n02:00:00:00:00:04 nobody\n";
    let plan = planned_on(&small(), vec![upload("hosts", hosts), upload("ethers", ethers)]);
    assert_eq!(errors(&plan), Vec::<String>::new());
    let a = &plan.changed[0].1;
    assert_eq!((a.aliases.len(), a.interfaces[0].mac), (1, "02:00:00:00:00:01".parse().ok()));
    assert_eq!(host(&plan, "c.uni.example").interfaces[0].mac, "02:00:00:00:00:03".parse().ok());
    assert_eq!(findings(&plan), ["address-mismatch hosts:4 database:0", "alias-left-out hosts:3", "ether-left-out ethers:3", "left-out hosts:1"]);
}

#[test]
fn what_two_files_say_of_a_subnet_is_compared() {
    let conf = "option domain-name \"uni.example\";\nsubnet 10.1.4.0 netmask 255.255.252.0 { option routers 10.1.4.2; range 10.1.4.100 10.1.4.109; }\nsubnet 10.5.0.0 netmask 255.255.0.0 { filename \"pxe\"; }\nhost x { hardware ethernet 02:00:00:00:00:09; fixed-address 10.7.0.1; }\n";
    let known = small();
    let (files, _) = super::super::parse_uploads(vec![upload("dhcpd.conf", conf)], &[]);
    let plan = plan(&known, files, Hints { campus: Some("south"), domain: None });
    assert_eq!(findings(&plan), ["subnet-differs dhcpd.conf:2 database:0"]);
    assert_eq!((plan.pools.len(), plan.subnets[0].1.campus.as_str(), plan.defaults[0].2.boot_file.as_str()), (1, "south", "pxe"));
    assert_eq!(plan.errors.iter().map(|error| error.place.line).collect::<Vec<_>>(), [4], "{:?}", errors(&plan));
    assert!(errors(&planned_on(&known, vec![upload("dhcpd.conf", conf)]))[0].contains("--campus"));
}

#[test]
fn included_files_are_read_where_they_are_included_and_not_twice() {
    let main = "include \"/etc/dhcp/hosts.conf\";\n";
    let hosts = "host a { hardware ethernet 02:00:00:00:00:09; fixed-address 10.1.4.10; option domain-name \"uni.example\"; }\n";
    let plan = planned_on(&small(), vec![upload("dhcpd.conf", main), upload("hosts.conf", hosts)]);
    assert_eq!((errors(&plan), findings(&plan), plan.changed.len()), (vec![], vec![], 1));
    assert!(errors(&planned_on(&small(), vec![upload("dhcpd.conf", main)]))[0].contains("give hosts.conf in the same call"));
}

#[test]
fn netboxs_networks_and_addresses_become_subnets_and_hosts() {
    let prefixes = "prefix,status,site,vlan,tenant,description\n10.5.0.0/16,container,,,,all of it\n10.5.1.0/24,active,north,12,cc,\n";
    let addresses = "address,status,dns_name,tenant,description\n10.5.1.7/24,active,pc.uni.example,law,in the hall\n10.5.1.8/24,dhcp,,,\n";
    let plan = planned_on(&small(), vec![upload("prefixes.csv", prefixes), upload("addresses.csv", addresses)]);
    assert_eq!(errors(&plan), Vec::<String>::new());
    assert_eq!((plan.containers.len(), plan.subnets[0].1.vlan, plan.departments.len()), (1, Some(12), 2));
    let pc = host(&plan, "pc.uni.example");
    assert_eq!((pc.comment.as_str(), pc.department.as_deref()), ("in the hall", Some("law")));
}
