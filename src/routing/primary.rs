//! The border to the primary: calls go in and answers come out under our names, and it alone knows the primary's.
//!
//! Whoever calls, the proxy for a client or the importer, asks in our names. Under a map of nothing a call passes
//! as it is. What names a context that is not mapped is refused here in the primary's stead, and no answer shows
//! what lies in one.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::calls::{batch, gather, guid, holders, keys, referrers, search, top};
use super::contexts::{Contexts, Selection};
use super::rename::{Impassable, target};
use super::way::Way;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::media;
use crate::protocol::operation::Operation;
use crate::protocol::splice::Spliced;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::CAPPED;
use crate::replica::{Snapshot, behind_parameter, is_alias, served_subject};
use crate::upstream::{Answer, Call, Failure, FailureKind, Reachability, Registry, Sent};

/// The primary, under our names.
#[derive(Clone, Debug)]
pub struct Primary {
    registry: Arc<Registry>,
    contexts: Arc<Contexts>,
}

impl Primary {
    /// The registry behind a map.
    pub fn behind(contexts: Arc<Contexts>, registry: Arc<Registry>) -> Self {
        Self { registry, contexts }
    }

    /// What of it there is for whoever is bound to one context.
    #[must_use]
    pub fn within(&self, bound: &Context) -> Self {
        Self { registry: self.registry.clone(), contexts: Arc::new(self.contexts.within(bound)) }
    }

    /// The registry itself: what it is called, whether it can be reached.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The map.
    pub fn contexts(&self) -> &Arc<Contexts> {
        &self.contexts
    }

    /// Whether the last call found nobody.
    pub fn is_away(&self) -> bool {
        self.registry.is_away()
    }

    /// What is known of whether it can be reached.
    pub fn reachability(&self) -> Reachability {
        self.registry.reachability()
    }

    /// The target by which a client's request is asked for, still under our names.
    ///
    /// The registry follows some aliases into the default context, wherever they stand (WIRE.md § 3.5). Behind a map
    /// those are followed here, for the primary's default context is another one.
    ///
    /// On a listener that is bound to a context, what was judged is what is sent, and never the words it was said in.
    pub fn target(&self, operation: &Operation, snapshot: &Snapshot) -> String {
        if self.contexts.is_identity() || operation.path.is_empty() {
            return operation.target.clone();
        }
        if self.contexts.bound().is_some() {
            return plain_target(operation);
        }
        let mut query = pairs(operation);
        if operation.subject_of_id().is_some() {
            for (_, value) in query.iter_mut().filter(|(name, _)| name == "subject") {
                if let Some(served) = behind_parameter(snapshot, value) {
                    *value = served.to_string();
                }
            }
        }
        let is_followed = operation.is_escaped && operation.follows_aliases();
        let served = if is_followed { served_subject(snapshot, operation) } else { operation.subject.clone() };
        let subject = if served == operation.subject { operation.subject_text.clone() } else { served.to_string() };
        target(operation.path, &subject, &operation.names, &query)
    }

