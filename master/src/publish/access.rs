//! The data key of the access feed: who is given it, and how it is changed when one who had it is thrown out.
//!
//! Keys are files, rows are in Postgres, and a crash may come between the two. So the new key is on disk before anything is
//! encrypted with it; secrets, the name of the key in use and the generation change in one transaction; and the old key is
//! removed last, when nothing is encrypted with it and no slow writer can come back with it. Whatever is cut short leaves a
//! key too many, never one too few. A key that was made and did not come into use waits for the next attempt; one that an
//! earlier start of this program has left is removed like an old one.

use super::compose::ComposedRow;
use crate::db::changes;
use crate::db::nas;
use crate::db::nodes;
use crate::db::publish::NodeRow;
use crate::keys::{Keys, forget_access_key, make_access_key};
use anyhow::Context;
use holdfast_proto::radius::{NAS, Nas, nas_key};
use holdfast_proto::snapshot::{Change, Damaged, DataKey, DataKeyRing, EncryptedField, Feed, HpkePublic, KeyId, View, WRAPPED_KEYS, wrapped_key_row};
use holdfast_proto::words::{NodeId, Subnet};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use uuid::Uuid;

/// Who writes secrets holds on to a key for one transaction: the longest import is minutes.
const SLOWEST_WRITER: Duration = Duration::from_secs(3600);

/// The data keys that this master has, and the one in use.
pub(super) struct AccessKeys {
    state_dir: PathBuf,
    keys: Vec<DataKey>,
    current: watch::Sender<Arc<DataKey>>,
    /// All of them for those who read secrets, the one in use first.
    readable: watch::Sender<Arc<[DataKey]>>,
    /// A key that was made and did not come into use, because the transaction failed: it is taken at the next attempt.
    made: Option<DataKey>,
    /// When the key in use was found or made: older ones are kept for a while from then on.
    since: Instant,
}

impl AccessKeys {
    /// Takes the keys over, the one first that this master ever had.
    pub(super) fn new(state_dir: &Path, keys: &[DataKey]) -> anyhow::Result<Self> {
        let first = keys.first().context("there is no access.key in keys/: put it back from the backup")?.clone();
        let (current, readable) = (watch::Sender::new(Arc::new(first)), watch::Sender::new(keys.into()));
        Ok(Self { state_dir: state_dir.to_owned(), keys: keys.to_vec(), current, readable, made: None, since: Instant::now() })
    }

