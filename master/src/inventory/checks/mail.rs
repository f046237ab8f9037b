//! Mail: the mailboxes that a domain has to have (RFC 2142), and the texts that say who may send for it (SPF, DMARC).

use super::catalogue::{DMARC, NO_MAILBOX, NO_MX, SPF, SPF_TWICE};
use crate::db::DbError;
use crate::db::checks::{self, CASES_LIMIT, SpeakingRecord};
use crate::db::findings::NewFinding;
use holdfast_proto::dns::rtype;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What every domain with mail has, RFC 2142 sections 2, 4 and 7.
const MAILBOXES: [&str; 5] = ["abuse", "hostmaster", "noc", "postmaster", "security"];

/// All that is wrong with mail, but for where it goes.
pub(super) async fn find(db: &mut PgConnection) -> Result<Vec<NewFinding>, DbError> {
    let missing = missing_mailboxes(db).await?.into_iter();
    let mut found: Vec<NewFinding> = missing
        .map(|address| {
            let detail = NO_MAILBOX.sentence(&address);
            NO_MAILBOX.finding(address, detail, None)
        })
        .collect();
    let with_mail = domains_with_mail(db).await?;
    for apex in checks::forward_apexes(db).await?.iter().map(|apex| apex.without_dot()).filter(|apex| !with_mail.contains(apex)) {
        found.push(NO_MX.finding(apex, NO_MX.sentence("hostmaster"), None));
    }
    found.extend(texts(&checks::records(db, &[i32::from(rtype::TXT)]).await?));
    found.truncate(CASES_LIMIT as usize);
    Ok(found)
}

/// Zones' own domains that take mail: others have no mailboxes to be read.
async fn domains_with_mail(db: &mut PgConnection) -> Result<HashSet<String>, DbError> {
    let records = checks::records(db, &[i32::from(rtype::MX)]).await?;
    Ok(records.into_iter().filter(|record| record.name == record.apex && record.rdata.get(2) != Some(&0)).map(|record| record.name).collect())
}

/// The mailboxes that nobody is known to read, by domain.
pub(super) async fn missing_mailboxes(db: &mut PgConnection) -> Result<Vec<String>, DbError> {
    let read: HashSet<String> = checks::mailboxes(db).await?.into_iter().collect();
    let mut domains: Vec<String> = domains_with_mail(db).await?.into_iter().collect();
    domains.sort();
    let wanted = domains.iter().flat_map(|domain| MAILBOXES.iter().map(move |mailbox| format!("{mailbox}@{domain}")));
    Ok(wanted.filter(|address| !read.contains(address)).collect())
}

/// What is wrong with the texts of each name.
fn texts(records: &[SpeakingRecord]) -> Vec<NewFinding> {
    let mut found = Vec::new();
    let mut spf: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let Some(text) = joined(&record.rdata) else { continue };
        let is_spf = text == "v=spf1" || text.starts_with("v=spf1 ");
        if is_spf {
            *spf.entry(&record.name).or_default() += 1;
            found.extend(spf_fault(&text).map(|why| SPF.finding(record.name.clone(), SPF.sentence(&why), None)));
        }
        if record.name.starts_with("_dmarc.") {
            found.extend(dmarc_fault(&text).map(|why| DMARC.finding(record.name.clone(), DMARC.sentence(&why), None)));
        }
    }
    let twice = spf.into_iter().filter(|(_, count)| *count > 1);
    found.extend(twice.map(|(name, count)| SPF_TWICE.finding(name.to_owned(), SPF_TWICE.sentence(&count.to_string()), None)));
    found
}

/// The character strings of a TXT record as one text (RFC 7208 section 3.3).
fn joined(mut rdata: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some((length, rest)) = rdata.split_first() {
        let (part, rest) = rest.split_at_checked(usize::from(*length))?;
        bytes.extend_from_slice(part);
        rdata = rest;
    }
    String::from_utf8(bytes).ok()
}

