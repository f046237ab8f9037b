//! What an entry of the organisation must fulfil.

use super::{Entry, EntryKind, names};
use crate::db::contacts::{self, ContactDraft, ContactKind};
use crate::db::defaults::{self, Level};
use crate::db::responsibility::{self, ObjectKind};
use crate::db::topology::{RouterDraft, ServerDraft};
use crate::db::{campuses, departments, subnets, transfers};
use crate::inventory::places::refuse;
use crate::inventory::{Problem, Refusal};
use sqlx::PgConnection;

/// The longest title, in bytes.
const TITLE_LIMIT_BYTES: usize = 255;
/// The longest note, in bytes.
const NOTE_LIMIT_BYTES: usize = 4096;
/// The longest name of a port, in bytes.
const PORT_LIMIT_BYTES: usize = 64;
/// The longest short word: it could be a label of a name (RFC 1035 section 2.3.4).
const WORD_LIMIT_BYTES: usize = 63;

/// All problems of an entry. `own` is the name that it has now, where it is there.
pub(super) async fn check(db: &mut PgConnection, entry: &Entry, own: Option<&str>) -> Result<(), Refusal> {
    let mut problems = plain_problems(entry);
    let name = entry.name();
    if own != Some(name) && names(db, entry.kind()).await?.iter().any(|(known, _)| known == name) {
        let detail = format!("there is a {} {name} already", entry.kind().word());
        problems.push(Problem::new("duplicate-name", pointer_of_name(entry), detail));
    }
    if let Entry::Contact(ContactDraft { organisation: Some(organisation), .. }) = entry
        && !contacts::externals(db).await?.iter().any(|known| known.draft.name == *organisation)
    {
        problems.push(Problem::new("no-such-entry", "/organisation", format!("there is no organisation {organisation}: add it first")));
    }
    match entry {
        Entry::Router(draft) => problems.extend(router_problems(db, draft).await?),
        Entry::Server(draft) => problems.extend(server_problems(db, draft).await?),
        _ => {}
    }
    refuse(problems)
}

/// What a router refers to that is not there, and what is said twice.
async fn router_problems(db: &mut PgConnection, draft: &RouterDraft) -> Result<Vec<Problem>, Refusal> {
    let mut problems = Vec::new();
    if !campuses::all(db).await?.iter().any(|campus| campus.name == draft.campus) {
        problems.push(Problem::new("no-such-campus", "/campus", format!("there is no campus {}", draft.campus)));
    }
    let known = subnets::networks(db).await?;
    for (place, port) in draft.ports.iter().enumerate() {
        let at = format!("/ports/{place}");
        if port.name.is_empty() || port.name.len() > PORT_LIMIT_BYTES || port.name.contains(|c: char| c.is_control()) {
            problems.push(Problem::new("bad-name", format!("{at}/name"), format!("a port is named in {PORT_LIMIT_BYTES} printable bytes at most")));
        }
        if draft.ports[..place].iter().any(|other| other.name == port.name) {
            problems.push(Problem::new("duplicate-name", format!("{at}/name"), format!("the port {} is there twice", port.name)));
        }
        let unknown = port.subnets.iter().enumerate().filter(|(_, network)| !known.iter().any(|(_, known)| known == *network));
        problems.extend(unknown.map(|(n, network)| Problem::new("no-such-subnet", format!("{at}/subnets/{n}"), format!("there is no subnet {network}"))));
    }
    Ok(problems)
}

/// What a department's server refers to that is not there. Whether it may stand there is asked when it does.
async fn server_problems(db: &mut PgConnection, draft: &ServerDraft) -> Result<Vec<Problem>, Refusal> {
    let mut problems = Vec::new();
    if !departments::all(db).await?.iter().any(|known| known.draft.name == draft.department) {
        problems.push(Problem::new("no-such-entry", "/department", format!("there is no department {}: add it first", draft.department)));
    }
    if !subnets::networks(db).await?.iter().any(|(_, network)| network.can_hold(draft.address)) {
        let detail = format!("{} can be no server's address in a subnet of ours", draft.address);
        problems.push(Problem::new("address-outside-subnets", "/address", detail));
    }
    if let Some(campus) = campuses::all(db).await?.into_iter().find(|campus| campus.service_address == Some(draft.address)) {
        problems.push(Problem::new("duplicate-address", "/address", format!("{} is where campus {} answers itself", draft.address, campus.name)));
    }
    if let Some(key) = &draft.key
        && transfers::known_keys(db, std::slice::from_ref(key)).await?.is_empty()
    {
        problems.push(Problem::new("no-such-entry", "/key", format!("there is no TSIG key {key}: `holdfast tsig-key add {key}`")));
    }
    Ok(problems)
}

