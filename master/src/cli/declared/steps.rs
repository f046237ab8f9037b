//! From a file and the database to a list of edits: the same file and database give the same list, in the same order.

use super::super::{
    Failure,
    client::{Client, encode},
    print,
};
use super::difference::{Difference, differences};
use super::file::{File, Kind};
use http::Method;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many objects a page has.
const PAGE_LENGTH: usize = 1000;

/// One edit.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub kind: Kind,
    /// What people call the object.
    pub object: String,
    pub method: Method,
    path: String,
    body: Value,
    if_match: Option<String>,
    pub differences: Vec<Difference>,
}

impl Step {
    /// The edit as a change set takes it.
    pub(super) fn request(&self) -> Value {
        let mut request = json!({ "method": self.method.as_str(), "path": self.path });
        if !self.body.is_null() {
            request["body"] = self.body.clone();
        }
        if let Some(etag) = &self.if_match {
            request["if_match"] = etag.as_str().into();
        }
        request
    }

    /// `+ host www.uni.example`, and its fields.
    pub(super) fn text(&self) -> String {
        let sign = match self.method {
            Method::POST => '+',
            Method::DELETE => '-',
            _ => '~',
        };
        let shown = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        let field = |one: &Difference| match self.method {
            Method::POST => format!("    {}: {}\n", one.field, shown(&one.after)),
            _ => format!("    {}: {} -> {}\n", one.field, shown(&one.before), shown(&one.after)),
        };
        format!("{sign} {} {}\n", self.kind.word(), self.object) + &self.differences.iter().map(field).collect::<String>()
    }

    pub(super) fn json(&self) -> Value {
        let what = match self.method {
            Method::POST => "add",
            Method::DELETE => "delete",
            _ => "change",
        };
        let fields: Vec<Value> = self.differences.iter().map(Difference::json).collect();
        json!({ "what": what, "kind": self.kind.word(), "object": self.object, "fields": fields })
    }
}

/// What a file and the database make of each other.
pub(super) struct Found {
    /// What is to be done, in order.
    pub steps: Vec<Step>,
    /// What the file answers for and does not name, where that may not go: `host pc9.uni.example`.
    pub left: Vec<String>,
}

/// What has to be done so that the database is as the file says. With `prune`, what the file answers for and does not name goes.
pub(super) fn steps(client: &Client, mut file: File, prune: bool) -> Result<Found, Failure> {
    let mut lists = Lists { client, known: BTreeMap::new() };
    lists.spell_records(&mut file)?;
    let mut made = Vec::new();
    for ((kind, key), wanted) in &file.objects {
        made.extend(lists.step(*kind, key, wanted)?);
    }
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    for kind in Kind::ALL.into_iter().rev().filter(|kind| file.owns_any(*kind)) {
        for (key, object) in lists.all(kind)?.clone() {
            let is_named = file.objects.contains_key(&(kind, key.clone()));
            // An alias of a host goes with its host; a campus has no end.
            if is_named || !file.owns(kind, &object) || !object["host"].is_null() || kind == Kind::Campus {
                continue;
            }
            match prune {
                true => gone.push(lists.deletion(kind, key, &object)?),
                false => left.push(format!("{} {key}", kind.word())),
            }
        }
    }
    // What frees names and addresses comes first; what others stand on goes last.
    let (mut steps, after): (Vec<Step>, Vec<Step>) = gone.into_iter().partition(|step| step.kind >= Kind::Pool);
    steps.extend(made);
    steps.extend(after);
    Ok(Found { steps, left })
}

/// Lists of the API, each fetched once and only where it is needed.
struct Lists<'a> {
    client: &'a Client,
    known: BTreeMap<Kind, BTreeMap<String, Value>>,
}

