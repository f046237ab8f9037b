//! Whom to call, fixed before anything is wrong: the chain from an address, name, subnet, zone or campus up to the institution.
//!
//! At each level stand its `escalation` contacts by rank. A level that names none is stood for by who keeps it working, then by
//! whose it is, then by who decides. Nobody is called twice: where they stand first, they stay.

use crate::db::responsibility::{self, Belonging, ContactRole, ObjectId, ObjectKind, Responsible};
use crate::db::{DbError, campuses};
use crate::inventory::{Problem, Refusal};
use chrono::NaiveDate;
use holdfast_proto::words::{DomainName, Subnet};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::HashSet;
use std::net::IpAddr;

/// Who stands in for a level without escalation contacts, in this order.
const STAND_INS: [ContactRole; 3] = [ContactRole::Technical, ContactRole::Owner, ContactRole::Administrative];

/// Whom to call about an object, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Chain {
    /// What was asked about.
    pub object: String,
    /// Who to call, the first one first.
    pub items: Vec<Step>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = escalation::Step)]
pub struct Step {
    /// What they are responsible for.
    pub level: ObjectKind,
    /// What that is called.
    pub object: String,
    /// In which way.
    pub role: ContactRole,
    /// Their handle.
    pub contact: String,
    /// Their name.
    pub name: String,
    /// Their mail address.
    pub mail: Option<String>,
    /// Their telephone number.
    pub phone: Option<String>,
    /// When that was last found right.
    pub verified_on: Option<NaiveDate>,
}

/// A level of the chain: what it is, its identity, what people call it.
type Level = (ObjectKind, ObjectId, String);

/// The chain for an address, a name, a subnet, a zone, a campus, or an organisation outside.
pub async fn escalation(pool: &PgPool, object: &str) -> Result<Chain, Refusal> {
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    let unknown = || Refusal::Missing(Problem::new("no-such-object", "", format!("{object} is no address, name, subnet, zone or campus of ours")));
    let levels = levels(&mut db, object).await?.ok_or_else(unknown)?;
    let ids: Vec<ObjectId> = levels.iter().map(|(_, id, _)| *id).collect();
    let people = responsibility::responsible(&mut db, &ids).await?;
    Ok(Chain { object: object.to_owned(), items: chain(&levels, &people) })
}

/// The chain for an object, or where there is no such thing, for the institution: somebody is always called.
pub(in crate::inventory) async fn chain_or_institution(db: &mut PgConnection, object: Option<&str>) -> Result<Chain, DbError> {
    let known = match object {
        Some(object) => levels(db, object).await?,
        None => None,
    };
    let levels = known.unwrap_or_else(|| outwards(Belonging::default()));
    let ids: Vec<ObjectId> = levels.iter().map(|(_, id, _)| *id).collect();
    let people = responsibility::responsible(db, &ids).await?;
    Ok(Chain { object: object.unwrap_or_default().to_owned(), items: chain(&levels, &people) })
}

/// The levels of what people call so, from the inside outwards; `None` where there is no such thing.
async fn levels(db: &mut PgConnection, object: &str) -> Result<Option<Vec<Level>>, DbError> {
    if let Ok(address) = object.parse::<IpAddr>() {
        let belonging = responsibility::of_address(db, address).await?;
        return Ok((belonging != Belonging::default()).then(|| outwards(belonging)));
    }
    if let Ok(network) = object.parse::<Subnet>() {
        let belonging = responsibility::of_subnet(db, &network.to_string()).await?;
        return Ok((belonging != Belonging::default()).then(|| outwards(belonging)));
    }
    if let Some(campus) = campuses::all(db).await?.into_iter().find(|campus| campus.name == object) {
        return Ok(Some(outwards(Belonging { campus: Some((campus.id, campus.name)), ..Belonging::default() })));
    }
    if let Some(id) = responsibility::find(db, ObjectKind::External, object).await? {
        return Ok(Some(vec![(ObjectKind::External, id, object.to_owned())]));
    }
    let Ok(name) = object.parse::<DomainName>() else { return Ok(None) };
    Ok(of_name(db, &name.without_dot()).await?.map(outwards))
}

