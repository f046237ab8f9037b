//! A feed's state as whoever writes it holds it: the view, the sum of its rows, and the sealed bytes that vouch for both.

use super::base::{Base, BaseError, Builder, Damaged};
use super::manifest::{FORMAT, Hash, Institution, MIN_READER, Manifest, PayloadForm, Sealed};
use super::row::{EncodeError, RowRef, encode_changes, encode_row};
use super::trust::{Opened, SigningKey};
use super::{BucketError, Change, Digest, Feed, LtHash, Rows, RowsError, View};
use crate::words::{Epoch, Generation, UnixMillis};
use std::sync::Arc;

/// All there is to know of a feed at one generation: its rows, their hash, and the sealed bytes that vouch for them.
#[derive(Debug, Clone)]
pub struct State {
    view: View,
    /// `None` where the state was taken from a store that vouches for its rows: then it is worked out when it is first needed.
    sum: Option<LtHash>,
    digest: Digest,
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
    #[error("the rows make no snapshot: {0}")]
    Base(#[from] BaseError),
    /// A bucket came that was not asked for.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// What is held cannot be read.
    #[error("what is held cannot go on: {0}")]
    Damaged(#[from] Damaged),
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

/// A generation that cannot be composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// A row is too long.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What is held cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl State {
    /// The state of a feed before its first generation.
    pub fn empty(feed: Feed) -> Self {
        let sum = LtHash::empty();
        Self { view: View::empty(feed), digest: sum.fold(), sum: Some(sum), sealed: None }
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
        self.digest
    }

    /// The snapshot that lies under the changes since.
    pub fn base(&self) -> &Arc<Base> {
        self.view.base()
    }

    /// The whole snapshot's rows, encoded.
    pub fn encode_rows(&self) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::new();
        for row in self.view.rows() {
            encode_row(row?, &mut out).expect("rows that are held are within their limits");
        }
        Ok(out)
    }

    /// The same state with its overlay folded into a new base. The generation stays.
    pub fn rebased(&self) -> Result<Self, ApplyError> {
        let view = &self.view;
        let mut builder = Builder::new(view.feed(), view.epoch(), view.generation());
        let mut encoded = Vec::new();
        for row in view.rows() {
            let row = row?;
            encoded.clear();
            encode_row(row, &mut encoded).expect("rows that are held are within their limits");
            builder.push(row, &encoded);
        }
        let sum = self.known_sum()?;
        Ok(Self { view: View::of(Arc::new(builder.finish(sum.clone()))), sum: Some(sum), digest: self.digest, sealed: self.sealed.clone() })
    }

    /// Takes a whole snapshot's rows from outside, proving them by their sum.
    pub fn restore(opened: &Opened, rows: &[u8]) -> Result<Self, ApplyError> {
        let manifest = opened.manifest();
        let mut builder = Builder::new(manifest.feed, manifest.epoch, manifest.generation);
        builder.push_rows(rows)?;
        let base = builder.finish(LtHash::empty());
        let sum = base.audit()?;
        Self::of_base(opened, base.with_sum(sum))
    }

    /// Takes a base from outside whose blocks were checked against its head. The head is believed because the digest of its
    /// sum is the one that was signed, and its root because a manifest names it or [`Base::audit`] was asked.
    pub fn of_base(opened: &Opened, base: Base) -> Result<Self, ApplyError> {
        let (manifest, head) = (opened.manifest(), base.head());
        if head.feed != manifest.feed {
            return Err(ApplyError::OtherFeed { held: head.feed, offered: manifest.feed });
        }
        if (head.epoch, head.generation) != (manifest.epoch, manifest.generation) {
            return Err(ApplyError::OtherParent { held: head.generation, offered: manifest.generation });
        }
        let sum = head.sum.clone();
        let state = Self { digest: sum.fold(), sum: Some(sum), view: View::of(Arc::new(base)), sealed: Some(opened.sealed().clone()) };
        state.matches(manifest)?;
        Ok(state)
    }

    /// Takes the next generation from outside. The result is another state; this one stays as it is, whatever happens.
    pub fn advance(&self, opened: &Opened, payload: &[u8]) -> Result<Self, ApplyError> {
        let manifest = opened.manifest();
        self.accepts(manifest)?;
        if manifest.form == PayloadForm::Delta && (manifest.parent != self.view.generation() || manifest.parent_hash != self.sealed_hash()) {
            return Err(ApplyError::OtherParent { held: self.view.generation(), offered: manifest.generation });
        }
        if *blake3::hash(payload).as_bytes() != manifest.payload_hash || payload.len() as u64 != manifest.payload_len {
            return Err(ApplyError::OtherPayload);
        }
        let from = match manifest.form {
            PayloadForm::Full => Self::empty(manifest.feed),
            PayloadForm::Delta => self.clone(),
        };
        from.led_to(opened, Rows::new(payload))
    }

    /// Takes rows that somebody merged out of several generations: nobody signed them, and nobody needs to, because the
    /// target's manifest names the digest of the state that they must lead to.
    pub fn advance_merged(&self, opened: &Opened, payload: &[u8]) -> Result<Self, ApplyError> {
        self.accepts(opened.manifest())?;
        self.clone().led_to(opened, Rows::new(payload))
    }

    fn led_to<'a>(mut self, opened: &Opened, rows: impl Iterator<Item = Result<RowRef<'a>, RowsError>>) -> Result<Self, ApplyError> {
        let manifest = opened.manifest();
        let mut sum = self.known_sum()?;
        let mut scratch = Vec::new();
        for row in rows {
            self.set(row?, &mut sum, &mut scratch)?;
        }
        self.view = self.view.at(manifest.epoch, manifest.generation);
        self.digest = sum.fold();
        self.sum = Some(sum);
        self.sealed = Some(opened.sealed().clone());
        self.matches(manifest)?;
        Ok(self)
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
        let (found, signed) = (self.digest, manifest.digest);
        if found == signed { Ok(()) } else { Err(ApplyError::OtherDigest { found, signed }) }
    }

