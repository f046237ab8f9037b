-- Who may come in. Principals with a password, their browser sessions, tokens for programs, and the brake on guessing.
--
-- Nothing here can be used as it lies: passwords are argon2id, session and token secrets are SHA-256 of 256 random bits.
-- The brake is in the database, so that several masters share it and a restart does not lift it.

create schema access;

create table access.principal (
  id uuid primary key,
  name text not null constraint principal_name_taken unique constraint principal_name_shape check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  role text not null constraint principal_role_known check (role in ('administrator', 'viewer')),
  -- PHC string; null for a principal that only programs use.
  password text constraint principal_password_is_argon2id check (password like '$argon2id$%'),
  must_change boolean not null default false,
  created timestamptz not null default now()
);

create table access.session (
  hash bytea primary key constraint session_hash_is_sha256 check (length(hash) = 32),
  principal uuid not null references access.principal (id) on delete cascade,
  created timestamptz not null default now(),
  last_seen timestamptz not null default now(),
  -- The absolute end; the idle end is counted from last_seen.
  expires timestamptz not null
);
create index session_of_principal on access.session (principal);

create table access.api_token (
  id uuid primary key,
  name text not null constraint token_name_shape check (length(name) between 1 and 100),
  principal uuid not null references access.principal (id) on delete cascade,
  hash bytea not null constraint token_hash_is_sha256 check (length(hash) = 32),
  created timestamptz not null default now(),
  -- Null: until it is revoked.
  expires timestamptz,
  last_used timestamptz,
  constraint token_name_taken unique (principal, name)
);

-- Failed log-ins of one name or of one address; the row goes when a log-in succeeds or the window is over.
create table access.login_throttle (
  subject text primary key,
  failures integer not null,
  window_start timestamptz not null,
  blocked_until timestamptz
);
