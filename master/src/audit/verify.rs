//! Recomputing the whole chain, in the background: the first thing that does not fit is named.

use super::hash::{START, link_hash};
use super::{Auditor, head};
use crate::db::DbError;
use crate::db::chain::{self, LinkRow};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use uuid::Uuid;

/// Links that are read at once.
const PAGE: i64 = 500;

/// How far the verification is, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Verification {
    /// Whether it is at work.
    pub running: bool,
    /// When it began.
    pub began_at: Option<DateTime<Utc>>,
    /// When it came to its end.
    pub ended_at: Option<DateTime<Utc>>,
    /// Links that fit so far.
    pub checked: i64,
    /// Links that there are.
    pub total: i64,
    /// Signed heads that fit.
    pub heads: usize,
    /// The first thing that does not fit.
    pub fault: Option<Fault>,
    /// Why it could not be finished.
    pub failed: Option<String>,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Which link, where it is one.
    pub ordinal: Option<i64>,
    /// Which change set, where it is one.
    pub change_set: Option<Uuid>,
    /// What is wrong with it, in a sentence.
    pub detail: String,
}

impl Fault {
    fn of(link: &LinkRow, detail: impl Into<String>) -> Self {
        Self { ordinal: Some(link.ordinal), change_set: Some(link.change_set), detail: detail.into() }
    }
}

impl Auditor {
    /// How far the last verification is.
    pub fn verification(&self) -> Verification {
        self.verification.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, edit: impl FnOnce(&mut Verification)) {
        edit(&mut self.verification.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Begins a verification, unless one is at work; how far it is.
    pub fn start_verification(&self) -> Verification {
        let mut begins = false;
        self.note(|now| {
            begins = !now.running;
            if begins {
                *now = Verification { running: true, began_at: Some(Utc::now()), ..Verification::default() };
            }
        });
        if begins {
            let auditor = self.clone();
            tokio::spawn(async move { auditor.verify().await });
        }
        self.verification()
    }

    async fn verify(self) {
        let found = self.first_fault().await;
        self.note(|now| {
            now.running = false;
            now.ended_at = Some(Utc::now());
            match &found {
                Ok(fault) => now.fault = fault.clone(),
                Err(error) => now.failed = Some(error.to_string()),
            }
        });
        match found {
            Ok(None) => tracing::info!(event = "audit_verified", "the audit chain fits"),
            Ok(Some(fault)) => {
                tracing::error!(event = "audit_broken", ordinal = fault.ordinal, change_set = ?fault.change_set, "the audit does not fit: {}", fault.detail)
            }
            Err(error) => tracing::error!(event = "audit_not_verified", %error, "the audit could not be verified"),
        }
    }

    /// Recomputes everything: links, what has none, and signed heads.
    pub async fn first_fault(&self) -> Result<Option<Fault>, DbError> {
        let total = chain::length(&self.pool).await?;
        self.note(|now| now.total = total);
        let heads: HashMap<i64, Vec<u8>> = chain::heads(&self.pool).await?.into_iter().map(|head| (head.ordinal, head.hash)).collect();
        let mut last = LinkRow { ordinal: 0, change_set: Uuid::nil(), previous: vec![], hash: START.to_vec() };
        loop {
            let links = chain::after(&self.pool, last.ordinal, PAGE).await?;
            if links.is_empty() {
                break;
            }
            for link in links {
                if let Some(fault) = self.fault_of(&link, &last, heads.get(&link.ordinal)).await? {
                    return Ok(Some(fault));
                }
                self.note(|now| now.checked = link.ordinal);
                last = link;
            }
        }
        if let Some(fault) = self.fault_of_heads(last.ordinal).await? {
            return Ok(Some(fault));
        }
        let stray = |id| Fault { ordinal: None, change_set: Some(id), detail: "it has no link in the chain, and none was waiting".into() };
        Ok(chain::stray(&self.pool).await?.map(stray))
    }

    async fn fault_of(&self, link: &LinkRow, before: &LinkRow, head: Option<&Vec<u8>>) -> Result<Option<Fault>, DbError> {
        if link.ordinal != before.ordinal + 1 {
            return Ok(Some(Fault::of(link, format!("the links from {} to {} are gone", before.ordinal + 1, link.ordinal - 1))));
        }
        if link.previous != before.hash {
            return Ok(Some(Fault::of(link, "it does not follow the link before it")));
        }
        let found = link_hash(&mut *self.pool.acquire().await?, link.ordinal, link.change_set, &link.previous).await?;
        Ok(match found {
            None => Some(Fault::of(link, "the change set is gone")),
            Some(hash) if hash != link.hash => Some(Fault::of(link, "the change set, or a row that it changed, is not what it was when it was linked")),
            Some(_) if head.is_some_and(|head| *head != link.hash) => Some(Fault::of(link, "it is not the link that the master vouched for")),
            Some(_) => None,
        })
    }

    async fn fault_of_heads(&self, length: i64) -> Result<Option<Fault>, DbError> {
        let Some(keys) = self.keys.as_ref().map(|keys| Arc::clone(&keys.borrow())) else { return Ok(None) };
        for row in chain::heads(&self.pool).await? {
            let fault = |detail: &str| Some(Fault { ordinal: Some(row.ordinal), change_set: None, detail: detail.to_owned() });
            if row.ordinal > length {
                return Ok(fault("the chain ends before a place that the master vouched for"));
            }
            let is_vouched =
                head(&keys, &row.hash, row.ordinal).is_some_and(|head| keys.chain.iter().any(|trust| trust.vouches_for(&head, &row.key_id, &row.signature)));
            if !is_vouched {
                return Ok(fault("the signature of the head is not the master's"));
            }
            self.note(|now| now.heads += 1);
        }
        Ok(None)
    }
}
