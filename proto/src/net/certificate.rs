//! The certificate of DNS over TLS, from two files that somebody renews every few weeks.
//!
//! It is read anew when a file changed. What cannot be read is told, and the one before serves on: a renewal that went
//! wrong must not cut anybody off.

use super::tls::provider;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A chain and its key in two files.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    look_every: Duration,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    config: Option<Arc<ServerConfig>>,
    /// When each file was written that was read last.
    written: Option<[SystemTime; 2]>,
    /// What was wrong when it was last told.
    told: Option<String>,
    looked: Option<Instant>,
}

impl Certificate {
    /// Of a PEM chain and its PEM key; both are read at once.
    pub fn of(chain: &Path, key: &Path) -> Self {
        let certificate = Self { chain: chain.into(), key: key.into(), look_every: LOOK_EVERY, read: Mutex::default() };
        let _ = certificate.current();
        certificate
    }

    /// What a handshake of this moment starts with; `None` where there was never a certificate that could be read.
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.looked.is_none_or(|looked| looked.elapsed() >= self.look_every) {
            read.looked = Some(Instant::now());
            self.look(&mut read);
        }
        read.config.clone()
    }

    fn look(&self, read: &mut Read) {
        let written = written(&self.chain).and_then(|chain| Ok([chain, written(&self.key)?]));
        if written.as_ref().is_ok_and(|written| read.written == Some(*written)) {
            return;
        }
        match written.and_then(|written| Ok((written, self.load()?))) {
            Ok((written, config)) => {
                // Only now: a file that cannot be read may be put right without being written.
                (read.written, read.told) = (Some(written), None);
                tracing::info!(event = "dns_certificate_read", "DNS over TLS shows the certificate in {}", self.chain.display());
                read.config = Some(Arc::new(config));
            }
            Err(wrong) => {
                let wrong = wrong.to_string();
                if read.told.as_ref() != Some(&wrong) {
                    let meanwhile = if read.config.is_some() { "the one before is shown on" } else { "nobody is answered over TLS until it can" };
                    tracing::error!(event = "dns_certificate_unreadable", "the certificate of DNS over TLS cannot be read: {wrong}; {meanwhile}");
                }
                read.told = Some(wrong);
            }
        }
    }

    fn load(&self) -> io::Result<ServerConfig> {
        let named = |path: &Path, wrong: &dyn std::fmt::Display| io::Error::other(format!("{}: {wrong}", path.display()));
        let chain = CertificateDer::pem_file_iter(&self.chain).and_then(Iterator::collect).map_err(|wrong| named(&self.chain, &wrong))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|wrong| named(&self.key, &wrong))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|wrong| named(&self.chain, &wrong))?;
        // RFC 7858 section 3.1 leaves it open; RFC 9103 asks for it where transfers go over the same port.
        config.alpn_protocols = vec![b"dot".to_vec()];
        Ok(config)
    }
}

fn written(path: &Path) -> io::Result<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).map_err(|wrong| io::Error::new(wrong.kind(), format!("{}: {wrong}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(folder: &Path, number: u64) {
        let made = rcgen::generate_simple_self_signed(vec!["ns.example".to_owned()]).unwrap();
        fs::write(folder.join("chain"), made.cert.pem()).unwrap();
        fs::write(folder.join("key"), made.signing_key.serialize_pem()).unwrap();
        // Two writes within one tick of the file system's clock would look like one.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
        for name in ["chain", "key"] {
            fs::File::options().write(true).open(folder.join(name)).unwrap().set_modified(at).unwrap();
        }
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut certificate = Certificate::of(&folder.path().join("chain"), &folder.path().join("key"));
        certificate.look_every = Duration::ZERO;
        assert!(certificate.current().is_none(), "there is none yet");
        write(folder.path(), 1);
        let first = certificate.current().unwrap();
        assert!(Arc::ptr_eq(&first, &certificate.current().unwrap()), "unchanged files are not read again");
        fs::write(folder.path().join("chain"), "no certificate").unwrap();
        assert!(Arc::ptr_eq(&first, &certificate.current().unwrap()));
        write(folder.path(), 3);
        assert!(!Arc::ptr_eq(&first, &certificate.current().unwrap()));
    }
}
