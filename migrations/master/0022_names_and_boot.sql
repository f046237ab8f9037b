-- Several names for the same addresses and the name that an address points back to; what a zone tells of its machines; and boot
-- options that are inherited: institution, campus, subnet, class, host.

-- A name beside the host's own that has all its addresses.
create table ipam.extra_name (
  node_id bigint primary key,
  node_kind text not null generated always as ('data') stored,
  host_id uuid not null constraint extra_name_of_host references ipam.host (id) deferrable initially immediate,
  constraint extra_name_is_alias foreign key (node_id, node_kind) references dns.node (id, kind) deferrable initially immediate
);
create index extra_name_by_host on ipam.extra_name (host_id);

-- Which names an address points back to, where that is not just the host's own.
create table ipam.pointer (
  id bigint generated always as identity primary key,
  ip inet not null constraint pointer_of_address references ipam.address (ip) deferrable initially immediate,
  host_id uuid not null constraint pointer_of_host references ipam.host (id) deferrable initially immediate,
  node_id bigint not null constraint pointer_name references dns.node (id) deferrable initially immediate,
  constraint pointer_taken unique (ip, node_id)
);
create index pointer_by_host on ipam.pointer (host_id);
create index pointer_by_node on ipam.pointer (node_id);

call change.keep_record_of('ipam.extra_name', 'node_id');
call change.keep_record_of('ipam.pointer', 'id');

-- What machines are and who keeps them is told to nobody unless a zone is asked to. Zones that are there go on as they did.
alter table dns.zone add column publish_hinfo boolean not null default true;
alter table dns.zone alter column publish_hinfo set default false;
alter table dns.zone add column publish_rp boolean not null default false;

-- Boot options for everything below an institution, a campus, a subnet or a device class.
create table boot.defaults (
  id bigint generated always as identity primary key,
  level text not null,
  campus_id bigint constraint defaults_of_campus references org.campus (id) deferrable initially immediate,
  subnet_id bigint constraint defaults_of_subnet references ipam.subnet (id) deferrable initially immediate,
  class_id bigint constraint defaults_of_class references ipam.device_class (id) deferrable initially immediate,
  object_key text not null generated always as (coalesce(campus_id::text, subnet_id::text, class_id::text, '')) stored,
  parameters jsonb not null,
  version bigint not null default 1,
  constraint defaults_taken unique (level, object_key),
  constraint defaults_object check (case level
    when 'institution' then num_nonnulls(campus_id, subnet_id, class_id) = 0
    when 'campus' then campus_id is not null and num_nonnulls(subnet_id, class_id) = 0
    when 'subnet' then subnet_id is not null and num_nonnulls(campus_id, class_id) = 0
    when 'class' then class_id is not null and num_nonnulls(campus_id, subnet_id) = 0
    else false end)
);
call change.keep_record_of('boot.defaults', 'id');

-- Keys. All triggers run once per statement.

create function publish.on_extra_name() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key)
      select change.current_set(), 'name', n.name from old_rows r join dns.node n on n.id = r.node_id;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select change.current_set(), 'name', n.name from new_rows r join dns.node n on n.id = r.node_id;
  end if;
  return null;
end $$;
call publish.watch('ipam.extra_name', 'publish.on_extra_name');

create function publish.on_pointer() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key) select distinct change.current_set(), 'name', dns.reverse_name(r.ip) from old_rows r;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key) select distinct change.current_set(), 'name', dns.reverse_name(r.ip) from new_rows r;
  end if;
  return null;
end $$;
call publish.watch('ipam.pointer', 'publish.on_pointer');

-- An address comes or goes: the host's other names have it, too.
create function publish.on_address_of_names() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    insert into publish.outbox (change_set, subject, key)
      select distinct change.current_set(), 'name', n.name from old_rows r join ipam.extra_name x on x.host_id = r.host_id join dns.node n on n.id = x.node_id;
  end if;
  if tg_op <> 'DELETE' then
    insert into publish.outbox (change_set, subject, key)
      select distinct change.current_set(), 'name', n.name from new_rows r join ipam.extra_name x on x.host_id = r.host_id join dns.node n on n.id = x.node_id;
  end if;
  return null;
end $$;
create trigger outbox_names_insert after insert on ipam.address referencing new table as new_rows
  for each statement execute function publish.on_address_of_names();
create trigger outbox_names_update after update on ipam.address referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_address_of_names();
create trigger outbox_names_delete after delete on ipam.address referencing old table as old_rows
  for each statement execute function publish.on_address_of_names();

-- A zone starts or ceases to tell of its machines.
create function publish.on_zone_minimum() returns trigger language plpgsql as $$
begin
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'name', n.name
    from old_rows o join new_rows z on z.id = o.id join dns.node n on n.zone_id = z.id join ipam.host h on h.node_id = n.id
    where (o.publish_hinfo <> z.publish_hinfo and h.hardware <> '' and h.os <> '')
       or (o.publish_rp <> z.publish_rp and exists (select from org.responsibility r where r.host_id = h.id));
  return null;
end $$;
create trigger outbox_minimum after update on dns.zone referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_zone_minimum();

