//! One connection, from the accepted socket to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tower::{BoxError, Service};

use super::Limits;
use super::clock::{Clock, Overdue, Protocol};
use super::front::{AtOnce, Front};
use super::gate::Place;
use super::signal::Signal;
use super::stream::Watched;
use super::tls::Certificate;
use super::turns::Turns;
use crate::body::Body;
use crate::telemetry::Chain;

/// Streams that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;

/// hyper insists on at least this much.
const SMALLEST_BUFFER: usize = 8 * 1024;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Number of the connection since the start of this process.
    pub connection: u64,
    /// The verified certificate chain that the client showed, leaf first; empty when it showed none.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// Whoever receives connections: each gets a service of its own, which knows its peer.
///
/// Any closure from a [`Peer`] to a tower service is one.
pub trait Reception: Clone + Send + 'static {
    /// The service of one connection.
    type Guest: Guest;

    /// Makes the service of a connection that was just opened.
    fn receive(&self, peer: Peer) -> Self::Guest;

    /// Who answers for a service what it has ready, before a request is taken apart.
    fn at_once(&self, _guest: &Self::Guest) -> Option<Arc<dyn AtOnce>> {
        None
    }
}

/// A tower service that answers requests and cannot fail.
pub trait Guest:
    Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Guest for S where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<F, S> Reception for F
where
    F: Fn(Peer) -> S + Clone + Send + 'static,
    S: Guest,
{
    type Guest = S;

    fn receive(&self, peer: Peer) -> S {
        self(peer)
    }
}

/// The ways in which a connection is told to end before it wants to.
#[derive(Clone)]
pub(super) struct Ending {
    /// Finish what is under way, take nothing new.
    pub(super) drain: Signal,
    /// Stop now.
    pub(super) abort: Signal,
    pub(super) tasks: TaskTracker,
}

impl<F> Executor<F> for Ending
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stream => {}
                () = abort.given() => {}
            }
        });
    }
}

/// Serves one accepted connection.
pub(super) async fn serve<R>(
    tcp: TcpStream,
    address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    visit: Visit<R>,
) where
    R: Reception,
{
    // Without it each answer would wait for the client's delayed acknowledgement of the one before.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let mut peer =
        Peer { address, tls: false, connection: visit.place.connection, certificates: Arc::from(Vec::new()) };
    let Some(certificate) = certificate else {
        return converse(tcp, None, peer, visit).await;
    };
    // In boxes, so that plain connections do not carry the room for it about with them.
    let handshake = Box::pin(timeout(visit.place.limits().handshake, certificate.acceptor().accept(tcp)));
    let shaken = tokio::select! {
        shaken = handshake => Some(shaken),
        () = visit.ending.abort.given() => None,
    };
    let stream = match shaken {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => {
            visit.place.handshake_failed();
            tracing::debug!(peer = %address, error = %Chain(&error), "TLS handshake failed");
            return;
        }
        Some(Err(_)) => {
            visit.place.handshake_failed();
            tracing::debug!(peer = %address, "TLS handshake took too long");
            return;
        }
        None => return,
    };
    let session = stream.get_ref().1;
    let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::H2 } else { Protocol::H1 };
    peer.tls = true;
    peer.certificates = session.peer_certificates().unwrap_or_default().iter().cloned().collect();
    Box::pin(converse(stream, Some(protocol), peer, visit)).await;
}

/// What a connection needs besides its socket.
pub(super) struct Visit<R> {
    pub(super) reception: R,
    pub(super) place: Place,
    pub(super) ending: Ending,
}

/// Talks with a client, whose first bytes tell the protocol where nothing else did.
async fn converse<T, R>(stream: T, protocol: Option<Protocol>, peer: Peer, visit: Visit<R>)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    R: Reception,
{
    let Visit { reception, place, ending } = visit;
    let clock = Arc::new(Clock::new(place.limits()));
    let address = peer.address;
    let guest = reception.receive(peer);
    let at_once = reception.at_once(&guest);
    let stream = Watched::new(stream, Arc::clone(&clock));
    let mut front = Front::new(stream, Arc::clone(&clock), at_once, longest_head(place.limits()));
    let service = Turns::new(guest, Arc::clone(&clock));
    let talk = async {
        let protocol = match protocol {
            Some(protocol) => {
                front.speak(protocol);
                protocol
            }
            None => drive(Opening { front: &mut front, is_over: false }, &clock, &ending).await?,
        };
        let io = TokioIo::new(front);
        match protocol {
            Protocol::H1 => {
                let connection = http1(place.limits()).serve_connection(io, service);
                drive(Box::pin(connection), &clock, &ending).await
            }
            Protocol::H2 => {
                let connection = http2(place.limits(), ending.clone()).serve_connection(io, service);
                drive(Box::pin(connection), &clock, &ending).await
            }
        }
    };
    match talk.await {
        Ok(()) => {}
        Err(Break::Broken(error)) => {
            tracing::debug!(peer = %address, error = %Chain(&*error), "connection broke");
        }
        Err(Break::Cut(overdue)) => {
            place.cut(overdue);
            tracing::debug!(peer = %address, limit = ?overdue, "connection closed because a limit was reached");
        }
        Err(Break::Aborted) => {
            tracing::warn!(peer = %address, "connection closed in the middle of a request, the drain took too long")
        }
    }
}

