//! Our own boxes and their certificates, for whoever sits at the master's host: the same functions as behind the API.

use super::operator;
use crate::config::Config;
use crate::keys::Keys;
use crate::nodes::{self, NewToken, WorkList};
use crate::run::open_database;
use clap::{Subcommand, ValueEnum};
use sqlx::PgPool;
use std::time::Duration;

/// How long a revocation waits for a running master to change the data key.
const ROTATION_LIMIT: Duration = Duration::from_secs(4);

/// The boxes of the institution.
#[derive(Subcommand)]
pub enum NodeCommand {
    /// Make a one-time token for a new box.
    Enrol {
        /// The box's name: `north`.
        name: String,
        /// What it will be.
        #[arg(long, value_enum, default_value = "agent")]
        role: NodeRole,
        /// The campus that an agent serves.
        #[arg(long)]
        campus: Option<String>,
        /// The new box takes the place of the one of this name, which is thrown out the moment that the new one comes.
        #[arg(long)]
        replace: bool,
    },
    /// Every box that was enrolled.
    List,
    /// Throw a box out: it gets nothing more, the data key that it held is changed, and what is left to do is printed.
    Revoke {
        /// Its name.
        name: String,
        /// Why, for the history.
        #[arg(long, default_value = "")]
        reason: String,
    },
}

/// What a box is.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum NodeRole {
    /// A campus agent.
    Agent,
    /// The auth portal.
    Portal,
}

/// The TLS authorities.
#[derive(Subcommand)]
pub enum CaCommand {
    /// Every authority, and the certificate of every box: until when, and what it is good for.
    List,
}

/// The boxes of the institution.
pub async fn node(config: Config, command: NodeCommand) -> anyhow::Result<()> {
    let keys = Keys::read(&config.state_dir)?;
    let (pool, _) = open_database(&config).await?;
    match command {
        NodeCommand::Enrol { name, role, campus, replace } => {
            let role = match role {
                NodeRole::Agent => "agent",
                NodeRole::Portal => "portal",
            };
            println!("{}", nodes::issue_token(&pool, &keys, &NewToken { name, role, campus, replace }, &operator(), "host").await?);
        }
        NodeCommand::List => list(&pool).await?,
        NodeCommand::Revoke { name, reason } => {
            let list = nodes::revoke(&pool, &name, &operator(), &reason, "host", false).await?;
            print_work_list(&nodes::await_rotation(&pool, list, ROTATION_LIMIT).await?);
        }
    }
    Ok(())
}

async fn list(pool: &PgPool) -> anyhow::Result<()> {
    println!("{:<16} {:<7} {:<12} {:<20} {:<8} key fingerprint", "name", "role", "campus", "enrolled", "state");
    for node in nodes::list(pool, &[]).await? {
        let (campus, enrolled) = (node.campus.unwrap_or_else(|| "-".to_owned()), node.enrolled_at.format("%Y-%m-%d %H:%M:%S"));
        println!("{:<16} {:<7} {campus:<12} {enrolled:<20} {:<8} {}", node.name, node.role, node.state, node.fingerprint);
    }
    Ok(())
}

fn print_work_list(list: &WorkList) {
    println!("{} is thrown out: it may nothing any more.", list.node);
    println!("Changed without your doing: {}.", list.changed.join("; "));
    match list.rotated_in {
        Some(generation) => println!("The access feed has its new data key since generation {generation}."),
        None if list.role == "agent" => println!("The data key is changed as soon as a master runs: see `holdfast-master node list`."),
        None => {}
    }
    println!("It knew these secrets: change each on the NAS and here.");
    list.nas_secrets.iter().for_each(|nas| println!("  {:<24} {}", nas.name, nas.prefix));
    println!("It also had:");
    list.exposed.iter().for_each(|what| println!("  {what}"));
}

/// The TLS authorities.
pub async fn ca(config: Config, command: CaCommand) -> anyhow::Result<()> {
    let keys = Keys::read(&config.state_dir)?;
    let (pool, _) = open_database(&config).await?;
    let CaCommand::List = command;
    println!("{:<10} {:<24} {:<18} {:<12} state", "kind", "name", "authority", "ends");
    for certificate in nodes::certificates(&pool, &keys).await? {
        let end = certificate.end.map_or_else(|| "unknown".to_owned(), |end| end.format("%Y-%m-%d").to_string());
        println!("{:<10} {:<24} {:<18} {end:<12} {}", certificate.kind, certificate.name, certificate.authority, certificate.state);
    }
    Ok(())
}
