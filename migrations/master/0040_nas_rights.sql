-- What a NAS may ask beyond PAP and EAP, and into which VLAN machines come that it asks of by their hardware addresses: that of the subnet where
-- they have an address, else that of their department. A column may be missing, as it is in what the history has of NASs before this.
--
-- Every hardware address is a row of the access feed while some NAS may ask of machines, and none is while none may. Whether one may is for
-- the publisher to say, who sees the one order in which things came out; the triggers here always say which machines changed.

alter table access.nas
  add column may_chap boolean,
  add column mac_authentication boolean,
  add column guest_vlan integer constraint nas_guest_vlan check (guest_vlan between 1 and 4094);
alter table org.department add column vlan integer constraint department_vlan check (vlan between 1 and 4094);

alter table publish.outbox drop constraint outbox_subject_check;
alter table publish.outbox add constraint outbox_subject check (subject in ('name', 'zone', 'subnet', 'reservation', 'nas', 'machine'));

create function publish.emit_machines(macs macaddr[]) returns void language sql as $$
  insert into publish.outbox (change_set, subject, key)
    select distinct change.current_set(), 'machine', m::text from unnest(macs) m where m is not null
$$;

create function publish.on_machine() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform publish.emit_machines(array(select mac from new_rows));
  elsif tg_op = 'DELETE' then
    perform publish.emit_machines(array(select mac from old_rows));
  else
    perform publish.emit_machines(array(
      select unnest(array[o.mac, n.mac]) from old_rows o join new_rows n using (id) where (o.mac, o.host_id) is distinct from (n.mac, n.host_id)));
  end if;
  return null;
end $$;
create trigger outbox_machine_insert after insert on ipam.iface referencing new table as new_rows
  for each statement execute function publish.on_machine();
create trigger outbox_machine_update after update on ipam.iface referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_machine();
create trigger outbox_machine_delete after delete on ipam.iface referencing old table as old_rows
  for each statement execute function publish.on_machine();

-- An address in a subnet that has a VLAN.
create function publish.on_link() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform publish.emit_machines(array(select r.mac from old_rows r join ipam.subnet s on s.id = r.subnet_id where s.vlan is not null));
  end if;
  if tg_op <> 'DELETE' then
    perform publish.emit_machines(array(select r.mac from new_rows r join ipam.subnet s on s.id = r.subnet_id where s.vlan is not null));
  end if;
  return null;
end $$;
call publish.watch('ipam.link', 'publish.on_link');

create function publish.on_host_department() returns trigger language plpgsql as $$
begin
  perform publish.emit_machines(array(
    select i.mac from old_rows o join new_rows n using (id) join ipam.iface i on i.host_id = n.id where o.department_id is distinct from n.department_id));
  return null;
end $$;
create trigger outbox_machines after update on ipam.host referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_host_department();

create function publish.on_subnet_vlan() returns trigger language plpgsql as $$
begin
  perform publish.emit_machines(array(
    select l.mac from old_rows o join new_rows n using (id) join ipam.link l on l.subnet_id = n.id
    where (o.vlan, o.network) is distinct from (n.vlan, n.network) or (n.vlan is not null and o.campus_id is distinct from n.campus_id)));
  return null;
end $$;
create trigger outbox_machines after update on ipam.subnet referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_subnet_vlan();

create function publish.on_department_vlan() returns trigger language plpgsql as $$
begin
  perform publish.emit_machines(array(
    select i.mac from old_rows o join new_rows n using (id) join ipam.host h on h.department_id = n.id join ipam.iface i on i.host_id = h.id
    where o.vlan is distinct from n.vlan));
  return null;
end $$;
create trigger outbox_machines after update on org.department referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_department_vlan();

-- A campus stands by its name in the rows of its machines and NASs.
create function publish.on_campus_name() returns trigger language plpgsql as $$
begin
  perform publish.emit_machines(array(
    select l.mac from old_rows o join new_rows n using (id) join ipam.subnet s on s.campus_id = n.id join ipam.link l on l.subnet_id = s.id
    where o.name <> n.name and s.vlan is not null));
  insert into publish.outbox (change_set, subject, key)
    select change.current_set(), 'nas', a.prefix::text from old_rows o join new_rows n using (id) join access.nas a on a.campus_id = n.id where o.name <> n.name;
  return null;
end $$;
create trigger outbox_machines after update on org.campus referencing old table as old_rows new table as new_rows
  for each statement execute function publish.on_campus_name();
