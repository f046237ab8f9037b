-- What happens, told to others: a numbered feed of events, webhooks that are sent from it, and views for other programs.

create schema feed;

-- What is to be numbered. Written in the transaction of what happened, taken by one numberer: so a number, once seen, has none
-- below it that comes later, and whoever remembers the last number that it saw has missed nothing.
create table feed.waiting (
  id bigint generated always as identity primary key,
  kind text not null,
  change_set uuid,
  node_id uuid,
  -- Of a report: its number. Of a generation that an agent serves: which one.
  report bigint,
  feed_kind smallint,
  feed_family smallint,
  feed_cut integer,
  generation bigint,
  at timestamptz not null default now()
);

create table feed.event (
  number bigint primary key,
  kind text not null constraint event_kind_known check (kind in ('change', 'served', 'node')),
  at timestamptz not null,
  change_set uuid,
  data jsonb not null
);
create index event_by_time on feed.event (at);

create function feed.on_change_set() returns trigger language plpgsql as $$
begin
  insert into feed.waiting (kind, change_set, at) select 'change', id, at from new_rows;
  return null;
end $$;
create trigger feed after insert on change.change_set referencing new table as new_rows for each statement execute function feed.on_change_set();

create function feed.on_served() returns trigger language plpgsql as $$
begin
  insert into feed.waiting (kind, node_id, feed_kind, feed_family, feed_cut, generation, at)
    select 'served', node_id, kind, family, cut, generation, coalesce(applied_at, now()) from new_rows;
  return null;
end $$;
create trigger feed after insert on publish.served referencing new table as new_rows for each statement execute function feed.on_served();

create function feed.on_report() returns trigger language plpgsql as $$
begin
  insert into feed.waiting (kind, node_id, report, at) select 'node', node_id, number, at from new_rows;
  return null;
end $$;
create trigger feed after insert on report.event referencing new table as new_rows for each statement execute function feed.on_report();

-- The last number given, also when the events themselves were forgotten.
create table feed.numbered (
  singleton boolean primary key default true constraint numbered_is_one_row check (singleton),
  last_number bigint not null
);
insert into feed.numbered (last_number) values (0);

-- Gives numbers to what waits, at most so many at once; how many that were. Of several generations of one snapshot that an agent
-- came to serve meanwhile only the last is told. The caller holds the lock that keeps a second numberer out.
create function feed.number_what_waits(page integer) returns bigint language sql as $$
  with taken as (
    delete from feed.waiting where id in (select id from feed.waiting order by id limit page) returning *),
  told as (
    select t.id, t.kind, t.at, t.change_set,
      jsonb_build_object('change_set', s.id, 'actor', s.actor, 'via', s.via, 'reason', s.reason, 'author', s.author, 'approved_by', s.approved_by) as data
    from taken t join change.change_set s on s.id = t.change_set where t.kind = 'change'
    union all
    select t.id, t.kind, t.at, null, jsonb_build_object('node', n.name, 'event', e.event, 'severity', e.severity, 'detail', e.detail)
    from taken t join publish.node n on n.id = t.node_id join report.event e on e.number = t.report where t.kind = 'node'
    union all
    (select distinct on (t.node_id, t.feed_kind, t.feed_family, t.feed_cut) t.id, t.kind, t.at, null::uuid,
       jsonb_build_object('node', n.name, 'kind', t.feed_kind, 'family', t.feed_family, 'cut', t.feed_cut, 'generation', t.generation)
     from taken t join publish.node n on n.id = t.node_id where t.kind = 'served'
     order by t.node_id, t.feed_kind, t.feed_family, t.feed_cut, t.generation desc)),
  written as (
    insert into feed.event (number, kind, at, change_set, data)
      select (select last_number from feed.numbered) + row_number() over (order by id), kind, at, change_set, data from told
      returning number),
  noted as (update feed.numbered set last_number = greatest(last_number, (select max(number) from written)) where exists (select from written))
  select count(*) from taken
$$;

-- Webhooks. The secret signs and so has to be readable here; it is told once, when the webhook is made, and never again.
create table feed.webhook (
  id uuid primary key,
  name text not null constraint webhook_name_taken unique constraint webhook_name_shape check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  url text not null,
  secret bytea not null constraint webhook_secret_length check (length(secret) = 32),
  kinds text[] not null constraint webhook_kinds_known check (kinds <@ array['change', 'served', 'node'] and kinds <> '{}'),
  area_kind text not null default 'global' constraint webhook_area_known
    check (area_kind in ('global', 'campus', 'department', 'zone', 'name', 'subnet', 'range')),
  area_value text not null default '',
  created_by text not null,
  created_at timestamptz not null default now(),
  -- Everything up to this number was looked at.
  looked_at bigint not null
);

