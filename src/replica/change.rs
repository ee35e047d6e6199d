//! How the replica changes: a list of changes is turned into the next snapshot and into what must be kept.

use std::sync::Arc;

use bytes::Bytes;

use super::index::{ContextState, SubjectState};
use super::keep::{Entry, LEFT_OUT, Table, answer_row, associations_row, contexts_row};
use super::row;
use super::snapshot::{Association, Doubt, LeftOut, Remembered, Scope, Snapshot, Spelling};
use super::stamp::{Part, Touched};
use super::texts::{TextKey, Texts};
use crate::protocol::schema::Version;
use crate::protocol::shape::Profile;
use crate::protocol::subject::{Context, QualifiedSubject};

/// Spellings that are remembered; clients choose them, so there must be an end.
const MOST_SPELLINGS: usize = 1 << 16;

/// What the key of a remembered spelling begins with.
pub(super) const SPELLING: &str = "spelling ";

/// One thing that is now otherwise.
#[derive(Clone, Debug)]
pub enum Change {
    /// A subject as the primary shows it, whole; without versions it is gone.
    Subject {
        /// The subject.
        subject: QualifiedSubject,
        /// Its versions, soft-deleted ones included, in any order.
        versions: Vec<Version>,
    },
    /// A version that the answer to a write named.
    Version {
        /// The subject that has it now.
        subject: QualifiedSubject,
        /// The version.
        version: Version,
    },
    /// Versions that are soft-deleted now.
    SoftDelete {
        /// Their subject.
        subject: QualifiedSubject,
        /// Their numbers.
        versions: Vec<i32>,
    },
    /// A version that is gone for good.
    Purge {
        /// Its subject.
        subject: QualifiedSubject,
        /// Its number.
        version: i32,
    },
    /// An answer to keep, or to forget.
    Remember {
        /// The key that it is found under.
        key: Arc<str>,
        /// The answer.
        answer: Option<Remembered>,
    },
    /// The contexts, as the primary lists them.
    Contexts(Vec<Context>),
    /// The associations, as the primary lists them; `None` where they are not known.
    Associations(Option<Vec<Association>>),
    /// The highest id that a context has given.
    MaxId(Context, i32),
    /// What is doubtful now, or certain again.
    Doubt(Scope, Option<Doubt>),
    /// The shape of the primary's answers.
    Profile(Profile),
    /// What of the primary's could not be taken over.
    LeftOut {
        /// The part that this is all of: everything, a context, or a subject.
        of: Scope,
        /// What could not.
        now: LeftOut,
    },
    /// When everything was last read from the primary, in epoch seconds.
    ReadAt(u64),
    /// As which text the primary stores a spelling.
    StoredAs(Spelling, Arc<str>),
}

impl Change {
    /// What the change is about, where a late reading must not undo a newer one.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            Self::Subject { subject, .. }
            | Self::Version { subject, .. }
            | Self::SoftDelete { subject, .. }
            | Self::Purge { subject, .. } => Some(Scope::Subject(subject.clone())),
            Self::Remember { key, .. } => Some(Scope::Remembered(key.clone())),
            Self::Contexts(_) => Some(Scope::Contexts),
            Self::Associations(_) => Some(Scope::Associations),
            // A reading that began before a doubt came up neither settles it nor passes for an answer to it.
            Self::Doubt(scope, _) => Some(scope.clone()),
            Self::MaxId(..) | Self::LeftOut { .. } | Self::Profile(_) | Self::ReadAt(_) | Self::StoredAs(..) => None,
        }
    }
}

/// An id for which the primary shows other content than the replica holds (C8): ours is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdConflict {
    /// The subject whose version was not taken over.
    pub subject: QualifiedSubject,
    /// That version's number.
    pub version: i32,
    /// The id.
    pub id: i32,
}

/// The next snapshot in the making.
pub(super) struct Draft<'a> {
    pub(super) next: Snapshot,
    pub(super) entries: Vec<Entry>,
    pub(super) conflicts: Vec<IdConflict>,
    /// Texts that are new with this draft.
    fresh: Vec<TextKey>,
    texts: &'a mut Texts,
    changed: bool,
    touched: Touched,
    /// Whether something is different that no answer shows.
    noted: bool,
}

