use super::manifest::{FORMAT, Hash, Institution, Manifest, PayloadForm, Sealed};
use super::row::{EncodeError, encode_changes};
use super::trust::{Opened, SigningKey};
use super::view::BaseError;
use super::{Change, Digest, Feed, LtHash, Rows, RowsError, View};
use crate::words::{Epoch, Generation, UnixMillis};

/// All there is to know of a feed at one generation: its rows, their hash, and the sealed bytes that vouch for them.
#[derive(Debug, Clone)]
pub struct State {
    view: View,
    sum: LtHash,
    sealed: Option<Sealed>,
}

/// A payload that does not lead to the state that its manifest names. The state held is left as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It is for another feed.
    #[error("it is of {offered}, where {held} is kept")]
    OtherFeed {
        /// The feed held.
        held: Feed,
        /// The feed offered.
        offered: Feed,
    },
    /// It is not newer than what is held.
    #[error("generation {offered_epoch}.{offered} is not newer than {held_epoch}.{held}, which is held")]
    NotNewer {
        /// The epoch held.
        held_epoch: Epoch,
        /// The generation held.
        held: Generation,
        /// The epoch offered.
        offered_epoch: Epoch,
        /// The generation offered.
        offered: Generation,
    },
    /// It starts from another parent than what is held.
    #[error("generation {offered} starts from another parent than generation {held}, which is held")]
    OtherParent {
        /// The generation held.
        held: Generation,
        /// The generation offered.
        offered: Generation,
    },
    /// The payload is not the one that was signed.
    #[error("the payload is not the one that was signed")]
    OtherPayload,
    /// The rows break their encoding.
    #[error("the rows are damaged: {0}")]
    Rows(#[from] RowsError),
    /// The rows make no base.
    #[error("the rows are damaged: {0}")]
    Base(String),
    /// The rows lead elsewhere.
    #[error("the rows lead to digest {found}, the manifest names {signed}")]
    OtherDigest {
        /// What the rows lead to.
        found: Digest,
        /// What was signed.
        signed: Digest,
    },
    /// The number of rows differs.
    #[error("the rows are {found}, the manifest names {signed}")]
    OtherCount {
        /// Rows found.
        found: u64,
        /// Rows signed for.
        signed: u64,
    },
}

impl From<BaseError> for ApplyError {
    fn from(wrong: BaseError) -> Self {
        match wrong {
            BaseError::Rows(rows) => Self::Rows(rows),
            other => Self::Base(other.to_string()),
        }
    }
}

impl State {
    /// The state of a feed before its first generation.
    pub fn empty(feed: Feed) -> Self {
        Self { view: View::empty(feed), sum: LtHash::empty(), sealed: None }
    }

    /// What a service reads.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The sealed manifest of this generation; `None` before the first.
    pub fn sealed(&self) -> Option<&Sealed> {
        self.sealed.as_ref()
    }

    /// The digest of the rows.
    pub fn digest(&self) -> Digest {
        self.sum.fold()
    }

    /// The whole snapshot's rows, encoded: what a base file and a full transfer carry.
    pub fn encode_rows(&self) -> Vec<u8> {
        encode_changes(self.view.rows()).expect("rows that are held are within their limits")
    }

    /// The same state with its overlay folded into a new base. The generation stays.
    pub fn rebased(&self) -> Self {
        let view = View::build(self.view.feed(), self.view.epoch(), self.view.generation(), self.encode_rows(), |_| {});
        Self { view: view.expect("rows that are held make a base"), sum: self.sum.clone(), sealed: self.sealed.clone() }
    }

    /// Takes a whole snapshot from outside: a base file or a full transfer.
    pub fn restore(opened: &Opened, rows: Vec<u8>) -> Result<Self, ApplyError> {
        let manifest = opened.manifest();
        let (mut sum, mut scratch) = (LtHash::empty(), Vec::new());
        let kind = manifest.feed.kind;
        let view = View::build(manifest.feed, manifest.epoch, manifest.generation, rows, |row| sum.add(kind, row, &mut scratch))?;
        let state = Self { view, sum, sealed: Some(opened.sealed().clone()) };
        state.matches(manifest)?;
        Ok(state)
    }

    /// Takes the next generation from outside. The result is another state; this one stays as it is, whatever happens.
    pub fn advance(&self, opened: &Opened, payload: &[u8]) -> Result<Self, ApplyError> {
        let manifest = opened.manifest();
        self.accepts(manifest)?;
        if *blake3::hash(payload).as_bytes() != manifest.payload_hash || payload.len() as u64 != manifest.payload_len {
            return Err(ApplyError::OtherPayload);
        }
        let mut next = match manifest.form {
            PayloadForm::Full => Self::empty(manifest.feed),
            PayloadForm::Delta => self.clone(),
        };
        let mut scratch = Vec::new();
        for row in Rows::new(payload) {
            next.set(row?, &mut scratch);
        }
        next.view = next.view.at(manifest.epoch, manifest.generation);
        next.sealed = Some(opened.sealed().clone());
        next.matches(manifest)?;
        Ok(next)
    }

