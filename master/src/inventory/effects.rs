//! What an edit does to the services, told before it is saved: records, boot entries, NASs.

use super::present;
use crate::db::changes::OutboxKey;
use crate::db::compose::{self, ReservationFacts};
use crate::db::{DbError, facts, machines};
use holdfast_proto::words::{DomainName, Mac, Subnet};
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// Everything that agents will answer differently.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Effects {
    /// Record sets that change, by name and type.
    pub records: Vec<RecordEffect>,
    /// Boot entries that change.
    pub boot: Vec<BootEffect>,
    /// Other rows that change: subnets and NASs, by what people call them.
    pub others: Vec<String>,
    /// How many more there are that who asks may not see.
    #[serde(skip_serializing_if = "is_none")]
    pub hidden: usize,
    /// The hosts that are told something else at boot, by their own entry or by their subnet's.
    pub hosts: HostsTouched,
    #[serde(skip)]
    subnets: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// How many hosts, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct HostsTouched {
    /// How many.
    pub count: i64,
    /// The first by name, at most twenty.
    pub first: Vec<String>,
}

/// How many hosts that are touched are named.
const NAMED_LIMIT: i64 = 20;

/// Adds which hosts are told something else at boot.
pub(super) async fn with_hosts(db: &mut PgConnection, mut effects: Effects) -> Result<Effects, DbError> {
    let (networks, macs): (Vec<String>, Vec<String>) = effects.boot.iter().map(|entry| (entry.subnet.to_string(), entry.mac.to_string())).unzip();
    if !(networks.is_empty() && effects.subnets.is_empty()) {
        let (count, first) = compose::hosts_at(db, &effects.subnets, &networks, &macs, NAMED_LIMIT).await?;
        effects.hosts = HostsTouched { count, first };
    }
    Ok(effects)
}

/// One record set, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RecordEffect {
    /// The owner name.
    #[schema(value_type = String)]
    pub name: DomainName,
    /// The type as people write it: `A`, `PTR`, `TYPE65400`.
    pub rtype: String,
    /// The data before, in presentation form.
    pub before: Vec<String>,
    /// The data after.
    pub after: Vec<String>,
}

/// One boot entry, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BootEffect {
    /// Where it holds.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// For whom.
    #[schema(value_type = String)]
    pub mac: Mac,
    /// Address, name and parameters before, in one line.
    pub before: Option<String>,
    /// The same after.
    pub after: Option<String>,
}

/// What services answer for some keys at one moment.
#[derive(Debug, Default)]
pub(super) struct State {
    records: BTreeMap<(DomainName, u16), Vec<String>>,
    boot: BTreeMap<(Subnet, Mac), String>,
    others: BTreeMap<String, String>,
}

/// Reads the state behind outbox keys.
pub(super) async fn state(db: &mut PgConnection, keys: &[OutboxKey]) -> Result<State, DbError> {
    let of = |subject: &'static str| keys.iter().filter(move |key| key.subject == subject).map(|key| key.key.as_str());
    let names = of("name").filter_map(|key| key.parse().ok());
    let mut state = State::default();
    for facts in facts::names(db, names).await? {
        for record in facts.records {
            let text = present::rdata(record.rtype, &record.rdata);
            state.records.entry((facts.name.clone(), record.rtype)).or_default().push(text);
        }
    }
    let (networks, macs): (Vec<String>, Vec<String>) =
        of("reservation").filter_map(|key| key.split_once(' ')).map(|(network, mac)| (network.to_owned(), mac.to_owned())).unzip();
    if !networks.is_empty() {
        for place in compose::reservations(db, &networks, &macs).await? {
            state.boot.insert((place.network, place.mac), boot_line(&place));
        }
    }
    let subnets: Vec<String> = of("subnet").map(str::to_owned).collect();
    if !subnets.is_empty() {
        for subnet in compose::subnets(db, &subnets).await? {
            state.others.insert(format!("subnet {}", subnet.network), format!("{subnet:?}"));
        }
        for policy in compose::policies(db, &subnets).await? {
            state.others.insert(format!("what {} lends", policy.network), format!("{policy:?}"));
        }
    }
    let prefixes: Vec<String> = of("nas").map(str::to_owned).collect();
    if !prefixes.is_empty() {
        for nas in compose::nas(db, &prefixes).await? {
            state.others.insert(format!("NAS {}", nas.name), format!("{nas:?}"));
        }
    }
    let macs: Vec<String> = of("machine").map(str::to_owned).collect();
    if !macs.is_empty() {
        for machine in machines::of(db, &macs).await? {
            state.others.insert(format!("MAC authentication of {}", machine.mac), format!("{machine:?}"));
        }
    }
    Ok(state)
}

