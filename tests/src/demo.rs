//! The product on one machine: a master, the auth portal and two campuses, with lines to try.
//!
//! As root the boxes are namespaces with real cables and real ports; as a plain user they are programs on the loopback with
//! high ports. Data is kept: a second start goes on where the first one ended. Ctrl-C stops all of it.

use crate::bring_up::Audience;
use crate::cables::{Campus, Place};
use crate::door;
use crate::folder::Folder;
use crate::lab::{Ground, Lab, Part};
use crate::{clients, netns, programs};
use anyhow::{Context, Result, ensure};
use holdfast_master::engine;
use nix::unistd::Uid;
use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The port of the web pages on this machine, when the master is in a box of its own.
const WEB_PORT: u16 = 8080;

/// Starts everything, prints what to try, and waits for Ctrl-C.
pub fn demo() -> Result<()> {
    let mut ending = Ending::listen()?;
    // A bare machine has to be given its tools before it can be said what it can stand on.
    if Uid::effective().is_root() {
        ensure_cable_tools()?;
    }
    let ground = if Uid::effective().is_root() && netns::hindrance().is_none() { Ground::Cables } else { Ground::Loopback };
    let folder = state_folder()?;
    println!("Holdfast demo: two campuses on {}; data in {}", on(ground), folder.display());
    let mut screen = Screen::new();
    // Here and not in the master's box, which has no way to Debian's packages.
    screen.step("Postgres on this machine");
    engine::ensure_installed()?;
    screen.step("building the programs");
    programs::programs()?;
    let mut lab = Lab::build(ground, Folder::kept(&folder)?)?;
    lab.bring_up(&mut screen)?;
    screen.done();
    let web = match lab.at(Place::Master) {
        Some(master) => door::open(SocketAddr::from((Ipv4Addr::LOCALHOST, WEB_PORT)), master, ground.status(Part::Master))?,
        None => ground.status(Part::Master),
    };
    println!("{}", what_to_try(&mut lab, web)?);
    ending.wait();
    println!("\nstopping");
    lab.stop_all()
}

/// A bare Debian has no ethtool, without which checksums on the cables stay unfilled.
fn ensure_cable_tools() -> Result<()> {
    if clients::is_installed("ip") && clients::is_installed("ethtool") {
        return Ok(());
    }
    let install = || Command::new("apt-get").args(["install", "--yes", "-qq", "--no-install-recommends", "iproute2", "ethtool"]).status();
    if !install()?.success() {
        Command::new("apt-get").args(["update", "-qq"]).status()?;
        ensure!(install()?.success(), "apt-get could not install iproute2 and ethtool, see above: install them by hand and start again");
    }
    Ok(())
}

fn on(ground: Ground) -> &'static str {
    match ground {
        Ground::Cables => "cables (network namespaces, real ports)",
        Ground::Loopback => "the loopback (high ports; as root: real cables)",
    }
}

fn state_folder() -> Result<PathBuf> {
    if Uid::effective().is_root() {
        return Ok("/var/lib/holdfast-demo".into());
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home).context("neither XDG_STATE_HOME nor HOME is set")?;
    Ok(state.join("holdfast-demo"))
}

fn what_to_try(lab: &mut Lab, web: SocketAddr) -> Result<String> {
    let ground = lab.ground();
    let first_login = lab.program(Part::Master)?.log().lines().rev().find_map(|line| line.strip_prefix("First log-in: ").map(str::to_owned));
    let reset = format!("{} --config {} admin reset-password admin", programs::programs()?.master.display(), lab.folder().path().join("master.toml").display());
    let login = first_login.unwrap_or_else(|| {
        format!("admin with the password of the first start, or the one that you chose since\n         (forgotten? {}{reset})", inside(lab, Place::Master))
    });
    let mut text = format!("\nWeb      http://{web}   log in as {login}\n");
    let token = lab.token_file();
    text += &format!("Command  export HOLDFAST_SERVER=http://{web} HOLDFAST_TOKEN=$(cat {})\n", token.display());
    text += &format!("         {} host add demo1.uni.example --mac 02:00:00:00:00:01 --address 10.1.4.99 --wait\n", programs::programs()?.cli.display());
    for campus in Campus::BOTH {
        let (dns, radius) = (ground.dns(campus), ground.radius(campus));
        let (from_host, from_nas) = (inside(lab, Place::Host(campus)), inside(lab, Place::Nas(campus)));
        text += &format!("\n{}\n", campus.name());
        text += &format!("  DNS    {from_host}dig @{} -p {} www.uni.example\n", dns.ip(), dns.port());
        text += &format!("         {from_host}dig @{} -p {} -x {}\n", dns.ip(), dns.port(), campus.host());
        match ground {
            Ground::Cables => text += &format!("  BOOTP  {from_host}bootptest -h {}\n", campus.agent()),
            Ground::Loopback => text += &format!("  BOOTP  {} ask-boot {} {}\n", own_name(), ground.dhcp(campus), campus.host_mac()),
        }
        let secret = if lab.at(Place::Master).is_some() { secret_of(campus) } else { "testing123" };
        text += &format!(
            "  RADIUS echo 'User-Name=pascal.tesla0,User-Password=joule-89667-euler,Message-Authenticator=0x00' | {from_nas}radclient {radius} auth {secret}\n"
        );
    }
    if let Some(master) = lab.at(Place::Master) {
        // The far end, as a pulled cable has it: the box keeps its addresses and routes, and finds back when the end is up again.
        text += &format!("\nPull north's uplink: ip -n {0} link set north down   and plug it in again: ip -n {0} link set north up\n", master.name());
    }
    Ok(text + "\nCtrl-C stops everything; the data stays.")
}

/// What stands before a command that is to be run in a box.
fn inside(lab: &Lab, place: Place) -> String {
    lab.at(place).map_or_else(String::new, |namespace| format!("ip netns exec {} ", namespace.name()))
}

fn own_name() -> String {
    std::env::current_exe().map_or_else(|_| "holdfast-lab".to_owned(), |path| path.display().to_string())
}

/// The secrets of the sample terminal servers.
fn secret_of(campus: Campus) -> &'static str {
    match campus {
        Campus::North => "yupgpn753sb3uqwdp8tu",
        Campus::South => "wwsxpwzmghtx6cw9nd67",
    }
}

/// Ctrl-C and SIGTERM, listened for from the first moment: a start comes to its end before it is undone.
struct Ending {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn listen() -> Result<Self> {
        let runtime = Runtime::new()?;
        let inside = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(inside);
        Ok(Self { runtime, interrupt, terminate })
    }

    fn wait(&mut self) {
        let (interrupt, terminate) = (&mut self.interrupt, &mut self.terminate);
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    }
}

/// Progress, a line a step.
struct Screen {
    begun: Instant,
    live: bool,
}

impl Screen {
    fn new() -> Self {
        Self { begun: Instant::now(), live: std::io::stdout().is_terminal() }
    }

    fn done(&mut self) {
        self.step("ready");
    }
}

impl Audience for Screen {
    fn step(&mut self, what: &str) {
        println!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64());
        if self.live {
            let _ = std::io::stdout().flush();
        }
    }

    fn tell(&mut self, what: &str) {
        println!("          {what}");
    }
}
