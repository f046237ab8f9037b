//! Whose things are, whom to call, and what machines are: on a database of its own, and by the command line.

use holdfast_lab::folder::Folder;
use holdfast_master::config::Config;
use holdfast_master::engine::Engine;
use holdfast_master::inventory::organisation::{ContactRole, Entry, EntryKind, ObjectKind, OrganisationEdit, ResponsibilityDraft, escalation};
use holdfast_master::inventory::{self, Actor, CampusDraft, Changed, Edit, HostDraft, Refusal, Role, SubnetDraft, ZoneDraft};
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
        it.edit(Edit::CampusAdd(CampusDraft { name: "north".into(), service_address: Some("10.1.4.2".parse().unwrap()) })).await;
        it.edit(Edit::SubnetAdd(subnet("10.1.4.0/22", json!({ "gateway": "10.1.4.1" })))).await;
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
    Actor { name: "admin".into(), role: Role::Administrator, via: "api" }
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
    let stored = async || inventory::host_by_name(&it.pool, &draft.name).await.unwrap().map(|host| host.draft);
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
