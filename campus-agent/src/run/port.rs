use crate::reports::Spool;
use std::fmt::Display;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How often a port that was taken is tried again.
const PORT_RETRY: Duration = Duration::from_millis(100);

/// A service on its way to its port. The first attempt is made at once, so that "ready" means bound wherever that is possible.
pub(super) struct Port<T, B> {
    service: &'static str,
    first: Option<T>,
    bind: B,
    spool: Spool,
}

impl<T, E: Display, B: Fn() -> Result<T, E>> Port<T, B> {
    pub(super) fn new(service: &'static str, spool: &Spool, bind: B) -> Self {
        let first = bind().map_err(|wrong| spool.raise("port_taken", format!("{service} waits: {wrong}"))).ok();
        Self { service, first, bind, spool: spool.clone() }
    }

    pub(super) async fn bound(self) -> T {
        if let Some(first) = self.first {
            return first;
        }
        loop {
            tokio::time::sleep(PORT_RETRY).await;
            if let Ok(bound) = (self.bind)() {
                self.spool.raise("port_free", format!("{} serves now", self.service));
                return bound;
            }
        }
    }
}

/// The addresses that this kernel has a family for: the IPv6 wildcards stand in every default, and some kernels have no IPv6.
pub(super) fn usable(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let ipv6 = UdpSocket::bind("[::]:0").is_ok();
    if !ipv6 {
        tracing::warn!(event = "no_ipv6", "this kernel has no IPv6: its addresses are left out");
    }
    listen.iter().copied().filter(|address| ipv6 || address.is_ipv4()).collect()
}
