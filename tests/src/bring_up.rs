//! From nothing to two campuses that serve: what an operator does on the first day, in the same order and with the same
//! commands. A second time, on a kept folder, only what is missing is done.

use crate::cables::Campus;
use crate::lab::{Lab, Part};
use crate::programs::house;
use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long a fresh agent may take to have every snapshot.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// The sample files of the first import, in `tests/samples`.
const SAMPLES: [&str; 7] = ["subnets.csv", "db.uni.example", "db.10.1", "db.10.2", "db.10.3", "bootptab", "clients.conf"];

/// What is to be seen while it happens, for people.
pub trait Audience {
    /// A step begins.
    fn step(&mut self, what: &str);
    /// Something a person should read.
    fn tell(&mut self, what: &str);
}

/// Nobody watches.
impl Audience for () {
    fn step(&mut self, _: &str) {}
    fn tell(&mut self, _: &str) {}
}

impl Lab {
    /// Makes the institution if there is none, starts the four parts, and waits until both agents have every snapshot.
    pub fn bring_up(&mut self, audience: &mut impl Audience) -> Result<()> {
        self.start_master(audience)?;
        self.start_portal(audience)?;
        for campus in Campus::BOTH {
            self.start_agent(campus, audience)?;
        }
        Ok(())
    }

    /// The master alone, with the samples in it, for whoever brings agents of their own.
    pub fn bring_up_master(&mut self, audience: &mut impl Audience) -> Result<()> {
        self.start_master(audience)
    }

    /// The root ceremony, the master, a token, and the samples.
    fn start_master(&mut self, audience: &mut impl Audience) -> Result<()> {
        if !self.has(Part::Master, "keys/trust") {
            audience.step("root ceremony: keys for the portal, the master and the root");
            let portal_key = self.run(Part::Portal, &["auth-portal", "init"])?;
            self.run(Part::Master, &["init", "--name", "University of Examples", "--portal-key", portal_key.trim()])?;
        }
        audience.step("master: managed Postgres, web, API, publisher");
        self.start(Part::Master)?;
        if self.is_done("imported") {
            return Ok(());
        }
        let token = self.run(Part::Master, &["admin", "token", "lab"])?;
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.token_file())?;
        file.write_all(token.as_bytes())?;
        audience.step("importing subnets, zones, bootptab and RADIUS clients of the samples");
        let report = self.import_samples()?;
        audience.tell(report.lines().last().unwrap_or_default());
        self.done("imported")
    }

    fn import_samples(&self) -> Result<String> {
        let samples = house().join("tests/samples");
        let mut files: Vec<String> = SAMPLES.iter().map(|name| samples.join(name).display().to_string()).collect();
        files.extend(self.loopback_client()?);
        let args: Vec<&str> = ["import"].into_iter().chain(files.iter().map(String::as_str)).collect();
        self.admin()?.holdfast(&args).context("importing the samples")
    }

    /// On the loopback there is no terminal server's address to ask from, so this machine becomes one.
    fn loopback_client(&self) -> Result<Option<String>> {
        if self.at(crate::cables::Place::Master).is_some() {
            return Ok(None);
        }
        let text = "client loopback {\n\tipaddr = 127.0.0.1\n\tsecret = testing123\n\trequire_message_authenticator = yes\n}\n";
        Ok(Some(self.folder().write("loopback/clients.conf", text)?.display().to_string()))
    }

    /// The portal joins and imports its people, who are nobody else's business.
    fn start_portal(&mut self, audience: &mut impl Audience) -> Result<()> {
        if !self.has(Part::Portal, "keys/membership.json") {
            audience.step("auth portal: joins the institution");
            let token = self.run(Part::Master, &["node", "enrol", "portal", "--role", "portal"])?;
            self.run(Part::Portal, &["auth-portal", "enrol", "--master", &self.ground().control().to_string(), "--token", token.trim()])?;
        }
        audience.step("auth portal: its own process, database and key");
        self.start(Part::Portal)?;
        if !self.is_done("people") {
            audience.step("importing people; each password becomes argon2id");
            let users = house().join("tests/samples/users").display().to_string();
            let report = self.run(Part::Portal, &["auth-portal", "import-users", &users])?;
            audience.tell(report.trim());
            self.done("people")?;
        }
        Ok(())
    }

    /// An agent joins with a one-time token; the portal's operator compares fingerprints; then it serves.
    fn start_agent(&mut self, campus: Campus, audience: &mut impl Audience) -> Result<()> {
        let (part, name) = (Part::Agent(campus), campus.name());
        let joined = format!("joined-{name}");
        if !self.is_done(&joined) {
            audience.step(&format!("agent {name}: joins with a one-time token"));
            let token = self.run(Part::Master, &["node", "enrol", name, "--campus", name])?;
            let said = self.run(part, &["enrol", "--master", &self.ground().control().to_string(), "--token", token.trim()])?;
            let fingerprint = said.lines().find_map(|line| line.strip_prefix("key fingerprint ")).context("the agent showed no fingerprint")?;
            self.run(Part::Portal, &["auth-portal", "confirm", name, fingerprint])?;
            self.done(&joined)?;
        }
        audience.step(&format!("agent {name}: DNS, BOOTP/DHCP and RADIUS from its own disk"));
        self.start(part)?;
        self.wait_until(part, "/readyz", READY_LIMIT)
    }

    /// A step is done when it was finished: one that was cut short is done again.
    fn is_done(&self, step: &str) -> bool {
        self.folder().path().join("done").join(step).exists()
    }

    fn done(&self, step: &str) -> Result<()> {
        self.folder().write(&format!("done/{step}"), "").map(drop)
    }

    fn has(&self, part: Part, file: &str) -> bool {
        self.folder().path().join(part.name()).join(Path::new(file)).exists()
    }
}
