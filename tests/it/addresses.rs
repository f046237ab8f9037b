//! Addresses: given out, given back, moved and undone, by many at once, on a real database. What is looked at is that every
//! address of a subnet is one thing: free, used, quarantined or excluded.

mod api;
mod lending;

use holdfast_lab::folder::Folder;
use holdfast_master::config::Config;
use holdfast_master::engine::Engine;
use holdfast_master::inventory::{self, Actor, Applied, Edit, HostDraft, MoveDraft, Refusal, Sight, SpaceEdit, SubnetNumbers, numbers, reclaim};
use holdfast_master::run::open_database;
use holdfast_proto::words::{HostName, Subnet};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::types::chrono::Utc;
use sqlx::types::uuid::Uuid;
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long anything here may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database with its own server, two campuses, and the zones of what follows.
struct Bench {
    pool: PgPool,
    engine: Engine,
    _folder: Folder,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = self.engine.stop() {
            eprintln!("the database was not stopped: {error:#}");
        }
    }
}

impl Bench {
    async fn new(name: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let config = Config { state_dir: folder.path().join("master"), ..Config::default() };
        let (pool, engine) = open_database(&config).await.unwrap();
        let bench = Self { pool, engine: engine.unwrap(), _folder: folder };
        for campus in ["north", "south"] {
            bench.must(draft(json!({ "name": campus }), Edit::CampusAdd)).await;
        }
        for apex in ["uni.example", "10.in-addr.arpa"] {
            bench.must(draft(json!({ "apex": apex, "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example" }), Edit::ZoneAdd)).await;
        }
        bench
    }

    async fn edit(&self, edit: Edit) -> Result<Applied, Refusal> {
        inventory::apply(&self.pool, &admin(), "a test", edit, None).await
    }

    async fn must(&self, edit: Edit) -> Applied {
        self.edit(edit).await.unwrap()
    }

    /// A subnet whose addresses wait so long after they were given back, in seconds.
    async fn subnet(&self, network: &str, campus: &str, quarantine_secs: u32) -> Subnet {
        self.must(draft(json!({ "network": network, "campus": campus, "quarantine_secs": quarantine_secs }), Edit::SubnetAdd)).await;
        network.parse().unwrap()
    }

    async fn host(&self, name: &str) -> Option<inventory::Host> {
        inventory::host_by_name(&self.pool, &Sight::All, &self.name(name)).await.unwrap()
    }

    fn name(&self, name: &str) -> HostName {
        format!("{name}.uni.example").parse().unwrap()
    }

    async fn addresses(&self, name: &str) -> Vec<String> {
        let host = self.host(name).await;
        host.iter().flat_map(|host| &host.draft.interfaces).flat_map(|iface| &iface.addresses).map(IpAddr::to_string).collect()
    }

    async fn delete(&self, name: &str) -> Result<Applied, Refusal> {
        self.edit(Edit::HostDelete { name: self.name(name) }).await
    }

    async fn numbers(&self, network: Subnet) -> [u64; 5] {
        let all = inventory::subnets(&self.pool, &Sight::All).await.unwrap();
        let numbers = all.into_iter().find(|subnet| subnet.draft.network == network).unwrap().numbers;
        let SubnetNumbers::Now(numbers) = numbers else { panic!("these are the numbers of now") };
        [numbers.total, numbers.free, numbers.used, numbers.quarantined, numbers.excluded]
    }

    /// Every address is one thing, and neighbours that are free lie in one range.
    async fn check(&self) {
        assert_eq!(numbers::doubtful(&self.pool).await.unwrap(), [], "the free ranges are what follows from everything else");
    }

