-- Machines that nobody registered: their names in DNS while they have an address on loan, who they are, and what is said of their
-- addresses by boxes that had none of them to lend.

-- Under which zone the machines of a subnet get names; null: they get none. Agents name the machines; here it is only said where.
alter table ipam.subnet
  add column lease_zone text constraint subnet_lease_zone references dns.zone (apex) on update cascade;
create index subnet_by_lease_zone on ipam.subnet (lease_zone) where lease_zone is not null;

-- What DNS calls the machine while it has the address, as its agent says.
alter table ipam.lease add column name text;

-- As before, and: the name.
create or replace function ipam.note_lease(said ipam.lease) returns void language plpgsql as $$
declare
  known ipam.lease;
  goes_on boolean;
begin
  select * into known from ipam.lease l where l.ip = said.ip for update;
  if known.ip is not null and said.at < known.at then return; end if;
  if (known.at, known.node_id, known.client, known.state) = (said.at, said.node_id, said.client, said.state) then return; end if;
  goes_on := known.state = 'active' and known.client = said.client and known.until >= said.at;
  if goes_on then
    said.begun_at := known.begun_at;
    if said.state <> 'active' then perform ipam.end_lease(known, said.at); end if;
  elsif known.client = said.client and said.state <> 'active' then
    said.begun_at := known.begun_at;
  elsif known.state = 'active' then
    perform ipam.end_lease(known, said.at);
  end if;
  insert into ipam.lease select said.* on conflict (ip) do update set (node_id, client, hardware, host_name, state, begun_at, at, until, name)
    = (excluded.node_id, excluded.client, excluded.hardware, excluded.host_name, excluded.state, excluded.begun_at, excluded.at, excluded.until, excluded.name);
end $$;

-- The names that are published, for the other campuses: made of the leases by settle_lent_names, and edited by nobody.
create table ipam.lent_name (
  ip inet primary key,
  node_id uuid not null constraint lent_name_of_node references publish.node (id),
  name text not null constraint lent_name_once unique,
  ttl bigint not null
);

alter table publish.outbox drop constraint outbox_subject;
alter table publish.outbox add constraint outbox_subject check (subject in ('name', 'zone', 'subnet', 'reservation', 'nas', 'machine', 'lent'));

-- An address's reverse name, and those that exist because it does.
create function dns.reverse_names(ip inet) returns setof text language sql immutable as $$
  select array_to_string((string_to_array(dns.reverse_name(ip), '.'))[n:], '.') from generate_series(1, 4) n
$$;

-- No person stands behind it, so each time gets a number of its own, and no change set.
create function publish.on_lent_name() returns trigger language plpgsql as $$
declare
  set_id uuid := gen_random_uuid();
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'lent', name from old_rows union select set_id, 'lent', r from old_rows o, dns.reverse_names(o.ip) r;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'lent', name from new_rows union select set_id, 'lent', r from new_rows n, dns.reverse_names(n.ip) r;
  end if;
  return null;
end $$;
call publish.watch('ipam.lent_name', 'publish.on_lent_name');

-- What shall be published: of two machines with one name that which had it first, and of its addresses the newest.
create view ipam.named_lease as
  select distinct on (name) ip, node_id, name, ttl from (
    select l.ip, l.node_id, l.name, l.begun_at, l.hardware, first_value(l.hardware) over (partition by l.name order by l.begun_at, l.ip) as holder,
      -- As the agents have it: a third of the lease, minutes at most (RFC 4702 section 5).
      least(300, greatest(1, trunc(extract(epoch from l.until - l.at) / 3)))::bigint as ttl
    from ipam.lease l join ipam.subnet s on s.network >>= l.ip join dns.zone z on z.apex = s.lease_zone
    where l.state = 'active' and l.until > now() and z.primaries = '[]' and substr(l.name, strpos(l.name, '.') + 1) = s.lease_zone) named
  where hardware = holder order by name, begun_at desc, ip;

-- Makes the published names what they shall be; how many were wrong.
create function ipam.settle_lent_names() returns bigint language plpgsql as $$
declare
  gone bigint;
  come bigint;
begin
  -- Where no machine gets a name there is nothing to look at.
  if not exists (select from ipam.subnet s where s.lease_zone is not null) and not exists (select from ipam.lent_name) then return 0; end if;
  -- Two masters do not do it at once; the second finds it done.
  if not pg_try_advisory_xact_lock(hashtext('ipam.settle_lent_names')) then return 0; end if;
  delete from ipam.lent_name n where not exists (select from ipam.named_lease w where (w.ip, w.node_id, w.name, w.ttl) = (n.ip, n.node_id, n.name, n.ttl));
  get diagnostics gone = row_count;
  insert into ipam.lent_name (ip, node_id, name, ttl) select ip, node_id, name, ttl from ipam.named_lease w
    where not exists (select from ipam.lent_name n where n.ip = w.ip);
  get diagnostics come = row_count;
  return gone + come;
end $$;

-- What a box said of addresses that it has no share of: apart from the leases, for people to look at.
create table ipam.foreign_lease (
  node_id uuid not null constraint foreign_lease_of_node references publish.node (id),
  ip inet not null,
  hardware text not null,
  host_name text not null,
  state text not null,
  said_at timestamptz not null,
  received_at timestamptz not null default now(),
  times bigint not null default 1,
  primary key (node_id, ip)
);

