//! The front door of `holdfast-master`: the master, and the auth portal, each with its own tools for its own host.

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use holdfast_master::commands::{self, AdminCommand, EngineCommand, NodeCommand, PortalCommand};
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
    /// The root ceremony: make the keys and have the root sign the first trust. Once.
    Init {
        /// The institution, as people call it.
        #[arg(long)]
        name: String,
        /// What `holdfast-master auth-portal init` printed: the key that alone may sign people.
        #[arg(long, value_name = "HEX")]
        portal_key: String,
    },
    /// Serve until SIGTERM.
    Serve,
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
        Command::Init { name, portal_key } => commands::init(&config::read(path)?, &name, &portal_key),
        Command::Serve => {
            let metrics = telemetry::start()?;
            runtime.block_on(run::serve(config::read(path)?, metrics))
        }
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
