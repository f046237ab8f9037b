//! The secondary: keeps copies of other servers' zones as new as their SOA wants it (RFC 1034 section 4.3.5), and gives up those whose
//! time is over.
//!
//! The database says whose turn it is and keeps what is known, so a restart changes nothing, and two masters do not ask for the same copy. A
//! transfer is one transaction: the records, the serial and the keys for the publisher.

use super::{fetch, random_u16, source_for};
use crate::db::copies::{self, Asked, DueRow, KeptRecord};
use crate::db::transfers::{self, Primary};
use crate::db::{DbError, changes};
use crate::publish::Limits;
use holdfast_proto::dns::transfer::{Delta, Outcome, Soa};
use holdfast_proto::dns::tsig::TsigKey;
use holdfast_proto::dns::{Record, rdata, rtype};
use holdfast_proto::words::{DomainName, Secret, Serial};
use sqlx::{PgConnection, PgPool};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(500);
/// How many are asked at the same time.
const AT_ONCE: usize = 16;
/// However often a SOA wants its secondaries to ask, in seconds.
const LEAST_SECS: f64 = 2.0;
/// And however seldom: four weeks.
const REFRESH_LIMIT_SECS: u32 = 2_419_200;
/// Between two attempts at a zone that never came, in seconds: doubled each time, up to this.
const FIRST_PAUSE_LIMIT_SECS: f64 = 300.0;
/// Who stands in the history for what is transferred, and by which way it came.
const ACTOR: &str = "master";
const VIA: &str = "transfer";

/// The secondary's work.
pub struct Copies {
    /// Where it is kept.
    pub pool: PgPool,
    /// Rung after a commit that is to be published.
    pub committed: Arc<Notify>,
    /// What a transfer may take away without a question.
    pub limits: Limits,
    /// Where primaries are asked from.
    pub source: Vec<IpAddr>,
    /// Whether copies are served on when their time is over.
    pub serve_past_expire: bool,
}

/// What became of one attempt.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("{0}")]
    Zone(String),
    /// What came does not follow from what we have: the whole zone is wanted.
    #[error("what changed does not follow from what is here")]
    DoesNotFollow,
}

