//! Faults and incidents that others tell us of, made into what operations need: which host in which room, whose, whom to call in which
//! order, and how its campus is.
//!
//! A fault is kept and told to whoever listens (webhooks, the stream) in one transaction. People are looked up when it is told and are
//! not kept with it. What nobody knows is told all the same, to those who answer for the institution.

use super::organisation::{Chain, Step, chain_or_institution};
use super::places::refuse;
use super::{Action, Actor, Problem, Refusal, authorise};
use crate::db::DbError;
use crate::db::faults::{self as db, NewFault};
pub use crate::db::faults::{Concerned, FaultRow};
use chrono::{DateTime, Utc};
use holdfast_proto::words::Mac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The longest text of a fault or a template, in bytes.
const TEXT_LIMIT_BYTES: usize = 4096;
/// The longest name of a port, in bytes: as long as a host's may be.
const PORT_LIMIT_BYTES: usize = 255;
/// What stands in the gaps of a template.
pub const GAPS: [&str; 13] = ["severity", "text", "what", "host", "ip", "mac", "port", "place", "department", "campus", "campus_state", "person", "phone"];

/// What kind of news it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = faults::Kind)]
pub enum Kind {
    /// Something does not work.
    #[default]
    Fault,
    /// Somebody is under attack, or takes part in one.
    Incident,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = faults::Severity)]
pub enum Severity {
    /// Good to know.
    Info,
    /// It may become worse.
    Warning,
    /// Something does not work.
    #[default]
    Error,
    /// Much does not work.
    Critical,
}

/// A fault as it is told to us: of an address, a hardware address, a port, or several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = faults::Draft)]
pub struct FaultDraft {
    /// What kind of news it is.
    #[serde(default)]
    pub kind: Kind,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// The address.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// The hardware address.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// The port of a switch, as hosts have it: `sw-cc-3 Gi1/0/7`.
    #[serde(default)]
    pub port: Option<String>,
}

/// An agent of a campus, as a fault tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = faults::AgentState)]
pub struct AgentState {
    /// Its name.
    pub agent: String,
    /// Whether it holds a line now.
    pub connected: bool,
    /// Since when it holds none, where that is known.
    pub gone_since: Option<DateTime<Utc>>,
}

/// How a campus is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = faults::CampusState)]
pub struct CampusState {
    /// The campus.
    pub campus: String,
    /// `live`, `cut off`, or `no agent`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// Its agents.
    pub agents: Vec<AgentState>,
}

/// A fault with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = faults::Fault)]
pub struct Fault {
    /// Its number.
    pub number: i64,
    /// What kind of news it is.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, as it was told.
    pub text: String,
    /// All of it in a sentence, by the template of its kind.
    pub message: String,
    /// The address.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// The hardware address.
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// The port.
    pub port: Option<String>,
    /// Who told it.
    pub reported_by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether the same was told within a minute: then it is counted with that one, and told to nobody else.
    pub repeated: bool,
    /// The hosts, or else the subnet, that it concerns; nothing where nobody knows it.
    pub concerns: Vec<Concerned>,
    /// Whom to call first.
    pub person: Option<Step>,
    /// Whom to call, in order.
    pub escalation: Vec<Step>,
    /// How the campuses are that it concerns.
    pub campuses: Vec<CampusState>,
}

/// A template: the sentence that faults or incidents are told with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = faults::Template)]
pub struct Template {
    /// `fault` or `incident`.
    pub kind: String,
    /// The sentence, with gaps such as `{host}`.
    pub text: String,
}

impl Kind {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Incident => "incident",
        }
    }
}

