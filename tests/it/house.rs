//! The import rules of the house: who may look at whom.
//!
//! The table below is the law; the test reads every path in every source file and compares. A room that is not in it, or a
//! look that is not in it, fails with file and line. The rule that carries the product: no service of the agent (`dns`,
//! `resolver`, `dhcp`, `radius`) can see `uplink`, so no local answer can depend on whether the master is reachable.

mod source;

use holdfast_lab::programs::house;
use source::{Look, looks};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// `room -> rooms it may look at`. `*` is every room of its package, `proto::*` every room of proto, `names::engine` one of names, `db::access` one thing of a room.
/// What every room may use without saying so stands in [`EVERYBODYS`].
const TABLE: &str = "
proto          lib        ->
proto          words      ->
proto          snapshot   -> words
proto          control    -> words snapshot net::clock net::tls
proto          lent       -> words snapshot
proto          dns        -> words snapshot lent
proto          dhcp       -> words snapshot lent
proto          radius     -> words snapshot
proto          syslog     -> words
proto          probe      -> words snapshot dns dhcp radius
proto          net        -> words

proto/names    lib        ->
proto/names    settings   ->
proto/names    counting   -> proto::dns proto::net
proto/names    engine     -> counting settings proto::net proto::snapshot proto::dns

master         lib        ->
master         main       -> * proto::net proto::control
master         commands   -> * proto::net proto::control proto::snapshot
master         run        -> * proto::*
master         bin        -> cli
master         adopt      -> publish snapshots keys db proto::*
master         cli        ->
master         config     -> names::settings
master         telemetry  ->
master         engine     -> config
master         http       -> inventory nodes keys snapshots reports probes audit feed db::access db::requests db::DbError proto::net proto::snapshot
master         inventory  -> db proto::snapshot proto::dns proto::dhcp proto::radius
master         db         -> proto::snapshot proto::dns::Place proto::dns::Record proto::dns::rtype
master         audit      -> db keys proto::snapshot
master         feed       -> db
master         keys       -> proto::net proto::snapshot proto::control::enrol
master         nodes      -> db keys proto::control proto::net proto::snapshot
master         publish    -> db keys proto::*
master         dns        -> publish db names::engine names::settings proto::*
master         snapshots  -> publish db keys inventory::present proto::*
master         control    -> publish reports nodes db keys proto::control proto::net proto::snapshot
master         probes     -> db keys publish proto::*
master         reports    -> db proto::control proto::dhcp::lease proto::radius::accounting proto::net::forward proto::syslog
master         portal     -> engine proto::*

campus-agent   lib        ->
campus-agent   main       -> * proto::net proto::control
campus-agent   run        -> * proto::*
campus-agent   config     -> names::settings
campus-agent   telemetry  -> names::counting
campus-agent   uplink     -> store reports proto::control proto::net proto::snapshot
campus-agent   store      -> proto::net proto::snapshot
campus-agent   peer       -> reports proto::net proto::probe proto::radius proto::snapshot
campus-agent   reports    -> store proto::net proto::control proto::syslog
campus-agent   names      -> store proto::snapshot proto::lent proto::dns
campus-agent   status     -> store reports uplink proto::net proto::snapshot
campus-agent   dns        -> store reports proto::net proto::snapshot proto::dns
campus-agent   resolver   -> store reports names::engine proto::net proto::snapshot proto::dns proto::dhcp
campus-agent   dhcp       -> store reports proto::net proto::snapshot proto::dhcp proto::lent
campus-agent   radius     -> store reports proto::net proto::snapshot proto::radius
";

/// A word is a value; configuration is a value handed in; counters and log lines are written everywhere but in proto and the command line.
const EVERYBODYS: [&str; 3] = ["proto::words", "config", "telemetry"];
/// Rooms that do without even those.
const PLAIN: [&str; 5] = ["config", "settings", "telemetry", "cli", "bin"];

struct Package {
    folder: &'static str,
    crate_name: &'static str,
}

const PACKAGES: [Package; 4] = [
    Package { folder: "proto", crate_name: "holdfast_proto" },
    Package { folder: "proto/names", crate_name: "holdfast_names" },
    Package { folder: "master", crate_name: "holdfast_master" },
    Package { folder: "campus-agent", crate_name: "holdfast_agent" },
];

type Rules = BTreeMap<&'static str, Vec<&'static str>>;

/// The rooms of a package and what each may look at.
fn rules(folder: &str) -> Rules {
    let lines = TABLE.lines().filter(|line| line.split_whitespace().next() == Some(folder));
    let rule = |line: &'static str| {
        let (head, allowed) = line.split_once("->").expect("a rule has an arrow");
        let room = head.split_whitespace().nth(1).expect("a rule names a room");
        let mut allowed: Vec<_> = allowed.split_whitespace().collect();
        let is_plain = folder == "proto" || PLAIN.contains(&room);
        allowed.extend(EVERYBODYS.into_iter().filter(|_| !is_plain));
        (room, allowed)
    };
    lines.map(rule).collect()
}

#[test]
fn every_room_looks_only_where_the_table_lets_it() {
    let mut wrong = String::new();
    for package in &PACKAGES {
        let rules = rules(package.folder);
        let root = house().join(package.folder).join("src");
        for file in rust_files(&root) {
            let module = module_of(file.strip_prefix(&root).expect("it lies under the root"));
            let text = fs::read_to_string(&file).expect("it can be read");
            let Some(allowed) = rules.get(module[0].as_str()) else {
                writeln!(wrong, "{}: the room \"{}\" is not in the table", file.display(), module[0]).expect("a String takes it");
                continue;
            };
            for look in looks(&text, &module).iter().filter(|look| !is_allowed(package, &rules, &module[0], allowed, look)) {
                let shown = file.strip_prefix(house()).expect("it lies in the house").display();
                writeln!(wrong, "{shown}:{}: {} may not look at {}", look.line, module[0], look.path.join("::")).expect("a String takes it");
            }
        }
    }
    assert!(wrong.is_empty(), "the table in tests/it/house.rs says who may look at whom:\n{wrong}");
}

