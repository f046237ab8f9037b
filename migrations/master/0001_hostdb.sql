-- The hostname database: campuses, subnets, hosts, names, boot entries; who changed what; what is to be published.
--
-- Rules that can be said as a constraint are said here, with names that `inventory` turns into sentences. No extension is
-- needed. Names are lower case without the final dot. Children are deleted before their parents, never by cascade, so that
-- the triggers below still find the parents when they write the audit and the outbox.

create schema org;
create schema ipam;
create schema dns;
create schema boot;
create schema change;
create schema publish;

-- Change sets: one per transaction that writes. The transaction names its change set in holdfast.change_set.

create table change.change_set (
  id uuid primary key,
  actor text not null,
  reason text not null,
  via text not null,
  at timestamptz not null default now()
);

create table change.change (
  change_set uuid not null references change.change_set (id),
  ordinal bigint generated always as identity,
  table_name text not null,
  key text not null,
  host_id uuid,
  before jsonb,
  after jsonb,
  primary key (change_set, ordinal)
);
create index change_of_host on change.change (host_id) where host_id is not null;

create function change.current_set() returns uuid language plpgsql stable as $$
declare
  id text := nullif(current_setting('holdfast.change_set', true), '');
begin
  if id is null then
    raise exception 'this table is written only inside a change set';
  end if;
  return id::uuid;
end $$;

create function change.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'the audit is append-only';
end $$;

create trigger append_only before update or delete or truncate on change.change_set for each statement execute function change.refuse();
create trigger append_only before update or delete or truncate on change.change for each statement execute function change.refuse();

-- The one audit trigger. Argument: the column that names a row. Once per statement, so that imports stay fast.
create function change.record() returns trigger language plpgsql as $$
declare
  set_id uuid := change.current_set();
  table_name text := tg_table_schema || '.' || tg_table_name;
  key_column text := tg_argv[0];
begin
  if tg_op = 'INSERT' then
    insert into change.change (change_set, table_name, key, host_id, after)
      select set_id, table_name, n ->> key_column, change.host_of(table_name, n), n
      from (select to_jsonb(r) as n from new_rows r) x;
  elsif tg_op = 'DELETE' then
    insert into change.change (change_set, table_name, key, host_id, before)
      select set_id, table_name, o ->> key_column, change.host_of(table_name, o), o
      from (select to_jsonb(r) as o from old_rows r) x;
  else
    insert into change.change (change_set, table_name, key, host_id, before, after)
      select set_id, table_name, n ->> key_column, change.host_of(table_name, n), o, n
      from (select to_jsonb(r) as n, to_jsonb(r) ->> key_column as k from new_rows r) x
      join (select to_jsonb(r) as o, to_jsonb(r) ->> key_column as k from old_rows r) y using (k)
      where o <> n;
  end if;
  return null;
end $$;

create function change.host_of(table_name text, image jsonb) returns uuid language sql immutable as $$
  select (case when table_name = 'ipam.host' then image ->> 'id' else image ->> 'host_id' end)::uuid
$$;

create procedure change.keep_record_of(table_name regclass, key_column text) language plpgsql as $$
begin
  execute format('create trigger audit_insert after insert on %s referencing new table as new_rows for each statement execute function change.record(%L)', table_name, key_column);
  execute format('create trigger audit_update after update on %s referencing old table as old_rows new table as new_rows for each statement execute function change.record(%L)', table_name, key_column);
  execute format('create trigger audit_delete after delete on %s referencing old table as old_rows for each statement execute function change.record(%L)', table_name, key_column);
end $$;

-- The organisation.

create table org.campus (
  id bigint generated always as identity primary key,
  name text not null constraint campus_name_taken unique constraint campus_name_shape check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  service_address inet constraint campus_service_address_taken unique
    constraint campus_service_address_shape check (masklen(service_address) = case family(service_address) when 4 then 32 else 128 end)
);

-- Zones and names.

create table dns.zone (
  id bigint generated always as identity primary key,
  apex text not null constraint zone_taken unique constraint zone_apex_shape check (apex = lower(apex) and apex !~ '\.$' and apex <> ''),
  -- What a reverse zone covers; null for others.
  network cidr,
  primary_ns text not null,
  mailbox text not null,
  refresh bigint not null,
  retry bigint not null,
  expire bigint not null,
  minimum bigint not null,
  ttl bigint not null,
  version bigint not null default 1,
  constraint zone_times check (
    refresh between 1 and 2147483647 and retry between 1 and 2147483647 and expire between 1 and 2147483647
    and minimum between 0 and 2147483647 and ttl between 0 and 2147483647)
);

-- Apart from the zone, because the publisher raises it without a change set.
create table dns.serial (
  zone_id bigint primary key references dns.zone (id),
  serial bigint not null constraint serial_range check (serial between 1 and 4294967295)
);

create table dns.node (
  id bigint generated always as identity primary key,
  zone_id bigint not null references dns.zone (id),
  name text not null constraint name_taken unique constraint name_shape check (name = lower(name) and name !~ '\.$' and name <> ''),
  kind text not null constraint node_kind check (kind in ('data', 'alias')),
  constraint node_with_kind unique (id, kind)
);
create index node_of_zone on dns.node (zone_id);
-- Names below a name are neighbours in this order.
create index node_reversed on dns.node (reverse(name) collate "C");

