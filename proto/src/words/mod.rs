//! The small words that every room uses: parse, print, compare.
//!
//! A value that came from outside becomes one of these once, at the edge; behind the edge it cannot be wrong
//! and nobody checks it again. A number that could be mistaken for another has a type of its own.

mod mac;
mod name;
mod number;
mod secret;
mod subnet;

pub use mac::Mac;
pub use name::{DomainName, HostName, Label};
pub use number::{Epoch, Generation, NodeId, Serial, UnixMillis};
pub use secret::Secret;
pub use subnet::Subnet;

/// A word that could not be parsed: what was given, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{given}\" {why}")]
pub struct WordError {
    /// The kind of word, as a person would say it ("host name", "hardware address").
    pub what: &'static str,
    /// The text that was given, cut to a printable length.
    pub given: String,
    /// What is wrong, and what would be right.
    pub why: &'static str,
}

impl WordError {
    fn new(what: &'static str, given: &str, why: &'static str) -> Self {
        /// Enough to recognise the text, short enough for one line of a report.
        const SHOWN_CHARS: usize = 80;
        let given = given.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
        Self { what, given, why }
    }
}

/// Serde by way of `FromStr` and `Display`, so that JSON, TOML and the command line agree on one spelling.
macro_rules! serde_as_text {
    ($word:ty) => {
        impl serde::Serialize for $word {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $word {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use serde_as_text;
