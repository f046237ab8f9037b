-- What the publisher and the control room need beside the generations: a base to start from without replaying all history,
-- the term of the one publisher, where the box of a token is to be found, and what boxes report.

-- A whole snapshot, in pieces, from which the generations after it are replayed when a master starts.
create table publish.base (
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  ordinal integer not null,
  epoch integer not null,
  generation bigint not null,
  sealed bytea not null,
  rows bytea not null,
  primary key (kind, family, cut, ordinal)
);

-- One row. Who publishes raises it and checks it in every publishing transaction: a publisher that lost its lock unseen cannot commit.
create table publish.term (
  singleton boolean primary key default true constraint term_is_one_row check (singleton),
  term bigint not null
);
insert into publish.term (term) values (0);

-- Observations of the boxes. (box, spool, sequence) makes a repeated delivery harmless.
create schema report;
create table report.event (
  node_id uuid not null references publish.node (id),
  spool text not null,
  sequence bigint not null,
  at timestamptz not null,
  event text not null,
  detail text not null,
  received_at timestamptz not null default now(),
  primary key (node_id, spool, sequence)
);
create index event_by_time on report.event (received_at);
