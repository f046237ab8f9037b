//! Where the names of leased machines meet: what DHCP gives must be nobody's in DNS, and DNS answers what DHCP gave.

use super::Process;
use crate::names;
use crate::reports::Spool;
use crate::store::{Finding, Follower, Following, Identity};
use holdfast_proto::dns::lent::is_taken;
use holdfast_proto::lent::NAMING;
use holdfast_proto::snapshot::{Feed, Reader};
use holdfast_proto::words::{DomainName, Generation, NodeId};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

impl Process {
    /// The zone with the names of this box's leases beside it.
    pub(super) fn with_names(&mut self, zone: Reader) -> Reader {
        // Without its number the box takes what the master says of its leases for another's, and answers it.
        let owner = Identity::read_number(&self.folders.state).ok();
        let (with_names, keep_up) = names::beside(zone, &self.folders.state, owner);
        self.tasks.spawn(async move { match keep_up.await {} });
        with_names
    }

    /// Whether a name is somebody's already. The zones are followed for it from when a subnet first wants names on: most boxes need not.
    pub(super) fn names_of_others(&mut self, node: NodeId, mut bootptab: Reader) -> impl Fn(&DomainName) -> bool + Send + use<> {
        let zone = Arc::new(OnceLock::<Reader>::new());
        let (found, spool) = (Arc::clone(&zone), self.spool.clone());
        let (folders, trusts, key, name, fell) = (self.folders.clone(), self.trusts.clone(), self.key.clone(), self.name, self.fell);
        self.tasks.spawn(async move {
            while bootptab.current().iter(NAMING).next().is_none() {
                if !bootptab.changed().await {
                    std::future::pending::<()>().await;
                }
            }
            let Following { follower, reader, findings } = Follower::open(&folders, Feed::ZONE, name, fell, &trusts, &key);
            findings.into_iter().for_each(|finding| tell(&spool, &finding));
            // It is set once, here.
            let _ = found.set(reader);
            match follow(follower, spool).await {}
        });
        // While the zones are not open, or cannot be, every name may be somebody's: a machine without a name gets one at its next renewal.
        move |name| {
            zone.get().is_none_or(|zone| {
                let zone = zone.current();
                zone.generation() == Generation(0) || is_taken(&zone, node, name)
            })
        }
    }
}

async fn follow(follower: Follower, spool: Spool) -> Infallible {
    follower.run(move |finding| tell(&spool, &finding)).await
}

fn tell(spool: &Spool, finding: &Finding) {
    spool.raise("snapshot_refused", format!("{}: {}", finding.path.display(), finding.what));
}
