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
    /// An encrypted field, where it is kept.
    pub nt_hash: Option<Vec<u8>>,
    /// An encrypted field, where it is kept.
    pub cleartext: Option<Vec<u8>>,
    /// A list of reply attributes.
    pub attributes: Value,
}

/// The verifiers of an account, each an encrypted field.
#[derive(Debug, Clone)]
pub struct Verifiers {
    /// argon2id.
    pub verifier: Vec<u8>,
    /// Where it is kept.
    pub nt_hash: Option<Vec<u8>>,
    /// Where it is kept.
    pub cleartext: Option<Vec<u8>>,
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
    /// Of its password.
    pub verifiers: Verifiers,
    /// A list of reply attributes.
    pub attributes: Value,
}

/// Which of these keys are taken.
pub async fn taken(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select key from portal_access.account where key = any ($1) order by key", keys).fetch_all(tx).await
}

/// Adds accounts, all or none.
pub async fn insert(tx: &mut PgConnection, accounts: Vec<NewAccount>) -> sqlx::Result<()> {
    let (mut keys, mut names, mut departments, mut attributes) = (vec![], vec![], vec![], vec![]);
    let (mut verifiers, mut nt_hashes, mut cleartexts) = (vec![], vec![], vec![]);
    for account in accounts {
        keys.push(account.key);
        names.push(account.name);
        departments.push(account.department);
        verifiers.push(account.verifiers.verifier);
        nt_hashes.push(account.verifiers.nt_hash);
        cleartexts.push(account.verifiers.cleartext);
        attributes.push(account.attributes);
    }
    sqlx::query!(
        "insert into portal_access.account (key, name, department, verifier, nt_hash, cleartext, attributes)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::jsonb[])",
        &keys,
        &names,
        &departments,
        &verifiers,
        &nt_hashes as &[Option<Vec<u8>>],
        &cleartexts as &[Option<Vec<u8>>],
        &attributes
    )
    .execute(tx)
    .await
    .map(drop)
}

/// Sets the verifiers of a new password; `false` where there is no such account.
pub async fn set_password(tx: &mut PgConnection, key: &str, verifiers: &Verifiers) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal_access.account set verifier = $2, nt_hash = $3, cleartext = $4, changed_at = now(), password_changed_at = now() where key = $1",
        key,
        verifiers.verifier,
        verifiers.nt_hash.as_deref(),
        verifiers.cleartext.as_deref()
    );
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Sets a state; `false` where there is no such account.
pub async fn set_state(tx: &mut PgConnection, key: &str, state: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!("update portal_access.account set state = $2, changed_at = now() where key = $1", key, state);
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// The accounts of these keys, as they are now, locked until the transaction ends: who goes on to write a verifier that was read here
/// would undo a password that somebody set, or a verifier that was forgotten, between the two.
pub async fn read(tx: &mut PgConnection, keys: &[String]) -> sqlx::Result<Vec<AccountRow>> {
    sqlx::query_as!(
        AccountRow,
        "select key, state, verifier, nt_hash, cleartext, attributes from portal_access.account where key = any ($1) order by key for update",
        keys
    )
    .fetch_all(tx)
    .await
}

/// The verifiers of an account and whose they are.
#[derive(Debug, Clone)]
pub struct KeyedVerifiers {
    /// The normalised name.
    pub key: String,
    /// An encrypted field.
    pub verifier: Vec<u8>,
    /// An encrypted field, where it is kept.
    pub nt_hash: Option<Vec<u8>>,
    /// An encrypted field, where it is kept.
    pub cleartext: Option<Vec<u8>>,
}

/// Every verifier, locked against other writers until the transaction ends.
pub async fn verifiers(tx: &mut PgConnection) -> sqlx::Result<Vec<KeyedVerifiers>> {
    sqlx::query_as!(KeyedVerifiers, "select key, verifier, nt_hash, cleartext from portal_access.account order by key for update").fetch_all(tx).await
}

/// Replaces encrypted verifiers by the same under another key: the passwords are as old as they were.
pub async fn set_verifiers(tx: &mut PgConnection, rows: &[KeyedVerifiers]) -> sqlx::Result<()> {
    let keys: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
    let verifiers: Vec<Vec<u8>> = rows.iter().map(|row| row.verifier.clone()).collect();
    let nt_hashes: Vec<Option<Vec<u8>>> = rows.iter().map(|row| row.nt_hash.clone()).collect();
    let cleartexts: Vec<Option<Vec<u8>>> = rows.iter().map(|row| row.cleartext.clone()).collect();
    let update = sqlx::query!(
        "update portal_access.account a set verifier = n.verifier, nt_hash = n.nt_hash, cleartext = n.cleartext
         from unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) n (key, verifier, nt_hash, cleartext) where a.key = n.key",
        &keys,
        &verifiers,
        &nt_hashes as &[Option<Vec<u8>>],
        &cleartexts as &[Option<Vec<u8>>]
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
