//! The strip of campuses on every page: who is live, who is behind, who is cut off and what is served there all the same.

use super::{Person, Refused};
use crate::{
    http::{App, Problem},
    nodes::{Standing, standing},
};
use askama::Template;
use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{snapshot::Feed, words::NodeId};

/// How the agents of a campus are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    Live,
    Behind,
    CutOff,
}

/// One campus in the strip; the worst of its agents speaks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chip {
    pub campus: String,
    pub state: Mood,
    /// Everything but the campus's name.
    pub words: String,
}

impl Chip {
    fn class(&self) -> &'static str {
        match self.state {
            Mood::Live => "good",
            Mood::Behind => "",
            Mood::CutOff => "bad",
        }
    }

    fn sign(&self) -> &'static str {
        match self.state {
            Mood::Live => "●",
            Mood::Behind => "◐",
            Mood::CutOff => "⨯",
        }
    }
}

#[derive(Template)]
#[template(path = "strip.html")]
pub(super) struct Strip {
    pub chips: Vec<Chip>,
}

/// The strip as it is now.
pub(super) async fn strip(app: &App) -> Result<Strip, Problem> {
    let Some(boxes) = &app.boxes else { return Ok(Strip { chips: vec![] }) };
    let rows = standing(&app.pool).await.map_err(Problem::from)?;
    let zone = Feed::ZONE.to_string();
    let newest = app.snapshots.newest().into_iter().find(|(feed, ..)| *feed == zone).map_or(0, |(_, _, generation)| generation as i64);
    let lines = (boxes.lines)();
    let gone = |row: &Standing| {
        let node = NodeId(*row.id.as_bytes());
        if lines.contains(&node) { None } else { Some((boxes.gone_since)(node)) }
    };
    Ok(Strip { chips: chips(&rows, newest, gone, Utc::now()) })
}

/// `gone` tells of an agent without a line since when it has none, where that is known. Rows stand campus by campus.
fn chips(rows: &[Standing], newest: i64, gone: impl Fn(&Standing) -> Option<Option<DateTime<Utc>>>, now: DateTime<Utc>) -> Vec<Chip> {
    let of_agent = |row: &Standing| {
        let applied = row.applied.unwrap_or_default();
        match gone(row) {
            Some(since) => {
                let how_long = since.map(|since| format!(" {}", duration(now - since))).unwrap_or_default();
                (Mood::CutOff, format!("cut off{how_long} · serving gen {applied}"))
            }
            None if applied < newest => (Mood::Behind, format!("gen {applied} of {newest}")),
            None => (Mood::Live, format!("live · gen {applied}")),
        }
    };
    let campus = |row: &Standing| row.campus.clone().unwrap_or_else(|| row.name.clone());
    let group = |rows: &[Standing]| {
        let (state, words) = rows.iter().map(of_agent).max_by_key(|(state, _)| *state)?;
        Some(Chip { campus: campus(&rows[0]), state, words })
    };
    rows.chunk_by(|one, other| one.campus.is_some() && one.campus == other.campus).filter_map(group).collect()
}

/// How long something is, in the two largest units.
pub(super) fn duration(time: TimeDelta) -> String {
    let secs = time.num_seconds().max(0);
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// The part of a page that is asked for again and again.
pub(super) async fn part(State(app): State<App>, _: Person) -> Result<Response, Refused> {
    Ok(Html(strip(&app).await?.render()?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn row(name: &str, campus: Option<&str>, applied: i64) -> Standing {
        Standing { id: Uuid::nil(), name: name.into(), campus: campus.map(str::to_owned), applied: Some(applied) }
    }

    #[test]
    fn the_worst_agent_of_a_campus_speaks_for_it() {
        let now = Utc::now();
        let rows = [row("n1", Some("north"), 9), row("n2", Some("north"), 8), row("s1", Some("south"), 9), row("w1", Some("west"), 5), row("loose", None, 9)];
        let gone = |row: &Standing| (row.name == "w1").then(|| Some(now - TimeDelta::minutes(134)));
        let told: Vec<String> = chips(&rows, 9, gone, now).iter().map(|chip| format!("{} {} {}", chip.sign(), chip.campus, chip.words)).collect();
        assert_eq!(told, ["◐ north gen 8 of 9", "● south live · gen 9", "⨯ west cut off 2 h 14 min · serving gen 5", "● loose live · gen 9"]);
        assert_eq!(chips(&rows[3..4], 9, |_| Some(None), now)[0].words, "cut off · serving gen 5");
    }
}