    /// The key that secrets are to be encrypted with, as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<DataKey>> {
        self.current.subscribe()
    }

    /// Every key that is here, the one in use first, as they change.
    pub(super) fn watch_all(&self) -> watch::Receiver<Arc<[DataKey]>> {
        self.readable.subscribe()
    }

    fn tell(&self) {
        let current = self.current();
        let others = self.keys.iter().filter(|key| key.id() != current.id()).cloned();
        self.readable.send_replace([DataKey::clone(&current)].into_iter().chain(others).collect());
    }

    /// The key in use.
    pub(super) fn current(&self) -> Arc<DataKey> {
        Arc::clone(&self.current.borrow())
    }

    /// Learns from the database which key is in use: at start, or when another master led meanwhile.
    pub(super) async fn learn(&mut self, db: &mut PgConnection) -> anyhow::Result<()> {
        let Some(id) = nodes::access_key(db).await? else { return Ok(()) };
        let named = |key: &&DataKey| key.id() == id;
        if !self.keys.iter().any(|key| named(&key)) {
            // The other master made it after this one had read its own.
            self.keys = Keys::read(&self.state_dir)?.access_keys().to_vec();
        }
        let key = self.keys.iter().find(named);
        let key = key.with_context(|| format!("the data key access-{}.key is not in keys/: copy it from the master that made it", hex::encode(id.0)))?;
        self.use_key(key.clone());
        Ok(())
    }

    /// A new key, on disk and in no use yet.
    pub(super) fn make(&mut self) -> anyhow::Result<DataKey> {
        if let Some(made) = &self.made {
            return Ok(made.clone());
        }
        let key = make_access_key(&self.state_dir)?;
        self.keys.push(key.clone());
        self.made = Some(key.clone());
        Ok(key)
    }

    /// From now on, this one.
    pub(super) fn use_key(&mut self, key: DataKey) {
        if self.current.borrow().id() != key.id() {
            self.since = Instant::now();
            self.made = None;
            self.current.send_replace(Arc::new(key));
            self.tell();
        }
    }

    /// Encrypts those of the secrets anew that are not encrypted with `key`, in the caller's transaction, in which they are
    /// locked. Gives how many.
    pub(super) async fn encrypt_anew(&self, db: &mut PgConnection, secrets: Vec<nas::NasSecret>, key: &DataKey, reason: &str) -> anyhow::Result<usize> {
        let ring = DataKeyRing::of(self.keys.iter().cloned());
        let mut anew = Vec::new();
        for row in secrets {
            match encrypt_anew(&ring, &row, key) {
                Ok(None) => {}
                Ok(Some(field)) => anew.push((row.name, field)),
                // One secret that cannot be read must not keep a stolen box in possession of all the others.
                Err(wrong) => tracing::error!(event = "secret_unreadable", nas = row.name, %wrong, "a NAS's secret cannot be read: set it again"),
            }
        }
        if !anew.is_empty() {
            changes::open(db, Uuid::now_v7(), "holdfast", reason, changes::PUBLISHER).await?;
        }
        for (name, secret) in &anew {
            nas::set_secret(db, name, secret.bytes()).await?;
        }
        Ok(anew.len())
    }

    /// What must change in the feed, beside these rows, so that every agent that is in reads every NAS of it: each gets `key`,
    /// which is or comes into use, and keeps what a NAS is still published under. That is an older key for as long as the
    /// feed is held: its NASs stay as they were, and so must their key, or RADIUS would end where nobody touched it.
    pub(super) fn wrapped_rows(&self, view: &View, rows: &[ComposedRow], nodes: &[NodeRow], key: &DataKey) -> Result<Vec<Change>, Damaged> {
        let needed: BTreeSet<KeyId> = used_keys(view, rows)?.into_iter().chain([key.id()]).collect();
        wrapped_rows(view, nodes, &needed, &self.keys)
    }

    /// Removes the keys that nothing is encrypted with any more, neither in the database nor in what is published, when the
    /// slowest writer has long finished.
    pub(super) async fn forget_old(&mut self, db: &mut PgConnection, published: &View) -> anyhow::Result<()> {
        if self.keys.len() < 2 || self.since.elapsed() < SLOWEST_WRITER {
            return Ok(());
        }
        let used = nas::secrets(db).await?.into_iter().filter_map(|row| EncryptedField::from_bytes(&row.secret).ok()).map(|field| field.key_id());
        self.forget_all_but(used.chain(used_keys(published, &[])?).collect());
        // A secret that nobody can read keeps its key: looked at again an hour later.
        self.since = Instant::now();
        Ok(())
    }

    fn forget_all_but(&mut self, mut used: BTreeSet<KeyId>) {
        used.insert(self.current().id());
        // It was made for a change that is still to come: on disk it is what lets the secrets be read after that.
        used.extend(self.made.as_ref().map(DataKey::id));
        for key in self.keys.iter().filter(|key| !used.contains(&key.id())) {
            match forget_access_key(&self.state_dir, key.id()) {
                Ok(()) => tracing::info!(event = "data_key_forgotten", "an old data key of the access feed was removed"),
                Err(error) => tracing::warn!(event = "data_key_kept", error = format!("{error:#}"), "an old data key could not be removed"),
            }
        }
        self.keys.retain(|key| used.contains(&key.id()));
        self.tell();
    }
}

/// The same secret under another key; `None` where it is so already.
fn encrypt_anew(ring: &DataKeyRing, row: &nas::NasSecret, key: &DataKey) -> anyhow::Result<Option<EncryptedField>> {
    let prefix: Subnet = row.prefix.parse()?;
    let (row_key, field) = (nas_key(prefix.net()), EncryptedField::from_bytes(&row.secret)?);
    if field.key_id() == key.id() {
        return Ok(None);
    }
    let secret = ring.decrypt(NAS, &row_key, &field)?;
    Ok(Some(key.encrypt(NAS, &row_key, secret.expose())?))
}

