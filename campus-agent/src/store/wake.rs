//! Waking when a word changes: inotify on the runtime directory. It is a convenience: whoever waits has a tick as well.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::path::Path;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Tells of changes in one folder.
#[derive(Debug)]
pub struct Changes(Arc<Notify>);

/// Watches a folder; where that fails, nothing is ever told.
pub fn on_changes_in(folder: &Path) -> Changes {
    let notify = Arc::new(Notify::new());
    let heard = Arc::downgrade(&notify);
    let watch = || {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).ok()?;
        inotify.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE).ok()?;
        std::thread::Builder::new().name("wake".into()).spawn(move || listen(&inotify, &heard)).ok()
    };
    drop(watch());
    Changes(notify)
}

/// Ends when nobody listens any more, at the next change.
fn listen(inotify: &Inotify, heard: &Weak<Notify>) {
    while inotify.read_events().is_ok() {
        let Some(notify) = heard.upgrade() else { return };
        notify.notify_one();
    }
}

impl Changes {
    /// Waits for a change; several at once are one.
    pub async fn next(&mut self) {
        self.0.notified().await;
    }
}
