//! `holdfast events`.

use super::{
    Failure,
    arguments::{EventWish, Output},
    client::Client,
    print,
};
use serde_json::Value;

const COLUMNS: [&str; 5] = ["at", "node", "severity", "event", "detail"];

pub(super) fn run(client: &Client, output: Output, wish: EventWish) -> Result<(), Failure> {
    let EventWish { node, event, audit, since, limit } = wish;
    let kind = audit.then(|| "audit".to_owned());
    let given = [("node", node), ("event", event), ("kind", kind), ("since", since), ("limit", limit.map(|limit| limit.to_string()))];
    let query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.get("/events", query)?;
    print::result(output, &answer.body, |body| {
        let row = |item: &Value| COLUMNS.iter().map(|column| print::cell(&item[*column])).collect();
        print::table(&COLUMNS, &print::items(body).iter().map(row).collect::<Vec<_>>())
    })
}
