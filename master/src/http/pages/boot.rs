//! What levels say about booting: each over the one before, and a host's own entry over them all.

use super::{
    Changed, Frame, Person, Refused,
    ask::{Ask, Field, Look, Pairs},
    follow, page,
};
use crate::{
    http::{App, FieldError, Problem, api::read_draft, session::Visitor},
    inventory::{
        self, Edit, OptionDraft,
        boot::{BootDefaults, BootEdit, DefaultsRow, Level, all_defaults},
        organisation::all_classes,
    },
};
use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use serde_json::{Value, json};

#[derive(Template)]
#[template(path = "boot.html")]
struct BootPage {
    frame: Frame,
    /// Every level that could say something, and what it says.
    levels: Vec<(Place, Option<BootDefaults>)>,
    follow: Option<String>,
}

/// A level and its object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    level: Level,
    object: String,
}

impl Place {
    fn of(level: &str, object: &str) -> Result<Self, Problem> {
        let missing = |_| Problem::not_found(format!("\"{level}\" is no level: institution, campus, subnet or class"));
        Ok(Self { level: serde_json::from_value(level.into()).map_err(missing)?, object: object.to_owned() })
    }

    fn word(&self) -> &'static str {
        match self.level {
            Level::Institution => "institution",
            Level::Campus => "campus",
            Level::Subnet => "subnet",
            Level::Class => "class",
        }
    }

    fn path(&self) -> String {
        match self.object.as_str() {
            "" => format!("/boot/{}", self.word()),
            object => format!("/boot/{}/{object}", self.word()),
        }
    }

    fn title(&self) -> String {
        match self.level {
            Level::Institution => "everything".to_owned(),
            Level::Class => format!("device class {}", self.object),
            _ => format!("{} {}", self.word(), self.object),
        }
    }
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(changed): Query<Changed>) -> Result<Response, Refused> {
    visitor.sight()?;
    let rows = all_defaults(&app.pool).await?;
    let mut places = vec![Place { level: Level::Institution, object: String::new() }];
    places.extend(inventory::campuses(&app.pool).await?.into_iter().map(|campus| Place { level: Level::Campus, object: campus.name }));
    let subnets = rows.iter().filter(|row| row.level == Level::Subnet);
    places.extend(subnets.map(|row| Place { level: Level::Subnet, object: row.object.clone() }));
    places.extend(all_classes(&app.pool).await?.into_iter().map(|kept| Place { level: Level::Class, object: kept.draft.name }));
    let levels = places.into_iter().map(|place| (place.clone(), said(&rows, &place))).collect();
    page(BootPage { frame: Frame::of(&app, &visitor, "boot").await?, levels, follow: follow(&app, changed.change).await? })
}

fn said(rows: &[DefaultsRow], place: &Place) -> Option<BootDefaults> {
    rows.iter().find(|row| row.level == place.level && row.object == place.object).map(|row| row.parameters.clone())
}

/// What a level says, a word and a value each.
fn sentences(said: &BootDefaults) -> Vec<(String, String)> {
    let BootDefaults { next_server, server_name, boot_file, domain, dns_servers, lease_secs, options } = said;
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, value: String| {
        if !value.is_empty() {
            all.push((what.to_owned(), value));
        }
    };
    add("boot server", next_server.map(|server| server.to_string()).unwrap_or_default());
    add("its name", server_name.clone());
    add("boot file", boot_file.clone());
    add("domain", domain.as_ref().map(|domain| domain.without_dot()).unwrap_or_default());
    add("DNS servers", addresses(dns_servers));
    add("lease", lease_secs.map(|secs| format!("{secs} s")).unwrap_or_default());
    options.iter().for_each(|option| add(&format!("option {}", option.code), option.value.as_ref().map_or_else(|| "taken away".to_owned(), hex::encode)));
    all
}

