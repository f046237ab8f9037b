//! UDP: one thread for each socket, which answers what is known and hands on what is not.

use super::desk::{Back, Count, Desk, Done};
use holdfast_proto::dns::{Peer, Talkers, Transport};
use holdfast_proto::net::batch::{Batch, BatchSocket, TICK};
use holdfast_proto::net::workers::{Stop, Workers};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is told who asked how often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a loop rests after its socket failed, so that a lasting fault does not eat a core.
const REST_AFTER_ERROR: Duration = Duration::from_millis(20);

/// Starts a thread that answers what comes to a socket.
pub(super) fn start(workers: &mut Workers, socket: BatchSocket, desk: Arc<Desk>) {
    let name = format!("{}-udp", desk.name);
    let worker = Worker { socket: Arc::new(socket), desk };
    workers.start(&name, move |stop| worker.run(&stop));
}

struct Worker {
    /// Also held by whoever waits for an answer that came by it.
    socket: Arc<BatchSocket>,
    desk: Arc<Desk>,
}

impl Worker {
    fn run(self, stop: &Stop) {
        let (mut batch, mut count, mut talkers) = (self.socket.batch(), Count::default(), Talkers::default());
        let (mut handed_in, mut told_of) = (Instant::now(), Instant::now());
        while !stop.is_due() {
            match self.socket.receive(&mut batch) {
                Ok(0) => {}
                Ok(packets) => self.answer_all(&mut batch, packets, &mut count, &mut talkers),
                Err(wrong) => {
                    self.desk.names.fault("receive", &wrong);
                    std::thread::sleep(REST_AFTER_ERROR);
                }
            }
            if handed_in.elapsed() >= TICK {
                self.desk.take(Transport::Udp, &mut count);
                handed_in = Instant::now();
            }
            if told_of.elapsed() >= TELL_EVERY {
                self.desk.audience.hear_of(&mut talkers);
                told_of = Instant::now();
            }
        }
    }

    fn answer_all(&self, batch: &mut Batch, packets: usize, count: &mut Count, talkers: &mut Talkers) {
        let (instance, mut later) = (self.desk.instance(), 0);
        for (packet, received, reply) in batch.packets() {
            talkers.count(received.from.ip(), 1);
            let peer = Peer { address: received.from, transport: Transport::Udp };
            let back = || Back::Udp(Arc::clone(&self.socket), received.via);
            if let Done::Later = self.desk.answer(&instance, packet, peer, back, reply, count) {
                reply.clear();
                later += 1;
            }
        }
        let sent = self.socket.send(batch);
        count.tally.spent(packets - later, instance.age_us(&self.desk));
        if sent.unsent > 0 {
            self.desk.names.unsent.increment(sent.unsent as u64);
        }
        sent.faults.iter().for_each(|wrong| self.desk.names.fault("send", wrong));
    }
}
