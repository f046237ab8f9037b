//! Cures that are beyond doubt, as edits: the same that an admin would make by hand.

use crate::db::DbError;
use crate::db::zones;
use crate::inventory::{self, Actor, Edit, Problem, RecordDraft, Refusal, Sight, ZoneDraft, change};
use holdfast_proto::dns::rtype;
use holdfast_proto::words::{DomainName, Subnet};
use sqlx::PgPool;
use uuid::Uuid;

/// The longest chain of aliases that is followed to its end.
const CHAIN_LIMIT: usize = 16;

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The change set; none where nothing was done.
    pub change_set: Option<Uuid>,
    /// The edits, in words.
    pub edits: Vec<String>,
}

/// Cures a finding by one change set, or only tells how. It is looked for anew first: somebody may have cured it already.
pub async fn fix(pool: &PgPool, actor: &Actor, reason: &str, code: &str, object: &str, dry_run: bool) -> Result<Fixed, Refusal> {
    let edits = edits(pool, code, object).await?;
    if edits.is_empty() {
        let detail = format!("{code} of {object} has no cure that is beyond doubt: it takes a person");
        return Err(Refusal::Invalid(vec![Problem::new("no-cure", "", detail)]));
    }
    let words = edits.iter().map(in_words).collect();
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let mut change_set = None;
    for edit in edits {
        change_set = Some(change(&mut tx, actor, reason, edit).await?.change_set);
    }
    if dry_run {
        tx.rollback().await.map_err(DbError::from)?;
        return Ok(Fixed { change_set: None, edits: words });
    }
    crate::inventory::commit(tx).await?;
    Ok(Fixed { change_set, edits: words })
}

fn in_words(edit: &Edit) -> String {
    match edit {
        Edit::ZoneAdd(draft) => format!("add the zone {}", draft.apex.without_dot()),
        Edit::ZoneSet { apex, draft } => format!("set the mailbox of zone {} to {}", apex.without_dot(), draft.mailbox.without_dot()),
        Edit::RecordDelete(draft) => format!("take {} {} away", draft.name, draft.text),
        Edit::RecordAdd(draft) => format!("let {} stand for {}", draft.name, draft.text),
        other => other.object().to_owned(),
    }
}

/// Whether findings of this check have a cure that is beyond doubt.
pub fn has_cure(code: &str) -> bool {
    matches!(code, "HF-102" | "HF-201" | "HF-307")
}

/// What cures a finding; none where that takes a person.
async fn edits(pool: &PgPool, code: &str, object: &str) -> Result<Vec<Edit>, DbError> {
    match code {
        "HF-102" => reverse_zone(pool, object).await,
        "HF-201" => end_of_chain(pool, object).await,
        "HF-307" => hostmaster(pool, object).await,
        _ => Ok(vec![]),
    }
}

/// A reverse zone for the smallest whole part of the tree around a subnet, after the pattern of the zone that its name servers are in.
async fn reverse_zone(pool: &PgPool, object: &str) -> Result<Vec<Edit>, DbError> {
    let Ok(network) = object.parse::<Subnet>() else { return Ok(vec![]) };
    let zones = inventory::zones(pool, &Sight::All).await?;
    let Some(pattern) = zones.iter().find(|zone| !zone.draft.apex.without_dot().ends_with(".arpa")) else { return Ok(vec![]) };
    let apex = reverse_apex(network);
    let draft = ZoneDraft { apex, serial: None, publish_hinfo: false, publish_rp: false, ..pattern.draft.clone() };
    Ok(vec![Edit::ZoneAdd(draft)])
}

/// The reverse name of a network, cut at a whole label: octets of IPv4, nibbles of IPv6.
fn reverse_apex(network: Subnet) -> DomainName {
    let net = network.net();
    let (labels, each) = if net.addr().is_ipv4() { (4, 8) } else { (32, 4) };
    let kept = usize::from(net.prefix_len() / each).max(1);
    let mut name = DomainName::reverse_of(net.network());
    for _ in kept..labels {
        name = name.parent().unwrap_or(name);
    }
    name
}

async fn end_of_chain(pool: &PgPool, object: &str) -> Result<Vec<Edit>, DbError> {
    let Ok(name) = object.parse::<DomainName>() else { return Ok(vec![]) };
    let mut db = pool.acquire().await?;
    let mut target = None;
    let mut at = name.clone();
    for _ in 0..CHAIN_LIMIT {
        let Some(next) = zones::uses(&mut db, &[at.without_dot()]).await?.pop().and_then(|used| used.target) else { break };
        target = Some(next.clone());
        at = next;
    }
    let first = zones::uses(&mut db, &[name.without_dot()]).await?.pop().and_then(|used| used.target);
    let (Some(first), Some(last)) = (first, target) else { return Ok(vec![]) };
    let record =
        |target: &DomainName| RecordDraft { name: name.clone(), rtype: rtype::CNAME, ttl: None, rdata: target.wire().to_vec(), text: target.to_string() };
    Ok(vec![Edit::RecordDelete(record(&first)), Edit::RecordAdd(record(&last))])
}

async fn hostmaster(pool: &PgPool, object: &str) -> Result<Vec<Edit>, DbError> {
    let zones = inventory::zones(pool, &Sight::All).await?;
    let Some(zone) = zones.into_iter().find(|zone| zone.draft.apex.without_dot() == object) else { return Ok(vec![]) };
    // A reverse zone's hostmaster reads his mail in the domain of the old mailbox.
    let domain = if object.ends_with(".arpa") { zone.draft.mailbox.parent().unwrap_or_else(DomainName::root) } else { zone.draft.apex.clone() };
    let Ok(mailbox) = format!("hostmaster.{}", domain.without_dot()).parse() else { return Ok(vec![]) };
    Ok(vec![Edit::ZoneSet { apex: zone.draft.apex.clone(), draft: ZoneDraft { mailbox, ..zone.draft } }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reverse_zone_is_cut_at_a_whole_label() {
        let apex = |text: &str| reverse_apex(text.parse().unwrap()).without_dot();
        assert_eq!(apex("10.1.4.0/22"), "1.10.in-addr.arpa");
        assert_eq!(apex("10.1.4.0/24"), "4.1.10.in-addr.arpa");
        assert_eq!(apex("2001:db8:7::/48"), "7.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }
}
