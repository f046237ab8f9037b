//! Responsibilities and mailboxes: rules, and how they become rows.

use super::{EntryKind, names};
use crate::db::DbError;
use crate::db::responsibility::{self, MailboxDraft, NewResponsibility, ObjectId, ObjectKind, ResponsibilityDraft};
use crate::inventory::places::refuse;
use crate::inventory::{Problem, Refusal};
use holdfast_proto::words::DomainName;
use sqlx::{PgConnection, PgPool};

/// How many places there are within a role.
const RANKS: std::ops::RangeInclusive<i32> = 1..=99;

/// All responsibilities, or those for one object or of one contact.
pub async fn responsibilities(
    pool: &PgPool,
    kind: Option<ObjectKind>,
    object: Option<&str>,
    contact: Option<&str>,
) -> Result<Vec<ResponsibilityDraft>, DbError> {
    responsibility::all(&mut *pool.acquire().await?, kind, object, contact).await
}

/// All mailboxes that somebody reads, by domain and name.
pub async fn mailboxes(pool: &PgPool) -> Result<Vec<MailboxDraft>, DbError> {
    responsibility::mailboxes(&mut *pool.acquire().await?).await
}

/// Makes somebody responsible.
pub(super) async fn put(db: &mut PgConnection, draft: &ResponsibilityDraft) -> Result<(), Refusal> {
    let object = responsibility::find(db, draft.kind, &draft.object).await?;
    let mut problems = Vec::new();
    if object.is_none() {
        problems.push(no_object(draft));
    }
    if !is_contact(db, &draft.contact).await? {
        problems.push(Problem::new("no-such-entry", "/contact", format!("there is no contact {}: add it first", draft.contact)));
    }
    if !RANKS.contains(&draft.rank) {
        problems.push(Problem::new("rank-out-of-range", "/rank", format!("a rank is a number from {} to {}", RANKS.start(), RANKS.end())));
    }
    refuse(problems)?;
    let rows: Vec<NewResponsibility<'_>> =
        object.into_iter().map(|object| NewResponsibility { object, contact: &draft.contact, role: draft.role, rank: draft.rank }).collect();
    Ok(responsibility::put(db, &rows).await?)
}

/// Ends a responsibility.
pub(super) async fn delete(db: &mut PgConnection, draft: &ResponsibilityDraft) -> Result<(), Refusal> {
    let object: ObjectId = responsibility::find(db, draft.kind, &draft.object).await?.ok_or_else(|| Refusal::Missing(no_object(draft)))?;
    if responsibility::delete(db, object, &draft.contact, draft.role).await? {
        return Ok(());
    }
    let detail = format!("{} is not the {} contact of {}", draft.contact, draft.role.as_str(), called(draft));
    Err(Refusal::Missing(Problem::new("no-such-responsibility", "", detail)))
}

fn no_object(draft: &ResponsibilityDraft) -> Problem {
    Problem::new("no-such-object", "/object", format!("there is no {}", called(draft)))
}

fn called(draft: &ResponsibilityDraft) -> String {
    let kind = match draft.kind {
        ObjectKind::Host => "host",
        ObjectKind::Subnet => "subnet",
        ObjectKind::Zone => "zone",
        ObjectKind::Department => "department",
        ObjectKind::Campus => "campus",
        ObjectKind::Institution => "institution",
        ObjectKind::Node => "box",
        ObjectKind::External => "organisation",
    };
    format!("{kind} {}", draft.object).trim_end().to_owned()
}

/// Makes somebody the reader of a mailbox.
pub(super) async fn put_mailbox(db: &mut PgConnection, draft: &MailboxDraft) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    let domain = draft.domain.parse::<DomainName>();
    if let Err(wrong) = &domain {
        problems.push(Problem::new("bad-name", "/domain", format!("\"{}\" is no domain: {wrong}", draft.domain)));
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._+-".contains(c);
    if !draft.mailbox.starts_with(|c: char| c.is_ascii_alphanumeric()) || !draft.mailbox.chars().all(fits) || draft.mailbox.len() > 64 {
        problems.push(Problem::new("bad-name", "/mailbox", format!("\"{}\" is no mailbox such as postmaster", draft.mailbox)));
    }
    if !is_contact(db, &draft.contact).await? {
        problems.push(Problem::new("no-such-entry", "/contact", format!("there is no contact {}: add it first", draft.contact)));
    }
    refuse(problems)?;
    let domain = domain.map(|domain| domain.without_dot()).unwrap_or_default();
    Ok(responsibility::put_mailbox(db, &MailboxDraft { domain, ..draft.clone() }).await?)
}

/// Takes a mailbox away.
pub(super) async fn delete_mailbox(db: &mut PgConnection, domain: &str, mailbox: &str) -> Result<(), Refusal> {
    if responsibility::delete_mailbox(db, domain, mailbox).await? {
        return Ok(());
    }
    Err(Refusal::Missing(Problem::new("no-such-mailbox", "", format!("nobody is known to read {mailbox}@{domain}"))))
}

async fn is_contact(db: &mut PgConnection, handle: &str) -> Result<bool, DbError> {
    Ok(names(db, EntryKind::Contact).await?.iter().any(|(known, _)| known == handle))
}
