//! What `holdfast-master` does besides serving: the tools for whoever sits at this host. Wiring only, like `run`.

mod adopt;
mod node;
mod root;

pub use adopt::{AdoptArguments, adopt_from_agent};
pub use node::{CaCommand, NodeCommand, ca, node};
pub use root::{InitArguments, RootCommand, init, root};

use crate::config::{Config, PortalConfig};
use crate::engine::{self, Engine};
use crate::http::{TokenDraft, create_token, make_emergency_log_in, reset_password};
use crate::portal::{self, KeptVerifier, Portal};
use crate::run::{open_database, stop_engine, wait_for_signal};
use crate::telemetry::{self, BUILD};
use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use clap::Subcommand;
use holdfast_proto::control::{EnrolToken, TrustUpdate};
use holdfast_proto::words::Secret;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The portal's own name in its cluster.
const PORTAL_DATABASE: &str = "portal";

/// Administrators and their tokens.
#[derive(Subcommand)]
pub enum AdminCommand {
    /// Give a person a new one-time password.
    ResetPassword {
        /// The login.
        name: String,
    },
    /// Make a token for the API and the command line.
    Token {
        /// Whose token.
        #[arg(long, default_value = "admin")]
        principal: String,
        /// What it is for.
        name: String,
    },
    /// Make a log-in that works once, within the hour, when nothing else lets anybody in: it needs no second factor. It stands in
    /// the history and raises an alarm.
    BreakGlass {
        /// Why, for the history.
        #[arg(long)]
        reason: String,
    },
}

/// The managed database.
#[derive(Subcommand)]
pub enum EngineCommand {
    /// Whether it runs.
    Status,
    /// Stop it, after a master that was killed.
    Stop,
}

/// The auth portal.
#[derive(Subcommand)]
pub enum PortalCommand {
    /// Make the portal's keys and print what the root ceremony needs.
    Init,
    /// Make the portal a box of the institution.
    Enrol {
        /// The master's control port.
        #[arg(long, value_name = "HOST:PORT")]
        master: String,
        /// The one-time token.
        #[arg(long, env = "HOLDFAST_TOKEN", hide_env_values = true)]
        token: String,
    },
    /// Serve until SIGTERM.
    Serve,
    /// The agents that the master knows, and which of them get the people's data key.
    Agents,
    /// Let an agent read verifiers, after comparing the fingerprint with the one that its own screen shows.
    Confirm {
        /// The agent.
        name: String,
        /// As `holdfast-agent enrol` printed it.
        fingerprint: String,
    },
    /// Import a FreeRADIUS users file; every password becomes argon2id.
    ImportUsers {
        /// The file.
        file: PathBuf,
    },
    /// Set a person's password, read from standard input.
    Passwd {
        /// The account.
        name: String,
    },
    /// Refuse a person until further notice.
    Suspend {
        /// The account.
        name: String,
    },
    /// Let a suspended person in again.
    Resume {
        /// The account.
        name: String,
    },
    /// Keep verifiers beside argon2id for methods that it cannot serve, of every password that is set from now on. A thief can log in with them.
    Keep {
        /// For which method: MS-CHAPv2 and PEAP, or CHAP.
        verifier: KeptVerifier,
        /// For the names behind this @ alone; "" for names without one.
        #[arg(long)]
        realm: Option<String>,
    },
    /// Keep them no longer, and take away what there is, from the agents, too.
    Forget {
        /// Which.
        verifier: KeptVerifier,
        /// As it was given to `keep`.
        #[arg(long)]
        realm: Option<String>,
    },
    /// What is kept beside argon2id, and for whom.
    Kept,
    /// Stop the managed database, after a portal that was killed.
    EngineStop,
}

/// Administrators and their tokens.
pub async fn admin(config: Config, command: AdminCommand) -> anyhow::Result<()> {
    let (pool, _) = open_database(&config).await?;
    match command {
        AdminCommand::ResetPassword { name } => {
            let password = reset_password(&pool, &name).await.map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
            println!("{}", password.expose());
        }
        AdminCommand::Token { principal, name } => {
            let made = create_token(&pool, &principal, &TokenDraft::named(&name), None).await.map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
            println!("{}", String::from_utf8_lossy(made.text.expose()));
        }
        AdminCommand::BreakGlass { reason } => {
            let (password, until) = make_emergency_log_in(&pool, &operator(), &reason).await.map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
            println!("break-glass / {}   (once, until {until})", password.expose());
        }
    }
    Ok(())
}

/// The managed database of the master.
pub fn engine(config: &Config, command: &EngineCommand) -> anyhow::Result<()> {
    let engine = Engine::at(&config.state_dir)?;
    match command {
        EngineCommand::Status => println!("{}", if engine.is_running()? { "running" } else { "stopped" }),
        EngineCommand::Stop => engine.stop()?,
    }
    Ok(())
}

/// Who sits at this host, for the history.
fn operator() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "operator".to_owned())
}