fn longest_head(limits: &Limits) -> usize {
    usize::try_from(limits.head.as_u64()).unwrap_or(usize::MAX)
}

fn http1(limits: &Limits) -> http1::Builder {
    let head = longest_head(limits);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The clock sees to heads; this timer would close an idle connection just as fast as a slow head.
        .header_read_timeout(None::<Duration>)
        .max_header_size(head)
        .max_buf_size(head.max(SMALLEST_BUFFER))
        // A client may send its request, close its side, and wait for the answer.
        .half_close(true);
    builder
}

fn http2(limits: &Limits, streams: Ending) -> http2::Builder<Ending> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.head.as_u64()).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(1024);
    builder
}

/// Something that a connection does until it ends.
trait Stage: Unpin {
    /// What it ends with.
    type End;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::End, BoxError>>;

    /// Finish what is under way, take nothing new.
    fn wind_up(&mut self);
}

impl<C: GracefulConnection<Error = hyper::Error>> Stage for Pin<Box<C>> {
    type End = ();

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.as_mut().poll(cx).map_err(BoxError::from)
    }

    fn wind_up(&mut self) {
        self.as_mut().graceful_shutdown();
    }
}

/// The first bytes of a client that may speak either protocol. hyper-util has the same, without a limit of time.
struct Opening<'a, T> {
    front: &'a mut Front<T>,
    is_over: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stage for Opening<'_, T> {
    type End = Protocol;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Protocol, BoxError>> {
        if self.is_over {
            return Poll::Ready(Ok(Protocol::H1));
        }
        Poll::Ready(Ok(ready!(self.front.poll_protocol(cx))?))
    }

    fn wind_up(&mut self) {
        self.is_over = true;
    }
}

/// Why a connection ended before it was to.
enum Break {
    Broken(BoxError),
    Cut(Overdue),
    Aborted,
}

/// A timer may ring a little late, and the clock is read a little before it is asked.
const SLACK: Duration = Duration::from_millis(2);

