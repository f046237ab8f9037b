//! The consistency checks: faults of every kind are planted in a clean database, and exactly those are found.

use crate::organisation::{Institution, admin, department, host, subnet, zone};
use crate::serving::two_campuses;
use holdfast_master::db::probes;
use holdfast_master::inventory::checks::{self, FindingFilter, Told, WaiverEdit};
use holdfast_master::inventory::organisation::{ContactRole, Entry, MailboxDraft, ObjectKind, OrganisationEdit};
use holdfast_master::inventory::{Edit, RecordDraft, Refusal, SubnetDraft, ZoneDraft};
use holdfast_proto::dns::rtype;
use holdfast_proto::words::DomainName;
use serde_json::json;
use sqlx::types::chrono::{NaiveDate, Utc};
use std::time::Duration;

type Finding = (String, String);

fn days_ago(days: u64) -> NaiveDate {
    (Utc::now() - Duration::from_secs(days * 86_400)).date_naive()
}

fn wire(name: &str) -> Vec<u8> {
    name.parse::<DomainName>().unwrap().wire().to_vec()
}

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn record(name: &str, rtype: u16, rdata: Vec<u8>) -> RecordDraft {
    RecordDraft { name: name.parse().unwrap(), rtype, ttl: None, rdata, text: "planted".into() }
}

fn mx(exchanger: &str) -> Vec<u8> {
    [vec![0, 10], wire(exchanger)].concat()
}

fn srv(target: &str) -> Vec<u8> {
    [vec![0, 0, 0, 0, 1, 187], wire(target)].concat()
}

impl Institution {
    /// Somebody answers for everything, and all mail is read.
    async fn clean(name: &str) -> Self {
        let it = Self::new(name).await;
        it.contact("noc").await;
        it.organise(department("computing")).await;
        it.responsible("noc", ContactRole::Technical, ObjectKind::Department, "computing").await;
        it.responsible("noc", ContactRole::Escalation, ObjectKind::Campus, "north").await;
        let network = "10.1.4.0/22".parse().unwrap();
        it.edit(Edit::SubnetSet { network, draft: owned("10.1.4.0/22") }).await;
        it.edit(Edit::RecordAdd(record("uni.example", rtype::MX, mx("ns.uni.example")))).await;
        for mailbox in ["abuse", "hostmaster", "noc", "postmaster", "security"] {
            let draft = MailboxDraft { domain: "uni.example".into(), mailbox: mailbox.into(), contact: "noc".into() };
            it.organise(OrganisationEdit::MailboxPut(draft)).await;
        }
        it
    }

    async fn found(&self, waived: bool) -> Vec<Finding> {
        let filter = FindingFilter { waived, limit: 1000, ..FindingFilter::default() };
        let (rows, _) = checks::list(&self.pool, &filter).await.unwrap();
        rows.into_iter().map(|row| (row.code, row.object)).collect()
    }

    async fn check(&self) -> Vec<Finding> {
        checks::run(&self.pool, Some(vec![])).await.unwrap();
        self.found(false).await
    }

    async fn plant_record(&self, name: &str, rtype: u16, rdata: Vec<u8>) {
        self.edit(Edit::RecordAdd(record(name, rtype, rdata))).await;
    }
}

fn owned(network: &str) -> SubnetDraft {
    subnet(network, json!({ "department": "computing" }))
}

async fn plant_addresses(it: &Institution) {
    it.edit(Edit::SubnetAdd(subnet("10.9.0.0/24", json!({})))).await;
    it.edit(Edit::HostAdd(host("far.uni.example", "10.9.0.7", json!({ "contact": "x" })))).await;
    it.edit(Edit::SubnetAdd(owned("10.1.250.0/29"))).await;
    for last in 1..=6 {
        it.edit(Edit::HostAdd(host(&format!("full{last}.uni.example"), &format!("10.1.250.{last}"), json!({ "contact": "x" })))).await;
    }
    let class = serde_json::from_value(json!({ "name": "printer", "addressing": "static" })).unwrap();
    it.organise(OrganisationEdit::Add(Entry::Class(class))).await;
    it.edit(Edit::HostAdd(host("print.uni.example", "10.1.4.40", json!({ "contact": "x", "equipment": { "class": "printer" } })))).await;
}

