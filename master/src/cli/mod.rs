//! The `holdfast` command. It knows the public REST API and nothing of the master's inside, so whatever it can do, any
//! program with a token can do.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 refused or failed, 2 used wrongly, 10 a plan that differs.

mod approval;
mod arguments;
mod boot;
mod changes;
mod check;
mod client;
mod declared;
mod discovery;
mod events;
mod explain;
mod export;
mod fault;
mod host;
mod import;
mod lease;
mod machine;
mod moves;
mod nas;
mod network;
mod node;
mod organisation;
mod particulars;
mod people;
mod print;
mod privacy;
mod record;
mod session;
mod settings;
mod snapshot;
mod space;
mod topology;
mod trace;
mod transfers;
mod webhook;

use arguments::{Arguments, BootptabCommand, Command};
use clap::{CommandFactory, Parser};
use client::Client;
use std::{io::Write, process::ExitCode};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The master said no; its problem is told error by error.
    #[error("{}", print::problem(.0))]
    Refused(serde_json::Value),
    /// There was no answer, or none that makes sense.
    #[error("{0}")]
    Failed(String),
    /// The command or its settings are wrong.
    #[error("{0}")]
    Usage(String),
    /// What was planned is not what is there; that was told already.
    #[error("the database is not as the file says")]
    Differs,
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Differs => 10,
        }
    }
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed stderr is nobody's fault and changes nothing.
            let _ = writeln!(std::io::stderr(), "holdfast: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { connection, output, command } = arguments;
    if let Command::Completion { shell } = command {
        // By way of a buffer, because the generator panics when its reader goes away.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "holdfast", &mut script);
        return print::out(&script);
    }
    let client = Client::new(settings::resolve(connection)?)?;
    match command {
        Command::Host { command } => host::run(&client, output, *command),
        Command::Subnet { command } => network::subnet(&client, output, command),
        Command::Zone { command } => network::zone(&client, output, command),
        Command::TsigKey { command } => transfers::keys(&client, output, command),
        Command::Campus { command } => network::campus(&client, output, command),
        Command::Ip { command } => space::ip(&client, output, command),
        Command::Pool { command } => space::pool(&client, output, command),
        Command::Lease { command } => lease::lease(&client, output, command),
        Command::Machine { command } => machine::run(&client, output, command),
        Command::Container { command } => space::container(&client, output, command),
        Command::Family { command } => space::family(&client, output, command),
        Command::Move { command } => moves::run(&client, output, command),
        Command::Report { command } => space::report(&client, output, command),
        Command::Check { wish, command } => check::run(&client, output, &wish, command),
        Command::Privacy { command } => privacy::run(&client, output, command),
        Command::Boot { command } => boot::run(&client, output, command),
        Command::Department { command } => organisation::department(&client, output, command),
        Command::Contact { command } => organisation::contact(&client, output, command),
        Command::External { command } => organisation::external(&client, output, command),
        Command::Class { command } => organisation::class(&client, output, command),
        Command::Mailbox { command } => organisation::mailbox(&client, output, command),
        Command::Record { command } => record::run(&client, output, command),
        Command::Webhook { command } => webhook::run(&client, output, command),
        Command::Approval { command } => approval::run(&client, output, command),
        Command::Discovery { command } => discovery::run(&client, output, command),
        Command::Router { command } => topology::router(&client, output, command),
        Command::Topology { command } => topology::topology(&client, output, command),
        Command::DeptServer { command } => topology::server(&client, output, command),
        Command::Fault { command } => fault::run(&client, output, command),
        Command::Explain { object } => explain::explain(&client, output, &object),
        Command::Trace { name, rtype, from } => trace::trace(&client, output, name, rtype, from),
        Command::Whohad { ip, at } => explain::whohad(&client, output, &ip, at),
        Command::Plan(wish) => declared::plan(&client, output, &wish),
        Command::Apply(wish) => declared::apply(&client, output, &wish),
        Command::Nas { command } => nas::nas(&client, output, command),
        Command::Node { command } => node::run(&client, output, command),
        Command::Snapshot { command } => snapshot::run(&client, output, command),
        Command::Rollback { feed, to, wish } => snapshot::rollback(&client, output, &feed, to, &wish),
        Command::Events(wish) => events::run(&client, output, wish),
        Command::Changes { command, wish } => changes::run(&client, output, command, wish),
        Command::Revert { ids, wish } => changes::revert(&client, output, &ids, &wish),
        Command::ChangeSet { command } => changes::change_set(&client, output, command),
        Command::Audit { command } => changes::audit(&client, output, command),
        Command::User { command } => people::user(&client, output, command),
        Command::Grant { command } => people::grant(&client, output, command),
        Command::Session { command } => session::session(&client, output, command),
        Command::Token { command } => people::token(&client, output, command),
        Command::Policy { command } => people::policy(&client, output, command),
        Command::Export { what } => export::run(&client, what),
        Command::Bootptab { command: BootptabCommand::Export } => export::one(&client, "bootptab", false),
        Command::Import(wish) => import::run(&client, output, wish),
        Command::Completion { .. } => Ok(()),
    }
}
