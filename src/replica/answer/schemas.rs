//! Answers found through an id or a GUID: `/schemas/ids/…`, `/schemas/guids/…`.

use std::sync::Arc;

use bytes::Bytes;

use super::resolve::{Holding, by_id as find, first_holder, holders, id, is_reformatted};
use super::{ABSENT, Answer, PRIMARY_ONLY, UNCAPPED, page};
use crate::protocol::json::{Object, push_array, push_string};
use crate::protocol::operation::Operation;
use crate::protocol::order::compare;
use crate::protocol::schema::Version;
use crate::protocol::shape::{Form, schema_string};
use crate::protocol::subject::{Context, QualifiedSubject};
use crate::replica::snapshot::Snapshot;

/// `GET /schemas/ids/{id}` (WIRE.md § 1.5).
pub(super) fn by_id(operation: &Operation, snapshot: &Snapshot, form: Form) -> Answer {
    let found = asked(operation, snapshot)?;
    let qualified = operation.query.get("referenceFormat") == Some("qualified");
    let rewritten = qualified && !found.subject.context.is_default() && found.version.references.is_some();
    if rewritten || operation.query.get("findTags").is_some() {
        return Err(PRIMARY_ONLY);
    }
    let context = snapshot.context(&found.subject.context).ok_or(ABSENT)?;
    let max_id = operation.query.flag("fetchMaxId").then(|| context.max_id());
    Ok(schema_string(Some(&found.subject.to_string()), &found.version, form, max_id).into())
}

/// `GET /schemas/ids/{id}/schema`: the text itself (WIRE.md § 1.6).
pub(super) fn text_by_id(operation: &Operation, snapshot: &Snapshot) -> Answer {
    Ok(Bytes::copy_from_slice(asked(operation, snapshot)?.version.text.as_bytes()))
}

fn asked(operation: &Operation, snapshot: &Snapshot) -> Result<Holding, super::Verdict> {
    let id = id(operation.name())?;
    let found = find(snapshot, id, operation.query.get("subject").unwrap_or_default())?;
    if is_reformatted(operation.query.get("format"), &found.version.schema_type) {
        return Err(PRIMARY_ONLY);
    }
    Ok(found)
}

/// `GET /schemas/ids/{id}/subjects` (WIRE.md § 1.7).
pub(super) fn subjects_of(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let mut out = Vec::new();
    push_array(&mut out, listed_holders(operation, snapshot)?, |out, (subject, _)| {
        push_string(out, &subject.to_string())
    });
    Ok(out.into())
}

/// `GET /schemas/ids/{id}/versions` (WIRE.md § 1.7).
pub(super) fn versions_of(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let mut out = Vec::new();
    push_array(&mut out, listed_holders(operation, snapshot)?, |out, (subject, version)| {
        let mut object = Object::open(out);
        object.text("subject", Some(&subject.to_string())).number("version", Some(version.version.into()));
        object.close();
    });
    Ok(out.into())
}

/// Every holder of the id in the context that the `subject` parameter selects.
fn listed_holders(
    operation: &Operation,
    snapshot: &Snapshot,
) -> Result<Vec<(QualifiedSubject, Arc<Version>)>, super::Verdict> {
    let id = id(operation.name())?;
    let window = operation.query.page()?;
    let found = find(snapshot, id, operation.query.get("subject").unwrap_or_default())?;
    let name = &found.subject.context;
    let context = snapshot.context(name).ok_or(ABSENT)?;
    let deleted = operation.query.flag("deleted");
    let shown = holders(snapshot, name, context, id).into_iter().filter_map(|holder| {
        let version = context.held(&holder)?;
        (deleted || !version.deleted).then(|| (QualifiedSubject::new(name.clone(), &holder.subject), version.clone()))
    });
    page(shown, window, UNCAPPED)
}

/// `GET /schemas/guids/{guid}`: the default context first, then the others (WIRE.md § 1.8).
pub(super) fn by_guid(operation: &Operation, snapshot: &Snapshot, form: Form) -> Answer {
    let guid = normalised(operation.name()).ok_or(ABSENT)?;
    let default = Context::default_context();
    let others = snapshot.named_contexts().map(|(context, _)| context);
    let mut contexts = std::iter::once(&default).chain(others);
    let named = contexts.find_map(|context| Some((context, snapshot.context(context)?.id_of(&guid)?)));
    let found = named.and_then(|(context, id)| first_holder(snapshot, context, id));
    let found = found.filter(|found| found.version.guid.as_deref() == Some(&*guid)).ok_or(ABSENT)?;
    if is_reformatted(operation.query.get("format"), &found.version.schema_type) {
        return Err(PRIMARY_ONLY);
    }
    Ok(schema_string(None, &found.version, form, None).into())
}

/// `GET /schemas/guids/{guid}/ids`: one id a context, sorted by context (WIRE.md § 1.8).
pub(super) fn ids_of_guid(operation: &Operation, snapshot: &Snapshot) -> Answer {
    let guid = normalised(operation.name()).ok_or(ABSENT)?;
    let mut ids: Vec<(&Context, i32)> =
        snapshot.contexts().filter_map(|(context, state)| Some((context, state.id_of(&guid)?))).collect();
    if ids.is_empty() {
        return Err(ABSENT);
    }
    ids.sort_by(|one, other| compare(one.0.as_str(), other.0.as_str()));
    let mut out = Vec::new();
    push_array(&mut out, ids, |out, (context, id)| {
        let mut object = Object::open(out);
        object.text("context", Some(context.as_str())).number("id", Some(id.into()));
        object.close();
    });
    Ok(out.into())
}

/// A GUID as it is printed: from UUID text in either case, or from 32 hexadecimal digits.
fn normalised(written: &str) -> Option<String> {
    let is_plain = matches!(written.len(), 32 | 36);
    uuid::Uuid::try_parse(written).ok().filter(|_| is_plain).map(|guid| guid.hyphenated().to_string())
}
