//! ISC dhcpd's configuration.

use super::groups::{Booting, scopes};
use super::{Estate, remark};
use crate::inventory::BootParameters;
use crate::inventory::dhcp_options::{self as options, Kind};
use std::collections::HashMap;
use std::fmt::{Result, Write};

/// Said in other words than as options.
const MASK: u8 = 1;
const LEASE_SECS: u8 = 51;
const HOST_NAME: u8 = 12;

pub(super) fn write(estate: &Estate, out: &mut dyn Write) -> Result {
    writeln!(out, "# dhcpd.conf, by campus and building\nauthoritative;\nddns-update-style none;")?;
    let mut campus = "";
    let mut declared: HashMap<String, u32> = HashMap::new();
    for scope in scopes(estate) {
        if scope.subnet.campus != campus {
            campus = &scope.subnet.campus;
            writeln!(out, "\n# campus {}", remark(campus))?;
        }
        let department = scope.subnet.department.as_ref().map(|name| format!("  # {}", remark(name))).unwrap_or_default();
        writeln!(out, "\nsubnet {} netmask {} {{{department}", scope.net.network(), scope.net.netmask())?;
        for (code, value) in scope.told.options.iter().filter(|(code, _)| **code != MASK) {
            match (*code, <[u8; 4]>::try_from(value.as_slice())) {
                (LEASE_SECS, Ok(secs)) => lease(out, "  ", u32::from_be_bytes(secs))?,
                _ => option(out, "  ", *code, value)?,
            }
        }
        boot(out, "  ", &scope.told.boot, &BootParameters { options: vec![], ..BootParameters::default() })?;
        for (first, last) in &scope.pools {
            writeln!(out, "  pool {{")?;
            lease(out, "    ", scope.subnet.pool_lease_secs)?;
            for (code, value) in scope.pooled.iter().filter(|(code, _)| ![MASK, LEASE_SECS].contains(*code)) {
                option(out, "    ", *code, value)?;
            }
            writeln!(out, "    range {first} {last};\n  }}")?;
        }
        let mut building = "";
        for (booting, parameters) in &scope.machines {
            if booting.seat.building != building {
                building = booting.seat.building;
                writeln!(out, "  # building {}", remark(building))?;
            }
            machine(out, booting, parameters, &scope.told.boot, &mut declared)?;
        }
        writeln!(out, "}}")?;
    }
    Ok(())
}

fn machine(out: &mut dyn Write, booting: &Booting<'_>, parameters: &BootParameters, of_subnet: &BootParameters, declared: &mut HashMap<String, u32>) -> Result {
    let name = booting.seat.host.name.to_string();
    let times = declared.entry(name.clone()).or_default();
    *times += 1;
    // Declarations are global and each has a name of its own; no host's name has an underscore.
    let declaration = if *times == 1 { name.clone() } else { format!("{name}_{times}") };
    writeln!(out, "  host {declaration} {{")?;
    writeln!(out, "    hardware ethernet {};\n    fixed-address {};", booting.mac, booting.address)?;
    if *times > 1 {
        writeln!(out, "    ddns-hostname \"{name}\";")?;
    }
    let says_its_name = parameters.options.iter().any(|option| option.code == HOST_NAME);
    if parameters.send_host_name && !says_its_name {
        writeln!(out, "    option host-name \"{}\";", booting.seat.host.name.first_label())?;
    }
    for draft in &parameters.options {
        match (draft.code, &draft.value) {
            (LEASE_SECS, Some(value)) if value.len() == 4 => lease(out, "    ", u32::from_be_bytes([value[0], value[1], value[2], value[3]]))?,
            (code, Some(value)) => option(out, "    ", code, value)?,
            (_, None) => {}
        }
    }
    boot(out, "    ", parameters, of_subnet)?;
    if parameters.wait_secs > 0 {
        writeln!(out, "    # it is answered after {} seconds only, for which there are no words here", parameters.wait_secs)?;
    }
    writeln!(out, "  }}")
}

fn lease(out: &mut dyn Write, indent: &str, secs: u32) -> Result {
    writeln!(out, "{indent}default-lease-time {secs};\n{indent}max-lease-time {secs};")
}

/// What differs from what the level around says.
fn boot(out: &mut dyn Write, indent: &str, said: &BootParameters, around: &BootParameters) -> Result {
    if let Some(server) = said.next_server.filter(|_| said.next_server != around.next_server) {
        writeln!(out, "{indent}next-server {server};")?;
    }
    for (word, text, other) in [("server-name", &said.server_name, &around.server_name), ("filename", &said.boot_file, &around.boot_file)] {
        if text != other && !text.is_empty() {
            writeln!(out, "{indent}{word} {};", quoted(text))?;
        }
    }
    Ok(())
}

fn option(out: &mut dyn Write, indent: &str, code: u8, value: &[u8]) -> Result {
    let (name, kind) = (options::isc_name(code), options::kind_of(code));
    match options::write(kind, value) {
        Some(words) if kind == Kind::Text => writeln!(out, "{indent}option {name} {};", quoted(&words.join(" "))),
        Some(words) => writeln!(out, "{indent}option {name} {};", words.join(", ")),
        // An expression, which gives bytes whatever the option's kind is. There are none of no bytes.
        None if value.is_empty() => writeln!(out, "{indent}# option {name} is empty, for which there are no words here"),
        None => writeln!(out, "{indent}option {name} = {};", options::colons(value)),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
