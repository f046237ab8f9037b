//! A file that says what shall be: lists of objects as the API writes them, and what of the database the file answers for.

use super::super::Failure;
use super::canonical::{self, canonical};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// A kind of object that a file may speak of, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Department,
    Contact,
    Campus,
    Zone,
    Subnet,
    Pool,
    Host,
    Record,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [Self::Department, Self::Contact, Self::Campus, Self::Zone, Self::Subnet, Self::Pool, Self::Host, Self::Record];

    /// Its list in the file, which is also its place in the API.
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Department => "departments",
            Self::Contact => "contacts",
            Self::Campus => "campuses",
            Self::Zone => "zones",
            Self::Subnet => "subnets",
            Self::Pool => "pools",
            Self::Host => "hosts",
            Self::Record => "records",
        }
    }

    /// What one is called in a sentence.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Department => "department",
            Self::Contact => "contact",
            Self::Campus => "campus",
            Self::Zone => "zone",
            Self::Subnet => "subnet",
            Self::Pool => "pool",
            Self::Host => "host",
            Self::Record => "record",
        }
    }

    /// The fields that tell one from another.
    pub(super) fn key_fields(self) -> &'static [&'static str] {
        match self {
            Self::Contact => &["handle"],
            Self::Zone => &["apex"],
            Self::Subnet => &["network"],
            Self::Pool => &["first", "last"],
            Self::Record => &["name", "type", "data"],
            Self::Department | Self::Campus | Self::Host => &["name"],
        }
    }

    /// What people call this object; `None` where a key field is missing.
    pub(super) fn key(self, object: &Value) -> Option<String> {
        let parts: Option<Vec<String>> = self.key_fields().iter().map(|field| Some(canonical(field, object.get(*field)?.as_str()?))).collect();
        let parts = parts?;
        Some(match self {
            Self::Pool => parts.join("-"),
            Self::Record => format!("{} {} {}", parts[0], parts[1].to_uppercase(), canonical::data(&parts[2])),
            _ => parts.concat(),
        })
    }
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The objects by kind and key.
    pub objects: BTreeMap<(Kind, String), Map<String, Value>>,
    /// What the file answers for: patterns and networks by kind.
    owns: BTreeMap<Kind, Vec<String>>,
}

impl File {
    /// Reads YAML or JSON.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::Failed(format!("{name} cannot be read: {error}")))?;
        Self::parse(&text).map_err(|wrong| Failure::Failed(format!("{name}: {wrong}")))
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(mut sections) = value else { return Err("the file has to hold lists such as hosts and subnets".to_owned()) };
        let mut file = Self::default();
        let owns = sections.remove("owns").unwrap_or_default();
        for (section, list) in sections {
            let kind = kind_of(&section)?;
            let list = list.as_array().cloned().ok_or_else(|| format!("{section} has to be a list"))?;
            for (place, object) in list.into_iter().enumerate() {
                file.take(kind, place, object)?;
            }
        }
        for (section, list) in owns.as_object().into_iter().flatten() {
            let texts: Option<Vec<String>> = list.as_array().map(|list| list.iter().filter_map(|one| one.as_str().map(str::to_lowercase)).collect());
            file.owns.insert(kind_of(section)?, texts.ok_or_else(|| format!("owns: {section} has to be a list of names, patterns or networks"))?);
        }
        Ok(file)
    }

    fn take(&mut self, kind: Kind, place: usize, object: Value) -> Result<(), String> {
        let at = format!("{}[{place}]", kind.section());
        let missing = || format!("{at} needs {}, as text", kind.key_fields().join(", "));
        let key = kind.key(&object).ok_or_else(missing)?;
        if key.contains('{') {
            return Err(format!("{at}: write {key} host by host: a file says what each of them shall be"));
        }
        let Value::Object(fields) = object else { return Err(missing()) };
        match self.objects.insert((kind, key.clone()), fields) {
            None => Ok(()),
            Some(_) => Err(format!("{at}: {} {key} is there twice", kind.word())),
        }
    }

    /// Whether the file answers for any of a kind.
    pub(super) fn owns_any(&self, kind: Kind) -> bool {
        self.owns.get(&kind).is_some_and(|list| !list.is_empty())
    }

    /// Whether the file answers for an object, so that it goes when the file does not name it.
    pub(super) fn owns(&self, kind: Kind, object: &Value) -> bool {
        let first = kind.key_fields().first().and_then(|field| object[*field].as_str()).unwrap_or_default();
        let name = canonical(kind.key_fields()[0], first);
        let last = object["last"].as_str().unwrap_or(first);
        let covers = |owned: &String| match kind {
            Kind::Subnet | Kind::Pool => canonical::network_covers(owned, first) && canonical::network_covers(owned, last),
            _ => canonical::pattern_matches(owned, &name),
        };
        self.owns.get(&kind).into_iter().flatten().any(covers)
    }
}

fn kind_of(section: &str) -> Result<Kind, String> {
    let known = || Kind::ALL.map(Kind::section).join(", ");
    Kind::ALL.into_iter().find(|kind| kind.section() == section).ok_or_else(|| format!("there is no list \"{section}\"; there are: owns, {}", known()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_is_yaml_or_json_and_says_what_it_answers_for() {
        let yaml = "owns:\n  hosts: ['*.lab.uni.example']\n  subnets: [10.9.0.0/16]\nhosts:\n  - name: PC1.lab.uni.example.\n    interfaces: [{mac: '02:00:00:00:00:01'}]\n";
        let file = File::parse(yaml).unwrap();
        assert_eq!(file.objects.keys().map(|(_, key)| key.as_str()).collect::<Vec<_>>(), ["pc1.lab.uni.example"]);
        assert!(file.owns(Kind::Host, &json!({ "name": "x.lab.uni.example" })) && !file.owns(Kind::Host, &json!({ "name": "lab.uni.example" })));
        assert!(file.owns(Kind::Subnet, &json!({ "network": "10.9.4.0/24" })) && !file.owns(Kind::Subnet, &json!({ "network": "10.10.0.0/24" })));
        assert!(!file.owns(Kind::Zone, &json!({ "apex": "lab.uni.example" })));
        assert_eq!(File::parse(r#"{"hosts": [{"name": "a.uni.example"}]}"#).unwrap().objects.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_place() {
        for (text, part) in [
            ("hosts: [{mac: x}]", "hosts[0] needs name"),
            ("host: []", "there is no list \"host\""),
            ("hosts: [{name: a.b}, {name: A.b}]", "hosts[1]: host a.b is there twice"),
            ("hosts: [{name: 'lab-{1..4}.b'}]", "host by host"),
            ("- a", "lists such as"),
        ] {
            let wrong = File::parse(text).unwrap_err();
            assert!(wrong.contains(part), "{text}: {wrong}");
        }
    }
}