fn addresses(all: &[std::net::Ipv4Addr]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

async fn ask(app: &App, visitor: &Visitor, place: &Place) -> Result<(Ask, Option<BootDefaults>), Refused> {
    visitor.sight()?;
    let held = said(&all_defaults(&app.pool).await?, place);
    let now = held.clone().unwrap_or_default();
    let text = |value: Option<String>| value.unwrap_or_default();
    let fields = vec![
        Field::new("next_server", "Boot server", "From where the boot file is fetched (siaddr)", Look::Mono)
            .with(text(now.next_server.map(|server| server.to_string()))),
        Field::new("server_name", "Its name", "At most 63 bytes (sname)", Look::Text).with(now.server_name),
        Field::new("boot_file", "Boot file", "At most 127 bytes", Look::Text).with(now.boot_file),
        Field::new("domain", "Domain", "Option 15", Look::Mono).with(text(now.domain.map(|domain| domain.without_dot()))),
        Field::new("dns_servers", "DNS servers", "Option 6; with blanks between", Look::List).with(addresses(&now.dns_servers)),
        Field::new("lease_secs", "Lease", "In seconds (option 51)", Look::Number).with(text(now.lease_secs.map(|secs| secs.to_string()))),
        Field::new(
            "options",
            "Further options",
            "One a line: its code, and its value in hexadecimal digits; without a value the inherited one is taken away",
            Look::Lines,
        )
        .with(now.options.iter().map(line).collect::<Vec<_>>().join("\n")),
    ];
    let ask = Ask::new(app, visitor, "boot", format!("What {} is told at boot", place.title())).await?;
    let about = "What is empty is inherited. The preview says which hosts it touches.".into();
    Ok((Ask { action: place.path(), about, fields, ..ask }, held))
}

fn line(option: &OptionDraft) -> String {
    option.value.as_ref().map_or_else(|| option.code.to_string(), |value| format!("{} {}", option.code, hex::encode(value)))
}

/// An option as the form has it: a code, and hexadecimal digits.
fn option(line: &Value) -> Value {
    let text = line.as_str().unwrap_or_default();
    let (code, digits) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let digits: String = digits.chars().filter(|letter| !letter.is_whitespace() && *letter != ':').collect();
    let code = code.parse::<u64>().map_or_else(|_| code.into(), Value::from);
    if digits.is_empty() { json!({ "code": code }) } else { json!({ "code": code, "value": digits }) }
}

/// What is said, or that nothing is said any more.
fn edit(ask: &Ask, place: Place, held: Option<&BootDefaults>) -> Result<Edit, Problem> {
    let mut draft = ask.draft(json!({}));
    let options: Vec<Value> = draft["options"].as_array().into_iter().flatten().map(option).collect();
    draft["options"] = options.into();
    let parameters: BootDefaults = read_draft(draft, &[])?;
    let Place { level, object } = place;
    Ok(Edit::Boot(match (parameters == BootDefaults::default(), held) {
        (true, Some(_)) => BootEdit::Delete { level, object },
        (true, None) => return Err(Problem::refused(vec![FieldError::new("", "value", "nothing is said: fill in a field")])),
        (false, _) => BootEdit::Put { level, object, parameters },
    }))
}

async fn form(app: &App, visitor: &Visitor, place: Place) -> Result<Response, Refused> {
    page(ask(app, visitor, &place).await?.0)
}

async fn step(app: &App, visitor: &Visitor, place: Place, pairs: &Pairs) -> Result<Response, Refused> {
    let (ask, held) = ask(app, visitor, &place).await?;
    let ask = ask.filled(pairs);
    let edit = edit(&ask, place, held.as_ref());
    ask.step(app, visitor, pairs, edit, None).await
}

pub(super) async fn form_of_all(State(app): State<App>, Person(visitor): Person, Path(level): Path<String>) -> Result<Response, Refused> {
    form(&app, &visitor, Place::of(&level, "")?).await
}

pub(super) async fn step_of_all(
    State(app): State<App>,
    Person(visitor): Person,
    Path(level): Path<String>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    step(&app, &visitor, Place::of(&level, "")?, &pairs).await
}

pub(super) async fn form_of_one(State(app): State<App>, Person(visitor): Person, Path((level, object)): Path<(String, String)>) -> Result<Response, Refused> {
    form(&app, &visitor, Place::of(&level, &object)?).await
}

pub(super) async fn step_of_one(
    State(app): State<App>,
    Person(visitor): Person,
    Path((level, object)): Path<(String, String)>,
    Form(pairs): Form<Pairs>,
) -> Result<Response, Refused> {
    step(&app, &visitor, Place::of(&level, &object)?, &pairs).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_a_line_each() {
        let read = |text: &str| serde_json::from_value::<OptionDraft>(option(&text.into())).map(|option| line(&option));
        assert_eq!(read("42 0A:01 04:02").unwrap(), "42 0a010402");
        assert_eq!(read("51").unwrap(), "51");
        assert!(read("ntp 0a010402").is_err() && read("42 0a0").is_err() && read("300 00").is_err() && read("").is_err());
    }
}
