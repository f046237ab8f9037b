//! A master by itself, with two administrators who ask it by HTTP.

use holdfast_lab::folder::Folder;
use holdfast_lab::process::{Program, Recipe};
use holdfast_lab::programs::programs;
use holdfast_master::engine::Engine;
use holdfast_master::http::{Access, TokenDraft, create_token};
use holdfast_master::keys::ceremony;
use holdfast_proto::snapshot::SigningKey;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::runtime::Runtime;
use ureq::Agent;
use ureq::http::{Request, Response};

/// How long an answer may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    Ada,
    Grace,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    /// The answer as it came, whatever it is.
    pub raw: String,
    pub etag: String,
    pub is_replayed: bool,
}

impl Answer {
    /// The answer, which has to have this status.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:#}", self.body);
        self
    }

    pub fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {:#}", self.body)).to_owned()
    }

    pub fn list(&self, pointer: &str) -> Vec<Value> {
        self.body.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("no {pointer} in {:#}", self.body)).clone()
    }
}

/// The master, its database and its people.
pub struct Office {
    program: Program,
    engine: Engine,
    pool: PgPool,
    runtime: Runtime,
    agent: Agent,
    tokens: [String; 2],
    pub web: SocketAddr,
    state_dir: PathBuf,
    folder: Folder,
}

impl Drop for Office {
    /// A killed master leaves its database running, to be adopted; the folder is about to go.
    fn drop(&mut self) {
        let _ = self.program.kill();
        if let Err(error) = self.engine.stop() {
            eprintln!("the database was not stopped: {error:#}");
        }
    }
}

pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Office {
    /// A master with a campus, a subnet and a zone.
    pub fn open(name: &str) -> Self {
        Self::open_with(name, "")
    }

    /// The same, with more in its configuration.
    pub fn open_with(name: &str, more: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let state_dir = folder.path().join("master");
        ceremony::init(&state_dir, "University of Examples", SigningKey::generate().unwrap().0.public(), &[], 1).unwrap();
        let (web, control) = (free_port(), free_port());
        let config = format!(
            "state_dir = {state_dir:?}\n[web]\nlisten = \"{web}\"\n[control]\nlisten = \"{control}\"\n[webhooks]\nallowed = [\"127.0.0.0/8\"]\n[probe]\nenabled = false\n{more}"
        );
        let config = folder.write("master.toml", &config).unwrap();
        let recipe = Recipe::new("master", &programs().unwrap().master, &folder.path().join("logs")).args(["serve", "--config"]).args([&config]);
        let program = recipe.start().unwrap();
        let runtime = Runtime::new().unwrap();
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        wait_for(&agent, web);
        let engine = Engine::at(&state_dir).unwrap();
        let pool = runtime.block_on(PgPool::connect_with(engine.options(holdfast_master::run::DATABASE))).unwrap();
        let tokens = runtime.block_on(tokens(&pool));
        let office = Self { program, engine, pool, runtime, agent, tokens, web, state_dir, folder };
        office.furnish();
        office
    }

    fn furnish(&self) {
        self.post("/campuses", json!({ "name": "north" })).expect(201);
        self.post("/subnets", json!({ "network": "10.1.4.0/22", "campus": "north", "gateway": "10.1.4.1", "quarantine_secs": 0 })).expect(201);
        let zone = json!({ "apex": "uni.example", "primary_ns": "ns.uni.example", "mailbox": "hostmaster.uni.example", "name_servers": ["ns.uni.example"] });
        self.post("/zones", zone).expect(201);
    }

    /// Asks as one of the two, below `/api/v1`.
    pub fn ask(&self, who: Person, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        self.ask_as(&self.tokens[who as usize], method, path, headers, body)
    }

    /// Asks with a token of somebody else's.
    pub fn ask_with(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.ask_as(token, method, path, &[], body)
    }

    /// A token of somebody who has none yet.
    pub fn token_of(&self, name: &str) -> String {
        let draft = TokenDraft { name: "test".to_owned(), expires_days: None, access: Access::Write, grants: None, sources: vec![] };
        let made = self.block_on(create_token(&self.pool, name, &draft, None)).unwrap();
        String::from_utf8(made.text.expose().to_vec()).unwrap()
    }

    fn ask_as(&self, token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}/api/v1{path}", self.web));
        request = request.header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = match body {
            Some(body) => self.agent.run(request.header("content-type", "application/json").body(body.to_string()).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        read(answered.unwrap())
    }

    /// Writes a file into its folder; gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        self.folder.write(name, text).unwrap().display().to_string()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(Person::Ada, "GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Person::Ada, "POST", path, &[], Some(&body))
    }

    /// Changes a host, at whatever version it is.
    pub fn patch_host(&self, name: &str, body: Value) -> Answer {
        self.ask(Person::Ada, "PATCH", &format!("/hosts/{name}"), &[("if-match", "*")], Some(&body))
    }

    pub fn add_host(&self, name: &str, address: &str) -> Answer {
        self.post("/hosts", json!({ "name": name, "interfaces": [{ "addresses": [address] }] }))
    }

    /// Runs the command line: its exit code, what it printed, and what it said.
    pub fn holdfast(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(&programs().unwrap().cli);
        command.args(args).env("HOLDFAST_SERVER", format!("http://{}", self.web)).env("HOLDFAST_TOKEN", &self.tokens[0]);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// Runs some SQL as the database's owner, who can do anything.
    pub fn sql(&self, text: &'static str) -> Result<(), sqlx::Error> {
        self.block_on(async {
            // A line of its own: what fails may leave it in the middle of a transaction.
            let mut line = self.pool.acquire().await?.detach();
            sqlx::raw_sql(text).execute(&mut line).await.map(drop)
        })
    }

    /// One number out of the database.
    pub fn number(&self, text: &'static str) -> i64 {
        self.block_on(async { sqlx::query_scalar::<_, i64>(text).fetch_one(&self.pool).await.unwrap() })
    }

    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Kills the master as a power cut does, and starts it anew.
    pub fn power_cut(&mut self) {
        self.program.kill().unwrap();
        self.program.restart().unwrap();
        wait_for(&self.agent, self.web);
    }

    /// Stops the database under the running master.
    pub fn stop_database(&self) {
        self.engine.stop().unwrap();
    }

    /// Starts it again; the master is told nothing.
    pub fn start_database(&self) {
        Engine::start(&self.state_dir).unwrap();
    }

    /// Asks for a page as a browser, or as a program: status, Retry-After and text.
    pub fn page(&self, method: &str, path: &str, accept: &str) -> (u16, Option<String>, String) {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.web)).header("accept", accept);
        let request = request.header("authorization", format!("Bearer {}", self.tokens[0])).header("content-type", "application/json");
        let answered = if method == "GET" { self.agent.run(request.body(()).unwrap()) } else { self.agent.run(request.body("{}").unwrap()) };
        let mut answered = answered.unwrap();
        let after = answered.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (answered.status().as_u16(), after, answered.body_mut().read_to_string().unwrap())
    }

    /// What the master said so far.
    pub fn master_log(&self) -> String {
        self.program.log()
    }

    pub fn token(&self, who: Person) -> &str {
        &self.tokens[who as usize]
    }
}

