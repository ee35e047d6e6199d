//! A server on a real socket that does what a test says, request by request, and remembers what it heard.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What to do with a request that was read.
pub enum Act {
    /// Answer and listen on.
    Answer(String),
    /// Answer and close.
    Last(String),
    /// Close without a word.
    Close,
    /// Say nothing and keep the connection.
    Silence,
    /// Agree to a CONNECT and pass bytes on to there.
    Tunnel(SocketAddr),
}

/// A certificate with its key.
pub type Certificate = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A running server; it ends with the value.
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many connections it has accepted.
    pub connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

type Script = Arc<dyn Fn(usize, &str) -> Act + Send + Sync>;

impl Peer {
    /// Listens on any port in the clear. The script gets the number of the request and the request.
    pub async fn start(script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), None, script).await
    }

    /// Listens at an address, with TLS if there is a certificate.
    pub async fn start_at(
        address: SocketAddr,
        certificate: Option<Certificate>,
        script: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let acceptor = certificate.map(|certificate| TlsAcceptor::from(server_config(certificate)));
        let script: Script = Arc::new(script);
        let task = tokio::spawn({
            let (connections, seen) = (Arc::clone(&connections), Arc::clone(&seen));
            async move {
                // The connections end with the server, as they would with a process.
                let mut open = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (seen, script, acceptor) = (Arc::clone(&seen), Arc::clone(&script), acceptor.clone());
                    open.spawn(async move {
                        match acceptor {
                            None => serve(stream, &seen, &script).await,
                            Some(acceptor) => {
                                if let Ok(stream) = acceptor.accept(stream).await {
                                    serve(stream, &seen, &script).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { address, connections, seen, task }
    }

    /// Takes no connection at an address, and does not say so either.
    pub fn black_hole(address: SocketAddr) -> impl Sized {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&address.into()).expect("bound");
        socket.listen(0).expect("listening");
        // Those who wait to be accepted fill the line, and the system drops who comes later.
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
                socket.set_nonblocking(true).expect("set");
                drop(socket.connect(&address.into()));
                socket
            })
            .collect();
        (socket, waiting)
    }

    /// The URL of a port on which nobody listens.
    pub async fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        format!("http://{}", listener.local_addr().expect("bound"))
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests it has read so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Mutex<Vec<String>>, script: &Script) {
    while let Some(request) = request(&mut stream).await {
        let act = {
            let mut seen = seen.lock().expect("no panic");
            seen.push(request.clone());
            script(seen.len() - 1, &request)
        };
        let (text, more) = match act {
            Act::Answer(text) => (text, true),
            Act::Last(text) => (text, false),
            Act::Close => (String::new(), false),
            Act::Silence => return std::future::pending().await,
            Act::Tunnel(to) => {
                let agreed = stream.write_all(head(200, "X: y").as_bytes()).await;
                if let (Ok(()), Ok(mut onward)) = (agreed, TcpStream::connect(to).await) {
                    drop(copy_bidirectional(&mut stream, &mut onward).await);
                }
                return;
            }
        };
        if stream.write_all(text.as_bytes()).await.is_err() || !more {
            drop(stream.shutdown().await);
            return;
        }
    }
}

/// Reads one request with its body, if it has a length.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let lower = text[..end].to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some(text);
            }
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

/// The head of an answer with these header lines.
pub fn head(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\n{headers}\r\n\r\n")
}

/// A whole answer.
pub fn answer(status: u16, body: &str) -> String {
    head(status, &format!("Content-Length: {}", body.len())) + body
}

fn server_config((certificate, key): Certificate) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("a pair"))
}

/// One who issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one with a name and a key of its own.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed"))
    }

    /// Another one that this one vouches for.
    pub fn deputy(&self) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "deputy");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().expect("a key"), &self.0).expect("signed"))
    }

    /// Its own certificate, for those who trust it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name, from the first year to the second.
    pub fn issue(&self, name: &str, from: i32, to: i32) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }

    /// A certificate that only its own key vouches for.
    pub fn self_signed(name: &str) -> Certificate {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    }
}