-- Who keeps a host is told by its name where its zone tells it.
create function publish.emit_responsible(hosts uuid[]) returns void language sql as $$
  insert into publish.outbox (change_set, subject, key)
    select distinct change.current_set(), 'name', n.name
    from ipam.host h join dns.node n on n.id = h.node_id join dns.zone z on z.id = n.zone_id where h.id = any (hosts) and z.publish_rp
$$;

create function publish.on_responsibility() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform publish.emit_responsible(array(select host_id from old_rows where host_id is not null));
  end if;
  if tg_op <> 'DELETE' then
    perform publish.emit_responsible(array(select host_id from new_rows where host_id is not null));
  end if;
  return null;
end $$;
call publish.watch('org.responsibility', 'publish.on_responsibility');

create function publish.on_contact() returns trigger language plpgsql as $$
begin
  perform publish.emit_responsible(array(
    select r.host_id from old_rows o join new_rows n on n.id = o.id join org.responsibility r on r.contact_id = n.id
    where o.mail is distinct from n.mail and r.host_id is not null));
  return null;
end $$;
create trigger outbox_update after update on org.contact referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_contact();

-- The places at boot of hosts, and of all hosts on subnets.
create function publish.emit_places_of_hosts(hosts uuid[]) returns void language sql as $$
  insert into publish.outbox (change_set, subject, key)
    select distinct change.current_set(), 'reservation', a.network || ' ' || i.mac
    from ipam.address a join ipam.iface i on i.id = a.iface_id where a.host_id = any (hosts) and family(a.ip) = 4 and i.mac is not null
$$;

create function publish.emit_places_on_subnets(subnets bigint[]) returns void language sql as $$
  insert into publish.outbox (change_set, subject, key)
    select distinct change.current_set(), 'reservation', a.network || ' ' || i.mac
    from ipam.address a join ipam.iface i on i.id = a.iface_id where a.subnet_id = any (subnets) and family(a.ip) = 4 and i.mac is not null
$$;

-- What of the parameters a subnet's own row cannot carry: it has options alone.
create function boot.file_part(parameters jsonb) returns jsonb language sql immutable as $$
  select jsonb_build_array(parameters -> 'next_server', coalesce(parameters ->> 'server_name', ''), coalesce(parameters ->> 'boot_file', ''))
$$;

create function publish.subnets_below(level text, campus bigint, subnet bigint) returns setof bigint language sql stable as $$
  select s.id from ipam.subnet s
  where case level when 'institution' then true when 'campus' then s.campus_id = campus when 'subnet' then s.id = subnet else false end
$$;

create function publish.emit_defaults(level text, campus bigint, subnet bigint, class bigint, with_places boolean) returns void language plpgsql as $$
begin
  if level = 'class' then
    perform publish.emit_places_of_hosts(array(select host_id from ipam.equipment where class_id = class));
    return;
  end if;
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'subnet', s.network::text
    from publish.subnets_below(level, campus, subnet) b join ipam.subnet s on s.id = b where family(s.network) = 4;
  if with_places then
    perform publish.emit_places_on_subnets(array(select publish.subnets_below(level, campus, subnet)));
  end if;
end $$;

create function publish.on_defaults() returns trigger language plpgsql as $$
declare
  nothing jsonb := boot.file_part('{}');
begin
  if tg_op = 'INSERT' then
    perform publish.emit_defaults(level, campus_id, subnet_id, class_id, boot.file_part(parameters) <> nothing) from new_rows;
  elsif tg_op = 'DELETE' then
    perform publish.emit_defaults(level, campus_id, subnet_id, class_id, boot.file_part(parameters) <> nothing) from old_rows;
  else
    perform publish.emit_defaults(n.level, n.campus_id, n.subnet_id, n.class_id, boot.file_part(o.parameters) <> boot.file_part(n.parameters))
      from old_rows o join new_rows n on n.id = o.id where o.parameters <> n.parameters;
  end if;
  return null;
end $$;
call publish.watch('boot.defaults', 'publish.on_defaults');

-- A host changes its class; only where a class says anything about booting does that matter.
create function publish.on_equipment() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform publish.emit_places_of_hosts(array(select r.host_id from old_rows r join boot.defaults d on d.class_id = r.class_id));
  end if;
  if tg_op <> 'DELETE' then
    perform publish.emit_places_of_hosts(array(select r.host_id from new_rows r join boot.defaults d on d.class_id = r.class_id));
  end if;
  return null;
end $$;
call publish.watch('ipam.equipment', 'publish.on_equipment');

-- A subnet moves to another campus: its own row is told anew by its own trigger, its places here.
create function publish.on_subnet_campus() returns trigger language plpgsql as $$
begin
  perform publish.emit_places_on_subnets(array(
    select n.id from old_rows o join new_rows n on n.id = o.id
    where o.campus_id <> n.campus_id and exists (select from boot.defaults d where d.campus_id in (o.campus_id, n.campus_id))));
  return null;
end $$;
create trigger outbox_campus after update on ipam.subnet referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_subnet_campus();
