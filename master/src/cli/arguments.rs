//! What can be typed behind `holdfast`.

use super::approval::ApprovalCommand;
use super::boot::{BootCommand, SubnetFields, ZoneFields};
use super::check::{CheckCommand, CheckWish};
use super::declared::{ApplyWish, PlanWish};
use super::moves::{MoveCommand, MoveFields};
use super::organisation::{ClassCommand, ContactCommand, DepartmentCommand, ExternalCommand, MailboxCommand};
use super::particulars::Particulars;
use super::people::{GrantCommand, PolicyCommand, SessionCommand, TokenCommand, UserCommand};
use super::privacy::PrivacyCommand;
use super::record::RecordCommand;
use super::space::{ContainerCommand, FamilyCommand, IpCommand, PoolCommand, ReportCommand};
use super::webhook::WebhookCommand;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Holdfast's command line: hosts, networks and imports by way of the master's API.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub connection: Connection,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the master is and who asks; what is not given here is read from ~/.config/holdfast/config.toml.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The master's address, such as https://holdfast.uni.example.
    #[arg(long, global = true, env = "HOLDFAST_SERVER")]
    pub server: Option<String>,
    /// The token to come in with.
    #[arg(long, global = true, env = "HOLDFAST_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Certificates (PEM) to trust instead of the system's.
    #[arg(long, global = true, env = "HOLDFAST_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// For programs: the API's own JSON.
    Json,
    /// For spreadsheets (RFC 4180): the columns of the table; of a single object its fields.
    Csv,
    /// As JSON, in YAML.
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Hosts.
    Host {
        #[command(subcommand)]
        command: Box<HostCommand>,
    },
    /// Subnets.
    Subnet {
        #[command(subcommand)]
        command: SubnetCommand,
    },
    /// DNS zones.
    Zone {
        #[command(subcommand)]
        command: ZoneCommand,
    },
    /// Campuses.
    Campus {
        #[command(subcommand)]
        command: CampusCommand,
    },
    /// Single addresses: which is next, and which wait in quarantine.
    Ip {
        #[command(subcommand)]
        command: IpCommand,
    },
    /// Pools: what the addresses of a subnet are for.
    Pool {
        #[command(subcommand)]
        command: PoolCommand,
    },
    /// Containers: networks that subnets are cut from.
    Container {
        #[command(subcommand)]
        command: ContainerCommand,
    },
    /// Families of addresses beyond IP.
    Family {
        #[command(subcommand)]
        command: FamilyCommand,
    },
    /// Moves that are planned; `holdfast host move` plans one.
    Move {
        #[command(subcommand)]
        command: MoveCommand,
    },
    /// Reports.
    Report {
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// What is wrong with the database and with what follows from it; fails where anything is.
    Check {
        #[command(flatten)]
        wish: CheckWish,
        #[command(subcommand)]
        command: Option<CheckCommand>,
    },
    /// What is kept about people.
    Privacy {
        #[command(subcommand)]
        command: PrivacyCommand,
    },
    /// What is inherited at boot, and what a host is told.
    Boot {
        #[command(subcommand)]
        command: BootCommand,
    },
    /// Departments: whose hosts, subnets and zones are.
    Department {
        #[command(subcommand)]
        command: DepartmentCommand,
    },
    /// Contacts: who is responsible for what, and whom to call.
    Contact {
        #[command(subcommand)]
        command: ContactCommand,
    },
    /// Organisations outside: upstreams, partners, suppliers.
    External {
        #[command(subcommand)]
        command: ExternalCommand,
    },
    /// Device classes: how a printer, a server or a laptop gets its address.
    Class {
        #[command(subcommand)]
        command: ClassCommand,
    },
    /// Mailboxes of domains, and who reads them (RFC 2142).
    Mailbox {
        #[command(subcommand)]
        command: MailboxCommand,
    },
    /// Records that no host implies: MX, TXT, SRV, delegations.
    Record {
        #[command(subcommand)]
        command: RecordCommand,
    },
    /// Webhooks: events that are sent to others.
    Webhook {
        #[command(subcommand)]
        command: WebhookCommand,
    },
    /// Where a second person is asked for.
    Approval {
        #[command(subcommand)]
        command: ApprovalCommand,
    },
    /// Tell what is known of a name, an address or a hardware address: what services do with it and why, and whom to call.
    Explain {
        /// Such as www.uni.example, 10.1.4.17 or 02:00:00:00:00:01.
        object: String,
    },
    /// Tell which host had an address, and when.
    Whohad {
        /// The address.
        ip: String,
        /// Only who had it then, such as 2026-11-21T14:00:00Z.
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Compare the database with a file that says what shall be. Exit code 0: it is so; 10: it differs; 1: the file is wrong.
    Plan(PlanWish),
    /// Make the database what a file says, as one change set.
    Apply(ApplyWish),
    /// NASs: who may ask RADIUS. They come in by `holdfast import` of a clients.conf.
    Nas {
        #[command(subcommand)]
        command: NasCommand,
    },
    /// The institution's own boxes.
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Snapshots: what was published, by whom it was changed, and whether it holds together.
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Make a new generation with the rows of an earlier one: what was changed since is undone, as one change.
    Rollback {
        /// The snapshot: zone, bootptab or auth-access.
        feed: String,
        /// The generation whose rows are wanted.
        #[arg(long, value_name = "GENERATION")]
        to: u64,
        #[command(flatten)]
        wish: Wish,
    },
    /// What the boxes reported, the newest first.
    Events(EventWish),
    /// Who changed what, when and why, the newest first.
    #[command(args_conflicts_with_subcommands = true)]
    Changes {
        #[command(subcommand)]
        command: Option<ChangesCommand>,
        #[command(flatten)]
        wish: ChangesWish,
    },
    /// Undo change sets: what they changed becomes what it was before, as one more change.
    Revert {
        /// The change sets, as `holdfast changes` lists them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        wish: Wish,
    },
    /// Change many things at once, or with a second person.
    ChangeSet {
        #[command(subcommand)]
        command: ChangeSetCommand,
    },
    /// The audit: a chain that shows whether the history is what it was.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Take in bootptabs and BIND zone files, all or nothing.
    Import(Import),
    /// People and groups.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Who may do what, and where.
    Grant {
        #[command(subcommand)]
        command: GrantCommand,
    },
    /// Who is logged in.
    Session {
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Tokens of programs.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// What is asked of those who come in.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Print the completion script of a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ChangesCommand {
    /// All that a change set changed, field by field.
    Show {
        /// The change set.
        id: String,
    },
}

/// Which change sets to list.
#[derive(Debug, Args)]
pub(super) struct ChangesWish {
    /// Only those made or written by this one.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only those made then or later, such as 2026-11-21T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only those made before.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only those that changed such an object: host, subnet, zone, record...
    #[arg(long)]
    pub kind: Option<String>,
    /// Only those with this in the reason, or with an object of this name.
    #[arg(long)]
    pub text: Option<String>,
    /// Only those that came this way: web, api, import, break-glass.
    #[arg(long)]
    pub via: Option<String>,
    /// At most so many.
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ChangeSetCommand {
    /// Begin a change set.
    New {
        /// Why, for the history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List change sets that are, or were, being written.
    List {
        /// Only in this state: draft, proposed, approved, applied, withdrawn.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show a change set with its edits.
    Show {
        /// The change set.
        id: String,
    },
    /// Add an edit, as the API would be asked for it.
    Add {
        /// The change set.
        id: String,
        /// POST, PUT, PATCH or DELETE.
        method: String,
        /// Below /api/v1, such as /hosts/www.uni.example.
        path: String,
        /// JSON.
        body: Option<String>,
        /// The ETag of the version that was read.
        #[arg(long)]
        if_match: Option<String>,
    },
    /// Take an edit out.
    Remove {
        /// The change set.
        id: String,
        /// The edit's number.
        number: u32,
    },
    /// Tell all that would be answered differently.
    Preview {
        /// The change set.
        id: String,
    },
    /// Ask for a second person.
    Propose {
        /// The change set.
        id: String,
    },
    /// Approve what somebody else wrote.
    Approve {
        /// The change set.
        id: String,
    },
    /// Apply it: everything, or nothing.
    Apply {
        /// The change set.
        id: String,
        /// Do without the second person, for this reason; administrators in an emergency. It stands in the history.
        #[arg(long, value_name = "WHY")]
        break_glass: Option<String>,
        /// Tell what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Wait until every agent serves it, at most so long.
        #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s", require_equals = true)]
        wait: Option<String>,
    },
    /// Give it up.
    Withdraw {
        /// The change set.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// The chain, the newest link first.
    List {
        /// At most so many.
        #[arg(long, default_value = "100")]
        limit: u32,
    },
    /// Recompute the whole chain; exit code 1 where something does not fit.
    Verify,
}

/// Which reports to list.
#[derive(Debug, Args)]
pub(super) struct EventWish {
    /// Only of this box.
    #[arg(long)]
    pub node: Option<String>,
    /// Only with this name, such as disk_failed.
    #[arg(long)]
    pub event: Option<String>,
    /// Only who did what, or was refused.
    #[arg(long)]
    pub audit: bool,
    /// Only what was seen then or later, such as 2026-11-21T14:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// At most so many.
    #[arg(long)]
    pub limit: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
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
pub(super) struct HostFields {
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

/// How a change is made.
#[derive(Debug, Args)]
pub(super) struct Wish {
    /// Tell what would change, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until every agent serves it, at most so long.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "5s", require_equals = true)]
    pub wait: Option<String>,
    /// Why, for the history.
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SubnetCommand {
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
pub(super) enum SnapshotCommand {
    /// Every snapshot, its newest generation, and how far each agent is; of one, its generations.
    List {
        /// Only the generations of this one: zone, bootptab, auth-people, auth-access.
        feed: Option<String>,
        /// At most so many generations.
        #[arg(long, default_value = "20")]
        limit: u32,
    },
    /// What is in a generation: its manifest, and who changed what.
    Show {
        /// The snapshot.
        feed: String,
        /// The generation; the newest where it is not given.
        generation: Option<u64>,
    },
    /// What differs between two generations, in words.
    Diff {
        /// The snapshot.
        feed: String,
        /// The generation to begin with.
        from: u64,
        /// The generation to end with.
        to: u64,
    },
    /// Verify the kept history again: signatures, parents, payloads, and the digest from every row.
    Verify {
        /// The snapshot; all of them where it is not given.
        feed: Option<String>,
    },
    /// Compose everything anew from the database and compare it with what is published.
    Audit {
        /// Have what differs published as it should be.
        #[arg(long)]
        repair: bool,
    },
    /// Answer for a generation that removes much, so that it is published.
    Release {
        /// The snapshot.
        feed: String,
        /// How many rows go, as `holdfast snapshot list` tells it: you answer for those, and for no others.
        #[arg(long)]
        removed: u32,
        /// Why all that may go; it stands in the history.
        #[arg(long)]
        reason: String,
        /// Tell what is held, and let nothing out.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ZoneCommand {
    /// List zones.
    List,
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
}

#[derive(Debug, Subcommand)]
pub(super) enum CampusCommand {
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
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum NasCommand {
    /// List NASs.
    List,
    /// Delete a NAS: from then on its requests are not answered.
    Del {
        /// Its name.
        name: String,
        #[command(flatten)]
        wish: Wish,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// List boxes, and say what stands against publishing.
    List,
    /// Show a box: its certificate, its build, and how far it has each feed.
    Show {
        /// Its name.
        name: String,
    },
    /// Make a one-time token for a new box.
    Enrol {
        /// Its name, a short word.
        name: String,
        /// `agent` or `portal`.
        #[arg(long, default_value = "agent", value_parser = ["agent", "portal"])]
        role: String,
        /// The campus that it serves.
        #[arg(long)]
        campus: Option<String>,
        /// It takes the place of the box of this name, which is thrown out the moment that the new one comes.
        #[arg(long)]
        replace: bool,
    },
    /// Throw a box out, and tell what is left to be done.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        why: Why,
    },
}

/// Why something is changed that agents answer nothing of.
#[derive(Debug, Default, Args)]
pub(super) struct Why {
    /// Why, for the history.
    #[arg(long)]
    pub reason: Option<String>,
    /// Check that it could be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What to import.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The files: bootptabs with templates, BIND zones, clients.conf.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The campus of subnets that are new.
    #[arg(long)]
    pub campus: Option<String>,
    /// Tell what would change and everything that is wrong, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for the history.
    #[arg(long)]
    pub reason: Option<String>,
}
