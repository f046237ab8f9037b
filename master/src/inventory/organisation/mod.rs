//! The organisation: departments, contacts, organisations outside, device classes, and who is responsible for what.
//!
//! They are few and found by a short word. Whatever refers to one keeps it from being deleted: nobody finds a chain of
//! escalation that ends in nothing.

mod escalation;
mod responsible;
mod rules;

pub use crate::db::contacts::{ContactDraft, ContactKind, ExternalDraft, Relation};
pub use crate::db::departments::{Addressing, ClassDraft, DepartmentDraft, Kept};
pub use crate::db::responsibility::{ContactRole, MailboxDraft, ObjectKind, ResponsibilityDraft};
pub use crate::db::topology::{RouterDraft, ServerDraft, ServerKind};
pub(super) use escalation::chain_or_institution;
pub use escalation::{Chain, Step, escalation};
pub use responsible::{mailboxes, responsibilities};

use super::{Problem, Refusal, Version, privacy, topology as ground};
use crate::db::{DbError, contacts, departments, topology};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};

/// What is found by a short word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A department.
    Department(DepartmentDraft),
    /// A contact.
    Contact(ContactDraft),
    /// An organisation outside.
    External(ExternalDraft),
    /// A device class.
    Class(ClassDraft),
    /// A router with its ports.
    Router(RouterDraft),
    /// A server that a department runs itself.
    Server(ServerDraft),
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A department.
    Department,
    /// A contact.
    Contact,
    /// An organisation outside.
    External,
    /// A device class.
    Class,
    /// A router.
    Router,
    /// A department's own server.
    Server,
}

/// One wish to change the organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum OrganisationEdit {
    /// A new entry.
    Add(Entry),
    /// The entry of this name becomes as the draft says, its name included.
    Set {
        /// The name it has now.
        name: String,
        /// What it shall be.
        entry: Entry,
    },
    /// An entry that nothing refers to goes.
    Delete {
        /// What it is.
        kind: EntryKind,
        /// Its name.
        name: String,
    },
    /// Somebody made sure that a contact is right.
    Verify {
        /// Its handle.
        handle: String,
        /// On which day.
        on: NaiveDate,
    },
    /// A contact goes with everything that refers to it.
    Erase {
        /// Its handle.
        handle: String,
    },
    /// Somebody becomes responsible for something, or changes their place within a role.
    ResponsibilityPut(ResponsibilityDraft),
    /// Somebody is responsible no longer.
    ResponsibilityDelete(ResponsibilityDraft),
    /// Somebody reads a mailbox from now on.
    MailboxPut(MailboxDraft),
    /// Nobody reads a mailbox any more.
    MailboxDelete {
        /// Its domain.
        domain: String,
        /// The part before the `@`.
        mailbox: String,
    },
}

impl OrganisationEdit {
    /// What a refusal calls the object.
    pub fn object(&self) -> &'static str {
        match self {
            Self::Add(entry) | Self::Set { entry, .. } => entry.kind().plural(),
            Self::Delete { kind, .. } => kind.plural(),
            Self::Verify { .. } | Self::Erase { .. } => EntryKind::Contact.plural(),
            Self::ResponsibilityPut(_) | Self::ResponsibilityDelete(_) => "responsibilities",
            Self::MailboxPut(_) | Self::MailboxDelete { .. } => "mailboxes",
        }
    }
}

impl Entry {
    /// Which of them it is.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Department(_) => EntryKind::Department,
            Self::Contact(_) => EntryKind::Contact,
            Self::External(_) => EntryKind::External,
            Self::Class(_) => EntryKind::Class,
            Self::Router(_) => EntryKind::Router,
            Self::Server(_) => EntryKind::Server,
        }
    }

    /// The short word that it is found by.
    pub fn name(&self) -> &str {
        match self {
            Self::Department(draft) => &draft.name,
            Self::Contact(draft) => &draft.handle,
            Self::External(draft) => &draft.name,
            Self::Class(draft) => &draft.name,
            Self::Router(draft) => &draft.name,
            Self::Server(draft) => &draft.name,
        }
    }
}

impl EntryKind {
    fn plural(self) -> &'static str {
        match self {
            Self::Department => "departments",
            Self::Contact => "contacts",
            Self::External => "organisations outside",
            Self::Class => "device classes",
            Self::Router => "routers",
            Self::Server => "departments' servers",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Department => "department",
            Self::Contact => "contact",
            Self::External => "organisation",
            Self::Class => "device class",
            Self::Router => "router",
            Self::Server => "department's server",
        }
    }
}

/// Makes the edit; the version that the object has then.
pub(super) async fn make(db: &mut PgConnection, edit: OrganisationEdit) -> Result<Option<Version>, Refusal> {
    match edit {
        OrganisationEdit::Add(entry) => add(db, &entry).await.map(|()| Some(Version(1))),
        OrganisationEdit::Set { name, entry } => set(db, &name, &entry).await.map(Some),
        OrganisationEdit::Delete { kind, name } => delete(db, kind, &name).await.map(|()| None),
        OrganisationEdit::Verify { handle, on } => verify(db, &handle, on).await.map(Some),
        OrganisationEdit::Erase { handle } => privacy::erase(db, &handle).await.map(|()| None),
        OrganisationEdit::ResponsibilityPut(draft) => responsible::put(db, &draft).await.map(|()| None),
        OrganisationEdit::ResponsibilityDelete(draft) => responsible::delete(db, &draft).await.map(|()| None),
        OrganisationEdit::MailboxPut(draft) => responsible::put_mailbox(db, &draft).await.map(|()| None),
        OrganisationEdit::MailboxDelete { domain, mailbox } => responsible::delete_mailbox(db, &domain, &mailbox).await.map(|()| None),
    }
}

