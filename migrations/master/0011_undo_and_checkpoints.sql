-- What undoing change sets needs, and checkpoints: bases of earlier generations, so that any generation that is kept can be
-- rebuilt from the nearest one below it.

-- An undo puts rows back in one go; at its end every reference must hold again, not after each of its statements. Everybody
-- else still meets the constraints at once.
do $$
declare
  found record;
begin
  for found in
    select conrelid::regclass as table_name, conname from pg_constraint
    where contype = 'f' and connamespace in ('org'::regnamespace, 'dns'::regnamespace, 'ipam'::regnamespace, 'boot'::regnamespace)
  loop
    execute format('alter table %s alter constraint %I deferrable initially immediate', found.table_name, found.conname);
  end loop;
end $$;

-- The columns of a table that can be written, as a list for a statement. Numbers that Postgres gave are put back, never changed.
create function change.columns_of(name regclass, with_identity boolean) returns text language sql stable as $$
  select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
  where attrelid = name and attnum > 0 and not attisdropped and attgenerated = '' and (with_identity or attidentity = '')
$$;

-- The rows as they are now that have the keys of these images, locked.
create function change.current_images(name text, key_column text, images jsonb) returns setof jsonb language plpgsql as $$
begin
  return query execute format(
    'select to_jsonb(t) from %1$s t where t.%2$I in (select r.%2$I from jsonb_populate_recordset(null::%1$s, $1) r) for update',
    name::regclass, key_column) using images;
end $$;

create function change.delete_images(name text, key_column text, images jsonb) returns void language plpgsql as $$
begin
  execute format('delete from %1$s t where t.%2$I in (select r.%2$I from jsonb_populate_recordset(null::%1$s, $1) r)', name::regclass, key_column)
    using images;
end $$;

create function change.update_images(name text, key_column text, images jsonb) returns void language plpgsql as $$
declare
  columns text := change.columns_of(name::regclass, false);
begin
  execute format('update %1$s t set (%3$s) = (select %3$s from jsonb_populate_record(null::%1$s, e.image)) from jsonb_array_elements($1) as e (image)
    where t.%2$I = (jsonb_populate_record(null::%1$s, e.image)).%2$I', name::regclass, key_column, columns) using images;
end $$;

create function change.insert_images(name text, images jsonb) returns void language plpgsql as $$
declare
  columns text := change.columns_of(name::regclass, true);
begin
  execute format('insert into %1$s (%2$s) overriding system value select %2$s from jsonb_populate_recordset(null::%1$s, $1)', name::regclass, columns)
    using images;
end $$;

-- A zone that comes back must not start below the serial that its secondaries have seen.
create table dns.past_serial (
  apex text primary key,
  serial bigint not null
);

create function dns.keep_past_serial() returns trigger language plpgsql as $$
begin
  insert into dns.past_serial (apex, serial) select z.apex, old.serial from dns.zone z where z.id = old.zone_id
    on conflict (apex) do update set serial = excluded.serial;
  return null;
end $$;

create trigger keep_past_serial after delete on dns.serial for each row execute function dns.keep_past_serial();

-- Several bases of a feed: the newest, and older ones far enough apart. The generations between are kept as deltas.
alter table publish.base drop constraint base_pkey;
alter table publish.base add primary key (kind, family, cut, epoch, generation, ordinal);
create index generation_by_time on publish.generation (at);
create index change_generation_of on publish.change_generation (kind, family, cut, generation);
alter table publish.base add column at timestamptz not null default now();
