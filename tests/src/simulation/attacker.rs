//! Somebody on the wire: repeats what went over it, alters it, and forges with a key of their own.

use super::Dice;
use super::agent::TABLE;
use bytes::Bytes;
use holdfast_proto::control::{ArrivedBuckets, Compression, Frame, FromMaster, from_master};
use holdfast_proto::snapshot::{Change, Feed, SigningKey, Stamp, State};

/// How much is remembered.
const MEMORY: usize = 200;

/// What the attacker has.
#[derive(Debug)]
pub(super) struct Attacker {
    pub key: SigningKey,
    frames: Vec<Frame>,
    heartbeats: Vec<FromMaster>,
    wholes: Vec<(Feed, Bytes, Vec<u8>)>,
    buckets: Vec<(Feed, ArrivedBuckets)>,
}

impl Attacker {
    pub fn new(key: SigningKey) -> Self {
        Self { key, frames: Vec::new(), heartbeats: Vec::new(), wholes: Vec::new(), buckets: Vec::new() }
    }

    /// Listens.
    pub fn overhear(&mut self, message: &FromMaster) {
        match &message.message {
            Some(from_master::Message::Frame(frame)) if self.frames.len() < MEMORY => self.frames.push(frame.clone()),
            Some(from_master::Message::Heartbeat(heartbeat)) if self.heartbeats.len() < MEMORY && !heartbeat.signed.is_empty() => {
                self.heartbeats.push(message.clone())
            }
            _ => {}
        }
    }

    /// Keeps a whole snapshot.
    pub fn keep_whole(&mut self, feed: Feed, sealed: Bytes, rows: Vec<u8>) {
        if self.wholes.len() < MEMORY {
            self.wholes.push((feed, sealed, rows));
        }
    }

    /// An old whole snapshot of a feed, in place of the one that was asked for.
    pub fn old_whole(&self, feed: Feed, dice: &mut Dice) -> Option<(Bytes, Vec<u8>)> {
        let (of, sealed, rows) = self.wholes.get(dice.below(self.wholes.len()))?;
        (*of == feed).then(|| (sealed.clone(), rows.clone()))
    }

    /// Keeps the rows of buckets.
    pub fn keep_buckets(&mut self, feed: Feed, arrived: ArrivedBuckets) {
        if self.buckets.len() < MEMORY {
            self.buckets.push((feed, arrived));
        }
    }

    /// Old rows of buckets in place of those that were asked for, or a bit of these turned.
    pub fn other_buckets(&self, feed: Feed, asked: &ArrivedBuckets, dice: &mut Dice) -> Option<ArrivedBuckets> {
        if dice.once_in(4) {
            return Some(ArrivedBuckets { rows: turned(&asked.rows, dice), ..asked.clone() });
        }
        let (of, old) = self.buckets.get(dice.below(self.buckets.len()))?;
        (*of == feed).then(|| old.clone())
    }

    /// An old heartbeat.
    pub fn old_heartbeat(&self, dice: &mut Dice) -> Option<FromMaster> {
        self.heartbeats.get(dice.below(self.heartbeats.len())).cloned()
    }

    /// A message of the attacker's choice.
    pub fn strike(&self, newest: &State, stamp: Stamp, dice: &mut Dice) -> Option<FromMaster> {
        let frame = self.frames.get(dice.below(self.frames.len())).cloned();
        let message = match dice.below(5) {
            0 => from_master::Message::Frame(frame?),
            1 => from_master::Message::Frame(altered(frame?, dice)),
            2 => from_master::Message::Frame(untrue(newest)?),
            3 => from_master::Message::Frame(self.forged(newest, stamp)?),
            _ => return self.old_heartbeat(dice),
        };
        Some(FromMaster { message: Some(message) })
    }

    /// The newest state and one row more, sealed by a key that nobody granted anything.
    fn forged(&self, newest: &State, stamp: Stamp) -> Option<Frame> {
        let (sealed, payload, _) = newest.compose(vec![Change::put(TABLE, b"forged".to_vec(), b"!".to_vec())]).ok()??.seal(&self.key, stamp).ok()?;
        Some(Frame { feed: Some(newest.view().feed().into()), sealed: sealed.bytes().to_vec().into(), payload: payload.into(), ..Frame::default() })
    }
}

/// A bit of the frame is turned.
fn altered(mut frame: Frame, dice: &mut Dice) -> Frame {
    if dice.once_in(2) {
        frame.sealed = turned(&frame.sealed, dice).into()
    } else {
        frame.payload = turned(&frame.payload, dice).into()
    }
    frame
}

fn turned(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (mut bytes, at) = (bytes.to_vec(), dice.below(bytes.len()));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
    bytes
}

/// The newest manifest over rows that do not lead to it.
fn untrue(newest: &State) -> Option<Frame> {
    let rows = holdfast_proto::snapshot::RowRef { table: TABLE, key: b"untrue", value: Some(b"!") };
    let payload = holdfast_proto::snapshot::encode_changes([rows]).ok()?;
    let feed: Feed = newest.view().feed();
    let sealed = newest.sealed()?.bytes().to_vec().into();
    Some(Frame { feed: Some(feed.into()), sealed, payload: payload.into(), merged: true, compression: Compression::None.into(), ..Frame::default() })
}
