//! Writes: sent once, resolved by a lookup when their fate is unknown, applied before they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::Proxy;
use super::apply::{Effects, is_whole};
use super::ask::Ask;
use super::fields::UNKNOWN_PROPERTIES;
use super::headers::to_primary;
use super::metrics::AnsweredBy;
use super::recognise::{found_by, held_by, is_absence, lookup_of, registered_as};
use super::refuse::{Failure, HeldBack};
use super::trim::is_trimmed;
use crate::body::Body;
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::operation::Operation;
use crate::protocol::schema::Listed;
use crate::replica::answer::Asked;
use crate::replica::{Doubt, NotReread, Scope, Urgency, served_subject};
use crate::routing::{Forbidden, Home, Routed};
use crate::upstream::{Answer, Call, Failure as Unanswered, Priority, Sent, Voice};

/// What of a registration's time is kept back for the lookup that resolves it.
const TO_RESOLVE: Duration = Duration::from_secs(5);

/// Answers with whole schemas inside, of which the replica takes nothing over.
const ENCLOSING: [Route; 4] =
    [Route::BatchGetAssociations, Route::CreateAssociation, Route::UpdateAssociation, Route::BatchMutateAssociations];

impl Proxy {
    /// The call to the primary that a request becomes. What is read here comes in no encoding.
    pub(super) fn call(&self, routed: &Routed, ask: &Ask, priority: Priority, read_here: bool) -> Call {
        let operation = routed.addressed().operation();
        let mut headers = to_primary(ask, &self.pseudonym, read_here);
        // What Cloud leaves out of an enclosed schema is not written down anywhere (WIRE.md § 8.4), so it is asked for
        // no more than the client takes.
        if ENCLOSING.contains(&operation.route) && !ask.accepts_unknown() {
            headers.insert(UNKNOWN_PROPERTIES, HeaderValue::from_static("false"));
        }
        let snapshot = self.parties.replica.snapshot();
        // How much is left of what is cut down, only the whole of it tells.
        let is_measured = ask.manner.is_head && is_trimmed(operation.route) && ask.is_shown_less(&snapshot);
        Call {
            method: if is_measured { Method::GET } else { ask.method.clone() },
            path_and_query: self.primary(ask.bound.as_ref()).target(operation, &snapshot),
            headers,
            body: ask.body.clone(),
            priority,
            deadline: if priority == Priority::Write { ask.write_deadline } else { ask.read_deadline },
            voice: Voice::Ours,
        }
    }

