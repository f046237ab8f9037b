//! The configuration of Kea's DHCPv4 server. What Kea has no place for and an import of ours reads stands in `user-context`.

use super::groups::{Booting, scopes};
use super::{Estate, remark};
use crate::inventory::BootParameters;
use crate::inventory::dhcp_options as options;
use std::fmt::{Result, Write};

const MASK: u8 = 1;
const LEASE_SECS: u8 = 51;

pub(super) fn write(estate: &Estate, out: &mut dyn Write) -> Result {
    writeln!(out, "// kea-dhcp4.conf, by campus and building\n{{\n\"Dhcp4\": {{\n  \"subnet4\": [")?;
    let (mut campus, mut first) = (None, true);
    for (number, scope) in (1..).zip(scopes(estate)) {
        if !std::mem::take(&mut first) {
            writeln!(out, "    ,")?;
        }
        if campus != Some(&scope.subnet.campus) {
            campus = Some(&scope.subnet.campus);
            writeln!(out, "    // campus {}", remark(&scope.subnet.campus))?;
        }
        writeln!(out, "    {{\n      \"id\": {number}, \"subnet\": {},", text(&scope.net.to_string()))?;
        let context = format!("{{ \"campus\": {}, \"pool-lease-secs\": {} }}", text(&scope.subnet.campus), scope.subnet.pool_lease_secs);
        writeln!(out, "      \"user-context\": {context},")?;
        let mut said = scope.told.options.clone();
        said.remove(&MASK);
        if let Some(secs) = said.remove(&LEASE_SECS).and_then(|value| <[u8; 4]>::try_from(value).ok()).map(u32::from_be_bytes) {
            writeln!(out, "      \"valid-lifetime\": {secs},")?;
        }
        let fields = boot(&scope.told.boot, &BootParameters { options: vec![], ..BootParameters::default() });
        if !fields.is_empty() {
            writeln!(out, "      {},", fields.join(", "))?;
        }
        list(out, "      ", "option-data", &said.iter().map(|(code, value)| option(*code, value)).collect::<Vec<_>>())?;
        writeln!(out, ",")?;
        let pooled = scope.pooled.iter().filter(|(code, _)| ![MASK, LEASE_SECS].contains(*code));
        let pooled: Vec<String> = pooled.map(|(code, value)| option(*code, value)).collect();
        let pooled = if pooled.is_empty() { String::new() } else { format!(", \"option-data\": [ {} ]", pooled.join(", ")) };
        let pools: Vec<String> = scope.pools.iter().map(|(first, last)| format!("{{ \"pool\": \"{first} - {last}\"{pooled} }}")).collect();
        list(out, "      ", "pools", &pools)?;
        writeln!(out, ",\n      \"reservations\": [")?;
        let (mut building, count) = ("", scope.machines.len());
        for (place, (booting, parameters)) in (1..).zip(&scope.machines) {
            if booting.seat.building != building {
                building = booting.seat.building;
                writeln!(out, "        // building {}", remark(building))?;
            }
            machine(out, booting, parameters, &scope.told.boot, if place == count { "" } else { "," })?;
        }
        writeln!(out, "      ]\n    }}")?;
    }
    writeln!(out, "  ]\n}}\n}}")
}

fn machine(out: &mut dyn Write, booting: &Booting<'_>, parameters: &BootParameters, of_subnet: &BootParameters, comma: &str) -> Result {
    let name = text(&booting.seat.host.name.to_string());
    let mut fields = vec![format!("\"hw-address\": \"{}\"", booting.mac), format!("\"ip-address\": \"{}\"", booting.address)];
    // A machine with a hostname is told it, so that of one that is not to be told stands elsewhere.
    fields.push(if parameters.send_host_name { format!("\"hostname\": {name}") } else { format!("\"user-context\": {{ \"name\": {name} }}") });
    fields.extend(boot(parameters, of_subnet));
    let said: Vec<String> =
        parameters.options.iter().filter(|one| one.code != LEASE_SECS).filter_map(|one| Some(option(one.code, one.value.as_ref()?))).collect();
    if !said.is_empty() {
        fields.push(format!("\"option-data\": [ {} ]", said.join(", ")));
    }
    if parameters.wait_secs > 0 {
        writeln!(out, "        // the next is answered after {} seconds only, for which there are no words here", parameters.wait_secs)?;
    }
    if parameters.options.iter().any(|one| one.code == LEASE_SECS && one.value.is_some()) {
        writeln!(out, "        // the next has a lease time of its own, for which there are no words here")?;
    }
    writeln!(out, "        {{ {} }}{comma}", fields.join(", "))
}

fn list(out: &mut dyn Write, indent: &str, name: &str, items: &[String]) -> Result {
    match items {
        [] => write!(out, "{indent}\"{name}\": []"),
        items => write!(out, "{indent}\"{name}\": [\n{indent}  {}\n{indent}]", items.join(&format!(",\n{indent}  "))),
    }
}

fn boot(said: &BootParameters, around: &BootParameters) -> Vec<String> {
    let mut fields = Vec::new();
    fields.extend(said.next_server.filter(|_| said.next_server != around.next_server).map(|server| format!("\"next-server\": \"{server}\"")));
    for (key, value, other) in [("server-hostname", &said.server_name, &around.server_name), ("boot-file-name", &said.boot_file, &around.boot_file)] {
        if value != other && !value.is_empty() {
            fields.push(format!("\"{key}\": {}", text(value)));
        }
    }
    fields
}

/// By name where the value fits its kind, and as bytes otherwise.
fn option(code: u8, value: &[u8]) -> String {
    match (options::kea_name(code), options::write(options::kind_of(code), value)) {
        (Some(name), Some(words)) => format!("{{ \"name\": {}, \"data\": {} }}", text(name), text(&words.join(", "))),
        _ => format!("{{ \"code\": {code}, \"csv-format\": false, \"data\": \"{}\" }}", hex::encode(value)),
    }
}

fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
