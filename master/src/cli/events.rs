//! `holdfast events`.

use super::{
    Failure,
    arguments::{EventWish, Output},
    client::Client,
    print,
};

const COLUMNS: [&str; 5] = ["at", "node", "severity", "event", "detail"];

pub(super) fn run(client: &Client, output: Output, wish: EventWish) -> Result<(), Failure> {
    let EventWish { node, event, audit, since, limit } = wish;
    let kind = audit.then(|| "audit".to_owned());
    let given = [("node", node), ("event", event), ("kind", kind), ("since", since), ("limit", limit.map(|limit| limit.to_string()))];
    let query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.get("/events", query)?;
    print::columns(output, &answer.body, &COLUMNS)
}
