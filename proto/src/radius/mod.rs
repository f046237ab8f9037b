//! RADIUS (RFC 2865, 3579, 5997): may this person come in? And accounting (RFC 2866, 2869): for how long, and where?

pub mod accounting;
mod answer;
mod chap;
pub mod eap;
mod machine;
pub mod mppe;
pub mod mschap;
pub mod packet;
mod patience;
mod person;
pub mod probe;
mod reason;
mod table;

pub use answer::{Keys, Outcome, PendingCheck, Replied, ReplyBuffer, Verdict, answer};
pub use machine::{MACHINE, Machine};
pub use patience::{Patience, Place, Watch, Who};
pub use reason::{Reason, RejectReason};
pub use table::{
    ACCOUNT, ATTRIBUTES_LIMIT_BYTES, Account, AccountState, FurtherVerifiers, NAME_LIMIT_BYTES, NAS, Nas, NasMachines, NasRights, RowError, SharedSecrets,
    account_key, cleartext_key, nas_key, nt_hash_key,
};
