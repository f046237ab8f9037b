//! Random zones that every server accepts: nothing but glue below a delegation, nothing below a DNAME, an alias alone.

use super::peers::file_of;
use holdfast_proto::words::DomainName;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The same numbers in each run.
pub struct Dice(pub u64);

impl Dice {
    /// Below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub struct RandomZone {
    pub apex: DomainName,
    text: String,
    names: Vec<String>,
}

const LABELS: [&str; 5] = ["a", "b", "c", "d", "*"];

impl RandomZone {
    /// A zone with these records, owners relative to its apex.
    pub fn of(apex: &str, records: &str) -> Self {
        let head = "$TTL 300\n@ 3600 SOA ns hostmaster 1 7200 900 1209600 120\n@ NS ns\n";
        Self { apex: apex.parse().unwrap(), text: format!("$ORIGIN {apex}.\n{head}{records}"), names: Vec::new() }
    }

    pub fn draw(apex: &str, dice: &mut Dice) -> Self {
        let mut drawn = Drawn::default();
        drawn.lines.push("ns A 10.0.0.53".into());
        drawn.types.entry("ns".into()).or_default().insert("A");
        for _ in 0..40 {
            drawn.add(dice);
        }
        let mut zone = Self::of(apex, &(drawn.lines.join("\n") + "\n"));
        zone.names = drawn.types.into_keys().collect();
        zone
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// A name to ask for: there, near what is there, or anywhere.
    pub fn question(&self, dice: &mut Dice) -> DomainName {
        let known = dice.pick(&self.names).clone();
        let relative = match dice.below(5) {
            0 => owner(dice),
            1 => format!("{}.{known}", dice.pick(&["a", "q", "*"])),
            2 => known.split_once('.').map_or(String::new(), |(_, parent)| parent.to_owned()),
            _ => known,
        };
        let name = if relative.is_empty() { self.apex.clone() } else { DomainName::parse(&relative, Some(&self.apex)).unwrap() };
        if dice.below(20) == 0 { self.apex.clone() } else { name }
    }

    /// Writes the zone's file, signed by BIND's tools where that is wanted.
    pub fn write(&self, folder: &Path, signed: bool) {
        let (apex, file) = (self.apex.without_dot(), file_of(&self.apex));
        if !signed {
            return fs::write(folder.join(file), &self.text).unwrap();
        }
        fs::write(folder.join(format!("{apex}.plain")), &self.text).unwrap();
        run(folder, "dnssec-keygen", &["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", &apex]);
        run(folder, "dnssec-signzone", &["-q", "-S", "-z", "-P", "-o", &apex, "-f", &file, &format!("{apex}.plain")]);
    }
}

/// The line by which a validator believes the zone's key.
pub fn anchor(folder: &Path, apex: &DomainName) -> String {
    let prefix = format!("K{}.+", apex.without_dot());
    let is_key = |name: &str| name.starts_with(&prefix) && name.ends_with(".key");
    let path = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| is_key(&path.file_name().unwrap().to_string_lossy())).unwrap();
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| !line.starts_with(';')).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "DNSKEY").skip(1).collect();
    format!("trust-anchors {{ \"{apex}\" static-key {} {} {} \"{}\"; }};\n", words[0], words[1], words[2], words[3..].concat())
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let output =
        Command::new(program).args(arguments).current_dir(folder).output().unwrap_or_else(|wrong| panic!("{program}: {wrong}: apt-get install bind9-utils"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn owner(dice: &mut Dice) -> String {
    let labels: Vec<&str> = (0..=dice.below(3)).map(|_| *dice.pick(&LABELS)).collect();
    labels.join(".")
}

#[derive(Default)]
struct Drawn {
    lines: Vec<String>,
    types: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Drawn {
    fn has(&self, owner: &str, rtype: &str) -> bool {
        self.types.get(owner).is_some_and(|types| types.contains(rtype))
    }

    fn is_hidden(&self, owner: &str) -> bool {
        let mut above = std::iter::successors(owner.split_once('.').map(|(_, parent)| parent), |name| name.split_once('.').map(|(_, parent)| parent));
        above.any(|name| self.has(name, "NS") || self.has(name, "DNAME"))
    }

    fn has_below(&self, owner: &str) -> bool {
        self.types.keys().any(|name| name.ends_with(&format!(".{owner}")))
    }

    fn put(&mut self, owner: &str, rtype: &'static str, rdata: &str) {
        self.lines.push(format!("{owner} {rtype} {rdata}"));
        self.types.entry(owner.to_owned()).or_default().insert(rtype);
    }

    fn add(&mut self, dice: &mut Dice) {
        let (name, target) = (owner(dice), owner(dice));
        let (number, is_new, is_wild) = (dice.below(250), !self.types.contains_key(&name), name.starts_with('*'));
        if self.is_hidden(&name) || self.has(&name, "CNAME") || self.has(&name, "NS") || self.has(&name, "DNAME") {
            return;
        }
        match dice.below(12) {
            0..3 => self.put(&name, "A", &format!("10.0.0.{number}")),
            3 => self.put(&name, "AAAA", &format!("2001:db8::{number}")),
            4 => self.put(&name, "TXT", &format!("\"{number}\"")),
            5 => self.put(&name, "MX", &format!("{number} {target}")),
            6 => self.put(&name, "SRV", &format!("0 {number} 389 {target}")),
            7 => self.put(&name, "TYPE65400", &format!("\\# 1 {:02x}", number)),
            8 | 9 if is_new => self.put(&name, "CNAME", if number < 25 { "www.elsewhere.example." } else { &target }),
            10 if is_new && !is_wild && !self.has_below(&name) && !name.contains('*') => {
                self.put(&name, "NS", &format!("ns.{name}"));
                self.put(&format!("ns.{name}"), "A", &format!("10.0.1.{number}"));
                if number % 2 == 0 {
                    self.put(&name, "DS", &format!("{number} 13 2 {}", "0123456789abcdef".repeat(4)));
                }
            }
            11 if is_new && !self.has_below(&name) && !name.contains('*') => self.put(&name, "DNAME", &target),
            _ => {}
        }
    }
}
