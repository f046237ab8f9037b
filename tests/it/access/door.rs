//! The master's web door as programs and browsers come by it, and a university with two departments behind it.

use aws_lc_rs::hmac;
use holdfast_lab::cables::Place;
use holdfast_lab::folder::Folder;
use holdfast_lab::lab::{Ground, Lab, Part, on_ground};
use holdfast_lab::netns;
use holdfast_master::run::DATABASE;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What everybody's password is, once it was changed.
pub const PASSWORD: &str = "correct horse battery staple";

/// How a request says who it is.
#[derive(Debug, Clone)]
pub enum Who {
    Nobody,
    Token(String),
    Session(String),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub text: String,
    pub cookie: Option<String>,
    pub place: Option<String>,
    pub etag: Option<String>,
}

impl Answer {
    /// The one-line sentence of a refusal.
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or(&self.text)
    }
}

/// A master with the samples, and an administrator's token.
pub struct House {
    pub lab: Lab,
    pub admin: Who,
}

impl House {
    /// `None`, said plainly, where this user may not have cables.
    pub fn new(behaviour: &str) -> Option<Self> {
        Self::build(behaviour, |lab| lab.bring_up_master(&mut ()))
    }

    /// The same with an agent at each campus.
    pub fn with_agents(behaviour: &str) -> Option<Self> {
        Self::build(behaviour, |lab| lab.bring_up(&mut ()))
    }

    fn build(behaviour: &str, bring_up: impl FnOnce(&mut Lab) -> anyhow::Result<()>) -> Option<Self> {
        if let Some(reason) = netns::hindrance() {
            holdfast_lab::skipped(behaviour, &reason);
            return None;
        }
        let mut lab = Lab::build(Ground::Cables, Folder::new("access").unwrap()).unwrap();
        bring_up(&mut lab).unwrap();
        let token = lab.run(Part::Master, &["admin", "token", "tests"]).unwrap();
        Some(Self { lab, admin: Who::Token(token.trim().to_owned()) })
    }

    /// One request; a `body` that is an object goes as JSON, a text as a form.
    pub fn ask(&self, who: &Who, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.ask_if(who, method, path, body, None)
    }

    /// The same, for a thing that still has this ETag.
    pub fn ask_if(&self, who: &Who, method: &str, path: &str, body: Option<Value>, etag: Option<&str>) -> Answer {
        let address = format!("http://{}{path}", self.lab.ground().status(Part::Master));
        let mut request = ureq::http::Request::builder().method(method).uri(address);
        match who {
            Who::Nobody => {}
            Who::Token(token) => request = request.header("authorization", format!("Bearer {token}")),
            Who::Session(cookie) => request = request.header("cookie", cookie),
        }
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent: ureq::Agent = config.timeout_global(Some(Duration::from_secs(60))).build().into();
        let asked = || match body {
            None | Some(Value::Null) => agent.run(request.body(()).unwrap()),
            Some(Value::String(form)) => agent.run(request.header("content-type", "application/x-www-form-urlencoded").body(form).unwrap()),
            Some(json) => agent.run(request.header("content-type", "application/json").body(json.to_string()).unwrap()),
        };
        on_ground(self.lab.at(Place::Master), || answer(asked().unwrap())).unwrap()
    }

    /// What an administrator does; it has to succeed.
    pub fn do_as_admin(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(&self.admin, method, path, Some(body));
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
        answer.body
    }

    /// A person with these grants, who has logged in and chosen a password: the session.
    pub fn person(&self, name: &str, grants: &[(&str, Value)]) -> Who {
        let added = self.do_as_admin("POST", "/api/v1/principals", json!({ "name": name }));
        let one_time = added["one_time_password"].as_str().unwrap().to_owned();
        for (role, area) in grants {
            self.do_as_admin("POST", "/api/v1/grants", json!({ "principal": name, "role": role, "area": area }));
        }
        let first = self.log_in(name, &one_time);
        assert_eq!(first.place.as_deref(), Some("/password"), "{}", first.text);
        let session = Who::Session(first.cookie.unwrap());
        assert_eq!(self.ask(&session, "GET", "/api/v1/hosts", None).status, 403, "a one-time password opens nothing else");
        let form = format!("old={one_time}&new={}", PASSWORD.replace(' ', "+"));
        let changed = self.ask(&session, "POST", "/password", Some(Value::String(form)));
        assert_eq!(changed.status, 303, "{}", changed.text);
        Who::Session(changed.cookie.unwrap())
    }

