//! The publisher by itself, on a database of its own: boxes thrown out while something is held, writers in its way, a second
//! master beside it. No agents, no cables: what is looked at is what would be served.

use holdfast_lab::folder::Folder;
use holdfast_master::config::Config;
use holdfast_master::db::nodes::{Enrolment, Newcomer, TokenRow, enrol, put_token};
use holdfast_master::db::{holds, publish as db};
use holdfast_master::engine::Engine;
use holdfast_master::inventory::{self, Actor, CampusDraft, Changed, Edit, HostDraft, NasDraft};
use holdfast_master::keys::{Keys, ceremony};
use holdfast_master::nodes::{await_rotation, revoke};
use holdfast_master::publish::{Latest, Limits, Publications, Publisher};
use holdfast_master::run::open_database;
use holdfast_master::snapshots::Snapshots;
use holdfast_proto::radius::{NAS, Nas, nas_key};
use holdfast_proto::snapshot::{DataKey, DataKeyRing, Feed, HpkePrivate, SigningKey, View, WRAPPED_KEYS};
use holdfast_proto::words::{Generation, Mac, NodeId, Subnet};
use sqlx::types::chrono::Utc;
use sqlx::{PgPool, Postgres, Transaction};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long anything here may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Few enough that a hand can hold them.
const LIMITS: Limits = Limits { rows: 2, share_percent: 20 };

/// A database with its own server, and what a master needs beside it.
struct Bench {
    pool: PgPool,
    keys: Arc<Keys>,
    state_dir: PathBuf,
    engine: Engine,
    _folder: Folder,
}

/// A publisher that runs.
struct Running {
    published: Publications,
    wake: Arc<Notify>,
    greetings: watch::Sender<u64>,
    work: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = self.engine.stop() {
            eprintln!("the database was not stopped: {error:#}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Bench {
    async fn new(name: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let state_dir = folder.path().join("master");
        let portal = SigningKey::generate().unwrap().0.public();
        ceremony::init(&state_dir, "University of Examples", portal, &[], 1).unwrap();
        let config = Config { state_dir: state_dir.clone(), ..Config::default() };
        let (pool, engine) = open_database(&config).await.unwrap();
        let keys = Arc::new(Keys::read(&state_dir).unwrap());
        Self { pool, keys, state_dir, engine: engine.unwrap(), _folder: folder }
    }

    /// A publisher on this many connections.
    async fn publisher(&self, connections: u32) -> Running {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(2));
        self.publisher_on(pool.connect_with(self.engine.options(holdfast_master::run::DATABASE)).await.unwrap()).await
    }

    async fn publisher_on(&self, pool: PgPool) -> Running {
        let (wake, keys) = (Arc::new(Notify::new()), watch::channel(Arc::clone(&self.keys)).1);
        let (greetings, heard) = watch::channel(1);
        let (publisher, published) = Publisher::open(pool, &self.state_dir, keys, Arc::clone(&wake), heard, LIMITS).await.unwrap();
        Running { published, wake, greetings, work: tokio::spawn(publisher.run()) }
    }

    /// Other sessions: those before have told the server all that they counted.
    async fn reopen(&mut self) {
        self.pool.close().await;
        let config = Config { state_dir: self.state_dir.clone(), ..Config::default() };
        self.pool = open_database(&config).await.unwrap().0;
    }

    /// A box with its name.
    async fn agent(&self, name: &str) -> (NodeId, HpkePrivate) {
        let (private, public) = HpkePrivate::generate().unwrap();
        let mut id = [0; 16];
        id[..name.len()].copy_from_slice(name.as_bytes());
        let (hash, expires_at) = ([id, id].concat(), Utc::now() + Duration::from_secs(60));
        let token = TokenRow { secret_hash: &hash, name, role: "agent", campus: None, expires_at, replaces: false };
        assert!(put_token(&mut self.pool.acquire().await.unwrap(), &token).await.unwrap());
        let new = Newcomer { secret_hash: &hash, id: NodeId(id), hpke_public: &public.0, certificate_end: expires_at, authority: "test" };
        assert!(matches!(enrol(&self.pool, &new).await.unwrap(), Enrolment::In { .. }));
        (NodeId(id), private)
    }

    /// Makes edits as one change set.
    async fn edit(&self, edits: impl IntoIterator<Item = Edit>) -> Changed {
        let mut tx = self.pool.begin().await.unwrap();
        let changed = self.edit_in(&mut tx, edits).await;
        tx.commit().await.unwrap();
        changed
    }

    async fn edit_in(&self, tx: &mut Transaction<'_, Postgres>, edits: impl IntoIterator<Item = Edit>) -> Changed {
        let mut changed = None;
        for edit in edits {
            changed = Some(inventory::change(tx, &admin(), "a test", edit).await.unwrap());
        }
        changed.expect("at least one edit")
    }

    async fn term(&self) -> i64 {
        db::hold_term(&mut self.pool.acquire().await.unwrap()).await.unwrap()
    }

    async fn revoke(&self, name: &str) -> Option<i64> {
        let list = revoke(&self.pool, name, "admin", "", "api", false).await.unwrap();
        await_rotation(&self.pool, list, PATIENCE).await.unwrap().rotated_in
    }
}

impl Running {
    fn latest(&self) -> Arc<Latest> {
        Arc::clone(&self.published.latest.borrow())
    }