async fn plant_names(it: &Institution) {
    it.edit(Edit::HostAdd(host("web.uni.example", "10.1.4.41", json!({ "contact": "x", "aliases": ["alias.uni.example"] })))).await;
    it.plant_record("chain.uni.example", rtype::CNAME, wire("alias.uni.example")).await;
    it.plant_record("dangling.uni.example", rtype::CNAME, wire("nothing.uni.example")).await;
    it.plant_record("outside.uni.example", rtype::CNAME, wire("www.elsewhere.example")).await;
    it.edit(Edit::RecordAdd(RecordDraft { ttl: Some(60), ..record("mixed.uni.example", rtype::TXT, text("a")) })).await;
    it.plant_record("mixed.uni.example", rtype::TXT, text("b")).await;
    it.plant_record("cut.uni.example", rtype::NS, wire("nothing.uni.example")).await;
    it.plant_record("cut2.uni.example", rtype::NS, wire("alias.uni.example")).await;
    let lonely = ZoneDraft { name_servers: vec!["ns.uni.example".parse().unwrap()], ..zone("2.10.in-addr.arpa") };
    it.edit(Edit::ZoneAdd(ZoneDraft { mailbox: "root.uni.example".parse().unwrap(), ..lonely })).await;
    it.plant_record("stray.uni.example", rtype::A, vec![10, 1, 200, 9]).await;
    it.plant_record("_ldap._tcp.uni.example", rtype::SRV, srv("nothing.uni.example")).await;
    it.plant_record("_https._tcp.uni.example", rtype::SRV, srv("alias.uni.example")).await;
}

async fn plant_mail(it: &Institution) {
    for (name, exchanger) in [("m1", "nothing.uni.example"), ("m2", "alias.uni.example"), ("m3", "10.1.4.7")] {
        it.plant_record(&format!("{name}.uni.example"), rtype::MX, mx(exchanger)).await;
    }
    it.plant_record("spf.uni.example", rtype::TXT, text("v=spf1 ipv4:10.1.0.0/16 -all")).await;
    it.plant_record("twice.uni.example", rtype::TXT, text("v=spf1 -all")).await;
    it.plant_record("twice.uni.example", rtype::TXT, text("v=spf1 mx -all")).await;
    it.plant_record("_dmarc.uni.example", rtype::TXT, text("v=DMARC1; p=maybe")).await;
    it.organise(OrganisationEdit::MailboxDelete { domain: "uni.example".into(), mailbox: "noc".into() }).await;
}

async fn plant_people(it: &Institution) {
    it.edit(Edit::HostAdd(host("orphan.uni.example", "10.1.4.42", json!({})))).await;
    it.organise(department("nobodys")).await;
    it.contact("old").await;
    it.organise(OrganisationEdit::Verify { handle: "old".into(), on: days_ago(800) }).await;
    let silent = json!({ "handle": "silent", "kind": "person", "name": "Silent", "verified_on": Utc::now().date_naive() });
    it.organise(OrganisationEdit::Add(Entry::Contact(serde_json::from_value(silent).unwrap()))).await;
    let boot = json!({ "contact": "x", "interfaces": [{ "mac": "02:00:00:00:00:43", "addresses": ["10.1.4.43"], "boot": { "next_server": "192.0.2.9" } }] });
    it.edit(Edit::HostAdd(host("boot.uni.example", "10.1.4.43", boot))).await;
    probes::put(&it.pool, "north", "dhcp", false, Utc::now()).await.unwrap();
}

#[tokio::test]
async fn exactly_the_planted_faults_are_found() {
    let it = Institution::clean("planted").await;
    assert_eq!(it.check().await, [], "nothing is wrong yet");
    plant_addresses(&it).await;
    plant_names(&it).await;
    plant_mail(&it).await;
    plant_people(&it).await;
    let drift = Told { object: "zone".into(), detail: "1 rows differ".into() };
    checks::run(&it.pool, Some(vec![drift])).await.unwrap();
    let planted = [
        ("HF-101", "10.1.250.0/29"),
        ("HF-102", "10.9.0.0/24"),
        ("HF-103", "print.uni.example"),
        ("HF-104", "10.9.0.0/24"),
        ("HF-201", "chain.uni.example"),
        ("HF-202", "dangling.uni.example"),
        ("HF-203", "outside.uni.example"),
        ("HF-204", "mixed.uni.example"),
        ("HF-205", "cut.uni.example"),
        ("HF-206", "cut2.uni.example"),
        ("HF-207", "2.10.in-addr.arpa"),
        ("HF-208", "stray.uni.example"),
        ("HF-209", "_ldap._tcp.uni.example"),
        ("HF-210", "_https._tcp.uni.example"),
        ("HF-301", "m1.uni.example"),
        ("HF-302", "m2.uni.example"),
        ("HF-303", "m3.uni.example"),
        ("HF-304", "spf.uni.example"),
        ("HF-305", "twice.uni.example"),
        ("HF-306", "_dmarc.uni.example"),
        ("HF-307", "2.10.in-addr.arpa"),
        ("HF-308", "noc@uni.example"),
        ("HF-401", "orphan.uni.example"),
        ("HF-402", "nobodys"),
        ("HF-403", "old"),
        ("HF-404", "silent"),
        ("HF-501", "boot.uni.example"),
        ("HF-601", "north dhcp"),
        ("HF-602", "zone"),
    ];
    let planted: Vec<Finding> = planted.iter().map(|(code, object)| ((*code).to_owned(), (*object).to_owned())).collect();
    assert_eq!(it.found(false).await, planted);
    checks::run(&it.pool, None).await.unwrap();
    assert_eq!(it.found(false).await, planted, "what is known of drift stays where nobody looked again");
}

