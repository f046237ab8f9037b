//! Whose things are, whom to call, and what machines are: on a database of its own, and by the command line.

use holdfast_lab::folder::Folder;
use holdfast_master::config::Config;
use holdfast_master::engine::Engine;
use holdfast_master::inventory::boot::{self, BootDefaults, BootEdit, Level};
use holdfast_master::inventory::organisation::{ContactRole, Entry, EntryKind, ObjectKind, OrganisationEdit, ResponsibilityDraft, escalation};
use holdfast_master::inventory::{self, Actor, CampusDraft, Changed, Edit, Effects, HostDraft, RecordEffect, Refusal, Sight, SubnetDraft, ZoneDraft, privacy};
use holdfast_master::run::open_database;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::types::chrono::{self, NaiveDate};

/// A database with its own server.
pub struct Institution {
    pub pool: PgPool,
    engine: Engine,
    _folder: Folder,
}

impl Drop for Institution {
    fn drop(&mut self) {
        if let Err(error) = self.engine.stop() {
            eprintln!("the database was not stopped: {error:#}");
        }
    }
}

impl Institution {
    /// With a campus, a subnet, a zone with its reverse zone, and a name server.
    pub async fn new(name: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let config = Config { state_dir: folder.path().join("master"), ..Config::default() };
        let (pool, engine) = open_database(&config).await.unwrap();
        let it = Self { pool, engine: engine.unwrap(), _folder: folder };
        it.edit(Edit::CampusAdd(CampusDraft { name: "north".into(), service_address: Some("10.1.4.2".parse().unwrap()), backup: None })).await;
        it.edit(Edit::SubnetAdd(subnet("10.1.4.0/22", json!({ "gateway": "10.1.4.1", "quarantine_secs": 0 })))).await;
        for apex in ["uni.example", "1.10.in-addr.arpa"] {
            it.edit(Edit::ZoneAdd(zone(apex))).await;
        }
        it.edit(Edit::HostAdd(host("ns.uni.example", "10.1.4.2", json!({ "contact": "the NOC" })))).await;
        it.edit(Edit::HostAdd(host("ns2.uni.example", "10.1.4.3", json!({ "contact": "the NOC" })))).await;
        it
    }

    pub async fn edit(&self, edit: Edit) -> Changed {
        self.try_edit(edit).await.unwrap()
    }

    pub async fn try_edit(&self, edit: Edit) -> Result<Changed, Refusal> {
        let mut tx = self.pool.begin().await.unwrap();
        let changed = inventory::change(&mut tx, &admin(), "a test", edit).await?;
        tx.commit().await.unwrap();
        Ok(changed)
    }

    pub async fn organise(&self, edit: OrganisationEdit) -> Changed {
        self.edit(Edit::Organisation(edit)).await
    }

    pub async fn contact(&self, handle: &str) {
        let draft = json!({ "handle": handle, "kind": "group", "name": handle, "mail": format!("{handle}@uni.example"), "phone": "+31 20 555 0117" });
        self.organise(OrganisationEdit::Add(Entry::Contact(serde_json::from_value(draft).unwrap()))).await;
        self.organise(OrganisationEdit::Verify { handle: handle.to_owned(), on: chrono::Utc::now().date_naive() }).await;
    }

    pub async fn responsible(&self, contact: &str, role: ContactRole, kind: ObjectKind, object: &str) {
        let draft = ResponsibilityDraft { kind, object: object.to_owned(), contact: contact.to_owned(), role, rank: 1 };
        self.organise(OrganisationEdit::ResponsibilityPut(draft)).await;
    }

    async fn called(&self, object: &str) -> Vec<String> {
        let chain = escalation(&self.pool, object).await.unwrap();
        chain.items.into_iter().map(|step| step.contact).collect()
    }
}

pub fn admin() -> Actor {
    Actor::administrator("admin", "api")
}

/// A host with an address and whatever else its draft may say.
pub fn host(name: &str, address: &str, more: Value) -> HostDraft {
    let mut draft = json!({ "name": name, "interfaces": [{ "addresses": [address] }] });
    draft.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(draft).unwrap()
}

pub fn subnet(network: &str, more: Value) -> SubnetDraft {
    let mut draft = json!({ "network": network, "campus": "north" });
    draft.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(draft).unwrap()
}

