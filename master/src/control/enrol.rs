use super::{Control, unavailable};
use crate::db::publish as db;
use crate::keys::Keys;
use chrono::{TimeDelta, Utc};
use holdfast_proto::control::enrolment_server::Enrolment;
use holdfast_proto::control::{EnrolReply, EnrolRequest, EnrolToken, RenewReply, RenewRequest};
use holdfast_proto::net::tls::authority_pin;
use holdfast_proto::snapshot::{HpkePublic, wrapped_key_row};
use holdfast_proto::words::NodeId;
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// A token is for now.
const TOKEN_LIFE: TimeDelta = TimeDelta::hours(1);
/// An X25519 public key.
const HPKE_PUBLIC_BYTES: usize = 32;

/// What a token is to be made for.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The box's name: `north`.
    pub name: String,
    /// `agent` or `portal`.
    pub role: &'static str,
    /// The campus that an agent serves.
    pub campus: Option<String>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such campus.
    #[error("there is no campus \"{0}\": add it first, or see `holdfast campus list`")]
    Campus(String),
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] crate::db::DbError),
}

/// Makes a one-time token and keeps its hash.
pub async fn issue_token(pool: &PgPool, keys: &Keys, new: &NewToken) -> Result<EnrolToken, TokenError> {
    let mut secret = [0; 16];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| TokenError::Random)?;
    let token = EnrolToken { secret, authority_pin: authority_pin(keys.authority.der()), root_pin: keys.trust.root_pin() };
    let kept = db::put_token(pool, &secret_hash(&token.secret_text()), &new.name, new.role, new.campus.as_deref(), Utc::now() + TOKEN_LIFE).await?;
    if kept { Ok(token) } else { Err(TokenError::Campus(new.campus.clone().unwrap_or_default())) }
}

fn secret_hash(text: &str) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

#[tonic::async_trait]
impl Enrolment for Control {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let request = request.into_inner();
        if request.hpke_public_key.len() != HPKE_PUBLIC_BYTES {
            return Err(Status::invalid_argument("the box's HPKE key has not 32 bytes"));
        }
        let id = NodeId(*Uuid::new_v4().as_bytes());
        // A key that nothing can be encrypted to would only be noticed by the publisher.
        wrapped_key_row(&self.keys.access, NodeId([0; 16]), &HpkePublic(request.hpke_public_key.clone()))
            .map_err(|_| Status::invalid_argument("the box's HPKE key is no X25519 public key"))?;
        // The certificate first: a request that is no good must not use the token up.
        let certificate_chain = self.keys.authority.issue(&request.csr, id).map_err(|wrong| Status::invalid_argument(format!("{wrong:#}")))?;
        let node = db::enrol(&self.pool, &secret_hash(&request.token), id, &request.hpke_public_key).await.map_err(unavailable)?;
        let Some(node) = node else {
            tracing::warn!(event = "enrolment_refused", "a token was shown that is unknown, used or too old");
            return Err(Status::permission_denied("the token is unknown, used or older than an hour: make another with `holdfast-master node enrol`"));
        };
        tracing::info!(event = "node_enrolled", node = node.name, role = node.role, build = request.build, "a box was enrolled");
        self.wake.notify_one();
        Ok(Response::new(EnrolReply {
            node_id: id.0.to_vec(),
            name: node.name,
            certificate_chain,
            authorities: self.keys.trust.draft().authorities.clone(),
            trust: self.keys.trust.bytes().to_vec(),
            now_ms: Utc::now().timestamp_millis() as u64,
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let node = self.admit(&request, None).await?;
        let chain = self.keys.authority.issue(&request.into_inner().csr, NodeId(*node.id.as_bytes()));
        let certificate_chain = chain.map_err(|wrong| Status::invalid_argument(format!("{wrong:#}")))?;
        tracing::info!(event = "certificate_renewed", node = node.name, "a box renewed its certificate");
        Ok(Response::new(RenewReply { certificate_chain, authorities: self.keys.trust.draft().authorities.clone() }))
    }
}
