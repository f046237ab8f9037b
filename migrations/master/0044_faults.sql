-- What those who watch the network tell us, and what is told of it: faults and incidents, with whom they concern and whom to call.
-- An observation: nobody edits it. And a role for the program that tells it, which can do nothing else.

alter table access.grant drop constraint grant_role_known, add constraint grant_role_known check (role in (
  'administrator', 'operator', 'table-maintainer', 'backup-operator', 'help-desk', 'auditor', 'department-admin', 'viewer', 'network-management'));

-- People are not kept here: whom to call is looked up when it is told, and goes with the event.
create table report.fault (
  number bigint generated always as identity primary key,
  kind text not null constraint fault_kind check (kind in ('fault', 'incident')),
  severity text not null constraint fault_severity check (severity in ('info', 'warning', 'error', 'critical')),
  text text not null constraint fault_text_length check (octet_length(text) between 1 and 4096),
  ip inet,
  mac macaddr,
  port text,
  reported_by text not null,
  at timestamptz not null default now(),
  -- The same, told again within a minute, is counted and goes nowhere.
  repeats integer not null default 0,
  last_at timestamptz not null default now(),
  -- What it was found to concern.
  concerns jsonb not null
);
create index fault_by_time on report.fault (last_at);

-- The sentence that an event begins with, as the institution wants it.
create table report.notice_template (
  kind text primary key constraint notice_template_kind check (kind in ('fault', 'incident')),
  text text not null constraint notice_template_length check (octet_length(text) between 1 and 4096)
);
insert into report.notice_template (kind, text) values
  ('fault', '{severity}: fault at {what}, {place}; department {department}, campus {campus} ({campus_state}): {text}. Call {person}, {phone}.'),
  ('incident', 'Security incident at {what}, {place}; department {department}, campus {campus}: {text}. You are told because this is yours to answer for, or to help with. Please look at it now, and call {person}, {phone}.');

-- A host is found by the port that its cable ends at.
create index equipment_by_port on ipam.equipment (lower(switch_port)) where switch_port <> '';

-- Events that bring with them what is to be told, and where it lies.
alter table feed.waiting add column data jsonb;
alter table feed.event drop constraint event_kind_known,
  add constraint event_kind_known check (kind in ('change', 'served', 'node', 'fault', 'incident', 'discovery'));
alter table feed.webhook drop constraint webhook_kinds_known,
  add constraint webhook_kinds_known check (kinds <@ array['change', 'served', 'node', 'fault', 'incident', 'discovery'] and kinds <> '{}');

-- As before, and: those that bring their data are told as they are.
create or replace function feed.number_what_waits(page integer) returns bigint language sql as $$
  with taken as (
    delete from feed.waiting where id in (select id from feed.waiting order by id limit page) returning *),
  told as (
    select t.id, t.kind, t.at, t.change_set,
      jsonb_build_object('change_set', s.id, 'actor', s.actor, 'via', s.via, 'reason', s.reason, 'author', s.author, 'approved_by', s.approved_by) as data
    from taken t join change.change_set s on s.id = t.change_set where t.kind = 'change'
    union all
    select t.id, t.kind, t.at, null, t.data from taken t where t.data is not null
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

-- Whether one of the places of an event lies in an area.
create function feed.places_are_in(places jsonb, area_kind text, area_value text) returns boolean language sql stable as $$
  select exists (select from jsonb_array_elements(coalesce(places, '[]')) as p (place) where change.area_holds(area_kind, area_value,
    row(null, null, place ->> 'name', (place ->> 'network')::inet, place ->> 'campus', place ->> 'department')::change.place))
$$;

-- As before, and: faults, incidents and discoveries lie in areas, too. So a department hears of its own.
create or replace function feed.deliver(hook_id uuid, page integer) returns bigint language plpgsql as $$
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
      and (hook.area_kind = 'global' or case
        when e.kind = 'change' then feed.change_set_is_in(e.change_set, hook.area_kind, hook.area_value)
        when e.kind in ('fault', 'incident', 'discovery') then feed.places_are_in(e.data -> 'places', hook.area_kind, hook.area_value)
        else true end)
    order by e.number
    on conflict (webhook_id, number) do nothing;
  update feed.webhook set looked_at = last_seen where id = hook.id;
  return last_seen;
end $$;
