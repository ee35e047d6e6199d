//! The certificate of a listener, read again when its files change.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::TlsConfig;
use super::gate::Metrics;
use crate::telemetry::Chain;

/// How often the files are looked at. The kubelet takes up to a minute to swap a mounted secret,
/// and watching for that breaks on its symbolic links, so looking is as good as watching.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM, or not of the kind it should be.
    #[error("{path} holds no usable PEM section of the kind needed")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate {certificate} and the key {key} cannot be used together")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
    /// The authorities for client certificates cannot be used.
    #[error("the client authorities {path} cannot be used")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What the TLS library said.
        source: VerifierBuilderError,
    },
    /// One of the authorities for client certificates is not a certificate.
    #[error("the client authorities {path} hold something that is no certificate")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the TLS library said.
        source: rustls::Error,
    },
}

/// The certificate of one listener.
pub struct Certificate {
    files: TlsConfig,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
    metrics: Metrics,
}

/// What was read last, good or bad, so that a bad state is counted once.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    fingerprint: u64,
    failed: bool,
}

struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificate {
    pub(super) fn load(files: &TlsConfig, metrics: &Metrics) -> Result<Self, TlsError> {
        let contents = Contents::read(files)?;
        let config = contents.build(files)?;
        Ok(Self {
            files: files.clone(),
            current: ArcSwap::from_pointee(config),
            seen: Mutex::new(Seen { fingerprint: contents.fingerprint(), failed: false }),
            metrics: metrics.clone(),
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again. Nothing happens when they are as they were; what cannot be used
    /// leaves the old certificate in place.
    pub fn reload(&self) -> Result<(), TlsError> {
        let contents = Contents::read(&self.files).inspect_err(|_| self.note(Seen { fingerprint: 0, failed: true }))?;
        let fingerprint = contents.fingerprint();
        if *self.seen() == (Seen { fingerprint, failed: false }) {
            return Ok(());
        }
        let built = contents.build(&self.files);
        self.note(Seen { fingerprint, failed: built.is_err() });
        self.current.store(Arc::new(built?));
        tracing::info!(certificate = %self.files.certificate.display(), "certificate reloaded");
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, now: Seen) {
        let mut seen = self.seen();
        if *seen != now {
            *seen = now;
            self.metrics.reloaded(now.failed);
        }
    }

    /// Looks at the files now and then, for as long as it is polled.
    pub(super) async fn keep_current(self: Arc<Self>) {
        let mut failing = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let certificate = Arc::clone(&self);
            let Ok(outcome) = tokio::task::spawn_blocking(move || certificate.reload()).await else { continue };
            let failure = outcome.err().map(|error| Chain(&error).to_string());
            if let Some(error) = failure.as_ref().filter(|_| failing != failure) {
                tracing::error!(error, "the new certificate cannot be used, the old one is kept");
            }
            failing = failure;
        }
    }
}

impl Contents {
    fn read(files: &TlsConfig) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_path_buf(), source })
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key, &self.client_ca).hash(&mut hasher);
        hasher.finish()
    }

    fn build(&self, files: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let unusable =
            |source| TlsError::Unusable { certificate: files.certificate.clone(), key: files.key.clone(), source };
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|source| TlsError::Malformed { path: files.key.clone(), source })?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(path)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(pem, path)?), provider)
                    .allow_unauthenticated()
                    .build()
                    .map_err(|source| TlsError::Authorities { path: path.clone(), source })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Malformed { path: path.to_path_buf(), source })?;
    if chain.is_empty() { Err(TlsError::Empty { path: path.to_path_buf() }) } else { Ok(chain) }
}

fn authorities(pem: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, path)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { path: path.to_path_buf(), source })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &TlsConfig, certificate: &str, key: &str) {
        std::fs::write(&files.certificate, certificate).expect("written");
        std::fs::write(&files.key, key).expect("written");
    }

    fn renew(files: &TlsConfig) {
        let new = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        write(files, &new.cert.pem(), &new.signing_key.serialize_pem());
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_noticed_and_broken_ones_are_waited_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = TlsConfig {
            certificate: folder.path().join("tls.crt"),
            key: folder.path().join("tls.key"),
            client_ca: None,
        };
        renew(&files);
        let certificate = Arc::new(Certificate::load(&files, &Metrics::default()).expect("a good pair"));
        tokio::spawn(Arc::clone(&certificate).keep_current());
        let look = || async {
            tokio::time::sleep(LOOK_EVERY + Duration::from_secs(1)).await;
            certificate.current.load_full()
        };

        let first = look().await;
        assert!(Arc::ptr_eq(&first, &look().await), "nothing has changed");
        renew(&files);
        let second = look().await;
        assert!(!Arc::ptr_eq(&first, &second), "the new one is in use");
        write(&files, "nonsense", "nonsense");
        assert!(Arc::ptr_eq(&second, &look().await), "the old one is kept");
        std::fs::remove_file(&files.key).expect("it was there");
        assert!(Arc::ptr_eq(&second, &look().await), "the old one is kept");
        renew(&files);
        assert!(!Arc::ptr_eq(&second, &look().await), "the new one is in use");
    }
}
