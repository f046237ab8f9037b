//! UDP: one thread for each socket, and for each batch one view.

use super::REST_AFTER_ERROR;
use super::desk::{Desk, udp_peer};
use crate::telemetry::Tally;
use holdfast_proto::dns::{Talkers, Transport};
use holdfast_proto::net::batch::{Batch, BatchSocket, TICK};
use holdfast_proto::net::workers::{Stop, Workers};
use holdfast_proto::snapshot::Reader;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is told who asked how often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Starts a thread that answers what comes to a socket.
pub(super) fn start(workers: &mut Workers, socket: BatchSocket, zone: Reader, desk: Arc<Desk>) {
    let worker = Worker { socket, zone, desk };
    workers.start("dns-udp", move |stop| worker.run(&stop));
}

struct Worker {
    socket: BatchSocket,
    zone: Reader,
    desk: Arc<Desk>,
}

impl Worker {
    fn run(self, stop: &Stop) {
        let (mut batch, mut tally, mut talkers) = (self.socket.batch(), Tally::default(), Talkers::default());
        let (mut handed_in, mut told_of) = (Instant::now(), Instant::now());
        while !stop.is_due() {
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
                self.desk.audience.hear_of(&mut talkers);
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
