//! Builds the snapshot that the kept rows describe.
//!
//! Nothing is answered before it is done, so two threads share the work: one takes the rows of the versions and
//! another all others, then one finds out who holds which id while the other builds the rest.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use rpds::HashTrieMapSync;

use super::at_once::Member;
use super::change::{Change, Draft, SPELLING, version_key};
use super::index::{ContextState, SubjectState};
use super::keep::{Table, Unreadable, fact};
use super::row;
use super::snapshot::{Doubt, Remembered, Scope, Snapshot, Spelling};
use super::texts::{TextKey, Texts};
use crate::protocol::schema::Version;
use crate::protocol::subject::{Context, QualifiedSubject};

/// Rows that have been taken.
#[derive(Default)]
pub struct Loading {
    texts: Texts,
    /// What a version's text is while it is not known.
    nothing: Arc<str>,
    subjects: Vec<Loaded>,
    remembered: HashTrieMapSync<Arc<str>, Arc<Remembered>>,
    /// Spellings, and the keys of the texts that they are stored as.
    spellings: Vec<(Spelling, TextKey)>,
    rest: Vec<Change>,
}

/// A subject, as far as its rows have been taken.
struct Loaded {
    name: Box<str>,
    versions: Vec<Arc<Version>>,
    texts: Vec<TextKey>,
}

impl Loading {
    /// Takes one row; keys come in byte order.
    pub fn row(&mut self, table: Table, key: &str, value: &[u8]) -> Result<(), Unreadable> {
        let unreadable = |why: &dyn std::fmt::Display| Unreadable { table, key: key.to_owned(), why: why.to_string() };
        match table {
            Table::Versions => return self.version(key, value).map_err(|why| unreadable(&why)),
            Table::Texts => return self.texts.take(key, value).map_err(|garbled| unreadable(&garbled)),
            Table::Remembered | Table::Doubts | Table::Meta => {}
        }
        let text = std::str::from_utf8(value).map_err(|error| unreadable(&error))?;
        match table {
            Table::Remembered => {
                let (status, body) = text.split_once('\n').ok_or_else(|| unreadable(&"no status"))?;
                let status = status.parse().map_err(|error| unreadable(&error))?;
                let answer = Remembered { status, body: bytes::Bytes::copy_from_slice(body.as_bytes()) };
                self.remembered.insert_mut(Arc::from(key), Arc::new(answer));
            }
            Table::Doubts => {
                let scope = Scope::parse(key).ok_or_else(|| unreadable(&"no scope"))?;
                self.rest.push(Change::Doubt(scope, Some(Doubt::parse(text))));
            }
            Table::Meta if key.starts_with(SPELLING) => {
                let stored_as = TextKey::parse(text).ok_or_else(|| unreadable(&"no hash"))?;
                self.spellings.push((Spelling::known(&key[SPELLING.len()..]), stored_as));
            }
            Table::Meta => self.rest.extend(fact(key, text).map_err(|why| unreadable(&why))?),
            Table::Texts | Table::Versions => {}
        }
        Ok(())
    }

    fn version(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let (name, number) = key.rsplit_once('\n').ok_or("no number")?;
        let number = number.parse().map_err(|_| "no number")?;
        let (version, text) = row::read(number, value, &self.nothing).map_err(|garbled| garbled.to_string())?;
        if self.subjects.last().is_none_or(|last| *last.name != *name) {
            self.subjects.push(Loaded { name: name.into(), versions: Vec::new(), texts: Vec::new() });
        }
        if let Some(subject) = self.subjects.last_mut() {
            subject.versions.push(Arc::new(version));
            subject.texts.push(text);
        }
        Ok(())
    }

    /// Adds the versions that another one has taken, where this one has taken all other rows.
    #[must_use]
    pub fn with_versions_of(self, other: Self) -> Self {
        Self { subjects: other.subjects, ..self }
    }

    /// The snapshot, once all rows have been taken.
    pub(super) fn finish(mut self) -> Result<(Snapshot, Texts), Unreadable> {
        let loaded = together(std::mem::take(&mut self.subjects));
        let ranks = ranks(&loaded);
        let mut subjects = Vec::with_capacity(loaded.len());
        for (loaded, rank) in loaded.into_iter().zip(ranks) {
            subjects.push((rank, loaded.whole(&self.texts)?));
        }
        let mut next = Snapshot { remembered: self.remembered, ..Snapshot::default() };
        next.contexts = contexts(&subjects).into_iter().collect();
        let refers = |state: &SubjectState| state.versions.iter().any(|version| version.references.is_some());
        subjects.retain(|(_, (_, state))| refers(state));
        subjects.sort_by_key(|(rank, _)| *rank);
        for (_, (subject, state)) in &subjects {
            next.refer(subject, None, &state.versions);
        }
        for (spelling, key) in self.spellings {
            if let Some(text) = self.texts.get(&key) {
                next.spellings.insert_mut(spelling, text.clone());
            }
        }
        let mut draft = Draft::of(&next, &mut self.texts);
        self.rest.into_iter().for_each(|change| draft.apply(change));
        let next = draft.next;
        Ok((next, self.texts))
    }
}

