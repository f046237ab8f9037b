//! What can be typed behind `holdfast`.

mod boxes;
mod history;
mod objects;

pub(super) use boxes::{NodeCommand, SnapshotCommand};
pub(super) use history::{AuditCommand, ChangeSetCommand, ChangesCommand, ChangesWish, EventWish};
pub(super) use objects::{BootptabCommand, CampusCommand, Export, HostCommand, HostFields, Import, SubnetCommand, Table, ZoneCommand};

use super::approval::ApprovalCommand;
use super::boot::BootCommand;
use super::check::{CheckCommand, CheckWish};
use super::declared::{ApplyWish, PlanWish};
use super::discovery::DiscoveryCommand;
use super::fault::FaultCommand;
use super::lease::LeaseCommand;
use super::machine::MachineCommand;
use super::moves::MoveCommand;
use super::nas::NasCommand;
use super::organisation::{ClassCommand, ContactCommand, DepartmentCommand, ExternalCommand, MailboxCommand};
use super::people::{GrantCommand, PolicyCommand, TokenCommand, UserCommand};
use super::privacy::PrivacyCommand;
use super::record::RecordCommand;
use super::session::SessionCommand;
use super::space::{ContainerCommand, FamilyCommand, IpCommand, PoolCommand, ReportCommand};
use super::topology::{RouterCommand, ServerCommand, TopologyCommand};
use super::transfers::TsigKeyCommand;
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
    /// Keys that servers sign zone transfers with (TSIG).
    TsigKey {
        #[command(subcommand)]
        command: TsigKeyCommand,
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
    /// Leases: who has which address of a pool, and who had it.
    Lease {
        #[command(subcommand)]
        command: LeaseCommand,
    },
    /// Machines that asked for an address and that nobody registered.
    Machine {
        #[command(subcommand)]
        command: MachineCommand,
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
    /// Machines that turned up, and how they become hosts.
    Discovery {
        #[command(subcommand)]
        command: DiscoveryCommand,
    },
    /// Routers: which subnets stand behind which port.
    Router {
        #[command(subcommand)]
        command: RouterCommand,
    },
    /// Routers, ports, subnets and departments together.
    Topology {
        #[command(subcommand)]
        command: TopologyCommand,
    },
    /// Servers that departments run themselves.
    DeptServer {
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// Faults and incidents: told to operations with whom to call.
    Fault {
        #[command(subcommand)]
        command: FaultCommand,
    },
    /// Tell what is known of a name, an address or a hardware address: what services do with it and why, and whom to call.
    Explain {
        /// Such as www.uni.example, 10.1.4.17 or 02:00:00:00:00:01.
        object: String,
    },
    /// Tell where a name's answer comes from: what each tier has, from the client's campus to the root, and how long it takes.
    Trace {
        /// The name that is asked for.
        name: String,
        /// The type.
        #[arg(long = "type", value_name = "TYPE", default_value = "A")]
        rtype: String,
        /// Whose question it would be: a host's name or an address.
        #[arg(long, value_name = "HOST")]
        from: String,
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
    /// Take in files of other programs and tables, all or nothing.
    Import(Import),
    /// Write the inventory as files of other programs, to stdout or into a folder.
    Export {
        #[command(subcommand)]
        what: Export,
    },
    /// The table of bootpd.
    Bootptab {
        #[command(subcommand)]
        command: BootptabCommand,
    },
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
    /// Who is, and was, on the network; and who is logged in at the master.
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
