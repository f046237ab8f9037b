//! Brings an existing university in: bootptabs with templates, zone files, RADIUS clients and tables of subnets.
//!
//! It exists so that thirty years of files need not be typed again, and it refuses to store half of them: parsing
//! (`zone`, `bootptab`, `clients`, `subnets`) and deciding (`plan`) are pure and find all errors at once, and only a plan
//! without errors is stored, in one transaction through `inventory::change`. Several files of one call are one import:
//! the same name with the same address in two of them is one host.

pub mod bootptab;
pub mod clients;
mod format;
mod place;
pub mod plan;
mod report;
mod store;
pub mod subnets;
pub mod zone;

pub use format::{Format, UPLOAD_LIMIT_BYTES, Upload};
pub use place::{ERRORS_LIMIT, ImportError, Place};
pub use plan::{Files, Known, Plan, plan};
pub use report::{Counts, FINDINGS_LIMIT_PER_CODE, Finding, Report, Severity};
pub use store::{Options, import, parse_uploads};
