-- What NASs said of sessions (RFC 2866), as the agents that kept it hand it on. An observation: nobody edits it. Records come late, out of
-- order, twice, and by way of two agents; whatever order they come in, the session they tell of is the same.

create table report.network_session (
  id bigint generated always as identity primary key,
  -- The NAS by where its requests come from, and as it was called then.
  nas_ip inet not null,
  nas text not null,
  nas_identifier text not null,
  nas_port text not null,
  session_id text not null,
  user_name text not null,
  -- The agent that told of it last.
  node_id uuid not null constraint network_session_of_node references publish.node (id),
  started_at timestamptz not null,
  -- Whether that is known, by a start or by how long it lasts; otherwise it began then at the latest.
  has_start boolean not null,
  heard_at timestamptz not null,
  ended_at timestamptz,
  -- `stop`: its NAS said so. `restart`: its NAS started anew or stopped. `replaced`: its NAS gave its number to another session.
  ended_by text constraint network_session_end check (ended_by in ('stop', 'restart', 'replaced')),
  terminate_cause bigint,
  calling_station text not null,
  called_station text not null,
  -- The calling station as we write hardware addresses, where it is one.
  mac text not null,
  framed_ip inet,
  framed_ipv6 inet,
  input_octets bigint not null,
  output_octets bigint not null,
  constraint network_session_ends_after_its_start check ((ended_at is null) = (ended_by is null) and ended_at >= started_at)
);
create index network_session_of_nas on report.network_session (nas_ip, session_id, user_name, started_at desc);
create index network_session_by_start on report.network_session (started_at desc, id desc);
create index network_session_by_user on report.network_session (lower(user_name), started_at desc);
create index network_session_by_mac on report.network_session (mac, started_at desc) where mac <> '';
create index unended_network_session on report.network_session (nas_ip) where ended_by is null or ended_by = 'replaced';
create index network_session_ended_by_restart on report.network_session (nas_ip) where ended_by = 'restart';
create index open_network_session on report.network_session (started_at desc, id desc) where ended_at is null;
create index network_session_by_nas on report.network_session (nas, started_at desc, id desc);
create index network_session_by_end on report.network_session (coalesce(ended_at, heard_at));

-- Which addresses a session had, and from when to when that was heard of: they change while it lasts.
create table report.network_session_address (
  session bigint not null constraint address_of_network_session references report.network_session (id) on delete cascade,
  address inet not null,
  first_heard timestamptz not null,
  last_heard timestamptz not null,
  primary key (session, address)
);
create index network_session_with_address on report.network_session_address using gist (address inet_ops);

-- When NASs started anew (`on`) or stopped (`off`): what they had before is over, also what comes to be known of it later.
create table report.nas_restart (
  nas_ip inet not null,
  nas_identifier text not null,
  at timestamptz not null,
  status text not null constraint nas_restart_status check (status in ('on', 'off')),
  primary key (nas_ip, nas_identifier, at, status)
);
create index nas_restart_by_time on report.nas_restart (at);

-- How much of each opening of an agent's log was taken: what comes again is known by its number.
create table report.accounting_mark (
  node_id uuid not null constraint accounting_mark_of_node references publish.node (id),
  log bytea not null,
  number bigint not null,
  at timestamptz not null default now(),
  primary key (node_id, log)
);

create type report.accounting as (
  -- `start`, `interim`, `stop`, `on`, `off`.
  status text,
  nas_ip inet,
  nas text,
  nas_identifier text,
  nas_port text,
  session_id text,
  user_name text,
  node_id uuid,
  at timestamptz,
  session_secs bigint,
  terminate_cause bigint,
  calling_station text,
  called_station text,
  mac text,
  framed_ip inet,
  framed_ipv6 inet,
  input_octets bigint,
  output_octets bigint
);

-- Whether an open session is over though nobody has said so. Its NAS has started anew or stopped since it was last heard of: then it
-- lasted until then, or as long as something was heard of it. Or its NAS has given its number to another one.
create function report.settle_session(settled bigint) returns void language plpgsql as $$
declare
  known report.network_session;
  restart report.nas_restart;
begin
  select * into known from report.network_session s where s.id = settled;
  select * into restart from report.nas_restart r
    where r.nas_ip = known.nas_ip and r.at >= known.started_at and known.heard_at <= r.at + interval '1 minute'
      and (r.nas_identifier = '' or known.nas_identifier = '' or r.nas_identifier = known.nas_identifier)
    order by r.at limit 1;
  if restart.at is not null then
    update report.network_session s set ended_by = 'restart', ended_at = case restart.status when 'off' then restart.at else s.heard_at end where s.id = settled;
  elsif exists (select from report.network_session s where s.nas_ip = known.nas_ip and s.session_id = known.session_id and s.user_name = known.user_name
      and s.started_at > known.started_at) then
    update report.network_session s set ended_by = 'replaced', ended_at = s.heard_at where s.id = settled;
  end if;
end $$;

-- The session that a record tells of, by what it says of its begin. NASs count from one again after a restart, so that a number comes
-- again; clocks of NASs and agents differ by seconds, and counters of seconds are rounded.
create function report.session_of(said report.accounting, begun timestamptz) returns report.network_session language sql as $$
  select s.* from report.network_session s
    where s.nas_ip = said.nas_ip and s.session_id = said.session_id and s.user_name = said.user_name
      and case said.status
        when 'start' then begun <= coalesce(s.ended_at, 'infinity')
          and case when s.has_start then abs(extract(epoch from s.started_at - begun)) <= 300 else begun <= s.heard_at end
        else (s.started_at <= said.at + interval '5 minutes' or not s.has_start)
          and (begun is null or begun <= coalesce(s.ended_at, case when s.has_start then greatest(s.heard_at, s.started_at + interval '5 minutes') end, begun)
            + interval '1 minute') end
    order by case when begun is not null then abs(extract(epoch from s.started_at - begun)) end, s.started_at > said.at, s.started_at desc limit 1 for update
