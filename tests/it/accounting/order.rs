//! Records of sessions in every order in which they can come: the sessions they tell of are the same.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_lab::folder::Folder;
use holdfast_master::config::Config;
use holdfast_master::db::accounting::{SaidRow, SessionFilter, forget_before, list, put};
use holdfast_master::engine::Engine;
use holdfast_master::inventory::{self, Actor, CampusDraft, Edit};
use holdfast_master::run::open_database;
use holdfast_proto::words::NodeId;
use sqlx::{PgConnection, PgPool};

const NODE: NodeId = NodeId([7; 16]);

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
    async fn new() -> Self {
        let folder = Folder::new("accounting-order").unwrap();
        let config = Config { state_dir: folder.path().join("master"), ..Config::default() };
        let (pool, engine) = open_database(&config).await.unwrap();
        let campus = Edit::CampusAdd(CampusDraft { name: "north".to_owned(), service_address: None, backup: None });
        let made = inventory::apply(&pool, &Actor::administrator("admin", "api"), "a test", campus, None).await.unwrap();
        // A box is enrolled by a change, too.
        let mut tx = pool.begin().await.unwrap();
        sqlx::query("select set_config('holdfast.change_set', $1, true)").bind(made.change_set.to_string()).execute(&mut *tx).await.unwrap();
        let sql = "insert into publish.node (id, name, role, hpke_public, certificate_serial) values ($1, 'north', 'agent', '', '')";
        sqlx::query(sql).bind(sqlx::types::Uuid::from_bytes(NODE.0)).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        Self { pool, engine: engine.unwrap(), _folder: folder }
    }

    /// The sessions that these records come to, in this order; nothing of it stays.
    async fn sessions(&self, said: &[SaidRow]) -> Vec<Told> {
        let mut tx = self.pool.begin().await.unwrap();
        // Each by itself, and the whole once more, as a line that broke would have it.
        for row in said {
            put(&mut tx, NODE, std::slice::from_ref(row)).await.unwrap();
        }
        assert_eq!(put(&mut tx, NODE, said).await.unwrap(), 0, "what was taken is known by its number");
        let told = told(&mut tx).await;
        tx.rollback().await.unwrap();
        told
    }
}

/// Minutes of begin and end, what ended it, octets from the user.
type Told = (i64, Option<i64>, Option<String>, i64);

async fn told(db: &mut PgConnection) -> Vec<Told> {
    let rows = list(db, SessionFilter { limit: 100, ..SessionFilter::default() }).await.unwrap();
    let minute = |at: DateTime<Utc>| (at - epoch()).num_minutes();
    rows.into_iter().rev().map(|row| (minute(row.started_at), row.ended_at.map(minute), row.ended_by, row.input_octets)).collect()
}

fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// What a NAS says at a minute; how long the session lasts by then, in minutes, where it says so.
fn said(status: &'static str, minute: i64, lasts: Option<i64>) -> SaidRow {
    SaidRow {
        log: vec![1; 16],
        number: 0,
        status,
        nas_ip: [10, 1, 4, 20].into(),
        nas: "annex".into(),
        nas_identifier: String::new(),
        nas_port: String::new(),
        session_id: "0001".into(),
        user_name: "ada".into(),
        at: epoch() + TimeDelta::minutes(minute),
        session_secs: lasts.map(|minutes| minutes * 60),
        terminate_cause: None,
        calling_station: String::new(),
        called_station: String::new(),
        mac: String::new(),
        framed_ip: None,
        framed_ipv6: None,
        input_octets: (status != "start").then_some(minute * 10),
        output_octets: None,
    }
}

/// Every order of these, each with ascending numbers, as a log has them.
fn orders(rows: &[SaidRow]) -> Vec<Vec<SaidRow>> {
    let Some(first) = rows.first() else { return vec![vec![]] };
    let of_rest = orders(&rows[1..]);
    let with_first = |rest: &Vec<SaidRow>| (0..=rest.len()).map(|at| [&rest[..at], std::slice::from_ref(first), &rest[at..]].concat()).collect::<Vec<_>>();
    let numbered = |rows: Vec<SaidRow>| (1..).zip(rows).map(|(number, row)| SaidRow { number, ..row }).collect();
    of_rest.iter().flat_map(with_first).map(numbered).collect()
}

