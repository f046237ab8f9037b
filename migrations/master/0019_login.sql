-- How people come in: a second factor, sessions that can be listed, tokens that can do less than their owner.

-- What an administrator decides for the institution.
create table access.policy (
  singleton boolean primary key default true constraint policy_is_one_row check (singleton),
  require_second_factor text not null default 'never' constraint policy_second_factor_known check (require_second_factor in ('never', 'writes', 'always')),
  token_days_default integer not null default 90,
  token_days_limit integer not null default 366,
  constraint policy_token_days check (token_days_default between 1 and token_days_limit and token_days_limit <= 3660)
);
insert into access.policy default values;

-- One authenticator of a person (RFC 6238). It counts from the moment on that a first code was right.
create table access.totp (
  principal uuid primary key references access.principal (id),
  secret bytea not null constraint totp_secret_length check (length(secret) = 20),
  confirmed_at timestamptz,
  -- The newest time step whose code was used: that one and older ones work no more.
  last_step bigint not null default 0
);

create table access.recovery_code (
  hash bytea primary key constraint recovery_hash_is_sha256 check (length(hash) = 32),
  principal uuid not null references access.principal (id)
);
create index recovery_code_of on access.recovery_code (principal);

alter table access.session
  -- What it is called where sessions are listed; the secret's digest is nobody's business.
  add column id uuid not null default gen_random_uuid() constraint session_id_taken unique,
  add column address inet,
  add column browser text not null default '',
  -- How far the log-in is: with the password alone, waiting for a code, or with both.
  add column factors text not null default 'password' constraint session_factors_known check (factors in ('password', 'awaits-code', 'both', 'emergency'));

alter table access.api_token
  add column access text not null default 'write' constraint token_access_known check (access in ('read', 'write')),
  -- Null: all grants that its owner has at the time; else those of these that the owner still has.
  add column grants bigint[],
  -- From where it works; empty: from anywhere.
  add column sources cidr[] not null default '{}',
  add column last_used_from inet;
