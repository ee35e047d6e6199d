//! Answers found through an id or a GUID: `/schemas/ids/…`, `/schemas/guids/…`.

use std::sync::Arc;

use bytes::Bytes;

use super::dress::dressed;
use super::resolve::{Holding, by_id as find, first_holder, holders, id};
use super::table::Question;
use super::{ABSENT, Answer, UNCAPPED, Verdict, page};
use crate::protocol::error::Refusal;
use crate::protocol::json::{Object, push_array, push_string};
use crate::protocol::order::compare;
use crate::protocol::schema::Version;
use crate::protocol::shape::schema_string;
use crate::protocol::subject::{Context, QualifiedSubject};

/// `GET /schemas/ids/{id}` (WIRE.md § 1.5).
pub(super) fn by_id(question: &Question<'_>) -> Answer {
    let Holding { subject, version } = asked(question)?;
    let context = question.snapshot.context(&subject.context).ok_or(ABSENT)?;
    let max_id = question.operation.query.flag("fetchMaxId").then(|| context.max_id());
    Ok(schema_string(Some(&subject.to_string()), &version, question.form, max_id).into())
}

/// `GET /schemas/ids/{id}/schema`: the text itself (WIRE.md § 1.6).
pub(super) fn text_by_id(question: &Question<'_>) -> Answer {
    let Holding { version, .. } = asked(question)?;
    if version.text.is_empty() {
        return Err(Refusal::schema_not_found(&id(question.operation.name())?.to_string()).into());
    }
    Ok(Bytes::copy_from_slice(version.text.as_bytes()))
}

fn asked(question: &Question<'_>) -> Result<Holding, Verdict> {
    let id = id(question.operation.name())?;
    let Holding { subject, version } = find(question.snapshot, id, question.get("subject").unwrap_or_default())?;
    let version = dressed(question, &subject.context, version)?;
    Ok(Holding { subject, version })
}

/// `GET /schemas/ids/{id}/subjects` (WIRE.md § 1.7).
pub(super) fn subjects_of(question: &Question<'_>) -> Answer {
    let mut out = Vec::new();
    push_array(&mut out, listed_holders(question)?, |out, (subject, _)| push_string(out, &subject.to_string()));
    Ok(out.into())
}

/// `GET /schemas/ids/{id}/versions` (WIRE.md § 1.7).
pub(super) fn versions_of(question: &Question<'_>) -> Answer {
    let mut out = Vec::new();
    push_array(&mut out, listed_holders(question)?, |out, (subject, version)| {
        let mut object = Object::open(out);
        object.text("subject", Some(&subject.to_string())).number("version", Some(version.version.into()));
        object.close();
    });
    Ok(out.into())
}

/// Every holder of the id in the context that the `subject` parameter selects.
fn listed_holders(question: &Question<'_>) -> Result<Vec<(QualifiedSubject, Arc<Version>)>, Verdict> {
    let Question { operation, snapshot, .. } = *question;
    let id = id(operation.name())?;
    let window = operation.query.page()?;
    let found = find(snapshot, id, operation.query.get("subject").unwrap_or_default())?;
    let name = &found.subject.context;
    question.admit_version(name, &found.version)?;
    let context = snapshot.context(name).ok_or(ABSENT)?;
    let deleted = operation.query.flag("deleted");
    let shown = holders(snapshot, name, context, id).into_iter().filter_map(|holder| {
        let version = context.held(&holder)?;
        (deleted || !version.deleted).then(|| (QualifiedSubject::new(name.clone(), &holder.subject), version.clone()))
    });
    page(shown, window, UNCAPPED)
}

/// `GET /schemas/guids/{guid}`: the default context first, then the others (WIRE.md § 1.8).
pub(super) fn by_guid(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let guid = normalised(operation.name()).ok_or(ABSENT)?;
    let default = Context::default_context();
    let others = snapshot.named_contexts().map(|(context, _)| context);
    let mut contexts = std::iter::once(&default).chain(others);
    let named = contexts.find_map(|context| Some((context, snapshot.context(context)?.id_of(&guid)?)));
    let found = named.and_then(|(context, id)| first_holder(snapshot, context, id));
    let found = found.filter(|found| found.version.guid.as_deref() == Some(&*guid)).ok_or(ABSENT)?;
    let version = dressed(question, &found.subject.context, found.version)?;
    Ok(schema_string(None, &version, question.form, None).into())
}

/// `GET /schemas/guids/{guid}/ids`: one id a context, sorted by context (WIRE.md § 1.8).
pub(super) fn ids_of_guid(question: &Question<'_>) -> Answer {
    let Question { operation, snapshot, .. } = *question;
    let guid = normalised(operation.name()).ok_or(ABSENT)?;
    let shown = |context, id| first_holder(snapshot, context, id).filter(|held| held.version.guid.is_some());
    let ids = snapshot.contexts().filter_map(|(context, state)| Some((context, state.id_of(&guid)?)));
    let mut ids: Vec<(&Context, i32)> = ids.filter(|(context, id)| shown(context, *id).is_some()).collect();
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
