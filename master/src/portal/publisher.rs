//! From accounts to signed generations of the people feed. A reconciler: each round reads what is noted in the outbox, the
//! rows as they are *now*, and what other rounds have published; composes, signs and stores in one transaction. The first
//! round after a crash is the same code as every other.

use super::attributes::{ReplyAttribute, encode};
use super::db::accounts::{AccountRow, KeyedVerifiers};
use super::db::agents::AgentRow;
use super::db::generations::{GenerationRow, OutboxRow};
use super::db::{accounts, agents, generations};
use super::keys::PortalKeys;
use super::rotation::encrypt_anew;
use super::{PortalError, Terms};
use holdfast_proto::radius::{ACCOUNT, Account, AccountState, FurtherVerifiers};
use holdfast_proto::snapshot::{
    Change, DataKey, EncryptedField, Family, Feed, Grant, HpkePublic, Kind, Sealed, Stamp, State, Trust, TrustDraft, View, WRAPPED_KEYS, wrapped_key_row,
};
use holdfast_proto::words::{Epoch, NodeId, UnixMillis};
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;
use uuid::Uuid;

/// How many changes one generation carries: a long import becomes several generations of about a megabyte each.
const CHANGES_PER_GENERATION: i64 = 4096;
/// How many stored generations are read at once.
const REPLAY_PAGE: i64 = 32;
/// After a day without a newer sign of life from the portal, people are told.
const SOFT_AGE_S: u32 = 24 * 3600;

/// The only one who signs. Holds the state that the next generation starts from.
pub(super) struct Publisher {
    state: State,
    /// Believes in the portal's own key and in nothing else: what is restored is what this portal signed.
    trust: Trust,
    terms: Terms,
}

impl Publisher {
    pub fn new(keys: &PortalKeys, terms: Terms) -> Result<Self, PortalError> {
        let own = keys.signing.public();
        let draft = TrustDraft {
            version: 1,
            institution: terms.institution,
            name: "the portal's own past".to_owned(),
            epoch: Epoch(0),
            threshold: 1,
            roots: vec![own],
            grants: vec![Grant { key: own, kind: Kind::Auth, family: Family::People }],
            authorities: vec![],
        };
        let trust = draft.sign(&[&keys.signing]).map_err(|wrong| PortalError::History(wrong.to_string()))?;
        Ok(Self { state: State::empty(Feed::PEOPLE), trust, terms })
    }

    /// One round. `true` where a generation was published, so that there may be more to do at once.
    pub async fn round(&mut self, pool: &PgPool, keys: &PortalKeys, terms: Terms) -> Result<bool, PortalError> {
        self.terms = terms;
        let mut tx = pool.begin().await?;
        generations::lock(&mut tx).await?;
        self.catch_up(&mut tx).await?;
        let data = keys.data_key(generations::data_key(&mut tx).await?)?;
        let notes = generations::outbox(&mut tx, CHANGES_PER_GENERATION).await?;
        let changes = match notes.is_empty() {
            false => changes(&mut tx, &notes, keys, &data, self.state.view()).await?,
            // Every row is under the key in use by now.
            true => old_keys(self.state.view(), &data)?,
        };
        let ids: Vec<_> = notes.iter().map(|note| note.id).collect();
        generations::settle(&mut tx, &ids).await?;
        let draft = match self.state.compose(changes).map_err(|wrong| PortalError::Row(wrong.to_string()))? {
            Some(draft) => draft,
            // A new epoch begins with what there is.
            None if self.state.sealed().is_some() && self.terms.epoch > self.state.view().epoch() => {
                self.state.renew().map_err(|wrong| PortalError::Row(wrong.to_string()))?
            }
            None => {
                tx.commit().await?;
                return Ok(!ids.is_empty());
            }
        };
        let (sealed, payload, next) = draft.seal(&keys.signing, self.stamp()).map_err(|damaged| PortalError::History(damaged.to_string()))?;
        let row =
            GenerationRow { epoch: next.view().epoch().0 as i32, generation: next.view().generation().0 as i64, sealed: sealed.bytes().to_vec(), payload };
        generations::insert(&mut tx, &row).await?;
        tx.commit().await?;
        self.state = next;
        let (generation, changes) = (row.generation, ids.len());
        metrics::gauge!("holdfast_portal_generation").set(generation as f64);
        tracing::info!(event = "portal_published", generation, changes, "published generation {generation} of the accounts");
        Ok(true)
    }

    /// Replays what was stored after the state held: everything at start, and what another process published since.
    async fn catch_up(&mut self, tx: &mut PgConnection) -> Result<(), PortalError> {
        loop {
            let (epoch, generation) = (self.state.view().epoch().0 as i32, self.state.view().generation().0 as i64);
            let rows = generations::after(tx, epoch, generation, REPLAY_PAGE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.replay(&row).map_err(|wrong| PortalError::History(format!("generation {}: {wrong}", row.generation)))?;
            }
        }
    }

