//! The server room over real sockets: what it cuts, what it survives, how it drains.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytesize::ByteSize;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use schema_outpost::body::Body;
use schema_outpost::server::{
    Certificate, Gate, IntakeError, Limits, Listener, ListenerConfig, Metrics, Peer, TlsConfig, examine, read_whole,
};
use schema_outpost::telemetry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// Longer than any limit in these tests, by so much that a busy machine does not matter.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers what it is asked for, and remembers what that was.
#[derive(Clone)]
struct Echo {
    limits: Limits,
    seen: Arc<Mutex<Vec<String>>>,
    arrived: Arc<watch::Sender<usize>>,
    release: Arc<Notify>,
}

impl Echo {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        self.seen.lock().expect("nothing panics").push(format!("{} {}", head.method, head.uri));
        self.arrived.send_modify(|count| *count += 1);
        if let Err(error) = examine(&head) {
            return Ok(refusal(error.status(), &error.to_string()));
        }
        let peer = head.extensions.get::<Peer>().expect("every request has a peer").clone();
        match (head.method.as_str(), head.uri.path()) {
            ("GET", "/slow") => {
                self.release.notified().await;
                Ok(Response::new(Body::whole("slow")))
            }
            ("GET", "/big") => Ok(Response::new(Body::whole(vec![b'x'; 32 << 20]))),
            ("GET", "/peer") => {
                let certificates = peer.certificates.len();
                Ok(Response::new(Body::whole(format!("tls={} certificates={certificates}", peer.tls))))
            }
            ("GET" | "HEAD", path) => Ok(Response::new(Body::whole(format!("path={path}")))),
            ("POST", "/denied") => Ok(refusal(StatusCode::UNAUTHORIZED, "who are you")),
            ("POST", _) => Ok(match read_whole(body, &self.limits).await {
                Ok(body) => Response::new(Body::whole(body)),
                Err(IntakeError::TooLarge { .. }) => refusal(StatusCode::PAYLOAD_TOO_LARGE, "large"),
                Err(IntakeError::Idle | IntakeError::TooSlow) => refusal(StatusCode::REQUEST_TIMEOUT, "slow"),
                Err(IntakeError::Broken(_)) => refusal(StatusCode::BAD_REQUEST, "broken"),
            }),
            _ => Ok(refusal(StatusCode::METHOD_NOT_ALLOWED, "no such method")),
        }
    }
}

fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::whole(message.to_owned()));
    *response.status_mut() = status;
    response
}

impl tower::Service<Request<Incoming>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// A listener that serves [`Echo`].
struct House {
    address: SocketAddr,
    echo: Echo,
    drain: CancellationToken,
    certificate: Option<Arc<Certificate>>,
    served: JoinHandle<()>,
    registry: Registry,
}

fn generous() -> Limits {
    Limits { body: ByteSize::kib(4), ..Limits::default() }
}

fn tight() -> Limits {
    let short = Duration::from_millis(200);
    Limits {
        handshake: short,
        first_byte: short,
        head_time: short,
        body_idle: short,
        body_time: short * 3,
        idle: short,
        drain: short,
        ..generous()
    }
}

fn house(limits: &Limits, tls: Option<TlsConfig>) -> House {
    let mut registry = Registry::new();
    let gate = Gate::new("data", limits, &Metrics::register(&mut registry));
    let config = ListenerConfig { bind: SocketAddr::from(([127, 0, 0, 1], 0)), tls };
    let listener = Listener::bind(&config, &gate).expect("a free port and a good certificate");
    let echo = Echo {
        limits: limits.clone(),
        seen: Arc::default(),
        arrived: Arc::new(watch::channel(0).0),
        release: Arc::default(),
    };
    let drain = CancellationToken::new();
    House {
        address: listener.local_addr(),
        certificate: listener.certificate(),
        served: tokio::spawn(listener.serve(echo.clone(), drain.clone())),
        echo,
        drain,
        registry,
    }
}

impl House {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the listener accepts")
    }

    /// Sends `bytes`, and returns everything that comes back until the server closes.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        // The server may refuse a head before all of it was sent.
        let _refused = socket.write_all(bytes.as_ref()).await;
        until_closed(&mut socket).await
    }

    async fn requests(&self, count: usize) {
        let mut arrived = self.echo.arrived.subscribe();
        let waited = timeout(PATIENCE, arrived.wait_for(|arrived| *arrived >= count)).await;
        waited.expect("the requests arrive").expect("the sender lives");
    }

    fn seen(&self) -> Vec<String> {
        self.echo.seen.lock().expect("nothing panics").clone()
    }

    async fn is_alive(&self) {
        let answer = self.exchange("GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("path=/alive"), "{answer}");
    }
}

