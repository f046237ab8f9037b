//! Taking back from an agent what a restored master has lost: agents hold signed snapshots, and those are a backup.
//!
//! A database that was put back is behind its agents, and a number must never have two contents. So the newest generation that
//! an agent's files *prove* becomes the newest published one: as a checkpoint, without the deltas that led to it, which are
//! missing from then on and said to be. Numbering goes on above it. The hostname database is not touched: where it says
//! otherwise, nothing is published until that is settled (`publish::unsettled`). Only what errs on the safe side is done at
//! once: serials that secondaries have seen are not given out again, a box that was thrown out stays out, and addresses that
//! agents lend are lent by those who lend them now.
//!
//! The order, for whoever pulls the plug: the publisher's lock first, so that no master publishes meanwhile; then everything
//! in one transaction: the term, checkpoints of all feeds, serials, revocations, what is unsettled with its holds, and last
//! the halts. Cut short before the commit nothing has happened, and after it everything has: what was adopted never stands
//! without the hold that keeps it from being published away. Once more is harmless: nothing is newer then.
//!
//! The people's feed is taken back as well, and needs no settling: its rows are the portal's, which asks what the master
//! holds and sends what is newer. A portal that was itself put back is behind then and says so; it needs a new epoch.

mod folder;
mod shares;

use crate::db::changes::OutboxKey;
use crate::db::zones::ZoneRow as ZoneFacts;
use crate::db::{adoption, changes, holds, nodes, publish as db, zones};
use crate::keys::Keys;
use crate::publish::{BOX, Latest, Published, read_back, roster_rows};
use crate::snapshots::{Difference, Line, Sign, differences};
use anyhow::{bail, ensure};
use holdfast_proto::dns::{ZONE, ZoneRow};
use holdfast_proto::snapshot::{Feed, NODE, Node, NodeStatus, State};
use holdfast_proto::words::{Epoch, Generation};
use sqlx::{Connection, PgConnection, PgPool};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// The feeds that are made from the hostname database, and wait for one another: an address has a name, a boot entry and a box.
const MADE_HERE: [Feed; 4] = [Feed::ZONE, Feed::BOOTPTAB, Feed::ACCESS, Feed::TRUST];
/// So many of the differences stand in the sentence of a hold.
const TOLD_LIMIT: usize = 3;

/// What came of it.
#[derive(Debug)]
pub struct Adopted {
    /// Every feed.
    pub feeds: Vec<FeedReport>,
    /// What of the adopted feeds the database says otherwise; nothing where all is as it was.
    pub differences: BTreeMap<Feed, Difference>,
    /// What else there is to know, in sentences.
    pub notes: Vec<String>,
}

/// One feed.
#[derive(Debug)]
pub struct FeedReport {
    /// Which.
    pub feed: Feed,
    /// What the database held.
    pub from: (Epoch, Generation),
    /// What the agent's files prove.
    pub held: (Epoch, Generation),
    /// Whether it was taken: it is newer.
    pub is_taken: bool,
    /// Rows of what is published now.
    pub rows: u64,
}

/// Makes the newest generations that the folder proves the newest published ones. Refuses while a master publishes.
pub async fn adopt(pool: &PgPool, keys: &Keys, folder: &Path, actor: &str) -> anyhow::Result<Adopted> {
    folder::check(folder)?;
    let mut connection = pool.acquire().await?;
    // The lock belongs to the connection.
    connection.close_on_drop();
    ensure!(
        db::try_lead(&mut connection).await?,
        "a master publishes from this database, or waits to because it is halted: stop it first (`systemctl stop holdfast-master`)"
    );
    let before = read_back(&mut connection, keys).await?;
    let (mut after, mut feeds, mut notes) = (before.clone(), Vec::new(), Vec::new());
    for feed in Feed::ALL {
        let held = folder::read(folder, feed, keys)?;
        notes.extend(held.kept_out);
        let is_taken = is_newer(feed, before.state(feed), &held.state)?;
        feeds.push(FeedReport { feed, from: at(before.state(feed)), held: at(&held.state), is_taken, rows: 0 });
        if is_taken {
            after = after.restored(Published::new(held.state));
        }
    }
    feeds.iter_mut().for_each(|report| report.rows = after.state(report.feed).view().row_count());
    let taken: Vec<Feed> = feeds.iter().filter(|report| report.is_taken).map(|report| report.feed).collect();
    let mut tx = connection.begin().await?;
    db::begin_term(&mut tx).await?;
    install(&mut tx, &after, &taken).await?;
    if taken.contains(&Feed::ZONE) {
        keep_serials(&mut tx, &after).await?;
    }
    if taken.contains(&Feed::TRUST) {
        notes.extend(keep_out(&mut tx, &after, actor).await?);
    }
    if taken.contains(&Feed::BOOTPTAB) {
        notes.extend(shares::take_over(&mut tx, &after, actor).await?);
    }
    let differences = compare(&mut tx, &after, &taken).await?;
    hold(&mut tx, &after, &differences).await?;
    notes.extend(lift_halts(&mut tx, &after).await?);
    tx.commit().await?;
    Ok(Adopted { feeds, differences, notes })
}