fn read(mut answered: Response<ureq::Body>) -> Answer {
    let header = |name: &str| answered.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, etag, is_replayed) = (answered.status().as_u16(), header("etag").unwrap_or_default(), header("idempotent-replayed").is_some());
    let text = answered.body_mut().read_to_string().unwrap();
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), raw: text, etag, is_replayed }
}

fn wait_for(agent: &Agent, web: SocketAddr) {
    crate::serving::eventually("the master answers", || Ok(agent.get(format!("http://{web}/readyz")).call().is_ok_and(|answer| answer.status() == 200)));
}

/// Two administrators, each with a token.
async fn tokens(pool: &PgPool) -> [String; 2] {
    let mut found = Vec::new();
    // Not a part of the history that the tests look at.
    sqlx::query("alter table access.grant disable trigger user").execute(pool).await.unwrap();
    for name in ["ada", "grace"] {
        sqlx::query(
            "with one as (insert into access.principal (id, name) values (gen_random_uuid(), $1) returning id)
             insert into access.grant (principal, role, area_kind, granted_by) select id, 'administrator', 'global', 'the test' from one",
        )
        .bind(name)
        .execute(pool)
        .await
        .unwrap();
        let draft = TokenDraft { name: "test".to_owned(), expires_days: None, access: Access::Write, grants: None, sources: vec![] };
        let made = create_token(pool, name, &draft, None).await.unwrap();
        found.push(String::from_utf8(made.text.expose().to_vec()).unwrap());
    }
    sqlx::query("alter table access.grant enable trigger user").execute(pool).await.unwrap();
    found.try_into().unwrap()
}
