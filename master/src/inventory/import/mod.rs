//! Being built.

mod place;
pub mod zone;

pub use place::{ERRORS_LIMIT, ImportError, Place};
