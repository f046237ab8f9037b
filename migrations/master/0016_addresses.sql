-- Which addresses are free, and who may take them. Pools say what an address is for; free ranges hold what can be handed
-- out now; the quarantine holds what was given back and is not yet safe to give to somebody else.
--
-- The free ranges are kept by triggers, once per statement, under the row lock of the subnet (always in the order of the
-- subnets' numbers): to take an address splits a range, to give one back joins its neighbours, both by the index. So "next
-- free" is one look at an index however full a subnet is, IPv6 included, and an import of 100 000 addresses is one split.

-- Neighbours; null beyond the end of the address space, where plain arithmetic fails.
create function ipam.after(ip inet) returns inet language sql immutable parallel safe as $$
  select case when ip in ('255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff') then null else ip + 1 end
$$;
create function ipam.before(ip inet) returns inet language sql immutable parallel safe as $$
  select case when ip in ('0.0.0.0', '::') then null else ip - 1 end
$$;

-- An address as a number: the difference of two inets overflows where IPv6 subnets only begin.
create function ipam.number(ip inet) returns numeric language sql immutable parallel safe as $$
  select case family(ip) when 4 then (ip - '0.0.0.0'::inet)::numeric else (
    select sum(('x' || substr(encode(inet_send(ip), 'hex'), 9 + 8 * n, 8))::bit(32)::bigint::numeric * weight)
    from (values (0, 79228162514264337593543950336), (1, 18446744073709551616), (2, 4294967296), (3, 1)) as w (n, weight)) end
$$;
create function ipam.size(first inet, last inet) returns numeric language sql immutable parallel safe as $$
  select case family(first) when 4 then (last - first + 1)::numeric else ipam.number(last) - ipam.number(first) + 1 end
$$;

create type ipam.inetrange as range (subtype = inet);

alter table ipam.subnet
  add column vlan integer constraint subnet_vlan check (vlan between 1 and 4094),
  -- Which classes of devices belong here, and which of several such subnets is filled first: the lower number.
  add column classes text[] not null default '{}',
  add column preference integer not null default 0,
  -- How long an address that was given back waits for a new owner, in seconds.
  add column quarantine_secs bigint not null default 86400 constraint subnet_quarantine check (quarantine_secs between 0 and 315360000);
create index subnet_classes on ipam.subnet using gin (classes);

-- Pools. What lies in none is static: for hosts with addresses of their own.
create table ipam.pool (
  id bigint generated always as identity primary key,
  subnet_id bigint not null constraint pool_of_subnet references ipam.subnet (id) deferrable initially immediate,
  name text constraint pool_name_taken unique constraint pool_name_shape check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  first inet not null,
  last inet not null,
  kind text not null constraint pool_kind check (kind in ('static', 'dynamic', 'reserved')),
  reason text not null default '' constraint pool_reason_length check (octet_length(reason) <= 4096),
  constraint pool_shape check (family(first) = family(last) and first <= last
    and masklen(first) = case family(first) when 4 then 32 else 128 end and masklen(last) = masklen(first)),
  constraint reserved_pool_has_reason check (kind <> 'reserved' or reason <> ''),
  constraint pool_overlap exclude using gist (ipam.inetrange(first, last, '[]') with &&)
);
create index pool_of_subnet on ipam.pool (subnet_id);
call change.keep_record_of('ipam.pool', 'id');

create table ipam.free_range (
  subnet_id bigint not null references ipam.subnet (id) on delete cascade,
  first inet not null,
  last inet not null,
  primary key (subnet_id, first)
);

-- Addresses that were given back, until they are safe to have. The row goes when nothing holds the address any more.
create table ipam.quarantine (
  ip inet primary key,
  subnet_id bigint not null references ipam.subnet (id) on delete cascade,
  -- Who had it: it may take it back at once.
  host_id uuid not null,
  name text not null,
  mac macaddr,
  change_set uuid not null,
  freed_at timestamptz not null default now(),
  until timestamptz not null
);
create index quarantine_of_subnet on ipam.quarantine (subnet_id, ip);
create index quarantine_by_end on ipam.quarantine (until);
create index quarantine_of_change_set on ipam.quarantine (change_set);

-- The addresses that hosts of a subnet can have: not its network and broadcast address, nor the routers' anycast address of
-- IPv6 (RFC 4291 section 2.6.1), but for the short ones (RFC 3021, RFC 6164).
create function ipam.lowest(network cidr) returns inet language sql immutable parallel safe as $$
  select case when masklen(network) >= case family(network) when 4 then 31 else 127 end
    then set_masklen(network::inet, case family(network) when 4 then 32 else 128 end)
    else set_masklen(network::inet, case family(network) when 4 then 32 else 128 end) + 1 end
$$;
create function ipam.highest(network cidr) returns inet language sql immutable parallel safe as $$
  select case when family(network) = 6 or masklen(network) >= 31
    then set_masklen(broadcast(network), case family(network) when 4 then 32 else 128 end)
    else set_masklen(broadcast(network), 32) - 1 end
$$;

-- Locks these subnets in their order, so that two statements that need the same ones never wait for each other in a ring.
create function ipam.lock_subnets(subnets bigint[]) returns void language plpgsql as $$
begin
  perform from ipam.subnet s where s.id = any (subnets) order by s.id for no key update;
end $$;

-- Takes addresses out of the free ranges. What is in none is left alone.
create function ipam.take(subnets bigint[], ips inet[]) returns void language sql as $$
  with hit as materialized (
    select t.subnet_id, t.ip, r.first, r.last
    from (select distinct * from unnest(subnets, ips) as u (subnet_id, ip)) t
    cross join lateral (
      select f.first, f.last from ipam.free_range f where f.subnet_id = t.subnet_id and f.first <= t.ip order by f.first desc limit 1) r
    where r.last >= t.ip),
  gone as (
    delete from ipam.free_range f using (select distinct subnet_id, first from hit) h where (f.subnet_id, f.first) = (h.subnet_id, h.first)
    returning f.subnet_id, f.first),
  pieces as (
    -- Before each address what lies between it and the one before; behind the last what remains.
    select h.subnet_id, coalesce(ipam.after(lag(h.ip) over in_range), h.first) as first, ipam.before(h.ip) as last
    from hit h join gone using (subnet_id, first) window in_range as (partition by h.subnet_id, h.first order by h.ip)
    union all
    select h.subnet_id, ipam.after(max(h.ip)), h.last from hit h join gone using (subnet_id, first) group by h.subnet_id, h.first, h.last)
  insert into ipam.free_range (subnet_id, first, last) select subnet_id, first, last from pieces where first <= last
$$;

-- Puts addresses back into the free ranges: those that lie in no other pool and are not the gateway's.
create function ipam.give(subnets bigint[], ips inet[]) returns void language sql as $$
  with given as materialized (
    select distinct u.subnet_id, u.ip from unnest(subnets, ips) as u (subnet_id, ip) join ipam.subnet s on s.id = u.subnet_id
    where s.gateway is distinct from u.ip and u.ip between ipam.lowest(s.network) and ipam.highest(s.network)
      and not exists (select from ipam.pool p where p.subnet_id = u.subnet_id and p.kind <> 'static' and u.ip between p.first and p.last)),
  near as materialized (
    select distinct g.subnet_id, n.first from given g cross join lateral (
      (select f.first, f.last from ipam.free_range f where f.subnet_id = g.subnet_id and f.first <= g.ip order by f.first desc limit 1)
      union all select f.first, f.last from ipam.free_range f where f.subnet_id = g.subnet_id and f.first = ipam.after(g.ip)) n
    where n.last >= ipam.before(g.ip) or n.first = ipam.after(g.ip)),
  gone as (
    delete from ipam.free_range f using near n where (f.subnet_id, f.first) = (n.subnet_id, n.first) returning f.subnet_id, f.first, f.last),
  pieces as (select subnet_id, ip as first, ip as last from given union all select * from gone),
  islands as (
    select subnet_id, first, last, sum(starts::int) over (partition by subnet_id order by first, last) as island
    from (select *, coalesce(first > ipam.after(max(last) over (partition by subnet_id order by first, last rows between unbounded preceding and 1 preceding)), true) as starts
          from pieces) x)
  insert into ipam.free_range (subnet_id, first, last) select subnet_id, min(first), max(last) from islands group by subnet_id, island
$$;

-- What no host of a subnet can be given next: gateway, other pools, what is used and what waits.
create function ipam.blocked(subnet bigint) returns table (first inet, last inet) language sql stable as $$
  select s.gateway, s.gateway from ipam.subnet s where s.id = subnet and s.gateway is not null
  union all select p.first, p.last from ipam.pool p where p.subnet_id = subnet and p.kind <> 'static'
  union all select a.ip, a.ip from ipam.address a where a.subnet_id = subnet
  union all select q.ip, q.ip from ipam.quarantine q where q.subnet_id = subnet
$$;

-- The free ranges as they follow from everything else: the gaps between what is blocked.
create function ipam.expected_ranges(subnet bigint) returns table (subnet_id bigint, first inet, last inet) language sql stable as $$
  with bounds as (select ipam.lowest(s.network) as low, ipam.highest(s.network) as high from ipam.subnet s where s.id = subnet),
  walls as (
    select b.first, max(b.last) over (order by b.first, b.last) as reach, lead(b.first) over (order by b.first, b.last) as next from ipam.blocked(subnet) b),
  gaps as (
    select low as first, coalesce((select ipam.before(min(w.first)) from walls w), high) as last from bounds
    union all
    select ipam.after(w.reach), coalesce(ipam.before(w.next), high) from walls w, bounds)
  select subnet, greatest(g.first, b.low), least(g.last, b.high) from gaps g, bounds b
  where g.first is not null and g.last is not null and greatest(g.first, b.low) <= least(g.last, b.high)
$$;

create function ipam.remake_free_ranges(subnets bigint[]) returns void language plpgsql as $$
begin
  perform ipam.lock_subnets(subnets);
  delete from ipam.free_range where subnet_id = any (subnets);
  insert into ipam.free_range (subnet_id, first, last) select e.* from unnest(subnets) s, ipam.expected_ranges(s) e;
end $$;

-- An address is taken: not from a pool of another kind, and not out of the quarantine but by who had it.
create function ipam.on_address_taken() returns trigger language plpgsql as $$
declare
  subnets bigint[];
  ips inet[];
  found record;
begin
  select array_agg(subnet_id), array_agg(ip) into subnets, ips from new_rows;
  if ips is null then return null; end if;
  perform ipam.lock_subnets(array(select distinct unnest(subnets)));
  select n.ip, p.kind, p.first, p.last into found from new_rows n join ipam.pool p on p.subnet_id = n.subnet_id
    where p.kind <> 'static' and n.ip between p.first and p.last limit 1;
  if found is not null then
    raise exception using errcode = 'check_violation', constraint = 'address_in_other_pool', table = 'address', schema = 'ipam',
      message = format('%s lies in the %s pool %s-%s', host(found.ip), found.kind, host(found.first), host(found.last));
  end if;
  if exists (select from ipam.quarantine q where q.subnet_id = any (subnets)) then
    select n.ip, q.name into found from new_rows n join ipam.quarantine q on q.ip = n.ip
      join ipam.iface i on i.id = n.iface_id join ipam.host h on h.id = n.host_id join dns.node d on d.id = h.node_id
      where q.host_id <> n.host_id and (q.mac = i.mac) is not true and not (q.name = d.name and (q.mac is null or i.mac is null)) limit 1;
    if found is not null then
      raise exception using errcode = 'check_violation', constraint = 'address_in_quarantine', table = 'address', schema = 'ipam',
        message = format('%s was given back by %s and waits', host(found.ip), found.name);
    end if;
    delete from ipam.quarantine q using new_rows n where q.ip = n.ip;
  end if;
  perform ipam.take(subnets, ips);
  return null;
end $$;

-- An address is given back: it waits, for the time of its subnet and for the longest lease that may still be out
-- (option 51 of the subnet, RFC 2132 section 9.2, in seconds).
create function ipam.on_address_given_back() returns trigger language plpgsql as $$
begin
  if not exists (select from old_rows) then return null; end if;
  perform ipam.lock_subnets(array(select distinct subnet_id from old_rows));
  insert into ipam.quarantine (ip, subnet_id, host_id, name, mac, change_set, until)
    with ends as materialized (
      select s.id, clock_timestamp() + make_interval(secs => greatest(s.quarantine_secs, ipam.lease_secs(s.options))) as until
      from ipam.subnet s where s.id in (select subnet_id from old_rows))
    select o.ip, o.subnet_id, o.host_id, coalesce(d.name, ''), i.mac, change.current_set(), e.until
    from old_rows o join ends e on e.id = o.subnet_id left join ipam.iface i on i.id = o.iface_id
      left join ipam.host h on h.id = o.host_id left join dns.node d on d.id = h.node_id;
  return null;
end $$;

create function ipam.lease_secs(options jsonb) returns bigint language sql immutable parallel safe as $$
  select coalesce(max(('x' || lpad(o ->> 'value', 8, '0'))::bit(32)::bigint), 0) from jsonb_array_elements(options) o
  where o ->> 'code' = '51' and length(o ->> 'value') <= 8
$$;

-- What an undo puts back into the quarantine is free no more.
create function ipam.on_quarantined() returns trigger language plpgsql as $$
declare
  subnets bigint[];
  ips inet[];
begin
  delete from ipam.quarantine q using new_rows n where q.ip = n.ip and exists (select from ipam.address a where a.ip = q.ip);
  select array_agg(subnet_id), array_agg(ip) into subnets, ips from new_rows;
  if ips is not null then perform ipam.take(subnets, ips); end if;
  return null;
end $$;

create function ipam.on_subnet() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into ipam.free_range (subnet_id, first, last) select e.* from new_rows n, ipam.expected_ranges(n.id) e;
  else
    perform ipam.remake_free_ranges(array(
      select n.id from old_rows o join new_rows n using (id) where (o.network, o.gateway) is distinct from (n.network, n.gateway)));
    delete from ipam.quarantine q using new_rows n where q.subnet_id = n.id and not q.ip <<= n.network;
    if exists (select from new_rows n join ipam.pool p on p.subnet_id = n.id
               where not (p.first between ipam.lowest(n.network) and ipam.highest(n.network) and p.last between ipam.lowest(n.network) and ipam.highest(n.network))) then
      raise exception using errcode = 'check_violation', constraint = 'pool_inside_subnet', table = 'pool', schema = 'ipam',
        message = 'a pool would lie outside its subnet';
    end if;
  end if;
  return null;
end $$;

-- A pool lies inside its subnet, and holds no address that somebody has, unless it is static.
create function ipam.on_pool() returns trigger language plpgsql as $$
declare
  subnets bigint[];
  found record;
begin
  if tg_op = 'DELETE' then
    perform ipam.remake_free_ranges(array(select distinct o.subnet_id from old_rows o join ipam.subnet s on s.id = o.subnet_id));
    return null;
  end if;
  subnets := array(select distinct subnet_id from new_rows);
  perform ipam.lock_subnets(subnets);
  if exists (select from new_rows n join ipam.subnet s on s.id = n.subnet_id where not (n.first >= ipam.lowest(s.network) and n.last <= ipam.highest(s.network)
             and family(n.first) = family(s.network))) then
    raise exception using errcode = 'check_violation', constraint = 'pool_inside_subnet', table = 'pool', schema = 'ipam',
      message = 'a pool would lie outside its subnet';
  end if;
  select a.ip into found from new_rows n join ipam.address a on a.ip between n.first and n.last where n.kind <> 'static' limit 1;
  if found is not null then
    raise exception using errcode = 'check_violation', constraint = 'pool_holds_addresses', table = 'pool', schema = 'ipam',
      message = format('%s is the address of a host', host(found.ip));
  end if;
  perform ipam.remake_free_ranges(subnets);
  return null;
end $$;

create trigger free_ranges_insert after insert on ipam.address referencing new table as new_rows
  for each statement execute function ipam.on_address_taken();
create trigger free_ranges_delete after delete on ipam.address referencing old table as old_rows
  for each statement execute function ipam.on_address_given_back();
create trigger free_ranges_insert after insert on ipam.quarantine referencing new table as new_rows
  for each statement execute function ipam.on_quarantined();
create trigger free_ranges_insert after insert on ipam.subnet referencing new table as new_rows
  for each statement execute function ipam.on_subnet();
create trigger free_ranges_update after update on ipam.subnet referencing old table as old_rows new table as new_rows
  for each statement execute function ipam.on_subnet();
create trigger free_ranges_insert after insert on ipam.pool referencing new table as new_rows
  for each statement execute function ipam.on_pool();
create trigger free_ranges_update after update on ipam.pool referencing old table as old_rows new table as new_rows
  for each statement execute function ipam.on_pool();
create trigger free_ranges_delete after delete on ipam.pool referencing old table as old_rows
  for each statement execute function ipam.on_pool();

insert into ipam.free_range (subnet_id, first, last) select e.* from ipam.subnet s, ipam.expected_ranges(s.id) e;

-- Whom the addresses wait for that a change set gave back: agents that are in and have not made the generation that frees
-- them durable. Generation null: it is not even published.
create function ipam.waiting_for(sets uuid[]) returns table (change_set uuid, agent text, generation bigint) language sql stable as $$
  select s.id, n.name, w.generation from unnest(sets) s (id)
    join publish.change_generation w on w.change_set = s.id
    join publish.node n on n.role = 'agent' and n.revoked_at is null
    where not exists (select from publish.served d where (d.node_id, d.kind, d.family, d.cut) = (n.id, w.kind, w.family, w.cut)
      and d.generation >= w.generation and d.durable_at is not null)
  union all
  select s.id, n.name, null from unnest(sets) s (id) join publish.node n on n.role = 'agent' and n.revoked_at is null
    where exists (select from publish.outbox o where o.change_set = s.id)
$$;

-- Gives free what nothing holds any more, at most so many, those of the given subnets (all where null); how many.
create function ipam.release_due(of_subnets bigint[], at_most integer) returns bigint language plpgsql as $$
declare
  subnets bigint[];
  ips inet[];
begin
  with held as materialized (
    select w.change_set from ipam.waiting_for(array(
      select distinct q.change_set from ipam.quarantine q where q.until <= clock_timestamp() and (of_subnets is null or q.subnet_id = any (of_subnets)))) w)
  select array_agg(d.subnet_id), array_agg(d.ip) into subnets, ips from (
    select q.subnet_id, q.ip from ipam.quarantine q where q.until <= clock_timestamp() and (of_subnets is null or q.subnet_id = any (of_subnets))
      and not exists (select from held h where h.change_set = q.change_set)
    limit at_most) d;
  if ips is null then return 0; end if;
  perform ipam.lock_subnets(array(select distinct unnest(subnets)));
  with gone as (delete from ipam.quarantine where ip = any (ips) and until <= clock_timestamp() returning subnet_id, ip)
    select array_agg(subnet_id), array_agg(ip) into subnets, ips from gone;
  if ips is not null then perform ipam.give(subnets, ips); end if;
  return coalesce(cardinality(ips), 0);
end $$;

-- What the addresses of a subnet are, counted without looking at each: used is what neither free, held, excluded nor the
-- gateway's is.
create view ipam.subnet_numbers as
  select n.id, n.total, n.free, n.quarantined, n.excluded,
    (n.total - n.free - n.excluded - n.quarantined + n.quarantined_elsewhere - n.idle_gateway + n.anycast)::bigint as used
  from (
    select s.id, ipam.size(ipam.lowest(s.network), ipam.highest(s.network)) as total,
      coalesce((select sum(ipam.size(f.first, f.last)) from ipam.free_range f where f.subnet_id = s.id), 0) as free,
      (select count(*) from ipam.quarantine q where q.subnet_id = s.id) as quarantined,
      coalesce((select sum(ipam.size(p.first, p.last)) from ipam.pool p where p.subnet_id = s.id and p.kind <> 'static'), 0) as excluded,
      -- Counted with a pool or the gateway already.
      (select count(*) from ipam.quarantine q where q.subnet_id = s.id and (q.ip = s.gateway or exists (
         select from ipam.pool p where p.subnet_id = s.id and p.kind <> 'static' and q.ip between p.first and p.last))) as quarantined_elsewhere,
      (s.gateway is not null and s.gateway between ipam.lowest(s.network) and ipam.highest(s.network)
         and not exists (select from ipam.address a where a.ip = s.gateway) and not exists (
         select from ipam.pool p where p.subnet_id = s.id and p.kind <> 'static' and s.gateway between p.first and p.last))::int as idle_gateway,
      -- Somebody may insist on the address that is not offered.
      (select count(*) from ipam.address a where family(s.network) = 6 and a.ip = ipam.before(ipam.lowest(s.network)) and a.subnet_id = s.id) as anycast
    from ipam.subnet s) n;
