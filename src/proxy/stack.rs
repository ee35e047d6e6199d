//! What is the same for any HTTP service: request id, in-flight limit, deadline, one log line.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::headers::request_id;
use super::refuse::{Failure, response};
use super::{Proxy, Visit};
use crate::body::Body;
use crate::server::Peer;

/// The proxy as a service that cannot fail.
#[derive(Clone)]
pub struct Stack {
    proxy: Arc<Proxy>,
    in_flight: Arc<Semaphore>,
    last_call: CancellationToken,
}

impl Stack {
    /// Puts the limits around a proxy. After `last_call` nobody waits for the primary any more.
    pub fn around(proxy: Arc<Proxy>, last_call: CancellationToken) -> Self {
        let in_flight = Arc::new(Semaphore::new(proxy.limits.in_flight));
        Self { proxy, in_flight, last_call }
    }

    async fn serve(self, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let request_id = request_id(request.headers());
        let method = request.method().clone();
        let metrics = &self.proxy.parties.metrics;
        let Ok(permit) = self.in_flight.try_acquire_owned() else {
            metrics.shed.inc();
            return response(&Failure::Overloaded, &method, request.headers(), &request_id);
        };
        metrics.in_flight.inc();
        let place = Arc::new(InFlight { _permit: permit, gauge: metrics.in_flight.clone() });
        let peer = request.extensions().get::<Peer>();
        let visit = Visit {
            request_id,
            peer: peer.map_or_else(|| ([0, 0, 0, 0], 0).into(), |peer| peer.address),
            tls: peer.is_some_and(|peer| peer.tls),
            began,
            place: place.clone(),
            seen: OnceLock::new(),
        };
        let (mut head, body) = request.into_parts();
        // Longer than any step's own limit: it catches what no step thought of.
        let limits = &self.proxy.limits;
        let limit = limits.body_time + limits.read.max(limits.write) + limits.read;
        let answered = tokio::time::timeout(limit, self.proxy.answer(&mut head, body, &visit));
        let outcome = match self.last_call.run_until_cancelled(answered).await {
            Some(outcome) => outcome.unwrap_or(Err(Failure::Late)),
            None => Err(Failure::Ending { wrote: visit.seen.get().is_some_and(|seen| seen.is_write) }),
        };
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                note(&failure, &visit, &method);
                response(&failure, &method, &head.headers, &visit.request_id)
            }
        };
        let took = began.elapsed();
        metrics.finished(answer.status().as_u16(), took);
        log(&answer, &visit, &method, took);
        answer.map(|body| body.guarded(place))
    }
}

/// A place among those in flight, given back when the last one who holds it is done: the body of the
/// answer, or a write that goes on without its client.
#[derive(Debug)]
pub(super) struct InFlight {
    _permit: tokio::sync::OwnedSemaphorePermit,
    gauge: prometheus_client::metrics::gauge::Gauge,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Writes a failure down with all its causes, beside the request that it ended.
#[deny(clippy::wildcard_enum_match_arm)]
fn note(failure: &Failure, visit: &Visit, method: &Method) {
    match failure {
        Failure::Away(..)
        | Failure::Unknown(..)
        | Failure::Garbled(_)
        | Failure::Store(_)
        | Failure::Loop
        | Failure::Late
        | Failure::Ending { .. }
        | Failure::Internal => {
            tracing::warn!(request_id = ?visit.request_id, %method, error = %crate::telemetry::Chain(failure), "request failed");
        }
        Failure::Head(_)
        | Failure::Rejected(_)
        | Failure::Misdirected(_)
        | Failure::Media(..)
        | Failure::Intake(_)
        | Failure::Refused(..)
        | Failure::Overloaded => {
            tracing::debug!(request_id = ?visit.request_id, %method, error = %failure, "request refused");
        }
    }
}

/// Reads are a debug line, for there are many; a change of the registry is always worth one.
fn log(answer: &Response<Body>, visit: &Visit, method: &Method, took: Duration) {
    let Some(seen) = visit.seen.get() else { return };
    let status = answer.status().as_u16();
    if seen.is_write {
        tracing::info!(request_id = ?visit.request_id, peer = %visit.peer, operation = seen.route.name(), subject = %seen.subject, status, ?took, "write");
    } else {
        tracing::debug!(request_id = ?visit.request_id, %method, operation = seen.route.name(), subject = %seen.subject, status, ?took, "read");
    }
}

impl tower::Service<Request<Incoming>> for Stack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let stack = self.clone();
        Box::pin(async move { Ok(stack.serve(request).await) })
    }
}
