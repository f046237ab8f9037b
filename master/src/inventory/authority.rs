//! Who may do what: the one place that decides it, for the pages, the API, imports, undo and every other path.
//!
//! A [`Grant`] is a [`Role`] on an [`Area`]. What an edit touches is cut into [`Part`]s (a host, a name, an address, a subnet, a
//! zone), each with all the areas that it lies in; [`allow`] wants one grant for every part, as it is and as it would be. So a
//! department cannot give a host away, nor take one. Nothing here knows a door: sessions and tokens come as an [`Authority`].

mod guard;
mod part;
mod role;
mod sight;

pub(super) use guard::{Own, change_guarded, effects_seen, part};
pub use part::{Claim, Part, What, allow};
pub use role::{Action, Role};
pub use sight::Sight;

use super::{Actor, Refusal};
use crate::db::DbError;
use crate::db::grants::{self, GrantRow};
use holdfast_proto::words::{DomainName, Subnet};
use serde::Serialize;
use sqlx::PgPool;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// Where a grant holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Area {
    /// Everywhere.
    Global,
    /// What stands on a campus.
    Campus(i64),
    /// What belongs to a department.
    Department(i64),
    /// The names of a zone and of the zones below it.
    Zone(DomainName),
    /// The names below a name, as `*.lab.uni.example` says it.
    Below(DomainName),
    /// Addresses from one to another, both included; a subnet is from its first to its last.
    Addresses(IpAddr, IpAddr),
}

/// A role on an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: i64,
    /// What may be done.
    pub role: Role,
    /// And where.
    pub area: Area,
}

/// What one who came in may do: their grants, and what stands in the way of using them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    grants: Arc<[Grant]>,
    /// Why nothing may be changed now, with what to do about it.
    bar: Option<String>,
}

impl Authority {
    /// These grants, and nothing in the way.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants: grants.into(), bar: None }
    }

    /// Reading stays, writing is refused with this sentence.
    #[must_use]
    pub fn barred(self, why: impl Into<String>) -> Self {
        Self { bar: Some(why.into()), ..self }
    }

    /// Only those of the grants that have these numbers.
    #[must_use]
    pub fn only(self, ids: &[i64]) -> Self {
        Self { grants: self.grants.iter().filter(|grant| ids.contains(&grant.id)).cloned().collect(), ..self }
    }

    /// The grants.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Why nothing may be changed now, with what to do about it.
    pub fn bar(&self) -> Option<&str> {
        self.bar.as_deref()
    }

    /// Whether the action is granted everywhere.
    pub fn everywhere(&self, action: Action) -> bool {
        self.grants.iter().any(|grant| grant.area == Area::Global && grant.role.may(action))
    }

    /// Whether the action is granted anywhere, as far as grants go.
    pub fn somewhere(&self, action: Action) -> bool {
        self.grants.iter().any(|grant| grant.role.may(action))
    }

    /// Whether anything at all may be changed: what pages show the doors by.
    pub fn edits(&self) -> bool {
        self.bar.is_none() && Action::EDITS.into_iter().any(|action| self.somewhere(action))
    }

    /// Refuses where a session or token may only read.
    pub(super) fn check_bar(&self, action: Action) -> Result<(), Refusal> {
        match &self.bar {
            Some(why) if action.writes() => Err(Refusal::Forbidden(why.clone())),
            _ => Ok(()),
        }
    }
}

impl Actor {
    /// One who may do everything everywhere: the box's own operator, and tests.
    pub fn administrator(name: impl Into<String>, via: &'static str) -> Self {
        let everything = Grant { id: 0, role: Role::Administrator, area: Area::Global };
        Self { name: name.into(), authority: Authority::new(vec![everything]), via }
    }

    /// What they may see; refused where they may read nothing at all.
    pub fn sight(&self) -> Result<Sight, Refusal> {
        Sight::of(&self.authority).ok_or_else(|| Refusal::Forbidden(format!("{} may not read the hostname database: ask an administrator", self.name)))
    }
}

