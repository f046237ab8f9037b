//! Who may write what, as a table: role by area by part.

use super::super::Role;
use super::*;

const PHYSICS: i64 = 7;
const LAW: i64 = 8;
const NORTH: i64 = 1;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn department(id: i64) -> Option<(i64, String)> {
    Some((id, if id == PHYSICS { "physics" } else { "law" }.to_owned()))
}

/// A host of physics with one address on campus north.
fn host() -> Part {
    let at = address("10.1.4.7");
    let name = Some(name("www.ph.uni.example"));
    let what = What::Host;
    Part { what, label: "www.ph.uni.example".into(), name, department: department(PHYSICS), addresses: vec![(at, at)], campuses: vec![NORTH], owned_labels: 0 }
}

/// Its name, in a zone of the department.
fn its_name() -> Part {
    Part { what: What::Name, owned_labels: 3, addresses: vec![], campuses: vec![], ..host() }
}

fn its_address() -> Part {
    Part { what: What::Address, name: None, label: "10.1.4.7".into(), ..host() }
}

fn subnet(what: What) -> Part {
    let stretch = (address("10.1.4.0"), address("10.1.4.255"));
    Part { what, name: None, label: "10.1.4.0/24".into(), addresses: vec![stretch], department: None, ..host() }
}

fn zone() -> Part {
    Part { what: What::Zone, label: "ph.uni.example".into(), name: Some(name("ph.uni.example")), ..its_name() }
}

fn institution() -> Part {
    Part { what: What::Institution, label: "org.campus".into(), name: None, department: None, addresses: vec![], campuses: vec![], owned_labels: 0 }
}

fn actor(role: Role, area: Area) -> Actor {
    Actor { name: "ann".into(), authority: Authority::new(vec![Grant { id: 1, role, area }]), via: "api" }
}

fn may(role: Role, area: &Area, part: Part) -> bool {
    allow(&actor(role, area.clone()), &[part], &[]).is_ok()
}

fn zone_area(text: &str) -> Area {
    Area::Zone(name(text))
}

fn range(first: &str, last: &str) -> Area {
    Area::Addresses(address(first), address(last))
}

#[test]
fn what_each_role_may_do_everywhere_is_this_table() {
    // Host, name, address, subnet, placed subnet, zone, what belongs to all.
    let table: [(Role, [bool; 7]); 9] = [
        (Role::Administrator, [true; 7]),
        (Role::Operator, [true; 7]),
        (Role::TableMaintainer, [true, true, true, true, false, false, false]),
        (Role::DepartmentAdmin, [true, true, true, false, false, true, false]),
        (Role::BackupOperator, [false; 7]),
        (Role::HelpDesk, [false; 7]),
        (Role::Auditor, [false; 7]),
        (Role::Viewer, [false; 7]),
        (Role::NetworkManagement, [false; 7]),
    ];
    let parts = [host(), its_name(), its_address(), subnet(What::Subnet), subnet(What::PlacedSubnet), zone(), institution()];
    for (role, expected) in table {
        // Names are claimed by the zone's department; only wide roles stand above that, and nobody owns this one.
        let found: Vec<bool> = parts.iter().map(|part| may(role, &Area::Global, Part { owned_labels: 0, ..part.clone() })).collect();
        assert_eq!(found, expected, "{role}");
    }
}

#[test]
fn each_kind_of_area_reaches_what_lies_in_it_and_no_more() {
    let reaches = |area: Area, part: Part| may(Role::Operator, &area, part);
    for area in [Area::Department(PHYSICS), zone_area("ph.uni.example"), zone_area("uni.example"), Area::Below(name("ph.uni.example"))] {
        assert!(reaches(area.clone(), host()) && reaches(area.clone(), its_name()), "{area:?}");
        assert!(!reaches(area.clone(), institution()), "{area:?}");
    }
    for area in [Area::Department(LAW), zone_area("law.uni.example"), zone_area("h.uni.example"), Area::Below(name("www.ph.uni.example")), Area::Campus(2)] {
        assert!(!reaches(area.clone(), host()) && !reaches(area.clone(), its_name()) && !reaches(area.clone(), its_address()), "{area:?}");
    }
    for area in [Area::Campus(NORTH), range("10.1.4.0", "10.1.4.255"), range("10.1.4.7", "10.1.4.7")] {
        assert!(reaches(area.clone(), host()) && reaches(area.clone(), its_address()), "{area:?}");
        assert!(!reaches(area.clone(), its_name()), "a name in a department's zone does not go with the address: {area:?}");
    }
    assert!(!reaches(range("10.1.4.8", "10.1.4.255"), its_address()) && !reaches(range("10.1.4.0", "10.1.4.127"), subnet(What::Subnet)));
    assert!(!reaches(zone_area("ph.uni.example"), its_address()), "a zone gives no addresses");
}

