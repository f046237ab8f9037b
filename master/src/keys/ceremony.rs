//! The root ceremony, step by step and by files: a draft that people can read, signatures one by one on machines that need
//! nothing else, and the trust that comes of it, which the master keeps and hands to every box.
//!
//! ```text
//! master:  draft --> trust-2.json --> [stick] --> sign, on each root's own machine --> [stick] --> install
//! ```

use super::file::{KeyFiles, put};
use super::{Authority, Keys, RootKey, keep_trust, newest, read_chain};
use anyhow::{Context, bail, ensure};
use holdfast_proto::snapshot::{DataKey, Family, Feed, Grant, Institution, Kind, PublicKey, RootSignature, SigningKey, Trust, TrustDraft};
use holdfast_proto::words::Epoch;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The feeds that the master's own key signs.
const OWN: [(Kind, Family); 4] = [(Kind::Zone, Family::Whole), (Kind::Bootptab, Family::Whole), (Kind::Auth, Family::Access), (Kind::Trust, Family::Whole)];
/// Those that the portal's key signs.
const PORTALS: [(Kind, Family); 1] = [(Kind::Auth, Family::People)];

/// What the next trust shall change.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Make a new key for the master's snapshots; the old one counts on.
    pub rotate_snapshot_key: bool,
    /// Take out every snapshot key of the master's but the newest.
    pub retire_old_snapshot_key: bool,
    /// Begin a new epoch: what was signed in those before counts no longer.
    pub new_epoch: bool,
    /// Root keys to add.
    pub add_roots: Vec<PublicKey>,
    /// Root keys to take out.
    pub remove_roots: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: Option<u8>,
    /// A new key of the portal's, in place of the old one.
    pub portal_key: Option<PublicKey>,
    /// Make a new TLS authority; the old one is believed on.
    pub rotate_authority: bool,
    /// Take out every TLS authority but the newest.
    pub retire_old_authority: bool,
}

