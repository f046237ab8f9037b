-- What boxes report is read by people, kept for a time, and handed on: events and audit records told apart, an order to
-- page by, and a queue of what is to go out as syslog.

alter table report.event
  add column kind smallint not null default 0 constraint event_kind check (kind in (0, 1)),
  -- As RFC 5424 numbers it.
  add column severity smallint not null default 4 constraint event_severity check (severity between 0 and 7),
  add column number bigint generated always as identity;
create unique index event_by_number on report.event (number);
create index event_of_node on report.event (node_id, number);

-- Whether anybody takes the queue: while nobody does, nothing is put into it.
create table report.forwarding (
  singleton boolean primary key default true constraint forwarding_is_one_row check (singleton),
  enabled boolean not null
);
insert into report.forwarding (enabled) values (false);

-- Rows go when they were taken, not by a number that was reached: a transaction that commits late is then only late.
create table report.outgoing (
  id bigint generated always as identity primary key,
  node_id uuid,
  spool text,
  sequence bigint,
  change_set uuid references change.change_set (id) on delete cascade,
  foreign key (node_id, spool, sequence) references report.event (node_id, spool, sequence) on delete cascade
);

create function report.queue_event() returns trigger language plpgsql as $$
begin
  if (select enabled from report.forwarding) then
    insert into report.outgoing (node_id, spool, sequence) values (new.node_id, new.spool, new.sequence);
  end if;
  return null;
end $$;
create trigger queue after insert on report.event for each row execute function report.queue_event();

create function report.queue_change_set() returns trigger language plpgsql as $$
begin
  if (select enabled from report.forwarding) then
    insert into report.outgoing (change_set) values (new.id);
  end if;
  return null;
end $$;
create trigger queue after insert on change.change_set for each row execute function report.queue_change_set();
