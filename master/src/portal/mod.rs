//! The auth portal: accounts, their verifiers, and the key that alone may sign them. Its own process, database and state
//! directory; it sees nothing of the hostname database, and nothing else in this crate sees it.
//!
//! What it refuses: to keep or log a password (it becomes argon2id at the door and is encrypted at once; more is kept only for the
//! realms that its operator named, see `kept`); to encrypt to an agent that no operator confirmed by the fingerprint that the box
//! shows, so that the master cannot enrol itself a reader; to wait for the master. There are no pages yet: the functions here are what they will call.
//!
//! ```text
//! import, set_password, ... --outbox, in the writer's transaction--> publisher --seals, stores--> relay --> master --> agents
//! ```

mod attributes;
mod db;
mod error;
mod kept;
mod keys;
mod password;
mod publisher;
mod relay;
mod rotation;
pub mod run;
mod users_file;

pub use attributes::{AttributeError, ReplyAttribute};
pub use db::migrate;
pub use error::PortalError;
pub use kept::KeptVerifier;
pub use keys::{KeysError, PortalKeys};
pub use users_file::LineError;

use db::accounts::{NewAccount, Verifiers};
use db::{accounts, agents};
use holdfast_proto::control::{Agent, TrustUpdate};
use holdfast_proto::radius::{ACCOUNT, NAME_LIMIT_BYTES, account_key};
use holdfast_proto::snapshot::{DataKey, HpkePublic, Institution};
use holdfast_proto::words::{Epoch, NodeId, Secret};
use kept::verifiers_of;
use publisher::Publisher;
use relay::Line;
use sqlx::{PgConnection, PgPool};
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tonic::transport::Channel;
use users_file::Entry;
use uuid::Uuid;

/// How often the publisher looks for notes that another process wrote.
const POLL: Duration = Duration::from_millis(250);
/// How long the publisher rests after a failure.
const REST: Duration = Duration::from_secs(1);

/// What the root's trust says of us.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whose accounts.
    pub institution: Institution,
    /// The epoch that generations are written in.
    pub epoch: Epoch,
    /// Which trust says so.
    pub version: u32,
}

/// The portal. Cheap to clone.
#[derive(Clone)]
pub struct Portal(Arc<Inner>);

struct Inner {
    pool: PgPool,
    keys: PortalKeys,
    terms: watch::Sender<Terms>,
    wake: Notify,
    published: watch::Sender<u64>,
}

/// An agent as the portal's operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAgent {
    /// Its identity.
    pub node: NodeId,
    /// Its name at the master.
    pub name: String,
    /// The fingerprint of the key that the master hands out for it: to be compared with the box's screen.
    pub fingerprint: String,
    /// Whether exactly this key was confirmed.
    pub confirmed: bool,
}

impl Portal {
    /// Brings the database to this build's shape and takes it over.
    pub async fn open(pool: PgPool, keys: PortalKeys, terms: Terms) -> Result<Self, PortalError> {
        migrate(&pool).await?;
        Ok(Self(Arc::new(Inner { pool, keys, terms: watch::Sender::new(terms), wake: Notify::new(), published: watch::Sender::new(0) })))
    }

    fn terms(&self) -> Terms {
        *self.0.terms.borrow()
    }

    /// Works on newer terms from now on: a new epoch is written at once.
    pub fn set_terms(&self, terms: Terms) {
        self.0.terms.send_replace(terms);
        self.0.wake.notify_one();
    }

