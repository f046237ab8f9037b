//! The institution's edges: what those who watch the network tell us and hear from us, and departments with servers of their own.

mod discovery;
mod exports;
mod faults;
mod topology;