-- Whether a box lends an address, or did: by a share, or because it was the last who lent it, and a share that ended since was its own.
create function ipam.may_lend(node uuid, address inet) returns boolean language sql stable as $$
  select exists (select from ipam.share h where h.node_id = node and ipam.inetrange(h.first, h.last, '[]') @> address)
    or (exists (select from ipam.lease l where l.ip = address and l.node_id = node)
      and not exists (select from ipam.share h where ipam.inetrange(h.first, h.last, '[]') @> address))
$$;

-- Machines that asked and that nobody registered, as agents tell: each once for each subnet.
create table ipam.unknown_machine (
  hardware text not null,
  network cidr not null,
  htype integer not null,
  relay inet,
  port text not null,
  vendor_class text not null,
  first_seen timestamptz not null,
  last_seen timestamptz not null,
  packets bigint not null,
  node_id uuid not null constraint unknown_machine_of_node references publish.node (id),
  primary key (hardware, network)
);
create index unknown_machine_by_last on ipam.unknown_machine (last_seen desc);

-- Leases that somebody ends: told to the agents in the snapshot until the agent says that it is done, or the lease has run out.
create table ipam.lease_end (
  ip inet primary key,
  subnet_id bigint not null constraint lease_end_of_subnet references ipam.subnet (id) on delete cascade,
  -- Not node_id: that is the number of a name, where it is looked at what a change touched.
  agent_id uuid not null constraint lease_end_of_agent references publish.node (id),
  client text not null
);
call change.keep_record_of('ipam.lease_end', 'ip');

-- As before, and: a lease that is ended lies where its address does.
create or replace function change.places_of(set_id uuid) returns setof change.place language sql stable as $$
  with image as (
    select c.table_name, c.key, c.host_id, v.image from change.change c, lateral (values (c.before), (c.after)) v (image)
    where c.change_set = set_id and v.image is not null)
  select i.table_name, i.key, coalesce(i.image ->> 'name', i.image ->> 'apex'), null::inet, null::text,
         (select d.name from org.department d where d.id = (i.image ->> 'department_id')::bigint)
    from image i where i.table_name in ('dns.node', 'dns.zone')
  union all
  select i.table_name, i.key, n.name, null, null, d.name from image i
    left join dns.node n on n.id = (i.image ->> 'node_id')::bigint left join org.department d on d.id = (i.image ->> 'department_id')::bigint
    where i.table_name in ('dns.record', 'ipam.host')
  union all
  -- Whatever is a host's lies where the host has its name and its addresses.
  select i.table_name, i.key, n.name, a.ip, c.name, d.name from image i
    join ipam.host h on h.id = i.host_id join dns.node n on n.id = h.node_id
    left join ipam.address a on a.host_id = h.id left join ipam.subnet s on s.id = a.subnet_id
    left join org.campus c on c.id = s.campus_id left join org.department d on d.id = h.department_id
    where i.host_id is not null
  union all
  select i.table_name, i.key, null, (i.image ->> 'ip')::inet, c.name, d.name from image i
    left join ipam.subnet s on s.id = (i.image ->> 'subnet_id')::bigint left join org.campus c on c.id = s.campus_id
    left join org.department d on d.id = s.department_id
    where i.table_name in ('ipam.address', 'ipam.lease_end')
  union all
  select i.table_name, i.key, null, (i.image ->> 'network')::inet, c.name, d.name from image i
    left join org.campus c on c.id = (i.image ->> 'campus_id')::bigint left join org.department d on d.id = (i.image ->> 'department_id')::bigint
    where i.table_name = 'ipam.subnet'
  union all
  select i.table_name, i.key, null, (i.image ->> 'prefix')::inet, null, null from image i where i.table_name = 'access.nas'
  union all
  select i.table_name, i.key, null, null, i.image ->> 'name', null from image i where i.table_name = 'org.campus'
  union all
  select i.table_name, i.key, null, null, null, i.image ->> 'name' from image i where i.table_name = 'org.department'
  union all
  select i.table_name, i.key, null, null, null, null from image i
    where i.host_id is null and i.table_name <> 'publish.node'
      and i.table_name not in ('ipam.lease_end', 'dns.node', 'dns.zone', 'dns.record', 'ipam.subnet', 'access.nas', 'org.campus', 'org.department')
$$;

create function publish.on_lease_end() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key)
      select distinct change.current_set(), 'subnet', s.network::text from old_rows r join ipam.subnet s on s.id = r.subnet_id;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select distinct change.current_set(), 'subnet', s.network::text from new_rows r join ipam.subnet s on s.id = r.subnet_id;
  end if;
  return null;
end $$;
call publish.watch('ipam.lease_end', 'publish.on_lease_end');

-- Those of which nothing is left to be done.
create view ipam.done_lease_end as
  select e.ip from ipam.lease_end e where not exists (
    select from ipam.lease l where l.ip = e.ip and l.client = e.client and l.node_id = e.agent_id and l.state = 'active' and l.until > now());
