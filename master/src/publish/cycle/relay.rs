//! The portal's way through this publisher: its generations are verified, stored and announced, and cannot be made here.

use super::{Lead, Publisher};
use crate::db::publish as db;
use crate::keys::Keys;
use crate::publish::latest::{Frame, Latest, is_large};
use anyhow::ensure;
use holdfast_proto::control;
use holdfast_proto::snapshot::{Feed, Opened, Sealed, State};
use sqlx::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Generations of the portal that may wait.
const RELAY_LIMIT: usize = 16;

/// A generation that the portal made, and where to say what became of it.
pub(super) struct Relayed {
    frame: control::Frame,
    reply: oneshot::Sender<Result<(), String>>,
}

/// The portal's way in.
#[derive(Clone)]
pub struct RelayDoor(mpsc::Sender<Relayed>);

/// The portal's way in, and where it comes out.
pub(super) fn door() -> (RelayDoor, mpsc::Receiver<Relayed>) {
    let (door, relayed) = mpsc::channel(RELAY_LIMIT);
    (RelayDoor(door), relayed)
}

impl RelayDoor {
    /// Hands a generation over; comes back when it is stored and announced, or refused with a reason.
    pub async fn relay(&self, frame: control::Frame) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| "the publisher has stopped".to_owned();
        self.0.send(Relayed { frame, reply }).await.map_err(|_| gone(()))?;
        answer.await.map_err(|_| gone(()))?
    }
}

impl Publisher {
    /// Refuses for so long whatever the portal brings: it is to hear why, not to wait.
    pub(super) async fn refuse_relays(&mut self, why: &str, during: Duration) {
        let refuse = async {
            while let Some(Relayed { reply, .. }) = self.relayed.recv().await {
                let _ = reply.send(Err(why.to_owned()));
            }
            std::future::pending::<()>().await;
        };
        // It has no end of its own.
        let _ = tokio::time::timeout(during, refuse).await;
    }

    /// Verifies, stores and announces a generation of the portal's. Only a failing database is this publisher's failure.
    pub(super) async fn relay(&mut self, lead: &mut Lead, Relayed { frame, reply }: Relayed) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        let accepted = accept(&self.held(), &latest, &frame);
        let answer = match accepted {
            Err(why) => {
                tracing::warn!(event = "relay_refused", why, "a generation of the portal's was kept out");
                Err(why)
            }
            Ok((opened, state)) => {
                let manifest = opened.manifest();
                let mut tx = lead.connection.begin().await?;
                ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
                let (parent, epoch, generation, needs_canary) = (manifest.parent, manifest.epoch, manifest.generation, is_large(&frame.payload));
                let frame = Frame { parent, epoch, generation, sealed: frame.sealed.into(), payload: frame.payload.into(), needs_canary };
                db::put_round(&mut tx, &db::Round { generations: vec![frame.as_new(manifest.feed)], ..db::Round::default() }).await?;
                tx.commit().await?;
                self.announce(latest.with(frame, state));
                Ok(())
            }
        };
        // A portal that no longer waits asks again what is held.
        let _ = reply.send(answer);
        Ok(())
    }
}

fn accept(keys: &Keys, latest: &Latest, frame: &control::Frame) -> Result<(Opened, State), String> {
    let sealed = Sealed::from_bytes(&frame.sealed).map_err(|wrong| wrong.to_string())?;
    let opened = keys.trust.open(&sealed).map_err(|wrong| wrong.to_string())?;
    let feed = opened.manifest().feed;
    if feed != Feed::PEOPLE {
        return Err(format!("the portal makes {}, not {feed}", Feed::PEOPLE));
    }
    let state = latest.state(feed).advance(&opened, &frame.payload).map_err(|wrong| wrong.to_string())?;
    Ok((opened, state))
}
