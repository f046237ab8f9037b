//! Machines that turn up and become hosts by themselves, where their subnet wants that.
//!
//! Agents tell of machines that asked and that nobody registered; programs that watch the network tell of what they saw. Either waits in a
//! table and is dealt with here, one after another: in an `auto` subnet it becomes a host with a name after the subnet's pattern, the next
//! free address, and the device class `discovered`; elsewhere it is told of and no more. Whoever answers for the subnet hears of it, all
//! that came within a moment in one event. Only so many in an hour are dealt with, however many turn up: the others are a number.

use super::draft::{HostDraft, InterfaceDraft};
use super::organisation::{Addressing, ClassDraft, Entry, OrganisationEdit, chain_or_institution};
use super::places::refuse;
use super::wanted::{NextFree, Wanted};
use super::{Action, Actor, Edit, Equipment, Problem, Refusal, UnknownMachines, authorise, change, commit};
use crate::db::discoveries::{self as db, NewDiscovery, NewsRow, PlaceRow, WaitingRow};
pub use crate::db::discoveries::{DiscoveryRow, DiscoveryRule};
use crate::db::sightings::{self, Sighting};
use crate::db::{DbError, departments, faults, subnets, zones};
use chrono::Utc;
use holdfast_proto::words::{HostName, Mac, Subnet};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often is looked for what turned up.
const TICK: Duration = Duration::from_millis(500);
/// An address that was seen in use within so many days is given to no machine by itself.
const IN_USE_DAYS: i32 = 1;
/// Who made the hosts, as the history has it, and by which way.
const DISCOVERY: &str = "discovery";
/// What they are, until somebody says better.
const CLASS: &str = "discovered";
/// The longest word of a source or a port, in bytes.
const WORD_LIMIT_BYTES: usize = 255;
/// How many in an hour a rule may let be made.
const PER_HOUR: std::ops::RangeInclusive<u16> = 1..=1000;

/// A machine that somebody saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = discoveries::Draft)]
pub struct DiscoveryDraft {
    /// Its hardware address.
    #[schema(value_type = String)]
    pub mac: Mac,
    /// The address that it was seen with; it may keep it, where that is free.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// Its subnet, where no address is known.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub subnet: Option<Subnet>,
    /// The port that it was seen at.
    #[serde(default)]
    pub port: String,
    /// Where that is known from: `arp gw-north`. Who tells it, where nothing is said.
    #[serde(default)]
    pub source: String,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = discoveries::Noted)]
pub struct Noted {
    /// Its hardware address.
    #[schema(value_type = String)]
    pub mac: Mac,
    /// Its subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// What becomes of strangers there: `off`, `report`, `quarantine` or `auto`.
    pub policy: String,
    /// `known` where a host there has the hardware address already; `waiting` else, for less than a second or two.
    #[schema(value_type = String)]
    pub state: &'static str,
}

/// Takes word of a machine that somebody saw.
pub async fn note(pool: &PgPool, actor: &Actor, draft: &DiscoveryDraft) -> Result<Noted, Refusal> {
    authorise(actor, Action::Report, "machines that turned up")?;
    let mut problems = Vec::new();
    for (pointer, text) in [("/port", &draft.port), ("/source", &draft.source)] {
        if text.len() > WORD_LIMIT_BYTES || text.contains(|c: char| c.is_control()) {
            problems.push(Problem::new("bad-text", pointer, format!("this has {WORD_LIMIT_BYTES} printable bytes at most")));
        }
    }
    if draft.mac.0[0] & 1 == 1 || draft.mac.0 == [0; 6] {
        problems.push(Problem::new("bad-mac", "/mac", format!("{} is no machine's own address", draft.mac)));
    }
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let place = draft.ip.map(|ip| ip.to_string()).or_else(|| draft.subnet.map(|subnet| subnet.to_string()));
    let found = match &place {
        Some(place) => db::subnet_at(&mut db, place).await?,
        None => None,
    };
    if found.is_none() {
        let detail = match &place {
            Some(place) => format!("{place} is in no subnet of ours"),
            None => "say where it was seen: ip, or else subnet".to_owned(),
        };
        problems.push(Problem::new("no-such-subnet", if draft.ip.is_some() { "/ip" } else { "/subnet" }, detail));
    }
    refuse(problems)?;
    let Some((id, subnet, policy)) = found else { return Err(Refusal::Invalid(vec![])) };
    let state = if db::is_registered(&mut db, draft.mac, id).await? { "known" } else { "waiting" };
    if state == "waiting" {
        let source = if draft.source.is_empty() { &actor.name } else { &draft.source };
        // Whatever becomes of the machine: its address is in use, and no other one is given it by itself.
        if let Some(ip) = draft.ip {
            sightings::put(&mut db, &[Sighting { ip, seen_at: Utc::now(), source: DISCOVERY.to_owned() }]).await?;
        }
        db::note(&mut db, &NewDiscovery { mac: draft.mac, subnet: id, ip: draft.ip, port: &draft.port, source }).await?;
    }
    Ok(Noted { mac: draft.mac, subnet, policy, state })
}

