//! How answered names are counted, on every plane alike.

mod audience;
mod names;
mod tally;

pub use audience::{Audience, read_audience};
pub use names::NameCounters;
pub use tally::Tally;
