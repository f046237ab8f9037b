use super::{Control, unavailable};
use crate::db::nodes::{self as db, Enrolment as Came, Newcomer};
use crate::keys::{Keys, ceremony::authority_name, end_of};
use crate::nodes::secret_hash;
use chrono::{DateTime, Utc};
use holdfast_proto::control::enrolment_server::Enrolment;
use holdfast_proto::control::{EnrolReply, EnrolRequest, RenewReply, RenewRequest};
use holdfast_proto::snapshot::{DataKey, HpkePublic, wrapped_key_row};
use holdfast_proto::words::NodeId;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// An X25519 public key.
const HPKE_PUBLIC_BYTES: usize = 32;

/// A certificate, and what is remembered of it.
struct Issued {
    chain: Vec<Vec<u8>>,
    end: DateTime<Utc>,
    authority: String,
}

fn issue(keys: &Keys, csr: &[u8], node: NodeId) -> Result<Issued, Status> {
    let authority = keys.issuing_authority();
    let chain = authority.issue(csr, node).map_err(|wrong| Status::invalid_argument(format!("{wrong:#}")))?;
    let end = chain.first().and_then(|leaf| end_of(leaf)).ok_or_else(|| Status::internal("the certificate has no end"))?;
    Ok(Issued { chain, end, authority: authority_name(authority.der()) })
}

#[tonic::async_trait]
impl Enrolment for Control {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let request = request.into_inner();
        let keys = self.keys();
        let id = NodeId(*Uuid::new_v4().as_bytes());
        refuse_bad_key(&request.hpke_public_key)?;
        // The certificate first: a request that is no good must not use the token up.
        let issued = issue(&keys, &request.csr, id)?;
        let newcomer = Newcomer {
            secret_hash: &secret_hash(&request.token),
            id,
            hpke_public: &request.hpke_public_key,
            certificate_end: issued.end,
            authority: &issued.authority,
        };
        let name = match db::enrol(&self.pool, &newcomer).await.map_err(unavailable)? {
            Came::In { name, role } => {
                tracing::info!(event = "node_enrolled", node = name, role, build = request.build, "a box was enrolled");
                name
            }
            Came::NoToken => {
                tracing::warn!(event = "enrolment_refused", "a token was shown that is unknown, used or too old");
                return Err(Status::permission_denied("the token is unknown, used or older than an hour: make another with `holdfast node enrol`"));
            }
            Came::NameTaken(name) => {
                tracing::warn!(event = "enrolment_refused", node = name, "a token was shown for a name that another box has");
                return Err(Status::permission_denied(format!("there is a box {name} already: make a token with `holdfast node enrol {name} --replace`")));
            }
        };
        self.wake.notify_one();
        Ok(Response::new(EnrolReply {
            node_id: id.0.to_vec(),
            name,
            certificate_chain: issued.chain,
            authorities: keys.trust.draft().authorities.clone(),
            trust: keys.trust.bytes().to_vec(),
            now_ms: Utc::now().timestamp_millis() as u64,
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let node = self.admit(&request, None).await?;
        let (keys, id) = (self.keys(), NodeId(*node.id.as_bytes()));
        let issued = issue(&keys, &request.into_inner().csr, id)?;
        let mut connection = self.pool.acquire().await.map_err(|error| unavailable(error.into()))?;
        db::put_certificate(&mut connection, id, issued.end, &issued.authority).await.map_err(unavailable)?;
        tracing::info!(event = "certificate_renewed", node = node.name, "a box renewed its certificate");
        Ok(Response::new(RenewReply { certificate_chain: issued.chain, authorities: keys.trust.draft().authorities.clone() }))
    }
}

/// A key that nothing can be encrypted to would only be noticed by the publisher.
fn refuse_bad_key(public: &[u8]) -> Result<(), Status> {
    if public.len() != HPKE_PUBLIC_BYTES {
        return Err(Status::invalid_argument("the box's HPKE key has not 32 bytes"));
    }
    let tried = wrapped_key_row(&DataKey::from_bytes([0; 32]), NodeId([0; 16]), &HpkePublic(public.to_vec()));
    tried.map(drop).map_err(|_| Status::invalid_argument("the box's HPKE key is no X25519 public key"))
}