create table feed.delivery (
  id bigint generated always as identity primary key,
  webhook_id uuid not null references feed.webhook (id) on delete cascade,
  number bigint not null,
  kind text not null,
  body text not null,
  state text not null default 'waiting' constraint delivery_state check (state in ('waiting', 'delivered', 'dead')),
  attempts integer not null default 0,
  made_at timestamptz not null default now(),
  next_at timestamptz not null default now(),
  ended_at timestamptz,
  last_error text,
  constraint delivered_once unique (webhook_id, number)
);
create index delivery_due on feed.delivery (webhook_id, next_at) where state = 'waiting';
create index delivery_ended on feed.delivery (ended_at) where state = 'delivered';

-- Looks at the events that a webhook has not seen, and makes a delivery of each that it asked for. Only change sets lie in an
-- area; one with very many rows is told to everybody rather than searched.
create function feed.deliver(hook_id uuid, page integer) returns bigint language plpgsql as $$
declare
  hook feed.webhook;
  last_seen bigint;
begin
  select * into hook from feed.webhook where id = hook_id for update;
  select max(number) into last_seen from (select number from feed.event where number > hook.looked_at order by number limit page) e;
  if last_seen is null then return 0; end if;
  insert into feed.delivery (webhook_id, number, kind, body)
    select hook.id, e.number, e.kind, jsonb_build_object('number', e.number, 'kind', e.kind, 'at', e.at, 'data', e.data)::text from feed.event e
    where e.number > hook.looked_at and e.number <= last_seen and e.kind = any (hook.kinds)
      and (e.kind <> 'change' or hook.area_kind = 'global' or feed.change_set_is_in(e.change_set, hook.area_kind, hook.area_value))
    order by e.number
    on conflict (webhook_id, number) do nothing;
  update feed.webhook set looked_at = last_seen where id = hook.id;
  return last_seen;
end $$;

create function feed.change_set_is_in(set_id uuid, kind text, value text) returns boolean language plpgsql stable as $$
declare
  too_many constant bigint := 10000;
begin
  if (select count(*) from (select from change.change where change_set = set_id limit too_many) c) = too_many then return true; end if;
  return exists (select from change.places_of(set_id) p where change.area_holds(kind, value, p));
end $$;

-- Views for other programs: plain names, no numbers of ours, no secrets. They are kept from version to version, tables are not.

create schema api;
comment on schema api is 'What other programs may read of the hostname database. Columns are added, never renamed or taken away.';

create view api.campuses as
  select name, host(service_address) as service_address from org.campus;
comment on view api.campuses is 'Campuses';
comment on column api.campuses.name is 'Short word';
comment on column api.campuses.service_address is 'Where the campus''s agent answers';

create view api.departments as
  select name, title from org.department;
comment on view api.departments is 'Departments';
comment on column api.departments.name is 'Short word';
comment on column api.departments.title is 'Full title';

create view api.hosts as
  select h.id, n.name, h.hardware, h.os, h.location, h.contact, h.comment, d.name as department, h.version, h.created_at, h.updated_at
  from ipam.host h join dns.node n on n.id = h.node_id left join org.department d on d.id = h.department_id;
comment on view api.hosts is 'Hosts';
comment on column api.hosts.id is 'Identity: stays when the name changes';
comment on column api.hosts.name is 'Full name in lower case, without the final dot';
comment on column api.hosts.hardware is 'Machine, as HINFO says it';
comment on column api.hosts.os is 'Operating system, as HINFO says it';
comment on column api.hosts.location is 'Where it stands';
comment on column api.hosts.contact is 'Whom to ask';
comment on column api.hosts.comment is 'Anything else';
comment on column api.hosts.department is 'Whose it is; joins api.departments.name';
comment on column api.hosts.version is 'How often it was changed, as in the ETag of the API';
comment on column api.hosts.created_at is 'When it was made';
comment on column api.hosts.updated_at is 'When it was last changed';

create view api.addresses as
  select a.ip, a.host_id, n.name as host, i.mac, a.network, c.name as campus
  from ipam.address a join ipam.iface i on i.id = a.iface_id join ipam.host h on h.id = a.host_id join dns.node n on n.id = h.node_id
    join ipam.subnet s on s.id = a.subnet_id join org.campus c on c.id = s.campus_id;
