//! Pages as they are rendered: what is typed in never becomes markup, and every state says itself in words.

use super::{Frame, hosts::HostsPage, hosts::ServedPart, page};
use crate::{
    http::Served,
    inventory::{Host, HostDraft, Version},
    snapshots::Hold,
};
use askama::Template;
use chrono::Utc;
use uuid::Uuid;

fn frame(may_edit: bool) -> Frame {
    Frame {
        name: "<admin>".into(),
        may_edit,
        sees_all: true,
        may_grant: true,
        here: "hosts",
        strip: String::new(),
        build: "test",
        help: std::sync::Arc::default(),
        holds: vec![],
    }
}

fn host() -> Host {
    let mut draft = HostDraft::simple("www.uni.example".parse().unwrap(), None, "10.1.4.7".parse().unwrap());
    draft.location = "<script>alert(1)</script>".into();
    Host { id: Uuid::nil(), version: Version(3), created_at: Utc::now(), updated_at: Utc::now(), draft }
}

fn list(may_edit: bool) -> String {
    let search = "\"><b>".to_owned();
    HostsPage { frame: frame(may_edit), search, hosts: vec![host()], paged: false, next: Some("1ab".into()), gone: None, follow: None }.render().unwrap()
}

#[test]
fn what_is_typed_in_never_becomes_markup() {
    let text = list(true);
    assert!(!text.contains("<script>alert") && !text.contains("\"><b>") && !text.contains("<admin>"));
    assert!(text.contains("cursor=1ab") && text.contains("search=%22%3E%3Cb%3E"));
    assert!(!text.contains("style=") && !text.contains("onclick"));
}

#[test]
fn what_is_held_is_told_on_every_page_with_what_to_do() {
    let hold = Hold {
        feed: "zone".into(),
        since: Utc::now(),
        detail: "zone uni.example would lose 100 of its 300 names.".into(),
        removed: 100,
        released: false,
        seen: 0,
    };
    let frame = Frame { holds: vec![hold], ..frame(true) };
    let text = HostsPage { frame, search: String::new(), hosts: vec![], paged: false, next: None, gone: None, follow: None }.render().unwrap();
    assert!(text.contains("would lose 100 of its 300 names") && text.contains("holdfast snapshot release zone --removed 100"));
    assert!(text.contains("role=\"alert\""));
}

#[test]
fn only_who_may_edit_sees_the_doors_to_it() {
    assert!(list(true).contains("/hosts/new"));
    assert!(!list(false).contains("/hosts/new"));
}

#[test]
fn propagation_is_said_in_words_and_ends_when_all_serve() {
    let one = |agent: &str, connected, since| Served { agent: agent.into(), connected, since };
    let half = ServedPart::new(vec![one("north", true, Some(Utc::now())), one("south", true, None), one("island", false, None)]).render().unwrap();
    for words in ["served by", "on its way to", "is cut off"] {
        assert!(half.contains(words), "{words}");
    }
    assert!(!half.contains("data-done"));
    let all = ServedPart::new(vec![one("north", true, Some(Utc::now()))]).render().unwrap();
    assert!(all.contains("data-done"));
    assert!(page(ServedPart::new(vec![])).is_ok());
}
