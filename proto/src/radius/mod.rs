//! RADIUS (RFC 2865, 3579, 5997): may this person come in?

mod answer;
pub mod packet;
pub mod probe;
mod table;

pub use answer::{Keys, Outcome, PendingCheck, Reason, RejectReason, Replied, ReplyBuffer, Verdict, answer};
pub use table::{ACCOUNT, ATTRIBUTES_LIMIT_BYTES, Account, AccountState, NAME_LIMIT_BYTES, NAS, Nas, RowError, account_key, nas_key};
