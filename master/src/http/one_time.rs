//! People come in for the first time, or again, with a password that works once and is told once.

use super::{App, Problem, on_site::reset_password, secrets::OneTimePassword, secrets::hash_password, session::Visitor};
use crate::inventory::{
    Action, Actor, authorise,
    people::{self, Why},
};
use holdfast_proto::words::Secret;

/// Adds a person, with a one-time password, or a group, which has none. With `dry_run` nobody is added.
pub async fn add_principal(app: &App, actor: &Actor, why: Why<'_>, name: &str, is_group: bool) -> Result<Option<OneTimePassword>, Problem> {
    let one_time = (!is_group).then(OneTimePassword::random);
    let phc = match &one_time {
        Some(password) => Some(hash_password(Secret::new(password.expose())).await?),
        None => None,
    };
    people::add_principal(&app.pool, actor, why, name, phc).await?;
    Ok(one_time)
}

/// Gives a person a new one-time password; the old one works no more.
pub async fn new_password(app: &App, visitor: &Visitor, via: &'static str, name: &str) -> Result<OneTimePassword, Problem> {
    authorise(&visitor.actor(via), Action::Grant, "passwords")?;
    let password = reset_password(&app.pool, name).await?;
    tracing::warn!(event = "access_password_reset", principal = name, by = visitor.name, "{} reset the password of {name}", visitor.name);
    Ok(password)
}
