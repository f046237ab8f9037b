//! Names beside a host's own that have all its addresses, and the names that each address points back to.
//!
//! An alias (CNAME) stands for a name and can have nothing beside it; such a name has address records of its own, so it may also
//! have mail exchangers, texts, or be the top of a zone. An address points back to exactly one name, the host's own, unless it
//! is said otherwise.

use super::draft::{HostDraft, Pointer};
use super::hosts::Add;
use super::world::World;
use super::{Problem, Refusal};
use crate::db::DbError;
use crate::db::extra_names::{self, NewName};
use crate::db::hosts::HostRow;
use crate::db::zones;
use holdfast_proto::words::DomainName;
use sqlx::PgConnection;
use std::net::IpAddr;
use uuid::Uuid;

/// Tells what is wrong with them.
pub(super) fn check(draft: &HostDraft, world: &World, own: Option<&HostRow>, add: &mut Add<'_>) {
    for (n, name) in draft.names.iter().enumerate() {
        check_name(draft, n, name, world, own, add);
    }
    for (n, pointer) in draft.pointers.iter().enumerate() {
        check_pointer(draft, n, pointer, add);
    }
}

fn check_name(draft: &HostDraft, n: usize, name: &DomainName, world: &World, own: Option<&HostRow>, add: &mut Add<'_>) {
    let (pointer, text) = (format!("/names/{n}"), name.without_dot());
    if name == draft.name.domain() || draft.names[..n].contains(name) || draft.aliases.contains(name) {
        return add("duplicate-name", pointer, format!("{text} is given twice"));
    }
    if world.zones.of(name).is_none() {
        return add("no-zone", pointer, format!("{text} lies in none of our zones: add its zone first"));
    }
    let Some(used) = world.names.get(name) else { return };
    match (&used.host, &used.target) {
        (Some(host), _) if own.is_none_or(|own| own.id != *host) => add("duplicate-name", pointer, format!("{text} is the name of another host")),
        (None, Some(target)) if own.is_none_or(|own| own.name.domain() != target) => {
            add("name-is-alias", pointer, format!("{text} is an alias of {}: delete the alias first", target.without_dot()));
        }
        _ => {}
    }
}

fn check_pointer(draft: &HostDraft, n: usize, pointer: &Pointer, add: &mut Add<'_>) {
    let Pointer { address, names } = pointer;
    if !draft.interfaces.iter().any(|iface| iface.addresses.contains(address)) {
        add("not-its-address", format!("/pointers/{n}/address"), format!("{address} is none of this host's addresses"));
    }
    if draft.pointers[..n].iter().any(|earlier| earlier.address == *address) {
        add("duplicate-address", format!("/pointers/{n}/address"), format!("{address} is given twice: list all its names in one place"));
    }
    if names.is_empty() {
        add("missing", format!("/pointers/{n}/names"), format!("say which name {address} points to, or leave it away: then it is the host's own"));
    }
    for (m, name) in names.iter().enumerate() {
        let at = format!("/pointers/{n}/names/{m}");
        if name != draft.name.domain() && !draft.names.contains(name) {
            let detail = format!("{} is no name of this host that has its addresses: add it to names first", name.without_dot());
            add("not-its-name", at, detail);
        } else if names[..m].contains(name) {
            add("duplicate-name", at, format!("{} is given twice", name.without_dot()));
        }
    }
}

/// Writes those of new hosts, or of one whose old ones were taken away; its own names are there.
pub(super) async fn write(db: &mut PgConnection, owned: &[(Uuid, &HostDraft)], world: &World) -> Result<(), Refusal> {
    let mut rows = Vec::new();
    for (host, draft) in owned {
        for name in &draft.names {
            let outside = || Problem::new("no-zone", "/names", format!("{} lies in none of our zones", name.without_dot()));
            let zone = world.zones.of(name).ok_or_else(outside)?.id;
            rows.push(NewName { host: *host, zone, name: name.clone() });
        }
    }
    extra_names::insert(db, &rows).await?;
    let pointers: Vec<(Uuid, IpAddr, &DomainName)> =
        owned.iter().flat_map(|(host, draft)| draft.pointers.iter().flat_map(|one| one.names.iter().map(|name| (*host, one.address, name)))).collect();
    Ok(extra_names::insert_pointers(db, &pointers).await?)
}

