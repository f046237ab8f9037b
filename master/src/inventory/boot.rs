//! Boot options that are inherited, and of every value from where it comes.

use super::hosts::check_options;
use super::places::refuse;
use super::{Problem, Refusal, Version};
use crate::db::boot::BootParameters;
use crate::db::defaults;
pub use crate::db::defaults::{BootDefaults, DefaultsRow, Level};
use crate::db::{DbError, compose};
use holdfast_proto::words::{HostName, Mac, Subnet};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What fits into BOOTP's `sname` and `file` with their final zero (RFC 951), in bytes.
const SERVER_NAME_LIMIT_BYTES: usize = 63;
const BOOT_FILE_LIMIT_BYTES: usize = 127;

/// One wish to change what is inherited.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum BootEdit {
    /// A level says this from now on.
    Put {
        /// The level.
        level: Level,
        /// The object; empty for the institution.
        object: String,
        /// What it says.
        parameters: BootDefaults,
    },
    /// A level says nothing any more.
    Delete {
        /// The level.
        level: Level,
        /// The object; empty for the institution.
        object: String,
    },
}

/// Makes the edit; the version that the row has then.
pub(super) async fn make(db: &mut PgConnection, edit: BootEdit) -> Result<Option<Version>, Refusal> {
    match edit {
        BootEdit::Put { level, object, parameters } => {
            refuse(problems(&parameters))?;
            let version = defaults::put(db, level, &object, &parameters).await?;
            let missing = || Refusal::Missing(Problem::new("no-such-object", "", format!("there is no {} {object}", word(level))));
            version.map(|version| Some(Version(version))).ok_or_else(missing)
        }
        BootEdit::Delete { level, object } => {
            let missing = || Refusal::Missing(Problem::new("no-such-defaults", "", format!("{} {object} says nothing about booting", word(level))));
            if defaults::delete(db, level, &object).await? { Ok(None) } else { Err(missing()) }
        }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Institution => "institution",
        Level::Campus => "campus",
        Level::Subnet => "subnet",
        Level::Class => "device class",
    }
}

fn problems(parameters: &BootDefaults) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |kind, pointer: String, detail: String| problems.push(Problem::new(kind, pointer, detail));
    let texts = [("server_name", &parameters.server_name, SERVER_NAME_LIMIT_BYTES), ("boot_file", &parameters.boot_file, BOOT_FILE_LIMIT_BYTES)];
    for (field, text, limit) in texts {
        if text.len() > limit || text.contains(char::is_control) {
            add("text-too-long", format!("/{field}"), format!("{field} must fit into {limit} bytes, without control characters"));
        }
    }
    check_options(&parameters.options, "/options", &mut add);
    problems
}

/// What all levels say, the outermost first.
pub async fn all_defaults(pool: &PgPool) -> Result<Vec<DefaultsRow>, DbError> {
    defaults::all(&mut *pool.acquire().await?).await
}

/// What a host is told at boot on one subnet, and from where each value comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = boot::Told)]
pub struct Told {
    /// The subnet.
    #[schema(value_type = String)]
    pub subnet: Subnet,
    /// The hardware address that is told it.
    #[schema(value_type = String)]
    pub mac: Mac,
    /// The address.
    #[schema(value_type = String)]
    pub address: Ipv4Addr,
    /// Every value, by what it is.
    pub values: Vec<Value>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = boot::Value)]
pub struct Value {
    /// `next_server`, `server_name`, `boot_file`, `gateway`, or `option` and its code.
    pub what: String,
    /// The value: as people write it, of an option as hexadecimal wire data; `None` where it is taken away.
    pub value: Option<String>,
    /// From where: `host`, `class printer`, `subnet 10.1.4.0/22`, `campus north`, `institution`.
    pub from: String,
}

/// What the host of this name is told at boot, by subnet.
pub async fn told(pool: &PgPool, name: &HostName) -> Result<Vec<Told>, DbError> {
    let mut db = pool.acquire().await?;
    let places = compose::places_of_host(&mut db, &name.to_string()).await?;
    let all = defaults::all(&mut db).await?;
    Ok(places.into_iter().map(|place| of_place(place, &all)).collect())
}

