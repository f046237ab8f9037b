-- Departments, and what is theirs: a host, a subnet or a zone has at most one. Who may edit and whom to ask rest on this.

create table org.department (
  id bigint generated always as identity primary key,
  name text not null constraint department_name_taken unique constraint department_name_shape check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  title text not null default '' constraint department_title_length check (octet_length(title) <= 255),
  version bigint not null default 1
);
call change.keep_record_of('org.department', 'id');

alter table ipam.host add column department_id bigint
  constraint host_department references org.department (id) deferrable initially immediate;
alter table ipam.subnet add column department_id bigint
  constraint subnet_department references org.department (id) deferrable initially immediate;
alter table dns.zone add column department_id bigint
  constraint zone_department references org.department (id) deferrable initially immediate;
create index host_of_department on ipam.host (department_id) where department_id is not null;
create index subnet_of_department on ipam.subnet (department_id) where department_id is not null;
create index zone_of_department on dns.zone (department_id) where department_id is not null;
