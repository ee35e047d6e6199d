//! What is the same for any HTTP service: request id, in-flight limit, deadline, one log line.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{self, Poll};
use std::time::Duration;

use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Local;
use super::at_hand::{AtHand, Head, Look, Spelling, Spelt};
use super::control::named;
use super::fields::{FreshId, ID, echoed_id, request_id};
use super::metrics::AnsweredBy;
use super::refuse::{Failure, HeldBack, response};
use super::{Proxy, Seen, Visit};
use crate::body::{Body, Held, InFlight, Permit};
use crate::protocol::endpoints::Effect;
use crate::protocol::subject::Context;
use crate::server::{AtOnce, Outbox, Peer, Reception, Words};

/// The proxy behind what any HTTP service needs: the reception of the data port.
#[derive(Clone)]
pub struct Stack {
    proxy: Arc<Proxy>,
    in_flight: Arc<InFlight>,
    last_call: CancellationToken,
    bound: Option<Context>,
}

impl Stack {
    /// Puts the limits around a proxy. After `last_call` nobody waits for the primary any more.
    pub fn around(proxy: Arc<Proxy>, last_call: CancellationToken) -> Self {
        let in_flight = InFlight::limited(proxy.limits.in_flight, proxy.parties.metrics.in_flight.clone());
        Self { proxy, in_flight, last_call, bound: None }
    }

    /// The same for a listener that is bound to a context: plain names mean that context, and there is no other.
    pub fn bound_to(self, bound: Option<Context>) -> Self {
        Self { bound, ..self }
    }
}

impl Reception for Stack {
    type Guest = Guest;

    fn receive(&self, peer: Peer) -> Guest {
        Guest(Arc::new(Received { stack: self.clone(), peer: Arc::new(peer) }))
    }

    fn at_once(&self, guest: &Guest) -> Option<Arc<dyn AtOnce>> {
        Some(guest.0.clone())
    }
}

/// The service of one connection. It cannot fail.
#[derive(Clone)]
pub struct Guest(Arc<Received>);

struct Received {
    stack: Stack,
    peer: Arc<Peer>,
}

impl Received {
    /// The answer to a request of which one look shows all that there is to know, if it is at hand: the way of a
    /// request (`Proxy::answer`) without a step that could have to wait.
    fn at_hand(&self, look: &Look<'_>) -> Option<(Arc<AtHand>, Permit)> {
        let Stack { proxy, in_flight, bound, .. } = &self.stack;
        let answer = proxy.at_hand(look, self.peer.address, bound.as_ref())?;
        let permit = in_flight.enter()?;
        Some((answer, permit))
    }

    /// Counts an answer that was at hand, and writes it down.
    fn answered(&self, answer: &AtHand, method: &Method, request_id: &[u8]) {
        let (operation, status) = (&answer.operation, answer.dressed.status());
        let metrics = &self.stack.proxy.parties.metrics;
        metrics.answered(operation.route, AnsweredBy::Replica);
        metrics.ended(status);
        tracing::debug!(request_id = %format_args!("\"{}\"", request_id.escape_ascii()), %method, operation = operation.route.name(),
            subject = %operation.subject, status, "read at hand");
    }

    /// Answers at once what has its answer at hand. For everything else, which is no verdict, it tells how the
    /// request is spelt.
    fn answer_at_once(&self, request: &Request<Incoming>) -> Result<Response<Body>, Option<Spelt>> {
        let mut spelling = Spelling::blank();
        let bound = self.stack.bound.as_ref();
        let look = head(request).and_then(|head| Look::at(head, bound, &mut spelling)).ok_or(None)?;
        let (answer, permit) = self.at_hand(&look).ok_or_else(|| Some(Spelt::from_slice(look.spelling)))?;
        let request_id = request_id(request.headers());
        self.answered(&answer, request.method(), request_id.as_bytes());
        let response = answer.dressed.response(request_id, self.stack.proxy.age());
        Ok(response.map(|body| body.holding(Held::Alone(permit))))
    }

    async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        spelling: Option<Spelt>,
        began: Instant,
    ) -> Response<Body> {
        let Stack { proxy, in_flight, last_call, bound } = &self.stack;
        let request_id = request_id(request.headers());
        let method = request.method().clone();
        let metrics = &proxy.parties.metrics;
        let Some(permit) = in_flight.enter().map(Arc::new) else {
            metrics.shed.inc();
            return response(&Failure::Overloaded, (&method, request.uri().path()), request.headers(), &request_id);
        };
        let visit = Visit {
            request_id,
            peer: self.peer.clone(),
            began,
            permit: permit.clone(),
            bound: bound.clone(),
            spelling,
            seen: OnceLock::new(),
        };
        let (mut head, body) = request.into_parts();
        // Longer than any step's own limit: it catches what no step thought of.
        let limits = &proxy.limits;
        let longest =
            limits.read.max(limits.write).max(proxy.parties.local.as_ref().map_or(Duration::ZERO, Local::timeout));
        let limit = limits.body_time + longest + limits.read;
        let answered = tokio::time::timeout(limit, proxy.answer(&mut head, body, &visit));
        let outcome = match last_call.run_until_cancelled(answered).await {
            Some(outcome) => outcome.unwrap_or(Err(Failure::Late)),
            None => Err(Failure::Ending { wrote: visit.seen.get().is_some_and(Seen::is_change) }),
        };
        let is_told = matches!(outcome, Err(Failure::HeldBack(..)));
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                note(&failure, &visit, &method);
                response(&failure, (&method, head.uri.path()), &head.headers, &visit.request_id)
            }
        };
        let took = began.elapsed();
        metrics.finished(answer.status().as_u16(), took);
        if !is_told {
            log(&answer, &visit, &method, took);
        }
        answer.map(|body| body.holding(Held::Shared(permit)))
    }
}