    fn replay(&mut self, row: &GenerationRow) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let opened = self.trust.open(&Sealed::from_bytes(&row.sealed)?)?;
        self.state = self.state.advance(&opened, &row.payload)?;
        Ok(())
    }

    fn stamp(&self) -> Stamp {
        let issued_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Stamp {
            institution: self.terms.institution,
            // A restored history never goes back behind the epoch it was written in.
            epoch: self.terms.epoch.max(self.state.view().epoch()),
            issued_at: UnixMillis(issued_at),
            soft_age_s: SOFT_AGE_S,
            hard_age_s: 0,
        }
    }
}

/// What the notes ask for, by the rows as they are now.
async fn changes(tx: &mut PgConnection, notes: &[OutboxRow], own: &PortalKeys, data: &DataKey, view: &View) -> Result<Vec<Change>, PortalError> {
    let keys: BTreeSet<_> = notes.iter().filter(|note| note.subject == "account").map(|note| note.key.clone()).collect();
    let ids: BTreeSet<Uuid> = notes.iter().filter(|note| note.subject == "agent").filter_map(|note| note.key.parse().ok()).collect();
    let (keys, ids): (Vec<_>, Vec<_>) = (keys.into_iter().collect(), ids.into_iter().collect());
    let mut accounts = accounts::read(tx, &keys).await?;
    under_the_key_in_use(tx, &mut accounts, own, data).await?;
    let agents = agents::read(tx, &ids).await?;
    let mut changes = account_changes(&keys, accounts);
    changes.extend(agent_changes(&ids, &agents, data, view)?);
    Ok(changes)
}

/// A writer that was at it when the data key was changed left a verifier under the old one.
async fn under_the_key_in_use(tx: &mut PgConnection, accounts: &mut [AccountRow], own: &PortalKeys, data: &DataKey) -> Result<(), PortalError> {
    let ring = own.ring();
    let mut anew = Vec::new();
    for account in accounts {
        let AccountRow { key, verifier, nt_hash, cleartext, .. } = account.clone();
        if let Some(row) = encrypt_anew(&ring, KeyedVerifiers { key, verifier, nt_hash, cleartext }, data) {
            account.verifier.clone_from(&row.verifier);
            account.nt_hash.clone_from(&row.nt_hash);
            account.cleartext.clone_from(&row.cleartext);
            anew.push(row);
        }
    }
    if !anew.is_empty() {
        accounts::set_verifiers(tx, &anew).await?;
    }
    Ok(())
}

/// The end of every data key but the one in use.
fn old_keys(view: &View, data: &DataKey) -> Result<Vec<Change>, PortalError> {
    ends(view, |key| key.get(..8) != Some(&data.id().0[..]))
}

/// The end of the wrapped keys that are meant.
fn ends(view: &View, is_meant: impl Fn(&[u8]) -> bool) -> Result<Vec<Change>, PortalError> {
    let keys: Result<Vec<&[u8]>, _> = view.iter(WRAPPED_KEYS).map(|row| row.map(|(key, _)| key)).collect();
    let keys = keys.map_err(|damaged| PortalError::History(damaged.to_string()))?;
    Ok(keys.into_iter().filter(|key| is_meant(key)).map(|key| Change::delete(WRAPPED_KEYS, key)).collect())
}

/// Rows of the accounts that are there, deletions of those that are not. A row that cannot be published is reported and left as it was.
fn account_changes(keys: &[String], accounts: Vec<AccountRow>) -> Vec<Change> {
    let rows: HashMap<_, _> = accounts.into_iter().map(|account| (account.key.clone(), account)).collect();
    let change = |key: &String| match rows.get(key).map(account_row) {
        None => Some(Change::delete(ACCOUNT, key.as_bytes())),
        Some(Ok(row)) => Some(Change::put(ACCOUNT, key.as_bytes(), row.encode())),
        Some(Err(wrong)) => {
            tracing::error!(event = "portal_account_unpublishable", account = %key, %wrong, "account {key} is not published as it is: {wrong}");
            None
        }
    };
    keys.iter().filter_map(change).collect()
}

fn account_row(account: &AccountRow) -> Result<Account, Box<dyn std::error::Error>> {
    let attributes: Vec<ReplyAttribute> = serde_json::from_value(account.attributes.clone())?;
    let state = if account.state == "active" { AccountState::Active } else { AccountState::Suspended };
    let field = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(EncryptedField::from_bytes).transpose();
    let further = FurtherVerifiers { nt_hash: field(&account.nt_hash)?, cleartext: field(&account.cleartext)? };
    Ok(Account { state, verifier: EncryptedField::from_bytes(&account.verifier)?, further, attributes: encode(&attributes)? })
}