impl From<sqlx::Error> for Wrong {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Copies {
    /// Keeps the copies for ever. Out of `heard` come the numbers of zones whose primary says that our copy is old.
    pub async fn keep(self, mut heard: mpsc::Receiver<i64>) -> Infallible {
        let this = Arc::new(self);
        let mut asking = JoinSet::new();
        let mut late: HashSet<i64> = HashSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    // Without a database there is nothing to keep; it is tried again at the next tick.
                    let _ = this.give_up_overdue(&mut late).await;
                }
                Some(zone) = heard.recv() => {
                    // A word that is lost here is said again by who said it, or the copy's time comes.
                    let _ = this.ask_now(zone).await;
                }
                Some(_) = asking.join_next() => {}
            }
            let room = AT_ONCE.saturating_sub(asking.len());
            if room == 0 {
                continue;
            }
            for due in copies::take_due(&this.pool, room as i64).await.unwrap_or_default() {
                let this = Arc::clone(&this);
                asking.spawn(async move { this.ask(&due).await });
            }
        }
    }

    async fn ask_now(&self, zone: i64) -> Result<(), DbError> {
        copies::ask_now(&mut *self.pool.acquire().await?, zone).await.map(drop)
    }

    /// Asks the primaries one after the other until one has something to say.
    async fn ask(&self, due: &DueRow) {
        let zone = due.apex.without_dot();
        let (mut errors, mut nothing) = (Vec::new(), None::<(&Primary, Serial)>);
        for primary in &due.primaries {
            match self.ask_one(due, primary).await {
                Ok(None) => return,
                // One that stands still must not hide another that has something newer.
                Ok(Some(theirs)) => nothing = nothing.filter(|(_, serial)| !theirs.is_newer_than(*serial)).or(Some((primary, theirs))),
                Err(wrong) => errors.push(format!("{}: {wrong}", by(primary))),
            }
        }
        if let Some((primary, theirs)) = nothing {
            match self.renew(due, primary, theirs).await {
                Ok(()) => return,
                Err(wrong) => errors.push(format!("{}: {wrong}", by(primary))),
            }
        }
        let error = errors.join("; ");
        metrics::counter!("holdfast_copies_total", "outcome" => "failed").increment(1);
        if due.failures == 0 {
            tracing::warn!(event = "copy_not_renewed", zone, error, "no primary of a copy answers as it should; it is served on and asked again");
        }
        let retry_secs = self.retry_secs(due).await;
        if let Err(error) = copies::failed(&self.pool, due, retry_secs, &error).await {
            tracing::warn!(event = "copy_not_noted", zone, %error, "what became of a transfer could not be kept");
        }
    }

    async fn retry_secs(&self, due: &DueRow) -> f64 {
        let soa = match self.pool.acquire().await {
            Ok(mut db) => copies::soa(&mut db, due.zone).await.ok().flatten().and_then(|soa| Soa::of(&soa.rdata)),
            Err(_) => None,
        };
        match soa {
            Some(soa) => jittered(f64::from(soa.retry_s)),
            None => jittered((LEAST_SECS * 2f64.powi(due.failures.min(16))).min(FIRST_PAUSE_LIMIT_SECS)),
        }
    }

    /// Takes what a primary has; its serial where it has nothing newer.
    async fn ask_one(&self, due: &DueRow, primary: &Primary) -> Result<Option<Serial>, Wrong> {
        let key = match &primary.key {
            Some(name) => Some(self.key(name).await?),
            None => None,
        };
        let have = match due.serial {
            Some(_) => copies::soa(&mut *self.pool.acquire().await?, due.zone).await?,
            None => None,
        };
        let from = source_for(&self.source, primary.address);
        let asked = fetch::Asked { to: SocketAddr::new(primary.address, primary.port), from, key };
        let told = |wrong: fetch::FetchError| Wrong::Zone(wrong.to_string());
        let outcome = fetch::fetch(&asked, &due.apex, have.as_ref()).await.map_err(told)?;
        match self.take(due, primary, have.as_ref(), outcome).await {
            // A well-known server left zones stale for want of this.
            Err(Wrong::DoesNotFollow) => {
                let outcome = fetch::fetch(&asked, &due.apex, None).await.map_err(told)?;
                self.take(due, primary, have.as_ref(), outcome).await
            }
            taken => taken,
        }
    }

    async fn key(&self, name: &str) -> Result<TsigKey, Wrong> {
        let keys = transfers::secrets(&self.pool).await?;
        let found = keys.into_iter().find(|(known, _)| known.without_dot() == name);
        let (name, secret) = found.ok_or_else(|| Wrong::Zone(format!("the TSIG key {name} has no secret here: make it anew, `holdfast tsig-key add`")))?;
        Ok(TsigKey { name, secret: Secret::new(secret) })
    }

    async fn take(&self, due: &DueRow, primary: &Primary, have: Option<&Record>, outcome: Outcome) -> Result<Option<Serial>, Wrong> {
        let mut tx = self.pool.begin().await?;
        if !copies::is_still(&mut tx, due).await? {
            return Ok(None);
        }
        let ours = have.and_then(|have| Soa::of(&have.rdata));
        let is_changes = matches!(outcome, Outcome::Changes(_));
        let (before, after) = match outcome {
            Outcome::Nothing(theirs) => return Ok(Some(theirs)),
            Outcome::AskWhole => return Err(Wrong::DoesNotFollow),
            Outcome::Whole(records) => (copies::records(&mut tx, due.zone).await?, unique(records)),
            Outcome::Changes(steps) => {
                let before = copies::records(&mut tx, due.zone).await?;
                let after = followed(&before, steps)?;
                (before, after)
            }
        };
        let soa = check(&due.apex, &after).map_err(|wrong| if is_changes { Wrong::DoesNotFollow } else { Wrong::Zone(wrong) })?;
        if ours.as_ref().is_some_and(|ours| !soa.serial.is_newer_than(ours.serial)) {
            return Ok(Some(soa.serial));
        }
        let (gone, come, removed) = difference(before, &after);
        let of = (after.len() - come.len() + gone.len()) as u64;
        let names = after.iter().map(|record| &record.owner).collect::<BTreeSet<_>>().len();
        if due.accepted != Some(soa.serial) && self.takes_too_much(&mut tx, due, removed, of, names).await? {
            drop(tx);
            let (serial, zone) = (soa.serial, due.apex.without_dot());
            tracing::warn!(event = "copy_held", zone, %serial, removed, of, "a transfer would take much of a zone away: `holdfast zone refresh --accept-loss` lets it in");
            metrics::counter!("holdfast_copies_total", "outcome" => "held").increment(1);
            let served = ours.as_ref().unwrap_or(&soa);
            copies::hold(&self.pool, due, serial, (removed as i64, of as i64), refresh_secs(&soa), expire_secs(served)).await?;
            return Ok(None);
        }
        let reason = format!("transfer of {} at serial {} from {}", due.apex.without_dot(), soa.serial, by(primary));
        changes::open(&mut tx, Uuid::now_v7(), ACTOR, &reason, VIA).await?;
        let note = match due.serial {
            None => older_than_ours(copies::own_serial(&mut tx, due.zone).await?, &soa, primary),
            Some(_) => None,
        };
        let was_away = copies::answered(&mut tx, due, &self.asked(primary, &soa, note.as_deref()).as_db()).await?;
        if due.serial.is_none() {
            copies::touch_own(&mut tx, &due.apex).await?;
        }
        copies::write(&mut tx, due, soa.serial, &gone, &come, after.len() as i64).await?;
        if was_away {
            copies::touch_all(&mut tx, due.zone).await?;
        }
        tx.commit().await?;
        self.committed.notify_one();
        metrics::counter!("holdfast_copies_total", "outcome" => "transferred").increment(1);
        tracing::info!(event = "copy_taken", zone = due.apex.without_dot(), serial = %soa.serial, gone = gone.len(), come = come.len(), from = by(primary), "a zone was transferred");
        Ok(None)
    }

    /// A zone that was our own until now is measured by the names it had.
    async fn takes_too_much(&self, db: &mut PgConnection, due: &DueRow, removed: u64, of: u64, left: usize) -> Result<bool, DbError> {
        let is_too_much = |removed: u64, of: u64| removed > self.limits.rows && removed * 100 > self.limits.share_percent * of;
        if due.serial.is_some() {
            return Ok(is_too_much(removed, of));
        }
        let own = copies::own_names(db, due.zone).await? as u64;
        Ok(is_too_much(own.saturating_sub(left as u64), own))
    }

    /// Nothing is newer: what we have is good for as long again.
    async fn renew(&self, due: &DueRow, primary: &Primary, theirs: Serial) -> Result<(), Wrong> {
        let mut tx = self.pool.begin().await?;
        if !copies::is_still(&mut tx, due).await? {
            return Ok(());
        }
        let soa = copies::soa(&mut tx, due.zone).await?.and_then(|have| Soa::of(&have.rdata)).ok_or(Wrong::DoesNotFollow)?;
        let note = (theirs != soa.serial).then(|| format!("{} has serial {theirs}, which is older than ours, {}: raise it there", by(primary), soa.serial));
        let was_away = copies::answered(&mut tx, due, &self.asked(primary, &soa, note.as_deref()).as_db()).await?;
        if was_away {
            changes::open(&mut tx, Uuid::now_v7(), ACTOR, &format!("{} is served again", due.apex.without_dot()), VIA).await?;
            copies::touch_all(&mut tx, due.zone).await?;
        }
        tx.commit().await?;
        if was_away {
            self.committed.notify_one();
        }
        metrics::counter!("holdfast_copies_total", "outcome" => "renewed").increment(1);
        Ok(())
    }

    fn asked<'a>(&self, primary: &Primary, soa: &Soa, note: Option<&'a str>) -> Answer<'a> {
        Answer { by: by(primary), next_secs: refresh_secs(soa), expire_secs: expire_secs(soa), note }
    }

    /// Copies whose time is over are not served any more (RFC 1034 section 4.3.5), unless the site wants it otherwise.
    async fn give_up_overdue(&self, late: &mut HashSet<i64>) -> Result<(), DbError> {
        let overdue = copies::overdue(&mut *self.pool.acquire().await?).await?;
        late.retain(|zone| overdue.iter().any(|(known, _)| known == zone));
        for (zone, apex) in overdue {
            let is_new = late.insert(zone);
            if self.serve_past_expire {
                if is_new {
                    tracing::error!(
                        event = "copy_past_expire",
                        zone = apex.without_dot(),
                        "no primary has answered for as long as the zone may be served; it is served on"
                    );
                }
                continue;
            }
            let mut tx = self.pool.begin().await?;
            changes::open(&mut tx, Uuid::now_v7(), ACTOR, &format!("{} is given up: no primary answered in time", apex.without_dot()), VIA).await?;
            if copies::give_up(&mut tx, zone).await? {
                copies::touch_all(&mut tx, zone).await?;
                tx.commit().await?;
                self.committed.notify_one();
                tracing::error!(
                    event = "copy_expired",
                    zone = apex.without_dot(),
                    "no primary has answered for as long as the zone may be served: its names fail from now on"
                );
                metrics::counter!("holdfast_copies_total", "outcome" => "expired").increment(1);
            }
        }
        Ok(())
    }
}