/// Address, name and parameters in one line.
fn boot_line(place: &ReservationFacts) -> String {
    let mut line = format!("{} {}", place.address, place.host);
    let parameters = &place.parameters;
    if let Some(server) = parameters.next_server {
        line.push_str(&format!(", from {server}"));
    }
    for (what, text) in [("server", &parameters.server_name), ("file", &parameters.boot_file)] {
        if !text.is_empty() {
            line.push_str(&format!(", {what} {text}"));
        }
    }
    if parameters.wait_secs > 0 {
        line.push_str(&format!(", after {} s", parameters.wait_secs));
    }
    for option in &parameters.options {
        let value = option.value.as_ref().map_or("not told".to_owned(), hex::encode);
        line.push_str(&format!(", option {} {value}", option.code));
    }
    line
}

/// What differs between two moments.
pub(super) fn between(before: State, after: State) -> Effects {
    let records = pairs(before.records, after.records).map(|((name, rtype), before, after)| RecordEffect {
        name,
        rtype: present::rtype(rtype),
        before: before.unwrap_or_default(),
        after: after.unwrap_or_default(),
    });
    let boot = pairs(before.boot, after.boot).map(|((subnet, mac), before, after)| BootEffect { subnet, mac, before, after });
    let others: Vec<_> = pairs(before.others, after.others).collect();
    let subnets = others.iter().filter_map(|(name, ..)| name.strip_prefix("subnet ").map(str::to_owned)).collect();
    let others = others.into_iter().map(|(name, before, after)| match (before, after) {
        (None, _) => format!("{name} is new"),
        (_, None) => format!("{name} goes"),
        _ => format!("{name} changes"),
    });
    Effects { records: records.collect(), boot: boot.collect(), others: others.collect(), hidden: 0, hosts: HostsTouched::default(), subnets }
}

/// Every key whose values differ.
fn pairs<K: Ord, V: PartialEq>(mut before: BTreeMap<K, V>, after: BTreeMap<K, V>) -> impl Iterator<Item = (K, Option<V>, Option<V>)> {
    let mut all: BTreeMap<K, (Option<V>, Option<V>)> = BTreeMap::new();
    for (key, value) in after {
        let was = before.remove(&key);
        all.insert(key, (was, Some(value)));
    }
    all.extend(before.into_iter().map(|(key, value)| (key, (Some(value), None))));
    all.into_iter().filter(|(_, (before, after))| before != after).map(|(key, (before, after))| (key, before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let name: DomainName = "www.uni.example".parse().unwrap();
        let state = |a: &str, mx: Option<&str>| State {
            records: [((name.clone(), 1), vec![a.to_owned()])].into_iter().chain(mx.map(|mx| ((name.clone(), 15), vec![mx.to_owned()]))).collect(),
            ..State::default()
        };
        assert_eq!(between(state("10.1.4.7", None), state("10.1.4.7", None)), Effects::default());
        let effects = between(state("10.1.4.7", Some("10 mail.uni.example.")), state("10.1.4.8", None));
        let told: Vec<_> = effects.records.iter().map(|effect| (effect.rtype.as_str(), effect.before.join(","), effect.after.join(","))).collect();
        assert_eq!(told, [("A", "10.1.4.7".to_owned(), "10.1.4.8".to_owned()), ("MX", "10 mail.uni.example.".to_owned(), String::new())]);
    }
}
