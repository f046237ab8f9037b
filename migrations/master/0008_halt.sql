-- Why nothing is published: an agent holds a generation that verifies and that this database does not know, or knows with
-- other contents. The database went back, or two masters published. It is lifted by a newer epoch, or by taking the agent's.
create table publish.halt (
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  -- What the agent holds.
  epoch integer not null,
  generation bigint not null,
  sealed bytea not null,
  node_id uuid not null references publish.node (id),
  seen_at timestamptz not null default now(),
  primary key (kind, family, cut)
);
