//! Every check: code, severity, and the sentence that its cases are told with. Codes are for ever; a check that is dropped
//! leaves a gap.

use super::findings_of;
use crate::db::findings::{NewFinding, Severity};
use crate::db::{DbError, checks};
use sqlx::PgConnection;

/// A subnet with more of its addresses in use than this is nearly full, in percent.
const FULL_PERCENT: i64 = 85;
/// After so many months nobody knows whether a contact is still right.
const VERIFY_MONTHS: i32 = 12;

/// One check.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its stable code.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Its sentence; `{}` stands for what a case says.
    sentence: &'static str,
}

impl Check {
    const fn new(code: &'static str, name: &'static str, severity: Severity, sentence: &'static str) -> Self {
        Self { code, name, severity, sentence }
    }

    /// The sentence of one case.
    pub(super) fn sentence(&self, what: &str) -> String {
        self.sentence.replace("{}", what)
    }

    /// One case as it is kept.
    pub(super) fn finding(&self, object: String, detail: String, owner: Option<String>) -> NewFinding {
        NewFinding { code: self.code, object, severity: self.severity, detail, owner }
    }
}

use Severity::{Error, Note, Warning};

const FULL: Check = Check::new("HF-101", "subnet-nearly-full", Warning, "{} addresses are in use: plan a larger subnet, or free some");
const NO_REVERSE: Check = Check::new("HF-102", "reverse-zone-missing", Warning, "no zone of ours answers for the reverse name of {}: add the reverse zone");
const NO_PLACE: Check = Check::new(
    "HF-103",
    "static-host-without-place",
    Warning,
    "a {} has a fixed address, but it cannot be told one: give it an address and a hardware address",
);
const NO_DEPARTMENT: Check = Check::new("HF-104", "subnet-without-department", Warning, "the subnet, of campus {}, belongs to no department");
pub(super) const CHAIN: Check =
    Check::new("HF-201", "alias-chain", Warning, "it is an alias of {}, which is an alias itself: let it stand for the end of the chain");
pub(super) const ALIAS_NOTHING: Check = Check::new("HF-202", "alias-of-nothing", Error, "it is an alias of {}, which does not exist in our zones");
pub(super) const ALIAS_OUTSIDE: Check = Check::new("HF-203", "alias-outside", Note, "it is an alias of {}, which others answer for");
const TTLS: Check = Check::new("HF-204", "mixed-ttl", Warning, "its records of type {} have several TTLs; the lowest one is served (RFC 2181)");
pub(super) const NS_NOTHING: Check = Check::new("HF-205", "name-server-missing", Error, "its name server {} has no address in our zones");
pub(super) const NS_ALIAS: Check = Check::new("HF-206", "name-server-is-alias", Error, "its name server {} is an alias (RFC 2181 section 10.3)");
const FEW_SERVERS: Check = Check::new("HF-207", "few-name-servers", Warning, "the zone has {} name server(s): two are the least (RFC 1034 section 4.1)");
const NO_POINTER: Check = Check::new("HF-208", "address-without-pointer", Warning, "nothing points back from its address {}: make it a host's, or add a PTR");
pub(super) const SRV_NOTHING: Check = Check::new("HF-209", "service-missing", Error, "its service is at {}, which has no address in our zones");
pub(super) const SRV_ALIAS: Check = Check::new("HF-210", "service-is-alias", Error, "its service is at {}, which is an alias (RFC 2782)");
pub(super) const MX_NOTHING: Check = Check::new("HF-301", "mail-exchanger-missing", Error, "its mail goes to {}, which has no address in our zones");
pub(super) const MX_ALIAS: Check = Check::new("HF-302", "mail-exchanger-is-alias", Error, "its mail goes to {}, which is an alias (RFC 2181 section 10.3)");
pub(super) const MX_ADDRESS: Check = Check::new("HF-303", "mail-exchanger-is-address", Error, "its mail goes to {}, which is an address and no name");
pub(super) const SPF: Check = Check::new("HF-304", "spf-wrong", Error, "its SPF text cannot be read: {} (RFC 7208)");
pub(super) const SPF_TWICE: Check = Check::new("HF-305", "spf-twice", Error, "it has {} SPF texts: receivers take none of them (RFC 7208 section 3.2)");
pub(super) const DMARC: Check = Check::new("HF-306", "dmarc-wrong", Error, "its DMARC text cannot be read: {} (RFC 7489)");
const SOA_MAILBOX: Check = Check::new("HF-307", "soa-mailbox", Warning, "the mailbox of its SOA is {} and not that of its hostmaster (RFC 2142 section 7)");
pub(super) const NO_MAILBOX: Check = Check::new("HF-308", "mailbox-missing", Warning, "nobody is known to read {} (RFC 2142)");
pub(super) const NO_MX: Check = Check::new("HF-309", "domain-without-mail", Note, "the domain takes no mail: nobody can write to its {}");
const NO_CONTACT: Check = Check::new("HF-401", "host-without-contact", Warning, "nobody answers for it: name a contact, or one of its department{}");
const NOBODY: Check = Check::new("HF-402", "nobody-to-call", Warning, "nobody is responsible for this {}");
const UNVERIFIED: Check = Check::new("HF-403", "contact-not-verified", Warning, "nobody made sure {} that this contact is right: ask, then verify it");
const UNREACHABLE: Check = Check::new("HF-404", "contact-unreachable", Error, "{} has neither a mail address nor a telephone number");
const BOOT_SERVER: Check = Check::new("HF-501", "boot-server-unknown", Warning, "its boot server {} is no address of ours");
const SILENT: Check = Check::new("HF-601", "service-silent", Error, "the agent does not answer, since {}");
pub(super) const DRIFT: Check = Check::new("HF-602", "published-differs", Error, "what is published is not what the database holds: {}");

