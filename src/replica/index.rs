//! One context of the replica: its subjects, and what is found through ids and GUIDs.

use std::ops::Bound;
use std::sync::Arc;

use rpds::{HashTrieMapSync, HashTrieSetSync, RedBlackTreeMapSync};

use crate::protocol::schema::Version;

/// The versions of one subject, ascending. Never empty.
#[derive(Clone, Debug)]
pub struct SubjectState {
    /// The versions, soft-deleted ones included.
    pub versions: Vec<Arc<Version>>,
}

impl SubjectState {
    /// The version of a number.
    pub fn version(&self, number: i32) -> Option<&Arc<Version>> {
        self.versions.binary_search_by_key(&number, |version| version.version).ok().map(|at| &self.versions[at])
    }

    /// The versions that are not soft-deleted.
    pub fn live(&self) -> impl DoubleEndedIterator<Item = &Arc<Version>> {
        self.versions.iter().filter(|version| !version.deleted)
    }

    /// The highest version that is not soft-deleted.
    pub fn latest(&self) -> Option<&Arc<Version>> {
        self.live().next_back()
    }
}

/// A subject that holds an id, with the highest of its versions that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The subject's name inside its context.
    pub subject: Arc<str>,
    /// The version.
    pub version: i32,
}

/// One context: an id space with its subjects.
#[derive(Clone, Debug, Default)]
pub struct ContextState {
    pub(super) subjects: RedBlackTreeMapSync<Arc<str>, Arc<SubjectState>>,
    ids: HashTrieMapSync<i32, Arc<[Holder]>>,
    guids: HashTrieMapSync<Arc<str>, i32>,
    /// GUIDs that were seen with more than one id, which an import can bring about.
    ambiguous: HashTrieSetSync<Arc<str>>,
    pub(super) versions: usize,
    /// The highest id ever seen; permanent deletes do not lower it.
    pub(super) max_id: i32,
}

impl ContextState {
    /// The subject of a name.
    pub fn subject(&self, name: &str) -> Option<&Arc<SubjectState>> {
        self.subjects.get(name)
    }

    /// Every subject, in byte order of the names.
    pub fn subjects(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<SubjectState>)> {
        self.subjects.iter()
    }

    /// The subjects whose names start with `start`, in byte order.
    pub fn starting<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<SubjectState>)> {
        self.subjects
            .range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(start))
    }

    /// Who holds an id, in the order in which they came to hold it.
    pub fn holders(&self, id: i32) -> &[Holder] {
        self.ids.get(&id).map_or(&[], |holders| holders)
    }

    /// The version that a holder names.
    pub fn held(&self, holder: &Holder) -> Option<&Arc<Version>> {
        self.subject(&holder.subject)?.version(holder.version)
    }

    /// The id of a GUID, lower-case with dashes.
    pub fn id_of(&self, guid: &str) -> Option<i32> {
        self.guids.get(guid).copied()
    }

    /// Whether more than one id was seen with a GUID.
    pub fn is_ambiguous(&self, guid: &str) -> bool {
        self.ambiguous.contains(guid)
    }

    /// How many subjects there are.
    pub fn subject_count(&self) -> usize {
        self.subjects.size()
    }

    /// How many versions there are, soft-deleted ones included.
    pub fn version_count(&self) -> usize {
        self.versions
    }

    /// The highest id ever seen.
    pub fn max_id(&self) -> i32 {
        self.max_id
    }

    /// Puts a subject's new state in the place of the old one; `None` removes it.
    pub(super) fn replace(&mut self, name: &Arc<str>, next: Option<Arc<SubjectState>>) {
        let old = self.subjects.get(name).cloned();
        let versions = |state: &Option<Arc<SubjectState>>| state.as_ref().map_or(0, |state| state.versions.len());
        self.versions = self.versions + versions(&next) - versions(&old);
        match &next {
            Some(next) => self.subjects.insert_mut(name.clone(), next.clone()),
            None => {
                self.subjects.remove_mut(name);
            }
        }
        let mut touched: Vec<(i32, Option<Arc<str>>)> = Vec::new();
        for version in [&old, &next].into_iter().flatten().flat_map(|state| &state.versions) {
            touched.push((version.id, version.guid.clone()));
            self.max_id = self.max_id.max(version.id);
        }
        touched.sort();
        touched.dedup();
        for (id, guid) in touched {
            self.reindex(id, name, next.as_deref());
            if let Some(guid) = guid {
                self.reindex_guid(id, &guid);
            }
        }
    }

    fn reindex(&mut self, id: i32, name: &Arc<str>, state: Option<&SubjectState>) {
        let held = state.and_then(|state| state.versions.iter().rev().find(|version| version.id == id));
        let mut holders = self.holders(id).to_vec();
        let place = holders.iter().position(|holder| holder.subject == *name);
        match (place, held) {
            (Some(at), Some(version)) => holders[at].version = version.version,
            (Some(at), None) => drop(holders.remove(at)),
            (None, Some(version)) => {
                let at = self.place_of(version, &holders);
                holders.insert(at, Holder { subject: name.clone(), version: version.version });
            }
            (None, None) => return,
        }
        if holders.is_empty() {
            self.ids.remove_mut(&id);
        } else {
            self.ids.insert_mut(id, holders.into());
        }
    }

    /// Holders stand in the order in which they came to hold the id, as far as times tell: the order
    /// counts where the registry's own map has two names in one bucket (WIRE.md § 1.7).
    fn place_of(&self, version: &Version, holders: &[Holder]) -> usize {
        let is_later = |holder: &Holder| match (self.held(holder).and_then(|held| held.ts), version.ts) {
            (Some(theirs), Some(ours)) => theirs > ours,
            _ => false,
        };
        holders.iter().position(is_later).unwrap_or(holders.len())
    }

    /// A GUID goes on naming its id when nobody holds that any more, as in the registry.
    fn reindex_guid(&mut self, id: i32, guid: &Arc<str>) {
        if self.ids.contains_key(&id) {
            if self.id_of(guid).is_some_and(|known| known != id && self.ids.contains_key(&known)) {
                self.ambiguous.insert_mut(guid.clone());
            }
            self.guids.insert_mut(guid.clone(), id);
        }
    }
}
