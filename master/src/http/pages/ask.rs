//! Small forms, all of one kind: what is asked for, what agents would answer differently, and then it is done. What was
//! changed after a preview is previewed again, and what has no field is previewed at once.

use super::{Frame, Refused, effects, page};
use crate::{
    http::{App, FieldError, Problem, secrets::sha256, session::Visitor},
    inventory::{self, Edit, Effects, Version, people::Why},
};
use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde_json::{Map, Value};

/// The fields of a form, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// One field. Its name is the pointer into the draft, without the first slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub name: &'static str,
    pub label: &'static str,
    pub hint: &'static str,
    pub value: String,
    pub look: Look,
}

/// How a field looks, and what it is in a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Words of a person.
    Text,
    /// Something that is copied letter by letter.
    Mono,
    /// A number; nothing where it is empty.
    Number,
    /// Words with blanks between; a list in the draft.
    List,
    /// One of these, or nothing where an empty one is among them.
    Choice(Vec<String>),
    /// Yes or no.
    Check,
    /// Something that is not for whoever looks over a shoulder.
    Secret,
    /// Several lines; a list in the draft.
    Lines,
}

impl Field {
    pub(super) fn new(name: &'static str, label: &'static str, hint: &'static str, look: Look) -> Self {
        Self { name, label, hint, value: String::new(), look }
    }

    /// With what is there already.
    pub(super) fn with(self, value: impl Into<String>) -> Self {
        Self { value: value.into(), ..self }
    }

    /// A box that is ticked where it is so already.
    pub(super) fn ticked(self, is_so: bool) -> Self {
        self.with(if is_so { "on" } else { "" })
    }

    fn is_mono(&self) -> bool {
        !matches!(self.look, Look::Text)
    }

    fn choices(&self) -> Option<&[String]> {
        if let Look::Choice(choices) = &self.look { Some(choices) } else { None }
    }

    fn is_check(&self) -> bool {
        self.look == Look::Check
    }

    fn is_secret(&self) -> bool {
        self.look == Look::Secret
    }

    fn is_long(&self) -> bool {
        self.look == Look::Lines
    }

    /// As the draft has it. What is no number goes as it is, so that the draft's own words refuse it.
    fn json(&self) -> Value {
        let text = self.value.trim();
        match self.look {
            Look::Check => Value::from(!text.is_empty()),
            Look::List => super::form::words(text).into(),
            Look::Lines => text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().into(),
            Look::Text => text.into(),
            _ if text.is_empty() => Value::Null,
            Look::Number => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
            Look::Mono | Look::Secret | Look::Choice(_) => text.into(),
        }
    }
}

/// A question on a page of its own.
#[derive(Template)]
#[template(path = "ask.html")]
pub(super) struct Ask {
    pub frame: Frame,
    pub title: String,
    /// A sentence below the title.
    pub about: String,
    /// Where the form goes.
    pub action: String,
    /// Where it came from, and goes when it is done.
    pub back: String,
    /// What the button says.
    pub verb: &'static str,
    /// Whether something is taken away.
    pub is_danger: bool,
    pub fields: Vec<Field>,
    /// What the form carries along unseen.
    pub carried: Vec<(&'static str, String)>,
    pub reason: String,
    /// What came of trying it.
    pub tried: Tried,
}

/// What came of trying a form.
#[derive(Default)]
pub(super) struct Tried {
    errors: Vec<FieldError>,
    /// The sentences of errors that belong to no field.
    loose: Vec<String>,
    effects: Option<String>,
    /// What was previewed: the form's fingerprint.
    previewed: String,
}

impl Ask {
    pub(super) async fn new(app: &App, visitor: &Visitor, here: &'static str, title: impl Into<String>) -> Result<Self, Refused> {
        Ok(Self {
            frame: Frame::of(app, visitor, here).await?,
            title: title.into(),
            about: String::new(),
            action: String::new(),
            back: format!("/{here}"),
            verb: "Save",
            is_danger: false,
            fields: vec![],
            carried: vec![],
            reason: String::new(),
            tried: Tried::default(),
        })
    }

    /// The form with what was typed.
    pub(super) fn filled(mut self, pairs: &Pairs) -> Self {
        for field in &mut self.fields {
            field.value = given(pairs, field.name).to_owned();
        }
        self.reason = given(pairs, "reason").trim().to_owned();
        self
    }

    /// The draft that the fields are, over what is there already.
    pub(super) fn draft(&self, base: Value) -> Value {
        let mut draft = if let Value::Object(fields) = base { fields } else { Map::new() };
        for field in &self.fields {
            match field.json() {
                Value::Null if !draft.contains_key(field.name) => {}
                value => drop(draft.insert(field.name.to_owned(), value)),
            }
        }
        Value::Object(draft)
    }

    /// What tells whether something was changed after the preview; the reason does not count.
    fn fingerprint(&self) -> String {
        hex::encode(&sha256(format!("{:?} {:?}", self.fields, self.carried).as_bytes())[..16])
    }