#[tokio::test]
async fn what_is_waived_does_not_count_and_what_is_cured_is_gone() {
    let it = Institution::clean("waived").await;
    plant_addresses(&it).await;
    plant_names(&it).await;
    it.check().await;
    let waive = |code: &str, object: &str, reason: &str, until: NaiveDate| {
        Edit::Waiver(WaiverEdit::Waive { code: code.into(), object: object.into(), reason: reason.into(), until })
    };
    let Err(Refusal::Invalid(problems)) = it.try_edit(waive("HF-999", "x", " ", days_ago(1))).await else { panic!("it was taken") };
    assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/code", "/reason", "/until"]);
    it.edit(waive("HF-208", "stray.uni.example", "a test of ours", Utc::now().date_naive())).await;
    let is = |found: &[Finding], code: &str| found.iter().any(|(known, _)| known == code);
    assert!(!is(&it.found(false).await, "HF-208") && is(&it.found(true).await, "HF-208"));

    let cure = async |code: &str, object: &str, dry_run: bool| checks::fix(&it.pool, &admin(), "cured", code, object, dry_run).await;
    let would = cure("HF-201", "chain.uni.example", true).await.unwrap();
    assert_eq!((would.change_set, would.edits.len()), (None, 2));
    assert!(is(&it.check().await, "HF-201"), "nothing was done");
    for (code, object) in [("HF-201", "chain.uni.example"), ("HF-102", "10.9.0.0/24"), ("HF-307", "2.10.in-addr.arpa")] {
        assert!(is(&it.check().await, code), "{code} is there");
        cure(code, object, false).await.unwrap();
        assert!(!is(&it.check().await, code), "{code} is cured");
    }
    assert!(cure("HF-104", "10.9.0.0/24", false).await.is_err(), "whose a subnet is takes a person");
}

#[test]
fn the_command_line_says_by_its_exit_what_is_wrong_and_whom_to_call() {
    let Some(lab) = two_campuses("checks on the command line") else { return };
    let admin = lab.admin().unwrap();
    let wrong = admin.holdfast(&["check", "--area", "organisation"]).unwrap_err().to_string();
    assert!(wrong.contains("HF-402") && wrong.contains("warnings"), "{wrong}");
    admin.holdfast(&["contact", "add", "noc", "--kind", "group", "--mail", "noc@uni.example", "--phone", "+31 20 555 0117"]).unwrap();
    admin.holdfast(&["contact", "assign", "noc", "--kind", "institution", "--role", "escalation"]).unwrap();
    admin.holdfast(&["contact", "verify", "noc"]).unwrap();
    let chain = admin.holdfast(&["contact", "escalation", "10.1.4.17"]).unwrap();
    assert!(chain.contains("institution") && chain.contains("+31 20 555 0117"), "{chain}");
    let wrong = admin.holdfast(&["check", "--area", "boot"]).unwrap_err().to_string();
    assert!(wrong.contains("HF-501") && wrong.contains("10.1.4.5 is no address of ours"), "{wrong}");
    admin.holdfast(&["host", "add", "tftp.uni.example", "--address", "10.1.4.5"]).unwrap();
    admin.holdfast(&["check", "--area", "boot"]).unwrap();

    admin
        .holdfast(&["host", "add", "many.uni.example", "--address", "10.1.8.77", "--name", "one.uni.example", "--pointer", "10.1.8.77=one.uni.example"])
        .unwrap();
    let changed = admin.holdfast(&["subnet", "set", "10.1.4.0/22", "--gateway", "10.1.4.9", "--dry-run"]).unwrap();
    assert!(changed.contains("hosts are told something else at boot"), "{changed}");
    eprintln!("{chain}{changed}");
}