/// What turned up, the last first, below a number: of a subnet, in a state.
pub async fn list(pool: &PgPool, subnet: Option<Subnet>, state: Option<&str>, below: Option<i64>, limit: u32) -> Result<Vec<DiscoveryRow>, DbError> {
    let wanted = db::Wanted { subnet, state, below, limit: limit.into(), ..db::Wanted::default() };
    db::list(&mut *pool.acquire().await?, &wanted).await
}

/// How machines become hosts, by subnet, where somebody said so.
pub async fn rules(pool: &PgPool) -> Result<Vec<DiscoveryRule>, DbError> {
    db::rules(&mut *pool.acquire().await?).await
}

/// Keeps a rule of a subnet.
pub(super) async fn put_rule(db: &mut PgConnection, subnet: i64, rule: &DiscoveryRule) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    if !PER_HOUR.contains(&rule.per_hour) {
        problems.push(Problem::new("out-of-range", "/per_hour", format!("from {} to {} in an hour", PER_HOUR.start(), PER_HOUR.end())));
    }
    if !(rule.name.contains("{mac}") || rule.name.contains("{tail}")) {
        problems.push(Problem::new("bad-name", "/name", "say where the hardware address stands in the name: {mac}, or {tail} for its last six digits"));
    } else if let Err(why) = called(&rule.name, Some("uni.example"), Mac([2, 0, 0, 0, 0, 1])) {
        problems.push(Problem::new("bad-name", "/name", why));
    }
    refuse(problems)?;
    Ok(db::put_rule(db, subnet, rule).await?)
}

/// Takes a rule away: machines are called as they are where nobody said how.
pub(super) async fn delete_rule(db: &mut PgConnection, subnet: i64, network: Subnet) -> Result<(), Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-rule", "", format!("nobody said how machines are called that turn up in {network}")));
    if db::delete_rule(db, subnet).await? { Ok(()) } else { Err(missing()) }
}

/// What became of a machine, in sentences, for whoever asks why it has no address.
pub(super) async fn told(db: &mut PgConnection, mac: Mac, limit: i64) -> Result<Vec<String>, DbError> {
    let rows = db::list(db, &db::Wanted { mac: Some(mac), limit, ..db::Wanted::default() }).await?;
    let sentence = |row: DiscoveryRow| {
        let seen = format!("it turned up in {} at {}, told by {}", row.subnet, row.at, row.source);
        match (row.state.as_str(), row.host) {
            ("made", Some(host)) => format!("{seen}: it was registered as {host}"),
            ("refused", _) => format!("{seen}: it could not be registered by itself: {}", row.detail),
            ("waiting", _) => format!("{seen}: it is about to be registered"),
            _ => seen,
        }
    };
    Ok(rows.into_iter().map(sentence).collect())
}

/// Deals with what turns up, for ever.
pub async fn tend(pool: PgPool, committed: Arc<Notify>) -> Infallible {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_well = true;
    loop {
        tick.tick().await;
        match tend_once(&pool).await {
            Ok(made) => {
                is_well = true;
                if made > 0 {
                    committed.notify_one();
                }
            }
            // Said once: the database may be away for long, and then this is tried again with every tick.
            Err(error) if is_well => {
                is_well = false;
                tracing::warn!(event = "discoveries_wait", %error, "machines that turned up wait");
            }
            Err(_) => {}
        }
    }
}

/// Deals with all that waits, and tells what there is to tell; how many hosts were made.
pub async fn tend_once(pool: &PgPool) -> Result<usize, DbError> {
    let places = db::places(&mut *pool.acquire().await?).await?;
    let mut made = 0;
    for place in &places {
        while let Some(is_host) = deal_with_next(pool, place).await? {
            made += usize::from(is_host);
        }
        let over = db::count_over(&mut *pool.acquire().await?, place).await?;
        if over > 0 {
            tracing::warn!(event = "discoveries_over", subnet = %place.network, over, per_hour = place.per_hour, "more machines turned up than are registered in an hour");
        }
    }
    let news = db::news(&mut *pool.acquire().await?).await?;
    for row in &news {
        tell(pool, row).await?;
    }
    Ok(made)
}

