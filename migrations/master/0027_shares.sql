-- Which agent lends which addresses of the dynamic pools.
--
-- Every address that is lent has exactly one agent, so that agents who cannot hear each other never lend it twice. A share moves
-- only by release, then grant: an agent that is to lend no more is told so first; when it has that on its own disk, and the
-- longest lease that it may have given since has run out, the addresses are free, for another agent or for hosts.

-- Whose agents stand in for a campus's; where nothing is said, those of the campus that was added first.
alter table org.campus
  add column backup_id bigint constraint campus_backup references org.campus (id),
  add constraint campus_is_not_its_own_backup check (backup_id <> id);

alter table ipam.subnet
  -- What becomes of machines that nobody registered.
  add column unknown_machines text not null default 'report' constraint subnet_unknown_machines
    check (unknown_machines in ('off', 'report', 'quarantine', 'auto')),
  -- How long agents of other campuses wait for the one at home, in seconds.
  add column cover_after_secs integer not null default 2 constraint subnet_cover_after check (cover_after_secs between 0 and 300),
  -- How long an address of a dynamic pool is lent, in seconds.
  add column pool_lease_secs bigint not null default 3600 constraint subnet_pool_lease check (pool_lease_secs between 60 and 31536000);

-- No subnet is named: a share that is given up outlasts it.
create table ipam.share (
  first inet primary key,
  last inet not null,
  node_id uuid not null constraint share_of_node references publish.node (id),
  -- The longest lease that the agent may have given here, in seconds.
  lease_secs bigint not null,
  -- The change set that took it from its agent; null while the agent lends.
  given_up uuid,
  -- When the last lease has run out; null until the agent has confirmed that it lends no more.
  until timestamptz,
  constraint share_shape check (family(first) = 4 and family(last) = 4 and first <= last and masklen(first) = 32 and masklen(last) = 32),
  constraint share_ends_when_given_up check (until is null or given_up is not null),
  constraint share_overlap exclude using gist (ipam.inetrange(first, last, '[]') with &&)
);
create index share_given_up on ipam.share (given_up) where given_up is not null;

-- What is lent is published; what is given up only waits.
create function publish.on_share() returns trigger language plpgsql as $$
declare
  firsts inet[];
begin
  if tg_op = 'INSERT' then
    firsts := array(select first from new_rows where given_up is null);
  elsif tg_op = 'DELETE' then
    firsts := array(select first from old_rows where given_up is null);
  else
    firsts := array(select o.first from old_rows o join new_rows n using (first)
      where o.given_up is null and (o.last, o.node_id, o.given_up) is distinct from (n.last, n.node_id, n.given_up)
        or o.given_up is not null and n.given_up is null);
  end if;
  if firsts = '{}' then return null; end if;
  insert into publish.outbox (change_set, subject, key)
    select distinct change.current_set(), 'subnet', s.network::text from unnest(firsts) f join ipam.subnet s on s.network >>= f;
  return null;
end $$;
call publish.watch('ipam.share', 'publish.on_share');

-- A subnet that goes gives up what was lent on it, in the change set that takes it away, whichever way that came: its agents are
-- waited for, as for any other share.
create function ipam.on_subnet_gone() returns trigger language plpgsql as $$
begin
  update ipam.share h set given_up = change.current_set() from old_rows o where h.given_up is null and h.first <<= o.network;
  return null;
end $$;
create trigger shares_delete after delete on ipam.subnet referencing old table as old_rows for each statement execute function ipam.on_subnet_gone();

-- As before, and: what an agent lends, or may have lent, is no host's.
create or replace function ipam.blocked(subnet bigint) returns table (first inet, last inet) language sql stable as $$
  select s.gateway, s.gateway from ipam.subnet s where s.id = subnet and s.gateway is not null
  union all select p.first, p.last from ipam.pool p where p.subnet_id = subnet and p.kind <> 'static'
  union all select h.first, h.last from ipam.subnet s join ipam.share h on ipam.inetrange(h.first, h.last, '[]') && ipam.inetrange(ipam.lowest(s.network), ipam.highest(s.network), '[]')
    where s.id = subnet
  union all select a.ip, a.ip from ipam.address a where a.subnet_id = subnet
  union all select q.ip, q.ip from ipam.quarantine q where q.subnet_id = subnet
