//! What files prove to somebody who lacks the key of the box that wrote them: a stick from elsewhere, a box whose key was
//! lost, a master that takes back what an agent holds. MAC and chain say nothing then; rows are proven by their sum against
//! the signed manifest, and each frame by its own signature and digest. Slower, and no less certain.

use super::super::{ApplyError, Feed, OpenError, Opened, Sealed, State};
use super::{BaseFile, BaseFileError, frames_unchained, v1};
use crate::words::{Epoch, Generation};

/// The files of one slot; empty where there are none.
#[derive(Debug, Clone, Default)]
pub struct SlotFiles {
    /// The base.
    pub base: Vec<u8>,
    /// The log after it.
    pub log: Vec<u8>,
}

/// Why a base or a frame was kept out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no base.
    #[error(transparent)]
    File(#[from] BaseFileError),
    /// Nobody whom we believe signed it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its rows are not those that were signed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A frame leads nowhere.
    #[error("generation {0}: {1}")]
    Frame(Generation, ApplyError),
}

/// The state that the rows of a base prove.
pub fn prove_base(bytes: &[u8], feed: Feed, open: impl Fn(&Sealed) -> Result<Opened, OpenError>) -> Result<State, ProofError> {
    let (sealed, rows) = match BaseFile::split(bytes) {
        Err(BaseFileError::NoBase) => v1::decode_base(bytes).map_err(BaseFileError::from)?,
        parts => parts?,
    };
    let opened = open(&sealed)?;
    let offered = opened.manifest().feed;
    if offered != feed {
        return Err(ApplyError::OtherFeed { held: feed, offered }.into());
    }
    Ok(State::restore(&opened, rows)?)
}

/// Takes the frames of a log that continue a state, proving each one. Where one is not proven it ends there, and says why.
/// Frames that are not `wanted` are passed over, and so is what the state has already.
pub fn prove_log(
    state: &mut State,
    log: &[u8],
    open: impl Fn(&Sealed) -> Result<Opened, OpenError>,
    wanted: impl Fn((Epoch, Generation)) -> bool,
) -> Result<(), ProofError> {
    let first_version = v1::frames(log).map(|frame| (frame.sealed, frame.payload, false));
    let frames = frames_unchained(log).map(|frame| (frame.sealed, frame.payload, frame.merged));
    for (sealed, payload, merged) in first_version.chain(frames) {
        let Ok(claims) = sealed.claims() else { return Ok(()) };
        let claimed = (claims.epoch, claims.generation);
        if claimed <= at(state) || !wanted(claimed) {
            continue;
        }
        let opened = open(&sealed)?;
        let next = if merged { state.advance_merged(&opened, payload) } else { state.advance(&opened, payload) };
        *state = next.map_err(|wrong| ProofError::Frame(claims.generation, wrong))?;
    }
    Ok(())
}

/// The newest state that the slots of a feed prove together, and what in them was kept out.
pub fn prove(feed: Feed, slots: &[SlotFiles], open: impl Fn(&Sealed) -> Result<Opened, OpenError>) -> (State, Vec<ProofError>) {
    let mut wrong = Vec::new();
    let bases = slots.iter().filter(|slot| !slot.base.is_empty()).map(|slot| prove_base(&slot.base, feed, &open));
    let proven = bases.filter_map(|base| base.map_err(|kept_out| wrong.push(kept_out)).ok());
    let mut state = proven.max_by_key(at).unwrap_or_else(|| State::empty(feed));
    // A log may go on where the other one ended.
    loop {
        let before = at(&state);
        for slot in slots {
            if let Err(kept_out) = prove_log(&mut state, &slot.log, &open, |_| true)
                && !wrong.contains(&kept_out)
            {
                wrong.push(kept_out);
            }
        }
        if at(&state) == before {
            return (state, wrong);
        }
    }
}

fn at(state: &State) -> (Epoch, Generation) {
    (state.view().epoch(), state.view().generation())
}
