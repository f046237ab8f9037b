//! Whole snapshots, over a connection of their own: a hundred megabytes must not stand before two hundred bytes that revoke
//! somebody. A transfer that broke off goes on where it was for as long as the same snapshot leads to the newest.

use super::Control;
use crate::publish::{Published, Step};
use holdfast_proto::control::bulk_server::Bulk as BulkService;
use holdfast_proto::control::{FetchRequest, Piece, Whole};
use holdfast_proto::snapshot::{Feed, Sealed};
use holdfast_proto::words::{Epoch, Generation, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Transfers at once; others wait their turn. What they take from the processor and the line, edits do not have.
const TRANSFERS_LIMIT: usize = 4;
/// Pieces under way to one agent.
const PIECES_LIMIT: usize = 2;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Bulk {
    control: Control,
    places: Arc<Semaphore>,
    pace: Arc<Pace>,
    kept: Arc<Mutex<BTreeMap<Feed, Kept>>>,
}

/// A snapshot that is being sent, and that others may share.
#[derive(Clone)]
struct Kept {
    at: (Epoch, Generation),
    sealed: Sealed,
    whole: Arc<Whole>,
}

impl Bulk {
    /// Sends no more than this many bytes a second to all agents together; zero: as many as the line takes.
    pub fn new(control: Control, bytes_per_second: u64) -> Self {
        let pace = Pace { bytes_per_second, free_at: Mutex::new(Instant::now()) };
        Self { control, places: Arc::new(Semaphore::new(TRANSFERS_LIMIT)), pace: Arc::new(pace), kept: Arc::default() }
    }

    /// The snapshot that is at hand, where it is of today's trust, takes nobody back and leads to the newest; else the newest.
    fn whole(&self, feed: Feed, published: &Published, once_held: (Epoch, Generation)) -> Result<Arc<Whole>, Status> {
        // Held while a snapshot is made: whoever asks for the same waits for it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let trust = &self.control.keys().trust;
        let leads_on = |kept: &Kept| !matches!(published.step(kept.at.0, kept.at.1), Step::Whole) && kept.at <= published.position();
        let is_good = |kept: &&Kept| kept.at >= once_held && trust.open(&kept.sealed).is_ok() && leads_on(kept);
        if let Some(kept) = kept.get(&feed).filter(is_good) {
            return Ok(Arc::clone(&kept.whole));
        }
        let sealed = published.state.sealed().ok_or_else(|| Status::not_found("nothing was published of this feed yet"))?;
        let folded = published.state.rebased().map_err(|wrong| Status::internal(wrong.to_string()))?;
        let whole = Arc::new(Whole::new(sealed.clone(), Arc::clone(folded.base())));
        kept.insert(feed, Kept { at: published.position(), sealed: sealed.clone(), whole: Arc::clone(&whole) });
        Ok(whole)
    }
}

#[tonic::async_trait]
impl BulkService for Bulk {
    type FetchStream = ReceiverStream<Result<Piece, Status>>;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let node = self.control.admit(&request, Some("agent")).await?;
        let request = request.into_inner();
        let feed = request.feed.and_then(|feed| feed.known()).ok_or_else(|| Status::invalid_argument("this master does not know the feed"))?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Status::unavailable("the master stops"))?;
        let gate = Arc::clone(&self.control.gate.subscribe().borrow());
        let published = gate.of(NodeId(*node.id.as_bytes()), feed).cloned().ok_or_else(|| Status::unavailable("the newest generation is held back for now"))?;
        let newest = published.state.sealed().cloned().ok_or_else(|| Status::not_found("nothing was published of this feed yet"))?;
        let (bulk, once_held) = (self.clone(), (Epoch(request.epoch), Generation(request.generation)));
        let made = tokio::task::spawn_blocking(move || bulk.whole(feed, &published, once_held)).await;
        let whole = made.map_err(|_| Status::internal("the snapshot could not be made"))??;
        let first = if request.root == whole.root() { request.first_block as usize } else { 0 };
        tracing::info!(event = "whole_snapshot_sent", agent = node.name, %feed, first_block = first, "sending the whole snapshot");
        let (pieces, stream) = mpsc::channel(PIECES_LIMIT);
        let pace = Arc::clone(&self.pace);
        tokio::spawn(async move {
            send(&whole, &newest, first, &pace, pieces).await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// An agent that hangs up ends its transfer.
async fn send(whole: &Whole, newest: &Sealed, first_block: usize, pace: &Pace, pieces: mpsc::Sender<Result<Piece, Status>>) {
    let _ = pieces.send(Ok(whole.opening(newest))).await;
    for blocks in whole.pieces(first_block) {
        let piece = whole.piece(blocks).map_err(|damaged| Status::internal(damaged.to_string()));
        tokio::time::sleep(pace.reserve(piece.as_ref().map_or(0, |piece| piece.blocks.len()), Instant::now())).await;
        if pieces.send(piece).await.is_err() {
            return;
        }
    }
}

/// One limit for all transfers together.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    free_at: Mutex<Instant>,
}

impl Pace {
    /// Takes the time that so many bytes need; gives how long to wait before they may go.
    fn reserve(&self, bytes: usize, now: Instant) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = now.max(*free_at);
        *free_at = begins + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        begins - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_transfers_share_one_pace() {
        let now = Instant::now();
        let pace = |bytes_per_second| Pace { bytes_per_second, free_at: Mutex::new(now) };
        let limited = pace(1000);
        let waits: Vec<u64> = [500, 500, 2000, 1].map(|bytes| limited.reserve(bytes, now).as_millis() as u64).into();
        assert_eq!(waits, [0, 500, 1000, 3000]);
        assert_eq!(limited.reserve(1, now + Duration::from_secs(9)), Duration::ZERO, "unused time is not saved up");
        assert_eq!(pace(0).reserve(1 << 30, now), Duration::ZERO);
    }
}