fn names(rows: &[SaidRow]) -> Vec<String> {
    rows.iter().map(|row| format!("{} {}", row.status, (row.at - epoch()).num_minutes())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_whatever_order_records_come_the_sessions_are_the_same() {
    let bench = Bench::new().await;
    let stop = || Some("stop".to_owned());
    let restart = || Some("restart".to_owned());
    let one_session = [said("start", 0, None), said("interim", 10, None), said("interim", 20, None), said("stop", 30, None)];
    // The number is given again after the NAS was started anew.
    let two_sessions = [
        said("start", 0, None),
        said("interim", 10, Some(10)),
        said("stop", 30, Some(30)),
        said("on", 40, None),
        said("start", 50, None),
        said("stop", 90, Some(40)),
    ];
    // Nobody heard how the first one ended.
    let lost_end = [said("start", 0, None), said("interim", 10, Some(10)), said("on", 40, None), said("start", 50, None), said("interim", 60, Some(10))];
    let replaced = [said("start", 0, None), said("interim", 10, Some(10)), said("start", 50, None)];
    let off = [said("start", 0, None), said("interim", 20, None), said("off", 40, None)];
    let cases: [(&[SaidRow], Vec<Told>); 6] = [
        (&one_session, vec![(0, Some(30), stop(), 300)]),
        (&two_sessions, vec![(0, Some(30), stop(), 300), (50, Some(90), stop(), 900)]),
        (&lost_end, vec![(0, Some(10), restart(), 100), (50, None, None, 600)]),
        (&replaced, vec![(0, Some(10), Some("replaced".to_owned()), 100), (50, None, None, 0)]),
        (&off, vec![(0, Some(40), restart(), 200)]),
        (&[said("stop", 30, Some(30))], vec![(0, Some(30), stop(), 300)]),
    ];
    for (rows, expected) in cases {
        for order in orders(rows) {
            assert_eq!(bench.sessions(&order).await, expected, "{:?}", names(&order));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_forgotten_and_what_is_new_stays() {
    let bench = Bench::new().await;
    let mut db = bench.pool.acquire().await.unwrap();
    let rows = [said("start", 0, None), said("stop", 30, Some(30)), said("start", 500, None)];
    let rows: Vec<SaidRow> = (1..).zip(rows).map(|(number, row)| SaidRow { number, ..row }).collect();
    assert_eq!(put(&mut db, NODE, &rows).await.unwrap(), 3);
    assert_eq!(forget_before(&mut db, epoch() + TimeDelta::minutes(60)).await.unwrap(), 1);
    assert_eq!(told(&mut db).await, [(500, None, None, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_whose_it_was_at_the_time() {
    let bench = Bench::new().await;
    let mut db = bench.pool.acquire().await.unwrap();
    let with = |last: u8, row: SaidRow| SaidRow { framed_ip: Some(format!("10.1.6.{last}")), ..row };
    let bob = |row: SaidRow| SaidRow { session_id: "0002".into(), user_name: "bob".into(), ..row };
    let rows = [
        with(10, said("start", 0, None)),
        with(20, bob(said("start", 60, None))),
        with(20, bob(said("stop", 100, Some(40)))),
        with(20, said("interim", 120, Some(120))),
    ];
    let rows: Vec<SaidRow> = (1..).zip(rows).map(|(number, row)| SaidRow { number, ..row }).collect();
    put(&mut db, NODE, &rows).await.unwrap();
    for (last, minute, whose) in [(10, 50, vec!["ada"]), (10, 130, vec![]), (20, 50, vec![]), (20, 90, vec!["bob"]), (20, 110, vec![]), (20, 130, vec!["ada"])]
    {
        let at = Some(epoch() + TimeDelta::minutes(minute));
        let filter = SessionFilter { ip: Some([10, 1, 6, last].into()), at, limit: 10, ..SessionFilter::default() };
        let found: Vec<String> = list(&mut db, filter).await.unwrap().into_iter().map(|row| row.user_name).collect();
        assert_eq!(found, whose, "10.1.6.{last} at minute {minute}");
    }
    let ever = SessionFilter { ip: Some([10, 1, 6, 20].into()), limit: 10, ..SessionFilter::default() };
    assert_eq!(list(&mut db, ever).await.unwrap().len(), 2);
}
