//! Follows the generations, and keeps what changed in each zone for those who ask for that alone.

use crate::publish::{Latest, Published};
use holdfast_proto::dns::transfer::{Journal, ZoneDelta};
use holdfast_proto::dns::{ZONE, ZoneRow};
use holdfast_proto::snapshot::{Feed, View};
use holdfast_proto::words::{DomainName, Serial};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// Generations whose risen zones wait to be told of: each is a list, so this is much.
const WAITING_LIMIT: usize = 256;

/// The one journal, which the desk reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Journal>>);

impl Shared {
    /// The steps from this serial to the newest, where they are all at hand.
    pub(super) fn since(&self, apex: &DomainName, serial: Serial) -> Option<Vec<Arc<ZoneDelta>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).since(apex, serial)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Journal) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the zones are told whose serial rose.
pub(super) fn channel() -> (mpsc::Sender<Vec<DomainName>>, mpsc::Receiver<Vec<DomainName>>) {
    mpsc::channel(WAITING_LIMIT)
}

/// Follows for ever. At the start every zone counts as risen: who was not told before is told now.
pub(super) async fn keep(mut latest: watch::Receiver<Arc<Latest>>, journal: Shared, rose: mpsc::Sender<Vec<DomainName>>) -> Infallible {
    let mut last = Arc::clone(&latest.borrow_and_update());
    let (begin, kept) = (Arc::clone(&last), journal.clone());
    let read = tokio::task::spawn_blocking(move || {
        kept.with(|journal| read_back(journal, &begin.feeds[&Feed::ZONE]));
        serials(begin.state(Feed::ZONE).view()).into_iter().map(|(apex, _)| apex).collect::<Vec<_>>()
    });
    let _ = rose.try_send(read.await.unwrap_or_default());
    while latest.changed().await.is_ok() {
        let next = Arc::clone(&latest.borrow_and_update());
        let (before, after, kept) = (Arc::clone(&last), Arc::clone(&next), journal.clone());
        let taken = tokio::task::spawn_blocking(move || kept.with(|journal| take(journal, &before, &after)));
        let risen = taken.await.unwrap_or_default();
        if !risen.is_empty() && rose.try_send(risen).is_err() {
            tracing::warn!(event = "notify_behind", "so many zones change that not everybody can be told: secondaries find out when they ask");
        }
        last = next;
    }
    std::future::pending().await
}

/// What is published since the base makes the journal anew.
fn read_back(journal: &mut Journal, published: &Published) {
    let base = published.state.base();
    let (mut view, mut at) = (View::of(Arc::clone(base)), (base.head().epoch, base.head().generation));
    while let Some(frame) = published.after(at.0, at.1) {
        let Ok(next) = view.with_rows(&frame.payload) else { return journal.clear() };
        journal.take(&view, &next, [&frame.payload[..]]);
        (view, at) = (next, (frame.epoch, frame.generation));
    }
}

/// Takes what led from one moment to the next; gives the zones whose serial rose.
fn take(journal: &mut Journal, before: &Latest, after: &Latest) -> Vec<DomainName> {
    let (was, is) = (before.state(Feed::ZONE).view(), after.state(Feed::ZONE).view());
    let (mut at, end) = ((was.epoch(), was.generation()), (is.epoch(), is.generation()));
    if at == end {
        return Vec::new();
    }
    let mut frames = Vec::new();
    while at != end {
        match after.feeds[&Feed::ZONE].after(at.0, at.1) {
            // The start of an epoch continues nothing.
            Some(frame) if frame.epoch == at.0 => {
                at = (frame.epoch, frame.generation);
                frames.push(frame);
            }
            _ => {
                journal.clear();
                let known: std::collections::HashMap<DomainName, Serial> = serials(was).into_iter().collect();
                return serials(is).into_iter().filter(|(apex, serial)| known.get(apex) != Some(serial)).map(|(apex, _)| apex).collect();
            }
        }
    }
    journal.take(was, is, frames.iter().map(|frame| &frame.payload[..]))
}

fn serials(view: &View) -> Vec<(DomainName, Serial)> {
    let rows = view.iter(ZONE).map_while(Result::ok);
    rows.filter_map(|(key, value)| Some((DomainName::from_wire(key)?, ZoneRow::decode(value).ok()?.serial))).collect()
}
