//! Reading a request of the API: body, query parameters and preconditions, each with all its errors at once.

use crate::http::{FieldError, Problem};
use axum::{
    body::Body,
    extract::{FromRequest, Query, Request},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use std::{collections::HashMap, time::Duration};

/// More errors than this are not worth listing.
const ERROR_LIMIT: usize = 100;
/// The longest that a write waits for agents.
const WAIT_LIMIT: Duration = Duration::from_secs(60);
/// How long it waits where nothing is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(5);

/// A JSON body of limited length.
pub struct Json<const LIMIT_BYTES: usize>(pub Value);

impl<const LIMIT_BYTES: usize, S: Send + Sync> FromRequest<S> for Json<LIMIT_BYTES> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::media_type());
        }
        let bytes = axum::body::to_bytes(request.into_body(), LIMIT_BYTES).await.map_err(|_| Problem::too_large(LIMIT_BYTES))?;
        let value = serde_json::from_slice(&bytes).map_err(|error| Problem::malformed(format!("the body is no JSON: {error}"), vec![]))?;
        let mut errors = Vec::new();
        find_zeros(&value, "", &mut errors);
        if errors.is_empty() { Ok(Self(value)) } else { Err(Problem::malformed("the body has text that cannot be kept", errors)) }
    }
}

/// No database column holds U+0000: it is told here, with its place, rather than by every rule for itself.
fn find_zeros(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) {
    let has_zero = |text: &str| text.contains('\0');
    let mut add = |pointer: String| errors.push(FieldError::new(pointer, "value", "text cannot have the character U+0000"));
    match value {
        Value::String(text) if has_zero(text) => add(pointer.to_owned()),
        Value::Array(list) => list.iter().enumerate().for_each(|(place, value)| find_zeros(value, &format!("{pointer}/{place}"), errors)),
        Value::Object(fields) => {
            if fields.keys().any(|name| has_zero(name)) {
                add(pointer.to_owned());
            }
            fields.iter().for_each(|(name, value)| find_zeros(value, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), errors));
        }
        _ => {}
    }
}

/// Refuses addresses that are no text once they are decoded: not UTF-8, or with U+0000 in them.
pub(super) async fn refuse_no_text(request: Request, next: Next) -> Result<Response, Problem> {
    let uri = request.uri();
    let is_text = |part: &str| decoded(part).is_some_and(|text| !text.contains('\0'));
    if is_text(uri.path()) && is_text(uri.query().unwrap_or_default()) {
        return Ok(next.run(request).await);
    }
    Err(Problem::malformed("the address is no UTF-8 text, or has the character U+0000 in it", vec![]))
}

/// Percent-decoding (RFC 3986 section 2.1); `None` where what comes out is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = after.get(..2).filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Reads a draft, and finds all that is wrong with it: each wrong value is noted, taken out, and the rest read again.
/// `required` names the top-level fields without which there is no draft.
pub fn read<T: DeserializeOwned>(mut value: Value, required: &[&str]) -> Result<T, Problem> {
    let Some(fields) = value.as_object() else {
        return Err(Problem::malformed("the body has to be a JSON object", vec![FieldError::new("", "type", "has to be an object")]));
    };
    let missing = required.iter().filter(|name| !fields.contains_key(**name));
    let mut errors: Vec<FieldError> = missing.map(|name| FieldError::new(format!("/{name}"), "missing", format!("{name} is missing"))).collect();
    let mut removed: Vec<(String, usize)> = Vec::new();
    while errors.len() < ERROR_LIMIT {
        let error = match serde_path_to_error::deserialize::<_, T>(&value) {
            Ok(draft) if errors.is_empty() => return Ok(draft),
            Ok(_) => break,
            Err(error) => error,
        };
        let path: Vec<Segment> = error.path().iter().cloned().collect();
        let found = field_error(&path, &error.inner().to_string(), &removed);
        let known = errors.iter().any(|known| known.pointer == found.pointer);
        let is_missing = found.code == "missing";
        if !known {
            errors.push(found);
        }
        if known || is_missing || !take_out(&mut value, &path, &mut removed) {
            break;
        }
    }
    let status = if errors.iter().any(|error| matches!(error.code.as_str(), "unknown-field" | "missing" | "type")) { 400 } else { 422 };
    let detail = format!("{} of its values cannot be read", errors.len());
    Err(if status == 400 { Problem::malformed(detail, errors) } else { Problem::refused(errors) })
}

fn field_error(path: &[Segment], message: &str, removed: &[(String, usize)]) -> FieldError {
    let mut pointer = String::new();
    for segment in path {
        let next = match segment {
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Seq { index } => original_index(&pointer, *index, removed).to_string(),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => "?".to_owned(),
        };
        pointer.push('/');
        pointer.push_str(&next);
    }
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return FieldError::new(format!("{pointer}/{name}"), "missing", format!("{name} is missing"));
    }
    let code = match message {
        text if text.starts_with("unknown field") => "unknown-field",
        text if text.starts_with("invalid type") => "type",
        _ => "value",
    };
    let detail = if message.starts_with("invalid IP") { "this is no IP address such as 10.1.4.7 or 2001:db8::7" } else { message };
    FieldError::new(pointer, code, detail)
}

