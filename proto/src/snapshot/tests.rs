//! The whole room at once: what is composed and sealed is opened and applied, and nothing else is.

use super::file::{decode_base, encode_base, encode_frame, frames};
use super::*;
use crate::words::{Epoch, Generation, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

const INSTITUTION: Institution = Institution(*b"uni.example-0001");
const T: Table = Table(2);

/// A master with its key, and a root that trusts it.
struct Site {
    root: SigningKey,
    master: SigningKey,
    portal: SigningKey,
    trust: Trust,
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn site() -> Site {
    let (root, master, portal) = (key(), key(), key());
    let trust = draft(&root, &master, &portal).sign(&[&root]).unwrap();
    Site { root, master, portal, trust }
}

fn draft(root: &SigningKey, master: &SigningKey, portal: &SigningKey) -> TrustDraft {
    let grant = |key: &SigningKey, kind, family| Grant { key: key.public(), kind, family };
    TrustDraft {
        version: 1,
        institution: INSTITUTION,
        name: "University of Examples".to_owned(),
        epoch: Epoch(1),
        threshold: 1,
        roots: vec![root.public()],
        grants: vec![grant(master, Kind::Zone, Family::Whole), grant(master, Kind::Auth, Family::Access), grant(portal, Kind::Auth, Family::People)],
        authorities: vec![b"an authority".to_vec()],
    }
}

fn stamp() -> Stamp {
    Stamp { institution: INSTITUTION, epoch: Epoch(1), issued_at: UnixMillis(1_700_000_000_000), soft_age_s: 3600, hard_age_s: 0 }
}

fn put(key: &str, value: &str) -> Change {
    Change::put(T, key, value)
}

/// Composes and seals the next generation.
fn publish(state: &State, key: &SigningKey, changes: Vec<Change>) -> (Sealed, Vec<u8>, State) {
    state.compose(changes).unwrap().expect("a change").seal(key, stamp())
}

#[test]
fn an_agent_ends_at_exactly_the_masters_state() {
    let site = site();
    let (sealed, payload, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1"), put("b", "2")]);
    let agent = State::empty(Feed::ZONE).advance(&site.trust.open(&sealed).unwrap(), &payload).unwrap();
    let (sealed, payload, two) = publish(&one, &site.master, vec![put("a", "3"), Change::delete(T, "b"), put("c", "4")]);
    let agent = agent.advance(&site.trust.open(&sealed).unwrap(), &payload).unwrap();
    assert_eq!((agent.digest(), agent.view().generation()), (two.digest(), Generation(2)));
    assert_eq!(agent.view().get(T, b"a"), Some(&b"3"[..]));
    assert_eq!(agent.view().get(T, b"b"), None);
    assert_eq!(agent.encode_rows(), two.encode_rows());
    // The manifest of a delta vouches for the whole state as well.
    let restored = State::restore(&site.trust.open(&sealed).unwrap(), two.encode_rows()).unwrap();
    assert_eq!(restored.digest(), two.digest());
    assert_eq!(restored.rebased().view().iter(T).count(), 2);
}

#[test]
fn the_wrong_key_for_a_scope_is_refused() {
    let site = site();
    let (by_master, ..) = publish(&State::empty(Feed::PEOPLE), &site.master, vec![put("ada", "x")]);
    assert!(matches!(site.trust.open(&by_master), Err(OpenError::WrongKey { feed: Feed::PEOPLE, .. })));
    let (by_portal, ..) = publish(&State::empty(Feed::ACCESS), &site.portal, vec![put("nas", "x")]);
    assert!(matches!(site.trust.open(&by_portal), Err(OpenError::WrongKey { feed: Feed::ACCESS, .. })));
    let (by_portal, ..) = publish(&State::empty(Feed::PEOPLE), &site.portal, vec![put("ada", "x")]);
    assert!(site.trust.open(&by_portal).is_ok());
    let (by_stranger, ..) = publish(&State::empty(Feed::ZONE), &key(), vec![put("a", "x")]);
    assert!(matches!(site.trust.open(&by_stranger), Err(OpenError::ForeignKey(_))));
}

#[test]
fn any_flipped_bit_of_a_sealed_manifest_is_refused() {
    let site = site();
    let (sealed, ..) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    for bit in 0..Sealed::BYTES * 8 {
        let mut bytes = sealed.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(site.trust.open(&Sealed::from_bytes(&bytes).unwrap()).is_err(), "bit {bit}");
    }
}

#[test]
fn older_foreign_and_altered_payloads_leave_the_state_alone() {
    let site = site();
    let (first, first_payload, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    let (second, second_payload, two) = publish(&one, &site.master, vec![put("a", "2")]);
    let open = |sealed| site.trust.open(sealed).unwrap();
    assert!(matches!(two.advance(&open(&first), &first_payload), Err(ApplyError::NotNewer { .. })));
    assert!(matches!(two.advance(&open(&second), &second_payload), Err(ApplyError::NotNewer { .. })));
    assert!(matches!(one.advance(&open(&second), &first_payload), Err(ApplyError::OtherPayload)));
    assert!(matches!(State::empty(Feed::ZONE).advance(&open(&second), &second_payload), Err(ApplyError::OtherParent { .. })));
    assert!(matches!(State::empty(Feed::BOOTPTAB).advance(&open(&first), &first_payload), Err(ApplyError::OtherFeed { .. })));
    assert!(matches!(State::restore(&open(&second), one.encode_rows()), Err(ApplyError::OtherDigest { .. })));
    // A fork: another child of the same parent, with the same number.
    let (_, _, fork) = publish(&one, &site.master, vec![put("a", "9")]);
    let (third, third_payload, _) = publish(&two, &site.master, vec![put("b", "1")]);
    assert!(matches!(fork.advance(&open(&third), &third_payload), Err(ApplyError::OtherParent { .. })));
}

#[test]
fn no_change_is_no_generation() {
    let site = site();
    let (_, _, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    assert!(one.compose(vec![put("a", "1"), Change::delete(T, "never was")]).unwrap().is_none());
    let draft = one.compose(vec![put("a", "2"), put("a", "3")]).unwrap().unwrap();
    assert_eq!(draft.into_view().get(T, b"a"), Some(&b"3"[..]), "the last wish for a row counts");
}

#[test]
fn a_renewed_generation_has_the_same_rows_under_the_new_key_and_epoch() {
    let (site, newer) = (site(), key());
    let (_, _, one) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1"), put("b", "2")]);
    let grants = site.trust.draft().grants.iter().copied().chain([Grant { key: newer.public(), kind: Kind::Zone, family: Family::Whole }]).collect();
    let overlap = TrustDraft { version: 2, grants, ..site.trust.draft().clone() }.sign(&[&site.root]).unwrap();
    let (sealed, payload, two) = one.renew().seal(&newer, stamp());
    let agent = one.advance(&overlap.open(&sealed).unwrap(), &payload).unwrap();
    assert_eq!((agent.digest(), agent.view().generation(), payload.len()), (one.digest(), Generation(2), 0));
    assert!(matches!(site.trust.open(&sealed), Err(OpenError::ForeignKey(_))), "before the root named it");

    let later = TrustDraft { version: 3, epoch: Epoch(2), ..overlap.draft().clone() }.sign(&[&site.root]).unwrap();
    let (sealed, payload, three) = two.renew().seal(&newer, Stamp { epoch: Epoch(2), ..stamp() });
    let agent = agent.advance(&later.open(&sealed).unwrap(), &payload).unwrap();
    assert_eq!((agent.digest(), agent.view().epoch(), agent.view().generation()), (three.digest(), Epoch(2), Generation(3)));
    assert_eq!(payload, one.encode_rows(), "the first of an epoch starts from nothing");
}

#[test]
fn an_ended_epoch_and_another_institution_are_refused() {
    let site = site();
    let (sealed, ..) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    let later = TrustDraft { epoch: Epoch(2), version: 2, ..site.trust.draft().clone() }.sign(&[&site.root]).unwrap();
    assert_eq!(later.open(&sealed), Err(OpenError::OldEpoch(Epoch(1))));
    let other = TrustDraft { institution: Institution([9; 16]), ..site.trust.draft().clone() }.sign(&[&site.root]).unwrap();
    assert_eq!(other.open(&sealed), Err(OpenError::OtherInstitution));
}

#[test]
fn a_torn_or_flipped_file_is_never_read_as_whole() {
    let site = site();
    let (sealed, payload, state) = publish(&State::empty(Feed::ZONE), &site.master, vec![put("a", "1")]);
    let base = encode_base(&sealed, &state.encode_rows());
    assert_eq!(decode_base(&base).unwrap().1, state.encode_rows());
    let log = [encode_frame(&sealed, &payload), encode_frame(&sealed, &payload)].concat();
    assert_eq!(frames(&log).count(), 2);
    for at in 0..base.len() {
        assert!(decode_base(&base[..at]).is_err());
        let mut flipped = base.clone();
        flipped[at] ^= 0x10;
        assert!(decode_base(&flipped).is_err(), "byte {at}");
    }
    for at in 0..log.len() {
        assert_eq!(frames(&log[..at]).count(), at / (log.len() / 2));
        let mut flipped = log.clone();
        flipped[at] ^= 0x10;
        assert_eq!(frames(&flipped).count(), at / (log.len() / 2), "byte {at}");
    }
}

proptest! {
    /// A view after any history equals a plain map, over any mix of base and overlay.
    #[test]
    fn a_view_is_a_map(history in proptest::collection::vec(proptest::collection::vec((0u8..12, proptest::option::of(0u8..4)), 1..6), 1..12), rebase_every in 1usize..5) {
        let site_key = key();
        let (mut state, mut model) = (State::empty(Feed::ZONE), BTreeMap::new());
        for (step, changes) in history.into_iter().enumerate() {
            let wishes = changes.iter().map(|(key, value)| Change { table: T, key: vec![*key], value: value.map(|v| vec![v]) }).collect();
            for (key, value) in changes {
                match value { Some(value) => model.insert(vec![key], vec![value]), None => model.remove(&vec![key]) };
            }
            if let Some(draft) = state.compose(wishes).unwrap() {
                state = draft.seal(&site_key, stamp()).2;
            }
            if step % rebase_every == 0 {
                state = state.rebased();
            }
            let seen: BTreeMap<_, _> = state.view().iter(T).map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(state.view().row_count(), model.len() as u64);
            prop_assert_eq!((0u8..12).filter(|key| state.view().get(T, &[*key]).is_some()).count(), model.len());
        }
    }
}