/// The auth portal.
pub async fn portal(config: PortalConfig, command: PortalCommand) -> anyhow::Result<()> {
    let actor = operator();
    match command {
        PortalCommand::Init => println!("{}", portal::run::keys(&config.state_dir)?.signing.public()),
        PortalCommand::Enrol { master, token } => {
            // Parsed here and not by clap, which would print a token that it cannot read.
            let token: EnrolToken = token.parse()?;
            let institution = portal::run::join(&config.state_dir, &master, &token, BUILD).await?;
            println!("enrolled as the auth portal of {institution}");
        }
        PortalCommand::Serve => serve_portal(config).await?,
        PortalCommand::EngineStop => Engine::at(&config.state_dir)?.stop()?,
        PortalCommand::Agents => {
            let (portal, uplink, _) = open_portal(&config).await?;
            for agent in portal.list_agents(uplink.dial().await?).await? {
                println!("{:<16} {} {}", agent.name, agent.fingerprint, if agent.confirmed { "confirmed" } else { "not confirmed" });
            }
        }
        PortalCommand::Confirm { name, fingerprint } => {
            let (portal, uplink, _) = open_portal(&config).await?;
            portal.confirm_agent(uplink.dial().await?, &actor, &name, &fingerprint).await?;
            println!("{name} may read verifiers from the next generation on");
        }
        PortalCommand::ImportUsers { file } => {
            let (portal, ..) = open_portal(&config).await?;
            let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let shown = std::io::stderr().is_terminal();
            let progress = move |done, total| {
                if shown {
                    let _ = write!(std::io::stderr(), "\r{done} of {total} passwords");
                }
            };
            let count = portal.import_users(&actor, &text, progress).await?;
            println!("{count} accounts imported from {}", file.display());
        }
        PortalCommand::Passwd { name } => {
            let (portal, ..) = open_portal(&config).await?;
            let password = std::io::read_to_string(std::io::stdin())?;
            portal.set_password(&actor, &name, Secret::new(password.trim_end_matches(['\r', '\n']))).await?;
        }
        PortalCommand::Suspend { name } => open_portal(&config).await?.0.suspend(&actor, &name).await?,
        PortalCommand::Keep { verifier, realm } => {
            let without = open_portal(&config).await?.0.keep(&actor, verifier, realm.as_deref()).await?;
            println!("{} is kept of every password that is set from now on; {without} accounts have none until then", verifier.name());
        }
        PortalCommand::Forget { verifier, realm } => {
            let count = open_portal(&config).await?.0.forget(&actor, verifier, realm.as_deref()).await?;
            println!("taken away from {count} accounts; an agent that is cut off has it until it is connected again");
        }
        PortalCommand::Kept => {
            for (realm, verifier) in open_portal(&config).await?.0.kept().await? {
                println!("{verifier:<10} {}", if realm.is_empty() { "\"\"" } else { &realm });
            }
        }
        PortalCommand::Resume { name } => open_portal(&config).await?.0.resume(&actor, &name).await?,
    }
    Ok(())
}

async fn open_portal(config: &PortalConfig) -> anyhow::Result<(Portal, Arc<portal::run::Uplink>, Option<Engine>)> {
    let (pool, engine) = engine::open(&config.database, &config.state_dir, PORTAL_DATABASE).await?;
    let (portal, uplink) = portal::run::open(&config.state_dir, pool).await?;
    Ok((portal, uplink, engine))
}

async fn serve_portal(config: PortalConfig) -> anyhow::Result<()> {
    let metrics = telemetry::start()?;
    let (portal, uplink, engine) = open_portal(&config).await?;
    let window = TcpListener::bind(config.status.listen).await.with_context(|| format!("cannot listen on {}", config.status.listen))?;
    let asked = portal.clone();
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || portal_is_ready(&asked).await))
        .route("/metrics", get(async move || metrics.render()));
    let mut tasks = JoinSet::new();
    let (publishing, relaying) = (portal.clone(), portal);
    tasks.spawn(async move {
        publishing.run_publisher().await;
    });
    tasks.spawn(async move {
        let dialling = Arc::clone(&uplink);
        let connect = move || {
            let uplink = Arc::clone(&dialling);
            async move { uplink.dial().await }
        };
        let follow = move |update: TrustUpdate| {
            let uplink = Arc::clone(&uplink);
            async move { uplink.follow(&update).await }
        };
        relaying.run_relay(connect, follow).await;
    });
    tasks.spawn(async move { drop(axum::serve(window, router).await) });
    tracing::info!(event = "portal_ready", status = %config.status.listen, "the auth portal serves");
    wait_for_signal().await?;
    tracing::info!(event = "portal_stopping", "stopping");
    tasks.shutdown().await;
    stop_engine(engine).await
}

/// Ready: the credential store answers. A master that is away is no fault of the portal's.
async fn portal_is_ready(portal: &Portal) -> (StatusCode, &'static str) {
    const PATIENCE: Duration = Duration::from_secs(2);
    match tokio::time::timeout(PATIENCE, portal.account_count()).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the credential store does not answer\n"),
    }
}
