//! Personal data: where it is kept and for how long, all that is known of one person, and erasing a person.
//!
//! Erasing takes the contact away with all its responsibilities and mailboxes, as one change that stands in the history. What the
//! history itself holds is not rewritten: its images are append-only and prove each other. [`Export::remains`] says how much of it
//! speaks of the person, so that nobody believes it gone.

use super::network_sessions::{NetworkSession, of_user};
use super::organisation::{ContactDraft, MailboxDraft, ResponsibilityDraft};
use super::{Problem, Refusal};
use crate::db::privacy::{self, Deed};
use crate::db::{DbError, contacts, responsibility};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};

/// The most deeds that an export lists.
const DEEDS_LIMIT: i64 = 10_000;
/// The most sessions.
const SESSIONS_LIMIT: i64 = 10_000;

/// One place that holds personal data.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = privacy::Field)]
pub struct Field {
    /// The table.
    #[schema(value_type = String)]
    pub table: &'static str,
    /// Its column.
    #[schema(value_type = String)]
    pub column: &'static str,
    /// What it says about whom.
    #[schema(value_type = String)]
    pub about: &'static str,
    /// How long it is kept.
    #[schema(value_type = String)]
    pub kept: &'static str,
}

const fn field(table: &'static str, column: &'static str, about: &'static str, kept: &'static str) -> Field {
    Field { table, column, about, kept }
}

/// All of them. Whoever adds a column about people adds a line.
pub static FIELDS: &[Field] = &[
    field("org.contact", "handle, name, mail, phone, note, verified_on", "whom to ask, and how to reach them", "until the contact is deleted or erased"),
    field("org.responsibility", "contact_id, role", "what somebody is responsible for", "until it ends or the contact is erased"),
    field("org.mailbox", "contact_id", "who reads a mailbox", "until it ends or the contact is erased"),
    field("ipam.host", "contact, comment, location", "free words, which may name people", "until they are edited"),
    field("access.principal", "name, password", "who may come in", "until the login is deleted"),
    field("access.session", "principal, last_seen", "when somebody was here", "until the session ends"),
    field("access.api_token", "principal, last_used", "when somebody's program was here", "until the token is revoked"),
    field("access.login_throttle", "subject", "whose log-ins failed, and from where", "until the brake is over"),
    field("access.nas", "contact, note", "who looks after a NAS", "until it is edited"),
    field("change.change_set", "actor, reason", "who changed what, and why", "for ever: the history proves itself"),
    field("change.change", "before, after", "images of the rows above", "for ever: the history proves itself"),
    field(
        "report.network_session",
        "user_name, calling_station, mac, framed_ip, framed_ipv6, started_at, ended_at",
        "who was on the network, when and from where, as NASs told",
        "as long as reports are kept; it is not erased with a contact",
    ),
    field("report.network_session_address", "address, first_heard, last_heard", "which addresses they had", "as long as the session"),
    field("report.event", "detail", "what boxes reported: may hold logins and hardware addresses", "as long as reports are kept"),
];

/// All that is known of one person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = privacy::Export)]
pub struct Export {
    /// As they were asked for: a handle or login.
    pub person: String,
    /// Them as a contact.
    pub contact: Option<ContactDraft>,
    /// What they are responsible for.
    pub responsibilities: Vec<ResponsibilityDraft>,
    /// The mailboxes that they read.
    pub mailboxes: Vec<MailboxDraft>,
    /// Hosts whose free words name them.
    pub hosts: Vec<String>,
    /// Since when they can log in by this name.
    pub login_since: Option<DateTime<Utc>>,
    /// What they did by this login, newest first.
    pub deeds: Vec<Deed>,
    /// When they were on the network by this name, newest first.
    pub sessions: Vec<NetworkSession>,
    /// Images of the history that show them as a contact: these stay when they are erased.
    pub remains: i64,
}

/// Gathers all that is known of a person, by handle or login.
pub async fn export(pool: &PgPool, person: &str) -> Result<Export, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let contact = contacts::all(&mut db).await?.into_iter().map(|kept| kept.draft).find(|contact| contact.handle == person);
    let names = contact.iter().flat_map(|contact| [Some(contact.name.clone()), contact.mail.clone()]).flatten();
    let texts: Vec<String> = names.chain([person.to_owned()]).collect();
    let mailboxes = responsibility::mailboxes(&mut db).await?.into_iter().filter(|mailbox| mailbox.contact == person).collect();
    let export = Export {
        person: person.to_owned(),
        contact,
        responsibilities: responsibility::all(&mut db, None, None, Some(person)).await?,
        mailboxes,
        hosts: privacy::hosts_that_name(&mut db, &texts).await?,
        login_since: privacy::login_since(&mut db, person).await?,
        deeds: privacy::deeds(&mut db, person, DEEDS_LIMIT).await?,
        sessions: of_user(&mut db, person, SESSIONS_LIMIT).await?,
        remains: privacy::images_of_contact(&mut db, person).await?,
    };
    let is_somebody = export.contact.is_some() || export.login_since.is_some() || !export.deeds.is_empty() || !export.hosts.is_empty();
    let nothing = !is_somebody && export.sessions.is_empty() && export.remains == 0;
    let unknown = || Refusal::Missing(Problem::new("no-such-entry", "", format!("nothing is known of anybody by the handle or login {person}")));
    if nothing { Err(unknown()) } else { Ok(export) }
}

/// Takes a contact away with everything that refers to it.
pub(super) async fn erase(db: &mut PgConnection, handle: &str) -> Result<(), Refusal> {
    privacy::release(db, handle).await?;
    let missing = || Refusal::Missing(Problem::new("no-such-entry", "", format!("there is no contact {handle}")));
    if contacts::delete(db, handle).await? { Ok(()) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::FIELDS;

    #[test]
    fn every_field_names_a_table_of_the_migrations() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/master");
        let all: String = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
        for field in FIELDS {
            assert!(all.contains(&format!("create table {} (", field.table)), "{} is no table", field.table);
        }
    }
}
