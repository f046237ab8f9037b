-- What is to be published, what was, and who has it. The outbox is written by triggers in the writer's transaction and
-- emptied by the one publisher; there is no NOTIFY and no counter in the writer's way.

create table publish.outbox (
  id bigint generated always as identity primary key,
  change_set uuid not null,
  subject text not null check (subject in ('name', 'zone', 'subnet', 'reservation', 'nas')),
  key text not null
);
create index outbox_of_change_set on publish.outbox (change_set);

create table publish.generation (
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  epoch integer not null,
  generation bigint not null,
  sealed bytea not null,
  payload bytea not null,
  at timestamptz not null default now(),
  primary key (kind, family, cut, epoch, generation)
);

create table publish.change_generation (
  change_set uuid not null,
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  generation bigint not null,
  primary key (change_set, kind, family, cut)
);

create table publish.node (
  id uuid primary key,
  name text not null constraint node_name_taken unique,
  role text not null constraint node_role check (role in ('agent', 'portal')),
  campus_id bigint references org.campus (id),
  hpke_public bytea not null,
  certificate_serial text not null,
  enrolled_at timestamptz not null default now(),
  revoked_at timestamptz
);

create table publish.enrol_token (
  secret_hash bytea primary key constraint enrol_token_is_sha256 check (length(secret_hash) = 32),
  name text not null,
  role text not null constraint enrol_token_role check (role in ('agent', 'portal')),
  campus_id bigint references org.campus (id),
  expires_at timestamptz not null,
  used_at timestamptz
);

create table publish.served (
  node_id uuid not null references publish.node (id),
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  generation bigint not null,
  applied_at timestamptz,
  durable_at timestamptz,
  primary key (node_id, kind, family, cut, generation)
);

-- Keys. All triggers run once per statement.

create function dns.reverse_name(ip inet) returns text language sql immutable as $$
  select case family(ip)
    when 4 then (select string_agg(part, '.' order by n desc) from unnest(string_to_array(host(ip), '.')) with ordinality t(part, n)) || '.in-addr.arpa'
    else regexp_replace(reverse(substr(encode(inet_send(ip), 'hex'), 9)), '(.)', '\1.', 'g') || 'ip6.arpa'
  end
$$;

-- Names that answer for addresses: the host's own and the reverse ones; and the places at boot.
create function publish.emit_hosts(hosts uuid[]) returns void language sql as $$
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'name', dns.reverse_name(a.ip) from ipam.address a where a.host_id = any (hosts)
    union
    select change.current_set(), 'reservation', a.network || ' ' || i.mac
    from ipam.address a join ipam.iface i on i.id = a.iface_id where a.host_id = any (hosts) and family(a.ip) = 4 and i.mac is not null
$$;

create function publish.on_address() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'name', dns.reverse_name(r.ip) from old_rows r
      union select set_id, 'name', n.name from old_rows r join ipam.host h on h.id = r.host_id join dns.node n on n.id = h.node_id
      union select set_id, 'reservation', r.network || ' ' || i.mac from old_rows r join ipam.iface i on i.id = r.iface_id
        where family(r.ip) = 4 and i.mac is not null;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'name', dns.reverse_name(r.ip) from new_rows r
      union select set_id, 'name', n.name from new_rows r join ipam.host h on h.id = r.host_id join dns.node n on n.id = h.node_id
      union select set_id, 'reservation', r.network || ' ' || i.mac from new_rows r join ipam.iface i on i.id = r.iface_id
        where family(r.ip) = 4 and i.mac is not null;
  end if;
  return null;
end $$;

create function publish.on_iface() returns trigger language plpgsql as $$
begin
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'reservation', a.network || ' ' || r.mac
    from (select id, mac from old_rows union select id, mac from new_rows) r join ipam.address a on a.iface_id = r.id
    where family(a.ip) = 4 and r.mac is not null;
  return null;
end $$;

create function publish.on_entry() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select distinct change.current_set(), 'reservation', a.network || ' ' || i.mac
      from old_rows r join ipam.iface i on i.id = r.iface_id join ipam.address a on a.iface_id = i.id where family(a.ip) = 4 and i.mac is not null;
  else
    insert into publish.outbox (change_set, subject, key)
      select distinct change.current_set(), 'reservation', a.network || ' ' || i.mac
      from new_rows r join ipam.iface i on i.id = r.iface_id join ipam.address a on a.iface_id = i.id where family(a.ip) = 4 and i.mac is not null;
  end if;
  return null;
end $$;

create function publish.on_host() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
begin
  if tg_op = 'INSERT' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'name', n.name from new_rows r join dns.node n on n.id = r.node_id;
  elsif tg_op = 'DELETE' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'name', n.name from old_rows r join dns.node n on n.id = r.node_id;
  else
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'name', n.name from old_rows o join new_rows r on r.id = o.id join dns.node n on n.id in (o.node_id, r.node_id)
      where (o.hardware, o.os, o.node_id) is distinct from (r.hardware, r.os, r.node_id);
    perform publish.emit_hosts(array(select r.id from old_rows o join new_rows r on r.id = o.id where o.node_id <> r.node_id));
  end if;
  return null;