async fn until_closed(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A reset is as good as a close here; what came before it counts.
    let _reset = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the connection is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn until<S: AsyncRead + Unpin>(socket: &mut S, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, socket.read_u8()).await.expect("an answer in time");
        answer.push(byte.unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&answer))));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

#[tokio::test]
async fn a_head_that_no_server_may_act_on_is_refused() {
    let house = house(&generous(), None);
    let ask = |head: &str| format!("{head}\r\nConnection: close\r\n\r\n");
    for (head, expected) in [
        ("GET /x HTTP/1.1", &[400][..]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: a", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a,b", &[400]),
        ("GET ftp://evil/x HTTP/1.1\r\nHost: a", &[400]),
        ("GET evil:80 HTTP/1.1\r\nHost: a", &[400]),
        ("GET subjects HTTP/1.1\r\nHost: a", &[400]),
        ("GET * HTTP/1.1\r\nHost: a", &[400]),
        ("TRACE /x HTTP/1.1\r\nHost: a", &[405]),
        ("get /x HTTP/1.1\r\nHost: a", &[405]),
        ("PROPFIND /x HTTP/1.1\r\nHost: a", &[405]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", &[400, 501]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked", &[400, 501]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked", &[400, 501]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -1", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length:", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1", &[400]),
        ("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok", &[417]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n folded", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nno colon", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\n: nameless", &[400]),
        ("GET /x HTTP/1.1\r\nHost: a\r\nn\u{e4}me: x", &[400]),
        (" GET /x HTTP/1.1\r\nHost: a", &[400]),
        ("GET /x HTTP/1.1\r\n Host: a", &[400]),
    ] {
        let answer = house.exchange(ask(head)).await;
        let found = status(&answer).unwrap_or_default();
        assert!(expected.contains(&found), "{head:?} was answered {answer:?}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let house = house(&generous(), None);
    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: x\r\n")).collect::<String>();
    for (head, expected) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(64 << 10)), &[414, 431][..]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100 << 10)), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(32 << 10)), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(100)), &[431]),
        (format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(64 << 10)), &[400, 431]),
    ] {
        let answer = house.exchange(&head).await;
        let found = status(&answer).unwrap_or_default();
        assert!(expected.contains(&found), "{:?}… was answered {answer:?}", &head[..20]);
    }
    let largest = format!("GET /fits HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", lines(98));
    assert_eq!(status(&house.exchange(largest).await), Some(200));
    house.is_alive().await;
}