    /// Whether a manifest may come after this state; says why not.
    pub fn accepts(&self, manifest: &Manifest) -> Result<(), ApplyError> {
        let (held, feed) = (self.view.generation(), self.view.feed());
        if manifest.feed != feed {
            return Err(ApplyError::OtherFeed { held: feed, offered: manifest.feed });
        }
        if (manifest.epoch, manifest.generation) <= (self.view.epoch(), held) {
            let (held_epoch, offered_epoch) = (self.view.epoch(), manifest.epoch);
            return Err(ApplyError::NotNewer { held_epoch, held, offered_epoch, offered: manifest.generation });
        }
        if manifest.form == PayloadForm::Delta && (manifest.parent != held || manifest.parent_hash != self.sealed_hash()) {
            return Err(ApplyError::OtherParent { held, offered: manifest.generation });
        }
        Ok(())
    }

    /// What the next generation names as its parent.
    fn sealed_hash(&self) -> Hash {
        self.sealed.as_ref().map(Sealed::hash).unwrap_or_default()
    }

    fn matches(&self, manifest: &Manifest) -> Result<(), ApplyError> {
        let (found, signed) = (self.view.row_count(), manifest.row_count);
        if found != signed {
            return Err(ApplyError::OtherCount { found, signed });
        }
        let (found, signed) = (self.digest(), manifest.digest);
        if found == signed { Ok(()) } else { Err(ApplyError::OtherDigest { found, signed }) }
    }

    /// Sets one row in view and sum. The old row is taken out as *this* state has it, so a silent change of it shows in the digest.
    fn set(&mut self, row: super::RowRef<'_>, scratch: &mut Vec<u8>) {
        let kind = self.view.feed().kind;
        if let Some(old) = self.view.get(row.table, row.key) {
            self.sum.remove(kind, super::RowRef { value: Some(old), ..row }, scratch);
        }
        if row.value.is_some() {
            self.sum.add(kind, row, scratch);
        }
        self.view.set(row);
    }

    /// Drops the changes that change nothing and prepares the next generation; `None` where nothing is left.
    pub fn compose(&self, mut changes: Vec<Change>) -> Result<Option<Draft>, EncodeError> {
        changes.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        // Of several wishes for one row, the last one counts: `sort_by` is stable, and `dedup_by` keeps the earlier place.
        changes.dedup_by(|later, kept| {
            let same = later.table == kept.table && later.key == kept.key;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        changes.retain(|change| self.view.get(change.table, &change.key) != change.value.as_deref());
        if changes.is_empty() {
            return Ok(None);
        }
        self.draft(&changes).map(Some)
    }

    /// The next generation with the same rows: for a new key or a new epoch, which must vouch for what an older one did.
    pub fn renew(&self) -> Draft {
        self.draft(&[]).expect("nothing is within every limit")
    }

    fn draft(&self, changes: &[Change]) -> Result<Draft, EncodeError> {
        let payload = encode_changes(changes.iter().map(Change::as_ref))?;
        let (mut next, mut scratch) = (self.clone(), Vec::new());
        changes.iter().for_each(|change| next.set(change.as_ref(), &mut scratch));
        next.view = next.view.at(self.view.epoch(), self.view.generation().next());
        next.sealed = None;
        Ok(Draft { next, payload, parent: self.view.generation(), parent_hash: self.sealed_hash(), parent_epoch: self.view.epoch() })
    }
}

/// A generation that is composed and not sealed yet.
#[derive(Debug, Clone)]
pub struct Draft {
    next: State,
    payload: Vec<u8>,
    parent: Generation,
    parent_hash: Hash,
    parent_epoch: Epoch,
}

/// What a publisher puts into every manifest.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Whose data.
    pub institution: Institution,
    /// The publisher's epoch.
    pub epoch: Epoch,
    /// Now.
    pub issued_at: UnixMillis,
    /// See [`Manifest::soft_age_s`].
    pub soft_age_s: u32,
    /// See [`Manifest::hard_age_s`].
    pub hard_age_s: u32,
}

impl Draft {
    /// The composed rows before anybody signed them: for the publisher's own checks and for tests of the cores.
    pub fn into_view(self) -> View {
        self.next.view
    }

    /// What the generation will carry.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Signs: gives the sealed manifest, the payload it vouches for, and the state it leads to.
    pub fn seal(self, key: &SigningKey, stamp: Stamp) -> (Sealed, Vec<u8>, State) {
        // The first generation of a feed, and of an epoch, starts from nothing.
        let from_nothing = self.parent == Generation(0) || self.parent_epoch != stamp.epoch;
        let payload = if from_nothing { self.next.encode_rows() } else { self.payload };
        let manifest = Manifest {
            format: FORMAT,
            min_reader: 1,
            institution: stamp.institution,
            feed: self.next.view.feed(),
            epoch: stamp.epoch,
            generation: self.next.view.generation(),
            parent: if from_nothing { Generation(0) } else { self.parent },
            parent_hash: if from_nothing { [0; 32] } else { self.parent_hash },
            row_count: self.next.view.row_count(),
            digest: self.next.digest(),
            form: if from_nothing { PayloadForm::Full } else { PayloadForm::Delta },
            payload_hash: *blake3::hash(&payload).as_bytes(),
            payload_len: payload.len() as u64,
            base_root: [0; 32],
            issued_at: stamp.issued_at,
            soft_age_s: stamp.soft_age_s,
            hard_age_s: stamp.hard_age_s,
            key_id: key.public().id(),
        };
        let sealed = key.seal(manifest);
        let view = self.next.view.at(stamp.epoch, self.parent.next());
        let next = State { view, sum: self.next.sum, sealed: Some(sealed.clone()) };
        (sealed, payload, next)
    }
}
