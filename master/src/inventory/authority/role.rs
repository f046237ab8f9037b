//! The roles, and what each may do. They are built in: a role that could be made up would have to be understood by everybody.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a person may do, within the area that it is granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything, granting it to others included.
    Administrator,
    /// Hosts, names, subnets and zones.
    Operator,
    /// Hosts, records, and what subnets tell at boot; makes no subnet and no zone.
    TableMaintainer,
    /// Makes and verifies backups; sees neither hosts nor secrets.
    BackupOperator,
    /// Reads, explains, suspends.
    HelpDesk,
    /// Reads everything, who did what included; changes nothing.
    Auditor,
    /// Hosts, records and zones of a department, and grants within it.
    DepartmentAdmin,
    /// Reads.
    Viewer,
    /// Tells of faults and of machines that turned up, as the program that watches the network; reads nothing but whom that concerns.
    NetworkManagement,
}

/// What is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read it.
    Read,
    /// Read who did what, beyond the history of a host that may be read anyway.
    Audit,
    /// Make, change or delete hosts, with their addresses.
    WriteHosts,
    /// Make, change or delete names and records.
    WriteRecords,
    /// Change what a subnet tells at boot.
    WriteSubnets,
    /// Make or delete a subnet, or change where it lies and whose it is.
    PlaceSubnets,
    /// Make, change or delete zones.
    WriteZones,
    /// Campuses, departments, templates, NASs: what belongs to all.
    WriteInstitution,
    /// Let boxes in and throw them out; answer for what is published.
    Boxes,
    /// Suspend a person or a host, with a reason.
    Suspend,
    /// Make and verify backups.
    Backup,
    /// Tell of faults, and of machines that turned up.
    Report,
    /// Give and take grants; people, groups, their sessions and tokens.
    Grant,
}

impl Action {
    /// What can be an edit of the hostname database.
    pub const EDITS: [Self; 7] =
        [Self::WriteHosts, Self::WriteRecords, Self::WriteSubnets, Self::PlaceSubnets, Self::WriteZones, Self::WriteInstitution, Self::Suspend];

    /// Whether it changes anything.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Audit)
    }

    /// As a refusal says it: "may not ... hosts".
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Read => "look at",
            Self::Audit => "look at what others did with",
            Self::Suspend => "suspend",
            Self::Backup => "back up",
            Self::Report => "tell of",
            Self::Grant => "grant rights on",
            _ => "change",
        }
    }
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Administrator,
        Self::Operator,
        Self::TableMaintainer,
        Self::BackupOperator,
        Self::HelpDesk,
        Self::Auditor,
        Self::DepartmentAdmin,
        Self::Viewer,
        Self::NetworkManagement,
    ];

    /// Whether the role includes the action.
    pub fn may(self, action: Action) -> bool {
        use Action::{Audit, Backup, Boxes, Grant, Read, Report, Suspend, WriteHosts, WriteRecords, WriteSubnets, WriteZones};
        match self {
            Self::Administrator => true,
            Self::Operator => !matches!(action, Boxes | Backup | Grant),
            Self::TableMaintainer => matches!(action, Read | WriteHosts | WriteRecords | WriteSubnets),
            Self::BackupOperator => action == Backup,
            Self::HelpDesk => matches!(action, Read | Suspend | Report),
            Self::Auditor => matches!(action, Read | Audit),
            Self::DepartmentAdmin => matches!(action, Read | Audit | WriteHosts | WriteRecords | WriteZones | Suspend | Grant),
            Self::Viewer => action == Read,
            Self::NetworkManagement => action == Report,
        }
    }

    /// As it is written in the API and kept.
    pub fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::TableMaintainer => "table-maintainer",
            Self::BackupOperator => "backup-operator",
            Self::HelpDesk => "help-desk",
            Self::Auditor => "auditor",
            Self::DepartmentAdmin => "department-admin",
            Self::Viewer => "viewer",
            Self::NetworkManagement => "network-management",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(())
    }
}
