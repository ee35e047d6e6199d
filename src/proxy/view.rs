//! What there is for a client: everything, or on a listener that is bound to a context just that.
//!
//! It is the rule of bound listeners, said once: their answers are made from a replica that holds only the one
//! context, and asked through a border that shows only it. No answer is cut down afterwards.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use dashmap::DashMap;

use super::Proxy;
use crate::protocol::subject::Context;
use crate::replica::Snapshot;
use crate::routing::Primary;

/// For each context that listeners are bound to its part of the state that was asked for last, with that state.
pub(super) type Views = DashMap<Context, (Weak<Snapshot>, Arc<Snapshot>)>;

impl Proxy {
    /// What of a state there is.
    pub(super) fn view(&self, snapshot: &Arc<Snapshot>, bound: Option<&Context>) -> Arc<Snapshot> {
        let Some(bound) = bound else { return snapshot.clone() };
        if let Some(known) = self.views.get(bound)
            && known.0.as_ptr() == Arc::as_ptr(snapshot)
        {
            return known.1.clone();
        }
        let view = Arc::new(snapshot.within(bound));
        self.views.insert(bound.clone(), (Arc::downgrade(snapshot), view.clone()));
        view
    }

    /// The same of the state of now.
    pub(super) fn view_of_now(&self, bound: Option<&Context>) -> Arc<Snapshot> {
        self.view(&self.parties.replica.snapshot(), bound)
    }

    /// The primary, as far as there is one.
    pub(super) fn primary(&self, bound: Option<&Context>) -> Cow<'_, Primary> {
        let primary = &self.parties.primary;
        bound.map_or(Cow::Borrowed(primary), |bound| Cow::Owned(primary.within(bound)))
    }
}
