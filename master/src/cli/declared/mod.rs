//! `holdfast plan FILE` and `holdfast apply FILE`: a file says what shall be, and the database becomes so, as one change set.
//!
//! What the file does not name stays as it is, fields as well as objects. Only with `--prune` goes what is missing in the file, and
//! of that only what the file says under `owns` that it answers for. Both commands make the same list of edits, show it the same
//! way and have the master try it; `apply` then has it done, whole or not at all.
//!
//! ```yaml
//! owns:
//!   hosts: ["*.lab.uni.example"]
//!   subnets: [10.9.0.0/16]
//! subnets:
//!   - {network: 10.9.1.0/24, campus: north, gateway: 10.9.1.1}
//! hosts:
//!   - name: pc1.lab.uni.example
//!     interfaces: [{mac: "02:00:00:00:00:01", addresses: [{next: {subnet: 10.9.1.0/24}}]}]
//! records:
//!   - {name: lab.uni.example, type: MX, data: 10 mail.uni.example}
//! ```

mod canonical;
mod difference;
mod file;
mod steps;

use super::{
    Failure,
    arguments::Output,
    client::{Client, Question},
    print,
};
use clap::Args;
use file::File;
use http::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use steps::{Found, Step, steps};

/// Which file, and how far it goes.
#[derive(Debug, Args)]
pub(super) struct PlanWish {
    /// YAML or JSON: lists of departments, contacts, campuses, zones, subnets, pools, hosts, records; and `owns`.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Delete what the file answers for, under `owns`, and does not name.
    #[arg(long)]
    pub prune: bool,
}

/// How it is applied.
#[derive(Debug, Args)]
pub(super) struct ApplyWish {
    #[command(flatten)]
    pub plan: PlanWish,
    #[command(flatten)]
    pub wish: super::arguments::Wish,
}

/// Tells what would be done; fails with an exit code of its own where that is anything.
pub(super) fn plan(client: &Client, output: Output, wish: &PlanWish) -> Result<(), Failure> {
    let planned = Planned::of(client, wish)?;
    print::result(output, &planned.json(), |_| planned.text())?;
    if planned.steps.is_empty() { Ok(()) } else { Err(Failure::Differs) }
}

/// Does it as one change set. Where a second person is asked for, it is proposed and waits.
pub(super) fn apply(client: &Client, output: Output, wish: &ApplyWish) -> Result<(), Failure> {
    let planned = Planned::of(client, &wish.plan)?;
    if planned.steps.is_empty() || wish.wish.dry_run {
        return print::result(output, &planned.json(), |_| planned.text());
    }
    let reason = wish.wish.reason.clone().unwrap_or_else(|| format!("apply of {}", wish.plan.file.display()));
    let body = json!({ "reason": reason, "edits": planned.requests() });
    let begun = client.ask(Method::POST, Question { path: "/change-sets", body: Some(&body), ..Question::default() });
    let draft = begun.map_err(|failure| planned.placed(failure))?.body;
    let path = |what: &str| format!("/change-sets/{}{what}", print::cell(&draft["id"]));
    if !planned.needs_approval().is_empty() {
        client.ask(Method::POST, Question { path: &path("/propose"), ..Question::default() })?;
        print::tell(&planned.text());
        let id = print::cell(&draft["id"]);
        let areas = planned.needs_approval().join(", ");
        let detail = format!("{areas} needs a second person: have somebody run `holdfast change-set approve {id}`, then run `holdfast change-set apply {id}`");
        return Err(Failure::Failed(detail));
    }
    let query = wish.wish.wait.iter().flat_map(|time| [("wait", "all".to_owned()), ("timeout", time.clone())]).collect();
    match client.ask(Method::POST, Question { path: &path("/apply"), query, ..Question::default() }) {
        Ok(applied) => {
            let mut told = planned.json();
            told["change_set"] = applied.body["change_set"].clone();
            told["propagation"] = applied.body["propagation"].clone();
            print::result(output, &told, |_| format!("{}done\n{}", planned.text(), print::propagation(&applied.body)))
        }
        Err(failure) => {
            // Nobody looks for a draft that a command left behind; that it stays where this fails as well does no harm.
            let _ = client.ask(Method::DELETE, Question { path: &path(""), ..Question::default() });
            Err(planned.placed(failure))
        }
    }
}