    /// Imports a FreeRADIUS users file, all or nothing. Every cleartext password becomes argon2id; `progress` hears how many
    /// of how many are done, from several threads. Gives the number of accounts.
    pub async fn import_users(&self, actor: &str, text: &str, progress: impl Fn(usize, usize) + Send + Sync + 'static) -> Result<usize, PortalError> {
        let entries = users_file::parse(text).map_err(PortalError::UsersFile)?;
        // Before the slow part, and outside the transaction; the table's own key has the last word.
        refuse_taken(&mut *self.0.pool.acquire().await?, &entries).await?;
        let hashed = hash_all(entries, progress).await?;
        let mut tx = self.0.pool.begin().await?;
        let (data, policy) = (self.data_key(&mut tx).await?, db::kept::all_held(&mut tx).await?);
        let account = |(entry, verifier): (Entry, Secret)| {
            let key = key_of(&entry.name)?;
            let verifiers = verifiers_of(&data, &policy, &key, &verifier, &entry.password)?;
            new_account(key, &entry.name, "", verifiers, &entry.attributes)
        };
        let accounts = hashed.into_iter().map(account).collect::<Result<Vec<_>, _>>()?;
        let (count, keys) = (accounts.len(), accounts.iter().map(|account| account.key.clone()).collect::<Vec<_>>());
        kept::flag(&mut tx, actor, accounts.iter().map(|account| (account.key.as_str(), &account.verifiers))).await?;
        accounts::insert(&mut tx, accounts).await.map_err(|wrong| taken_or(wrong, "of this file"))?;
        accounts::audit(&mut tx, actor, "import", &keys).await?;
        tx.commit().await?;
        self.0.wake.notify_one();
        Ok(count)
    }

    /// Adds one account.
    pub async fn add_account(&self, actor: &str, name: &str, department: &str, password: Secret, attributes: &[ReplyAttribute]) -> Result<(), PortalError> {
        let key = key_of(name)?;
        let verifier = verifier_of(password.clone()).await?;
        let mut tx = self.0.pool.begin().await?;
        let (data, policy) = (self.data_key(&mut tx).await?, db::kept::all_held(&mut tx).await?);
        let account = new_account(key.clone(), name, department, verifiers_of(&data, &policy, &key, &verifier, &password)?, attributes)?;
        kept::flag(&mut tx, actor, std::iter::once((key.as_str(), &account.verifiers))).await?;
        accounts::audit(&mut tx, actor, "add", &[key]).await?;
        accounts::insert(&mut tx, vec![account]).await.map_err(|wrong| taken_or(wrong, name))?;
        self.commit(tx).await
    }

    /// Sets a password.
    pub async fn set_password(&self, actor: &str, name: &str, password: Secret) -> Result<(), PortalError> {
        let key = key_of(name)?;
        let verifier = verifier_of(password.clone()).await?;
        let mut tx = self.0.pool.begin().await?;
        let (data, policy) = (self.data_key(&mut tx).await?, db::kept::all_held(&mut tx).await?);
        let verifiers = verifiers_of(&data, &policy, &key, &verifier, &password)?;
        if !accounts::set_password(&mut tx, &key, &verifiers).await? {
            return Err(PortalError::NoAccount(name.to_owned()));
        }
        kept::flag(&mut tx, actor, std::iter::once((key.as_str(), &verifiers))).await?;
        accounts::audit(&mut tx, actor, "set password", &[key]).await?;
        self.commit(tx).await
    }

    /// Suspends an account: it is kept, and may not log in.
    pub async fn suspend(&self, actor: &str, name: &str) -> Result<(), PortalError> {
        self.set_state(actor, name, "suspended", "suspend").await
    }

    /// Lets a suspended account log in again.
    pub async fn resume(&self, actor: &str, name: &str) -> Result<(), PortalError> {
        self.set_state(actor, name, "active", "resume").await
    }

    async fn set_state(&self, actor: &str, name: &str, state: &str, action: &str) -> Result<(), PortalError> {
        let key = key_of(name)?;
        let mut tx = self.0.pool.begin().await?;
        if !accounts::set_state(&mut tx, &key, state).await? {
            return Err(PortalError::NoAccount(name.to_owned()));
        }
        accounts::audit(&mut tx, actor, action, &[key]).await?;
        self.commit(tx).await
    }

