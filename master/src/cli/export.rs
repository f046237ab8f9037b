//! `holdfast export`: the inventory as files of other programs, one to stdout, or all of them into a folder.

use super::{
    Failure,
    arguments::{Export, Table},
    client::{Client, encode},
    print,
};
use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
};

pub(super) fn run(client: &Client, what: Export) -> Result<(), Failure> {
    match what {
        Export::Bootptab => one(client, "bootptab", false),
        Export::Dhcpd => one(client, "dhcpd.conf", false),
        Export::Kea => one(client, "kea-dhcp4.conf", false),
        Export::Hosts => one(client, "hosts", false),
        Export::Ethers => one(client, "ethers", false),
        Export::Clients { secrets } => one(client, "clients.conf", secrets),
        Export::Csv { table: Table::Hosts } => one(client, "hosts.csv", false),
        Export::Csv { table: Table::Subnets } => one(client, "subnets.csv", false),
        Export::Csv { table: Table::People } => one(client, "people.csv", false),
        Export::Zone { apex } => zone(client, &apex),
        Export::All { folder, secrets } => all(client, &folder, secrets),
        Export::Acl { subnet, router, port, format } => {
            let given = [("subnet", subnet), ("router", router), ("port", port)].into_iter().filter_map(|(name, value)| Some((name, value?)));
            print::out(client.text("/acl", given.chain([("format", format)]).collect())?.as_bytes())
        }
    }
}

/// A zone as a zone file.
pub(super) fn zone(client: &Client, apex: &str) -> Result<(), Failure> {
    one(client, &format!("db.{}", apex.trim_end_matches('.')), false)
}

/// One file to stdout.
pub(super) fn one(client: &Client, name: &str, secrets: bool) -> Result<(), Failure> {
    let mut out = print::Out::default();
    fetch(client, name, secrets, &mut out)
}

fn fetch(client: &Client, name: &str, secrets: bool, to: &mut dyn Write) -> Result<(), Failure> {
    let query = if secrets { vec![("secrets", "true".to_owned())] } else { vec![] };
    client.download(&format!("/exports/{}", encode(name)), &query, to)
}

/// Each file is written aside and renamed, so that nobody finds half of one.
fn all(client: &Client, folder: &Path, secrets: bool) -> Result<(), Failure> {
    let wrong = |what: &Path, error: &dyn std::fmt::Display| Failure::Failed(format!("{} cannot be written: {error}", what.display()));
    fs::create_dir_all(folder).map_err(|error| wrong(folder, &error))?;
    let listed = client.get("/exports", vec![])?.body;
    let names: Vec<String> = listed["items"].as_array().into_iter().flatten().map(|item| print::cell(&item["name"])).collect();
    for name in &names {
        // A name from the master is a file of this folder and nothing else.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(Failure::Failed(format!("the master names a file \"{name}\", which is none for a folder")));
        }
        let is_clients = name == "clients.conf";
        let aside = folder.join(format!(".{name}.part"));
        let file = open(&aside, is_clients && secrets).map_err(|error| wrong(&aside, &error))?;
        let mut file = BufWriter::new(file);
        fetch(client, name, is_clients && secrets, &mut file)?;
        let file = file.into_inner().map_err(|error| wrong(&aside, &error))?;
        file.sync_all().map_err(|error| wrong(&aside, &error))?;
        fs::rename(&aside, folder.join(name)).map_err(|error| wrong(&aside, &error))?;
        print::tell(&format!("wrote {}", folder.join(name).display()));
    }
    Ok(())
}

/// A new file; one with secrets is for its owner alone from the first byte on.
fn open(path: &Path, is_secret: bool) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let _ = fs::remove_file(path);
    fs::OpenOptions::new().write(true).create_new(true).mode(if is_secret { 0o600 } else { 0o644 }).open(path)
}