/// What a name belongs to, by way of its host's address where it has one.
async fn of_name(db: &mut PgConnection, name: &str) -> Result<Option<Belonging>, DbError> {
    let Some((mut belonging, address)) = responsibility::of_name(db, name).await? else { return Ok(None) };
    if let Some(address) = address {
        let place = responsibility::of_address(db, address).await?;
        belonging.departments.extend(place.departments);
        (belonging.subnet, belonging.campus) = (place.subnet, place.campus);
    }
    Ok(Some(belonging))
}

fn outwards(belonging: Belonging) -> Vec<Level> {
    let Belonging { host, subnet, zone, departments, campus } = belonging;
    let mut levels: Vec<Level> = Vec::new();
    levels.extend(host.map(|(id, name)| (ObjectKind::Host, ObjectId::Host(id), name)));
    levels.extend(subnet.map(|(id, name)| (ObjectKind::Subnet, ObjectId::Subnet(id), name)));
    levels.extend(zone.map(|(id, name)| (ObjectKind::Zone, ObjectId::Zone(id), name)));
    levels.extend(departments.into_iter().map(|(id, name)| (ObjectKind::Department, ObjectId::Department(id), name)));
    levels.extend(campus.map(|(id, name)| (ObjectKind::Campus, ObjectId::Campus(id), name)));
    levels.push((ObjectKind::Institution, ObjectId::Institution, String::new()));
    levels
}

/// The calls, level by level.
fn chain(levels: &[Level], people: &[Responsible]) -> Vec<Step> {
    let mut called = HashSet::new();
    let mut steps = Vec::new();
    for (level, id, object) in levels {
        let here: Vec<&Responsible> = people.iter().filter(|one| one.kind == *level && one.key == id.key()).collect();
        let of = |role: ContactRole| here.iter().filter(move |one| one.role == role);
        let mut in_order: Vec<&&Responsible> = of(ContactRole::Escalation).collect();
        if in_order.is_empty() {
            in_order = STAND_INS.into_iter().flat_map(of).collect();
        }
        steps.extend(in_order.into_iter().filter(|one| called.insert(one.handle.clone())).map(|one| step(*level, object, one)));
    }
    steps
}

fn step(level: ObjectKind, object: &str, one: &Responsible) -> Step {
    Step {
        level,
        object: object.to_owned(),
        role: one.role,
        contact: one.handle.clone(),
        name: one.name.clone(),
        mail: one.mail.clone(),
        phone: one.phone.clone(),
        verified_on: one.verified_on,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: ObjectKind, key: &str, role: ContactRole, handle: &str) -> Responsible {
        let (handle, key) = (handle.to_owned(), key.to_owned());
        Responsible { kind, key, role, rank: 1, name: handle.clone(), handle, mail: None, phone: None, verified_on: None }
    }

    #[test]
    fn the_chain_goes_outwards_and_calls_nobody_twice() {
        let levels = outwards(Belonging {
            subnet: Some((7, "10.1.4.0/22".to_owned())),
            departments: vec![(3, "physics".to_owned())],
            campus: Some((1, "north".to_owned())),
            ..Belonging::default()
        });
        let people = [
            one(ObjectKind::Subnet, "7", ContactRole::Owner, "prof"),
            one(ObjectKind::Subnet, "7", ContactRole::Technical, "admin"),
            one(ObjectKind::Subnet, "7", ContactRole::Abuse, "abuse-desk"),
            one(ObjectKind::Department, "3", ContactRole::Technical, "never"),
            one(ObjectKind::Department, "3", ContactRole::Escalation, "admin"),
            one(ObjectKind::Department, "3", ContactRole::Escalation, "head"),
            one(ObjectKind::Campus, "3", ContactRole::Escalation, "another-campus"),
            one(ObjectKind::Institution, "", ContactRole::Escalation, "noc"),
        ];
        let steps = chain(&levels, &people);
        let called: Vec<(ObjectKind, &str)> = steps.iter().map(|step| (step.level, step.contact.as_str())).collect();
        let expected = [(ObjectKind::Subnet, "admin"), (ObjectKind::Subnet, "prof"), (ObjectKind::Department, "head"), (ObjectKind::Institution, "noc")];
        assert_eq!(called, expected);
    }
}