/// What must change so that every agent that is in has the keys that it needs, and nobody has any other. Of those that are
/// needed, only the ones in `keys` can be given to a box that has none yet.
fn wrapped_rows(view: &View, nodes: &[NodeRow], needed: &BTreeSet<KeyId>, keys: &[DataKey]) -> Result<Vec<Change>, Damaged> {
    let held: BTreeSet<&[u8]> = view.iter(WRAPPED_KEYS).map(|row| row.map(|(key, _)| key)).collect::<Result<_, _>>()?;
    let mut wanted = BTreeSet::new();
    let mut changes = Vec::new();
    for node in nodes.iter().filter(|node| node.role == "agent" && node.revoked_at.is_none()) {
        for id in needed {
            let row_key = [&id.0[..], node.id.as_bytes()].concat();
            if let Some(key) = keys.iter().find(|key| key.id() == *id).filter(|_| !held.contains(&*row_key)) {
                match wrapped_key_row(key, NodeId(*node.id.as_bytes()), &HpkePublic(node.hpke_public.clone())) {
                    Ok(row) => changes.push(row),
                    Err(wrong) => {
                        tracing::error!(event = "agent_key_unusable", agent = node.name, %wrong, "the box cannot be given the data key: enrol it again")
                    }
                }
            }
            wanted.insert(row_key);
        }
    }
    changes.extend(held.into_iter().filter(|key| !wanted.contains(*key)).map(|key| Change::delete(WRAPPED_KEYS, key)));
    Ok(changes)
}

