-- The auth portal's own database: who has an account, what was published of them, and which agents may read it.
--
-- It exists apart from the hostname database so that whoever reads that one, or a backup of it, learns no verifier, and so
-- that no query can join the two. Passwords are never here: only argon2id verifiers, encrypted under the portal's data key,
-- which lies in a file. Schema names differ from the master's because the build checks the queries of both in one database.

create schema portal_access;
create schema portal_publish;

create table portal_access.account (
  -- The name as RADIUS looks it up: trimmed, lower case.
  key text primary key constraint account_key_shape check (key <> '' and octet_length(key) <= 253),
  name text not null,
  department text not null default '',
  state text not null default 'active' constraint account_state check (state in ('active', 'suspended')),
  -- An encrypted field (see proto/src/snapshot/crypt.rs) that belongs to this key and no other.
  verifier bytea not null,
  -- [{"name": "Tunnel-Type", "tag": 0, "value": "VLAN"}, ...] in the order of the Access-Accept.
  attributes jsonb not null default '[]' constraint account_attributes_shape check (jsonb_typeof(attributes) = 'array'),
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  password_changed_at timestamptz not null default now()
);

-- Who did what to whom. Appended to, never changed; it holds no secrets.
create table portal_access.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,
  action text not null,
  subject text not null
);

-- Agents whose key an operator compared with the box's screen. The portal encrypts to these and to nobody else.
create table portal_publish.confirmed_agent (
  node_id uuid primary key,
  name text not null,
  hpke_public bytea not null,
  fingerprint text not null,
  confirmed_at timestamptz not null default now()
);

-- What has changed since the last generation. Filled in the writer's transaction, emptied by the one publisher.
create table portal_publish.outbox (
  id bigint generated always as identity primary key,
  subject text not null constraint outbox_subject check (subject in ('account', 'agent')),
  key text not null
);

-- Every generation as it was signed, so that the relay can go on wherever the master stands.
create table portal_publish.generation (
  epoch integer not null,
  generation bigint not null,
  sealed bytea not null,
  payload bytea not null,
  at timestamptz not null default now(),
  primary key (epoch, generation)
);

-- How far the master has it, as it last said: one row.
create table portal_publish.relayed (
  is_the_row boolean primary key default true constraint relayed_has_one_row check (is_the_row),
  epoch integer not null,
  generation bigint not null,
  at timestamptz not null default now()
);

create function portal_publish.note_account() returns trigger language plpgsql as $$
begin
  insert into portal_publish.outbox (subject, key) values ('account', coalesce(new.key, old.key));
  return null;
end $$;
create trigger note_account after insert or update or delete on portal_access.account for each row execute function portal_publish.note_account();

create function portal_publish.note_agent() returns trigger language plpgsql as $$
begin
  insert into portal_publish.outbox (subject, key) values ('agent', coalesce(new.node_id, old.node_id)::text);
  return null;
end $$;
create trigger note_agent after insert or update or delete on portal_publish.confirmed_agent for each row execute function portal_publish.note_agent();