/// The place in the body as it was sent, of an element of an array from which some were taken out.
fn original_index(array: &str, index: usize, removed: &[(String, usize)]) -> usize {
    let mut gone: Vec<usize> = removed.iter().filter(|(at, _)| at == array).map(|(_, index)| *index).collect();
    gone.sort_unstable();
    gone.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
}

fn take_out(value: &mut Value, path: &[Segment], removed: &mut Vec<(String, usize)>) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut at = value;
    for segment in parents {
        let next = match segment {
            Segment::Map { key } => at.get_mut(key),
            Segment::Seq { index } => at.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match (last, at) {
        (Segment::Map { key }, Value::Object(map)) => map.remove(key).is_some(),
        (Segment::Seq { index }, Value::Array(list)) if *index < list.len() => {
            let array = field_error(parents, "", removed).pointer;
            removed.push((array.clone(), original_index(&array, *index, removed)));
            list.remove(*index);
            true
        }
        _ => false,
    }
}

/// RFC 7396: what the patch names is replaced, null takes away, the rest stays.
pub fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge_patch(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Query parameters, each known and given once.
#[derive(Debug)]
pub struct Parameters(HashMap<String, String>);

/// What every write may be given.
pub const OF_WRITES: &[&str] = &["dry_run", "reason", "wait", "timeout"];

impl Parameters {
    /// Reads the query; parameters that are not `known` are all refused at once.
    pub fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let wrong = |error| Problem::malformed(format!("the query cannot be read: {error}"), vec![]);
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(wrong)?;
        let mut found = HashMap::new();
        let mut errors = Vec::new();
        for (name, value) in pairs {
            let pointer = format!("?{name}");
            if !known.contains(&name.as_str()) {
                errors.push(FieldError::new(pointer, "unknown-parameter", format!("there is no parameter {name} here; known are: {}", known.join(", "))));
            } else if found.insert(name.clone(), value).is_some() {
                errors.push(FieldError::new(pointer, "given-twice", format!("{name} is given twice")));
            }
        }
        if errors.is_empty() { Ok(Self(found)) } else { Err(Problem::malformed("the query has wrong parameters", errors)) }
    }

    /// A parameter as it was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A yes or no; no where it is not given.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(wrong_parameter(name, format!("\"{other}\" is neither true nor false"))),
        }
    }

    /// A number within limits.
    pub fn number(&self, name: &str, range: std::ops::RangeInclusive<u32>) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let wrong = || wrong_parameter(name, format!("\"{text}\" is no number from {} to {}", range.start(), range.end()));
        number.map(Some).ok_or_else(wrong)
    }

    /// How long to wait for agents, where that is wished: `wait=all`, `timeout=5s`.
    pub fn wait(&self) -> Result<Option<Duration>, Problem> {
        let timeout = self.text("timeout").map(duration).transpose()?;
        match self.text("wait") {
            None => Ok(None),
            Some("all") => Ok(Some(timeout.unwrap_or(WAIT_DEFAULT))),
            Some(other) => Err(wrong_parameter("wait", format!("\"{other}\" cannot be waited for; \"all\" can"))),
        }
    }
}

fn duration(text: &str) -> Result<Duration, Problem> {
    let (digits, unit_ms) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let wrong = || wrong_parameter("timeout", format!("\"{text}\" is no time such as 5s or 500ms, of 60s at most"));
    let span = Duration::from_millis(digits.parse::<u64>().map_err(|_| wrong())?.saturating_mul(unit_ms));
    if span <= WAIT_LIMIT { Ok(span) } else { Err(wrong()) }
}

/// A query parameter that cannot be right.
pub fn wrong_parameter(name: &str, detail: String) -> Problem {
    Problem::malformed("the query has wrong parameters", vec![FieldError::new(format!("?{name}"), "value", detail)])
}

/// Whether If-Match names this ETag (RFC 9110 section 13.1.1): strong comparison, and required.
pub fn check_if_match(headers: &HeaderMap, etag: &str) -> Result<(), Problem> {
    let mut given = headers.get_all(header::IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        return Err(Problem::precondition_required());
    }
    let matches = |tag: &str| tag == etag || tag == "*";
    let any = given.filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(',')).any(|tag| matches(tag.trim()));
    if any { Ok(()) } else { Err(Problem::stale()) }
}

/// Our cursors say nothing to anybody but us: the key to go on after, in hexadecimal, behind the version of its form.
pub fn seal_cursor(key: &str) -> String {
    format!("1{}", hex::encode(key))
}

