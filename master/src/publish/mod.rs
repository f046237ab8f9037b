//! Being built.
pub mod compose;
