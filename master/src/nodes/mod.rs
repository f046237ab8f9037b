//! Our own boxes, as an administrator deals with them: let one in, look at one, throw one out.
//!
//! Throwing out is one transaction: the box is marked, and the change of the keys that it held is asked for. Everybody who
//! must know hears of it at once: the control room cuts its line, the publisher changes the data key. What no program can take
//! back, the secrets that the box has read, comes as a work-list.

mod look;
mod revoked;
mod token;
mod worklist;

pub use look::{CertificateObject, NodeObject, NodePosition, Standing, certificates, list, show, standing};
pub use revoked::{Revoked, follow};
pub use token::{NewToken, TokenError, issue_token, secret_hash};
pub use worklist::{Exposed, ROTATION_LIMIT, WorkList, await_rotation, revoke};

/// Why nothing was done with a box.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No such box, or none that is still in.
    #[error("there is no box \"{0}\" that is still in: see `holdfast node list`")]
    Missing(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] crate::db::DbError),
}

impl From<sqlx::Error> for NodeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
