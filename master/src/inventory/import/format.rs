//! Which format a file has, by its text first and its name second.

use holdfast_proto::words::DomainName;
use serde::{Deserialize, Serialize};

/// One file of an import may be so large: 100 000 hosts are about 10 MB of bootptab and 20 MB of zone file.
pub const UPLOAD_LIMIT_BYTES: usize = 256 << 20;
/// So many lines at the top are looked at.
const LINES_LOOKED_AT: usize = 200;

/// A file to import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// Its name, as messages show it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What we can import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// bootpd's table.
    Bootptab,
    /// A DNS zone file.
    Zone,
    /// FreeRADIUS's clients.
    ClientsConf,
    /// A table of subnets.
    Subnets,
}

impl Format {
    /// The format of a file. `None` where neither text nor name tells.
    pub fn detect(upload: &Upload) -> Option<Self> {
        Self::by_text(&upload.text).or_else(|| Self::by_name(&upload.name))
    }

    fn by_text(text: &str) -> Option<Self> {
        let lines = text.trim_start_matches('\u{feff}').lines().take(LINES_LOOKED_AT);
        lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', ';'])).find_map(Self::by_line)
    }

    fn by_line(line: &str) -> Option<Self> {
        let line = line.trim();
        let upper = line.to_ascii_uppercase();
        let first = upper.split([' ', '\t', '=']).next().unwrap_or_default();
        if matches!(first, "$ORIGIN" | "$TTL" | "$INCLUDE" | "$GENERATE") || upper.split([' ', '\t']).any(|word| word == "SOA") {
            return Some(Self::Zone);
        }
        if first == "CLIENT" && line.ends_with('{') {
            return Some(Self::ClientsConf);
        }
        if upper.split(',').any(|column| column.trim() == "SUBNET") && upper.split(',').any(|column| column.trim() == "CAMPUS") {
            return Some(Self::Subnets);
        }
        let (name, tags) = line.split_once(':')?;
        let is_tag = |tag: &str| {
            let tag = tag.trim_start();
            tag.len() >= 2
                && tag.as_bytes()[..2].iter().all(u8::is_ascii_alphanumeric)
                && matches!(tag.as_bytes().get(2), None | Some(b'=' | b'@' | b'\\' | b'0'..=b'9'))
        };
        (!name.contains([' ', '\t']) && (tags == "\\" || tags.split(':').any(is_tag))).then_some(Self::Bootptab)
    }

    fn by_name(name: &str) -> Option<Self> {
        let base = base_name(name).to_ascii_lowercase();
        if base.starts_with("bootptab") {
            return Some(Self::Bootptab);
        }
        if base.starts_with("db.") || base.ends_with(".db") || base.ends_with(".zone") {
            return Some(Self::Zone);
        }
        if base.starts_with("clients") && base.ends_with(".conf") {
            return Some(Self::ClientsConf);
        }
        (base.starts_with("subnets") && base.ends_with(".csv")).then_some(Self::Subnets)
    }
}

/// The origin a zone file has by its name, as BIND's users name them: `db.uni.example`, `uni.example.zone`, `db.10.1`.
pub(super) fn origin_by_name(name: &str) -> Option<DomainName> {
    let base = base_name(name);
    let bare = base.strip_prefix("db.").or_else(|| base.strip_suffix(".zone")).or_else(|| base.strip_suffix(".db"))?;
    let octets: Option<Vec<u8>> = bare.split('.').map(|part| part.parse().ok()).collect();
    match octets {
        Some(octets) if octets.len() <= 4 => {
            let labels: Vec<String> = octets.iter().rev().map(u8::to_string).collect();
            format!("{}.in-addr.arpa", labels.join(".")).parse().ok()
        }
        Some(_) => None,
        None => bare.parse().ok(),
    }
}

fn base_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(name: &str, text: &str) -> Option<Format> {
        Format::detect(&Upload { name: name.into(), text: text.into() })
    }

    #[test]
    fn text_tells_the_format_and_else_the_name() {
        assert_eq!(detect("x", "# c\n.default:\\\n\t:ht=ethernet:\n"), Some(Format::Bootptab));
        assert_eq!(detect("x", "darwin:tc=.x:ha=0:\n"), Some(Format::Bootptab));
        assert_eq!(detect("x", "; c\n@ 1d IN SOA a b 1 1 1 1 1\n"), Some(Format::Zone));
        assert_eq!(detect("x", "\nclient a {\n"), Some(Format::ClientsConf));
        assert_eq!(detect("x", "campus,department,subnet\n"), Some(Format::Subnets));
        assert_eq!(detect("etc/db.empty", ""), Some(Format::Zone));
        assert_eq!(detect("notes.txt", "hello\nworld: yes, it is\n"), None);
    }

    #[test]
    fn zone_files_are_named_after_their_zone() {
        let origin = |name: &str| origin_by_name(name).map(|origin| origin.to_string());
        assert_eq!(origin("/etc/bind/db.uni.example").as_deref(), Some("uni.example."));
        assert_eq!(origin("uni.example.zone").as_deref(), Some("uni.example."));
        assert_eq!(origin("db.10.1").as_deref(), Some("1.10.in-addr.arpa."));
        assert_eq!(origin("hosts"), None);
    }
}
