//! Building a snapshot: what a change and a start have in common.

use std::sync::Arc;

use super::index::{ContextState, SubjectState};
use super::snapshot::{Referrer, Snapshot};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};

impl Snapshot {
    /// A context to be changed in place; what other snapshots share with this one is copied first.
    pub(super) fn context_mut(&mut self, name: &Context) -> &mut ContextState {
        if !self.contexts.contains_key(name) {
            self.contexts.insert_mut(name.clone(), Arc::default());
        }
        let context = self.contexts.get_mut(name).expect("BUG: it has just been put there");
        Arc::make_mut(context)
    }

    /// Notes which versions refer to which, after a subject's versions have become others.
    pub(super) fn refer(&mut self, subject: &QualifiedSubject, old: Option<&SubjectState>, new: &[Arc<Version>]) {
        let old = old.map_or(&[][..], |old| &old.versions);
        let is_in =
            |version: &Arc<Version>, list: &[Arc<Version>]| list.iter().any(|other| Arc::ptr_eq(other, version));
        let steps = old.iter().filter(|version| !is_in(version, new)).map(|version| (version, false));
        let steps = steps.chain(new.iter().filter(|version| !is_in(version, old)).map(|version| (version, true)));
        for (version, add) in steps {
            let referrer = Referrer { subject: subject.clone(), version: version.version };
            for reference in version.references() {
                let Some(target) = reference.subject.as_deref() else { continue };
                let target = QualifiedSubject::parse_in(target, &subject.context);
                let key = (target.context, target.subject, reference.version.unwrap_or(-1));
                let mut referrers = self.referrers.get(&key).map(|list| list.to_vec()).unwrap_or_default();
                referrers.retain(|known| *known != referrer);
                if add {
                    referrers.push(referrer.clone());
                }
                if referrers.is_empty() {
                    self.referrers.remove_mut(&key);
                } else {
                    self.referrers.insert_mut(key, referrers.into());
                }
            }
        }
    }
}
