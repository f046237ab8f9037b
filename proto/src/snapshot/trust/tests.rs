//! Root ceremonies of every kind, and what they must not lead to.

use super::*;
use crate::snapshot::Feed;
use proptest::prelude::*;

fn key() -> SigningKey {
    SigningKey::generate().unwrap().0
}

fn draft(version: u32, threshold: u8, roots: &[&SigningKey]) -> TrustDraft {
    TrustDraft {
        version,
        institution: Institution(*b"uni.example-0001"),
        name: "University of Examples".to_owned(),
        epoch: Epoch(1),
        threshold,
        roots: roots.iter().map(|root| root.public()).collect(),
        grants: vec![],
        authorities: vec![b"an authority".to_vec()],
    }
}

#[test]
fn the_bytes_of_a_trust_are_golden() {
    let draft = TrustDraft {
        version: 7,
        institution: Institution(*b"uni.example-0001"),
        name: "University of Examples".to_owned(),
        epoch: Epoch(3),
        threshold: 2,
        roots: vec![PublicKey([1; 32]), PublicKey([2; 32]), PublicKey([3; 32])],
        grants: vec![
            Grant { key: PublicKey([4; 32]), kind: Kind::Zone, family: Family::Whole },
            Grant { key: PublicKey([5; 32]), kind: Kind::Auth, family: Family::People },
        ],
        authorities: vec![b"first".to_vec(), b"second".to_vec()],
    };
    assert_eq!(hex::encode(draft.encode()), include_str!("../golden/trust.hex").trim());
}

#[test]
fn two_of_three_roots_suffice_and_one_does_not() {
    let roots = [key(), key(), key()];
    let draft = draft(1, 2, &roots.each_ref());
    for pair in [[0, 1], [0, 2], [1, 2], [2, 0]] {
        let signatures = pair.map(|at| draft.signature_by(&roots[at]));
        assert!(draft.clone().assemble(&signatures).is_ok());
    }
    let once = draft.signature_by(&roots[0]);
    assert_eq!(draft.clone().assemble(&[once, once]), Err(TrustError::TooFewSignatures { signed: 1, needed: 2 }), "one root twice is one root");
    let strange = draft.signature_by(&key());
    assert_eq!(draft.clone().assemble(&[once, strange]), Err(TrustError::TooFewSignatures { signed: 1, needed: 2 }));
    assert!(draft.is_signed_by(roots[0].public(), &once) && !draft.is_signed_by(roots[1].public(), &once));
}

#[test]
fn new_roots_are_believed_when_enough_of_old_and_new_signed() {
    let (old, new) = ([key(), key(), key()], [key(), key(), key()]);
    let first = draft(1, 2, &old.each_ref()).sign(&[&old[0], &old[1]]).unwrap();
    let next = draft(2, 2, &new.each_ref());
    let both = next.clone().sign(&[&old[0], &old[2], &new[0], &new[1]]).unwrap();
    assert_eq!(first.follow(both.bytes()).unwrap().draft(), &next);
    let new_only = next.clone().sign(&[&new[0], &new[1]]).unwrap();
    assert_eq!(first.follow(new_only.bytes()), Err(TrustError::TooFewOldRoots { signed: 0, needed: 2 }));
    let one_old = next.clone().sign(&[&old[0], &new[0], &new[1]]).unwrap();
    assert_eq!(first.follow(one_old.bytes()), Err(TrustError::TooFewOldRoots { signed: 1, needed: 2 }));
    assert_eq!(next.sign(&[&old[0], &old[1], &new[0]]), Err(TrustError::TooFewSignatures { signed: 1, needed: 2 }));
}

#[test]
fn a_box_that_was_away_walks_to_the_newest_and_skips_no_step() {
    let roots: Vec<SigningKey> = (0..6).map(|_| key()).collect();
    let signed = |version: usize| {
        let (own, before) = (&roots[version - 1], &roots[version.saturating_sub(2)]);
        draft(version as u32, 1, &[own]).sign(&[own, before]).unwrap()
    };
    let chain: Vec<Trust> = (1..=6).map(signed).collect();
    let bytes = || chain.iter().map(Trust::bytes);
    assert_eq!(chain[0].walk(bytes()).unwrap(), chain[5]);
    assert_eq!(chain[3].walk(bytes()).unwrap(), chain[5], "what it knows already is passed over");
    assert_eq!(chain[5].walk(bytes()).unwrap(), chain[5]);
    assert_eq!(chain[0].walk([]).unwrap(), chain[0]);
    assert_eq!(chain[0].walk(bytes().skip(2)), Err(TrustError::Gap { offered: 3, held: 1 }));
    assert!(matches!(chain[0].follow(chain[5].bytes()), Err(TrustError::Gap { .. })));
    let mut damaged = chain[4].bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(chain[0].walk(bytes().take(4).chain([&damaged[..]])).is_err(), "a bad link, and nothing of the chain counts");
}

