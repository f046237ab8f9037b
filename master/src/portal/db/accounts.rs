//! Accounts and the audit of what was done to them. The table's trigger notes every change for the publisher.

use serde_json::Value;
use sqlx::PgConnection;

/// An account as it is kept.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// The normalised name.
    pub key: String,
    /// `active` or `suspended`.
    pub state: String,
    /// An encrypted field.
    pub verifier: Vec<u8>,
    /// A list of reply attributes.
    pub attributes: Value,
}

/// An account that is about to be kept.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// The normalised name.
    pub key: String,
    /// The name as it was given.
    pub name: String,
    /// Whose account.
    pub department: String,
    /// An encrypted field.
    pub verifier: Vec<u8>,
    /// A list of reply attributes.
    pub attributes: Value,
}

/// Which of these keys are taken.
pub async fn taken(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select key from portal_access.account where key = any ($1) order by key", keys).fetch_all(tx).await
}

/// Adds accounts, all or none.
pub async fn insert(tx: &mut PgConnection, accounts: Vec<NewAccount>) -> sqlx::Result<()> {
    let (mut keys, mut names, mut departments, mut verifiers, mut attributes) = (vec![], vec![], vec![], vec![], vec![]);
    for account in accounts {
        keys.push(account.key);
        names.push(account.name);
        departments.push(account.department);
        verifiers.push(account.verifier);
        attributes.push(account.attributes);
    }
    sqlx::query!(
        "insert into portal_access.account (key, name, department, verifier, attributes)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[])",
        &keys,
        &names,
        &departments,
        &verifiers,
        &attributes
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Sets a verifier; `false` where there is no such account.
pub async fn set_verifier(tx: &mut PgConnection, key: &str, verifier: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query!("update portal_access.account set verifier = $2, changed_at = now(), password_changed_at = now() where key = $1", key, verifier);
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Sets a state; `false` where there is no such account.
pub async fn set_state(tx: &mut PgConnection, key: &str, state: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!("update portal_access.account set state = $2, changed_at = now() where key = $1", key, state);
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// The accounts of these keys, as they are now.
pub async fn read(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<Vec<AccountRow>> {
    sqlx::query_as!(AccountRow, "select key, state, verifier, attributes from portal_access.account where key = any ($1)", keys).fetch_all(tx).await
}

/// A verifier and whose it is.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// The normalised name.
    pub key: String,
    /// An encrypted field.
    pub verifier: Vec<u8>,
}

/// Every verifier, locked against other writers until the transaction ends.
pub async fn verifiers(tx: &mut PgConnection) -> sqlx::Result<Vec<Verifier>> {
    sqlx::query_as!(Verifier, "select key, verifier from portal_access.account order by key for update").fetch_all(tx).await
}

/// Replaces encrypted verifiers by the same under another key: the passwords are as old as they were.
pub async fn set_verifiers(tx: &mut PgConnection, rows: &[Verifier]) -> sqlx::Result<()> {
    let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
    let verifiers: Vec<Vec<u8>> = rows.iter().map(|row| row.verifier.clone()).collect();
    let update = sqlx::query!(
        "update portal_access.account a set verifier = n.verifier from unnest($1::text[], $2::bytea[]) n (key, verifier) where a.key = n.key",
        &keys,
        &verifiers
    );
    update.execute(tx).await.map(drop)
}

/// How many accounts there are.
pub async fn count(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from portal_access.account"#).fetch_one(db).await
}

/// Writes down who did what to whom, one line per subject.
pub async fn audit(tx: &mut PgConnection, actor: &str, action: &str, subjects: &[String]) -> sqlx::Result<()> {
    let lines = sqlx::query!("insert into portal_access.audit (actor, action, subject) select $1, $2, unnest($3::text[])", actor, action, subjects);
    lines.execute(tx).await.map(drop)
}
