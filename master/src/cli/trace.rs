//! `holdfast trace`: where a name's answer comes from.

use super::{
    Failure,
    arguments::Output,
    client::Client,
    print::{self, cell},
};
use serde_json::Value;

/// What becomes of a question, tier by tier.
pub(super) fn trace(client: &Client, output: Output, name: String, rtype: String, from: String) -> Result<(), Failure> {
    let body = client.get("/trace", vec![("name", name), ("type", rtype), ("from", from)])?.body;
    let tiers = body["tiers"].as_array().cloned().unwrap_or_default();
    let time = |tier: &Value| tier["time_ms"].as_f64().map(|ms| format!("{ms:.1} ms")).unwrap_or_default();
    let row = |tier: &Value| vec![cell(&tier["tier"]), cell(&tier["name"]), cell(&tier["server"]), cell(&tier["state"]), time(tier)];
    print::list(output, &body, &["tier", "name", "server", "state", "time"], |_| tiers.iter().map(row).collect())?;
    if output == Output::Table {
        // What the first of them says is what the client hears.
        if let Some(reply) = tiers.iter().find_map(|tier| tier["reply"].as_str()) {
            print::out(format!("{reply}\n").as_bytes())?;
        }
    }
    Ok(())
}