/// Deals with the one that has waited longest: whether it is a host now; `None` where none waits any more.
async fn deal_with_next(pool: &PgPool, place: &PlaceRow) -> Result<Option<bool>, DbError> {
    let mut tx = pool.begin().await?;
    let Some(row) = db::take(&mut tx, place).await? else { return Ok(None) };
    let (state, host, detail) = match become_of(&mut tx, place, &row).await {
        Ok(Fate::Made(name, ip)) => {
            db::settle(&mut tx, row.id, "made", Some(&name), ip, "").await?;
            match commit(tx).await {
                Ok(()) => {
                    tracing::info!(event = "machine_discovered", mac = %row.mac, host = name, subnet = %place.network, source = row.source, "a machine turned up and is a host now");
                    metrics::counter!("holdfast_machines_discovered_total").increment(1);
                    return Ok(Some(true));
                }
                Err(Refusal::Database(error)) => return Err(error),
                // What only the commit finds out: that somebody has to approve, for one.
                Err(refusal) => {
                    let mut db = pool.acquire().await?;
                    db::settle(&mut db, row.id, "refused", None, None, &refusal.to_string()).await?;
                    return Ok(Some(false));
                }
            }
        }
        Ok(Fate::Known) => ("known", None, String::new()),
        Ok(Fate::Reported) => ("reported", None, format!("strangers are not registered there by themselves: {}", place.policy)),
        Err(Refusal::Database(error)) => return Err(error),
        Err(refusal) => ("refused", None, refusal.to_string()),
    };
    db::settle(&mut tx, row.id, state, host, None, &detail).await?;
    tx.commit().await?;
    Ok(Some(false))
}

/// What becomes of a machine.
enum Fate {
    /// A host with this name and address.
    Made(String, Option<IpAddr>),
    /// It was one already.
    Known,
    /// It is told of.
    Reported,
}

async fn become_of(tx: &mut Transaction<'_, Postgres>, place: &PlaceRow, row: &WaitingRow) -> Result<Fate, Refusal> {
    if db::is_registered(tx, row.mac, place.id).await? {
        return Ok(Fate::Known);
    }
    if UnknownMachines::of(&place.policy) != UnknownMachines::Auto {
        return Ok(Fate::Reported);
    }
    let domain = place.domain.as_ref().map(|domain| domain.without_dot());
    let wrong = |why: String| Refusal::from(Problem::new("bad-name", "/name", why));
    let is_gateway = |gateway: IpAddr| row.ip == Some(gateway);
    if subnets::all(tx).await?.into_iter().any(|subnet| subnet.id == place.id && subnet.gateway.is_some_and(is_gateway)) {
        let detail = format!("{} is the gateway of {}: its router is to be registered by hand", row.mac, place.network);
        return Err(Problem::new("address-not-usable", "/ip", detail).into());
    }
    let name = called(&place.pattern, domain.as_deref(), row.mac).map_err(wrong)?;
    check_zone(tx, place, &name).await?;
    let kept = match row.ip {
        // What it was seen with it may keep; where that is somebody else's or a pool's, it gets another one.
        Some(ip) => make(tx, place, row, &name, Some(ip)).await,
        None => Err(Refusal::Invalid(vec![])),
    };
    match kept {
        Err(Refusal::Invalid(_)) => {
            let mut inner = tx.begin().await.map_err(DbError::from)?;
            make(&mut inner, place, row, &name, None).await?;
            let given = db::address_of(&mut inner, row.mac, place.id).await?;
            // Somebody has it who is not registered: two machines would have one address.
            if let Some(ip) = given
                && let Some(source) = sightings::within(&mut inner, ip, IN_USE_DAYS).await?
            {
                inner.rollback().await.map_err(DbError::from)?;
                let detail = format!(
                    "{ip}, the next free address of {}, was seen in use lately ({source}): register what has it, or a host at another address",
                    place.network
                );
                return Err(Problem::new("address-in-use", "/ip", detail).into());
            }
            inner.commit().await.map_err(DbError::from)?;
        }
        done => done?,
    }
    let ip = db::address_of(tx, row.mac, place.id).await?;
    Ok(Fate::Made(name.to_string(), ip))
}

/// Refuses a name in a zone of a department that the subnet is not of: who may change a subnet has no right to others' names by that.
async fn check_zone(db: &mut PgConnection, place: &PlaceRow, name: &HostName) -> Result<(), Refusal> {
    let department = subnets::all(db).await?.into_iter().find(|row| row.id == place.id).and_then(|row| row.department);
    let text = name.to_string();
    let lies_in = |apex: &str| text.strip_suffix(apex).is_some_and(|label| label.ends_with('.'));
    let closest = zones::all(db).await?.into_iter().filter(|zone| lies_in(&zone.apex.without_dot())).max_by_key(|zone| zone.apex.label_count());
    let Some(zone) = closest else { return Ok(()) };
    match zone.department {
        Some(owner) if department.as_ref() != Some(&owner) => {
            let detail = format!("{name} would lie in {}, which is {owner}'s, and {} is not", zone.apex.without_dot(), place.network);
            Err(Problem::new("bad-name", "/name", detail).into())
        }
        _ => Ok(()),
    }
}

