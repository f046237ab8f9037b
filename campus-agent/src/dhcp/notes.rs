//! What the desk noted, as sentences for people: reports of this box.

use crate::reports::Spool;
use holdfast_proto::dhcp::policy::Unknown;
use holdfast_proto::dhcp::strangers::{Note, Stranger};
use holdfast_proto::words::UnixMillis;
use std::fmt::Write;

/// Raises a report for each note. Its times are those that leases run by, which may be late by so many milliseconds.
pub(super) fn tell(spool: &Spool, notes: Vec<Note>, late_ms: u64) {
    let in_time = |at: UnixMillis| UnixMillis(at.0.saturating_add(late_ms));
    let notes = notes.into_iter().map(|note| match note {
        Note::Unknown(stranger) => Note::Unknown(Stranger { first: in_time(stranger.first), last: in_time(stranger.last), ..stranger }),
        other => other,
    });
    for note in notes {
        match note {
            Note::Unknown(stranger) if stranger.wanted == Unknown::Auto => spool.raise("unknown_machine_auto", sentence(&stranger)),
            Note::Unknown(stranger) => spool.raise("unknown_machine", sentence(&stranger)),
            Note::MoreUnknown(count) => spool.raise("unknown_machines_many", format!("{count} more unregistered machines asked than are told of one by one")),
            Note::InUse { address, chaddr } => {
                spool.raise("address_in_use", format!("{} found {address} in use by another machine and declined it", hardware(&chaddr)));
            }
            Note::Exhausted(net) => spool.raise("pool_exhausted", format!("this agent has no address left to lend on {net}")),
        }
    }
}

/// One sentence, always in this order, so that a program can read it too. Times in milliseconds since 1970.
fn sentence(stranger: &Stranger) -> String {
    let Stranger { net, relay, port, vendor_class, first, last, packets, .. } = stranger;
    let relay = relay.map_or_else(|| "none".to_owned(), |relay| relay.to_string());
    format!(
        "unregistered machine {} on {net}, hardware type {}, relay {relay}, port \"{}\", vendor class \"{}\", first seen {}, last seen {}, packets {packets}",
        hardware(&stranger.chaddr),
        stranger.htype,
        text(port),
        text(vendor_class),
        first.0,
        last.0,
    )
}

/// As people write it; a dash for a machine without one.
fn hardware(chaddr: &[u8]) -> String {
    let bytes: Vec<String> = chaddr.iter().map(|byte| format!("{byte:02x}")).collect();
    if bytes.is_empty() { "-".to_owned() } else { bytes.join(":") }
}

/// What machines and relays say is shown as it is where it is plain, and in hexadecimal where it is not.
fn text(bytes: &[u8]) -> String {
    let is_plain = bytes.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'"' && *byte != b'\\');
    if is_plain {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    bytes.iter().fold("0x".to_owned(), |mut out, byte| {
        // A String takes whatever is written to it.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;


    #[test]
    fn a_stranger_is_told_in_one_sentence_whatever_it_says() {
        let stranger = Stranger {
            wanted: Unknown::Report,
            net: "10.1.8.0/24".parse().unwrap(),
            htype: 1,
            chaddr: vec![2, 0, 0, 0, 0, 0x99],
            relay: Some([10, 1, 8, 1].into()),
            port: b"ge-0/0/7".to_vec(),
            vendor_class: b"bad \"\n".to_vec(),
            first: UnixMillis(1000),
            last: UnixMillis(2000),
            packets: 3,
        };
        assert_eq!(
            sentence(&stranger),
            "unregistered machine 02:00:00:00:00:99 on 10.1.8.0/24, hardware type 1, relay 10.1.8.1, port \"ge-0/0/7\", \
             vendor class \"0x62616420220a\", first seen 1000, last seen 2000, packets 3"
        );
        assert!(sentence(&Stranger { relay: None, chaddr: vec![], ..stranger }).contains("machine - on 10.1.8.0/24, hardware type 1, relay none,"));
    }
}
