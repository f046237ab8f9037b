//! The auth portal by itself, on a database of its own: what must not come back, whoever is at it at the same time. No agents, no
//! cables: what is looked at is what they would be given.

use holdfast_lab::folder::Folder;
use holdfast_master::config::Database;
use holdfast_master::engine::{self, Engine};
use holdfast_master::portal::{KeptVerifier, Portal, PortalKeys, Terms};
use holdfast_proto::radius::{ACCOUNT, Account, nt_hash_key};
use holdfast_proto::snapshot::{
    DataKey, DataKeyRing, EncryptedField, Family, Feed, Grant, HpkePrivate, Institution, Kind, Sealed, State, Trust, TrustDraft, View, WRAPPED_KEYS,
};
use holdfast_proto::words::{Epoch, NodeId, Secret};
use sqlx::types::Uuid;
use sqlx::{PgPool, query, query_scalar};
use std::fs;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const NODE: NodeId = NodeId([7; 16]);
/// How long anything here may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
const TERMS: Terms = Terms { institution: Institution([1; 16]), epoch: Epoch(1), version: 1 };

/// A portal with its database, and one agent that it encrypts to.
struct Bench {
    portal: Portal,
    pool: PgPool,
    trust: Trust,
    agent: HpkePrivate,
    engine: Engine,
    folder: Folder,
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
        let (pool, engine) = engine::open(&Database::default(), folder.path(), "portal").await.unwrap();
        let keys = PortalKeys::open_or_create(&folder.path().join("keys")).unwrap();
        let own = keys.signing.public();
        let draft = TrustDraft {
            version: 1,
            institution: TERMS.institution,
            name: "a test".to_owned(),
            epoch: Epoch(0),
            threshold: 1,
            roots: vec![own],
            grants: vec![Grant { key: own, kind: Kind::Auth, family: Family::People }],
            authorities: vec![],
        };
        let trust = draft.sign(&[&keys.signing]).unwrap();
        let portal = Portal::open(pool.clone(), keys, TERMS).await.unwrap();
        let (agent, public) = HpkePrivate::generate().unwrap();
        let confirmed = query("insert into portal_publish.confirmed_agent (node_id, name, hpke_public, fingerprint) values ($1, 'north', $2, 'x')");
        confirmed.bind(Uuid::from_bytes(NODE.0)).bind(&public.0).execute(&pool).await.unwrap();
        Self { portal, pool, trust, agent, engine: engine.unwrap(), folder }
    }

    fn publish(&self) -> JoinHandle<()> {
        let portal = self.portal.clone();
        tokio::spawn(async move {
            portal.run_publisher().await;
        })
    }

    /// Publishes until there is nothing to publish, and gives what is published then.
    async fn published(&self) -> View {
        let publisher = self.publish();
        self.settled().await;
        // The end of old data keys is a round after that.
        let mut view = self.view().await;
        let begun = Instant::now();
        while view.iter(WRAPPED_KEYS).count() > 1 {
            assert!(begun.elapsed() < PATIENCE, "the old data key stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
            view = self.view().await;
        }
        publisher.abort();
        view
    }

    async fn settled(&self) {
        self.until("everything is published", "select not exists (select from portal_publish.outbox)").await;
    }

    async fn until(&self, what: &str, sql: &'static str) {
        let begun = Instant::now();
        while !query_scalar::<_, bool>(sql).fetch_one(&self.pool).await.unwrap() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn view(&self) -> View {
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("select sealed, payload from portal_publish.generation order by epoch, generation").fetch_all(&self.pool).await.unwrap();
        let mut state = State::empty(Feed::PEOPLE);
        for (sealed, payload) in rows {
            state = state.advance(&self.trust.open(&Sealed::from_bytes(&sealed).unwrap()).unwrap(), &payload).unwrap();
        }
        state.view().clone()
    }

    /// What the agent can open of what is published.
    fn ring(&self, view: &View) -> DataKeyRing {
        DataKeyRing::open(view, NODE, &self.agent).0
    }

    async fn verifier(&self) -> Vec<u8> {
        query_scalar("select verifier from portal_access.account where key = 'ada'").fetch_one(&self.pool).await.unwrap()
    }

    /// The newer data key, from its file.
    fn newer_key(&self) -> DataKey {
        let is_newer = |name: &str| name.starts_with("data-");
        let mut files = fs::read_dir(self.folder.path().join("keys")).unwrap().map(|file| file.unwrap());
        let file = files.find(|file| file.file_name().to_str().is_some_and(is_newer)).expect("a newer data key");
        DataKey::from_bytes(fs::read(file.path()).unwrap().try_into().unwrap())
    }
}

fn account(view: &View) -> Account {
    Account::decode(view.get(ACCOUNT, b"ada").unwrap().expect("she has an account")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_forgotten_does_not_open_with_what_boxes_are_given_afterwards() {
    let bench = Bench::new("what-was-forgotten").await;
    let portal = &bench.portal;
    assert_eq!(portal.keep("op", KeptVerifier::NtHash, None).await.unwrap(), 0);
    portal.add_account("op", "ada", "", Secret::new("joule-1"), &[]).await.unwrap();
    let before = bench.published().await;
    let kept = account(&before).further.nt_hash.expect("it is kept");
    let opens = |view: &View, field: &EncryptedField, row_key: &[u8]| bench.ring(view).decrypt(ACCOUNT, row_key, field).is_ok();
    assert!(opens(&before, &kept, &nt_hash_key(b"ada")));

    assert_eq!(portal.forget("op", KeptVerifier::NtHash, None).await.unwrap(), 1);
    let after = bench.published().await;
    let now = account(&after);
    assert!(now.further.nt_hash.is_none() && opens(&after, &now.verifier, b"ada"), "the password is not forgotten");
    assert!(!opens(&after, &kept, &nt_hash_key(b"ada")), "what boxes have kept of it does not open with what they are given now");
    assert_eq!(after.iter(WRAPPED_KEYS).count(), 1);

    portal.keep("op", KeptVerifier::NtHash, None).await.unwrap();
    assert_eq!(portal.forget("op", KeptVerifier::NtHash, None).await.unwrap(), 0);
    assert_eq!(account(&bench.published().await).verifier, now.verifier, "where nothing was kept nothing is encrypted anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_set_while_an_older_verifier_is_encrypted_anew_stays_set() {
    let bench = Bench::new("a-password-that-is-set").await;
    let portal = &bench.portal;
    portal.keep("op", KeptVerifier::NtHash, None).await.unwrap();
    portal.add_account("op", "ada", "", Secret::new("joule-1"), &[]).await.unwrap();
    bench.published().await;
    let slow = bench.verifier().await;
    portal.forget("op", KeptVerifier::NtHash, None).await.unwrap();
    bench.published().await;
    // Somebody who began before the data key was changed comes to an end after it: the publisher will encrypt this one anew.
    query("update portal_access.account set verifier = $1 where key = 'ada'").bind(&slow).execute(&bench.pool).await.unwrap();
    // And somebody else sets the password, and has not come to an end yet.
    let newer = bench.newer_key().encrypt(ACCOUNT, b"ada", b"the new verifier").unwrap();
    let mut writer = bench.pool.begin().await.unwrap();
    query("update portal_access.account set verifier = $1 where key = 'ada'").bind(newer.bytes()).execute(&mut *writer).await.unwrap();
    let publisher = bench.publish();
    bench.until("the publisher stands behind the writer", "select exists (select from pg_stat_activity where wait_event_type = 'Lock')").await;
    writer.commit().await.unwrap();
    bench.settled().await;
    publisher.abort();
    assert_eq!(bench.verifier().await, newer.bytes(), "the password that was set is set");
    let view = bench.view().await;
    assert_eq!(bench.ring(&view).decrypt(ACCOUNT, b"ada", &account(&view).verifier).unwrap().expose(), b"the new verifier");
}
