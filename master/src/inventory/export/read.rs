//! Reads the estate out of the database, as far as the one who asks may see it.

use super::{Estate, File, Nas};
use crate::db::DbError;
use crate::inventory::nas::all_secrets;
use crate::inventory::records::{RecordQuery, record_draft};
use crate::inventory::{self, Action, Actor, HostQuery, PoolDraft, PoolKind, Refusal, Sight, authorise, boot, organisation};
use holdfast_proto::snapshot::DataKey;
use sqlx::PgPool;

/// Hosts and records are read so many at a time.
const HOSTS_PER_PAGE: u32 = 1_000;
const RECORDS_PER_PAGE: u32 = 10_000;

/// The files that an actor can have: of zones those that they see and that are no copies.
pub async fn files(pool: &PgPool, actor: &Actor) -> Result<Vec<File>, Refusal> {
    let sight = actor.sight()?;
    let reads_nas = authorise(actor, Action::Read, "all NASs").is_ok();
    let plain = File::PLAIN.into_iter().filter(|file| *file != File::Clients || reads_nas);
    let zones = inventory::zones(pool, &sight).await?;
    let own = zones.into_iter().filter(|zone| zone.draft.primaries.is_empty());
    let zones = own.map(|zone| File::Zone(zone.draft.apex.without_dot()));
    Ok(plain.chain(zones).collect())
}

/// What a file is made of. With keys, the secrets of NASs are read, too, which takes the right to change them and stands in the history.
pub async fn export(pool: &PgPool, actor: &Actor, file: &File, secrets: Option<&[DataKey]>) -> Result<Estate, Refusal> {
    let sight = actor.sight()?;
    let mut estate = Estate::default();
    match file {
        File::Clients => {
            authorise(actor, Action::Read, "all NASs")?;
            estate.nas = nas(pool, actor, secrets).await?;
            return Ok(estate);
        }
        File::PeopleCsv => {
            estate.contacts = organisation::all_contacts(pool).await?.into_iter().map(|kept| kept.draft).collect();
            return Ok(estate);
        }
        _ => {}
    }
    estate.campuses = inventory::campuses(pool).await?;
    estate.subnets = inventory::subnets(pool, &sight).await?.into_iter().map(|subnet| subnet.draft).collect();
    let zones = inventory::zones(pool, &sight).await?.into_iter();
    estate.zones = zones.map(|zone| crate::inventory::ZoneDraft { serial: Some(zone.published.0), ..zone.draft }).collect();
    if let File::Zone(apex) = file {
        let zone = estate.zones.iter().find(|zone| zone.apex.without_dot() == *apex);
        let zone = zone.ok_or_else(|| Refusal::Missing(inventory::Problem::new("no-such-zone", "", format!("there is no zone {apex}"))))?;
        let apex = zone.apex.clone();
        read_records(pool, apex, &mut estate).await?;
    }
    estate.pools = pools(pool).await?;
    estate.templates = inventory::templates(pool).await?;
    estate.defaults = boot::all_defaults(pool).await?;
    read_hosts(pool, &sight, &mut estate).await?;
    Ok(estate)
}

async fn read_hosts(pool: &PgPool, sight: &Sight, estate: &mut Estate) -> Result<(), DbError> {
    let mut query = HostQuery { limit: HOSTS_PER_PAGE, ..HostQuery::default() };
    loop {
        let page = inventory::host_list(pool, sight, &query).await?;
        estate.hosts.extend(page.hosts.into_iter().map(|host| host.draft));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return Ok(()),
        }
    }
}

async fn read_records(pool: &PgPool, zone: holdfast_proto::words::DomainName, estate: &mut Estate) -> Result<(), Refusal> {
    let mut query = RecordQuery { zone: Some(zone), limit: RECORDS_PER_PAGE, ..RecordQuery::default() };
    loop {
        let (page, next) = inventory::records::records(pool, &query).await?;
        for one in &page {
            estate.records.push(record_draft(&one.record)?);
        }
        match next {
            Some(next) => query.after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn pools(pool: &PgPool) -> Result<Vec<PoolDraft>, Refusal> {
    let kind = |text: &str| match text {
        "dynamic" => PoolKind::Dynamic,
        "reserved" => PoolKind::Reserved,
        _ => PoolKind::Static,
    };
    let pools = inventory::pools(pool, None).await?.into_iter();
    Ok(pools.map(|pool| PoolDraft { name: pool.name, first: pool.first, last: pool.last, kind: kind(&pool.kind), reason: pool.reason }).collect())
}

async fn nas(pool: &PgPool, actor: &Actor, keys: Option<&[DataKey]>) -> Result<Vec<Nas>, Refusal> {
    let mut secrets = match keys {
        Some(keys) => all_secrets(pool, actor, keys).await?,
        None => std::collections::HashMap::new(),
    };
    let all = inventory::nas(pool).await?.into_iter().filter_map(|one| {
        let prefix = one.prefix.parse().ok()?;
        let secret = secrets.remove(&one.name);
        let require_message_authenticator = one.require_message_authenticator;
        Some(Nas { name: one.name, prefix, secret, require_message_authenticator, kind: one.kind, campus: one.campus })
    });
    Ok(all.collect())
}
