//! Who is, and was, on the network, as NASs say.

use super::{Frame, Person, Refused, moment, page};
use crate::{
    http::{
        App, Problem,
        api::{open_place, seal_place},
    },
    inventory::network_sessions::{NetworkSession, SessionQuery, network_sessions},
};
use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use serde::Deserialize;
use std::{fmt::Display, str::FromStr};

/// How many sessions stand on a page.
const PAGE_LENGTH: i64 = 50;

#[derive(Template)]
#[template(path = "sessions.html")]
pub(super) struct SessionsPage {
    pub frame: Frame,
    pub asked: Asked,
    pub sessions: Vec<NetworkSession>,
    pub next: Option<String>,
}

/// What the form asks for, as it was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub user: String,
    pub nas: String,
    pub mac: String,
    pub ip: String,
    /// A checked box; nothing where it is not.
    pub open: Option<String>,
    pub cursor: Option<String>,
}

impl Asked {
    /// Empty fields ask for nothing.
    fn query(&self) -> Result<SessionQuery, Problem> {
        Ok(SessionQuery { user: given(&self.user), nas: given(&self.nas), mac: word(&self.mac)?, ip: word(&self.ip)?, at: None, open: self.open.is_some() })
    }

    /// The same question for another page.
    fn again(&self) -> String {
        let fields = [("user", &self.user), ("nas", &self.nas), ("mac", &self.mac), ("ip", &self.ip)];
        let fields = fields.into_iter().map(|(name, text)| (name, text.trim())).filter(|(_, text)| !text.is_empty());
        let fields = fields.map(|(name, text)| format!("{name}={}&", super::quote(text)));
        fields.chain(self.open.iter().map(|_| "open=on&".to_owned())).collect()
    }
}

fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn word<T: FromStr<Err: Display>>(text: &str) -> Result<Option<T>, Problem> {
    given(text).map(|text| text.parse().map_err(|wrong: T::Err| Problem::malformed(format!("\"{text}\": {wrong}"), vec![]))).transpose()
}

pub(super) async fn list(State(app): State<App>, Person(visitor): Person, Query(asked): Query<Asked>) -> Result<Response, Refused> {
    visitor.sees_all("who was on the network")?;
    let below = asked.cursor.as_deref().map(open_place).transpose()?;
    let (sessions, next) = network_sessions(&app.pool, &asked.query()?, below, PAGE_LENGTH).await?;
    page(SessionsPage { frame: Frame::of(&app, &visitor, "nas").await?, asked, sessions, next: next.map(seal_place) })
}

/// Octets as people read them.
fn amount(octets: &i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (*octets as f64, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{octets} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// What became of it, in words.
fn state(session: &NetworkSession) -> String {
    let how = match session.state.as_str() {
        "open" => return "open".to_owned(),
        "restart" => "ended with its NAS",
        "replaced" => "ended unheard",
        _ => session.cause.as_deref().unwrap_or("ended"),
    };
    session.until.as_ref().map_or_else(|| how.to_owned(), |until| format!("{}, {how}", moment(until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_told_in_units() {
        let told: Vec<String> = [0, 1023, 1536, 5 << 30, i64::MAX].iter().map(amount).collect();
        assert_eq!(told, ["0 B", "1023 B", "1.5 KiB", "5.0 GiB", "8388608.0 TiB"]);
    }

    #[test]
    fn the_next_page_asks_the_same() {
        let asked = Asked { user: " ada&x ".into(), open: Some("on".into()), ..Asked::default() };
        assert_eq!(asked.again(), "user=ada%26x&open=on&");
        assert_eq!(asked.query().unwrap().user.as_deref(), Some("ada&x"));
        assert!(Asked { mac: "x".into(), ..Asked::default() }.query().is_err());
    }
}
