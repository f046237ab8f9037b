//! Boot templates and NASs.

use super::draft::{NasDraft, TemplateDraft};
use super::{Problem, Refusal};
use crate::db::boot::{self, TemplateRow};
use crate::db::nas::{self, NasRow};
use sqlx::PgConnection;

/// Keeps a template whose parents are there already.
pub(super) async fn put_template(db: &mut PgConnection, draft: &TemplateDraft) -> Result<(), Refusal> {
    let known = boot::templates(db).await?;
    let missing = |parent: &&String| **parent == draft.name || !known.iter().any(|template| template.name == **parent);
    let problems: Vec<Problem> = draft.parents.iter().filter(missing).map(|parent| no_parent(draft, parent)).collect();
    super::places::refuse(problems)?;
    let row = TemplateRow { name: draft.name.clone(), parents: draft.parents.clone(), tags: draft.tags.clone() };
    Ok(boot::put_template(db, &row).await?)
}

fn no_parent(draft: &TemplateDraft, parent: &str) -> Problem {
    Problem::new("no-such-template", "/parents", format!("{} builds on {parent}, which is not there before it", draft.name))
}

/// Keeps a NAS.
pub(super) async fn put_nas(db: &mut PgConnection, draft: &NasDraft) -> Result<(), Refusal> {
    let secret = draft.secret.bytes();
    let row = NasRow { name: &draft.name, prefix: draft.prefix.to_string(), secret, require_message_authenticator: draft.require_message_authenticator };
    Ok(nas::put(db, &row).await?)
}

/// Deletes a NAS.
pub(super) async fn delete_nas(db: &mut PgConnection, name: &str) -> Result<(), Refusal> {
    let missing = || Refusal::Missing(Problem::new("no-such-nas", "", format!("there is no NAS {name}")));
    if nas::delete(db, name).await? { Ok(()) } else { Err(missing()) }
}
