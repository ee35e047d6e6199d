//! Whom we believe to be the other registry.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::failure::SetupError;

/// TLS settings that trust the authorities of a file or, without one, those of the system. Where no way leads over TLS
/// the system's are not read, which is milliseconds of a start, and nobody is trusted.
pub(super) fn client_config(ca: Option<&Path>, needs_tls: bool) -> Result<Arc<ClientConfig>, SetupError> {
    let roots = match ca {
        Some(path) => from_file(path)?,
        None if needs_tls => from_system()?,
        None => RootCertStore::empty(),
    };
    tracing::debug!(authorities = roots.len(), "trusted certificate authorities");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn from_file(path: &Path) -> Result<RootCertStore, SetupError> {
    let unreadable = |source| SetupError::Authorities { path: path.into(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    if roots.is_empty() { Err(SetupError::NoAuthority { place: path.display().to_string() }) } else { Ok(roots) }
}

fn from_system() -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    // Systems carry odd certificates; one that cannot be read is no reason to trust nobody.
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some of the system's authorities cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("the system has no certificate authorities; those that came with this program are trusted");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if roots.is_empty() { Err(SetupError::NoAuthority { place: "this system".to_owned() }) } else { Ok(roots) }
}
