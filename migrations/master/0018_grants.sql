-- Who may do what, and where: grants of a role on an area, to a person or to a group of them. What a role may do is said in
-- code; here stands only who has which.

alter table access.principal
  add column kind text not null default 'person' constraint principal_kind_known check (kind in ('person', 'group')),
  -- Set: comes in no more. Nobody is deleted, for the history names them.
  add column disabled_at timestamptz,
  -- A one-time log-in made at the master itself, good until then: it needs no second factor, and raises an alarm.
  add column emergency_until timestamptz,
  add constraint group_has_no_password check (kind = 'person' or password is null);

-- A person has the grants of the groups that they are in. A group is in no group.
create table access.membership (
  owner_group uuid not null references access.principal (id),
  member uuid not null references access.principal (id),
  primary key (owner_group, member)
);
create index membership_of_member on access.membership (member);

create table access.grant (
  id bigint generated always as identity primary key,
  principal uuid not null references access.principal (id),
  role text not null constraint grant_role_known check (role in (
    'administrator', 'operator', 'table-maintainer', 'backup-operator', 'help-desk', 'auditor', 'department-admin', 'viewer')),
  area_kind text not null constraint grant_area_known check (area_kind in ('global', 'campus', 'department', 'zone', 'name', 'subnet', 'range')),
  campus_id bigint constraint grant_campus references org.campus (id) deferrable initially immediate,
  department_id bigint constraint grant_department references org.department (id) deferrable initially immediate,
  -- Of a zone its apex, of a pattern `*.lab.uni.example` what stands behind the star; else empty.
  name text not null default '',
  -- Of a subnet and of a range: its first and its last address.
  first_address inet,
  last_address inet,
  granted_by text not null,
  created timestamptz not null default now(),
  constraint grant_given_twice unique nulls not distinct (principal, role, area_kind, campus_id, department_id, name, first_address, last_address),
  constraint grant_area_is_one check (
    (area_kind = 'campus') = (campus_id is not null) and (area_kind = 'department') = (department_id is not null)
    and (area_kind in ('zone', 'name')) = (name <> '') and (area_kind in ('subnet', 'range')) = (first_address is not null)
    and (first_address is null) = (last_address is null) and (first_address is null or first_address <= last_address))
);
create index grant_of_department on access.grant (department_id) where department_id is not null;
create index grant_of_campus on access.grant (campus_id) where campus_id is not null;

insert into access.grant (principal, role, area_kind, granted_by) select id, role, 'global', 'the build before' from access.principal;
alter table access.principal drop column role;

-- Who gave which grant stands in the history, and is not undone with it: a right that was taken stays taken.
call change.keep_record_of('access.grant', 'id');

-- All grants that somebody has, their own and their groups'.
create view access.held_grant as
  select g.principal as holder, g.* from access.grant g
  union all
  select m.member as holder, g.* from access.membership m join access.principal p on p.id = m.owner_group and p.disabled_at is null
    join access.grant g on g.principal = m.owner_group;

-- The hosts that lie in these areas, each found by an index: for those who see only a part.
create function access.hosts_within(campuses bigint[], departments bigint[], apexes text[], names text[], firsts text[], lasts text[])
returns setof uuid language sql stable as $$
  select h.id from ipam.host h where h.department_id = any (departments)
  union
  select h.id from dns.zone z join dns.node n on n.zone_id = z.id join ipam.host h on h.node_id = n.id
    where z.department_id = any (departments) and h.department_id is null
  union
  select h.id from dns.node n join ipam.host h on h.node_id = n.id where n.name = any (apexes)
  union
  select h.id from unnest(names) as w (name)
    -- "/" comes next after ".".
    join dns.node n on reverse(n.name) collate "C" >= reverse(w.name) || '.' and reverse(n.name) collate "C" < reverse(w.name) || '/'
    join ipam.host h on h.node_id = n.id
  union
  select a.host_id from unnest(firsts::inet[], lasts::inet[]) as r (first, last) join ipam.address a on a.ip between r.first and r.last
  union
  select a.host_id from ipam.subnet s join ipam.address a on a.subnet_id = s.id where s.campus_id = any (campuses)
$$;
