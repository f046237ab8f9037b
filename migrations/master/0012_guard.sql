-- The publisher's guard: a generation that would remove much is held until somebody answers for it or the data is put back.
-- While a feed is held, its keys wait in the outbox.

create table publish.hold (
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  since timestamptz not null default now(),
  -- What would go, in a sentence.
  detail text not null,
  -- How much that is: a release counts for this, not for what comes after it.
  removed bigint not null,
  released_by text,
  release_reason text,
  released_at timestamptz,
  primary key (kind, family, cut),
  constraint release_is_whole check ((released_by is null) = (release_reason is null) and (released_by is null) = (released_at is null))
);

-- Who let which generation out, and why. Append-only, like the rest of the audit.
create table publish.release (
  kind smallint not null,
  family smallint not null,
  cut integer not null,
  epoch integer not null,
  generation bigint not null,
  actor text not null,
  reason text not null,
  at timestamptz not null,
  detail text not null,
  primary key (kind, family, cut, epoch, generation)
);
create trigger append_only before update or delete or truncate on publish.release for each statement execute function change.refuse();
