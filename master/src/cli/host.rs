//! `holdfast host`: add, show, list, set, del.

use super::{
    Failure,
    arguments::{HostCommand, HostFields, Output, Wish},
    client::{Client, Question, encode},
    print,
};
use http::Method;
use serde_json::{Map, Value, json};

/// How many hosts a request asks for.
const PAGE_LENGTH: usize = 500;

pub(super) fn run(client: &Client, output: Output, command: HostCommand) -> Result<(), Failure> {
    match command {
        HostCommand::Add { name, next, fields, wish } => add(client, output, name, next.as_deref(), &fields, &wish),
        HostCommand::Move { to, wish } => super::moves::move_host(client, output, &to, &wish),
        HostCommand::Show { name, at } => show(client, output, &name, at),
        HostCommand::List { search, limit } => list(client, output, search, limit),
        HostCommand::Set { name, rename, fields, wish } => set(client, output, &name, rename, &fields, &wish),
        HostCommand::Del { name, wish } => delete(client, output, &name, &wish),
    }
}

fn add(client: &Client, output: Output, name: String, next: Option<&str>, fields: &HostFields, wish: &Wish) -> Result<(), Failure> {
    let mut body = top_fields(fields)?;
    body.insert("name".into(), name.into());
    let mut interface = interface(fields, Value::Null);
    if let Some(subnet) = next {
        let mut addresses = interface["addresses"].as_array().cloned().unwrap_or_default();
        addresses.push(json!({ "next": { "subnet": subnet } }));
        interface["addresses"] = addresses.into();
    }
    if !interface.is_null() {
        body.insert("interfaces".into(), json!([interface]));
    }
    let body = Value::Object(body);
    let answer = client.ask(Method::POST, Question { path: "/hosts", query: wish_query(wish), body: Some(&body), ..Question::default() })?;
    print::result(output, &answer.body, |body| print::written(body) + &given(&body["object"]))
}

/// The names and addresses of what was made, one host or several.
pub(super) fn given(made: &Value) -> String {
    let hosts = made.as_array().map_or(std::slice::from_ref(made), Vec::as_slice).iter().filter(|host| host.is_object());
    let addresses = |host: &Value| interfaces(host).iter().map(|part| print::cell(&part["addresses"])).collect::<Vec<_>>().join(" ");
    hosts.map(|host| format!("{} {}", print::cell(&host["name"]), addresses(host)).trim_end().to_owned() + "\n").collect()
}

fn show(client: &Client, output: Output, name: &str, at: Option<String>) -> Result<(), Failure> {
    let answer = client.get(&path_of(name), at.map(|at| ("at", at)).into_iter().collect())?;
    print::result(output, &answer.body, |host| {
        let mut rows = vec![vec!["name".to_owned(), print::cell(&host["name"])]];
        for part in interfaces(host) {
            rows.push(vec!["address".into(), print::cell(&part["addresses"])]);
            rows.push(vec!["mac".into(), print::cell(&part["mac"])]);
            rows.push(vec!["next-server".into(), print::cell(&part["boot"]["next_server"])]);
            rows.push(vec!["boot-file".into(), print::cell(&part["boot"]["boot_file"])]);
        }
        let others = [("other-name", "names"), ("alias", "aliases"), ("location", "location"), ("contact", "contact"), ("hardware", "hardware"), ("os", "os")];
        rows.extend(thing(host));
        let more = [("comment", "comment"), ("changed", "updated_at")];
        rows.extend(others.iter().chain(&more).map(|(label, field)| vec![(*label).to_owned(), print::cell(&host[*field])]));
        rows.retain(|row| !row[1].is_empty());
        print::table(&["field", "value"], &rows)
    })
}

/// Whose it is, who answers for it, and what it is as a thing.
fn thing(host: &Value) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["department".to_owned(), print::cell(&host["department"])]];
    let contacts = host["contacts"].as_array().into_iter().flatten();
    rows.extend(contacts.map(|one| vec![format!("{} contact", print::cell(&one["role"])), print::cell(&one["contact"])]));
    let fields = ["class", "building", "room", "outlet", "rack", "rack_position", "switch_port", "asset_tag"];
    rows.extend(fields.iter().map(|field| vec![field.replace('_', "-"), print::cell(&host["equipment"][*field])]));
    rows
}

