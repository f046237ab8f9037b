-- Finding a host among a million: by a part of its name or of what people wrote about it, by the beginning or the end of an
-- address or a hardware address.
--
-- Trigrams answer for a part of a text. The beginning of an address is a few stretches of an index that is there already; for its
-- end there is one read from behind. What waits to be put into the trigrams is read through by every search, so there is little of it.

create extension if not exists pg_trgm;

create index node_name_trigrams on dns.node using gin (name gin_trgm_ops) with (gin_pending_list_limit = 512);
create index host_text_trigrams on ipam.host using gin (lower(contact || ' ' || location || ' ' || hardware || ' ' || comment) gin_trgm_ops)
  with (gin_pending_list_limit = 512);
create index equipment_trigrams on ipam.equipment using gin (lower(building || ' ' || room || ' ' || outlet || ' ' || asset_tag) gin_trgm_ops)
  with (gin_pending_list_limit = 512);
create index address_reversed on ipam.address (reverse(host(ip)) collate "C");
create index iface_mac_reversed on ipam.iface (reverse(replace(mac::text, ':', '')) collate "C") where mac is not null;
