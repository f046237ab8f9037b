//! The form of a host: draft to text fields and back. What the form does not show (options, templates) stays as it was.

use crate::{
    http::{FieldError, secrets::sha256},
    inventory::HostDraft,
};
use askama::Template;
use serde_json::{Value, json};

/// The fields as text, right or wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostForm {
    pub name: String,
    pub aliases: String,
    pub interfaces: Vec<InterfaceForm>,
    pub location: String,
    pub contact: String,
    pub hardware: String,
    pub os: String,
    pub comment: String,
    /// What stands in [`PARTICULARS`], in their order; none where the form that was sent had no such fields.
    pub particulars: Option<[String; PARTICULARS.len()]>,
    pub reason: String,
}

/// A field of what a host is as a thing: its name is its own and the draft's.
pub(super) struct Particular {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
    /// Whether no two hosts share it, so that one more like it begins without.
    is_one_hosts: bool,
}

impl Particular {
    const fn new(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        Self { name, label, hint, is_one_hosts: false }
    }

    const fn of_one(name: &'static str, label: &'static str, hint: &'static str) -> Self {
        Self { is_one_hosts: true, ..Self::new(name, label, hint) }
    }

    /// Where it stands in a draft.
    fn pointer(&self) -> String {
        if self.name == "department" { "/department".to_owned() } else { format!("/equipment/{}", self.name) }
    }

    /// Whether it refers to something, so that none is not an empty text.
    fn is_word(&self) -> bool {
        matches!(self.name, "department" | "class")
    }
}

/// What a host is as a thing, and where that stands.
pub(super) const PARTICULARS: [Particular; 9] = [
    Particular::new("department", "Department", "Whose it is, by its short word"),
    Particular::new("class", "Device class", "Such as printer: says how it gets its address"),
    Particular::new("building", "Building", ""),
    Particular::new("room", "Room", ""),
    Particular::of_one("outlet", "Outlet", "The socket in the wall"),
    Particular::new("rack", "Rack", ""),
    Particular::of_one("rack_position", "Place in the rack", "Such as U17-18"),
    Particular::of_one("switch_port", "Switch port", "Such as sw-cc-3 Gi1/0/7"),
    Particular::of_one("asset_tag", "Asset tag", "No two hosts have the same"),
];

/// The fields of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct InterfaceForm {
    pub addresses: String,
    pub mac: String,
    pub next_server: String,
    pub boot_file: String,
}

/// More interfaces than this are edited by the API.
const INTERFACE_LIMIT: usize = 64;

impl HostForm {
    /// An empty form, with room for one interface.
    pub(super) fn empty() -> Self {
        Self { interfaces: vec![InterfaceForm::default()], ..Self::default() }
    }

    /// A host's form.
    pub(super) fn of(draft: &HostDraft) -> Self {
        let mut form = Self {
            name: draft.name.to_string(),
            aliases: join(draft.aliases.iter().map(|alias| alias.without_dot())),
            interfaces: draft.interfaces.iter().map(InterfaceForm::of).collect(),
            location: draft.location.clone(),
            contact: draft.contact.clone(),
            hardware: draft.hardware.clone(),
            os: draft.os.clone(),
            comment: draft.comment.clone(),
            particulars: Some(particulars(draft)),
            reason: String::new(),
        };
        if form.interfaces.is_empty() {
            form.interfaces.push(InterfaceForm::default());
        }
        form
    }

    /// The form of a host like this one: all but what only one host can have.
    pub(super) fn like(draft: &HostDraft) -> Self {
        let mut form = Self { name: String::new(), aliases: String::new(), ..Self::of(draft) };
        for interface in &mut form.interfaces {
            (interface.addresses, interface.mac) = Default::default();
        }
        for (value, particular) in form.particulars.iter_mut().flatten().zip(&PARTICULARS) {
            if particular.is_one_hosts {
                value.clear();
            }
        }
        form
    }

