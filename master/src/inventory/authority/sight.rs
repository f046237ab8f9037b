//! What somebody may see: all of it, or what lies in their areas.

use super::{Action, Area, Authority, Part};
use crate::db::parts::Within;
use std::net::IpAddr;

/// What somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// All of it: queries run as if there were no grants.
    All,
    /// What lies in these areas, at least with a part of it.
    Of(Vec<Area>),
}

/// The areas of a sight, as a query takes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::inventory) struct Lists {
    pub campuses: Vec<i64>,
    pub departments: Vec<i64>,
    /// Names that are seen themselves.
    pub apexes: Vec<String>,
    /// Names below which all is seen.
    pub names: Vec<String>,
    pub firsts: Vec<String>,
    pub lasts: Vec<String>,
}

impl Lists {
    pub fn within(&self) -> Within<'_> {
        let Self { campuses, departments, apexes, names, firsts, lasts } = self;
        Within { campuses, departments, apexes, names, firsts, lasts }
    }
}

impl Sight {
    /// What these grants let see; `None` where nothing.
    pub(super) fn of(authority: &Authority) -> Option<Self> {
        if authority.everywhere(Action::Read) {
            return Some(Self::All);
        }
        let areas: Vec<Area> = authority.grants().iter().filter(|grant| grant.role.may(Action::Read)).map(|grant| grant.area.clone()).collect();
        (!areas.is_empty()).then_some(Self::Of(areas))
    }

    /// Whether a part is seen.
    pub fn sees(&self, part: &Part) -> bool {
        match self {
            Self::All => true,
            Self::Of(areas) => areas.iter().any(|area| area.meets(part)),
        }
    }

    /// Whether a subnet or a zone is seen: what is no department's is there for all of them.
    pub(in crate::inventory) fn sees_place(&self, part: &Part) -> bool {
        let is_shared = part.department.is_none() && matches!(self, Self::Of(areas) if areas.iter().any(|area| matches!(area, Area::Department(_))));
        is_shared || self.sees(part)
    }

    /// The areas as lists; `None` where all is seen.
    pub(in crate::inventory) fn lists(&self) -> Option<Lists> {
        let Self::Of(areas) = self else { return None };
        let mut lists = Lists::default();
        let text = |address: &IpAddr| address.to_string();
        for area in areas {
            match area {
                Area::Global => return None,
                Area::Campus(id) => lists.campuses.push(*id),
                Area::Department(id) => lists.departments.push(*id),
                Area::Zone(apex) => {
                    lists.apexes.push(apex.without_dot());
                    lists.names.push(apex.without_dot());
                }
                Area::Below(above) => lists.names.push(above.without_dot()),
                Area::Addresses(first, last) => {
                    lists.firsts.push(text(first));
                    lists.lasts.push(text(last));
                }
            }
        }
        Some(lists)
    }
}