/// What is wrong with an entry whatever else there is.
fn plain_problems(entry: &Entry) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !is_short_word(entry.name(), matches!(entry, Entry::Contact(_) | Entry::Router(_) | Entry::Server(_))) {
        let detail = format!("\"{}\" is no short word of small letters, digits and hyphens, of {WORD_LIMIT_BYTES} at most", entry.name());
        problems.push(Problem::new("bad-name", pointer_of_name(entry), detail));
    }
    let (title, note) = match entry {
        Entry::Department(draft) => (&draft.title, ""),
        Entry::Contact(draft) => (&draft.name, draft.note.as_str()),
        Entry::External(draft) => (&draft.title, draft.note.as_str()),
        Entry::Class(draft) => (&draft.title, ""),
        Entry::Router(draft) => (&draft.title, ""),
        Entry::Server(draft) => (&draft.name, draft.note.as_str()),
    };
    let title_field = if matches!(entry, Entry::Contact(_)) { "/name" } else { "/title" };
    for (pointer, text, limit) in [(title_field, title.as_str(), TITLE_LIMIT_BYTES), ("/note", note, NOTE_LIMIT_BYTES)] {
        if text.len() > limit {
            problems.push(Problem::new("text-too-long", pointer, format!("this has {} bytes, over the limit of {limit}", text.len())));
        }
        if text.contains('\0') {
            problems.push(Problem::new("text-not-printable", pointer, "this has a zero byte in it"));
        }
    }
    if let Entry::Contact(draft) = entry {
        problems.extend(contact_problems(draft));
    }
    problems
}

fn contact_problems(draft: &ContactDraft) -> Vec<Problem> {
    let mut problems = Vec::new();
    if draft.name.is_empty() {
        problems.push(Problem::new("missing", "/name", "a contact has a name"));
    }
    if let Some(mail) = draft.mail.as_ref().filter(|mail| !is_mail(mail)) {
        problems.push(Problem::new("bad-mail", "/mail", format!("\"{mail}\" is no mail address such as noc@uni.example")));
    }
    if let Some(phone) = draft.phone.as_ref().filter(|phone| !is_phone(phone)) {
        problems.push(Problem::new("bad-phone", "/phone", format!("\"{phone}\" is no telephone number such as +31 20 555 0117")));
    }
    if draft.organisation.is_some() && draft.kind != ContactKind::External {
        problems.push(Problem::new("not-external", "/organisation", "only an external contact belongs to an organisation outside"));
    }
    problems
}

fn pointer_of_name(entry: &Entry) -> &'static str {
    if matches!(entry, Entry::Contact(_)) { "/handle" } else { "/name" }
}

/// As the constraints `*_name_shape` and `contact_handle_shape` have it.
fn is_short_word(text: &str, is_handle: bool) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inner = |c: char| plain(c) || c == '-' || (is_handle && matches!(c, '.' | '_'));
    text.starts_with(plain) && text.chars().all(inner) && text.len() <= WORD_LIMIT_BYTES
}

/// As the constraint `contact_mail_shape` has it.
fn is_mail(text: &str) -> bool {
    let fits = |part: &str, limit: usize| !part.is_empty() && part.chars().count() <= limit && !part.contains(|c: char| c == '@' || c.is_whitespace());
    text.split_once('@').is_some_and(|(local, domain)| fits(local, 64) && fits(domain, 253))
}

/// As the constraint `contact_phone_shape` has it.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let inner = |c: char| c.is_ascii_digit() || " ()/.-".contains(c);
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(inner) && (2..=41).contains(&digits.len())
}

/// A department or organisation takes the responsibilities for itself along; anything else that refers to it keeps it there.
pub(super) async fn drop_own(db: &mut PgConnection, kind: EntryKind, name: &str) -> Result<(), Refusal> {
    let kind = match kind {
        EntryKind::Department => ObjectKind::Department,
        EntryKind::External => ObjectKind::External,
        EntryKind::Class => {
            defaults::delete(db, Level::Class, name).await?;
            return Ok(());
        }
        EntryKind::Contact | EntryKind::Router | EntryKind::Server => return Ok(()),
    };
    if let Some(object) = responsibility::find(db, kind, name).await? {
        responsibility::delete_of(db, object).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_contact_is_told_all_that_is_wrong_with_it() {
        let text = r#"{"handle": "Jane", "kind": "person", "name": "", "mail": "jane at uni", "phone": "call me", "organisation": "isp"}"#;
        let problems = plain_problems(&Entry::Contact(serde_json::from_str(text).unwrap()));
        let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(pointers, ["/handle", "/name", "/mail", "/phone", "/organisation"]);
    }

    #[test]
    fn mail_and_telephone_are_taken_as_people_write_them() {
        for good in ["noc@uni.example", "o'neil+night@cs.uni.example"] {
            assert!(is_mail(good), "{good}");
        }
        for good in ["+31 20 555 0117", "4711", "020-555.01/17"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in ["@uni.example", "a@", "a b@uni.example", "a@b@c"] {
            assert!(!is_mail(bad), "{bad}");
        }
        assert!(is_short_word("j.doe_2", true) && !is_short_word("j.doe", false) && !is_short_word("-x", true));
    }
}
