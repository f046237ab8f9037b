//! Brings an existing university in: bootptabs with templates, zone files, configurations of other DHCP servers, RADIUS clients, tables
//! of hosts, subnets and people, and what else has lists of machines.
//!
//! It exists so that thirty years of files need not be typed again, and it refuses to store half of them: parsing
//! (`zone`, `bootptab`, `dhcp`, `clients`, `claims` and the tables) and deciding (`plan`) are pure and find all errors at once, and only a plan
//! without errors is stored, in one transaction through `inventory::change`. Several files of one call are one import:
//! the same name with the same address in two of them is one host.

pub mod bootptab;
pub mod claims;
pub mod clients;
pub mod dhcp;
mod format;
pub mod hosts_table;
pub mod people;
mod place;
pub mod plan;
mod report;
mod store;
pub mod subnets;
mod table;
pub mod zone;

pub use format::{FORMATS, Format, UPLOAD_LIMIT_BYTES, Upload};
pub use place::{ERRORS_LIMIT, ImportError, Place};
pub use plan::{Files, Hints, Known, Plan, plan};
pub use report::{Counts, FINDINGS_LIMIT_PER_CODE, Finding, ROWS_LIMIT, Report, Row, RowState, Severity};
pub use store::{Options, import, parse_uploads};
pub use table::Mapping;

use holdfast_proto::words::{HostName, WordError};

/// A name as it stands where it has a dot, and else with this domain behind it.
fn full_name(name: &str, domain: Option<&str>) -> Result<HostName, String> {
    let text = match (name.contains('.'), domain) {
        (true, _) => name.to_owned(),
        (false, Some(domain)) => format!("{name}.{domain}"),
        (false, None) => return Err(format!("{name} has no domain: write its full name, or give --domain")),
    };
    text.parse().map_err(|wrong: WordError| wrong.to_string())
}
