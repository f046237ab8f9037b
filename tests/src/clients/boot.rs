use super::{From, command, say};
use crate::folder::Folder;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// One reply as `bootptest` (package bootp) prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootpReply {
    /// Who replied.
    pub from: String,
    /// Everything it printed as `TAG:value`: `Y` the address given, `S` the boot server's, `SM`, `GW`, `DNS`, `HN`, ...
    pub tags: BTreeMap<String, String>,
    /// How many requests had been sent, one a second, when the reply came.
    pub requests: usize,
}

impl BootpReply {
    /// The value of a tag, without its quotes; empty where it was not printed.
    pub fn tag(&self, tag: &str) -> &str {
        self.tags.get(tag).map_or("", String::as_str)
    }
}

/// Asks a server by BOOTP as the machine in this box, once a second up to ten times; gives the replies, each printed once.
pub fn bootptest(from: From<'_>, server: Ipv4Addr) -> Result<Vec<BootpReply>> {
    let text = say(command(from, "bootptest").args(["-h", &server.to_string()]), "")?;
    ensure!(text.contains("Sending to"), "bootptest could not ask: {}", text.trim());
    let mut requests = 0;
    let mut replies = Vec::new();
    for line in text.lines() {
        requests += usize::from(line.starts_with("Sending to"));
        replies.extend(line.strip_prefix("Recvd from ").map(|line| bootp_reply(line, requests)));
    }
    Ok(replies)
}

fn bootp_reply(line: &str, requests: usize) -> BootpReply {
    let mut reply = BootpReply { requests, from: line.split(' ').next().unwrap_or_default().into(), ..BootpReply::default() };
    for word in line.split(' ') {
        if let Some((tag, value)) = word.split_once(':') {
            reply.tags.insert(tag.into(), value.trim_matches('"').into());
        }
    }
    reply
}

/// A lease as a DHCP client's script was told of it, in the client's own names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lease {
    /// udhcpc: `ip`, `subnet`, `router`, `dns`, `hostname`, `serverid`, `lease`; dhclient: `new_ip_address`, `new_routers`, ...
    pub words: BTreeMap<String, String>,
}

impl Lease {
    /// One of the words; empty where the script was not told it.
    pub fn word(&self, name: &str) -> &str {
        self.words.get(name).map_or("", String::as_str)
    }

    /// The address leased, whichever client it was.
    pub fn address(&self) -> Option<Ipv4Addr> {
        ["ip", "new_ip_address"].into_iter().find_map(|name| self.word(name).parse().ok())
    }

    fn read(text: &str) -> Self {
        let words = text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into()));
        Self { words: words.collect() }
    }
}

/// Takes a lease with `udhcpc` (BusyBox) on the box's interface `lan`, leaving the interface as it is: `Ok(None)` where none
/// was to be had within `tries` seconds. `args` are udhcpc's own, such as `-B` (ask for a broadcast reply) or `-O boot_file`.
pub fn udhcpc(from: From<'_>, tries: u32, args: &[&str]) -> Result<Option<Lease>> {
    let folder = Folder::new("udhcpc")?;
    let told = folder.path().join("lease");
    let script = folder.script("script", "#!/bin/sh\n[ \"$1\" = bound ] && env > \"$LEASE_FILE\"\nexit 0\n")?;
    let tries = tries.to_string();
    let mut client = command(from, "udhcpc");
    client.args(["-f", "-q", "-n", "-i", "lan", "-t", &tries, "-T", "1", "-s"]).arg(script).args(args).env("LEASE_FILE", &told);
    let said = say(&mut client, "")?;
    match std::fs::read_to_string(&told) {
        Ok(text) => Ok(Some(Lease::read(&text))),
        Err(_) if said.contains("no lease") => Ok(None),
        Err(_) => anyhow::bail!("udhcpc could not ask: {}", said.trim()),
    }
}

/// Takes a lease with ISC's `dhclient`, a second witness, within `limit_s` seconds; it gives up after the first round.
pub fn dhclient(from: From<'_>, limit_s: u32) -> Result<Option<Lease>> {
    dhclient_with(from, limit_s, "")
}

/// The same of a machine that says what it calls itself, and asks for what it is called.
pub fn dhclient_named(from: From<'_>, limit_s: u32, host_name: &str) -> Result<Option<Lease>> {
    let asks = "request subnet-mask, routers, host-name, domain-name, domain-name-servers;\n";
    dhclient_with(from, limit_s, &format!("send host-name \"{host_name}\";\n{asks}"))
}

fn dhclient_with(from: From<'_>, limit_s: u32, settings: &str) -> Result<Option<Lease>> {
    let folder = Folder::new("dhclient")?;
    let told = folder.path().join("lease");
    // Its appearing is the sign that it is whole, so it appears by a rename.
    let script = format!("#!/bin/sh\n[ \"$reason\" = BOUND ] && env > '{0}.new' && mv '{0}.new' '{0}'\nexit 0\n", told.display());
    let script = folder.script("script", &script)?;
    let conf = folder.write("conf", &format!("timeout {limit_s};\ninitial-interval 1;\nbackoff-cutoff 2;\n{settings}"))?;
    let (leases, pid) = (folder.path().join("leases"), folder.path().join("pid"));
    let mut client = command(from, "timeout");
    client.args([&format!("{}", limit_s + 2), "dhclient", "-d", "-1", "-v", "-cf"]).arg(conf).arg("-sf").arg(script);
    // It goes on in the foreground once it is bound, so it is ended as soon as the script was told.
    client.arg("-lf").arg(leases).arg("-pf").arg(&pid).arg("lan");
    let mut child = client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().context("cannot start dhclient")?;
    while !told.exists() && child.try_wait()?.is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // `timeout` hands SIGTERM on to dhclient, where SIGKILL would leave it an orphan.
    if child.try_wait()?.is_none() {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGTERM)?;
    }
    child.wait()?;
    Ok(std::fs::read_to_string(&told).ok().map(|text| Lease::read(&text)))
}

/// Whether `dhcping` hears a server, as a machine that has its address and asks for it again.
pub fn dhcping(from: From<'_>, server: Ipv4Addr, own: Ipv4Addr, mac: &str) -> Result<bool> {
    let said = say(command(from, "dhcping").args(["-t", "3", "-s", &server.to_string(), "-c", &own.to_string(), "-h", mac]), "")?;
    ensure!(said.contains("Got answer") || said.contains("no answer"), "dhcping could not ask: {}", said.trim());
    Ok(said.contains("Got answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bootptest_prints_is_read() {
        let line = "10.1.4.2 (reply) xid:30749 Y:10.1.4.10 S:10.1.4.2 SM:255.255.252.0 DNS:10.1.4.2,10.2.4.2 HN:\"darwin826\"";
        let reply = bootp_reply(line, 4);
        assert_eq!((reply.from.as_str(), reply.requests), ("10.1.4.2", 4));
        assert_eq!((reply.tag("Y"), reply.tag("DNS"), reply.tag("HN"), reply.tag("GW")), ("10.1.4.10", "10.1.4.2,10.2.4.2", "darwin826", ""));
    }
}
