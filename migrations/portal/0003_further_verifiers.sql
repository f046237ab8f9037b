-- Verifiers for methods that argon2id cannot serve: an NT hash for MS-CHAPv2 (PEAP), the password itself for CHAP. Either is as
-- good as the password to a thief, so by default there is none, and the table below says for whom there is one.

alter table portal_access.account
  -- What stands behind the last @ of the name; nothing for names without one.
  add column realm text not null generated always as (case when key like '%@%' then substring(key from '[^@]*$') else '' end) stored,
  -- Encrypted fields of purposes of their own (see proto/src/radius/table.rs), made when the password is set.
  add column nt_hash bytea,
  add column cleartext bytea;

create table portal_access.kept_verifier (
  -- '*' is everybody, '' those whose name has no realm.
  realm text not null constraint kept_verifier_realm check (octet_length(realm) <= 253),
  kind text not null constraint kept_verifier_kind check (kind in ('nt-hash', 'cleartext')),
  since timestamptz not null default now(),
  primary key (realm, kind)
);