    fn access(&self) -> View {
        self.latest().state(Feed::ACCESS).view().clone()
    }

    fn generation(&self, feed: Feed) -> u64 {
        self.latest().state(feed).view().generation().0
    }

    /// A NAS, its secret encrypted as an import does it.
    fn nas(&self, number: u8, secret: &str) -> Edit {
        let key = Arc::clone(&self.published.access_key.borrow());
        let secret = key.encrypt(NAS, &nas_key(prefix(number).net()), secret.as_bytes()).unwrap();
        Edit::NasPut(NasDraft {
            name: format!("nas-{number}"),
            prefix: prefix(number),
            secret,
            require_message_authenticator: true,
            has_former_secret: false,
            about: None,
        })
    }
}

fn admin() -> Actor {
    Actor::administrator("admin", "api")
}

fn campus(name: &str) -> Edit {
    Edit::CampusAdd(CampusDraft { name: name.to_owned(), service_address: None, backup: None })
}

fn subnet(campus: &str, network: &str) -> Edit {
    let text = format!(r#"{{"network": "{network}", "campus": "{campus}"}}"#);
    Edit::SubnetAdd(serde_json::from_str(&text).unwrap())
}

fn prefix(number: u8) -> Subnet {
    format!("10.9.0.{number}/32").parse().unwrap()
}

fn delete(number: u8) -> Edit {
    Edit::NasDelete { name: format!("nas-{number}") }
}

/// The secrets that a box reads in a view, and how many NASs there are.
fn secrets(view: &View, (agent, private): &(NodeId, HpkePrivate)) -> (Vec<String>, usize) {
    let (ring, _) = DataKeyRing::open(view, *agent, private);
    let rows: Vec<_> = view.iter(NAS).map(|row| row.unwrap()).map(|(key, value)| (key.to_vec(), Nas::decode(value).unwrap())).collect();
    let read = rows.iter().filter_map(|(key, nas)| ring.decrypt(NAS, key, &nas.secret).ok());
    (read.map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap()).collect(), rows.len())
}

/// How many data keys are wrapped for a box in a view.
fn wrapped(view: &View, (agent, _): &(NodeId, HpkePrivate)) -> usize {
    view.iter(WRAPPED_KEYS).filter(|row| row.as_ref().unwrap().0[8..] == agent.0).count()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: still not so after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ten NASs, two boxes that read them, and a publisher.
async fn ten_nas(name: &str) -> (Bench, Running, [(NodeId, HpkePrivate); 2]) {
    let bench = Bench::new(name).await;
    let boxes = [bench.agent("north").await, bench.agent("south").await];
    let running = bench.publisher(4).await;
    bench.edit((1..=10).map(|number| running.nas(number, &format!("secret-{number}")))).await;
    eventually("both read all secrets", || boxes.iter().all(|one| secrets(&running.access(), one).0.len() == 10)).await;
    (bench, running, boxes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_thrown_out_while_its_feed_is_held_takes_no_secret_from_those_who_stay() {
    let (bench, running, [north, south]) = ten_nas("held-and-revoked").await;
    bench.edit((1..=6).map(delete)).await;
    eventually("the guard holds it", || running.latest().held.contains_key(&Feed::ACCESS)).await;

    assert!(bench.revoke("south").await.is_some());
    eventually("north has the new key beside the old one", || wrapped(&running.access(), &north) == 2).await;
    // As long as it is looked at: ticks come and go.
    for _ in 0..5 {
        let view = running.access();
        assert_eq!(secrets(&view, &north).0.len(), 10, "what is published under the old key is read on");
        assert_eq!((wrapped(&view, &south), secrets(&view, &south).0.len()), (0, 0));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let spare = bench.agent("spare").await;
    eventually("a box that comes now reads everything, too", || secrets(&running.access(), &spare).0.len() == 10).await;

    let removed = running.latest().held[&Feed::ACCESS].removed;
    assert!(holds::release(&bench.pool, Feed::ACCESS, removed as i64, "admin", "they are gone").await.unwrap());
    eventually("it is let out", || {
        secrets(&running.access(), &north) == (vec!["secret-7".into(), "secret-8".into(), "secret-9".into(), "secret-10".into()], 4)
    })
    .await;
    eventually("then nobody has the old key", || [&north, &spare].into_iter().all(|one| wrapped(&running.access(), one) == 1)).await;
    assert_eq!(secrets(&running.access(), &north).0.len(), 4);
    assert_eq!(wrapped(&running.access(), &south), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_comes_with_a_rotation_keeps_neither_the_rotation_nor_other_feeds_up() {
    let (bench, running, [north, south]) = ten_nas("held-with-rotation").await;
    let mut tx = bench.pool.begin().await.unwrap();
    bench.edit_in(&mut tx, (1..=6).map(delete)).await;
    holdfast_master::db::nodes::revoke(&mut tx, south.0).await.unwrap();
    tx.commit().await.unwrap();
    eventually("the guard holds it", || running.latest().held.contains_key(&Feed::ACCESS)).await;
    eventually("the stolen box has no key", || wrapped(&running.access(), &south) == 0 && wrapped(&running.access(), &north) == 2).await;
    assert_eq!(secrets(&running.access(), &north).0.len(), 10);

    bench.edit([campus("north"), subnet("north", "10.1.4.0/22")]).await;
    running.wake.notify_one();
    eventually("what is not held goes on", || running.generation(Feed::BOOTPTAB) > 0).await;
    assert!(running.latest().held.contains_key(&Feed::ACCESS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_across_a_rotation_comes_back_under_the_new_key() {
    let (bench, running, [north, south]) = ten_nas("undo-and-rotation").await;
    let before = running.generation(Feed::ACCESS);
    let changed = bench.edit([running.nas(1, "slip"), delete(2)]).await;
    eventually("it is out", || secrets(&running.access(), &north).1 == 9).await;
    let undo = |data_keys: Vec<DataKey>| Edit::Undo { change_sets: vec![changed.change_set], data_keys: data_keys.into() };
    assert!(bench.revoke("south").await.is_some());
    eventually("both keys are known", || running.published.access_keys.borrow().len() == 2).await;
    let keys = running.published.access_keys.borrow().to_vec();

    let keys_of_master = watch::channel(Arc::clone(&bench.keys)).1;
    let snapshots = Snapshots::new(bench.pool.clone(), keys_of_master, running.published.latest.clone());
    let undoing = snapshots.undoing(Feed::ACCESS, Generation(before)).await.unwrap();
    assert_eq!(undoing.change_sets, [changed.change_set], "to encrypt anew is nothing that anybody undoes");
    assert_eq!(inventory::with_later(&bench.pool, &undoing.change_sets).await.unwrap(), undoing.change_sets);

    let refused = inventory::apply(&bench.pool, &admin(), "", undo(keys[..1].to_vec()), None).await.unwrap_err().to_string();
    assert!(refused.contains("nas-1") && refused.contains("nas-2") && refused.contains("Enter the secret again"), "{refused}");
    inventory::apply(&bench.pool, &admin(), "", undo(keys), None).await.unwrap();
    let all = |one| secrets(&running.access(), one).0;
    eventually("both secrets are back", || ["secret-1", "secret-2"].iter().all(|secret| all(&north).contains(&(*secret).to_owned()))).await;
    assert_eq!((all(&north).len(), wrapped(&running.access(), &north), wrapped(&running.access(), &south)), (10, 1, 0));
    assert_eq!(snapshots.outcome(Feed::ACCESS, Generation(before)).await.unwrap().differs, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_to_publish() {
    let bench = Bench::new("one-connection").await;
    let north = bench.agent("north").await;
    let running = bench.publisher(1).await;
    eventually("the box has its key", || wrapped(&running.access(), &north) == 1).await;
    let south = bench.agent("south").await;
    assert!(bench.revoke("north").await.is_some());
    eventually("who stays has the new one", || wrapped(&running.access(), &south) == 1 && wrapped(&running.access(), &north) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_who_takes_his_time_keeps_no_other_edit_waiting() {
    let (bench, running, [north, _]) = ten_nas("slow-writer").await;
    let mut slow = bench.pool.begin().await.unwrap();
    bench.edit_in(&mut slow, [running.nas(1, "new-1")]).await;
    bench.edit([running.nas(2, "new-2")]).await;
    running.wake.notify_one();
    eventually("the other one is out", || secrets(&running.access(), &north).0.contains(&"new-2".to_owned())).await;
    slow.commit().await.unwrap();
    eventually("and then this one", || secrets(&running.access(), &north).0.contains(&"new-1".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collision_with_a_writer_costs_a_round_and_not_the_leadership() {
    let (bench, running, [north, south]) = ten_nas("collision").await;
    let term = bench.term().await;
    let mut slow = bench.pool.begin().await.unwrap();
    bench.edit_in(&mut slow, [running.nas(1, "new-1")]).await;
    let rotation = async {
        // By now the publisher waits for the row, with a snapshot in which it is as it was.
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow.commit().await.unwrap();
    };
    let (rotated, ()) = tokio::join!(bench.revoke("south"), rotation);
    assert!(rotated.is_some());
    eventually("who stays reads what the writer wrote", || secrets(&running.access(), &north).0.contains(&"new-1".to_owned())).await;
    eventually("under the new key alone", || wrapped(&running.access(), &north) == 1 && secrets(&running.access(), &north).0.len() == 10).await;
    assert_eq!((wrapped(&running.access(), &south), bench.term().await), (0, term));
}

#[tokio::test(flavor = "multi_thread")]
async fn greetings_without_end_keep_no_edit_waiting() {
    let (bench, running, _) = ten_nas("greetings").await;
    let greetings = running.greetings.clone();
    let storm = tokio::spawn(async move {
        loop {
            greetings.send_modify(|count| *count += 1);
            tokio::task::yield_now().await;
        }
    });
    bench.edit([campus("north"), subnet("north", "10.1.4.0/22")]).await;
    running.wake.notify_one();
    eventually("the edit is out", || running.generation(Feed::BOOTPTAB) > 0).await;
    storm.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_master_says_that_another_one_leads_and_takes_over_when_it_goes() {
    let (bench, first, [north, _]) = ten_nas("two-masters").await;
    let second = bench.publisher(4).await;
    let why = || second.published.halt.borrow().as_ref().map(ToString::to_string).unwrap_or_default();
    eventually("it says so", || why().contains("another master leads since")).await;
    let begun = Instant::now();
    let refused = second.published.door.relay(Default::default()).await.unwrap_err();
    assert!(refused.contains("another master leads") && begun.elapsed() < Duration::from_secs(2), "{refused} after {:?}", begun.elapsed());

    bench.edit([campus("north"), subnet("north", "10.1.4.0/22")]).await;
    eventually("the first one publishes", || first.generation(Feed::BOOTPTAB) > 0).await;
    assert!(bench.revoke("south").await.is_some());
    let in_use = |one: &Running| one.published.access_key.borrow().id();
    eventually("both encrypt with the new data key", || in_use(&first) == in_use(&second) && in_use(&first) != bench.keys.access_keys()[0].id()).await;
    drop(first);
    eventually("the second one has what the first published", || second.generation(Feed::BOOTPTAB) > 0).await;
    eventually("and leads", || why().is_empty()).await;
    bench.edit([subnet("north", "10.1.8.0/24")]).await;
    eventually("and publishes", || second.generation(Feed::BOOTPTAB) > 1).await;
    bench.edit([second.nas(11, "secret-11")]).await;
    eventually("under the data key that the first one made", || secrets(&second.access(), &north).0.len() == 11).await;
    assert_eq!(wrapped(&second.access(), &north), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_boxes_served_long_ago_is_forgotten_and_what_they_said_last_is_not() {
    let bench = Bench::new("served").await;
    let (north, _) = bench.agent("north").await;
    let said = |feed, generation, durable, days: u64| db::SaidRow {
        node: north,
        feed,
        applied: Generation(generation),
        durable: Generation(durable),
        at: Utc::now() - Duration::from_secs(days * 86_400),
    };
    let words = [
        said(Feed::ZONE, 1, 1, 40),
        said(Feed::ZONE, 2, 2, 39),
        said(Feed::ZONE, 3, 3, 1),
        said(Feed::ACCESS, 1, 1, 40),
        said(Feed::PEOPLE, 1, 1, 40),
        said(Feed::PEOPLE, 2, 0, 39),
    ];
    db::put_served(&bench.pool, &words).await.unwrap();
    assert_eq!(db::forget_served(&bench.pool, 30).await.unwrap(), 2, "of the zone all but the last; of the others nothing newer is durable");
    assert_eq!(db::forget_served(&bench.pool, 30).await.unwrap(), 0);
}

/// How many rows of hosts, names and boot entries were read, by whatever way. What a server counts it tells when nobody asks any more.
const READ: &str = "select coalesce(sum(n), 0)::bigint from (
    select seq_tup_read as n from pg_stat_user_tables where schemaname in ('ipam', 'dns', 'boot')
    union all select idx_tup_read from pg_stat_user_indexes where schemaname in ('ipam', 'dns', 'boot')) all_of_them";

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_one_host_reads_no_more_rows_for_all_the_others() {
    const HOSTS: u32 = 3000;
    let mut bench = Bench::new("walks").await;
    let host = |number: u32, mac: u32| {
        let name = format!("host-{number}.uni.example").parse().unwrap();
        HostDraft::simple(name, Some(Mac([2, 0, 0, 0, (mac >> 8) as u8, mac as u8])), Ipv4Addr::from_bits(0x0a01_0100 + number).into())
    };
    let zone = r#"{"apex": "uni.example", "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example"}"#;
    let hosts = Edit::HostsAdd((0..HOSTS).map(|number| host(number, number)).collect());
    bench.edit([campus("north"), subnet("north", "10.1.0.0/16"), Edit::ZoneAdd(serde_json::from_str(zone).unwrap()), hosts]).await;
    let running = bench.publisher_on(bench.pool.clone()).await;
    eventually("they are published", || running.latest().state(Feed::BOOTPTAB).view().row_count() > u64::from(HOSTS)).await;
    // As a server is tempted that has a hundred times as many.
    for temptation in ["min_parallel_table_scan_size", "min_parallel_index_scan_size"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("alter database {} set {temptation} = 0", holdfast_master::run::DATABASE))).execute(&bench.pool).await.unwrap();
    }
    drop(running);
    // Sessions that know the sizes, as every session does once the server has looked.
    bench.reopen().await;
    sqlx::query("select pg_stat_reset()").execute(&bench.pool).await.unwrap();

    let running = bench.publisher_on(bench.pool.clone()).await;
    let before = running.generation(Feed::BOOTPTAB);
    let (draft, read) = (host(7, 60_000), |pool: PgPool| async move { sqlx::query_scalar::<_, i64>(READ).fetch_one(&pool).await.unwrap() });
    bench.edit([Edit::HostSet { name: draft.name.clone(), draft }]).await;
    running.wake.notify_one();
    eventually("it is published", || running.generation(Feed::BOOTPTAB) > before).await;
    drop(running);
    bench.reopen().await;
    let read = read(bench.pool.clone()).await;
    assert!((1..500).contains(&read), "one edit among {HOSTS} hosts read {read} rows");
}
