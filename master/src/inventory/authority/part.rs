//! What an edit touches, piece by piece, and whether a grant reaches it.
//!
//! Whose a thing is: a host is of the department named at it, or else of its zone's. A name is of its zone's department, or else of
//! its host's; an address of its subnet's, or else of its host's. So what belongs to nobody in particular goes with the host,
//! and what belongs to somebody does not. A name that a zone or a pattern was granted for is the holder's: of several the
//! closest one counts, and others need a wide role (M48).

use super::{Action, Area, Authority, Grant, Role};
use crate::inventory::{Actor, Refusal};
use holdfast_proto::words::DomainName;
use std::net::IpAddr;

/// What kind of thing a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A host with its texts, interfaces and boot entries.
    Host,
    /// A name with its records.
    Name,
    /// An address that a host has.
    Address,
    /// A subnet, and what it tells at boot.
    Subnet,
    /// A subnet that comes or goes.
    PlacedSubnet,
    /// A zone and its times.
    Zone,
    /// What belongs to all.
    Institution,
}

impl What {
    /// The action that an edit of it is.
    fn write(self) -> Action {
        match self {
            Self::Host | Self::Address => Action::WriteHosts,
            Self::Name => Action::WriteRecords,
            Self::Subnet => Action::WriteSubnets,
            Self::PlacedSubnet => Action::PlaceSubnets,
            Self::Zone => Action::WriteZones,
            Self::Institution => Action::WriteInstitution,
        }
    }
}

/// One thing that an edit touches, with the areas that it lies in.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is.
    pub what: What,
    /// What people call it: `www.uni.example`, `10.1.4.7`.
    pub label: String,
    /// The name it has; none of addresses and subnets.
    pub name: Option<DomainName>,
    /// The department that it belongs to.
    pub department: Option<(i64, String)>,
    /// The first and the last of its addresses, for each stretch of them.
    pub addresses: Vec<(IpAddr, IpAddr)>,
    /// The campuses that its addresses are on.
    pub campuses: Vec<i64>,
    /// How many labels the apex has of the zone that gives a name to a department; 0 where no zone does.
    pub owned_labels: usize,
}

/// A zone or a pattern that was granted to somebody: its names are theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Which names.
    pub area: Area,
    /// Who has it, for the refusal.
    pub holder: String,
}

impl Area {
    /// Whether the whole of a part lies in it.
    pub fn covers(&self, part: &Part) -> bool {
        let is_all = |within: &dyn Fn(&(IpAddr, IpAddr)) -> bool| !part.addresses.is_empty() && part.addresses.iter().all(within);
        match self {
            Self::Campus(id) => !part.campuses.is_empty() && part.campuses.iter().all(|campus| campus == id),
            Self::Addresses(first, last) => is_all(&|(from, to)| holds(*first, *last, *from) && holds(*first, *last, *to)),
            _ => self.meets(part),
        }
    }

    /// Whether something of a part lies in it: enough to see it.
    pub fn meets(&self, part: &Part) -> bool {
        match self {
            Self::Global => true,
            Self::Campus(id) => part.campuses.contains(id),
            Self::Department(id) => part.department.as_ref().is_some_and(|(department, _)| department == id),
            Self::Zone(_) | Self::Below(_) => part.name.as_ref().is_some_and(|name| self.has_name(name)),
            Self::Addresses(first, last) => part.addresses.iter().any(|(from, to)| from.is_ipv4() == first.is_ipv4() && from <= last && to >= first),
        }
    }

    fn has_name(&self, name: &DomainName) -> bool {
        match self {
            Self::Zone(apex) => name.is_within(apex),
            Self::Below(above) => name.is_within(above) && name != above,
            _ => false,
        }
    }

    /// How closely it says which names it means; of two the higher one is closer.
    fn closeness(&self) -> usize {
        match self {
            Self::Zone(apex) => 2 * apex.label_count(),
            Self::Below(above) => 2 * above.label_count() + 1,
            _ => 0,
        }
    }
}

fn holds(first: IpAddr, last: IpAddr, address: IpAddr) -> bool {
    address.is_ipv4() == first.is_ipv4() && (first..=last).contains(&address)
}

/// Whether all of these parts may be written: one sentence for what may not, and who may.
pub fn allow(actor: &Actor, parts: &[Part], claims: &[Claim]) -> Result<(), Refusal> {
    /// More than these do not make the sentence clearer.
    const SHOWN: usize = 3;
    actor.authority.check_bar(Action::WriteHosts)?;
    let refused: Vec<&Part> = parts.iter().filter(|part| !is_granted(&actor.authority, part, claims)).collect();
    let Some(first) = refused.first() else { return Ok(()) };
    let mut labels: Vec<&str> = refused.iter().map(|part| part.label.as_str()).collect();
    labels.dedup();
    let more = if labels.len() > SHOWN { format!(" and {} more", labels.len() - SHOWN) } else { String::new() };
    let shown = labels[..labels.len().min(SHOWN)].join(", ");
    Err(Refusal::Forbidden(format!("{} may not change {shown}{more}: {}", actor.name, who_may(first, claims))))
}

fn is_granted(authority: &Authority, part: &Part, claims: &[Claim]) -> bool {
    let action = part.what.write();
    let owned = closest(part, claims).map_or(0, |claim| claim.area.closeness()).max(2 * part.owned_labels);
    let reaches = |grant: &Grant| grant.role.may(action) && grant.area.covers(part) && (is_wide(grant, part) || closeness(&grant.area, part) >= owned);
    authority.grants.iter().any(reaches)
}

/// Whether a grant stands above who a name was granted to more closely. A department's administrator does in the zones of the department.
fn is_wide(grant: &Grant, part: &Part) -> bool {
    match grant.role {
        Role::Administrator | Role::Operator => true,
        Role::DepartmentAdmin => part.owned_labels > 0,
        _ => false,
    }
}

/// How close a grant is to a name: a department's is as close as the zone that is the department's.
fn closeness(area: &Area, part: &Part) -> usize {
    match area {
        Area::Department(_) => 2 * part.owned_labels,
        _ => area.closeness(),
    }
}

/// The claim that a name falls under. Only names are claimed: a host's texts are no name.
fn closest<'a>(part: &Part, claims: &'a [Claim]) -> Option<&'a Claim> {
    let name = part.name.as_ref().filter(|_| matches!(part.what, What::Name | What::Zone))?;
    claims.iter().filter(|claim| claim.area.has_name(name)).max_by_key(|claim| claim.area.closeness())
}

fn who_may(part: &Part, claims: &[Claim]) -> String {
    match (closest(part, claims), &part.department) {
        (Some(claim), _) if claim.area.closeness() >= 2 * part.owned_labels => {
            format!("{} is of {}, so ask there, or an administrator", part.label, claim.holder)
        }
        (_, Some((_, department))) => format!("{} is of the department {department}, so ask there, or an administrator", part.label),
        _ => "ask an administrator".to_owned(),
    }
}

#[cfg(test)]
mod tests;