    /// Reads what a browser sends. Fields that the form does not have are ignored: they are buttons.
    pub(super) fn from_pairs(pairs: &[(String, String)]) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs {
            let value = value.trim().to_owned();
            match name.as_str() {
                "name" => form.name = value,
                "aliases" => form.aliases = value,
                "location" => form.location = value,
                "contact" => form.contact = value,
                "hardware" => form.hardware = value,
                "os" => form.os = value,
                "comment" => form.comment = value,
                "reason" => form.reason = value,
                other => match PARTICULARS.iter().position(|particular| particular.name == other) {
                    Some(at) => form.particulars.get_or_insert_default()[at] = value,
                    None => form.take_part(other, value),
                },
            }
        }
        if form.interfaces.is_empty() {
            form.interfaces.push(InterfaceForm::default());
        }
        form
    }

    /// `mac-2` is the hardware address of the third interface.
    fn take_part(&mut self, name: &str, value: String) {
        let Some((name, index)) = name.rsplit_once('-') else { return };
        let Some(index) = index.parse().ok().filter(|index| *index < INTERFACE_LIMIT) else { return };
        if self.interfaces.len() <= index {
            self.interfaces.resize(index + 1, InterfaceForm::default());
        }
        let part = &mut self.interfaces[index];
        match name {
            "addresses" => part.addresses = value,
            "mac" => part.mac = value,
            "next_server" => part.next_server = value,
            "boot_file" => part.boot_file = value,
            _ => {}
        }
    }

    /// The draft as JSON, over what the host has now; it is read like the body of an API request, so both find the same errors.
    pub(super) fn to_json(&self, base: Option<&HostDraft>) -> Value {
        let kept = |index: usize| base.and_then(|draft| draft.interfaces.get(index)).and_then(|kept| serde_json::to_value(kept).ok()).unwrap_or(json!({}));
        let parts = self.interfaces.iter().enumerate().filter(|(_, part)| **part != InterfaceForm::default());
        let interfaces: Vec<Value> = parts.map(|(index, part)| part.to_json(kept(index))).collect();
        let mut draft = base.and_then(|draft| serde_json::to_value(draft).ok()).unwrap_or(json!({}));
        let shown = json!({
            "name": self.name, "aliases": words(&self.aliases), "interfaces": interfaces, "location": self.location, "contact": self.contact,
            "hardware": self.hardware, "os": self.os, "comment": self.comment,
        });
        if let (Some(draft), Value::Object(shown)) = (draft.as_object_mut(), shown) {
            draft.extend(shown);
        }
        for (particular, text) in PARTICULARS.iter().zip(self.particulars.iter().flatten()) {
            let value = if text.is_empty() && particular.is_word() { Value::Null } else { Value::from(text.as_str()) };
            match particular.name {
                "department" => draft["department"] = value,
                name => draft["equipment"][name] = value,
            }
        }
        draft
    }

    /// Which interface of the form the n-th of the draft is: empty ones are left out of the draft.
    fn place_of(&self, nth: usize) -> usize {
        let mut places = self.interfaces.iter().enumerate().filter(|(_, part)| **part != InterfaceForm::default());
        places.nth(nth).map_or(nth, |(index, _)| index)
    }

    /// Errors of the draft, with pointers into the form.
    pub(super) fn place(&self, errors: Vec<FieldError>) -> Vec<FieldError> {
        let move_one = |mut error: FieldError| {
            if let Some((nth, rest)) = error.pointer.strip_prefix("/interfaces/").and_then(|rest| rest.split_once('/')) {
                let place = self.place_of(nth.parse().unwrap_or_default());
                error.pointer = format!("/interfaces/{place}/{rest}");
            }
            error
        };
        errors.into_iter().map(move_one).collect()
    }

    /// The sentences of errors that belong to no field of the form.
    pub(super) fn loose(errors: &[FieldError]) -> Vec<String> {
        const TOP: [&str; 7] = ["/name", "/aliases", "/location", "/contact", "/hardware", "/os", "/comment"];
        const PARTS: [&str; 4] = ["/mac", "/addresses", "/boot/next_server", "/boot/boot_file"];
        let is_placed = |pointer: &str| {
            let in_part = pointer.strip_prefix("/interfaces/").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
            let is_particular = PARTICULARS.iter().any(|particular| is_at(pointer, &particular.pointer()));
            is_particular || TOP.iter().any(|top| is_at(pointer, top)) || in_part.is_some_and(|rest| PARTS.iter().any(|part| is_at(rest, part)))
        };
        errors.iter().filter(|error| !is_placed(&error.pointer)).map(|error| error.detail.clone()).collect()
    }

    /// What tells whether the fields were changed after the preview; the reason does not count.
    pub(super) fn fingerprint(&self) -> String {
        let without_reason = Self { reason: String::new(), ..self.clone() };
        hex::encode(&sha256(format!("{without_reason:?}").as_bytes())[..16])
    }

    /// A field of the host, rendered with its errors.
    pub(super) fn text(&self, id: &str, label: &str, hint: &str, value: &str, errors: &[FieldError], mono: bool) -> askama::Result<String> {
        let wrong = wrong_at(errors, &format!("/{id}"));
        Field { id, label, hint, value, mono, wrong }.render()
    }

    /// Whether anything of it is filled in.
    pub(super) fn has_particulars(&self) -> bool {
        self.particulars.iter().flatten().any(|text| !text.is_empty())
    }

    /// The fields of what it is as a thing, rendered with their errors.
    pub(super) fn things(&self, errors: &[FieldError]) -> askama::Result<String> {
        let field = |(particular, value): (&Particular, &String)| {
            let wrong = wrong_at(errors, &particular.pointer());
            Field { id: particular.name, label: particular.label, hint: particular.hint, value, mono: false, wrong }.render()
        };
        PARTICULARS.iter().zip(&self.particulars.clone().unwrap_or_default()).map(field).collect()
    }

    /// A field of an interface, rendered with its errors.
    pub(super) fn part(&self, index: usize, name: &str, label: &str, hint: &str, value: &str, errors: &[FieldError]) -> askama::Result<String> {
        let room = if matches!(name, "next_server" | "boot_file") { "boot/" } else { "" };
        let wrong = wrong_at(errors, &format!("/interfaces/{index}/{room}{name}"));
        Field { id: &format!("{name}-{index}"), label, hint, value, mono: true, wrong }.render()
    }
}

