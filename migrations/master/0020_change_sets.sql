-- Change sets that wait (drafts), the second person that some areas ask for, the chain over the audit, requests that come twice,
-- and finding the past: the history of any row, and any row as it was at a time.

-- Who wrote a draft and who approved it, where the change set came from one; the actor is who applied it.
alter table change.change_set add column author text, add column approved_by text;

-- The history of a row that is no host's; what was there at a time; and to which name a host or a record once belonged.
create index change_of_row on change.change (table_name, key, ordinal) where host_id is null;
create index change_set_by_time on change.change_set (at, id);
create index change_of_node on change.change ((coalesce(after, before) ->> 'node_id')) where table_name in ('ipam.host', 'dns.record');
create index change_of_alias on change.change ((coalesce(after, before) ->> 'target'))
  where table_name = 'dns.record' and (coalesce(after, before) ->> 'target') is not null;

-- Drafts: edits that are written down, looked at together, and applied together or not at all.

create table change.draft (
  id uuid primary key,
  author text not null,
  reason text not null,
  state text not null default 'draft' constraint draft_state check (state in ('draft', 'proposed', 'approved', 'applied', 'withdrawn')),
  version bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  approved_by text,
  change_set uuid references change.change_set (id),
  constraint draft_is_applied_once check ((state = 'applied') = (change_set is not null)),
  constraint draft_is_approved_by_somebody check (state <> 'approved' or approved_by is not null)
);
create index draft_by_state on change.draft (state, id);

create table change.draft_edit (
  draft_id uuid not null references change.draft (id),
  -- Told to people, so never given twice.
  number integer not null,
  author text not null,
  -- The request as it was sent, and the edit that it means.
  request jsonb not null,
  edit jsonb not null,
  -- The version that the edit was made against.
  if_match bigint,
  primary key (draft_id, number)
);

-- Where a second person is asked for.

create table change.approval_rule (
  id bigint generated always as identity primary key,
  area_kind text not null constraint approval_area_known
    check (area_kind in ('global', 'campus', 'department', 'zone', 'name', 'subnet', 'range')),
  area_value text not null default '' constraint approval_area_value check ((area_kind = 'global') = (area_value = '')),
  -- Fewer rows than this go without.
  least_rows integer not null default 1 constraint approval_least_rows check (least_rows >= 1),
  comment text not null default '',
  constraint approval_rule_taken unique (area_kind, area_value),
  constraint approval_area_network check (case area_kind
    when 'subnet' then area_value::cidr is not null
    when 'range' then split_part(area_value, '-', 1)::inet <= split_part(area_value, '-', 2)::inet
    else true end)
);
call change.keep_record_of('change.approval_rule', 'id');

-- Where a changed row lies: the name, the addresses, the campus and the department that it belongs to, as far as it has any.
create type change.place as (table_name text, key text, name text, network inet, campus text, department text);

create function change.places_of(set_id uuid) returns setof change.place language sql stable as $$
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
    where i.table_name = 'ipam.address'
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
      and i.table_name not in ('dns.node', 'dns.zone', 'dns.record', 'ipam.subnet', 'access.nas', 'org.campus', 'org.department')
$$;

