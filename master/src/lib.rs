//! The master: hostname database, web and API, publisher, control; the auth portal; the `holdfast` command.
//!
//! An edit goes one way: `http` parses it, `inventory` decides, `db` stores, `publish` numbers and signs, `control`
//! hands it to the agents. Rooms meet in `run`.

pub mod adopt;
pub mod audit;
pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
pub mod db;
pub mod dns;
pub mod engine;
pub mod feed;
pub mod http;
pub mod inventory;
pub mod keys;
pub mod nodes;
pub mod portal;
pub mod probes;
pub mod publish;
pub mod reports;
pub mod run;
pub mod snapshots;
pub mod telemetry;