/// A finished draft.
pub(super) struct Finished {
    /// The next snapshot, if anything is different at all.
    pub(super) next: Option<Snapshot>,
    /// What must be kept before it is shown.
    pub(super) entries: Vec<Entry>,
    /// Ids for which ours was kept.
    pub(super) conflicts: Vec<IdConflict>,
    /// Texts to forget again if it is not kept.
    pub(super) fresh: Vec<TextKey>,
    /// What answers may show of it.
    pub(super) touched: Touched,
}

impl<'a> Draft<'a> {
    pub(super) fn of(current: &Snapshot, texts: &'a mut Texts) -> Self {
        Self {
            next: current.clone(),
            entries: Vec::new(),
            conflicts: Vec::new(),
            fresh: Vec::new(),
            texts,
            changed: false,
            touched: Touched::nothing(),
            noted: false,
        }
    }

    pub(super) fn finish(mut self) -> Finished {
        self.next.generation += u64::from(self.changed);
        let next = (self.changed || self.noted).then_some(self.next);
        self.entries.extend(self.texts.pack(&self.fresh));
        let Self { entries, conflicts, fresh, touched, .. } = self;
        Finished { next, entries, conflicts, fresh, touched }
    }

    /// Something is different now that answers may show, in a part of the replica; in none if it shows only in what is
    /// made of everything.
    fn changed<'p>(&mut self, parts: impl IntoIterator<Item = Part<'p>>) {
        self.changed = true;
        parts.into_iter().for_each(|part| self.touched.add(part));
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Subject { subject, versions } => {
                self.put_subject(&subject, versions);
                self.doubt(Scope::Subject(subject), None);
            }
            Change::Version { subject, version } => self.put_version(&subject, version),
            Change::SoftDelete { subject, versions } => self.soft_delete(&subject, &versions),
            Change::Purge { subject, version } => {
                let rest = self.versions_of(&subject).filter(|kept| kept.version != version).collect();
                self.put_subject(&subject, rest);
            }
            Change::Remember { key, answer } => self.remember(key, answer),
            Change::Contexts(contexts) => self.list_contexts(contexts),
            Change::Associations(associations) => self.associate(associations),
            Change::MaxId(context, id) => self.raise_max_id(&context, id),
            Change::LeftOut { of, now } => self.leave_out(&of, now),
            Change::Doubt(scope, doubt) => self.doubt(scope, doubt),
            Change::Profile(profile) => self.set_profile(profile),
            Change::StoredAs(spelling, text) => self.store_as(spelling, &text),
            Change::ReadAt(seconds) => {
                self.entries.push(Entry::put(Table::Meta, "read at".to_owned(), seconds.to_string().into_bytes()));
                self.next.read_at = Some(seconds);
                self.noted = true;
            }
        }
    }

    fn store_as(&mut self, spelling: Spelling, text: &Arc<str>) {
        let known = self.next.spellings.get(&spelling).is_some_and(|known| known == text);
        if known || self.next.spellings.size() >= MOST_SPELLINGS {
            return;
        }
        // A text that no version has would be kept for nothing.
        let Some((text, key)) = self.texts.find(text) else { return };
        self.entries.push(Entry::put(Table::Meta, format!("{SPELLING}{spelling}"), key.to_string().into_bytes()));
        self.next.spellings.insert_mut(spelling, text.clone());
        self.noted = true;
    }

    fn versions_of(&self, subject: &QualifiedSubject) -> impl Iterator<Item = Version> + use<> {
        let state = self.next.subject(subject).cloned();
        state.into_iter().flat_map(|state| state.versions.clone()).map(|version| (*version).clone())
    }

    fn put_version(&mut self, subject: &QualifiedSubject, version: Version) {
        let known = self.next.version(subject, version.version);
        if known.is_some_and(|known| known.same_content(&version) && !known.deleted) {
            return;
        }
        let number = version.version;
        let rest = self.versions_of(subject).filter(|kept| kept.version != number);
        let versions = rest.chain([version]).collect();
        self.put_subject(subject, versions);
        self.doubt(Scope::Subject(subject.clone()), Some(Doubt::Incomplete));
    }

    fn soft_delete(&mut self, subject: &QualifiedSubject, numbers: &[i32]) {
        let mark = |mut version: Version| {
            version.deleted |= numbers.contains(&version.version);
            version
        };
        let versions = self.versions_of(subject).map(mark).collect();
        self.put_subject(subject, versions);
        // A version's own soft delete rewrites its record, so its time is another one (WIRE.md § 6).
        self.doubt(Scope::Subject(subject.clone()), Some(Doubt::Incomplete));
    }

    fn put_subject(&mut self, subject: &QualifiedSubject, mut versions: Vec<Version>) {
        versions.sort_by_key(|version| version.version);
        versions.dedup_by_key(|version| version.version);
        let context = self.next.contexts.get(&subject.context).cloned().unwrap_or_default();
        let old = context.subject(&subject.subject).cloned();
        let mut kept = Vec::with_capacity(versions.len());
        for version in versions {
            let before = old.as_ref().and_then(|old| old.version(version.version));
            if contradicts(&context, subject, &version) {
                self.conflicts.push(IdConflict { subject: subject.clone(), version: version.version, id: version.id });
                kept.extend(before.cloned());
                continue;
            }
            kept.push(self.keep_version(subject, before, version));
        }
        let gone = |version: &&Arc<Version>| !kept.iter().any(|kept| kept.version == version.version);
        for version in old.iter().flat_map(|old| &old.versions).filter(gone) {
            self.entries.push(Entry::delete(Table::Versions, version_key(subject, version.version)));
        }
        let same = match &old {
            Some(old) => {
                old.versions.len() == kept.len() && old.versions.iter().zip(&kept).all(|(a, b)| Arc::ptr_eq(a, b))
            }
            None => kept.is_empty(),
        };
        if same {
            return;
        }
        self.next.refer(subject, old.as_deref(), &kept);
        let before = old.as_ref().map_or(&[][..], |old| &old.versions);
        self.changed(differing(before, &kept).map(|version| Part::Id(version.id)));
        // Held by nobody else any more, so that what this draft has copied before is not copied again.
        drop((context, old));
        let has_some = !kept.is_empty();
        let next = has_some.then(|| Arc::new(SubjectState { versions: kept }));
        let context = self.next.context_mut(&subject.context);
        context.replace(&subject.subject, next);
        let several = (!context.several.is_empty()).then_some(Part::SeveralIds);
        self.changed(several.into_iter().chain([Part::Name(&subject.subject)]));
        if has_some {
            self.list_context(&subject.context);
        }
    }

    /// The version as it is to be held: the old one where nothing is different.
    fn keep_version(
        &mut self,
        subject: &QualifiedSubject,
        before: Option<&Arc<Version>>,
        mut version: Version,
    ) -> Arc<Version> {
        let (text, key, is_new) = self.texts.intern(&version.text);
        if is_new {
            self.fresh.push(key);
        }
        version.text = text;
        let same = |before: &&Arc<Version>| {
            before.same_content(&version)
                && (before.ts, before.deleted) == (version.ts, version.deleted)
                && before.guid == version.guid
        };
        if let Some(before) = before.filter(same) {
            return before.clone();
        }
        let row = row::write(&version, &key);
        self.entries.push(Entry::put(Table::Versions, version_key(subject, version.version), row));
        Arc::new(version)
    }

    fn remember(&mut self, key: Arc<str>, answer: Option<Remembered>) {
        if self.next.remembered.get(&key).map(|known| &**known) == answer.as_ref() {
            return;
        }
        match answer {
            Some(answer) => {
                // The answer lies in the much larger buffer that it was read into, which is to be let go.
                let answer = Remembered { body: Bytes::copy_from_slice(&answer.body), ..answer };
                self.entries.push(Entry::put(Table::Remembered, key.to_string(), answer_row(&answer)));
                self.next.remembered.insert_mut(key.clone(), Arc::new(answer));
            }
            None => {
                self.entries.push(Entry::delete(Table::Remembered, key.to_string()));
                self.next.remembered.remove_mut(&key);
            }
        }
        self.changed([Part::remembered(&key)]);
    }

    /// A context is listed from its first registration on, and stays when its subjects go.
    fn list_context(&mut self, context: &Context) {
        let listed = self.next.listed.as_deref().unwrap_or_default();
        if !listed.is_empty() && !listed.contains(context) {
            let longer = listed.iter().chain([context]).cloned().collect();
            self.list_contexts(longer);
        }
    }

    fn list_contexts(&mut self, contexts: Vec<Context>) {
        if self.next.listed.as_deref() == Some(&contexts[..]) {
            return;
        }
        self.entries.push(Entry::put(Table::Meta, "contexts".to_owned(), contexts_row(&contexts)));
        self.next.listed = Some(contexts.into());
        self.changed([Part::Common]);
    }

    fn associate(&mut self, associations: Option<Vec<Association>>) {
        let before = self.next.associations.as_deref().map(associations_row);
        let after = associations.as_deref().map(associations_row);
        if before == after {
            return;
        }
        self.entries.push(match after {
            Some(row) => Entry::put(Table::Meta, "associations".to_owned(), row),
            None => Entry::delete(Table::Meta, "associations".to_owned()),
        });
        self.next.associations = associations.map(Into::into);
        self.changed([Part::Associations]);
    }

    fn raise_max_id(&mut self, name: &Context, id: i32) {
        let known = self.next.contexts.get(name).map(|context| context.max_id());
        if known.is_some_and(|known| known >= id && id >= 0) || known == Some(i32::MAX) {
            return;
        }
        self.next.context_mut(name).note_id(id);
        self.entries.push(Entry::put(Table::Meta, format!("max id {name}"), id.to_string().into_bytes()));
        self.changed([]);
    }

    fn leave_out(&mut self, of: &Scope, now: LeftOut) {
        let mut left_out = (*self.next.left_out).clone();
        left_out.subjects.retain(|subject| match of {
            Scope::Context(context) => subject.context != *context,
            Scope::Subject(own) => subject != own,
            _ => false,
        });
        left_out.subjects.extend(now.subjects);
        left_out.is_vague = (left_out.is_vague && *of != Scope::All) || now.is_vague;
        if *self.next.left_out == left_out {
            return;
        }
        self.entries.push(Entry::put(Table::Meta, LEFT_OUT.to_owned(), left_out.printed().into_bytes()));
        self.next.left_out = Arc::new(left_out);
        self.changed([Part::Common]);
    }

    fn doubt(&mut self, scope: Scope, doubt: Option<Doubt>) {
        // A lesser doubt does not take the place of a greater one.
        let known = self.next.doubts.get(&scope).copied();
        if known == doubt || (doubt.is_some() && known > doubt) {
            return;
        }
        let key = scope.to_string();
        match doubt {
            Some(doubt) => {
                self.entries.push(Entry::put(Table::Doubts, key, doubt.as_str().as_bytes().to_vec()));
                self.next.doubts.insert_mut(scope, doubt);
            }
            None => {
                self.entries.push(Entry::delete(Table::Doubts, key));
                self.next.doubts.remove_mut(&scope);
            }
        }
        // Whoever answers looks at the doubts of now.
        self.changed([]);
    }

    fn set_profile(&mut self, profile: Profile) {
        if self.next.profile != Some(profile) {
            self.entries.push(Entry::put(Table::Meta, "profile".to_owned(), profile.as_str().as_bytes().to_vec()));
            self.next.profile = Some(profile);
            self.changed([Part::Common]);
        }
    }
}

