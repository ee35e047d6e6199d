//! Reads that go over contexts of both registries: each is asked for what is its own, and the answers are made one.
//!
//! What either has of the other's is a copy of some time, and never shows: of lists every item is looked at, of what is
//! looked for in many places each place is asked of the registry it belongs to. Nothing is called absent unless both
//! were asked. A subject is where its own mode says; a context, and so its ids, where the context's does: a subject
//! that was left behind in a context of the other registry (a leftover) is listed from where it is written to, and its
//! ids are found where it is named beside them. A KEK belongs to no context and is where what counts for everything
//! is; the keys that it encrypts belong to subjects.
//!
//! None of this is kept: the next to ask has it put together anew.

mod batch;
mod keys;
mod lists;
mod referrers;
mod search;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use super::Proxy;
use super::ask::Ask;
use super::local::Aim;
use super::metrics::AnsweredBy;
use super::refuse::Failure;
use crate::body::Body;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::routing::{Home, ModeTable, Routed, target};

/// A read of both registries.
struct Both<'a> {
    proxy: &'a Arc<Proxy>,
    operation: &'a Operation,
    routed: &'a Routed,
    ask: &'a Ask,
    /// What lives where, the same for all of the answer.
    table: Arc<ModeTable>,
}

/// What one of them said.
#[derive(Clone, Debug)]
struct Told {
    status: u16,
    body: Bytes,
}

impl Told {
    fn refused(refusal: &Refusal) -> Self {
        Self { status: refusal.status.as_u16(), body: refusal.body().into() }
    }

    fn is_ok(&self) -> bool {
        self.status == 200
    }

    /// Whether there is no such thing there, or no such route.
    fn is_nothing(&self) -> bool {
        matches!(self.status, 404..=406)
    }

    fn read<T: DeserializeOwned>(&self) -> Option<T> {
        self.is_ok().then(|| serde_json::from_slice(&self.body).ok())?
    }
}

impl Proxy {
    /// Answers a read of what both registries may have.
    pub(super) async fn both(self: &Arc<Self>, routed: &Routed, ask: &Ask) -> Result<Response<Body>, Failure> {
        use Route as R;
        let operation = routed.addressed().operation();
        let both = Both { proxy: self, operation, routed, ask, table: self.modes().table() };
        let told = match operation.route {
            R::Lookup | R::Version | R::VersionText => both.find().await,
            R::SchemaById | R::SchemaTextById | R::SubjectsById | R::VersionsById => both.find_by_id().await,
            R::ReferencedBy => both.referrers().await,
            R::SchemaByGuid => both.by_guid().await,
            R::BatchGetAssociations => both.batch().await,
            R::DekRead if operation.path.ends_with("/keks") => both.keks().await,
            _ => both.list().await,
        };
        let told = match told {
            Ok(told) => told,
            Err(failure @ Failure::LocalAway(..)) => {
                return self.remembered_of_local(operation, ask).ok_or(failure);
            }
            Err(failure) => return Err(failure),
        };
        match Refusal::read(&told.body).filter(|_| told.status >= 400) {
            Some(refusal) => Err(Failure::refused(refusal, &ask.media)),
            None => Ok(self.own(told.status, told.body, ask)),
        }
    }
}

impl Both<'_> {
    /// Where a subject is, or a context under no subject's name.
    fn home(&self, scope: &QualifiedSubject) -> Home {
        self.table.home(scope)
    }

    fn home_of(&self, context: &Context) -> Home {
        self.home(&QualifiedSubject::new(context.clone(), ""))
    }

    /// Asks one of them something of the kind that was asked.
    async fn ask(&self, home: Home, operation: Operation) -> Result<Told, Failure> {
        self.ask_within(home, operation, None).await
    }

    /// The same as if there were just one context there.
    async fn ask_within(&self, home: Home, operation: Operation, context: Option<Context>) -> Result<Told, Failure> {
        let body = if operation.method == Method::POST { self.ask.body.clone() } else { Bytes::new() };
        let ask = self.ask.question(operation.method.clone(), body, context);
        match home {
            Home::Primary => self.ask_our_copy(operation, &ask).await,
            Home::Local => {
                self.proxy.parties.metrics.answered(operation.route, AnsweredBy::Local);
                let answer = self.proxy.ask_local(operation.target, &ask, Aim::Question).await?;
                Ok(Told { status: answer.status.as_u16(), body: answer.body })
            }
        }
    }

    async fn ask_our_copy(&self, operation: Operation, ask: &Ask) -> Result<Told, Failure> {
        let caller = self.routed.addressed().admitted().caller().clone();
        let admitted = self.proxy.admission.authorize(caller, Arc::new(operation))?;
        let (contexts, modes) = (self.proxy.parties.primary.contexts(), self.proxy.modes());
        let addressed = contexts.address(admitted, ask.bound.as_ref(), |context| modes.is_local(context))?;
        match self.proxy.read(&addressed.of_our_copy(), ask).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.map_err(|_| Failure::Internal)?.to_bytes();
                Ok(Told { status, body })
            }
            Err(Failure::Refused(refusal, _)) => Ok(Told::refused(&refusal)),
            Err(failure) => Err(failure),
        }
    }

    /// The question as it is, less what our own target would hide.
    fn same(&self) -> Operation {
        let method = if self.operation.method == Method::HEAD { Method::GET } else { self.operation.method.clone() };
        Operation { method, ..self.operation.clone() }
    }

    /// The parameters that were sent, but for some.
    fn parameters(&self, without: &[&str]) -> Vec<(String, String)> {
        let pairs = self.operation.query.pairs().filter(|(name, _)| !without.contains(name));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The same question about another subject.
    fn about(&self, subject: &QualifiedSubject) -> Result<Operation, Failure> {
        let Operation { path, names, method, .. } = self.operation;
        let method = if method == Method::HEAD { &Method::GET } else { method };
        asking(method, &target(path, &subject.spelt(), names, &self.parameters(&[])))
    }
}

/// A question of ours.
fn asking(method: &Method, target: &str) -> Result<Operation, Failure> {
    Operation::of_target(method, target).map_err(Failure::Misdirected)
}

/// A parameter.
fn parameter(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}
