//! Whole snapshots, over a connection of their own: a hundred megabytes must not stand before two hundred bytes that revoke
//! somebody. A transfer that broke off goes on where it was for as long as the same snapshot leads to the newest.
//!
//! Who holds most of a snapshot gets the rows of the buckets that differ in its place.

use super::Control;
use crate::publish::{Published, Step};
use holdfast_proto::control::bulk_server::Bulk as BulkService;
use holdfast_proto::control::{FetchRequest, Mend, MendPiece, MendRequest, Piece, Whole};
use holdfast_proto::snapshot::{Damaged, Feed, MARKS_BYTES, Sealed, State, Tally};
use holdfast_proto::words::{Epoch, Generation, NodeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Transfers at once; others wait their turn. What they take from the processor and the line, edits do not have.
const TRANSFERS_LIMIT: usize = 4;
/// Pieces under way to one agent.
const PIECES_LIMIT: usize = 2;
/// Who does not take a piece by then makes room for others; it asks again, from where it was.
const PIECE_PATIENCE: Duration = Duration::from_secs(60);

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Bulk {
    control: Control,
    places: Arc<Semaphore>,
    pace: Arc<Pace>,
    kept: Arc<Mutex<BTreeMap<Feed, Kept>>>,
    tallies: Tallies,
}

/// What the buckets of each feed's newest state hold: counted once, however many agents ask.
#[derive(Clone, Default)]
struct Tallies(Arc<Mutex<BTreeMap<Feed, Counted>>>);

/// A state's epoch and generation, and what its buckets hold.
type Counted = ((Epoch, Generation), Arc<Tally>);

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
        Self { control, places: Arc::new(Semaphore::new(TRANSFERS_LIMIT)), pace: Arc::new(pace), kept: Arc::default(), tallies: Tallies::default() }
    }

    /// The snapshot that is at hand, where it is of today's trust, takes nobody back and leads to the newest; else the newest.
    fn whole(&self, feed: Feed, published: &Published, once_held: (Epoch, Generation)) -> Result<Arc<Whole>, Status> {
        // Held while a snapshot is made: whoever asks for the same waits for it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let trust = &self.control.keys().trust;
        let is_good = |kept: &&Kept| kept.at >= once_held && trust.open(&kept.sealed).is_ok() && leads_on_from(published, kept.at);
        if let Some(kept) = kept.get(&feed).filter(is_good) {
            return Ok(Arc::clone(&kept.whole));
        }
        let is_named_good = |(at, sealed, _): &(_, Sealed, _)| *at >= once_held && trust.open(sealed).is_ok() && leads_on_from(published, *at);
        let (at, sealed, base) = match published.named_base().filter(is_named_good) {
            Some(named) => named,
            None => {
                let sealed = published.state.sealed().ok_or_else(|| Status::not_found("nothing was published of this feed yet"))?;
                let folded = published.state.rebased().map_err(|wrong| Status::internal(wrong.to_string()))?;
                (published.position(), sealed.clone(), Arc::clone(folded.base()))
            }
        };
        let whole = Arc::new(Whole::new(sealed.clone(), base));
        kept.insert(feed, Kept { at, sealed, whole: Arc::clone(&whole) });
        Ok(whole)
    }
}

/// Whether whoever has this generation gets on by a frame, or is there.
fn leads_on_from(published: &Published, at: (Epoch, Generation)) -> bool {
    !matches!(published.step(at.0, at.1), Step::Whole) && at <= published.position()
}

