//! A listener with a service that answers what it is asked for.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytesize::ByteSize;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use schema_outpost::body::Body;
use schema_outpost::server::{
    AtOnce, Certificate, Framing, Gate, Heads, IntakeError, Limits, Listener, ListenerConfig, Metrics, Outbox, Peer,
    Reception, TlsConfig, Words, examine, read_whole,
};
use schema_outpost::telemetry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than any limit in these tests, by so much that a busy machine does not matter.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Answers what it is asked for, and remembers what that was.
#[derive(Clone)]
pub struct Echo {
    pub limits: Limits,
    pub seen: Arc<Mutex<Vec<String>>>,
    pub arrived: Arc<watch::Sender<usize>>,
    pub release: Arc<Notify>,
    pub peer: Option<Peer>,
}

impl Echo {
    pub async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        self.seen.lock().expect("nothing panics").push(format!("{} {}", head.method, head.uri));
        self.arrived.send_modify(|count| *count += 1);
        if let Err(error) = examine(&head) {
            return Ok(refusal(error.status(), &error.to_string()));
        }
        let peer = self.peer.expect("every connection has a peer");
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
            ("GET", path) if at_hand(path).is_some() => {
                Ok(Response::new(Body::whole(at_hand(path).unwrap_or_default())))
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

pub fn refusal(status: StatusCode, message: &str) -> Response<Body> {
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

/// What is answered to `/at-hand/x/5`: five times x.
fn at_hand(target: &str) -> Option<Vec<u8>> {
    let (what, times) = target.strip_prefix("/at-hand/")?.split_once('/')?;
    Some(what.as_bytes().repeat(times.parse().ok()?))
}

/// Makes services that echo, and has at hand what needs none.
#[derive(Clone)]
struct Door(Echo);

impl Reception for Door {
    type Guest = Echo;

    fn receive(&self, peer: Peer) -> Echo {
        Echo { peer: Some(peer), ..self.0.clone() }
    }

    fn at_once(&self, _: &Echo) -> Option<Arc<dyn AtOnce>> {
        Some(Arc::new(Shelf))
    }
}

struct Shelf;

impl AtOnce for Shelf {
    fn answer(&self, words: &Words<'_>, outbox: &mut Outbox) -> bool {
        let Some(body) = at_hand(words.target).filter(|_| !words.is_head) else { return false };
        let ready = Heads::default().render(StatusCode::OK, [].into_iter(), Framing::Length(body.len()));
        outbox.put(&ready, &[], &body, || body.clone().into());
        true
    }
}

/// A listener that serves [`Echo`].
pub struct House {
    pub address: SocketAddr,
    pub echo: Echo,
    pub drain: CancellationToken,
    pub certificate: Option<Arc<Certificate>>,
    pub served: JoinHandle<()>,
    pub registry: Registry,
}

pub fn generous() -> Limits {
    Limits { body: ByteSize::kib(4), ..Limits::default() }
}

pub fn tight() -> Limits {
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

pub fn house(limits: &Limits, tls: Option<TlsConfig>) -> House {
    let mut registry = Registry::new();
    let gate = Gate::new("data", limits, &Metrics::register(&mut registry));
    let config = ListenerConfig { bind: SocketAddr::from(([127, 0, 0, 1], 0)), tls, context: None };
    let listener = Listener::bind(&config, &gate).expect("a free port and a good certificate");
    let echo = Echo {
        limits: limits.clone(),
        seen: Arc::default(),
        arrived: Arc::new(watch::channel(0).0),
        release: Arc::default(),
        peer: None,
    };
    let reception = Door(echo.clone());
    let drain = CancellationToken::new();
    House {
        address: listener.local_addr(),
        certificate: listener.certificate(),
        served: tokio::spawn(listener.serve(reception, drain.clone())),
        echo,
        drain,
        registry,
    }
}

impl House {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the listener accepts")
    }

    /// Sends `bytes`, and returns everything that comes back until the server closes.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = self.connect().await;
        // The server may refuse a head before all of it was sent.
        let _refused = socket.write_all(bytes.as_ref()).await;
        until_closed(&mut socket).await
    }

    pub async fn requests(&self, count: usize) {
        let mut arrived = self.echo.arrived.subscribe();
        let waited = timeout(PATIENCE, arrived.wait_for(|arrived| *arrived >= count)).await;
        waited.expect("the requests arrive").expect("the sender lives");
    }

    pub fn seen(&self) -> Vec<String> {
        self.echo.seen.lock().expect("nothing panics").clone()
    }

    pub async fn is_alive(&self) {
        let answer = self.exchange("GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("path=/alive"), "{answer}");
    }
}

pub async fn until_closed(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A reset is as good as a close here; what came before it counts.
    let _reset = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the connection is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

pub async fn until<S: AsyncRead + Unpin>(socket: &mut S, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let byte = timeout(PATIENCE, socket.read_u8()).await.expect("an answer in time");
        answer.push(byte.unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&answer))));
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}
