//! Import of an export is what was exported: over small random databases, for every format.

use super::groups::{scopes, seats};
use super::*;
use crate::db::boot::BootParameters;
use crate::inventory::boot::{BootDefaults, Level};
use crate::inventory::import::{Hints, Known, Plan, Upload, parse_uploads, plan};
use crate::inventory::{InterfaceDraft, OptionDraft, PoolKind};
use holdfast_proto::words::{DomainName, HostName, Mac};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

fn text(estate: &Estate, file: &File) -> String {
    let mut out = String::new();
    estate.write(file, &mut out).expect("a String takes it");
    out
}

fn known(estate: &Estate) -> Known {
    Known {
        campuses: estate.campuses.iter().map(|campus| campus.name.clone()).collect(),
        subnets: estate.subnets.clone(),
        zones: estate.zones.clone(),
        hosts: estate.hosts.clone(),
        departments: estate.departments.iter().map(|department| department.name.clone()).collect(),
        contacts: estate.contacts.clone(),
        containers: vec![],
        pools: estate.pools.iter().map(|pool| (pool.first, pool.last)).collect(),
        records: estate.records.clone(),
    }
}

fn taken_in(known: &Known, uploads: &[(&str, String)]) -> Plan {
    let uploads = uploads.iter().map(|(name, text)| Upload { name: (*name).to_owned(), text: text.clone() }).collect();
    let (files, errors) = parse_uploads(uploads, &[]);
    assert_eq!(errors, vec![]);
    plan(known, files, Hints::default())
}

/// What a plan on an empty database makes.
fn estate_of(plan: Plan) -> Estate {
    assert_eq!(plan.errors, vec![]);
    let defaults =
        plan.defaults.into_iter().map(|(_, network, parameters)| DefaultsRow { level: Level::Subnet, object: network.to_string(), parameters, version: 1 });
    let mut hosts: Vec<HostDraft> = plan.hosts.into_iter().map(|(_, draft)| draft).collect();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    Estate {
        campuses: plan.campuses.into_iter().map(|(_, draft)| draft).collect(),
        departments: plan.departments.into_iter().map(|(_, draft)| draft).collect(),
        contacts: plan.contacts.into_iter().map(|(_, draft)| draft).collect(),
        subnets: plan.subnets.into_iter().map(|(_, draft)| draft).collect(),
        pools: plan.pools.into_iter().map(|(_, draft)| draft).collect(),
        zones: plan.zones.into_iter().map(|(_, draft)| draft).collect(),
        records: plan.records.into_iter().map(|(_, draft)| draft).collect(),
        templates: plan.templates.into_iter().map(|(_, draft)| draft).collect(),
        defaults: defaults.collect(),
        hosts,
        nas: plan.clients.into_iter().map(Nas::from).collect(),
    }
}

/// What a machine is really told, by name, address and hardware address.
type Told = BTreeMap<(String, Ipv4Addr, Mac), (BTreeMap<u8, Vec<u8>>, BootParameters)>;

fn told(estate: &Estate) -> Told {
    let mut out = Told::new();
    for scope in scopes(estate) {
        for (booting, mut boot) in scope.machines {
            let mut options = scope.told.options.clone();
            for option in std::mem::take(&mut boot.options) {
                match option.value {
                    Some(value) => drop(options.insert(option.code, value)),
                    None => drop(options.remove(&option.code)),
                }
            }
            out.insert((booting.seat.host.name.to_string(), booting.address, booting.mac), (options, boot));
        }
    }
    out
}

/// What a server keeps of a subnet: options, pools, boot file.
type Net = (BTreeMap<u8, Vec<u8>>, Vec<(Ipv4Addr, Ipv4Addr)>, String);

fn nets(estate: &Estate) -> BTreeMap<String, Net> {
    let net = |scope: super::groups::Scope<'_>| {
        let mut options = scope.told.options;
        // What the clients of pools are told beyond the subnet must come through, too.
        options.extend(scope.pooled.into_iter().filter(|_| !scope.pools.is_empty()));
        (scope.net.to_string(), (options, scope.pools, scope.told.boot.boot_file))
    };
    scopes(estate).into_iter().map(net).collect()
}

#[derive(Debug, Clone)]
struct Machine {
    subnet: usize,
    number: u8,
    has_mac: bool,
    second: Option<u8>,
    options: BTreeMap<u8, Option<u8>>,
    boot_file: Option<String>,
    template: bool,
    tells_name: bool,
    texts: [String; 3],
    alias: bool,
    building: u8,
}

fn words() -> impl Strategy<Value = String> {
    // What people write, and what files have to quote.
    "[A-Za-z0-9 ,;:\"'#=+{}\\\\/-]{0,12}".prop_map(|text| text.trim().to_owned())
}

