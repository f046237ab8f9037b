//! Zones: what each holds beside the names of hosts, and how transfers stand.

use super::{
    Changed, Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs, given},
    follow, page, quote,
};
use crate::{
    http::{
        App, Problem,
        api::{open_cursor, read_draft, seal_cursor},
        session::Visitor,
    },
    inventory::{
        self, CopyRow, Edit, Refusal, ZoneDraft, ZoneObject,
        records::{RecordObject, RecordQuery, WrittenRecord, record_draft, records},
        transfers,
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use holdfast_proto::words::DomainName;
use serde::Deserialize;
use serde_json::json;

/// How many records stand on a page.
const PAGE_LENGTH: u32 = 100;
/// The types that a form offers first; every other one can be typed on the command line.
const TYPES: [&str; 14] = ["A", "AAAA", "CAA", "CNAME", "DNAME", "DS", "MX", "NAPTR", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT"];

#[derive(Template)]
#[template(path = "zones.html")]
struct ZonesPage {
    frame: Frame,
    zones: Vec<(ZoneObject, Option<CopyRow>)>,
    follow: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(changed): Query<Changed>) -> Result<Response, Refused> {
    let zones = inventory::zones(&app.pool, &visitor.sight()?).await?;
    let seen: Vec<DomainName> = zones.iter().map(|zone| zone.draft.apex.clone()).collect();
    let mut copies = transfers::copies(&app.pool, &seen).await?;
    let mut copy_of = |zone: &ZoneObject| {
        let apex = zone.draft.apex.without_dot();
        copies.iter().position(|copy| copy.apex == apex).map(|at| copies.swap_remove(at))
    };
    let zones = zones.into_iter().map(|zone| (copy_of(&zone), zone)).map(|(copy, zone)| (zone, copy)).collect();
    page(ZonesPage { frame: Frame::of(&app, &visitor, "zones").await?, zones, follow: follow(&app, changed.change).await? })
}

/// How a copy stands, in words, and whether somebody should look.
fn standing(copy: &CopyRow) -> (&'static str, String) {
    match () {
        () if copy.held_serial.is_some() => ("bad", "held: a transfer would take much away".to_owned()),
        () if copy.is_expired => ("bad", "expired: no primary answered for too long".to_owned()),
        () if copy.serial.is_none() => ("", "not transferred yet".to_owned()),
        () if copy.failures > 0 => ("", format!("asked {} times without an answer", copy.failures)),
        () => ("good", "up to date".to_owned()),
    }
}

#[derive(Template)]
#[template(path = "zone.html")]
struct ZonePage {
    frame: Frame,
    zone: ZoneObject,
    copy: Option<CopyRow>,
    /// Where the same zone's addresses begin.
    path: String,
    records: Vec<RecordObject>,
    sought: String,
    next: Option<String>,
    follow: Option<String>,
}

impl ZonePage {
    /// A name as a zone file would have it: `@` for the zone itself, and without what all of them end in.
    fn relative(&self, name: &DomainName) -> String {
        let (name, apex) = (name.without_dot(), self.zone.draft.apex.without_dot());
        if name == apex { "@".to_owned() } else { name.strip_suffix(&format!(".{apex}")).unwrap_or(&name).to_owned() }
    }

    /// The query that names a record.
    fn named(&self, record: &RecordObject) -> String {
        let WrittenRecord { name, rtype, data, .. } = &record.record;
        format!("name={}&type={}&data={}", quote(&name.without_dot()), quote(rtype), quote(data))
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    name: String,
    cursor: Option<String>,
    change: Option<uuid::Uuid>,
}

pub(super) async fn show(State(app): State<App>, Person(visitor): Person, Path(apex): Path<String>, Query(asked): Query<Asked>) -> Result<Response, Refused> {
    let zone = find(&app, &visitor, &apex).await?;
    let sought = asked.name.trim().to_owned();
    let name = if sought.is_empty() { None } else { Some(within(&sought, &zone.draft.apex)?) };
    let after = asked.cursor.as_deref().map(position).transpose()?;
    let query = RecordQuery { zone: Some(zone.draft.apex.clone()), name, after, limit: PAGE_LENGTH, ..RecordQuery::default() };
    let (records, next) = records(&app.pool, &query).await?;
    page(ZonePage {
        frame: Frame::of(&app, &visitor, "zones").await?,
        copy: transfers::copies(&app.pool, std::slice::from_ref(&zone.draft.apex)).await?.pop(),
        path: path_of(&zone),
        zone,
        records,
        sought,
        next: next.map(|(name, id)| seal_cursor(&format!("{name} {id}"))),
        follow: follow(&app, asked.change).await?,
    })
}

fn path_of(zone: &ZoneObject) -> String {
    format!("/zones/{}", quote(&zone.draft.apex.without_dot()))
}

fn position(text: &str) -> Result<(String, i64), Problem> {
    let key = open_cursor(text)?;
    let parts = key.split_once(' ').and_then(|(name, id)| Some((name.to_owned(), id.parse().ok()?)));
    parts.ok_or_else(|| Problem::not_found("there is no such page of this zone"))
}

/// A name as people type it within a zone: `@` is the apex, and what does not end in the zone lies below it.
fn within(text: &str, apex: &DomainName) -> Result<DomainName, Problem> {
    let (text, zone) = (text.trim().trim_end_matches('.').to_ascii_lowercase(), apex.without_dot());
    let full = match text.as_str() {
        "@" | "" => zone,
        text if text == zone || text.ends_with(&format!(".{zone}")) => text.to_owned(),
        text => format!("{text}.{zone}"),
    };
    full.parse().map_err(|wrong| Problem::refused(vec![crate::http::FieldError::new("/name", "value", format!("\"{text}\": {wrong}"))]))
}

async fn find(app: &App, visitor: &Visitor, apex: &str) -> Result<ZoneObject, Refused> {
    let missing = || Problem::not_found(format!("there is no zone {apex}"));
    let name: DomainName = apex.parse().map_err(|_| missing())?;
    let found = inventory::zones(&app.pool, &visitor.sight()?).await?.into_iter().find(|zone| zone.draft.apex == name);
    Ok(found.ok_or_else(missing)?)
}

async fn new_ask(app: &App, visitor: &Visitor) -> Result<Ask, Refused> {
    let fields = vec![
        Field::new("apex", "Zone", "Such as lab.uni.example, or 4.1.10.in-addr.arpa", Look::Mono),
        Field::new("primary_ns", "Primary name server", "As SOA names it", Look::Mono),
        Field::new("mailbox", "Mailbox", "As SOA names it: hostmaster.uni.example for hostmaster@uni.example", Look::Mono),
        Field::new("name_servers", "Name servers", "Those that the world is told (NS), with blanks between", Look::List),
    ];
    let ask = Ask::new(app, visitor, "zones", "Add a zone").await?;
    Ok(Ask { action: "/zones/new".into(), verb: "Add it", about: "Names of ours that lie within it move into it.".into(), fields, ..ask })
}

pub(super) async fn new_form(State(app): State<App>, Person(visitor): Person) -> Result<Response, Refused> {
    page(new_ask(&app, &visitor).await?)
}

pub(super) async fn new_step(State(app): State<App>, Person(visitor): Person, Form(pairs): Form<Pairs>) -> Result<Response, Refused> {
    let ask = new_ask(&app, &visitor).await?.filled(&pairs);
    let edit = read_draft::<ZoneDraft>(ask.draft(json!({})), &["apex", "primary_ns", "mailbox"]).map(Edit::ZoneAdd);
    ask.step(&app, &visitor, &pairs, edit, None).await
}

async fn record_ask(app: &App, visitor: &Visitor, zone: &ZoneObject) -> Result<Ask, Refused> {
    let fields = vec![
        Field::new("name", "Name", "Within the zone; @ is the zone itself", Look::Mono),
        Field::new("type", "Type", "What kind of record", Look::Choice(TYPES.map(str::to_owned).to_vec())),
        Field::new("data", "Data", "As in a zone file, names in full: 10 mail.uni.example", Look::Mono),
        Field::new("ttl", "TTL", "In seconds; empty: the zone's", Look::Number),
    ];
    let ask = Ask::new(app, visitor, "zones", format!("Add a record to {}", zone.draft.apex.without_dot())).await?;
    let path = path_of(zone);
    Ok(Ask { action: format!("{path}/record"), back: path, verb: "Add it", fields, ..ask })
}

pub(super) async fn record_form(State(app): State<App>, Person(visitor): Person, Path(apex): Path<String>) -> Result<Response, Refused> {
    let zone = find(&app, &visitor, &apex).await?;
    page(record_ask(&app, &visitor, &zone).await?)
}

pub(super) async fn record_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(apex): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let zone = find(&app, &visitor, &apex).await?;
    let ask = record_ask(&app, &visitor, &zone).await?.filled(&pairs);
    let edit = within(given(&pairs, "name"), &zone.draft.apex).and_then(|name| {
        let mut draft = ask.draft(json!({}));
        draft["name"] = json!(name.without_dot());
        let written: WrittenRecord = read_draft(draft, &["name", "type", "data"])?;
        Ok(Edit::RecordAdd(record_draft(&written).map_err(Refusal::from)?))
    });
    ask.step(&app, &visitor, &pairs, edit, None).await
}

/// The record that a form or a link names.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
    #[serde(rename = "type")]
    rtype: String,
    data: String,
}

impl Named {
    fn of(pairs: &Pairs) -> Self {
        let text = |name| given(pairs, name).to_owned();
        Self { name: text("name"), rtype: text("type"), data: text("data") }
    }

    fn edit(&self) -> Result<Edit, Problem> {
        let missing = |detail: String| Problem::not_found(format!("there is no such record: {detail}"));
        let name = self.name.parse().map_err(|wrong| missing(format!("{wrong}")))?;
        let written = WrittenRecord { name, rtype: self.rtype.clone(), ttl: None, data: self.data.clone() };
        Ok(Edit::RecordDelete(record_draft(&written).map_err(|wrong| missing(wrong.detail))?))
    }
}

async fn drop_ask(app: &App, visitor: &Visitor, zone: &ZoneObject, named: &Named) -> Result<Ask, Refused> {
    let ask = Ask::new(app, visitor, "zones", "Delete a record").await?;
    let path = path_of(zone);
    let about = format!("{} {} {}", named.name, named.rtype, named.data);
    let carried = vec![("name", named.name.clone()), ("type", named.rtype.clone()), ("data", named.data.clone())];
    Ok(Ask { action: format!("{path}/drop"), back: path, verb: "Delete it", is_danger: true, about, carried, ..ask })
}

pub(super) async fn drop_form(
    State(app): State<App>,
    Person(visitor): Person,
    Path(apex): Path<String>,
    Query(named): Query<Named>,
) -> Result<Response, Refused> {
    let zone = find(&app, &visitor, &apex).await?;
    let edit = named.edit()?;
    drop_ask(&app, &visitor, &zone, &named).await?.preview(&app, &visitor, edit).await
}

pub(super) async fn drop_step(
    State(app): State<App>,
    Person(visitor): Person,
    Path(apex): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    let zone = find(&app, &visitor, &apex).await?;
    let named = Named::of(&pairs);
    let edit = named.edit();
    drop_ask(&app, &visitor, &zone, &named).await?.filled(&pairs).step(&app, &visitor, &pairs, edit, None).await
}

/// Asks the primaries of a copy now.
pub(super) async fn refresh(State(app): State<App>, Person(visitor): Person, Path(apex): Path<String>) -> Result<Response, Refused> {
    let zone = find(&app, &visitor, &apex).await?;
    transfers::refresh(&app.pool, &visitor.actor("web"), "", &zone.draft.apex, false).await?;
    Ok(Redirect::to(&path_of(&zone)).into_response())
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn names_are_typed_as_in_a_zone_file() {
        let apex = "uni.example".parse().unwrap();
        let full = |text: &str| within(text, &apex).unwrap().without_dot();
        assert_eq!([full("@"), full(""), full("www"), full("www.uni.example."), full("UNI.example")].map(|name| name.len()), [11, 11, 15, 15, 11]);
        assert_eq!(full("_sip._tcp"), "_sip._tcp.uni.example");
        assert_eq!(full("notuni.example"), "notuni.example.uni.example");
        assert!(within("a..b", &apex).is_err());
    }
}
