//! What the registry knows: contexts with their subjects and ids, configurations, modes.

mod config;
mod ids;
mod mode;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schema_outpost::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};

pub(crate) use config::{Config, Level};
pub(crate) use ids::Ids;
pub(crate) use mode::Mode;

use crate::associations::Association;
use crate::failure::{Failure, Outcome};
use crate::keys::Keys;
use crate::model::Stored;

pub(crate) type Versions = BTreeMap<i32, Stored>;

/// A context's subjects, by their names inside it, and its ids.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) subjects: BTreeMap<String, Versions>,
    pub(crate) ids: Ids,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) spaces: BTreeMap<String, Space>,
    /// The contexts that are listed; the default one always is.
    pub(crate) contexts: BTreeSet<String>,
    /// By qualified subject; the empty one is the top level.
    pub(crate) configs: HashMap<String, Config>,
    pub(crate) modes: HashMap<String, Mode>,
    pub(crate) associations: Vec<Association>,
    pub(crate) keys: Keys,
    clock: i64,
}

/// Which versions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Live,
    All,
    Deleted,
}

impl Filter {
    pub(crate) fn of(deleted: bool) -> Self {
        if deleted { Self::All } else { Self::Live }
    }

    pub(crate) fn admits(self, stored: &Stored) -> bool {
        match self {
            Self::Live => !stored.deleted,
            Self::All => true,
            Self::Deleted => stored.deleted,
        }
    }
}

impl State {
    /// The time of a request: now, or just after the last one.
    pub(crate) fn tick(&mut self, now: i64) -> i64 {
        self.clock = now.max(self.clock + 1);
        self.clock
    }

    /// The context's space, made when it is not there yet.
    pub(crate) fn space(&mut self, context: &Context) -> &mut Space {
        self.spaces.entry(context.as_str().to_owned()).or_default()
    }

    /// The versions of a subject, soft-deleted ones too.
    pub(crate) fn versions(&self, subject: &QualifiedSubject) -> impl DoubleEndedIterator<Item = &Stored> {
        let space = self.spaces.get(subject.context.as_str());
        let versions = space.and_then(|space| space.subjects.get(&*subject.subject));
        versions.into_iter().flat_map(|versions| versions.values())
    }

    /// The same without number 2147483647, which can be read but is in no list and is never the latest.
    pub(crate) fn listed(&self, subject: &QualifiedSubject) -> impl DoubleEndedIterator<Item = &Stored> {
        self.versions(subject).filter(|stored| stored.version != i32::MAX)
    }

    pub(crate) fn has_versions(&self, subject: &QualifiedSubject, filter: Filter) -> bool {
        self.versions(subject).any(|stored| filter.admits(stored))
    }

    /// The newest live version.
    pub(crate) fn latest(&self, subject: &QualifiedSubject) -> Option<&Stored> {
        self.listed(subject).rev().find(|stored| !stored.deleted)
    }

    pub(crate) fn version(&self, subject: &QualifiedSubject, version: i32, filter: Filter) -> Option<&Stored> {
        let space = self.spaces.get(subject.context.as_str())?;
        let stored = space.subjects.get(&*subject.subject)?.get(&version)?;
        filter.admits(stored).then_some(stored)
    }

    /// Every listed context, the default one first.
    pub(crate) fn context_names(&self) -> Vec<Context> {
        let named = self.contexts.iter().filter(|name| *name != ".").map(|name| Context::named(name));
        std::iter::once(Context::default_context()).chain(named).collect()
    }

    /// The same name in other contexts, where an unqualified subject is looked for when the default context
    /// does not have it.
    pub(crate) fn elsewhere(&self, subject: &QualifiedSubject, filter: Filter) -> Vec<QualifiedSubject> {
        if !subject.context.is_default() {
            return Vec::new();
        }
        let others = self.context_names().into_iter().skip(1);
        let others = others.map(|context| QualifiedSubject { context, subject: subject.subject.clone() });
        others.filter(|other| self.has_versions(other, filter)).collect()
    }

    /// Subjects that match a prefix, by their qualified names.
    pub(crate) fn subjects(&self, prefix: &str) -> Vec<QualifiedSubject> {
        let prefix = SubjectPrefix::parse(prefix);
        let mut found = Vec::new();
        for (name, space) in &self.spaces {
            let context = Context::named(name);
            let listed = context.is_default() || self.contexts.contains(name);
            // A context that is literally called `*` is nobody's everywhere.
            let reached = listed && !context.is_wildcard();
            if !prefix.admits(&context) || (!reached && matches!(prefix, SubjectPrefix::Everywhere(_))) {
                continue;
            }
            let names = space.subjects.keys().filter(|subject| subject.starts_with(prefix.start()));
            found.extend(names.map(|subject| QualifiedSubject::new(context.clone(), subject)));
        }
        found
    }

    /// The subject that a name stands for, when its configuration says it is an alias; an unqualified one lies in the
    /// context `beside` (WIRE.md § 3.5). The default context as a whole has no name to look for an alias by.
    pub(crate) fn behind_alias(&self, subject: &QualifiedSubject, beside: &Context) -> Option<QualifiedSubject> {
        let name = Some(subject.to_string()).filter(|name| !name.is_empty())?;
        let alias = self.configs.get(&name)?.alias.as_deref()?;
        (!alias.is_empty()).then(|| QualifiedSubject::parse_in(alias, beside))
    }

    /// Stores a version and makes its id known.
    pub(crate) fn put(&mut self, subject: &QualifiedSubject, stored: Stored) {
        self.contexts.insert(subject.context.as_str().to_owned());
        let space = self.space(&subject.context);
        space.ids.registered(&stored);
        space.subjects.entry(subject.subject.to_string()).or_default().insert(stored.version, stored);
    }

    /// Removes a version for good.
    pub(crate) fn remove(&mut self, subject: &QualifiedSubject, version: i32) {
        let space = self.space(&subject.context);
        let Some(versions) = space.subjects.get_mut(&*subject.subject) else { return };
        if let Some(stored) = versions.remove(&version) {
            space.ids.removed(&stored);
        }
        if versions.is_empty() {
            space.subjects.remove(&*subject.subject);
        }
    }

    /// Ids of the schemas that refer to a version, with their contexts, in order.
    pub(crate) fn referrers(&self, subject: &QualifiedSubject, version: i32, filter: Filter) -> Vec<&Stored> {
        let target = subject.to_string();
        let mut found = Vec::new();
        for (name, space) in &self.spaces {
            let context = Context::named(name);
            for stored in space.subjects.values().flat_map(|versions| versions.values()) {
                let refers = stored.content.references.iter().any(|reference| {
                    let of = reference.subject.as_deref().unwrap_or_default();
                    reference.version == Some(version) && resolve(of, &context).to_string() == target
                });
                if refers && filter.admits(stored) {
                    found.push(stored);
                }
            }
        }
        found
    }

    /// Fails when another subject refers to the version.
    pub(crate) fn check_unreferenced(&self, subject: &QualifiedSubject, version: i32, filter: Filter) -> Outcome<()> {
        match self.referrers(subject, version, filter).is_empty() {
            true => Ok(()),
            false => Err(Failure::referenced(&subject.to_string(), version)),
        }
    }
}

/// The subject that a reference means: an unqualified one lies in the referrer's context, and so does `:.:x`,
/// as a subject literally so written (WIRE.md § 3.8).
pub(crate) fn resolve(written: &str, context: &Context) -> QualifiedSubject {
    let read = QualifiedSubject::parse(written);
    if read.context.is_default() && !context.is_default() {
        QualifiedSubject::new(context.clone(), written)
    } else {
        read
    }
}
