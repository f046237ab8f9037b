//! Makes the interfaces of a host those of a draft, row by row: what is the same stays untouched, so that identities last,
//! history tells what really changed, and agents hear of nothing else.

use super::draft::{HostDraft, InterfaceDraft};
use super::world::World;
use super::{BootParameters, Problem, Refusal};
use crate::db::boot::{self, NewEntry};
use crate::db::hosts::{self, HostRow, IfaceRow, NewAddress, NewIface};
use sqlx::PgConnection;
use std::net::IpAddr;
use uuid::Uuid;

/// What has to be done, in the order of the fields: children go before their parents and come after them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    entries_gone: Vec<Uuid>,
    addresses_gone: Vec<IpAddr>,
    interfaces_gone: Vec<Uuid>,
    /// Interface, its place among the others, its place in the draft.
    changed: Vec<(Uuid, usize)>,
    /// Places in the draft of interfaces that are new, with their identities.
    new: Vec<(Uuid, usize)>,
    /// Interface, its place in the draft, address.
    addresses_new: Vec<(Uuid, usize, IpAddr)>,
    /// Interfaces whose entry is new or another one, with their places in the draft.
    entries_new: Vec<(Uuid, usize)>,
    entries_changed: Vec<(Uuid, usize)>,
}

pub(super) async fn set(db: &mut PgConnection, host: &HostRow, draft: &HostDraft, world: &World) -> Result<(), Refusal> {
    let current = hosts::interfaces(db, &[host.id]).await?;
    let difference = difference(&current, &draft.interfaces);
    boot::delete_entries(db, &difference.entries_gone).await?;
    hosts::delete_addresses(db, &difference.addresses_gone).await?;
    hosts::delete_idle_links(db, host.id).await?;
    hosts::delete_ifaces(db, &difference.interfaces_gone).await?;
    for (id, place) in &difference.changed {
        hosts::update_iface(db, &iface(host, draft, *id, *place)).await?;
    }
    let new: Vec<NewIface> = difference.new.iter().map(|(id, place)| iface(host, draft, *id, *place)).collect();
    let addresses = difference.addresses_new.iter().map(|(id, place, ip)| address(host, draft, world, *id, *place, *ip));
    hosts::insert_interfaces(db, &new, &addresses.collect::<Result<Vec<_>, _>>()?).await?;
    let entry = |(id, place): &(Uuid, usize)| {
        let iface = &draft.interfaces[*place];
        NewEntry { iface: *id, host: host.id, templates: &iface.templates, parameters: &iface.boot }
    };
    boot::insert_entries(db, &difference.entries_new.iter().map(entry).collect::<Vec<_>>()).await?;
    boot::update_entries(db, &difference.entries_changed.iter().map(entry).collect::<Vec<_>>()).await?;
    Ok(())
}

fn iface(host: &HostRow, draft: &HostDraft, id: Uuid, place: usize) -> NewIface {
    NewIface { id, host: host.id, ordinal: place as i32, mac: draft.interfaces[place].mac }
}

fn address(host: &HostRow, draft: &HostDraft, world: &World, iface: Uuid, place: usize, ip: IpAddr) -> Result<NewAddress, Refusal> {
    let outside = || Problem::new("address-outside-subnets", "", format!("{ip} lies in none of our subnets"));
    let (subnet, network) = world.subnet_of(ip).ok_or_else(outside)?;
    Ok(NewAddress { ip, iface, host: host.id, mac: draft.interfaces[place].mac, subnet, network })
}

fn has_entry(draft: &InterfaceDraft) -> bool {
    draft.boot != BootParameters::default() || !draft.templates.is_empty()
}

fn difference(current: &[IfaceRow], wanted: &[InterfaceDraft]) -> Difference {
    let mut found = Difference::default();
    let pairs = pair(current, wanted);
    for (n, row) in current.iter().enumerate() {
        if !pairs.contains(&Some(n)) {
            found.interfaces_gone.push(row.id);
            found.addresses_gone.extend(&row.addresses);
            found.entries_gone.extend(row.entry.as_ref().map(|_| row.id));
        }
    }
    for (place, draft) in wanted.iter().enumerate() {
        match pairs[place].map(|n| &current[n]) {
            Some(row) => compare(row, draft, place, &mut found),
            None => {
                let id = Uuid::now_v7();
                found.new.push((id, place));
                found.addresses_new.extend(draft.addresses.iter().map(|ip| (id, place, *ip)));
                found.entries_new.extend(has_entry(draft).then_some((id, place)));
            }
        }
    }
    found
}

