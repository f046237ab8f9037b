//! The root ceremony at the keyboard. `draft`, `install` and `show` are for the master's host; `new-key` and `sign` need a
//! file each and nothing else, so that a root key never comes near a network.

use crate::config::Config;
use crate::keys::RootKey;
use crate::keys::ceremony::{self, Initialised, Paper, Wishes, authority_name, public_key};
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use holdfast_proto::snapshot::PublicKey;
use holdfast_proto::words::Secret;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a new institution needs.
#[derive(Args)]
pub struct InitArguments {
    /// The institution, as people call it.
    #[arg(long)]
    name: String,
    /// What `holdfast-master auth-portal init` printed: the key that alone may sign people.
    #[arg(long, value_name = "HEX")]
    portal_key: String,
    /// The public keys of the roots, made elsewhere with `root new-key`. Without them a root key is made here.
    #[arg(long, value_name = "HEX,...", value_delimiter = ',')]
    roots: Vec<String>,
    /// How many of the roots must sign.
    #[arg(long, default_value_t = 1)]
    threshold: u8,
}

/// The root ceremony.
#[derive(Subcommand)]
pub enum RootCommand {
    /// Make a root key, encrypted with a passphrase (asked for, or the first line of standard input), and print its public half.
    NewKey {
        /// Where: on something that can be locked away.
        file: PathBuf,
        /// Without a passphrase.
        #[arg(long)]
        plain: bool,
    },
    /// Draft the next trust for the roots to sign.
    Draft(DraftArguments),
    /// Add one root's signature to a draft. Needs nothing but the two files.
    Sign {
        /// The draft.
        draft: PathBuf,
        /// The root's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Verify a signed draft against the trust held, and keep it. A running master takes it up within a second, or at SIGHUP,
    /// and hands it to every box.
    Install {
        /// The signed draft.
        trust: PathBuf,
    },
    /// The trust held: roots, keys, authorities, epoch.
    Show,
}

/// What the next trust shall change.
#[derive(Args)]
pub struct DraftArguments {
    /// Where to write it; otherwise `trust-<version>.json`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A new key for the master's snapshots; the old one counts on until it is retired.
    #[arg(long)]
    rotate_snapshot_key: bool,
    /// Take out every snapshot key of the master's but the newest.
    #[arg(long)]
    retire_old_snapshot_key: bool,
    /// Begin a new epoch: for a master that was restored from a backup, or two that published at once.
    #[arg(long)]
    new_epoch: bool,
    /// Add a root key.
    #[arg(long, value_name = "HEX")]
    add_root: Vec<String>,
    /// Take a root key out.
    #[arg(long, value_name = "HEX")]
    remove_root: Vec<String>,
    /// How many roots must sign from then on.
    #[arg(long)]
    threshold: Option<u8>,
    /// The key of a new portal, in place of the old one's. With `--new-epoch`, because a new portal begins anew.
    #[arg(long, value_name = "HEX")]
    portal_key: Option<String>,
    /// A new TLS authority; the old one is believed on until it is retired.
    #[arg(long)]
    rotate_authority: bool,
    /// Take out every TLS authority but the newest: when `ca list` shows no box that still needs the old one.
    #[arg(long)]
    retire_old_authority: bool,
}

impl DraftArguments {
    fn wishes(&self) -> anyhow::Result<Wishes> {
        Ok(Wishes {
            rotate_snapshot_key: self.rotate_snapshot_key,
            retire_old_snapshot_key: self.retire_old_snapshot_key,
            new_epoch: self.new_epoch,
            add_roots: keys(&self.add_root)?,
            remove_roots: keys(&self.remove_root)?,
            threshold: self.threshold,
            portal_key: self.portal_key.as_deref().map(public_key).transpose()?,
            rotate_authority: self.rotate_authority,
            retire_old_authority: self.retire_old_authority,
        })
    }
}

fn keys(texts: &[String]) -> anyhow::Result<Vec<PublicKey>> {
    texts.iter().map(|text| public_key(text)).collect()
}

/// Makes the keys of a new institution.
pub fn init(config: &Config, arguments: &InitArguments) -> anyhow::Result<()> {
    let InitArguments { name, portal_key, roots, threshold } = arguments;
    let portal = public_key(portal_key).context("the portal key: copy what `holdfast-master auth-portal init` printed")?;
    match ceremony::init(&config.state_dir, name, portal, &keys(roots)?, *threshold)? {
        Initialised::Signed { root_key } => {
            println!("The trust of \"{name}\" is signed.");
            println!("Move the root key offline now, with a copy in another place: {}", root_key.display());
        }
        Initialised::Drafted { draft } => {
            println!("The first trust of \"{name}\" is drafted: {}", draft.display());
            println!("Have {threshold} of its {} roots sign it (`holdfast-master root sign`), then `holdfast-master root install` it.", roots.len());
        }
    }
    Ok(())
}

/// The root ceremony. The configuration is read only by what needs it.
pub fn root(config: impl FnOnce() -> anyhow::Result<Config>, command: RootCommand) -> anyhow::Result<()> {
    match command {
        RootCommand::NewKey { file, plain } => new_key(&file, plain),
        RootCommand::Draft(arguments) => draft(&config()?, &arguments),
        RootCommand::Sign { draft, key } => sign(&draft, &key),
        RootCommand::Install { trust } => install(&config()?, &trust),
        RootCommand::Show => show(&config()?),
    }
}

fn new_key(file: &Path, plain: bool) -> anyhow::Result<()> {
    let key = RootKey::generate()?;
    let passphrase = if plain { None } else { Some(ask_twice()?) };
    key.write(file, passphrase.as_ref())?;
    println!("{}", key.signing().public());
    Ok(())
}

fn draft(config: &Config, arguments: &DraftArguments) -> anyhow::Result<()> {
    let paper = ceremony::draft(&config.state_dir, &arguments.wishes()?)?;
    let path = arguments.out.clone().unwrap_or_else(|| format!("trust-{}.json", paper.version()).into());
    paper.write(&path)?;
    println!("Trust {} is drafted in {}:", paper.version(), path.display());
    paper.changes.iter().for_each(|change| println!("  {change}"));
    println!("Have the roots sign it (`holdfast-master root sign`), then `holdfast-master root install` it.");
    Ok(())
}

fn sign(path: &Path, key: &Path) -> anyhow::Result<()> {
    let mut paper = Paper::read(path)?;
    println!("Trust {}:", paper.version());
    paper.changes.iter().for_each(|change| println!("  {change}"));
    let root = RootKey::read(key, || ask("Passphrase of the root key: "))?;
    paper.sign(root.signing())?;
    paper.write(path)?;
    match paper.missing() {
        Some(missing) => println!("Signed by {}; {missing}.", root.signing().public()),
        None => println!("Signed by {}; that is enough: `holdfast-master root install` it.", root.signing().public()),
    }
    Ok(())
}

fn install(config: &Config, path: &Path) -> anyhow::Result<()> {
    let trust = ceremony::install(&config.state_dir, &Paper::read(path)?)?;
    println!("Trust {} is installed, epoch {}. A running master takes it up within a second.", trust.draft().version, trust.draft().epoch);
    Ok(())
}

fn show(config: &Config) -> anyhow::Result<()> {
    let keys = crate::keys::Keys::read(&config.state_dir)?;
    let trust = keys.trust.draft();
    println!("{}, trust {}, epoch {}: {} of {} roots must sign", trust.name, trust.version, trust.epoch, trust.threshold, trust.roots.len());
    trust.roots.iter().for_each(|root| println!("root       {root}"));
    let own = keys.signing.public();
    for grant in &trust.grants {
        println!("signs      {} {} {}{}", grant.key, grant.kind, grant.family, if grant.key == own { " (this master's, in use)" } else { "" });
    }
    for der in &trust.authorities {
        println!("authority  {}", authority_name(der));
    }
    Ok(())
}

fn ask_twice() -> anyhow::Result<Secret> {
    let first = ask("Passphrase for the new root key: ")?;
    if std::io::stdin().is_terminal() {
        ensure!(first.expose() == ask("The same again: ")?.expose(), "the two differ: nothing was written");
    }
    Ok(first)
}

/// One line: from the terminal without showing it, or from whatever standard input is.
fn ask(prompt: &str) -> anyhow::Result<Secret> {
    let is_terminal = std::io::stdin().is_terminal();
    if is_terminal {
        eprint!("{prompt}");
        std::io::stderr().flush()?;
        echo(false);
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if is_terminal {
        echo(true);
        eprintln!();
    }
    read.context("the passphrase cannot be read")?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// A terminal that cannot be told shows what is typed: no reason to stop.
fn echo(on: bool) {
    let _ = Command::new("stty").arg(if on { "echo" } else { "-echo" }).status();
}
