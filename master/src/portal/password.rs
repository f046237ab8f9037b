//! Cleartext becomes argon2id here and is not seen again. OWASP's least: 19 MiB, two passes, one lane; some 20 ms each, so
//! an import hashes on every core.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use holdfast_proto::words::Secret;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The library would not hash.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(String);

/// The PHC string of a password, under a fresh salt.
pub fn hash(password: &Secret) -> Result<Secret, HashError> {
    let wrong = |wrong: String| HashError(wrong);
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| wrong(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashed = argon2.hash_password(password.expose()).map_err(|error| wrong(error.to_string()))?;
    Ok(Secret::new(hashed.to_string()))
}

/// Hashes many, in order, on all cores; calls `progress` with how many are done. Blocks.
pub fn hash_all(passwords: &[&Secret], progress: impl Fn(usize) + Sync) -> Result<Vec<Secret>, HashError> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hashed = Mutex::new(vec![None; passwords.len()]);
    let work = || {
        while let Some((at, password)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, passwords.get(at)?))) {
            let result = hash(password);
            hashed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[at] = Some(result);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(passwords.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let hashed = hashed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    hashed.into_iter().map(|result| result.expect("every place was filled before the threads ended")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::PasswordVerifier;

    #[test]
    fn hashes_come_in_order_and_verify() {
        let passwords: Vec<_> = ["one", "two", "three"].map(Secret::new).into();
        let hashed = hash_all(&passwords.iter().collect::<Vec<_>>(), |_| {}).unwrap();
        for (password, phc) in passwords.iter().zip(&hashed) {
            let phc = std::str::from_utf8(phc.expose()).unwrap();
            assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
            Argon2::default().verify_password(password.expose(), phc).unwrap();
        }
    }
}
