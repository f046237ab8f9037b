//! EAP within a tunnel: who are you, and then MSCHAPv2 (type 26) or, for whom that does not suit, a password in the clear (GTC, RFC
//! 3748 section 5.6). Which of the two an account could answer is not told by what it is offered: MSCHAPv2 always comes first.

use super::super::mschap::{ERROR_DISABLED, ERROR_WRONG, MsChapResponse};
use super::super::person::{End, Person, may_be_checked};
use super::super::reason::{Reason, RejectReason};
use super::Around;
use super::packet::{Response, kind};
use crate::words::Secret;

const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
/// Peer challenge, eight reserved bytes, response; and a byte of flags.
const VALUE_BYTES: usize = 49;
/// Whom the user's side shows as asking.
const OUR_NAME: &[u8] = b"holdfast";
const PASSWORD_PROMPT: &[u8] = b"Password: ";

/// How far it has come.
#[derive(Debug)]
pub(super) enum Inner {
    /// Who are you?
    Identity,
    /// A challenge was sent.
    MsChap { name: Box<[u8]>, challenge: [u8; 16] },
    /// A password was asked for.
    Gtc { name: Box<[u8]> },
    /// The last word of MSCHAPv2 was said; the peer's is still to come.
    Said { success: bool, end: End },
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// Ask this: type and data.
    Ask(Inner, Vec<u8>),
    /// Have this password checked.
    Check(Given),
    /// It is over.
    End(End),
    /// Say nothing.
    Silent(Reason),
}

/// A name and a password.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub name: Box<[u8]>,
    pub password: Secret,
}

/// The question that it begins with.
pub(super) fn identity() -> Vec<u8> {
    vec![kind::IDENTITY]
}

impl Inner {
    /// Takes what the peer says; `challenge` is random and unused.
    pub fn respond(self, response: &Response<'_>, with: &Around<'_>, challenge: [u8; 16]) -> Next {
        let broken = Next::End(End::Reject(RejectReason::BrokenEap));
        match (self, response.kind) {
            (Self::Identity, kind::IDENTITY) => {
                let asked = challenge_request(response.id, &challenge);
                Next::Ask(Self::MsChap { name: response.data.into(), challenge }, asked)
            }
            (Self::MsChap { name, .. }, kind::NAK | kind::EXPANDED) => match response.wishes() {
                Some(wishes) if wishes.contains(&kind::GTC) => Next::Ask(Self::Gtc { name }, [&[kind::GTC], PASSWORD_PROMPT].concat()),
                _ => Next::End(End::Reject(RejectReason::NoCommonMethod)),
            },
            (Self::MsChap { name, challenge }, kind::MSCHAPV2) => match read_response(response.data, challenge) {
                Some(said) => check(&name, &said, with),
                None => broken,
            },
            (Self::Gtc { name }, kind::GTC) => check_password(name, response.data),
            // A peer that does not believe our proof says something else (RFC 2759 section 5), or nothing at all.
            (Self::Said { success: true, end }, kind::MSCHAPV2) if response.data == [SUCCESS] => Next::End(end),
            (Self::Said { success: false, end }, _) => Next::End(end),
            _ => broken,
        }
    }

    /// Who it is, where they said so.
    pub fn name(&self) -> Option<&[u8]> {
        match self {
            Self::MsChap { name, .. } | Self::Gtc { name } => Some(name),
            Self::Identity | Self::Said { .. } => None,
        }
    }
}

/// A password that came through a tunnel.
pub(super) fn check_password(name: Box<[u8]>, password: &[u8]) -> Next {
    let password = Secret::new(password);
    match may_be_checked(&password) {
        Ok(()) => Next::Check(Given { name, password }),
        Err(why) => Next::End(End::Reject(why)),
    }
}

fn check(name: &[u8], response: &MsChapResponse, with: &Around<'_>) -> Next {
    let checked = Person::find(with.people, name).and_then(|person| Ok((person.check_mschap(with.keys, response, &with.gate)?, person.grant())));
    let (proof, grant) = match checked {
        Ok(checked) => checked,
        Err(reason) => return Next::Silent(reason),
    };
    let success = proof.as_ref().ok().map(|proof| proof.success);
    let end = grant.end(proof.map(drop));
    let (op, text) = match (&end, success) {
        (End::Accept(_), Some(success)) => (SUCCESS, [&success[..], b" M=OK"].concat()),
        (End::Reject(RejectReason::Suspended), _) => (FAILURE, response.error(ERROR_DISABLED)),
        _ => (FAILURE, response.error(ERROR_WRONG)),
    };
    Next::Ask(Inner::Said { success: op == SUCCESS, end }, message(op, response.id, &text))
}

/// The challenge of MSCHAPv2: our name behind it.
fn challenge_request(id: u8, challenge: &[u8; 16]) -> Vec<u8> {
    message(CHALLENGE, id, &[&[challenge.len() as u8], &challenge[..], OUR_NAME].concat())
}

/// Type, operation, identifier, and the length of all but the type.
fn message(op: u8, id: u8, rest: &[u8]) -> Vec<u8> {
    let len = (rest.len() + 4) as u16;
    [&[kind::MSCHAPV2, op, id], &len.to_be_bytes()[..], rest].concat()
}

/// The name in it goes into the hash; whose password it is says the identity before.
fn read_response(data: &[u8], challenge: [u8; 16]) -> Option<MsChapResponse> {
    let (&[op, id, _, _, len], rest) = data.split_first_chunk()?;
    let (value, name) = rest.split_at_checked(VALUE_BYTES)?;
    let is_response = op == RESPONSE && usize::from(len) == VALUE_BYTES;
    MsChapResponse::of_value(id, challenge, &value[..VALUE_BYTES - 1], name).filter(|_| is_response)
}
