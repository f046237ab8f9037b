//! Which verifiers are kept beside argon2id, and for whom.

use sqlx::PgConnection;

/// One line of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// `*` is everybody, nothing those whose name has no realm.
    pub realm: String,
    /// `nt-hash` or `cleartext`.
    pub kind: String,
}

/// The policy.
pub async fn all(db: &mut PgConnection) -> sqlx::Result<Vec<KeptRow>> {
    sqlx::query_as!(KeptRow, "select realm, kind from portal_access.kept_verifier order by realm, kind").fetch_all(db).await
}

/// The policy, which nobody takes anything out of until the transaction ends: what is made by it now is found by whoever does.
pub async fn all_held(tx: &mut PgConnection) -> sqlx::Result<Vec<KeptRow>> {
    sqlx::query_as!(KeptRow, "select realm, kind from portal_access.kept_verifier for share").fetch_all(tx).await
}

/// Adds a line; `false` where it was there.
pub async fn add(tx: &mut PgConnection, realm: &str, kind: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!("insert into portal_access.kept_verifier (realm, kind) values ($1, $2) on conflict do nothing", realm, kind);
    Ok(done.execute(tx).await?.rows_affected() == 1)
}

/// Takes a line out; `false` where there was none.
pub async fn remove(tx: &mut PgConnection, realm: &str, kind: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!("delete from portal_access.kept_verifier where realm = $1 and kind = $2", realm, kind).execute(tx).await?;
    Ok(done.rows_affected() == 1)
}

/// Takes away what the policy no longer keeps; gives whose it was.
pub async fn drop_what_is_not_kept(tx: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "with kept as (
           select a.key,
             exists (select from portal_access.kept_verifier k where k.kind = 'nt-hash' and k.realm in ('*', a.realm)) as nt_hash,
             exists (select from portal_access.kept_verifier k where k.kind = 'cleartext' and k.realm in ('*', a.realm)) as cleartext
           from portal_access.account a)
         update portal_access.account a
         set nt_hash = case when kept.nt_hash then a.nt_hash end, cleartext = case when kept.cleartext then a.cleartext end, changed_at = now()
         from kept
         where kept.key = a.key and (a.nt_hash is not null and not kept.nt_hash or a.cleartext is not null and not kept.cleartext)
         returning a.key"
    )
    .fetch_all(tx)
    .await
}

/// How many accounts of a realm have no verifier of this kind yet.
pub async fn count_without(db: &mut PgConnection, realm: &str, kind: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from portal_access.account
           where ($1 = '*' or realm = $1) and case when $2 = 'nt-hash' then nt_hash is null else cleartext is null end"#,
        realm,
        kind
    )
    .fetch_one(db)
    .await
}
