//! `holdfast-lab`: the demo, the measurements, the fuzz driver and a look at the network.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use holdfast_lab::bench::{self, Settings};
use holdfast_lab::cables::{Network, Place};
use holdfast_lab::clients::relay;
use holdfast_lab::demo;
use holdfast_lab::fuzz::{self, Outcome, Size, TARGETS};
use holdfast_proto::words::Mac;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Holdfast on one machine: two campuses, a master, and cables to pull.
#[derive(Debug, Parser)]
#[command(name = "holdfast-lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the product on this machine: master, auth portal, two campuses. Ctrl-C stops all of it, a second start goes on
    Demo,
    /// Ask an agent on a high port for a boot entry, as a relay would
    AskBoot {
        /// The agent's BOOTP address and port
        server: SocketAddrV4,
        /// The machine's hardware address
        mac: Mac,
        /// The relay's address in the machine's subnet; by default the gateway of the samples' first subnet there
        relay: Option<Ipv4Addr>,
    },
    /// Measure and print one table: COMMIT to answer, cold start, memory, requests per second. Takes minutes; for a release build
    Bench {
        /// Edits with one agent, and again with two
        #[arg(long, default_value_t = 200)]
        edits: usize,
        /// Hosts in the store of the agent that is started and asked
        #[arg(long, default_value_t = 100_000)]
        hosts: u32,
        /// Cold starts, and rounds of load for each protocol
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a round of load takes
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Agents in one process that edits are sent to, in rising order
        #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1000])]
        fleet: Vec<usize>,
        /// Secondaries of BIND, the peer, in rising order
        #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
        peers: Vec<usize>,
        /// Hosts of the institution that a new box fetches whole; 0 leaves it out
        #[arg(long, default_value_t = 1_000_000)]
        institution: u32,
        /// Only these parts of it; all where none is named
        #[arg(long, value_delimiter = ',', value_parser = bench::parts())]
        only: Vec<String>,
    },
    /// Try broken inputs on the parsers; the same seed tries the same inputs
    Fuzz {
        /// The parser; all of them where none is named
        target: Option<String>,
        /// For how long, each
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// How many inputs at most, each
        #[arg(long, default_value_t = u64::MAX)]
        inputs: u64,
        /// Where the mutator starts
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Try this one input, in hex, instead
        #[arg(long, requires = "target")]
        input: Option<String>,
        /// Write the valid inputs into this folder, for cargo-fuzz, instead
        #[arg(long, requires = "target", conflicts_with = "input")]
        seeds_to: Option<PathBuf>,
    },
    /// Build the lab's network and open a shell in one of its boxes; the network goes when the shell ends. Needs root
    Net {
        /// The box: master, north, south, router-north, host-north, nas-north, ...
        #[arg(default_value = "host-north")]
        place: String,
        /// What to run there instead of a shell
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("holdfast-lab: {wrong:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Demo => demo::demo(),
        Command::AskBoot { server, mac, relay } => ask_boot(server, mac, relay),
        Command::Bench { edits, hosts, rounds, seconds, fleet, peers, institution, only } => {
            bench::bench(&Settings { edits, hosts, rounds, round_time: Duration::from_secs(seconds), fleet, peers, institution, only })
        }
        Command::Fuzz { target, input: Some(input), .. } => try_again(&target.unwrap_or_default(), &input),
        Command::Fuzz { target, seeds_to: Some(folder), .. } => write_seeds(&target.unwrap_or_default(), &folder),
        Command::Fuzz { target, seconds, inputs, seed, .. } => try_parsers(target.as_deref(), seed, Size { inputs, time: Duration::from_secs(seconds) }),
        Command::Net { place, command } => open_shell(&place, &command),
    }
}

/// Prints the boot entry, field by field.
fn ask_boot(server: SocketAddrV4, mac: Mac, relay: Option<Ipv4Addr>) -> Result<()> {
    let gateways = [Ipv4Addr::new(10, 1, 4, 1), Ipv4Addr::new(10, 2, 4, 1)];
    for gateway in relay.map_or(gateways.to_vec(), |relay| vec![relay]) {
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        if let Some(reply) = relay::ask_at(from, gateway, server, mac.0, &[], Duration::from_secs(1))? {
            println!("{mac} boots as {} by way of {gateway}, file \"{}\"", reply.yiaddr, reply.file);
            for (code, value) in reply.options {
                println!("  option {code:3}  {value:?}");
            }
            return Ok(());
        }
    }
    bail!("{server} has no boot entry for {mac} in these subnets")
}

fn named(target: &str) -> Result<&'static fuzz::Target> {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    fuzz::target(target).with_context(|| format!("there is no parser \"{target}\": they are {}", names.join(", ")))
}

/// One input, with its panic where it falls.
fn try_again(target: &str, input: &str) -> Result<()> {
    let input = hex::decode(input).context("the input is no hex")?;
    (named(target)?.run)(&input);
    println!("{target}: no fault with this input");
    Ok(())
}

/// The valid inputs, one file each.
fn write_seeds(target: &str, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (number, seed) in (named(target)?.seeds)().iter().enumerate() {
        let path = folder.join(format!("seed-{number}"));
        std::fs::write(&path, seed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Mutated inputs, until time or number is up or one breaks the parser.
fn try_parsers(target: Option<&str>, seed: u64, size: Size) -> Result<()> {
    let targets = target.map_or(Ok(TARGETS.iter().collect()), |target| Ok::<_, anyhow::Error>(vec![named(target)?]))?;
    for target in targets {
        match fuzz::run(target, seed, size) {
            Outcome::Clean { inputs } => println!("{}: {inputs} inputs, none breaks it", target.name),
            Outcome::Broken { input, said } => bail!("{} breaks: {said}\nagain: holdfast-lab fuzz {} --input {}", target.name, target.name, hex::encode(input)),
        }
    }
    Ok(())
}

/// Builds the network and gives the terminal to a shell in one box, or to the command given.
fn open_shell(place: &str, command: &[String]) -> Result<()> {
    let place = Place::named(place).with_context(|| format!("there is no box \"{place}\": they are {}", Place::names().join(", ")))?;
    let network = Network::build()?;
    println!("The boxes, for `ip netns exec`:");
    Place::names().iter().filter_map(|name| Place::named(name)).for_each(|place| println!("  {}", network.at(place).name()));
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    let (program, arguments) = command.split_first().map_or((shell.as_str(), command), |(program, rest)| (program.as_str(), rest));
    network.at(place).command(program).args(arguments).status().with_context(|| format!("cannot start {program}"))?;
    Ok(())
}
