//! Change sets, their history and what is told of them, over the real API of a real master on a database of its own: no agents
//! and no cables, so every test has a master to itself on this machine's loopback.

mod drafts;
pub mod events;
mod history;
pub mod office;

use crate::serving::eventually;