/// The first term that is none of RFC 7208's.
fn spf_fault(text: &str) -> Option<String> {
    let terms = text.split(' ').skip(1).filter(|term| !term.is_empty());
    let mut wrong = terms.filter(|term| !is_spf_term(&term.to_ascii_lowercase()));
    wrong.next().map(|term| format!("\"{term}\" is no mechanism or modifier"))
}

fn is_spf_term(term: &str) -> bool {
    if let Some((name, value)) = term.split_once('=') {
        // Unknown modifiers are to be ignored, section 6.
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        return is_name && (!value.is_empty() || !matches!(name, "redirect" | "exp"));
    }
    let bare = term.trim_start_matches(['+', '-', '~', '?']);
    if term.len() - bare.len() > 1 {
        return false;
    }
    let (name, value) = bare.split_once(':').map_or((bare, None), |(name, value)| (name, Some(value)));
    match (name, value) {
        ("ip4", Some(value)) => is_network::<Ipv4Addr>(value, 32),
        ("ip6", Some(value)) => is_network::<Ipv6Addr>(value, 128),
        ("include" | "exists", Some(value)) => !value.is_empty(),
        ("a" | "mx" | "ptr", Some(value)) => !value.is_empty(),
        ("all" | "ptr", None) => true,
        (name, None) => matches!(name.split_once('/').map_or(name, |(name, _)| name), "a" | "mx"),
        _ => false,
    }
}

fn is_network<A: std::str::FromStr>(text: &str, longest: u8) -> bool {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    address.parse::<A>().is_ok() && length.is_none_or(|length| length.parse::<u8>().is_ok_and(|length| length <= longest))
}

/// What of RFC 7489 section 6.3 a text breaks: the version first, then a policy, then pairs.
fn dmarc_fault(text: &str) -> Option<String> {
    let mut pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    if pairs.next().is_none_or(|first| first.replace(' ', "") != "v=DMARC1") {
        return Some("it does not begin with v=DMARC1".to_owned());
    }
    let mut policy = None;
    for pair in pairs {
        let Some((tag, value)) = pair.split_once('=') else { return Some(format!("\"{pair}\" is no tag=value")) };
        let (tag, value) = (tag.trim(), value.trim());
        if matches!(tag, "p" | "sp") && !matches!(value, "none" | "quarantine" | "reject") {
            return Some(format!("\"{value}\" is no policy: none, quarantine or reject"));
        }
        policy = policy.or((tag == "p").then_some(value));
    }
    policy.is_none().then(|| "it has no policy (p=)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spf_is_read_as_rfc_7208_has_it() {
        for good in
            ["v=spf1 mx a:mail.uni.example ip4:10.1.0.0/16 include:_spf.uni.example -all", "v=spf1 a/24 ~all", "v=spf1 redirect=_spf.x x-new=1", "v=spf1"]
        {
            assert_eq!(spf_fault(good), None, "{good}");
        }
        for bad in ["v=spf1 ip4:10.1.0.300 -all", "v=spf1 mxx -all", "v=spf1 include: -all", "v=spf1 --all", "v=spf1 ip6:10.1.4.7"] {
            assert!(spf_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn dmarc_has_a_version_and_a_policy() {
        assert_eq!(dmarc_fault("v=DMARC1; p=reject; rua=mailto:dmarc@uni.example"), None);
        for bad in ["p=none", "v=DMARC1", "v=DMARC1; p=sometimes", "v=DMARC1; p"] {
            assert!(dmarc_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn two_spf_texts_are_one_too_many() {
        let record = |text: &str| SpeakingRecord {
            name: "uni.example".into(),
            apex: "uni.example".into(),
            rtype: rtype::TXT,
            rdata: [&[text.len() as u8], text.as_bytes()].concat(),
        };
        let found = texts(&[record("v=spf1 -all"), record("v=spf1 mx -all"), record("anything else")]);
        assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), ["HF-305"]);
    }
}