fn is_allowed(package: &Package, rules: &Rules, room: &str, allowed: &[&str], look: &Look) -> bool {
    let [root, rest @ ..] = &look.path[..] else { return true };
    let inside = root == "crate" || root == package.crate_name;
    let within = |prefix: &str| {
        let one = rest.first().map(|first| format!("{prefix}{first}"));
        let two = rest.get(1).zip(one.as_ref()).map(|(second, one)| format!("{one}::{second}"));
        one.into_iter().chain(two).any(|path| allowed.contains(&path.as_str()))
    };
    match root.as_str() {
        // A name that is no room is something that lib.rs could re-export, and lib.rs has no such line.
        _ if inside => rest.first().is_none_or(|first| first == room || !rules.contains_key(first.as_str())) || allowed.contains(&"*") || within(""),
        "holdfast_proto" => allowed.contains(&"proto::*") || within("proto::"),
        "holdfast_names" => allowed.contains(&"names::*") || within("names::"),
        foreign => !foreign.starts_with("holdfast_"),
    }
}

#[test]
fn a_table_of_contents_holds_modules_alone() {
    for package in &PACKAGES {
        let text = fs::read_to_string(house().join(package.folder).join("src/lib.rs")).expect("it can be read");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with("#["));
        for line in lines {
            assert!(line.starts_with("pub mod ") || line.starts_with("mod "), "{}/src/lib.rs: \"{line}\" is no room", package.folder);
        }
    }
}

#[test]
fn the_table_speaks_of_rooms_that_exist() {
    for package in &PACKAGES {
        let root = house().join(package.folder).join("src");
        for room in rules(package.folder).keys() {
            let is_there = root.join(room).is_dir() || root.join(format!("{room}.rs")).is_file();
            assert!(is_there, "{}/src has no room \"{room}\": take it out of the table", package.folder);
        }
    }
}

#[test]
fn packages_know_no_more_than_they_may() {
    let manifest = |folder: &str| fs::read_to_string(house().join(folder).join("Cargo.toml")).expect("it can be read");
    let forbidden = [
        ("proto", vec!["holdfast-master", "holdfast-agent", "holdfast-names", "holdfast-lab", "sqlx", "axum"]),
        ("proto/names", vec!["holdfast-master", "holdfast-agent", "holdfast-lab", "sqlx", "axum"]),
        ("master", vec!["holdfast-agent", "holdfast-lab"]),
        ("campus-agent", vec!["holdfast-master", "holdfast-lab", "sqlx"]),
    ];
    for (folder, names) in forbidden {
        let manifest = manifest(folder);
        let found = names.into_iter().find(|name| manifest.lines().any(|line| line.trim_start().starts_with(name)));
        assert_eq!(found, None, "{folder}/Cargo.toml asks for what it may not see");
    }
}

/// One provider of cryptography, so that there is one place to look when it has a fault. The tree is asked, not Cargo.lock: the
/// lock also names what a dependency could switch on and we do not.
#[test]
fn there_is_one_provider_of_cryptography() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = ["tree", "--workspace", "--edges", "all", "--prefix", "none", "--format", "{p}", "--offline"];
    let tree = std::process::Command::new(cargo).args(asked).current_dir(house()).output().expect("cargo runs");
    assert!(tree.status.success(), "cargo tree: {}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout);
    assert!(tree.lines().any(|line| line.starts_with("aws-lc-rs ")), "the tree is read");
    for second in ["ring", "openssl", "openssl-sys", "native-tls"] {
        assert!(!tree.lines().any(|line| line.split(' ').next() == Some(second)), "{second} stands beside aws-lc-rs: see `cargo tree -i {second}`");
    }
}

/// The reader of a migration learns first why it is there.
#[test]
fn every_migration_opens_with_its_reason() {
    for file in files(&house().join("migrations"), "sql") {
        let text = fs::read_to_string(&file).expect("it can be read");
        assert!(text.trim_start().starts_with("--"), "{} does not open with a comment", file.display());
    }
}

/// A file that grows past this is several things; the longest are told as a note long before.
#[test]
fn files_stay_readable() {
    const LIMIT_LINES: usize = 900;
    const NOTED_LINES: usize = 500;
    let sources = ["proto", "master", "campus-agent", "tests"].iter().flat_map(|folder| rust_files(&house().join(folder)));
    for file in sources {
        let lines = fs::read_to_string(&file).expect("it can be read").lines().count();
        assert!(lines <= LIMIT_LINES, "{} has {lines} lines: split it by what it does", file.display());
        if lines > NOTED_LINES {
            eprintln!("note: {} has {lines} lines", file.display());
        }
    }
}

/// `src/store/keeper.rs` is `[store, keeper]`, `src/store/mod.rs` is `[store]`.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<_> = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    files(folder, "rs")
}

/// All files below a folder with this extension, in a fixed order; what cargo builds lies elsewhere.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let deeper = |path: PathBuf| if path.is_dir() && !path.ends_with("target") { files(&path, extension) } else { vec![path] };
    paths.into_iter().flat_map(deeper).filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}