struct Answer<'a> {
    by: String,
    next_secs: f64,
    expire_secs: f64,
    note: Option<&'a str>,
}

impl Answer<'_> {
    fn as_db(&self) -> Asked<'_> {
        Asked { by: &self.by, next_secs: self.next_secs, expire_secs: self.expire_secs, note: self.note }
    }
}

fn by(primary: &Primary) -> String {
    SocketAddr::new(primary.address, primary.port).to_string()
}

/// A zone that was our own had a serial, and who has it from us waits for a newer one.
fn older_than_ours(ours: Serial, theirs: &Soa, primary: &Primary) -> Option<String> {
    let is_older = ours.is_newer_than(theirs.serial) && ours != Serial(1);
    let (by, theirs) = (by(primary), theirs.serial);
    is_older
        .then(|| format!("{by} has serial {theirs}, and here the zone had {ours}: raise it there, or servers that have the zone from here will not take it"))
}

/// A tenth more or less, so that ten thousand zones that came together do not come together for ever.
fn jittered(secs: f64) -> f64 {
    let tenth = f64::from(random_u16()) / f64::from(u16::MAX) * 0.2 - 0.1;
    (secs * (1.0 + tenth)).max(LEAST_SECS)
}

/// After how long a primary is asked again, in seconds: whatever it says, before a month is over.
fn refresh_secs(soa: &Soa) -> f64 {
    jittered(f64::from(soa.refresh_s.min(REFRESH_LIMIT_SECS)))
}

