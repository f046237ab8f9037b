//! gRPC with our own boxes: enrol, follow, relay.
//!
//! An agent dials in and says what it has; from then on it gets, for every feed, one step at a time to the newest
//! generation: its acknowledgement is the credit for the next, so a slow agent lags by its own frame and costs the master
//! nothing. Nothing here knows edits or rows; nothing here can make a generation.
//!
//! [`line`] decides for one agent and [`canary`] for all of them; neither has a clock or a socket. [`follow`], [`gate`],
//! [`pulse`], [`ledger`] and [`bulk`] are the loops around them.

mod bulk;
pub mod canary;
mod enrol;
mod follow;
mod gate;
mod ledger;
pub mod line;
mod pulse;
mod relay;

pub use follow::Connected;
pub use gate::{GateDoor, GateKeeper, gate};
pub use ledger::Ledger;
pub use pulse::{pulse, sign};

use crate::db::publish as db;
use crate::keys::{Keys, caller};
use crate::nodes::Revoked;
use crate::publish::{Latest, RelayDoor};
use crate::reports::Inbox;
use bytes::Bytes;
use holdfast_proto::control::bulk_server::BulkServer;
use holdfast_proto::control::control_server::ControlServer;
use holdfast_proto::control::enrolment_server::EnrolmentServer;
use holdfast_proto::control::relay_server::RelayServer;
use holdfast_proto::control::{BULK_QUESTION_LIMIT_BYTES, MASTER_MESSAGE_LIMIT_BYTES, RELAY_MESSAGE_LIMIT_BYTES};
use holdfast_proto::net::accept::{LineInfo, accept};
use holdfast_proto::net::tls::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use sqlx::PgPool;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tonic::transport::Server;
use tonic::{Request, Status};

/// What every call needs.
#[derive(Clone)]
pub struct Control {
    /// The boxes that are in.
    pub pool: PgPool,
    /// Trust and authorities, as they change.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// Who was thrown out.
    pub revoked: Revoked,
    /// What is published.
    pub latest: watch::Receiver<Arc<Latest>>,
    /// Who may have which generation.
    pub gate: GateDoor,
    /// The master's newest signed word on the time.
    pub signed: watch::Receiver<Bytes>,
    /// The portal's way to the publisher.
    pub door: RelayDoor,
    /// What the boxes observed.
    pub inbox: Inbox,
    /// Which agents are connected, and what they serve.
    pub connected: Connected,
    /// Where what they acknowledge is written down.
    pub ledger: Ledger,
    /// What whole snapshots may take of the line, in bytes a second; zero: all there is.
    pub bulk_bytes_per_second: u64,
    /// Rung when a box came or went, so that the publisher gives it its keys.
    pub wake: Arc<Notify>,
}

/// Serves until `stopped`; `tls` may change meanwhile.
pub async fn serve(
    control: Control,
    listener: TcpListener,
    tls: watch::Receiver<Arc<rustls::ServerConfig>>,
    stopped: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let bulk = bulk::Bulk::new(control.clone(), control.bulk_bytes_per_second);
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_connection_window_size(1 << 20)
        .initial_stream_window_size(1 << 19)
        .max_concurrent_streams(8)
        .add_service(EnrolmentServer::new(control.clone()).max_decoding_message_size(MASTER_MESSAGE_LIMIT_BYTES))
        .add_service(ControlServer::new(control.clone()).max_decoding_message_size(MASTER_MESSAGE_LIMIT_BYTES))
        .add_service(BulkServer::new(bulk).max_decoding_message_size(BULK_QUESTION_LIMIT_BYTES))
        .add_service(RelayServer::new(control).max_decoding_message_size(RELAY_MESSAGE_LIMIT_BYTES));
    Ok(server.serve_with_incoming_shutdown(accept(listener, tls), stopped).await?)
}

impl Control {
    /// The keys of this moment.
    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.borrow())
    }

    /// The box that calls, if it may: known, not thrown out, of this role, and (but for renewing) with a certificate that has not run out.
    async fn admit<T>(&self, request: &Request<T>, role: Option<&str>) -> Result<db::NodeRow, Status> {
        let certificate = request.extensions().get::<LineInfo>().and_then(|info| info.certificate.clone());
        let caller = certificate.and_then(|der| caller(&der)).ok_or_else(|| Status::unauthenticated("this call needs a box's certificate: enrol the box"))?;
        if caller.expired && role.is_some() {
            return Err(Status::unauthenticated("the box's certificate has run out: renew it"));
        }
        let node = db::node(&self.pool, caller.node).await.map_err(unavailable)?;
        let node = node.ok_or_else(|| Status::permission_denied("this master does not know the box: enrol it"))?;
        if node.revoked_at.is_some() {
            tracing::warn!(event = "revoked_node_refused", node = node.name, "a box that was thrown out called");
            return Err(Status::permission_denied("the box was revoked"));
        }
        match role {
            Some(role) if role != node.role => Err(Status::permission_denied(format!("this call is for the {role}"))),
            _ => Ok(node),
        }
    }
}

/// What a caller is told when the database fails: nothing of its inside.
fn unavailable(error: crate::db::DbError) -> Status {
    tracing::error!(event = "database_failed", %error, "a box's call could not be answered");
    Status::unavailable("the master cannot reach its database; the box goes on serving what it has")
}