    /// What agents would answer differently.
    pub(super) async fn preview(mut self, app: &App, visitor: &Visitor, edit: Edit) -> Result<Response, Refused> {
        match inventory::preview(&app.pool, &visitor.actor("web"), edit).await.map_err(Problem::from) {
            Ok(found) => {
                self.tried.effects = Some(effects::render(&found)?);
                self.tried.previewed = self.fingerprint();
                page(self)
            }
            Err(problem) => self.refused(problem),
        }
    }

    /// What would be done, in words.
    pub(super) fn with_words(mut self, words: Vec<String>) -> Result<Response, Refused> {
        let mut found = Effects::default();
        found.others = words;
        self.tried.effects = Some(effects::render(&found)?);
        self.tried.previewed = self.fingerprint();
        page(self)
    }

    /// Whether what is asked for is what was shown before.
    fn is_meant(&self, pairs: &Pairs) -> bool {
        given(pairs, "step") == "save" && given(pairs, "previewed") == self.fingerprint()
    }

    /// What is no edit of the hostname database is tried until somebody has seen what it is.
    pub(super) fn why(&self, pairs: &Pairs) -> Why<'_> {
        Why { reason: &self.reason, dry_run: !self.is_meant(pairs) }
    }

    /// What came of trying or doing it by [`Ask::why`]; `told` is what is done, in words. Nothing where it is done.
    pub(super) fn unless_done(self, pairs: &Pairs, came: Result<(), Problem>, told: Vec<String>) -> Result<Option<Response>, Refused> {
        match came {
            Err(problem) => self.refused(problem).map(Some),
            Ok(()) if self.is_meant(pairs) => Ok(None),
            Ok(()) => self.with_words(told).map(Some),
        }
    }

    /// Previews it, or does it where that is what was previewed. `edit` is what the fields make.
    pub(super) async fn step(
        self,
        app: &App,
        visitor: &Visitor,
        pairs: &Pairs,
        edit: Result<Edit, Problem>,
        if_match: Option<Version>,
    ) -> Result<Response, Refused> {
        let edit = match edit {
            Ok(edit) => edit,
            Err(problem) => return self.refused(problem),
        };
        if !self.is_meant(pairs) {
            return self.preview(app, visitor, edit).await;
        }
        let applied = inventory::apply(&app.pool, &visitor.actor("web"), &self.reason, edit, if_match).await;
        app.committed.notify_one();
        match applied.map_err(Problem::from) {
            Ok(applied) => Ok(Redirect::to(&done(&self.back, &applied.change_set.to_string())).into_response()),
            Err(problem) => self.refused(problem),
        }
    }

    /// Problems of the values come back in the form, others are a page of their own.
    pub(super) fn refused(mut self, problem: Problem) -> Result<Response, Refused> {
        if problem.errors.is_empty() {
            return Err(problem.into());
        }
        let is_placed = |error: &&FieldError| self.fields.iter().any(|field| is_of(field, error));
        self.tried.loose = problem.errors.iter().filter(|error| !is_placed(error)).map(|error| error.detail.clone()).collect();
        self.tried.errors = problem.errors;
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page(self)?).into_response())
    }

    fn wrong(&self, field: &Field) -> Vec<&str> {
        self.tried.errors.iter().filter(|error| is_of(field, error)).map(|error| error.detail.as_str()).collect()
    }
}

/// A page with the change that was made, to be followed.
fn done(back: &str, change_set: &str) -> String {
    let (path, place) = back.split_once('#').map_or((back, String::new()), |(path, place)| (path, format!("#{place}")));
    format!("{path}{}change={change_set}{place}", if path.contains('?') { '&' } else { '?' })
}

fn is_of(field: &Field, error: &FieldError) -> bool {
    error.pointer.strip_prefix('/').and_then(|pointer| pointer.strip_prefix(field.name)).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A field of what a browser sent.
pub(super) fn given<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_become_the_draft_that_they_say() {
        let field = |name, look, value: &str| Field { value: value.into(), ..Field::new(name, "", "", look) };
        let all = [
            field("network", Look::Mono, " 10.1.9.0/24 "),
            field("vlan", Look::Number, "109"),
            field("gateway", Look::Mono, ""),
            field("dns_servers", Look::List, "10.1.4.2, 10.2.4.2"),
            field("department", Look::Choice(vec![]), "physics"),
            field("strict", Look::Check, "on"),
            field("options", Look::Lines, "42 0a010402\r\n\r\n 51 \n"),
        ];
        let drafted: Vec<Value> = all.iter().map(Field::json).collect();
        assert_eq!(Value::from(drafted), json!(["10.1.9.0/24", 109, null, ["10.1.4.2", "10.2.4.2"], "physics", true, ["42 0a010402", "51"]]));
        assert_eq!(field("vlan", Look::Number, "many").json(), json!("many"), "the draft's own words refuse it");
    }

    #[test]
    fn the_change_is_named_on_the_page_that_it_comes_back_to() {
        assert_eq!(done("/zones/uni.example", "7"), "/zones/uni.example?change=7");
        assert_eq!(done("/checks?code=HF-1#list", "7"), "/checks?code=HF-1&change=7#list");
    }
}