$$;

create function ipam.on_address_in_share() returns trigger language plpgsql as $$
declare
  found record;
begin
  -- The lock of the subnet is held since the triggers before this one.
  select n.ip, h.first, h.last into found from new_rows n join ipam.share h on ipam.inetrange(h.first, h.last, '[]') @> n.ip limit 1;
  if found is not null then
    raise exception using errcode = 'check_violation', constraint = 'address_in_share', table = 'address', schema = 'ipam',
      message = format('%s may still be lent: an agent had the share %s-%s', host(found.ip), host(found.first), host(found.last));
  end if;
  return null;
end $$;
create trigger in_share after insert on ipam.address referencing new table as new_rows
  for each statement execute function ipam.on_address_in_share();

create or replace function ipam.give(subnets bigint[], ips inet[]) returns void language sql as $$
  with given as materialized (
    select distinct u.subnet_id, u.ip from unnest(subnets, ips) as u (subnet_id, ip) join ipam.subnet s on s.id = u.subnet_id
    where s.gateway is distinct from u.ip and u.ip between ipam.lowest(s.network) and ipam.highest(s.network)
      and not exists (select from ipam.pool p where p.subnet_id = u.subnet_id and p.kind <> 'static' and u.ip between p.first and p.last)
      and not exists (select from ipam.share h where ipam.inetrange(h.first, h.last, '[]') @> u.ip)),
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

-- Whom a share that was given up waits for: its own agent, until that has the change on its disk. A box that was thrown out is
-- lost, as an administrator said; nobody waits for it.
create function ipam.share_waits(share ipam.share) returns boolean language sql stable as $$
  select exists (select from publish.node n where n.id = share.node_id and n.revoked_at is null and (
    exists (select from publish.outbox o where o.change_set = share.given_up)
    or exists (select from publish.change_generation w where w.change_set = share.given_up and not exists (
      select from publish.served d where (d.node_id, d.kind, d.family, d.cut) = (n.id, w.kind, w.family, w.cut)
        and d.generation >= w.generation and d.durable_at is not null))))
$$;

-- Ends what was given up and confirmed and has run out; how many shares that were. The clock of a client may be slower than
-- ours: a hundredth of a lease, and half a minute at least.
create function ipam.end_shares() returns bigint language plpgsql as $$
declare
  subnets bigint[];
  ended bigint;
  -- The locks below may be long in coming.
  now_then timestamptz := clock_timestamp();
begin
  update ipam.share h set until = clock_timestamp() + make_interval(secs => h.lease_secs + greatest(30, h.lease_secs / 100))
    where h.given_up is not null and h.until is null and not ipam.share_waits(h);
  subnets := array(select distinct s.id from ipam.share h join ipam.subnet s
    on ipam.inetrange(h.first, h.last, '[]') && ipam.inetrange(ipam.lowest(s.network), ipam.highest(s.network), '[]') where h.until <= now_then);
  perform ipam.lock_subnets(subnets);
  delete from ipam.share where until <= now_then;
  get diagnostics ended = row_count;
  if subnets <> '{}' then perform ipam.remake_free_ranges(subnets); end if;
  return ended;
end $$;

-- As before; what was given up and lies in no pool any more is counted with the quarantine.
create or replace view ipam.subnet_numbers as
  select n.id, n.total, n.free, n.quarantined, n.excluded,
    (n.total - n.free - n.excluded - n.quarantined + n.quarantined_elsewhere - n.idle_gateway + n.anycast)::bigint as used
  from (
    select s.id, ipam.size(ipam.lowest(s.network), ipam.highest(s.network)) as total,
      coalesce((select sum(ipam.size(f.first, f.last)) from ipam.free_range f where f.subnet_id = s.id), 0) as free,
      (select count(*) from ipam.quarantine q where q.subnet_id = s.id)
        + coalesce((select sum(ipam.size(h.first, h.last))::bigint from ipam.share h where h.given_up is not null and h.first <<= s.network and not exists (
            select from ipam.pool p where p.subnet_id = s.id and p.kind <> 'static' and h.first between p.first and p.last)), 0) as quarantined,
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
