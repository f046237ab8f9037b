//! What the portal says when it could not do something: what, where, and what to do.

use super::attributes::AttributeError;
use super::keys::KeysError;
use super::password::HashError;
use super::users_file::LineError;
use holdfast_proto::snapshot::FieldError;

/// What the portal could not do.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// The users file has errors; nothing was imported.
    #[error("the users file has {} errors, nothing was imported:\n{}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    UsersFile(Vec<LineError>),
    /// No such account.
    #[error("there is no account {0}")]
    NoAccount(String),
    /// The name is taken.
    #[error("there is an account {0} already")]
    Taken(String),
    /// The name cannot be an account's.
    #[error("\"{0}\" cannot be an account's name: it has 1 to 253 bytes and no control characters")]
    Name(String),
    /// The password cannot be one.
    #[error("a password has 1 to 128 bytes: RADIUS carries no other (RFC 2865 section 5.2)")]
    Password,
    /// The realm cannot be one.
    #[error("\"{0}\" cannot be a realm: it is what stands behind the @ of a name, without the @")]
    Realm(String),
    /// There is nothing to forget.
    #[error("no {what} is kept for {}: see `holdfast-master auth-portal kept`", if realm.is_empty() { "names without a realm" } else { realm })]
    NotKept {
        /// What was to be forgotten.
        what: &'static str,
        /// For whom.
        realm: String,
    },
    /// A reply attribute cannot be sent.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// No such agent.
    #[error("the master knows no agent {0}: enrol it first")]
    NoAgent(String),
    /// The fingerprint differs.
    // The one at the master is not shown: it must be read off the box, not copied from here.
    #[error(
        "the master hands out another key for agent {0} than the one of this fingerprint: read it again off the box's own screen; if it still differs, somebody stands between"
    )]
    Fingerprint(String),
    /// The master could not be asked.
    #[error("the master: {0}")]
    Master(String),
    /// The master took the call and not the generation.
    #[error("the master was sent generation {sent} and still holds {held}")]
    NotTaken {
        /// Sent.
        sent: i64,
        /// Held.
        held: i64,
    },
    /// The master holds more than is here.
    #[error(
        "the master holds generation {held}, this database ends at {newest}: it was restored from an old backup; the root must sign a new epoch before it can publish"
    )]
    Behind {
        /// Held by the master.
        held: i64,
        /// The newest here.
        newest: i64,
    },
    /// A stored generation is not what was signed.
    #[error("the portal's stored generations cannot be restored: {0}")]
    History(String),
    /// A row cannot be made.
    #[error("a row cannot be published: {0}")]
    Row(String),
    /// A verifier could not be made or encrypted.
    #[error("{0}")]
    Crypto(String),
    /// The database.
    #[error("the portal's database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's shape.
    #[error("the portal's database cannot be brought to this build's shape: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl From<HashError> for PortalError {
    fn from(wrong: HashError) -> Self {
        Self::Crypto(wrong.to_string())
    }
}

impl From<KeysError> for PortalError {
    fn from(wrong: KeysError) -> Self {
        Self::Crypto(wrong.to_string())
    }
}

impl From<FieldError> for PortalError {
    fn from(wrong: FieldError) -> Self {
        Self::Crypto(wrong.to_string())
    }
}
