//! What is in doubt of the replica, and what that means for a read.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::Proxy;
use super::ask::Ask;
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::subject::Context;
use crate::replica::answer::is_config_of;
use crate::replica::{Doubt, Scope, Snapshot, Urgency, config_key, served_subject};

/// How often a read waits for what is in doubt before it is the primary's to answer.
const MOST_TRIES: usize = 3;

/// What a read goes on with.
pub(super) enum Settled {
    /// A state that can be believed as far as the read goes.
    Sure(Arc<Snapshot>),
    /// None: only the primary can be believed.
    AskPrimary,
}

impl Proxy {
    /// Settles what is in doubt of what the operation is about.
    pub(super) async fn settle(&self, operation: &Operation, ask: &Ask, mut snapshot: Arc<Snapshot>) -> Settled {
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
    pub(super) async fn promise(&self, operation: &Operation) {
        for (scope, doubt) in self.doubts(operation, &self.parties.replica.snapshot()) {
            if doubt < Doubt::Unsure && matches!(scope, Scope::All | Scope::Context(_)) {
                self.distrust(scope, Doubt::Unsure, Vec::new()).await;
            }
        }
    }

    /// What must not be answered before it is settled.
    pub(super) fn doubts(&self, operation: &Operation, snapshot: &Snapshot) -> Vec<(Scope, Doubt)> {
        let away = self.parties.primary.is_away();
        let is_borne = |doubt: Doubt| away && (is_for_ever(operation) || doubt < Doubt::Unsure);
        let doubts =
            snapshot.doubts().filter(|(scope, doubt)| !is_borne(*doubt) && concerns(scope, operation, snapshot));
        doubts.map(|(scope, doubt)| (scope.clone(), doubt)).collect()
    }
}

/// What an id stands for never changes (C8), whatever else became of its subjects.
pub(super) fn is_for_ever(operation: &Operation) -> bool {
    matches!(operation.route, Route::SchemaById | Route::SchemaTextById | Route::SchemaByGuid)
}

/// Whether something that is in doubt can show in the answer.
pub(super) fn is_doubtful(operation: &Operation, snapshot: &Snapshot) -> bool {
    snapshot.doubts().any(|(scope, _)| concerns(scope, operation, snapshot))
}

/// Whether what is in doubt can show in the answer. Of a route that none of these lists names, it
/// never does, unless all of the replica is.
fn concerns(scope: &Scope, operation: &Operation, snapshot: &Snapshot) -> bool {
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
        || matches!(operation.route, R::SchemaByGuid | R::IdsByGuid | R::Contexts | R::BatchGetAssociations);
    let served = || served_subject(snapshot, operation);
    match scope {
        Scope::All => true,
        Scope::Context(context) => {
            about_schemas && (!about_one_subject || shares(context, operation) || served().context == *context)
        }
        Scope::Subject(subject) if about_one_subject && operation.route != R::ReferencedBy => {
            // An unqualified name may be answered from any context, and through an alias.
            *subject == operation.subject
                || subject.subject == operation.subject.subject
                || subject.subject == served().subject
        }
        // An id whose schema is known stands for it whatever other subjects are going through (C8).
        Scope::Subject(subject) if is_for_ever(operation) => snapshot.may_hold(subject, operation),
        Scope::Subject(_) => about_schemas,
        Scope::Remembered(key) => {
            let may_be_shown = matches!(operation.route, R::GlobalConfig | R::SubjectConfig)
                || (operation.route == R::Schemas && operation.query.flag("aliases"));
            // A lookup is made of what the configuration makes of the schema, and any subject may be an alias.
            let is_lookups = || is_config_of(key, &operation.subject) || is_config_of(key, &served());
            (may_be_shown && key.starts_with("/config"))
                || (operation.route == R::Lookup && is_lookups())
                || (about_one_subject && **key == *config_key(&operation.subject))
        }
        Scope::Contexts => operation.route == R::Contexts,
        Scope::Associations => {
            let asks = |name: &&str| operation.query.get(name).is_some();
            matches!(operation.route, R::AssociationsByName | R::AssociationsByResource | R::AssociationsBySubject)
                || operation.route == R::BatchGetAssociations
                || (operation.route == R::Schemas && ["resourceType", "associationType", "lifecycle"].iter().any(asks))
        }
    }
}

fn shares(context: &Context, operation: &Operation) -> bool {
    *context == operation.subject.context || operation.subject.context.is_default()
}
