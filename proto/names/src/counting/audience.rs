//! Who asks most, of all clients of a service, written down for people while it serves.

use holdfast_proto::dns::Talkers;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Where a service writes it, in the runtime directory: its name, and this.
const SUFFIX: &str = "clients";
const SHOWN: usize = 100;
const SHOW_EVERY: Duration = Duration::from_secs(10);

/// The clients of one service.
#[derive(Debug, Default)]
pub struct Audience(Mutex<Talkers>);

impl Audience {
    /// Takes over who asked how often, and leaves nothing.
    pub fn hear_of(&self, talkers: &mut Talkers) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).absorb(talkers);
    }

    /// One question of a client's, from a connection.
    pub fn hear(&self, client: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count(client, 1);
    }

    /// Who asked most, as lines of address, questions at most, and how many of those may be others'.
    fn shown(&self) -> String {
        let top = self.0.lock().unwrap_or_else(PoisonError::into_inner).top(SHOWN);
        top.iter().map(|talker| format!("{} {} {}\n", talker.client, talker.count, talker.error)).collect()
    }

    /// Writes down who asked most since the box's midnight, again and again, for [`read_audience`]; forgets it at midnight.
    pub async fn show(self: Arc<Self>, run_dir: PathBuf, service: &'static str) -> Infallible {
        let mut day = day_of(SystemTime::now());
        let (path, aside) = (run_dir.join(format!("{service}.{SUFFIX}")), run_dir.join(format!("{service}.{SUFFIX}.new")));
        loop {
            tokio::time::sleep(SHOW_EVERY).await;
            // A file that cannot be written costs a list, and no answer.
            let _ = std::fs::write(&aside, self.shown()).and_then(|()| std::fs::rename(&aside, &path));
            let today = day_of(SystemTime::now());
            if today != day {
                day = today;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
    }
}

fn day_of(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() / (24 * 3600))
}

/// Who asked most today, on both planes together, as the processes that answer names last wrote it down, the loudest first.
///
/// # Errors
/// Names the folder where neither of them wrote: none runs, or has not for ten seconds.
pub fn read_audience(run_dir: &Path) -> io::Result<String> {
    let read = ["dns", "resolver"].map(|service| std::fs::read_to_string(run_dir.join(format!("{service}.{SUFFIX}"))));
    if let [Err(wrong), Err(_)] = &read {
        let (folder, kind) = (run_dir.display(), wrong.kind());
        return Err(io::Error::new(kind, format!("{folder}/dns.{SUFFIX}: {wrong}; it is written every ten seconds while names are served")));
    }
    let mut clients = BTreeMap::<IpAddr, [u64; 2]>::new();
    for line in read.iter().flatten().flat_map(|text| text.lines()) {
        let mut words = line.split(' ');
        let (Some(Ok(client)), Some(Ok(count)), Some(Ok(error))) = (words.next().map(str::parse), words.next().map(str::parse), words.next().map(str::parse))
        else {
            continue;
        };
        let sums: &mut [u64; 2] = clients.entry(client).or_default();
        *sums = [sums[0].saturating_add(count), sums[1].saturating_add(error)];
    }
    let mut clients: Vec<_> = clients.into_iter().collect();
    clients.sort_by_key(|(client, [count, _])| (std::cmp::Reverse(*count), *client));
    Ok(clients.iter().map(|(client, [count, error])| format!("{client} {count} {error}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_most_on_both_planes_is_shown_first() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read_audience(folder.path()).unwrap_err().to_string().contains("dns.clients"));
        for (service, asked) in [("dns", [(1, 3), (2, 7)]), ("resolver", [(1, 6), (3, 1)])] {
            let (audience, mut talkers) = (Audience::default(), Talkers::default());
            for (last, questions) in asked {
                talkers.count([192, 0, 2, last].into(), questions);
            }
            audience.hear_of(&mut talkers);
            std::fs::write(folder.path().join(format!("{service}.clients")), audience.shown()).unwrap();
        }
        assert_eq!(read_audience(folder.path()).unwrap(), "192.0.2.1 9 0\n192.0.2.2 7 0\n192.0.2.3 1 0\n");
    }
}
