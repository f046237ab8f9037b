-- What consistency checks found and since when, and what was waived: by whom, why and until when.

create schema checks;

-- Written by the checks and by nobody else, without a change set: it says what is, it changes nothing.
create table checks.finding (
  code text not null,
  object text not null,
  severity text not null constraint finding_severity check (severity in ('error', 'warning', 'note')),
  detail text not null,
  owner text,
  since timestamptz not null default now(),
  primary key (code, object)
);
create index finding_by_object on checks.finding (object);

-- Each time that the checks were run. Of a check that found very much only the first are kept as findings.
create table checks.run (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  took_ms bigint not null,
  errors bigint not null,
  warnings bigint not null,
  notes bigint not null,
  waived bigint not null
);

create table checks.waiver (
  id bigint generated always as identity primary key,
  code text not null constraint waiver_code_shape check (code ~ '^HF-[0-9]{3}$'),
  object text not null,
  reason text not null constraint waiver_reason_given check (octet_length(reason) between 1 and 4096),
  until date not null,
  constraint waiver_taken unique (code, object)
);
call change.keep_record_of('checks.waiver', 'id');

-- The checks look at few of the records: those that name others, and texts. Addresses and pointers are not among them.
create index record_of_type on dns.record (rtype, node_id) where rtype in (2, 5, 15, 16, 33);
