-- Routers, their ports and the subnets behind them; servers that departments run themselves; and machines that turn up by themselves.
--
-- A department's server is good only where the department shares nothing: so what stands behind which port of which router is kept.

create table ipam.router (
  id bigint generated always as identity primary key,
  name text not null constraint router_name_taken unique constraint router_name_shape check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  title text not null default '' constraint router_title_length check (octet_length(title) <= 255),
  campus_id bigint not null constraint router_campus references org.campus (id) deferrable initially immediate,
  version bigint not null default 1
);
create table ipam.router_port (
  id bigint generated always as identity primary key,
  router_id bigint not null constraint port_of_router references ipam.router (id) deferrable initially immediate,
  name text not null constraint router_port_shape check (octet_length(name) between 1 and 64),
  constraint router_port_taken unique (router_id, name)
);
-- A subnet may have several ports: routers that stand in for each other.
create table ipam.port_subnet (
  id bigint generated always as identity primary key,
  port_id bigint not null constraint subnet_at_port references ipam.router_port (id) deferrable initially immediate,
  subnet_id bigint not null constraint port_of_subnet references ipam.subnet (id) deferrable initially immediate,
  constraint port_subnet_taken unique (port_id, subnet_id)
);
create index port_subnet_by_subnet on ipam.port_subnet (subnet_id);

create table org.server (
  id bigint generated always as identity primary key,
  name text not null constraint server_name_taken unique constraint server_name_shape check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  department_id bigint not null constraint server_department references org.department (id) deferrable initially immediate,
  -- A member is given our zones, and we answer beside it; an independent one has what is delegated to it.
  kind text not null constraint server_kind check (kind in ('member', 'independent')),
  address inet not null constraint server_address_taken unique
    constraint server_address_shape check (masklen(address) = case family(address) when 4 then 32 else 128 end),
  -- The TSIG key that it signs its questions with.
  tsig_key text,
  note text not null default '' constraint server_note_length check (octet_length(note) <= 4096),
  version bigint not null default 1
);
create index server_of_department on org.server (department_id);

call change.keep_record_of('ipam.router', 'id');
call change.keep_record_of('ipam.router_port', 'id');
call change.keep_record_of('ipam.port_subnet', 'id');
call change.keep_record_of('org.server', 'id');

-- Who took which zone last: an observation.
create table dns.pulled (
  zone text not null,
  client inet not null,
  key text not null,
  asked text not null constraint pulled_asked check (asked in ('axfr', 'ixfr')),
  at timestamptz not null default now(),
  primary key (zone, client, key)
);
create index pulled_by_client on dns.pulled (client);

-- Machines that turn up and become hosts by themselves, where a subnet wants that (`auto`): how they are called, and how many in an hour.
create table ipam.discovery_rule (
  subnet_id bigint primary key constraint discovery_rule_of_subnet references ipam.subnet (id) deferrable initially immediate,
  pattern text not null constraint discovery_pattern_length check (octet_length(pattern) between 1 and 253),
  per_hour integer not null constraint discovery_per_hour check (per_hour between 1 and 1000)
);
call change.keep_record_of('ipam.discovery_rule', 'subnet_id');

-- What turned up, and what became of it: an observation. What is over the number of an hour is counted and not kept.
create table ipam.discovery (
  id bigint generated always as identity primary key,
  hardware macaddr not null,
  subnet_id bigint not null constraint discovery_of_subnet references ipam.subnet (id) on delete cascade,
  ip inet,
  port text not null default '',
  source text not null,
  at timestamptz not null default now(),
  state text not null default 'waiting' constraint discovery_state check (state in ('waiting', 'made', 'known', 'reported', 'refused')),
  done_at timestamptz,
  host text,
  detail text not null default '',
  told boolean not null default false
);
create unique index discovery_waiting on ipam.discovery (subnet_id, hardware) where state = 'waiting';
create index discovery_untold on ipam.discovery (subnet_id, done_at) where not told and state <> 'waiting';
create index discovery_done on ipam.discovery (subnet_id, done_at);
create index discovery_by_hardware on ipam.discovery (hardware);
create index discovery_by_time on ipam.discovery (at);

create table ipam.discovery_flood (
  subnet_id bigint primary key constraint discovery_flood_of_subnet references ipam.subnet (id) on delete cascade,
  over bigint not null,
  -- Of these, not told of yet.
  untold bigint not null,
  last_at timestamptz not null,
  told_at timestamptz
);

-- What an agent tells of goes the same way as what others tell of.
create function ipam.on_unknown_machine() returns trigger language plpgsql as $$
begin
  if new.htype = 1 and new.hardware ~ '^([0-9a-f]{2}:){5}[0-9a-f]{2}$' then
    insert into ipam.discovery (hardware, subnet_id, port, source)
      select new.hardware::macaddr, s.id, new.port, 'agent ' || n.name from ipam.subnet s join publish.node n on n.id = new.node_id
      where s.network = new.network and s.unknown_machines = 'auto' on conflict do nothing;
  end if;
  return null;
end $$;
create trigger discover after insert or update on ipam.unknown_machine for each row execute function ipam.on_unknown_machine();

-- A subnet that comes to want it takes those that asked lately: within the last hour by the clock of the box that told of them, which may be
-- another one than ours.
create function ipam.on_auto_subnet() returns trigger language plpgsql as $$
begin
  insert into ipam.discovery (hardware, subnet_id, port, source)
    select m.hardware::macaddr, new.id, m.port, 'agent ' || n.name from ipam.unknown_machine m join publish.node n on n.id = m.node_id
    where m.network = new.network and m.htype = 1
      and m.last_seen > (select max(x.last_seen) from ipam.unknown_machine x where x.node_id = m.node_id) - interval '1 hour' and m.hardware ~ '^([0-9a-f]{2}:){5}[0-9a-f]{2}$'
    order by m.last_seen desc limit 1000 on conflict do nothing;
  return null;
end $$;
create trigger discover after update of unknown_machines on ipam.subnet for each row
  when (new.unknown_machines = 'auto' and old.unknown_machines <> 'auto') execute function ipam.on_auto_subnet();
