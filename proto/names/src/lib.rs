//! The resolver plane, which both programs run: a campus's box for the machines there, the master for the boxes and for
//! departmental servers.
//!
//! Why a package of its own: the cache, what is believed of others, whom to ask next and what to say when nobody is there must not be
//! written twice, and neither `proto`, which says nothing on a wire by itself, nor one of the programs may hold it for the other.
//! What it refuses to know: who its clients are, where its zones come from, and what is configured where. Those are handed in.

pub mod counting;
pub mod engine;
pub mod settings;