/// Makes the host, or leaves nothing of it.
async fn make(tx: &mut Transaction<'_, Postgres>, place: &PlaceRow, row: &WaitingRow, name: &HostName, ip: Option<IpAddr>) -> Result<(), Refusal> {
    let actor = Actor::administrator(DISCOVERY, DISCOVERY);
    let reason = format!("{} turned up in {}, told by {}", row.mac, place.network, row.source);
    let mut inner = tx.begin().await.map_err(DbError::from)?;
    if !departments::classes(&mut inner).await?.iter().any(|class| class.draft.name == CLASS) {
        let class = ClassDraft { name: CLASS.to_owned(), title: "machines that turned up by themselves".to_owned(), addressing: Addressing::Either };
        change(&mut inner, &actor, &reason, Edit::Organisation(OrganisationEdit::Add(Entry::Class(class)))).await?;
    }
    let next = if ip.is_none() { vec![Wanted { place: 0, next: NextFree::Subnet(place.network) }] } else { vec![] };
    let interface = InterfaceDraft { mac: Some(row.mac), addresses: ip.into_iter().collect(), next, ..InterfaceDraft::default() };
    let equipment = Equipment { class: Some(CLASS.to_owned()), switch_port: row.port.clone(), ..Equipment::default() };
    let draft = HostDraft { interfaces: vec![interface], comment: reason.clone(), equipment, ..HostDraft::named(name.clone()) };
    match change(&mut inner, &actor, &reason, Edit::HostAdd(draft)).await {
        Ok(_) => Ok(inner.commit().await.map_err(DbError::from)?),
        Err(refusal) => {
            inner.rollback().await.map_err(DbError::from)?;
            Err(refusal)
        }
    }
}

/// The name of a machine by a pattern: under the domain of its subnet, where the pattern is no full name.
fn called(pattern: &str, domain: Option<&str>, mac: Mac) -> Result<HostName, String> {
    let digits: String = mac.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let label = pattern.replace("{mac}", &digits).replace("{tail}", &digits[6..]);
    let name = match (label.contains('.'), domain) {
        (true, _) => label,
        (false, Some(domain)) => format!("{label}.{domain}"),
        (false, None) => return Err("the subnet has no domain: `holdfast subnet set NETWORK --domain NAME`, or say a full name in its rule".to_owned()),
    };
    name.parse().map_err(|why| format!("a machine cannot be called {name}: {why}"))
}

/// Tells whoever answers for a subnet what turned up there, in one event.
async fn tell(pool: &PgPool, row: &NewsRow) -> Result<(), DbError> {
    let mut tx = pool.begin().await?;
    let (news, over) = db::take_news(&mut tx, row.id).await?;
    // Another master was faster.
    if news.is_empty() && over == 0 {
        return Ok(());
    }
    let chain = chain_or_institution(&mut tx, Some(&row.network.to_string())).await?;
    let of = |state: &str| news.iter().filter(|one| one.state == state).cloned().collect::<Vec<_>>();
    let (made, reported, refused) = (of("made"), of("reported"), of("refused"));
    let count = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let told = [
        count(made.len(), "registered"),
        count(reported.len(), "told of only"),
        count(refused.len(), "not to be registered"),
        count(over as usize, "more than the number of an hour"),
    ];
    let message = format!("machines turned up in {}: {}", row.network, told.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let places = json!([{ "name": null, "network": row.network.to_string(), "campus": row.campus, "department": row.department }]);
    let data = json!({
        "message": message, "subnet": row.network.to_string(), "campus": row.campus, "department": row.department, "per_hour": row.per_hour,
        "made": made, "reported": reported, "refused": refused, "over": over, "escalation": chain.items, "places": places,
    });
    faults::tell(&mut tx, "discovery", &data).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_called_after_the_pattern_of_its_subnet() {
        let mac = Mac([2, 0, 0, 0xab, 0xcd, 0xef]);
        let check = |pattern: &str, domain: Option<&str>, expected: Option<&str>| {
            assert_eq!(called(pattern, domain, mac).ok().map(|name| name.to_string()).as_deref(), expected, "{pattern} {domain:?}");
        };
        check("new-{mac}", Some("uni.example"), Some("new-020000abcdef.uni.example"));
        check("dev-{tail}.lab.uni.example", None, Some("dev-abcdef.lab.uni.example"));
        check("new-{mac}", None, None);
        check("new_{mac}!", Some("uni.example"), None);
    }
}