end $$;

create function publish.on_node() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
begin
  if tg_op = 'INSERT' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'name', name from new_rows;
  elsif tg_op = 'DELETE' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'name', name from old_rows;
  else
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'name', name from old_rows union select set_id, 'name', name from new_rows;
    perform publish.emit_hosts(array(
      select h.id from old_rows o join new_rows r on r.id = o.id join ipam.host h on h.node_id = r.id where o.name <> r.name));
  end if;
  return null;
end $$;

-- A name got or lost an NS record: everything below it changes its place.
create function publish.emit_below(cuts text[]) returns void language sql as $$
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'name', n.name from unnest(cuts) cut
      join dns.node n on reverse(n.name) collate "C" >= reverse(cut) || '.' and reverse(n.name) collate "C" < reverse(cut) || '/'
    union
    select change.current_set(), 'name', dns.reverse_name(a.ip) from unnest(cuts) cut
      join ipam.address a on right(dns.reverse_name(a.ip), length(cut) + 1) = '.' || cut
    where cut like '%.arpa'
$$;

create function publish.on_record() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
  cuts text[];
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key) select distinct set_id, 'name', n.name from old_rows r join dns.node n on n.id = r.node_id;
    cuts := array(select n.name from old_rows r join dns.node n on n.id = r.node_id join dns.zone z on z.id = n.zone_id where r.rtype = 2 and z.apex <> n.name);
    if cuts <> '{}' then perform publish.emit_below(cuts); end if;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key) select distinct set_id, 'name', n.name from new_rows r join dns.node n on n.id = r.node_id;
    cuts := array(select n.name from new_rows r join dns.node n on n.id = r.node_id join dns.zone z on z.id = n.zone_id where r.rtype = 2 and z.apex <> n.name);
    if cuts <> '{}' then perform publish.emit_below(cuts); end if;
  end if;
  return null;
end $$;

create function publish.on_zone() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
begin
  if tg_op = 'INSERT' then
    insert into publish.outbox (change_set, subject, key)
      select set_id, s, z.apex from new_rows z, unnest(array['zone', 'name']) s
      union select set_id, 'name', dns.reverse_name(a.ip) from new_rows z join ipam.address a on a.ip <<= z.network;
  elsif tg_op = 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select set_id, s, z.apex from old_rows z, unnest(array['zone', 'name']) s
      union select set_id, 'name', dns.reverse_name(a.ip) from old_rows z join ipam.address a on a.ip <<= z.network;
  else
    insert into publish.outbox (change_set, subject, key)
      select set_id, 'name', z.apex from new_rows z
      union select set_id, 'name', n.name from old_rows o join new_rows z on z.id = o.id join dns.node n on n.zone_id = z.id where o.ttl <> z.ttl
      union select set_id, 'name', dns.reverse_name(a.ip) from old_rows o join new_rows z on z.id = o.id join ipam.address a on a.ip <<= z.network
        where o.ttl <> z.ttl;
  end if;
  return null;
end $$;

create function publish.on_subnet() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'subnet', network::text from old_rows where family(network) = 4;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'subnet', network::text from new_rows where family(network) = 4;
  end if;
  return null;
end $$;

-- The agents' addresses are every subnet's DNS servers, unless it names its own.
create function publish.on_campus() returns trigger language plpgsql as $$
begin
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'subnet', network::text from ipam.subnet where family(network) = 4;
  return null;
end $$;

create function publish.on_nas() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'nas', prefix::text from old_rows;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key) select set_id, 'nas', prefix::text from new_rows;
  end if;
  return null;
end $$;

create procedure publish.watch(table_name regclass, function_name regproc) language plpgsql as $$
begin
  execute format('create trigger outbox_insert after insert on %s referencing new table as new_rows for each statement execute function %s()', table_name, function_name);
  execute format('create trigger outbox_update after update on %s referencing old table as old_rows new table as new_rows for each statement execute function %s()', table_name, function_name);
  execute format('create trigger outbox_delete after delete on %s referencing old table as old_rows for each statement execute function %s()', table_name, function_name);
end $$;

call publish.watch('ipam.address', 'publish.on_address');
call publish.watch('ipam.host', 'publish.on_host');
call publish.watch('boot.entry', 'publish.on_entry');
call publish.watch('dns.node', 'publish.on_node');
call publish.watch('dns.record', 'publish.on_record');
call publish.watch('dns.zone', 'publish.on_zone');
call publish.watch('ipam.subnet', 'publish.on_subnet');
call publish.watch('org.campus', 'publish.on_campus');
call publish.watch('access.nas', 'publish.on_nas');
create trigger outbox_update after update on ipam.iface referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_iface();
