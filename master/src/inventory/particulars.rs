//! What a host is beside its names and addresses: whose it is, who answers for it, and what it is as a thing.

use super::draft::HostDraft;
use super::hosts::Add;
use super::world::World;
use crate::db::DbError;
use crate::db::departments::Addressing;
use crate::db::equipment::{self, Equipment, HostContact, Words};
use crate::db::hosts::HostRow;
use crate::db::responsibility::{self, NewResponsibility, ObjectId};
use sqlx::PgConnection;
use uuid::Uuid;

/// The longest text about a machine, in bytes.
const TEXT_LIMIT_BYTES: usize = 255;

/// Everything that these drafts refer to by a short word.
pub(super) async fn words(db: &mut PgConnection, drafts: &[&HostDraft]) -> Result<Words, DbError> {
    let departments: Vec<String> = drafts.iter().filter_map(|draft| draft.department.clone()).collect();
    let classes: Vec<String> = drafts.iter().filter_map(|draft| draft.equipment.class.clone()).collect();
    let contacts: Vec<String> = drafts.iter().flat_map(|draft| &draft.contacts).map(|one| one.contact.clone()).collect();
    let tags: Vec<String> = drafts.iter().map(|draft| draft.equipment.asset_tag.clone()).filter(|tag| !tag.is_empty()).collect();
    equipment::words(db, &departments, &classes, &contacts, &tags).await
}

/// Tells what is wrong with them.
pub(super) fn check(draft: &HostDraft, world: &World, own: Option<&HostRow>, add: &mut Add<'_>) {
    let words = &world.words;
    if let Some(department) = draft.department.as_ref().filter(|name| !words.departments.contains_key(*name)) {
        add("no-such-entry", "/department".to_owned(), format!("there is no department {department}: add it first"));
    }
    for (n, one) in draft.contacts.iter().enumerate() {
        if !words.contacts.contains_key(&one.contact) {
            add("no-such-entry", format!("/contacts/{n}/contact"), format!("there is no contact {}: add it first", one.contact));
        }
        if draft.contacts[..n].contains(one) {
            add("duplicate-contact", format!("/contacts/{n}"), format!("{} is given twice as {}", one.contact, one.role.as_str()));
        }
    }
    check_texts(&draft.equipment, add);
    check_class(draft, words, add);
    let tag = &draft.equipment.asset_tag;
    if words.asset_tags.get(tag).is_some_and(|owner| own.is_none_or(|own| own.id != *owner)) {
        add("duplicate-asset-tag", "/equipment/asset_tag".to_owned(), format!("another host has the asset tag {tag}"));
    }
}

fn check_texts(equipment: &Equipment, add: &mut Add<'_>) {
    for (field, text) in equipment.texts() {
        if text.len() > TEXT_LIMIT_BYTES {
            let detail = format!("the {} has {} bytes, over the limit of {TEXT_LIMIT_BYTES}", field.replace('_', " "), text.len());
            add("text-too-long", format!("/equipment/{field}"), detail);
        }
        if text.contains('\0') {
            add("text-not-printable", format!("/equipment/{field}"), format!("the {} has a zero byte in it", field.replace('_', " ")));
        }
    }
}

/// A machine that takes its address from a pool has none of its own. That a static one has none yet is a check's to tell.
fn check_class(draft: &HostDraft, words: &Words, add: &mut Add<'_>) {
    let Some(name) = &draft.equipment.class else { return };
    match words.classes.get(name) {
        None => add("no-such-entry", "/equipment/class".to_owned(), format!("there is no device class {name}: add it first")),
        Some((_, Addressing::Pool)) => {
            for (n, address) in draft.interfaces.iter().enumerate().filter_map(|(n, iface)| Some((n, iface.addresses.first()?))) {
                let detail = format!("a {name} takes its address from a pool: leave {address} away, or choose another class");
                add("class-takes-pool", format!("/interfaces/{n}/addresses/0"), detail);
            }
        }
        Some((_, Addressing::Static | Addressing::Either)) => {}
    }
}

/// Writes those of new hosts.
pub(super) async fn write(db: &mut PgConnection, owned: &[(Uuid, &HostDraft)]) -> Result<(), DbError> {
    let rows: Vec<(Uuid, &Equipment)> =
        owned.iter().filter(|(_, draft)| draft.equipment != Equipment::default()).map(|(host, draft)| (*host, &draft.equipment)).collect();
    equipment::put(db, &rows).await?;
    let rows: Vec<NewResponsibility<'_>> = owned.iter().flat_map(|(host, draft)| ranked(*host, &draft.contacts)).collect();
    responsibility::put(db, &rows).await
}

/// The order in which contacts of one role are given is the order in which they are asked.
fn ranked(host: Uuid, contacts: &[HostContact]) -> Vec<NewResponsibility<'_>> {
    let rank = |n: usize| contacts[..n].iter().filter(|earlier| earlier.role == contacts[n].role).count() as i32 + 1;
    let rows = contacts.iter().enumerate();
    rows.map(|(n, one)| NewResponsibility { object: ObjectId::Host(host), contact: &one.contact, role: one.role, rank: rank(n) }).collect()
}

/// Makes those of a host what the draft says.
pub(super) async fn set(db: &mut PgConnection, host: Uuid, draft: &HostDraft) -> Result<(), DbError> {
    let current = equipment::of_hosts(db, &[host]).await?.remove(&host).unwrap_or_default();
    if draft.equipment == Equipment::default() && current != draft.equipment {
        equipment::delete(db, host).await?;
    } else if current != draft.equipment {
        equipment::put(db, &[(host, &draft.equipment)]).await?;
    }
    let current: Vec<HostContact> = equipment::contacts_of_hosts(db, &[host]).await?.into_iter().map(|(_, contact)| contact).collect();
    for gone in current.iter().filter(|one| !draft.contacts.contains(one)) {
        responsibility::delete(db, ObjectId::Host(host), &gone.contact, gone.role).await?;
    }
    responsibility::put(db, &ranked(host, &draft.contacts)).await
}

/// Takes them away with their host.
pub(super) async fn delete(db: &mut PgConnection, host: Uuid) -> Result<(), DbError> {
    equipment::delete(db, host).await?;
    responsibility::delete_of(db, ObjectId::Host(host)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::responsibility::ContactRole;

    #[test]
    fn contacts_of_a_role_are_asked_in_the_order_in_which_they_are_given() {
        let one = |role, contact: &str| HostContact { role, contact: contact.to_owned() };
        let contacts = [one(ContactRole::Technical, "a"), one(ContactRole::Owner, "b"), one(ContactRole::Technical, "c")];
        let rows = ranked(Uuid::nil(), &contacts);
        assert_eq!(rows.iter().map(|row| (row.contact, row.rank)).collect::<Vec<_>>(), [("a", 1), ("b", 1), ("c", 2)]);
    }

    #[test]
    fn a_machine_of_a_pool_has_no_address_of_its_own() {
        let text = r#"{"name": "pc7.uni.example", "department": "physics", "equipment": {"class": "laptop"}, "interfaces": [{"addresses": ["10.1.4.7"]}]}"#;
        let draft: HostDraft = serde_json::from_str(text).unwrap();
        let words = Words { classes: [("laptop".to_owned(), (1, Addressing::Pool))].into(), ..Words::default() };
        let (mut world, mut found) = (World::default(), Vec::new());
        world.words = words;
        check(&draft, &world, None, &mut |kind, pointer, _| found.push((kind, pointer)));
        assert_eq!(found, [("no-such-entry", "/department".to_owned()), ("class-takes-pool", "/interfaces/0/addresses/0".to_owned())]);
    }
}
