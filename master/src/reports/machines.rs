//! Machines that nobody registered, read out of the sentences that agents report them with.

use super::Inbox;
use crate::db::DbError;
use crate::db::unknown::{self, MachineRow};
use chrono::{DateTime, Utc};
use holdfast_proto::words::NodeId;

/// The reports that speak of one.
const EVENTS: [&str; 2] = ["unknown_machine", "unknown_machine_auto"];

impl Inbox {
    /// Keeps what a report says of a machine; other reports say nothing of one.
    pub(super) async fn note_machine(&self, node: NodeId, event: &str, detail: &str) -> Result<(), DbError> {
        match machine(detail).filter(|_| EVENTS.contains(&event)) {
            Some(row) => unknown::put(&mut *self.pool.acquire().await?, node, &row).await,
            None => Ok(()),
        }
    }
}

/// The sentence stands in the agent's `dhcp/notes.rs`: always in the same order, and no text in it has a quotation mark.
fn machine(sentence: &str) -> Option<MachineRow> {
    let rest = sentence.strip_prefix("unregistered machine ")?;
    let (hardware, rest) = rest.split_once(" on ")?;
    let (network, rest) = rest.split_once(", hardware type ")?;
    let (htype, rest) = rest.split_once(", relay ")?;
    let (relay, rest) = rest.split_once(", port \"")?;
    let (port, rest) = rest.split_once("\", vendor class \"")?;
    let (vendor_class, rest) = rest.split_once("\", first seen ")?;
    let (first, rest) = rest.split_once(", last seen ")?;
    let (last, packets) = rest.split_once(", packets ")?;
    // A box whose clock is ahead must not stand on top of the list for years.
    let time = |text: &str| Some(DateTime::from_timestamp_millis(text.parse().ok()?)?.min(Utc::now()));
    Some(MachineRow {
        hardware: hardware.to_owned(),
        htype: htype.parse().ok()?,
        network: network.parse().ok()?,
        relay: if relay == "none" { None } else { Some(relay.parse().ok()?) },
        port: port.to_owned(),
        vendor_class: vendor_class.to_owned(),
        first_seen: time(first)?,
        last_seen: time(last)?,
        packets: packets.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: &str = "unregistered machine 02:00:00:00:00:99 on 10.1.8.0/24, hardware type 1, relay 10.1.8.1, port \"ge-0/0/7, relay x\", \
         vendor class \"0x62616420220a\", first seen 1000, last seen 2000, packets 3";

    #[test]
    fn the_sentence_of_an_agent_is_read_as_it_was_meant() {
        let row = machine(SENTENCE).unwrap();
        assert_eq!((row.hardware.as_str(), row.network.to_string().as_str(), row.htype, row.packets), ("02:00:00:00:00:99", "10.1.8.0/24", 1, 3));
        assert_eq!((row.relay, row.port.as_str()), (Some([10, 1, 8, 1].into()), "ge-0/0/7, relay x"));
        assert_eq!((row.first_seen.timestamp_millis(), row.last_seen.timestamp_millis()), (1000, 2000));
        assert_eq!(machine(&SENTENCE.replace("relay 10.1.8.1", "relay none")).unwrap().relay, None);
        for torn in 0..SENTENCE.len() - 1 {
            assert_eq!(machine(&SENTENCE[..torn]), None, "{}", &SENTENCE[..torn]);
        }
    }
}
