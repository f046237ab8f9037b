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
    pub reason: String,
}

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
                other => form.take_part(other, value),
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
            TOP.iter().any(|top| is_at(pointer, top)) || in_part.is_some_and(|rest| PARTS.iter().any(|part| is_at(rest, part)))
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
        draft
    }

    #[test]
    fn a_form_sent_back_unchanged_changes_nothing() {
        let form = HostForm::of(&draft());
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
