use super::*;
use crate::inventory::import::bootptab::BootEntry;
use crate::inventory::import::dhcp::NOTES_LIMIT;

fn read(text: &str) -> DhcpConfig {
    parse(
        "dhcpd.conf",
        text,
        &|name| (name == "a.uni.example").then(|| Ipv4Addr::new(10, 1, 4, 10)),
        &|file| (file == "hosts.conf").then(|| "host c { hardware ethernet 8:0:20:0:0:3; fixed-address 10.1.4.12; }\nrubbish;\n".to_owned()),
        &mut Budget::default(),
    )
}

#[test]
fn scopes_are_worked_in_and_groups_are_their_hosts_alone() {
    let text = r#"
option domain-name "uni.example"; default-lease-time 600; authoritative;
option arch code 93 = unsigned integer 16; option arch 7;
shared-network wire {
  option ntp-servers 10.0.0.1, 10.0.0.2;
  subnet 10.1.4.0 netmask 255.255.252.0 {
    option routers 10.1.4.1; range 10.1.4.100 10.1.4.109; pool { deny unknown-clients; range 10.1.4.120; }
    filename "pxe";
  }
}
group { next-server 10.1.4.5; option log-servers 10.1.4.3;
  host a { hardware ethernet 08:00:20:00:00:01; fixed-address a.uni.example; option host-name "a"; }
  host b { hardware ethernet 8:0:20:0:0:2; fixed-address 10.1.4.11, 10.2.4.11; option unknown-200 = 01:02; filename "x"; }
}
include "/etc/dhcp/hosts.conf";
"#;
    let read = read(text);
    assert_eq!(read.errors, vec![]);
    let subnet = &read.subnets[0];
    assert_eq!(subnet.told.options.keys().copied().collect::<Vec<_>>(), [3, 15, 42, 93]);
    assert_eq!((subnet.told.lease_secs, subnet.told.boot_file.as_deref(), subnet.told.options[&93].as_slice()), (Some(600), Some("pxe"), &[0, 7][..]));
    assert_eq!(subnet.pools.len(), 2);
    let mut entries: Vec<&BootEntry> = read.entries.iter().collect();
    entries.sort_by(|one, other| (&one.name, one.effective.address).cmp(&(&other.name, other.effective.address)));
    let [a, b, b2, c] = entries[..] else { panic!("{:?}", read.entries) };
    assert_eq!((a.name.as_str(), a.effective.domain.as_deref(), a.effective.address), ("a", Some("uni.example"), Some(Ipv4Addr::new(10, 1, 4, 10))));
    assert!(a.effective.boot.send_host_name && !b.effective.boot.send_host_name, "dhcpd tells no name that it was not told to tell");
    assert_eq!(b.effective.boot.options.iter().map(|option| option.code).collect::<Vec<_>>(), [7, 200]);
    assert_eq!((b.effective.boot.boot_file.as_str(), b.effective.boot.next_server), ("x", Some(Ipv4Addr::new(10, 1, 4, 5))));
    assert_eq!((b2.name.as_str(), b2.effective.address), ("b", Some(Ipv4Addr::new(10, 2, 4, 11))));
    assert_eq!((c.place.file.as_ref(), c.place.line), ("hosts.conf", 1));
    let notes: Vec<String> = read.notes.iter().map(|note| note.place.to_string()).collect();
    assert_eq!(notes, ["hosts.conf:2", "dhcpd.conf:4", "dhcpd.conf:7"], "{:?}", read.notes);
}

#[test]
fn every_mistake_has_its_line() {
    let text = "option routers 10.1.4.300;\nsubnet 10.1.4.1 netmask 255.255.255.0 { }\nrange 10.1.4.1;\ninclude \"other.conf\";\nhost x {\n hardware ethernet 01:00:00:00:00:00;\n fixed-address nobody;\n option time-offset x;\n}\noption routers 10.1.4.1 10.1.4.2;\n";
    let mut lines: Vec<u32> = read(text).errors.iter().map(|error| error.place.line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, 2, 3, 4, 6, 7, 8, 10]);
}

