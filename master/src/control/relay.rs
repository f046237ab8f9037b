use super::{Control, unavailable};
use crate::db::publish as db;
use holdfast_proto::control::relay_server::Relay;
use holdfast_proto::control::{Agent, AgentsReply, AgentsRequest, Frame, HeldRequest, Position, TrustRequest, TrustUpdate};
use holdfast_proto::snapshot::Feed;
use tonic::{Request, Response, Status};

impl Control {
    fn held_position(&self, feed: Feed) -> Position {
        let latest = self.latest.borrow();
        let state = latest.state(feed);
        let (epoch, generation) = (state.view().epoch().0, state.view().generation().0);
        Position { feed: Some(feed.into()), epoch, generation, digest: state.digest().0.to_vec(), durable: generation, sealed: Vec::new() }
    }
}

#[tonic::async_trait]
impl Relay for Control {
    async fn held(&self, request: Request<HeldRequest>) -> Result<Response<Position>, Status> {
        self.admit(&request, Some("portal")).await?;
        let feed = request.get_ref().feed.as_ref().and_then(|feed| feed.known());
        let feed = feed.filter(|feed| Feed::ALL.contains(feed)).ok_or_else(|| Status::invalid_argument("this master does not know the feed"))?;
        Ok(Response::new(self.held_position(feed)))
    }

    async fn publish(&self, request: Request<Frame>) -> Result<Response<Position>, Status> {
        self.admit(&request, Some("portal")).await?;
        self.door.relay(request.into_inner()).await.map_err(Status::failed_precondition)?;
        Ok(Response::new(self.held_position(Feed::PEOPLE)))
    }

    async fn agents(&self, request: Request<AgentsRequest>) -> Result<Response<AgentsReply>, Status> {
        self.admit(&request, Some("portal")).await?;
        let nodes = db::nodes(&self.pool).await.map_err(unavailable)?;
        let agents = nodes.into_iter().filter(|node| node.role == "agent").map(|node| Agent {
            node_id: node.id.as_bytes().to_vec(),
            name: node.name,
            hpke_public_key: node.hpke_public,
            revoked: node.revoked_at.is_some(),
        });
        Ok(Response::new(AgentsReply { agents: agents.collect() }))
    }

    async fn trust(&self, request: Request<TrustRequest>) -> Result<Response<TrustUpdate>, Status> {
        self.admit(&request, Some("portal")).await?;
        let mut updates = TrustUpdate::after(request.get_ref().version, &self.keys().chain).into_iter();
        Ok(Response::new(updates.next().unwrap_or_default()))
    }
}
