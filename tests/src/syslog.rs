//! The institution's log host: Debian's rsyslog, taking syslog over TLS (RFC 5425) from certificates that it trusts.
//!
//! Other people's program is the witness: it parses what comes with its own grammar and writes each message as one line of
//! JSON, with the structured data as it stood.

use crate::netns::Netns;
use crate::process::{Program, Recipe};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The port of syslog over TLS.
const PORT: u16 = 6514;

/// A receiver that runs until it is dropped.
#[derive(Debug)]
pub struct LogHost {
    folder: PathBuf,
    address: String,
    recipe: Recipe,
    running: Option<Program>,
}

/// One message as the receiver understood it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct LogLine {
    /// Who sent it.
    pub host: String,
    /// The program.
    pub app: String,
    /// The event's name.
    pub id: String,
    /// The structured data.
    pub data: String,
    /// The sentence.
    pub text: String,
}

impl LogHost {
    /// Lays out a receiver at an address of a box, with an authority and a certificate of its own. Nothing runs yet.
    pub fn lay_out(folder: &Path, place: &Netns, address: &str) -> Result<Self> {
        let folder = folder.join("loghost");
        fs::create_dir_all(&folder)?;
        make_certificates(&folder, address)?;
        let config = folder.join("rsyslog.conf");
        fs::write(&config, configuration(&folder))?;
        let pid = folder.join("pid");
        let recipe = Recipe::new("loghost", "rsyslogd", &folder).args(["-n", "-f"]).args([&config]).args(["-i"]).args([&pid]).inside(place);
        Ok(Self { folder, address: address.to_owned(), recipe, running: None })
    }

    /// The section of our programs' configuration that sends here.
    pub fn section(&self) -> String {
        format!("[syslog]\nserver = \"{}:{PORT}\"\nca = \"{}\"\n", self.address, self.folder.join("ca.pem").display())
    }

    /// Starts it, again if it was stopped.
    pub fn start(&mut self) -> Result<()> {
        self.running = Some(self.recipe.start()?);
        Ok(())
    }

    /// Kills it, as a log host that loses its power.
    pub fn kill(&mut self) -> Result<()> {
        self.running.take().context("the log host was not started")?.kill().map(drop)
    }

    /// Everything it has written, in order.
    pub fn lines(&self) -> Result<Vec<LogLine>> {
        let text = fs::read_to_string(self.folder.join("messages")).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("the log host wrote {line}"))).collect()
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"global(workDirectory="{folder}" maxMessageSize="64k"
  defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{folder}/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/host.pem" defaultNetstreamDriverKeyFile="{folder}/host.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="json" type="list" option.jsonf="on") {{
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
}}
input(type="imtcp" port="{PORT}" ruleset="keep")
ruleset(name="keep") {{ action(type="omfile" file="{folder}/messages" template="json" fileCreateMode="0600") }}
"#
    )
}

fn make_certificates(folder: &Path, address: &str) -> Result<()> {
    let names = folder.join("names");
    fs::write(&names, format!("subjectAltName = IP:{address}\nbasicConstraints = CA:FALSE\n"))?;
    let subject = |name: &str| format!("/CN={name}");
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &subject("log authority"),
            "-addext",
            "basicConstraints = critical,CA:TRUE",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ],
    )?;
    openssl(
        folder,
        &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", &subject("log host"), "-keyout", "host.key", "-out", "host.csr"],
    )?;
    openssl(
        folder,
        &["x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "names", "-out", "host.pem"],
    )
}

fn openssl(folder: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(args).current_dir(folder).output().context("openssl cannot be started")?;
    ensure!(output.status.success(), "openssl {}: {}", args[0], String::from_utf8_lossy(&output.stderr));
    Ok(())
}
