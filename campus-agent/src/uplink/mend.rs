//! The rows of the buckets that differ, over a second connection as a whole snapshot, and mostly a small part of one.

use super::fetch::{PIECE_MESSAGE_LIMIT_BYTES, PIECE_TIMEOUT, RETRY, Wanted};
use anyhow::Context;
use holdfast_proto::control::bulk_client::BulkClient;
use holdfast_proto::control::{ArrivedBuckets, MendRequest, Mending};
use holdfast_proto::net::tls;
use holdfast_proto::snapshot::State;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A transfer of buckets starts anew when it breaks off; where it does so again and again, the whole snapshot gets further.
const ATTEMPTS: usize = 3;

/// Asks for the rows in which the master holds others than `held`. `None` where the whole snapshot is to be fetched: the
/// master says so or knows nothing of buckets, what is held cannot be read, or the line breaks every time.
pub(super) async fn mend(address: String, tls: Arc<rustls::ClientConfig>, wanted: Wanted, held: State) -> Option<ArrivedBuckets> {
    // Beside the line: going through a million rows takes a third of a second.
    let marks = spawn_blocking(move || held.tally().map(|tally| tally.marks().to_vec())).await.ok()?;
    let marks = marks.inspect_err(|damaged| tell(wanted, damaged)).ok()?;
    for _ in 0..ATTEMPTS {
        match attempt(&address, Arc::clone(&tls), wanted, marks.clone()).await {
            Ok(arrived) => return arrived,
            Err(error) => tell(wanted, &format_args!("{error:#}")),
        }
        tokio::time::sleep(RETRY).await;
    }
    None
}

fn tell(wanted: Wanted, why: &dyn std::fmt::Display) {
    tracing::info!(event = "buckets_not_fetched", feed = %wanted.feed, why = why.to_string(), "the rows that differ did not come by their buckets");
}

async fn attempt(address: &str, tls: Arc<rustls::ClientConfig>, wanted: Wanted, marks: Vec<u8>) -> anyhow::Result<Option<ArrivedBuckets>> {
    let channel = tls::dial(address, tls).await?;
    let (epoch, generation) = (wanted.once_held.0.0, wanted.once_held.1.0);
    let request = MendRequest { feed: Some(wanted.feed.into()), marks, epoch, generation };
    let mut client = BulkClient::new(channel).max_decoding_message_size(PIECE_MESSAGE_LIMIT_BYTES);
    let answer = match timeout(PIECE_TIMEOUT, client.mend(request)).await? {
        // A master of an earlier version.
        Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(None),
        answer => answer?,
    };
    let (mut pieces, mut mending) = (answer.into_inner(), Mending::default());
    loop {
        let piece = timeout(PIECE_TIMEOUT, pieces.message()).await??.context("the master ended the transfer before its end")?;
        if piece.whole {
            return Ok(None);
        }
        if mending.take(piece)? {
            return Ok(Some(mending.finish()));
        }
    }
}