/// Before anything else of a host changes: takes away what the draft does not have, and all pointers, which hang on both ends.
/// Whether there is anything to be written anew is for [`write_changed`].
pub(super) async fn clear(db: &mut PgConnection, host: &HostRow, draft: &HostDraft) -> Result<Current, DbError> {
    let current = Current::of(db, host.id).await?;
    extra_names::delete_pointers(db, host.id).await?;
    let keep: Vec<String> = draft.names.iter().map(DomainName::without_dot).collect();
    let nodes = extra_names::delete(db, host.id, &keep).await?;
    zones::delete_unused_nodes(db, &nodes).await?;
    Ok(current)
}

/// The names that a host has beside its own.
#[derive(Debug)]
pub(super) struct Current(Vec<DomainName>);

impl Current {
    async fn of(db: &mut PgConnection, host: Uuid) -> Result<Self, DbError> {
        Ok(Self(extra_names::of_hosts(db, &[host]).await?.into_iter().map(|(_, name)| name).collect()))
    }
}

/// After everything else of a host is as the draft says: adds the names that are new, and the pointers.
pub(super) async fn write_changed(db: &mut PgConnection, host: Uuid, draft: &HostDraft, current: &Current, world: &World) -> Result<(), Refusal> {
    let new = draft.names.iter().filter(|name| !current.0.contains(name)).cloned().collect();
    let rest = HostDraft { names: new, pointers: draft.pointers.clone(), ..HostDraft::named(draft.name.clone()) };
    write(db, &[(host, &rest)], world).await
}

/// Takes them away with their host.
pub(super) async fn delete(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    extra_names::delete_pointers(db, host).await?;
    let nodes = extra_names::delete(db, host, &[]).await?;
    zones::delete_unused_nodes(db, &nodes).await
}

/// Pointers as a draft has them: one for each address, with all its names.
pub(super) fn gathered(rows: impl IntoIterator<Item = (IpAddr, DomainName)>) -> Vec<Pointer> {
    let mut pointers: Vec<Pointer> = Vec::new();
    for (address, name) in rows {
        match pointers.last_mut().filter(|last| last.address == address) {
            Some(last) => last.names.push(name),
            None => pointers.push(Pointer { address, names: vec![name] }),
        }
    }
    pointers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_a_name_that_has_the_address() {
        let text = r#"{"name": "a.uni.example", "names": ["b.uni.example"], "interfaces": [{"addresses": ["10.1.4.7"]}],
            "pointers": [{"address": "10.1.4.7", "names": ["b.uni.example", "c.uni.example"]}, {"address": "10.1.4.8", "names": []}]}"#;
        let draft: HostDraft = serde_json::from_str(text).unwrap();
        let mut found = Vec::new();
        draft.pointers.iter().enumerate().for_each(|(n, pointer)| check_pointer(&draft, n, pointer, &mut |kind, at, _| found.push((kind, at))));
        let expected = [("not-its-name", "/pointers/0/names/1"), ("not-its-address", "/pointers/1/address"), ("missing", "/pointers/1/names")];
        assert_eq!(found, expected.map(|(kind, at)| (kind, at.to_owned())));
    }

    #[test]
    fn names_of_one_address_are_gathered() {
        let name = |text: &str| text.parse::<DomainName>().unwrap();
        let address = |last| IpAddr::from([10, 1, 4, last]);
        let pointers = gathered([(address(7), name("a.x")), (address(7), name("b.x")), (address(8), name("a.x"))]);
        assert_eq!(pointers.iter().map(|one| one.names.len()).collect::<Vec<_>>(), [2, 1]);
    }
}
