//! Being built.
pub mod rdata;
