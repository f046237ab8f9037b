-- What no DNS message could carry is refused where it is written: one oversized name must not reach the publisher, which
-- would have to leave the whole name as it was.

create function dns.refuse_what_no_message_holds() returns trigger language plpgsql as $$
begin
  -- 65535 bytes are a whole message over TCP; names, types and lengths come on top of the data.
  if exists (
    select from dns.record r where r.node_id in (select node_id from new_rows)
    group by r.node_id having sum(octet_length(r.rdata) + 12) > 60000
  ) then
    raise exception using errcode = 'check_violation', constraint = 'records_fit', message = 'a name has more records than one DNS answer can hold';
  end if;
  return null;
end $$;

create trigger records_fit_insert after insert on dns.record referencing new table as new_rows
  for each statement execute function dns.refuse_what_no_message_holds();
create trigger records_fit_update after update on dns.record referencing new table as new_rows
  for each statement execute function dns.refuse_what_no_message_holds();
