//! What of the replica outlives the process: how it is written down, and how it is read again.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use super::change::{Change, Draft, SPELLING, Texts};
use super::snapshot::{Association, Doubt, Remembered, Scope, Snapshot, Spelling};
use crate::protocol::schema::Listed;
use crate::protocol::shape::Profile;
use crate::protocol::subject::{Context, QualifiedSubject};

/// The tables of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// A version a row, its text replaced by the key of the text.
    Versions,
    /// A schema text a row, under the hash of the text.
    Texts,
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
    versions: Vec<(String, Listed)>,
    texts: HashMap<String, Arc<str>>,
    /// Spellings, and the keys of the texts that they are stored as.
    spellings: Vec<(Spelling, String)>,
    rest: Vec<Change>,
}

impl Loading {
    /// Takes one row; tables may come in any order.
    pub fn row(&mut self, table: Table, key: &str, value: &[u8]) -> Result<(), Unreadable> {
        let unreadable = |why: &dyn std::fmt::Display| Unreadable { table, key: key.to_owned(), why: why.to_string() };
        let text = std::str::from_utf8(value).map_err(|error| unreadable(&error))?;
        match table {
            Table::Texts => drop(self.texts.insert(key.to_owned(), Arc::from(text))),
            Table::Versions => {
                let listed: Listed = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
                self.versions.push((key.to_owned(), listed));
            }
            Table::Remembered => {
                let (status, body) = text.split_once('\n').ok_or_else(|| unreadable(&"no status"))?;
                let status = status.parse().map_err(|error| unreadable(&error))?;
                let answer = Remembered { status, body: bytes::Bytes::copy_from_slice(body.as_bytes()) };
                self.rest.push(Change::Remember { key: Arc::from(key), answer: Some(answer) });
            }
            Table::Doubts => {
                let scope = Scope::parse(key).ok_or_else(|| unreadable(&"no scope"))?;
                self.rest.push(Change::Doubt(scope, Some(Doubt::parse(text))));
            }
            Table::Meta if key.starts_with(SPELLING) => {
                self.spellings.push((Spelling::known(&key[SPELLING.len()..]), text.to_owned()));
            }
            Table::Meta => self.rest.extend(fact(key, text).map_err(|why| unreadable(&why))?),
        }
        Ok(())
    }

    /// The snapshot, once all rows have been taken.
    pub(super) fn finish(self, texts: &mut Texts) -> Result<Snapshot, Unreadable> {
        let mut subjects: HashMap<String, Vec<_>> = HashMap::new();
        for (key, mut listed) in self.versions {
            let text = self.texts.get(&*listed.version.text).ok_or_else(|| Unreadable {
                table: Table::Versions,
                key: key.clone(),
                why: "its text is missing".to_owned(),
            })?;
            texts.known(text.clone(), std::mem::replace(&mut listed.version.text, text.clone()));
            subjects.entry(listed.subject.unwrap_or_default()).or_default().push(listed.version);
        }
        let mut subjects: Vec<_> = subjects.into_iter().collect();
        // Who holds an id is told in the order in which they came to hold it, as far as times say.
        subjects.sort_by_key(|(name, versions)| (versions.iter().filter_map(|version| version.ts).min(), name.clone()));
        let mut draft = Draft::of(&Snapshot::default(), texts);
        for (name, versions) in subjects {
            draft.apply(Change::Subject { subject: QualifiedSubject::parse(&name), versions });
        }
        self.rest.into_iter().for_each(|change| draft.apply(change));
        for (spelling, key) in self.spellings {
            if let Some(text) = self.texts.get(&key) {
                draft.apply(Change::StoredAs(spelling, text.clone()));
            }
        }
        Ok(draft.next)
    }
}

/// One row of the table of single facts; rows of other releases are left alone.
fn fact(key: &str, text: &str) -> Result<Option<Change>, String> {
    Ok(match key {
        "contexts" => Some(Change::Contexts(text.split('\n').map(Context::named).collect())),
        "associations" => Some(Change::Associations(Some(associations(text).map_err(|error| error.to_string())?))),
        "profile" => Profile::parse(text).map(Change::Profile),
        "read at" => Some(Change::ReadAt(text.parse().map_err(|_| "no number")?)),
        _ => match key.strip_prefix("max id ") {
            Some(name) => Some(Change::MaxId(Context::named(name), text.parse().map_err(|_| "no number")?)),
            None => None,
        },
    })
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
