//! `holdfast boot`: what is inherited, and what a host is told; `holdfast subnet set` and `holdfast zone set`.

use super::{
    Failure,
    arguments::{Output, Wish},
    client::{Client, Question, encode},
    host::wish_query,
    organisation::change,
    print,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};

#[derive(Debug, Subcommand)]
pub(super) enum BootCommand {
    /// What a host is told at boot, and from where each value comes.
    Show {
        /// Its full name.
        name: String,
    },
    /// What every level says.
    List,
    /// Say what everything below a level is told; what is not given is inherited.
    Set {
        /// The level.
        #[arg(value_parser = ["institution", "campus", "subnet", "class"])]
        level: String,
        /// The campus, network or class; none for the institution.
        object: Option<String>,
        #[command(flatten)]
        fields: BootFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Let a level inherit everything.
    Clear {
        /// The level.
        #[arg(value_parser = ["institution", "campus", "subnet", "class"])]
        level: String,
        /// The campus, network or class; none for the institution.
        object: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
}

/// What a level says.
#[derive(Debug, Args)]
pub(super) struct BootFields {
    /// The server that boot files are fetched from.
    #[arg(long)]
    pub next_server: Option<String>,
    /// The boot file.
    #[arg(long)]
    pub boot_file: Option<String>,
    /// The domain.
    #[arg(long)]
    pub domain: Option<String>,
    /// A DNS server; may be given several times.
    #[arg(long)]
    pub dns_server: Vec<String>,
    /// How long an address may be kept, in seconds.
    #[arg(long)]
    pub lease_secs: Option<u32>,
}

/// What of a subnet is changed.
#[derive(Debug, Args)]
pub(super) struct SubnetFields {
    /// Its router.
    #[arg(long)]
    pub gateway: Option<String>,
    /// The domain its hosts are told.
    #[arg(long)]
    pub domain: Option<String>,
    /// A DNS server its hosts are told; may be given several times.
    #[arg(long)]
    pub dns_server: Vec<String>,
    /// The department that it belongs to.
    #[arg(long)]
    pub department: Option<String>,
    /// The number of its VLAN: where MAC authentication lets machines in that have an address here; 0 for none.
    #[arg(long)]
    pub vlan: Option<u16>,
    /// What becomes of machines that nobody registered.
    #[arg(long, value_parser = ["off", "report", "quarantine", "auto"])]
    pub unknown_machines: Option<String>,
    /// How long agents of other campuses wait for the one at home, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub cover_after: Option<u16>,
    /// How long an address of its dynamic pools is lent, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub pool_lease: Option<u32>,
    /// The zone of ours under which machines that have its addresses on loan get names; "none": they get none.
    #[arg(long, value_name = "ZONE")]
    pub lease_zone: Option<String>,
}

/// What of a zone is changed.
#[derive(Debug, Args)]
pub(super) struct ZoneFields {
    /// The mailbox of its SOA, as a domain name.
    #[arg(long)]
    pub mailbox: Option<String>,
    /// The department that it belongs to.
    #[arg(long)]
    pub department: Option<String>,
    /// Whether everybody is told what its hosts are (HINFO).
    #[arg(long)]
    pub publish_hinfo: Option<bool>,
    /// Whether everybody is told who keeps its hosts (RP).
    #[arg(long)]
    pub publish_rp: Option<bool>,
}

pub(super) fn run(client: &Client, output: Output, command: BootCommand) -> Result<(), Failure> {
    match command {
        BootCommand::Show { name } => show(client, output, &name),
        BootCommand::List => super::organisation::list(client, output, "/boot-defaults", &["level", "object", "parameters"]),
        BootCommand::Set { level, object, fields, wish } => {
            let body = Value::Object(body_of(fields));
            let question = Question { path: &path_of(&level, object), query: wish_query(&wish), body: Some(&body), ..Question::default() };
            print::result(output, &client.ask(Method::PUT, question)?.body, print::written)
        }
        BootCommand::Clear { level, object, wish } => {
            let question = Question { path: &path_of(&level, object), query: wish_query(&wish), ..Question::default() };
            print::result(output, &client.ask(Method::DELETE, question)?.body, print::written)
        }
    }
}

fn path_of(level: &str, object: Option<String>) -> String {
    let object = object.unwrap_or_default();
    let parts = [level].into_iter().chain(object.split('/').filter(|part| !part.is_empty()));
    format!("/boot-defaults/{}", parts.map(encode).collect::<Vec<_>>().join("/"))
}

fn body_of(fields: BootFields) -> Map<String, Value> {
    let BootFields { next_server, boot_file, domain, dns_server, lease_secs } = fields;
    let mut body = Map::new();
    let texts = [("next_server", next_server), ("boot_file", boot_file), ("domain", domain)];
    body.extend(texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?.into()))));
    body.extend((!dns_server.is_empty()).then(|| ("dns_servers".to_owned(), dns_server.into())));
    body.extend(lease_secs.map(|secs| ("lease_secs".to_owned(), secs.into())));
    body
}

