//! All processes of a box under one, for small sites: what ends is started anew, and nothing outlives the one who started it.

use super::{FELL, SUPERVISED, alone_on, wait_for_signal};
use crate::config::Config;
use crate::store::{Identity, store_key};
use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Every process of a box, by the command that runs it.
const SERVICES: [&str; 5] = ["uplink", "dns", "resolver", "dhcp", "radius"];
/// A process that dies is there again within a second; one that dies at once does not eat a core.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// One that has lived this long died of something new.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// How long a process may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Runs every process of the box until SIGTERM or SIGINT.
pub async fn supervise(config: &Config, config_path: Option<&Path>) -> anyhow::Result<()> {
    // A box that is not enrolled would die four times a second.
    Identity::read_trust(&config.state_dir)?;
    // Another folder than the uplink's lock, which its child is to have.
    let _alone = alone_on(&config.state_dir.join("identity")).context("one supervisor is enough")?;
    // One key for all, made before anybody could make another.
    store_key(&config.state_dir);
    let program = std::env::current_exe().context("finding this program")?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for service in wanted(config)? {
        tasks.spawn(keep_alive(program.clone(), config_path.map(Path::to_owned), service, stopped.clone()));
    }
    let ended = wait_for_signal().await;
    stop.send_replace(true);
    tasks.join_all().await;
    ended
}

/// The processes that this box runs: those that its configuration names, or all but a resolver without an address.
fn wanted(config: &Config) -> anyhow::Result<Vec<&'static str>> {
    let Some(named) = &config.services else {
        return Ok(SERVICES.into_iter().filter(|service| *service != "resolver" || !config.resolver.listen.is_empty()).collect());
    };
    let known = |name: &String| {
        let service = SERVICES.into_iter().find(|service| service == name);
        service.with_context(|| format!("services: there is no \"{name}\": they are {}", SERVICES.join(", ")))
    };
    named.iter().map(known).collect()
}

async fn keep_alive(program: PathBuf, config: Option<PathBuf>, service: &'static str, mut stopped: watch::Receiver<bool>) {
    let (mut pause, mut fell) = (FIRST_PAUSE, false);
    loop {
        let begun = Instant::now();
        let ended = match start(&program, config.as_deref(), service, fell) {
            Ok(mut child) => {
                // Waiting would close it, and its end is what tells the process that nobody holds it any more.
                let _held = child.stdin.take();
                tokio::select! {
                    status = child.wait() => status,
                    () = until(&mut stopped) => return stop(child).await,
                }
            }
            Err(error) => Err(error),
        };
        fell = ended.as_ref().is_ok_and(fell_over);
        if begun.elapsed() > WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        tracing::error!(event = "service_died", service, how = describe(ended), "it is started anew; the others go on");
        metrics::counter!("holdfast_service_deaths_total", "service" => service).increment(1);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = until(&mut stopped) => return,
        }
        pause = (pause * 2).min(PAUSE_LIMIT);
    }
}

/// Whether a process ended by a fault of its own: whoever is killed from outside has not died of what it served.
fn fell_over(status: &ExitStatus) -> bool {
    let faults = [Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE];
    status.signal().is_some_and(|signal| faults.iter().any(|fault| *fault as i32 == signal))
}

async fn until(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

fn start(program: &Path, config: Option<&Path>, service: &str, fell: bool) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    if fell {
        command.env(FELL, "1");
    }
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    // The pipe is never written to: its end tells the process that its supervisor is gone.
    command.arg(service).env(SUPERVISED, "1").stdin(Stdio::piped()).kill_on_drop(true).spawn()
}

fn describe(ended: std::io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| format!("it could not be started: {error}"), |status| status.to_string())
}

async fn stop(mut child: Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // A process that is gone already has stopped.
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
    if tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_err() {
        // It is dropped, and so killed.
        tracing::error!(event = "service_killed", "a service did not stop in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_runs_what_it_is_told_to() {
        let wanted_by = |text: &str| wanted(&toml::from_str(text).unwrap()).map_err(|wrong| wrong.to_string());
        assert_eq!(wanted_by("").unwrap(), ["uplink", "dns", "dhcp", "radius"]);
        assert_eq!(wanted_by("[resolver]\nlisten = [\"127.0.0.1:53\"]\n").unwrap(), SERVICES);
        assert_eq!(wanted_by("services = [\"uplink\", \"resolver\"]\n").unwrap(), ["uplink", "resolver"]);
        assert!(wanted_by("services = [\"web\"]\n").unwrap_err().contains("uplink, dns, resolver, dhcp, radius"));
    }
}