fn list(client: &Client, output: Output, search: Option<String>, limit: Option<usize>) -> Result<(), Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    while found.len() < limit {
        let mut query = vec![("limit", (limit - found.len()).min(PAGE_LENGTH).to_string())];
        query.extend(search.iter().map(|text| ("search", text.clone())));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = client.get("/hosts", query)?.body;
        found.extend_from_slice(print::items(&page));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    print::list(output, &json!({ "items": found, "next": cursor }), &["name", "addresses", "mac", "location"], |body| {
        let all = |host: &Value, field: &str| interfaces(host).iter().map(|part| print::cell(&part[field])).collect::<Vec<_>>().join(" ");
        let row = |host: &Value| vec![print::cell(&host["name"]), all(host, "addresses"), all(host, "mac"), print::cell(&host["location"])];
        print::items(body).iter().map(row).collect()
    })
}

fn set(client: &Client, output: Output, name: &str, rename: Option<String>, fields: &HostFields, wish: &Wish) -> Result<(), Failure> {
    let path = path_of(name);
    let host = client.get(&path, vec![])?;
    let mut body = top_fields(fields)?;
    body.extend(rename.map(|name| ("name".to_owned(), Value::from(name))));
    let mut parts = interfaces(&host.body).to_vec();
    let first = interface(fields, parts.first().cloned().unwrap_or(Value::Null));
    if !first.is_null() && parts.first() != Some(&first) {
        parts.splice(..parts.len().min(1), [first]);
        body.insert("interfaces".into(), parts.into());
    }
    if body.is_empty() {
        return Err(Failure::Usage("nothing to change is given".into()));
    }
    let body = Value::Object(body);
    let question = Question { path: &path, query: wish_query(wish), if_match: host.etag.as_deref(), body: Some(&body) };
    print::result(output, &client.ask(Method::PATCH, question)?.body, print::written)
}

fn delete(client: &Client, output: Output, name: &str, wish: &Wish) -> Result<(), Failure> {
    let path = path_of(name);
    let host = client.get(&path, vec![])?;
    let question = Question { path: &path, query: wish_query(wish), if_match: host.etag.as_deref(), body: None };
    print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
}

fn path_of(name: &str) -> String {
    format!("/hosts/{}", encode(name))
}

fn interfaces(host: &Value) -> &[Value] {
    host["interfaces"].as_array().map_or(&[], Vec::as_slice)
}

fn top_fields(fields: &HostFields) -> Result<Map<String, Value>, Failure> {
    let texts =
        [("location", &fields.location), ("contact", &fields.contact), ("hardware", &fields.hardware), ("os", &fields.os), ("comment", &fields.comment)];
    let mut body: Map<String, Value> = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into()))).collect();
    if !fields.alias.is_empty() {
        body.insert("aliases".into(), fields.alias.clone().into());
    }
    if !fields.names.is_empty() {
        body.insert("names".into(), fields.names.clone().into());
    }
    if !fields.pointer.is_empty() {
        body.insert("pointers".into(), pointers(&fields.pointer)?);
    }
    body.extend(fields.particulars.body()?);
    Ok(body)
}

/// Names by the address that points back to them.
fn pointers(given: &[String]) -> Result<Value, Failure> {
    let mut pointers: Vec<(&str, Vec<&str>)> = Vec::new();
    for text in given {
        let wrong = || Failure::Usage(format!("\"{text}\" is not address=name such as 10.1.4.7=www.uni.example"));
        let (address, name) = text.split_once('=').ok_or_else(wrong)?;
        match pointers.iter_mut().find(|(known, _)| *known == address) {
            Some((_, names)) => names.push(name),
            None => pointers.push((address, vec![name])),
        }
    }
    Ok(pointers.into_iter().map(|(address, names)| json!({ "address": address, "names": names })).collect())
}

/// The interface with what is given written over it; unchanged where nothing is.
fn interface(fields: &HostFields, mut part: Value) -> Value {
    if let Some(mac) = &fields.mac {
        part["mac"] = mac.clone().into();
    }
    if !fields.address.is_empty() {
        part["addresses"] = fields.address.clone().into();
    }
    if let Some(file) = &fields.boot_file {
        part["boot"]["boot_file"] = file.clone().into();
    }
    if let Some(server) = &fields.next_server {
        part["boot"]["next_server"] = server.clone().into();
    }
    part
}

/// The query of a write.
pub(super) fn wish_query(wish: &Wish) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    if wish.dry_run {
        query.push(("dry_run", "true".to_owned()));
    }
    if let Some(time) = &wish.wait {
        query.extend([("wait", "all".to_owned()), ("timeout", time.clone())]);
    }
    query.extend(wish.reason.iter().map(|reason| ("reason", reason.clone())));
    query
}
