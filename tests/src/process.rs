//! Real programs: started, waited for, read, stopped and killed.
//!
//! Why it exists: a behaviour test says "start the agent at 1970, in the box north, and wait until it serves" in one line, and
//! nothing it started outlives it. It refuses to guess: a program that ends before the awaited line is an error that shows its log.
//! Both outputs of a program go to one file, which grows over restarts; a test that falls shows the end of it.

use crate::netns::Netns;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a log or a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a program may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How much of a log a fallen test shows.
const SHOWN_LINES: usize = 40;

/// How to start a program, again and again if need be.
#[derive(Debug, Clone)]
pub struct Recipe {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    namespace: Option<String>,
    log: PathBuf,
}

impl Recipe {
    /// A program with a name for people; its output goes to `<logs>/<name>.log`.
    pub fn new(name: &str, program: impl Into<PathBuf>, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        Self { name: name.into(), program: program.into(), args: Vec::new(), env: Vec::new(), namespace: None, log }
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Places it in a box of the lab's network.
    pub fn inside(mut self, namespace: &Netns) -> Self {
        self.namespace = Some(namespace.name().into());
        self
    }

    /// Sets its wall clock, by libfaketime: `"@1970-01-01 00:00:10"` starts there and runs on. Its monotonic clock stays true.
    ///
    /// # Panics
    /// Where package libfaketime is not installed: the loader would only warn, and the clock would be true.
    pub fn at_time(self, time: &str) -> Self {
        self.with_clock().env("FAKETIME", time)
    }

    /// Lets its wall clock be set while it runs, as a time server does: `file` says how far it is from the true time (`"+500d"`).
    ///
    /// # Panics
    /// Where package libfaketime is not installed, as [`Self::at_time`].
    pub fn by_clock(self, file: &Path) -> Self {
        self.with_clock().env("FAKETIME_TIMESTAMP_FILE", file)
    }

    fn with_clock(self) -> Self {
        forget_dead_clocks();
        self.env("LD_PRELOAD", libfaketime().expect("package libfaketime is installed")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1")
    }

    /// Starts it.
    pub fn start(&self) -> Result<Program> {
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder)?;
        }
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log).with_context(|| format!("cannot write {}", self.log.display()))?;
        let log_start = log.metadata()?.len();
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {} ({})", self.name, self.program.display()))?;
        Ok(Program { recipe: self.clone(), child, log_start })
    }

    fn command(&self) -> Command {
        // The environment is set behind `ip` by `env`, so that libfaketime is loaded by the program alone.
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, "env"]);
                command
            }
            None => Command::new("env"),
        };
        for (name, value) in &self.env {
            let mut setting = name.clone();
            setting.push("=");
            setting.push(value);
            command.arg(setting);
        }
        command.arg(&self.program).args(&self.args);
        // A terminal's Ctrl-C is for the lab, which stops its programs in order.
        command.process_group(0);
        command
    }
}

/// A program that was killed leaves libfaketime's semaphore behind, by its number: a later program of that number and another user
/// cannot start.
fn forget_dead_clocks() {
    let Ok(entries) = fs::read_dir("/dev/shm") else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let owner = name.strip_prefix("sem.faketime_sem_").or_else(|| name.strip_prefix("faketime_shm_"));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Whoever does the same may have been first.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Package libfaketime's library, in the folder of this machine's architecture.
fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

/// A program that runs, killed when it is dropped.
#[derive(Debug)]
pub struct Program {
    recipe: Recipe,
    child: Child,
    /// Where in the log this start begins.
    log_start: u64,
}

impl Program {
    /// Its process id: `ip` and `env` step aside by exec, so it is the program's own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log since this start.
    pub fn log(&self) -> String {
        let whole = fs::read(&self.recipe.log).unwrap_or_default();
        String::from_utf8_lossy(whole.get(self.log_start as usize..).unwrap_or_default()).into_owned()
    }

    /// Waits for a line of its log, since this start, that holds `text`; gives the line.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            // Asked before the log is read, so that the last words of a program that ends are not missed.
            let ended = self.child.try_wait()?;
            if let Some(line) = whole_lines(&self.log()).find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = ended {
                bail!("{} ended ({status}) before it said \"{text}\":\n{}", self.recipe.name, self.last_words());
            }
            if Instant::now() >= deadline {
                bail!("{} did not say \"{text}\" within {limit:?}:\n{}", self.recipe.name, self.last_words());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM) and waits; an error where it takes too long, and then it is killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.kill()?;
        bail!("{} did not end within {STOP_LIMIT:?} of SIGTERM, so it was killed:\n{}", self.recipe.name, self.last_words())
    }

    /// Takes its life without a word of warning (SIGKILL), as a power cut does.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        // The power goes for all that it started, too.
        let children = children(self.pid());
        self.child.kill()?;
        for child in &children {
            // One that is gone already needs no killing.
            let _ = kill(Pid::from_raw(*child as i32), Signal::SIGKILL);
        }
        // Their ports are free only when they are gone; they are nobody's children any more, so nobody can wait for them.
        let deadline = Instant::now() + STOP_LIMIT;
        while children.iter().any(|child| is_alive(*child)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(self.child.wait()?)
    }

    /// Sends a signal to the process that was started; nothing where it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.is_running() {
            kill(Pid::from_raw(self.pid() as i32), signal).with_context(|| format!("cannot signal {}", self.recipe.name))?;
        }
        Ok(())
    }

    /// Starts it again, as it was started before; whatever still runs is killed first.
    pub fn restart(&mut self) -> Result<()> {
        if self.is_running() {
            self.kill()?;
        }
        *self = self.recipe.start()?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.is_running() {
            // It may end between the question and the signal, and that is as good.
            let _ = self.kill();
        }
        if std::thread::panicking() {
            eprintln!("---- last words of {} ({}):\n{}", self.recipe.name, self.recipe.log.display(), self.last_words());
        }
    }
}

/// The lines that are written to their end.
fn whole_lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// Whether a process runs, or a thread of it that has still to let go of its sockets: one that ended and was not waited for does not.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') || threads > 1)
}

/// The processes that a process started, by whichever of its threads.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_line_counts_once_it_is_whole_and_only_since_this_start() {
        let folder = Folder::new("process").unwrap();
        let recipe = Recipe::new("echo", "sh", folder.path()).args(["-c", "echo begun $WORD; printf half; sleep 60"]).env("WORD", "now");
        let mut program = recipe.start().unwrap();
        assert_eq!(program.wait_for_line("begun", Duration::from_secs(5)).unwrap(), "begun now");
        assert!(program.wait_for_line("half", Duration::from_millis(100)).is_err());
        program.restart().unwrap();
        program.wait_for_line("begun", Duration::from_secs(5)).unwrap();
        assert_eq!(program.log().matches("begun").count(), 1);
        assert!(!program.stop().unwrap().success());
    }

    #[test]
    fn the_end_of_a_program_is_told_with_its_last_words() {
        let folder = Folder::new("process").unwrap();
        let mut program = Recipe::new("liar", "sh", folder.path()).args(["-c", "echo port 53 is taken; exit 3"]).start().unwrap();
        let wrong = program.wait_for_line("ready", Duration::from_secs(5)).unwrap_err().to_string();
        assert!(wrong.contains("exit status: 3") && wrong.contains("port 53 is taken"), "{wrong}");
    }
}
