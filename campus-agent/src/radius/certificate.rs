//! The certificates of EAP: our own, which users believe, and whoever signs theirs. From files that somebody renews every few
//! weeks or months.
//!
//! They are read anew when one changed. What cannot be read is told, and what was read before serves on: a renewal that went
//! wrong must not lock a campus out.

use crate::config;
use holdfast_proto::radius::eap::{Authorities, EapTls};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::time_provider::TimeProvider;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What EAP shows and believes. Without files, nothing.
#[derive(Debug)]
pub struct EapCertificate {
    files: Option<Files>,
    time: Arc<dyn TimeProvider>,
    look_every: Duration,
    read: Mutex<Read>,
}

#[derive(Debug, Clone)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
    authorities: Option<PathBuf>,
    revoked: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Read {
    tls: Option<Arc<EapTls>>,
    /// When each file was written that was read last.
    written: Option<Vec<SystemTime>>,
    /// What was wrong when it was last told.
    told: Option<String>,
    looked: Option<Instant>,
}

impl EapCertificate {
    /// By the configuration; the files are read at once. `time` judges the certificates of users.
    pub fn of(config: &config::Radius, time: Arc<dyn TimeProvider>) -> Self {
        let files = match (&config.certificate, &config.key) {
            (Some(chain), Some(key)) if config.client_ca.is_some() || config.client_crl.is_none() => {
                let (chain, key) = (chain.clone(), key.clone());
                Some(Files { chain, key, authorities: config.client_ca.clone(), revoked: config.client_crl.clone() })
            }
            (None, None) if config.client_ca.is_none() && config.client_crl.is_none() => {
                tracing::warn!(
                    event = "radius_no_certificate",
                    "[radius] names no certificate: EAP (802.1X, eduroam) is answered with a reject, and PAP, CHAP and MS-CHAPv2 as ever"
                );
                None
            }
            _ => {
                tracing::error!(
                    event = "radius_certificate_incomplete",
                    "[radius] certificate and key belong together, client_ca needs both, and client_crl needs client_ca: EAP is answered with a reject"
                );
                None
            }
        };
        let certificate = Self { files, time, look_every: LOOK_EVERY, read: Mutex::default() };
        let _ = certificate.current();
        certificate
    }

    /// What a conversation of this moment begins with; `None` where there was never a certificate that could be read.
    pub(super) fn current(&self) -> Option<Arc<EapTls>> {
        let files = self.files.as_ref()?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.looked.is_none_or(|looked| looked.elapsed() >= self.look_every) {
            read.looked = Some(Instant::now());
            self.look(files, &mut read);
        }
        read.tls.clone()
    }

    fn look(&self, files: &Files, read: &mut Read) {
        let written = files.all().map(written).collect::<io::Result<Vec<_>>>();
        if written.as_ref().is_ok_and(|written| read.written.as_ref() == Some(written)) {
            return;
        }
        match written.and_then(|written| Ok((written, self.load(files, read.tls.as_deref())?))) {
            Ok((written, (tls, None))) => {
                // Only now: a file that cannot be read may be put right without being written.
                (read.written, read.told, read.tls) = (Some(written), None, Some(Arc::new(tls)));
                tracing::info!(event = "radius_certificate_read", "EAP shows the certificate in {}", files.chain.display());
            }
            Ok((_, (tls, Some(wrong)))) => {
                if read.told.as_ref() != Some(&wrong) {
                    let meanwhile =
                        if tls.takes_certificates() { "those of before are believed on" } else { "EAP-TLS is refused until they can, other methods work" };
                    tracing::error!(event = "radius_authorities_unreadable", "who signs certificates of users cannot be read: {wrong}; {meanwhile}");
                }
                (read.told, read.tls) = (Some(wrong), Some(Arc::new(tls)));
            }
            Err(wrong) => {
                let wrong = wrong.to_string();
                if read.told.as_ref() != Some(&wrong) {
                    let meanwhile = if read.tls.is_some() { "the one before is shown on" } else { "EAP is answered with a reject until it can" };
                    tracing::error!(event = "radius_certificate_unreadable", "the certificate of EAP cannot be read: {wrong}; {meanwhile}");
                }
                read.told = Some(wrong);
            }
        }
    }