    /// Forwards a write, or a question that only the primary can judge.
    pub(super) async fn write(self: &Arc<Self>, routed: Routed, ask: Ask) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        if operation.route == Route::Register
            && let Some(known) = self.already_registered(operation, &ask, (false, true))
        {
            return Ok(known);
        }
        if operation.effect == Effect::Write && !self.parties.store.is_writable() {
            return Err(Failure::Store(ask.media));
        }
        // A client that goes away must not keep what the primary has done from the replica.
        let (proxy, media) = (self.clone(), ask.media.clone());
        let carried = self.carrying.spawn(async move { proxy.carry(routed, ask).await });
        carried.await.unwrap_or(Err(Failure::Garbled(media)))
    }

    async fn carry(self: Arc<Self>, routed: Routed, ask: Ask) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let is_write = operation.effect == Effect::Write;
        let priority = if is_write { Priority::Write } else { Priority::Miss };
        let mut call = self.call(&routed, &ask, priority, is_write);
        if operation.route == Route::Register {
            call.deadline -= TO_RESOLVE.min((ask.write_deadline - Instant::now()) / 4);
        } else if !is_write {
            call.deadline = ask.write_deadline;
        }
        self.parties.metrics.answered(operation.route, AnsweredBy::Primary);
        let effects = Effects::of(operation, &ask.body, &self.parties.replica);
        let before = self.view_of_now(ask.bound.as_ref());
        match self.primary(ask.bound.as_ref()).send(call).await {
            Ok(answer) if is_write && answer.status.is_success() => {
                if !is_whole(operation.route, &answer) {
                    tracing::error!(route = ?operation.route, status = %answer.status, "the primary's answer to a write cannot be understood");
                    self.bring_up(effects, None, ask.write_deadline).await;
                    return Err(Failure::Garbled(ask.media));
                }
                self.bring_up(effects, Some(&answer), ask.write_deadline).await;
                if operation.route == Route::Register {
                    self.learn_spelling(operation, &ask, &answer).await;
                    self.remember_answer(operation, &ask, &before, &answer);
                }
                Ok(self.relayed(operation, &answer, &ask))
            }
            Ok(answer) => Ok(self.relayed(operation, &answer, &ask)),
            Err(failure) => self.not_answered(&routed, ask, effects, failure).await,
        }
    }

    async fn not_answered(
        &self,
        routed: &Routed,
        ask: Ask,
        effects: Effects,
        failure: Unanswered,
    ) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let is_write = operation.effect == Effect::Write;
        tracing::warn!(route = ?operation.route, subject = %operation.subject, kind = ?failure.kind, sent = ?failure.sent,
            error = %crate::telemetry::Chain(&failure), "the primary did not answer");
        if operation.route == Route::Register
            && failure.sent == Sent::No
            && let Some(known) = self.already_registered(operation, &ask, (true, true))
        {
            return Ok(known);
        }
        match failure.sent {
            _ if !is_write => match self.stand_in(operation, &ask).await {
                Some(judgement) => Ok(judgement),
                None => Err(Failure::Away(Box::new(failure), ask.media)),
            },
            Sent::No => Err(Failure::Away(Box::new(failure), ask.media)),
            Sent::Maybe if operation.route == Route::Register => {
                let found = self.resolve(operation, &ask).await;
                let answer = found.as_ref().map(|(answer, _)| answer);
                self.bring_up(effects, answer, ask.write_deadline).await;
                let Some((_, found)) = found else { return Err(Failure::Unknown(Box::new(failure), ask.media)) };
                Ok(self.registered_as(&found, &ask))
            }
            Sent::Maybe => {
                self.bring_up(effects, None, ask.write_deadline).await;
                Err(Failure::Unknown(Box::new(failure), ask.media))
            }
        }
    }

    /// Finds out by one lookup whether a registration took effect (C10).
    async fn resolve(&self, operation: &Operation, ask: &Ask) -> Option<(Answer, Listed)> {
        let answer = self.look_up_there(operation, ask).await?.ok()?;
        let served = served_subject(&self.parties.replica.snapshot(), operation);
        let found = found_by(&answer, &served, ask)?;
        Some((answer, found))
    }

    /// Registers nothing: what is there already is answered, anything else refused (WIRE.md § 2.2). Where only the
    /// primary can tell which of the two it is, it is asked by a lookup.
    pub(super) async fn only_known(
        &self,
        operation: &Operation,
        ask: &Ask,
        forbidden: Forbidden,
    ) -> Result<Response<Body>, Failure> {
        if forbidden.home == Home::Local {
            return self.only_known_there(operation, ask, forbidden).await;
        }
        if let Some(known) = self.already_registered(operation, ask, (false, false)) {
            return Ok(known);
        }
        match self.look_up_there(operation, ask).await {
            Some(Ok(answer)) => {
                match held_by(&answer, &served_subject(&self.parties.replica.snapshot(), operation), ask) {
                    Some(found) => Ok(self.registered_as(&found, ask)),
                    None if is_absence(&answer) || answer.status == StatusCode::OK => Err(held_back(forbidden, ask)),
                    // Whatever else it says is no word about whether it is there.
                    None => Ok(self.relayed(operation, &answer, ask)),
                }
            }
            Some(Err(failure)) => {
                let known = self.already_registered(operation, ask, (true, false));
                known.ok_or_else(|| Failure::Away(Box::new(failure), ask.media.clone()))
            }
            None => Err(held_back(forbidden, ask)),
        }
    }

    /// Asks the primary whether it has what a registration registers; `None` if a lookup could not tell: it knows
    /// nothing of tags, nor of what a configuration adds (WIRE.md §§ 1.2, 2.2).
    async fn look_up_there(&self, operation: &Operation, ask: &Ask) -> Option<Result<Answer, Unanswered>> {
        Asked::read(&ask.body).filter(|asked| !asked.is_about_tags())?;
        let snapshot = self.parties.replica.snapshot();
        if snapshot.config_adds_to_schemas(&served_subject(&snapshot, operation)) == Some(true) {
            return None;
        }
        let lookup = Call {
            method: Method::POST,
            path_and_query: lookup_of(&operation.target)?,
            headers: to_primary(ask, &self.pseudonym, true),
            body: ask.body.clone(),
            // It belongs to a write: a pause that holds misses back must not leave its fate unknown.
            priority: Priority::Write,
            deadline: ask.write_deadline,
            voice: Voice::Ours,
        };
        Some(self.primary(ask.bound.as_ref()).send(lookup).await)
    }

    /// The answer to a registration of what was found.
    fn registered_as(&self, found: &Listed, ask: &Ask) -> Response<Body> {
        let body = registered_as(found, ask.form(&self.parties.replica.snapshot()));
        self.own(200, body.into(), ask)
    }

    /// Brings the replica up to a write before it is acknowledged, or after nobody knows what became of
    /// it. Nothing that fails here takes the acknowledgement back (C1): what could not be read again is in
    /// doubt from now on.
    async fn bring_up(&self, effects: Effects, answer: Option<&Answer>, deadline: Instant) {
        let proven = answer.and_then(|answer| effects.proven(answer));
        let unproven = match proven {
            Some(changes) => match self.parties.replica.apply_write(changes, effects.asked).await {
                Ok(applied) if applied.conflicts.is_empty() && applied.overtaken.is_empty() => Vec::new(),
                Ok(_) => effects.scopes(),
                Err(failure) => {
                    tracing::error!(error = %failure, "an acknowledged write could not be kept");
                    effects.scopes()
                }
            },
            None => effects.scopes(),
        };
        let is_wide = |scope: &Scope| matches!(scope, Scope::All | Scope::Context(_));
        let is_promised = answer.is_some();
        // Before it is read again: a reading that began earlier must not pass for a later one.
        for scope in &unproven {
            let doubt = if is_promised { Doubt::Unsure } else { Doubt::Undecided };
            let purged = answer.map(|answer| effects.purged(answer, scope)).unwrap_or_default();
            self.distrust(scope.clone(), doubt, purged).await;
        }
        for scope in unproven {
            if is_promised && !is_wide(&scope) {
                let reading = self.parties.reread.reread(scope, Urgency::Write);
                // Who waits longer than this is told what the primary said; the doubt stays.
                if let Ok(Err(failure)) = timeout_at(deadline, reading).await {
                    log(&failure);
                }
            } else {
                self.reread_later(scope);
            }
        }
    }

    /// Has a scope read again while nobody waits for it.
    pub(super) fn reread_later(&self, scope: Scope) {
        let reread = self.parties.reread.clone();
        let read = async move { reread.reread(scope, Urgency::Background).await };
        tokio::spawn(async move { read.await.unwrap_or_else(|failure| log(&failure)) });
    }
}

/// What to say of a write that a mode does not let through.
pub(super) fn held_back(Forbidden { refusal, scope, mode, .. }: Forbidden, ask: &Ask) -> Failure {
    Failure::HeldBack(Box::new(HeldBack { refusal, scope, mode: Some(mode) }), ask.media.clone())
}

fn log(failure: &NotReread) {
    tracing::warn!(scope = %failure.scope, error = %failure.cause, "could not read again after a write; the scope is in doubt");
}