/// For how long a copy is good, in seconds: a time that is over before anybody was asked twice was not meant.
fn expire_secs(soa: &Soa) -> f64 {
    f64::from(soa.expire_s).max(f64::from(soa.refresh_s.min(REFRESH_LIMIT_SECS)) + f64::from(soa.retry_s))
}

/// The records, each once; a set shares its lowest TTL.
fn unique(records: Vec<Record>) -> BTreeSet<Record> {
    let mut ttls: BTreeMap<(DomainName, u16), u32> = BTreeMap::new();
    for record in &records {
        let ttl = ttls.entry((record.owner.clone(), record.rtype)).or_insert(record.ttl);
        *ttl = record.ttl.min(*ttl);
    }
    records.into_iter().map(|record| Record { ttl: ttls[&(record.owner.clone(), record.rtype)], ..record }).collect()
}

/// What we have with these steps made. What goes must be there.
fn followed(before: &[KeptRecord], steps: Vec<Delta>) -> Result<BTreeSet<Record>, Wrong> {
    let mut records: BTreeMap<(DomainName, u16, Vec<u8>), u32> =
        before.iter().map(|kept| ((kept.record.owner.clone(), kept.record.rtype, kept.record.rdata.clone()), kept.record.ttl)).collect();
    for step in steps {
        for gone in step.removed {
            records.remove(&(gone.owner, gone.rtype, gone.rdata)).ok_or(Wrong::DoesNotFollow)?;
        }
        records.extend(step.added.into_iter().map(|come| ((come.owner, come.rtype, come.rdata), come.ttl)));
    }
    Ok(unique(records.into_iter().map(|((owner, rtype, rdata), ttl)| Record { owner, rtype, ttl, rdata }).collect()))
}

