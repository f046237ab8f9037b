//! Samples, and the table that shows them.

use std::fmt::Write;

/// Below this many samples a 99th percentile would only be the maximum by another name.
const ENOUGH_FOR_P99: usize = 100;

/// Values of one measure, in its unit.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<f64>);

/// One line of the table.
#[derive(Debug, Clone)]
pub(super) struct Line {
    what: String,
    unit: &'static str,
    samples: Samples,
}

/// Lines under a title.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// What was measured, and how.
    pub title: String,
    /// The measures.
    pub lines: Vec<Line>,
}

impl Samples {
    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Makes a line of them.
    pub fn line(self, what: impl Into<String>, unit: &'static str) -> Line {
        Line { what: what.into(), unit, samples: self }
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that this share of all values does not exceed (nearest rank).
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Line {
    /// A line of one value.
    pub fn from_one(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Samples(vec![value]).line(what, unit)
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        self.samples.quantile(0.5)
    }

    /// What, n, min, median, p99, max, unit.
    fn cells(&self) -> [String; 7] {
        let samples = &self.samples;
        let count = samples.0.len();
        let number = |share, shown: bool| if shown { print(samples.quantile(share)) } else { "-".to_owned() };
        [
            format!("  {}", self.what),
            count.to_string(),
            number(0.0, count > 1),
            number(0.5, true),
            number(0.99, count >= ENOUGH_FOR_P99),
            number(1.0, count > 1),
            self.unit.to_owned(),
        ]
    }
}

/// Three figures that count, or all before the point.
fn print(value: f64) -> String {
    let digits = match value.abs() {
        low if low < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// Aligned: what and unit to the left, numbers to the right.
pub(super) fn table(sections: &[Section]) -> String {
    let head = ["measure", "n", "min", "median", "p99", "max", "unit"].map(str::to_owned);
    let rows: Vec<_> = sections.iter().map(|section| (section, section.lines.iter().map(Line::cells).collect::<Vec<_>>())).collect();
    let widest = |column: usize| rows.iter().flat_map(|(_, cells)| cells).chain([&head]).map(|cells| cells[column].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|column| widest(column).unwrap_or_default());
    let mut out = align(&head, &widths);
    for (section, cells) in &rows {
        // A String takes whatever is written to it.
        let _ = writeln!(out, "\n{}", section.title);
        cells.iter().for_each(|cells| out += &align(cells, &widths));
    }
    out
}

fn align(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let aligned: Vec<String> = (0..7)
        .map(|column| {
            let (cell, width) = (&cells[column], widths[column]);
            if column == 0 || column == 6 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        })
        .collect();
    format!("{}\n", aligned.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let samples: Samples = (1..=200).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| samples.quantile(share)), [1.0, 100.0, 198.0, 200.0]);
    }

    #[test]
    fn columns_stand_under_each_other_and_nothing_is_made_up() {
        let few: Samples = [0.5, 1234.5, 2.0].into_iter().collect();
        let lines = vec![few.line("few", "ms"), Samples::from_iter([7.25]).line("one alone", "MiB")];
        let table = table(&[Section { title: "Title".into(), lines }]);
        let shown: Vec<&str> = table.lines().collect();
        assert_eq!(shown[1..3], ["", "Title"]);
        assert_eq!(shown[3], "  few        3  0.50    2.00    -  1234  ms");
        assert_eq!(shown[4], "  one alone  1     -    7.25    -     -  MiB");
    }
}
