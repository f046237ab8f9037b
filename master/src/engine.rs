//! Managed Postgres: finds the system's binaries, makes a private cluster, starts and adopts it.
//!
//! Nobody has to install, name or guard a database server for Holdfast: the cluster has one Unix socket, no TCP port and
//! no password (peer authentication with an ident map). It lives under the program's state directory and is stopped with
//! it; one that outlived a killed program is adopted. It never touches a cluster of the distribution's.

use crate::config::Database;
use anyhow::{Context, bail, ensure};
use nix::unistd::{Uid, User, chown};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The oldest server that the schema's constraints were tried on.
const OLDEST_MAJOR: u32 = 15;
/// Linux keeps a socket's path in 108 bytes, and Postgres adds `/.s.PGSQL.5432`.
const SOCKET_DIR_LIMIT_BYTES: usize = 90;
/// Connections of one program: pages, API, publisher and control share them.
const POOL_LIMIT: u32 = 24;
/// How every session plans. A statement is planned once and not for each edit, where planning would take three times as long as
/// doing. Such a plan outlives the sizes that the tables had, so it goes by an index, which every statement has: reading a table
/// from end to end is dear. It is not forbidden, as `enable_seqscan = off` would: the penalty of that is so great that beside it
/// all other costs look alike, and a statement with one small table without an index may walk the large ones. No statement is
/// worth the workers of a parallel one, whose start alone takes longer than an edit.
const PLANNING: [(&str, &str); 4] =
    [("jit", "off"), ("plan_cache_mode", "force_generic_plan"), ("seq_page_cost", "100"), ("max_parallel_workers_per_gather", "0")];
/// The database's own role; reached through the ident map only.
const ROLE: &str = "holdfast";

/// A private cluster.
#[derive(Debug, Clone)]
pub struct Engine {
    binaries: PathBuf,
    data: PathBuf,
    socket: PathBuf,
    /// Whom it runs as, when we are root: Postgres refuses to be root.
    user: Option<User>,
}

/// Makes sure that this machine has Postgres: as root it is installed where it is missing, a plain user is told the line. For
/// whoever starts programs where there is no network to install from, such as the lab.
pub fn ensure_installed() -> anyhow::Result<()> {
    find_binaries().map(drop)
}

/// Opens the program's database: an external one by its URL, or the managed one, started first if need be.
pub async fn open(database: &Database, state_dir: &Path, name: &'static str) -> anyhow::Result<(PgPool, Option<Engine>)> {
    if let Some(url) = &database.url {
        let options = url.parse::<PgConnectOptions>().context("[database] url is not a Postgres URL such as postgres://user@host/hostdb")?;
        return Ok((connect(options).await?, None));
    }
    let state_dir = state_dir.to_owned();
    let engine = tokio::task::spawn_blocking(move || Engine::start(&state_dir)).await??;
    create_database(&engine, name).await?;
    Ok((connect(engine.options(name)).await?, Some(engine)))
}

async fn connect(options: PgConnectOptions) -> anyhow::Result<PgPool> {
    limits().connect_with(options.application_name("holdfast").options(PLANNING)).await.context("connecting to the database")
}

/// The same database, as somebody who may do less. Where that cannot be, because the server did not let us make the role, or it is
/// another database's and has no rights in this one, the owner acts in its place, which is told.
pub async fn acting_as(pool: &PgPool, role: &'static str) -> anyhow::Result<PgPool> {
    let sql = "select exists (select from pg_roles r where r.rolname = $1 and pg_has_role(current_user, r.oid, 'member')
                 and has_schema_privilege(r.oid, 'change', 'usage'))";
    let may_act: bool = sqlx::query_scalar(sql).bind(role).fetch_one(pool).await?;
    if !may_act {
        tracing::warn!(event = "role_missing", role, "the database lets nobody act as {role}: the master acts as the owner of its database");
        return Ok(pool.clone());
    }
    let options = PgConnectOptions::clone(&pool.connect_options()).options([("role", role)]);
    Ok(limits().connect_lazy_with(options))
}

fn limits() -> PgPoolOptions {
    PgPoolOptions::new().max_connections(POOL_LIMIT).acquire_timeout(Duration::from_secs(10))
}

