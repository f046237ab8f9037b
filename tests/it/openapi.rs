//! The OpenAPI document against a running master: what it says of parameters is what the handlers know, and schemathesis finds no
//! answer that it does not speak of.

use crate::changes::office::{Office, Person};
use holdfast_lab::programs::house;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Something that stands in the place of each name in a path.
fn filled(path: &str) -> String {
    let known = [
        ("{address}", "10.1.4.0"),
        ("{length}", "22"),
        ("{ip}", "10.1.4.10"),
        ("{apex}", "uni.example"),
        ("{feed}", "zone"),
        ("{generation}", "1"),
        ("{level}", "campus"),
        ("{object}", "north"),
        ("{number}", "1"),
        ("{delivery}", "1"),
        ("{domain}", "uni.example"),
        ("{mailbox}", "abuse"),
        ("{type}", "MX"),
        ("{data}", "10%20mail.uni.example"),
        ("{pool}", "printers"),
        ("{person}", "ada"),
        ("{member}", "ada"),
        ("{id}", "00000000-0000-0000-0000-000000000000"),
        ("{file}", "hosts.csv"),
        ("{name}", "www.uni.example"),
    ];
    known.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// A refused parameter is answered with those that are known.
fn known_parameters(problem: &Value) -> Option<BTreeSet<String>> {
    let error = problem["errors"].as_array()?.iter().find(|error| error["code"] == "unknown-parameter")?;
    let list = error["detail"].as_str()?.split("known are: ").nth(1)?;
    Some(list.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[test]
fn the_parameters_that_are_described_are_those_that_are_known() {
    let office = Office::open("openapi-parameters");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    let document = office.get("/openapi.json").expect(200).body;
    let mut compared = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let operation = &item[method];
            let body = json!({ "zz": 1 });
            let body = Some(&body).filter(|_| !matches!(method, "get" | "delete"));
            let answer = match operation {
                Value::Null => continue,
                _ => office.ask(Person::Ada, &method.to_uppercase(), &format!("{}?zz=1", filled(path)), &[("if-match", "*")], body),
            };
            let Some(known) = known_parameters(&answer.body) else { continue };
            let in_query = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query");
            let described: BTreeSet<String> = in_query.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
            assert_eq!(described, known, "{method} {path}");
            compared += 1;
        }
    }
    assert!(compared > 140, "{compared} requests were compared");
}

/// Small in CI, long with `tests/run long`; where schemathesis cannot be had, that is said.
#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    let office = Office::open("schemathesis");
    office.add_host("www.uni.example", "10.1.4.10").expect(201);
    let examples = if crate::is_long() { "60" } else { "3" };
    let mut command = Command::new(house().join("tests/schemathesis"));
    command.args([&format!("http://{}", office.web), office.token(Person::Ada), examples]);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(0) => {}
        Some(77) => holdfast_lab::skipped("schemathesis_finds_no_answer_that_is_not_described", said.trim()),
        _ => panic!("{said}"),
    }
    let fault = office.master_log().lines().find(|line| line.contains("http_fault")).map(str::to_owned);
    assert_eq!(fault, None, "the master says so itself");
}
