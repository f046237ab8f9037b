//! `/etc/hosts`, `/etc/ethers` and FreeRADIUS's clients.conf.

use super::groups::{Map, Seat, seats};
use super::{Estate, remark};
use holdfast_proto::words::DomainName;
use std::fmt::{Result, Write};

/// The line of each campus and building, when it begins.
struct Headings<'e> {
    last: Option<(&'e str, &'e str)>,
}

impl<'e> Headings<'e> {
    fn before(&mut self, seat: &Seat<'e>, out: &mut dyn Write) -> Result {
        let now = (seat.campus, seat.building);
        if self.last.replace(now) == Some(now) {
            return Ok(());
        }
        let (campus, building) = (remark(seat.campus), remark(seat.building));
        match (campus.as_str(), building.as_str()) {
            ("", "") => writeln!(out, "\n# elsewhere"),
            (campus, "") => writeln!(out, "\n# campus {campus}"),
            (campus, building) => writeln!(out, "\n# campus {campus}, building {building}"),
        }
    }
}

pub(super) fn hosts(estate: &Estate, out: &mut dyn Write) -> Result {
    writeln!(out, "# hosts, by campus and building\n127.0.0.1\tlocalhost\n::1\tlocalhost")?;
    let map = Map::of(estate);
    let mut headings = Headings { last: None };
    for seat in seats(estate, &map) {
        headings.before(&seat, out)?;
        // Names that have all its addresses, too, are as good as aliases here.
        let others = seat.host.names.iter().chain(&seat.host.aliases).map(DomainName::without_dot);
        let names: Vec<String> = std::iter::once(seat.host.name.to_string()).chain(others).collect();
        writeln!(out, "{}\t{}", seat.address, names.join(" "))?;
    }
    Ok(())
}

pub(super) fn ethers(estate: &Estate, out: &mut dyn Write) -> Result {
    writeln!(out, "# ethers, by campus and building")?;
    let map = Map::of(estate);
    let mut headings = Headings { last: None };
    for seat in seats(estate, &map).into_iter().filter(|seat| seat.interface.addresses.first() == Some(&seat.address)) {
        let Some(mac) = seat.interface.mac else { continue };
        headings.before(&seat, out)?;
        // The name of a machine with several interfaces would not say which.
        match seat.host.interfaces.len() {
            1 => writeln!(out, "{mac}\t{}", seat.host.name)?,
            _ => writeln!(out, "{mac}\t{}", seat.address)?,
        }
    }
    Ok(())
}

pub(super) fn clients(estate: &Estate, out: &mut dyn Write) -> Result {
    writeln!(out, "# clients.conf, by campus")?;
    let mut all: Vec<_> = estate.nas.iter().collect();
    all.sort_by_key(|nas| (&nas.campus, &nas.name));
    let mut campus = None;
    for nas in all {
        if nas.campus.is_some() && nas.campus != campus {
            campus.clone_from(&nas.campus);
            writeln!(out, "\n# campus {}", remark(nas.campus.as_deref().unwrap_or_default()))?;
        }
        let require = if nas.require_message_authenticator { "yes" } else { "no" };
        // One whose secret is not told would let nobody in, or everybody who guesses it: it stands in comments.
        let secret = nas.secret.as_ref().and_then(|secret| std::str::from_utf8(secret.expose()).ok());
        let mark = if secret.is_some() { "" } else { "#" };
        writeln!(out)?;
        if !nas.kind.is_empty() {
            writeln!(out, "# {}", remark(&nas.kind))?;
        }
        let net = nas.prefix.net();
        let address = if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() };
        writeln!(out, "{mark}client {} {{\n{mark}\tipaddr = {address}", quoted(&nas.name))?;
        match secret {
            Some(secret) => writeln!(out, "\tsecret = {}", quoted(secret))?,
            None => writeln!(out, "#\tthe secret is told to who may change it, and asks for it")?,
        }
        writeln!(out, "{mark}\tshortname = {}\n{mark}\trequire_message_authenticator = {require}\n{mark}}}", quoted(&nas.name))?;
    }
    Ok(())
}

/// A word as it is, or in quotes where it needs them.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}
