//! What differs between two generations of a feed, in words.

use super::past::{PastError, Step, forward, state_at};
use super::{Place, Snapshots, tell};
use crate::db::generations;
use holdfast_proto::snapshot::{Feed, PayloadForm, Rows, State};
use holdfast_proto::words::{Epoch, Generation};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// More lines than this are for a program that reads the database, not for people.
const LINES_LIMIT: usize = 10_000;

/// What differs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Diff {
    /// The feed's name.
    pub feed: String,
    /// The generation looked at first.
    pub from: u64,
    /// The generation looked at second.
    pub to: u64,
    /// Generations between them that are missing, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What differs, by key.
    pub lines: Vec<Line>,
    /// Whether there are more lines than are told.
    pub truncated: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Line {
    /// Whether it went, came or changed.
    pub sign: Sign,
    /// What it is.
    pub text: String,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub enum Sign {
    /// It went.
    #[serde(rename = "-")]
    Gone,
    /// It came.
    #[serde(rename = "+")]
    New,
    /// Something of it changed that is not shown.
    #[serde(rename = "*")]
    Changed,
}

/// Two states of a feed, the rows that were touched on the way from one to the other, and what is missing on it.
struct Two {
    before: State,
    after: State,
    places: BTreeSet<Place>,
    missing: Vec<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.sign {
            Sign::Gone => '-',
            Sign::New => '+',
            Sign::Changed => '*',
        };
        write!(f, "{sign} {}", self.text)
    }
}

impl Snapshots {
    /// What differs between two kept generations of a feed.
    pub async fn diff(&self, feed: Feed, from: Generation, to: Generation) -> Result<Diff, PastError> {
        let (older, newer) = (from.min(to), from.max(to));
        let Two { before, after, mut places, missing } = self.two(feed, older, newer).await?;
        places.retain(|place| value(&before, place) != value(&after, place));
        let (before, after) = if from <= to { (before, after) } else { (after, before) };
        let mut lines = Vec::new();
        for place in &places {
            row(feed, place, value(&before, place), value(&after, place), &mut lines);
            if lines.len() > LINES_LIMIT {
                break;
            }
        }
        let truncated = lines.len() > LINES_LIMIT;
        lines.truncate(LINES_LIMIT);
        Ok(Diff { feed: feed.to_string(), from: from.0, to: to.0, missing, lines, truncated })
    }

    async fn two(&self, feed: Feed, older: Generation, newer: Generation) -> Result<Two, PastError> {
        let (older, newer) = (self.position(feed, older).await?, self.position(feed, newer).await?);
        let mut connection = self.pool.acquire().await?;
        let before = state_at(&mut connection, &self.open, feed, older).await?;
        let (mut places, mut is_anew, mut missing) = (BTreeSet::new(), false, Vec::new());
        let after = forward(&mut connection, &self.open, before.clone(), newer, |step| match step {
            Step::Delta(row, _) => {
                is_anew |= super::past::opened(&self.open, row).is_ok_and(|opened| opened.manifest().form == PayloadForm::Full);
                places.extend(Rows::new(&row.payload).flatten().map(|row| (row.table, row.key.to_vec())));
            }
            Step::Gap(gap) => missing.push(gap.to_string()),
        });
        let after = after.await?;
        if is_anew || !missing.is_empty() {
            // A new epoch, or a generation that was adopted, says what there is, not what went.
            for state in [&before, &after] {
                for table in tell::table_ids(feed) {
                    places.extend(state.view().iter(table).flatten().map(|(key, _)| (table, key.to_vec())));
                }
            }
        }
        Ok(Two { before, after, places, missing })
    }

    /// Epoch and number of a kept generation; zero is the time before the first.
    pub(super) async fn position(&self, feed: Feed, generation: Generation) -> Result<(Epoch, Generation), PastError> {
        if generation == Generation(0) {
            return Ok((Epoch(0), generation));
        }
        let row = generations::find(&self.pool, feed, generation).await?;
        let missing = || PastError::Missing(format!("generation {generation} of {feed} is not kept: see `holdfast snapshot show {feed}`"));
        row.map(|row| (Epoch(row.epoch as u32), Generation(row.generation as u64))).ok_or_else(missing)
    }

