//! A generation that kills whoever serves it must not kill him for ever: a service that died twice on one starts on the one
//! before, and says so, until there is a newer one.

use super::write_whole;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A service that has lived this long on a generation is not dying of it.
pub(super) const WELL_AFTER: Duration = Duration::from_secs(10);
/// So many starts may end on a generation before it is passed over.
const STARTS_LIMIT: u32 = 2;

/// How often a service died on which generation, kept across its starts.
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
    starts: u32,
}

impl Crashes {
    pub(super) fn open(state_dir: &Path, feed: Feed, service: &str) -> Self {
        let path = state_dir.join("crashes").join(format!("{feed}.{service}"));
        let kept: Option<Kept> = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let passed_over = kept.filter(|kept| kept.starts >= STARTS_LIMIT).map(|kept| (kept.epoch, kept.generation));
        Self { path, kept, passed_over }
    }

    /// From which generation on nothing may be served; `None`: anything may.
    pub(super) fn limit(&self) -> Option<(Epoch, Generation)> {
        self.passed_over
    }

    /// Whether a generation may be served: anything but the one that is passed over.
    pub(super) fn allow(&self, at: (Epoch, Generation)) -> bool {
        self.passed_over != Some(at)
    }

    /// A start is about to serve this. While a generation is passed over, its count must not be lost to the one before.
    pub(super) fn starts_on(&mut self, (epoch, generation): (Epoch, Generation)) {
        if self.passed_over.is_none() {
            let same = self.kept.filter(|kept| (kept.epoch, kept.generation) == (epoch, generation));
            self.keep(Some(Kept { epoch, generation, starts: same.map_or(1, |kept| kept.starts + 1) }));
        }
    }

    /// The service goes on to this.
    pub(super) fn moved_to(&mut self, at: (Epoch, Generation)) {
        self.passed_over.take_if(|over| at > *over);
    }

    /// The service has lived long enough.
    pub(super) fn is_well(&mut self) {
        if self.passed_over.is_none() && self.kept.is_some() {
            self.keep(None);
        }
    }

    fn write(&self, kept: Kept) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_whole(&self.path, &serde_json::to_vec(&kept)?)
    }

    /// A disk that fails costs the count, not the service.
    fn keep(&mut self, kept: Option<Kept>) {
        self.kept = kept;
        let written = match kept {
            Some(kept) => self.write(kept),
            None => fs::remove_file(&self.path),
        };
        if let Err(error) = written {
            tracing::debug!(event = "crash_count_not_kept", %error, "the count of starts is not kept");
        }
    }
}
