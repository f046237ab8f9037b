//! UDP: one thread for each socket, and for each batch one view.

use super::REST_AFTER_ERROR;
use super::desk::{Desk, udp_peer};
use super::tally::Tally;
use holdfast_proto::dns::{Talkers, Transport};
use holdfast_proto::net::batch::{Batch, BatchSocket, TICK};
use holdfast_proto::snapshot::Reader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often it is told who asked how often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The threads that answer over UDP. They end when this is dropped, at the latest a tick of their sockets after it.
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    last_words: mpsc::UnboundedSender<()>,
    ended: mpsc::UnboundedReceiver<()>,
}

impl Default for Workers {
    fn default() -> Self {
        let (last_words, ended) = mpsc::unbounded_channel();
        Self { stop: Arc::default(), threads: Vec::new(), last_words, ended }
    }
}

impl Workers {
    /// Starts one more.
    ///
    /// # Panics
    /// When the system has no room for a thread: the service cannot be what it was configured to be.
    pub(super) fn start(&mut self, socket: BatchSocket, zone: Reader, desk: Arc<Desk>) {
        let worker = Worker { socket, zone, desk, stop: Arc::clone(&self.stop), _last_words: LastWords(self.last_words.clone()) };
        let thread = std::thread::Builder::new().name(format!("dns-udp-{}", self.threads.len())).spawn(move || worker.run());
        self.threads.push(thread.expect("the system has room for a thread"));
    }

    /// Resolves when one of them ended by itself.
    pub(super) async fn one_ended(&mut self) {
        let _ = self.ended.recv().await;
    }

    /// Ends them all and waits for it.
    pub(super) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Says, when it is dropped, that its thread ended.
struct LastWords(mpsc::UnboundedSender<()>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

struct Worker {
    socket: BatchSocket,
    zone: Reader,
    desk: Arc<Desk>,
    stop: Arc<AtomicBool>,
    _last_words: LastWords,
}

impl Worker {
    fn run(self) {
        let (mut batch, mut tally, mut talkers) = (self.socket.batch(), Tally::default(), Talkers::default());
        let (mut handed_in, mut told_of) = (Instant::now(), Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            match self.socket.receive(&mut batch) {
                Ok(0) => {}
                Ok(count) => self.answer_all(&mut batch, count, &mut tally, &mut talkers),
                Err(wrong) => {
                    self.desk.counters.fault("receive", &wrong);
                    std::thread::sleep(REST_AFTER_ERROR);
                }
            }
            if handed_in.elapsed() >= TICK {
                self.desk.counters.take(Transport::Udp, &mut tally);
                handed_in = Instant::now();
            }
            if told_of.elapsed() >= TELL_EVERY {
                self.desk.hear_of(&mut talkers);
                told_of = Instant::now();
            }
        }
    }

    fn answer_all(&self, batch: &mut Batch, count: usize, tally: &mut Tally, talkers: &mut Talkers) {
        let (view, moment) = (self.zone.current(), self.desk.moment());
        for (packet, received, reply) in batch.packets() {
            talkers.count(received.from.ip(), 1);
            self.desk.answer(&view, packet, udp_peer(received.from), &moment, reply, tally);
        }
        let sent = self.socket.send(batch);
        tally.spent(count, moment.age_us(&self.desk));
        if sent.unsent > 0 {
            self.desk.counters.unsent.increment(sent.unsent as u64);
        }
        sent.faults.iter().for_each(|wrong| self.desk.counters.fault("send", wrong));
    }
}