#[test]
fn a_host_on_two_campuses_needs_both() {
    let both = Part { campuses: vec![NORTH, 2], name: None, department: None, ..host() };
    assert!(!may(Role::Operator, &Area::Campus(NORTH), both.clone()));
    let grants = [NORTH, 2].map(|campus| Grant { id: campus, role: Role::Operator, area: Area::Campus(campus) });
    let ann = Actor { name: "ann".into(), authority: Authority::new(grants.to_vec()), via: "api" };
    assert!(allow(&ann, std::slice::from_ref(&both), &[]).is_err(), "one grant has to reach the whole of it");
    assert!(Area::Campus(2).meets(&both), "it is seen from either");
}

#[test]
fn a_name_is_whose_zone_or_pattern_says_so_most_closely() {
    let lab = Claim { area: Area::Below(name("lab.uni.example")), holder: "lab-admins".into() };
    let everybody = Claim { area: zone_area("uni.example"), holder: "centre".into() };
    let claims = [everybody, lab];
    let part =
        Part { name: Some(name("x.lab.uni.example")), label: "x.lab.uni.example".into(), department: department(PHYSICS), owned_labels: 0, ..its_name() };
    let tries = |role, area: Area| allow(&actor(role, area), std::slice::from_ref(&part), &claims);
    assert!(tries(Role::TableMaintainer, Area::Below(name("lab.uni.example"))).is_ok());
    assert!(tries(Role::Operator, zone_area("uni.example")).is_ok(), "a wider role may");
    assert!(tries(Role::Administrator, Area::Global).is_ok());
    for (role, area) in [
        (Role::TableMaintainer, zone_area("uni.example")),
        (Role::TableMaintainer, Area::Global),
        (Role::DepartmentAdmin, Area::Department(PHYSICS)),
        (Role::DepartmentAdmin, zone_area("uni.example")),
    ] {
        let Err(Refusal::Forbidden(why)) = tries(role, area.clone()) else { panic!("{role} on {area:?} was let through") };
        assert!(why.contains("x.lab.uni.example is of lab-admins"), "{why}");
    }
}

#[test]
fn a_department_keeps_its_names_from_the_holder_of_the_zone_above() {
    assert!(!may(Role::TableMaintainer, &zone_area("uni.example"), its_name()));
    assert!(may(Role::TableMaintainer, &zone_area("ph.uni.example"), its_name()));
    assert!(may(Role::DepartmentAdmin, &Area::Department(PHYSICS), its_name()));
    let Err(Refusal::Forbidden(why)) = allow(&actor(Role::DepartmentAdmin, Area::Department(LAW)), &[its_name()], &[]) else { panic!("it was let through") };
    assert!(why.contains("ann may not change www.ph.uni.example") && why.contains("department physics"), "{why}");
}

#[test]
fn who_may_only_read_now_is_told_why() {
    let barred = Actor {
        authority: Authority::new(vec![Grant { id: 1, role: Role::Administrator, area: Area::Global }]).barred("get a second factor"),
        ..actor(Role::Viewer, Area::Global)
    };
    let Err(Refusal::Forbidden(why)) = allow(&barred, &[host()], &[]) else { panic!("it was let through") };
    assert_eq!(why, "get a second factor");
    assert!(barred.sight().is_ok() && !barred.authority.edits());
}

#[test]
fn who_backs_up_or_watches_the_network_sees_nothing() {
    let blind = [Role::BackupOperator, Role::NetworkManagement];
    for role in blind {
        assert!(actor(role, Area::Global).sight().is_err(), "{role}");
    }
    for role in Role::ALL.into_iter().filter(|role| !blind.contains(role)) {
        assert!(role.may(Action::Read), "{role}");
    }
}
