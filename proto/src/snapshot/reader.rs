use super::{Feed, View};
use std::sync::Arc;
use tokio::sync::watch;

/// What a service sees of the store: the newest view of one feed, and a sign when there is a newer one. Its only input.
#[derive(Debug, Clone)]
pub struct Reader(watch::Receiver<Arc<View>>);

/// The other end, for whoever keeps the feed.
#[derive(Debug)]
pub struct Writer(watch::Sender<Arc<View>>);

/// A reader and its writer, starting from the empty view.
pub fn reader(feed: Feed) -> (Writer, Reader) {
    let (sender, receiver) = watch::channel(Arc::new(View::empty(feed)));
    (Writer(sender), Reader(receiver))
}

impl Reader {
    /// The newest view. Requests in flight keep the one they started with.
    pub fn current(&self) -> Arc<View> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until there is a view that this reader has not seen. `false` when its writer is gone: the last view stays good.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl Writer {
    /// One more reader.
    pub fn reader(&self) -> Reader {
        Reader(self.0.subscribe())
    }

    /// Swaps the view, whole, for every reader.
    pub fn publish(&self, view: View) {
        self.0.send_replace(Arc::new(view));
    }
}
