//! The registry that we stand beside: what is its own goes there in the client's words, and comes back in its own.
//!
//! Nothing of it is read here, nothing kept: neither the replica nor an answer at hand ever comes from it
//! (CONSISTENCY.md, Modes).

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response, StatusCode, header};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::ask::Ask;
use super::dress::framed;
use super::forward::held_back;
use super::headers::{from_local, sign, to_local};
use super::metrics::AnsweredBy;
use super::recognise::{held_by, is_absence, lookup_of, registered_as};
use super::refuse::Failure;
use super::{Proxy, Visit};
use crate::body::Body;
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::media;
use crate::protocol::operation::{Misdirected, Operation};
use crate::protocol::shape::Profile;
use crate::protocol::subject::Context;
use crate::replica::answer::Asked;
use crate::replica::served_subject;
use crate::routing::{Contexts, Forbidden, Home, Primary, local_target};
use crate::upstream::{Answer, Call, Failure as Unanswered, FailureKind, Priority, Registry, Sent, Voice};

/// The local registry.
#[derive(Clone, Debug)]
pub struct Local {
    registry: Arc<Registry>,
    /// The same through the border that shows one context to a listener: every name is there what it is here.
    border: Primary,
    timeout: Duration,
}

/// What a call in a client's words is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Its answer is passed on.
    Read,
    /// So it is, and it changes something.
    Write,
    /// Its answer is read here first, and so comes in no coding.
    Question,
    /// The primary was waited for before.
    InStead,
}

/// How long is waited for it by whom the primary has kept waiting already.
const IN_STEAD: Duration = Duration::from_secs(5);

impl Local {
    /// A registry to stand beside, which has so long to answer.
    pub fn new(registry: Arc<Registry>, timeout: Duration) -> Self {
        let border = Primary::behind(Arc::new(Contexts::default()), registry.clone());
        Self { registry, border, timeout }
    }

    /// The registry itself: what it is called, whether it can be reached.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// How long it has to answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Makes a call, of a listener that may be bound to one context.
    pub(super) async fn send(&self, call: Call, bound: Option<&Context>) -> Result<Answer, Unanswered> {
        match bound {
            Some(bound) => self.border.within(bound).send(call).await,
            None => self.registry.send(call).await,
        }
    }
}

impl Proxy {
    /// Whether a request is none of our business: everything is the local registry's, nothing is forbidden, and it is
    /// not about this process. Then it is not ours to say either that it asks for what there is with a method that there
    /// is not. A path that two could read in two ways is: one of them could find a mode in it.
    pub(super) fn passes_as_it_is(
        &self,
        path: &str,
        visit: &Visit,
        understood: &Result<Operation, Misdirected>,
    ) -> bool {
        let is_for_it = match understood {
            Ok(operation) => {
                operation.effect != Effect::Control
                    && !matches!(operation.route, Route::GlobalMode | Route::SubjectMode)
            }
            Err(Misdirected::Method | Misdirected::Options(_)) => !has_dots(path),
            Err(Misdirected::Malformed(_) | Misdirected::Context(_) | Misdirected::NotFound) => false,
        };
        let table = self.modes().table();
        let is_all_local = table.throughout() == Some(Home::Local) && !table.forbids_anything();
        is_for_it && is_all_local && visit.bound.is_none() && self.parties.local.is_some()
    }

    /// Passes a request on just as it came, and its answer back.
    pub(super) async fn pass_on(
        self: &Arc<Self>,
        head: &mut Parts,
        body: Incoming,
        visit: &Visit,
        operation: Option<Operation>,
    ) -> Result<Response<Body>, Failure> {
        if let Some(operation) = &operation {
            visit.understood(operation);
        }
        // What was understood is spelt without segments of dots, whatever stands before the registry makes of them.
        let raw = || head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let target = operation.as_ref().map_or_else(raw, |operation| operation.target.clone());
        let ask = Ask::read(head, body, visit, None, &self.limits).await?;
        let route = operation.as_ref().map_or(Route::UnknownRead, |operation| operation.route);
        let is_write = match &operation {
            Some(operation) => operation.effect == Effect::Write,
            None => !matches!(ask.method, Method::GET | Method::HEAD | Method::OPTIONS),
        };
        if is_write {
            self.part(operation.as_ref());
        }
        let outcome = self.relay_local(target, ask.clone(), route, is_write).await;
        self.or_remembered(outcome, operation.as_ref(), &ask)
    }

    /// Has a request answered by the local registry.
    pub(super) async fn local(self: &Arc<Self>, operation: &Operation, ask: Ask) -> Result<Response<Body>, Failure> {
        let target = self.target_there(operation, &ask);
        let (route, is_write) = (operation.route, operation.effect == Effect::Write);
        if is_write {
            self.part(Some(operation));
        }
        let outcome = self.relay_local(target, ask.clone(), route, is_write).await;
        self.or_remembered(outcome, Some(operation), &ask)
    }

    /// What it is asked. Whose alias it is knows whereto: those of the primary the local registry does not know.
    fn target_there(&self, operation: &Operation, ask: &Ask) -> String {
        let is_led = operation.follows_aliases() && self.modes().table().home(&operation.subject) == Home::Primary;
        let served = is_led.then(|| served_subject(&self.parties.replica.snapshot(), operation));
        local_target(operation, served.as_ref(), ask.bound.is_some())
    }