fn compare(row: &IfaceRow, draft: &InterfaceDraft, place: usize, found: &mut Difference) {
    if row.mac != draft.mac || row.ordinal != place as i32 {
        found.changed.push((row.id, place));
    }
    found.addresses_gone.extend(row.addresses.iter().filter(|ip| !draft.addresses.contains(ip)));
    found.addresses_new.extend(draft.addresses.iter().filter(|ip| !row.addresses.contains(ip)).map(|ip| (row.id, place, *ip)));
    let is_same = |(templates, boot): &(Vec<String>, BootParameters)| *templates == draft.templates && *boot == draft.boot;
    match (&row.entry, has_entry(draft)) {
        (Some(entry), true) if is_same(entry) => {}
        (Some(_), true) => found.entries_changed.push((row.id, place)),
        (Some(_), false) => found.entries_gone.push(row.id),
        (None, true) => found.entries_new.push((row.id, place)),
        (None, false) => {}
    }
}

/// Which of the current interfaces each wanted one is: the one with its hardware address, else one that shares an address,
/// else the one at its place, else whichever is left.
fn pair(current: &[IfaceRow], wanted: &[InterfaceDraft]) -> Vec<Option<usize>> {
    let mut pairs: Vec<Option<usize>> = vec![None; wanted.len()];
    let shares = |row: &IfaceRow, draft: &InterfaceDraft| draft.addresses.iter().any(|ip| row.addresses.contains(ip));
    let rules: [&dyn Fn(usize, usize) -> bool; 4] = [
        &|n, place| current[n].mac.is_some() && current[n].mac == wanted[place].mac && shares(&current[n], &wanted[place]),
        &|n, place| current[n].mac.is_some() && current[n].mac == wanted[place].mac,
        &|n, place| shares(&current[n], &wanted[place]),
        &|n, place| n == place,
    ];
    for rule in rules {
        for place in 0..wanted.len() {
            if pairs[place].is_none() {
                pairs[place] = (0..current.len()).find(|n| !pairs.contains(&Some(*n)) && rule(*n, place));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::words::Mac;

    fn mac(last: u8) -> Option<Mac> {
        Some(format!("08:00:20:00:00:{last:02x}").parse().unwrap())
    }

    fn row(id: u128, ordinal: i32, mac: Option<Mac>, addresses: &[&str]) -> IfaceRow {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        IfaceRow { id: Uuid::from_u128(id), host: Uuid::nil(), ordinal, mac, addresses, entry: None }
    }

    fn draft(mac: Option<Mac>, addresses: &[&str]) -> InterfaceDraft {
        InterfaceDraft { mac, addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(), ..InterfaceDraft::default() }
    }

    #[test]
    fn what_is_the_same_is_not_touched() {
        let current = [row(1, 0, mac(1), &["10.1.4.7", "10.1.4.8"]), row(2, 1, None, &["10.1.8.7"])];
        assert_eq!(difference(&current, &[draft(mac(1), &["10.1.4.8", "10.1.4.7"]), draft(None, &["10.1.8.7"])]), Difference::default());
    }

    #[test]
    fn only_the_address_that_changed_goes_and_comes() {
        let current = [row(1, 0, mac(1), &["10.1.4.7", "10.1.4.8"])];
        let found = difference(&current, &[draft(mac(1), &["10.1.4.7", "10.1.4.9"])]);
        let expected = Difference {
            addresses_gone: vec!["10.1.4.8".parse().unwrap()],
            addresses_new: vec![(Uuid::from_u128(1), 0, "10.1.4.9".parse().unwrap())],
            ..Difference::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn interfaces_that_swap_their_places_stay_the_same_interfaces() {
        let current = [row(1, 0, mac(1), &["10.1.4.7"]), row(2, 1, mac(2), &["10.1.8.7"])];
        let found = difference(&current, &[draft(mac(2), &["10.1.8.7"]), draft(mac(1), &["10.1.4.7"])]);
        let expected = Difference { changed: vec![(Uuid::from_u128(2), 0), (Uuid::from_u128(1), 1)], ..Difference::default() };
        assert_eq!(found, expected);
    }

    #[test]
    fn new_hardware_at_an_old_address_is_the_old_interface() {
        let current = [row(1, 0, mac(1), &["10.1.4.7"])];
        let found = difference(&current, &[draft(mac(9), &["10.1.4.7"])]);
        assert_eq!(found, Difference { changed: vec![(Uuid::from_u128(1), 0)], ..Difference::default() });
    }
}