#[test]
fn a_file_that_includes_itself_ends() {
    let read = parse("d", "include \"d\"; include \"d\";", &|_| None, &|_| Some("include \"d\"; include \"d\";".to_owned()), &mut Budget::default());
    assert!(read.errors.iter().all(|error| error.message.contains("too deep")) && !read.errors.is_empty());
}

#[test]
fn a_host_includes_nothing_however_deep_it_stands() {
    let nested = format!("host a {{ {} include \"x\"; {} }}", "group {".repeat(50), "}".repeat(50));
    let read = parse("d", "include \"x\";", &|_| None, &|_| Some(nested.clone()), &mut Budget::default());
    assert!(read.errors.iter().any(|error| error.message.contains("within a host")), "{:?}", read.errors);
}

#[test]
fn what_is_included_again_and_again_has_an_end() {
    let large = "x;".repeat(1_000);
    let (mut budget, text) = (Budget { statements: 100_000, included_bytes: 5_000 }, "include \"x\";\n".repeat(5));
    let read = parse("d", &text, &|_| None, &|_| Some(large.clone()), &mut budget);
    assert_eq!(read.errors.iter().map(|error| error.place.line).collect::<Vec<_>>(), [3, 4, 5], "{:?}", read.errors);
    assert_eq!((read.notes.len(), read.more_notes), (NOTES_LIMIT, 2_000 - NOTES_LIMIT));
    let read = parse("d", &text, &|_| None, &|_| Some(large.clone()), &mut Budget { statements: 1_500, included_bytes: 50_000 });
    assert_eq!(read.errors.len(), 1, "{:?}", read.errors);
}

#[test]
fn blocks_of_files_within_files_lie_no_deeper_than_blocks_of_one() {
    let nested = format!("{} include \"x\"; {}", "group {".repeat(40), "}".repeat(40));
    let read = parse("d", "include \"x\";", &|_| None, &|_| Some(nested.clone()), &mut Budget::default());
    assert!(read.errors.iter().any(|error| error.message.contains("deeper than")), "{:?}", read.errors);
}

#[test]
fn what_a_group_says_around_networks_is_theirs_and_what_reaches_none_is_told() {
    let text = "group { option log-servers 10.1.4.3; filename \"g\";\n subnet 10.1.4.0 netmask 255.255.255.0 { option routers 10.1.4.1; }\n shared-network w { option ntp-servers 10.0.0.1; subnet 10.1.5.0 netmask 255.255.255.0 { } }\n}\n";
    let read = read(text);
    let told: Vec<Vec<u8>> = read.subnets.iter().map(|subnet| subnet.told.options.keys().copied().collect()).collect();
    assert_eq!(told, [vec![3, 7], vec![7, 42]]);
    assert!(read.subnets.iter().all(|subnet| subnet.told.boot_file.as_deref() == Some("g")));
    let nowhere = parse("d", "option ntp-servers 10.0.0.1;\nshared-network w { filename \"x\"; }\n", &|_| None, &|_| None, &mut Budget::default());
    let notes: Vec<String> = nowhere.notes.iter().map(|note| note.place.to_string()).collect();
    assert_eq!(notes, ["d:2", "d:2", "d:0"], "{:?}", nowhere.notes);
}

#[test]
fn pools_tell_options_of_their_own() {
    let text = "subnet 10.1.4.0 netmask 255.255.255.0 { option log-servers 10.1.4.3;\n pool { option routers 10.1.4.1; option ntp-servers 10.0.0.1; range 10.1.4.100; }\n pool { option routers 10.1.4.1; range 10.1.4.110; } }\n";
    let (all, some) = read(text).subnets[0].pooled();
    assert_eq!((all.into_keys().collect::<Vec<_>>(), some.into_iter().collect::<Vec<_>>()), (vec![3], vec![42]));
}
