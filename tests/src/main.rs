//! `holdfast-lab`: the demo, the measurements, the fuzz driver and a look at the network.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use holdfast_lab::cables::{Network, Place};

/// Holdfast on one machine: two campuses, a master, and cables to pull.
#[derive(Debug, Parser)]
#[command(name = "holdfast-lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Net { place, command } => open_shell(&place, &command),
    }
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
