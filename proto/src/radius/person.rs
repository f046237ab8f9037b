//! Whom a name means: an account, or nobody, on whom the same work is done.

use super::answer::Keys;
use super::chap::ChapResponse;
use super::mschap::{MsChapProof, MsChapResponse, NT_HASH_BYTES};
use super::packet::PASSWORD_LIMIT_BYTES;
use super::patience::{Gate, Who};
use super::reason::{Reason, RejectReason};
use super::table::{ACCOUNT, Account, AccountState, account_key, cleartext_key, nt_hash_key};
use crate::snapshot::{EncryptedField, View};
use crate::words::Secret;

/// What an account that is not there is checked against: the same work as a real one, and no password fits.
const NOBODYS_VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$aG9sZGZhc3Qtbm9ib2R5IQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// An account as one request finds it, or nobody.
#[derive(Debug)]
pub(super) struct Person {
    key: Vec<u8>,
    account: Option<Account>,
}

/// What a credential that was right would earn.
#[derive(Debug, Clone)]
pub(super) enum Grant {
    /// These attributes.
    Accept(Vec<u8>),
    Suspended,
    Nobody,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With these attributes.
    Accept(Vec<u8>),
    Reject(RejectReason),
}

impl Grant {
    /// What it earns indeed. For an account that is not there nothing was ever right.
    pub fn end(self, checked: Result<(), RejectReason>) -> End {
        match (self, checked) {
            (Self::Nobody, _) => End::Reject(RejectReason::UnknownUser),
            (_, Err(why)) => End::Reject(why),
            (Self::Suspended, Ok(())) => End::Reject(RejectReason::Suspended),
            (Self::Accept(attributes), Ok(())) => End::Accept(attributes),
        }
    }
}

impl Person {
    /// Looks a name up, as it was written.
    pub fn find(people: &View, name: &[u8]) -> Result<Self, Reason> {
        let key = std::str::from_utf8(name).map(account_key).unwrap_or_default();
        let row = people.get(ACCOUNT, &key).map_err(|_| Reason::DamagedAccount)?;
        let account = row.map(Account::decode).transpose().map_err(|_| Reason::DamagedAccount)?;
        Ok(Self { key, account })
    }

    /// Whether there is such an account.
    pub fn is_there(&self) -> bool {
        self.account.is_some()
    }

    /// What stands for a try of theirs at this place.
    pub fn who(&self, gate: &Gate<'_>) -> Who {
        Who::of(&self.key, self.is_there(), gate.place)
    }

    /// What a right credential earns.
    pub fn grant(self) -> Grant {
        match self.account {
            None => Grant::Nobody,
            Some(Account { state: AccountState::Suspended, .. }) => Grant::Suspended,
            Some(Account { attributes, .. }) => Grant::Accept(attributes),
        }
    }

    /// What a password is verified against.
    pub fn verifier(&self, keys: &Keys) -> Result<Secret, Reason> {
        let Some(account) = &self.account else { return Ok(Secret::new(NOBODYS_VERIFIER)) };
        keys.people.decrypt(ACCOUNT, &self.key, &account.verifier).map_err(|_| Reason::NoVerifier)
    }

    /// Checks a CHAP response; what is missing costs the same hash.
    pub fn check_chap(&self, keys: &Keys, response: &ChapResponse, gate: &Gate<'_>) -> Result<Result<(), RejectReason>, Reason> {
        self.watched(gate, || self.chap(keys, response))
    }

    /// Checks an MS-CHAPv2 response; what is missing costs the same hashes.
    pub fn check_mschap(&self, keys: &Keys, response: &MsChapResponse, gate: &Gate<'_>) -> Result<Result<MsChapProof, RejectReason>, Reason> {
        self.watched(gate, || self.mschap(keys, response))
    }

    /// Has something checked where it may be tried now, and remembers what came of it.
    fn watched<T>(&self, gate: &Gate<'_>, check: impl FnOnce() -> Result<Result<T, RejectReason>, Reason>) -> Result<Result<T, RejectReason>, Reason> {
        let who = self.who(gate);
        if !gate.admits(&who) {
            return Ok(Err(RejectReason::HeldOff));
        }
        let checked = check()?;
        // Where there is nothing to check against, nothing was guessed: a machine was set to the wrong method.
        if !matches!(checked, Err(RejectReason::NoNtHash | RejectReason::NoCleartext)) {
            gate.learn(&who, checked.is_ok());
        }
        Ok(checked)
    }

    fn chap(&self, keys: &Keys, response: &ChapResponse) -> Result<Result<(), RejectReason>, Reason> {
        let field = self.account.as_ref().and_then(|account| account.further.cleartext.as_ref());
        let password = open(keys, field, &cleartext_key(&self.key))?;
        // A kept password is never empty; a row that says so is not believed.
        let fits = response.fits(password.as_ref().unwrap_or(&Secret::new([0; 16])));
        Ok(match password {
            None => Err(RejectReason::NoCleartext),
            Some(password) if fits && !password.expose().is_empty() => Ok(()),
            Some(_) => Err(RejectReason::WrongPassword),
        })
    }

    fn mschap(&self, keys: &Keys, response: &MsChapResponse) -> Result<Result<MsChapProof, RejectReason>, Reason> {
        let field = self.account.as_ref().and_then(|account| account.further.nt_hash.as_ref());
        let nt_hash = open(keys, field, &nt_hash_key(&self.key))?;
        let proof = response.check(nt_hash.as_ref().unwrap_or(&Secret::new([0; NT_HASH_BYTES])));
        Ok(match nt_hash {
            None => Err(RejectReason::NoNtHash),
            Some(nt_hash) if nt_hash.expose().len() == NT_HASH_BYTES => proof.ok_or(RejectReason::WrongPassword),
            Some(_) => Err(RejectReason::WrongPassword),
        })
    }
}

fn open(keys: &Keys, field: Option<&EncryptedField>, row_key: &[u8]) -> Result<Option<Secret>, Reason> {
    field.map(|field| keys.people.decrypt(ACCOUNT, row_key, field)).transpose().map_err(|_| Reason::NoVerifier)
}

/// Whether a password may be checked at all: an empty one never.
pub(super) fn may_be_checked(password: &Secret) -> Result<(), RejectReason> {
    match password.expose().len() {
        0 => Err(RejectReason::EmptyPassword),
        1..=PASSWORD_LIMIT_BYTES => Ok(()),
        _ => Err(RejectReason::PasswordLength),
    }
}
