//! What differs between an object as a file wants it and as it is. Only fields that the file names count.

use super::canonical::{self, canonical};
use super::file::Kind;
use serde_json::{Map, Value, json};

/// Lists in which the order says something: the first server is asked first.
const ORDERED: [&str; 4] = ["dns_servers", "options", "contacts", "templates"];
/// Fields that only count when an object is made.
const AT_BIRTH: [&str; 1] = ["serial"];

/// One field, as it is and as it shall be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub field: String,
    pub before: Value,
    pub after: Value,
}

impl Difference {
    pub(super) fn json(&self) -> Value {
        json!({ "field": self.field, "before": self.before, "after": self.after })
    }
}

/// The fields that differ, with the value to send for each.
pub(super) fn differences(kind: Kind, wanted: &Map<String, Value>, known: &Value) -> Vec<Difference> {
    let counts = |field: &str| !kind.key_fields().contains(&field) && !AT_BIRTH.contains(&field);
    let mut found = Vec::new();
    for (field, wanted) in wanted.iter().filter(|(field, _)| counts(field)) {
        let after = if kind == Kind::Host && field == "interfaces" { interfaces(wanted, &known[field]) } else { wanted.clone() };
        if !is_same(field, &after, &known[field]) {
            found.push(Difference { field: field.clone(), before: known[field].clone(), after });
        }
    }
    found
}

/// Whether what is known is what is wanted. An object may have more fields than are named.
fn is_same(field: &str, wanted: &Value, known: &Value) -> bool {
    match (wanted, known) {
        (Value::Null, known) => is_nothing(known),
        (wanted, Value::Null) => is_nothing(wanted),
        (Value::String(wanted), Value::String(known)) => canonical(field, wanted) == canonical(field, known),
        (Value::Object(wanted), Value::Object(known)) => wanted.iter().all(|(field, value)| is_same(field, value, known.get(field).unwrap_or(&Value::Null))),
        (Value::Array(wanted), Value::Array(known)) if is_set(field, wanted) => wanted.len() == known.len() && spelled(field, wanted) == spelled(field, known),
        (Value::Array(wanted), Value::Array(known)) => {
            wanted.len() == known.len() && wanted.iter().zip(known).all(|(wanted, known)| is_same(field, wanted, known))
        }
        (wanted, known) => wanted == known,
    }
}

/// What an empty form would hold.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        _ => false,
    }
}

fn is_set(field: &str, list: &[Value]) -> bool {
    !ORDERED.contains(&field) && list.iter().all(Value::is_string)
}

fn spelled(field: &str, list: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = list.iter().filter_map(|one| Some(canonical(field, one.as_str()?))).collect();
    texts.sort();
    texts
}

/// The interfaces to send: what the file names, over what is there; a wish for a free address that was granted before is granted.
fn interfaces(wanted: &Value, known: &Value) -> Value {
    let known = known.as_array().map_or(&[][..], Vec::as_slice);
    let one = |(place, wanted): (usize, &Value)| {
        let mut merged = known.get(place).cloned().unwrap_or(json!({}));
        for (field, value) in wanted.as_object().into_iter().flatten() {
            let value = if field == "addresses" { addresses(value, &merged[field]) } else { value.clone() };
            match (merged.get_mut(field), &value) {
                (Some(Value::Object(below)), Value::Object(over)) => below.extend(over.clone()),
                _ => merged[field] = value,
            }
        }
        merged
    };
    wanted.as_array().map_or(Value::Null, |list| list.iter().enumerate().map(one).collect())
}

/// Addresses of which some are wishes: each takes an address that is there and that nobody else names.
fn addresses(wanted: &Value, known: &Value) -> Value {
    let wanted = wanted.as_array().map_or(&[][..], Vec::as_slice);
    let named = spelled("addresses", wanted);
    let mut spare: Vec<String> = known.as_array().map_or(vec![], |list| spelled("addresses", list));
    spare.retain(|address| !named.contains(address));
    let one = |wish: &Value| {
        let fits = |address: &String| wish["next"]["subnet"].as_str().is_none_or(|subnet| canonical::network_covers(subnet, address));
        match spare.iter().position(fits).filter(|_| wish.is_object()) {
            Some(place) => spare.remove(place).into(),
            None => wish.clone(),
        }
    };
    wanted.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(kind: Kind, wanted: Value, known: Value) -> Vec<String> {
        let wanted = wanted.as_object().cloned().unwrap();
        differences(kind, &wanted, &known).into_iter().map(|found| found.field).collect()
    }

    fn host() -> Value {
        json!({ "id": "x", "name": "pc1.uni.example", "location": "A 1", "comment": "", "department": null, "aliases": ["a.uni.example.", "b.uni.example."],
            "interfaces": [{ "mac": "02:00:00:00:00:01", "addresses": ["10.1.4.7", "10.1.5.9"], "templates": [".x"], "boot": { "boot_file": "b", "send_host_name": true } }] })
    }

    #[test]
    fn a_file_that_means_what_is_there_differs_in_nothing() {
        let wanted = json!({ "name": "PC1.uni.example.", "location": "A 1", "comment": null, "department": null, "aliases": ["b.uni.example", "A.uni.example"],
            "interfaces": [{ "mac": "0200.0000.0001", "addresses": ["10.1.5.9", { "next": { "subnet": "10.1.4.0/24" } }], "boot": { "boot_file": "b" } }] });
        assert_eq!(fields(Kind::Host, wanted, host()), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_named_stays_and_what_differs_is_told() {
        let wanted = json!({ "name": "pc1.uni.example", "location": "B 2", "interfaces": [{ "boot": { "boot_file": "c" } }] });
        let found = differences(Kind::Host, wanted.as_object().unwrap(), &host());
        assert_eq!(found.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["interfaces", "location"]);
        let sent = &found[0].after[0];
        assert_eq!((&sent["boot"]["boot_file"], &sent["boot"]["send_host_name"], &sent["mac"]), (&json!("c"), &json!(true), &json!("02:00:00:00:00:01")));
        assert_eq!(fields(Kind::Host, json!({ "name": "pc1.uni.example", "interfaces": [] }), host()), ["interfaces"]);
    }

    #[test]
    fn a_wish_is_granted_once() {
        let two = json!({ "interfaces": [{ "addresses": [{ "next": { "subnet": "10.1.4.0/24" } }, { "next": { "subnet": "10.1.4.0/24" } }] }] });
        let found = differences(Kind::Host, two.as_object().unwrap(), &host());
        assert_eq!(found[0].after[0]["addresses"], json!(["10.1.4.7", { "next": { "subnet": "10.1.4.0/24" } }]));
    }

    #[test]
    fn the_order_of_servers_counts_and_that_of_names_does_not() {
        let known = json!({ "network": "10.1.4.0/24", "dns_servers": ["10.1.4.2", "10.2.4.2"], "classes": ["a", "b"] });
        assert_eq!(fields(Kind::Subnet, json!({ "dns_servers": ["10.2.4.2", "10.1.4.2"], "classes": ["b", "a"] }), known), ["dns_servers"]);
        assert_eq!(fields(Kind::Zone, json!({ "serial": 7, "ttl": 60 }), json!({ "serial": null, "ttl": 60 })), Vec::<String>::new());
    }
}