    /// Sets one row in view and sum. The old row is taken out as *this* state has it, so a silent change of it shows in the digest.
    fn set(&mut self, row: RowRef<'_>, sum: &mut LtHash, scratch: &mut Vec<u8>) -> Result<(), Damaged> {
        let kind = self.view.feed().kind;
        let old = self.view.get(row.table, row.key)?;
        if let Some(old) = old {
            sum.remove(kind, RowRef { value: Some(old), ..row }, scratch);
        }
        let was_there = old.is_some();
        if row.value.is_some() {
            sum.add(kind, row, scratch);
        }
        self.view.set(row, was_there);
        Ok(())
    }

    /// Takes a base from a store that vouches for it: its rows are what this manifest was signed for.
    pub fn vouched(sealed: Sealed, base: Arc<Base>) -> Self {
        let digest = base.head().sum.fold();
        Self { view: View::of(base), sum: None, digest, sealed: Some(sealed) }
    }

    /// Takes generations from a store that vouches for them: payloads one after the other, and the manifest of the last.
    /// Nothing below is looked at, so it costs the same on any base.
    pub fn replay<'a>(&self, last: &Opened, payloads: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, RowsError> {
        let manifest = last.manifest();
        let mut view = self.view.clone();
        payloads.into_iter().try_for_each(|payload| view.replay(payload, manifest.row_count))?;
        Ok(Self { view: view.at(manifest.epoch, manifest.generation), sum: None, digest: manifest.digest, sealed: Some(last.sealed().clone()) })
    }

    /// The same state over a base that was folded at an earlier generation; `payloads` are the generations since then.
    pub fn onto<'a>(&self, base: Arc<Base>, payloads: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, RowsError> {
        let (held, mut view) = (&self.view, View::of(base));
        payloads.into_iter().try_for_each(|payload| view.replay(payload, held.row_count()))?;
        Ok(Self { view: view.at(held.epoch(), held.generation()), ..self.clone() })
    }

    /// The same with its sum, proven against the digest that was signed: what a state out of a store needs before it can go on.
    pub fn audited(&self) -> Result<Self, ApplyError> {
        let found = self.known_sum()?;
        let (found_digest, signed) = (found.fold(), self.digest);
        if found_digest != signed {
            return Err(ApplyError::OtherDigest { found: found_digest, signed });
        }
        Ok(Self { sum: Some(found), ..self.clone() })
    }

    /// The sum of all rows: the base's, with what changed since taken out and put in.
    fn known_sum(&self) -> Result<LtHash, Damaged> {
        if let Some(sum) = &self.sum {
            return Ok(sum.clone());
        }
        let (base, kind) = (self.view.base(), self.view.feed().kind);
        let (mut sum, mut scratch) = (base.head().sum.clone(), Vec::new());
        for change in self.view.changes_since_base() {
            if let Some(old) = base.get(change.table, &change.key)? {
                sum.remove(kind, RowRef { value: Some(old), ..change.as_ref() }, &mut scratch);
            }
            if change.value.is_some() {
                sum.add(kind, change.as_ref(), &mut scratch);
            }
        }
        Ok(sum)
    }

    /// The same with its sum and number of rows counted anew, over every row that is really there: for an agent whose rows
    /// turned out not to be those that its sum says. The digest is then that of the rows, whatever the manifest names.
    pub fn recounted(&self) -> Result<Self, Damaged> {
        let (mut sum, mut count, mut scratch) = (LtHash::empty(), 0, Vec::new());
        for row in self.view.rows() {
            sum.add(self.view.feed().kind, row?, &mut scratch);
            count += 1;
        }
        Ok(Self { digest: sum.fold(), sum: Some(sum), view: self.view.clone().counting(count), sealed: self.sealed.clone() })
    }

    /// The same rows under the number before, so that those of the same number may come after them.
    pub(super) fn at_generation_before(&self) -> Self {
        let before = Generation(self.view.generation().0.saturating_sub(1));
        Self { view: self.view.clone().at(self.view.epoch(), before), ..self.clone() }
    }

    /// What changed since the base as one payload: applied to any generation from the base's on, it leads to this one.
    pub fn changes_since_base(&self) -> Vec<u8> {
        encode_changes(self.view.changes_since_base().iter().map(Change::as_ref)).expect("rows that are held are within their limits")
    }

    /// Drops the changes that change nothing and prepares the next generation; `None` where nothing is left.
    pub fn compose(&self, mut changes: Vec<Change>) -> Result<Option<Draft>, ComposeError> {
        changes.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        // Of several wishes for one row, the last one counts: `sort_by` is stable, and `dedup_by` keeps the earlier place.
        changes.dedup_by(|later, kept| {
            let same = later.table == kept.table && later.key == kept.key;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        let mut wanted = Vec::with_capacity(changes.len());
        for change in changes {
            if self.view.get(change.table, &change.key)? != change.value.as_deref() {
                wanted.push(change);
            }
        }
        if wanted.is_empty() { Ok(None) } else { self.draft(&wanted).map(Some) }
    }

    /// The next generation with the same rows: for a new key or a new epoch, which must vouch for what an older one did, and for
    /// a base that manifests are to name.
    pub fn renew(&self) -> Result<Draft, ComposeError> {
        self.draft(&[])
    }

    fn draft(&self, changes: &[Change]) -> Result<Draft, ComposeError> {
        let payload = encode_changes(changes.iter().map(Change::as_ref))?;
        let (mut next, mut sum, mut scratch) = (self.clone(), self.known_sum()?, Vec::new());
        for change in changes {
            next.set(change.as_ref(), &mut sum, &mut scratch)?;
        }
        next.view = next.view.at(self.view.epoch(), self.view.generation().next());
        next.digest = sum.fold();
        next.sum = Some(sum);
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

    /// Signs: gives the sealed manifest, the payload it vouches for, and the state it leads to. Fails only where the whole
    /// snapshot is needed, for the first generation of an epoch, and cannot be read.
    pub fn seal(self, key: &SigningKey, stamp: Stamp) -> Result<(Sealed, Vec<u8>, State), Damaged> {
        // The first generation of a feed, and of an epoch, starts from nothing.
        let from_nothing = self.parent == Generation(0) || self.parent_epoch != stamp.epoch;
        let payload = if from_nothing { self.next.encode_rows()? } else { self.payload };
        // A base of another epoch may be of another history.
        let base = self.next.view.base().head();
        let names_base = base.generation > Generation(0) && base.epoch == stamp.epoch;
        let manifest = Manifest {
            format: FORMAT,
            min_reader: MIN_READER,
            institution: stamp.institution,
            feed: self.next.view.feed(),
            epoch: stamp.epoch,
            generation: self.next.view.generation(),
            parent: if from_nothing { Generation(0) } else { self.parent },
            parent_hash: if from_nothing { [0; 32] } else { self.parent_hash },
            row_count: self.next.view.row_count(),
            digest: self.next.digest,
            form: if from_nothing { PayloadForm::Full } else { PayloadForm::Delta },
            payload_hash: *blake3::hash(&payload).as_bytes(),
            payload_len: payload.len() as u64,
            base_generation: if names_base { base.generation } else { Generation(0) },
            base_root: if names_base { self.next.view.base().root() } else { [0; 32] },
            issued_at: stamp.issued_at,
            soft_age_s: stamp.soft_age_s,
            hard_age_s: stamp.hard_age_s,
            key_id: key.public().id(),
        };
        let sealed = key.seal(manifest);
        let view = self.next.view.at(stamp.epoch, self.parent.next());
        let next = State { view, sum: self.next.sum, digest: self.next.digest, sealed: Some(sealed.clone()) };
        Ok((sealed, payload, next))
    }
}
