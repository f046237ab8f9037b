//! Passwords against their verifiers. argon2id takes some 20 ms by design, so it runs on a bounded set of blocking threads;
//! a password that was right a while ago is known again at packet speed.
//!
//! The memory of right passwords holds no passwords: only HMACs under a key that is drawn at start and never leaves RAM.
//! The verifier is part of what is hashed, so a changed password is forgotten by itself. Wrong passwords are not kept.

use argon2::{Argon2, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use holdfast_proto::radius::PendingCheck;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How many passwords may wait per thread: about one second of work, well below a NAS's patience.
const WAITING_PER_THREAD: usize = 64;
/// How long a right password is known: one working day's logins, and a stolen box forgets overnight.
const KNOWN_FOR: Duration = Duration::from_secs(12 * 3600);
/// How many are known: every user of a large campus, at about 100 bytes each.
const KNOWN_LIMIT: usize = 131_072;

/// Whether the password fits. A verifier that cannot be read fits nothing.
pub(super) fn is_right(check: &PendingCheck) -> bool {
    let Ok(verifier) = std::str::from_utf8(check.verifier().expose()) else { return false };
    // The cost parameters are those of the verifier, not of this default.
    Argon2::default().verify_password(check.password().expose(), verifier).is_ok()
}

/// The threads that hash, shared by all sockets.
#[derive(Debug, Clone)]
pub(super) struct HashPool {
    waiting: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

/// As many passwords wait as may: here is this one back.
#[derive(Debug)]
pub(super) struct Full(pub Box<PendingCheck>);

impl HashPool {
    pub fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { waiting: Arc::new(Semaphore::new(threads * WAITING_PER_THREAD)), working: Arc::new(Semaphore::new(threads)) }
    }

    /// The most verdicts that can be under way at once.
    pub fn limit() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from) * WAITING_PER_THREAD
    }

    /// Verifies in the background and tells the outcome.
    pub fn submit(&self, check: Box<PendingCheck>, tell: impl FnOnce(Box<PendingCheck>, bool) + Send + 'static) -> Result<(), Full> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else { return Err(Full(check)) };
        let working = Arc::clone(&self.working);
        tokio::spawn(async move {
            // The semaphore is never closed; were it, the check would be dropped and the NAS would ask again.
            let Ok(_thread) = working.acquire_owned().await else { return };
            let verified = tokio::task::spawn_blocking(move || {
                let right = is_right(&check);
                (check, right)
            });
            if let Ok((check, right)) = verified.await {
                tell(check, right);
            }
            drop(place);
        });
        Ok(())
    }
}

/// What stands for a pair of verifier and password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tag([u8; 32]);

/// Pairs that fitted.
pub(super) struct KnownPasswords {
    key: hmac::Key,
    known: HashSet<Tag>,
    order: VecDeque<(Instant, Tag)>,
}

impl KnownPasswords {
    /// Knows nothing, under a fresh key.
    pub fn new() -> Self {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the operating system gives random bytes");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), known: HashSet::new(), order: VecDeque::new() }
    }

    pub fn tag(&self, check: &PendingCheck) -> Tag {
        let (verifier, password) = (check.verifier().expose(), check.password().expose());
        let mut hash = hmac::Context::with_key(&self.key);
        hash.update(&(verifier.len() as u64).to_le_bytes());
        hash.update(verifier);
        hash.update(password);
        Tag(hash.sign().as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }

    pub fn knows(&mut self, tag: &Tag, now: Instant) -> bool {
        while self.order.front().is_some_and(|(since, _)| now.duration_since(*since) > KNOWN_FOR) {
            self.drop_oldest();
        }
        self.known.contains(tag)
    }

    pub fn learn(&mut self, tag: Tag, now: Instant) {
        if self.known.insert(tag) {
            self.order.push_back((now, tag));
        }
        if self.order.len() > KNOWN_LIMIT {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, tag)) = self.order.pop_front() {
            self.known.remove(&tag);
        }
    }
}