fn show(client: &Client, output: Output, name: &str) -> Result<(), Failure> {
    let answer = client.get(&format!("/hosts/{}/boot", encode(name)), vec![])?;
    print::list(output, &answer.body, &["subnet", "mac", "what", "value", "from"], |body| {
        let of_place = |place: &Value| {
            let values = place["values"].as_array().cloned().unwrap_or_default();
            let row = |value: &Value| {
                let told = value["value"].as_str().unwrap_or("not told").to_owned();
                vec![print::cell(&place["subnet"]), print::cell(&place["mac"]), print::cell(&value["what"]), told, print::cell(&value["from"])]
            };
            values.iter().map(row).collect::<Vec<_>>()
        };
        print::items(body).iter().flat_map(of_place).collect()
    })
}

/// Changes a subnet; what is not given stays as it is.
pub(super) fn set_subnet(client: &Client, output: Output, network: &str, fields: SubnetFields, wish: &Wish) -> Result<(), Failure> {
    let SubnetFields { gateway, domain, dns_server, department, vlan, unknown_machines, cover_after, pool_lease, lease_zone } = fields;
    let texts = [("gateway", gateway), ("domain", domain), ("department", department), ("unknown_machines", unknown_machines)];
    let mut body: Map<String, Value> = texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?.into()))).collect();
    let times = [("cover_after_secs", cover_after.map(u32::from)), ("pool_lease_secs", pool_lease)];
    body.extend(times.into_iter().filter_map(|(field, secs)| Some((field.to_owned(), secs?.into()))));
    body.extend((!dns_server.is_empty()).then(|| ("dns_servers".to_owned(), dns_server.into())));
    body.extend(vlan.map(|vlan| ("vlan".to_owned(), if vlan == 0 { Value::Null } else { vlan.into() })));
    body.extend(lease_zone.map(|zone| ("lease_zone".to_owned(), if zone == "none" { Value::Null } else { zone.into() })));
    let path = format!("/subnets/{}", network.split('/').map(encode).collect::<Vec<_>>().join("/"));
    change(client, output, Method::PATCH, &path, Some(&Value::Object(body)), wish)
}

/// Changes a zone; what is not given stays as it is.
pub(super) fn set_zone(client: &Client, output: Output, apex: &str, fields: ZoneFields, wish: &Wish) -> Result<(), Failure> {
    let ZoneFields { mailbox, department, publish_hinfo, publish_rp } = fields;
    let mut body: Map<String, Value> =
        [("mailbox", mailbox), ("department", department)].into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?.into()))).collect();
    let flags = [("publish_hinfo", publish_hinfo), ("publish_rp", publish_rp)];
    body.extend(flags.into_iter().filter_map(|(field, flag)| Some((field.to_owned(), flag?.into()))));
    change(client, output, Method::PATCH, &format!("/zones/{}", encode(apex)), Some(&Value::Object(body)), wish)
}