impl Tallies {
    fn of(&self, feed: Feed, state: &State) -> Result<Arc<Tally>, Damaged> {
        let at = (state.view().epoch(), state.view().generation());
        // Held while counting: whoever asks for the same waits for it.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tally)) = known.get(&feed).filter(|(counted, _)| *counted == at) {
            return Ok(Arc::clone(tally));
        }
        let tally = Arc::new(state.tally()?);
        known.insert(feed, (at, Arc::clone(&tally)));
        Ok(tally)
    }

    /// The rows that lead somebody to the newest who says this of their buckets; `None` where the whole snapshot is better: it
    /// costs less, or this would take them back.
    fn mend(&self, feed: Feed, newest: &State, once_held: (Epoch, Generation), marks: &[u8; MARKS_BYTES]) -> Result<Option<Mend>, Damaged> {
        if (newest.view().epoch(), newest.view().generation()) < once_held {
            return Ok(None);
        }
        Ok(Mend::of(newest, &*self.of(feed, newest)?, marks))
    }
}

impl Bulk {
    /// Waits for a place among the transfers; gives it with what this agent may have.
    async fn admit(&self, node: NodeId, feed: Option<holdfast_proto::control::Feed>) -> Result<(OwnedSemaphorePermit, Feed, Arc<Published>), Status> {
        let feed = feed.and_then(|feed| feed.known()).ok_or_else(|| Status::invalid_argument("this master does not know the feed"))?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Status::unavailable("the master stops"))?;
        let gate = Arc::clone(&self.control.gate.subscribe().borrow());
        let published = gate.of(node, feed).cloned().ok_or_else(|| Status::unavailable("the newest generation is held back for now"))?;
        Ok((place, feed, published))
    }
}

#[tonic::async_trait]
impl BulkService for Bulk {
    type FetchStream = ReceiverStream<Result<Piece, Status>>;
    type MendStream = ReceiverStream<Result<MendPiece, Status>>;

