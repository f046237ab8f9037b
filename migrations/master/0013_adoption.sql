-- A master that was put back from a backup takes the newest generations from an agent. Those are kept as checkpoints, without
-- the deltas that led to them; and where the hostname database says otherwise, nothing is published until that is settled.

-- Every generation that can be shown: as a delta, as a checkpoint, or as both.
create view publish.kept as
  select kind, family, cut, epoch, generation, sealed, at from publish.generation
  union all
  select b.kind, b.family, b.cut, b.epoch, b.generation, b.sealed, b.at from publish.base b
  where b.ordinal = 0 and not exists (
    select from publish.generation g
    where (g.kind, g.family, g.cut, g.epoch, g.generation) = (b.kind, b.family, b.cut, b.epoch, b.generation));

-- Where the database says otherwise than what was adopted: keys as in the outbox, and of the trust feed `box` with its number.
create table publish.unsettled (
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  subject text not null check (subject in ('name', 'zone', 'subnet', 'reservation', 'nas', 'box')),
  key text not null,
  primary key (kind, family, cut, subject, key)
);
