//! One network namespace: a box of the lab's network, in which programs and sockets can be placed.
//!
//! Why it exists: a real network stack of its own for each box, so that ports 53, 67 and 1812, broadcasts and cut cables are
//! the real thing. Everything is made and taken away with `ip` (package iproute2), as a person would at a terminal.
//! A namespace is called `hf<process id>-<number>-<place>`, so that runs side by side do not meet and the leftovers of a run
//! that was killed can be told from those of a living one.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

/// Where `ip netns` keeps its handles.
const HANDLES: &str = "/run/netns";
/// What the name of every namespace of the lab starts with.
const PREFIX: &str = "hf";

/// A namespace that is taken away, with the programs left in it, when it is dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace for `place` of the process's network number `network`, with its loopback up.
    pub fn create(network: usize, place: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{network}-{place}", std::process::id());
        ip(&["netns", "add", &name])?;
        // From here on Drop takes it away, whatever fails.
        let made = Self { name };
        made.ip(&["link", "set", "lo", "up"])?;
        Ok(made)
    }

    /// The name to give to `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside. Its process is the program's own: `ip` steps aside by exec.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// Runs a command inside to its end and gives what it said; an error where it failed.
    pub fn exec(&self, program: &str, args: &[&str]) -> Result<String> {
        run(self.command(program).args(args))
    }

    /// `ip` on this namespace.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(args))
    }

    /// Runs a function on a thread of its own inside: its sockets are this box's.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.name)?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Moves the calling thread, for the rest of its life, into the namespace of this name.
pub fn enter(name: &str) -> Result<()> {
    let path = Path::new(HANDLES).join(name);
    let handle = File::open(&path).with_context(|| format!("no network namespace at {}", path.display()))?;
    nix::sched::setns(handle, nix::sched::CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter the network namespace {name}"))
}

/// Why no namespace can be made here; `None` where it can.
pub fn hindrance() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("network namespaces need root".into());
    }
    let missing = ["ip", "ethtool"].into_iter().find(|tool| !crate::clients::is_installed(tool))?;
    Some(format!("the program \"{missing}\" is missing: apt-get install iproute2 ethtool"))
}

/// Takes away the namespaces of processes that are gone, with what still runs in them.
pub fn sweep() {
    let Ok(handles) = std::fs::read_dir(HANDLES) else { return };
    let names = handles.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| owner(name).is_some_and(|pid| !Path::new("/proc").join(pid).exists())).for_each(|name| remove(&name));
}

/// The process id in the name of a namespace of the lab.
fn owner(name: &str) -> Option<&str> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then_some(pid).filter(|pid| !pid.is_empty())
}

fn remove(name: &str) {
    // Programs of the lab end by their own Drop; this is for those whose owner was killed.
    for pid in ip(&["netns", "pids", name]).unwrap_or_default().split_whitespace() {
        let _ = pid.parse().map(|pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL));
    }
    // Nothing can be done about a failure here, and the next sweep tries again.
    let _ = ip(&["netns", "del", name]);
}

/// Runs `ip` and gives what it printed.
pub fn ip(args: &[&str]) -> Result<String> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status}): {}", String::from_utf8_lossy(&stderr).trim());
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_names_of_the_lab_have_an_owner() {
        assert_eq!(owner("hf4711-0-north"), Some("4711"));
        for foreign in ["hf-0-north", "hfx1-0-north", "hf4711", "blue", "4711-0-north"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }
}
