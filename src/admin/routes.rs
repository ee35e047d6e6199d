//! The admin endpoints.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::Admin;
use crate::body::Body;

/// The admin port as a service that cannot fail.
#[derive(Clone)]
pub struct Service(pub Arc<Admin>);

impl tower::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let admin = self.0.clone();
        Box::pin(async move {
            let is_head = request.method() == Method::HEAD;
            let answer = admin.serve(&request).await;
            Ok(if is_head { answer.map(|_| Body::empty()) } else { answer })
        })
    }
}

impl Admin {
    async fn serve(&self, request: &Request<Incoming>) -> Response<Body> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/live" if reads => page(StatusCode::OK, &json!({ "status": "ok" })),
            "/startup" if reads => self.startup(),
            "/ready" if reads => self.ready(),
            "/status" if reads => page(StatusCode::OK, &self.status().await),
            "/digest" if reads => {
                let digest = self.digest().await;
                page(StatusCode::OK, &json!({ "digest": digest.total, "contexts": digest.contexts }))
            }
            "/metrics" if reads => self.metrics(),
            "/import" if request.method() == Method::POST => {
                let confirmed =
                    request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "confirm=true"));
                self.import(confirmed).await
            }
            "/live" | "/startup" | "/ready" | "/status" | "/digest" | "/metrics" | "/import" => page(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({ "error_code": 405, "message": "HTTP 405 Method Not Allowed" }),
            ),
            _ => page(StatusCode::NOT_FOUND, &json!({ "error_code": 404, "message": "HTTP 404 Not Found" })),
        }
    }

    /// 200 once the replica was loaded or a first pass has read everything.
    fn startup(&self) -> Response<Body> {
        let started = !self.parties.has_primary()
            || !self.parties.replica.snapshot().is_empty()
            || self.parties.importer.status().listed;
        match started {
            true => page(StatusCode::OK, &json!({ "status": "ok" })),
            false => page(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "status": "starting", "reason": "nothing was read from the primary yet" }),
            ),
        }
    }

    /// 200 while reads can be answered; the body says how well.
    fn ready(&self) -> Response<Body> {
        if self.parties.draining.is_cancelled() {
            return page(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "draining" }));
        }
        let reachability = self.parties.primary.reachability();
        let holds_nothing = self.parties.replica.snapshot().is_empty();
        if self.parties.has_primary() && holds_nothing && reachability.last_answer.is_none() {
            let reason = "the replica is empty and the primary never answered";
            return page(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "unready", "reason": reason }));
        }
        match self.degraded() {
            None => page(StatusCode::OK, &json!({ "status": "ok" })),
            Some(reason) => page(StatusCode::OK, &json!({ "status": "degraded", "reason": reason })),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let mut response = Response::new(Body::whole(self.parties.metrics.render()));
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    /// Runs a full pass now and answers when it has ended.
    async fn import(&self, confirmed: bool) -> Response<Body> {
        let report = self.parties.importer.full_pass_now(confirmed).await;
        let status = if report.ok { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        let mut told = report.json();
        if let Some(sink) = &self.parties.sink {
            told["local"] = sink.full_pass_now(confirmed).await.json();
        }
        page(status, &told)
    }
}

fn page(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
