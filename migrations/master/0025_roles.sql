-- Who of the master may write what. Its doors and rooms act as `holdfast_web`, its publisher as `holdfast_publisher`; whoever owns
-- the database makes its shape and nothing else, and `holdfast_reader` reads the schema `api`.
--
-- A fault in the publisher cannot change a host, and a fault behind a door cannot change a generation or the past.

-- Who publishes is who holds the lock. Of a session only its owner is told more than its number, so this is asked as the owner.
create function publish.leader() returns table (session integer, since timestamptz, host text)
language sql stable security definer set search_path = pg_catalog as $$
  -- The two halves of the lock's number.
  select a.pid, a.backend_start, host(a.client_addr) from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'advisory' and l.granted and l.classid = x'686f6c64'::int::oid and l.objid = x'66617374'::int::oid and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database()) limit 1
$$;

do $$
declare
  role text;
  space text;
begin
  foreach role in array array['holdfast_web', 'holdfast_publisher'] loop
    -- A role belongs to the whole server: another database of it may have made this one already.
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I nologin', role);
    end if;
    execute format('grant %I to current_user', role);
    foreach space in array array['org', 'dns', 'ipam', 'boot', 'access', 'change', 'publish', 'report', 'feed', 'checks', 'api'] loop
      execute format('grant usage on schema %I to %I', space, role);
      execute format('grant select on all tables in schema %I to %I', space, role);
      execute format('alter default privileges in schema %I grant select on tables to %I', space, role);
    end loop;
  end loop;
  -- What later migrations add is treated as what is here.
  foreach space in array array['org', 'dns', 'ipam', 'boot', 'access', 'change', 'publish', 'report', 'feed', 'checks'] loop
    execute format('grant insert, update, delete on all tables in schema %I to holdfast_web', space);
    execute format('alter default privileges in schema %I grant insert, update, delete on tables to holdfast_web', space);
  end loop;
  foreach space in array array['publish', 'feed', 'report'] loop
    execute format('grant insert, update, delete on all tables in schema %I to holdfast_publisher', space);
    execute format('alter default privileges in schema %I grant insert, update, delete on tables to holdfast_publisher', space);
  end loop;
  -- Generations are the publisher's; what was changed nobody changes.
  revoke insert, update on publish.generation, publish.base, publish.change_generation from holdfast_web;
  revoke update, delete on change.change_set, change.change, change.chain from holdfast_web;
  -- A publisher counts serials up, and encrypts secrets anew when a key turns, which is a change like any other.
  grant insert on change.change_set, change.change, change.unchained to holdfast_publisher;
  grant update on dns.serial, access.nas to holdfast_publisher;
  grant insert, update on dns.past_serial to holdfast_publisher;
exception
  when insufficient_privilege or duplicate_object or unique_violation then
    raise notice 'the roles holdfast_web and holdfast_publisher were not made, so the master acts as the owner of its database: let somebody who may make roles run the migration 0025 again';
end $$;