#[tokio::test]
async fn the_host_of_an_absolute_target_is_not_gone_to() {
    let house = house(&generous(), None);
    let answer =
        house.exchange("GET http://evil.example/subjects HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("path=/subjects"), "{answer}");
}

#[tokio::test]
async fn connect_opens_no_tunnel_and_what_follows_it_is_not_executed() {
    let house = house(&generous(), None);
    let answer = house
        .exchange("CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(status(&answer), Some(405), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(house.seen(), ["CONNECT evil:443"]);
}

#[tokio::test]
async fn a_length_beside_a_transfer_coding_counts_for_nothing() {
    let house = house(&generous(), None);
    for fields in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let answer = house
            .exchange(format!(
                "POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\n\r\n"
            ))
            .await;
        assert!(answer.contains("\r\n\r\nhello"), "{answer}");
    }
    assert!(!house.seen().iter().any(|seen| seen.contains("inner")), "{:?}", house.seen());
}

#[tokio::test]
async fn a_request_inside_the_body_of_another_is_never_executed() {
    let house = house(&generous(), None);
    let inner = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
    let outer = format!("GET /outer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
    let answer = house.exchange(format!("{outer}GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.contains("path=/outer"), "{answer}");
    assert!(!house.seen().iter().any(|seen| seen.contains("inner")), "{:?}", house.seen());
    if house.seen().len() == 2 {
        assert!(answer.ends_with("path=/next"), "{answer}");
    }
}

#[tokio::test]
async fn an_expectation_is_met_only_when_the_body_is_wanted() {
    let house = house(&generous(), None);
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut socket = house.connect().await;
    socket.write_all(head("/x", 5).as_bytes()).await.expect("sent");
    assert_eq!(until(&mut socket, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"hello").await.expect("sent");
    assert!(until(&mut socket, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));

    assert_eq!(status(&house.exchange(head("/x", 5000)).await), Some(413));
    assert_eq!(status(&house.exchange(head("/denied", 5)).await), Some(401));
}

#[tokio::test]
async fn the_refusal_of_a_large_body_arrives_although_the_client_is_still_sending() {
    let house = house(&generous(), None);
    for framing in
        ["Content-Length: 400000\r\n\r\n".to_owned(), "Transfer-Encoding: chunked\r\n\r\n61a80\r\n".to_owned()]
    {
        let head = format!("POST /x HTTP/1.1\r\nHost: a\r\n{framing}");
        let answer = house.exchange([head.as_bytes(), &[b'x'; 400_000]].concat()).await;
        assert_eq!(status(&answer), Some(413), "{answer}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn a_client_that_closed_its_side_still_hears_the_answer() {
    let house = house(&generous(), None);
    let mut socket = house.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    socket.shutdown().await.expect("half closed");
    house.requests(1).await;
    house.echo.release.notify_one();
    assert!(until_closed(&mut socket).await.ends_with("slow"));
}

#[tokio::test]
async fn every_shape_of_a_silent_client_is_cut_at_its_limit() {
    let house = house(&tight(), None);
    let answered = "HTTP/1.1 200 OK";
    for (sent, answer_begins) in [
        ("", ""),
        ("GET /half", ""),
        ("GET /half HTTP/1.1\r\nHost: a\r\nX-Ha", ""),
        ("GET /half HTTP/1.1\r\nHost: a\r\nX: y\r\n", ""),
        ("PRI *", ""),
        ("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 408"),
        ("POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "HTTP/1.1 408"),
        ("POST /silent HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "HTTP/1.1 408"),
        ("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n", answered),
        ("GET /next HTTP/1.1\r\nHost: a\r\n\r\nGET /half", answered),
    ] {
        let mut socket = house.connect().await;
        socket.write_all(sent.as_bytes()).await.expect("sent");
        let start = Instant::now();
        let answer = until_closed(&mut socket).await;
        assert!(answer.starts_with(answer_begins), "{sent:?} was answered {answer:?}");
        assert!(!answer_begins.is_empty() || answer.is_empty(), "{sent:?} was answered {answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{sent:?} was cut after {:?}", start.elapsed());
    }
    let page = house.registry.render();
    for limit in ["first_byte", "head_time", "idle"] {
        let counted =
            page.lines().any(|line| line.starts_with("outpost_server_connections_cut_total") && line.contains(limit));
        assert!(counted, "{limit} is not in {page}");
    }
    house.is_alive().await;
}

#[tokio::test]
async fn a_head_or_body_in_drips_is_cut_although_it_is_never_silent() {
    let house = house(&tight(), None);
    for sent in ["GET /x HTTP/1.1\r\nHost: a\r\nX: ", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n"] {
        let mut socket = house.connect().await;
        socket.write_all(sent.as_bytes()).await.expect("sent");
        let mut drips = tokio::time::interval(Duration::from_millis(20));
        let dripped = timeout(PATIENCE, async {
            loop {
                drips.tick().await;
                if socket.write_all(b"x").await.is_err() {
                    return;
                }
            }
        });
        dripped.await.unwrap_or_else(|_| panic!("{sent:?} may drip for ever"));
    }
    house.is_alive().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let house = house(&tight(), None);
    let mut socket = house.connect().await;
    socket.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    house.requests(1).await;
    let cut = async {
        while !house.registry.render().contains("limit=\"body_idle\"") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the limit is counted");
    assert!(until_closed(&mut socket).await.len() < 32 << 20);
}

#[tokio::test]
async fn a_full_house_keeps_new_clients_waiting_until_a_slow_one_is_cut() {
    let house = house(&Limits { connections: 2, ..tight() }, None);
    let _silent = (house.connect().await, house.connect().await);
    house.is_alive().await;
}

#[tokio::test]
async fn a_crowd_of_half_requests_does_not_keep_others_out() {
    let house = house(&Limits { head_time: PATIENCE, ..generous() }, None);
    let mut crowd = Vec::new();
    for _ in 0..300 {
        let mut socket = house.connect().await;
        socket.write_all(b"GET / HTTP/1.1\r\nX: ").await.expect("sent");
        crowd.push(socket);
    }
    let start = Instant::now();
    house.is_alive().await;
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_drain_closes_what_is_idle_and_finishes_what_is_under_way() {
    let mut house = house(&Limits { drain: PATIENCE, ..generous() }, None);
    let mut idle = house.connect().await;
    idle.write_all(b"GET /idle HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    until(&mut idle, "path=/idle").await;
    let mut fresh = house.connect().await;
    let mut busy = house.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    house.requests(2).await;

    house.drain.cancel();
    assert_eq!(until_closed(&mut idle).await, "");
    assert_eq!(until_closed(&mut fresh).await, "");
    assert!(TcpStream::connect(house.address).await.is_err(), "nothing listens any more");
    assert!(!house.served.is_finished(), "a request is under way");
    house.echo.release.notify_one();
    let answer = until_closed(&mut busy).await;
    assert!(answer.to_ascii_lowercase().contains("connection: close") && answer.ends_with("slow"), "{answer}");
    timeout(PATIENCE, &mut house.served).await.expect("it ends").expect("without a panic");
}

#[tokio::test]
async fn a_drain_ends_at_its_limit_whatever_is_under_way() {
    let mut house = house(&tight(), None);
    let mut busy = house.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    house.requests(1).await;
    house.drain.cancel();
    assert_eq!(until_closed(&mut busy).await, "");
    timeout(PATIENCE, &mut house.served).await.expect("it ends").expect("without a panic");
}

/// A certificate authority with files for a listener.
struct Authority {
    folder: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    certificate: rcgen::Certificate,
}

fn authority() -> Authority {
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

    fn renew(&self) -> Vec<u8> {
        let (certificate, key) = self.issue();
        self.write(&certificate.pem(), &key.serialize_pem());
        certificate.der().to_vec()
    }

    fn files(&self) -> TlsConfig {
        TlsConfig {
            certificate: self.folder.path().join("tls.crt"),
            key: self.folder.path().join("tls.key"),
            client_ca: Some(self.folder.path().join("ca.crt")),
        }
    }

    fn client(&self, alpn: &[&[u8]], with_certificate: bool) -> TlsConnector {
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
    async fn connect_tls(&self, client: &TlsConnector) -> TlsStream<TcpStream> {
        let name = "localhost".try_into().expect("a name");
        client.connect(name, self.connect().await).await.expect("the handshake succeeds")
    }
}

async fn ask_over_h2(stream: TlsStream<TcpStream>, request: Request<Body>) -> Response<Incoming> {
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender.send_request(request).await.expect("an answer")
}

async fn whole(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.expect("the whole body").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
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
        assert_eq!(whole(ask_over_h2(stream, request).await).await, expected);
    }
}

#[tokio::test]
async fn an_http_2_answer_larger_than_any_window_arrives_whole() {
    let authority = authority();
    authority.renew();
    let house = house(&generous(), Some(authority.files()));
    let stream = house.connect_tls(&authority.client(&[b"h2"], false)).await;
    let request = Request::get("https://localhost/big").body(Body::empty()).expect("a request");
    let response = ask_over_h2(stream, request).await;
    assert_eq!(response.headers()["content-length"], (32 << 20).to_string());
    assert_eq!(whole(response).await.len(), 32 << 20);
}

#[tokio::test]
async fn connect_over_http_2_opens_no_tunnel() {
    let authority = authority();
    authority.renew();
    let house = house(&generous(), Some(authority.files()));
    let stream = house.connect_tls(&authority.client(&[b"h2"], false)).await;
    let request = Request::connect("evil:443").body(Body::empty()).expect("a request");
    assert_eq!(ask_over_h2(stream, request).await.status(), 405);
}

/// Frames of HTTP/2, by hand.
mod frames {
    pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// Settings with an initial window of nothing.
    pub const SHUT_WINDOW: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    /// `GET https://a/big`: method and scheme from the static table, path and authority spelt out.
    pub const GET_BIG: &[u8] = b"\x00\x00\x0b\x01\x05\x00\x00\x00\x01\x82\x87\x04\x04/big\x01\x01a";
}

#[tokio::test]
async fn every_shape_of_a_silent_http_2_client_is_cut_at_its_limit() {
    let authority = authority();
    authority.renew();
    let house = house(&tight(), Some(authority.files()));
    let client = authority.client(&[b"h2"], false);
    for (shape, sent) in [
        ("nothing", vec![]),
        ("half a preface", vec![&frames::PREFACE[..10]]),
        ("no settings", vec![frames::PREFACE]),
        ("no request", vec![frames::PREFACE, frames::SETTINGS]),
        ("half a request", vec![frames::PREFACE, frames::SETTINGS, &frames::GET_BIG[..12]]),
        ("a shut window", vec![frames::PREFACE, frames::SHUT_WINDOW, frames::GET_BIG]),
    ] {
        let mut stream = house.connect_tls(&client).await;
        stream.write_all(&sent.concat()).await.expect("sent");
        let start = Instant::now();
        until_closed(&mut stream).await;
        assert!(start.elapsed() < Duration::from_secs(5), "{shape} was cut after {:?}", start.elapsed());
    }
    assert_eq!(house.seen(), ["GET https://a/big"], "the last shape was a request");
    assert!(house.registry.render().contains("limit=\"body_idle\""), "{}", house.registry.render());
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
