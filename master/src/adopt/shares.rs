//! Who lends which addresses of the dynamic pools, as the adopted generation has it.
//!
//! Why it exists: a database that was put back knows who lent what when the backup was made. Shares may have moved since, and if
//! it went on from there two agents would lend one address. What it refuses: to grant what somebody may still have lent. How:
//! what an agent lends by the adopted generation it lends; everything else that lay in a share or lies in a pool, whoever had it
//! meanwhile, waits for the longest lease before it is anybody's.
//!
//! What it cannot know is an agent that got a share and gave it up, both after the backup, and was cut off before it heard of
//! the second.

use crate::db::shares::{self, ShareRow};
use crate::db::{changes, free, nodes};
use crate::publish::Latest;
use holdfast_proto::dhcp::policy::{POLICY, PolicyRow};
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::NodeId;
use sqlx::PgConnection;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Addresses, the agent that lends them by the adopted generation, or none for a pool of the database, and for how long, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lent {
    first: Ipv4Addr,
    last: Ipv4Addr,
    node: Option<NodeId>,
    lease_secs: i64,
}

/// Makes the database's shares what the adopted boot entries say. Gives what there is to know, in sentences.
pub(super) async fn take_over(tx: &mut PgConnection, after: &Latest, actor: &str) -> anyhow::Result<Vec<String>> {
    let (mut adopted, mut strangers) = (Vec::new(), Vec::new());
    let known: Vec<NodeId> =
        nodes::with_lines(&mut *tx, None).await?.iter().filter(|row| row.revoked_at.is_none()).map(|row| NodeId(*row.id.as_bytes())).collect();
    for row in after.state(Feed::BOOTPTAB).view().iter(POLICY) {
        let Ok(policy) = PolicyRow::decode(row?.1) else { continue };
        for share in policy.shares {
            let is_known = known.contains(&share.owner);
            adopted.push(Lent { first: share.first, last: share.last, node: is_known.then_some(share.owner), lease_secs: policy.lease_secs.into() });
            if !is_known {
                strangers.push(format!(
                    "{}-{} is lent by box {}, which the database does not know: enrol it again or switch it off before its addresses come free, in {} s",
                    share.first, share.last, share.owner, policy.lease_secs
                ));
            }
        }
    }
    let grounds = shares::grounds(tx, None).await?;
    let pools: Vec<Lent> = grounds
        .iter()
        .flat_map(|ground| ground.pools.iter().map(|(first, last)| Lent { first: *first, last: *last, node: None, lease_secs: ground.lease_secs.into() }))
        .collect();
    let (before, set) = (shares::all(tx).await?, Uuid::now_v7());
    let then = settled(&before, &adopted, &pools, known.first().copied(), set);
    let gone: Vec<Ipv4Addr> = before.iter().filter(|row| !then.contains(row)).map(|row| row.first).collect();
    let come: Vec<ShareRow> = then.into_iter().filter(|row| !before.contains(row)).collect();
    if gone.is_empty() && come.is_empty() {
        return Ok(strangers);
    }
    changes::open(tx, set, actor, "who lends which addresses, as the adopted generation has it", "adoption").await?;
    shares::replace(tx, &gone, &come).await?;
    free::remake_around_shares(tx).await?;
    let addresses: u64 = come.iter().filter(|row| row.given_up.is_none()).map(|row| u64::from(row.last.to_bits() - row.first.to_bits()) + 1).sum();
    strangers.push(format!("shares of pools had moved since the backup: {addresses} addresses have the agents of the adopted generation, what nobody lends by it waits for the longest lease"));
    Ok(strangers)
}