/// Whether some NAS may ask of machines, once these rows are in a view.
pub(super) fn asks_of_machines(view: &View, rows: &[ComposedRow]) -> Result<bool, Damaged> {
    let asks = |value: &[u8]| Nas::decode(value).is_ok_and(|nas| nas.rights.machines.is_some());
    let changed = changed_nas(rows);
    if changed.values().copied().flatten().any(asks) {
        return Ok(true);
    }
    for row in view.iter(NAS) {
        let (key, value) = row?;
        if !changed.contains_key(key) && asks(value) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The NASs among these rows, the last one of each counting.
fn changed_nas(rows: &[ComposedRow]) -> BTreeMap<&[u8], Option<&[u8]>> {
    let of_nas = rows.iter().filter(|row| row.feed == Feed::ACCESS && row.change.table == NAS);
    of_nas.map(|row| (&row.change.key[..], row.change.value.as_deref())).collect()
}

/// The data keys that the NASs of a view are encrypted with, once these rows are in it.
fn used_keys(view: &View, rows: &[ComposedRow]) -> Result<BTreeSet<KeyId>, Damaged> {
    let changed = changed_nas(rows);
    let mut used: BTreeSet<KeyId> = changed.values().copied().flatten().filter_map(key_of).collect();
    for row in view.iter(NAS) {
        let (key, value) = row?;
        if !changed.contains_key(key) {
            used.extend(key_of(value));
        }
    }
    Ok(used)
}

fn key_of(nas: &[u8]) -> Option<KeyId> {
    Some(Nas::decode(nas).ok()?.secret.key_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use holdfast_proto::radius::NasRights;
    use holdfast_proto::snapshot::{HpkePrivate, State};

    fn node(id: u8, public: &HpkePublic, revoked: bool) -> NodeRow {
        NodeRow {
            id: Uuid::from_bytes([id; 16]),
            name: format!("box-{id}"),
            role: "agent".to_owned(),
            campus: None,
            hpke_public: public.0.clone(),
            enrolled_at: Utc::now(),
            revoked_at: revoked.then(Utc::now),
        }
    }

    /// What the boxes need when nothing but this key is in use.
    fn rows(view: &View, nodes: &[NodeRow], key: &DataKey) -> Vec<Change> {
        wrapped_rows(view, nodes, &BTreeSet::from([key.id()]), std::slice::from_ref(key)).unwrap()
    }

    fn next(view: View, changes: Vec<Change>) -> View {
        let mut all: Vec<Change> = view.iter(NAS).map(|row| row.unwrap()).map(|(key, value)| Change::put(NAS, key, value)).collect();
        all.extend(view.iter(WRAPPED_KEYS).map(|row| row.unwrap()).map(|(key, value)| Change::put(WRAPPED_KEYS, key, value)));
        all.retain(|old| !changes.iter().any(|new| (new.table, &new.key) == (old.table, &old.key)));
        all.extend(changes.into_iter().filter(|change| change.value.is_some()));
        State::empty(Feed::ACCESS).compose(all).unwrap().unwrap().into_view()
    }

    fn nas_row(row_key: &[u8], key: &DataKey) -> Change {
        let secret = key.encrypt(NAS, row_key, b"secret").unwrap();
        Change::put(
            NAS,
            row_key,
            Nas { name: "nas".to_owned(), secret, require_message_authenticator: true, has_former_secret: false, rights: NasRights::default() }.encode(),
        )
    }

    #[test]
    fn a_key_that_was_made_for_a_change_to_come_is_not_forgotten() {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("keys")).unwrap();
        let mut keys = AccessKeys::new(state.path(), &[DataKey::from_bytes([1; 32])]).unwrap();
        let made = keys.make().unwrap();
        let file = state.path().join(format!("keys/access-{}.key", hex::encode(made.id().0)));
        keys.forget_all_but(BTreeSet::new());
        assert!(file.exists() && keys.make().unwrap().id() == made.id());

        keys.use_key(made.clone());
        let another = keys.make().unwrap();
        keys.use_key(another.clone());
        keys.forget_all_but(BTreeSet::from([made.id()]));
        assert!(file.exists(), "something is encrypted with it");
        keys.forget_all_but(BTreeSet::new());
        assert!(!file.exists());
        assert_eq!(keys.watch_all().borrow().iter().map(DataKey::id).collect::<Vec<_>>(), [another.id()]);
    }

    #[test]
    fn a_new_key_goes_to_those_who_are_in_and_the_old_one_goes_from_all() {
        let (private, public) = HpkePrivate::generate().unwrap();
        let (old, new) = (DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32]));
        let before =
            next(State::empty(Feed::ACCESS).view().clone(), rows(State::empty(Feed::ACCESS).view(), &[node(1, &public, false), node(2, &public, false)], &old));
        let after = rows(&before, &[node(1, &public, false), node(2, &public, true)], &new);
        let (put, deleted): (Vec<_>, Vec<_>) = after.iter().partition(|change| change.value.is_some());
        assert_eq!((put.len(), deleted.len()), (1, 2));
        assert_eq!(put[0].key[8..], [1; 16]);
        let field = new.encrypt(NAS, b"nas", b"secret").unwrap();
        let view = next(before, after);
        let opens = |id: u8| DataKeyRing::open(&view, NodeId([id; 16]), &private).0.decrypt(NAS, b"nas", &field).is_ok();
        assert!(opens(1) && !opens(2));
        assert!(rows(&view, &[node(1, &public, false)], &new).is_empty(), "and then nothing changes any more");
    }

    #[test]
    fn who_stays_keeps_the_key_of_what_is_published_and_who_goes_loses_it() {
        let (private, public) = HpkePrivate::generate().unwrap();
        let (old, new) = (DataKey::from_bytes([1; 32]), DataKey::from_bytes([2; 32]));
        let empty = State::empty(Feed::ACCESS).view().clone();
        let both = [node(1, &public, false), node(2, &public, false)];
        let before = next(empty.clone(), [rows(&empty, &both, &old), vec![nas_row(b"nas", &old)]].concat());
        let (keys, now) = ([old.clone(), new.clone()], [node(1, &public, false), node(2, &public, true), node(3, &public, false)]);
        let needed = |view: &View, rows: &[ComposedRow]| used_keys(view, rows).unwrap().into_iter().chain([new.id()]).collect::<BTreeSet<_>>();

        let held = next(before.clone(), wrapped_rows(&before, &now, &needed(&before, &[]), &keys).unwrap());
        let field = Nas::decode(held.get(NAS, b"nas").unwrap().unwrap()).unwrap().secret;
        let opens = |id: u8| DataKeyRing::open(&held, NodeId([id; 16]), &private).0.decrypt(NAS, b"nas", &field).is_ok();
        assert!(opens(1) && !opens(2) && opens(3), "it is held under the old key, and read by all who are in");
        assert_eq!(held.iter(WRAPPED_KEYS).count(), 4);

        let anew = ComposedRow { feed: Feed::ACCESS, change: nas_row(b"nas", &new), zone: None };
        let needed = needed(&held, std::slice::from_ref(&anew));
        let after = next(held.clone(), [wrapped_rows(&held, &now, &needed, &keys).unwrap(), vec![anew.change]].concat());
        assert_eq!(after.iter(WRAPPED_KEYS).count(), 2, "under the new key nobody needs the old one");
    }

    #[test]
    fn a_box_whose_key_is_no_key_holds_nobody_up() {
        let view = State::empty(Feed::ACCESS).view().clone();
        let (_, public) = HpkePrivate::generate().unwrap();
        let nodes = [node(1, &HpkePublic(vec![1, 2, 3]), false), node(2, &public, false)];
        assert_eq!(rows(&view, &nodes, &DataKey::from_bytes([1; 32])).len(), 1);
    }
}
