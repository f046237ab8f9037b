//! Boot templates.

use super::draft::TemplateDraft;
use super::{Problem, Refusal};
use crate::db::boot::{self, TemplateRow};
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