/// All shares as they are to be, by address. `before` and `adopted` ascend; `anybody` stands for an agent that nobody knows.
fn settled(before: &[ShareRow], adopted: &[Lent], pools: &[Lent], anybody: Option<NodeId>, set: Uuid) -> Vec<ShareRow> {
    let ends = |first: Ipv4Addr, last: Ipv4Addr| [u64::from(first.to_bits()), u64::from(last.to_bits()) + 1];
    let all = adopted.iter().chain(pools).map(|lent| (lent.first, lent.last)).chain(before.iter().map(|row| (row.first, row.last)));
    let cuts: BTreeSet<u64> = all.flat_map(|(first, last)| ends(first, last)).collect();
    let address = |bits: u64| Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX));
    let mut rows: Vec<ShareRow> = Vec::new();
    for (first, end) in cuts.iter().zip(cuts.iter().skip(1)) {
        let (first, last) = (address(*first), address(end - 1));
        let covers = |from: Ipv4Addr, to: Ipv4Addr| from <= first && first <= to;
        let lent = adopted.iter().find(|lent| covers(lent.first, lent.last));
        let had = before.iter().find(|row| covers(row.first, row.last));
        let pool = pools.iter().find(|pool| covers(pool.first, pool.last));
        let lease_secs = [lent.map(|lent| lent.lease_secs), had.map(|row| row.lease_secs), pool.map(|pool| pool.lease_secs)].into_iter().flatten().max();
        let lender = lent.and_then(|lent| lent.node);
        let (Some(lease_secs), Some(node)) = (lease_secs, lender.or(had.map(|row| row.node)).or(anybody)) else { continue };
        let given_up = lender.is_none().then(|| had.and_then(|row| row.given_up).unwrap_or(set));
        let row = ShareRow { first, last, node, lease_secs, given_up, until: None };
        match rows.last_mut().filter(|before| before.last.to_bits().checked_add(1) == Some(first.to_bits()) && is_alike(before, &row)) {
            Some(before) => before.last = last,
            None => rows.push(row),
        }
    }
    rows
}

fn is_alike(one: &ShareRow, other: &ShareRow) -> bool {
    (one.node, one.lease_secs, one.given_up) == (other.node, other.lease_secs, other.given_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKUP: Uuid = Uuid::from_u128(1);
    const ADOPTION: Uuid = Uuid::from_u128(2);

    fn at(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 1, 6, last)
    }

    fn row(first: u8, last: u8, node: u8, given_up: Option<Uuid>) -> ShareRow {
        ShareRow { first: at(first), last: at(last), node: NodeId([node; 16]), lease_secs: 3600, given_up, until: None }
    }

    fn lent(first: u8, last: u8, node: u8) -> Lent {
        Lent { first: at(first), last: at(last), node: Some(NodeId([node; 16])), lease_secs: 600 }
    }

    fn pool(first: u8, last: u8) -> Lent {
        Lent { node: None, lease_secs: 3600, ..lent(first, last, 0) }
    }

    fn check(before: &[ShareRow], adopted: &[Lent], pools: &[Lent], then: &[ShareRow]) {
        assert_eq!(settled(before, adopted, pools, Some(NodeId([9; 16])), ADOPTION), then);
    }

    #[test]
    fn what_has_not_moved_stays() {
        let before = [row(10, 79, 1, None), row(80, 109, 2, None)];
        check(&before, &[lent(10, 79, 1), lent(80, 109, 2)], &[pool(10, 109)], &before);
        check(&[], &[], &[], &[]);
    }

    #[test]
    fn what_has_moved_is_its_new_agents_and_what_nobody_lends_waits() {
        let before = [row(10, 79, 1, None), row(80, 109, 2, None)];
        let adopted = [lent(10, 59, 1), lent(90, 109, 1)];
        let then = [row(10, 59, 1, None), row(60, 79, 1, Some(ADOPTION)), row(80, 89, 2, Some(ADOPTION)), row(90, 109, 1, None)];
        check(&before, &adopted, &[pool(10, 109)], &then);
    }

    #[test]
    fn what_was_ending_when_the_backup_was_made_ends_anew() {
        let ending = ShareRow { until: Some(chrono::DateTime::UNIX_EPOCH), ..row(80, 109, 2, Some(BACKUP)) };
        check(&[ending], &[], &[pool(80, 109)], &[row(80, 109, 2, Some(BACKUP))]);
    }

    #[test]
    fn a_pool_of_which_nobody_lends_anything_waits_too_and_one_that_the_database_lacks_is_lent() {
        check(&[], &[lent(20, 29, 3)], &[pool(40, 49)], &[ShareRow { lease_secs: 600, ..row(20, 29, 3, None) }, row(40, 49, 9, Some(ADOPTION))]);
        let stranger = Lent { node: None, ..lent(20, 29, 0) };
        check(&[row(20, 29, 1, None)], &[stranger], &[], &[row(20, 29, 1, Some(ADOPTION))]);
    }
}
