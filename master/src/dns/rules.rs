//! Who may what, as the database has it: read again every second, so that an edit counts at once and a lost wake-up costs nothing.

use crate::db::DbError;
use crate::db::transfers::{self, ZoneRules};
use holdfast_proto::dns::tsig::TsigKey;
use holdfast_proto::words::{DomainName, Secret};
use sqlx::PgPool;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How soon an edit counts.
const TICK: Duration = Duration::from_secs(1);

/// All rules at one moment.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rules {
    keys: HashMap<DomainName, TsigKey>,
    zones: HashMap<DomainName, ZoneRules>,
}

impl Rules {
    /// The key of this name.
    pub(super) fn key(&self, name: &DomainName) -> Option<TsigKey> {
        self.keys.get(name).cloned()
    }

    /// What is said of a zone.
    pub(super) fn zone(&self, apex: &DomainName) -> Option<&ZoneRules> {
        self.zones.get(apex)
    }

    /// Everything that is said.
    pub(super) fn zones(&self) -> impl Iterator<Item = &ZoneRules> {
        self.zones.values()
    }

    /// Whether who comes from here and signs with this key may have a zone.
    pub(super) fn may_have(&self, apex: &DomainName, client: IpAddr, key: Option<&DomainName>) -> bool {
        let fits = |transfer: &transfers::Transfer| {
            let from_there = transfer.prefix.is_none_or(|prefix| prefix.contains(&client));
            // A rule that names neither is refused where it is written, and opens nothing here.
            let is_rule = transfer.prefix.is_some() || transfer.key.is_some();
            is_rule && from_there && transfer.key.as_deref().is_none_or(|wanted| is_named(key, wanted))
        };
        self.zones.get(apex).is_some_and(|zone| zone.transfers.iter().any(fits))
    }

    /// The zone's number where who comes from here, or signs with this key, is one of its primaries.
    pub(super) fn copied_from(&self, apex: &DomainName, client: IpAddr, key: Option<&DomainName>) -> Option<i64> {
        let zone = self.zones.get(apex)?;
        let is_one = |primary: &transfers::Primary| primary.address == client || primary.key.as_deref().is_some_and(|wanted| is_named(key, wanted));
        zone.primaries.iter().any(is_one).then_some(zone.zone)
    }
}

fn is_named(key: Option<&DomainName>, wanted: &str) -> bool {
    key.is_some_and(|key| key.without_dot() == wanted)
}

/// The rules as they change, and the work that reads them.
pub(super) fn follow(pool: PgPool) -> (watch::Receiver<Arc<Rules>>, impl Future<Output = Infallible>) {
    let (sender, seen) = watch::channel(Arc::new(Rules::default()));
    let work = async move {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            // While the database is away what was known counts on.
            if let Ok(rules) = read(&pool).await {
                sender.send_if_modified(|known| {
                    let is_new = **known != rules;
                    if is_new {
                        *known = Arc::new(rules);
                    }
                    is_new
                });
            }
        }
    };
    (seen, work)
}

async fn read(pool: &PgPool) -> Result<Rules, DbError> {
    let keys = transfers::secrets(pool).await?.into_iter().map(|(name, secret)| (name.clone(), TsigKey { name, secret: Secret::new(secret) }));
    let zones = transfers::rules(pool).await?.into_iter().map(|zone| (zone.apex.clone(), zone));
    Ok(Rules { keys: keys.collect(), zones: zones.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::transfers::{Primary, Transfer};

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn rules(transfers: Vec<Transfer>) -> Rules {
        let primaries = vec![Primary { address: "192.0.2.5".parse().unwrap(), port: 53, key: Some("dept.key".into()) }];
        let zone = ZoneRules { zone: 4, apex: name("uni.example"), primaries, transfers };
        Rules { keys: HashMap::new(), zones: [(zone.apex.clone(), zone)].into() }
    }

    #[test]
    fn a_zone_is_closed_until_a_rule_fits_wholly() {
        let apex = name("uni.example");
        let (near, far): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "198.51.100.1".parse().unwrap());
        let (key, other) = (name("dept.key"), name("other.key"));
        let rule =
            |prefix: Option<&str>, key: Option<&str>| Transfer { prefix: prefix.map(|text| text.parse().unwrap()), key: key.map(str::to_owned), notify: None };
        assert!(!rules(vec![]).may_have(&apex, near, Some(&key)));
        assert!(!rules(vec![rule(None, None)]).may_have(&apex, near, Some(&key)), "a rule that names nobody");
        let by_address = rules(vec![rule(Some("192.0.2.0/24"), None)]);
        assert_eq!([by_address.may_have(&apex, near, None), by_address.may_have(&apex, far, Some(&key))], [true, false]);
        let by_both = rules(vec![rule(Some("192.0.2.0/24"), Some("dept.key"))]);
        let asked = [(near, Some(&key)), (near, None), (near, Some(&other)), (far, Some(&key))];
        assert_eq!(asked.map(|(client, key)| by_both.may_have(&apex, client, key)), [true, false, false, false]);
        assert!(!by_both.may_have(&name("law.uni.example"), near, Some(&key)), "another zone");
        assert_eq!(by_both.copied_from(&apex, "192.0.2.5".parse().unwrap(), None), Some(4));
        assert_eq!((by_both.copied_from(&apex, far, Some(&key)), by_both.copied_from(&apex, far, None)), (Some(4), None));
    }
}
