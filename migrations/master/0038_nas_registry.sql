-- A NAS is a machine that somebody looks after: what it is, whose, where, and what there is to know of it. And its secret can be changed
-- without a moment in which nobody gets in: while `has_former_secret` is set, the encrypted secret holds two, the one in use and the one
-- before it. Every column may be missing, as it is in what the history has of NASs before this.

alter table access.nas
  add column kind text,
  add column contact text,
  add column campus_id bigint constraint nas_of_campus references org.campus (id) on delete set null,
  add column note text,
  add column has_former_secret boolean;
create index nas_of_campus on access.nas (campus_id);