/// Lets the database win wherever it says otherwise: a running master publishes it at once, another one when it starts. Gives
/// the feeds that waited.
pub async fn keep_database(pool: &PgPool, actor: &str, reason: &str) -> anyhow::Result<Vec<Feed>> {
    let feeds = adoption::unsettled_feeds(&mut *pool.acquire().await?).await?;
    for hold in holds::all(&mut *pool.acquire().await?).await? {
        if let Some(feed) = hold.feed().filter(|feed| feeds.contains(feed)) {
            holds::release(pool, feed, hold.removed, actor, reason).await?;
        }
    }
    Ok(feeds)
}

fn at(state: &State) -> (Epoch, Generation) {
    (state.view().epoch(), state.view().generation())
}

/// Whether what an agent holds is newer than what the database does. The same number with other contents is nobody's backup.
fn is_newer(feed: Feed, ours: &State, held: &State) -> anyhow::Result<bool> {
    let is_fork = at(ours) == at(held) && ours.sealed() != held.sealed();
    if is_fork {
        let (epoch, generation) = at(held);
        bail!(
            "the folder holds {feed} {epoch}.{generation} with other contents than this master published under that number: two masters published. \
             Nothing was changed; the root has to begin a new epoch (`holdfast-master root draft --new-epoch`)"
        );
    }
    Ok(at(held) > at(ours))
}

async fn install(tx: &mut PgConnection, after: &Latest, taken: &[Feed]) -> anyhow::Result<()> {
    for feed in taken {
        let state = after.state(*feed);
        let Some(sealed) = state.sealed() else { continue };
        db::put_base(tx, *feed, at(state), sealed.bytes(), &state.encode_rows()?).await?;
    }
    Ok(())
}

/// A serial that secondaries have seen must not come again with other records.
async fn keep_serials(tx: &mut PgConnection, after: &Latest) -> anyhow::Result<()> {
    let view = after.state(Feed::ZONE).view();
    for ZoneFacts { id, apex, serial, .. } in zones::all(tx).await? {
        let seen = view.get(ZONE, apex.wire())?.and_then(|value| ZoneRow::decode(value).ok());
        if let Some(ZoneRow { serial: seen }) = seen.filter(|seen| seen.serial.is_newer_than(serial)) {
            adoption::set_serial(tx, id, seen).await?;
        }
    }
    Ok(())
}

/// Boxes that were thrown out after the backup are thrown out again; of others that the database does not know it is told.
async fn keep_out(tx: &mut PgConnection, after: &Latest, actor: &str) -> anyhow::Result<Vec<String>> {
    let known = nodes::with_lines(&mut *tx, None).await?;
    let mut notes = Vec::new();
    for row in after.state(Feed::TRUST).view().iter(NODE) {
        let (key, value) = row?;
        let Ok(node) = Node::decode(value) else { continue };
        let known = known.iter().find(|row| row.id.as_bytes()[..] == *key);
        match (known, node.status) {
            (Some(row), NodeStatus::Revoked) if row.revoked_at.is_none() => {
                let reason = format!("{} was thrown out after the backup that was put back", row.name);
                changes::open(tx, Uuid::now_v7(), actor, &reason, "adoption").await?;
                nodes::revoke(tx, holdfast_proto::words::NodeId(*row.id.as_bytes())).await?;
                notes.push(format!("{reason}: it stays out"));
            }
            (None, NodeStatus::Active) => notes.push(format!("{} was enrolled after the backup, and the database does not know it: enrol it again", node.name)),
            _ => {}
        }
    }
    Ok(notes)
}

