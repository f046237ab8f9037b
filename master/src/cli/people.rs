//! `holdfast user`, `grant`, `session`, `token` and `policy`: who comes in, and what they may do.

use super::{
    Failure,
    arguments::{Output, Why},
    client::{Answer, Client, Question, encode},
    print,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// List people and groups.
    List,
    /// Add a person, and print the one-time password.
    Add {
        /// The login.
        name: String,
        /// A group of people, who have its grants.
        #[arg(long)]
        group: bool,
        #[command(flatten)]
        why: Why,
    },
    /// Shut somebody out: their sessions end, their tokens work no more.
    Disable {
        /// The login.
        name: String,
        #[command(flatten)]
        why: Why,
    },
    /// Let somebody in again.
    Enable {
        /// The login.
        name: String,
        #[command(flatten)]
        why: Why,
    },
    /// Give a person a new one-time password.
    ResetPassword {
        /// The login.
        name: String,
    },
    /// Put a person into a group.
    Join {
        /// The group.
        group: String,
        /// The person.
        member: String,
        #[command(flatten)]
        why: Why,
    },
    /// Take a person out of a group.
    Leave {
        /// The group.
        group: String,
        /// The person.
        member: String,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum GrantCommand {
    /// List who may do what, and where.
    List,
    /// Let somebody do something somewhere.
    Give {
        /// The person or group.
        principal: String,
        /// administrator, operator, table-maintainer, backup-operator, help-desk, auditor, department-admin, viewer or network-management.
        role: String,
        #[command(flatten)]
        area: AreaWish,
        #[command(flatten)]
        why: Why,
    },
    /// Take a grant.
    Take {
        /// Its number, as `grant list` prints it.
        id: i64,
        #[command(flatten)]
        why: Why,
    },
}

/// Where a grant holds.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct AreaWish {
    /// Everywhere.
    #[arg(long)]
    everywhere: bool,
    /// On a campus.
    #[arg(long, value_name = "NAME")]
    campus: Option<String>,
    /// What belongs to a department.
    #[arg(long, value_name = "NAME")]
    department: Option<String>,
    /// The names of a zone and below.
    #[arg(long, value_name = "APEX")]
    zone: Option<String>,
    /// Names such as *.lab.uni.example.
    #[arg(long, value_name = "PATTERN")]
    names: Option<String>,
    /// The addresses of a network.
    #[arg(long, value_name = "NETWORK")]
    subnet: Option<String>,
    /// Addresses from one to another, such as 10.1.4.10-10.1.4.20.
    #[arg(long, value_name = "FIRST-LAST")]
    range: Option<String>,
}

impl AreaWish {
    /// The area as the API writes it.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        let one = |kind: &str, field: &str, value: &Option<String>| value.as_ref().map(|value| json!({ "kind": kind, field: value }));
        let named = one("campus", "name", &self.campus).or_else(|| one("department", "name", &self.department)).or_else(|| one("zone", "name", &self.zone));
        let area = named.or_else(|| one("name", "pattern", &self.names)).or_else(|| one("subnet", "network", &self.subnet));
        match (area, &self.range) {
            (Some(area), _) => Ok(area),
            (None, None) => Ok(json!({ "kind": "global" })),
            (None, Some(range)) => {
                let wrong = || Failure::Usage(format!("\"{range}\" is no range such as 10.1.4.10-10.1.4.20"));
                let (first, last) = range.split_once('-').ok_or_else(wrong)?;
                Ok(json!({ "kind": "range", "first": first.trim(), "last": last.trim() }))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum LoginCommand {
    /// List who is logged in at the master.
    Logins,
    /// End a login at the master.
    End {
        /// Its id, as `session logins` prints it.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// List tokens.
    List,
    /// Make a token, and print it.
    Make {
        /// What it is for.
        name: String,
        /// It may only read.
        #[arg(long)]
        read_only: bool,
        /// How many days it is good.
        #[arg(long, value_name = "DAYS")]
        days: Option<u16>,
        /// A network from which it works; may be given several times.
        #[arg(long, value_name = "NETWORK")]
        from: Vec<String>,
        /// Only this grant of yours, by number; may be given several times.
        #[arg(long, value_name = "ID")]
        grant: Vec<i64>,
    },
    /// Revoke a token.
    Revoke {
        /// Its id, as `token list` prints it.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Show what is asked of those who come in.
    Show,
    /// Change it.
    Set {
        /// Who needs a second factor.
        #[arg(long, value_parser = ["never", "writes", "always"])]
        second_factor: Option<String>,
        /// How many days a token is good where nothing is said.
        #[arg(long, value_name = "DAYS")]
        token_days: Option<u16>,
        /// And at most.
        #[arg(long, value_name = "DAYS")]
        token_days_limit: Option<u16>,
        #[command(flatten)]
        why: Why,
    },
}

fn ask(client: &Client, method: Method, path: &str, why: Why, body: Option<&Value>) -> Result<Answer, Failure> {
    client.ask(method, Question { path, query: why_query(why), body, ..Question::default() })
}

/// The query of an edit that agents answer nothing of.
pub(super) fn why_query(why: Why) -> Vec<(&'static str, String)> {
    let dry_run = why.dry_run.then(|| ("dry_run", "true".to_owned()));
    why.reason.map(|reason| ("reason", reason)).into_iter().chain(dry_run).collect()
}

fn list(client: &Client, output: Output, path: &str, columns: &[&str]) -> Result<(), Failure> {
    let answer = client.get(path, vec![])?;
    print::columns(output, &answer.body, columns)
}

/// One value of the answer, or "done".
fn told(output: Output, answer: &Answer, field: &str) -> Result<(), Failure> {
    print::result(output, &answer.body, |body| match &body[field] {
        _ if body["dry_run"] == true => "nothing is changed; this could be done\n".to_owned(),
        Value::Null => "done\n".to_owned(),
        value => print::cell(value) + "\n",
    })
}

pub(super) fn user(client: &Client, output: Output, command: UserCommand) -> Result<(), Failure> {
    let of = |name: &str, what: &str| format!("/principals/{}/{what}", encode(name));
    let answer = match command {
        UserCommand::List => return list(client, output, "/principals", &["name", "kind", "disabled", "groups", "members"]),
        UserCommand::Add { name, group, why } => ask(client, Method::POST, "/principals", why, Some(&json!({ "name": name, "group": group })))?,
        UserCommand::Disable { name, why } => ask(client, Method::POST, &of(&name, "disable"), why, None)?,
        UserCommand::Enable { name, why } => ask(client, Method::POST, &of(&name, "enable"), why, None)?,
        UserCommand::ResetPassword { name } => ask(client, Method::POST, &of(&name, "reset-password"), Why::default(), None)?,
        UserCommand::Join { group, member, why } => ask(client, Method::PUT, &of(&group, &format!("members/{}", encode(&member))), why, None)?,
        UserCommand::Leave { group, member, why } => ask(client, Method::DELETE, &of(&group, &format!("members/{}", encode(&member))), why, None)?,
    };
    told(output, &answer, "one_time_password")
}

pub(super) fn grant(client: &Client, output: Output, command: GrantCommand) -> Result<(), Failure> {
    match command {
        GrantCommand::List => list(client, output, "/grants", &["id", "principal", "role", "kind", "area", "granted_by", "created"]),
        GrantCommand::Give { principal, role, area, why } => {
            let body = json!({ "principal": principal, "role": role, "area": area.json()? });
            told(output, &ask(client, Method::POST, "/grants", why, Some(&body))?, "id")
        }
        GrantCommand::Take { id, why } => told(output, &ask(client, Method::DELETE, &format!("/grants/{id}"), why, None)?, "id"),
    }
}

pub(super) fn login(client: &Client, output: Output, command: LoginCommand) -> Result<(), Failure> {
    match command {
        LoginCommand::Logins => list(client, output, "/sessions", &["id", "principal", "created", "last_seen", "address", "factors", "browser"]),
        LoginCommand::End { id } => told(output, &ask(client, Method::DELETE, &format!("/sessions/{}", encode(&id)), Why::default(), None)?, "id"),
    }
}

pub(super) fn token(client: &Client, output: Output, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::List => list(client, output, "/tokens", &["id", "principal", "name", "access", "expires", "last_used", "last_used_from", "sources"]),
        TokenCommand::Make { name, read_only, days, from, grant } => {
            let grants = if grant.is_empty() { Value::Null } else { json!(grant) };
            let access = if read_only { "read" } else { "write" };
            let body = json!({ "name": name, "access": access, "expires_days": days, "sources": from, "grants": grants });
            told(output, &ask(client, Method::POST, "/tokens", Why::default(), Some(&body))?, "token")
        }
        TokenCommand::Revoke { id } => told(output, &ask(client, Method::DELETE, &format!("/tokens/{}", encode(&id)), Why::default(), None)?, "id"),
    }
}

pub(super) fn policy(client: &Client, output: Output, command: PolicyCommand) -> Result<(), Failure> {
    let mut answer = client.get("/policy", vec![])?;
    if let PolicyCommand::Set { second_factor, token_days, token_days_limit, why } = command {
        let given = [("require_second_factor", second_factor.map(Value::from)), ("token_days_default", token_days.map(Value::from))];
        for (field, value) in given.into_iter().chain([("token_days_limit", token_days_limit.map(Value::from))]) {
            if let Some(value) = value {
                answer.body[field] = value;
            }
        }
        answer = ask(client, Method::PUT, "/policy", why, Some(&answer.body))?;
    }
    let line = |body: &Value, field: &str| format!("{field:<22} {}\n", print::cell(&body[field]));
    print::result(output, &answer.body, |body| ["require_second_factor", "token_days_default", "token_days_limit"].map(|field| line(body, field)).concat())
}
