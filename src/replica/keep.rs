//! What of the replica outlives the process, and how single facts of it are written down.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::value::RawValue;

use super::change::{Change, SPELLING};
use super::snapshot::{Association, LeftOut, Remembered, Scope, Snapshot, Spelling};
use super::texts::TextKey;
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

/// One row of the table of single facts; rows of other releases are left alone.
pub(super) fn fact(key: &str, text: &str) -> Result<Option<Change>, String> {
    Ok(match key {
        "contexts" => Some(Change::Contexts(text.split('\n').map(Context::named).collect())),
        "associations" => Some(Change::Associations(Some(associations(text).map_err(|error| error.to_string())?))),
        LEFT_OUT => {
            Some(Change::LeftOut { of: Scope::All, now: LeftOut::read(text).map_err(|error| error.to_string())? })
        }
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

/// The reverse: what the row of a fact is to hold.
pub(super) fn fact_row(held: &Snapshot, key: &str) -> Option<Vec<u8>> {
    if let Some(printed) = key.strip_prefix(SPELLING) {
        return held.stored_as(&Spelling::known(printed)).map(|text| TextKey::of(text).to_string().into_bytes());
    }
    match key {
        "contexts" => held.listed_contexts().map(contexts_row),
        "associations" => held.associations().map(associations_row),
        LEFT_OUT => (!held.left_out().is_empty()).then(|| held.left_out().printed().into_bytes()),
        "profile" => held.profile().map(|profile| profile.as_str().into()),
        "read at" => held.read_at().map(|seconds| seconds.to_string().into_bytes()),
        _ => {
            let max = held.context(&Context::named(key.strip_prefix("max id ")?))?.max_id();
            (max > 0).then(|| max.to_string().into_bytes())
        }
    }
}

pub(super) fn contexts_row(contexts: &[Context]) -> Vec<u8> {
    let names: Vec<&str> = contexts.iter().map(Context::as_str).collect();
    names.join("\n").into_bytes()
}

pub(super) fn associations_row(associations: &[Association]) -> Vec<u8> {
    let texts: Vec<&str> = associations.iter().filter_map(|one| one.printed.as_deref().map(RawValue::get)).collect();
    format!("[{}]", texts.join(",")).into_bytes()
}

/// The row of a remembered answer.
pub(super) fn answer_row(answer: &Remembered) -> Vec<u8> {
    [format!("{}\n", answer.status).as_bytes(), &answer.body[..]].concat()
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
    use super::*;

    #[test]
    fn what_was_left_out_is_known_again_by_whatever_name() {
        for (names, is_vague) in [(&[][..], false), (&["a", ":.c:b\nc", ""], false), (&["a"], true), (&[], true)] {
            let subjects = names.iter().map(|name| QualifiedSubject::parse(name)).collect();
            let left_out = LeftOut { subjects, is_vague };
            assert_eq!(LeftOut::read(&left_out.printed()).expect("readable"), left_out);
        }
    }
}
