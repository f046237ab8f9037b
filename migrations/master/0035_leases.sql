-- What the agents lend, as they say. An observation: nobody edits it, and what it says of an address is what its agent's own disk
-- said when the record was made. One that comes twice, or late, changes nothing.

create table ipam.lease (
  ip inet primary key,
  node_id uuid not null constraint lease_of_node references publish.node (id),
  -- What the client is known by: its identifier or its hardware, in hexadecimal (RFC 2131 section 4.2).
  client text not null,
  hardware text not null,
  host_name text not null default '',
  state text not null constraint lease_state check (state in ('active', 'released', 'declined')),
  -- Since when this client has or had it, when that was last said, and when it ends.
  begun_at timestamptz not null,
  at timestamptz not null,
  until timestamptz not null
);
create index lease_by_hardware on ipam.lease (hardware);

create table ipam.past_lease (
  id bigint generated always as identity primary key,
  ip inet not null,
  node_id uuid not null constraint past_lease_of_node references publish.node (id),
  client text not null,
  hardware text not null,
  host_name text not null,
  begun_at timestamptz not null,
  ended_at timestamptz not null
);
create index past_lease_of_address on ipam.past_lease (ip, begun_at desc);
create index past_lease_by_hardware on ipam.past_lease (hardware, begun_at desc);
create index past_lease_by_end on ipam.past_lease (ended_at);

create function ipam.end_lease(known ipam.lease, at timestamptz) returns void language sql as $$
  insert into ipam.past_lease (ip, node_id, client, hardware, host_name, begun_at, ended_at)
  values (known.ip, known.node_id, known.client, known.hardware, known.host_name, known.begun_at, greatest(known.begun_at, least(known.until, at)))
$$;

-- Takes one record. `declined` ends a lease as `released` does; its client did not have the address.
create function ipam.note_lease(said ipam.lease) returns void language plpgsql as $$
declare
  known ipam.lease;
  goes_on boolean;
begin
  select * into known from ipam.lease l where l.ip = said.ip for update;
  if known.ip is not null and said.at < known.at then return; end if;
  if (known.at, known.node_id, known.client, known.state) = (said.at, said.node_id, said.client, said.state) then return; end if;
  goes_on := known.state = 'active' and known.client = said.client and known.until >= said.at;
  if goes_on then
    said.begun_at := known.begun_at;
    if said.state <> 'active' then perform ipam.end_lease(known, said.at); end if;
  elsif known.client = said.client and said.state <> 'active' then
    said.begun_at := known.begun_at;
  elsif known.state = 'active' then
    perform ipam.end_lease(known, said.at);
  end if;
  insert into ipam.lease select said.* on conflict (ip) do update set (node_id, client, hardware, host_name, state, begun_at, at, until)
    = (excluded.node_id, excluded.client, excluded.hardware, excluded.host_name, excluded.state, excluded.begun_at, excluded.at, excluded.until);
end $$;
