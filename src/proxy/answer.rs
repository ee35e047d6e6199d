//! Reads: from the replica where it is certain, else from the primary, one flight a key.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use moka::future::Cache;
use tokio::time::timeout_at;

use super::Proxy;
use super::apply::is_registrys;
use super::ask::Ask;
use super::forward::call;
use super::metrics::Source;
use super::refuse::Failure;
use super::respond::relay;
use crate::body::Body;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::shape::{Form, Profile, Record, schema};
use crate::protocol::subject::Context;
use crate::replica::answer::{Asked, MatchScope, Verdict, Why, answer, has_unknown_parameters};
use crate::replica::{Doubt, Rendered, Scope, Snapshot, Urgency, answer_key};
use crate::routing::Routed;
use crate::upstream::{Answer, Failure as Unanswered, FailureKind, Priority, Sent};

/// Answers of the primary to misses, each for a moment: long enough for those who ask at the same
/// time, too short to be believed later.
pub(super) type Flights = Cache<String, Arc<Answer>>;

/// A remembered "not found" lives no longer than this (C4b).
const MOMENT: Duration = Duration::from_millis(500);

/// How often a read waits for what is in doubt before it is the primary's to answer.
const MOST_TRIES: usize = 3;

pub(super) fn flights() -> Flights {
    let weight = |_: &String, answer: &Arc<Answer>| u32::try_from(answer.body.len() + 512).unwrap_or(u32::MAX);
    Cache::builder().time_to_live(MOMENT).max_capacity(16 << 20).weigher(weight).build()
}