fn machine() -> impl Strategy<Value = Machine> {
    let options = proptest::collection::btree_map(prop_oneof![Just(4u8), Just(7), Just(15), Just(17), Just(42), Just(200)], proptest::option::of(1u8..9), 0..4);
    let first = (0usize..3, 2u8..60, any::<bool>(), proptest::option::of(60u8..90), options);
    let second = (proptest::option::of("[a-z/]{1,8}"), any::<bool>(), any::<bool>(), [words(), words(), words()], any::<bool>(), 0u8..3);
    (first, second).prop_map(|((subnet, number, has_mac, second, options), (boot_file, template, tells_name, texts, alias, building))| Machine {
        subnet,
        number,
        has_mac,
        second,
        options,
        boot_file,
        template,
        tells_name,
        texts,
        alias,
        building,
    })
}

/// A value that is right for an option's kind.
fn value(code: u8, seed: u8) -> Vec<u8> {
    match code {
        15 => b"uni.example".to_vec(),
        17 => format!("/export/root{seed}").into_bytes(),
        200 => vec![seed, 0, 0xff],
        _ => vec![10, 0, 0, seed],
    }
}

fn estates() -> impl Strategy<Value = Estate> {
    (proptest::collection::vec(machine(), 0..7), proptest::option::of("[a-z]{1,8}"), any::<bool>())
        .prop_map(|(machines, file, has_pool)| estate(&machines, file, has_pool))
}

fn estate(machines: &[Machine], file: Option<String>, has_pool: bool) -> Estate {
    let name = |text: &str| text.parse::<DomainName>().expect("a name");
    let mut zone = ZoneDraft::usual(name("uni.example"), name("ns.uni.example"), name("hostmaster.uni.example"));
    (zone.serial, zone.publish_hinfo) = (Some(7), true);
    let subnets = (0..3u8).map(|number| {
        let line =
            format!("{{\"network\": \"10.{number}.0.0/24\", \"campus\": \"c{}\", \"gateway\": \"10.{number}.0.1\", \"domain\": \"uni.example\"}}", number / 2);
        let mut draft: SubnetDraft = serde_json::from_str(&line).expect("a subnet");
        draft.dns_servers = vec!["10.0.0.2".parse().expect("an address")];
        draft.options =
            vec![OptionDraft { code: 42, value: Some(value(42, number + 1)) }, OptionDraft { code: 51, value: Some(900u32.to_be_bytes().to_vec()) }];
        draft.pool_lease_secs = 600;
        draft
    });
    let template = TemplateDraft {
        name: ".t".into(),
        parents: vec![],
        tags: vec!["lg=10.0.0.3".into(), "hd=/tftpboot".into(), "bf=x".into(), "T200=0102".into(), "hn".into()],
    };
    let mut hosts: BTreeMap<HostName, HostDraft> = BTreeMap::new();
    let mut taken: BTreeSet<(usize, u8)> = BTreeSet::new();
    for (place, machine) in machines.iter().enumerate() {
        if !taken.insert((machine.subnet, machine.number)) {
            continue;
        }
        let host: HostName = format!("h{place}.uni.example").parse().expect("a name");
        let mut draft = HostDraft::named(host);
        let boot = BootParameters {
            boot_file: machine.boot_file.clone().unwrap_or_default(),
            send_host_name: machine.tells_name,
            options: machine.options.iter().map(|(code, seed)| OptionDraft { code: *code, value: seed.map(|seed| value(*code, seed)) }).collect(),
            ..BootParameters::default()
        };
        let mac = |last: u8| Mac([2, 0, 0, 0, place as u8, last]);
        let address = |subnet: usize, number: u8| std::net::IpAddr::from(Ipv4Addr::new(10, subnet as u8, 0, number));
        let first = InterfaceDraft {
            mac: machine.has_mac.then(|| mac(1)),
            addresses: vec![address(machine.subnet, machine.number)],
            templates: if machine.template && machine.has_mac { vec![".t".into()] } else { vec![] },
            boot: if machine.has_mac { boot } else { BootParameters::default() },
            ..InterfaceDraft::default()
        };
        draft.interfaces = vec![first];
        if let Some(number) = machine.second.filter(|number| taken.insert((2, *number))) {
            draft.interfaces.push(InterfaceDraft { mac: Some(mac(2)), addresses: vec![address(2, number)], ..InterfaceDraft::default() });
        }
        let [comment, location, room] = machine.texts.clone();
        (draft.comment, draft.location, draft.equipment.room) = (comment, location, room);
        draft.equipment.building = ["", "B1", "B2"][usize::from(machine.building)].to_owned();
        if machine.alias {
            draft.aliases = vec![format!("a{place}.uni.example").parse().expect("a name")];
        }
        (draft.hardware, draft.os) = if machine.alias { ("SUN-3".into(), "UNIX".into()) } else { (String::new(), String::new()) };
        hosts.insert(draft.name.clone(), draft);
    }
    let pool = |first: &str, last: &str| PoolDraft {
        name: None,
        first: first.parse().expect("one"),
        last: last.parse().expect("one"),
        kind: PoolKind::Dynamic,
        reason: String::new(),
    };
    let campus = |name: &str| CampusDraft { name: name.into(), service_address: None, backup: None };
    let defaults = file.map(|boot_file| DefaultsRow {
        level: Level::Subnet,
        object: "10.1.0.0/24".into(),
        parameters: BootDefaults { boot_file, next_server: "10.0.0.5".parse().ok(), ..BootDefaults::default() },
        version: 1,
    });
    Estate {
        campuses: vec![campus("c0"), campus("c1")],
        subnets: subnets.collect(),
        pools: if has_pool { vec![pool("10.1.0.100", "10.1.0.120"), pool("10.1.0.130", "10.1.0.131")] } else { vec![] },
        zones: vec![zone],
        templates: vec![template],
        defaults: defaults.into_iter().collect(),
        hosts: hosts.into_values().collect(),
        ..Estate::default()
    }
}

