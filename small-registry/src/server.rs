//! The socket: accepting, reading, misbehaving, answering.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::faults::{Fault, Faults};
use crate::gzip;
use crate::profile::Profile;
use crate::router::{self, Asked};
use crate::seen::{Log, Seen};
use crate::state::State;
use crate::web;

/// What the server and its handle share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) profile: Profile,
    /// The `Authorization` that is demanded.
    pub(crate) authorization: Option<String>,
    /// A path before every route, without a trailing slash.
    pub(crate) base: String,
    /// Whether there is a DEK registry.
    pub(crate) dek_registry: bool,
    pub(crate) state: Mutex<State>,
    pub(crate) log: Log,
    pub(crate) faults: Mutex<Faults>,
}

impl Shared {
    /// Answers a request by the state alone.
    pub(crate) fn answer(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Response<Bytes> {
        if let Some(refusal) = web::refused(method, target, headers) {
            return refusal;
        }
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = match path.strip_prefix(&self.base) {
            Some("") => "/",
            Some(path) => path,
            None => "/no-such-base-path",
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let asked = Asked { method, path, query, headers, body, dek_registry: self.dek_registry };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // No two requests at the same time: a real registry's writes lie further apart than a millisecond.
        let now = state.tick(i64::try_from(now).unwrap_or(i64::MAX));
        router::answer(&mut state, self.profile, now, &asked)
    }

    fn may(&self, headers: &HeaderMap) -> bool {
        let given = headers.get("Authorization").map(HeaderValue::as_bytes);
        self.authorization.as_ref().is_none_or(|demanded| given == Some(demanded.as_bytes()))
    }
}

/// A running server; dropping it stops it without waiting.
#[derive(Debug)]
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(
        address: SocketAddr,
        shared: Arc<Shared>,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, shared, tls, stopped));
        Ok((Self { stop, task }, address))
    }

    /// Closes the port and cuts every connection.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // A task that panicked has stopped too.
        drop(self.task.await);
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                drop(stream.set_nodelay(true));
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, shared).await,
                        Some(tls) => if let Ok(stream) = tls.accept(stream).await { serve(stream, shared).await },
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(move |request| handle(request, shared.clone()));
    // A connection that a fault cut ends in an error, which is the point.
    // As Jetty does: a client may send its request, close its side, and wait for the answer.
    drop(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service).await);
}

/// The connection is to be cut.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

async fn handle(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Answer>, Cut> {
    let (parts, body) = request.into_parts();
    let has_body = parts.headers.contains_key(CONTENT_LENGTH) || parts.headers.contains_key("Transfer-Encoding");
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str()).to_owned();
    let seen = Seen { method: parts.method, target, headers: parts.headers, body };
    shared.log.add(seen.clone());
    let fault = shared.faults.lock().unwrap_or_else(PoisonError::into_inner).take(&seen);
    if matches!(fault, Some(Fault::Unauthorized)) || !shared.may(&seen.headers) {
        return Ok(whole(&seen, unauthorized()));
    }
    let act = || {
        let body = has_body.then_some(&seen.body[..]);
        shared.answer(&seen.method, &seen.target, &seen.headers, body)
    };
    match fault {
        None | Some(Fault::Unauthorized) => Ok(whole(&seen, act())),
        Some(Fault::BlackHole) => std::future::pending().await,
        Some(Fault::CutBeforeAct) => Err(Cut),
        Some(Fault::CutAfterAct) => {
            act();
            Err(Cut)
        }
        Some(Fault::HalfAnswer) => Ok(half(&seen, act(), After::Cut)),
        Some(Fault::Stall) => Ok(half(&seen, act(), After::Silence)),
        Some(Fault::Status { status, headers, body }) => Ok(whole(&seen, made_up(status, &headers, body))),
        Some(Fault::SlowAnswer(time)) => {
            let answer = act();
            tokio::time::sleep(time).await;
            Ok(whole(&seen, answer))
        }
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            Ok(whole(&seen, act()))
        }
    }
}

fn unauthorized() -> Response<Bytes> {
    let headers = [
        ("WWW-Authenticate".to_owned(), "Basic realm=\"small-registry\"".to_owned()),
        ("Content-Type".to_owned(), "application/json".to_owned()),
    ];
    made_up(401, &headers, r#"{"error_code":401,"message":"Unauthorized"}"#.to_owned())
}

fn made_up(status: u16, headers: &[(String, String)], body: String) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Bytes::from(body)).unwrap_or_else(|_| {
        let mut response = Response::new(Bytes::from_static(b"the fault is not a valid answer"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// What fits into Jersey's buffer has a length, anything larger is sent in chunks.
const BUFFER: usize = 8192;

fn whole(asked: &Seen, response: Response<Bytes>) -> Response<Answer> {
    // Before it is compressed: how much is left of it then, Jersey does not know.
    let sized = response.body().len() <= BUFFER;
    let (mut parts, body) = gzip::encode(asked, response).into_parts();
    if asked.method == Method::HEAD {
        let length = if sized { body.len() } else { 0 };
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        return Response::from_parts(parts, Answer::default());
    }
    Response::from_parts(parts, Answer { rest: Some(body), sized, ..Answer::default() })
}

fn half(asked: &Seen, response: Response<Bytes>, after: After) -> Response<Answer> {
    let (mut parts, body) = gzip::encode(asked, response).into_parts();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let first = body.slice(..body.len() / 2);
    Response::from_parts(parts, Answer { rest: Some(first), after, ..Answer::default() })
}

/// A body that may be cut in the middle.
#[derive(Debug, Default)]
struct Answer {
    rest: Option<Bytes>,
    sized: bool,
    after: After,
    paused: bool,
}

/// What comes after the bytes of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum After {
    /// Its end.
    #[default]
    End,
    /// The end of the connection.
    Cut,
    /// Nothing, for ever.
    Silence,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.rest.take() {
            Some(rest) if !rest.is_empty() => Poll::Ready(Some(Ok(Frame::data(rest)))),
            _ if self.after == After::Silence => Poll::Pending,
            _ if self.after == After::Cut && !self.paused => {
                // One turn without anything to send, in which what was sent so far is flushed.
                self.paused = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ if self.after == After::Cut => Poll::Ready(Some(Err(Cut))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.after == After::End && self.rest.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(rest) if self.sized => SizeHint::with_exact(rest.len() as u64),
            None if self.after == After::End => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}
