//! Random passwords and secrets, and how they are kept: argon2id for what people type, SHA-256 for what has 256 random bits.
//!
//! argon2id takes 19 MiB and tens of milliseconds a time, so it runs off the async threads and only few at once.

use super::Problem;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use aws_lc_rs::{digest, rand};
use holdfast_proto::words::Secret;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// Two at once: a burst of log-ins must not take all cores and memory from the publisher.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
/// Checked when there is no such name, so that the time tells nothing.
static NOBODY: LazyLock<String> = LazyLock::new(|| Argon2::default().hash_password(&random_bytes()).map(|hash| hash.to_string()).unwrap_or_default());

/// A password made by the program, shown once.
#[derive(Debug)]
pub struct OneTimePassword(Secret);

impl OneTimePassword {
    /// Twenty letters and digits in groups, without those that look alike: 100 bits.
    pub(super) fn random() -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letters = random_bytes().map(|byte| ALPHABET[usize::from(byte & 31)]);
        Self(Secret::new(letters[..20].chunks(4).collect::<Vec<_>>().join(&b'-')))
    }

    /// The password itself, to be shown once.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).expect("it is made of ASCII letters")
    }
}

/// 256 random bits.
pub(super) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's random source never fails once the system is up");
    bytes
}

/// How a secret with 256 random bits is kept.
pub(super) fn sha256(secret: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret).as_ref().to_vec()
}

/// How a password is kept: the PHC string.
pub(super) async fn hash_password(password: Secret) -> Result<String, Problem> {
    off_thread(move || Argon2::default().hash_password(password.expose()).map(|hash| hash.to_string()).map_err(Problem::internal)).await?
}

/// Whether the password is the one kept; takes as long when there is none.
pub(super) async fn password_is(password: Secret, kept: Option<String>) -> Result<bool, Problem> {
    off_thread(move || {
        let known = kept.is_some();
        let phc = kept.unwrap_or_else(|| NOBODY.clone());
        let right = PasswordHash::new(&phc).is_ok_and(|hash| Argon2::default().verify_password(password.expose(), &hash).is_ok());
        right && known
    })
    .await
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let turn = AT_ONCE.clone().acquire_owned().await.map_err(Problem::internal)?;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use super::{OneTimePassword, hash_password, password_is};
    use holdfast_proto::words::Secret;

    #[tokio::test]
    async fn a_password_is_kept_as_argon2id_and_known_again() {
        let password = OneTimePassword::random();
        assert_eq!(password.expose().len(), 24);
        assert!(!format!("{password:?}").contains(password.expose()));
        let kept = hash_password(Secret::new(password.expose())).await.unwrap();
        assert!(kept.starts_with("$argon2id$"));
        assert!(password_is(Secret::new(password.expose()), Some(kept.clone())).await.unwrap());
        assert!(!password_is(Secret::new("other"), Some(kept)).await.unwrap());
        assert!(!password_is(Secret::new("other"), None).await.unwrap());
    }
}
