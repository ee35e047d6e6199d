//! Answers about one subject: its versions, one version, who refers to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use super::resolve::{Holding, anywhere, is_reformatted, served_subject, version_number};
use super::{ABSENT, Answer, CAPPED, PRIMARY_ONLY, UNCAPPED, Verdict, page};
use crate::protocol::json::push_array;
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::schema::Version;
use crate::protocol::shape::{Form, Record, schema};
use crate::protocol::subject::QualifiedSubject;
use crate::replica::index::SubjectState;
use crate::replica::snapshot::Snapshot;

/// `GET /subjects/{s}/versions` (WIRE.md § 1.10).
pub(super) fn versions(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let window = operation.query.page()?;
    let subject = served_subject(snapshot, operation);
    let state = snapshot.subject(&subject).ok_or(ABSENT)?;
    let (deleted, only) = (operation.query.flag("deleted"), operation.query.flag("deletedOnly"));
    let negative = operation.query.flag("deletedAsNegative");
    if snapshot.lists_its_own_way() && (deleted || only || negative) {
        return Err(PRIMARY_ONLY);
    }
    if state.latest().is_none() && !deleted && !only {
        return Err(ABSENT);
    }
    let shown = state.versions.iter().filter(|version| match (negative, only) {
        (true, _) => true,
        (false, true) => version.deleted,
        (false, false) => deleted || !version.deleted,
    });
    let numbers = shown.map(|version| if negative && version.deleted { -version.version } else { version.version });
    Ok(numbers_of(page(numbers, window, UNCAPPED)?))
}

fn numbers_of(numbers: Vec<i32>) -> Bytes {
    let mut out = Vec::new();
    push_array(&mut out, numbers, |out, number| out.extend_from_slice(number.to_string().as_bytes()));
    out.into()
}

/// `GET /subjects/{s}/versions/{v}` (WIRE.md § 1.11).
pub(super) fn version(operation: &Operation, snapshot: &Snapshot, form: Form) -> Answer {
    let (subject, version) = asked(operation, snapshot)?;
    let qualified = operation.query.get("referenceFormat") == Some("qualified");
    let rewritten = qualified && !subject.context.is_default() && version.references.is_some();
    if rewritten || operation.query.get("findTags").is_some() {
        return Err(PRIMARY_ONLY);
    }
    Ok(schema(&subject.to_string(), &version, form, Record::Stored).into())
}

/// `GET /subjects/{s}/versions/{v}/schema`: the text itself (WIRE.md § 1.12).
pub(super) fn text(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let (_, version) = asked(operation, snapshot)?;
    Ok(Bytes::copy_from_slice(version.text.as_bytes()))
}

fn asked(operation: &Operation, snapshot: &Snapshot) -> Result<(QualifiedSubject, Arc<Version>), Verdict> {
    let number = version_number(operation.name())?;
    let named = served_subject(snapshot, operation);
    let deleted = operation.query.flag("deleted");
    let Holding { subject, version } =
        anywhere(snapshot, &named, |state| pick(state, number, deleted)).ok_or(ABSENT)?;
    if is_reformatted(operation.query.get("format"), &version.schema_type) {
        return Err(PRIMARY_ONLY);
    }
    Ok((subject, version))
}

/// The latest is never a soft-deleted version, not even with `deleted=true`.
fn pick(state: &SubjectState, number: Option<i32>, deleted: bool) -> Option<&Arc<Version>> {
    match number {
        None => state.latest(),
        Some(number) => state.version(number).filter(|version| deleted || !version.deleted),
    }
}

/// `GET /subjects/{s}/versions/{v}/referencedby`: ids of the referrers (WIRE.md § 1.13).
pub(super) fn referenced_by(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let window = operation.query.page()?;
    let number = version_number(operation.name())?;
    let named = served_subject(snapshot, operation);
    // The target may itself be soft-deleted.
    let target = anywhere(snapshot, &named, |state| pick(state, number, true)).ok_or(ABSENT)?;
    let deleted = operation.query.flag("deleted");
    let mut ids: Vec<(String, i32)> = Vec::new();
    for referrer in snapshot.referrers(&target.subject, target.version.version) {
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
pub(super) fn with_metadata(operation: &Operation, snapshot: &Snapshot, form: Form) -> Answer {
    let subject = served_subject(snapshot, operation);
    let state = snapshot.subject(&subject).ok_or(ABSENT)?;
    let wanted: Vec<(&str, &str)> = operation.query.all("key").zip(operation.query.all("value")).collect();
    let deleted = operation.query.flag("deleted");
    let mut candidates = state.versions.iter().rev().filter(|version| deleted || !version.deleted);
    let version = candidates.find(|version| has_properties(version, &wanted)).ok_or(ABSENT)?;
    if is_reformatted(operation.query.get("format"), &version.schema_type) {
        return Err(PRIMARY_ONLY);
    }
    Ok(schema(&subject.to_string(), version, form, Record::Stored).into())
}

/// A version without metadata matches nothing, not even no pairs.
fn has_properties(version: &Version, wanted: &[(&str, &str)]) -> bool {
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