/// The key in a cursor of ours.
pub fn open_cursor(text: &str) -> Result<String, Problem> {
    let bytes = text.strip_prefix('1').and_then(|rest| hex::decode(rest).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| wrong_parameter("cursor", "this is no cursor of ours: take the \"next\" of the page before, unchanged".into()))
}

#[cfg(test)]
mod tests {
    use super::{Parameters, check_if_match, decoded, find_zeros, merge_patch, open_cursor, read, seal_cursor};
    use crate::inventory::HostDraft;
    use http::{HeaderMap, Uri};
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn text_that_cannot_be_kept_is_told_with_its_place() {
        let mut errors = Vec::new();
        find_zeros(&json!({ "a": ["x", "y\0"], "b/c": { "d": "\0" }, "e": "f" }), "", &mut errors);
        assert_eq!(errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["/a/1", "/b~1c/d"]);
        assert_eq!(decoded("/a%20b%2Fc%zz%"), Some("/a b/c%zz%".to_owned()));
        assert_eq!((decoded("%ff"), decoded("a%00").as_deref()), (None, Some("a\0")));
    }

    #[test]
    fn all_errors_of_a_body_are_found_at_once() {
        let body = json!({
            "name": "no blanks.uni.example", "colour": "blue", "hardware": 7,
            "interfaces": [{ "mac": "zz", "addresses": ["10.1.4.7", "10.1.4.300", "10.1.4.8", "x"] }, { "mac": "01:00:5e:00:00:01", "speed": 1 }],
        });
        let problem = read::<HostDraft>(body, &["name"]).unwrap_err();
        let mut pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(problem.status, 400);
        let expected = [
            "/colour",
            "/hardware",
            "/interfaces/0/addresses/1",
            "/interfaces/0/addresses/3",
            "/interfaces/0/mac",
            "/interfaces/1/mac",
            "/interfaces/1/speed",
            "/name",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn missing_and_wrong_values_have_their_own_status() {
        let missing = read::<HostDraft>(json!({}), &["name"]).unwrap_err();
        assert_eq!((missing.status, missing.errors.len(), missing.errors[0].pointer.as_str()), (400, 1, "/name"));
        let wrong = read::<HostDraft>(json!({ "name": "-x.uni.example" }), &["name"]).unwrap_err();
        assert_eq!((wrong.status, wrong.errors[0].pointer.as_str()), (422, "/name"));
        assert_eq!(read::<HostDraft>(json!([]), &["name"]).unwrap_err().status, 400);
        assert!(read::<HostDraft>(json!({ "name": "x.uni.example" }), &["name"]).is_ok());
    }

    #[test]
    fn unknown_parameters_are_refused_all_at_once() {
        let uri: Uri = "/hosts?search=a&colour=b&limit=5&size=9".parse().unwrap();
        let problem = Parameters::of(&uri, &["search", "limit"]).unwrap_err();
        assert_eq!(problem.errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["?colour", "?size"]);
        let given = |query: &str| Parameters::of(&format!("/x?{query}").parse().unwrap(), &["wait", "timeout", "dry_run", "limit"]).unwrap();
        assert_eq!(given("wait=all&timeout=500ms").wait().unwrap(), Some(Duration::from_millis(500)));
        assert_eq!(given("wait=all").wait().unwrap(), Some(Duration::from_secs(5)));
        assert!(given("wait=some").wait().is_err() && given("wait=all&timeout=2h").wait().is_err());
        assert!(given("dry_run=true").flag("dry_run").unwrap() && given("dry_run=1").flag("dry_run").is_err());
        assert!(given("limit=0").number("limit", 1..=1000).is_err());
    }

    #[test]
    fn if_match_is_required_and_strong() {
        let with = |value: &str| HeaderMap::from_iter([(http::header::IF_MATCH, value.parse().unwrap())]);
        assert_eq!(check_if_match(&HeaderMap::new(), "\"a-1\"").unwrap_err().status, 428);
        assert!(check_if_match(&with("\"x\", \"a-1\""), "\"a-1\"").is_ok());
        assert!(check_if_match(&with("*"), "\"a-1\"").is_ok());
        assert_eq!(check_if_match(&with("W/\"a-1\""), "\"a-1\"").unwrap_err().status, 412);
        assert_eq!(check_if_match(&with("\"a-2\""), "\"a-1\"").unwrap_err().status, 412);
    }

    #[test]
    fn cursors_are_opaque_and_checked() {
        assert_eq!(open_cursor(&seal_cursor("www.uni.example")).unwrap(), "www.uni.example");
        for wrong in ["", "1zz", "www.uni.example", "1ff"] {
            assert_eq!(open_cursor(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn patches_replace_and_take_away() {
        let mut host = json!({ "os": "Linux", "boot": { "a": 1, "b": 2 }, "list": [1, 2] });
        merge_patch(&mut host, json!({ "os": null, "boot": { "b": 3 }, "list": [4] }));
        assert_eq!(host, json!({ "boot": { "a": 1, "b": 3 }, "list": [4] }));
    }
}
