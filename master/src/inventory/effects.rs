//! What an edit does to the services, told before it is saved: records, boot entries, NASs.

use holdfast_proto::words::{DomainName, Mac, Subnet};
use serde::Serialize;

/// Everything that agents will answer differently.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Effects {
    /// Record sets that change, by name and type.
    pub records: Vec<RecordEffect>,
    /// Boot entries that change.
    pub boot: Vec<BootEffect>,
    /// Other rows that change: subnets and NASs, by what people call them.
    pub others: Vec<String>,
}

/// One record set, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordEffect {
    /// The owner name.
    pub name: DomainName,
    /// The type as people write it: `A`, `PTR`, `TYPE65400`.
    pub rtype: String,
    /// The data before, in presentation form.
    pub before: Vec<String>,
    /// The data after.
    pub after: Vec<String>,
}

/// One boot entry, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootEffect {
    /// Where it holds.
    pub subnet: Subnet,
    /// For whom.
    pub mac: Mac,
    /// Address, name and parameters before, in one line.
    pub before: Option<String>,
    /// The same after.
    pub after: Option<String>,
}
