//! What the primary showed, gathered into whole subjects.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::items::Item;
use super::status::Skipped;
use crate::protocol::schema::Version;
use crate::protocol::subject::QualifiedSubject;
use crate::replica::{Snapshot, Ticket};

/// A subject as the primary showed it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) subject: QualifiedSubject,
    /// Ascending. What is not new is the replica's own copy, so that a reading of what is known
    /// costs next to nothing.
    pub(super) versions: Vec<Arc<Version>>,
    /// From before the first of the answers that showed it.
    pub(super) ticket: Ticket,
    /// Versions that the primary has but that could not be read.
    pub(super) poisoned: Vec<i32>,
    /// Whether there is a version of which not even the number could be read.
    pub(super) is_vague: bool,
}

impl Shown {
    pub(super) fn nothing(subject: QualifiedSubject, ticket: Ticket) -> Self {
        Self { subject, versions: Vec::new(), ticket, poisoned: Vec::new(), is_vague: false }
    }
}

/// What a pass over many subjects showed.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) shown: Vec<Shown>,
    pub(super) skipped: Vec<Skipped>,
    /// How many items there were, those of no use included.
    pub(super) items: usize,
}

/// A reading in the making.
pub(super) struct Gathering {
    held: Arc<Snapshot>,
    subjects: HashMap<QualifiedSubject, usize>,
    /// The texts that the replica does not hold in their place: many versions may have one of them.
    texts: HashSet<Arc<str>>,
    reading: Reading,
    /// Pages overlap, and what is named is named once.
    skipped: HashSet<Skipped>,
    /// Whether some item did not say if it is soft-deleted.
    pub(super) is_silent_on_deletion: bool,
}

impl Gathering {
    pub(super) fn new(held: Arc<Snapshot>) -> Self {
        let reading = Reading { shown: Vec::new(), skipped: Vec::new(), items: 0 };
        Self {
            held,
            subjects: HashMap::new(),
            texts: HashSet::new(),
            reading,
            skipped: HashSet::new(),
            is_silent_on_deletion: false,
        }
    }

    pub(super) fn add(&mut self, subject: QualifiedSubject, item: Item, ticket: Ticket) {
        self.reading.items += 1;
        self.is_silent_on_deletion |= !item.tells_deletion;
        let held = self.held.version(&subject, item.version.version).cloned();
        let tells = item.tells_deletion;
        let known = held.filter(|held| same(held, &item.version) && (!tells || held.deleted == item.version.deleted));
        let version = known.unwrap_or_else(|| Arc::new(self.hold_text_once(item.version)));
        let shown = self.subject(subject, ticket);
        match shown.versions.binary_search_by_key(&version.version, |shown| shown.version) {
            Ok(at) => shown.versions[at] = version,
            Err(at) => shown.versions.insert(at, version),
        }
    }

    fn hold_text_once(&mut self, mut version: Version) -> Version {
        match self.texts.get(&version.text) {
            Some(text) => version.text = text.clone(),
            None => drop(self.texts.insert(version.text.clone())),
        }
        version
    }

    pub(super) fn skip(&mut self, skipped: Skipped, ticket: Ticket) {
        self.reading.items += 1;
        if let Some(subject) = &skipped.subject {
            let shown = self.subject(QualifiedSubject::parse(subject), ticket);
            match skipped.version {
                Some(version) => shown.poisoned.push(version),
                None => shown.is_vague = true,
            }
        }
        if self.skipped.insert(skipped.clone()) {
            self.reading.skipped.push(skipped);
        }
    }

    /// The subject's place, its ticket never younger than this one.
    fn subject(&mut self, subject: QualifiedSubject, ticket: Ticket) -> &mut Shown {
        let at = match self.subjects.entry(subject) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.reading.shown.push(Shown::nothing(entry.key().clone(), ticket));
                *entry.insert(self.reading.shown.len() - 1)
            }
        };
        let shown = &mut self.reading.shown[at];
        shown.ticket = shown.ticket.min(ticket);
        shown
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reading.items == 0
    }

    /// The reading, where the items themselves said what is soft-deleted.
    pub(super) fn finish(self) -> Reading {
        self.reading
    }

    /// The reading, where all that is not in the second list, of what is live, is soft-deleted.
    pub(super) fn finish_with(mut self, live: &HashSet<(QualifiedSubject, i32)>) -> Reading {
        for shown in &mut self.reading.shown {
            for version in &mut shown.versions {
                mark(version, !live.contains(&(shown.subject.clone(), version.version)));
            }
        }
        self.reading
    }
}

/// Marks a version as soft-deleted or live; a copy is made only if that is news.
pub(super) fn mark(version: &mut Arc<Version>, deleted: bool) {
    if version.deleted != deleted {
        *version = Arc::new(Version { deleted, ..(**version).clone() });
    }
}

/// Whether both are the same but for their deletion, as the replica would judge it.
fn same(held: &Version, shown: &Version) -> bool {
    held.text == shown.text && held.same_content(shown) && held.ts == shown.ts && held.guid == shown.guid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importer::items;
    use crate::replica::{Forgetful, Replica};

    #[test]
    fn a_subject_from_two_pages_is_as_old_as_the_older_one() {
        let replica = Replica::empty(Forgetful);
        let (older, newer) = (replica.ticket(), replica.ticket());
        let mut gathering = Gathering::new(replica.snapshot());
        for (subject, number, ticket) in [("a", 2, newer), ("a", 1, older), ("a", 2, newer), ("b", 1, newer)] {
            let item = format!(r#"{{"version":{number},"id":{number},"schema":"x"}}"#);
            let item = items::read(item.as_bytes()).expect("a version");
            gathering.add(QualifiedSubject::parse(subject), item, ticket);
        }
        let shown = gathering.finish().shown;
        let texts: Vec<_> = shown.iter().flat_map(|shown| &shown.versions).map(|version| &version.text).collect();
        assert!(texts.iter().all(|text| Arc::ptr_eq(text, texts[0])), "a text that several versions have is held once");
        let numbers = |shown: &Shown| shown.versions.iter().map(|version| version.version).collect::<Vec<_>>();
        assert_eq!((numbers(&shown[0]), shown[0].ticket), (vec![1, 2], older));
        assert_eq!((numbers(&shown[1]), shown[1].ticket), (vec![1], newer));
    }
}