pub fn zone(apex: &str) -> ZoneDraft {
    let draft =
        json!({ "apex": apex, "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example", "name_servers": ["ns.uni.example", "ns2.uni.example"] });
    serde_json::from_value(draft).unwrap()
}

pub fn department(name: &str) -> OrganisationEdit {
    OrganisationEdit::Add(Entry::Department(serde_json::from_value(json!({ "name": name })).unwrap()))
}

#[tokio::test]
async fn whom_to_call_is_told_from_the_host_outwards() {
    let it = Institution::new("escalation").await;
    for handle in ["keeper", "prof", "physics-it", "north-desk", "noc"] {
        it.contact(handle).await;
    }
    it.organise(department("physics")).await;
    let contacts = json!({ "department": "physics", "contacts": [{ "role": "technical", "contact": "keeper" }, { "role": "owner", "contact": "prof" }] });
    it.edit(Edit::HostAdd(host("lab1.uni.example", "10.1.4.17", contacts))).await;
    it.responsible("physics-it", ContactRole::Escalation, ObjectKind::Department, "physics").await;
    it.responsible("prof", ContactRole::Owner, ObjectKind::Subnet, "10.1.4.0/22").await;
    it.responsible("north-desk", ContactRole::Escalation, ObjectKind::Campus, "north").await;
    it.responsible("noc", ContactRole::Escalation, ObjectKind::Institution, "").await;

    assert_eq!(it.called("10.1.4.17").await, ["keeper", "prof", "physics-it", "north-desk", "noc"]);
    assert_eq!(it.called("lab1.uni.example").await, it.called("10.1.4.17").await);
    assert_eq!(it.called("10.1.4.99").await, ["prof", "north-desk", "noc"], "an address that nobody has lies in its subnet");
    assert_eq!(it.called("10.1.4.0/22").await, ["prof", "north-desk", "noc"]);
    assert_eq!(it.called("north").await, ["north-desk", "noc"]);
    assert_eq!(it.called("uni.example").await, ["noc"]);
    assert!(escalation(&it.pool, "192.0.2.1").await.is_err() && escalation(&it.pool, "nowhere.example").await.is_err());
}

#[tokio::test]
async fn who_is_responsible_is_not_deleted_and_comes_back_with_an_undo() {
    let it = Institution::new("responsible").await;
    it.contact("keeper").await;
    it.organise(department("physics")).await;
    it.organise(OrganisationEdit::Add(Entry::Class(serde_json::from_value(json!({ "name": "printer", "addressing": "static" })).unwrap()))).await;
    let more = json!({
        "department": "physics", "contacts": [{ "role": "technical", "contact": "keeper" }],
        "equipment": { "class": "printer", "building": "C", "room": "1.17", "rack": "3", "asset_tag": "U-4711" },
    });
    let draft = host("print1.uni.example", "10.1.4.20", more);
    it.edit(Edit::HostAdd(draft.clone())).await;
    let stored = async || inventory::host_by_name(&it.pool, &Sight::All, &draft.name).await.unwrap().map(|host| host.draft);
    assert_eq!(stored().await.as_ref(), Some(&draft), "what was written is what is read");

    for (kind, name, problem) in [
        (EntryKind::Contact, "keeper", "contact-in-use"),
        (EntryKind::Department, "physics", "department-in-use"),
        (EntryKind::Class, "printer", "class-in-use"),
    ] {
        let refused = it.try_edit(Edit::Organisation(OrganisationEdit::Delete { kind, name: name.into() })).await.unwrap_err();
        assert!(matches!(&refused, Refusal::Invalid(problems) if problems[0].kind == problem), "{refused:?}");
    }
    let double = host("print2.uni.example", "10.1.4.21", json!({ "equipment": { "asset_tag": "U-4711" }, "department": "nobody" }));
    let Err(Refusal::Invalid(problems)) = it.try_edit(Edit::HostAdd(double)).await else { panic!("it was taken") };
    assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/department", "/equipment/asset_tag"]);

    let deleted = it.edit(Edit::HostDelete { name: draft.name.clone() }).await;
    assert_eq!(stored().await, None);
    it.edit(Edit::Undo { change_sets: vec![deleted.change_set], data_keys: [].into() }).await;
    assert_eq!(stored().await, Some(draft), "a host comes back with all that was known of it");
}

