//! What the doors ask of the forwarder: how those are whom it asks, and what becomes of a question. They know nothing of DNS: `run`
//! hands in who does.

use serde::Serialize;
use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

/// The forwarder, as the doors know it.
#[derive(Clone)]
pub struct Forwarder {
    /// How those are that it asks: a line for each.
    pub servers: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Follows a question through the tiers.
    pub trace: Tracer,
}

/// Follows a question through the tiers; what is wrong with it is said in a sentence.
pub type Tracer = Arc<dyn Fn(Asked) -> Traced + Send + Sync>;

/// What becomes of it.
pub type Traced = Pin<Box<dyn Future<Output = Result<Vec<Tier>, String>> + Send>>;

/// A question, as a person writes it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The name.
    pub name: String,
    /// The type's mnemonic or number.
    pub rtype: String,
    /// Whose question it would be.
    pub from: IpAddr,
}

/// A step of a question on its way.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = names::Tier)]
pub struct Tier {
    /// Counted from the client: 1 is its campus or department, 2 the university, 3 the national servers, 4 the root.
    pub tier: u8,
    /// What that is, in a word.
    pub name: String,
    /// Who was asked there.
    pub server: String,
    /// What it has, or what became of the question.
    pub state: String,
    /// How long it took, in milliseconds; nothing where nobody was asked.
    pub time_ms: Option<f64>,
    /// What it says.
    pub reply: Option<String>,
}
