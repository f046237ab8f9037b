use super::the_document;
use crate::http::tests::ask;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Set, the committed copy is written anew.
const RENEW: &str = "HOLDFAST_RENEW";

fn document() -> Value {
    serde_json::to_value(the_document()).unwrap()
}

/// Method, path and description of every request.
fn operations(document: &Value) -> Vec<(&'static str, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| METHODS.iter().filter_map(|method| Some((*method, path.clone(), item.get(method)?.clone()))).collect::<Vec<_>>();
    paths.iter().flat_map(of).collect()
}

#[test]
fn the_committed_document_is_that_of_this_build() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = committed.lines().zip(now.lines()).position(|(was, is)| was != is);
    assert!(
        committed == now,
        "the API is not what master/openapi.json says (first in line {:?}): where that is meant, renew it by\n    {RENEW}=1 cargo test --workspace --lib committed_document\n\
         where it is not, programs out there would break",
        differing.map(|line| line + 1)
    );
}

#[test]
fn every_request_is_described_whole() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name")).to_owned();
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} says nothing");
        assert!(names.insert(name.clone()), "{name} is there twice");
        for status in ["400", "401", "500", "503"] {
            let reference = operation["responses"][status]["$ref"].as_str().unwrap_or_else(|| panic!("{name}: {status}"));
            let refusal = document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"));
            assert!(refusal["content"]["application/problem+json"].is_object(), "{reference}");
        }
        let places = path.matches('{').count();
        let described = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path").count();
        assert_eq!(places, described, "{name}");
        assert!(!path.contains('*'), "{path}");
    }
    assert!(names.len() > 140, "{} requests", names.len());
    assert!(document["components"]["responses"].as_object().is_some_and(|all| all.len() == super::REFUSALS.len()));
    let text = document.to_string();
    let references: BTreeSet<&str> = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for name in references {
        assert!(!document["components"]["schemas"][name].is_null(), "there is no schema {name}");
    }
}

#[tokio::test]
async fn every_described_request_has_a_route_and_no_other_has() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let at = format!("/api/v1{}", path.replace("{length}", "24").replace(['{', '}'], ""));
        for method in METHODS {
            let (response, body) = ask(&method.to_uppercase(), &at, &[], "").await;
            let (status, is_described) = (response.status().as_u16(), item.get(method).is_some());
            assert!(!body.contains("there is nothing at"), "{path} has no route");
            // Two paths may share a place: /snapshots/audit is one of /snapshots/{feed}.
            assert!(status != 405 || !is_described, "{method} {path} has no route");
            assert!(is_described || matches!(status, 405 | 401), "{method} {path} answers {status} and is not described");
        }
    }
    // What is described is routed by the same line; so nothing else may route.
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/api")).unwrap() {
        let path = entry.unwrap().path();
        let text = if path.is_file() { std::fs::read_to_string(&path).unwrap() } else { String::new() };
        assert!(!text.contains(".route("), "{} has a route that is not described: use routes!", path.display());
    }
}

#[tokio::test]
async fn the_page_for_people_needs_nothing_from_elsewhere() {
    let (response, page) = ask("GET", "/api/v1/docs", &[], "").await;
    assert_eq!(response.status(), 200);
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://") && !page.contains("style=\""), "it stands alone");
    for (method, path, operation) in operations(&document()) {
        assert!(page.contains(&format!("{} /api/v1{path}", method.to_uppercase())), "{method} {path}");
        assert!(page.contains(&format!("id=\"{}\"", operation["operationId"].as_str().unwrap())));
    }
    let (response, text) = ask("GET", "/api/v1/openapi.json", &[], "").await;
    assert_eq!((response.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap()), (200, document()));
}
