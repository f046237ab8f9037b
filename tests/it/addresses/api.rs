//! Addresses as programs and people ask for them: over the API and with the command line, at a master of its own.

use holdfast_lab::folder::Folder;
use holdfast_lab::lab::get;
use holdfast_lab::process::{Program, Recipe};
use holdfast_lab::programs::programs;
use holdfast_master::keys::ceremony;
use holdfast_proto::snapshot::SigningKey;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The master makes a database at its first start.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A master alone, on ports that nobody else has.
struct Master {
    program: Program,
    web: SocketAddr,
    config: PathBuf,
    token: String,
    _folder: Folder,
}

impl Drop for Master {
    fn drop(&mut self) {
        // Told to stop, it stops its database as well.
        if let Err(error) = self.program.stop() {
            eprintln!("the master was not stopped: {error:#}");
        }
    }
}

impl Master {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let state_dir = folder.path().join("master");
        let portal = SigningKey::generate().unwrap().0.public();
        ceremony::init(&state_dir, "University of Examples", portal, &[], 1).unwrap();
        let (web, control) = (free_port(), free_port());
        let text = format!("state_dir = {state_dir:?}\n[web]\nlisten = \"{web}\"\n[control]\nlisten = \"{control}\"\n");
        let config = folder.write("master.toml", &text).unwrap();
        let recipe = Recipe::new("master", &programs().unwrap().master, &folder.path().join("logs")).args(["serve", "--config"]).args([config.clone()]);
        let mut master = Self { program: recipe.start().unwrap(), web, config, token: String::new(), _folder: folder };
        let deadline = Instant::now() + START_LIMIT;
        while !get(web, "/healthz").is_ok_and(|answer| answer.contains("200 OK")) {
            assert!(Instant::now() < deadline && master.program.is_running(), "the master starts: {}", master.program.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let made = Command::new(&programs().unwrap().master).arg("--config").arg(&master.config).args(["admin", "token", "test"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        master.token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        master.lay_out();
        master
    }

    fn lay_out(&self) {
        for (path, body) in [
            ("/campuses", json!({ "name": "north" })),
            ("/campuses", json!({ "name": "south" })),
            ("/zones", json!({ "apex": "uni.example", "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example" })),
            ("/subnets", json!({ "network": "10.1.4.0/24", "campus": "north", "gateway": "10.1.4.1" })),
            ("/subnets", json!({ "network": "10.2.4.0/24", "campus": "south" })),
        ] {
            self.must("POST", path, &body);
        }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}/api/v1{path}", self.web))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .header("if-match", "*")
            .body(body.to_string())
            .unwrap();
        let mut response = agent.run(request).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn must(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// What `holdfast` prints.
    fn holdfast(&self, args: &[&str]) -> String {
        let mut command = Command::new(&programs().unwrap().cli);
        command.args(args).env("HOLDFAST_SERVER", format!("http://{}", self.web)).env("HOLDFAST_TOKEN", &self.token);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_hundred_requests_at_once_get_a_hundred_addresses() {
    let master = Master::start("addresses-api");
    let given: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let ask = |number: u32| {
            let master = &master;
            let body = json!({ "name": format!("pc{number}.uni.example"), "interfaces": [{ "addresses": [{ "next": { "subnet": "10.1.4.0/24" } }] }] });
            scope.spawn(move || master.ask("POST", "/hosts", &body))
        };
        let asking: Vec<_> = (0..100).map(ask).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let failed: Vec<_> = given.iter().filter(|(status, _)| *status != 201).collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed[0]);
    let addresses: HashSet<String> = given.iter().map(|(_, answer)| answer["object"]["interfaces"][0]["addresses"][0].as_str().unwrap().to_owned()).collect();
    let expected: HashSet<String> = (2..=101).map(|last| format!("10.1.4.{last}")).collect();
    assert_eq!(addresses, expected);
    let subnet = master.must("GET", "/subnets/10.1.4.0/24", &json!({}));
    assert_eq!((&subnet["total"], &subnet["used"], &subnet["free"]), (&json!(254), &json!(100), &json!(153)));
}

#[test]
fn people_take_give_back_and_move_addresses_with_the_command_line() {
    let master = Master::start("addresses-cli");
    assert_eq!(master.holdfast(&["ip", "next", "10.1.4.0/24", "--count", "2"]), "10.1.4.2\n10.1.4.3\n");
    let added = master.holdfast(&["host", "add", "lab-{01..03}.uni.example", "--next", "10.1.4.0/24"]);
    assert!(added.ends_with("lab-01.uni.example 10.1.4.2\nlab-02.uni.example 10.1.4.3\nlab-03.uni.example 10.1.4.4\n"), "{added}");
    let (_, answer) = master.ask("POST", "/subnets/10.2.4.0/24/next", &json!({ "name": "direct.uni.example" }));
    assert_eq!(answer["object"]["interfaces"][0]["addresses"][0], "10.2.4.1");

    let would = master.holdfast(&["host", "move", "lab-01.uni.example", "--subnet", "10.2.4.0/24", "--dry-run"]);
    assert!(would.starts_with("nothing is changed") && would.contains("+ lab-01.uni.example. A 10.2.4.2"), "{would}");
    let moved = master.holdfast(&["host", "move", "lab-01.uni.example", "--subnet", "10.2.4.0/24"]);
    assert!(moved.starts_with("done") && moved.contains("- lab-01.uni.example. A 10.1.4.2"), "{moved}");
    let planned = master.holdfast(&["host", "move", "lab-02.uni.example", "--subnet", "10.2.4.0/24", "--planned", "2099-01-01T00:00:00Z"]);
    assert!(planned.contains("it moves at 2099-01-01"), "{planned}");
    assert!(master.holdfast(&["move", "list"]).contains("lab-02.uni.example"));

    assert!(master.holdfast(&["ip", "quarantine"]).contains("10.1.4.2  10.1.4.0/24  lab-01.uni.example"));
    let refused = master.holdfast(&["host", "add", "new.uni.example", "--address", "10.1.4.2"]);
    assert!(refused.contains("was given back by lab-01.uni.example"), "{refused}");
    assert!(master.holdfast(&["ip", "quarantine", "release", "10.1.4.2", "--reason", "it was never plugged in"]).starts_with("done"));
    assert!(master.holdfast(&["host", "add", "new.uni.example", "--address", "10.1.4.2"]).starts_with("done"));

    assert!(master.holdfast(&["pool", "add", "10.1.4.100", "10.1.4.120", "--kind", "reserved"]).contains("say why"));
    assert!(master.holdfast(&["pool", "add", "10.1.4.100", "10.1.4.120", "--kind", "dynamic", "--name", "leases"]).starts_with("done"));
    assert!(master.holdfast(&["pool", "list"]).contains("leases"));
    assert!(master.holdfast(&["subnet", "map", "10.1.4.0/24"]).contains("10.1.4.100  10.1.4.120  dynamic"));
    assert!(master.holdfast(&["subnet", "show", "10.1.4.0/24"]).contains("excluded"));
    assert!(master.holdfast(&["pool", "delete", "10.1.4.100-10.1.4.120"]).starts_with("done"));
    assert!(master.holdfast(&["container", "add", "10.8.0.0/16"]).starts_with("done"));
    let cut = master.holdfast(&["container", "next-subnet", "10.8.0.0/16", "--length", "26", "--campus", "north", "-o", "json"]);
    assert!(cut.contains("\"10.8.0.0/26\""), "{cut}");
    assert!(master.holdfast(&["family", "add", "phone", "--first", "4000", "--last", "4999"]).starts_with("done"));
    assert!(master.holdfast(&["report", "unused", "--days", "0"]).contains("lab-03.uni.example"));
}
