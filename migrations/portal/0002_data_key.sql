-- Which data key the verifiers are encrypted with: one row, or none while the first key is in use. It changes when the master
-- says that an agent which could read them was thrown out.
create table portal_publish.data_key (
  singleton boolean primary key default true constraint data_key_is_one_row check (singleton),
  key_id bytea not null constraint data_key_id_length check (length(key_id) = 8),
  since timestamptz not null default now()
);
