//! Records that lead to other names: name servers, aliases, services, mail exchangers.

use super::catalogue::{ALIAS_NOTHING, ALIAS_OUTSIDE, Check, MX_ADDRESS, MX_ALIAS, MX_NOTHING, NS_ALIAS, NS_NOTHING, SRV_ALIAS, SRV_NOTHING};
use crate::db::DbError;
use crate::db::checks::{self, CASES_LIMIT, SpeakingRecord, Target};
use crate::db::findings::NewFinding;
use crate::db::zones::{self, ZoneIndex};
use holdfast_proto::dns::rtype;
use holdfast_proto::words::DomainName;
use sqlx::PgConnection;
use std::collections::HashMap;
use std::net::IpAddr;

/// The types whose records lead to other names.
const LEADING: [i32; 4] = [rtype::NS as i32, rtype::CNAME as i32, rtype::MX as i32, rtype::SRV as i32];

/// Follows every record that leads to a name.
pub(super) async fn find(db: &mut PgConnection) -> Result<Vec<NewFinding>, DbError> {
    let zones = ZoneIndex::new(zones::all(db).await?);
    let records = checks::records(db, &LEADING).await?;
    let leads: Vec<(SpeakingRecord, DomainName)> = records.into_iter().filter_map(|record| target(&record).map(|target| (record, target))).collect();
    let mut ours: Vec<String> = leads.iter().filter(|(_, target)| zones.of(target).is_some()).map(|(_, target)| target.without_dot()).collect();
    ours.sort();
    ours.dedup();
    let states = checks::targets(db, &ours).await?;
    let states: HashMap<String, Target> = ours.into_iter().zip(states).collect();
    let found = leads.iter().filter_map(|(record, target)| {
        let state = states.get(&target.without_dot()).copied();
        let check = fault(record.rtype, target, state)?;
        Some(check.finding(record.name.clone(), check.sentence(&target.without_dot()), None))
    });
    Ok(found.take(CASES_LIMIT as usize * LEADING.len()).collect())
}

/// The name that a record leads to; the root says that there is none (RFC 7505, RFC 2782).
fn target(record: &SpeakingRecord) -> Option<DomainName> {
    let skip = match record.rtype {
        rtype::MX => 2,
        rtype::SRV => 6,
        _ => 0,
    };
    DomainName::from_wire(record.rdata.get(skip..)?).filter(|name| *name != DomainName::root())
}

/// What is wrong with leading to a name; `state` is `None` where others answer for it.
fn fault(of: u16, target: &DomainName, state: Option<Target>) -> Option<&'static Check> {
    let is_address = target.without_dot().parse::<IpAddr>().is_ok();
    match (of, state) {
        (rtype::MX, _) if is_address => Some(&MX_ADDRESS),
        (rtype::MX, Some(Target::Nothing)) => Some(&MX_NOTHING),
        (rtype::MX, Some(Target::Alias)) => Some(&MX_ALIAS),
        (rtype::SRV, Some(Target::Nothing)) => Some(&SRV_NOTHING),
        (rtype::SRV, Some(Target::Alias)) => Some(&SRV_ALIAS),
        (rtype::NS, Some(Target::Nothing)) => Some(&NS_NOTHING),
        (rtype::NS, Some(Target::Alias)) => Some(&NS_ALIAS),
        (rtype::CNAME, Some(Target::Nothing)) => Some(&ALIAS_NOTHING),
        (rtype::CNAME, None) => Some(&ALIAS_OUTSIDE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_to_an_address_is_wrong_and_a_name_of_others_is_theirs() {
        let code = |of, text: &str, state| fault(of, &text.parse().unwrap(), state).map(|check| check.code);
        assert_eq!(code(rtype::MX, "10.1.4.7", None), Some("HF-303"));
        assert_eq!(code(rtype::MX, "mail.elsewhere.example", None), None);
        assert_eq!(code(rtype::MX, "mail.uni.example", Some(Target::Alias)), Some("HF-302"));
        assert_eq!(code(rtype::NS, "ns.uni.example", Some(Target::HasAddresses)), None);
        assert_eq!(code(rtype::CNAME, "www.elsewhere.example", None), Some("HF-203"));
    }

    #[test]
    fn a_null_exchanger_leads_nowhere() {
        let record = |rdata: &[u8]| SpeakingRecord { name: "a.x".into(), apex: "x".into(), rtype: rtype::MX, rdata: rdata.to_vec() };
        assert_eq!(target(&record(&[0, 0, 0])), None);
        assert_eq!(target(&record(b"\x00\x0a\x01m\x01x\x00")).unwrap().without_dot(), "m.x");
    }
}
