-- Whom to ask, and what a host is as a thing. Contacts; who is responsible for what, in which role and order; organisations
-- outside; the mailboxes that a domain answers at (RFC 2142); device classes; and of a host where it stands.
--
-- What somebody is responsible for is a reference and no text: it can be renamed, and it cannot be deleted and still have
-- somebody who answers for it.

create table org.external (
  id bigint generated always as identity primary key,
  name text not null constraint external_name_taken unique constraint external_name_shape check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  title text not null default '' constraint external_title_length check (octet_length(title) <= 255),
  relation text not null constraint external_relation check (relation in ('upstream', 'partner', 'supplier', 'authority')),
  note text not null default '' constraint external_note_length check (octet_length(note) <= 4096),
  version bigint not null default 1
);

create table org.contact (
  id bigint generated always as identity primary key,
  handle text not null constraint contact_handle_taken unique constraint contact_handle_shape check (handle ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  kind text not null constraint contact_kind check (kind in ('person', 'group', 'external')),
  name text not null constraint contact_name_length check (octet_length(name) between 1 and 255),
  mail text constraint contact_mail_shape check (mail ~ '^[^@[:space:]]{1,64}@[^@[:space:]]{1,253}$'),
  phone text constraint contact_phone_shape check (phone ~ '^\+?[0-9][0-9 ()/.-]{1,40}$'),
  external_id bigint constraint contact_of_external references org.external (id) deferrable initially immediate,
  note text not null default '' constraint contact_note_length check (octet_length(note) <= 4096),
  -- When somebody last made sure that all this is right.
  verified_on date,
  version bigint not null default 1,
  constraint contact_external_kind check (external_id is null or kind = 'external')
);
create index contact_by_external on org.contact (external_id) where external_id is not null;

-- A device class says how a machine of it gets its address.
create table ipam.device_class (
  id bigint generated always as identity primary key,
  name text not null constraint class_name_taken unique constraint class_name_shape check (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  title text not null default '' constraint class_title_length check (octet_length(title) <= 255),
  addressing text not null default 'either' constraint class_addressing check (addressing in ('static', 'pool', 'either')),
  version bigint not null default 1
);

-- Apart from the host, because a million imported hosts have none of it.
create table ipam.equipment (
  host_id uuid primary key constraint equipment_of_host references ipam.host (id) deferrable initially immediate,
  class_id bigint constraint equipment_class references ipam.device_class (id) deferrable initially immediate,
  building text not null default '',
  room text not null default '',
  outlet text not null default '',
  rack text not null default '',
  rack_position text not null default '',
  switch_port text not null default '',
  asset_tag text not null default '',
  constraint equipment_lengths check (
    greatest(octet_length(building), octet_length(room), octet_length(outlet), octet_length(rack),
             octet_length(rack_position), octet_length(switch_port), octet_length(asset_tag)) <= 255)
);
create unique index asset_tag_taken on ipam.equipment (asset_tag) where asset_tag <> '';
create index equipment_of_class on ipam.equipment (class_id) where class_id is not null;

create table org.responsibility (
  id bigint generated always as identity primary key,
  kind text not null,
  host_id uuid constraint responsibility_of_host references ipam.host (id) deferrable initially immediate,
  subnet_id bigint constraint responsibility_of_subnet references ipam.subnet (id) deferrable initially immediate,
  zone_id bigint constraint responsibility_of_zone references dns.zone (id) deferrable initially immediate,
  campus_id bigint constraint responsibility_of_campus references org.campus (id) deferrable initially immediate,
  department_id bigint constraint responsibility_of_department references org.department (id) deferrable initially immediate,
  node_id uuid constraint responsibility_of_node references publish.node (id) deferrable initially immediate,
  external_id bigint constraint responsibility_of_external references org.external (id) deferrable initially immediate,
  object_key text not null generated always as (coalesce(
    host_id::text, subnet_id::text, zone_id::text, campus_id::text, department_id::text, node_id::text, external_id::text, '')) stored,
  contact_id bigint not null constraint responsibility_contact references org.contact (id) deferrable initially immediate,
  role text not null constraint responsibility_role check (role in ('owner', 'technical', 'administrative', 'escalation', 'abuse', 'security')),
  -- Who is asked first, within a role.
  rank integer not null default 1 constraint responsibility_rank check (rank between 1 and 99),
  constraint responsibility_taken unique (kind, object_key, role, contact_id),
  constraint responsibility_object check (case kind
    when 'institution' then num_nonnulls(host_id, subnet_id, zone_id, campus_id, department_id, node_id, external_id) = 0
    when 'host' then host_id is not null
    when 'subnet' then subnet_id is not null
    when 'zone' then zone_id is not null
    when 'campus' then campus_id is not null
    when 'department' then department_id is not null
    when 'node' then node_id is not null
    when 'external' then external_id is not null
    else false end
    and num_nonnulls(host_id, subnet_id, zone_id, campus_id, department_id, node_id, external_id) <= 1)
);
create index responsibility_by_contact on org.responsibility (contact_id);
create index responsibility_by_host on org.responsibility (host_id) where host_id is not null;

-- Who reads the mail to a domain's mailbox.
create table org.mailbox (
  id bigint generated always as identity primary key,
  domain text not null constraint mailbox_domain_shape check (domain = lower(domain) and domain !~ '\.$' and domain <> ''),
  mailbox text not null constraint mailbox_shape check (mailbox ~ '^[a-z0-9][a-z0-9._+-]{0,63}$'),
  contact_id bigint not null constraint mailbox_contact references org.contact (id) deferrable initially immediate,
  constraint mailbox_taken unique (domain, mailbox)
);
create index mailbox_by_contact on org.mailbox (contact_id);

call change.keep_record_of('org.external', 'id');
call change.keep_record_of('org.contact', 'id');
call change.keep_record_of('org.responsibility', 'id');
call change.keep_record_of('org.mailbox', 'id');
call change.keep_record_of('ipam.device_class', 'id');
call change.keep_record_of('ipam.equipment', 'host_id');