    /// The answer for a subject that the default context does not have: that of the first of our other contexts that
    /// has it under the same name, of which the primary knows nothing (WIRE.md §§ 1.2, 1.11).
    pub async fn elsewhere(
        &self,
        operation: &Operation,
        snapshot: &Snapshot,
        call: &Call,
    ) -> Result<Option<Answer>, Failure> {
        use Route as R;
        let searches = matches!(operation.route, R::Lookup | R::Version | R::VersionText | R::ReferencedBy);
        let served = served_subject(snapshot, operation);
        if !searches || self.contexts.is_identity() || !served.context.is_default() || served.is_bare_context() {
            return Ok(None);
        }
        for home in search::homes(self, call, &served.subject).await? {
            // Whoever asks for an alias is led elsewhere; the registry itself would look at what lies here.
            if is_alias(snapshot, &home) {
                return Err(Failure::new(FailureKind::Unreadable, Sent::No));
            }
            let target = target(operation.path, &home.to_string(), &operation.names, &pairs(operation));
            let answer = self.send(Call { path_and_query: target, ..call.clone() }).await?;
            if answer.status != StatusCode::NOT_FOUND {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Makes a call and waits for all of its answer.
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        if self.contexts.is_identity() {
            return self.registry.send(call).await;
        }
        let method = &call.method.clone();
        let Ok(operation) = Operation::of_target(&call.method, &call.path_and_query) else {
            return Ok(refused(method, &Refusal::not_found()));
        };
        let media = media::negotiate(&call.headers).ok();
        match self.through(&operation, call).await {
            Ok(outcome) => outcome,
            Err(Impassable::Unmapped(_)) => Ok(denied(method)),
            Err(Impassable::Unreadable(_)) => Ok(refused(method, &Refusal::new(400, "Unable to process JSON"))),
        }
        .map(|mut answer: Answer| {
            // Another method may have been used in its stead.
            if !matches!(operation.method, Method::GET | Method::POST) {
                answer.headers.remove(header::VARY);
            }
            // What was said in the primary's stead is in the type that it would have chosen.
            if let Some(own) = answer.headers.get_mut(header::CONTENT_TYPE).filter(|own| **own == media::DEFAULT) {
                *own = media.unwrap_or(media::DEFAULT);
            }
            answer
        })
    }

    /// The same for a page of a listing that goes over one entry of the map, whatever prefix it asks for.
    pub async fn send_within(&self, selection: &Selection, call: Call) -> Result<Answer, Failure> {
        if self.contexts.is_identity() {
            return self.registry.send(call).await;
        }
        let method = &call.method.clone();
        let Ok(mut operation) = Operation::of_target(&call.method, &call.path_and_query) else {
            return Ok(refused(method, &Refusal::not_found()));
        };
        operation.query.set("subjectPrefix", selection.primary_prefix());
        let call = Call { path_and_query: plain_target(&operation), ..call };
        self.ask(&operation, call).await
    }

    async fn through(&self, operation: &Operation, call: Call) -> Result<Result<Answer, Failure>, Impassable> {
        let method = &operation.method;
        let way = Way::of(&self.contexts, operation, &call.body)?;
        let body = self.contexts.body_there(operation, &call.body)?.map_or_else(|| call.body.clone(), Bytes::from);
        let to = |target: String| Call { path_and_query: target, body: body.clone(), ..call.clone() };
        Ok(match way {
            Way::One(target) => self.ask(operation, to(target)).await,
            Way::Strictly(target) => search::strictly(self, operation, to(target)).await,
            Way::ById => search::by_id(self, operation, &call).await,
            Way::Holders(there) => holders::list(self, operation, &call, &there).await,
            Way::Referrers(target) => referrers::referrers(self, operation, &call, &target).await,
            Way::ByGuid => guid::by_guid(self, operation, &call).await,
            Way::Keks => keys::keks(self, operation, &call).await,
            Way::Batch => batch::batch(self, operation, &call, to(plain_target(operation))).await,
            Way::IfAllOurs { target, resources } => match self.are_all_ours(&call, resources).await {
                Ok(Checked::Yes) => self.ask(operation, to(target)).await,
                Ok(Checked::No) => Ok(denied(method)),
                Ok(Checked::Answered(answer)) => Ok(answer),
                Err(failure) => Err(failure),
            },
            Way::IfShown { shown, target } => {
                let asked = search::question(&call, shown);
                let shown = match operation.route {
                    Route::VersionText
                        if self
                            .contexts
                            .to_primary(&operation.subject.context)
                            .is_some_and(|there| there.is_default()) =>
                    {
                        search::strictly(self, operation, asked).await
                    }
                    _ => self.ask(&showing(operation), asked).await,
                };
                match shown {
                    Ok(answer) if answer.status == StatusCode::OK => self.ask(operation, to(target)).await,
                    // So it is there where a text is asked for by its id (WIRE.md § 1.6).
                    Ok(answer) if operation.route == Route::SchemaTextById && is_unheld(&answer) => {
                        Ok(refused(method, &Refusal::internal()))
                    }
                    outcome => outcome,
                }
            }
            Way::IfNothing(target) => match self.ask(operation, Call { method: Method::GET, ..to(target) }).await {
                Ok(answer) if !is_no_route(&answer) && !is_passing(&answer) => Ok(denied(method)),
                Ok(answer) if *method == Method::HEAD => Ok(Answer { body: Bytes::new(), ..answer }),
                outcome => outcome,
            },
            Way::TopLevel(there) => top::config(self, operation, to(String::new()), &there).await,
            Way::Never => Ok(refused(method, &Refusal::new(50002, "Register operation timed out"))),
            Way::Gathered => gather::gather(self, operation, &call).await,
        })
    }

    /// One call under the primary's names, its answer under ours.
    pub(super) async fn ask(&self, operation: &Operation, mut call: Call) -> Result<Answer, Failure> {
        // Names can only be found in what is not compressed, and the length is that of our names.
        call.headers.remove(header::ACCEPT_ENCODING);
        let is_head = call.method == Method::HEAD;
        if is_head {
            call.method = Method::GET;
        }
        let answer = self.registry.send(call).await?;
        let mut answer = self.translated(operation, answer)?;
        answer.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        if is_head {
            answer.body = Bytes::new();
        }
        Ok(answer)
    }

    /// An answer of the primary's under our names.
    pub(super) fn translated(&self, operation: &Operation, mut answer: Answer) -> Result<Answer, Failure> {
        let method = &operation.method;
        let garbled = || Failure::new(FailureKind::Unreadable, Sent::Maybe);
        if answer.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(garbled());
        }
        let is_success = answer.status.is_success();
        match self.contexts.body_here(operation, is_success, &answer.body) {
            Ok(Spliced::Same) => {}
            Ok(Spliced::Changed(body)) => answer.body = body.into(),
            Ok(Spliced::Gone) => return Ok(denied(method)),
            // A page of whatever stands before the primary has no names of ours in it.
            Err(_) if !is_success => {}
            Err(_) => return Err(garbled()),
        }
        Ok(answer)
    }

    /// Whether every association of some resources is of a subject of ours.
    async fn are_all_ours(&self, call: &Call, targets: Vec<String>) -> Result<Checked, Failure> {
        for target in targets {
            let Ok(operation) = Operation::of_target(&Method::GET, &target) else { return Ok(Checked::No) };
            let mut asked = Call { method: Method::GET, body: Bytes::new(), path_and_query: target, ..call.clone() };
            asked.headers.remove(header::ACCEPT_ENCODING);
            asked.headers.remove(header::CONTENT_TYPE);
            let answer = self.registry.send(asked).await?;
            if answer.status != StatusCode::OK {
                return self.translated(&operation, answer).map(Checked::Answered);
            }
            let all = items(&answer.body);
            let ours = items(&self.translated(&operation, answer)?.body);
            // A full page may not be all.
            if all.is_none_or(|all| all >= CAPPED) || all != ours {
                return Ok(Checked::No);
            }
        }
        Ok(Checked::Yes)
    }
}

/// What a question in advance found out.
enum Checked {
    Yes,
    No,
    /// Nothing; the primary had another answer.
    Answered(Answer),
}

/// How many items a list has.
fn items(body: &Bytes) -> Option<usize> {
    serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(body).ok().map(|items| items.len())
}

pub(super) fn pairs(operation: &Operation) -> Vec<(String, String)> {
    operation.query.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) fn plain_target(operation: &Operation) -> String {
    target(operation.path, &operation.subject_text, &operation.names, &pairs(operation))
}

/// The target by which the local registry is asked for what a client asks for: in the client's words, or about the
/// subject that an alias of the primary's leads to. On a listener that is bound to a context, what was judged is what
/// is sent.
pub fn local_target(operation: &Operation, led_to: Option<&QualifiedSubject>, is_bound: bool) -> String {
    match led_to {
        Some(subject) => target(operation.path, &subject.to_string(), &operation.names, &pairs(operation)),
        None if is_bound && !operation.path.is_empty() => plain_target(operation),
        None => operation.target.clone(),
    }
}

/// The operation by which is shown whose that is which the answer to one does not say.
pub(super) fn showing(operation: &Operation) -> Operation {
    let route = match operation.route {
        Route::VersionText | Route::ReferencedBy => Route::Version,
        Route::SchemaTextById | Route::SubjectsById | Route::VersionsById => Route::SchemaById,
        route => route,
    };
    Operation { route, ..operation.clone() }
}

/// Whether the registry itself says that nothing is set.
pub(super) fn is_unset(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && matches!(answer.error_code(), Some(40401 | 40408))
}

/// Whether nobody came to answer, which may be otherwise soon.
fn is_passing(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 429 | 502..=504)
}

/// Whether there is no such route: any other refusal is about what it leads to.
fn is_no_route(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 404..=406) && matches!(answer.error_code(), Some(404..=406))
}

/// Whether the registry itself says that nobody holds an id.
fn is_unheld(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && answer.error_code() == Some(40403)
}

pub(super) fn denied(method: &Method) -> Answer {
    refused(method, &Refusal::new(40301, "User is denied operation on this server."))
}

/// An answer in the primary's stead.
pub(super) fn refused(method: &Method, refusal: &Refusal) -> Answer {
    let body = Bytes::from(refusal.body());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media::DEFAULT);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if matches!(*method, Method::GET | Method::POST) {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Answer { status: refusal.status, headers, body, url: 0 }
}