/// The head of a request as it is looked at, if nothing about it asks for more than a look.
fn head(request: &Request<Incoming>) -> Option<Head<'_, impl Iterator<Item = (&str, &[u8])>>> {
    let is_head = match *request.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => return None,
    };
    let uri = request.uri();
    let names_host = uri.scheme().is_some() || uri.authority().is_some();
    if names_host != (request.version() == Version::HTTP_2) {
        return None;
    }
    let host = uri.authority().map(|host| ("host", host.as_str().as_bytes()));
    let fields = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Some(Head { is_head, target: uri.path_and_query()?.as_str(), fields: host.into_iter().chain(fields) })
}

impl AtOnce for Received {
    fn answer(&self, words: &Words<'_>, outbox: &mut Outbox) -> bool {
        let head = Head { is_head: words.is_head, target: words.target, fields: words.fields() };
        let mut spelling = Spelling::blank();
        let Some(look) = Look::at(head, self.stack.bound.as_ref(), &mut spelling) else { return false };
        let Some((answer, _permit)) = self.at_hand(&look) else { return false };
        let mut room = FreshId::default();
        let request_id = echoed_id(look.request_id, &mut room);
        let mut digits = itoa::Buffer::new();
        let age = self.stack.proxy.age().map(|age| digits.format(age).as_bytes());
        let fields = [(ID, request_id), ("age", age.unwrap_or_default())];
        let told = if age.is_some() { &fields[..] } else { &fields[..1] };
        if !answer.send(told, outbox) {
            return false;
        }
        self.answered(&answer, if words.is_head { &Method::HEAD } else { &Method::GET }, request_id);
        true
    }
}

/// Writes a failure down with all its causes, beside the request that it ended.
#[deny(clippy::wildcard_enum_match_arm)]
fn note(failure: &Failure, visit: &Visit, method: &Method) {
    match failure {
        Failure::Away(..)
        | Failure::Unknown(..)
        | Failure::LocalAway(..)
        | Failure::LocalUnknown(..)
        | Failure::Garbled(_)
        | Failure::Store(_)
        | Failure::Loop
        | Failure::Late
        | Failure::Ending { .. }
        | Failure::Internal => {
            tracing::warn!(request_id = ?visit.request_id, %method, error = %crate::telemetry::Chain(failure), "request failed");
        }
        Failure::HeldBack(held_back, _) => note_held_back(held_back, visit),
        Failure::Head(_)
        | Failure::Rejected(_)
        | Failure::NotShown(_)
        | Failure::Misdirected(_)
        | Failure::Ambiguous(_)
        | Failure::Media(..)
        | Failure::Intake(_)
        | Failure::Refused(..)
        | Failure::Overloaded => {
            tracing::debug!(request_id = ?visit.request_id, %method, error = %failure, "request refused");
        }
    }
}

/// Who was refused what, and why: one line, whether it was to be written or the modes were to be changed.
fn note_held_back(HeldBack { refusal, scope, mode }: &HeldBack, visit: &Visit) {
    let Some(seen) = visit.seen.get() else { return };
    let (peer, operation, code, reason) = (visit.peer.address, seen.route.name(), refusal.code, &refusal.message);
    match mode {
        Some(mode) => {
            tracing::info!(request_id = ?visit.request_id, %peer, operation, subject = %seen.subject, scope = %named(scope), %mode, code,
                %reason, "write refused");
        }
        None => {
            tracing::info!(request_id = ?visit.request_id, %peer, operation, scope = %named(scope), code, %reason, "mode change refused");
        }
    }
}

/// Reads are a debug line, for there are many; a change of the registry is always worth one. What acts on this process
/// has lines of its own.
fn log(answer: &Response<Body>, visit: &Visit, method: &Method, took: Duration) {
    let Some(seen) = visit.seen.get() else { return };
    let status = answer.status().as_u16();
    if seen.effect == Effect::Write {
        tracing::info!(request_id = ?visit.request_id, peer = %visit.peer.address, operation = seen.route.name(), subject = %seen.subject, status, ?took, "write");
    } else {
        tracing::debug!(request_id = ?visit.request_id, %method, operation = seen.route.name(), subject = %seen.subject, status, ?took, "read");
    }
}

impl tower::Service<Request<Incoming>> for Guest {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Passage;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Passage {
        match self.0.answer_at_once(&request) {
            Ok(response) => Passage::Ended(Some(response)),
            Err(spelling) => Passage::Under(Box::pin(self.0.clone().serve(request, spelling, Instant::now()))),
        }
    }
}

/// A request on its way to its answer, or there already.
pub enum Passage {
    /// There; taken out once.
    Ended(Option<Response<Body>>),
    /// On its way.
    Under(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Passage {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Ended(response) => Poll::Ready(Ok(response.take().expect("BUG: polled after it was ready"))),
            Self::Under(way) => way.as_mut().poll(cx).map(Ok),
        }
    }
}
