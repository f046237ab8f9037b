//! Names of the machines that this box lends addresses to, laid beside the signed zones for the services that answer names.
//!
//! Why it exists: such a name is answered the moment that its lease is on disk, whoever is cut off, and no longer than the lease. What it
//! refuses: to know when a lease ends. DHCP says so in the names log, and while DHCP is down what it said last stays good. How: the
//! zone's views go through here, each with the names beside it; a change of either makes another view.

use crate::store::NamesTail;
use holdfast_proto::dns::lent::LentRows;
use holdfast_proto::lent::{LentName, NameRecord};
use holdfast_proto::snapshot::{Reader, Writer, reader};
use holdfast_proto::words::NodeId;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

/// The safety net under the wake-up.
const TICK: Duration = Duration::from_millis(250);

/// The zone with the names of this box beside it, and what keeps it so, for ever. `owner` is the box: of its own leases the zone has
/// nothing to say.
pub fn beside(zone: Reader, state_dir: &Path, owner: Option<NodeId>) -> (Reader, impl Future<Output = Infallible> + use<>) {
    let mut names = Names { tail: NamesTail::open(state_dir), owner, rows: LentRows::of(owner), begun: None, is_told: false };
    names.read();
    let (writer, with_names) = reader(zone.current().feed());
    publish(&writer, &zone, &names);
    (with_names, keep_up(zone, names, writer))
}

async fn keep_up(mut zone: Reader, mut names: Names, writer: Writer) -> Infallible {
    let mut woken = names.tail.changes();
    let mut zone_is_kept = true;
    loop {
        let is_new_zone = tokio::select! {
            changed = zone.changed(), if zone_is_kept => {
                // Without its writer the last view stays good.
                zone_is_kept = changed;
                changed
            }
            () = woken.next() => false,
            () = tokio::time::sleep(TICK) => false,
        };
        if names.read() || is_new_zone {
            publish(&writer, &zone, &names);
        }
    }
}

fn publish(writer: &Writer, zone: &Reader, names: &Names) {
    writer.publish(zone.current().with_beside(names.rows.beside().clone()));
}

struct Names {
    tail: NamesTail,
    owner: Option<NodeId>,
    rows: LentRows,
    /// A beginning of which so many names are still missing; until then what was said before counts.
    begun: Option<(u32, Vec<LentName>)>,
    /// That it cannot be read was told.
    is_told: bool,
}

impl Names {
    /// Whether something is new.
    fn read(&mut self) -> bool {
        match self.tail.read() {
            Ok(records) => {
                self.is_told = false;
                records.iter().filter(|record| self.take(record)).count() > 0
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(event = "names_not_read", %error, "the names of leased machines cannot be read, so those known are answered on: {error}");
                }
                false
            }
        }
    }

    fn take(&mut self, record: &[u8]) -> bool {
        match NameRecord::decode(record) {
            Some(NameRecord::All(count)) => self.begun = Some((count, Vec::new())),
            Some(NameRecord::Put(lent)) => match &mut self.begun {
                Some((_, names)) => names.push(lent),
                None => self.rows.put(lent),
            },
            Some(NameRecord::Gone(address)) => self.rows.take(address),
            // Of a newer build: what it says is not known here.
            None => return false,
        }
        if let Some((_, names)) = self.begun.take_if(|(count, names)| names.len() >= *count as usize) {
            self.rows = LentRows::of(self.owner);
            names.into_iter().for_each(|lent| self.rows.put(lent));
        }
        self.begun.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::NamesLog;
    use holdfast_proto::snapshot::{Feed, View};
    use std::net::Ipv4Addr;

    fn put(last: u8, name: &str) -> Vec<u8> {
        NameRecord::Put(LentName { address: Ipv4Addr::new(10, 1, 6, last), name: name.parse().unwrap(), ttl: 9 }).encode()
    }

    fn has(reader: &Reader, name: &str) -> bool {
        let name: holdfast_proto::words::DomainName = name.parse().unwrap();
        reader.current().beside().get(name.wire()).is_some()
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }

    #[tokio::test]
    async fn names_come_and_go_beside_whatever_the_zone_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = NamesLog::begin(dir.path(), vec![NameRecord::All(1).encode(), put(1, "a.dyn")]).unwrap();
        let (writer, zone) = reader(Feed::ZONE);
        let (with_names, keeping) = beside(zone, dir.path(), Some(NodeId([7; 16])));
        assert!(has(&with_names, "a.dyn") && has(&with_names, "1.6.1.10.in-addr.arpa"), "from the first view on");
        assert_eq!(with_names.current().beside().owner(), Some(NodeId([7; 16])));
        let keeping = tokio::spawn(keeping);
        log.append(vec![put(2, "b.dyn"), NameRecord::Gone(Ipv4Addr::new(10, 1, 6, 1)).encode(), b"of a newer build".to_vec()]).unwrap();
        until("b is there and a is gone", || has(&with_names, "b.dyn") && !has(&with_names, "a.dyn")).await;
        writer.publish(View::empty(Feed::ZONE));
        log.append(vec![put(3, "c.dyn")]).unwrap();
        until("c is there", || has(&with_names, "c.dyn") && has(&with_names, "b.dyn")).await;
        log.begin_anew(vec![NameRecord::All(1).encode(), put(4, "d.dyn")]).unwrap();
        until("d is all there is", || has(&with_names, "d.dyn") && !has(&with_names, "c.dyn")).await;
        keeping.abort();
    }

    #[test]
    fn half_a_beginning_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = NamesLog::begin(dir.path(), vec![NameRecord::All(1).encode(), put(1, "a.dyn")]).unwrap();
        let mut names = Names { tail: NamesTail::open(dir.path()), owner: None, rows: LentRows::of(None), begun: None, is_told: false };
        assert!(names.read());
        log.append(vec![NameRecord::All(2).encode(), put(2, "b.dyn")]).unwrap();
        assert!(!names.read() && names.rows.beside().len() == 5, "a, its reverse name, and three above that");
        log.append(vec![put(3, "c.dyn")]).unwrap();
        assert!(names.read() && names.rows.beside().len() == 7);
    }
}
