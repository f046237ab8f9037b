//! The front door of `holdfast-master`: the master, and the auth portal, each with its own tools for its own host.

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use holdfast_master::commands::{self, AdminCommand, AdoptArguments, CaCommand, EngineCommand, InitArguments, NodeCommand, PortalCommand, RootCommand};
use holdfast_master::config;
use holdfast_master::{run, telemetry};
use std::path::PathBuf;
use std::process::ExitCode;

/// Holdfast's master: hostname database, web, API, publisher; and the auth portal.
#[derive(Parser)]
#[command(name = "holdfast-master", version = telemetry::BUILD)]
struct Arguments {
    /// The configuration; defaults apply where there is none.
    #[arg(long, short, global = true, env = "HOLDFAST_MASTER_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the keys of a new institution, and its first trust. Once.
    Init(InitArguments),
    /// The root ceremony: who is believed, and what changes next.
    #[command(subcommand)]
    Root(RootCommand),
    /// The TLS authorities and the certificates that they issued.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Serve until SIGTERM.
    Serve,
    /// Take back from an agent what a master that was restored from a backup lacks: an agent's snapshots are a backup.
    AdoptFromAgent(AdoptArguments),
    /// The boxes of the institution.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Administrators and their tokens, for whoever is on this host.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// The auth portal, on its own host.
    #[command(subcommand)]
    AuthPortal(PortalCommand),
    /// The managed database.
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Print the build.
    Version,
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: Shell,
    },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-master: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<()> {
    let path = arguments.config.as_deref();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.command {
        Command::Init(arguments) => commands::init(&config::read(path)?, &arguments),
        // A root signs on a machine that has no configuration, no database and no network.
        Command::Root(command) => commands::root(|| config::read(path), command),
        Command::Ca(command) => runtime.block_on(commands::ca(config::read(path)?, command)),
        Command::Serve => {
            let metrics = telemetry::start()?;
            runtime.block_on(run::serve(config::read(path)?, metrics))
        }
        Command::AdoptFromAgent(arguments) => runtime.block_on(commands::adopt_from_agent(config::read(path)?, arguments)),
        Command::Node(command) => runtime.block_on(commands::node(config::read(path)?, command)),
        Command::Admin(command) => runtime.block_on(commands::admin(config::read(path)?, command)),
        Command::AuthPortal(command) => runtime.block_on(commands::portal(config::read(path)?, command)),
        Command::Engine(command) => commands::engine(&config::read(path)?, &command),
        Command::Version => {
            println!("holdfast-master {}", telemetry::BUILD);
            Ok(())
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "holdfast-master", &mut std::io::stdout());
            Ok(())
        }
    }
}