/// Refuses what is granted to nobody but those who may do it everywhere: boxes, snapshots, the institution's own settings.
/// `object` is what the refusal calls it.
pub fn authorise(actor: &Actor, action: Action, object: &str) -> Result<(), Refusal> {
    actor.authority.check_bar(action)?;
    if actor.authority.everywhere(action) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("{} may not {} {object}: ask an administrator", actor.name, action.verb())))
}

/// Refuses who could not edit anything, before anything is looked at.
pub(in crate::inventory) fn authorise_edits(actor: &Actor, object: &str) -> Result<(), Refusal> {
    actor.authority.check_bar(Action::WriteHosts)?;
    if Action::EDITS.into_iter().any(|action| actor.authority.somewhere(action)) {
        return Ok(());
    }
    Err(Refusal::Forbidden(format!("{} may not change {object}: ask an administrator", actor.name)))
}

/// The grants that a principal has now, their own and their groups'.
pub async fn grants_of(pool: &PgPool, principal: Uuid) -> Result<Vec<Grant>, DbError> {
    grants::held_by(pool, principal).await?.iter().map(grant).collect()
}

/// A grant as it is kept, understood.
pub(super) fn grant(row: &GrantRow) -> Result<Grant, DbError> {
    let damaged = || DbError::Damaged(format!("the area of grant {}", row.id));
    let name = || row.name.parse::<DomainName>().map_err(|_| damaged());
    let area = match row.area_kind.as_str() {
        "global" => Area::Global,
        "campus" => Area::Campus(row.campus_id.ok_or_else(damaged)?),
        "department" => Area::Department(row.department_id.ok_or_else(damaged)?),
        "zone" => Area::Zone(name()?),
        "name" => Area::Below(name()?),
        _ => Area::Addresses(row.first.ok_or_else(damaged)?, row.last.ok_or_else(damaged)?),
    };
    Ok(Grant { id: row.id, role: row.role.parse().map_err(|()| DbError::Damaged(format!("the role {}", row.role)))?, area })
}

/// An area as an administrator writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum AreaDraft {
    /// Everywhere.
    Global,
    /// A campus, by name.
    Campus {
        /// Its name.
        name: String,
    },
    /// A department, by name.
    Department {
        /// Its name.
        name: String,
    },
    /// A zone and all below it.
    Zone {
        /// Its apex.
        #[schema(value_type = String)]
        name: DomainName,
    },
    /// The names below one: `*.lab.uni.example`.
    Name {
        /// With the star in front.
        pattern: String,
    },
    /// A network.
    Subnet {
        /// The network; it may hold several subnets.
        #[schema(value_type = String)]
        network: Subnet,
    },
    /// Some addresses.
    Range {
        /// The first.
        #[schema(value_type = String)]
        first: IpAddr,
        /// The last, included.
        #[schema(value_type = String)]
        last: IpAddr,
    },
}

impl AreaDraft {
    /// As it is kept.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Campus { .. } => "campus",
            Self::Department { .. } => "department",
            Self::Zone { .. } => "zone",
            Self::Name { .. } => "name",
            Self::Subnet { .. } => "subnet",
            Self::Range { .. } => "range",
        }
    }

    /// The area, where campus and department have these numbers.
    pub(super) fn resolved(&self, campus: Option<i64>, department: Option<i64>) -> Option<Area> {
        match self {
            Self::Global => Some(Area::Global),
            Self::Campus { .. } => campus.map(Area::Campus),
            Self::Department { .. } => department.map(Area::Department),
            Self::Zone { name } => Some(Area::Zone(name.clone())),
            Self::Name { pattern } => pattern.strip_prefix("*.").and_then(|name| name.parse().ok()).map(Area::Below),
            Self::Subnet { network } => Some(Area::Addresses(network.net().network(), network.net().broadcast())),
            Self::Range { first, last } => (first <= last && first.is_ipv4() == last.is_ipv4()).then_some(Area::Addresses(*first, *last)),
        }
    }
}
