//! A whole snapshot over a second connection, so that the line goes on meanwhile.

use super::arriving::Arriving;
use holdfast_proto::control::FetchRequest;
use holdfast_proto::control::bulk_client::BulkClient;
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::Feed;
use holdfast_proto::words::{Epoch, Generation};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::timeout;

/// A piece has a quarter of a megabyte, and one row of the longest.
pub(super) const PIECE_MESSAGE_LIMIT_BYTES: usize = 4 << 20;
/// A master that is asked for a large snapshot makes it first, and others may be served before.
pub(super) const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between attempts.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// What is gathered so far: it outlives the line that it was asked over, and the process.
pub(super) type Gathering = Arc<Mutex<Arriving>>;

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub feed: Feed,
    /// The highest that this box holds or once held: nothing older helps.
    pub once_held: (Epoch, Generation),
}

/// Fetches until all is there, going on after every break where it was; ends with whoever wanted it.
pub(super) async fn fetch(address: String, tls: Arc<rustls::ClientConfig>, wanted: Wanted, gathering: Gathering) -> Feed {
    while let Err(error) = attempt(&address, Arc::clone(&tls), wanted, &gathering).await {
        tracing::info!(event = "transfer_broke_off", feed = %wanted.feed, error = format!("{error:#}"), "the snapshot is asked for again from where it broke off");
        tokio::time::sleep(RETRY).await;
    }
    wanted.feed
}

async fn attempt(address: &str, tls: Arc<rustls::ClientConfig>, wanted: Wanted, gathering: &Gathering) -> anyhow::Result<()> {
    let channel = tls::dial(address, tls).await?;
    let (root, first_block) = lock(gathering).wanted();
    let (epoch, generation) = (wanted.once_held.0.0, wanted.once_held.1.0);
    tracing::info!(event = "whole_snapshot_asked", feed = %wanted.feed, first_block, "asking for the whole snapshot, from the first block that is missing");
    let request = FetchRequest { feed: Some(wanted.feed.into()), root: root.to_vec(), first_block, epoch, generation };
    let mut client = BulkClient::new(channel).max_decoding_message_size(PIECE_MESSAGE_LIMIT_BYTES);
    let mut pieces = timeout(PIECE_TIMEOUT, client.fetch(request)).await??.into_inner();
    while let Some(piece) = timeout(PIECE_TIMEOUT, pieces.message()).await?? {
        if block_in_place(|| lock(gathering).take(piece))? {
            return Ok(());
        }
    }
    anyhow::bail!("the master ended the transfer before its end")
}

pub(super) fn lock(gathering: &Gathering) -> std::sync::MutexGuard<'_, Arriving> {
    gathering.lock().unwrap_or_else(PoisonError::into_inner)
}
