/// Misses in a row after which somebody counts as silent. Asked every [`PERIOD_MS`], with [`PATIENCE_MS`] for an answer, a
/// silence is known in less than ten seconds.
pub const MISSES: u32 = 3;
/// How often everybody is asked.
pub const PERIOD_MS: u64 = 2000;
/// How long an answer may take.
pub const PATIENCE_MS: u64 = 1500;

/// What has become known of one service of one box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    misses: u32,
    /// `None` before the first verdict: whoever begins to ask knows nothing yet.
    answers: Option<bool>,
}

/// A verdict that differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It answers, and it had been silent or nobody had known.
    Answers {
        /// Whether it had been known to be silent.
        after_silence: bool,
    },
    /// It does not answer any more, or never did.
    Silent,
}

impl Health {
    /// Goes on from what was known before this program started.
    pub fn known(answers: bool) -> Self {
        Self { misses: 0, answers: Some(answers) }
    }

    /// One more question, answered or not. One answer is enough: it cannot be a mistake.
    pub fn heard(&mut self, answered: bool) -> Option<Turn> {
        self.misses = if answered { 0 } else { self.misses.saturating_add(1) };
        let verdict = if answered { Some(true) } else { (self.misses >= MISSES).then_some(false) };
        let before = self.answers;
        self.answers = verdict.or(before);
        match (before, verdict) {
            (_, None) => None,
            (before, Some(verdict)) if before == Some(verdict) => None,
            (before, Some(true)) => Some(Turn::Answers { after_silence: before == Some(false) }),
            (_, Some(false)) => Some(Turn::Silent),
        }
    }

    /// The verdict; `None` while there is none.
    pub fn answers(&self) -> Option<bool> {
        self.answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(heard: &str) -> Vec<Option<Turn>> {
        let mut health = Health::default();
        heard.chars().map(|answer| health.heard(answer == '+')).collect()
    }

    #[test]
    fn three_misses_in_a_row_are_a_silence_and_one_answer_ends_it() {
        let first = Some(Turn::Answers { after_silence: false });
        let again = Some(Turn::Answers { after_silence: true });
        assert_eq!(turns("+--+---"), [first, None, None, None, None, None, Some(Turn::Silent)]);
        assert_eq!(turns("----++"), [None, None, Some(Turn::Silent), None, again, None]);
    }

    #[test]
    fn a_silence_that_was_known_before_is_not_told_twice() {
        let mut health = Health::known(false);
        assert!((0..9).all(|_| health.heard(false).is_none()));
        assert_eq!(health.heard(true), Some(Turn::Answers { after_silence: true }));
        assert_eq!(health.answers(), Some(true));
    }

    #[test]
    fn a_silence_is_known_within_ten_seconds() {
        assert!(u64::from(MISSES) * PERIOD_MS + PATIENCE_MS < 10_000);
    }
}
