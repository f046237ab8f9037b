use super::plan::{Lenders, Piece, Stretch, plan, without};
use holdfast_proto::words::NodeId;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

fn stretch(first: u8, last: u8) -> Stretch {
    Stretch { first: Ipv4Addr::new(10, 1, 6, first), last: Ipv4Addr::new(10, 1, 6, last) }
}

fn lent(first: u8, last: u8, owner: u8) -> Piece {
    Piece { stretch: stretch(first, last), owner: NodeId([owner; 16]), is_lent: true }
}

fn given_up(first: u8, last: u8, owner: u8) -> Piece {
    Piece { is_lent: false, ..lent(first, last, owner) }
}

fn lenders(home: &[u8], backup: &[u8]) -> Lenders {
    let nodes = |numbers: &[u8]| numbers.iter().map(|number| NodeId([*number; 16])).collect();
    Lenders { home: nodes(home), backup: nodes(backup) }
}

#[test]
fn home_lends_most_and_whoever_stands_in_the_rest() {
    assert_eq!(plan(&[stretch(10, 109)], &[], &lenders(&[1], &[2])), [lent(10, 79, 1), lent(80, 109, 2)]);
    assert_eq!(plan(&[stretch(10, 109)], &[], &lenders(&[1, 3], &[])), [lent(10, 59, 1), lent(60, 109, 3)]);
    assert_eq!(plan(&[stretch(10, 109)], &[], &lenders(&[], &[])), []);
}

#[test]
fn a_pool_that_goes_is_given_up_and_one_that_comes_back_is_lent_again() {
    assert_eq!(plan(&[], &[lent(10, 79, 1)], &lenders(&[1], &[])), [given_up(10, 79, 1)]);
    assert_eq!(plan(&[stretch(10, 79)], &[given_up(10, 79, 1)], &lenders(&[1], &[])), [lent(10, 79, 1)]);
    assert_eq!(plan(&[stretch(20, 29)], &[lent(10, 79, 1)], &lenders(&[1], &[])), [given_up(10, 19, 1), lent(20, 29, 1), given_up(30, 79, 1)]);
}

#[test]
fn a_new_agent_gets_its_part_only_when_the_one_before_has_stopped() {
    let pool = [stretch(10, 109)];
    let first = plan(&pool, &[lent(10, 109, 1)], &lenders(&[1], &[2]));
    assert_eq!(first, [lent(10, 79, 1), given_up(80, 109, 1)]);
    assert_eq!(plan(&pool, &first, &lenders(&[1], &[2])), first, "it waits");
    assert_eq!(plan(&pool, &first[..1], &lenders(&[1], &[2])), [lent(10, 79, 1), lent(80, 109, 2)]);
    assert_eq!(plan(&pool, &first, &lenders(&[1], &[])), [lent(10, 109, 1)], "the new one is gone again");
}

#[test]
fn what_a_lost_agent_had_is_given_up_and_then_the_others() {
    let pool = [stretch(10, 109)];
    let lost = plan(&pool, &[lent(10, 79, 1), lent(80, 109, 2)], &lenders(&[3], &[2]));
    assert_eq!(lost, [given_up(10, 79, 1), lent(80, 109, 2)]);
    assert_eq!(plan(&pool, &[lent(80, 109, 2)], &lenders(&[3], &[2])), [lent(10, 79, 3), lent(80, 109, 2)]);
}

#[test]
fn a_crumb_goes_to_the_neighbour() {
    let pools = without(&[stretch(10, 109)], [stretch(50, 50)]);
    assert_eq!(pools, [stretch(10, 49), stretch(51, 109)]);
    let now = plan(&pools, &[], &lenders(&[1], &[2]));
    assert_eq!(now, [lent(10, 49, 1), lent(51, 79, 1), lent(80, 109, 2)]);
    assert_eq!(plan(&[stretch(10, 109)], &now, &lenders(&[1], &[2])), [lent(10, 79, 1), lent(80, 109, 2)]);
}

/// Any pieces that could be there: each address of a small subnet is nobody's, lent or given up.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    prop::collection::vec((1u8..6, 0u8..4, any::<bool>(), 0u8..3), 0..8).prop_map(|parts| {
        let mut at = 0;
        let mut pieces = Vec::new();
        for (size, owner, is_lent, gap) in parts {
            at += gap;
            if owner > 0 {
                pieces.push(Piece { is_lent, ..lent(at, at + size - 1, owner) });
            }
            at += size;
        }
        pieces
    })
}

fn pools() -> impl Strategy<Value = Vec<Stretch>> {
    prop::collection::vec((1u8..20, 1u8..9), 0..4).prop_map(|parts| {
        let mut at = 0;
        parts
            .into_iter()
            .map(|(size, gap)| {
                let pool = stretch(at + gap, at + gap + size - 1);
                at += gap + size;
                pool
            })
            .collect()
    })
}

fn by_address(pieces: &[Piece]) -> BTreeMap<u32, (NodeId, bool)> {
    let each = |piece: &Piece| {
        let (owner, is_lent) = (piece.owner, piece.is_lent);
        (piece.stretch.first.to_bits()..=piece.stretch.last.to_bits()).map(move |address| (address, (owner, is_lent)))
    };
    pieces.iter().flat_map(each).collect()
}

proptest! {
    #[test]
    fn no_step_lets_two_agents_lend_one_address(pools in pools(), now in pieces(), home in prop::sample::subsequence(vec![1u8, 2], 0..=2), backup in prop::option::of(Just(3u8))) {
        let lenders = lenders(&home, backup.as_slice());
        let may_lend = |agent: NodeId| lenders.home.contains(&agent) || lenders.backup.contains(&agent);
        let next = plan(&pools, &now, &lenders);
        prop_assert!(next.iter().zip(next.iter().skip(1)).all(|(one, other)| one.stretch.last < other.stretch.first));
        let (before, after) = (by_address(&now), by_address(&next));
        for (address, (owner, _)) in &before {
            prop_assert_eq!(after.get(address).map(|(now, _)| now), Some(owner), "nobody else gets what an agent has or may have lent");
        }
        let is_inside = |address: u32| pools.iter().any(|pool| (pool.first.to_bits()..=pool.last.to_bits()).contains(&address));
        for (address, (owner, is_lent)) in &after {
            prop_assert!(!is_lent || (is_inside(*address) && may_lend(*owner)));
            prop_assert!(*is_lent || before.contains_key(address));
        }
        let after_next = plan(&pools, &next, &lenders);
        prop_assert_eq!(plan(&pools, &after_next, &lenders), after_next, "then it rests");
        if !(home.is_empty() && backup.is_none()) {
            prop_assert!(pools.iter().flat_map(|pool| pool.first.to_bits()..=pool.last.to_bits()).all(|address| after.contains_key(&address)));
        }
    }

    #[test]
    fn in_the_end_everybody_lends_who_should(pools in pools(), now in pieces(), home in 1u8..3) {
        let lenders = lenders(&[1, 2][..usize::from(home)], &[3]);
        let mut pieces = plan(&pools, &now, &lenders);
        for _ in 0..8 {
            pieces.retain(|piece| piece.is_lent);
            pieces = plan(&pools, &pieces, &lenders);
        }
        prop_assert!(pieces.iter().all(|piece| piece.is_lent));
        let total: u64 = pools.iter().map(|pool| pool.size()).sum();
        let lends = |agent: u8| pieces.iter().any(|piece| piece.owner == NodeId([agent; 16]));
        prop_assert!(total < 10 || (1..=home).chain([3]).all(lends), "{:?}", pieces);
    }
}