impl Proxy {
    /// Answers a read.
    pub(super) async fn read(self: &Arc<Self>, routed: &Routed, ask: &Ask) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let is_strange = has_unknown_parameters(operation);
        if is_strange && self.parties.primary.reachability().unreachable_since.is_none() {
            match Box::pin(self.ask_and_learn(routed, ask)).await {
                Err(Failure::Away(..)) => {}
                outcome => return outcome.map(|answer| relay(&answer, ask)),
            }
        }
        let snapshot = self.parties.replica.snapshot();
        let key = answer_key(operation, form_for(&snapshot, ask));
        if let Some(hit) = self.rendered.get(&key, snapshot.generation()) {
            self.parties.metrics.answered(operation.route, Source::Replica);
            return Ok(self.own(&hit, ask));
        }
        // Apart, so that a hit does not make room for what only a miss needs: the room for the whole way of
        // a request is set aside for each, and cost a hit more than anything else.
        Box::pin(self.read_anew(routed, ask, snapshot, &key)).await
    }

    /// Answers a read whose answer is not at hand.
    async fn read_anew(
        self: &Arc<Self>,
        routed: &Routed,
        ask: &Ask,
        snapshot: Arc<Snapshot>,
        key: &str,
    ) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let form = form_for(&snapshot, ask);
        let snapshot = match self.settle(operation, ask, snapshot).await {
            Settled::Sure(snapshot) => snapshot,
            Settled::AskPrimary => match self.ask_primary(routed, ask, false).await {
                Ok(answer) => {
                    self.promise(operation).await;
                    return Ok(relay(&answer, ask));
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
                let rendered = Rendered { generation: snapshot.generation(), status, body };
                // What is shown in spite of a doubt is for now: kept, it would be shown to those who can do better.
                let is_certain =
                    is_for_ever(operation) || !snapshot.doubts().any(|(scope, _)| concerns(scope, operation));
                if is_certain && operation.route != Route::Lookup && operation.route != Route::RootPost {
                    self.rendered.put(key, rendered.clone());
                }
                self.parties.metrics.answered(operation.route, Source::Replica);
                Ok(self.own(&rendered, ask))
            }
            Verdict::Refused(refusal) => Err(Failure::refused(refusal, ask)),
            Verdict::Unknown(why) => self.read_through(routed, ask, key, why).await,
        }
    }

    fn judge(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot, form: Form) -> Verdict {
        use Route as R;
        match operation.route {
            R::Lookup => self.look_up(operation, ask, snapshot, false),
            R::RootPost if ask.body.is_empty() || &ask.body[..] == b"{}" => {
                Verdict::Known(200, bytes::Bytes::from_static(b"{}"))
            }
            // What a list lacks is said to be absent, which is not known before a first pass has ended.
            R::Subjects | R::Schemas | R::SubjectsById | R::VersionsById | R::IdsByGuid | R::ReferencedBy
                if !snapshot.is_whole() =>
            {
                Verdict::Unknown(Why::Absent)
            }
            _ => answer(operation, snapshot, form),
        }
    }

    /// A lookup that is certainly equal to something we hold (WIRE.md § 1.2).
    fn look_up(&self, operation: &Operation, ask: &Ask, snapshot: &Snapshot, trusting: bool) -> Verdict {
        let is_plain =
            !operation.query.flag("normalize") && operation.query.get("format").unwrap_or_default().is_empty();
        let scope = if operation.query.flag("deleted") { MatchScope::WithDeleted } else { MatchScope::Live };
        let asked = Asked::read(&ask.body).filter(|_| is_plain);
        match asked.and_then(|asked| asked.find(snapshot, operation, scope, trusting)) {
            Some(found) => {
                let form = form_for(snapshot, ask);
                let body = schema(&found.subject.to_string(), &found.version, form, Record::Asked);
                Verdict::Known(200, body.into())
            }
            None => Verdict::Unknown(Why::Absent),
        }
    }

    /// Asks the primary for what the replica does not have, and takes over what that teaches.
    async fn read_through(
        self: &Arc<Self>,
        routed: &Routed,
        ask: &Ask,
        key: &str,
        why: Why,
    ) -> Result<Response<Body>, Failure> {
        let operation = routed.addressed().operation();
        let outcome = match why {
            Why::Absent => self.one_flight(routed, ask, key).await,
            Why::PrimaryOnly | Why::Unsupported(_) => self.ask_and_learn(routed, ask).await.map(Arc::new),
        };
        match (outcome, why) {
            (Ok(answer), _) => Ok(relay(&answer, ask)),
            (Err(Failure::Away(..)), Why::Unsupported(remembered)) => Ok(self.remembered(&remembered, ask)),
            (Err(failure @ Failure::Away(..)), Why::Absent) if operation.route == Route::Lookup => {
                let snapshot = self.parties.replica.snapshot();
                match self.look_up(operation, ask, &snapshot, true) {
                    Verdict::Known(status, body) => {
                        Ok(self.own(&Rendered { generation: snapshot.generation(), status, body }, ask))
                    }
                    _ => Err(failure),
                }
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// Everyone who asks the same at the same time shares one call.
    async fn one_flight(self: &Arc<Self>, routed: &Routed, ask: &Ask, key: &str) -> Result<Arc<Answer>, Failure> {
        let replica = &self.parties.replica;
        // What was asked before a write, or before the replica changed, is no answer after it.
        let mut flight = format!(
            "{} {} {}",
            replica.writes(),
            replica.snapshot().generation(),
            ask.media.to_str().unwrap_or_default()
        );
        flight.push_str(key);
        flight.push_str(&String::from_utf8_lossy(&ask.body));
        if ask.method == http::Method::HEAD {
            flight.push_str(" HEAD");
        }
        let load = async { self.ask_and_learn(routed, ask).await.map(Arc::new) };
        self.flights.try_get_with(flight, load).await.map_err(|failure| again(&failure, ask))
    }

    /// One call to the primary in a client's name, and what it teaches.
    async fn ask_and_learn(&self, routed: &Routed, ask: &Ask) -> Result<Answer, Failure> {
        let operation = routed.addressed().operation();
        let ticket = self.parties.replica.ticket();
        // What is of no use to the replica may come in any encoding that the client takes.
        let read_here = !matches!(operation.route, Route::UnknownRead | Route::DekRead);
        let answer = self.ask_primary(routed, ask, read_here).await?;
        if !is_registrys(operation, &answer) {
            let unreadable = Unanswered::new(FailureKind::Unreadable, Sent::No);
            return Err(Failure::Away(Box::new(unreadable), ask.media.clone()));
        }
        self.learn(operation, &answer, ticket, ask.read_deadline).await;
        Ok(answer)
    }

    /// One call to the primary in a client's name.
    async fn ask_primary(&self, routed: &Routed, ask: &Ask, read_here: bool) -> Result<Answer, Failure> {
        self.parties.metrics.answered(routed.addressed().operation().route, Source::Primary);
        let call = call(routed, ask, &self.pseudonym, Priority::Miss, read_here);
        let answer = self.parties.primary.send(call).await;
        answer.map_err(|failure| Failure::Away(Box::new(failure), ask.media.clone()))
    }

    /// Settles what is in doubt of what the operation is about.
    async fn settle(&self, operation: &Operation, ask: &Ask, mut snapshot: Arc<Snapshot>) -> Settled {
        for _ in 0..MOST_TRIES {
            if snapshot.is_sure() {
                return Settled::Sure(snapshot);
            }
            for (scope, doubt) in self.doubts(operation, &snapshot) {
                let is_wide = matches!(scope, Scope::All | Scope::Context(_));
                if is_wide {
                    return Settled::AskPrimary;
                }
                let reading = self.parties.reread.reread(scope, Urgency::Read);
                let is_settled = matches!(timeout_at(ask.read_deadline, reading).await, Ok(Ok(())));
                if !is_settled && doubt == Doubt::Unsure {
                    return Settled::AskPrimary;
                }
            }
            snapshot = self.parties.replica.snapshot();
            // While one doubt was settled, an acknowledged write may have brought another one.
            if self.doubts(operation, &snapshot).iter().all(|(_, doubt)| *doubt < Doubt::Unsure) {
                return Settled::Sure(snapshot);
            }
        }
        Settled::AskPrimary
    }

    /// What the primary has shown past the replica, no later read may be older than (C5).
    async fn promise(&self, operation: &Operation) {
        for (scope, doubt) in self.doubts(operation, &self.parties.replica.snapshot()) {
            if doubt < Doubt::Unsure && matches!(scope, Scope::All | Scope::Context(_)) {
                self.distrust(scope, Doubt::Unsure, Vec::new()).await;
            }
        }
    }

    /// What must not be answered before it is settled.
    fn doubts(&self, operation: &Operation, snapshot: &Snapshot) -> Vec<(Scope, Doubt)> {
        let away = self.parties.primary.reachability().unreachable_since.is_some();
        let is_borne = |doubt: Doubt| away && (is_for_ever(operation) || doubt < Doubt::Unsure);
        let doubts = snapshot.doubts().filter(|(scope, doubt)| !is_borne(*doubt) && concerns(scope, operation));
        doubts.map(|(scope, doubt)| (scope.clone(), doubt)).collect()
    }
}

/// The shape that this client is shown.
pub(super) fn form_for(snapshot: &Snapshot, ask: &Ask) -> Form {
    profile_of(snapshot).form(ask.accepts_unknown())
}

/// Before a pass has found out the profile, a version tells: one without a GUID comes from a
/// registry of the old shape.
fn profile_of(snapshot: &Snapshot) -> Profile {
    let shown = || {
        let (_, subject) = snapshot.contexts().find_map(|(_, context)| context.subjects().next())?;
        subject.versions.first()?.guid.is_none().then_some(Profile::Confluent7)
    };
    snapshot.profile().or_else(shown).unwrap_or_default()
}

enum Settled {
    Sure(Arc<Snapshot>),
    AskPrimary,
}

/// What an id stands for never changes (C8), whatever else became of its subjects.
fn is_for_ever(operation: &Operation) -> bool {
    matches!(operation.route, Route::SchemaById | Route::SchemaTextById | Route::SchemaByGuid)
}

/// Whether what is in doubt can show in the answer.
fn concerns(scope: &Scope, operation: &Operation) -> bool {
    use Route as R;
    let about_one_subject = matches!(
        operation.route,
        R::Lookup | R::Versions | R::Version | R::VersionText | R::ReferencedBy | R::LatestWithMetadata
    );
    let about_schemas = about_one_subject
        || matches!(
            operation.route,
            R::Schemas | R::Subjects | R::SchemaById | R::SchemaTextById | R::SubjectsById | R::VersionsById
        )
        || matches!(operation.route, R::SchemaByGuid | R::IdsByGuid | R::Contexts);
    match scope {
        Scope::All => true,
        Scope::Context(context) => about_schemas && (!about_one_subject || shares(context, operation)),
        Scope::Subject(subject) if about_one_subject && operation.route != R::ReferencedBy => {
            // An unqualified name may be answered from any context, and through an alias.
            *subject == operation.subject || subject.subject == operation.subject.subject
        }
        Scope::Subject(_) => about_schemas,
        Scope::Remembered(key) => {
            matches!(operation.route, R::GlobalConfig | R::SubjectConfig) && key.starts_with("/config")
        }
        Scope::Contexts => operation.route == R::Contexts,
        Scope::Associations => {
            matches!(operation.route, R::AssociationsByName | R::AssociationsByResource | R::AssociationsBySubject)
        }
    }
}

fn shares(context: &Context, operation: &Operation) -> bool {
    *context == operation.subject.context || operation.subject.context.is_default()
}

/// The failure of a shared flight, for each of those who waited for it.
fn again(failure: &Arc<Failure>, ask: &Ask) -> Failure {
    match &**failure {
        Failure::Away(cause, _) => Failure::Away(Box::new(cause.for_another()), ask.media.clone()),
        _ => Failure::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::Listed;
    use crate::protocol::subject::QualifiedSubject;
    use crate::replica::{Change, Forgetful, Replica};

    #[tokio::test]
    async fn until_the_profile_is_known_the_first_version_shows_it() {
        let replica = Arc::new(Replica::empty(Forgetful));
        assert_eq!(profile_of(&replica.snapshot()), Profile::Confluent8);
        let listed = serde_json::from_str::<Listed>(r#"{"version":1,"id":1,"schema":"x"}"#).expect("a version");
        let change = Change::Version { subject: QualifiedSubject::parse("a"), version: listed.version };
        replica.apply_write(vec![change], replica.ticket()).await.expect("kept");
        assert_eq!(profile_of(&replica.snapshot()), Profile::Confluent7);
        replica.apply_write(vec![Change::Profile(Profile::Cloud)], replica.ticket()).await.expect("kept");
        assert_eq!(profile_of(&replica.snapshot()), Profile::Cloud);
    }
}