    /// What differs between two generations apart from what rises, is wrapped or is encrypted anew by itself.
    pub(super) async fn remaining(&self, feed: Feed, from: Generation, to: Generation) -> Result<Vec<Line>, PastError> {
        let Two { before, after, places, .. } = self.two(feed, from.min(to), from.max(to)).await?;
        let mut lines = Vec::new();
        for place in places.iter().filter(|place| !tell::is_aside(feed, place.0)) {
            let (before, after) = (value(&before, place), value(&after, place));
            if before != after && !tell::is_encrypted_anew(feed, place.0, before, after) {
                row(feed, place, before, after, &mut lines);
            }
        }
        lines.retain(|line| !line.text.contains(" SOA "));
        Ok(lines)
    }
}

fn value<'a>(state: &'a State, (table, key): &Place) -> Option<&'a [u8]> {
    state.view().get(*table, key).ok().flatten()
}

/// The lines of one row that differs: what went, what came; its TTLs where only they changed.
pub(super) fn row(feed: Feed, (table, key): &Place, before: Option<&[u8]>, after: Option<&[u8]>, out: &mut Vec<Line>) {
    for with_ttl in [false, true] {
        let of = |value: Option<&[u8]>| value.map(|value| tell::lines(feed, *table, key, value, with_ttl)).unwrap_or_default();
        let (before, after) = (of(before), of(after));
        let start = out.len();
        let line = |sign, text: &String| Line { sign, text: text.clone() };
        out.extend(before.iter().filter(|text| !after.contains(text)).map(|text| line(Sign::Gone, text)));
        out.extend(after.iter().filter(|text| !before.contains(text)).map(|text| line(Sign::New, text)));
        if out.len() > start {
            return;
        }
    }
    let hidden = if feed.kind == holdfast_proto::snapshot::Kind::Auth { "secret changed" } else { "changed" };
    out.push(Line { sign: Sign::Changed, text: format!("{}: {hidden}", tell::what(feed, *table, key)) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::dns::{NODE, Node, Place as Standing, RrSet};
    use holdfast_proto::radius::{NAS, Nas, NasRights, nas_key};
    use holdfast_proto::snapshot::DataKey;
    use holdfast_proto::words::DomainName;

    fn check(feed: Feed, place: &Place, before: &[u8], after: &[u8], expected: &[&str]) {
        let mut lines = Vec::new();
        row(feed, place, Some(before), Some(after), &mut lines);
        let told: Vec<String> = lines.iter().map(Line::to_string).collect();
        assert_eq!(told, expected);
    }

    fn node(ttl: u32, last: u8) -> Vec<u8> {
        let rdatas = vec![vec![10, 1, 4, 7], vec![10, 1, 4, last]];
        Node { place: Standing::Inside, apex_labels: 2, rrsets: vec![RrSet { rtype: 1, ttl, rdatas }] }.encode()
    }

    #[test]
    fn only_the_records_that_differ_are_told() {
        let name: DomainName = "www.uni.example".parse().unwrap();
        let place = (NODE, name.wire().to_vec());
        check(Feed::ZONE, &place, &node(60, 8), &node(60, 9), &["- www.uni.example. A 10.1.4.8", "+ www.uni.example. A 10.1.4.9"]);
        let ttls =
            ["- www.uni.example. 60 A 10.1.4.7", "- www.uni.example. 60 A 10.1.4.8", "+ www.uni.example. 90 A 10.1.4.7", "+ www.uni.example. 90 A 10.1.4.8"];
        check(Feed::ZONE, &place, &node(60, 8), &node(90, 8), &ttls);
    }

    #[test]
    fn of_a_secret_it_is_told_that_it_changed_and_no_more() {
        let key = nas_key("10.1.4.3/32".parse().unwrap());
        let nas = |secret: &[u8]| {
            let secret = DataKey::generate().unwrap().encrypt(NAS, &key, secret).unwrap();
            Nas { name: "ts1".into(), secret, require_message_authenticator: true, has_former_secret: false, rights: NasRights::default() }.encode()
        };
        check(Feed::ACCESS, &(NAS, key.clone()), &nas(b"one"), &nas(b"two"), &["* NAS at 10.1.4.3/32: secret changed"]);
    }
}