impl Loaded {
    /// The subject with the texts of its versions.
    fn whole(self, texts: &Texts) -> Result<(QualifiedSubject, Arc<SubjectState>), Unreadable> {
        let subject = QualifiedSubject::parse(&self.name);
        let mut versions = Vec::with_capacity(self.versions.len());
        for (mut version, key) in self.versions.into_iter().zip(self.texts) {
            let number = version.version;
            let missing = || Unreadable {
                table: Table::Versions,
                key: version_key(&subject, number),
                why: "its text is missing".to_owned(),
            };
            Arc::make_mut(&mut version).text = texts.get(&key).ok_or_else(missing)?.clone();
            versions.push(version);
        }
        versions.sort_by_key(|version| version.version);
        Ok((subject, Arc::new(SubjectState { versions })))
    }
}

/// Each subject once.
fn together(mut subjects: Vec<Loaded>) -> Vec<Loaded> {
    // A name with a line break in it may have stood between the versions of another one.
    if subjects.iter().any(|subject| subject.name.contains('\n')) {
        subjects.sort_by(|one, other| one.name.cmp(&other.name));
        subjects.dedup_by(|later, first| {
            let same = later.name == first.name;
            if same {
                first.versions.append(&mut later.versions);
                first.texts.append(&mut later.texts);
            }
            same
        });
    }
    subjects
}

/// The place of each subject in the order in which they came to be, as far as times say, and else in that of their
/// names. The subjects themselves stay as they lie in memory, for it is walking about there that takes time.
fn ranks(subjects: &[Loaded]) -> Vec<usize> {
    let since = |subject: &Loaded| subject.versions.iter().filter_map(|version| version.ts).min();
    let mut order: Vec<_> = subjects.iter().map(since).zip(0_usize..).collect();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, (_, place)) in order.into_iter().enumerate() {
        ranks[place] = rank;
    }
    ranks
}

/// The contexts of all subjects.
fn contexts(subjects: &[(usize, (QualifiedSubject, Arc<SubjectState>))]) -> Vec<(Context, Arc<ContextState>)> {
    let mut members: BTreeMap<&Context, Vec<Member<'_>>> = BTreeMap::new();
    for (rank, (QualifiedSubject { context, subject: name }, state)) in subjects {
        members.entry(context).or_default().push(Member { rank: *rank, name, state });
    }
    thread::scope(|scope| {
        let trees = scope.spawn(|| members.values().map(|members| ContextState::tree(members)).collect::<Vec<_>>());
        let indexes: Vec<_> = members.values().map(|members| ContextState::index(members)).collect();
        let trees = trees.join().unwrap_or_else(|panic| resume_unwind(panic));
        let states = indexes.into_iter().zip(trees).map(|(index, tree)| Arc::new(index.with_subjects(tree)));
        members.keys().map(|name| (*name).clone()).zip(states).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::keep::Entry;
    use super::*;
    use crate::protocol::schema::Listed;

    #[test]
    fn what_is_kept_comes_back_whatever_the_subjects_are_called() {
        let names = ["s", "s\n0000000001", ":.c:s", "t"];
        let (mut texts, mut rows) = (Texts::default(), BTreeMap::new());
        let empty = Snapshot::default();
        let mut draft = Draft::of(&empty, &mut texts);
        for (at, name) in names.iter().enumerate() {
            let version = |number| {
                let id = if number == 1 { 7 } else { 10 * at + number };
                let printed = format!(r#"{{"version":{number},"id":{id},"schema":"text {id}"}}"#);
                serde_json::from_str::<Listed>(&printed).expect("a version").version
            };
            let versions = [1, 2, 3].map(version).to_vec();
            draft.apply(Change::Subject { subject: QualifiedSubject::parse(name), versions });
        }
        let finished = draft.finish();
        for Entry { table, key, value } in finished.entries {
            rows.insert((table as u8, key), (table, value.expect("nothing is deleted")));
        }
        let mut loading = Loading::default();
        for ((_, key), (table, value)) in &rows {
            loading.row(*table, key, value).expect("readable");
        }
        let (again, texts) = loading.finish().expect("whole");
        let before = finished.next.expect("something has changed");
        for name in names.map(QualifiedSubject::parse) {
            let printed = |snapshot: &Snapshot| format!("{:?}", snapshot.subject(&name).expect("there").versions);
            assert_eq!(printed(&again), printed(&before));
            assert_eq!(
                again.context(&name.context).map(|it| it.version_count()),
                before.context(&name.context).map(|it| it.version_count())
            );
        }
        assert_eq!(again.context(&Context::default_context()).map(|it| it.holders(7).len()), Some(3));
        assert_eq!(texts.size().0, 9, "a text that several have is held once");
    }
}