async fn create_database(engine: &Engine, name: &'static str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&engine.options("postgres")).await.context("connecting to the managed database")?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)").bind(name).fetch_one(&mut connection).await?;
    if !exists {
        sqlx::query(sqlx::AssertSqlSafe(format!("create database {name} template template0 encoding 'UTF8' locale 'C'"))).execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

impl Engine {
    /// Names the cluster of a state directory, without touching it.
    pub fn at(state_dir: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(state_dir)?.join("postgres");
        let socket = root.join("run");
        ensure!(
            socket.as_os_str().len() <= SOCKET_DIR_LIMIT_BYTES,
            "the state directory {} is too deep for a Unix socket: choose one of at most {} bytes",
            state_dir.display(),
            SOCKET_DIR_LIMIT_BYTES - "/postgres/run".len()
        );
        let user = if Uid::effective().is_root() { Some(postgres_user()?) } else { None };
        Ok(Self { binaries: find_binaries()?, data: root.join("data"), socket, user })
    }

    /// Makes the cluster if there is none, and starts it if it does not run.
    pub fn start(state_dir: &Path) -> anyhow::Result<Self> {
        let engine = Self::at(state_dir)?;
        engine.refuse_a_strangers_cluster()?;
        engine.make_folders(state_dir)?;
        if !engine.data.exists() {
            engine.init()?;
        }
        if engine.is_running()? {
            tracing::info!(event = "database_adopted", data = %engine.data.display(), "the managed database was running already");
            return Ok(engine);
        }
        let log = engine.socket.join("postgres.log");
        engine
            .run("pg_ctl", &["start", "--wait", "--timeout=60", "--silent", "--log", text(&log)?, "--pgdata", text(&engine.data)?])
            .with_context(|| format!("starting the managed database; its log is {}", log.display()))?;
        tracing::info!(event = "database_started", data = %engine.data.display(), "the managed database runs");
        Ok(engine)
    }

    /// Whether its server runs.
    pub fn is_running(&self) -> anyhow::Result<bool> {
        let status = self.command("pg_ctl").args(["status", "--pgdata", text(&self.data)?]).output()?.status;
        Ok(status.success())
    }

    /// Stops it, letting transactions that run come to an end or be rolled back.
    pub fn stop(&self) -> anyhow::Result<()> {
        if self.is_running()? {
            self.run("pg_ctl", &["stop", "--wait", "--mode=fast", "--silent", "--pgdata", text(&self.data)?])?;
        }
        Ok(())
    }

    /// How to connect to one of its databases.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(&self.socket).username(ROLE).database(database)
    }

    fn make_folders(&self, state_dir: &Path) -> anyhow::Result<()> {
        for folder in [state_dir, self.root(), &self.socket] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let Some(user) = &self.user else { return Ok(()) };
        // Postgres has to walk down to its data; what is private beside it has modes of its own.
        let closed = self.data.ancestors().skip(1).find(|dir| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 == 0));
        if let Some(dir) = closed {
            bail!(
                "{} keeps the user {} out (no x for others), so the managed database cannot live below it: choose another state_dir",
                dir.display(),
                user.name
            );
        }
        self.give(&self.socket)
    }

    /// Root must not take over a cluster that another user's master runs: it would lock that master out.
    fn refuse_a_strangers_cluster(&self) -> anyhow::Result<()> {
        let own = self.user.as_ref().map_or_else(Uid::effective, |user| user.uid);
        match fs::metadata(&self.data) {
            Ok(meta) if meta.uid() != own.as_raw() => {
                let owner = User::from_uid(Uid::from_raw(meta.uid()))?.map_or_else(|| meta.uid().to_string(), |user| user.name);
                bail!("the cluster {} belongs to {owner}: run this command as the master's own user (runuser -u {owner} -- ...)", self.data.display())
            }
            _ => Ok(()),
        }
    }

    fn root(&self) -> &Path {
        self.data.parent().unwrap_or(&self.data)
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        chown(path, Some(user.uid), Some(user.gid)).with_context(|| format!("giving {} to {}", path.display(), user.name))
    }

    /// Makes the cluster aside and renames it into place: a start that is cut short leaves nothing half made.
    fn init(&self) -> anyhow::Result<()> {
        let aside = Self { data: self.data.with_extension("new"), ..self.clone() };
        match fs::remove_dir_all(&aside.data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("clearing a cluster that was not finished"),
            _ => fs::create_dir(&aside.data)?,
        }
        aside.give(&aside.data)?;
        aside.make_cluster()?;
        fs::rename(&aside.data, &self.data)?;
        Ok(fs::File::open(self.root())?.sync_all()?)
    }

    fn make_cluster(&self) -> anyhow::Result<()> {
        fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700))?;
        let args = ["--auth=peer", "--encoding=UTF8", "--locale=C", "--username", ROLE, "--pgdata", text(&self.data)?];
        self.run("initdb", &args).context("making the managed database")?;
        let me = User::from_uid(Uid::effective())?.map_or_else(|| "nobody".to_owned(), |user| user.name);
        let owner = self.user.as_ref().map_or(me.as_str(), |user| user.name.as_str());
        self.write("pg_hba.conf", "# Local users that the ident map names, and nobody else.\nlocal all all peer map=holdfast\n")?;
        self.write("pg_ident.conf", &format!("holdfast {me} {ROLE}\nholdfast {owner} {ROLE}\n"))?;
        let own = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nunix_socket_permissions = 0777\nmax_connections = 100\n\
             idle_in_transaction_session_timeout = '60s'\nlog_min_messages = warning\n",
            text(&self.socket)?
        );
        self.write("holdfast.conf", &own)?;
        let main = self.data.join("postgresql.conf");
        let text = fs::read_to_string(&main)?;
        fs::write(&main, format!("{text}\ninclude = 'holdfast.conf'\n"))?;
        Ok(())
    }

    fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.data.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        self.give(&path)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // The programs must not inherit a folder that their user cannot enter, nor a terminal's Ctrl-C.
        command.current_dir("/").env("LC_ALL", "C").process_group(0);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<()> {
        // The server inherits what pg_ctl has, so the output must not be a pipe that somebody waits for.
        let out = tempfile_for(self.root(), program)?;
        let status = self.command(program).args(args).stdin(std::process::Stdio::null()).stdout(out.1.try_clone()?).stderr(out.1).status()?;
        let said = fs::read_to_string(&out.0).unwrap_or_default();
        let _ = fs::remove_file(&out.0);
        ensure!(status.success(), "{program} failed ({status}): {}", said.trim());
        Ok(())
    }
}

