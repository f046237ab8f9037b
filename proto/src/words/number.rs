use std::fmt;

/// Our number of a snapshot: it never goes back and never wraps. Not the DNS serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation that follows this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Raised only by the offline root, for a master restored from backup. Generations are ordered by (epoch, generation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// DNS's number of a zone, in the circular arithmetic of RFC 1982.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Serial(pub u32);

impl Serial {
    /// The serial that follows this one; zero is left out, because old secondaries read it as "none".
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1).max(1))
    }

    /// Whether this serial is newer than `other` (RFC 1982 section 3.2); false for the undefined opposite.
    pub fn is_newer_than(self, other: Self) -> bool {
        self.0 != other.0 && self.0.wrapping_sub(other.0) < 1 << 31
    }
}

/// Milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// The identity of one of our boxes (an agent, the master, the portal), given at enrolment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! prints_its_number {
    ($($word:ty),*) => {$(
        impl fmt::Display for $word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
prints_its_number!(Generation, Epoch, Serial, UnixMillis);

#[cfg(test)]
mod tests {
    use super::Serial;

    #[test]
    fn serials_go_round_and_leave_zero_out() {
        assert_eq!(Serial(u32::MAX).next(), Serial(1));
        assert!(Serial(1).is_newer_than(Serial(u32::MAX)));
        assert!(!Serial(u32::MAX).is_newer_than(Serial(1)));
        assert!(!Serial(7).is_newer_than(Serial(7)));
    }
}
