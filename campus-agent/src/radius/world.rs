//! What one request is answered from: a view of each feed and the data keys opened for exactly those views.
//!
//! Opening keys walks a view and does public-key work, so it happens off the packet path, once per change.

use arc_swap::ArcSwap;
use holdfast_proto::radius::Keys;
use holdfast_proto::snapshot::{DataKeyRing, Feed, HpkePrivate, Reader, View};
use holdfast_proto::words::NodeId;
use std::convert::Infallible;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct World {
    pub people: Arc<View>,
    pub access: Arc<View>,
    pub keys: Keys,
}

impl Default for World {
    /// Knows no NAS, so it answers nobody.
    fn default() -> Self {
        Self { people: Arc::new(View::empty(Feed::PEOPLE)), access: Arc::new(View::empty(Feed::ACCESS)), keys: Keys::default() }
    }
}

impl World {
    /// Opens the data keys of these views.
    pub(super) fn open(people: Arc<View>, access: Arc<View>, node: NodeId, private: &HpkePrivate) -> Self {
        let open = |view: &View| {
            let (ring, failed) = DataKeyRing::open(view, node, private);
            if failed > 0 {
                let feed = view.feed().to_string();
                tracing::warn!(event = "radius_data_key_unreadable", %feed, failed, "{failed} data keys of {feed} do not open with this agent's key: its secrets stay closed here");
            }
            ring
        };
        let keys = Keys { people: open(&people), access: open(&access) };
        Self { people, access, keys }
    }
}

/// Keeps the world at the newest views. Runs until it is dropped.
pub(super) async fn follow(mut people: Reader, mut access: Reader, node: NodeId, private: HpkePrivate, world: Arc<ArcSwap<World>>) -> Infallible {
    let (mut people_lives, mut access_lives) = (true, true);
    loop {
        let (newest_people, newest_access, private) = (people.current(), access.current(), private.clone());
        match tokio::task::spawn_blocking(move || World::open(newest_people, newest_access, node, &private)).await {
            Ok(opened) => world.store(Arc::new(opened)),
            Err(wrong) => tracing::error!(event = "radius_world_failed", %wrong, "the newest views could not be opened, the ones before are served: {wrong}"),
        }
        tokio::select! {
            lives = people.changed(), if people_lives => people_lives = lives,
            lives = access.changed(), if access_lives => access_lives = lives,
            // Both writers are gone: the last views stay good.
            else => std::future::pending().await,
        }
    }
}
