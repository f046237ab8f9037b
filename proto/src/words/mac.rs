use super::{WordError, serde_as_text};
use std::{fmt, str::FromStr};

/// An IEEE 802 hardware address of 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl FromStr for Mac {
    type Err = WordError;

    /// Reads every common spelling: `08:00:20:db:b6:7f`, `08-00-20-db-b6-7f`, `0800.20db.b67f`, `08.00.20...`, `0x080020dbb67f`.
    fn from_str(text: &str) -> Result<Self, WordError> {
        let wrong = || WordError::new("hardware address", text, "is not 12 hexadecimal digits, such as 08:00:20:db:b6:7f");
        let bare = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let mut nibbles = [0u8; 12];
        let mut count = 0;
        for c in bare.chars().filter(|c| !matches!(c, ':' | '-' | '.')) {
            let digit = c.to_digit(16).ok_or_else(wrong)?;
            *nibbles.get_mut(count).ok_or_else(wrong)? = digit as u8;
            count += 1;
        }
        if count != nibbles.len() {
            return Err(wrong());
        }
        let mut mac = [0u8; 6];
        for (byte, pair) in mac.iter_mut().zip(nibbles.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        if mac[0] & 1 == 1 {
            return Err(WordError::new("hardware address", text, "is a group address: no single host can have it"));
        }
        if mac == [0; 6] {
            return Err(WordError::new("hardware address", text, "is all zero: no host has it"));
        }
        Ok(Self(mac))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_as_text!(Mac);

#[cfg(test)]
mod tests {
    use super::Mac;

    #[test]
    fn every_common_spelling_is_one_address() {
        for text in ["08:00:20:db:b6:7f", "08-00-20-DB-B6-7F", "0800.20db.b67f", "08.00.20.db.b6.7f", "0x080020dbb67f", "080020dbb67f"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "08:00:20:db:b6:7f", "{text}");
        }
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for text in ["", "08:00:20:db:b6", "08:00:20:db:b6:7f:00", "zz:00:20:db:b6:7f", "01:00:5e:00:00:01", "00:00:00:00:00:00", "é"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
