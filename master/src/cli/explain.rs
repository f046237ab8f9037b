//! `holdfast explain` and `holdfast whohad`: for whoever answers the telephone.

use super::{
    Failure,
    arguments::Output,
    client::{Client, encode},
    print,
};
use serde_json::Value;

/// What is known of a name, an address or a hardware address.
pub(super) fn explain(client: &Client, output: Output, object: &str) -> Result<(), Failure> {
    let body = client.get(&format!("/explain/{}", encode(object)), vec![])?.body;
    let facts = |body: &Value| body["facts"].as_array().cloned().unwrap_or_default();
    let row = |fact: &Value| vec![print::cell(&fact["about"]), print::cell(&fact["says"])];
    match output {
        Output::Table => print::out(
            facts(&body).iter().map(|fact| format!("{:<8} {}\n", print::cell(&fact["about"]), print::cell(&fact["says"]))).collect::<String>().as_bytes(),
        ),
        _ => print::list(output, &body, &["about", "says"], |body| facts(body).iter().map(row).collect()),
    }
}

/// Who had an address: ever, or at a time.
pub(super) fn whohad(client: &Client, output: Output, ip: &str, at: Option<String>) -> Result<(), Failure> {
    let query = at.clone().map(|at| ("at", at)).into_iter().collect();
    let body = client.get(&format!("/addresses/{}/holders", encode(ip)), query)?.body;
    print::columns(output, &body, &["host", "mac", "since", "until", "actor", "reason", "change_set"])?;
    if output != Output::Table {
        return Ok(());
    }
    if print::items(&body).is_empty() {
        print::tell(&format!("no host {}", at.map_or_else(|| format!("ever had {ip}"), |at| format!("had {ip} at {at}"))));
    }
    for session in body["sessions"].as_array().into_iter().flatten() {
        let [user, nas, since] = ["user", "nas", "since"].map(|field| print::cell(&session[field]));
        let until = session["until"].as_str().map_or_else(|| "and it is open".to_owned(), |until| format!("until {until}"));
        let from = session["mac"].as_str().map(|mac| format!(" from {mac}")).unwrap_or_default();
        print::tell(&format!("session of {user}{from} by way of {nas}, since {since} {until}"));
    }
    if let Some(name) = body["quarantine"]["host"].as_str() {
        print::tell(&format!("{name} gave it back; it is in quarantine until {}", print::cell(&body["quarantine"]["until"])));
    }
    if let Some(seen) = body["last_seen"].as_str() {
        print::tell(&format!("last seen in use at {seen} by {}", print::cell(&body["source"])));
    }
    Ok(())
}
