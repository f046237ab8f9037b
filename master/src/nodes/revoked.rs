use crate::db::nodes as db;
use holdfast_proto::words::NodeId;
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The safety net under the notification: no revocation waits longer than this because a word was lost.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between attempts when the database is away.
const RETRY: Duration = Duration::from_millis(500);

/// The boxes that were thrown out, as they become more.
pub type Revoked = watch::Receiver<Arc<BTreeSet<NodeId>>>;

/// Follows who was thrown out, by whichever program of this database, and rings `wake` when a box came or went. Ends never.
pub fn follow(pool: PgPool, wake: Arc<Notify>) -> (Revoked, impl Future<Output = ()> + Send) {
    let (sender, revoked) = watch::channel(Arc::new(BTreeSet::new()));
    let work = async move {
        loop {
            // A database that cannot be asked throws nobody out.
            if let Err(error) = follow_once(&pool, &wake, &sender).await {
                tracing::warn!(event = "database_failed", %error, "who was thrown out cannot be followed");
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    (revoked, work)
}

async fn follow_once(pool: &PgPool, wake: &Notify, sender: &watch::Sender<Arc<BTreeSet<NodeId>>>) -> Result<(), crate::db::DbError> {
    let mut listener = db::listen(pool).await?;
    loop {
        let revoked = Arc::new(db::revoked(pool).await?.into_iter().collect::<BTreeSet<_>>());
        let is_news = sender.send_if_modified(|before| {
            let is_news = **before != *revoked;
            before.clone_from(&revoked);
            is_news
        });
        if is_news {
            wake.notify_one();
        }
        if let Ok(heard) = tokio::time::timeout(LOOK_EVERY, listener.recv()).await {
            heard?;
            wake.notify_one();
        }
    }
}
