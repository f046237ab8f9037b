//! A generation that kills whoever serves it must not kill him for ever: a service that fell over twice on one starts on the
//! one before, and says so, until there is a newer one.
//!
//! Only what a process does to itself counts: a panic leaves a mark, and whoever starts it anew may tell of a fault. A process
//! that was killed from outside, or lost its power, has not died of what it served.

use super::write_whole;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A service that has lived this long on a generation is not dying of it.
pub(super) const WELL_AFTER: Duration = Duration::from_secs(10);
/// So many falls on one generation, and it is passed over.
const FALLS_LIMIT: u32 = 2;

/// Whether the process of this name that ran before this one panicked; from now on a panic of this one leaves a mark.
pub fn fell_over(run_dir: &Path, name: &str) -> bool {
    let mark = run_dir.join(format!("{name}.fell"));
    let fell = fs::remove_file(&mark).is_ok();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Nothing helps a process that is falling and cannot write.
        let _ = fs::write(&mark, b"");
        before(panic);
    }));
    fell
}

/// How often a service fell on which generation, kept across its starts.
#[derive(Debug)]
pub(super) struct Crashes {
    path: PathBuf,
    kept: Option<Kept>,
    passed_over: Option<(Epoch, Generation)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Kept {
    epoch: Epoch,
    generation: Generation,
    falls: u32,
}

impl Crashes {
    /// Counts one more fall, where the service of before fell while it served something.
    pub(super) fn open(state_dir: &Path, feed: Feed, service: &str, fell_on: Option<(Epoch, Generation)>) -> Self {
        let path = state_dir.join("crashes").join(format!("{feed}.{service}"));
        let kept: Option<Kept> = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut crashes = Self { path, kept, passed_over: None };
        if let Some((epoch, generation)) = fell_on.filter(|(_, generation)| generation.0 > 0) {
            let same = kept.filter(|kept| (kept.epoch, kept.generation) == (epoch, generation));
            crashes.keep(Some(Kept { epoch, generation, falls: same.map_or(1, |kept| kept.falls + 1) }));
        }
        crashes.passed_over = crashes.kept.filter(|kept| kept.falls >= FALLS_LIMIT).map(|kept| (kept.epoch, kept.generation));
        crashes
    }

    /// From which generation on nothing may be served; `None`: anything may.
    pub(super) fn limit(&self) -> Option<(Epoch, Generation)> {
        self.passed_over
    }

    /// Whether a generation may be served: anything but the one that is passed over.
    pub(super) fn allow(&self, at: (Epoch, Generation)) -> bool {
        self.passed_over != Some(at)
    }

    /// The service goes on to this.
    pub(super) fn moved_to(&mut self, at: (Epoch, Generation)) {
        self.passed_over.take_if(|over| at > *over);
    }

    /// The service has lived long enough. What is passed over stays so until there is something newer.
    pub(super) fn is_well(&mut self) {
        if self.passed_over.is_none() && self.kept.is_some() {
            self.keep(None);
        }
    }

    /// A disk that fails costs the count, not the service.
    fn keep(&mut self, kept: Option<Kept>) {
        self.kept = kept;
        let written = match kept {
            Some(kept) => self.write(kept),
            None => fs::remove_file(&self.path),
        };
        if let Err(error) = written {
            tracing::debug!(event = "crash_count_not_kept", %error, "the count of falls is not kept");
        }
    }

    fn write(&self, kept: Kept) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_whole(&self.path, &serde_json::to_vec(&kept)?)
    }
}