/// What is to be done, tried by the master.
struct Planned {
    steps: Vec<Step>,
    left: Vec<String>,
    preview: Value,
}

impl Planned {
    fn of(client: &Client, wish: &PlanWish) -> Result<Self, Failure> {
        let file = File::read(&wish.file)?;
        let Found { steps, left } = steps(client, file, wish.prune)?;
        let mut planned = Self { steps, left, preview: Value::Null };
        if !planned.steps.is_empty() {
            planned.preview = planned.tried(client)?;
        }
        Ok(planned)
    }

    fn requests(&self) -> Vec<Value> {
        self.steps.iter().map(Step::request).collect()
    }

    fn tried(&self, client: &Client) -> Result<Value, Failure> {
        let body = json!({ "edits": self.requests() });
        let query = vec![("dry_run", "true".to_owned())];
        let tried = client.ask(Method::POST, Question { path: "/change-sets", query, body: Some(&body), ..Question::default() });
        Ok(tried.map_err(|failure| self.placed(failure))?.body)
    }

    /// A problem with objects in the places of numbers of edits.
    fn placed(&self, failure: Failure) -> Failure {
        let Failure::Refused(mut problem) = failure else { return failure };
        for error in problem["errors"].as_array_mut().into_iter().flatten() {
            let Some(step) = edit_of(error).and_then(|place| self.steps.get(place)) else { continue };
            let rest: String = error["pointer"].as_str().unwrap_or_default().split('/').skip(4).map(|part| format!("/{part}")).collect();
            error["pointer"] = format!("{} {}{rest}", step.kind.word(), step.object).into();
        }
        Failure::Refused(problem)
    }

    fn needs_approval(&self) -> Vec<String> {
        self.preview["needs_approval"].as_array().into_iter().flatten().map(print::cell).collect()
    }

    fn json(&self) -> Value {
        let edits: Vec<Value> = self.steps.iter().map(Step::json).collect();
        json!({ "edits": edits, "not_in_file": self.left, "effects": self.preview["effects"], "agents": self.preview["agents"],
            "needs_approval": self.needs_approval() })
    }

    fn text(&self) -> String {
        let mut text: String = self.steps.iter().map(Step::text).collect();
        let count = |method: &Method| self.steps.iter().filter(|step| step.method == *method).count();
        match self.steps.is_empty() {
            true => text.push_str("everything is as the file says\n"),
            false => text.push_str(&format!("{} to add, {} to change, {} to delete\n", count(&Method::POST), count(&Method::PATCH), count(&Method::DELETE))),
        }
        text.push_str(&print::effects(&self.preview["effects"]));
        if let [first, ..] = self.left.as_slice() {
            text.push_str(&format!("{} objects that the file answers for are not in it, {first} first: --prune deletes them\n", self.left.len()));
        }
        text.extend(self.needs_approval().iter().map(|area| format!("needs a second person: {area}\n")));
        text
    }
}

/// The number of the edit that an error is about: `/edits/3/body/name`.
fn edit_of(error: &Value) -> Option<usize> {
    error["pointer"].as_str()?.strip_prefix("/edits/")?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_object() {
        let step: Step = steps::for_test("pc1.uni.example");
        let planned = Planned { steps: vec![step], left: vec![], preview: Value::Null };
        let refused = json!({ "title": "no", "errors": [{ "pointer": "/edits/0/body/interfaces/0/mac", "code": "x", "detail": "is wrong" }, { "pointer": "", "detail": "y" }] });
        let Failure::Refused(problem) = planned.placed(Failure::Refused(refused)) else { panic!("it is another failure") };
        assert_eq!(print::problem(&problem), "no\n  host pc1.uni.example/interfaces/0/mac: is wrong\n  y");
    }
}
