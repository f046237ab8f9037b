use crate::store::{Finding, FloorFile, Identity, IdentityError, Trusts, best_state, feed_dir, store_key};
use crate::telemetry::BUILD;
use anyhow::Context;
use holdfast_proto::snapshot::{Feed, PublicKey, State, Trust};
use holdfast_proto::words::{Epoch, Generation};
use std::fmt;
use std::path::Path;

/// What a box's disk says, with no agent running and no network.
#[derive(Debug)]
pub struct OfflineStatus {
    identity: Identity,
    snapshots: Vec<Verified>,
}

/// What one feed's files lead to, what was kept out, and what this disk once held.
#[derive(Debug)]
struct Verified {
    state: State,
    findings: Vec<Finding>,
    floor: Option<(Epoch, Generation)>,
}

/// Verifies everything on the disk, as the agent would at start.
pub fn read_offline(state_dir: &Path) -> Result<OfflineStatus, IdentityError> {
    let identity = Identity::read(state_dir)?;
    let (_, floor) = FloorFile::open(state_dir);
    let (key, trusts) = (store_key(state_dir), Trusts::read(state_dir)?);
    let snapshots = Feed::ALL.into_iter().map(|feed| {
        let (state, findings) = best_state(&feed_dir(state_dir, feed), feed, &trusts, &key);
        Verified { state, findings, floor: floor.of(feed) }
    });
    Ok(OfflineStatus { snapshots: snapshots.collect(), identity })
}

/// What was signed of the newest generation of a feed that this disk leads to, field by field.
pub fn show_offline(state_dir: &Path, feed: &str) -> anyhow::Result<String> {
    let known = Feed::ALL.into_iter().find(|known| known.to_string() == feed);
    let feed = known.with_context(|| format!("there is no snapshot \"{feed}\": they are {}", Feed::ALL.map(|feed| feed.to_string()).join(", ")))?;
    let trusts = Trusts::read(state_dir)?;
    let (state, _) = best_state(&feed_dir(state_dir, feed), feed, &trusts, &store_key(state_dir));
    let sealed = state.sealed().with_context(|| format!("this box holds no {feed} yet"))?;
    let manifest = trusts.open(sealed)?.manifest().clone();
    let head = state.base().head();
    Ok(format!(
        "feed         {feed}\nepoch        {}\ngeneration   {}\nparent       {}\nrows         {}\ndigest       {}\nissued at    {} ms\nsigned by    {}\n\
         format       {}, for readers from {} on\nbase here    generation {}, {} bytes in {} blocks\nchanged since {} rows\n",
        manifest.epoch,
        manifest.generation,
        manifest.parent,
        manifest.row_count,
        manifest.digest,
        manifest.issued_at.0,
        hex::encode(manifest.key_id),
        manifest.format,
        manifest.min_reader,
        head.generation,
        head.rows_len,
        head.blocks.len(),
        state.view().overlay_len(),
    ))
}

impl OfflineStatus {
    /// Whether everything on the disk verified and nothing went back.
    pub fn is_well(&self) -> bool {
        self.snapshots.iter().all(|verified| verified.findings.is_empty() && !verified.went_back())
    }
}

impl Verified {
    fn went_back(&self) -> bool {
        self.floor.is_some_and(|floor| (self.state.view().epoch(), self.state.view().generation()) < floor)
    }
}

impl fmt::Display for OfflineStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: campus agent of {}, master {}, build {BUILD}", self.identity.name, self.identity.trust.draft().name, self.identity.master)?;
        writeln!(f, "{:<12} {:>10} {:>9}  {:<16}  {:<16}  state", "snapshot", "generation", "rows", "digest", "signed by")?;
        for verified in &self.snapshots {
            let Verified { state, findings, .. } = verified;
            let (view, digest) = (state.view(), state.digest().to_string());
            let verdict = match (findings.is_empty(), verified.went_back()) {
                (true, false) => "verified",
                (_, true) => "OLDER than what this disk once held",
                (false, false) => "verified, with findings",
            };
            let signer = signer(&self.identity.trust, state);
            writeln!(f, "{:<12} {:>10} {:>9}  {:<16}  {signer:<16}  {verdict}", view.feed().to_string(), view.generation(), view.row_count(), &digest[..16])?;
            for finding in findings {
                writeln!(f, "  kept out: {}: {}", finding.path.display(), finding.what)?;
            }
        }
        Ok(())
    }
}

fn signer(trust: &Trust, state: &State) -> String {
    let opened = state.sealed().and_then(|sealed| trust.open(sealed).ok());
    let key = opened.and_then(|opened| trust.draft().grants.iter().map(|grant| grant.key).find(|key: &PublicKey| key.id() == opened.manifest().key_id));
    key.map_or_else(|| "-".to_owned(), |key| hex::encode(key.id()))
}