/// Polls a stage of a connection until it ends or the clock says that the connection has to.
async fn drive<S: Stage>(mut stage: S, clock: &Clock, ending: &Ending) -> Result<S::End, Break> {
    let Ending { drain, abort, .. } = ending;
    // Once asked, a signal wakes this task when it is given, and needs not be asked again until then.
    let mut signals = pin!(futures_util::future::join(drain.given(), abort.given()));
    let mut is_listening = false;
    let mut draining = false;
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut armed = false;
    let mut retired = None;
    std::future::poll_fn(|cx| {
        loop {
            clock.unwatch();
            if !std::mem::replace(&mut is_listening, true) {
                let _heard = signals.as_mut().poll(cx);
            }
            if abort.is_given() {
                return Poll::Ready(Err(Break::Aborted));
            }
            if !draining && drain.is_given() {
                draining = true;
                if clock.drain() {
                    stage.wind_up();
                }
            }
            if let Poll::Ready(ended) = stage.poll(cx) {
                let ended = ended.map_err(Break::Broken);
                return Poll::Ready(retired.map_or(ended, |overdue| Err(Break::Cut(overdue))));
            }
            let now = Instant::now();
            let Some((at, overdue)) = clock.watch(cx.waker(), now) else { return Poll::Pending };
            // Most requests end long before the alarm, so it is only ever set anew when it must ring
            // earlier, or when it has rung.
            if armed && alarm.deadline() <= at && now + SLACK < alarm.deadline() {
                return Poll::Pending;
            }
            if !armed || alarm.deadline() > at {
                alarm.as_mut().reset(at);
                armed = true;
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            armed = false;
            if alarm.deadline() < at {
                continue;
            }
            let (Overdue::Idle | Overdue::Drained) = overdue else {
                return Poll::Ready(Err(Break::Cut(retired.unwrap_or(overdue))));
            };
            // A client of HTTP/2 that just now sends its next request hears that it came too late.
            retired = Some(overdue);
            clock.retire();
            stage.wind_up();
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::server::{Framing, Gate, Heads, Metrics, Outbox, Words};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Answers every request with so many bytes, from before hyper where that is possible.
    #[derive(Clone)]
    struct AtHand<R>(R, usize);

    impl<R: Reception> Reception for AtHand<R> {
        type Guest = R::Guest;

        fn receive(&self, peer: Peer) -> R::Guest {
            self.0.receive(peer)
        }

        fn at_once(&self, _: &R::Guest) -> Option<Arc<dyn AtOnce>> {
            Some(Arc::new(Shelf(self.1)))
        }
    }

    struct Shelf(usize);

    impl AtOnce for Shelf {
        fn answer(&self, _: &Words<'_>, outbox: &mut Outbox) -> bool {
            let ready = Heads::default().render(StatusCode::OK, [].into_iter(), Framing::Length(self.0));
            let body = vec![b'x'; self.0];
            outbox.put(&ready, &[], &body, || body.clone().into());
            true
        }
    }

    fn sized(size: usize) -> impl Reception {
        move |_: Peer| {
            tower::service_fn(move |_: Request<Incoming>| async move {
                Ok::<_, Infallible>(Response::new(Body::whole(vec![b'x'; size])))
            })
        }
    }

    /// A client's end of a connection on which every request is answered with `size` bytes.
    async fn client(size: usize) -> DuplexStream {
        visitor(sized(size), &Signal::default()).await
    }

    /// A client's end of a connection.
    async fn visitor(reception: impl Reception, drain: &Signal) -> DuplexStream {
        let (client, server) = tokio::io::duplex(1024);
        let gate = Gate::new("data", &Limits::default(), &Metrics::default());
        let ending = Ending { drain: drain.clone(), abort: Signal::default(), tasks: TaskTracker::new() };
        let place = gate.admit(gate.room().await);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = Peer { address, tls: false, connection: place.connection, certificates: Arc::from(Vec::new()) };
        let connection = converse(server, None, peer, Visit { reception, place, ending });
        assert!(
            size_of_val(&connection) < 4096,
            "{} bytes for a connection that does nothing",
            size_of_val(&connection)
        );
        tokio::spawn(connection);
        client
    }

    /// How many seconds it takes until the server closes, and what it sends until then.
    async fn closed_after(client: &mut DuplexStream) -> (u64, String) {
        let start = Instant::now();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("closed in good order");
        (start.elapsed().as_secs(), answer)
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_cut_after_the_first_byte_limit() {
        assert_eq!(closed_after(&mut client(1).await).await, (10, String::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_cut_however_it_drips() {
        let mut client = client(1).await;
        pass(9).await;
        for byte in &REQUEST[..8] {
            client.write_all(&[*byte]).await.expect("still open");
            pass(1).await;
        }
        assert_eq!(closed_after(&mut client).await, (2, String::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_outlives_the_limit_of_a_head_and_each_request_starts_its_time_anew() {
        let mut client = client(1).await;
        for _ in 0..3 {
            client.write_all(REQUEST).await.expect("still open");
            let mut answer = [0; 1024];
            let length = client.read(&mut answer).await.expect("an answer");
            assert!(answer[..length].ends_with(b"\r\n\r\nx"));
            pass(70).await;
        }
        assert_eq!(closed_after(&mut client).await, (5, String::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_line_after_a_request_is_silence_and_not_half_a_head() {
        let stays = async |mut client: DuplexStream| {
            client.write_all(&[REQUEST, b"\r\n"].concat()).await.expect("open");
            let (seconds, answer) = closed_after(&mut client).await;
            assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
            assert_eq!(seconds, 75);
        };
        stays(client(1).await).await;
        stays(visitor(AtHand(sized(2), 1), &Signal::default()).await).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_cut_and_a_slow_reader_gets_all_of_it() {
        stall(visitor(sized(100_000), &Signal::default()).await).await;
        crawl(visitor(sized(600_000), &Signal::default()).await, async || {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_holds_for_an_answer_that_was_at_hand() {
        stall(visitor(AtHand(sized(1), 100_000), &Signal::default()).await).await;
        crawl(visitor(AtHand(sized(1), 600_000), &Signal::default()).await, async || {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_leaves_a_slow_reader_the_time_to_get_all_of_an_answer() {
        let drain = Signal::default();
        crawl(visitor(sized(600_000), &drain).await, async || drain.give()).await;
        let drain = Signal::default();
        crawl(visitor(AtHand(sized(1), 600_000), &drain).await, async || drain.give()).await;
    }

    /// A client that does not read.
    async fn stall(mut client: DuplexStream) {
        client.write_all(REQUEST).await.expect("open");
        pass(11).await;
        let (_, answer) = closed_after(&mut client).await;
        assert_eq!(answer.len(), 1024, "what was on its way, and no more");
    }

    /// A client that reads as slowly as it may, and what happens after its first piece.
    async fn crawl(mut client: DuplexStream, then: impl AsyncFnOnce()) {
        client.write_all(REQUEST).await.expect("open");
        client.shutdown().await.expect("open");
        let mut received = client.read(&mut [0; 2048]).await.expect("open");
        let start = Instant::now();
        then().await;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            match client.read(&mut [0; 2048]).await.expect("not cut") {
                0 => break,
                length => received += length,
            }
        }
        let took = start.elapsed();
        assert!(received > 600_000 && took > Duration::from_secs(200), "{received} in {took:?}");
    }
}
