//! The campus agent: DNS, BOOTP/DHCP and RADIUS for one campus, from its own disk.
//!
//! `uplink` is the only room that knows there is a master; the services see `store`'s readers and nothing else, so no
//! local answer can depend on whether the master is reachable. Rooms meet in `run`.

pub mod config;
pub mod dhcp;
pub mod dns;
pub mod names;
pub mod peer;
pub mod radius;
pub mod reports;
pub mod resolver;
pub mod run;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod uplink;