-- Whether an area holds a place. A zone holds its apex and all below; a pattern's asterisk stands for anything, dots included.
create function change.area_holds(kind text, value text, place change.place) returns boolean language sql immutable as $$
  select coalesce(case kind
    when 'global' then true
    when 'campus' then place.campus = value
    when 'department' then place.department = value
    when 'zone' then place.name = value or right(place.name, length(value) + 1) = '.' || value
    when 'name' then place.name like replace(replace(replace(value, '\', '\\'), '_', '\_'), '*', '%')
    when 'subnet' then place.network && value::inet
    when 'range' then family(place.network) = family(split_part(value, '-', 1)::inet)
      and set_masklen(broadcast(place.network), masklen(split_part(value, '-', 1)::inet)) >= split_part(value, '-', 1)::inet
      and set_masklen(network(place.network)::inet, masklen(split_part(value, '-', 2)::inet)) <= split_part(value, '-', 2)::inet
  end, false)
$$;

-- The rules that a change set touches. One that is taken away or changed counts as it was: to be rid of it takes a second person, too.
create function change.rules_touched(set_id uuid) returns table (area_kind text, area_value text, least_rows integer, touched bigint)
language plpgsql stable as $$
begin
  return query
    with edited as materialized (
      select c.change_set, c.key, c.before from change.change c where c.table_name = 'change.approval_rule' and c.host_id is null)
    select e.before ->> 'area_kind', e.before ->> 'area_value', (e.before ->> 'least_rows')::integer, 1::bigint
    from edited e where e.change_set = set_id and e.before is not null;
  if not exists (select from change.approval_rule) then return; end if;
  return query
    with place as materialized (select p as place from change.places_of(set_id) p)
    select r.area_kind, r.area_value, r.least_rows, t.touched from change.approval_rule r cross join lateral (
      select count(distinct ((p.place).table_name, (p.place).key)) as touched from place p
      where (p.place).table_name <> 'change.approval_rule' and change.area_holds(r.area_kind, r.area_value, p.place)) t
    where t.touched >= r.least_rows;
end $$;

-- Asked at the commit, of every way there is to write. What Holdfast does by itself, and who comes and goes of the boxes, is no
-- edit of an area; an administrator who broke the glass has said why.
create function change.ask_for_approval() returns trigger language plpgsql as $$
declare
  areas text;
begin
  if new.approved_by is not null or new.via in ('publisher', 'adoption', 'control', 'audit', 'break-glass') then return null; end if;
  select string_agg(trim(area_kind || ' ' || area_value), ', ' order by area_kind, area_value) into areas from change.rules_touched(new.id);
  if areas is not null then
    raise exception using errcode = 'check_violation', constraint = 'needs_approval', message = 'a second person is asked for', detail = areas;
  end if;
  return null;
end $$;
create constraint trigger needs_approval after insert on change.change_set deferrable initially deferred
  for each row execute function change.ask_for_approval();

-- The chain: every change set that was committed has one link, in the order in which it was seen. A link's hash is over the
-- whole change set and over the hash before it, so nothing of the past can be altered without all that follows.

create table change.chain (
  ordinal bigint primary key constraint chain_starts_at_one check (ordinal >= 1),
  change_set uuid not null constraint chained_once unique references change.change_set (id),
  previous bytea not null constraint chain_previous_is_sha256 check (length(previous) = 32),
  hash bytea not null constraint chain_hash_is_sha256 check (length(hash) = 32),
  at timestamptz not null default now()
);
create trigger append_only before update or delete or truncate on change.chain for each statement execute function change.refuse();

-- The end of the chain as the master vouched for it, now and then.
create table change.chain_head (
  ordinal bigint primary key references change.chain (ordinal),
  hash bytea not null,
  key_id bytea not null,
  signature bytea not null,
  at timestamptz not null default now()
);
create trigger append_only before update or delete or truncate on change.chain_head for each statement execute function change.refuse();

-- Written in the change set's own transaction: a transaction that commits late is only linked late.
create table change.unchained (
  change_set uuid primary key
);
insert into change.unchained select id from change.change_set;

create function change.await_link() returns trigger language plpgsql as $$
begin
  insert into change.unchained select id from new_rows;
  return null;
end $$;
create trigger await_link after insert on change.change_set referencing new table as new_rows for each statement execute function change.await_link();

-- The head goes to the institution's own log, where this machine's administrator cannot rewrite it.
alter table report.outgoing add column head bigint references change.chain_head (ordinal) on delete cascade;
create function report.queue_head() returns trigger language plpgsql as $$
begin
  if (select enabled from report.forwarding) then
    insert into report.outgoing (head) values (new.ordinal);
  end if;
  return null;
end $$;
create trigger queue after insert on change.chain_head for each row execute function report.queue_head();

-- Requests that carry an Idempotency-Key, and what was answered.
create table change.idempotent (
  principal uuid not null,
  key text not null constraint idempotency_key_length check (octet_length(key) between 1 and 255),
  digest bytea not null constraint idempotent_digest_is_sha256 check (length(digest) = 32),
  began_at timestamptz not null default now(),
  -- Set in the transaction of the change set: known even when the answer never went out.
  change_set uuid,
  status smallint,
  headers jsonb,
  body bytea,
  primary key (principal, key)
);
create index idempotent_by_time on change.idempotent (began_at);

-- The past. What a row was at a time is what the first change after that time found; without one it is what it is now.

-- A row that is no host's: null where there was none.
create function change.row_at(name text, key_column text, row_key text, moment timestamptz) returns jsonb language plpgsql stable as $$
declare
  found_row jsonb;
begin
  select c.before into found_row from change.change c join change.change_set s on s.id = c.change_set
    where c.table_name = name and c.key = row_key and c.host_id is null and s.at > moment order by c.ordinal limit 1;
  if found then return found_row; end if;
  execute format('select to_jsonb(t) from %1$s t where t.%2$I = (jsonb_populate_record(null::%1$s, jsonb_build_object(%2$L, $1))).%2$I', name::regclass, key_column)
    into found_row using row_key;
  return found_row;
end $$;

-- All rows of a small table.
create function change.rows_at(name text, key_column text, moment timestamptz) returns setof jsonb language plpgsql stable as $$
begin
  return query execute format($q$
    with since as materialized (
      select distinct on (c.key) c.key, c.before from change.change c join change.change_set s on s.id = c.change_set
      where c.table_name = $1 and c.host_id is null and s.at > $2 order by c.key, c.ordinal)
    select before from since where before is not null
    union all
    select to_jsonb(t) from %s t where not exists (select from since where since.key = to_jsonb(t) ->> %L)$q$, name::regclass, key_column)
  using name, moment;
end $$;

-- The rows of a table that belonged to these hosts.
create function change.host_rows_at(name text, key_column text, hosts uuid[], moment timestamptz) returns setof jsonb language plpgsql stable as $$
begin
  return query execute format($q$
    with since as materialized (
      select distinct on (c.key) c.key, c.before from change.change c join change.change_set s on s.id = c.change_set
      where c.host_id = any ($1) and c.table_name = $2 and s.at > $3 order by c.key, c.ordinal)
    select before from since where before is not null
    union all
    select to_jsonb(t) from %s t where t.%I = any ($1) and not exists (select from since where since.key = to_jsonb(t) ->> %L)$q$,
    name::regclass, case name when 'ipam.host' then 'id' else 'host_id' end, key_column)
  using hosts, name, moment;
end $$;

-- The host that had this name.
create function change.host_named_at(host_name text, moment timestamptz) returns uuid language sql stable as $$
  with node as (
    select k.key from (
      select n.id::text as key from dns.node n where n.name = host_name
      union select c.key from change.change c where c.table_name = 'dns.node' and coalesce(c.after, c.before) ->> 'name' = host_name) k
    where change.row_at('dns.node', 'id', k.key, moment) ->> 'name' = host_name),
  candidate as (
    select h.id from node join ipam.host h on h.node_id = node.key::bigint
    union select c.host_id from node join change.change c on c.table_name = 'ipam.host' and coalesce(c.after, c.before) ->> 'node_id' = node.key)
  select (r ->> 'id')::uuid from change.host_rows_at('ipam.host', 'id', array(select id from candidate), moment) r
  where r ->> 'node_id' in (select key from node) limit 1
$$;

-- Hosts by name, as a page of a list: those that nobody touched since come by the index, the others from their first change since.
create function change.hosts_at(moment timestamptz, after_name text, page integer) returns table (name text, host jsonb) language sql stable as $$
  with since as materialized (
    select distinct on (c.table_name, c.key) c.table_name, c.key, c.before from change.change_set s join change.change c on c.change_set = s.id
    where s.at > moment and c.table_name in ('ipam.host', 'dns.node') order by c.table_name, c.key, c.ordinal),
  touched as (
    select t.before as host from since t where t.table_name = 'ipam.host' and t.before is not null
    union all
    select to_jsonb(h) from since t join ipam.host h on h.node_id = t.key::bigint
      where t.table_name = 'dns.node' and not exists (select from since o where o.table_name = 'ipam.host' and o.key = h.id::text)),
  named as (
    select case when exists (select from since o where o.table_name = 'dns.node' and o.key = t.host ->> 'node_id')
      then (select o.before ->> 'name' from since o where o.table_name = 'dns.node' and o.key = t.host ->> 'node_id')
      else (select n.name from dns.node n where n.id = (t.host ->> 'node_id')::bigint) end as name, t.host
    from touched t)
  (select m.name, m.host from named m where m.name > after_name)
  union all
  (select n.name, to_jsonb(h) from dns.node n join ipam.host h on h.node_id = n.id
   where n.name > after_name and not exists (select from since o where o.table_name = 'ipam.host' and o.key = h.id::text)
     and not exists (select from since o where o.table_name = 'dns.node' and o.key = n.id::text)
   order by n.name limit page)
  order by 1 limit page
$$;

-- The aliases of a name: each as its own name.
create function change.aliases_at(target_name text, moment timestamptz) returns setof text language sql stable as $$
  select change.row_at('dns.node', 'id', r.image ->> 'node_id', moment) ->> 'name' from (
    select change.row_at('dns.record', 'id', k.key, moment) as image from (
      select t.id::text as key from dns.record t where t.target = target_name
      union select c.key from change.change c where c.table_name = 'dns.record' and coalesce(c.after, c.before) ->> 'target' = target_name) k) r
  where r.image ->> 'target' = target_name order by 1
$$;

-- The records at a node.
create function change.records_at(node text, moment timestamptz) returns setof jsonb language sql stable as $$
  select r.image from (
    select change.row_at('dns.record', 'id', k.key, moment) as image from (
      select t.id::text as key from dns.record t where t.node_id = node::bigint
      union select c.key from change.change c where c.table_name = 'dns.record' and coalesce(c.after, c.before) ->> 'node_id' = node) k) r
  where r.image ->> 'node_id' = node
$$;
