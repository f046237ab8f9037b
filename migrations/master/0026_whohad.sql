-- Who had an address, and which host had a hardware address, is asked when something is wrong: with an index it is answered
-- at once, however long the history.

create index change_of_address on change.change (key, ordinal) where table_name = 'ipam.address';
create index change_of_mac on change.change ((coalesce(after, before) ->> 'mac'), ordinal)
  where table_name = 'ipam.iface' and (coalesce(after, before) ->> 'mac') is not null;