/// What goes, what comes, and how many names lose everything or some record for good.
fn difference(before: Vec<KeptRecord>, after: &BTreeSet<Record>) -> (Vec<KeptRecord>, Vec<Record>, u64) {
    let known: BTreeSet<Record> = before.iter().map(|kept| kept.record.clone()).collect();
    let gone: Vec<KeptRecord> = before.into_iter().filter(|kept| !after.contains(&kept.record)).collect();
    let come: Vec<Record> = after.difference(&known).cloned().collect();
    // A record that is replaced by another one of its name is no loss.
    let replaced: BTreeSet<(&DomainName, u16)> = come.iter().map(|record| (&record.owner, record.rtype)).collect();
    let removed = gone.iter().filter(|kept| !replaced.contains(&(&kept.record.owner, kept.record.rtype))).count() as u64;
    (gone, come, removed)
}

/// What a zone must have to be served; its SOA.
fn check(apex: &DomainName, records: &BTreeSet<Record>) -> Result<Soa, String> {
    let at_apex = |wanted: u16| records.iter().filter(move |record| record.owner == *apex && record.rtype == wanted);
    let mut soas = at_apex(rtype::SOA).filter_map(|record| Soa::of(&record.rdata));
    let soa = soas.next().filter(|_| soas.next().is_none()).ok_or("the zone does not have one SOA")?;
    if at_apex(rtype::NS).next().is_none() {
        return Err("the zone has no NS records".to_owned());
    }
    if let Some(wrong) = records.iter().find(|record| !rdata::is_well_formed(record.rtype, &record.rdata)) {
        return Err(format!("the {} record of {} cannot be read", rdata::type_name(wrong.rtype), wrong.owner.without_dot()));
    }
    Ok(soa)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn a(owner: &str, last: u8, ttl: u32) -> Record {
        Record { owner: name(owner), rtype: rtype::A, ttl, rdata: vec![10, 1, 1, last] }
    }

    fn kept(records: &[Record]) -> Vec<KeptRecord> {
        records.iter().cloned().zip(1..).map(|(record, id)| KeptRecord { id, record }).collect()
    }

    #[test]
    fn steps_that_do_not_follow_ask_for_the_whole_zone() {
        let step = |removed, added| Delta { from: Serial(1), to: Serial(2), removed, added };
        let before = kept(&[a("x.example", 1, 60)]);
        let after = followed(&before, vec![step(vec![a("x.example", 1, 60)], vec![a("x.example", 2, 60)])]).unwrap();
        assert_eq!(after, [a("x.example", 2, 60)].into());
        assert!(matches!(followed(&before, vec![step(vec![a("y.example", 1, 60)], vec![])]), Err(Wrong::DoesNotFollow)));
    }

    #[test]
    fn a_set_shares_its_lowest_ttl_and_a_replaced_record_is_no_loss() {
        let records = unique(vec![a("x.example", 1, 60), a("x.example", 2, 30), a("x.example", 2, 30)]);
        assert_eq!(records, [a("x.example", 1, 30), a("x.example", 2, 30)].into());
        let (gone, come, removed) =
            difference(kept(&[a("x.example", 1, 60), a("y.example", 1, 60), a("z.example", 1, 60)]), &[a("x.example", 2, 60), a("y.example", 1, 60)].into());
        assert_eq!((gone.len(), come.len(), removed), (2, 1, 1));
    }

    #[test]
    fn a_zone_without_a_soa_or_servers_or_with_a_broken_record_is_not_taken() {
        let soa = |n: u32| Record {
            owner: name("example"),
            rtype: rtype::SOA,
            ttl: 60,
            rdata: [name("a").wire(), name("b").wire(), &n.to_be_bytes(), &[0; 16]].concat(),
        };
        let ns = Record { owner: name("example"), rtype: rtype::NS, ttl: 60, rdata: name("ns.example").wire().to_vec() };
        let broken = Record { rdata: vec![1], ..a("x.example", 1, 60) };
        let said = |records: &[Record]| check(&name("example"), &records.iter().cloned().collect()).err().unwrap_or_default();
        assert_eq!(check(&name("example"), &[soa(7), ns.clone()].into()).unwrap().serial, Serial(7));
        assert!(said(std::slice::from_ref(&ns)).contains("SOA") && said(&[soa(7), soa(8), ns.clone()]).contains("SOA"));
        assert!(said(&[soa(7)]).contains("NS") && said(&[soa(7), ns, broken]).contains("A record of x.example"));
    }
}
