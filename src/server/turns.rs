//! The requests of one connection, each from its head to its answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::task::noop_waker_ref;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::{Body as _, Incoming};
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};

use super::clock::Clock;
use super::connection::Guest;
use super::outgoing::{Outgoing, Turn};
use crate::body::Body;

/// Hands the requests of a connection to its service, and tells its clock.
pub(super) struct Turns<S> {
    service: S,
    clock: Arc<Clock>,
}

impl<S> Turns<S> {
    pub(super) fn new(service: S, clock: Arc<Clock>) -> Self {
        Self { service, clock }
    }
}

impl<S: Guest> hyper::service::Service<Request<Incoming>> for Turns<S> {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    type Future = Answering<S>;

    fn call(&self, request: Request<Incoming>) -> Answering<S> {
        // What follows a CONNECT is meant for a tunnel, and must not be read as the next request.
        let is_tunnel = request.method() == Method::CONNECT;
        let turn = Turn::begin(Arc::clone(&self.clock), request.body().is_end_stream() && !is_tunnel);
        let mut service = self.service.clone();
        // Most services are ready at all times, and need no room to wait in.
        let step = match service.poll_ready(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(Ok(())) => Step::Asked { answer: service.call(request) },
            Poll::Pending => Step::Waiting { answer: service.oneshot(request) },
        };
        Answering { step, turn: Some(turn), is_tunnel }
    }
}

pin_project! {
    /// An answer that is being made.
    pub(super) struct Answering<S: Service<Request<Incoming>>> {
        #[pin]
        step: Step<S>,
        turn: Option<Turn>,
        is_tunnel: bool,
    }
}

pin_project! {
    #[project = Stage]
    enum Step<S: Service<Request<Incoming>>> {
        Asked { #[pin] answer: S::Future },
        Waiting { #[pin] answer: Oneshot<S, Request<Incoming>> },
    }
}

impl<S: Guest> Future for Answering<S> {
    type Output = Result<Response<Outgoing>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response): Result<Response<Body>, Infallible> = ready!(match this.step.project() {
            Stage::Asked { answer } => answer.poll(cx),
            Stage::Waiting { answer } => answer.poll(cx),
        });
        let turn = this.turn.take().expect("BUG: polled after it was ready");
        if turn.is_last(*this.is_tunnel) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| Outgoing::new(body, turn))))
    }
}