    /// Writes a table with a history as only a test does: without an edit, under whichever change set.
    async fn by_hand(&self, sql: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>) {
        let mut tx = self.pool.begin().await.unwrap();
        let any = "select set_config('holdfast.change_set', (select id::text from change.change_set limit 1), true)";
        sqlx::query(any).execute(&mut *tx).await.unwrap();
        sql.execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn rows(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }
}

fn admin() -> Actor {
    Actor::administrator("admin", "api")
}

fn draft<D: serde::de::DeserializeOwned>(json: Value, edit: impl Fn(D) -> Edit) -> Edit {
    edit(serde_json::from_value(json).unwrap())
}

/// A host with these addresses, or wishes for some.
fn host(name: &str, addresses: Value) -> Edit {
    draft(json!({ "name": format!("{name}.uni.example"), "interfaces": [{ "addresses": addresses }] }), Edit::HostAdd)
}

fn next(network: &str) -> Value {
    json!([{ "next": { "subnet": network } }])
}

fn space<D: serde::de::DeserializeOwned>(json: Value, edit: impl Fn(D) -> SpaceEdit) -> Edit {
    draft(json, |draft| Edit::Space(edit(draft)))
}

/// The kinds of what was refused.
fn kinds(refused: Result<Applied, Refusal>) -> Vec<&'static str> {
    match refused {
        Err(Refusal::Invalid(problems)) => problems.into_iter().map(|problem| problem.kind).collect(),
        Err(Refusal::Missing(problem)) => vec![problem.kind],
        other => panic!("it was not refused by a rule: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_ask_at_once_get_a_hundred_addresses() {
    let bench = Bench::new("hundred-at-once").await;
    let network = bench.subnet("10.1.4.0/24", "north", 0).await;
    let mut asking = JoinSet::new();
    for number in 0..100 {
        let pool = bench.pool.clone();
        asking.spawn(async move { inventory::apply(&pool, &admin(), "", host(&format!("pc{number}"), next("10.1.4.0/24")), None).await.map(drop) });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap().unwrap();
    }
    let mut given = HashSet::new();
    for number in 0..100 {
        given.extend(bench.addresses(&format!("pc{number}")).await);
    }
    let lowest: HashSet<String> = (1..=100).map(|last| format!("10.1.4.{last}")).collect();
    assert_eq!(given, lowest, "all different, and the lowest ones");
    assert_eq!(bench.numbers(network).await, [254, 154, 100, 0, 0]);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_are_met_by_subnet_range_pool_and_policy_and_many_at_once() {
    let bench = Bench::new("wishes").await;
    bench.subnet("10.1.4.0/24", "north", 0).await;
    bench.subnet("2001:db8:4::/64", "north", 0).await;
    let printers = json!({ "network": "10.2.4.0/29", "campus": "south", "gateway": "10.2.4.1", "classes": ["printer"] });
    bench.must(draft(printers, Edit::SubnetAdd)).await;
    let overflow = json!({ "network": "10.2.5.0/29", "campus": "south", "classes": ["printer"], "preference": 5 });
    bench.must(draft(overflow, Edit::SubnetAdd)).await;
    bench.must(space(json!({ "first": "10.1.4.100", "last": "10.1.4.120", "kind": "dynamic" }), SpaceEdit::PoolAdd)).await;
    bench.must(space(json!({ "first": "10.1.4.10", "last": "10.1.4.19", "kind": "static", "name": "lab" }), SpaceEdit::PoolAdd)).await;

    let wishes =
        json!([{ "next": { "range": "10.1.4.95-10.1.4.130" } }, "10.1.4.7", { "next": { "range": "lab" } }, { "next": { "subnet": "2001:db8:4::/64" } }]);
    bench.must(host("many", wishes)).await;
    assert_eq!(bench.addresses("many").await, ["10.1.4.7", "10.1.4.10", "10.1.4.95", "2001:db8:4::1"]);

    let printer = json!([{ "next": { "policy": { "campus": "south", "class": "printer" } } }]);
    for number in 0..7 {
        bench.must(host(&format!("printer{number}"), printer.clone())).await;
    }
    assert_eq!(bench.addresses("printer0").await, ["10.2.4.2"], "not the gateway's");
    assert_eq!(bench.addresses("printer6").await, ["10.2.5.2"], "where the first is full, the next one is taken");

    let names = inventory::pattern::names("lab-{01..40}.uni.example").unwrap().unwrap();
    let one = |name: &HostName| -> HostDraft {
        serde_json::from_value(json!({ "name": name, "interfaces": [{ "addresses": [{ "next": { "range": "10.1.4.90-10.1.4.200" } }] }] })).unwrap()
    };
    bench.must(Edit::HostsAdd(names.iter().map(one).collect())).await;
    assert_eq!(bench.addresses("lab-05").await, ["10.1.4.94"]);
    assert_eq!(bench.addresses("lab-10").await, ["10.1.4.121"], "95 is taken, 96 to 99 are given, 100 to 120 are leased");
    bench.check().await;

    assert_eq!(kinds(bench.edit(host("x", next("10.9.0.0/24"))).await), ["no-such-subnet"]);
    assert_eq!(kinds(bench.edit(host("x", json!([{ "next": { "range": "10.1.4.100-10.1.4.110" } }]))).await), ["no-free-address"]);
    assert_eq!(
        kinds(bench.edit(host("x", json!([{ "next": { "range": "nowhere" } }, { "next": { "policy": { "vlan": 7 } } }]))).await),
        ["no-such-pool", "no-such-subnet"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_keep_hosts_out_and_hosts_keep_pools_out() {
    let bench = Bench::new("pools").await;
    let network = bench.subnet("10.1.4.0/24", "north", 0).await;
    bench.must(space(json!({ "first": "10.1.4.100", "last": "10.1.4.120", "kind": "dynamic", "name": "leases" }), SpaceEdit::PoolAdd)).await;
    assert_eq!(bench.numbers(network).await, [254, 233, 0, 0, 21]);
    assert_eq!(kinds(bench.edit(host("pc", json!(["10.1.4.110"]))).await), ["address-in-other-pool"]);
    bench.must(host("pc", json!(["10.1.4.121"]))).await;
    let pool =
        |first: &str, last: &str, kind: &str, reason: &str| space(json!({ "first": first, "last": last, "kind": kind, "reason": reason }), SpaceEdit::PoolAdd);
    assert_eq!(kinds(bench.edit(pool("10.1.4.121", "10.1.4.130", "reserved", "cameras")).await), ["pool-holds-addresses"]);
    assert_eq!(kinds(bench.edit(pool("10.1.4.90", "10.1.4.100", "static", "")).await), ["pool-overlap"]);
    assert_eq!(kinds(bench.edit(pool("10.1.4.130", "10.1.4.140", "reserved", " ")).await), ["reason-missing"]);
    assert_eq!(kinds(bench.edit(pool("10.1.4.250", "10.1.5.10", "dynamic", "")).await), ["address-outside-subnets"]);
    let made = bench.must(pool("10.1.4.130", "10.1.4.140", "reserved", "cameras")).await;
    let kinds_of = numbers::map(&bench.pool, network).await.unwrap();
    let runs: Vec<String> = kinds_of.iter().map(|run| format!("{} {}-{}", run.kind, run.first, run.last)).collect();
    let expected = [
        "free 10.1.4.1-10.1.4.99",
        "dynamic 10.1.4.100-10.1.4.120",
        "used 10.1.4.121-10.1.4.121",
        "free 10.1.4.122-10.1.4.129",
        "reserved 10.1.4.130-10.1.4.140",
        "free 10.1.4.141-10.1.4.254",
    ];
    assert_eq!(runs, expected);
    bench.must(Edit::Undo { change_sets: vec![made.change_set], data_keys: [].into() }).await;
    bench.must(Edit::Space(SpaceEdit::PoolDelete("leases".parse().unwrap()))).await;
    assert_eq!(bench.numbers(network).await, [254, 253, 1, 0, 0]);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_given_back_waits_for_its_time_and_its_old_owner_may_have_it() {
    let bench = Bench::new("quarantine").await;
    bench.subnet("10.1.4.0/24", "north", 86_400).await;
    bench.must(host("old", next("10.1.4.0/24"))).await;
    let gone = bench.delete("old").await.unwrap();
    let (held, _) = inventory::quarantined(&bench.pool, None).await.unwrap();
    assert_eq!((held.len(), held[0].host.as_str(), held[0].change_set), (1, "old.uni.example", gone.change_set));

    let refused = bench.edit(host("new", json!(["10.1.4.1"]))).await;
    let told = refused.as_ref().unwrap_err().to_string();
    assert!(told.contains("given back by old.uni.example") && told.contains("it waits until"), "{told}");
    assert_eq!(kinds(refused), ["address-in-quarantine"]);
    bench.must(host("next", next("10.1.4.0/24"))).await;
    assert_eq!(bench.addresses("next").await, ["10.1.4.2"]);

    bench.must(Edit::Undo { change_sets: vec![gone.change_set], data_keys: [].into() }).await;
    assert_eq!(bench.addresses("old").await, ["10.1.4.1"], "who undoes the deletion is the old owner");
    bench.delete("old").await.unwrap();
    bench.must(host("old", json!(["10.1.4.1"]))).await;
    bench.delete("old").await.unwrap();

    let ip = "10.1.4.1".parse().unwrap();
    bench.must(Edit::Space(SpaceEdit::Release(ip))).await;
    assert_eq!(kinds(bench.edit(Edit::Space(SpaceEdit::Release(ip))).await), ["not-in-quarantine"]);
    bench.must(host("new", next("10.1.4.0/24"))).await;
    assert_eq!(bench.addresses("new").await, ["10.1.4.1"], "released is free");
    let history =
        bench.rows("select s.reason from change.change c join change.change_set s on s.id = c.change_set where c.table_name = 'ipam.quarantine'").await;
    assert_eq!(history, ["a test"], "and somebody answers for it");
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_not_confirmed_holds_an_address_back() {
    let bench = Bench::new("barrier").await;
    bench.subnet("10.1.4.0/24", "north", 0).await;
    let (west, lost) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for (id, name) in [(west, "west"), (lost, "lost")] {
        let sql = "insert into publish.node (id, name, role, hpke_public, certificate_serial) values ($1, $2, 'agent', '', '')";
        bench.by_hand(sqlx::query(sql).bind(id).bind(name)).await;
    }
    bench.must(host("old", json!(["10.1.4.1"]))).await;
    let gone = bench.delete("old").await.unwrap().change_set;
    let why = || async { bench.edit(host("new", json!(["10.1.4.1"]))).await.unwrap_err().to_string() };
    let told = why().await;
    assert!(told.contains("not published the change yet") && told.contains("agent west"), "{told}");

    // As the publisher and the agents would: generation 812 carries the change, and west has it on its disk only in the end.
    sqlx::query("delete from publish.outbox").execute(&bench.pool).await.unwrap();
    sqlx::query("insert into publish.change_generation values ($1, 1, 0, 0, 812)").bind(gone).execute(&bench.pool).await.unwrap();
    bench.by_hand(sqlx::query("update publish.node set revoked_at = now() where id = $1").bind(lost)).await;
    let told = why().await;
    assert!(told.contains("agent west has not confirmed generation 812 yet") && !told.contains("lost"), "{told}");
    let served = "insert into publish.served (node_id, kind, family, cut, generation, applied_at, durable_at) values ($1, 1, 0, 0, $2, now(), $3)";
    sqlx::query(served).bind(west).bind(811i64).bind(Utc::now()).execute(&bench.pool).await.unwrap();
    sqlx::query(served).bind(west).bind(812i64).bind(None::<sqlx::types::chrono::DateTime<Utc>>).execute(&bench.pool).await.unwrap();
    inventory::tend_once(&bench.pool).await.unwrap();
    assert!(why().await.contains("has not confirmed generation 812"), "applied is not durable");
    sqlx::query(served).bind(west).bind(813i64).bind(Utc::now()).execute(&bench.pool).await.unwrap();
    bench.must(host("new", json!(["10.1.4.1"]))).await;
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_one_change_with_everything_that_follows() {
    let bench = Bench::new("move").await;
    bench.subnet("10.1.4.0/24", "north", 86_400).await;
    bench.subnet("10.2.4.0/24", "south", 86_400).await;
    let pc = json!({ "name": "pc17.uni.example", "location": "north, room 12", "interfaces": [
        { "mac": "08:00:20:00:00:17", "addresses": ["10.1.4.17"], "boot": { "boot_file": "vmunix" } }] });
    bench.must(draft(pc, Edit::HostAdd)).await;
    let to = MoveDraft { subnet: "10.2.4.0/24".parse().unwrap(), address: None, interface: 0, location: None };
    let edit = || Edit::Space(SpaceEdit::Move { name: bench.name("pc17"), to: to.clone() });
    let would = inventory::preview(&bench.pool, &admin(), edit()).await.unwrap();
    assert_eq!(bench.addresses("pc17").await, ["10.1.4.17"], "a preview moves nothing");
    let before = bench.host("pc17").await.unwrap();
    let did = bench.must(edit()).await;
    assert_eq!(did.effects, would);
    let told: Vec<String> = did.effects.records.iter().map(|record| format!("{} {:?} {:?}", record.rtype, record.before, record.after)).collect();
    let expected = ["PTR [\"pc17.uni.example.\"] []", "PTR [] [\"pc17.uni.example.\"]", "A [\"10.1.4.17\"] [\"10.2.4.1\"]"];
    assert!(expected.iter().all(|line| told.contains(&(*line).to_owned())), "{told:?}");
    let boot: Vec<_> = did.effects.boot.iter().map(|effect| (effect.subnet.to_string(), effect.after.clone())).collect();
    assert_eq!(boot, [("10.1.4.0/24".to_owned(), None), ("10.2.4.0/24".to_owned(), Some("10.2.4.1 pc17.uni.example, file vmunix".to_owned()))]);
    let after = bench.host("pc17").await.unwrap();
    assert_eq!((after.id, after.draft.location.as_str()), (before.id, "south"));
    assert_eq!(inventory::quarantined(&bench.pool, None).await.unwrap().0[0].ip.to_string(), "10.1.4.17");
    bench.must(Edit::Undo { change_sets: vec![did.change_set], data_keys: [].into() }).await;
    assert_eq!(bench.host("pc17").await.unwrap().draft, before.draft);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_move_lowers_the_ttl_and_happens_at_its_time_or_not_at_all() {
    let bench = Bench::new("planned-move").await;
    bench.subnet("10.1.4.0/24", "north", 0).await;
    bench.subnet("10.2.4.0/30", "south", 0).await;
    for name in ["pc1", "pc2", "pc3"] {
        bench.must(host(name, next("10.1.4.0/24"))).await;
    }
    let at = Utc::now() + Duration::from_secs(3);
    let plan = |name: &str, id| SpaceEdit::PlanMove {
        id: Uuid::from_u128(id),
        name: bench.name(name),
        to: MoveDraft { subnet: "10.2.4.0/30".parse().unwrap(), address: Some("10.2.4.1".parse().unwrap()), interface: 0, location: None },
        at,
    };
    let ttls = || bench.rows("select coalesce(ttl, -1)::text from ipam.host h join dns.node n on n.id = h.node_id order by n.name");
    bench.must(Edit::Space(plan("pc1", 1))).await;
    bench.must(Edit::Space(plan("pc2", 2))).await;
    bench.must(Edit::Space(plan("pc3", 3))).await;
    assert_eq!(ttls().await, ["60", "60", "60"]);
    assert_eq!(kinds(bench.edit(Edit::Space(plan("pc1", 4))).await), ["duplicate-move"]);
    bench.must(Edit::Space(SpaceEdit::CancelMove(Uuid::from_u128(3)))).await;
    assert_eq!(ttls().await, ["60", "60", "-1"], "cancelled is as before");
    assert_eq!(inventory::tend_once(&bench.pool).await.unwrap(), 0, "nothing before its time");

    let deadline = Instant::now() + PATIENCE;
    let mut made = 0;
    while made < 2 {
        assert!(Instant::now() < deadline, "the moves are made");
        made += inventory::tend_once(&bench.pool).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let states: BTreeMap<Uuid, (String, String)> =
        inventory::planned(&bench.pool).await.unwrap().into_iter().map(|plan| (plan.id, (plan.state, plan.why))).collect();
    let state = |id| states[&Uuid::from_u128(id)].0.as_str();
    assert_eq!((state(1), state(2), state(3)), ("done", "failed", "cancelled"));
    assert!(states[&Uuid::from_u128(2)].1.contains("10.2.4.1 belongs to pc1.uni.example"), "{states:?}");
    assert_eq!(bench.addresses("pc1").await, ["10.2.4.1"]);
    assert_eq!(ttls().await, ["-1", "-1", "-1"], "then TTLs are as before");
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_a_host_touches_only_the_rows_that_change() {
    let bench = Bench::new("precise").await;
    bench.subnet("10.1.4.0/24", "north", 0).await;
    let pc = |second: &str, comment: &str| -> HostDraft {
        serde_json::from_value(json!({ "name": "pc.uni.example", "comment": comment, "interfaces": [
            { "mac": "08:00:20:00:00:01", "addresses": ["10.1.4.7"], "boot": { "boot_file": "vmunix" } },
            { "mac": "08:00:20:00:00:02", "addresses": [second] }] }))
        .unwrap()
    };
    bench.must(Edit::HostAdd(pc("10.1.4.8", ""))).await;
    let touched = |change_set: Uuid| {
        let sql = sqlx::query_scalar::<_, String>("select table_name from change.change where change_set = $1 order by ordinal");
        let pool = bench.pool.clone();
        async move { sql.bind(change_set).fetch_all(&pool).await.unwrap() }
    };
    let set = |draft| Edit::HostSet { name: bench.name("pc"), draft };
    let comment = bench.must(set(pc("10.1.4.8", "new"))).await;
    assert_eq!(touched(comment.change_set).await, ["ipam.host"]);
    let address = bench.must(set(pc("10.1.4.9", "new"))).await;
    assert_eq!(touched(address.change_set).await, ["ipam.address", "ipam.address", "ipam.host"]);
    assert_eq!(address.effects.boot.len(), 1, "the other interface's boot entry is not said again: {:?}", address.effects.boot);
    let mut swapped = pc("10.1.4.9", "new");
    swapped.interfaces.swap(0, 1);
    let swap = bench.must(set(swapped)).await;
    assert_eq!(touched(swap.change_set).await, ["ipam.iface", "ipam.iface", "ipam.host"]);
    bench.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subnets_are_cut_from_containers_and_other_families_count() {
    let bench = Bench::new("containers").await;
    bench.must(space(json!({ "network": "10.4.0.0/22", "purpose": "laboratories" }), SpaceEdit::ContainerAdd)).await;
    bench.subnet("10.4.0.0/26", "north", 0).await;
    let cut = |length| {
        let draft = serde_json::from_value(json!({ "network": "10.4.0.0/22", "campus": "north" })).unwrap();
        Edit::Space(SpaceEdit::SubnetNext { container: "10.4.0.0/22".parse().unwrap(), length, draft })
    };
    let (first, second) = tokio::join!(bench.edit(cut(26)), bench.edit(cut(24)));
    let mut made = Vec::new();
    for applied in [first.unwrap(), second.unwrap()] {
        made.push(inventory::subnet_made_by(&bench.pool, &Sight::All, applied.change_set).await.unwrap().unwrap().draft.network.to_string());
    }
    assert_eq!(made, ["10.4.0.64/26", "10.4.1.0/24"]);
    assert_eq!(kinds(bench.edit(cut(22)).await), ["no-free-subnet"]);

    let appletalk = json!({ "name": "appletalk", "pattern": "65280\\.[0-9]+", "first": 1, "last": 2, "template": "65280.{}" });
    bench.must(space(appletalk, SpaceEdit::FamilyAdd)).await;
    assert_eq!(kinds(bench.edit(space(json!({ "name": "bad", "pattern": "(" }), SpaceEdit::FamilyAdd)).await), ["bad-pattern"]);
    let mac = |name: &str, value: Value| draft(json!({ "name": format!("{name}.uni.example"), "other_addresses": [value] }), Edit::HostAdd);
    let added = bench.must(mac("mac1", json!({ "family": "appletalk" }))).await;
    assert!(added.effects.records.is_empty(), "they are not in DNS");
    assert_eq!(bench.host("mac1").await.unwrap().draft.other_addresses[0].value.as_deref(), Some("65280.1"));
    assert_eq!(kinds(bench.edit(mac("mac2", json!({ "family": "appletalk", "value": "65280.1" }))).await), ["duplicate-address"]);
    assert_eq!(kinds(bench.edit(mac("mac2", json!({ "family": "appletalk", "value": "1.1" }))).await), ["bad-value"]);
    bench.must(mac("mac2", json!({ "family": "appletalk" }))).await;
    assert_eq!(kinds(bench.edit(mac("mac3", json!({ "family": "appletalk" }))).await), ["no-free-address"]);
    bench.delete("mac1").await.unwrap();
    bench.must(mac("mac3", json!({ "family": "appletalk" }))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_nobody_saw_are_reported() {
    let bench = Bench::new("unused").await;
    bench.subnet("10.1.4.0/24", "north", 0).await;
    for name in ["seen", "silent", "stale"] {
        bench.must(host(name, next("10.1.4.0/24"))).await;
    }
    let see = |ip: &str, days: u64| reclaim::Sighting {
        ip: ip.parse().unwrap(),
        seen_at: Utc::now() - Duration::from_secs(days * 86_400),
        source: "lease".to_owned(),
    };
    reclaim::saw(&bench.pool, &[see("10.1.4.1", 5), see("10.1.4.1", 200), see("10.1.4.3", 100)]).await.unwrap();
    assert_eq!(reclaim::unused(&bench.pool, 90, None).await.unwrap().0.len(), 0, "hosts of today are no candidates");
    bench.by_hand(sqlx::query("update ipam.host set created_at = now() - interval '1 year'")).await;
    let found = reclaim::unused(&bench.pool, 90, None).await.unwrap().0;
    let found: Vec<_> = found.iter().map(|host| (host.name.to_string(), host.last_seen.is_some())).collect();
    assert_eq!(found, [("silent.uni.example".to_owned(), false), ("stale.uni.example".to_owned(), true)]);
}

/// What somebody does with one of the hosts.
#[derive(Debug, Clone)]
enum Deed {
    Add { next_in: usize },
    AddAt { subnet: usize, last: u8 },
    Delete,
    Move { to: usize },
    Undo,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..SUBNETS).prop_map(|next_in| Deed::Add { next_in }),
        2 => (0..SUBNETS, 0u8..18).prop_map(|(subnet, last)| Deed::AddAt { subnet, last }),
        3 => Just(Deed::Delete),
        2 => (0..SUBNETS).prop_map(|to| Deed::Move { to }),
        2 => Just(Deed::Undo),
    ]
}

/// Subnets of each case, and hosts that may be there.
const SUBNETS: usize = 3;
const HOSTS: usize = 12;

/// What is known of a host without asking the database.
#[derive(Debug, Clone, Default)]
struct Known {
    address: Option<String>,
    before: Option<(Uuid, Option<String>)>,
}

/// One case: its own subnets and hosts in a database that others used before.
struct Case<'b> {
    bench: &'b Bench,
    number: u32,
    hosts: Vec<Known>,
}

impl Case<'_> {
    fn network(&self, subnet: usize) -> String {
        format!("10.{}.{subnet}.0/28", self.number)
    }

    fn name(&self, host: usize) -> String {
        format!("h{host}-c{}", self.number)
    }

    fn edit(&self, of: usize, deed: &Deed) -> Option<Edit> {
        let name = self.bench.name(&self.name(of));
        Some(match deed {
            Deed::Add { next_in } => host(&self.name(of), next(&self.network(*next_in))),
            Deed::AddAt { subnet, last } => host(&self.name(of), json!([format!("10.{}.{subnet}.{last}", self.number)])),
            Deed::Delete => Edit::HostDelete { name },
            Deed::Move { to } => {
                let to = MoveDraft { subnet: self.network(*to).parse().unwrap(), address: None, interface: 0, location: None };
                Edit::Space(SpaceEdit::Move { name, to })
            }
            Deed::Undo => Edit::Undo { change_sets: vec![self.hosts[of].before.as_ref()?.0], data_keys: [].into() },
        })
    }

    /// All deeds at once, each with a host of its own; then every host is as its deed says, and every address is one thing.
    async fn round(&mut self, deeds: &[Deed]) {
        let mut doing = JoinSet::new();
        for (of, edit) in deeds.iter().enumerate().filter_map(|(of, deed)| Some((of, self.edit(of, deed)?))) {
            let pool = self.bench.pool.clone();
            doing.spawn(async move { (of, inventory::apply(&pool, &admin(), "", edit, None).await) });
        }
        while let Some(done) = doing.join_next().await {
            let (of, done) = done.unwrap();
            let now = self.bench.addresses(&self.name(of)).await.pop();
            let known = &mut self.hosts[of];
            match done {
                Ok(applied) => {
                    let was = known.address.take();
                    match (&deeds[of], &known.before) {
                        (Deed::Undo, Some((_, before))) => assert_eq!(now, *before, "undone is as before"),
                        (Deed::Delete, _) => assert_eq!(now, None),
                        (Deed::AddAt { subnet, last }, _) => assert_eq!(now, Some(format!("10.{}.{subnet}.{last}", self.number))),
                        (Deed::Add { next_in: subnet } | Deed::Move { to: subnet }, _) => {
                            let inside = now.as_ref().is_some_and(|now| now.starts_with(&format!("10.{}.{subnet}.", self.number)));
                            assert!(inside && now != was, "{now:?} in subnet {subnet}");
                        }
                        (Deed::Undo, None) => unreachable!("there was nothing to undo"),
                    }
                    *known = Known { address: now, before: Some((applied.change_set, was)) };
                }
                Err(Refusal::Database(error)) => panic!("nothing may fail but by a rule: {error}"),
                Err(_) => assert_eq!(now, known.address, "refused is as before"),
            }
        }
        self.bench.check().await;
    }
}

/// Whatever is done at once: every address is free, used, quarantined or excluded, each of them one thing, nobody shares one,
/// and everybody has what he was told.
#[test]
fn whatever_many_do_at_once_every_address_is_one_thing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new("model"));
    let cases = if crate::is_long() { 60 } else { 8 };
    let mut runner = TestRunner::new(Cases { cases, max_shrink_iters: 20, failure_persistence: None, ..Cases::default() });
    let number = Cell::new(10);
    let rounds = proptest::collection::vec(proptest::collection::vec(deed(), HOSTS), 1..8);
    let outcome = runner.run(&rounds, |rounds| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let mut case = Case { bench: &bench, number: number.get(), hosts: vec![Known::default(); HOSTS] };
            for subnet in 0..SUBNETS {
                bench.subnet(&case.network(subnet), "north", if subnet == 0 { 86_400 } else { 0 }).await;
            }
            let leased = json!({ "first": format!("10.{}.2.5", case.number), "last": format!("10.{}.2.9", case.number), "kind": "dynamic" });
            bench.must(space(leased, SpaceEdit::PoolAdd)).await;
            for deeds in &rounds {
                case.round(deeds).await;
                inventory::tend_once(&bench.pool).await.unwrap();
                bench.check().await;
            }
        });
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(bench.pool.close());
}