#[tokio::test]
async fn a_contact_is_found_right_again_by_one_edit() {
    let it = Institution::new("verify").await;
    it.contact("noc").await;
    let day = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
    it.organise(OrganisationEdit::Verify { handle: "noc".into(), on: day }).await;
    let known = inventory::organisation::all_contacts(&it.pool).await.unwrap();
    assert_eq!((known[0].draft.verified_on, known[0].version), (Some(day), 3));
}

/// The records of these types that would change, as `name type before -> after`.
fn records(effects: &Effects) -> Vec<String> {
    let line = |one: &RecordEffect| format!("{} {} {} -> {}", one.name.without_dot(), one.rtype, one.before.join(","), one.after.join(","));
    effects.records.iter().map(line).collect()
}

#[tokio::test]
async fn several_names_have_the_addresses_and_each_address_points_back_to_the_chosen_one() {
    let it = Institution::new("names").await;
    let more = json!({
        "names": ["ftp.uni.example", "www.uni.example"], "pointers": [{ "address": "10.1.4.31", "names": ["www.uni.example"] }],
        "interfaces": [{ "addresses": ["10.1.4.30", "10.1.4.31"] }],
    });
    let draft = host("web.uni.example", "10.1.4.30", more);
    let would = inventory::preview(&it.pool, &admin(), Edit::HostAdd(draft.clone())).await.unwrap();
    let expected = [
        "30.4.1.10.in-addr.arpa PTR  -> web.uni.example.",
        "31.4.1.10.in-addr.arpa PTR  -> www.uni.example.",
        "ftp.uni.example A  -> 10.1.4.30,10.1.4.31",
        "web.uni.example A  -> 10.1.4.30,10.1.4.31",
        "www.uni.example A  -> 10.1.4.30,10.1.4.31",
    ];
    let mut told = records(&would);
    told.sort();
    assert_eq!(told, expected);
    it.edit(Edit::HostAdd(draft.clone())).await;
    let stored = async |name: &str| inventory::host_by_name(&it.pool, &Sight::All, &name.parse().unwrap()).await.unwrap().map(|host| host.draft);
    assert_eq!(stored("web.uni.example").await.as_ref(), Some(&draft));

    let taken = it.try_edit(Edit::HostAdd(host("www.uni.example", "10.1.4.32", json!({})))).await.unwrap_err();
    assert!(matches!(&taken, Refusal::Invalid(problems) if problems[0].kind == "duplicate-name"), "{taken:?}");
    // One of its other names becomes its own, and the old one an alias.
    let renamed = HostDraft { name: "ftp.uni.example".parse().unwrap(), names: vec!["www.uni.example".parse().unwrap()], ..draft.clone() };
    let renamed = HostDraft { aliases: vec!["web.uni.example".parse().unwrap()], ..renamed };
    let set = it.edit(Edit::HostSet { name: draft.name.clone(), draft: renamed.clone() }).await;
    assert_eq!(stored("ftp.uni.example").await, Some(renamed));
    it.edit(Edit::Undo { change_sets: vec![set.change_set], data_keys: [].into() }).await;
    assert_eq!(stored("web.uni.example").await, Some(draft.clone()));
    it.edit(Edit::HostDelete { name: draft.name.clone() }).await;
    it.edit(Edit::HostAdd(host("www.uni.example", "10.1.4.30", json!({})))).await;
}

#[tokio::test]
async fn what_a_machine_is_and_who_keeps_it_is_published_only_where_the_zone_was_asked_to() {
    let it = Institution::new("minimal").await;
    it.contact("keeper").await;
    let more = json!({ "hardware": "SUN-4", "os": "UNIX", "contacts": [{ "role": "technical", "contact": "keeper" }] });
    let would = inventory::preview(&it.pool, &admin(), Edit::HostAdd(host("a.uni.example", "10.1.4.30", more.clone()))).await.unwrap();
    assert!(records(&would).iter().all(|line| !line.contains("HINFO") && !line.contains("RP")), "{would:?}");
    it.edit(Edit::HostAdd(host("a.uni.example", "10.1.4.30", more))).await;
    let asked = ZoneDraft { publish_hinfo: true, publish_rp: true, ..zone("uni.example") };
    let apex = asked.apex.clone();
    let would = inventory::preview(&it.pool, &admin(), Edit::ZoneSet { apex, draft: asked }).await.unwrap();
    let told = records(&would);
    assert!(told.contains(&"a.uni.example HINFO  -> \"SUN-4\" \"UNIX\"".to_owned()), "{told:?}");
    assert!(told.contains(&"a.uni.example RP  -> keeper.uni.example. .".to_owned()), "{told:?}");
}