    /// What the files hold. Whoever wrote a list of revocations badly must not take away what the others log in with: where the
    /// authorities or their lists cannot be read, those of before are believed, and what is wrong is said.
    fn load(&self, files: &Files, before: Option<&EapTls>) -> io::Result<(EapTls, Option<String>)> {
        let named = |path: &Path, wrong: &dyn Display| io::Error::other(format!("{}: {wrong}", path.display()));
        let chain = pem_of(&files.chain)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|wrong| named(&files.key, &wrong))?;
        let authorities = files.authorities.as_deref().map(|path| {
            let mut roots = RootCertStore::empty();
            pem_of(path)?.into_iter().try_for_each(|authority| roots.add(authority)).map_err(|wrong| named(path, &wrong))?;
            Ok::<_, io::Error>(Authorities { roots, revoked: files.revoked.as_deref().map(pem_of).transpose()?.unwrap_or_default() })
        });
        let of = |authorities| {
            let key = key.clone_key();
            EapTls::new(chain.clone(), key, authorities, Arc::clone(&self.time)).map_err(|wrong| named(&files.chain, &wrong))
        };
        match authorities.transpose().and_then(of) {
            Ok(tls) => Ok((tls, None)),
            // It may be our own chain that is wrong: then this says so.
            Err(wrong) => Ok((of(None)?.believing_as(before), Some(wrong.to_string()))),
        }
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.chain), Some(&self.key), self.authorities.as_ref(), self.revoked.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// What a PEM file holds of one kind: never nothing.
fn pem_of<T: PemObject>(path: &Path) -> io::Result<Vec<T>> {
    let read = T::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|wrong| io::Error::other(format!("{}: {wrong}", path.display())))?;
    if read.is_empty() { Err(io::Error::other(format!("{}: there is nothing of its kind in it", path.display()))) } else { Ok(read) }
}

fn written(path: &Path) -> io::Result<SystemTime> {
    std::fs::metadata(path).and_then(|about| about.modified()).map_err(|wrong| io::Error::new(wrong.kind(), format!("{}: {wrong}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::net::clock::WallClock;
    use std::fs;

    fn write(folder: &Path, number: u64) {
        let made = rcgen::generate_simple_self_signed(vec!["radius.example".to_owned()]).unwrap();
        fs::write(folder.join("chain"), made.cert.pem()).unwrap();
        fs::write(folder.join("ca"), made.cert.pem()).unwrap();
        fs::write(folder.join("key"), made.signing_key.serialize_pem()).unwrap();
        // Two writes within one tick of the file system's clock would look like one.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
        for name in ["chain", "key", "ca"] {
            fs::File::options().write(true).open(folder.join(name)).unwrap().set_modified(at).unwrap();
        }
    }

    fn of(folder: &Path, names: [Option<&str>; 3]) -> EapCertificate {
        let [certificate, key, client_ca] = names.map(|name| name.map(|name| folder.join(name)));
        let config = config::Radius { certificate, key, client_ca, ..config::Radius::default() };
        EapCertificate { look_every: Duration::ZERO, ..EapCertificate::of(&config, Arc::new(WallClock)) }
    }

    #[test]
    fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = of(folder.path(), [Some("chain"), Some("key"), Some("ca")]);
        assert!(certificate.current().is_none(), "there is none yet");
        write(folder.path(), 1);
        let first = certificate.current().unwrap();
        assert!(Arc::ptr_eq(&first, &certificate.current().unwrap()), "unchanged files are not read again");
        fs::write(folder.path().join("chain"), "no certificate").unwrap();
        assert!(Arc::ptr_eq(&first, &certificate.current().unwrap()));
        write(folder.path(), 2);
        fs::write(folder.path().join("ca"), "no certificate").unwrap();
        assert!(certificate.current().unwrap().takes_certificates(), "those who were believed before are believed on");
        let cold = of(folder.path(), [Some("chain"), Some("key"), Some("ca")]).current().expect("a broken list takes no other method away");
        assert!(!cold.takes_certificates());
        write(folder.path(), 3);
        assert!(!Arc::ptr_eq(&first, &certificate.current().unwrap()));
    }

    #[test]
    fn without_both_files_there_is_no_eap() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1);
        for names in [[None, None, None], [Some("chain"), None, None], [None, Some("key"), Some("ca")]] {
            assert!(of(folder.path(), names).current().is_none(), "{names:?}");
        }
        assert!(of(folder.path(), [Some("chain"), Some("key"), None]).current().is_some());
    }
}
