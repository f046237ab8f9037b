-- Whether each agent answers on each service, as the master found by asking: one row per agent and service, written when
-- that changes.
create table report.probe (
  agent text not null,
  service text not null constraint probe_service check (service in ('dns_udp', 'dns_tcp', 'dhcp', 'radius')),
  answers boolean not null,
  since timestamptz not null,
  primary key (agent, service)
);