    async fn fetch(&self, request: Request<FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let node = self.control.admit(&request, Some("agent")).await?;
        let request = request.into_inner();
        let (place, feed, published) = self.admit(NodeId(*node.id.as_bytes()), request.feed).await?;
        let newest = published.state.sealed().cloned().ok_or_else(|| Status::not_found("nothing was published of this feed yet"))?;
        let (bulk, once_held) = (self.clone(), (Epoch(request.epoch), Generation(request.generation)));
        let made = tokio::task::spawn_blocking(move || bulk.whole(feed, &published, once_held)).await;
        let whole = made.map_err(|_| Status::internal("the snapshot could not be made"))??;
        let first = if request.root == whole.root() { request.first_block as usize } else { 0 };
        tracing::info!(event = "whole_snapshot_sent", agent = node.name, %feed, first_block = first, "sending the whole snapshot");
        let (pieces, stream) = mpsc::channel(PIECES_LIMIT);
        let pace = Arc::clone(&self.pace);
        tokio::spawn(async move {
            send(whole, &newest, first, &pace, pieces).await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn mend(&self, request: Request<MendRequest>) -> Result<Response<Self::MendStream>, Status> {
        let node = self.control.admit(&request, Some("agent")).await?;
        let request = request.into_inner();
        let marks: Box<[u8; MARKS_BYTES]> = request.marks.try_into().map_err(|_| Status::invalid_argument("each bucket has one mark of eight bytes"))?;
        let (place, feed, published) = self.admit(NodeId(*node.id.as_bytes()), request.feed).await?;
        let (tallies, once_held) = (self.tallies.clone(), (Epoch(request.epoch), Generation(request.generation)));
        let made = tokio::task::spawn_blocking(move || tallies.mend(feed, &published.state, once_held, &marks)).await;
        let failed = |why: &dyn std::fmt::Display| Status::internal(format!("the buckets could not be compared: {why}"));
        let mend = made.map_err(|gone| failed(&gone))?.map_err(|damaged| failed(&damaged))?;
        let (pieces, stream) = mpsc::channel(PIECES_LIMIT);
        match &mend {
            Some(mend) => {
                let found = mend.difference();
                let (buckets, rows) = (found.buckets.count(), found.rows);
                tracing::info!(event = "buckets_sent", agent = node.name, %feed, buckets, rows, "sending the rows of the buckets that differ");
            }
            None => tracing::info!(event = "buckets_not_sent", agent = node.name, %feed, "the whole snapshot costs less than the rows that differ"),
        }
        let pace = Arc::clone(&self.pace);
        tokio::spawn(async move {
            send_buckets(mend, &pace, pieces).await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Sends a snapshot from this block on.
async fn send(whole: Arc<Whole>, newest: &Sealed, first_block: usize, pace: &Pace, pieces: mpsc::Sender<Result<Piece, Status>>) {
    let _ = pieces.send(Ok(whole.opening(newest))).await;
    let (made, packed) = mpsc::channel(PIECES_LIMIT);
    tokio::task::spawn_blocking(move || whole.pieces(first_block).into_iter().all(|blocks| made.blocking_send(whole.piece(blocks)).is_ok()));
    pass_on(packed, |piece| piece.blocks.len(), pace, pieces).await;
}

/// The same for the rows of buckets.
async fn send_buckets(mend: Option<Mend>, pace: &Pace, pieces: mpsc::Sender<Result<MendPiece, Status>>) {
    let _ = pieces.send(Ok(mend.as_ref().map_or_else(MendPiece::whole, Mend::opening))).await;
    let Some(mend) = mend else { return };
    let (made, packed) = mpsc::channel(PIECES_LIMIT);
    tokio::task::spawn_blocking(move || mend.pieces().all(|piece| made.blocking_send(piece).is_ok()));
    pass_on(packed, |piece| piece.rows.len(), pace, pieces).await;
}

/// Hands on what is packed beside the loops, a few pieces ahead of the line: packed by a loop, a large snapshot kept every line
/// waiting that this loop had to answer. An agent that hangs up ends its transfer, and so does one that takes nothing.
async fn pass_on<P>(mut packed: mpsc::Receiver<Result<P, Damaged>>, len: fn(&P) -> usize, pace: &Pace, pieces: mpsc::Sender<Result<P, Status>>) {
    while let Some(piece) = packed.recv().await {
        let piece = piece.map_err(|damaged| Status::internal(damaged.to_string()));
        tokio::time::sleep(pace.reserve(piece.as_ref().map_or(0, len), Instant::now())).await;
        if pieces.send_timeout(piece, PIECE_PATIENCE).await.is_err() {
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
    use holdfast_proto::snapshot::{Change, Institution, SigningKey, Stamp, Table};
    use holdfast_proto::words::UnixMillis;

    #[test]
    fn who_lacks_little_gets_buckets_and_who_lacks_much_or_would_go_back_does_not() {
        let key = SigningKey::generate().unwrap().0;
        let stamp = Stamp { institution: Institution([1; 16]), epoch: Epoch(1), issued_at: UnixMillis(1), soft_age_s: 0, hard_age_s: 0 };
        let publish = |state: &State, keys: std::ops::Range<u32>| {
            let changes = keys.map(|key| Change::put(Table(1), key.to_be_bytes(), "value")).collect();
            state.compose(changes).unwrap().unwrap().seal(&key, stamp).unwrap().2
        };
        let held = publish(&State::empty(Feed::ZONE), 0..5000);
        let newest = publish(&held, 5000..5010);
        let tallies = Tallies::default();
        let asked = |held: &State, once_held: u64| {
            let marks = *held.tally().unwrap().marks();
            tallies.mend(Feed::ZONE, &newest, (Epoch(1), Generation(once_held)), &marks).unwrap().map(|mend| mend.difference().buckets.count())
        };
        assert!(asked(&held, 1).is_some_and(|buckets| buckets <= 10));
        assert_eq!(asked(&newest, 2), Some(0), "a manifest alone");
        assert_eq!(asked(&held, 3), None, "it once held more than there is");
        assert_eq!(asked(&State::empty(Feed::ZONE), 0), None, "all of it would travel");
        let first = tallies.of(Feed::ZONE, &newest).unwrap();
        assert!(Arc::ptr_eq(&first, &tallies.of(Feed::ZONE, &newest).unwrap()), "counted once");
        assert!(!Arc::ptr_eq(&first, &tallies.of(Feed::ZONE, &held).unwrap()));
    }

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