#[tokio::test]
async fn one_gateway_is_one_row_and_is_told_with_the_hosts_it_touches() {
    let it = Institution::new("gateway").await;
    let hosts = (0..212).map(|n| {
        let iface = json!({ "interfaces": [{ "mac": format!("02:00:00:00:01:{n:02x}"), "addresses": [format!("10.1.5.{n}")] }] });
        host(&format!("pc{n}.uni.example"), "10.1.5.1", iface)
    });
    it.edit(Edit::HostsAdd(hosts.collect())).await;
    let network = "10.1.4.0/22".parse().unwrap();
    let draft = subnet("10.1.4.0/22", json!({ "gateway": "10.1.4.9" }));
    let would = inventory::preview(&it.pool, &admin(), Edit::SubnetSet { network, draft }).await.unwrap();
    assert_eq!((would.hosts.count, would.hosts.first.len(), would.boot.len()), (212, 20, 0), "the subnet's own row carries it");

    let defaults = |text: Value| serde_json::from_value::<BootDefaults>(text).unwrap();
    let put = |level, object: &str, parameters| Edit::Boot(BootEdit::Put { level, object: object.into(), parameters });
    let lease = put(Level::Campus, "north", defaults(json!({ "lease_secs": 600 })));
    let would = inventory::preview(&it.pool, &admin(), lease.clone()).await.unwrap();
    assert_eq!((would.hosts.count, would.boot.len(), would.others.len()), (212, 0, 1));
    it.edit(lease).await;
    it.edit(put(Level::Institution, "", defaults(json!({ "boot_file": "any", "next_server": "10.1.4.2" })))).await;

    it.organise(OrganisationEdit::Add(Entry::Class(serde_json::from_value(json!({ "name": "thin" })).unwrap()))).await;
    let own = HostDraft { equipment: serde_json::from_value(json!({ "class": "thin" })).unwrap(), ..stored(&it, "pc7.uni.example").await };
    it.edit(Edit::HostSet { name: own.name.clone(), draft: own.clone() }).await;
    let class = put(Level::Class, "thin", defaults(json!({ "boot_file": "thin.img" })));
    let would = inventory::preview(&it.pool, &admin(), class.clone()).await.unwrap();
    assert_eq!((would.hosts.first.as_slice(), would.boot.len()), (["pc7.uni.example".to_owned()].as_slice(), 1), "one host of the class, one row");
    it.edit(class).await;
    let told = boot::told(&it.pool, &own.name).await.unwrap();
    let from = |what: &str| told[0].values.iter().find(|value| value.what == what).map(|value| value.from.clone()).unwrap();
    let found = ["boot_file", "next_server", "option 51", "gateway"].map(from);
    assert_eq!(found, ["class thin", "institution", "campus north", "subnet 10.1.4.0/22"]);
}

async fn stored(it: &Institution, name: &str) -> HostDraft {
    inventory::host_by_name(&it.pool, &Sight::All, &name.parse().unwrap()).await.unwrap().unwrap().draft
}

#[tokio::test]
async fn what_is_known_of_a_person_is_told_and_goes_when_they_are_erased() {
    let it = Institution::new("privacy").await;
    it.contact("jdoe").await;
    it.responsible("jdoe", ContactRole::Owner, ObjectKind::Subnet, "10.1.4.0/22").await;
    it.edit(Edit::HostAdd(host("a.uni.example", "10.1.4.30", json!({ "contact": "ask jdoe@uni.example" })))).await;
    let known = privacy::export(&it.pool, "jdoe").await.unwrap();
    assert_eq!((known.responsibilities.len(), known.hosts.as_slice()), (1, ["a.uni.example".to_owned()].as_slice()));
    it.organise(OrganisationEdit::Erase { handle: "jdoe".into() }).await;
    let left = privacy::export(&it.pool, "jdoe").await.unwrap();
    assert!(left.contact.is_none() && left.responsibilities.is_empty());
    assert_eq!((left.hosts.len(), left.remains), (1, 3), "free words and the history are told, not forgotten");
    assert!(privacy::export(&it.pool, "stranger").await.is_err());
}