/// All of them, by code.
pub static CATALOGUE: &[&Check] = &[
    &FULL,
    &NO_REVERSE,
    &NO_PLACE,
    &NO_DEPARTMENT,
    &CHAIN,
    &ALIAS_NOTHING,
    &ALIAS_OUTSIDE,
    &TTLS,
    &NS_NOTHING,
    &NS_ALIAS,
    &FEW_SERVERS,
    &NO_POINTER,
    &SRV_NOTHING,
    &SRV_ALIAS,
    &MX_NOTHING,
    &MX_ALIAS,
    &MX_ADDRESS,
    &SPF,
    &SPF_TWICE,
    &DMARC,
    &SOA_MAILBOX,
    &NO_MAILBOX,
    &NO_MX,
    &NO_CONTACT,
    &NOBODY,
    &UNVERIFIED,
    &UNREACHABLE,
    &BOOT_SERVER,
    &SILENT,
    &DRIFT,
];

/// The checks that are one statement each.
pub(super) async fn plain(db: &mut PgConnection) -> Result<Vec<NewFinding>, DbError> {
    let answers = [
        (&FULL, checks::full_subnets(db, FULL_PERCENT).await?),
        (&NO_REVERSE, checks::subnets_without_reverse_zone(db).await?),
        (&NO_PLACE, checks::static_hosts_without_place(db).await?),
        (&NO_DEPARTMENT, checks::subnets_without_department(db).await?),
        (&CHAIN, checks::alias_chains(db).await?),
        (&TTLS, checks::mixed_ttls(db).await?),
        (&FEW_SERVERS, checks::zones_with_few_servers(db).await?),
        (&NO_POINTER, checks::addresses_without_pointer(db).await?),
        (&SOA_MAILBOX, checks::strange_soa_mailboxes(db).await?),
        (&NO_CONTACT, checks::hosts_without_contact(db).await?),
        (&NOBODY, checks::objects_without_contact(db).await?),
        (&UNVERIFIED, checks::unverified_contacts(db, VERIFY_MONTHS).await?),
        (&UNREACHABLE, checks::unreachable_contacts(db).await?),
        (&BOOT_SERVER, checks::strange_boot_servers(db).await?),
        (&SILENT, checks::silent_services(db).await?),
    ];
    Ok(answers.into_iter().flat_map(|(check, cases)| findings_of(check, cases)).collect())
}

#[cfg(test)]
mod tests {
    use super::CATALOGUE;

    #[test]
    fn codes_ascend_and_no_name_is_given_twice() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].code < pair[1].code));
        let names: std::collections::HashSet<_> = CATALOGUE.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
    }
}
