//! `holdfast department`, `contact`, `external`, `class`, `mailbox`: the organisation, and whom to call.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    print,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

/// What can be done with objects that are found by a short word.
#[derive(Debug, Subcommand)]
pub(super) enum DepartmentCommand {
    /// List departments.
    List,
    /// Add a department.
    Add {
        /// Its name, a short word.
        name: String,
        /// Its full name.
        #[arg(long)]
        title: Option<String>,
        /// Where its machines come in by MAC authentication that have no address in a subnet with a VLAN there.
        #[arg(long)]
        vlan: Option<u16>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Change a department; what is not given stays as it is.
    Set {
        /// Its name.
        name: String,
        /// Its full name.
        #[arg(long)]
        title: Option<String>,
        /// Where its machines come in by MAC authentication that have no address in a subnet with a VLAN there; 0 for none.
        #[arg(long)]
        vlan: Option<u16>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a department that has nothing any more.
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ContactCommand {
    /// List contacts.
    List,
    /// Add a contact.
    Add {
        /// Its handle, a short word.
        handle: String,
        #[command(flatten)]
        fields: ContactFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Change a contact; what is not given stays as it is.
    Set {
        /// Its handle.
        handle: String,
        #[command(flatten)]
        fields: ContactFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a contact who is responsible for nothing.
    Del {
        /// Its handle.
        handle: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Say that all that is known of a contact was found right today.
    Verify {
        /// Its handle.
        handle: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Make a contact responsible for something.
    Assign {
        /// Its handle.
        handle: String,
        #[command(flatten)]
        responsibility: Responsibility,
        #[command(flatten)]
        wish: Wish,
    },
    /// End a responsibility.
    Release {
        /// Its handle.
        handle: String,
        #[command(flatten)]
        responsibility: Responsibility,
        #[command(flatten)]
        wish: Wish,
    },
    /// Whom to call about an address, a name, a subnet, a zone, a campus or an organisation, in order.
    Escalation {
        /// Such as 10.1.4.17.
        object: String,
    },
    /// Print all contacts as objects of a routing registry (RFC 2622).
    Export,
}

/// The fields of a contact.
#[derive(Debug, Args)]
pub(super) struct ContactFields {
    /// What it is.
    #[arg(long, value_parser = ["person", "group", "external"])]
    pub kind: Option<String>,
    /// The name of the person or group.
    #[arg(long)]
    pub name: Option<String>,
    /// A mail address.
    #[arg(long)]
    pub mail: Option<String>,
    /// A telephone number.
    #[arg(long)]
    pub phone: Option<String>,
    /// The organisation outside that it belongs to.
    #[arg(long)]
    pub organisation: Option<String>,
    /// Anything else.
    #[arg(long)]
    pub note: Option<String>,
}

/// For what somebody is responsible, and in which way.
#[derive(Debug, Args)]
pub(super) struct Responsibility {
    /// What the object is.
    #[arg(long, value_parser = ["host", "subnet", "zone", "department", "campus", "institution", "node", "external"])]
    pub kind: String,
    /// The object; none for the institution.
    #[arg(long, default_value = "")]
    pub object: String,
    /// In which way.
    #[arg(long, value_parser = ["owner", "technical", "administrative", "escalation", "abuse", "security"])]
    pub role: String,
    /// Who is asked first within a role.
    #[arg(long, default_value = "1")]
    pub rank: i32,
}

#[derive(Debug, Subcommand)]
pub(super) enum ExternalCommand {
    /// List organisations outside, with their contacts.
    List,
    /// Add one.
    Add {
        /// Its name, a short word.
        name: String,
        /// What it is to us.
        #[arg(long, value_parser = ["upstream", "partner", "supplier", "authority"])]
        relation: String,
        /// Its full name.
        #[arg(long)]
        title: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete one that has no contacts.
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ClassCommand {
    /// List device classes.
    List,
    /// Add a device class.
    Add {
        /// Its name, a short word: printer.
        name: String,
        /// How its machines get their addresses.
        #[arg(long, default_value = "either", value_parser = ["static", "pool", "either"])]
        addressing: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a device class that no host is of.
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum MailboxCommand {
    /// List the mailboxes that somebody reads.
    List,
    /// Say who reads a mailbox.
    Set {
        /// Such as postmaster@uni.example.
        address: String,
        /// The handle of the contact who reads it.
        #[arg(long)]
        contact: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Nobody reads it any more.
    Del {
        /// Such as postmaster@uni.example.
        address: String,
        #[command(flatten)]
        wish: Wish,
    },
}

pub(super) fn department(client: &Client, output: Output, command: DepartmentCommand) -> Result<(), Failure> {
    match command {
        DepartmentCommand::List => list(client, output, "/departments", &["name", "title", "vlan"]),
        DepartmentCommand::Add { name, title, vlan, wish } => {
            add(client, output, "/departments", &json!({ "name": name, "title": title.unwrap_or_default(), "vlan": vlan }), &wish)
        }
        DepartmentCommand::Set { name, title, vlan, wish } => {
            let mut body = Map::new();
            body.extend(title.map(|title| ("title".to_owned(), title.into())));
            body.extend(vlan.map(|vlan| ("vlan".to_owned(), if vlan == 0 { Value::Null } else { vlan.into() })));
            change(client, output, Method::PATCH, &format!("/departments/{}", encode(&name)), Some(&body.into()), &wish)
        }
        DepartmentCommand::Del { name, wish } => delete(client, output, &format!("/departments/{}", encode(&name)), &wish),
    }
}

pub(super) fn class(client: &Client, output: Output, command: ClassCommand) -> Result<(), Failure> {
    match command {
        ClassCommand::List => list(client, output, "/device-classes", &["name", "addressing", "title"]),
        ClassCommand::Add { name, addressing, wish } => add(client, output, "/device-classes", &json!({ "name": name, "addressing": addressing }), &wish),
        ClassCommand::Del { name, wish } => delete(client, output, &format!("/device-classes/{}", encode(&name)), &wish),
    }
}

pub(super) fn contact(client: &Client, output: Output, command: ContactCommand) -> Result<(), Failure> {
    let path = |handle: &str| format!("/contacts/{}", encode(handle));
    match command {
        ContactCommand::List => list(client, output, "/contacts", &["handle", "kind", "name", "mail", "phone", "organisation", "verified_on"]),
        ContactCommand::Add { handle, fields, wish } => {
            let mut body = body_of(&fields);
            body.insert("handle".into(), handle.clone().into());
            body.entry("kind").or_insert("person".into());
            body.entry("name").or_insert(handle.into());
            add(client, output, "/contacts", &Value::Object(body), &wish)
        }
        ContactCommand::Set { handle, fields, wish } => {
            let body = Value::Object(body_of(&fields));
            change(client, output, Method::PATCH, &path(&handle), Some(&body), &wish)
        }
        ContactCommand::Del { handle, wish } => delete(client, output, &path(&handle), &wish),
        ContactCommand::Verify { handle, wish } => add(client, output, &format!("{}/verify", path(&handle)), &json!({}), &wish),
        ContactCommand::Assign { handle, responsibility, wish } => {
            add(client, output, "/responsibilities", &responsibility_body(handle, responsibility), &wish)
        }
        ContactCommand::Release { handle, responsibility, wish } => {
            add(client, output, "/responsibilities/end", &responsibility_body(handle, responsibility), &wish)
        }
        ContactCommand::Escalation { object } => escalation(client, output, &object),
        ContactCommand::Export => export(client),
    }
}

fn responsibility_body(handle: String, wanted: Responsibility) -> Value {
    json!({ "kind": wanted.kind, "object": wanted.object, "contact": handle, "role": wanted.role, "rank": wanted.rank })
}

fn body_of(fields: &ContactFields) -> Map<String, Value> {
    let ContactFields { kind, name, mail, phone, organisation, note } = fields;
    let given = [("kind", kind), ("name", name), ("mail", mail), ("phone", phone), ("organisation", organisation), ("note", note)];
    given.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text.clone()?.into()))).collect()
}

fn escalation(client: &Client, output: Output, object: &str) -> Result<(), Failure> {
    let path = object.split('/').map(encode).collect::<Vec<_>>().join("/");
    let answer = client.get(&format!("/escalation/{path}"), vec![])?;
    print::columns(output, &answer.body, &["level", "object", "role", "contact", "name", "phone", "mail"])
}

/// A person is a `person:`, everybody else a `role:`; the handle is the `nic-hdl`.
fn export(client: &Client) -> Result<(), Failure> {
    let body = client.get("/contacts", vec![])?.body;
    let object = |contact: &Value| {
        let class = if contact["kind"] == "person" { "person" } else { "role" };
        let lines = [
            (class, &contact["name"]),
            ("e-mail", &contact["mail"]),
            ("phone", &contact["phone"]),
            ("org", &contact["organisation"]),
            ("nic-hdl", &contact["handle"]),
            ("remarks", &contact["note"]),
            ("remarks", &contact["verified_on"]),
        ];
        let told = lines.into_iter().map(|(name, value)| (name, print::cell(value).replace('\n', " "))).filter(|(_, text)| !text.is_empty());
        told.map(|(name, text)| format!("{:<10} {text}\n", format!("{name}:"))).collect::<String>()
    };
    print::out(print::items(&body).iter().map(object).collect::<Vec<_>>().join("\n").as_bytes())
}

pub(super) fn external(client: &Client, output: Output, command: ExternalCommand) -> Result<(), Failure> {
    match command {
        ExternalCommand::List => externals(client, output),
        ExternalCommand::Add { name, relation, title, wish } => {
            add(client, output, "/externals", &json!({ "name": name, "relation": relation, "title": title.unwrap_or_default() }), &wish)
        }
        ExternalCommand::Del { name, wish } => delete(client, output, &format!("/externals/{}", encode(&name)), &wish),
    }
}

/// The organisations, each with its contacts.
fn externals(client: &Client, output: Output) -> Result<(), Failure> {
    let mut body = client.get("/externals", vec![])?.body;
    let contacts = client.get("/contacts", vec![])?.body;
    for organisation in body["items"].as_array_mut().into_iter().flatten() {
        let of_it = print::items(&contacts).iter().filter(|contact| contact["organisation"] == organisation["name"]);
        organisation["contacts"] = of_it.cloned().collect();
    }
    print::list(output, &body, &["name", "relation", "title", "contacts"], |body| {
        let people = |item: &Value| {
            let of_it = item["contacts"].as_array().map_or(&[][..], Vec::as_slice);
            of_it.iter().map(|one| format!("{} {} {}", print::cell(&one["name"]), print::cell(&one["mail"]), print::cell(&one["phone"]))).collect::<Vec<_>>()
        };
        let row = |item: &Value| vec![print::cell(&item["name"]), print::cell(&item["relation"]), print::cell(&item["title"]), people(item).join(", ")];
        print::items(body).iter().map(row).collect()
    })
}

pub(super) fn mailbox(client: &Client, output: Output, command: MailboxCommand) -> Result<(), Failure> {
    let split = |address: &str| {
        let parts = address.split_once('@').map(|(mailbox, domain)| (mailbox.to_lowercase(), domain.to_lowercase()));
        parts.ok_or_else(|| Failure::Usage(format!("\"{address}\" is no mail address such as postmaster@uni.example")))
    };
    match command {
        MailboxCommand::List => list(client, output, "/mailboxes", &["domain", "mailbox", "contact"]),
        MailboxCommand::Set { address, contact, wish } => {
            let (mailbox, domain) = split(&address)?;
            add(client, output, "/mailboxes", &json!({ "domain": domain, "mailbox": mailbox, "contact": contact }), &wish)
        }
        MailboxCommand::Del { address, wish } => {
            let (mailbox, domain) = split(&address)?;
            let path = format!("/mailboxes/{}/{}", encode(&domain), encode(&mailbox));
            let question = Question { path: &path, query: wish_query(&wish), ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
    }
}

/// A list as a table of these columns.
pub(super) fn list(client: &Client, output: Output, path: &str, columns: &[&str]) -> Result<(), Failure> {
    let answer = client.get(path, vec![])?;
    print::columns(output, &answer.body, columns)
}

/// A POST that changes something.
pub(super) fn add(client: &Client, output: Output, path: &str, body: &Value, wish: &Wish) -> Result<(), Failure> {
    let answer = client.ask(Method::POST, Question { path, query: wish_query(wish), body: Some(body), ..Question::default() })?;
    print::result(output, &answer.body, print::written)
}

fn delete(client: &Client, output: Output, path: &str, wish: &Wish) -> Result<(), Failure> {
    change(client, output, Method::DELETE, path, None, wish)
}

/// Changes what is there, in the version that is read first.
pub(super) fn change(client: &Client, output: Output, method: Method, path: &str, body: Option<&Value>, wish: &Wish) -> Result<(), Failure> {
    let known = client.get(path, vec![])?;
    let question = Question { path, query: wish_query(wish), if_match: known.etag.as_deref(), body };
    print::result(output, &client.ask(method, question)?.body, print::written)
}