fn zone_file(estate: &Estate) -> (&'static str, String) {
    ("db.uni.example", text(estate, &File::Zone("uni.example".into())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn our_own_tables_come_back_as_they_were(estate in estates()) {
        let again = taken_in(&known(&estate), &[("hosts.csv", text(&estate, &File::HostsCsv)), ("subnets.csv", text(&estate, &File::SubnetsCsv))]);
        prop_assert_eq!(&again.errors, &vec![]);
        prop_assert_eq!((again.hosts.len(), &again.changed, &again.subnets_changed, again.pools.len()), (0, &vec![], &vec![], 0));

        let zones_only = Known { zones: estate.zones.clone(), ..Known::default() };
        let fresh = estate_of(taken_in(&zones_only, &[("hosts.csv", text(&estate, &File::HostsCsv)), ("subnets.csv", text(&estate, &File::SubnetsCsv))]));
        prop_assert_eq!(&fresh.hosts, &estate.hosts);
        prop_assert_eq!(&fresh.subnets, &estate.subnets);
        let range = |pool: &PoolDraft| (pool.first, pool.last);
        prop_assert_eq!(fresh.pools.iter().map(range).collect::<Vec<_>>(), estate.pools.iter().map(range).collect::<Vec<_>>());
    }

    #[test]
    fn configurations_of_dhcp_servers_come_back_as_they_were(estate in estates()) {
        let places = Known { campuses: vec!["c0".into(), "c1".into()], zones: estate.zones.clone(), ..Known::default() };
        let kea = estate_of_on(taken_in(&places, &[("kea-dhcp4.conf", text(&estate, &File::Kea))]), &estate);
        prop_assert_eq!(told(&kea), told(&estate));
        prop_assert_eq!(nets(&kea), nets(&estate));
        // dhcpd.conf has no word for campuses.
        let table = estate.subnets.iter().map(|subnet| format!("{},{}\n", subnet.campus, subnet.network)).collect::<String>();
        let uploads = [("subnets.csv", format!("campus,subnet\n{table}")), ("dhcpd.conf", text(&estate, &File::Dhcpd))];
        let dhcpd = estate_of_on(taken_in(&places, &uploads), &estate);
        prop_assert_eq!(told(&dhcpd), told(&estate));
        prop_assert_eq!(nets(&dhcpd), nets(&estate));
        let leases: Vec<u32> = dhcpd.subnets.iter().map(|subnet| subnet.pool_lease_secs).collect();
        prop_assert!(leases.iter().zip(&dhcpd.subnets).all(|(secs, subnet)| *secs == 600 || !estate.pools.iter().any(|pool| subnet.network.net().contains(&pool.first))));
    }

    #[test]
    fn a_bootptab_tells_every_machine_what_it_was_told(estate in estates()) {
        let exported = text(&estate, &File::Bootptab);
        let known = Known { campuses: vec!["c0".into(), "c1".into()], zones: estate.zones.clone(), subnets: vec![], ..Known::default() };
        let table = estate.subnets.iter().map(|subnet| format!("{},{},{}\n", subnet.campus, subnet.network, subnet.gateway.expect("it has one"))).collect::<String>();
        let made = taken_in(&known, &[("subnets.csv", format!("campus,subnet,gateway\n{table}")), ("bootptab", exported)]);
        prop_assert_eq!(made.templates.len(), 1, "templates keep their names");
        let back = estate_of_on(made, &estate);
        prop_assert_eq!(told(&back), told(&estate));
    }

    #[test]
    fn zones_and_lists_of_names_come_back_as_they_were(estate in estates()) {
        let known = Known { campuses: vec!["c0".into(), "c1".into()], subnets: estate.subnets.clone(), ..Known::default() };
        let made = taken_in(&known, &[zone_file(&estate)]);
        prop_assert!(made.findings.is_empty(), "{:?}", made.findings);
        let back = estate_of(made);
        // A zone without any HINFO does not say whether it would have some.
        let zone = ZoneDraft { publish_hinfo: back.zones[0].publish_hinfo, ..estate.zones[0].clone() };
        prop_assert_eq!(&back.zones[0], &zone);
        prop_assert_eq!(addresses(&back), addresses(&estate));
        let machines = |estate: &Estate| estate.hosts.iter().map(|host| (host.name.clone(), host.hardware.clone(), host.os.clone())).collect::<Vec<_>>();
        prop_assert_eq!(machines(&back), machines(&estate));

        let zones = Known { zones: estate.zones.clone(), ..known.clone() };
        let lists = [("hosts", text(&estate, &File::EtcHosts)), ("ethers", text(&estate, &File::Ethers))];
        let back = estate_of(taken_in(&zones, &lists));
        prop_assert_eq!(addresses(&back), addresses(&estate));
        prop_assert_eq!(booted(&back), booted(&estate));
        let aliases = |estate: &Estate| estate.hosts.iter().flat_map(|host| host.aliases.clone()).collect::<Vec<_>>();
        prop_assert_eq!(aliases(&back), aliases(&estate));
    }

    #[test]
    fn clients_and_people_come_back_as_they_were(
        names in proptest::collection::btree_map("[a-z][a-z0-9-]{0,6}", ("[!-~]{1,20}", any::<bool>(), words()), 0..5)
    ) {
        let mut estate = Estate::default();
        for (number, (name, (secret, require, note))) in names.into_iter().enumerate() {
            let prefix = format!("10.0.{number}.0/24").parse().expect("a network");
            estate.nas.push(Nas { name: name.clone(), prefix, secret: Some(Secret::new(secret)), require_message_authenticator: require, kind: String::new(), campus: None });
            let line = serde_json::json!({"handle": name, "kind": "group", "name": format!("x{note}x"), "note": note, "phone": "+61 3 9905 5309"});
            estate.contacts.push(serde_json::from_value(line).expect("a contact"));
        }
        let back = estate_of(taken_in(&Known::default(), &[("clients.conf", text(&estate, &File::Clients)), ("people.csv", text(&estate, &File::PeopleCsv))]));
        prop_assert_eq!(back.nas, estate.nas);
        prop_assert_eq!(back.contacts, estate.contacts);
    }
}

/// The plan's estate with what the plan's database had.
fn estate_of_on(plan: Plan, before: &Estate) -> Estate {
    let made = estate_of(plan);
    Estate { campuses: before.campuses.clone(), zones: before.zones.clone(), ..made }
}

fn addresses(estate: &Estate) -> BTreeSet<(String, std::net::IpAddr)> {
    let map = super::groups::Map::of(estate);
    seats(estate, &map).iter().map(|seat| (seat.host.name.to_string(), seat.address)).collect()
}

fn booted(estate: &Estate) -> BTreeSet<(String, Mac)> {
    let interfaces = estate.hosts.iter().flat_map(|host| host.interfaces.iter().map(move |interface| (host.name.to_string(), interface.mac)));
    interfaces.filter_map(|(name, mac)| Some((name, mac?))).collect()
}

#[test]
fn secrets_are_written_for_who_may_have_them_and_others_read_comments() {
    let nas = Nas {
        name: "annex".into(),
        prefix: "10.1.4.20/32".parse().unwrap(),
        secret: None,
        require_message_authenticator: true,
        kind: "old".into(),
        campus: None,
    };
    let estate = Estate { nas: vec![nas], ..Estate::default() };
    let written = text(&estate, &File::Clients);
    assert!(written.lines().all(|line| line.is_empty() || line.starts_with('#')), "{written}");
    assert!(written.contains("#client annex {"));
}

#[test]
fn files_have_names_and_names_have_files() {
    for file in File::PLAIN {
        assert_eq!(File::named(&file.name()), Some(file));
    }
    assert_eq!(File::named("db.Uni.Example."), Some(File::Zone("uni.example".into())));
    assert_eq!((File::named("passwd"), File::named("db.")), (None, None));
}