    /// A log-in with name and password.
    pub fn log_in(&self, name: &str, password: &str) -> Answer {
        let form = format!("name={name}&password={}", password.replace(' ', "+"));
        self.ask(&Who::Nobody, "POST", "/login", Some(Value::String(form)))
    }

    /// A log-in with the password that everybody has.
    pub fn come_in(&self, name: &str) -> Answer {
        self.log_in(name, PASSWORD)
    }

    /// A token of somebody's, made by their session.
    pub fn token(&self, session: &Who, draft: &Value) -> Who {
        let made = self.ask(session, "POST", "/api/v1/tokens", Some(draft.clone()));
        assert_eq!(made.status, 201, "{}", made.text);
        Who::Token(made.body["token"].as_str().unwrap().to_owned())
    }

    /// Statements on the master's database, within a change set of their own.
    pub fn sql(&self, statements: &[&str]) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let pool = self.pool().await;
            let mut tx = pool.begin().await.unwrap();
            let opening = "with s as (insert into change.change_set (id, actor, reason, via) values (gen_random_uuid(), 'test', '', 'test') returning id)
                           select set_config('holdfast.change_set', id::text, true) from s";
            for statement in [opening].iter().chain(statements) {
                sqlx::query(sqlx::AssertSqlSafe((*statement).to_owned())).execute(&mut *tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        });
    }

    /// Connections of its own to the master's database, as a second master has them.
    pub async fn pool(&self) -> PgPool {
        let socket = self.lab.folder().path().join("master/postgres/run");
        PgPool::connect_with(PgConnectOptions::new_without_pgpass().socket(socket).username("holdfast").database(DATABASE)).await.unwrap()
    }

    /// Physics and law, each with a zone and a subnet of its own and a host in them.
    pub fn two_departments(&self) {
        for (department, third) in [("ph", 8), ("law", 16)] {
            let zone = json!({ "apex": format!("{department}.uni.example"), "primary_ns": "ns.north.uni.example", "mailbox": "hostmaster.uni.example" });
            self.do_as_admin("POST", "/api/v1/zones", zone);
            self.sql(&[
                &format!("insert into org.department (name) values ('{department}') on conflict do nothing"),
                &format!(
                    "update dns.zone set department_id = (select id from org.department where name = '{department}') where apex = '{department}.uni.example'"
                ),
                &format!(
                    "update ipam.subnet set department_id = (select id from org.department where name = '{department}') where network = '10.1.{third}.0/24'"
                ),
            ]);
            self.do_as_admin("POST", "/api/v1/hosts", host(&format!("first.{department}.uni.example"), &format!("10.1.{third}.240")));
        }
    }
}

/// A host with one address.
pub fn host(name: &str, address: &str) -> Value {
    json!({ "name": name, "interfaces": [{ "addresses": [address] }] })
}

/// An area that is named.
pub fn area(kind: &str, name: &str) -> Value {
    json!({ "kind": kind, "name": name })
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, cookie) = (response.status().as_u16(), header("set-cookie").and_then(|line| line.split(';').next().map(str::to_owned)));
    let (place, etag) = (header("location"), header("etag"));
    let text = response.body_mut().read_to_string().unwrap();
    Answer { status, body: serde_json::from_str(&text).unwrap_or_default(), text, cookie, place, etag }
}

/// The code that an authenticator with this secret shows, so many steps from now: written down from RFC 6238 once more.
pub fn code(secret: &str, steps_from_now: i64) -> String {
    let bits: String = secret.bytes().map(|letter| format!("{:05b}", if letter >= b'A' { letter - b'A' } else { letter - b'2' + 26 })).collect();
    let secret: Vec<u8> = (0..bits.len() / 8).map(|n| u8::from_str_radix(&bits[8 * n..8 * n + 8], 2).unwrap()).collect();
    let step = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 30 + steps_from_now;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret), &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
