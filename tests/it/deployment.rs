//! What Ansible writes is what the programs read.
//!
//! Templates use two forms alone, `{{ name }}` and `{{ name | to_json }}`, so a page of code renders them as Ansible does, and the
//! programs' own readers judge the result: they refuse a key that they do not know.

use holdfast_lab::programs::house;
use std::collections::BTreeMap;
use std::fs;

type Variables = BTreeMap<String, String>;

const PROCESSES: [&str; 5] = ["uplink", "dns", "resolver", "dhcp", "radius"];

#[test]
fn the_agents_template_is_read_by_the_agent() {
    let text = rendered("agent", "agent.toml.j2", "north");
    let config: holdfast_agent::config::Config = toml::from_str(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    assert_eq!(config.uplink.master.as_deref(), Some("master.uni.example:7443"));
    assert!(config.dns.listen.iter().all(|address| address.ip().is_unspecified()), "an address need not be there when it starts");
}

#[test]
fn the_templates_of_master_and_portal_are_read_by_them() {
    let master: holdfast_master::config::Config = toml::from_str(&rendered("master", "master.toml.j2", "master")).unwrap();
    assert_eq!(master.control.listen.port(), 7443);
    assert!(master.forwarder.listen.is_empty() && master.forwarder.department_class.as_deref() == Some("name-server"));
    toml::from_str::<holdfast_master::config::PortalConfig>(&rendered("portal", "portal.toml.j2", "portal")).unwrap();
}

/// The same approach and platform on every campus: one agent, one role, a short file of differences.
#[test]
fn campuses_differ_in_a_short_file_alone() {
    /// A page that is read at a glance.
    const LIMIT: usize = 12;
    let [north, south] = ["north", "south"].map(|campus| flat(&format!("inventory/host_vars/{campus}.yml")));
    assert!(north.keys().eq(south.keys()), "both campuses set the same");
    assert!(north.len() <= LIMIT, "{} settings of a campus's own", north.len());
    let with_norths_name = rendered("agent", "agent.toml.j2", "south").replace("south", "north");
    assert_eq!(rendered("agent", "agent.toml.j2", "north"), with_norths_name);
}

#[test]
fn services_are_hardened_and_the_agent_waits_for_nothing() {
    let agents = PROCESSES.map(|process| (format!("holdfast-{process}"), agent_unit(process)));
    let others = ["master", "portal"].map(|role| (format!("holdfast-{role}"), rendered(role, &format!("holdfast-{role}.service.j2"), role)));
    for (unit, text) in agents.into_iter().chain(others) {
        for line in ["Restart=always", "StartLimitIntervalSec=0", "ProtectSystem=strict", "NoNewPrivileges=yes", &format!("User={unit}")] {
            assert!(text.lines().any(|found| found == line), "{unit}.service has no line {line}");
        }
        let waits = ["After=", "Wants=", "Requires=", "BindsTo="].into_iter().find(|word| text.lines().any(|line| line.starts_with(word)));
        assert_eq!(waits, None, "{unit}.service waits for something, and the network is not to be waited for");
    }
}

/// Each process of an agent has a unit of one template, and a user of its own.
#[test]
fn every_process_of_an_agent_has_its_line_in_the_role() {
    let processes = read("roles/agent/vars/main.yml");
    for process in PROCESSES {
        assert!(processes.contains(&format!("{{name: {process}, ")), "{process}");
        assert!(agent_unit(process).contains(&format!("ExecStart=/usr/local/bin/holdfast-agent {process} --config")));
    }
}

fn agent_unit(process: &str) -> String {
    let mut variables = variables("agent", "north");
    variables.extend(["name", "what", "capabilities", "reads"].map(|name| (format!("item.{name}"), process.to_owned())));
    render(&read("roles/agent/templates/holdfast-agent-service.j2"), &variables)
}

/// A template with the variables of its role and host.
fn rendered(role: &str, template: &str, host: &str) -> String {
    render(&read(&format!("roles/{role}/templates/{template}")), &variables(role, host))
}

fn variables(role: &str, host: &str) -> Variables {
    let mut variables = flat(&format!("roles/{role}/defaults/main.yml"));
    variables.extend(flat("inventory/group_vars/all.yml"));
    if role == "agent" {
        variables.extend(flat(&format!("inventory/host_vars/{host}.yml")));
    }
    variables
}

fn render(template: &str, variables: &Variables) -> String {
    let mut pieces = template.split("{{");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (expression, after) = piece.split_once("}}").expect("an expression is closed");
        let (name, filter) = expression.split_once('|').map_or((expression.trim(), ""), |(name, filter)| (name.trim(), filter.trim()));
        let value = variables.get(name).unwrap_or_else(|| panic!("no variable {name}"));
        out += &match filter {
            "" => value.clone(),
            "to_json" if value.starts_with('[') => value.clone(),
            "to_json" => serde_json::Value::from(value.as_str()).to_string(),
            other => panic!("the filter {other} is not one of the test's"),
        };
        out += after;
    }
    out
}

/// A file of `name: value` lines: what the variables are kept to.
fn flat(path: &str) -> Variables {
    let text = read(path);
    let lines = text.lines().filter(|line| !line.starts_with('#') && *line != "---" && !line.is_empty());
    let setting = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{path}: \"{line}\" is no setting on one line"));
        (name.to_owned(), value.trim().trim_matches('"').to_owned())
    };
    lines.map(setting).collect()
}

fn read(path: &str) -> String {
    let path = house().join("ansible").join(path);
    fs::read_to_string(&path).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()))
}