/// The versions that are in one of two lists and not in the other, or otherwise.
fn differing<'v>(
    before: &'v [Arc<Version>],
    after: &'v [Arc<Version>],
) -> impl Iterator<Item = &'v Arc<Version>> + use<'v> {
    let lacks = |list: &'v [Arc<Version>], version: &Arc<Version>| {
        let same = list.binary_search_by_key(&version.version, |other| other.version).ok().map(|at| &list[at]);
        same.is_none_or(|same| !Arc::ptr_eq(same, version))
    };
    let gone = before.iter().filter(move |version| lacks(after, version));
    gone.chain(after.iter().filter(move |version| lacks(before, version)))
}

/// Whether the context already holds other content under the version's id, elsewhere or in the same place.
fn contradicts(context: &ContextState, subject: &QualifiedSubject, version: &Version) -> bool {
    context.holders(version.id).iter().any(|holder| {
        let is_other_place = (&holder.subject, holder.version) != (&subject.subject, version.version);
        let held = context.held(holder);
        let differs = held.is_some_and(|held| held.text != version.text || held.schema_type != version.schema_type);
        // The holder names the highest version of a subject that has the id; what is replaced
        // together with it is judged by its own number.
        differs && (is_other_place || held.is_some_and(|held| held.id == version.id))
    })
}

pub(super) fn version_key(subject: &QualifiedSubject, version: i32) -> String {
    format!("{subject}\n{version:010}")
}