impl Lists<'_> {
    fn all(&mut self, kind: Kind) -> Result<&BTreeMap<String, Value>, Failure> {
        if !self.known.contains_key(&kind) {
            let items = fetch(self.client, kind)?;
            self.known.insert(kind, items.into_iter().filter_map(|item| Some((kind.key(&item)?, item))).collect());
        }
        Ok(&self.known[&kind])
    }

    /// The object as it is, and its ETag. Hosts are asked for one by one: there are few in a file and many in the database.
    fn find(&mut self, kind: Kind, key: &str) -> Result<Option<(Value, Option<String>)>, Failure> {
        if kind != Kind::Host {
            let Some(found) = self.all(kind)?.get(key).cloned() else { return Ok(None) };
            if matches!(kind, Kind::Pool | Kind::Record | Kind::Campus) {
                return Ok(Some((found, None)));
            }
        }
        match self.client.get(&path(kind, key, &Value::Null), vec![]) {
            Ok(answer) => Ok(Some((answer.body, answer.etag))),
            Err(Failure::Refused(problem)) if problem["status"] == 404 => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Data can be written in more ways than are told apart here. Of a record that is there the master knows the usual one.
    fn spell_records(&mut self, file: &mut File) -> Result<(), Failure> {
        let named: Vec<String> = file.objects.keys().filter(|(kind, _)| *kind == Kind::Record).map(|(_, key)| key.clone()).collect();
        for key in named {
            if self.all(Kind::Record)?.contains_key(&key) {
                continue;
            }
            let Some(wanted) = file.objects.get(&(Kind::Record, key.clone())) else { continue };
            let query = ["name", "type", "data"].map(|field| (field, print::cell(&wanted[field]))).to_vec();
            // What cannot be read here is told with its place when it is tried.
            let usual = self.client.get("/records", query).ok().and_then(|answer| print::items(&answer.body).first().cloned());
            if let Some((usual, wanted)) = usual.and_then(|usual| Some((Kind::Record.key(&usual)?, file.objects.remove(&(Kind::Record, key))?))) {
                file.objects.insert((Kind::Record, usual), wanted);
            }
        }
        Ok(())
    }

    fn step(&mut self, kind: Kind, key: &str, wanted: &Map<String, Value>) -> Result<Vec<Step>, Failure> {
        let Some((known, etag)) = self.find(kind, key)? else { return Ok(vec![addition(kind, key, wanted)]) };
        let found = differences(kind, wanted, &known);
        if found.is_empty() {
            return Ok(vec![]);
        }
        if matches!(kind, Kind::Pool | Kind::Record) {
            // They are changed by making them anew: what the file leaves open stays as it is.
            let mut whole = known.as_object().cloned().unwrap_or_default();
            whole.retain(|field, value| !value.is_null() && matches!(field.as_str(), "name" | "first" | "last" | "kind" | "reason" | "type" | "ttl" | "data"));
            whole.extend(wanted.clone());
            let mut anew = addition(kind, key, &whole);
            anew.differences = found;
            return Ok(vec![self.deletion(kind, key.to_owned(), &known)?, anew]);
        }
        let body: Map<String, Value> = found.iter().map(|one| (one.field.clone(), one.after.clone())).collect();
        let path = path(kind, key, &known);
        Ok(vec![Step { kind, object: key.to_owned(), method: Method::PATCH, path, body: body.into(), if_match: etag, differences: found }])
    }

    fn deletion(&mut self, kind: Kind, key: String, object: &Value) -> Result<Step, Failure> {
        let if_match = self.find(kind, &key)?.and_then(|(_, etag)| etag);
        let path = path(kind, &key, object);
        Ok(Step { kind, object: key, method: Method::DELETE, path, body: Value::Null, if_match, differences: vec![] })
    }
}

fn addition(kind: Kind, key: &str, wanted: &Map<String, Value>) -> Step {
    let named = wanted.iter().filter(|(field, _)| !kind.key_fields().contains(&field.as_str()));
    let differences = named.map(|(field, value)| Difference { field: field.clone(), before: Value::Null, after: value.clone() }).collect();
    let (path, body) = (format!("/{}", kind.section()), Value::Object(wanted.clone()));
    Step { kind, object: key.to_owned(), method: Method::POST, path, body, if_match: None, differences }
}

fn path(kind: Kind, key: &str, object: &Value) -> String {
    let parts: Vec<String> = match kind {
        Kind::Subnet => key.split('/').map(encode).collect(),
        Kind::Record => ["name", "type", "data"].iter().map(|field| encode(object[*field].as_str().unwrap_or_default())).collect(),
        _ => vec![encode(key)],
    };
    format!("/{}/{}", kind.section(), parts.join("/"))
}

fn fetch(client: &Client, kind: Kind) -> Result<Vec<Value>, Failure> {
    let (mut found, mut cursor): (Vec<Value>, Option<String>) = (vec![], None);
    let limit = matches!(kind, Kind::Host | Kind::Record).then(|| ("limit", PAGE_LENGTH.to_string()));
    loop {
        let query = limit.clone().into_iter().chain(cursor.take().map(|cursor| ("cursor", cursor))).collect();
        let page = client.get(&format!("/{}", kind.section()), query)?.body;
        found.extend_from_slice(print::items(&page));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
pub(super) fn for_test(name: &str) -> Step {
    addition(Kind::Host, name, json!({ "name": name, "location": "A 1" }).as_object().expect("it is one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_and_asked_for() {
        let step = for_test("pc1.uni.example");
        assert_eq!(step.text(), "+ host pc1.uni.example\n    location: \"A 1\"\n");
        assert_eq!(step.request(), json!({ "method": "POST", "path": "/hosts", "body": { "name": "pc1.uni.example", "location": "A 1" } }));
        let record = json!({ "name": "uni.example.", "type": "MX", "data": "10 mail/x" });
        assert_eq!(path(Kind::Record, "", &record), "/records/uni.example./MX/10%20mail%2Fx");
        assert_eq!(path(Kind::Subnet, "10.1.4.0/22", &Value::Null), "/subnets/10.1.4.0/22");
    }
}
