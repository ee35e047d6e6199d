//! What of the replica outlives the process: how it is written down, and how it is read again.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use super::change::{Change, Draft, SPELLING};
use super::index::SubjectState;
use super::row;
use super::snapshot::{Association, Doubt, LeftOut, Remembered, Scope, Snapshot, Spelling};
use super::texts::{TextKey, Texts};
use crate::protocol::schema::Version;
use crate::protocol::shape::Profile;
use crate::protocol::subject::{Context, QualifiedSubject};

/// The tables of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// Schema texts with their hashes, many a row.
    Texts,
    /// A version a row, with the key of its text.
    Versions,
    /// Remembered answers.
    Remembered,
    /// What is in doubt.
    Doubts,
    /// Single facts: contexts, associations, highest ids, the profile.
    Meta,
}

/// One row to put or to delete.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The table.
    pub table: Table,
    /// The row's key.
    pub key: String,
    /// The row's value; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

impl Entry {
    pub(super) fn put(table: Table, key: String, value: Vec<u8>) -> Self {
        Self { table, key, value: Some(value) }
    }

    pub(super) fn delete(table: Table, key: String) -> Self {
        Self { table, key, value: None }
    }
}

/// Something that keeps rows: when the future is done, they survive a crash.
pub trait Keep: Send + Sync {
    /// Puts and deletes all rows at once, or none of them.
    fn keep(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), NotKept>>;
}

/// Rows could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("the state could not be made durable")]
pub struct NotKept(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Keeps nothing: for a replica that lives in memory only.
#[derive(Debug)]
pub struct Forgetful;

impl Keep for Forgetful {
    fn keep(&self, _: Vec<Entry>) -> BoxFuture<'_, Result<(), NotKept>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A kept row that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the kept row {key:?} of {table:?} cannot be read: {why}")]
pub struct Unreadable {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// Builds the snapshot that the kept rows describe.
#[derive(Default)]
pub struct Loading {
    texts: Texts,
    /// What a version's text is while it is not known.
    nothing: Arc<str>,
    subjects: Vec<Loaded>,
    remembered: Vec<(Arc<str>, Remembered)>,
    /// Spellings, and the keys of the texts that they are stored as.
    spellings: Vec<(Spelling, TextKey)>,
    rest: Vec<Change>,
}

/// A subject, as far as its rows have been taken.
struct Loaded {
    name: Box<str>,
    versions: Vec<Arc<Version>>,
}

impl Loading {
    /// Takes one row; texts come before the versions that have them, and keys in byte order.
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
                self.remembered.push((Arc::from(key), answer));
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
        let (mut version, text) = row::read(number, value, &self.nothing).map_err(|garbled| garbled.to_string())?;
        version.text = self.texts.get(&text).ok_or("its text is missing")?.clone();
        match self.subjects.last_mut().filter(|last| *last.name == *name) {
            Some(last) => last.versions.push(Arc::new(version)),
            None => self.subjects.push(Loaded { name: name.into(), versions: vec![Arc::new(version)] }),
        }
        Ok(())
    }

    /// The snapshot, once all rows have been taken.
    pub(super) fn finish(mut self) -> Result<(Snapshot, Texts), Unreadable> {
        let mut next = Snapshot::default();
        // Who holds an id is told in the order in which they came to hold it, as far as times say.
        let since = |subject: &Loaded| subject.versions.iter().filter_map(|version| version.ts).min();
        self.subjects.sort_by(|one, other| since(one).cmp(&since(other)).then_with(|| one.name.cmp(&other.name)));
        for Loaded { name, mut versions } in self.subjects {
            let subject = QualifiedSubject::parse(&name);
            // A name with a line break in it may have stood between the versions of another one.
            let before = next.subject(&subject).cloned();
            versions.extend(before.iter().flat_map(|before| before.versions.iter().cloned()));
            versions.sort_by_key(|version| version.version);
            versions.shrink_to_fit();
            next.refer(&subject, before.as_deref(), &versions);
            let state = Arc::new(SubjectState { versions });
            next.context_mut(&subject.context).replace(&subject.subject, Some(state));
        }
        for (key, answer) in self.remembered {
            next.remembered.insert_mut(key, Arc::new(answer));
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

/// One row of the table of single facts; rows of other releases are left alone.
fn fact(key: &str, text: &str) -> Result<Option<Change>, String> {
    Ok(match key {
        "contexts" => Some(Change::Contexts(text.split('\n').map(Context::named).collect())),
        "associations" => Some(Change::Associations(Some(associations(text).map_err(|error| error.to_string())?))),
        LEFT_OUT => Some(Change::LeftOut(LeftOut::read(text).map_err(|error| error.to_string())?)),
        "profile" => Profile::parse(text).map(Change::Profile),
        "read at" => Some(Change::ReadAt(text.parse().map_err(|_| "no number")?)),
        _ => match key.strip_prefix("max id ") {
            Some(name) => Some(Change::MaxId(Context::named(name), text.parse().map_err(|_| "no number")?)),
            None => None,
        },
    })
}

/// Under this key is kept what could not be taken over.
pub(super) const LEFT_OUT: &str = "left out";

impl LeftOut {
    /// As a list of names, with `null` for what has none.
    pub(super) fn printed(&self) -> String {
        let names = self.subjects.iter().map(|subject| Some(subject.to_string()));
        let all: Vec<Option<String>> = names.chain(self.is_vague.then_some(None)).collect();
        serde_json::Value::from_iter(all).to_string()
    }

    fn read(printed: &str) -> Result<Self, serde_json::Error> {
        let all: Vec<Option<String>> = serde_json::from_str(printed)?;
        let is_vague = all.contains(&None);
        Ok(Self { subjects: all.iter().flatten().map(|name| QualifiedSubject::parse(name)).collect(), is_vague })
    }
}

/// Reads a list of associations, each kept as printed; `null` is an empty list.
pub fn associations(text: &str) -> Result<Vec<Association>, serde_json::Error> {
    let items: Option<Vec<Box<RawValue>>> = serde_json::from_str(text)?;
    let read = |raw: Box<RawValue>| {
        let mut association: Association = serde_json::from_str(raw.get())?;
        association.printed = Some(Arc::from(raw));
        Ok(association)
    };
    items.unwrap_or_default().into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    #[test]
    fn what_was_left_out_is_known_again_by_whatever_name() {
        for (names, is_vague) in [(&[][..], false), (&["a", ":.c:b\nc", ""], false), (&["a"], true), (&[], true)] {
            let subjects = names.iter().map(|name| QualifiedSubject::parse(name)).collect();
            let left_out = LeftOut { subjects, is_vague };
            assert_eq!(LeftOut::read(&left_out.printed()).expect("readable"), left_out);
        }
    }
}