/// What the database says otherwise of the feeds that were taken.
async fn compare(tx: &mut PgConnection, after: &Latest, taken: &[Feed]) -> anyhow::Result<BTreeMap<Feed, Difference>> {
    let made_here: Vec<Feed> = taken.iter().copied().filter(|feed| MADE_HERE.contains(feed) && *feed != Feed::TRUST).collect();
    let mut found = differences(tx, after, &made_here).await?;
    if taken.contains(&Feed::TRUST) {
        found.insert(Feed::TRUST, boxes(after, &nodes::with_lines(&mut *tx, None).await?)?);
    }
    found.retain(|_, difference| difference.rows > 0);
    Ok(found)
}

fn boxes(after: &Latest, known: &[nodes::NodeLineRow]) -> anyhow::Result<Difference> {
    let mut difference = Difference::default();
    for change in roster_rows(after.state(Feed::TRUST).view(), known)? {
        let name = known.iter().find(|row| row.id.as_bytes()[..] == change.key[..]).map(|row| row.name.as_str()).unwrap_or_default();
        difference.rows += 1;
        difference.lines.push(Line { sign: Sign::Changed, text: format!("box {name}: changed") });
        difference.keys.push(OutboxKey { subject: BOX.to_owned(), key: hex::encode(&change.key) });
    }
    Ok(difference)
}

/// Holds every feed that is made here, where any of them is to be settled.
async fn hold(tx: &mut PgConnection, after: &Latest, differences: &BTreeMap<Feed, Difference>) -> anyhow::Result<()> {
    for (feed, Difference { rows, lines, keys }) in differences {
        adoption::put_unsettled(tx, *feed, keys).await?;
        holds::put(tx, *feed, &detail(at(after.state(*feed)).1, *rows, lines), *rows as i64).await?;
    }
    if differences.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = differences.keys().map(Feed::to_string).collect();
    for feed in MADE_HERE.into_iter().filter(|feed| !differences.contains_key(feed)) {
        holds::put(tx, feed, &format!("It waits until what was adopted of {} is settled.", names.join(" and ")), 0).await?;
    }
    Ok(())
}

/// The sentence of a hold.
fn detail(adopted: Generation, rows: u64, lines: &[Line]) -> String {
    let told: Vec<String> = lines.iter().take(TOLD_LIMIT).map(Line::to_string).collect();
    let more = if lines.len() > TOLD_LIMIT { "; and more" } else { "" };
    let differ = if rows == 1 { "1 row differs".to_owned() } else { format!("{rows} rows differ") };
    format!(
        "Generation {adopted} was adopted from an agent, and the database says otherwise: {differ} ({}{more}). Enter again what is missing, or let the \
         database win with `holdfast-master adopt-from-agent --keep-database`.",
        told.join("; ")
    )
}

/// Forgets the agents that are no longer ahead; tells of those that are.
async fn lift_halts(tx: &mut PgConnection, after: &Latest) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    for feed in Feed::ALL {
        let state = after.state(feed);
        let Some(sealed) = state.sealed() else { continue };
        if let Some((agent, epoch, generation)) = adoption::lift_halt(tx, feed, at(state), sealed.bytes()).await? {
            notes.push(format!("{agent} holds {feed} {epoch}.{generation}, which is newer still: nothing is published until that is adopted too"));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_names_the_first_of_what_is_missing() {
        let line = |n: u8| Line { sign: Sign::Gone, text: format!("h{n}.uni.example. A 10.1.4.{n}") };
        let told = detail(Generation(7), 1, &[line(1)]);
        assert!(
            told.starts_with("Generation 7 was adopted from an agent, and the database says otherwise: 1 row differs (- h1.uni.example. A 10.1.4.1)."),
            "{told}"
        );
        let told = detail(Generation(7), 4, &[line(1), line(2), line(3), line(4)]);
        assert!(told.contains("4 rows differ (- h1") && told.contains("10.1.4.3; and more)") && !told.contains("h4"), "{told}");
    }
}