#[test]
fn the_past_another_institution_and_an_ended_epoch_are_refused() {
    let root = key();
    let first = TrustDraft { epoch: Epoch(2), ..draft(1, 1, &[&root]) }.sign(&[&root]).unwrap();
    let next = |change: fn(&mut TrustDraft)| {
        let mut next = TrustDraft { version: 2, ..first.draft().clone() };
        change(&mut next);
        next.sign(&[&root]).unwrap().bytes().to_vec()
    };
    assert!(first.follow(&next(|_| ())).is_ok());
    assert_eq!(first.follow(first.bytes()), Err(TrustError::Older { offered: 1, held: 1 }));
    assert_eq!(first.follow(&next(|draft| draft.institution = Institution([9; 16]))), Err(TrustError::OtherInstitution));
    assert_eq!(first.follow(&next(|draft| draft.epoch = Epoch(1))), Err(TrustError::EpochBack { offered: Epoch(1), held: Epoch(2) }));
    let stranger = key();
    let taken_over = TrustDraft { epoch: Epoch(2), ..draft(2, 1, &[&stranger]) }.sign(&[&stranger]).unwrap();
    assert_eq!(first.follow(taken_over.bytes()), Err(TrustError::TooFewOldRoots { signed: 0, needed: 1 }));
}

#[test]
fn a_trust_that_contradicts_itself_is_refused_whoever_signed() {
    let root = key();
    for (threshold, roots) in [(0, vec![&root]), (2, vec![&root]), (1, vec![&root, &root]), (1, vec![])] {
        assert!(matches!(draft(1, threshold, &roots).sign(&[&root]), Err(TrustError::Nonsense(_))), "{threshold} of {}", roots.len());
    }
    let long = TrustDraft { name: "n".repeat(ITEM_LIMIT_BYTES + 1), ..draft(1, 1, &[&root]) };
    assert!(matches!(long.sign(&[&root]), Err(TrustError::Nonsense(_))));
    assert_eq!(Trust::read(&vec![0; TRUST_LIMIT_BYTES + 1]), Err(TrustError::Damaged("its length")));
}

#[test]
fn two_keys_may_sign_a_feed_until_one_is_taken_out() {
    let (root, old, new) = (key(), key(), key());
    let grant = |key: &SigningKey| Grant { key: key.public(), kind: Kind::Zone, family: Family::Whole };
    let with = |version, grants| TrustDraft { grants, ..draft(version, 1, &[&root]) }.sign(&[&root]).unwrap();
    let (alone, overlap, after) = (with(1, vec![grant(&old)]), with(2, vec![grant(&old), grant(&new)]), with(3, vec![grant(&new)]));
    let by = |trust: &Trust| trust.signers(Feed::ZONE).collect::<Vec<_>>();
    assert_eq!(by(&overlap), [old.public(), new.public()]);
    assert_eq!(by(alone.walk([overlap.bytes(), after.bytes()]).as_ref().unwrap()), [new.public()]);
    assert_eq!(overlap.signers(Feed::PEOPLE).count(), 0);
}

#[test]
fn any_cut_or_flipped_bit_is_refused() {
    let root = key();
    let bytes = draft(1, 1, &[&root]).sign(&[&root]).unwrap().bytes().to_vec();
    assert!((0..bytes.len()).all(|cut| Trust::read(&bytes[..cut]).is_err()));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Trust::read(&flipped).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let framed = [&b"HOLDFAST-TRUST-1\0"[..], &bytes].concat();
        prop_assert!(Trust::read(&framed).is_err());
    }

    /// Whoever signs: the trust counts exactly when enough of the roots did.
    #[test]
    fn a_trust_counts_exactly_when_enough_roots_signed(threshold in 1u8..=3, signers in proptest::collection::btree_set(0usize..5, 0..5)) {
        let keys: Vec<SigningKey> = (0..5).map(|_| key()).collect();
        let signing: Vec<&SigningKey> = signers.iter().map(|at| &keys[*at]).collect();
        let signed = draft(1, threshold, &[&keys[0], &keys[1], &keys[2]]).sign(&signing);
        prop_assert_eq!(signed.is_ok(), signers.iter().filter(|at| **at < 3).count() >= usize::from(threshold));
    }
}