/// A trust on its way through the ceremony, as a file that people can read before they sign it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// What is different from the trust before: for people.
    pub changes: Vec<String>,
    version: u32,
    institution: String,
    name: String,
    epoch: u32,
    threshold: u8,
    roots: Vec<String>,
    grants: Vec<PaperGrant>,
    authorities: Vec<String>,
    /// The roots believed until now, who must sign too.
    #[serde(default)]
    roots_before: Vec<String>,
    #[serde(default)]
    threshold_before: u8,
    #[serde(default)]
    signatures: Vec<PaperSignature>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperGrant {
    key: String,
    feed: String,
    kind: u8,
    family: u8,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperSignature {
    root: String,
    signature: String,
}

/// A public key as people write it.
pub fn public_key(text: &str) -> anyhow::Result<PublicKey> {
    let key = hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    Ok(PublicKey(key.with_context(|| format!("\"{text}\" is not a public key: it has 64 hexadecimal digits"))?))
}

/// What [`init`] made.
pub enum Initialised {
    /// The trust is signed by a root key that was made here: it belongs offline.
    Signed {
        /// The root's key.
        root_key: PathBuf,
    },
    /// The first trust waits for the signatures of its roots.
    Drafted {
        /// The draft.
        draft: PathBuf,
    },
}

/// Makes the keys of a new institution and the first trust. Without `roots`, a root key is made here and signs at once: the
/// ceremony in its simplest form. With them, a draft is written that so many of them (`threshold`) must sign.
pub fn init(state_dir: &Path, name: &str, portal: PublicKey, roots: &[PublicKey], threshold: u8) -> anyhow::Result<Initialised> {
    let files = KeyFiles::of(state_dir);
    let folder = files.folder();
    ensure!(!newest(folder).exists(), "{} is there already: a master is initialised once", newest(folder).display());
    // The state directory stays open for the managed database; only the keys are closed.
    fs::create_dir_all(state_dir)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = first_draft(folder, name, portal)?;
    if !roots.is_empty() {
        let path = folder.join("trust-1.json");
        Paper::of(&TrustDraft { roots: roots.to_vec(), threshold, ..draft }, None, vec!["the first trust".to_owned()]).write(&path)?;
        return Ok(Initialised::Drafted { draft: path });
    }
    let (root, root_key) = (RootKey::generate()?, folder.join("root.key"));
    let trust = TrustDraft { roots: vec![root.signing().public()], ..draft }.sign(&[root.signing()])?;
    // A ceremony that was cut short left a key that nobody believes.
    let _ = fs::remove_file(&root_key);
    root.write(&root_key, None)?;
    // The trust comes last: without it the master counts as not initialised.
    keep_trust(folder, &trust)?;
    Ok(Initialised::Signed { root_key })
}

fn first_draft(folder: &Path, name: &str, portal: PublicKey) -> anyhow::Result<TrustDraft> {
    let (signing, signing_pkcs8) = SigningKey::generate()?;
    let (authority, authority_key) = Authority::generate(name)?;
    let mut institution = [0; 16];
    aws_lc_rs::rand::fill(&mut institution).ok().context("the system gives no randomness")?;
    put(&folder.join("signing.key"), &signing_pkcs8)?;
    put(&folder.join("access.key"), DataKey::generate()?.expose())?;
    put(&folder.join("authority.key"), &authority_key)?;
    put(&folder.join("authority.der"), &authority)?;
    Ok(TrustDraft {
        version: 1,
        institution: Institution(institution),
        name: name.to_owned(),
        epoch: Epoch(1),
        threshold: 1,
        roots: vec![],
        grants: [grants(signing.public(), &OWN), grants(portal, &PORTALS)].concat(),
        authorities: vec![authority],
    })
}

fn grants(key: PublicKey, feeds: &[(Kind, Family)]) -> Vec<Grant> {
    feeds.iter().map(|(kind, family)| Grant { key, kind: *kind, family: *family }).collect()
}

/// Drafts the trust after the one held. New keys are made here and kept at once: they count only when the roots say so.
pub fn draft(state_dir: &Path, wishes: &Wishes) -> anyhow::Result<Paper> {
    let files = KeyFiles::of(state_dir);
    let held = held(files.folder())?;
    let mut next = TrustDraft { version: held.draft().version + 1, ..held.draft().clone() };
    let mut changes = Vec::new();
    if wishes.new_epoch {
        next.epoch = Epoch(next.epoch.0 + 1);
        changes.push(format!("epoch {} begins: nothing that was signed before it counts", next.epoch));
    }
    change_roots(&mut next, wishes, &mut changes)?;
    change_signers(&files, &held, &mut next, wishes, &mut changes)?;
    change_authorities(&files, &mut next, wishes, &mut changes)?;
    ensure!(!changes.is_empty(), "nothing is asked for: see `holdfast-master root draft --help`");
    Ok(Paper::of(&next, Some(&held), changes))
}

fn held(folder: &Path) -> anyhow::Result<Trust> {
    read_chain(folder)?.pop().context("an empty chain was refused")
}

fn change_roots(next: &mut TrustDraft, wishes: &Wishes, changes: &mut Vec<String>) -> anyhow::Result<()> {
    for root in &wishes.remove_roots {
        ensure!(next.roots.contains(root), "{root} is no root key of the trust held: see `holdfast-master root show`");
        next.roots.retain(|known| known != root);
        changes.push(format!("root {root} is taken out"));
    }
    for root in &wishes.add_roots {
        ensure!(!next.roots.contains(root), "{root} is a root key already");
        next.roots.push(*root);
        changes.push(format!("root {root} is added"));
    }
    if let Some(threshold) = wishes.threshold.filter(|threshold| *threshold != next.threshold) {
        changes.push(format!("{threshold} roots must sign, instead of {}", next.threshold));
        next.threshold = threshold;
    }
    ensure!((1..=next.roots.len()).contains(&next.threshold.into()), "{} of {} root keys can never sign", next.threshold, next.roots.len());
    Ok(())
}

fn change_signers(files: &KeyFiles, held: &Trust, next: &mut TrustDraft, wishes: &Wishes, changes: &mut Vec<String>) -> anyhow::Result<()> {
    if wishes.rotate_snapshot_key {
        let (key, pkcs8) = SigningKey::generate()?;
        put(&files.folder().join(format!("signing-{}.key", hex::encode(key.public().id()))), &pkcs8)?;
        next.grants.extend(grants(key.public(), &OWN));
        changes.push(format!("the master signs snapshots with {}", key.public()));
    }
    if wishes.retire_old_snapshot_key {
        let newest = next.grants.iter().rev().find(|grant| (grant.kind, grant.family) == OWN[0]).map(|grant| grant.key);
        let newest = newest.context("the trust names no key for the master's snapshots")?;
        let old: Vec<PublicKey> = held.signers(Feed::ZONE).filter(|key| *key != newest).collect();
        ensure!(!old.is_empty(), "there is one snapshot key only: rotate it first");
        next.grants.retain(|grant| !old.contains(&grant.key));
        changes.extend(old.iter().map(|key| format!("snapshots signed by {key} count no longer")));
    }
    if let Some(portal) = wishes.portal_key {
        next.grants.retain(|grant| (grant.kind, grant.family) != PORTALS[0]);
        next.grants.extend(grants(portal, &PORTALS));
        changes.push(format!("people are signed by the portal's key {portal} alone"));
    }
    Ok(())
}

fn change_authorities(files: &KeyFiles, next: &mut TrustDraft, wishes: &Wishes, changes: &mut Vec<String>) -> anyhow::Result<()> {
    if wishes.rotate_authority {
        let (der, key) = Authority::generate(&next.name)?;
        let stem = format!("authority-{}", &authority_name(&der));
        put(&files.folder().join(format!("{stem}.key")), &key)?;
        put(&files.folder().join(format!("{stem}.der")), &der)?;
        changes.push(format!("certificates come from a new authority, {}", authority_name(&der)));
        next.authorities.push(der);
    }
    if wishes.retire_old_authority {
        ensure!(next.authorities.len() > 1, "there is one authority only: rotate it first");
        for old in next.authorities.drain(..next.authorities.len() - 1) {
            changes.push(format!("authority {} is believed no longer", authority_name(&old)));
        }
    }
    Ok(())
}

/// The short name of an authority, as `ca list` shows it.
pub fn authority_name(der: &[u8]) -> String {
    hex::encode(&holdfast_proto::net::tls::authority_pin(der)[..8])
}

/// Verifies a signed draft against the trust held, keeps it, and gives it. A running master takes it up within a second.
pub fn install(state_dir: &Path, paper: &Paper) -> anyhow::Result<Trust> {
    let files = KeyFiles::of(state_dir);
    let folder = files.folder();
    let trust = paper.assemble()?;
    if newest(folder).exists() {
        let held = held(folder)?;
        if held == trust {
            return Ok(trust);
        }
        let trust = held.follow(trust.bytes())?;
        // The trust held may be from a time before there were chains.
        keep_trust(folder, &held)?;
        return install_over(state_dir, folder, &held, trust);
    }
    keep_trust(folder, &trust)?;
    Ok(trust)
}

/// A trust that this master could not work under is put back before anybody sees it.
fn install_over(state_dir: &Path, folder: &Path, held: &Trust, trust: Trust) -> anyhow::Result<Trust> {
    keep_trust(folder, &trust)?;
    if let Err(wrong) = Keys::read(state_dir) {
        put(&newest(folder), held.bytes())?;
        return Err(wrong.context("the trust is signed, but this master could not work under it, so it was not installed"));
    }
    Ok(trust)
}

impl Paper {
    fn of(draft: &TrustDraft, before: Option<&Trust>, changes: Vec<String>) -> Self {
        let grant = |grant: &Grant| PaperGrant {
            key: grant.key.to_string(),
            feed: format!("{} {}", grant.kind, grant.family),
            kind: grant.kind as u8,
            family: grant.family as u8,
        };
        Self {
            changes,
            version: draft.version,
            institution: hex::encode(draft.institution.0),
            name: draft.name.clone(),
            epoch: draft.epoch.0,
            threshold: draft.threshold,
            roots: draft.roots.iter().map(PublicKey::to_string).collect(),
            grants: draft.grants.iter().map(grant).collect(),
            authorities: draft.authorities.iter().map(hex::encode).collect(),
            roots_before: before.map(|trust| trust.draft().roots.iter().map(PublicKey::to_string).collect()).unwrap_or_default(),
            threshold_before: before.map_or(0, |trust| trust.draft().threshold),
            signatures: vec![],
        }
    }

    /// The trust held, for people to read.
    pub fn held(state_dir: &Path) -> anyhow::Result<Self> {
        Ok(Self::of(held(KeyFiles::of(state_dir).folder())?.draft(), None, vec![]))
    }

    /// Reads a draft.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no draft of a trust", path.display()))
    }

    /// Writes it back, with one signature more perhaps.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        put(path, &serde_json::to_vec_pretty(self)?)
    }

    /// Adds a root's signature. A key that is no root, of this trust or the one before, signs nothing.
    pub fn sign(&mut self, root: &SigningKey) -> anyhow::Result<()> {
        let public = root.public().to_string();
        let is_root = self.roots.iter().chain(&self.roots_before).any(|known| *known == public);
        ensure!(is_root, "{public} is no root key of this trust or of the one before it: its signature would count nowhere");
        let signature = self.draft()?.signature_by(root);
        self.signatures.retain(|kept| kept.root != public);
        self.signatures.push(PaperSignature { root: public, signature: hex::encode(signature.signature) });
        Ok(())
    }

    /// Which trust it will be.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What is still to be signed, in a sentence; `None` where nothing is.
    pub fn missing(&self) -> Option<String> {
        let count = |roots: &[String]| self.signatures.iter().filter(|signature| roots.contains(&signature.root)).count();
        let (new, before) = (count(&self.roots), count(&self.roots_before));
        let (needed, needed_before) = (usize::from(self.threshold), usize::from(self.threshold_before));
        if new >= needed && before >= needed_before {
            return None;
        }
        Some(match needed_before {
            0 => format!("{new} of {needed} signatures are there"),
            _ => format!("{new} of {needed} signatures by its own roots and {before} of {needed_before} by those before are there"),
        })
    }

    fn draft(&self) -> anyhow::Result<TrustDraft> {
        let keys = |texts: &[String]| texts.iter().map(|text| public_key(text)).collect::<anyhow::Result<Vec<_>>>();
        let grant = |grant: &PaperGrant| {
            let (kind, family) = (Kind::from_number(grant.kind), Family::from_number(grant.family));
            let (Some(kind), Some(family)) = (kind, family) else { bail!("the draft grants a feed that this build does not know") };
            ensure!(grant.feed == format!("{kind} {family}"), "the draft calls {kind} {family} \"{}\": it was altered", grant.feed);
            Ok(Grant { key: public_key(&grant.key)?, kind, family })
        };
        Ok(TrustDraft {
            version: self.version,
            institution: Institution(hex::decode(&self.institution)?.try_into().ok().context("the institution's number has not 16 bytes")?),
            name: self.name.clone(),
            epoch: Epoch(self.epoch),
            threshold: self.threshold,
            roots: keys(&self.roots)?,
            grants: self.grants.iter().map(grant).collect::<anyhow::Result<_>>()?,
            authorities: self.authorities.iter().map(hex::decode).collect::<Result<_, _>>()?,
        })
    }

    fn assemble(&self) -> anyhow::Result<Trust> {
        let signature = |kept: &PaperSignature| {
            let signature = hex::decode(&kept.signature)?.try_into().ok().context("a signature has not 64 bytes")?;
            Ok(RootSignature { root: public_key(&kept.root)?.id(), signature })
        };
        let signatures = self.signatures.iter().map(signature).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(self.draft()?.assemble(&signatures)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::snapshot::TrustError;

    struct Site {
        dir: tempfile::TempDir,
        roots: Vec<SigningKey>,
    }

    fn portal() -> PublicKey {
        PublicKey([7; 32])
    }

    /// A master whose trust two of three roots signed.
    fn site() -> Site {
        let roots: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate().unwrap().0).collect();
        let dir = tempfile::tempdir().unwrap();
        let public: Vec<PublicKey> = roots.iter().map(SigningKey::public).collect();
        let made = init(dir.path(), "University of Examples", portal(), &public, 2).unwrap();
        let Initialised::Drafted { draft } = made else { panic!("roots were named") };
        let mut paper = Paper::read(&draft).unwrap();
        paper.sign(&roots[0]).unwrap();
        assert!(install(dir.path(), &paper).is_err() && paper.missing().is_some());
        paper.sign(&roots[2]).unwrap();
        install(dir.path(), &paper).unwrap();
        Site { dir, roots }
    }

    impl Site {
        fn ceremony(&self, wishes: &Wishes, roots: &[usize]) -> anyhow::Result<Trust> {
            let path = self.dir.path().join("next.json");
            draft(self.dir.path(), wishes)?.write(&path)?;
            let mut paper = Paper::read(&path)?;
            roots.iter().try_for_each(|root| paper.sign(&self.roots[*root]))?;
            install(self.dir.path(), &paper)
        }

        fn keys(&self) -> Keys {
            Keys::read(self.dir.path()).unwrap()
        }
    }

    #[test]
    fn a_small_site_has_its_ceremony_in_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let Initialised::Signed { root_key } = init(dir.path(), "Small", portal(), &[], 1).unwrap() else { panic!("no roots were named") };
        let keys = Keys::read(dir.path()).unwrap();
        assert_eq!((keys.trust.draft().version, keys.chain.len(), keys.trust.signers(Feed::TRUST).count()), (1, 1, 1));
        assert!(init(dir.path(), "Small", portal(), &[], 1).is_err(), "once");
        let root = RootKey::read(&root_key, || bail!("it is plain")).unwrap();
        let mut paper = draft(dir.path(), &Wishes { new_epoch: true, ..Wishes::default() }).unwrap();
        paper.sign(root.signing()).unwrap();
        assert_eq!(install(dir.path(), &paper).unwrap().draft().epoch, Epoch(2));
    }

    #[test]
    fn a_snapshot_key_is_rotated_with_an_overlap() {
        let site = site();
        let first = site.keys().signing.public();
        site.ceremony(&Wishes { rotate_snapshot_key: true, ..Wishes::default() }, &[0, 1]).unwrap();
        let keys = site.keys();
        assert_ne!(keys.signing.public(), first, "the newest that the trust names signs");
        assert_eq!(keys.trust.signers(Feed::ZONE).collect::<Vec<_>>(), [first, keys.signing.public()]);
        site.ceremony(&Wishes { retire_old_snapshot_key: true, ..Wishes::default() }, &[1, 2]).unwrap();
        let keys = site.keys();
        assert_eq!(keys.trust.signers(Feed::ACCESS).collect::<Vec<_>>(), [keys.signing.public()]);
        assert_eq!(keys.trust.signers(Feed::PEOPLE).collect::<Vec<_>>(), [portal()]);
        assert_eq!(keys.chain.iter().map(|trust| trust.draft().version).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(keys.chain[0].walk(keys.chain.iter().map(Trust::bytes)).unwrap(), keys.trust);
    }

    #[test]
    fn roots_change_only_with_enough_of_the_old_ones() {
        let mut site = site();
        site.roots.push(SigningKey::generate().unwrap().0);
        let wishes = Wishes { add_roots: vec![site.roots[3].public()], remove_roots: vec![site.roots[0].public()], ..Wishes::default() };
        let wrong = site.ceremony(&wishes, &[2, 3]).unwrap_err();
        assert_eq!(wrong.downcast_ref(), Some(&TrustError::TooFewOldRoots { signed: 1, needed: 2 }));
        let trust = site.ceremony(&wishes, &[0, 2, 3]).unwrap();
        assert_eq!(trust.draft().roots, [1, 2, 3].map(|at| site.roots[at].public()));
        let stranger = SigningKey::generate().unwrap().0;
        let mut paper = draft(site.dir.path(), &Wishes { new_epoch: true, ..Wishes::default() }).unwrap();
        assert!(paper.sign(&stranger).unwrap_err().to_string().contains("no root key"));
        assert!(site.ceremony(&Wishes { threshold: Some(4), ..Wishes::default() }, &[]).is_err());
    }

    #[test]
    fn an_authority_is_rotated_so_that_nobody_loses_the_master() {
        let site = site();
        let first = site.keys().serving_authority().der().to_vec();
        site.ceremony(&Wishes { rotate_authority: true, ..Wishes::default() }, &[0, 1]).unwrap();
        let keys = site.keys();
        assert_eq!(keys.serving_authority().der(), first, "the master shows what everybody knows");
        assert_ne!(keys.issuing_authority().der(), first, "boxes get what will last");
        site.ceremony(&Wishes { retire_old_authority: true, ..Wishes::default() }, &[0, 1]).unwrap();
        assert_eq!(site.keys().serving_authority().der(), keys.issuing_authority().der());
    }

    #[test]
    fn a_trust_that_the_master_could_not_work_under_is_not_installed() {
        let site = site();
        let mut next = TrustDraft { version: 2, ..site.keys().trust.draft().clone() };
        next.grants = grants(PublicKey([9; 32]), &OWN);
        let mut paper = Paper::of(&next, Some(&site.keys().trust), vec![]);
        paper.sign(&site.roots[0]).unwrap();
        paper.sign(&site.roots[1]).unwrap();
        assert!(install(site.dir.path(), &paper).unwrap_err().to_string().contains("not installed"));
        assert_eq!(site.keys().trust.draft().version, 1);
    }

    #[test]
    fn an_altered_draft_is_not_signed_and_a_signed_one_not_altered() {
        let site = site();
        let mut paper = draft(site.dir.path(), &Wishes { new_epoch: true, ..Wishes::default() }).unwrap();
        paper.sign(&site.roots[0]).unwrap();
        paper.sign(&site.roots[1]).unwrap();
        paper.epoch += 1;
        assert!(install(site.dir.path(), &paper).is_err(), "the signatures are under something else");
        paper.grants[0].feed = "auth people".to_owned();
        assert!(paper.sign(&site.roots[0]).unwrap_err().to_string().contains("altered"));
    }
}
