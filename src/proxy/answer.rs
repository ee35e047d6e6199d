//! Reads: from the replica where it is certain, else from the primary, one flight a key.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use super::Proxy;
use super::apply::is_registrys;
use super::ask::{Ask, profile_of};
use super::at_hand::AtHand;
use super::dress::Dressed;
use super::metrics::AnsweredBy;
use super::refuse::Failure;
use super::settle::{Settled, is_doubtful, is_for_ever};
use crate::body::Body;
use crate::protocol::endpoints::Route;
use crate::protocol::error::Refusal;
use crate::protocol::operation::Operation;
use crate::protocol::shape::Form;
use crate::protocol::subject::Context;
use crate::replica::Snapshot;
use crate::replica::answer::{Verdict, Why, answer as answer_now, has_unknown_parameters};
use crate::routing::{Routed, cut_down};
use crate::upstream::{Answer, Call, Failure as Unanswered, FailureKind, Priority, Sent};

impl Proxy {
    /// Answers a read.
    pub(super) async fn read(self: &Arc<Self>, routed: &Routed, ask: &Ask) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let is_strange = has_unknown_parameters(operation);
        if is_strange && !self.parties.primary.is_away() {
            match Box::pin(self.ask_and_learn(routed, ask)).await {
                Err(Failure::Away(..)) => {}
                outcome => return self.relayed_part(operation, &outcome?, ask).await,
            }
        }
        let snapshot = self.parties.replica.snapshot();
        let form = ask.form(&snapshot);
        let snapshot = match self.settle(operation, ask, snapshot).await {
            Settled::Sure(snapshot) => snapshot,
            Settled::AskPrimary => match self.ask_primary(routed, ask, ask.bound.is_some()).await {
                Ok(answer) => {
                    self.promise(operation).await;
                    return self.relayed_part(operation, &answer, ask).await;
                }
                // Only now it is known to be away, and what nobody was promised can be borne.
                Err(failure @ Failure::Away(..)) => {
                    let snapshot = self.parties.replica.snapshot();
                    if !self.doubts(operation, &snapshot).is_empty() {
                        return Err(failure);
                    }
                    snapshot
                }
                Err(failure) => return Err(failure),
            },
        };
        match self.judge(operation, ask, &snapshot, form) {
            Verdict::Known(status, body) => {
                let body = self.own_part(operation, status, body, ask).await?;
                let dressed = Dressed::apart(status, body, &ask.media, ask.manner).await;
                self.parties.metrics.answered(operation.route, AnsweredBy::Replica);
                let response = self.go_out(&dressed, ask);
                // What is shown in spite of a doubt is for now: kept, it would be shown to those who can do better.
                let is_certain = is_for_ever(operation) || !is_doubtful(operation, &snapshot);
                if let Some(spelling) = ask.spelling.clone().filter(|_| is_certain && !is_strange) {
                    let operation = Operation::clone(operation);
                    self.answers.put(AtHand::new(spelling, operation, snapshot.generation(), dressed));
                }
                Ok(response)
            }
            Verdict::Refused(refusal) => Err(Failure::refused(refusal, ask)),
            Verdict::Unknown(why) => self.read_through(routed, ask, form, why).await,
        }
    }

    /// Whether an answer at hand is what would be answered now, though the replica has changed since. Where something
    /// is in doubt it takes a longer way to find that out.
    pub(super) fn is_still_true(&self, answer: &AtHand, takes_unknown: bool) -> bool {
        let snapshot = self.parties.replica.snapshot();
        let operation = &answer.operation;
        if is_doubtful(operation, &snapshot) {
            return false;
        }
        let form = profile_of(&snapshot).form(takes_unknown);
        match answer_now(operation, &snapshot, form, &[]) {
            Verdict::Known(status, body) if answer.dressed.is_same(status, &body) => {
                answer.generation.store(snapshot.generation(), Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// What of an answer is shown on a listener that is bound to a context.
    async fn own_part(&self, operation: &Operation, status: u16, body: Bytes, ask: &Ask) -> Result<Bytes, Failure> {
        let Some(bound) = ask.bound.as_ref().filter(|_| (200..300).contains(&status)) else { return Ok(body) };
        if operation.route == Route::SchemaByGuid && !self.holds_guid(bound, operation, ask).await? {
            return Err(Failure::refused(Refusal::schema_not_found(operation.name()), ask));
        }
        cut_down(operation, bound, &body).map_err(|_| Failure::Garbled(ask.media.clone()))
    }

    /// The primary's answer to a read, as far as it is shown.
    async fn relayed_part(&self, operation: &Operation, answer: &Answer, ask: &Ask) -> Result<Response<Body>, Failure> {
        if ask.bound.is_none() {
            return Ok(self.relayed(operation, answer, ask));
        }
        let body = self.own_part(operation, answer.status.as_u16(), answer.body.clone(), ask).await?;
        let mut answer = Answer { body, ..answer.clone() };
        if answer.headers.contains_key(header::CONTENT_LENGTH) && ask.method != Method::HEAD {
            answer.headers.insert(header::CONTENT_LENGTH, answer.body.len().into());
        }
        Ok(self.relayed(operation, &answer, ask))
    }

    /// Whether a context holds what a GUID names, of which no answer says where it lies.
    async fn holds_guid(&self, context: &Context, operation: &Operation, ask: &Ask) -> Result<bool, Failure> {
        let snapshot = self.parties.replica.snapshot();
        if snapshot.context(context).is_some_and(|state| state.id_of(operation.name()).is_some()) {
            return Ok(true);
        }
        // What is no GUID in any spelling is held by nobody.
        if !operation.name().bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Ok(false);
        }
        let places = format!("/schemas/guids/{}/ids", operation.name());
        let call = Call::get(places, Priority::Miss, ask.read_deadline);
        let answer = self.parties.primary.send(call).await;
        let answer = answer.map_err(|failure| Failure::Away(Box::new(failure), ask.media.clone()))?;
        if answer.status != StatusCode::OK {
            return Err(Failure::Garbled(ask.media.clone()));
        }
        #[derive(serde::Deserialize)]
        struct Place {
            context: String,
        }
        let places: Vec<Place> = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(places.iter().any(|place| place.context == context.as_str()))
    }

    fn judge(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot, form: Form) -> Verdict {
        use Route as R;
        match operation.route {
            R::Lookup => self.look_up(operation, ask, snapshot, false),
            R::RootPost if is_object_of_texts(&ask.body) => Verdict::Known(200, Bytes::from_static(b"{}")),
            _ => answer_now(operation, snapshot, form, &ask.body),
        }
    }

    /// Asks the primary for what the replica does not have, and takes over what that teaches.
    async fn read_through(
        self: &Arc<Self>,
        routed: &Routed,
        ask: &Ask,
        form: Form,
        why: Why,
    ) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let outcome = match why {
            Why::Absent => self.one_flight(routed, ask, form).await,
            Why::PrimaryOnly | Why::Unsupported(_) => self.ask_and_learn(routed, ask).await.map(Arc::new),
        };
        match (outcome, why) {
            (Ok(answer), _) => self.relayed_part(operation, &answer, ask).await,
            (Err(Failure::Away(..)), Why::Unsupported(remembered)) => Ok(self.remembered(&remembered, ask)),
            (Err(failure @ Failure::Away(..)), Why::Absent) if operation.route == Route::Lookup => {
                let snapshot = self.parties.replica.snapshot();
                match self.look_up(operation, ask, &snapshot, true) {
                    Verdict::Known(status, body) => Ok(self.own(status, body, ask)),
                    _ => Err(failure),
                }
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// One call to the primary in a client's name, and what it teaches.
    pub(super) async fn ask_and_learn(&self, routed: &Routed, ask: &Ask) -> Result<Answer, Failure> {
        let operation = routed.addressed().operation();
        let ticket = self.parties.replica.ticket();
        let before = self.parties.replica.snapshot();
        // What is of no use to the replica may come in any encoding that the client takes.
        let read_here = ask.bound.is_some() || !matches!(operation.route, Route::UnknownRead | Route::DekRead);
        let answer = self.ask_primary(routed, ask, read_here).await?;
        if !is_registrys(operation, &answer) {
            let unreadable = Unanswered::new(FailureKind::Unreadable, Sent::No);
            return Err(Failure::Away(Box::new(unreadable), ask.media.clone()));
        }
        self.learn(operation, &answer, ticket, ask.read_deadline).await;
        if operation.route == Route::Lookup && answer.status == StatusCode::OK {
            self.learn_spelling(operation, ask, &answer).await;
            self.remember_answer(operation, ask, &before, &answer);
        }
        Ok(answer)
    }

    /// One call to the primary in a client's name.
    async fn ask_primary(&self, routed: &Routed, ask: &Ask, read_here: bool) -> Result<Answer, Failure> {
        self.parties.metrics.answered(routed.addressed().operation().route, AnsweredBy::Primary);
        let call = self.call(routed, ask, Priority::Miss, read_here);
        let away = |failure| Failure::Away(Box::new(failure), ask.media.clone());
        let answer = self.parties.primary.send(call.clone()).await.map_err(away)?;
        if answer.status != StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        let operation = routed.addressed().operation();
        let elsewhere = self.parties.primary.elsewhere(operation, &self.parties.replica.snapshot());
        let Some(target) = elsewhere else { return Ok(answer) };
        let other = self.parties.primary.send(Call { path_and_query: target, ..call }).await.map_err(away)?;
        Ok(if other.status == StatusCode::OK { other } else { answer })
    }
}

/// Whether a body is nothing or an object of which every value is one to Java's eyes a text can be made of.
fn is_object_of_texts(body: &[u8]) -> bool {
    let members = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body);
    body.is_empty() || members.is_ok_and(|members| !members.values().any(|value| value.is_object() || value.is_array()))
}