fn of_place(place: compose::PlaceOfHost, all: &[DefaultsRow]) -> Told {
    let (network, campus) = (place.network.to_string(), place.campus.as_str());
    let says = |row: &&DefaultsRow| match row.level {
        Level::Institution => true,
        Level::Campus => row.object == campus,
        Level::Subnet => row.object == network,
        Level::Class => place.class.as_ref() == Some(&row.object),
    };
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    let mut put = |what: String, value: Option<String>, from: &str| drop(values.insert(what.clone(), Value { what, value, from: from.to_owned() }));
    for row in all.iter().filter(says).filter(|row| row.level < Level::Class) {
        layer(&row.parameters, &from(row.level, &row.object), &mut put);
    }
    let own_subnet = from(Level::Subnet, &network);
    if let Some(gateway) = place.gateway {
        put("gateway".to_owned(), Some(gateway.to_string()), &own_subnet);
    }
    layer(&place.of_subnet, &own_subnet, &mut put);
    for row in all.iter().filter(says).filter(|row| row.level == Level::Class) {
        layer(&row.parameters, &from(row.level, &row.object), &mut put);
    }
    layer(&of_entry(&place.parameters), "host", &mut put);
    Told { subnet: place.network, mac: place.mac, address: place.address, values: values.into_values().collect() }
}

fn from(level: Level, object: &str) -> String {
    match level {
        Level::Institution => "institution".to_owned(),
        Level::Campus => format!("campus {object}"),
        Level::Subnet => format!("subnet {object}"),
        Level::Class => format!("class {object}"),
    }
}

/// A host's own entry in the same form.
fn of_entry(own: &BootParameters) -> BootDefaults {
    BootDefaults {
        next_server: own.next_server,
        server_name: own.server_name.clone(),
        boot_file: own.boot_file.clone(),
        options: own.options.clone(),
        ..BootDefaults::default()
    }
}

fn layer(parameters: &BootDefaults, from: &str, put: &mut impl FnMut(String, Option<String>, &str)) {
    if let Some(server) = parameters.next_server {
        put("next_server".to_owned(), Some(server.to_string()), from);
    }
    for (what, text) in [("server_name", &parameters.server_name), ("boot_file", &parameters.boot_file)] {
        if !text.is_empty() {
            put(what.to_owned(), Some(text.clone()), from);
        }
    }
    for option in parameters.all_options() {
        put(format!("option {}", option.code), option.value.map(hex::encode), from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::defaults::inherited;

    fn row(level: Level, object: &str, text: &str) -> DefaultsRow {
        DefaultsRow { level, object: object.to_owned(), parameters: serde_json::from_str(text).unwrap(), version: 1 }
    }

    #[test]
    fn a_boot_file_is_one_line_of_text() {
        let said = |text: &str| problems(&serde_json::from_value(serde_json::json!({ "boot_file": text })).unwrap()).len();
        assert_eq!(["pxe/linux", "a\nb", "a\0", &"x".repeat(128)].map(said), [0, 1, 1, 1]);
    }

    #[test]
    fn every_value_says_from_where_it_comes() {
        let all = [
            row(Level::Institution, "", r#"{"next_server": "10.1.4.2", "lease_secs": 60, "boot_file": "any"}"#),
            row(Level::Campus, "north", r#"{"boot_file": "north", "options": [{"code": 42, "value": "0a010402"}]}"#),
            row(Level::Campus, "south", r#"{"boot_file": "south"}"#),
            row(Level::Class, "printer", r#"{"options": [{"code": 51}]}"#),
        ];
        let place = compose::PlaceOfHost {
            network: "10.1.4.0/22".parse().unwrap(),
            campus: "north".into(),
            class: Some("printer".into()),
            mac: "02:00:00:00:00:01".parse().unwrap(),
            address: [10, 1, 4, 7].into(),
            gateway: Some([10, 1, 4, 1].into()),
            of_subnet: serde_json::from_str(r#"{"domain": "uni.example"}"#).unwrap(),
            parameters: BootParameters { server_name: "own".into(), ..BootParameters::default() },
        };
        let told: Vec<(String, String)> = of_place(place.clone(), &all).values.into_iter().map(|value| (value.what, value.from)).collect();
        let expected = [
            ("boot_file", "campus north"),
            ("gateway", "subnet 10.1.4.0/22"),
            ("next_server", "institution"),
            ("option 15", "subnet 10.1.4.0/22"),
            ("option 42", "campus north"),
            ("option 51", "class printer"),
            ("server_name", "host"),
        ];
        assert_eq!(told, expected.map(|(what, from)| (what.to_owned(), from.to_owned())));
        let published = inherited(place.parameters, Some(&all[3].parameters), &[all[1].parameters.clone(), all[0].parameters.clone()]);
        assert_eq!((published.boot_file.as_str(), published.server_name.as_str(), published.next_server), ("north", "own", Some([10, 1, 4, 2].into())));
    }
}
