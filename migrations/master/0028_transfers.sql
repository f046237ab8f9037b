-- Zones between servers: who may have ours, whose we have, and the keys that both sign with.
--
-- What an admin says stands in the zone's own row, so that its history, its undoing and its past need nothing new. What the
-- master finds out by itself (serials, times, the records of others) stands apart and is no part of the audit: a transfer leaves
-- a change set that says where from and which serial, not an image of every record.

alter table dns.zone
  -- [{"address": "192.0.2.5", "port": 53, "key": "dept.key"}, ...]: whose copy the zone is; empty of zones of our own.
  add column primaries jsonb not null default '[]' constraint zone_primaries_shape check (jsonb_typeof(primaries) = 'array'),
  -- [{"prefix": "192.0.2.7/32", "key": "dept.key", "notify": "192.0.2.7:53"}, ...]: who may have it; nobody where it is empty.
  add column transfers jsonb not null default '[]' constraint zone_transfers_shape check (jsonb_typeof(transfers) = 'array');
create index zone_between_servers on dns.zone (id) where primaries <> '[]' or transfers <> '[]';

create table dns.tsig_key (
  id bigint generated always as identity primary key,
  name text not null constraint tsig_key_taken unique constraint tsig_key_shape check (name = lower(name) and name !~ '\.$' and name <> ''),
  created_by text not null,
  created_at timestamptz not null default now()
);
call change.keep_record_of('dns.tsig_key', 'id');

-- Apart from the key, so that no image of the audit holds it. It signs and so has to be readable here; it is told once.
create table dns.tsig_secret (
  name text primary key,
  secret bytea not null constraint tsig_secret_length check (length(secret) between 16 and 512)
);

-- What is known of a copy. A row without a serial: nothing was transferred yet, or it is a copy no more.
create table dns.copy (
  zone_id bigint primary key references dns.zone (id) on delete cascade,
  serial bigint,
  records bigint not null default 0,
  -- When it is asked again; far away while it is being asked.
  next_at timestamptz not null default now(),
  busy_until timestamptz,
  notified_at timestamptz,
  checked_at timestamptz,
  transferred_at timestamptz,
  expires_at timestamptz,
  is_expired boolean not null default false,
  -- Who answered last.
  answered_by text,
  failures integer not null default 0,
  last_error text,
  -- A transfer that would take much away waits for somebody to accept it.
  held_serial bigint,
  held_removed bigint,
  held_of bigint,
  accepted_serial bigint
);
create index copy_due on dns.copy (next_at);
create index copy_expires on dns.copy (expires_at) where not is_expired;

create table dns.copied (
  id bigint generated always as identity primary key,
  zone_id bigint not null references dns.zone (id) on delete cascade,
  name text not null,
  rtype integer not null,
  ttl bigint not null,
  rdata bytea not null
);
create index copied_of on dns.copied (zone_id, name);
create index copied_by_name on dns.copied ((name collate "C"));
create index copied_reversed on dns.copied (zone_id, (reverse(name) collate "C") text_pattern_ops);

-- Transfers that were not given; at most a few a minute are written, and the oldest go.
create table dns.refused (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  client text not null,
  zone text not null,
  asked text not null,
  key text,
  why text not null
);

-- A zone that becomes a copy is asked for at once. Until the first transfer one that was our own is served as it is; of a new one
-- nothing is known, which is not the same as that there is nothing.
create function dns.on_primaries() returns trigger language plpgsql as $$
begin
  insert into dns.copy (zone_id, is_expired) values (new.id, tg_op = 'INSERT') on conflict (zone_id) do update set next_at = now(), busy_until = null, failures = 0;
  return null;
end $$;
create trigger copy_begins after insert on dns.zone for each row when (new.primaries <> '[]') execute function dns.on_primaries();
create trigger copy_changes after update on dns.zone for each row
  when (new.primaries <> '[]' and new.primaries <> old.primaries) execute function dns.on_primaries();

-- The names of a zone that is a copy no more are looked at again: what the master has of its own is served from then on.
create function publish.on_copy_ended() returns trigger language plpgsql as $$
begin
  insert into publish.outbox (change_set, subject, key) select distinct change.current_set(), 'name', name from dns.copied where zone_id = old.id;
  perform publish.emit_below(array[old.apex]);
  delete from dns.copied where zone_id = old.id;
  update dns.copy set serial = null, records = 0, busy_until = null, expires_at = null, is_expired = false, held_serial = null, accepted_serial = null, last_error = null
    where zone_id = old.id;
  return old;
end $$;
create trigger copy_ends after update on dns.zone for each row when (old.primaries <> '[]' and new.primaries = '[]') execute function publish.on_copy_ended();
create trigger copy_ends_with_zone before delete on dns.zone for each row when (old.primaries <> '[]') execute function publish.on_copy_ended();