fn tempfile_for(dir: &Path, program: &str) -> anyhow::Result<(PathBuf, fs::File)> {
    let path = dir.join(format!("{program}.{}.out", std::process::id()));
    let file = fs::File::create(&path)?;
    Ok((path, file))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))
}

fn postgres_user() -> anyhow::Result<User> {
    if let Some(user) = User::from_name("postgres")? {
        return Ok(user);
    }
    install()?;
    User::from_name("postgres")?.context("the package of Postgres made no user \"postgres\"")
}

/// The newest Postgres that Debian's packages put on this machine.
fn find_binaries() -> anyhow::Result<PathBuf> {
    if let Some(found) = newest_binaries() {
        return Ok(found);
    }
    ensure!(
        Uid::effective().is_root(),
        "Postgres {OLDEST_MAJOR} or newer is not on this machine. Install it and start again:\n    sudo apt-get install --no-install-recommends postgresql"
    );
    install()?;
    newest_binaries().context("the package of Postgres is installed, but its programs were not found under /usr/lib/postgresql")
}

fn newest_binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut versions: Vec<u32> = versions.filter(|version| *version >= OLDEST_MAJOR).collect();
    versions.sort_unstable();
    versions.into_iter().rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))).find(|dir| dir.join("initdb").exists())
}

/// Root on a fresh machine: one call of apt, told not to make or start a cluster of its own.
fn install() -> anyhow::Result<()> {
    tracing::info!(event = "database_install", "installing Postgres from Debian's packages");
    fs::create_dir_all("/etc/postgresql-common")?;
    let own_cluster = Path::new("/etc/postgresql-common/createcluster.conf");
    if !own_cluster.exists() {
        fs::write(own_cluster, "# Holdfast manages a private cluster.\ncreate_main_cluster = false\n")?;
    }
    let install = ["install", "--yes", "--no-install-recommends", "postgresql"];
    if !apt(&install)? {
        apt(&["update"])?;
        ensure!(apt(&install)?, "apt-get could not install postgresql, see above: install it by hand and start again");
    }
    Ok(())
}

fn apt(args: &[&str]) -> anyhow::Result<bool> {
    let mut command = Command::new("apt-get");
    let output = command.args(args).env("DEBIAN_FRONTEND", "noninteractive").output().context("running apt-get")?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.status.success())
}