$$;

-- Takes one record.
create function report.note_accounting(said report.accounting) returns void language plpgsql as $$
declare
  known report.network_session;
  begun timestamptz := case when said.status = 'start' then said.at else said.at - make_interval(secs => said.session_secs) end;
  is_newer boolean;
begin
  if said.status in ('on', 'off') then
    insert into report.nas_restart values (said.nas_ip, said.nas_identifier, said.at, said.status) on conflict do nothing;
    -- As settle_session says, of all at once: a NAS may have ten thousand of them.
    update report.network_session s set ended_by = 'restart', ended_at = case said.status when 'off' then said.at else s.heard_at end
      where s.nas_ip = said.nas_ip and (s.ended_by is null or s.ended_by = 'replaced') and s.started_at <= said.at
        and s.heard_at <= said.at + interval '1 minute'
        and (said.nas_identifier = '' or s.nas_identifier = '' or s.nas_identifier = said.nas_identifier);
    -- One that comes late is the end of those that were held to have ended by a later one.
    if exists (select from report.nas_restart r where r.nas_ip = said.nas_ip and r.at >= said.at and (r.at, r.status) <> (said.at, said.status)) then
      perform report.settle_session(s.id) from report.network_session s
        where s.nas_ip = said.nas_ip and s.ended_by = 'restart' and s.started_at <= said.at and s.heard_at <= said.at + interval '1 minute';
    end if;
    return;
  end if;
  known := report.session_of(said, begun);
  if known.id is null then
    insert into report.network_session (nas_ip, nas, nas_identifier, nas_port, session_id, user_name, node_id, started_at, has_start, heard_at, ended_at,
        ended_by, terminate_cause, calling_station, called_station, mac, framed_ip, framed_ipv6, input_octets, output_octets)
      values (said.nas_ip, said.nas, said.nas_identifier, said.nas_port, said.session_id, said.user_name, said.node_id, coalesce(begun, said.at),
        begun is not null, said.at, case said.status when 'stop' then said.at end, case said.status when 'stop' then 'stop' end, said.terminate_cause,
        said.calling_station, said.called_station, said.mac, said.framed_ip, said.framed_ipv6, coalesce(said.input_octets, 0), coalesce(said.output_octets, 0))
      returning * into known;
  else
    is_newer := said.at >= known.heard_at;
    known.started_at := case
      when known.has_start then known.started_at
      when said.status = 'start' then least(said.at, known.ended_at)
      else least(known.started_at, coalesce(begun, said.at)) end;
    known.has_start := known.has_start or begun is not null;
    known.heard_at := greatest(known.heard_at, said.at);
    -- Its NAS has the last word on when a session ended; what comes later opens it no more. What was concluded is concluded anew.
    if known.ended_by is distinct from 'stop' then
      known.ended_by := case said.status when 'stop' then 'stop' end;
      known.ended_at := case said.status when 'stop' then greatest(said.at, known.started_at) end;
    end if;
    -- Octets only grow; of what else changes, the newest that says anything counts.
    update report.network_session s set
      started_at = known.started_at, has_start = known.has_start, heard_at = known.heard_at, ended_at = known.ended_at, ended_by = known.ended_by,
      terminate_cause = coalesce(s.terminate_cause, said.terminate_cause),
      input_octets = greatest(s.input_octets, said.input_octets), output_octets = greatest(s.output_octets, said.output_octets),
      node_id = case when is_newer then said.node_id else s.node_id end,
      nas = case when is_newer then said.nas else s.nas end,
      nas_identifier = case when s.nas_identifier = '' or is_newer and said.nas_identifier <> '' then said.nas_identifier else s.nas_identifier end,
      nas_port = case when s.nas_port = '' or is_newer and said.nas_port <> '' then said.nas_port else s.nas_port end,
      calling_station = case when s.calling_station = '' or is_newer and said.calling_station <> '' then said.calling_station else s.calling_station end,
      mac = case when s.mac = '' or is_newer and said.mac <> '' then said.mac else s.mac end,
      called_station = case when s.called_station = '' or is_newer and said.called_station <> '' then said.called_station else s.called_station end,
      framed_ip = case when is_newer then coalesce(said.framed_ip, s.framed_ip) else coalesce(s.framed_ip, said.framed_ip) end,
      framed_ipv6 = case when is_newer then coalesce(said.framed_ipv6, s.framed_ipv6) else coalesce(s.framed_ipv6, said.framed_ipv6) end
      where s.id = known.id;
  end if;
  insert into report.network_session_address
    select known.id, address, said.at, said.at from unnest(array[said.framed_ip, said.framed_ipv6]) address where address is not null
    on conflict (session, address) do update set first_heard = least(network_session_address.first_heard, excluded.first_heard),
      last_heard = greatest(network_session_address.last_heard, excluded.last_heard);
  if known.ended_at is null then
    perform report.settle_session(known.id);
  end if;
  -- One that is known to have begun later took its number from those that are open.
  perform report.settle_session(s.id) from report.network_session s
    where s.nas_ip = known.nas_ip and s.session_id = known.session_id and s.user_name = known.user_name and s.ended_at is null and s.started_at < known.started_at;
end $$;
