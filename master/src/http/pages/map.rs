//! The master, its campuses and the lines between them, drawn as they are now. It says nothing that the strip does not say in words.

use super::strip::{Chip, Mood};
use crate::inventory::CampusDraft;
use askama::Template;

/// How wide the picture is, in its own units; a page scales it.
const WIDTH: i32 = 960;
/// From the top of one row of campuses to the next.
const ROW: i32 = 108;
/// How many campuses stand beside one another.
const ACROSS: usize = 5;
/// A campus's box.
const BOX_WIDTH: i32 = 168;
const BOX_HEIGHT: i32 = 56;
/// Where the master's box begins and the first row of campuses does.
const MASTER_TOP: i32 = 8;
const FIRST_ROW: i32 = 128;

/// A box of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stand {
    name: String,
    says: &'static str,
    class: &'static str,
    /// Its left upper corner.
    x: i32,
    y: i32,
}

impl Stand {
    fn middle(&self) -> i32 {
        self.x + BOX_WIDTH / 2
    }
}

/// From the one that stands in to the one that it stands in for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cover {
    from: (i32, i32),
    to: (i32, i32),
    /// How far the arc hangs down.
    sag: i32,
}

/// The picture.
#[derive(Debug, Template)]
#[template(path = "map.html")]
pub(super) struct Map {
    height: i32,
    master: Stand,
    campuses: Vec<Stand>,
    covers: Vec<Cover>,
}

impl Map {
    /// Of these campuses; one without an agent has no chip.
    pub(super) fn of(campuses: &[CampusDraft], chips: &[Chip]) -> Self {
        let stands: Vec<Stand> = campuses.iter().enumerate().map(|(n, campus)| stand(n, campuses.len(), campus, chips)).collect();
        let at = |name: &str| stands.iter().find(|stand| stand.name == name);
        let cover = |campus: &CampusDraft| {
            let (home, backup) = (at(&campus.name)?, at(campus.backup.as_deref()?)?);
            let below = |stand: &Stand| (stand.middle(), stand.y + BOX_HEIGHT);
            Some(Cover { from: below(backup), to: below(home), sag: home.y.max(backup.y) + BOX_HEIGHT + ROW / 3 })
        };
        let mut covers: Vec<Cover> = campuses.iter().filter_map(cover).collect();
        // Two that stand in for each other are one arc.
        covers.iter_mut().filter(|cover| cover.from > cover.to).for_each(|cover| std::mem::swap(&mut cover.from, &mut cover.to));
        covers.sort_by_key(|cover| (cover.from, cover.to));
        covers.dedup();
        let rows = campuses.len().div_ceil(ACROSS) as i32;
        let master = Stand { name: "master".into(), says: "publishes", class: "good", x: (WIDTH - BOX_WIDTH) / 2, y: MASTER_TOP };
        Self { height: FIRST_ROW + rows * ROW, master, campuses: stands, covers }
    }

    fn width(&self) -> i32 {
        WIDTH
    }

    /// The picture in a sentence, for who does not see it.
    fn sentence(&self) -> String {
        let each: Vec<String> = self.campuses.iter().map(|stand| format!("{} {}", stand.name, stand.says)).collect();
        format!("The master and its campuses: {}", each.join(", "))
    }
}

fn stand(n: usize, all: usize, campus: &CampusDraft, chips: &[Chip]) -> Stand {
    let (row, place) = (n / ACROSS, n % ACROSS);
    let beside = (all - row * ACROSS).min(ACROSS) as i32;
    let each = WIDTH / beside;
    let (says, class) = match chips.iter().find(|chip| chip.campus == campus.name).map(|chip| chip.state) {
        Some(Mood::Live) => ("live", "good"),
        Some(Mood::Behind) => ("catching up", "wait"),
        Some(Mood::CutOff) => ("cut off", "bad"),
        None => ("no agent yet", "none"),
    };
    let x = each * place as i32 + (each - BOX_WIDTH) / 2;
    Stand { name: campus.name.clone(), says, class, x, y: FIRST_ROW + row as i32 * ROW }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn campus(name: &str, backup: Option<&str>) -> CampusDraft {
        serde_json::from_value(json!({ "name": name, "backup": backup })).unwrap()
    }

    #[test]
    fn a_map_shows_how_campuses_are_and_who_stands_in() {
        let chip = |campus: &str, state| Chip { campus: campus.into(), state, words: String::new() };
        let campuses = [campus("north", Some("south")), campus("south", Some("north")), campus("west", Some("south")), campus("annex", None)];
        let map = Map::of(&campuses, &[chip("north", Mood::Live), chip("south", Mood::CutOff), chip("west", Mood::Behind)]);
        assert_eq!(map.sentence(), "The master and its campuses: north live, south cut off, west catching up, annex no agent yet");
        assert_eq!(map.covers.len(), 2, "two that stand in for each other are one arc");
        let drawn = map.render().unwrap();
        assert!(drawn.contains("class=\"wire bad\"") && drawn.contains(">west<") && !drawn.contains("style="), "{drawn}");
    }

    #[test]
    fn many_campuses_stand_in_rows_and_none_on_another() {
        let campuses: Vec<CampusDraft> = (0..23).map(|n| campus(&format!("c{n}"), None)).collect();
        let map = Map::of(&campuses, &[]);
        for (n, one) in map.campuses.iter().enumerate() {
            assert!(one.x >= 0 && one.x + BOX_WIDTH <= WIDTH && one.y + BOX_HEIGHT < map.height, "{one:?}");
            assert!(map.campuses[..n].iter().all(|other| (one.x - other.x).abs() >= BOX_WIDTH || (one.y - other.y).abs() >= BOX_HEIGHT), "{one:?}");
        }
    }
}
