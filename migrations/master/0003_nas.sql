-- Who may ask RADIUS. The shared secret comes encrypted for its row of the feed and is never readable here.

create table access.nas (
  id bigint generated always as identity primary key,
  name text not null constraint nas_name_taken unique constraint nas_name_shape check (name <> ''),
  prefix cidr not null constraint nas_prefix_taken unique,
  secret bytea not null,
  require_message_authenticator boolean not null
);

call change.keep_record_of('access.nas', 'id');
