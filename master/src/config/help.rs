//! Whom people ask: the help desk, and who hears of faults of security.

use serde::{Deserialize, de::Error};

/// Whom people ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Help {
    /// The help desk in words, at the foot of every page: a mailbox, a telephone number, hours.
    pub desk: String,
    /// Who hears of faults of security, the best way first: what `/.well-known/security.txt` tells (RFC 9116).
    pub security: Vec<SecurityContact>,
}

/// An address as RFC 9116 section 2.5.3 wants it: `mailto:security@uni.example`, `https://uni.example/security`, `tel:+49-30-1234`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityContact(String);

impl SecurityContact {
    /// The address.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SecurityContact {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let known = ["mailto:", "https://", "tel:"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
        if known && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format!("\"{text}\" is no address such as mailto:security@uni.example, https://uni.example/security or tel:+49-30-1234")))
    }
}

#[cfg(test)]
mod tests {
    use super::Help;

    #[test]
    fn addresses_are_those_of_the_rfc() {
        let read = |text: &str| toml::from_str::<Help>(text);
        assert_eq!(read("security = [\"mailto:security@uni.example\"]").unwrap().security[0].text(), "mailto:security@uni.example");
        for wrong in ["security@uni.example", "http://uni.example", "mailto:", "tel:1 2", "mailto:a\\nContact: b"] {
            let refused = read(&format!("security = [\"{wrong}\"]")).unwrap_err().to_string();
            assert!(refused.contains("is no address such as"), "{refused}");
        }
    }
}