    /// What came of asking it, or what it would certainly say if it could be asked.
    fn or_remembered(
        &self,
        outcome: Result<Response<Body>, Failure>,
        operation: Option<&Operation>,
        ask: &Ask,
    ) -> Result<Response<Body>, Failure> {
        match outcome {
            Err(failure @ Failure::LocalAway(..)) => {
                let remembered = operation.and_then(|operation| self.remembered_of_local(operation, ask));
                remembered.ok_or(failure)
            }
            outcome => outcome,
        }
    }

    /// Registers nothing there: what is there already is answered, anything else refused (WIRE.md § 2.2). Whether it
    /// would refuse by itself does not matter, for not every registry enforces modes.
    pub(super) async fn only_known_there(
        &self,
        operation: &Operation,
        ask: &Ask,
        forbidden: Forbidden,
    ) -> Result<Response<Body>, Failure> {
        let target = self.target_there(operation, ask);
        let lookup = lookup_of(&target).filter(|_| Asked::read(&ask.body).is_some_and(|asked| !asked.is_about_tags()));
        let Some(lookup) = lookup else { return Err(held_back(forbidden, ask)) };
        let answer = self.ask_local(lookup, ask, Aim::Question).await?;
        match held_by(&answer, &operation.subject, ask) {
            Some(found) => {
                let is_old = found.version.guid.is_none();
                let profile = if is_old { Profile::Confluent7 } else { Profile::Confluent8 };
                let body = registered_as(&found, profile.form(ask.accepts_unknown()));
                Ok(self.own(200, body.into(), ask))
            }
            None if is_absence(&answer) || answer.status == StatusCode::OK => Err(held_back(forbidden, ask)),
            None => Ok(relay(&answer, ask)),
        }
    }

    async fn relay_local(
        self: &Arc<Self>,
        target: String,
        ask: Ask,
        route: Route,
        is_write: bool,
    ) -> Result<Response<Body>, Failure> {
        self.parties.metrics.answered(route, AnsweredBy::Local);
        if !is_write {
            return self.ask_local(target, &ask, Aim::Read).await.map(|answer| relay(&answer, &ask));
        }
        // What a client begins is ended, whether it waits for it or not.
        let (proxy, media) = (self.clone(), ask.media.clone());
        let carried = self.carrying.spawn(async move {
            let answer = proxy.ask_local(target, &ask, Aim::Write).await?;
            Ok(relay(&answer, &ask))
        });
        let unknown =
            |_| Err(Failure::LocalUnknown(Box::new(Unanswered::new(FailureKind::Broken, Sent::Maybe)), media));
        carried.await.unwrap_or_else(unknown)
    }

    /// One call to the local registry in a client's own words.
    pub(super) async fn ask_local(&self, target: String, ask: &Ask, aim: Aim) -> Result<Answer, Failure> {
        let media = || ask.media.clone();
        let Some(local) = &self.parties.local else {
            // A mode that was set while there was one still counts.
            return Err(Failure::LocalAway(Box::new(Unanswered::new(FailureKind::Nowhere, Sent::No)), media()));
        };
        let mut headers = to_local(ask, &self.pseudonym);
        if aim == Aim::Question {
            headers.remove(header::ACCEPT_ENCODING);
        }
        let call = Call {
            method: ask.method.clone(),
            path_and_query: target,
            headers,
            body: ask.body.clone(),
            priority: if aim == Aim::Write { Priority::Write } else { Priority::Miss },
            deadline: if aim == Aim::InStead { Instant::now() + IN_STEAD } else { ask.began + local.timeout() },
            voice: Voice::Theirs,
        };
        local.send(call, ask.bound.as_ref()).await.map_err(|failure| {
            tracing::warn!(request_id = ?ask.request_id, kind = ?failure.kind, sent = ?failure.sent,
                error = %crate::telemetry::Chain(&failure), "the local registry did not answer");
            match failure.sent {
                Sent::Maybe if aim == Aim::Write => Failure::LocalUnknown(Box::new(failure), media()),
                _ => Failure::LocalAway(Box::new(failure), media()),
            }
        })
    }
}

/// Whether a segment of a path leads up or nowhere, to whoever decodes it or drops its parameters.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| {
        let name = segment.split(';').next().unwrap_or_default();
        matches!(&*percent_decode_str(name).decode_utf8_lossy(), "." | "..")
    })
}

impl Proxy {
    /// A call of ours to the local registry because of what a client asks for; where we are nobody there, it is the
    /// client who asks.
    pub(super) async fn ask_beside(
        &self,
        method: Method,
        target: String,
        body: String,
        ask: &Ask,
    ) -> Result<Answer, Unanswered> {
        let Some(local) = &self.parties.local else {
            return Err(Unanswered::new(FailureKind::Nowhere, Sent::No));
        };
        let mut call = Call::get(target, Priority::Write, Instant::now() + IN_STEAD);
        call.headers.insert(header::CONTENT_TYPE, media::DEFAULT);
        sign(&mut call.headers, ask, &self.pseudonym);
        if let Some(authorization) = ask.headers.get(header::AUTHORIZATION) {
            call.headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        (call.method, call.body, call.voice) = (method, body.into(), Voice::Theirs);
        local.registry().send(call).await
    }
}

/// The local registry's answer as it came, framed as it was.
pub(super) fn relay(answer: &Answer, ask: &Ask) -> Response<Body> {
    let length = answer.headers.get(header::CONTENT_LENGTH);
    let is_head = ask.method == Method::HEAD;
    let has_none = is_head || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if has_none { Body::empty() } else { framed(answer.body.clone(), length.is_none()) };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = from_local(&answer.headers);
    if let Some(length) = length.filter(|_| is_head) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.clone());
    }
    response
}
