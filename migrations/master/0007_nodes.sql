-- Boxes in and out: what is remembered of each, who replaced whom, and what a box that was thrown out set going.

-- Who enrolled, revoked or replaced a box is history like any edit: these tables are written inside a change set.
call change.keep_record_of('publish.node', 'id');
alter table publish.enrol_token add replaces boolean not null default false;

-- What a box last said, and the certificate it was last given. Written without a change set: it is no edit.
create table publish.node_line (
  node_id uuid primary key references publish.node (id),
  build text not null default '',
  connected_at timestamptz,
  last_error text,
  last_error_at timestamptz,
  certificate_end timestamptz,
  -- The short name of the authority that issued it.
  authority text
);

-- Which data key the access feed is encrypted with: one row, or none while the first key is in use.
create table publish.access_key (
  singleton boolean primary key default true constraint access_key_is_one_row check (singleton),
  key_id bytea not null constraint access_key_id_length check (length(key_id) = 8),
  since timestamptz not null default now()
);

-- A box that held the data key was thrown out: the key must be changed. Asked for in the transaction that throws it out, and
-- settled in the one that publishes the rows under the new key, so neither can be lost.
create table publish.rotation (
  node_id uuid primary key references publish.node (id),
  asked_at timestamptz not null default now(),
  done_at timestamptz,
  generation bigint
);

-- Whoever follows boxes is told at once. These changes are rare: the lock that NOTIFY takes at commit is in nobody's way.
create function publish.tell_of_nodes() returns trigger language plpgsql as $$
begin
  perform pg_notify('holdfast_nodes', '');
  return null;
end $$;
create trigger tell_of_nodes after insert or update or delete on publish.node for each statement execute function publish.tell_of_nodes();
