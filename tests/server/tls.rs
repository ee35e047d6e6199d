//! Encrypted connections: protocols, certificates, broken handshakes.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use schema_outpost::body::Body;
use schema_outpost::server::TlsConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::house::{House, PATIENCE, generous, house, status, tight, until_closed};
use crate::http2::{ask, whole};

/// A certificate authority with files for a listener.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

pub fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("signed");
    Authority { folder: tempfile::tempdir().expect("a folder"), issuer: rcgen::Issuer::new(params, key), certificate }
}

impl Authority {
    fn issue(&self) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a good name");
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    fn write(&self, certificate: &str, key: &str) {
        std::fs::write(self.folder.path().join("tls.crt"), certificate).expect("written");
        std::fs::write(self.folder.path().join("tls.key"), key).expect("written");
        std::fs::write(self.folder.path().join("ca.crt"), self.certificate.pem()).expect("written");
    }

    pub fn renew(&self) -> Vec<u8> {
        let (certificate, key) = self.issue();
        self.write(&certificate.pem(), &key.serialize_pem());
        certificate.der().to_vec()
    }

    pub fn files(&self) -> TlsConfig {
        TlsConfig {
            certificate: self.folder.path().join("tls.crt"),
            key: self.folder.path().join("tls.key"),
            client_ca: Some(self.folder.path().join("ca.crt")),
        }
    }

    pub fn client(&self, alpn: &[&[u8]], with_certificate: bool) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots);
        let mut config = if with_certificate {
            let (certificate, key) = self.issue();
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).expect("they belong together")
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

impl House {
    pub async fn connect_tls(&self, client: &TlsConnector) -> TlsStream<TcpStream> {
        let name = "localhost".try_into().expect("a name");
        client.connect(name, self.connect().await).await.expect("the handshake succeeds")
    }
}

#[tokio::test]
async fn tls_clients_choose_their_protocol_and_may_show_a_certificate() {
    let authority = authority();
    authority.renew();
    let house = house(&generous(), Some(authority.files()));
    for (with_certificate, expected) in [(false, "tls=true certificates=0"), (true, "tls=true certificates=1")] {
        let mut stream = house.connect_tls(&authority.client(&[b"http/1.1"], with_certificate)).await;
        stream.write_all(b"GET /peer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
        let answer = until_closed(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(expected), "{answer}");

        let stream = house.connect_tls(&authority.client(&[b"h2"], with_certificate)).await;
        let request = Request::get("https://localhost/peer").body(Body::empty()).expect("a request");
        assert_eq!(whole(ask(stream, request).await).await, expected);
    }
}

#[tokio::test]
async fn every_shape_of_a_broken_handshake_is_cut_at_its_limit() {
    let authority = authority();
    authority.renew();
    let house = house(&tight(), Some(authority.files()));
    let hello: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for (shape, sent) in [
        ("nothing", b"".as_slice()),
        ("half a hello", hello),
        ("plain HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("garbage", &[0xff; 4096]),
    ] {
        let mut socket = house.connect().await;
        let _reset = socket.write_all(sent).await;
        let start = Instant::now();
        until_closed(&mut socket).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{shape} was cut after {:?}", start.elapsed());
    }
    let mut socket = house.connect().await;
    let mut drips = tokio::time::interval(Duration::from_millis(20));
    let dripped = timeout(PATIENCE, async {
        for byte in hello.iter().cycle() {
            drips.tick().await;
            if socket.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    dripped.await.expect("a handshake may not drip for ever");
    let plain = self::house(&tight(), None);
    let answer = plain.exchange(hello).await;
    assert_eq!(status(&answer), Some(400), "TLS on a plain port was answered {answer:?}");
    assert!(house.seen().is_empty() && plain.seen().is_empty());
    let mut stream = house.connect_tls(&authority.client(&[b"http/1.1"], false)).await;
    stream.write_all(b"GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
    assert!(until_closed(&mut stream).await.ends_with("path=/alive"));
}

#[tokio::test]
async fn a_certificate_is_swapped_under_load_and_a_broken_one_is_not_taken() {
    let authority = authority();
    let mut expected = authority.renew();
    let house = house(&generous(), Some(authority.files()));
    let certificate = house.certificate.clone().expect("the listener serves TLS");
    let client = authority.client(&[b"http/1.1"], false);
    let shown =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().expect("a server shows one")[0].to_vec();

    for round in 0..10 {
        let handshakes = (0..8).map(|_| house.connect_tls(&client));
        let swap = async {
            if round > 0 {
                expected = authority.renew();
            }
            certificate.reload().expect("a good pair");
        };
        futures_util::future::join(futures_util::future::join_all(handshakes), swap).await;
        assert_eq!(shown(&house.connect_tls(&client).await), expected);
    }

    let (other, key) = authority.issue();
    let good = authority.issue().1.serialize_pem();
    for (what, certificate_pem, key_pem) in [
        ("a key of another certificate", other.pem(), good),
        ("no PEM", "nonsense".to_owned(), key.serialize_pem()),
        ("half a PEM", other.pem()[..200].to_owned(), key.serialize_pem()),
        ("nothing", String::new(), String::new()),
    ] {
        authority.write(&certificate_pem, &key_pem);
        assert!(certificate.reload().is_err(), "{what} was taken");
        assert!(certificate.reload().is_err(), "{what} was taken at the second look");
        assert_eq!(shown(&house.connect_tls(&client).await), expected, "after {what}");
    }
    std::fs::remove_file(authority.files().certificate).expect("it was there");
    assert!(certificate.reload().is_err(), "a missing file was taken");
    expected = authority.renew();
    certificate.reload().expect("a good pair");
    assert_eq!(shown(&house.connect_tls(&client).await), expected);
    let page = house.registry.render();
    assert!(page.contains("outpost_server_certificate_reloads_total{outcome=\"failed\"} 5"), "{page}");
}
