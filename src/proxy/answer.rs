//! Reads: from the replica where it is certain, else from the primary, one flight a key.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

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
use crate::protocol::operation::Operation;
use crate::protocol::shape::Form;
use crate::protocol::subject::Context;
use crate::replica::answer::{Verdict, Why, answer as answer_now, has_unknown_parameters};
use crate::replica::{Snapshot, Stamp};
use crate::routing::Routed;
use crate::upstream::{Answer, Failure as Unanswered, FailureKind, Priority, Sent};

impl Proxy {
    /// Answers a read.
    pub(super) async fn read(self: &Arc<Self>, routed: &Routed, ask: &Ask) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let is_strange = has_unknown_parameters(operation);
        if is_strange && !self.parties.primary.is_away() {
            match Box::pin(self.ask_and_learn(routed, ask)).await {
                Err(Failure::Away(..)) => {}
                outcome => return Ok(self.relayed(operation, &outcome?, ask)),
            }
        }
        let snapshot = self.parties.replica.snapshot();
        let form = ask.form(&snapshot);
        // What is to be cut down must come in no coding.
        let read_here = ask.is_shown_less(&snapshot);
        let snapshot = match self.settle(operation, ask, snapshot).await {
            Settled::Sure(snapshot) => snapshot,
            Settled::AskPrimary => match self.ask_primary(routed, ask, read_here).await {
                Ok(answer) => {
                    self.promise(operation).await;
                    return Ok(self.relayed(operation, &answer, ask));
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
        match self.judge(operation, ask, &self.view(&snapshot, ask.bound.as_ref()), form) {
            Verdict::Known(status, body) => {
                let dressed = Dressed::apart(status, body, &ask.media, ask.manner).await;
                self.parties.metrics.answered(operation.route, AnsweredBy::Replica);
                let response = self.go_out(&dressed, ask);
                // What is shown in spite of a doubt is for now: kept, it would be shown to those who can do better.
                let is_certain = is_for_ever(operation) || !is_doubtful(operation, &snapshot);
                if let Some(spelling) = ask.spelling.clone().filter(|_| is_certain && !is_strange) {
                    let operation = Operation::clone(operation);
                    let stamp = Stamp::of(&operation, &snapshot);
                    self.answers.put(spelling, operation, stamp, dressed);
                }
                Ok(response)
            }
            Verdict::Refused(refusal) => Err(Failure::refused(refusal, &ask.media)),
            Verdict::Unknown(why) => self.read_through(routed, ask, form, why).await,
        }
    }

    /// Whether an answer at hand is what would be answered now, though the replica has changed since. Where something
    /// is in doubt that may show in it, it takes a longer way to find that out.
    pub(super) fn is_still_true(&self, answer: &AtHand, takes_unknown: bool, bound: Option<&Context>) -> bool {
        let snapshot = self.parties.replica.snapshot();
        let operation = &answer.operation;
        if is_doubtful(operation, &snapshot) {
            return false;
        }
        if self.parties.replica.holds(&answer.stamp, &snapshot) {
            return true;
        }
        let form = profile_of(&snapshot).form(takes_unknown);
        match answer_now(operation, &self.view(&snapshot, bound), form, &[]) {
            Verdict::Known(status, body) if answer.dressed.is_same(status, &body) => {
                answer.stamp.renew(operation, &snapshot)
            }
            _ => false,
        }
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
            (Ok(answer), _) => Ok(self.relayed(operation, &answer, ask)),
            (Err(Failure::Away(..)), Why::Unsupported(remembered)) => Ok(self.remembered(&remembered, ask)),
            (Err(failure @ Failure::Away(..)), Why::Absent) if operation.route == Route::Lookup => {
                match self.look_up(operation, ask, &self.view_of_now(ask.bound.as_ref()), true) {
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
        let before = self.view_of_now(ask.bound.as_ref());
        // What is of no use to the replica may come in any encoding that the client takes.
        let read_here = !matches!(operation.route, Route::UnknownRead | Route::DekRead);
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
        let primary = self.primary(ask.bound.as_ref());
        let answer = primary.send(call.clone()).await.map_err(away)?;
        if answer.status != StatusCode::NOT_FOUND {
            return Ok(answer);
        }
        let operation = routed.addressed().operation();
        let view = self.view_of_now(ask.bound.as_ref());
        let elsewhere = primary.elsewhere(operation, &view, &call).await.map_err(away)?;
        Ok(elsewhere.unwrap_or(answer))
    }
}

/// Whether a body is nothing or an object of which every value is one to Java's eyes a text can be made of.
fn is_object_of_texts(body: &[u8]) -> bool {
    let members = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body);
    body.is_empty() || members.is_ok_and(|members| !members.values().any(|value| value.is_object() || value.is_array()))
}