    /// How many accounts there are: none at a first start.
    pub async fn account_count(&self) -> Result<u64, PortalError> {
        let count = accounts::count(&mut *self.0.pool.acquire().await?).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The agents that the master knows, and which of them were confirmed here.
    pub async fn list_agents(&self, channel: Channel) -> Result<Vec<KnownAgent>, PortalError> {
        let known: Vec<Agent> = relay::agents(channel).await?.into_iter().filter(|agent| !agent.revoked).collect();
        let confirmed = agents::all(&mut *self.0.pool.acquire().await?).await?;
        let is_confirmed =
            |agent: &Agent| confirmed.iter().any(|row| row.node_id.as_bytes()[..] == agent.node_id[..] && row.hpke_public == agent.hpke_public_key);
        let seen = |agent: Agent| {
            let node = NodeId(agent.node_id.as_slice().try_into().ok()?);
            let confirmed = is_confirmed(&agent);
            Some(KnownAgent { node, name: agent.name, fingerprint: HpkePublic(agent.hpke_public_key).fingerprint(), confirmed })
        };
        Ok(known.into_iter().filter_map(seen).collect())
    }

    /// Confirms an agent by the fingerprint that its operator read off the box: from now on verifiers are encrypted to it.
    pub async fn confirm_agent(&self, channel: Channel, actor: &str, name: &str, fingerprint: &str) -> Result<(), PortalError> {
        let no_agent = || PortalError::NoAgent(name.to_owned());
        let agent = relay::agents(channel).await?.into_iter().find(|agent| agent.name == name && !agent.revoked).ok_or_else(no_agent)?;
        let node = Uuid::from_slice(&agent.node_id).map_err(|_| no_agent())?;
        let found = HpkePublic(agent.hpke_public_key.clone()).fingerprint();
        if !found.eq_ignore_ascii_case(fingerprint.trim()) {
            return Err(PortalError::Fingerprint(name.to_owned()));
        }
        let mut tx = self.0.pool.begin().await?;
        agents::confirm(&mut tx, node, name, &agent.hpke_public_key, &found).await?;
        accounts::audit(&mut tx, actor, "confirm agent", &[name.to_owned()]).await?;
        self.commit(tx).await
    }

    /// Takes an agent's confirmation back. What it has read it has read: change the passwords if the box was stolen.
    pub async fn withdraw_agent(&self, actor: &str, node: NodeId) -> Result<(), PortalError> {
        let mut tx = self.0.pool.begin().await?;
        if !agents::withdraw(&mut tx, Uuid::from_bytes(node.0)).await? {
            return Err(PortalError::NoAgent(node.to_string()));
        }
        accounts::audit(&mut tx, actor, "withdraw agent", &[node.to_string()]).await?;
        self.commit(tx).await
    }

    async fn commit(&self, tx: sqlx::Transaction<'_, sqlx::Postgres>) -> Result<(), PortalError> {
        tx.commit().await?;
        self.0.wake.notify_one();
        Ok(())
    }

    /// Publishes what changes, for ever. After a failure, said once, it starts over from the stored history.
    pub async fn run_publisher(&self) -> Infallible {
        let mut failing = false;
        loop {
            let wrong = match self.publish(&mut failing).await {
                Ok(never) => match never {},
                Err(wrong) => wrong,
            };
            if !std::mem::replace(&mut failing, true) {
                tracing::error!(event = "portal_publish_failed", %wrong, "accounts are not published: {wrong}");
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn publish(&self, failing: &mut bool) -> Result<Infallible, PortalError> {
        let mut publisher = Publisher::new(&self.0.keys, self.terms())?;
        loop {
            while publisher.round(&self.0.pool, &self.0.keys, self.terms()).await? {
                self.0.published.send_modify(|count| *count += 1);
            }
            *failing = false;
            let _ = tokio::time::timeout(POLL, self.0.wake.notified()).await;
        }
    }

    /// Relays to the master, for ever; `connect` makes a channel to it, `follow` takes newer trusts and gives their terms.
    /// Accounts keep working while it is away.
    pub async fn run_relay<C, F, E, T, G>(&self, connect: C, follow: T) -> Infallible
    where
        C: Fn() -> F,
        T: Fn(TrustUpdate) -> G,
        G: Future<Output = Result<Terms, E>>,
        F: Future<Output = Result<Channel, E>>,
        E: Display,
    {
        let (mut published, mut line) = (self.0.published.subscribe(), Line::new());
        loop {
            let wrong = match connect().await {
                // With its causes, where the error prints them so.
                Err(wrong) => format!("{wrong:#}"),
                Ok(channel) => match relay::relay(self, channel, &mut published, &mut line, &follow).await {
                    Ok(never) => match never {},
                    Err(wrong) => wrong.to_string(),
                },
            };
            tokio::time::sleep(line.is_down(wrong, random_byte())).await;
        }
    }
}

fn new_account(key: String, name: &str, department: &str, verifiers: Verifiers, attributes: &[ReplyAttribute]) -> Result<NewAccount, PortalError> {
    attributes::encode(attributes)?;
    let attributes = serde_json::to_value(attributes).map_err(|wrong| PortalError::Row(wrong.to_string()))?;
    Ok(NewAccount { key, name: name.trim().to_owned(), department: department.to_owned(), verifiers, attributes })
}

/// A verifier as it may lie in a database: for this place in the accounts and no other.
fn encrypt(data: &DataKey, row_key: &[u8], verifier: &Secret) -> Result<Vec<u8>, PortalError> {
    Ok(data.encrypt(ACCOUNT, row_key, verifier.expose())?.bytes().to_vec())
}

/// argon2id of every password, in order.
async fn hash_all(entries: Vec<Entry>, progress: impl Fn(usize, usize) + Send + Sync + 'static) -> Result<Vec<(Entry, Secret)>, PortalError> {
    let hashing = tokio::task::spawn_blocking(move || {
        let passwords: Vec<_> = entries.iter().map(|entry| &entry.password).collect();
        let total = passwords.len();
        let verifiers = password::hash_all(&passwords, |done| progress(done, total))?;
        Ok::<_, password::HashError>(entries.into_iter().zip(verifiers).collect::<Vec<_>>())
    });
    Ok(hashing.await.map_err(|wrong| PortalError::Crypto(wrong.to_string()))??)
}

async fn verifier_of(password: Secret) -> Result<Secret, PortalError> {
    if password.expose().is_empty() || password.expose().len() > holdfast_proto::radius::packet::PASSWORD_LIMIT_BYTES {
        return Err(PortalError::Password);
    }
    let hashing = tokio::task::spawn_blocking(move || password::hash(&password));
    Ok(hashing.await.map_err(|wrong| PortalError::Crypto(wrong.to_string()))??)
}

fn key_of(name: &str) -> Result<String, PortalError> {
    let wrong = || PortalError::Name(name.chars().filter(|c| !c.is_control()).take(80).collect());
    let key = String::from_utf8(account_key(name)).map_err(|_| wrong())?;
    let fits = (1..=NAME_LIMIT_BYTES).contains(&key.len()) && !name.chars().any(char::is_control);
    if fits { Ok(key) } else { Err(wrong()) }
}

async fn refuse_taken(db: &mut PgConnection, entries: &[Entry]) -> Result<(), PortalError> {
    let key = |entry: &Entry| String::from_utf8_lossy(&account_key(&entry.name)).into_owned();
    let taken = accounts::taken(db, &entries.iter().map(key).collect::<Vec<_>>()).await?;
    let wrong = |entry: &Entry| LineError { line: entry.line, what: format!("there is an account {} already", entry.name) };
    let errors: Vec<_> = entries.iter().filter(|entry| taken.binary_search(&key(entry)).is_ok()).map(wrong).collect();
    if errors.is_empty() { Ok(()) } else { Err(PortalError::UsersFile(errors)) }
}

/// The table's key decides who was first.
fn taken_or(wrong: sqlx::Error, name: &str) -> PortalError {
    let taken = wrong.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
    if taken { PortalError::Taken(name.to_owned()) } else { PortalError::Database(wrong) }
}

fn random_byte() -> u8 {
    let mut byte = [0];
    // Without randomness the pause is the shortest of its step.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}
