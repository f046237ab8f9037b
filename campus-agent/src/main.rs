//! The front door of `holdfast-agent`.

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use holdfast_agent::config::Config;
use holdfast_agent::reports::{Spool, caller};
use holdfast_agent::resolver::{self, Traced};
use holdfast_agent::store::FloorFile;
use holdfast_agent::{run, status, telemetry, uplink};
use holdfast_proto::control::EnrolToken;
use holdfast_proto::net::clock::TrustedClock;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Holdfast's campus agent: DNS, BOOTP/DHCP and RADIUS for one campus, from its own disk.
#[derive(Parser)]
#[command(name = "holdfast-agent", version = telemetry::BUILD)]
struct Arguments {
    /// The configuration; defaults apply where there is none.
    #[arg(long, short, global = true, env = "HOLDFAST_AGENT_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this box an agent, with the token that the master printed.
    Enrol {
        /// The master's control port.
        #[arg(long, value_name = "HOST:PORT")]
        master: String,
        /// The one-time token; asked for on standard input when left out.
        #[arg(long, env = "HOLDFAST_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
    /// Serve everything until SIGTERM: starts the processes below, and starts anew what ends.
    Run,
    /// Follow the master and write the store; the only process that knows there is a master.
    Uplink,
    /// Answer DNS from the store.
    Dns,
    /// Answer names for listed clients: ours from the store, others' from a cache and from whom it may ask.
    Resolver,
    /// Answer BOOTP and DHCP from the store.
    Dhcp,
    /// Answer RADIUS from the store.
    Radius,
    /// Verify what is on the disk and print it. Needs no network and no running agent.
    Status,
    /// Verify what is on the disk; exits 1 when something was kept out or went back.
    Verify,
    /// The snapshots on the disk.
    Snapshot {
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Who asked this box most since its midnight: address, questions at most, and how many of those may be others'.
    Top {
        /// What they asked.
        #[command(subcommand)]
        command: TopCommand,
    },
    /// What the resolver of this box makes of a question: whether it has the answer, whom it asks, and how long each takes.
    Trace {
        /// The name.
        name: String,
        /// The record type.
        #[arg(default_value = "A")]
        rtype: String,
        /// For the client at this address; for the box itself without it.
        #[arg(long, value_name = "ADDRESS")]
        from: Option<IpAddr>,
    },
    /// Print the build.
    Version,
    /// Print a completion script for a shell.
    Completion {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum TopCommand {
    /// DNS clients, the loudest first.
    Clients,
}
#[derive(Subcommand)]
enum SnapshotCommand {
    /// Every snapshot with its generation, digest and signer.
    List,
    /// What was signed of one snapshot.
    Show {
        /// zone, bootptab, auth-people, auth-access or trust.
        feed: String,
    },
}

fn main() -> ExitCode {
    match dispatch(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("holdfast-agent: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = Config::read(arguments.config.as_deref())?;
    match arguments.command {
        Command::Enrol { master, token } => enrol(&config, &master, token)?,
        Command::Run => {
            telemetry::start()?;
            runtime()?.block_on(run::supervise(&config, arguments.config.as_deref()))?;
        }
        Command::Uplink => serve(run::uplink, config)?,
        Command::Dns => serve(run::dns, config)?,
        Command::Resolver => serve(run::resolver, config)?,
        Command::Dhcp => serve(run::dhcp, config)?,
        Command::Radius => serve(run::radius, config)?,
        Command::Status => print!("{}{}", status::read_offline(&config.state_dir)?, resolver::read_servers(&config.folders().run)),
        Command::Snapshot { command: SnapshotCommand::List } => print!("{}", status::read_offline(&config.state_dir)?),
        Command::Snapshot { command: SnapshotCommand::Show { feed } } => print!("{}", status::show_offline(&config.state_dir, &feed)?),
        Command::Verify => {
            let status = status::read_offline(&config.state_dir)?;
            print!("{status}");
            return Ok(ExitCode::from(u8::from(!status.is_well())));
        }
        Command::Top { command: TopCommand::Clients } => print!("{}", telemetry::read_audience(&config.folders().run)?),
        Command::Trace { name, rtype, from } => print!("{}", resolver::trace(&config.folders().run, &Traced { name, rtype, from })?),
        Command::Version => println!("holdfast-agent {}", telemetry::BUILD),
        Command::Completion { shell } => clap_complete::generate(shell, &mut Arguments::command(), "holdfast-agent", &mut std::io::stdout()),
    }
    Ok(ExitCode::SUCCESS)
}

fn enrol(config: &Config, master: &str, token: Option<String>) -> anyhow::Result<()> {
    // Parsed here and not by clap, which would print a token that it cannot read.
    let token: EnrolToken = match token {
        Some(token) => token.parse()?,
        None => std::io::read_to_string(std::io::stdin())?.parse()?,
    };
    std::fs::create_dir_all(&config.state_dir)?;
    let enrolled = runtime()?.block_on(uplink::enrol(&config.state_dir, master, &token));
    let outcome = enrolled.as_ref().map_or_else(|refused| format!("refused: {refused}"), |(identity, _)| format!("now {}", identity.name));
    audit(config, &format!("enrol at {master}: {outcome}"));
    let (identity, hpke) = enrolled?;
    println!("enrolled as {} of {}", identity.name, identity.trust.draft().name);
    println!("key fingerprint {}", hpke.fingerprint());
    println!("Confirm it at the auth portal: holdfast-master auth-portal confirm {} {}", identity.name, hpke.fingerprint());
    Ok(())
}

fn serve<S: Future<Output = anyhow::Result<()>>>(service: impl FnOnce(Config, PrometheusHandle) -> S, config: Config) -> anyhow::Result<()> {
    let metrics = telemetry::start()?;
    runtime()?.block_on(service(config, metrics))
}

/// Leaves a record of a command that changes the box or reads its secrets. Delivered when the agent runs.
fn audit(config: &Config, what: &str) {
    let (_, floor) = FloorFile::open(&config.state_dir);
    let spool = Spool::open(&config.state_dir, "commands", Arc::new(TrustedClock::new(floor.time)));
    spool.audit("command_run", format!("{} ran {what}", caller()));
    if !spool.flush() {
        eprintln!("holdfast-agent: the record of this command cannot be kept in {}", config.state_dir.display());
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