comment on view api.addresses is 'Addresses in use';
comment on column api.addresses.ip is 'Address, IPv4 or IPv6';
comment on column api.addresses.host_id is 'Whose it is; joins api.hosts.id';
comment on column api.addresses.host is 'The host''s name';
comment on column api.addresses.mac is 'Hardware address of its interface; null where unknown';
comment on column api.addresses.network is 'Its subnet; joins api.subnets.network';
comment on column api.addresses.campus is 'The subnet''s campus; joins api.campuses.name';

create view api.subnets as
  select s.network, c.name as campus, host(s.gateway) as gateway, s.domain, d.name as department, s.version
  from ipam.subnet s join org.campus c on c.id = s.campus_id left join org.department d on d.id = s.department_id;
comment on view api.subnets is 'Subnets';
comment on column api.subnets.network is 'Network';
comment on column api.subnets.campus is 'Joins api.campuses.name';
comment on column api.subnets.gateway is 'Router';
comment on column api.subnets.domain is 'Domain that its hosts are told';
comment on column api.subnets.department is 'Whose it is; joins api.departments.name';
comment on column api.subnets.version is 'How often it was changed';

create view api.zones as
  select z.apex, z.network, z.primary_ns, z.mailbox, z.refresh, z.retry, z.expire, z.minimum, z.ttl, s.serial, d.name as department, z.version
  from dns.zone z join dns.serial s on s.zone_id = z.id left join org.department d on d.id = z.department_id;
comment on view api.zones is 'DNS zones';
comment on column api.zones.apex is 'Apex, without the final dot';
comment on column api.zones.network is 'What a reverse zone covers; null for others';
comment on column api.zones.primary_ns is 'Name server of the SOA';
comment on column api.zones.mailbox is 'Mailbox of the SOA, as a name';
comment on column api.zones.refresh is 'Seconds between two questions of a secondary';
comment on column api.zones.retry is 'Seconds until it asks again after a failure';
comment on column api.zones.expire is 'Seconds until it gives up';
comment on column api.zones.minimum is 'Seconds that "there is no such name" may be remembered (RFC 2308)';
comment on column api.zones.ttl is 'Seconds, for records that have no TTL of their own';
comment on column api.zones.serial is 'Serial as last published';
comment on column api.zones.department is 'Whose it is; joins api.departments.name';
comment on column api.zones.version is 'How often it was changed';

create view api.records as
  select n.name, z.apex as zone, r.rtype, coalesce(r.ttl, z.ttl) as ttl, r.text
  from dns.record r join dns.node n on n.id = r.node_id join dns.zone z on z.id = n.zone_id;
comment on view api.records is 'Records that no host implies: those of addresses (A, AAAA, PTR) follow from api.addresses';
comment on column api.records.name is 'Owner name';
comment on column api.records.zone is 'Joins api.zones.apex';
comment on column api.records.rtype is 'Number of the type (IANA)';
comment on column api.records.ttl is 'Seconds';
comment on column api.records.text is 'Data in presentation form';

-- A row at a time, without what only Holdfast's own programs may see. Tables with secrets tell that they changed, not what.
create view api.changes as
  select s.id as change_set, s.at, s.actor, s.author, s.approved_by, s.via, s.reason, c.ordinal, c.table_name, c.key,
    case when c.table_name like 'access.%' or c.table_name like 'publish.%' then null else c.before end as before,
    case when c.table_name like 'access.%' or c.table_name like 'publish.%' then null else c.after end as after
  from change.change_set s join change.change c on c.change_set = s.id;
comment on view api.changes is 'Who changed what: one line per row, append-only. A feed to follow by (at, ordinal)';
comment on column api.changes.change_set is 'Changes of one transaction have the same';
comment on column api.changes.at is 'When the transaction began';
comment on column api.changes.actor is 'Who made it';
comment on column api.changes.author is 'Who wrote the draft, where it came from one';
comment on column api.changes.approved_by is 'Who approved the draft, where somebody had to';
comment on column api.changes.via is 'By which way: web, api, import';
comment on column api.changes.reason is 'Why';
comment on column api.changes.ordinal is 'Order within the database';
comment on column api.changes.table_name is 'Table of the row';
comment on column api.changes.key is 'Key of the row';
comment on column api.changes.before is 'Row before; null where it was made';
comment on column api.changes.after is 'Row after; null where it went';

-- A role belongs to the whole server: another database of it may have made this one already, and an external server may not let us.
do $$
begin
  if not exists (select from pg_roles where rolname = 'holdfast_reader') then
    create role holdfast_reader nologin;
  end if;
  grant usage on schema api to holdfast_reader;
  grant select on all tables in schema api to holdfast_reader;
exception
  when insufficient_privilege or duplicate_object or unique_violation then
    raise notice 'the role holdfast_reader was not made: make it, then grant usage on schema api and select on its views to it';
end $$;
