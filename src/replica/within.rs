//! The part of a state that one context is: what a registry would hold that has no other.

use super::snapshot::Snapshot;
use crate::protocol::subject::{Context, QualifiedSubject};

impl Snapshot {
    /// The same state without all that lies in other contexts. What is not about subjects stays.
    #[must_use]
    pub fn within(&self, context: &Context) -> Self {
        let own = self.contexts.get(context).map(|state| (context.clone(), state.clone()));
        let is_own = |name: &str| QualifiedSubject::parse(name).context == *context;
        let listed = self.listed.as_ref();
        let associations = self.associations.as_ref();
        Self {
            contexts: own.into_iter().collect(),
            listed: listed.map(|listed| listed.iter().filter(|named| *named == context).cloned().collect()),
            associations: associations.map(|all| all.iter().filter(|one| is_own(&one.subject)).cloned().collect()),
            ..self.clone()
        }
    }
}
