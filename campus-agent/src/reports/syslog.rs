use super::{Delivery, Kind, Outbox, SYSLOG, Spool};
use holdfast_proto::net::forward::Records;
use holdfast_proto::syslog::{Facility, Message, octet_counted};
use holdfast_proto::words::{NodeId, UnixMillis};
use std::path::Path;
use tokio::task::block_in_place;

/// The box's reports as syslog messages: a second receiver beside the master, with its own place in the spools. Spool and
/// number stand in the structured data, so that a double can be told from a second event.
#[derive(Debug)]
pub struct Syslog {
    outbox: Outbox,
    node: String,
    name: String,
    element: String,
}

impl Syslog {
    /// `enterprise` is the institution's number (RFC 5424 section 7.2.2); `name` the box's.
    pub fn open(state_dir: &Path, node: NodeId, name: &str, enterprise: u32, own: Spool) -> Self {
        let outbox = Outbox::open(state_dir, SYSLOG, Some(own));
        Self { outbox, node: node.to_string(), name: name.to_owned(), element: format!("report@{enterprise}") }
    }

    fn message(&self, delivery: &Delivery) -> Vec<u8> {
        let parameters =
            [("node", self.node.clone()), ("process", delivery.process.clone()), ("spool", delivery.log.to_string()), ("seq", delivery.number.to_string())];
        let message = Message {
            facility: if delivery.kind == Kind::Audit { Facility::AuthPriv } else { Facility::Daemon },
            severity: delivery.report.severity,
            at: UnixMillis(delivery.report.at_ms),
            host: &self.name,
            app: "holdfast-agent",
            id: &delivery.report.event,
            element: &self.element,
            parameters: &parameters,
            text: &delivery.report.detail,
        };
        octet_counted(&message.text())
    }
}

impl Records for Syslog {
    async fn due(&mut self) -> Vec<Vec<u8>> {
        let due = block_in_place(|| self.outbox.due());
        due.iter().map(|delivery| self.message(delivery)).collect()
    }

    async fn taken(&mut self, count: usize) {
        self.outbox.taken(count);
    }

    fn rewind(&mut self) {
        self.outbox.rewind();
    }
}