/// The version of the entry that an edit changes; `None` where it changes none.
pub(super) async fn version(db: &mut PgConnection, edit: &OrganisationEdit) -> Result<Option<Version>, Refusal> {
    let (kind, name) = match edit {
        OrganisationEdit::Set { name, entry } => (entry.kind(), name),
        OrganisationEdit::Delete { kind, name } => (*kind, name),
        _ => return Ok(None),
    };
    let known = names(db, kind).await?.into_iter().find(|(known, _)| known == name);
    known.map(|(_, version)| Some(Version(version))).ok_or_else(|| missing(kind, name))
}

/// The name and version of every entry of a kind.
async fn names(db: &mut PgConnection, kind: EntryKind) -> Result<Vec<(String, i64)>, DbError> {
    Ok(match kind {
        EntryKind::Department => departments::all(db).await?.into_iter().map(|kept| (kept.draft.name, kept.version)).collect(),
        EntryKind::Contact => contacts::all(db).await?.into_iter().map(|kept| (kept.draft.handle, kept.version)).collect(),
        EntryKind::External => contacts::externals(db).await?.into_iter().map(|kept| (kept.draft.name, kept.version)).collect(),
        EntryKind::Class => departments::classes(db).await?.into_iter().map(|kept| (kept.draft.name, kept.version)).collect(),
        EntryKind::Router => topology::routers(db).await?.into_iter().map(|kept| (kept.draft.name, kept.version)).collect(),
        EntryKind::Server => topology::servers(db).await?.into_iter().map(|kept| (kept.draft.name, kept.version)).collect(),
    })
}

async fn add(db: &mut PgConnection, entry: &Entry) -> Result<(), Refusal> {
    rules::check(db, entry, None).await?;
    match entry {
        Entry::Department(draft) => departments::insert(db, draft).await?,
        Entry::Contact(draft) => contacts::insert(db, draft).await?,
        Entry::External(draft) => contacts::insert_external(db, draft).await?,
        Entry::Class(draft) => departments::insert_class(db, draft).await?,
        Entry::Router(draft) => topology::insert_router(db, draft).await?,
        Entry::Server(draft) => topology::insert_server(db, draft).await?,
    }
    ground::refuse_shared(db, entry).await
}

async fn set(db: &mut PgConnection, name: &str, entry: &Entry) -> Result<Version, Refusal> {
    rules::check(db, entry, Some(name)).await?;
    let version = match entry {
        Entry::Department(draft) => departments::update(db, name, draft).await?,
        Entry::Contact(draft) => contacts::update(db, name, draft).await?,
        Entry::External(draft) => contacts::update_external(db, name, draft).await?,
        Entry::Class(draft) => departments::update_class(db, name, draft).await?,
        Entry::Router(draft) => topology::update_router(db, name, draft).await?,
        Entry::Server(draft) => topology::update_server(db, name, draft).await?,
    };
    let version = version.map(Version).ok_or_else(|| missing(entry.kind(), name))?;
    ground::refuse_shared(db, entry).await?;
    Ok(version)
}

async fn delete(db: &mut PgConnection, kind: EntryKind, name: &str) -> Result<(), Refusal> {
    rules::drop_own(db, kind, name).await?;
    let gone = match kind {
        EntryKind::Department => departments::delete(db, name).await?,
        EntryKind::Contact => contacts::delete(db, name).await?,
        EntryKind::External => contacts::delete_external(db, name).await?,
        EntryKind::Class => departments::delete_class(db, name).await?,
        EntryKind::Router => topology::delete_router(db, name).await?,
        EntryKind::Server => topology::delete_server(db, name).await?,
    };
    if gone { Ok(()) } else { Err(missing(kind, name)) }
}

async fn verify(db: &mut PgConnection, handle: &str, on: NaiveDate) -> Result<Version, Refusal> {
    contacts::verify(db, handle, on).await?.map(Version).ok_or_else(|| missing(EntryKind::Contact, handle))
}

fn missing(kind: EntryKind, name: &str) -> Refusal {
    Refusal::Missing(Problem::new("no-such-entry", "", format!("there is no {} {name}", kind.word())))
}

/// All departments, by name.
pub async fn all_departments(pool: &PgPool) -> Result<Vec<Kept<DepartmentDraft>>, DbError> {
    departments::all(&mut *pool.acquire().await?).await
}

/// All contacts, by handle.
pub async fn all_contacts(pool: &PgPool) -> Result<Vec<Kept<ContactDraft>>, DbError> {
    contacts::all(&mut *pool.acquire().await?).await
}

/// All organisations outside, by name.
pub async fn all_externals(pool: &PgPool) -> Result<Vec<Kept<ExternalDraft>>, DbError> {
    contacts::externals(&mut *pool.acquire().await?).await
}

/// All device classes, by name.
pub async fn all_classes(pool: &PgPool) -> Result<Vec<Kept<ClassDraft>>, DbError> {
    departments::classes(&mut *pool.acquire().await?).await
}

/// All routers with their ports, by name.
pub async fn all_routers(pool: &PgPool) -> Result<Vec<Kept<RouterDraft>>, DbError> {
    topology::routers(&mut *pool.acquire().await?).await
}

/// All departments' servers, by name.
pub async fn all_servers(pool: &PgPool) -> Result<Vec<Kept<ServerDraft>>, DbError> {
    topology::servers(&mut *pool.acquire().await?).await
}