/// The data key in use, encrypted to every agent that is confirmed; every data key taken from one that is not.
fn agent_changes(ids: &[Uuid], agents: &[AgentRow], data: &DataKey, view: &View) -> Result<Vec<Change>, PortalError> {
    let mut changes = Vec::new();
    for id in ids {
        match agents.iter().find(|agent| agent.node_id == *id) {
            Some(agent) => {
                let row = wrapped_key_row(data, NodeId(*id.as_bytes()), &HpkePublic(agent.hpke_public.clone()));
                changes.push(row.map_err(|wrong| PortalError::Row(wrong.to_string()))?);
            }
            None => changes.extend(ends(view, |key| key.get(8..) == Some(&id.as_bytes()[..]))?),
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::snapshot::{DataKeyRing, HpkePrivate};

    fn row(key: &str, state: &str, attributes: serde_json::Value, data: &DataKey) -> AccountRow {
        let verifier = data.encrypt(ACCOUNT, key.as_bytes(), b"$argon2id$").unwrap().bytes().to_vec();
        let nt_hash = Some(data.encrypt(ACCOUNT, &holdfast_proto::radius::nt_hash_key(key.as_bytes()), &[7; 16]).unwrap().bytes().to_vec());
        AccountRow { key: key.to_owned(), state: state.to_owned(), verifier, nt_hash, cleartext: None, attributes }
    }

    #[test]
    fn accounts_become_rows_deletions_or_a_report() {
        let data = DataKey::from_bytes([7; 32]);
        let vlan = serde_json::json!([{ "name": "Tunnel-Private-Group-Id", "tag": 0, "value": "100" }]);
        let odd = serde_json::json!([{ "name": "Nonsense", "value": "1" }]);
        let rows = vec![row("ada", "active", vlan, &data), row("old", "suspended", serde_json::json!([]), &data), row("odd", "active", odd, &data)];
        let changes = account_changes(&["ada", "gone", "odd", "old"].map(str::to_owned), rows);
        assert_eq!(changes.iter().map(|change| &change.key[..]).collect::<Vec<_>>(), [&b"ada"[..], b"gone", b"old"]);
        let account = |at: usize| Account::decode(changes[at].value.as_ref().unwrap()).unwrap();
        assert_eq!((account(0).state, account(0).attributes), (AccountState::Active, b"\x51\x05100".to_vec()));
        assert!(account(0).further.nt_hash.is_some() && account(0).further.cleartext.is_none());
        assert_eq!((&changes[1].value, account(2).state), (&None, AccountState::Suspended));
        assert_eq!(DataKeyRing::of([data]).decrypt(ACCOUNT, b"ada", &account(0).verifier).unwrap().expose(), b"$argon2id$");
    }

    #[test]
    fn only_confirmed_agents_are_given_the_data_key() {
        let data = DataKey::from_bytes([7; 32]);
        let (private, public) = HpkePrivate::generate().unwrap();
        let (here, gone) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
        let agents = [AgentRow { node_id: here, hpke_public: public.0.clone() }];
        let once = [AgentRow { node_id: gone, hpke_public: public.0.clone() }];
        let before = agent_changes(&[gone], &once, &data, State::empty(Feed::PEOPLE).view()).unwrap();
        let before = State::empty(Feed::PEOPLE).compose(before).unwrap().unwrap().into_view();
        let changes = agent_changes(&[here, gone], &agents, &data, &before).unwrap();
        assert_eq!((changes.len(), &changes[1].value), (2, &None));
        let newer = DataKey::from_bytes([8; 32]);
        assert_eq!(old_keys(&before, &newer).unwrap().len(), 1, "the old key goes from everybody");
        assert!(old_keys(&before, &data).unwrap().is_empty());
        let view = State::empty(Feed::PEOPLE).compose(changes).unwrap().unwrap().into_view();
        let field = data.encrypt(ACCOUNT, b"ada", b"x").unwrap();
        let opened = |node| DataKeyRing::open(&view, NodeId(node), &private).0.decrypt(ACCOUNT, b"ada", &field).is_ok();
        assert!(opened([1; 16]) && !opened([2; 16]));
    }

    #[test]
    fn what_was_signed_is_restored_and_anything_else_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let keys = PortalKeys::open_or_create(dir.path()).unwrap();
        let terms = Terms { institution: holdfast_proto::snapshot::Institution([1; 16]), epoch: Epoch(1), version: 1 };
        let mut publisher = Publisher::new(&keys, terms).unwrap();
        let draft = publisher.state.compose(vec![Change::put(ACCOUNT, *b"ada", *b"row")]).unwrap().unwrap();
        let (sealed, payload, next) = draft.seal(&keys.signing, publisher.stamp()).unwrap();
        let mut row = GenerationRow { epoch: 1, generation: 1, sealed: sealed.bytes().to_vec(), payload };
        row.sealed[9] ^= 1;
        assert!(publisher.replay(&row).is_err());
        row.sealed[9] ^= 1;
        publisher.replay(&row).unwrap();
        assert_eq!(publisher.state.digest(), next.digest());
    }
}