impl Severity {
    fn text(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl FaultDraft {
    fn check(&self) -> Result<(), Refusal> {
        let mut problems = Vec::new();
        if self.text.trim().is_empty() || self.text.len() > TEXT_LIMIT_BYTES || self.text.contains('\0') {
            problems.push(Problem::new("bad-text", "/text", format!("say what is wrong, in {TEXT_LIMIT_BYTES} bytes at most")));
        }
        if self.ip.is_none() && self.mac.is_none() && self.port.is_none() {
            problems.push(Problem::new("missing", "", "say what it is a fault of: ip, mac or port"));
        }
        if self.port.as_ref().is_some_and(|port| port.trim().is_empty() || port.len() > PORT_LIMIT_BYTES || port.contains('\0')) {
            problems.push(Problem::new("bad-text", "/port", "a port is named as hosts have it, such as \"sw-cc-3 Gi1/0/7\""));
        }
        refuse(problems)
    }
}

/// Takes a fault, tells it with all that is known, and gives what was told. `campuses` is how the campuses are now.
pub async fn report(pool: &PgPool, actor: &Actor, draft: FaultDraft, mut campuses: Vec<CampusState>) -> Result<Fault, Refusal> {
    authorise(actor, Action::Report, "faults")?;
    draft.check()?;
    let mut tx = pool.begin().await.map_err(DbError::from)?;
    let mut concerns = db::hosts(&mut tx, draft.ip, draft.mac, draft.port.as_deref()).await?;
    if concerns.is_empty() {
        concerns.extend(db::place(&mut tx, draft.ip, draft.mac).await?);
    }
    // Who is on the network with it now is for who may look at that anyway, and is kept nowhere.
    let mut users: Vec<Option<String>> = concerns.iter_mut().map(|one| one.user.take()).collect();
    if !actor.authority.everywhere(Action::Read) {
        users.clear();
    }
    let Chain { items: escalation, .. } = chain_or_institution(&mut tx, concerns.first().and_then(object).as_deref()).await?;
    campuses.retain(|one| concerns.iter().any(|of| of.campus.as_ref() == Some(&one.campus)));
    let template = db::template(&mut tx, draft.kind.text()).await?;
    let new = NewFault {
        kind: draft.kind.text(),
        severity: draft.severity.text(),
        text: &draft.text,
        ip: draft.ip,
        mac: draft.mac,
        port: draft.port.as_deref(),
        reported_by: &actor.name,
        concerns: &concerns,
    };
    let again = db::told_again(&mut tx, &new).await?;
    let (number, at) = match again {
        Some(number) => (number, Utc::now()),
        None => db::insert(&mut tx, &new).await?,
    };
    let message = filled(&template, &draft, &concerns, escalation.first(), &campuses);
    let (FaultDraft { kind, severity, text, ip, mac, port }, reported_by) = (draft, actor.name.clone());
    let person = escalation.first().cloned();
    let mut fault =
        Fault { number, kind, severity, text, message, ip, mac, port, reported_by, at, repeated: again.is_some(), concerns, person, escalation, campuses };
    if !fault.repeated {
        db::tell(&mut tx, kind.text(), &data(&fault)).await?;
    }
    tx.commit().await.map_err(DbError::from)?;
    fault.concerns.iter_mut().zip(users).for_each(|(one, user)| one.user = user);
    tracing::info!(event = "fault_reported", kind = kind.text(), number, principal = actor.name, repeated = fault.repeated, "a fault was told");
    Ok(fault)
}

/// The last faults, the newest first, below a number.
pub async fn list(pool: &PgPool, kind: Option<&str>, below: Option<i64>, limit: u32) -> Result<Vec<FaultRow>, DbError> {
    db::list(&mut *pool.acquire().await?, kind, below, limit.into()).await
}

/// The templates, by kind.
pub async fn templates(pool: &PgPool) -> Result<Vec<Template>, DbError> {
    let rows = db::templates(&mut *pool.acquire().await?).await?;
    Ok(rows.into_iter().map(|(kind, text)| Template { kind, text }).collect())
}

/// Changes the sentence of a kind.
pub async fn set_template(pool: &PgPool, actor: &Actor, kind: Kind, text: &str) -> Result<(), Refusal> {
    authorise(actor, Action::WriteInstitution, "the sentences that faults are told with")?;
    let mut problems = Vec::new();
    if text.trim().is_empty() || text.len() > TEXT_LIMIT_BYTES || text.contains('\0') {
        problems.push(Problem::new("bad-text", "/text", format!("a sentence has 1 to {TEXT_LIMIT_BYTES} bytes")));
    }
    problems.extend(
        gaps(text)
            .filter(|gap| !GAPS.contains(gap))
            .map(|gap| Problem::new("bad-text", "/text", format!("nothing is called {{{gap}}}: there are {}", GAPS.map(|gap| format!("{{{gap}}}")).join(" ")))),
    );
    refuse(problems)?;
    let mut db = pool.acquire().await.map_err(DbError::from)?;
    db::set_template(&mut db, kind.text(), text).await?;
    tracing::info!(event = "fault_template_set", kind = kind.text(), principal = actor.name, "the sentence that faults are told with was changed");
    Ok(())
}

/// What the chain of escalation is asked about.
fn object(one: &Concerned) -> Option<String> {
    one.ip.map(|ip| ip.to_string()).or_else(|| one.host.clone()).or_else(|| one.subnet.map(|subnet| subnet.to_string()))
}

/// What goes with the event: the fault, and where it lies, so that only those hear of it who want to hear of that.
fn data(fault: &Fault) -> Value {
    let mut data = serde_json::to_value(fault).unwrap_or_default();
    let place = |one: &Concerned| {
        let network = one.ip.map(|ip| ip.to_string()).or_else(|| one.subnet.map(|subnet| subnet.to_string()));
        json!({ "name": one.host, "network": network, "campus": one.campus, "department": one.department })
    };
    data["places"] = fault.concerns.iter().map(place).collect();
    data
}

/// The words between braces of a template.
fn gaps(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(gap, _)| gap)
}

/// The template with its gaps filled; what is not known is said to be so. What was filled in is not looked through again.
fn filled(template: &str, draft: &FaultDraft, concerns: &[Concerned], person: Option<&Step>, campuses: &[CampusState]) -> String {
    let of = |pick: &dyn Fn(&Concerned) -> Option<String>| {
        let all: BTreeSet<String> = concerns.iter().filter_map(pick).filter(|text| !text.is_empty()).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let or = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
    let (ip, mac) = (draft.ip.map(|ip| ip.to_string()), draft.mac.map(|mac| mac.to_string()));
    let told: Vec<String> = [ip.clone(), mac.clone(), draft.port.clone()].into_iter().flatten().collect();
    let hosts = of(&|one| one.host.clone());
    let value = |gap: &str| match gap {
        "severity" => draft.severity.text().to_owned(),
        "text" => draft.text.clone(),
        "what" if hosts.is_empty() => told.join(" "),
        "what" => format!("{hosts} ({})", told.join(" ")),
        "host" => or(hosts.clone(), "no host of ours"),
        "ip" => or(ip.clone().unwrap_or_else(|| of(&|one| one.ip.map(|ip| ip.to_string()))), "no address"),
        "mac" => or(mac.clone().unwrap_or_else(|| of(&|one| one.mac.map(|mac| mac.to_string()))), "no hardware address"),
        "port" => or(draft.port.clone().unwrap_or_else(|| of(&|one| Some(one.switch_port.clone()))), "no port"),
        "place" => or(of(&|one| Some(format!("{} {}", one.building, one.room).trim().to_owned())), "nobody knows where"),
        "department" => or(of(&|one| one.department.clone()), "none"),
        "campus" => or(of(&|one| one.campus.clone()), "none"),
        "campus_state" => or(campuses.iter().map(|one| one.state).collect::<Vec<_>>().join(", "), "unknown"),
        "person" => person.map_or_else(|| "nobody (no contact is named, not even for the institution)".to_owned(), |one| one.name.clone()),
        "phone" => person.and_then(|one| one.phone.clone()).unwrap_or_else(|| "no telephone number".to_owned()),
        other => format!("{{{other}}}"),
    };
    let mut parts = template.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((gap, rest)) => {
                out.push_str(&value(gap));
                out.push_str(rest);
            }
            None => {
                out.push('{');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> FaultDraft {
        serde_json::from_value(json!({ "text": text, "ip": "10.1.4.17" })).unwrap()
    }

    #[test]
    fn what_is_told_is_not_taken_for_a_gap() {
        let host = Concerned { host: Some("pc1.uni.example".into()), room: "2.17".into(), ..Concerned::default() };
        let told = filled("{what}, {place}: {text}. {nothing} {", &draft("no {phone} link"), &[host], None, &[]);
        assert_eq!(told, "pc1.uni.example (10.1.4.17), 2.17: no {phone} link. {nothing} {");
        let told = filled("{what}|{host}|{place}|{department}|{campus_state}|{phone}", &draft("x"), &[], None, &[]);
        assert_eq!(told, "10.1.4.17|no host of ours|nobody knows where|none|unknown|no telephone number");
    }

    #[test]
    fn every_gap_has_something_to_say() {
        let all = GAPS.map(|gap| format!("{{{gap}}}")).join(" ");
        assert_eq!(gaps(&all).collect::<Vec<_>>(), GAPS);
        let told = filled(&all, &draft("x"), &[Concerned::default()], None, &[]);
        assert!(!told.contains(['{', '}']), "{told}");
    }

    #[test]
    fn a_fault_of_nothing_is_refused_with_all_that_is_wrong() {
        let draft: FaultDraft = serde_json::from_value(json!({ "text": " ", "port": "" })).unwrap();
        let Err(Refusal::Invalid(problems)) = draft.check() else { panic!("it was taken") };
        assert_eq!(problems.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/text", "/port"]);
        let draft: FaultDraft = serde_json::from_value(json!({ "text": "x" })).unwrap();
        assert!(matches!(draft.check(), Err(Refusal::Invalid(problems)) if problems.len() == 1));
    }
}
