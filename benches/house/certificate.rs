//! One certificate for all servers of a run, and TLS 1.3 with one cipher suite, so that all of them do the same work.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, version};
use tokio_rustls::TlsAcceptor;

const NAME: &str = "localhost";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
const BOTH: &str = "both.pem";

/// A certificate with its key, made for this run.
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Puts it where servers look for it: apart, and in one file.
    pub fn write(&self, folder: &Path) {
        let both = format!("{}{}", self.certificate, self.key);
        for (name, text) in [(CERTIFICATE, &self.certificate), (KEY, &self.key), (BOTH, &both)] {
            std::fs::write(folder.join(name), text).expect("a writable folder");
        }
    }

    /// What a client needs that trusts it.
    pub fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("just made");
        roots.add(certificate).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]);
        Arc::new(builder.expect("TLS 1.3").with_root_certificates(roots).with_no_client_auth())
    }
}

/// The client's end of a new connection.
pub fn connection(client: Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(client, ServerName::try_from(NAME).expect("a name")).expect("a connection")
}

/// The server's end, with the certificate of a folder.
pub fn acceptor(folder: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(folder.join(CERTIFICATE)).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY)).expect("a key");
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13]);
    let config = builder.expect("TLS 1.3").with_no_client_auth().with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate and its key")))
}

fn provider() -> Arc<CryptoProvider> {
    let suites = vec![cipher_suite::TLS13_AES_256_GCM_SHA384];
    Arc::new(CryptoProvider { cipher_suites: suites, ..default_provider() })
}
