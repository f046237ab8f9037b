//! What is due beside edits: signing anew what older keys vouch for, telling who is in, and looking for what stands against it all.

use super::rounds::store;
use super::{Lead, Publisher};
use crate::db::{nodes, publish as db};
use crate::publish::compose::ComposedRow;
use crate::publish::halt::{self, Halt};
use crate::publish::holds::Holds;
use crate::publish::latest::Latest;
use crate::publish::roster;
use crate::publish::round::{self, Cut, Released};
use crate::publish::unsettled::Standing;
use anyhow::ensure;
use holdfast_proto::snapshot::{Feed, State};
use sqlx::Connection;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Publisher {
    /// What is due beside edits, unless something stands against publishing. An edit waits for this once in a tick at most.
    pub(super) async fn tend(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        if self.look_for_halt(lead).await? || self.is_unsettled(lead).await? {
            return Ok(());
        }
        self.renew(lead).await?;
        self.tend_boxes(lead).await
    }

    /// What an agent holds comes before anything is numbered. However many have greeted since, it is one look.
    pub(super) async fn heed_greetings(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        if self.heard.has_changed().unwrap_or_default() {
            self.heard.mark_unchanged();
            self.look_for_halt(lead).await?;
        }
        Ok(())
    }

    pub(super) async fn look_for_halt(&mut self, lead: &mut Lead) -> anyhow::Result<bool> {
        let latest = Arc::clone(&self.latest.borrow());
        let halt = halt::read(&mut lead.connection, &self.held(), &latest).await?;
        let is_halted = halt.is_some();
        self.set_halt(halt);
        Ok(is_halted)
    }

    /// From now on, this stands against publishing.
    pub(super) fn set_halt(&self, halt: Option<Halt>) {
        metrics::gauge!("holdfast_publisher_halted").set(if halt.is_some() { 1.0 } else { 0.0 });
        self.halt.send_if_modified(|before| {
            let is_new = *before != halt;
            match halt.as_ref().filter(|_| is_new) {
                Some(halt @ Halt::Ahead { .. }) => tracing::error!(event = "publisher_halted", why = %halt, "nothing is published"),
                Some(halt @ Halt::Elsewhere(_)) => tracing::info!(event = "publisher_stands_by", why = %halt, "this master stands by"),
                None => {}
            }
            *before = halt;
            is_new
        });
    }

    /// Whether something that was adopted waits to be settled; looks again where something moved.
    pub(super) async fn is_unsettled(&mut self, lead: &mut Lead) -> anyhow::Result<bool> {
        let Some(unsettled) = &mut self.unsettled else { return Ok(false) };
        let latest = Arc::clone(&self.latest.borrow());
        let standing = unsettled.look(&mut lead.connection, &latest).await?;
        if standing == Standing::AsBefore {
            return Ok(true);
        }
        self.holds = Holds::read(&mut lead.connection).await?;
        match standing {
            Standing::Settled => self.unsettled = None,
            _ => self.holds.close_for_everything(),
        }
        self.announce(latest.holding(self.holds.published()));
        Ok(self.unsettled.is_some())
    }

    /// What an older key or an ended epoch vouches for is signed anew: the rows stay, the number rises. The people's feed is
    /// the portal's to renew.
    async fn renew(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let (latest, keys) = (Arc::clone(&self.latest.borrow()), self.held());
        let is_old = |state: &State| state.sealed().is_some_and(|sealed| !keys.is_current(sealed));
        let old: Vec<Feed> = Feed::ALL.into_iter().filter(|feed| *feed != Feed::PEOPLE && is_old(latest.state(*feed))).collect();
        if old.is_empty() {
            return Ok(());
        }
        let mut next = Latest::clone(&latest);
        for feed in &old {
            let (frame, state) = round::seal(&keys, latest.state(*feed).renew()?)?;
            tracing::info!(event = "generation_renewed", %feed, epoch = %frame.epoch, generation = frame.generation.0, "signed anew under the newest trust");
            next = next.with(frame, state);
        }
        self.publish(lead, next, &old).await
    }

    /// Stores and announces generations that no edit stands behind.
    async fn publish(&mut self, lead: &mut Lead, next: Latest, feeds: &[Feed]) -> anyhow::Result<()> {
        let mut tx = lead.connection.begin().await?;
        ensure!(db::hold_term(&mut tx).await? == lead.term, "another master has begun a term of its own");
        store(&mut tx, &next, feeds, &[], Vec::new(), &[]).await?;
        tx.commit().await?;
        self.announce(next);
        Ok(())
    }

    /// Tells every agent which boxes are in, and gives the access feed's data key to every agent that is.
    async fn tend_boxes(&mut self, lead: &mut Lead) -> anyhow::Result<()> {
        let latest = Arc::clone(&self.latest.borrow());
        let row = |feed| move |change| ComposedRow { feed, change, zone: None };
        let boxes = nodes::with_lines(&mut lead.connection, None).await?;
        let mut rows: Vec<ComposedRow> = roster::rows(latest.state(Feed::TRUST).view(), &boxes)?.into_iter().map(row(Feed::TRUST)).collect();
        // While the key is about to be changed nobody is given the old one.
        if nodes::rotations_due(&mut lead.connection).await?.is_empty() {
            let nodes = db::nodes(&mut lead.connection).await?;
            let wrapped = self.access.wrapped_rows(latest.state(Feed::ACCESS).view(), &[], &nodes, &self.access.current())?;
            rows.extend(wrapped.into_iter().map(row(Feed::ACCESS)));
        }
        if rows.is_empty() {
            return Ok(());
        }
        // Boxes and wrapped keys are nothing that the guard counts.
        if let Cut::Next { next, feeds } = round::cut(&self.held(), &latest, rows, &BTreeSet::new(), self.limits, &Released::new())? {
            self.publish(lead, next, &feeds).await?;
        }
        Ok(())
    }
}