create table dns.record (
  id bigint generated always as identity primary key,
  node_id bigint not null,
  kind text not null,
  -- Neither SOA (it is made from the zone) nor a type that only questions and transfers have.
  rtype integer not null constraint record_type check (rtype between 1 and 65535 and rtype not in (6, 41) and rtype not between 128 and 255),
  ttl bigint constraint record_ttl check (ttl between 0 and 2147483647),
  rdata bytea not null constraint record_length check (length(rdata) <= 65535),
  text text not null,
  -- Of a CNAME: the name that it stands for.
  target text,
  constraint alias_is_alone foreign key (node_id, kind) references dns.node (id, kind),
  constraint only_alias_has_cname check ((rtype = 5) = (kind = 'alias')),
  constraint alias_has_target check ((rtype = 5) = (target is not null)),
  constraint record_taken unique (node_id, rtype, rdata)
);
create unique index one_cname_per_name on dns.record (node_id) where rtype = 5;
create index record_target on dns.record (target) where target is not null;

-- Addresses and hosts.

create table ipam.subnet (
  id bigint generated always as identity primary key,
  campus_id bigint not null constraint subnet_campus references org.campus (id),
  network cidr not null constraint subnet_taken unique,
  gateway inet,
  domain text,
  dns_servers inet[] not null default '{}',
  -- [{"code": 51, "value": "00000e10"}, ...]; no value: not told, though it would be by default.
  options jsonb not null default '[]',
  version bigint not null default 1,
  constraint subnet_with_network unique (id, network),
  constraint subnet_overlap exclude using gist ((network::inet) inet_ops with &&),
  constraint subnet_gateway_inside check (gateway << network and masklen(gateway) = case family(gateway) when 4 then 32 else 128 end)
);
create index subnet_of_campus on ipam.subnet (campus_id);

create table ipam.host (
  id uuid primary key,
  node_id bigint not null constraint host_name_taken unique,
  node_kind text not null generated always as ('data') stored,
  hardware text not null default '' constraint host_hardware_length check (octet_length(hardware) <= 255),
  os text not null default '' constraint host_os_length check (octet_length(os) <= 255),
  location text not null default '',
  contact text not null default '',
  comment text not null default '',
  template_id bigint,
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint host_name_is_alias foreign key (node_id, node_kind) references dns.node (id, kind)
);

create table ipam.iface (
  id uuid primary key,
  host_id uuid not null references ipam.host (id),
  ordinal integer not null,
  mac macaddr,
  constraint iface_with_mac unique (id, mac),
  constraint iface_with_host unique (id, host_id)
);
create index iface_of_host on ipam.iface (host_id);
create index iface_mac on ipam.iface (mac);

-- An interface on a subnet: here one hardware address per subnet is kept.
create table ipam.link (
  iface_id uuid not null references ipam.iface (id),
  subnet_id bigint not null references ipam.subnet (id),
  mac macaddr,
  primary key (iface_id, subnet_id),
  constraint mac_taken unique (subnet_id, mac),
  constraint link_mac foreign key (iface_id, mac) references ipam.iface (id, mac) on update cascade
);

create table ipam.address (
  ip inet constraint address_taken primary key,
  iface_id uuid not null,
  host_id uuid not null,
  subnet_id bigint not null,
  network cidr not null,
  constraint address_of_host foreign key (iface_id, host_id) references ipam.iface (id, host_id),
  constraint address_on_link foreign key (iface_id, subnet_id) references ipam.link (iface_id, subnet_id),
  constraint address_of_subnet foreign key (subnet_id, network) references ipam.subnet (id, network) on update cascade,
  constraint address_shape check (masklen(ip) = case family(ip) when 4 then 32 else 128 end),
  constraint address_inside_subnet check (ip <<= network),
  constraint address_usable check (
    family(ip) = 6 or masklen(network) >= 31 or (host(ip) <> host(network) and host(ip) <> host(broadcast(network))))
);
create index address_of_iface on ipam.address (iface_id);
create index address_by_host on ipam.address (host_id);
create index address_by_subnet on ipam.address (subnet_id);

-- Boot entries.

create table boot.template (
  name text primary key constraint template_name_shape check (name <> ''),
  parents text[] not null default '{}',
  tags text[] not null default '{}'
);

create table boot.entry (
  iface_id uuid primary key references ipam.iface (id),
  host_id uuid not null,
  templates text[] not null default '{}',
  parameters jsonb not null,
  constraint entry_of_host foreign key (iface_id, host_id) references ipam.iface (id, host_id)
);

call change.keep_record_of('org.campus', 'id');
call change.keep_record_of('dns.zone', 'id');
call change.keep_record_of('dns.node', 'id');
call change.keep_record_of('dns.record', 'id');
call change.keep_record_of('ipam.subnet', 'id');
call change.keep_record_of('ipam.host', 'id');
call change.keep_record_of('ipam.iface', 'id');
call change.keep_record_of('ipam.address', 'ip');
call change.keep_record_of('boot.template', 'name');
call change.keep_record_of('boot.entry', 'iface_id');
-- To find the past of a host by a name that it had.
create index change_of_name on change.change ((coalesce(after, before) ->> 'name')) where table_name = 'dns.node';
