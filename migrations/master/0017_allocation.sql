-- What else is handed out, and when: networks out of containers, addresses that are not IP, moves at a time to come; and when
-- an address was last seen in use, so that what nobody needs can be taken back.

-- A network that subnets are cut from. Containers may lie in one another.
create table ipam.container (
  id bigint generated always as identity primary key,
  network cidr not null constraint container_taken unique,
  purpose text not null default '' constraint container_purpose_length check (octet_length(purpose) <= 4096)
);
call change.keep_record_of('ipam.container', 'id');

-- Families of addresses beyond IP are data: how a value looks, whether two hosts may share one, and how to count where the
-- family can count. They are shown with their hosts and are never in DNS.
create table ipam.family (
  id bigint generated always as identity primary key,
  name text not null constraint family_taken unique constraint family_name_shape check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  -- A regular expression that a whole value matches.
  pattern text not null default '.+',
  is_unique boolean not null default true,
  -- Counted families: the numbers, and the value around a number, which stands for {}.
  first bigint,
  last bigint,
  template text not null default '{}',
  constraint family_with_uniqueness unique (id, is_unique),
  constraint family_range check ((first is null) = (last is null) and first between 0 and last),
  constraint family_template check (position('{}' in template) > 0)
);
call change.keep_record_of('ipam.family', 'id');

create table ipam.other_address (
  id bigint generated always as identity primary key,
  host_id uuid not null constraint other_address_of_host references ipam.host (id) deferrable initially immediate,
  family_id bigint not null,
  is_unique boolean not null,
  value text not null constraint other_address_length check (octet_length(value) between 1 and 255),
  constraint other_address_of_family foreign key (family_id, is_unique) references ipam.family (id, is_unique)
    on update cascade deferrable initially immediate
);
create unique index other_address_taken on ipam.other_address (family_id, value) where is_unique;
create index other_address_of_host on ipam.other_address (host_id);
create index other_address_of_family on ipam.other_address (family_id);
call change.keep_record_of('ipam.other_address', 'id');

-- The TTL of what a host says of itself (addresses, PTR, HINFO), in seconds; the zone's where there is none. A planned move
-- lowers it beforehand.
alter table ipam.host add column ttl bigint constraint host_ttl check (ttl between 0 and 2147483647);

create function publish.on_host_ttl() returns trigger language plpgsql as $$
begin
  if not exists (select from old_rows o join new_rows n using (id) where o.ttl is distinct from n.ttl) then return null; end if;
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'name', d.name from old_rows o join new_rows n using (id) join dns.node d on d.id = n.node_id
      where o.ttl is distinct from n.ttl
    union select change.current_set(), 'name', dns.reverse_name(a.ip) from old_rows o join new_rows n using (id) join ipam.address a on a.host_id = n.id
      where o.ttl is distinct from n.ttl;
  return null;
end $$;
create trigger outbox_ttl after update on ipam.host referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_host_ttl();

-- Moves that were announced. The master makes each at its time, once.
create table ipam.planned_move (
  id uuid primary key,
  host_id uuid not null,
  network cidr not null,
  address inet,
  interface integer not null default 0,
  at timestamptz not null,
  -- The host's own TTL before it was lowered.
  old_ttl bigint,
  -- When the last answer with the old TTL has run out.
  settled_at timestamptz not null,
  actor text not null,
  reason text not null default '',
  state text not null default 'planned' constraint planned_move_state check (state in ('planned', 'done', 'failed', 'cancelled')),
  why text not null default ''
);
create unique index one_planned_move_per_host on ipam.planned_move (host_id) where state = 'planned';
create index planned_move_due on ipam.planned_move (at) where state = 'planned';
call change.keep_record_of('ipam.planned_move', 'id');

-- When an address was last seen in use, and by what: a lease, a RADIUS session, a probe. An observation, not an edit.
create table ipam.sighting (
  ip inet primary key,
  last_seen timestamptz not null,
  source text not null
);
