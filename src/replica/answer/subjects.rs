//! Answers about one subject: its versions, one version, who refers to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::dress::dressed;
use super::resolve::{Holding, anywhere, served_subject, version_number};
use super::table::Question;
use super::{ABSENT, Answer, CAPPED, UNCAPPED, Verdict, page};
use crate::protocol::json::push_array;
use crate::protocol::order::compare;
use crate::protocol::schema::Version;
use crate::protocol::shape::{Record, schema};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::index::SubjectState;
use crate::replica::snapshot::{Referrer, Snapshot};

/// `GET /subjects/{s}/versions` (WIRE.md § 1.10).
pub(super) fn versions(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let window = operation.query.page()?;
    let subject = served_subject(snapshot, operation);
    let (deleted, only) = (operation.query.flag("deleted"), operation.query.flag("deletedOnly"));
    let negative = operation.query.flag("deletedAsNegative");
    let Some(state) = snapshot.subject(&subject) else {
        return if is_a_context_in_use(snapshot, &subject, deleted || only) {
            Ok(numbers_of(page([], window, UNCAPPED)?))
        } else {
            Err(ABSENT)
        };
    };
    if !state.is_live() && !deleted && !only {
        return Err(ABSENT);
    }
    let shown = state.listed().filter(|version| match (negative, only) {
        (true, _) => true,
        (false, true) => version.deleted,
        (false, false) => deleted || !version.deleted,
    });
    let numbers = shown.map(|version| if negative && version.deleted { -version.version } else { version.version });
    Ok(numbers_of(page(numbers, window, UNCAPPED)?))
}

/// The empty subject of a context that holds others is there, and has no versions; those that are soft-deleted count
/// where they are asked for. That of the context of everything is there wherever there is any.
fn is_a_context_in_use(snapshot: &Snapshot, subject: &QualifiedSubject, deleted: bool) -> bool {
    let is_global = subject.context == Context::global();
    let meant = snapshot.contexts().filter(|(context, _)| is_global || **context == subject.context);
    subject.is_bare_context()
        && meant.flat_map(|(_, context)| context.subjects()).any(|(_, state)| deleted || state.is_live())
}

fn numbers_of(numbers: Vec<i32>) -> Bytes {
    let mut out = Vec::new();
    push_array(&mut out, numbers, |out, number| out.extend_from_slice(number.to_string().as_bytes()));
    out.into()
}

/// `GET /subjects/{s}/versions/{v}` (WIRE.md § 1.11).
pub(super) fn version(question: &Question<'_>) -> Answer {
    let Holding { subject, version } = asked(question)?;
    Ok(schema(&subject.to_string(), &version, question.form, Record::Stored).into())
}

/// `GET /subjects/{s}/versions/{v}/schema`: the text itself (WIRE.md § 1.12).
pub(super) fn text(question: &Question<'_>) -> Answer {
    Ok(Bytes::copy_from_slice(asked(question)?.version.text.as_bytes()))
}

fn asked(question: &Question<'_>) -> Result<Holding, Verdict> {
    let Question { operation, snapshot, .. } = *question;
    let number = version_number(operation.name())?;
    let deleted = operation.query.flag("deleted");
    let Holding { subject, version } =
        anywhere(snapshot, operation, |state| pick(state, number, deleted)).ok_or(ABSENT)?;
    let version = dressed(question, &subject.context, version)?;
    Ok(Holding { subject, version })
}

/// The latest is never a soft-deleted version, not even with `deleted=true`.
fn pick(state: &SubjectState, number: Option<i32>, deleted: bool) -> Option<&Arc<Version>> {
    match number {
        None => state.latest(),
        Some(number) => state.version(number).filter(|version| deleted || !version.deleted),
    }
}

/// `GET /subjects/{s}/versions/{v}/referencedby`: ids of the referrers (WIRE.md § 1.13).
pub(super) fn referenced_by(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let window = operation.query.page()?;
    let number = version_number(operation.name())?;
    // The target may itself be soft-deleted.
    let target = anywhere(snapshot, operation, |state| pick(state, number, true)).ok_or(ABSENT)?;
    let deleted = operation.query.flag("deleted");
    let mut ids: Vec<(String, i32)> = Vec::new();
    // Of a part of a state, those that lie outside of it are not there.
    let is_there = |referrer: &&Referrer| snapshot.context(&referrer.subject.context).is_some();
    for referrer in snapshot.referrers(&target.subject, target.version.version).iter().filter(is_there) {
        let version = snapshot.version(&referrer.subject, referrer.version).ok_or(ABSENT)?;
        if deleted || !version.deleted {
            ids.push((referrer.subject.context.as_str().to_owned(), version.id));
        }
    }
    ids.sort_by(|one, other| compare(&one.0, &other.0).then(one.1.cmp(&other.1)));
    ids.dedup();
    Ok(numbers_of(page(ids.into_iter().map(|(_, id)| id), window, CAPPED)?))
}

/// `GET /subjects/{s}/metadata`: the highest version whose properties have all pairs (WIRE.md § 1.14).
pub(super) fn with_metadata(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let subject = served_subject(snapshot, operation);
    let state = snapshot.subject(&subject).ok_or(ABSENT)?;
    // Of a key that is named twice, the last value counts.
    let wanted: BTreeMap<&str, &str> = operation.query.all("key").zip(operation.query.all("value")).collect();
    let deleted = operation.query.flag("deleted");
    let mut candidates = state.listed().rev().filter(|version| deleted || !version.deleted);
    let version = candidates.find(|version| has_properties(version, &wanted)).ok_or(ABSENT)?;
    let version = dressed(question, &subject.context, version.clone())?;
    Ok(schema(&subject.to_string(), &version, question.form, Record::Stored).into())
}

/// A version without metadata matches nothing, not even no pairs.
fn has_properties(version: &Version, wanted: &BTreeMap<&str, &str>) -> bool {
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default)]
        properties: Option<BTreeMap<String, String>>,
    }
    let Some(raw) = version.metadata.as_deref() else { return false };
    let read: Option<Metadata> = serde_json::from_str(raw.get()).ok();
    let properties = read.and_then(|metadata| metadata.properties).unwrap_or_default();
    wanted.iter().all(|(key, value)| properties.get(*key).is_some_and(|own| own == value))
}
