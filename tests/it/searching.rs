//! Finding a host by what somebody remembers of it: on a database of its own.

use crate::organisation::{Institution, host};
use holdfast_master::inventory::organisation::{ContactRole, ObjectKind};
use holdfast_master::inventory::{self, Edit, HostQuery, Sight};
use serde_json::json;

/// The names that a search finds, page by page.
async fn found(it: &Institution, text: &str, limit: u32) -> Vec<String> {
    let mut query = HostQuery { search: Some(text.to_owned()), limit, ..HostQuery::default() };
    let mut names = Vec::new();
    loop {
        let page = inventory::host_list(&it.pool, &Sight::All, &query).await.unwrap();
        names.extend(page.hosts.iter().map(|host| host.draft.name.to_string()));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return names,
        }
    }
}

#[tokio::test]
async fn a_host_is_found_by_whatever_somebody_remembers_of_it() {
    let it = Institution::new("searching").await;
    let lab = |number: u8, more| host(&format!("lab-{number}.uni.example"), &format!("10.1.4.{}", 40 + number), more);
    for draft in [
        lab(1, json!({ "contact": "Anna Berg, 50% of her time", "location": "Main building" })),
        lab(2, json!({ "equipment": { "building": "observatory", "room": "B-204" } })),
        lab(3, json!({ "comment": "spectrograph_2", "hardware": "Sun IPX" })),
        serde_json::from_value(json!({ "name": "pc.uni.example", "interfaces": [{ "mac": "08:00:20:db:be:4c", "addresses": ["10.1.7.99"] }] })).unwrap(),
    ] {
        it.edit(Edit::HostAdd(draft)).await;
    }
    it.contact("stars").await;
    it.responsible("stars", ContactRole::Technical, ObjectKind::Host, "lab-3.uni.example").await;
    let one = |number: u8| vec![format!("lab-{number}.uni.example")];
    let labs = [one(1), one(2), one(3)].concat();
    for (text, expected) in [
        ("LAB-", labs.clone()),
        ("b-2", [one(2)].concat()),
        ("la", labs.clone()),
        ("anna", one(1)),
        ("50%", one(1)),
        ("5_%", vec![]),
        ("spectrograph_", one(3)),
        ("observ", one(2)),
        ("stars", one(3)),
        ("10.1.4.4", labs.clone()),
        ("10.1.4.43", one(3)),
        (".43", one(3)),
        ("10.1.4.0/24", [labs.clone(), vec!["ns.uni.example".into(), "ns2.uni.example".into()]].concat()),
        ("7.99", vec!["pc.uni.example".into()]),
        ("08-00-20-DB-BE-4C", vec!["pc.uni.example".into()]),
        ("0800.20", vec!["pc.uni.example".into()]),
        ("be:4c", vec!["pc.uni.example".into()]),
        ("nobody's", vec![]),
    ] {
        // A whole page is filled by a walk along the names, the rest by the indexes: they must agree.
        assert_eq!(found(&it, text, 100).await, expected, "{text}");
        assert_eq!(found(&it, text, 1).await, expected, "{text}, page by page");
    }
}
