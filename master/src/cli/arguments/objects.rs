//! What can be typed about hosts, networks, zones and campuses.

use super::Wish;
use crate::cli::boot::{SubnetFields, ZoneFields};
use crate::cli::moves::MoveFields;
use crate::cli::particulars::Particulars;
use crate::cli::transfers::{CopyFields, TransferCommand};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HostCommand {
    /// Add a host, or many at once.
    Add {
        /// Its full name, or a pattern such as lab-{01..40}.uni.example.
        name: String,
        /// With the next free address of this subnet.
        #[arg(long, value_name = "SUBNET")]
        next: Option<String>,
        #[command(flatten)]
        fields: HostFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Show a host.
    Show {
        /// Its full name.
        name: String,
        /// As it was at this time, such as 2026-11-21T14:00:00Z.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// List hosts.
    List {
        /// Only those with this in the name, an address or a hardware address.
        #[arg(long)]
        search: Option<String>,
        /// At most so many.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Change a host; what is not given stays as it is.
    Set {
        /// Its full name.
        name: String,
        /// A new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        fields: HostFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Move a host to another subnet: its address, names, PTR and boot entry follow.
    Move {
        #[command(flatten)]
        to: MoveFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a host.
    Del {
        /// Its full name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

/// The fields of a host.
#[derive(Debug, Args)]
pub(in crate::cli) struct HostFields {
    /// Hardware address of its (first) interface.
    #[arg(long)]
    pub mac: Option<String>,
    /// Address of its (first) interface; may be given several times.
    #[arg(long)]
    pub address: Vec<String>,
    /// Where it stands.
    #[arg(long)]
    pub location: Option<String>,
    /// Whom to ask.
    #[arg(long)]
    pub contact: Option<String>,
    /// The machine, as HINFO says it.
    #[arg(long)]
    pub hardware: Option<String>,
    /// The operating system, as HINFO says it.
    #[arg(long)]
    pub os: Option<String>,
    /// Anything else.
    #[arg(long)]
    pub comment: Option<String>,
    /// Another full name for it; may be given several times.
    #[arg(long)]
    pub alias: Vec<String>,
    /// Another full name that has its addresses, too; may be given several times.
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
    /// A name that an address points back to, as address=name; may be given several times.
    #[arg(long, value_name = "ADDRESS=NAME")]
    pub pointer: Vec<String>,
    /// The file it boots.
    #[arg(long)]
    pub boot_file: Option<String>,
    /// The server it fetches that file from.
    #[arg(long)]
    pub next_server: Option<String>,
    #[command(flatten)]
    pub particulars: Box<Particulars>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SubnetCommand {
    /// List subnets.
    List,
    /// Show a subnet, and how many of its addresses are what.
    Show {
        /// The network.
        network: String,
    },
    /// What every address of a subnet is, by stretches.
    Map {
        /// The network.
        network: String,
    },
    /// Change a subnet; what is not given stays as it is.
    Set {
        /// The network, such as 10.1.4.0/22.
        network: String,
        #[command(flatten)]
        fields: SubnetFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a subnet that no host has an address in.
    Del {
        /// The network.
        network: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Add a subnet.
    Add {
        /// The network, such as 10.1.4.0/22.
        network: String,
        /// The campus it belongs to.
        #[arg(long)]
        campus: String,
        /// Its router.
        #[arg(long)]
        gateway: Option<String>,
        /// The domain its hosts are told.
        #[arg(long)]
        domain: Option<String>,
        /// A DNS server its hosts are told; may be given several times.
        #[arg(long)]
        dns_server: Vec<String>,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ZoneCommand {
    /// List zones.
    List,
    /// Write a zone as a zone file to stdout.
    Export {
        /// Its apex.
        apex: String,
    },
    /// Add a zone.
    Add {
        /// Its apex.
        apex: String,
        /// The name server that the SOA names.
        #[arg(long)]
        primary_ns: String,
        /// The mailbox of the SOA, as a domain name.
        #[arg(long)]
        mailbox: String,
        /// A name server of the apex; may be given several times. The primary one, where none is given.
        #[arg(long)]
        name_server: Vec<String>,
        /// The department that it belongs to.
        #[arg(long)]
        department: Option<String>,
        #[command(flatten)]
        copy: CopyFields,
        #[command(flatten)]
        wish: Wish,
    },
    /// Delete a zone that has nothing but its apex.
    Del {
        /// Its apex.
        apex: String,
        #[command(flatten)]
        wish: Wish,
    },
    /// Change a zone; what is not given stays as it is.
    Set {
        /// Its apex.
        apex: String,
        #[command(flatten)]
        fields: ZoneFields,
        #[command(flatten)]
        wish: Wish,
    },
    #[command(flatten)]
    Transfers(TransferCommand),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CampusCommand {
    /// List campuses.
    List,
    /// Change a campus; what is not given stays as it is.
    Set {
        /// Its name.
        name: String,
        /// A new name.
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        /// Where its agent answers.
        #[arg(long)]
        service_address: Option<String>,
        /// The campus whose agents stand in for its own; the first other one that has agents where none is named.
        #[arg(long, value_name = "CAMPUS")]
        backup: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Add a campus.
    Add {
        /// Its name, a short word.
        name: String,
        /// Where its agent answers.
        #[arg(long)]
        service_address: Option<String>,
        /// The campus whose agents stand in for its own; the first other one that has agents where none is named.
        #[arg(long, value_name = "CAMPUS")]
        backup: Option<String>,
        #[command(flatten)]
        wish: Wish,
    },
}

/// What to import.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The files: bootptab, BIND zones, dhcpd.conf, kea-dhcp4.conf, clients.conf, hosts.csv, subnets.csv, people.csv, NetBox's prefixes and IP
    /// addresses as CSV, /etc/hosts, /etc/ethers. What a dhcpd.conf includes is given beside it.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The campus of subnets that are new.
    #[arg(long)]
    pub campus: Option<String>,
    /// The domain of bare names that the files do not complete.
    #[arg(long)]
    pub domain: Option<String>,
    /// What a table calls one of our columns: name=Hostname; may be given several times.
    #[arg(long, value_name = "OURS=THEIRS", value_parser = mapping)]
    pub map: Vec<(String, String)>,
    /// List what becomes of each line: new, changed or same.
    #[arg(long)]
    pub rows: bool,
    /// Tell what would change and everything that is wrong, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history.
    #[arg(long)]
    pub reason: Option<String>,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let (ours, theirs) = text.split_once('=').ok_or("write OURS=THEIRS, such as name=Hostname")?;
    Ok((ours.trim().to_owned(), theirs.trim().to_owned()))
}

/// What to export.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Export {
    /// bootpd's table.
    Bootptab,
    /// ISC dhcpd's configuration.
    Dhcpd,
    /// The configuration of Kea's DHCPv4 server.
    Kea,
    /// /etc/hosts.
    Hosts,
    /// /etc/ethers.
    Ethers,
    /// FreeRADIUS's clients.
    Clients {
        /// With their secrets: for who may change them, and it stands in the history.
        #[arg(long)]
        secrets: bool,
    },
    /// A table of our own, which `holdfast import` takes back.
    Csv {
        /// Which.
        table: Table,
    },
    /// A zone as a zone file.
    Zone {
        /// Its apex.
        apex: String,
    },
    /// Which sources may come in from a subnet or by a router's port, as lines for the box that asks them (BCP 38).
    #[command(group(clap::ArgGroup::new("place").required(true).args(["subnet", "router"])))]
    Acl {
        /// From this subnet.
        #[arg(long)]
        subnet: Option<String>,
        /// By a port of this router.
        #[arg(long, requires = "port")]
        router: Option<String>,
        /// By this port.
        #[arg(long, requires = "router")]
        port: Option<String>,
        /// In whose words.
        #[arg(long, value_parser = ["nft", "cisco", "prefix-list"])]
        format: String,
    },
    /// All of it, a file each.
    All {
        /// The folder; files of these names in it are replaced.
        folder: PathBuf,
        /// With the secrets of NASs.
        #[arg(long)]
        secrets: bool,
    },
}

/// A table of our own.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum Table {
    /// hosts.csv.
    Hosts,
    /// subnets.csv.
    Subnets,
    /// people.csv.
    People,
}

/// What to do with the table of bootpd.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BootptabCommand {
    /// Write it to stdout.
    Export,
}
