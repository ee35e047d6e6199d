//! What the local registry held when a context became its own, for when it cannot be asked.
//!
//! Up to that moment it was a copy of the primary's, as our replica is. From then on the two part: the replica goes on
//! with the primary, the local registry with its clients. What was the same is kept as it was, until a client changes
//! something there; of that only what an id stands for is for ever (C8). Nobody knows it after a restart.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderValue, Response, header};

use super::Proxy;
use super::ask::Ask;
use super::metrics::AnsweredBy;
use super::settle::is_for_ever;
use crate::body::Body;
use crate::protocol::endpoints::{Effect, Route};
use crate::protocol::operation::Operation;
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::protocol::target::java_int;
use crate::replica::Snapshot;
use crate::replica::answer::{Verdict, answer as answer_now};
use crate::routing::{Home, ModeTable, Reach};

/// Whoever keeps in the local registry what is the primary's, or compares the two.
pub trait SecondCopy: Send + Sync {
    /// Whether the local registry shows a context as the primary does.
    fn is_in_step(&self, context: &Context) -> bool;

    /// A subject of a context that it was to be given and does not have as the primary does, if there is one.
    fn withheld(&self, context: &Context) -> Option<QualifiedSubject>;
}

/// The contexts that were the same there and here when they became the local registry's own.
pub(super) type Frozen = DashMap<Context, Copy>;

/// One of them.
pub(super) struct Copy {
    /// As it was; it holds nothing else.
    then: Arc<Snapshot>,
    /// Whether a client has changed something there since.
    has_parted: bool,
}

impl Proxy {
    /// Whether anything is known of what the local registry holds, for when it is away.
    pub fn remembers_local(&self) -> bool {
        !self.frozen.is_empty()
    }

    /// Which contexts are the same there and here, of those that are about to become the local registry's own.
    pub(super) fn about_to_part(&self, before: &ModeTable, after: &ModeTable) -> Vec<(Context, Arc<Snapshot>)> {
        let Some(copy) = &self.parties.second_copy else { return Vec::new() };
        let snapshot = self.parties.replica.snapshot();
        let parting = parting(&snapshot, before, after).filter(|context| copy.is_in_step(context));
        parting.map(|context| (context.clone(), Arc::new(snapshot.within(context)))).collect()
    }

    /// A subject that the local registry was to be given and has otherwise, of those that are about to become its own:
    /// its clients would find something else under a name or an id that they know.
    pub(super) fn would_be_otherwise(&self, before: &ModeTable, after: &ModeTable) -> Option<QualifiedSubject> {
        let copy = self.parties.second_copy.as_ref()?;
        let snapshot = self.parties.replica.snapshot();
        parting(&snapshot, before, after).find_map(|context| copy.withheld(context))
    }

    /// Keeps what was the same, and forgets what is the primary's again.
    pub(super) fn freeze(&self, parting: Vec<(Context, Arc<Snapshot>)>, after: &ModeTable) {
        self.frozen.retain(|context, _| after.home(&QualifiedSubject::new(context.clone(), "")) == Home::Local);
        for (context, then) in parting {
            self.frozen.insert(context, Copy { then, has_parted: false });
        }
    }

    /// A client is about to change something there: in the context of its subject, or nobody knows where.
    pub(super) fn part(&self, operation: Option<&Operation>) {
        let about = operation.filter(|operation| operation.path.contains("{subject}"));
        let context = about.map(|operation| &operation.subject.context);
        let one = context.filter(|context| self.modes().is_local(context));
        let parted = self.frozen.iter_mut().filter(|copy| one.is_none_or(|one| copy.key() == one));
        parted.for_each(|mut copy| copy.has_parted = true);
    }

    /// What the local registry would certainly affirm, could it be asked.
    pub(super) fn remembered_of_local(&self, operation: &Operation, ask: &Ask) -> Option<Response<Body>> {
        use Route as R;
        let Reach::One(context) = Reach::of(operation) else { return None };
        let copy = self.frozen.get(&context)?;
        // Lists may have to show what is there alone.
        let is_of_a_subject = matches!(
            operation.route,
            R::Versions | R::Version | R::VersionText | R::LatestWithMetadata | R::SubjectConfig
        );
        if operation.effect != Effect::Read || !(is_for_ever(operation) || is_of_a_subject && !copy.has_parted) {
            return None;
        }
        let then = copy.then.clone();
        drop(copy);
        if !holds_by_name(operation, &then) {
            return None;
        }
        let Verdict::Known(200, body) = answer_now(operation, &then, ask.form(&then), &[]) else { return None };
        self.parties.metrics.answered(operation.route, AnsweredBy::Replica);
        Some(self.of_old(body, ask))
    }

    /// An answer of which nobody knows whether it is still true: it says since when.
    fn of_old(&self, body: Bytes, ask: &Ask) -> Response<Body> {
        let mut response = self.own(200, body, ask);
        let local = self.parties.local.as_ref().and_then(|local| local.registry().reachability().last_answer);
        let age = local.map_or_else(|| self.started.elapsed(), |last| last.elapsed());
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
        response
    }
}

/// Whether the subject that is named beside an id holds it. One that does not is looked for in contexts of which
/// nothing is known here (WIRE.md § 3.7).
fn holds_by_name(operation: &Operation, then: &Snapshot) -> bool {
    let Some(named) = operation.subject_of_id().filter(|named| !named.is_bare_context()) else { return true };
    let id = java_int(operation.name());
    then.subject(&named).is_some_and(|state| state.versions.iter().any(|version| Some(version.id) == id))
}

/// The contexts of the primary's that are about to become the local registry's own.
fn parting<'a>(
    snapshot: &'a Snapshot,
    before: &'a ModeTable,
    after: &'a ModeTable,
) -> impl Iterator<Item = &'a Context> {
    let parts = |context: &&Context| {
        let scope = QualifiedSubject::new((*context).clone(), "");
        before.home(&scope) == Home::Primary && after.home(&scope) == Home::Local
    };
    snapshot.contexts().map(|(context, _)| context).filter(parts)
}