impl InterfaceForm {
    fn of(interface: &crate::inventory::InterfaceDraft) -> Self {
        Self {
            addresses: join(interface.addresses.iter().map(ToString::to_string)),
            mac: interface.mac.map(|mac| mac.to_string()).unwrap_or_default(),
            next_server: interface.boot.next_server.map(|server| server.to_string()).unwrap_or_default(),
            boot_file: interface.boot.boot_file.clone(),
        }
    }

    fn to_json(&self, mut kept: Value) -> Value {
        let optional = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
        kept["mac"] = optional(&self.mac);
        kept["addresses"] = words(&self.addresses).into();
        kept["boot"]["next_server"] = optional(&self.next_server);
        kept["boot"]["boot_file"] = self.boot_file.clone().into();
        kept
    }
}

/// What a host has of them.
pub(super) fn particulars(draft: &HostDraft) -> [String; PARTICULARS.len()] {
    let texts = draft.equipment.texts();
    PARTICULARS.map(|particular| match particular.name {
        "department" => draft.department.clone().unwrap_or_default(),
        "class" => draft.equipment.class.clone().unwrap_or_default(),
        name => texts.iter().find(|(field, _)| *field == name).map(|(_, text)| (*text).to_owned()).unwrap_or_default(),
    })
}

fn wrong_at<'a>(errors: &'a [FieldError], place: &str) -> Vec<&'a str> {
    errors.iter().filter(|error| is_at(&error.pointer, place)).map(|error| error.detail.as_str()).collect()
}

fn is_at(pointer: &str, place: &str) -> bool {
    pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn words(text: &str) -> Vec<&str> {
    text.split([' ', ',', ';', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect()
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

#[derive(Template)]
#[template(path = "field.html")]
struct Field<'a> {
    id: &'a str,
    label: &'a str,
    hint: &'a str,
    value: &'a str,
    mono: bool,
    wrong: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::HostForm;
    use crate::{
        http::FieldError,
        inventory::{HostDraft, OptionDraft},
    };

    fn draft() -> HostDraft {
        let mut draft = HostDraft::simple("www.uni.example".parse().unwrap(), Some("08:00:20:db:b6:7f".parse().unwrap()), "10.1.4.7".parse().unwrap());
        draft.interfaces[0].boot.options = vec![OptionDraft { code: 42, value: None }];
        draft.interfaces[0].templates = vec![".north".into()];
        (draft.department, draft.equipment.class, draft.equipment.room) = (Some("physics".into()), Some("server".into()), "0.13".into());
        draft.equipment.asset_tag = "4711".into();
        draft
    }

    #[test]
    fn a_form_sent_back_unchanged_changes_nothing() {
        let form = HostForm::of(&draft());
        let like: HostDraft = serde_json::from_value(HostForm { name: "w2.uni.example".into(), ..HostForm::like(&draft()) }.to_json(None)).unwrap();
        assert_eq!((like.department.as_deref(), like.equipment.room.as_str(), like.equipment.asset_tag.as_str()), (Some("physics"), "0.13", ""));
        let back: HostDraft = serde_json::from_value(form.to_json(Some(&draft()))).unwrap();
        assert_eq!(back, draft());
        assert_eq!(form.fingerprint(), HostForm { reason: "because".into(), ..form.clone() }.fingerprint());
    }

    #[test]
    fn errors_find_their_fields_past_empty_interfaces() {
        let pairs: Vec<(String, String)> =
            [("name", "x.uni.example"), ("mac-0", ""), ("mac-1", "zz"), ("step", "preview")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let form = HostForm::from_pairs(&pairs);
        let placed = form.place(vec![FieldError::new("/interfaces/0/mac", "value", "wrong"), FieldError::new("", "whole", "all")]);
        assert_eq!(placed[0].pointer, "/interfaces/1/mac");
        assert_eq!(HostForm::loose(&placed), ["all"]);
    }
}
