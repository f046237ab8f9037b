//! What `holdfast host add` and `set` take beside names and addresses: whose it is, who answers for it, where it stands.

use super::Failure;
use clap::Args;
use serde_json::{Map, Value, json};

/// The fields of a host that say what it is as a thing.
#[derive(Debug, Args)]
pub(super) struct Particulars {
    /// The department that it belongs to.
    #[arg(long)]
    pub department: Option<String>,
    /// Who answers for it, as role:handle (technical:jdoe); may be given several times.
    #[arg(long, value_name = "ROLE:HANDLE")]
    pub person: Vec<String>,
    /// Its device class.
    #[arg(long)]
    pub class: Option<String>,
    /// The building that it stands in.
    #[arg(long)]
    pub building: Option<String>,
    /// The room.
    #[arg(long)]
    pub room: Option<String>,
    /// The outlet in the wall.
    #[arg(long)]
    pub outlet: Option<String>,
    /// The rack.
    #[arg(long)]
    pub rack: Option<String>,
    /// Where in the rack.
    #[arg(long)]
    pub rack_position: Option<String>,
    /// The port of the switch that its cable ends at.
    #[arg(long)]
    pub switch_port: Option<String>,
    /// The number on its tag.
    #[arg(long)]
    pub asset_tag: Option<String>,
}

impl Particulars {
    /// What was given, for the body of a request.
    pub(super) fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        body.extend(self.department.iter().map(|name| ("department".to_owned(), Value::from(name.clone()))));
        if !self.person.is_empty() {
            body.insert("contacts".into(), self.person.iter().map(|text| person(text)).collect::<Result<Vec<_>, _>>()?.into());
        }
        let texts = [
            ("class", &self.class),
            ("building", &self.building),
            ("room", &self.room),
            ("outlet", &self.outlet),
            ("rack", &self.rack),
            ("rack_position", &self.rack_position),
            ("switch_port", &self.switch_port),
            ("asset_tag", &self.asset_tag),
        ];
        let equipment: Map<String, Value> = texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text.clone()?.into()))).collect();
        if !equipment.is_empty() {
            body.insert("equipment".into(), equipment.into());
        }
        Ok(body)
    }
}

fn person(text: &str) -> Result<Value, Failure> {
    let wrong = || Failure::Usage(format!("\"{text}\" is not role:handle such as technical:jdoe"));
    let (role, handle) = text.split_once(':').ok_or_else(wrong)?;
    Ok(json!({ "role": role, "contact": handle }))
}
