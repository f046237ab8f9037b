use std::fmt;

/// What a snapshot is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Names and addresses: what DNS answers from.
    Zone = 1,
    /// Hardware addresses, subnets and boot parameters: what BOOTP and DHCP answer from.
    Bootptab = 2,
    /// People and network access: what RADIUS answers from.
    Auth = 3,
    /// Our own boxes, their keys and revocations.
    Trust = 4,
}

impl Kind {
    /// The kind with this number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Zone, Self::Bootptab, Self::Auth, Self::Trust].into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zone => "zone",
            Self::Bootptab => "bootptab",
            Self::Auth => "auth",
            Self::Trust => "trust",
        })
    }
}

/// Whose data a scope holds. The root-signed trust says which key may sign which (kind, family).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// Everything of the kind.
    Whole = 0,
    /// Accounts and verifiers, signed by the auth portal alone.
    People = 1,
    /// NASs, device authentication, RADIUS realms and policy, signed by the master alone.
    Access = 2,
}

impl Family {
    /// The family with this number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Whole, Self::People, Self::Access].into_iter().find(|family| *family as u8 == number)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::People => "people",
            Self::Access => "access",
        })
    }
}

/// A cut of a kind: who gets these rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Whose data.
    pub family: Family,
    /// Which agents: 0 is all of them.
    pub cut: u32,
}

/// One (kind, scope): what has generations of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feed {
    /// What it is about.
    pub kind: Kind,
    /// Which part of it.
    pub scope: Scope,
}

impl Feed {
    /// All names of the institution.
    pub const ZONE: Self = Self::whole(Kind::Zone);
    /// The boot entries of the whole institution.
    pub const BOOTPTAB: Self = Self::whole(Kind::Bootptab);
    /// Accounts and verifiers, made by the auth portal.
    pub const PEOPLE: Self = Self { kind: Kind::Auth, scope: Scope { family: Family::People, cut: 0 } };
    /// NASs and access policy, made by the master.
    pub const ACCESS: Self = Self { kind: Kind::Auth, scope: Scope { family: Family::Access, cut: 0 } };
    /// Our own boxes, made by the master: who is in, and who was thrown out.
    pub const TRUST: Self = Self::whole(Kind::Trust);
    /// What every agent follows.
    pub const ALL: [Self; 5] = [Self::ZONE, Self::BOOTPTAB, Self::PEOPLE, Self::ACCESS, Self::TRUST];

    const fn whole(kind: Kind) -> Self {
        Self { kind, scope: Scope { family: Family::Whole, cut: 0 } }
    }

    /// The feed with these numbers on the wire or in the database.
    pub fn from_numbers(kind: u32, family: u32, cut: u32) -> Option<Self> {
        let kind = Kind::from_number(u8::try_from(kind).ok()?)?;
        let family = Family::from_number(u8::try_from(family).ok()?)?;
        Some(Self { kind, scope: Scope { family, cut } })
    }
}

impl fmt::Display for Feed {
    /// `zone`, `bootptab`, `auth-people`, `auth-access`, `trust`: also the name of its folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.scope.family != Family::Whole {
            write!(f, "-{}", self.scope.family)?;
        }
        if self.scope.cut != 0 {
            write!(f, "-{}", self.scope.cut)?;
        }
        Ok(())
    }
}
